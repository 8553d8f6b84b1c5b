//! `routes.yaml`: which system answers for a capability at a site.

use crate::read::{At, Items};
use schemars::JsonSchema;
use serde::Deserialize;

/// The routes; the first that matches wins.
pub(crate) type RoutesFile = Items<At<RouteFile>>;

/// A route.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteFile {
    /// The capability.
    pub(crate) capability: At<String>,
    /// The site, or `'*'` for every site.
    pub(crate) site: At<String>,
    /// `<system>.<operation>`, or `none` with a reason.
    #[serde(rename = "use")]
    pub(crate) target: At<String>,
    /// Operations that are asked, in order, when certainly nothing happened at the first.
    #[serde(default)]
    pub(crate) fallback: Items<At<String>>,
    /// The first day it holds, `2026-01-01`, from the site's midnight on.
    #[serde(default)]
    pub(crate) from: Option<At<String>>,
    /// Why nobody answers there; with `use: none` only.
    #[serde(default)]
    pub(crate) reason: Option<At<String>>,
}
