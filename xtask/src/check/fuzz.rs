//! Each fuzz target has a program, a corpus, a test that replays it, and a row on the page; and nothing of that is left
//! over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::parts::Problems;
use crate::{fuzz, root};

/// The page.
const PAGE: &str = "docs/fuzzing.md";
/// Where each target is replayed.
const REPLAY: &str = "crates/cli/tests/corpus.rs";
/// What opens the list of the targets there.
const LIST: &str = "targets! {\n";

/// Compares the lists.
pub(crate) fn check() -> Result<Problems> {
    let root = root::root();
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"));
    let targets: BTreeSet<String> = fuzz::targets(&read("fuzz/Cargo.toml")?)?.into_iter().collect();
    let corpora = names(&root.join("fuzz/corpus"))?;
    let programs = names(&root.join("fuzz/fuzz_targets"))?;
    let programs = programs.iter().filter_map(|name| name.strip_suffix(".rs")).map(str::to_owned).collect();
    let words = names(&root.join("fuzz/words"))?;
    let mut problems = differences(&targets, "a program in fuzz/fuzz_targets", &programs);
    problems.extend(differences(&targets, "a corpus in fuzz/corpus", &corpora));
    problems.extend(differences(&targets, &format!("a test in {REPLAY}"), &replayed(&read(REPLAY)?)));
    problems.extend(differences(&targets, &format!("a row in {PAGE}"), &told(&read(PAGE)?)));
    problems.extend(words.difference(&targets).map(|name| format!("fuzz/words/{name}: there is no such target")));
    for name in corpora.intersection(&targets) {
        if names(&root.join("fuzz/corpus").join(name))?.is_empty() {
            problems.push(format!("fuzz/corpus/{name}: holds nothing to begin with"));
        }
    }
    Ok(problems)
}

fn differences(targets: &BTreeSet<String>, what: &str, found: &BTreeSet<String>) -> Problems {
    let missing = targets.difference(found).map(|name| format!("the fuzz target {name} lacks {what}"));
    let left = found.difference(targets).map(|name| format!("{name} has {what} and is no target of fuzz/Cargo.toml"));
    missing.chain(left).collect()
}

/// The targets that are replayed.
fn replayed(test: &str) -> BTreeSet<String> {
    let list = test.rsplit_once(LIST).map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| !line.starts_with('}'));
    lines.filter_map(|line| Some(line.trim().split_once(": ")?.0.to_owned())).collect()
}

/// The targets of the page: the first cells of its rows.
fn told(page: &str) -> BTreeSet<String> {
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    page.lines().filter_map(cell).collect()
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_and_what_is_left_over_is_named() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let problems = differences(&set(&["frame", "mqtt"]), "a corpus", &set(&["mqtt", "old"]));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("frame lacks") && problems[1].starts_with("old has"), "{problems:?}");
    }

    #[test]
    fn tests_and_rows_are_found() {
        let test = "macro_rules! targets {\n    x: y,\n}\ntargets! {\n    mqtt: a::b,\n    frame: c,\n}\nfn z: w\n";
        assert_eq!(replayed(test), told("| target | x |\n|---|---|\n| `frame` | y |\n| `mqtt` | `z` |\n"));
        assert_eq!(replayed(test).len(), 2);
    }
}
