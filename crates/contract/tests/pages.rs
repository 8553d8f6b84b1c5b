//! The examples of the pages fit into a project: each file of a page takes the place of the one in `testdata/base`.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::{collections::BTreeMap, fs, path::Path};

/// The pages with the least number of files each shows.
const PAGES: &[(&str, usize)] = &[
    ("reads.md", 4),
    ("exceptions.md", 1),
    ("owners.md", 1),
    ("requests.md", 1),
    ("workflow-calls.md", 3),
    ("workflow-events.md", 4),
    ("workflows-dsl.md", 1),
    ("systems.md", 1),
    ("resilience.md", 1),
    ("routes.md", 5),
    ("identifiers.md", 1),
    ("context.md", 1),
    ("confirmation.md", 2),
    ("scenarios.md", 1),
    ("units.md", 2),
    ("mqtt.md", 1),
    ("http.md", 1),
    ("shdr.md", 1),
    ("files.md", 1),
    ("historian.md", 1),
    ("parameters.md", 4),
    ("rules/conditions.md", 2),
    ("rules/limit.md", 1),
    ("rules/stale.md", 1),
    ("rules/table.md", 2),
    ("rules/state.md", 2),
    ("rules/counter.md", 2),
    ("rules/spc.md", 2),
    ("rules/spectrum.md", 3),
    ("rules/deviation.md", 2),
    ("rules/rate-of-change.md", 1),
    ("rules/window.md", 1),
];

fn base() -> BTreeMap<String, String> {
    fn read(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/base");
    let mut files = BTreeMap::new();
    read(&root, &root, &mut files);
    files
}

#[test]
fn the_examples_of_the_pages_are_accepted_without_a_warning() {
    let mut all = Vec::new();
    for &(page, least) in PAGES {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page)).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let shown: Vec<(String, String)> = blocks
            .filter_map(|block| {
                let (first, rest) = block.split_once('\n')?;
                let path = first
                    .strip_prefix("# ")
                    .filter(|path| Path::new(path).extension().is_some_and(|of| of == "yaml"))?;
                Some((path.to_owned(), rest.to_owned()))
            })
            .collect();
        assert!(shown.len() >= least, "{page} shows only {} files", shown.len());
        let mut files = base();
        files.extend(shown);
        let problems = match andon_contract::from_files(files) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        };
        all.extend(problems.iter().map(|problem| format!("{page}:\n{problem}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_list_of_problems_names_every_code() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors/README.md")).unwrap();
    let missing: Vec<String> = andon_contract::codes::CODES
        .iter()
        .map(|(code, title)| format!("| [{code}]({code}.md) | {title} |"))
        .filter(|line| !list.contains(line.as_str()))
        .collect();
    assert!(missing.is_empty(), "add to docs/errors/README.md:\n{}", missing.join("\n"));
}
