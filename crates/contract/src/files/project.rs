//! `andon.yaml`: the project's name and its instances.

use super::{listeners::ListenerFile, words::Named};
use crate::{
    contract::Role,
    read::{At, Entries},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The project and its instances.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "andon.yaml")]
pub(crate) struct ProjectFile {
    /// The project's name.
    pub(crate) name: At<Named>,
    /// The format of the project's files: 1.
    pub(crate) format: At<u32>,
    /// The running Andons of the project, by name.
    pub(crate) instances: Entries<Named, InstanceFile>,
}

/// One running Andon.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstanceFile {
    /// `edge` beside the machines, `hub` in the middle, `both` in one.
    pub(crate) role: Role,
    /// The zone its data folder lies in.
    pub(crate) zone: At<Named>,
    /// Address of the API, `host:port`; default 127.0.0.1:8730.
    #[serde(default)]
    pub(crate) api: Option<At<String>>,
    /// Its MQTT listeners, by name: machines publish to them without a broker.
    #[serde(default)]
    pub(crate) listeners: Entries<Named, ListenerFile>,
}
