//! What the tidiness check reads out of one Markdown file.

use std::path::{Component, Path, PathBuf};

/// How many titles (headings of the first level) a text has.
pub(super) fn titles(text: &str) -> usize {
    prose(text).filter(|(_, line)| line.starts_with("# ")).count()
}

/// The relative links of a text, by line, without the place within the file they lead to.
pub(super) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let listed = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
        for target in inline.chain(listed) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:") {
                found.push((number, file.to_owned()));
            }
        }
    }
    found
}

/// Where a link of a file leads, from the root of the repository; nothing when it leads out of it.
pub(super) fn destination(file: &Path, link: &str) -> Option<PathBuf> {
    let mut place = file.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !place.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(place)
}

/// The lines outside of code blocks, by number.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let start = line.trim_start();
        if let Some(mark) = fence {
            if start.starts_with(mark) {
                fence = None;
            }
            return None;
        }
        fence = ["````", "```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        fence.is_none().then_some((number + 1, line))
    })
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_in_a_code_block_is_none() {
        assert_eq!(titles("# One\n\n```sh\n# a comment\n```\n\n## Two\n"), 1);
        assert_eq!(titles("text\n"), 0);
        assert_eq!(titles("````md\n```\n# x\n```\n````\n# One\n# Two\n"), 2);
    }

    #[test]
    fn only_relative_links_outside_of_code_count() {
        let text = "[a](docs/a.md#part) [b](https://example.org) [c](#here) `[d](e.md)`\n\n[x]: ../y.md\n";
        assert_eq!(links(text), [(1, "docs/a.md".to_owned()), (3, "../y.md".to_owned())]);
    }

    #[test]
    fn links_are_followed_from_the_folder_of_their_file() {
        let file = Path::new("docs/errors/x.md");
        assert_eq!(destination(file, "../semantics.md"), Some(PathBuf::from("docs/semantics.md")));
        assert_eq!(destination(file, "./y.md"), Some(PathBuf::from("docs/errors/y.md")));
        assert_eq!(destination(file, "../../../elsewhere"), None);
        assert_eq!(destination(file, "/etc/passwd"), None);
    }
}
