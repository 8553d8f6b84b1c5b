//! `assets/<site>.yaml`: a site and its equipment.

use super::words::{Named, Word};
use crate::read::{At, Entries};
use schemars::JsonSchema;
use serde::Deserialize;

/// A site and its equipment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "assets/<site>.yaml")]
pub(crate) struct AssetsFile {
    /// The site's name, the same as the file's.
    pub(crate) site: At<Named>,
    /// Where its data may be kept.
    pub(crate) zone: At<Named>,
    /// The zone of its clocks and calendars, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) timezone: Option<At<String>>,
    /// Parameters for all assets of the site, by class: `<class>: { <signal>.<key>: value }`.
    #[serde(default)]
    pub(crate) set: Entries<Named, Entries<String, At<Word>>>,
    /// The assets, by name; a name is unique in the project and never used again.
    pub(crate) assets: Entries<Named, AssetFile>,
}

/// A piece of equipment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetFile {
    /// Its class.
    pub(crate) class: At<Named>,
    /// The area of the site it stands in.
    #[serde(default)]
    pub(crate) area: Option<String>,
    /// The line of the area.
    #[serde(default)]
    pub(crate) line: Option<String>,
    /// The unit of the line.
    #[serde(default)]
    pub(crate) unit: Option<String>,
    /// What a source calls it, by source, where that is not its name.
    #[serde(default)]
    pub(crate) addresses: Entries<Named, At<String>>,
    /// Parameters of this asset: `<signal>.<key>: value`.
    #[serde(default)]
    pub(crate) set: Entries<String, At<Word>>,
}
