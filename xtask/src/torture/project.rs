//! The project under torture: the packaging line with short delays, and what stands in `xtask/torture` beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::root;

/// What is different from the example: in which file, from what, to what.
const CHANGES: [(&str, &str, &str); 4] = [
    ("classes/cartoner.yaml", "vibration.OnDelay: 2 min", "vibration.OnDelay: 2 s"),
    ("policies/retention.yaml", "seal: 1 h", "seal: 1 min"),
    ("systems/maximo.yaml", "settle: 1 s", "settle: 3 s"),
    ("systems/eam.yaml", "settle: 1 s", "settle: 3 s"),
];

/// What is different in every system: offices that hang are not waited for long, and those that came back are asked
/// soon.
const OF_SYSTEMS: [(&str, &str); 4] = [
    ("timeout: 10 s", "timeout: 2 s"),
    ("max: 5 s", "max: 2 s"),
    ("retry: {", "breaker: { max: 30 s }\nretry: {"),
    // A clock that is set far ahead while nobody runs looks as a long outage.
    ("within: 24 h", "within: 24 h, outage: { after: 30 min, every: 2 s }"),
];

/// What is added at the end of a file.
const ADDED: [(&str, &str); 2] = [
    ("routes.yaml", "- { capability: maintenance.tell-clerk, site: '*', use: clerk.tell }\n"),
    ("classes/palletiser.yaml", "  energy: { kind: i64 }\n"),
];

/// Writes the project into a folder.
pub(super) fn write(to: &Path) -> Result<()> {
    let example = root::root().join("examples/packaging-line");
    for file in root::files(&example)? {
        if !file.starts_with("tests") && file.extension().is_some_and(|end| end == "yaml") {
            copy(&example.join(&file), &to.join(&file), |text| changed(&file, text))?;
        }
    }
    let own = root::root().join("xtask/torture");
    for file in root::files(&own)? {
        if file.extension().is_some_and(|end| end == "yaml") {
            copy(&own.join(&file), &to.join(&file), |text| Ok(text.to_owned()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, change: impl Fn(&str) -> Result<String>) -> Result<()> {
    let text = fs::read_to_string(from).with_context(|| format!("reading {}", from.display()))?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, change(&text)?).with_context(|| format!("writing {}", to.display()))
}

/// A file of the example as it is here. What is to be changed must be there.
fn changed(file: &Path, text: &str) -> Result<String> {
    let mut text = text.to_owned();
    let mut change = |from: &str, to: &str| {
        ensure!(text.contains(from), "{} of the packaging line has no `{from}` any more", file.display());
        text = text.replace(from, to);
        Ok(())
    };
    for (_, from, to) in CHANGES.iter().filter(|(of, _, _)| file == Path::new(of)) {
        change(from, to)?;
    }
    if file.starts_with("systems") {
        for (from, to) in OF_SYSTEMS {
            change(from, to)?;
        }
    }
    for (_, more) in ADDED.iter().filter(|(of, _)| file == Path::new(of)) {
        text = format!("{}\n{more}", text.trim_end());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_still_has_what_is_changed_in_it() {
        let folder = std::env::temp_dir().join(format!("andon-torture-project-{}", std::process::id()));
        write(&folder).unwrap();
        let text = fs::read_to_string(folder.join("classes/cartoner.yaml")).unwrap();
        assert!(text.contains("vibration.OnDelay: 2 s"));
        let text = fs::read_to_string(folder.join("classes/palletiser.yaml")).unwrap();
        assert!(text.ends_with("  energy: { kind: i64 }\n"));
        assert!(folder.join("workflows/tell-clerk.yaml").exists() && !folder.join("tests").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
