//! What we depend on: every line has its reason and its user, and every crate an accepted licence and origin.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, Package, PackageId};

use super::ratchet::{self, List};
use crate::parts::Problems;
use crate::root;

/// The licences we accept; all let us ship the result under ours.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Crates with another licence, each with the reason why it is accepted.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// Crates that must not be in the tree, each with the reason.
const BANNED: [(&str, &str); 6] = [
    ("openssl", "TLS is rustls"),
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
    ("aws-lc-rs", "the one crypto provider is ring"),
    ("aws-lc-sys", "the one crypto provider is ring"),
    ("serde_yaml", "unmaintained; YAML is read with saphyr-parser"),
];

/// The only origin of crates that are not ours.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Where Andon runs; a crate that only other platforms need is none of ours.
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The crates of which the tree holds more than one incompatible version.
const DUPLICATES: &str = "docs/tidy/duplicates.txt";

/// The names under which a manifest lists dependencies.
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Runs all of it.
pub(crate) fn check() -> Result<Problems> {
    let root = root::root();
    let workspace = read(&root.join("Cargo.toml"))?;
    let mut problems = reasons(&workspace);
    let metadata = metadata(&root)?;
    let mut used = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let shown = manifest.strip_prefix(&root).unwrap_or(manifest).display().to_string();
        let (names, wrong) = members(&shown, &read(manifest)?)?;
        problems.extend(wrong);
        problems.extend(unused(&shown, &names, &sources(manifest)?));
        used.extend(names);
    }
    let fuzz = root.join("fuzz/Cargo.toml");
    if fuzz.is_file() {
        // A workspace of its own, because it is built by another toolchain: it repeats the versions.
        used.extend(members("fuzz/Cargo.toml", &read(&fuzz)?)?.0);
    }
    problems.extend(without_user(&workspace, &used)?);
    let foreign = foreign(&metadata);
    problems.extend(foreign.iter().filter_map(|package| licence(package.name.as_str(), package.license.as_deref())));
    problems.extend(foreign.iter().filter_map(|package| {
        let source = package.source.as_ref().map(|source| source.repr.as_str());
        (source != Some(REGISTRY))
            .then(|| format!("{}: comes from {source:?}; only crates.io is accepted", package.name))
    }));
    problems.extend(foreign.iter().filter_map(|package| banned(package.name.as_str())));
    let versions = foreign.iter().map(|package| {
        let version = &package.version;
        (package.name.to_string(), compatible(version.major, version.minor, version.patch))
    });
    let remedy = "choose one version (cargo tree -d), or name the reason in the list";
    problems.extend(ratchet::equal(DUPLICATES, &ratchet::read(DUPLICATES)?, &duplicates(versions), remedy));
    Ok(problems)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn metadata(root: &Path) -> Result<Metadata> {
    let mut options = vec!["--locked".to_owned()];
    options.extend(PLATFORMS.iter().flat_map(|platform| ["--filter-platform".to_owned(), (*platform).to_owned()]));
    cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(options)
        .exec()
        .context("asking cargo for the crates in use (if Cargo.lock is old: cargo check, and commit it)")
}

/// The crates in use on our platforms that are not ours.
fn foreign(metadata: &Metadata) -> Vec<&Package> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let used: HashSet<&PackageId> = nodes.map(|node| &node.id).collect();
    let packages = metadata.packages.iter();
    packages.filter(|package| used.contains(&package.id) && !metadata.workspace_members.contains(&package.id)).collect()
}

/// The lines of `[workspace.dependencies]` that do not say why they are there.
fn reasons(workspace: &str) -> Problems {
    let mut problems = Problems::new();
    let mut within = false;
    let mut above = false;
    for (number, line) in workspace.lines().enumerate() {
        let text = line.trim();
        if text.starts_with('[') {
            within = text == "[workspace.dependencies]";
        } else if text.starts_with('#') {
            above = true;
            continue;
        } else if within && text.contains('=') && !above && !text.contains(" # ") {
            let name = text.split(['=', ' ']).next().unwrap_or_default();
            problems.push(format!("Cargo.toml:{}: {name} stands without its reason (a comment)", number + 1));
        }
        above = false;
    }
    problems
}

/// The names a manifest depends on, and its lines that do not take their version from the workspace.
fn members(file: &str, manifest: &str) -> Result<(BTreeSet<String>, Problems)> {
    let manifest: toml::Table = manifest.parse().with_context(|| format!("reading {file}"))?;
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flatten().filter_map(|(_, target)| target.as_table()).chain([&manifest]);
    let (mut names, mut problems) = (BTreeSet::new(), Problems::new());
    for table in tables {
        let sections = SECTIONS.iter().filter_map(|section| table.get(*section)?.as_table());
        for (name, entry) in sections.flatten() {
            names.insert(name.clone());
            if entry.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                problems.push(format!("{file}: {name} does not say `{name}.workspace = true`"));
            }
        }
    }
    Ok((names, problems))
}

/// The text of all Rust sources beside a manifest.
fn sources(manifest: &Path) -> Result<String> {
    let folder = manifest.parent().context("a manifest has a folder")?;
    let mut all = String::new();
    for path in root::files(folder)?.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        all.push_str(&root::text(&folder.join(path))?.unwrap_or_default());
    }
    Ok(all)
}

