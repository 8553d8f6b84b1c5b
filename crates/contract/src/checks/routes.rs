//! Routes: they lead from a capability to an operation that implements it, can be reached, and exist for every site
//! whose events can start a workflow that calls.

use super::{
    Known, assets::Assets, capabilities::Capabilities, expressions::Told, systems::Systems, workflows::Workflows,
};
use crate::{
    codes,
    contract::{OperationRef, Route, Target},
    files::routes::RouteFile,
    load::Project,
    problem::{Finding, Spot, Where},
    read::At,
};
use andon_model::{Name, SiteName, Time, time::Zone};
use std::collections::BTreeSet;

/// All routes.
pub(crate) struct Routes {
    pub(crate) all: Vec<Route>,
    /// Whether every line could be read; else nobody is told that one is missing.
    whole: bool,
}

impl Routes {
    /// The sites from which a call may reach an operation.
    pub(crate) fn sites_of<'a>(&self, system: &Name, operation: &Name, assets: &'a Assets) -> BTreeSet<&'a SiteName> {
        let leads = |route: &&Route| {
            let target = match &route.target {
                Target::Operation(target) => Some(target),
                Target::None { .. } => None,
            };
            target.into_iter().chain(&route.fallback).any(|to| to.system == *system && to.operation == *operation)
        };
        let mut sites = BTreeSet::new();
        for route in self.all.iter().filter(leads) {
            sites.extend(assets.sites.keys().filter(|site| route.site.as_ref().is_none_or(|of| of == *site)));
        }
        sites
    }
}

pub(crate) fn resolve(project: &Project, assets: &Assets, capabilities: &Capabilities, systems: &Systems) -> Routes {
    let mut routes = Routes { all: Vec::new(), whole: true };
    let Some(doc) = &project.routes else { return routes };
    let Some(file) = &doc.body else {
        routes.whole = false;
        return routes;
    };
    let before = project.findings.len();
    for line in file.iter() {
        let scope = Scope { project, assets, capabilities, systems, line };
        routes.all.extend(scope.routes(&routes.all));
    }
    routes.whole = project.findings.len() == before && file.spoilt == 0;
    routes
}

/// One line and what it may refer to.
struct Scope<'a> {
    project: &'a Project,
    assets: &'a Assets,
    capabilities: &'a Capabilities,
    systems: &'a Systems,
    line: &'a At<RouteFile>,
}

