//! The project that the guide builds step by step is a project.

use std::collections::BTreeMap;

/// The fenced blocks whose first line names a file of a project.
fn files(page: &str) -> BTreeMap<String, String> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .filter_map(|block| {
            let (first, text) = block.split_once('\n')?;
            Some((first.strip_prefix("# ")?.to_owned(), text.to_owned()))
        })
        .collect()
}

#[test]
fn the_project_of_the_guide_is_accepted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/first-hour.md");
    let page = std::fs::read_to_string(path).expect("the guide");
    let files = files(&page);
    assert!(files.len() >= 10, "{:?}", files.keys());
    let loaded = andon_contract::from_files(files);
    let problems = loaded.map_or_else(|problems| problems, |loaded| loaded.warnings);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn the_project_of_the_page_on_listeners_is_accepted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/listener.md");
    let files = files(&std::fs::read_to_string(path).expect("the page"));
    assert!(files.len() >= 5, "{:?}", files.keys());
    let loaded = andon_contract::from_files(files);
    let problems = loaded.map_or_else(|problems| problems, |loaded| loaded.warnings);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
