//! The project of the demo in its folder: carried along in the program, changed as `--set` says.

use crate::output::{USAGE, failure};
use anyhow::Context;
use std::{fs, path::Path};

/// The example as it is checked in: path and bytes.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/project.rs"));

/// The source of the plant whose machines publish to a broker of their own.
const OF_THE_BROKER: &str = "sources/monterrey.yaml";

/// Writes the project. One that is there already is left as it is: somebody may have edited it.
pub(super) fn write(dir: &Path) -> anyhow::Result<()> {
    if dir.join("andon.yaml").is_file() {
        return Ok(());
    }
    // `andon.yaml` comes last: a folder without it is written anew.
    let (last, others): (Vec<_>, Vec<_>) = FILES.iter().partition(|(path, _)| *path == "andon.yaml");
    for (path, bytes) in others.into_iter().chain(last) {
        write_file(&dir.join(path), bytes)?;
    }
    Ok(())
}

/// Writes a file whole or not at all, also where this process is killed meanwhile.
fn write_file(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let of_file = || file.display().to_string();
    fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).with_context(of_file)?;
    let aside = file.with_extension("new");
    fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, file)).with_context(of_file)
}

/// Fits the project to the world. Without a broker all machines publish to the listener, whose source knows the topics
/// of both plants; with one again, the source that reads it is there again.
pub(super) fn fit(dir: &Path, has_broker: bool) -> anyhow::Result<()> {
    let file = dir.join(OF_THE_BROKER);
    let bytes = FILES.iter().find(|(path, _)| *path == OF_THE_BROKER).map(|(_, bytes)| *bytes);
    match (file.exists(), has_broker, bytes) {
        (true, false, _) => fs::remove_file(&file).with_context(|| file.display().to_string()),
        (false, true, Some(bytes)) => write_file(&file, bytes),
        _ => Ok(()),
    }
}

/// Sets parameters of classes: `CLASS.PARAMETER=VALUE`. Whether the values make sense, `check` says.
pub(super) fn set(dir: &Path, wanted: &[String]) -> anyhow::Result<()> {
    for text in wanted {
        let wrong =
            || failure(USAGE, format!("--set {text} is not understood"), "for example --set cartoner.vibration.High=6");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (class, parameter) = name.trim().split_once('.').ok_or_else(wrong)?;
        if [class, parameter, value].iter().any(|part| part.trim().is_empty() || part.contains('\n')) {
            return Err(wrong());
        }
        let file = dir.join("classes").join(format!("{class}.yaml"));
        // A name of a class is no path.
        if class.contains(['/', '\\']) || !file.is_file() {
            return Err(failure(USAGE, format!("there is no class {class:?}"), format!("it has {}", classes(dir))));
        }
        let of_file = || file.display().to_string();
        let before = fs::read_to_string(&file).with_context(of_file)?;
        write_file(&file, with(&before, parameter, value.trim()).as_bytes())?;
    }
    Ok(())
}

/// The classes there are.
fn classes(dir: &Path) -> String {
    let entries = fs::read_dir(dir.join("classes")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".yaml")?.to_owned())).collect();
    names.sort();
    names.join(", ")
}

/// The text of a class with a parameter that has this value.
fn with(text: &str, parameter: &str, value: &str) -> String {
    let line = format!("  {parameter}: {value}");
    let mut lines: Vec<&str> = text.lines().collect();
    let here = |found: &&str| found.trim_start().strip_prefix(parameter).is_some_and(|rest| rest.starts_with(':'));
    let Some(begin) = lines.iter().position(|found| found.trim_end() == "parameters:") else {
        return format!("{}\nparameters:\n{line}\n", text.trim_end());
    };
    let inside = lines.iter().skip(begin + 1).take_while(|found| found.is_empty() || found.starts_with([' ', '#']));
    match inside.clone().position(here) {
        Some(at) => {
            if let Some(old) = lines.get_mut(begin + 1 + at) {
                *old = &line;
            }
        }
        None => lines.insert(begin + 1, &line),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn files(dir: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn the_whole_example_is_carried_along_and_what_somebody_edited_is_left() {
        let mut found = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/packaging-line"), "", &mut found);
        let carried: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(found, carried);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let mut written = BTreeSet::new();
        files(dir.path(), "", &mut written);
        assert_eq!(written, carried);
        fs::write(dir.path().join("routes.yaml"), "[]\n").unwrap();
        write(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("routes.yaml")).unwrap(), "[]\n");
    }

    #[test]
    fn the_source_of_the_broker_is_there_where_the_broker_is() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let accepted = || andon_contract::load(dir.path()).map(|loaded| loaded.contract.sources.len()).unwrap();
        fit(dir.path(), false).unwrap();
        assert_eq!(accepted(), 1, "the project is accepted without it");
        fit(dir.path(), true).unwrap();
        assert_eq!(accepted(), 2);
    }

    #[test]
    fn a_parameter_is_replaced_or_added_and_nothing_else_changes() {
        let text = "# why\nsignals:\n  vibration: { kind: f64 }\nparameters:\n  vibration.High: 4.5 # usual\n  a: 1\n";
        let replaced = with(text, "vibration.High", "6");
        assert_eq!(replaced, text.replace("  vibration.High: 4.5 # usual", "  vibration.High: 6"));
        let added = with(text, "vibration.HighHigh", "9");
        assert_eq!(added, text.replace("parameters:\n", "parameters:\n  vibration.HighHigh: 9\n"));
        assert_eq!(with("signals: {}\n", "x.High", "1"), "signals: {}\nparameters:\n  x.High: 1\n");
    }

    #[test]
    fn what_is_no_parameter_of_a_class_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        for (text, said) in [
            ("cartoner", "is not understood"),
            ("cartoner.vibration.High", "is not understood"),
            ("cartoner=6", "is not understood"),
            ("cartoner.vibration.High=", "is not understood"),
            ("kartoner.vibration.High=6", "there is no class"),
            ("../cartoner.x=6", "is not understood"),
        ] {
            let refused = set(dir.path(), &[text.to_owned()]).unwrap_err().to_string();
            assert!(refused.contains(said) || refused.contains("there is no class"), "{text}: {refused}");
        }
        set(dir.path(), &["cartoner.vibration.High=6".to_owned()]).unwrap();
        assert!(fs::read_to_string(dir.path().join("classes/cartoner.yaml")).unwrap().contains("vibration.High: 6\n"));
    }
}
