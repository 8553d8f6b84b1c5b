//! `rules/<rule>.yaml` of the kind `spc`: a control chart.

use crate::read::{At, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// Alarms when the points of a control chart make a pattern that chance hardly makes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpcRuleFile {
    /// `spc`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: SpcWord,
    /// 1 to 1000, or one number for each run rule: `{ nelson-1: 700, nelson-2: 400 }`.
    #[schemars(with = "RunSeverityWord")]
    pub(crate) severity: Raw,
    /// `western-electric`, `nelson`, or a list of run rules: `[nelson-1, nelson-2]`.
    #[schemars(with = "RunRulesWord")]
    pub(crate) rules: Raw,
    /// Samples whose mean is a point; default 1.
    #[serde(default)]
    pub(crate) subgroup: Option<At<u16>>,
    /// The centre, together with `sigma`.
    #[serde(default)]
    pub(crate) centre: Option<At<f64>>,
    /// The standard deviation of single samples, together with `centre`.
    #[serde(default)]
    pub(crate) sigma: Option<At<f64>>,
    /// Three sigma of points above the centre, together with `LCL`.
    #[serde(default, rename = "UCL")]
    pub(crate) ucl: Option<At<f64>>,
    /// Three sigma of points below the centre, together with `UCL`.
    #[serde(default, rename = "LCL")]
    pub(crate) lcl: Option<At<f64>>,
    /// The lines are learned from the first samples.
    #[serde(default)]
    pub(crate) learn: Option<LearnFile>,
}

/// How lines are learned.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LearnFile {
    /// Good samples that are learned from, 20 to 1,000,000.
    pub(crate) samples: At<u32>,
    /// `range` (default): from the ranges of neighbours, or of the samples of each subgroup. `sample`: from all
    /// samples.
    #[serde(default)]
    pub(crate) sigma: SigmaWord,
}

/// What sigma is worked out from.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum SigmaWord {
    /// From ranges.
    #[default]
    Range,
    /// From all samples.
    Sample,
}

/// The word `spc`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum SpcWord {
    /// A control chart.
    Spc,
}

/// One severity for all run rules, or one for each.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum RunSeverityWord {
    /// 1 to 1000 for every run rule.
    One(u16),
    /// 1 to 1000 by run rule.
    Each(std::collections::BTreeMap<String, u16>),
}

/// A set of run rules, or a list.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum RunRulesWord {
    /// All of one author.
    Set(RunSetWord),
    /// These.
    List(Vec<String>),
}

/// A set of run rules.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum RunSetWord {
    /// Four of them.
    WesternElectric,
    /// Eight of them.
    Nelson,
}
