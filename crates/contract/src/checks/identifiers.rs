//! Identifiers: they belong to a declared system and to things that exist; what operations will ask for is there.

use super::{Known, assets::Assets, routes::Routes, stem, systems::Systems};
use crate::{
    codes,
    contract::Identifiers,
    files::{identifiers::IdentifiersFile, words::Word},
    load::Project,
    problem::{Finding, Spot, Where},
    read::{At, Entries},
};
use andon_model::SiteName;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// The kinds of things that systems have names for.
const KINDS: [&str; 5] = ["asset", "site", "material", "location", "party"];

/// All identifiers.
pub(crate) struct Names {
    pub(crate) all: Identifiers,
    /// Systems whose file cannot be read; nobody is told that something is missing there.
    spoilt: Known,
}

pub(crate) fn resolve(project: &Project, assets: &Assets) -> Names {
    let mut names = Names { all: Identifiers::default(), spoilt: Known::default() };
    let systems = Known::stems(&project.systems);
    for doc in &project.identifiers {
        let Some(file) = &doc.body else {
            names.spoilt.0.insert(doc.stem.clone());
            continue;
        };
        stem(project, doc);
        systems.expect(project, codes::UNKNOWN_SYSTEM, file.system.spot, "system", file.system.as_str());
        if file.system.as_str() != doc.stem {
            let message = format!("the names of `{}` stand in a file of another name", file.system.value);
            let finding = Finding::error(codes::FILE_NAME, file.system.spot, message);
            project.push(
                finding.expected(format!("`{}`, the file's name", doc.stem)).help("rename the file or the system"),
            );
        }
        let system = file.system.0.clone();
        names.all.names.insert(system.clone(), kinds(project, file, assets));
        names.all.values.insert(system, values(project, file));
    }
    names
}

fn kinds(project: &Project, file: &IdentifiersFile, assets: &Assets) -> BTreeMap<String, BTreeMap<String, String>> {
    let names = &file.names;
    let mut kinds = BTreeMap::new();
    let known = |kind: &str| match kind {
        "asset" => Some((&assets.known_assets, codes::UNKNOWN_ASSET)),
        "site" => Some((&assets.known_sites, codes::UNKNOWN_SITE)),
        _ => None,
    };
    let all: [(&str, &Entries<String, At<Word>>); 5] = [
        ("asset", &names.asset),
        ("site", &names.site),
        ("material", &names.material),
        ("location", &names.location),
        ("party", &names.party),
    ];
    for (kind, entries) in all {
        let mut found = BTreeMap::new();
        for (ours, theirs) in &entries.good {
            if let Some((known, code)) = known(kind).filter(|_| assets.whole) {
                known.expect(project, code, ours.spot, kind, ours);
            }
            found.insert(ours.value.clone(), theirs.0.clone());
        }
        if !found.is_empty() {
            kinds.insert(kind.to_owned(), found);
        }
    }
    kinds
}

fn values(project: &Project, file: &IdentifiersFile) -> BTreeMap<String, BTreeMap<String, Json>> {
    let mut maps = BTreeMap::new();
    for (name, entries) in &file.values.good {
        let mut map = BTreeMap::new();
        for (ours, raw) in &entries.good {
            let Some(tree) = project.findings.tree(raw.spot.file) else { continue };
            if tree.scalar(raw.spot.node).is_none() {
                let finding =
                    Finding::error(codes::WRONG_TYPE, raw.spot, format!("found {}", tree.told(raw.spot.node)));
                project.push(finding.expected("one value").help("write the system's own word"));
            }
            map.insert(ours.value.clone(), tree.json(raw.spot.node));
        }
        maps.insert(name.value.clone(), map);
    }
    maps
}

/// What operations ask for by `id` and `value` is there for everything that can be routed to them.
pub(crate) fn check_uses(project: &Project, names: &Names, systems: &Systems, routes: &Routes, assets: &Assets) {
    for used in &systems.uses {
        let (call, at) = (&used.call, used.expr.place(project, &used.call.at));
        let system = call.system.as_str();
        if !systems.known.has(system) {
            project.push(systems.known.unknown(codes::UNKNOWN_SYSTEM, at, "system", system));
            continue;
        }
        if names.spoilt.has(system) {
            continue;
        }
        if let (Some(kind), true) = (&call.map, call.ours) {
            kind_of_names(project, names, (system, kind), at);
        } else if let Some(map) = &call.map {
            let maps = names.all.values.get(system);
            if !maps.is_some_and(|maps| maps.contains_key(map)) {
                let known: Vec<&str> = maps.map(|m| m.keys().map(String::as_str).collect()).unwrap_or_default();
                let message = format!("the system `{system}` has no value map `{map}`");
                let finding = Finding::error(codes::VALUE_MAP, at, message).known(map, known);
                project.push(finding.help(format!("add it under `values` in identifiers/{system}.yaml")));
            }
        } else {
            let sites = match &used.by {
                Some((system, operation)) => routes.sites_of(system, operation, assets),
                None => assets.sites.keys().collect(),
            };
            missing_names(project, names, (system, &call.argument), &sites, assets);
        }
    }
}

/// What `name` asks for is a kind of thing that the system has names for.
fn kind_of_names(project: &Project, names: &Names, (system, kind): (&str, &str), at: Where) {
    if names.all.names.get(system).is_some_and(|kinds| kinds.contains_key(kind)) {
        return;
    }
    let finding = if KINDS.contains(&kind) {
        let message = format!("the system `{system}` has no name for anything of the kind `{kind}`, so none is found");
        Finding::error(codes::NAME_KIND, at, message)
    } else {
        Finding::error(codes::NAME_KIND, at, format!("there are no names of the kind `{kind}`")).known(kind, KINDS)
    };
    project.push(finding.help(format!("add what it calls them under `names` in identifiers/{system}.yaml")));
}

/// Names that a system lacks of assets and sites that can be routed to it.
fn missing_names(
    project: &Project,
    names: &Names,
    (system, argument): (&str, &str),
    sites: &BTreeSet<&SiteName>,
    assets: &Assets,
) {
    let kinds = names.all.names.get(system);
    let has = |name: &str| kinds.is_some_and(|kinds| kinds.values().any(|names| names.contains_key(name)));
    let tell = |what: &str, name: &str, spot: Spot| {
        let message =
            format!("the system `{system}` has no name for the {what} `{name}`, and calls about it will ask for one");
        let finding = Finding::error(codes::NO_IDENTIFIER, spot, message);
        project
            .push(finding.help(format!("add `{what}: {{ {name}: ... }}` under `names` in identifiers/{system}.yaml")));
    };
    match argument {
        ".asset" => {
            for (name, info) in &assets.assets {
                if sites.contains(&info.asset.site) && !has(name.as_str()) {
                    tell("asset", name.as_str(), info.spot);
                }
            }
        }
        ".site" | "$site" => {
            for (name, info) in &assets.sites {
                if sites.contains(name) && !has(name.as_str()) {
                    tell("site", name.as_str(), info.spot);
                }
            }
        }
        _ => {}
    }
}
