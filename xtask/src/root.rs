//! Where things lie: the repository, its build folder, and the material that stays outside of it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Folders that hold nothing a person of this project wrote.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "artifacts", "coverage"];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// The folder cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo for its build folder")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// A folder outside the repository: from the environment, or beside the repository where nothing is set.
pub(crate) fn outside(variable: &str, default: &str) -> PathBuf {
    let chosen = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    root().join(chosen.unwrap_or_else(|| PathBuf::from(default)))
}

/// Every file below `folder` that a person of this project may have written, relative to `folder`, sorted.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let place = folder.join(&below);
        let entries = fs::read_dir(&place).with_context(|| format!("listing {}", place.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", place.display()))?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type().with_context(|| format!("looking at {}", path.display()))?;
            if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                open.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file, or nothing when it is no text.
pub(crate) fn text(path: &Path) -> Result<Option<String>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_finds_this_file_and_no_build_output() {
        let found = files(&root()).unwrap();
        assert!(found.iter().any(|path| path.ends_with("xtask/src/root.rs")));
        assert!(!found.iter().any(|path| path.starts_with("target") || path.starts_with(".git/")));
    }
}
