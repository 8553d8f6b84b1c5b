//! Routes: which system answers for a capability at a site, and when that changes.

use super::{Contract, Validity};
use andon_model::{Name, SiteName, Time};

/// Which system answers for a capability at a site.
#[derive(Debug, Clone)]
pub struct Route {
    /// The capability: its plain name is its first major.
    pub capability: String,
    /// The site; `None`: every site.
    pub site: Option<SiteName>,
    /// The operation, or nobody with the reason.
    pub target: Target,
    /// Who is asked when certainly nothing happened at the first, in order.
    pub fallback: Vec<OperationRef>,
    /// Who is sent the same once the call is delivered, without any effect on its run.
    pub shadow: Vec<OperationRef>,
    /// When it holds, from midnight to midnight at the site.
    pub valid: Validity,
    /// The line in `routes.yaml`.
    pub line: usize,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this operation.
    Operation(OperationRef),
    /// Nowhere: the task is skipped, and lineage says why.
    None {
        /// Why nobody answers there.
        reason: String,
    },
}

/// An operation of a system: `maximo.create-sr`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationRef {
    /// The system.
    pub system: Name,
    /// Its operation.
    pub operation: Name,
}

impl std::fmt::Display for OperationRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.system, self.operation)
    }
}

impl Contract {
    /// The route in force for a capability at a site and a moment; `None`: nobody answers.
    pub fn route(&self, capability: &str, site: &SiteName, now: Time) -> Option<&Route> {
        self.routes_of(capability, site).find(|route| route.valid.holds(now))
    }

    /// The routes that may be in force for a capability at a site at some time, in their order.
    pub fn routes_of<'a>(&'a self, capability: &str, site: &SiteName) -> impl Iterator<Item = &'a Route> {
        self.routes.iter().filter(move |route| {
            route.capability == capability && route.site.as_ref().is_none_or(|of| of == site)
        })
    }

    /// The next moment behind `now` at which another line answers, with that line; the route is `None` where nobody
    /// answers from then on.
    pub fn next_route(&self, capability: &str, site: &SiteName, now: Time) -> Option<(Time, Option<&Route>)> {
        let line = |at: Time| self.route(capability, site, at).map(|route| route.line);
        let is = line(now);
        let mut edges: Vec<Time> =
            self.routes_of(capability, site).flat_map(|route| route.valid.edges()).filter(|edge| *edge > now).collect();
        edges.sort_unstable();
        let at = edges.into_iter().find(|edge| line(*edge) != is)?;
        Some((at, self.route(capability, site, at)))
    }
}
