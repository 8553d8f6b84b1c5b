//! Files that nobody meant: whatever stands in them, reading a project ends with an answer.

use andon_contract::{from_files, fuzz::project, init_files};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn files() -> BTreeMap<String, String> {
    init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// A change of some bytes: where, how many are left out, what comes in their place.
fn change() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, usize, String)> {
    let pieces = prop::sample::select(vec![
        "", " ", "\n", "\n  ", ":", ": ", "- ", "[", "]", "{", "}", "'", "\"", "|", ">", "#", "&a", "*a", "!t", "?",
        "%", "@", "\t", "ä", "${", "}", "\0", "\u{feff}", "---", "...", "null", "1e999", "-1", ".", "\r", "0x", "~",
        "<<: ",
    ]);
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..4, pieces.prop_map(str::to_owned))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_project_is_answered(changes in prop::collection::vec(change(), 1..6)) {
        let mut files = files();
        let paths: Vec<String> = files.keys().cloned().collect();
        for (file, at, removed, piece) in changes {
            let text = files.get_mut(file.get(&paths)).unwrap();
            let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let number = at.index(borders.len());
            let end = (number + removed).min(borders.len() - 1);
            text.replace_range(borders[number]..borders[end], &piece);
        }
        if let Err(problems) = from_files(files) {
            for problem in problems {
                prop_assert!(problem.to_string().starts_with(&problem.file));
                problem.render(true);
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        project(&bytes);
    }
}
