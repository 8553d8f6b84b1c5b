//! Which crate may know which: one table, checked against what cargo says, tests included.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::parts::Problems;
use crate::root;

/// A crate of ours and the crates of ours it may depend on; the picture in `ARCHITECTURE.md` in words.
///
/// The five layers and the connectors never see each other; they meet in the store and are joined by the node.
const ARROWS: [(&str, &[&str]); 14] = [
    ("andon-model", &[]),
    ("andon-contract", &["andon-model"]),
    ("andon-store", &["andon-model"]),
    ("andon-edge", &["andon-model", "andon-contract", "andon-store"]),
    ("andon-events", &["andon-model", "andon-contract", "andon-store"]),
    ("andon-workflows", &["andon-model", "andon-contract", "andon-store"]),
    ("andon-observe", &["andon-model", "andon-contract", "andon-store"]),
    ("andon-api", &["andon-model"]),
    ("andon-systems", &["andon-model", "andon-contract"]),
    (
        "andon-node",
        &[
            "andon-model",
            "andon-contract",
            "andon-store",
            "andon-edge",
            "andon-events",
            "andon-workflows",
            "andon-observe",
            "andon-api",
            "andon-systems",
        ],
    ),
    ("andon-demo", &["andon-model"]),
    (
        "andon",
        &[
            "andon-model",
            "andon-contract",
            "andon-store",
            "andon-node",
            "andon-demo",
            "andon-api",
            "andon-edge",
            "andon-observe",
            // Only its tests, which replay the corpus of every fuzz target.
            "andon-events",
            "andon-workflows",
            "andon-systems",
        ],
    ),
    (
        "andon-sim",
        &[
            "andon-model",
            "andon-contract",
            "andon-store",
            "andon-edge",
            "andon-events",
            "andon-workflows",
            "andon-demo",
            "andon-observe",
        ],
    ),
    ("xtask", &[]),
];

/// Compares the table with the workspace.
pub(crate) fn check() -> Result<Problems> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo which crate depends on which")?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &metadata.packages {
        let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        found.insert(package.name.to_string(), ours.map(|dependency| dependency.name.clone()).collect());
    }
    Ok(violations(&ARROWS, &found))
}

fn violations(table: &[(&str, &[&str])], found: &BTreeMap<String, Vec<String>>) -> Problems {
    let mut problems = Problems::new();
    for (name, dependencies) in found {
        let Some((_, allowed)) = table.iter().find(|(known, _)| known == name) else {
            problems.push(format!("{name}: has no line in the table of arrows (xtask/src/check/arrows.rs)"));
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| !allowed.contains(&dependency.as_str())) {
            problems.push(format!(
                "{name} -> {dependency}: this arrow is not in the table (xtask/src/check/arrows.rs); a new one needs \
                 a note in docs/decisions"
            ));
        }
    }
    let gone = table.iter().filter(|(name, _)| !found.contains_key(*name));
    problems.extend(gone.map(|(name, _)| format!("{name}: is in the table of arrows, but not in the workspace")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(from, to)| ((*from).to_owned(), own(to))).collect()
    }

    #[test]
    fn an_arrow_outside_the_table_is_named() {
        let table: [(&str, &[&str]); 2] = [("a", &[]), ("b", &["a"])];
        assert!(violations(&table, &found(&[("a", &[]), ("b", &["a"])])).is_empty());
        let wrong = violations(&table, &found(&[("a", &["b"]), ("b", &["a"])]));
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("a -> b:"), "{wrong:?}");
    }

    #[test]
    fn a_crate_without_a_line_and_a_line_without_a_crate_are_named() {
        let table: [(&str, &[&str]); 1] = [("a", &[])];
        let wrong = violations(&table, &found(&[("c", &[])]));
        assert!(wrong[0].starts_with("c: has no line"), "{wrong:?}");
        assert!(wrong[1].starts_with("a: is in the table"), "{wrong:?}");
    }

    #[test]
    fn the_layers_and_the_connectors_never_see_each_other() {
        let apart = ["edge", "events", "workflows", "api", "observe", "systems"].map(|name| format!("andon-{name}"));
        for (name, allowed) in ARROWS.iter().filter(|(name, _)| apart.iter().any(|layer| layer == name)) {
            let seen: Vec<_> = allowed.iter().filter(|known| apart.iter().any(|layer| layer == *known)).collect();
            assert!(seen.is_empty(), "{name} may not know {seen:?}");
        }
    }

    #[test]
    fn every_arrow_leads_to_a_crate_that_stands_higher_in_the_table() {
        for (at, (name, allowed)) in ARROWS.iter().enumerate() {
            for known in *allowed {
                let place = ARROWS.iter().position(|(other, _)| other == known);
                assert!(place.is_some_and(|place| place < at), "{name} -> {known}");
            }
        }
    }
}
