//! `rules/<rule>.yaml` of the kind `spectrum`: a feature of a waveform.

use super::SeverityWord;
use crate::{
    files::words::Duration,
    read::{At, Raw},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::borrow::Cow;

/// An alarm when a feature of the blocks of a waveform is beyond a limit. A limit that is not set here is the class's
/// parameter `<signal>.<key>`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpectrumRuleFile {
    /// `spectrum`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: SpectrumWord,
    /// How a block is written.
    pub(crate) waveform: WaveformFile,
    /// `velocity-rms`, `rms`, `peak`, `crest-factor`, `kurtosis`, or one with its band:
    /// `{ band: { from: 500 Hz, to: 2 kHz } }`.
    #[schemars(with = "FeatureSchema")]
    pub(crate) feature: Raw,
    /// Limits by the boundaries of zones: `iso-20816-3/group-2/rigid`, or `{ A/B: 1.4, B/C: 2.8, C/D: 4.5 }`. High is
    /// B/C then, and `HighHigh` is C/D.
    #[serde(default)]
    #[schemars(with = "Option<ZonesSchema>")]
    pub(crate) zones: Option<Raw>,
    /// 1 to 1000, or one number for each level: `{ HighHigh: 900, High: 700 }`.
    #[schemars(with = "SeverityWord")]
    pub(crate) severity: Raw,
    /// Above this.
    #[serde(default, rename = "HighHigh")]
    pub(crate) high_high: Option<At<f64>>,
    /// Above this.
    #[serde(default, rename = "High")]
    pub(crate) high: Option<At<f64>>,
    /// Below this.
    #[serde(default, rename = "Low")]
    pub(crate) low: Option<At<f64>>,
    /// Below this.
    #[serde(default, rename = "LowLow")]
    pub(crate) low_low: Option<At<f64>>,
    /// The alarm ends when the feature is back by this much; default 0.
    #[serde(default, rename = "Deadband")]
    pub(crate) deadband: Option<At<f64>>,
    /// The feature must be beyond the limit this long; default 0 s.
    #[serde(default, rename = "OnDelay")]
    pub(crate) on_delay: Option<At<Duration>>,
    /// The feature must be back this long; default 0 s.
    #[serde(default, rename = "OffDelay")]
    pub(crate) off_delay: Option<At<Duration>>,
    /// An alarm that stays is told again after this long; default never.
    #[serde(default, rename = "ReAlarmTime")]
    pub(crate) realarm: Option<At<Duration>>,
}

/// The word `spectrum`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum SpectrumWord {
    /// A feature of a waveform.
    Spectrum,
}

/// How a block is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaveformFile {
    /// Of a signal of the kind bytes `f32-le`, `f64-le` or `i16-le`; of one of the kind text `json`, an array of
    /// numbers.
    pub(crate) format: At<FormatWord>,
    /// Samples of the waveform in a second.
    pub(crate) rate: At<Frequency>,
    /// What each number is multiplied by; default 1.
    #[serde(default)]
    pub(crate) scale: Option<At<f64>>,
    /// The unit that the numbers have then; default the unit of the signal.
    #[serde(default)]
    pub(crate) unit: Option<At<String>>,
}

/// How the numbers of a block are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum FormatWord {
    /// IEEE 754, 4 bytes, the lowest first.
    #[serde(rename = "f32-le")]
    F32Le,
    /// IEEE 754, 8 bytes, the lowest first.
    #[serde(rename = "f64-le")]
    F64Le,
    /// Whole numbers with sign, 2 bytes, the lowest first.
    #[serde(rename = "i16-le")]
    I16Le,
    /// A JSON array of numbers.
    #[serde(rename = "json")]
    Json,
}

/// A feature with its band; one of the two.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BandedFeature {
    /// The root mean square of the velocity.
    #[serde(default, rename = "velocity-rms")]
    pub(crate) velocity_rms: Option<BandFile>,
    /// The root mean square of a part of the spectrum.
    #[serde(default)]
    pub(crate) band: Option<BandFile>,
}

/// A part of the spectrum.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BandFile {
    /// Its lowest frequency.
    pub(crate) from: At<Frequency>,
    /// Its highest frequency, at most half the rate of the waveform.
    pub(crate) to: At<Frequency>,
}

/// The boundaries of zones.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZonesFile {
    /// Between A, of new machines, and B, good for long.
    #[serde(rename = "A/B")]
    pub(crate) a_b: At<f64>,
    /// Between B and C, good for a while.
    #[serde(rename = "B/C")]
    pub(crate) b_c: At<f64>,
    /// Between C and D, which does damage.
    #[serde(rename = "C/D")]
    pub(crate) c_d: At<f64>,
}

/// A frequency in Hz, above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frequency(pub(crate) f64);

impl Frequency {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = text.split_at_checked(at)?;
        let times = match unit {
            "Hz" => 1.0,
            "kHz" => 1e3,
            "MHz" => 1e6,
            _ => return None,
        };
        let hertz = number.trim().parse::<f64>().ok()? * times;
        (hertz > 0.0 && hertz.is_finite()).then_some(Self(hertz))
    }
}

impl<'de> Deserialize<'de> for Frequency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("expected a frequency like 10 kHz or 500 Hz, found {text:?}")))
    }
}

impl JsonSchema for Frequency {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Frequency".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)? ?(Hz|kHz|MHz)$",
            "description": "A frequency: `10 kHz`, `500 Hz`.",
            "examples": ["10 kHz"]
        })
    }
}

/// A feature by its word, or with its band.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum FeatureSchema {
    /// A word.
    Word(FeatureWord),
    /// With its band.
    Banded(BandedFeature),
}

/// The words of features.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum FeatureWord {
    VelocityRms,
    Rms,
    Peak,
    CrestFactor,
    Kurtosis,
}

/// Zones by name, or by their boundaries.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
enum ZonesSchema {
    /// Built in.
    Named(String),
    /// Written out.
    Own(ZonesFile),
}
