//! Lists of what is not as it should be yet: checked in, one exception a line, and they may only shrink.
//!
//! A line is `<name> <value>`; what follows a `#` is the reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::parts::Problems;
use crate::root;

/// How much smaller a thing may have become before its line must follow.
const SLACK: usize = 40;

/// A list: the value of each exception under its name.
pub(crate) type List = BTreeMap<String, String>;

/// Reads a list below the root; a list that does not exist is empty.
pub(crate) fn read(file: &str) -> Result<List> {
    let path = root::root().join(file);
    if !Path::new(&path).exists() {
        return Ok(List::new());
    }
    Ok(parse(&fs::read_to_string(&path).with_context(|| format!("reading {file}"))?))
}

fn parse(text: &str) -> List {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Compares sizes with their limit: larger ones must be listed, and none may grow beyond its line.
///
/// `found` names each thing with its size in lines.
pub(crate) fn sizes(file: &str, list: &List, limit: usize, found: &BTreeMap<String, usize>) -> Problems {
    let mut problems = Problems::new();
    for (name, size) in found {
        let listed = list.get(name).map(|value| value.parse::<usize>().unwrap_or(0));
        match listed {
            None if *size > limit => {
                problems.push(format!("{name}: has {size} lines, the limit is {limit}; divide it by what it is about"));
            }
            Some(listed) if *size > listed => problems
                .push(format!("{name}: has grown to {size} lines, {file} allows {listed}; that list may only shrink")),
            Some(_) if *size <= limit => {
                problems.push(format!("{name}: is within {limit} lines now; take its line out of {file}"));
            }
            Some(listed) if *size + SLACK < listed => {
                problems.push(format!("{name}: has only {size} lines now; lower its line in {file} from {listed}"));
            }
            _ => {}
        }
    }
    let gone = list.keys().filter(|name| !found.contains_key(*name));
    problems.extend(gone.map(|name| format!("{name}: is listed in {file}, but does not exist; take its line out")));
    problems
}

/// Compares a list with what is there: both must be equal.
pub(crate) fn equal(file: &str, list: &List, found: &List, remedy: &str) -> Problems {
    let mut problems = Problems::new();
    for (name, value) in found {
        match list.get(name) {
            None => problems.push(format!("{name} {value}: is not in {file}; {remedy}")),
            Some(listed) if listed != value => {
                problems.push(format!("{name} {value}: {file} says {listed}; {remedy}"));
            }
            Some(_) => {}
        }
    }
    let gone = list.keys().filter(|name| !found.contains_key(*name));
    problems.extend(gone.map(|name| format!("{name}: is listed in {file}, but all is well; take its line out")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        parse(text)
    }

    fn found(name: &str, size: usize) -> BTreeMap<String, usize> {
        BTreeMap::from([(name.to_owned(), size)])
    }

    #[test]
    fn comments_and_empty_lines_are_no_entries() {
        let list = list("# why this list exists\n\na.rs 700 # grew with the codec\nsyn 1 2\n");
        assert_eq!(list.get("a.rs").map(String::as_str), Some("700"));
        assert_eq!(list.get("syn").map(String::as_str), Some("1 2"));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn a_size_may_shrink_and_never_grow() {
        let listed = list("a 700");
        let problems = |size| sizes("list", &listed, 600, &found("a", size));
        assert!(problems(700).is_empty());
        assert!(problems(690).is_empty());
        assert!(problems(701)[0].contains("has grown to 701"));
        assert!(problems(620)[0].contains("lower its line"));
        assert!(problems(600)[0].contains("take its line out"));
        assert!(sizes("list", &List::new(), 600, &found("b", 601))[0].contains("the limit is 600"));
        assert!(sizes("list", &listed, 600, &BTreeMap::new())[0].contains("does not exist"));
    }

    #[test]
    fn equal_lists_differ_in_no_direction() {
        let both = list("syn 1 2");
        assert!(equal("list", &both, &both, "").is_empty());
        assert!(equal("list", &List::new(), &both, "use one")[0].ends_with("use one"));
        assert!(equal("list", &list("syn 1"), &both, "")[0].contains("says 1"));
        assert!(equal("list", &both, &List::new(), "")[0].contains("take its line out"));
    }
}
