//! The page of guarantees names tests, and each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::parts::Problems;
use crate::root;

/// The page.
const PAGE: &str = "docs/guarantees.md";
/// How the heading of the column ends in which tests stand.
const COLUMN: &str = "| tests |";
/// Where tests are.
const FOLDERS: [&str; 2] = ["crates", "xtask"];

/// Looks for each test.
pub(crate) fn check() -> Result<Problems> {
    let path = root::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut tests = BTreeSet::new();
    for folder in FOLDERS {
        collect(&root::root().join(folder), &mut tests)?;
    }
    Ok(problems(&page, &tests))
}

/// Rows without a test, and tests that do not exist.
fn problems(page: &str, tests: &BTreeSet<String>) -> Problems {
    let mut problems = Problems::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if !line.starts_with('|') {
            inside = false;
        } else if line.ends_with(COLUMN) {
            inside = true;
        } else if inside && !line.starts_with("|---") {
            let named = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
            let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
            let at = format!("{PAGE}:{}", number + 1);
            if named.is_empty() {
                problems.push(format!("{at}: a promise that no test shows"));
            }
            let missing = named.into_iter().filter(|name| !tests.contains(*name));
            problems.extend(missing.map(|name| format!("{at}: there is no test {name}")));
        }
    }
    problems
}

/// The names of all tests below a folder.
fn collect(folder: &Path, to: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, to)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            to.extend(names(&text));
        }
    }
    Ok(())
}

/// The names of the tests of a file: what follows an attribute that makes a function one, and functions that such
/// tests are lists of.
fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test") || line.starts_with("#[tokio::test");
            continue;
        }
        if let Some(name) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").filter(|_| is_test) {
            found.extend(name.split('(').next().map(str::to_owned));
        }
        is_test = false;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_their_attributes() {
        let text =
            "#[test]\nfn one() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn two() {}\nfn three() {}\n";
        assert_eq!(names(text), ["one", "two"]);
    }

    #[test]
    fn a_promise_without_a_test_and_a_test_that_is_not_there_are_told() {
        let tests = BTreeSet::from(["one".to_owned()]);
        let page = "| promise | tests |\n|---|---|\n| a | `one` |\n| b | `two`, `one` |\n| c | - |\n\n\
                    | a | b |\n|---|\n| `x` |\n";
        let told = problems(page, &tests);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains(":4: there is no test two"), "{told:?}");
        assert!(told[1].contains(":5: a promise that no test"), "{told:?}");
    }

    #[test]
    fn every_test_of_the_page_of_guarantees_exists() {
        assert_eq!(check().unwrap(), Problems::new());
    }
}
