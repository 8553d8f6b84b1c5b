//! The input of a call in the editor of whoever edits it.

use crate::output::{NO, USAGE, failure};
use anyhow::Context as _;
use serde_json::Value as Json;
use std::{fs, io::Write as _, path::Path, process::Command};

/// The input as the editor leaves it; `None`: as it was.
pub(super) fn edited(id: &str, input: &Json) -> anyhow::Result<Option<Json>> {
    let words = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
    let words = words.unwrap_or_default();
    let mut words = words.split_whitespace();
    let Some(program) = words.next() else {
        return Err(failure(USAGE, "no editor is named", "set EDITOR, or use --set PLACE=VALUE or --input FILE"));
    };
    // Nobody else reads along: an input may hold what is not for everybody.
    let name = id.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let path = std::env::temp_dir().join(format!("andon-{name}-{}.json", std::process::id()));
    let text = format!("{}\n", serde_json::to_string_pretty(input)?);
    write_new(&path, &text).with_context(|| format!("{} cannot be written", path.display()))?;
    let status = Command::new(program).args(words).arg(&path).status();
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        let _ = fs::remove_file(&path);
        let why = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        return Err(failure(NO, format!("the editor {program:?} did not end well: {why}"), "nothing was changed"));
    }
    let after = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let edited: Json = serde_json::from_str(&after).map_err(|e| {
        let kept = format!("it is kept in {0}: mend it, and use --input {0}", path.display());
        failure(NO, format!("what was edited is no JSON: {e}"), kept)
    })?;
    let _ = fs::remove_file(&path);
    Ok((edited != *input).then_some(edited))
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
