//! Files that a command of ours writes are checked in, and equal to what the command writes today.

use std::fs;

use anyhow::{Context as _, Result};

use crate::parts::Problems;
use crate::{command, root};

/// A checked-in file and the arguments of `andon` that print it.
struct Generated {
    file: &'static str,
    andon: &'static [&'static str],
}

/// All of them; a new one is a new line here.
const GENERATED: &[Generated] = &[];

/// Runs each command and compares.
pub(crate) fn check() -> Result<Problems> {
    let mut problems = Problems::new();
    for generated in GENERATED {
        let mut cargo = command::cargo();
        cargo.args(["run", "--quiet", "--package", "andon", "--"]).args(generated.andon);
        let fresh = command::output(cargo)?;
        let path = root::root().join(generated.file);
        let found = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display())).ok();
        problems.extend(difference(generated, found.as_deref(), &fresh));
    }
    Ok(problems)
}

/// The first line in which a checked-in file differs from what it should hold.
fn difference(generated: &Generated, found: Option<&str>, fresh: &str) -> Option<String> {
    let (file, command) = (generated.file, generated.andon.join(" "));
    let remedy = format!("remedy: cargo run -p andon -- {command} > {file}");
    let Some(found) = found else { return Some(format!("{file}: is missing; {remedy}")) };
    if found == fresh {
        return None;
    }
    let same = found.lines().zip(fresh.lines()).take_while(|(old, new)| old == new).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    Some(format!(
        "{file}:{}: is not what `andon {command}` prints; it has\n    {}\nand should have\n    {}\n{remedy}",
        same + 1,
        line(found),
        line(fresh)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Generated = Generated { file: "docs/openapi.json", andon: &["openapi"] };

    #[test]
    fn the_first_different_line_is_shown() {
        assert_eq!(difference(&FILE, Some("a\nb\n"), "a\nb\n"), None);
        let told = difference(&FILE, Some("a\nb\n"), "a\nc\n").unwrap();
        assert!(told.starts_with("docs/openapi.json:2:"), "{told}");
        assert!(told.contains("cargo run -p andon -- openapi > docs/openapi.json"), "{told}");
        assert!(difference(&FILE, None, "a").unwrap().contains("is missing"));
        assert!(difference(&FILE, Some("a\n"), "a\nb\n").unwrap().contains("(the end)"));
    }
}
