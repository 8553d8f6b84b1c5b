//! Tidiness is a test: what a reviewer would say twice about a text is said here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{markdown, ratchet, rust};
use crate::parts::Problems;
use crate::root;

/// The most lines of a file, without the tests at its end.
const FILE_LINES_MAX: usize = 600;

/// The most lines of a function.
const FUNCTION_LINES_MAX: usize = 100;

/// The files that are longer; may only shrink.
const FILES: &str = "docs/tidy/files.txt";

/// The functions (`file::function`) that are longer; may only shrink.
const FUNCTIONS: &str = "docs/tidy/functions.txt";

/// Larger files are data, not something to read.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Folders that only one machine has and that mean nothing to a reader; in pieces, so that this file passes.
const ELSEWHERE: [&str; 2] = [concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// A file of the repository.
struct File {
    path: PathBuf,
    text: String,
}

/// Reads every file and reports all that is untidy.
pub(crate) fn check() -> Result<Problems> {
    let root = root::root();
    let mut files = Vec::new();
    for path in root::files(&root)? {
        if let Some(text) = root::text(&root.join(&path))?.filter(|text| text.len() <= TEXT_BYTES_MAX) {
            files.push(File { path, text });
        }
    }
    let mut problems = Problems::new();
    for file in &files {
        problems.extend(elsewhere(file));
        if file.has_ending("rs") {
            problems.extend(source(file));
        } else if file.has_ending("md") {
            problems.extend(page(file, &|target| root.join(target).exists()));
        }
    }
    let (long_files, long_functions) = sizes(&files);
    problems.extend(ratchet::sizes(FILES, &ratchet::read(FILES)?, FILE_LINES_MAX, &long_files));
    problems.extend(ratchet::sizes(FUNCTIONS, &ratchet::read(FUNCTIONS)?, FUNCTION_LINES_MAX, &long_functions));
    problems.extend(codes(&files));
    Ok(problems)
}

impl File {
    fn has_ending(&self, ending: &str) -> bool {
        self.path.extension().is_some_and(|found| found == ending)
    }

    fn finding(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }

    /// Whether the whole file is there for tests only.
    fn is_test(&self) -> bool {
        let folders = self.path.iter().any(|part| part == "tests" || part == "testdata");
        folders || self.path.file_stem().is_some_and(|name| name == "tests")
    }
}

fn elsewhere(file: &File) -> Problems {
    let mut problems = Problems::new();
    for (number, line) in file.text.lines().enumerate() {
        for word in ELSEWHERE.iter().filter(|word| names(line, word)) {
            problems
                .push(file.finding(number + 1, &format!("`{word}` is a folder of one machine, not of the project")));
        }
    }
    problems
}

/// Whether a line holds a word; one that begins with a slash only where a path begins.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !word.starts_with('/') || !before.is_some_and(|letter| letter.is_alphanumeric() || "}>-_.".contains(letter))
    })
}

fn source(file: &File) -> Problems {
    let mut problems = Problems::new();
    if !rust::opens(&file.text) {
        problems.push(file.finding(1, "open the module with `//!` and one sentence on what it is for"));
    }
    if file.path.starts_with("crates") && file.path.ends_with("src/lib.rs") {
        let missing = rust::headings_missing(&file.text);
        if !missing.is_empty() {
            problems.push(file.finding(1, &format!("the docs lack: {}", missing.join(", "))));
        }
    }
    let wide = rust::wide(&file.text);
    problems.extend(
        wide.iter().map(|(line, width)| file.finding(*line, &format!("is {width} columns wide; 120 is the limit"))),
    );
    problems
}

fn page(file: &File, exists: &dyn Fn(&Path) -> bool) -> Problems {
    let mut problems = Problems::new();
    let titles = markdown::titles(&file.text);
    if titles != 1 {
        problems.push(file.finding(1, &format!("has {titles} titles (`# ...`); a page has exactly one")));
    }
    for (line, link) in markdown::links(&file.text) {
        if !markdown::destination(&file.path, &link).is_some_and(|target| exists(&target)) {
            problems.push(file.finding(line, &format!("the link to `{link}` leads to no file of the repository")));
        }
    }
    problems
}

