//! What is refused, and how it is told: the folder `testdata/base` is a project that passes; each folder of
//! `testdata/refused` holds the files that differ from it, and its name begins with the code it is refused with. The
//! file `REMOVE` names files that are left out, one a line.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use andon_contract::{
    Problem,
    codes::{CODES, page},
    from_files,
};
use std::{collections::BTreeMap, fs, path::Path};

/// Codes that no file of a project can cause; they are tested where a folder is read.
const OF_FOLDERS: [&str; 3] = ["A0111", "A1174", "A1175"];

fn testdata() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

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

fn base() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    read(&testdata().join("base"), &testdata().join("base"), &mut files);
    files
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn the_base_passes() {
    let loaded = from_files(base()).unwrap_or_else(|problems| panic!("{}", told(&problems)));
    assert_eq!(told(&loaded.warnings), "");
}

#[test]
fn every_folder_is_refused_as_it_says() {
    let mut failures: Vec<String> = Vec::new();
    let mut covered: Vec<String> = OF_FOLDERS.map(str::to_owned).to_vec();
    let mut folders: Vec<_> =
        fs::read_dir(testdata().join("refused")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut files = base();
        read(&folder, &folder, &mut files);
        for path in files.remove("REMOVE").unwrap_or_default().lines() {
            files.remove(path).unwrap_or_else(|| panic!("{name} removes {path}, which is not there"));
        }
        let problems = match from_files(files) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        };
        let code = name.split('-').next().unwrap();
        if !problems.iter().any(|p| p.code == code) {
            failures.push(format!("{name} is not told {code}:\n{}", told(&problems)));
        }
        for problem in &problems {
            if problem.help.is_empty() || problem.line < 1 || problem.column < 1 || problem.end_column <= problem.column
            {
                failures.push(format!("{name}: no help, or no place, in\n{problem}"));
            }
        }
        covered.push(code.to_owned());
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../testdata/snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!(name, told(&problems)));
    }
    let missing: Vec<&str> =
        CODES.iter().map(|(code, _)| *code).filter(|code| !covered.iter().any(|c| c == code)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(missing.is_empty(), "no folder is refused with {missing:?}");
}

#[test]
fn every_code_has_its_page() {
    for (code, title) in CODES {
        let page = page(code).unwrap();
        assert!(page.starts_with(&format!("# {code}: {title}\n")), "the title of {code} is not `{title}`");
    }
}