impl Scope<'_> {
    /// The routes of a line: one, or one for each site where the first day begins at each site's own midnight.
    fn routes(&self, earlier: &[Route]) -> Vec<Route> {
        let Scope { project, line, .. } = self;
        let capability = self.capabilities.find(project, line.capability.spot, &line.capability);
        let site = self.site();
        let target = self.target(capability.map(|(name, _)| name));
        let fallback: Vec<OperationRef> =
            line.fallback.iter().filter_map(|text| self.operation(text, capability.map(|(name, _)| name))).collect();
        let from = match &line.from {
            None => Some(None),
            Some(text) => self.day(text).map(Some),
        };
        let (Some((name, _)), Ok(site), Some(target), Some(from)) = (capability, site, target, from) else {
            return Vec::new();
        };
        let make = |site: Option<SiteName>, from: Option<Time>| Route {
            capability: name.to_owned(),
            site,
            target: target.clone(),
            fallback: fallback.clone(),
            from,
            line: project.findings.line_number(line.spot),
        };
        let midnight = |zone: &Zone| Time::parse_in(&format!("{} 00:00:00", from.unwrap_or_default()), zone).ok();
        let routes = match (&site, from) {
            (_, None) => vec![make(site, None)],
            (Some(name), Some(_)) => {
                let zone = self.assets.sites.get(name).map(|info| info.site.timezone.clone());
                vec![make(site.clone(), midnight(&zone.unwrap_or_else(Zone::utc)))]
            }
            (None, Some(_)) => {
                let sites = self.assets.sites.iter();
                sites.map(|(name, info)| make(Some(name.clone()), midnight(&info.site.timezone))).collect()
            }
        };
        self.reachable(earlier, &routes);
        routes
    }

    /// The site; none stands for every site.
    fn site(&self) -> Result<Option<SiteName>, Told> {
        let site = &self.line.site;
        if site.value == "*" {
            return Ok(None);
        }
        if !self.assets.known_sites.expect(self.project, codes::UNKNOWN_SITE, site.spot, "site", site) {
            return Err(Told);
        }
        SiteName::new(site).map(Some).map_err(|_| Told)
    }

    fn target(&self, capability: Option<&str>) -> Option<Target> {
        let (project, line) = (self.project, self.line);
        if line.target.value != "none" {
            if let Some(reason) = &line.reason {
                let finding = Finding::error(codes::ROUTE_REASON, reason.spot, "a reason belongs to `use: none` only");
                project.push(finding.help("leave it out, or write it as a comment"));
            }
            return self.operation(&line.target, capability).map(Target::Operation);
        }
        if let Some(fallback) = line.fallback.iter().next() {
            let finding =
                Finding::error(codes::ROUTE_REASON, fallback.spot, "where nobody answers there is no fallback");
            project.push(finding.help("leave the fallback out"));
        }
        if let Some(reason) = line.reason.as_ref().filter(|reason| !reason.trim().is_empty()) {
            return Some(Target::None { reason: reason.value.clone() });
        }
        let finding = Finding::error(codes::ROUTE_REASON, line.target.spot, "nothing says why nobody answers here");
        project.push(finding.expected("`reason: ...`").help("add the reason; lineage shows it with each call"));
        None
    }

    fn operation(&self, text: &At<String>, capability: Option<&str>) -> Option<OperationRef> {
        let project = self.project;
        let Some((system, operation)) = text.split_once('.') else {
            let finding =
                Finding::error(codes::ROUTE_TARGET, text.spot, format!("`{}` names no operation", text.value));
            project.push(finding.expected("`<system>.<operation>`, or `none`").help("name system and operation"));
            return None;
        };
        if !self.systems.known.expect(project, codes::UNKNOWN_SYSTEM, text.spot, "system", system) {
            return None;
        }
        let known = self.systems.operations.get(system)?;
        if !known.has(operation) {
            let message = format!("the system `{system}` has no operation `{operation}`");
            project.push(known.lacking(codes::UNKNOWN_OPERATION, text.spot, operation, message));
            return None;
        }
        let found = self.systems.good.get(system)?.operations.get(operation)?;
        if let Some(capability) = capability.filter(|capability| *capability != found.implements) {
            let message = format!("`{}` implements `{}`, not `{capability}`", text.value, found.implements);
            let finding = Finding::error(codes::ROUTE_TARGET, text.spot, message);
            project.push(finding.help("name an operation that implements the capability"));
            return None;
        }
        Some(OperationRef { system: Name::new(system).ok()?, operation: Name::new(operation).ok()? })
    }

    fn day<'t>(&self, text: &'t At<String>) -> Option<&'t str> {
        let is_day = text.len() == 10 && Time::parse(&format!("{}T00:00:00Z", text.value)).is_ok();
        if !is_day {
            let finding = Finding::error(codes::ROUTE_DATE, text.spot, format!("`{}` is no day", text.value));
            self.project.push(finding.expected("a day like 2026-01-31").help("correct the day"));
        }
        is_day.then_some(text.value.as_str())
    }

    /// A route that an earlier one always takes precedence of.
    fn reachable(&self, earlier: &[Route], routes: &[Route]) {
        let hidden = |route: &Route| {
            earlier.iter().find(|before| {
                before.capability == route.capability
                    && (before.site.is_none() || before.site == route.site)
                    && before.from.is_none_or(|from| route.from.is_some_and(|later| from <= later))
            })
        };
        let all: Vec<_> = routes.iter().map(hidden).collect();
        if let Some(Some(before)) = all.first().filter(|_| all.iter().all(Option::is_some)) {
            let message = format!("this route is never taken: the one of line {} comes first", before.line);
            let finding = Finding::error(codes::ROUTE_COVERED, self.line.spot, message);
            self.project.push(finding.help("the first that matches wins: move the narrower one up, or remove one"));
        }
    }
}

/// Every call of a workflow has a route at every site that can start it.
pub(crate) fn check_calls(
    project: &Project,
    workflows: &Workflows,
    routes: &Routes,
    assets: &Assets,
    capabilities: &Capabilities,
) {
    if !routes.whole || !assets.whole {
        return;
    }
    for call in workflows.calls.iter().filter(|call| capabilities.known.has(&call.capability)) {
        let lacking: Vec<&str> = assets
            .sites
            .keys()
            .filter(|site| starts(call.trigger.as_deref(), site, assets, project))
            .filter(|site| {
                let of = |route: &&Route| route.capability == call.capability;
                !routes.all.iter().filter(of).any(|route| route.site.as_ref().is_none_or(|of| of == *site))
            })
            .map(SiteName::as_str)
            .collect();
        if lacking.is_empty() {
            continue;
        }
        let message = format!(
            "nobody answers for `{}` at {}, whose events start this workflow",
            call.capability,
            Known(lacking.iter().map(|site| (*site).to_owned()).collect()).0.into_iter().collect::<Vec<_>>().join(", ")
        );
        let help = format!(
            "add to routes.yaml: - {{ capability: {}, site: {}, use: <system>.<operation> }}, or `use: none` with a \
             reason",
            call.capability,
            if lacking.len() == assets.sites.len() { "'*'" } else { lacking.first().copied().unwrap_or("'*'") }
        );
        let at: Where = Spot::into(call.spot);
        project.push(Finding::error(codes::NO_ROUTE, at, message).help(help));
    }
}

/// Whether events of a site can start a workflow: an alarm needs an asset with a rule; anything else may come from
/// every site.
fn starts(trigger: Option<&str>, site: &SiteName, assets: &Assets, project: &Project) -> bool {
    if trigger != Some("asset.alarm") {
        return true;
    }
    let watched: BTreeSet<&str> = project
        .rules
        .iter()
        .filter_map(|doc| {
            let raw = doc.body?;
            let tree = project.findings.tree(raw.spot.file)?;
            tree.text(tree.get(raw.spot.node, "on")?)?.split('.').next()
        })
        .collect();
    assets.assets.values().any(|info| info.asset.site == *site && watched.contains(info.asset.class.as_str()))
}
