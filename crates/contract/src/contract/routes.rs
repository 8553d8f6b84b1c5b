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
        self.routes
            .iter()
            .filter(move |route| route.capability == capability && route.site.as_ref().is_none_or(|of| of == site))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(line: usize, site: Option<u8>, from: Option<i64>, until: Option<i64>) -> Route {
        Route {
            capability: "a.b".into(),
            site: site.map(|n| format!("s{n}").parse().unwrap()),
            target: Target::None { reason: String::new() },
            fallback: Vec::new(),
            shadow: Vec::new(),
            valid: Validity { from: from.map(Time), until: until.map(Time) },
            line,
        }
    }

    type Line = (Option<u8>, Option<i64>, Option<i64>);

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let day = || proptest::option::of(0_i64..6);
        proptest::collection::vec((proptest::option::of(0_u8..2), day(), day()), 0..6)
    }

    proptest! {
        #[test]
        fn the_first_that_matches_wins_and_the_next_change_is_the_next(lines in lines()) {
            let routes = lines.iter().enumerate().map(|(n, (site, from, until))| route(n, *site, *from, *until));
            let contract = Contract { routes: routes.collect(), ..Contract::empty() };
            let naive = |site: u8, at: i64| {
                lines.iter().position(|(of, from, until)| {
                    of.is_none_or(|of| of == site) && from.is_none_or(|f| f <= at) && until.is_none_or(|u| at < u)
                })
            };
            for site in 0..2_u8 {
                let name: SiteName = format!("s{site}").parse().unwrap();
                for at in -1..8_i64 {
                    let found = contract.route("a.b", &name, Time(at)).map(|route| route.line);
                    prop_assert_eq!(found, naive(site, at));
                    prop_assert!(contract.route("a.c", &name, Time(at)).is_none());
                    let change = (at + 1..8).find(|later| naive(site, *later) != found);
                    let next = contract.next_route("a.b", &name, Time(at));
                    prop_assert_eq!(next.map(|(when, _)| when.0), change);
                    prop_assert_eq!(next.and_then(|(_, r)| r).map(|r| r.line), change.and_then(|c| naive(site, c)));
                }
            }
        }
    }
}
