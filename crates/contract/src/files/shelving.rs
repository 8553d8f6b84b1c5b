//! `policies/shelving.yaml`: how long alarms may be shelved.

use super::words::{Duration, Named};
use crate::read::{At, Entries};
use schemars::JsonSchema;
use serde::Deserialize;

/// How long alarms may be shelved; without this file 24 h.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "policies/shelving.yaml")]
pub(crate) struct ShelvingFile {
    /// Of every rule that is not named below; default 24 h. The name is that of OPC UA Part 9.
    #[serde(default, rename = "MaxTimeShelved")]
    pub(crate) max: Option<At<Duration>>,
    /// Of single rules, by name.
    #[serde(default)]
    pub(crate) rules: Entries<Named, ShelvedRuleFile>,
}

/// How long the alarms of a rule may be shelved.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShelvedRuleFile {
    /// `8 h`.
    #[serde(rename = "MaxTimeShelved")]
    pub(crate) max: At<Duration>,
}
