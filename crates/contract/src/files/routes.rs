//! `routes.yaml`: which system answers for a capability at a site.

use crate::read::{At, Items, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// The routes; the first that matches wins.
pub(crate) type RoutesFile = Items<At<RouteFile>>;

/// A route.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteFile {
    /// The capability, `name` or `name@major`.
    pub(crate) capability: At<String>,
    /// The site, a list of sites, or `'*'` for every site.
    #[schemars(with = "SitesWord")]
    pub(crate) site: Raw,
    /// `<system>.<operation>`, or `none` with a reason.
    #[serde(rename = "use")]
    pub(crate) target: At<String>,
    /// Operations that are asked, in order, when certainly nothing happened at the first.
    #[serde(default)]
    pub(crate) fallback: Items<At<String>>,
    /// The first day it holds, `2026-01-01`, from the site's midnight on.
    #[serde(default)]
    pub(crate) from: Option<At<String>>,
    /// The first day it holds no more, `2027-01-01`, from the site's midnight on.
    #[serde(default)]
    pub(crate) until: Option<At<String>>,
    /// Operations that are sent the same once the call is delivered, only to be compared: such that read, or of a
    /// test system.
    #[serde(default)]
    pub(crate) shadow: Items<At<String>>,
    /// Why nobody answers there; with `use: none` only.
    #[serde(default)]
    pub(crate) reason: Option<At<String>>,
}

/// A site, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the value is read by hand, for better messages")]
enum SitesWord {
    /// One, or `'*'`.
    One(String),
    /// Several.
    Several(Vec<String>),
}
