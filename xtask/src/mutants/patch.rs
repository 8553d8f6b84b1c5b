//! The patches: what each breaks, what must find it, and whether it still fits the code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::parts::Problems;
use crate::{command, root};

/// Where patches lie.
pub(crate) const FOLDER: &str = "xtask/mutants";

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// The name of its file without the ending.
    pub(crate) name: String,
    /// The promise it breaks.
    pub(crate) promise: String,
    /// The package of the test that finds it.
    pub(crate) package: String,
    /// `lib`, `bin NAME` or `test NAME`.
    pub(crate) target: String,
    /// The whole name of the test within its program.
    pub(crate) test: String,
    /// The files it changes.
    pub(crate) files: Vec<PathBuf>,
}

impl Mutant {
    /// Where the patch lies, below the root.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.patch", self.name))
    }
}

/// All patches by name.
pub(crate) fn all() -> Result<Vec<Mutant>> {
    files()?.iter().map(|path| read(path)).collect()
}

/// The names of the files of all patches, sorted.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let mut found = root::files(&root::root().join(FOLDER))?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    Ok(found)
}

/// Reads a patch.
pub(crate) fn read(file: &Path) -> Result<Mutant> {
    let path = root::root().join(FOLDER).join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    parse(&name, &text)
}

/// `Promise:` and `Test:` stand before the first `diff`; a line that is indented goes on.
fn parse(name: &str, text: &str) -> Result<Mutant> {
    let head = text.split("\n--- ").next().unwrap_or_default();
    let unfolded = head.replace("\n  ", " ");
    let field = |key: &str| {
        let found = unfolded.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        found.filter(|value| !value.is_empty()).map(str::to_owned).with_context(|| format!("it has no line `{key}`"))
    };
    let found_by = field("Test:")?;
    let parts: Vec<&str> = found_by.split(',').map(str::trim).collect();
    let [package, target, function] = parts.as_slice() else {
        bail!("`Test:` names a package, a target and a test: `Test: andon-store, lib, log::tests::name`")
    };
    let files: Vec<PathBuf> =
        text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(|path| PathBuf::from(path.trim())).collect();
    if files.is_empty() {
        bail!("it changes nothing");
    }
    Ok(Mutant {
        name: name.to_owned(),
        promise: field("Promise:")?,
        package: (*package).to_owned(),
        target: (*target).to_owned(),
        test: (*function).to_owned(),
        files,
    })
}

/// What does not fit any more.
pub(crate) fn fits(mutant: &Mutant) -> Result<Problems> {
    let mut problems = Problems::new();
    let path = mutant.path();
    let mut git = Command::new("git");
    git.args(["apply", "--check"]).arg(&path).current_dir(root::root());
    if let Err(error) = command::output(git) {
        problems.push(format!("{}: it does not apply any more: {error:#}", path.display()));
    }
    let function = mutant.test.rsplit("::").next().unwrap_or_default();
    if !is_there(&mutant.package, &mutant.target, function)? {
        let Mutant { package, target, .. } = mutant;
        problems.push(format!("{}: {package} ({target}) has no test {function}", path.display()));
    }
    Ok(problems)
}

/// Whether a program of tests of a package has a function of this name.
fn is_there(package: &str, target: &str, function: &str) -> Result<bool> {
    let folder = match package.strip_prefix("andon-") {
        Some(of) => root::root().join("crates").join(of),
        None if package == "andon" => root::root().join("crates/cli"),
        None => root::root().join(package),
    };
    let wanted = format!("fn {function}(");
    let begin = target.strip_prefix("test ").map_or_else(|| "src".to_owned(), |name| format!("tests/{name}"));
    for file in root::files(&folder)? {
        let is_rust = file.extension().is_some_and(|extension| extension == "rs");
        let within = file.starts_with(&begin) || file.with_extension("").as_os_str() == begin.as_str();
        if is_rust && within && root::text(&folder.join(file))?.is_some_and(|text| text.contains(&wanted)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Promise: nothing is sent\n  before it is known\nTest: andon-store, lib, log::tests::one\n\n\
                         --- a/crates/store/src/log.rs\n+++ b/crates/store/src/log.rs\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn a_patch_says_what_it_breaks_and_what_finds_it() {
        let mutant = parse("a", PATCH).unwrap();
        assert_eq!(mutant.promise, "nothing is sent before it is known");
        assert_eq!((mutant.package.as_str(), mutant.target.as_str()), ("andon-store", "lib"));
        assert_eq!(mutant.test, "log::tests::one");
        assert_eq!(mutant.files, [PathBuf::from("crates/store/src/log.rs")]);
    }

    #[test]
    fn a_test_is_looked_for_in_its_program() {
        let has = |target: &str, function: &str| is_there("xtask", target, function).unwrap();
        assert!(has("bin xtask", "a_test_is_looked_for_in_its_program"));
        assert!(!has("test house", "a_test_is_looked_for_in_its_program") && !has("lib", "no_test_is_named_so"));
    }

    #[test]
    fn a_patch_without_a_promise_or_a_test_is_refused() {
        let without = |key: &str| PATCH.replace(key, "Note:");
        for key in ["Promise:", "Test:"] {
            assert!(parse("a", &without(key)).unwrap_err().to_string().contains(key), "{key}");
        }
        assert!(parse("a", PATCH.split("--- a").next().unwrap()).is_err());
    }
}