/// The dependencies that no source of their crate names.
fn unused(file: &str, names: &BTreeSet<String>, sources: &str) -> Problems {
    let words: HashSet<&str> = sources.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let idle = names.iter().filter(|name| !words.contains(name.replace('-', "_").as_str()));
    idle.map(|name| format!("{file}: {name} is used by no source of the crate; take it out")).collect()
}

fn without_user(workspace: &str, used: &BTreeSet<String>) -> Result<Problems> {
    let workspace: toml::Table = workspace.parse().context("reading Cargo.toml")?;
    let offered = workspace.get("workspace").and_then(|table| table.get("dependencies")?.as_table());
    let idle = offered.into_iter().flatten().map(|(name, _)| name).filter(|name| !used.contains(*name));
    Ok(idle.map(|name| format!("Cargo.toml: no crate of the workspace uses {name}; take it out")).collect())
}

fn licence(name: &str, licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else { return Some(format!("{name}: names no licence")) };
    if EXCEPTIONS.iter().any(|(crate_name, accepted, _)| *crate_name == name && *accepted == licence) {
        return None;
    }
    let Ok(expression) = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX) else {
        return Some(format!("{name}: its licence `{licence}` is no SPDX expression"));
    };
    let accepted = expression.evaluate(|needed| LICENCES.contains(&needed.to_string().as_str()));
    (!accepted).then(|| {
        format!("{name}: its licence `{licence}` is not accepted (xtask/src/check/dependencies.rs has the list)")
    })
}

fn banned(name: &str) -> Option<String> {
    let (_, reason) = BANNED.iter().find(|(banned, _)| *banned == name)?;
    Some(format!("{name}: must not be in the tree: {reason} (cargo tree -i {name} shows who brings it)"))
}

/// The part of a version within which cargo takes two versions for the same.
fn compatible(major: u64, minor: u64, patch: u64) -> String {
    match (major, minor) {
        (0, 0) => format!("0.0.{patch}"),
        (0, minor) => format!("0.{minor}"),
        (major, _) => major.to_string(),
    }
}

fn duplicates(versions: impl Iterator<Item = (String, String)>) -> List {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version) in versions {
        all.entry(name).or_default().insert(version);
    }
    let many = all.into_iter().filter(|(_, versions)| versions.len() > 1);
    many.map(|(name, versions)| (name, versions.into_iter().collect::<Vec<_>>().join(" "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_reason_is_named() {
        let text =
            "[workspace.dependencies]\na = \"1\" # why\n# why\nb = \"1\"\nc = { version = \"1\" }\n[lints]\nd = 1\n";
        assert_eq!(reasons(text), ["Cargo.toml:5: c stands without its reason (a comment)"]);
    }

    #[test]
    fn members_take_their_versions_from_the_workspace() {
        let manifest = "[dependencies]\na.workspace = true\nb = \"1\"\n[target.'cfg(unix)'.dependencies]\nc = '2'\n\
                        [dev-dependencies]\nd = { workspace = true, features = ['x'] }\n";
        let (names, problems) = members("x/Cargo.toml", manifest).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(problems.len(), 2);
        assert!(problems.iter().all(|problem| problem.contains("does not say")), "{problems:?}");
    }

    #[test]
    fn a_dependency_without_use_is_named() {
        let names = BTreeSet::from(["serde".to_owned(), "serde-json".to_owned()]);
        assert!(unused("f", &names, "use serde::Serialize; serde_json::to_string").is_empty());
        assert_eq!(unused("f", &names, "use serde_json::Value;").len(), 1);
        let workspace = "[workspace.dependencies]\na = '1'\nb = '1'\n";
        let used = BTreeSet::from(["a".to_owned()]);
        assert!(without_user(workspace, &used).unwrap()[0].contains("uses b"));
    }

    #[test]
    fn licences_are_read_as_expressions() {
        assert_eq!(licence("a", Some("MIT OR Apache-2.0")), None);
        assert_eq!(licence("a", Some("MIT/Apache-2.0")), None);
        assert_eq!(licence("a", Some("GPL-3.0-only OR MIT")), None);
        assert_eq!(licence("a", Some("Apache-2.0 WITH LLVM-exception")), None);
        assert!(licence("a", Some("MIT AND GPL-3.0-only")).is_some());
        assert!(licence("a", Some("do what you like")).is_some());
        assert!(licence("a", None).is_some());
    }

    #[test]
    fn banned_crates_are_named_with_the_reason() {
        assert!(banned("openssl-sys").unwrap().contains("rustls"));
        assert_eq!(banned("serde"), None);
    }

    #[test]
    fn versions_are_duplicates_only_where_cargo_keeps_both() {
        let versions = [("a", (1, 2, 3)), ("a", (1, 9, 0)), ("b", (0, 3, 1)), ("b", (0, 4, 0)), ("c", (0, 0, 1))];
        let found = duplicates(
            versions
                .iter()
                .map(|(name, (major, minor, patch))| ((*name).to_owned(), compatible(*major, *minor, *patch))),
        );
        assert_eq!(found, List::from([("b".to_owned(), "0.3 0.4".to_owned())]));
    }
}
