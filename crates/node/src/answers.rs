//! Who answers for what: rows that a contract gives by itself, of a running instance, a stopped folder or a project.

use crate::{
    fares::{self, Seen},
    page::page_of,
};
use andon_api::{
    Kind, Page, Query,
    answers::{Answer, CapabilityRow},
};
use andon_contract::{
    Contract,
    contract::{Capability, OperationRef, Route, Target},
    operation_guarantee,
};
use andon_model::{SiteName, Time};
use serde_json::json;
use std::collections::BTreeSet;

/// A page of routes, capabilities or systems as they stand at a moment; `None` of every other kind.
pub fn answers(contract: &Contract, kind: Kind, query: &Query, now: Time) -> Option<Page> {
    Some(match kind {
        Kind::Routes => page_of(routes(contract, now).iter().map(|row| json!(row)), query),
        Kind::Capabilities => page_of(capabilities(contract).iter().map(|row| json!(row)), query),
        Kind::Systems => fares::page(contract, &Seen::default(), query, now),
        _ => return None,
    })
}

/// Every capability at every site. Capabilities that only a route names are those of an edit; they do not exist here.
fn routes(contract: &Contract, now: Time) -> Vec<Answer> {
    let sites = || contract.sites.keys();
    contract.capabilities.keys().flat_map(|name| sites().map(|site| answer(contract, name, site, now))).collect()
}

fn answer(contract: &Contract, capability: &str, site: &SiteName, now: Time) -> Answer {
    let route = contract.route(capability, site, now);
    let (answers, reason, operation) = who(route);
    let known = operation.and_then(|of| contract.operation(of));
    let of = route.filter(|_| operation.is_some());
    let next = contract.next_route(capability, site, now);
    Answer {
        capability: capability.to_owned(),
        site: site.to_string(),
        answers,
        reason,
        fallback: of.map(|route| texts(&route.fallback)).unwrap_or_default(),
        shadow: of.map(|route| texts(&route.shadow)).unwrap_or_default(),
        line: route.map(line),
        idempotency: known.map(|(_, operation)| operation.idempotency.word().to_owned()),
        guarantee: known.map(|(system, operation)| operation_guarantee(system, operation).text),
        changes: next.map(|(at, _)| at.to_string()),
        then: next.map(|(_, route)| who(route).0),
        then_line: next.and_then(|(_, route)| route).map(line),
    }
}

/// Who answers by a route, in a word; the reason of one that names nobody; the operation.
fn who(route: Option<&Route>) -> (String, Option<String>, Option<&OperationRef>) {
    match route.map(|route| &route.target) {
        None => ("nobody".to_owned(), Some("no route holds here now".to_owned()), None),
        Some(Target::None { reason }) => ("none".to_owned(), Some(reason.clone()), None),
        Some(Target::Operation(operation)) => (operation.to_string(), None, Some(operation)),
    }
}

fn texts(operations: &[OperationRef]) -> Vec<String> {
    operations.iter().map(ToString::to_string).collect()
}

fn line(route: &Route) -> String {
    format!("routes.yaml:{}", route.line)
}

fn capabilities(contract: &Contract) -> Vec<CapabilityRow> {
    let row = |(name, capability): (&String, &Capability)| {
        let mut operations = BTreeSet::new();
        for (system, of) in &contract.systems {
            let implements = of.operations.iter().filter(|(_, operation)| operation.implements == *name);
            operations.extend(implements.map(|(operation, _)| format!("{system}.{operation}")));
        }
        let fields = || {
            let fields: Vec<String> =
                capability.output.iter().map(|(field, kind)| format!("{field}: {kind}")).collect();
            fields.join(", ")
        };
        CapabilityRow {
            capability: name.clone(),
            version: capability.version,
            domain: capability.domain.clone(),
            owner: capability.owner.to_string(),
            effect: capability.effect.clone().unwrap_or_else(|| "reads".to_owned()),
            input: capability.input.clone(),
            output: capability.output_schema.clone().unwrap_or_else(fields),
            objective: capability.objective.as_ref().map(|o| format!("{} for {} %", o.within, o.percent)),
            deprecated: capability.deprecated.as_ref().map(|deprecated| {
                let sunset = deprecated.sunset.as_ref().map(|day| format!(", until {day}")).unwrap_or_default();
                format!("call {} (since {}{sunset})", deprecated.instead, deprecated.since)
            }),
            operations: operations.into_iter().collect(),
        }
    };
    contract.capabilities.iter().map(row).collect()
}