/// The lines of every file and of every function, tests apart.
fn sizes(files: &[File]) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let (mut of_files, mut of_functions) = (BTreeMap::new(), BTreeMap::new());
    for file in files.iter().filter(|file| file.has_ending("rs") && !file.is_test()) {
        let product = rust::product(&file.text);
        of_files.insert(file.path.display().to_string(), product.lines().count());
        for (name, lines) in rust::functions(product) {
            let longest = of_functions.entry(format!("{}::{name}", file.path.display())).or_insert(0);
            *longest = lines.max(*longest);
        }
    }
    (of_files, of_functions)
}

/// Every error code has a page, and every page its code.
fn codes(files: &[File]) -> Problems {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    let mut pages = BTreeSet::new();
    for file in files {
        if file.has_ending("rs") && file.path.starts_with("crates") && !file.is_test() {
            for code in rust::codes(rust::product(&file.text)) {
                named.entry(code).or_insert_with(|| file.path.display().to_string());
            }
        } else if file.path.parent() == Some(Path::new("docs/errors")) && file.has_ending("md") {
            pages.extend(file.path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    let without = named.iter().filter(|(code, _)| !pages.contains(*code));
    let without = without.map(|(code, file)| format!("{file}: {code} has no page docs/errors/{code}.md"));
    let idle = pages.iter().filter(|page| rust::is_code(page) && !named.contains_key(*page));
    without.chain(idle.map(|page| format!("docs/errors/{page}.md: no source names this code"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: PathBuf::from(path), text: text.to_owned() }
    }

    #[test]
    fn the_folders_of_one_machine_are_found_where_they_are_paths() {
        let word = concat!("/ro", "ot/");
        assert_eq!(elsewhere(&file("a.md", &format!("see {word}main and `{word}x`"))).len(), 1);
        assert!(elsewhere(&file("a.md", &format!("GET http://localhost:1/api{word}orders"))).is_empty());
    }

    #[test]
    fn a_source_without_its_opening_and_headings_is_untidy() {
        assert_eq!(source(&file("crates/x/src/lib.rs", "use std::fs;\n")).len(), 2);
        assert_eq!(source(&file("crates/x/src/a.rs", "//! Reads.\n")).len(), 0);
    }

    #[test]
    fn a_page_has_one_title_and_links_that_lead_somewhere() {
        let text = "# A\n\n[b](b.md) [c](c.md)\n";
        let problems = page(&file("docs/a.md", text), &|target| target == Path::new("docs/b.md"));
        assert_eq!(problems, ["docs/a.md:3: the link to `c.md` leads to no file of the repository"]);
        assert_eq!(page(&file("docs/a.md", "no title\n"), &|_| true).len(), 1);
    }

    #[test]
    fn codes_and_pages_belong_together() {
        let (first, second) = (concat!("A", "0001"), concat!("A", "0002"));
        let files = [
            file("crates/x/src/a.rs", &format!("//! X.\nconst CODE: &str = \"{first}\";\n")),
            file("crates/x/tests/a.rs", &format!("//! X.\nconst CODE: &str = \"{second}\";\n")),
            file(&format!("docs/errors/{second}.md"), "# Page\n"),
            file("docs/errors/README.md", "# All\n"),
        ];
        let problems = codes(&files);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("has no page") && problems[1].contains("no source"), "{problems:?}");
    }

    #[test]
    fn tests_do_not_count_for_the_size() {
        let long = "    x();\n".repeat(10);
        let text = format!("//! X.\nfn a() {{\n{long}}}\n\n#[cfg(test)]\nmod tests {{\n    fn b() {{\n    }}\n}}\n");
        let (of_files, of_functions) = sizes(&[file("crates/x/src/a.rs", &text), file("crates/x/tests/b.rs", &text)]);
        assert_eq!(of_files, BTreeMap::from([("crates/x/src/a.rs".to_owned(), 14)]));
        assert_eq!(of_functions, BTreeMap::from([("crates/x/src/a.rs::a".to_owned(), 12)]));
    }
}
