//! Routes: they lead from a capability to an operation that implements it, can be reached, and exist for every site
//! whose events can start a workflow that calls.

use super::{
    Known,
    assets::Assets,
    capabilities::Capabilities,
    days::{Days, days},
    systems::Systems,
    workflows::Workflows,
};
use crate::{
    codes,
    contract::{Capability, Idempotency, OperationRef, Route, Target, Validity},
    files::routes::RouteFile,
    load::Project,
    problem::{Finding, Spot, Where},
    read::{At, Raw, read},
};
use andon_model::{Name, SiteName, time::Zone};
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
            target
                .into_iter()
                .chain(&route.fallback)
                .chain(&route.shadow)
                .any(|to| to.system == *system && to.operation == *operation)
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
    /// The routes of a line: one for each site it names; for every site one, or, where its days begin at each site's
    /// own midnight, one for each.
    fn routes(&self, earlier: &[Route]) -> Vec<Route> {
        let Scope { project, line, .. } = self;
        let capability = self.capabilities.find(project, line.capability.spot, &line.capability);
        let name = capability.map(|(name, _)| name);
        let sites = self.sites();
        let target = self.target(name);
        let fallback = self.fallback(name);
        let shadow = self.shadow(capability);
        let days = days(project, line.from.as_ref(), line.until.as_ref());
        let (Some(name), Some(sites), Some(target), Some(days)) = (name, sites, target, days) else {
            return Vec::new();
        };
        let sites = match sites {
            Sites::All if days.is_empty() => vec![(None, Validity::ALWAYS)],
            Sites::All => self.assets.sites.keys().map(|site| self.valid(site, days)).collect(),
            Sites::Named(sites) => sites.iter().map(|site| self.valid(site, days)).collect(),
        };
        let make = |(site, valid): (Option<SiteName>, Validity)| Route {
            capability: name.to_owned(),
            site,
            target: target.clone(),
            fallback: fallback.clone(),
            shadow: shadow.clone(),
            valid,
            line: project.findings.line_number(line.spot),
        };
        let routes: Vec<Route> = sites.into_iter().map(make).collect();
        self.reachable(earlier, &routes);
        routes
    }

    /// The days of the line by the clock of a site.
    fn valid(&self, site: &SiteName, days: Days<'_>) -> (Option<SiteName>, Validity) {
        let zone = self.assets.sites.get(site).map_or_else(Zone::utc, |info| info.site.timezone.clone());
        (Some(site.clone()), days.valid(&zone))
    }

    /// The sites of the line; `None` where something about them was told.
    fn sites(&self) -> Option<Sites> {
        let Raw { spot } = self.line.site;
        let tree = self.project.findings.tree(spot.file)?;
        if tree.text(spot.node) == Some("*") {
            return Some(Sites::All);
        }
        let texts: Vec<At<String>> = if tree.scalar(spot.node).is_some() {
            vec![read(&self.project.findings, spot)?]
        } else {
            read(&self.project.findings, spot)?
        };
        if texts.is_empty() {
            let finding = Finding::error(codes::UNKNOWN_SITE, spot, "a route of no site is never taken");
            self.project.push(finding.expected("a site, a list of sites, or `'*'`").help("name a site"));
            return None;
        }
        let known = |site: &At<String>| {
            let is_known = self.assets.known_sites.expect(self.project, codes::UNKNOWN_SITE, site.spot, "site", site);
            SiteName::new(site).ok().filter(|_| is_known)
        };
        let sites: Vec<Option<SiteName>> = texts.iter().map(known).collect();
        sites.into_iter().collect::<Option<_>>().map(Sites::Named)
    }

    /// Who is asked when certainly nothing happened: others, each once.
    fn fallback(&self, capability: Option<&str>) -> Vec<OperationRef> {
        let mut before = BTreeSet::from([self.line.target.value.as_str()]);
        let mut fallback = Vec::new();
        for text in self.line.fallback.iter() {
            if !before.insert(text) {
                let message = format!("`{}` is asked before already", text.value);
                let finding = Finding::error(codes::FALLBACK, text.spot, message);
                self.project.push(finding.help("leave it out: what failed is repeated as its system's `retry` says"));
            }
            fallback.extend(self.operation(text, capability));
        }
        fallback
    }

    /// Who is sent the same to be compared: such that have no effect that counts.
    fn shadow(&self, capability: Option<(&str, &Capability)>) -> Vec<OperationRef> {
        let mut shadow = Vec::new();
        for text in self.line.shadow.iter() {
            let Some(found) = self.operation(text, capability.map(|(name, _)| name)) else { continue };
            let refuse = |message: String, help: &str| {
                self.project.push(Finding::error(codes::SHADOW, text.spot, message).help(help));
            };
            if self.line.target.value == "none" {
                refuse("where nobody answers nothing is compared".to_owned(), "leave the shadow out");
                continue;
            }
            let is_asked = self.line.target.value == text.value
                || self.line.fallback.iter().any(|other| other.value == text.value)
                || shadow.contains(&found);
            if is_asked {
                refuse(format!("`{}` is asked already", text.value), "name another operation, or leave it out");
                continue;
            }
            let system = self.systems.good.get(&found.system);
            let reads = system
                .and_then(|system| system.operations.get(&found.operation))
                .is_some_and(|operation| matches!(operation.idempotency, Idempotency::Read));
            if !reads && !system.is_some_and(|system| system.test) {
                let effect = capability.and_then(|(_, c)| c.effect.as_deref()).unwrap_or("an effect");
                refuse(
                    format!("each call would be done twice: `{}` {effect}, and `{}` counts", text.value, found.system),
                    "shadow with an operation that only reads, or with one of a system that says `test: true`",
                );
                continue;
            }
            shadow.push(found);
        }
        shadow
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

    /// Tells of a line that is never taken: those above it, together, always come first.
    fn reachable(&self, earlier: &[Route], routes: &[Route]) {
        let before = |route: &Route| {
            let same = |before: &&Route| {
                before.capability == route.capability && (before.site.is_none() || before.site == route.site)
            };
            let before: Vec<&Route> = earlier.iter().filter(same).collect();
            let valid: Vec<Validity> = before.iter().map(|route| route.valid).collect();
            route.valid.is_covered(&valid).then(|| before.first().map_or(0, |route| route.line))
        };
        let all: Vec<_> = routes.iter().map(before).collect();
        if let Some(Some(before)) = all.first().filter(|_| all.iter().all(Option::is_some)) {
            let message = format!("this route is never taken: the one of line {before} comes first");
            let finding = Finding::error(codes::ROUTE_COVERED, self.line.spot, message);
            self.project.push(finding.help("the first that matches wins: move the narrower one up, or remove one"));
        }
    }
}

/// The sites of a line.
enum Sites {
    /// Every site.
    All,
    /// These.
    Named(Vec<SiteName>),
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
                let of = |route: &&Route| {
                    route.capability == call.capability && route.site.as_ref().is_none_or(|of| of == *site)
                };
                routes.all.iter().find(of).is_none()
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
