//! The diagram on the page of each kind of rule is the one that stands beside its code.

use andon_events::rules::diagrams;
use std::{collections::BTreeSet, env, fs, path::Path};

const BEGIN: &str = "<!-- the states, from the code -->\n";
const END: &str = "<!-- end of the states -->\n";

#[test]
fn the_pages_show_the_states_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules");
    let mut kinds = BTreeSet::new();
    for diagram in diagrams() {
        assert!(kinds.insert(diagram.kind), "{} is drawn twice", diagram.kind);
        assert!(diagram.faults().is_empty(), "{}: {:#?}", diagram.kind, diagram.faults());
        let path = folder.join(format!("{}.md", diagram.kind));
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (head, rest) = page.split_once(BEGIN).unwrap_or_else(|| panic!("{} lacks {BEGIN:?}", path.display()));
        let (_, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{} lacks {END:?}", path.display()));
        let new = format!("{head}{BEGIN}\n```mermaid\n{}```\n\n{END}{tail}", diagram.mermaid());
        if env::var_os("ANDON_REGENERATE").is_some() {
            fs::write(&path, &new).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap();
        assert!(found == new, "docs/rules/{}.md is old; write it anew with ANDON_REGENERATE=1", diagram.kind);
    }
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for kind in kinds {
        assert!(index.contains(&format!("[{kind}]({kind}.md)")), "docs/rules/README.md does not name {kind}");
    }
}
