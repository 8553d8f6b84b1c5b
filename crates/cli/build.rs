//! Carries the project of `andon demo` along: a list of its files with what is in them, made from the folder.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let project = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../examples/packaging-line").canonicalize()?;
    // A folder stands for everything in it.
    println!("cargo::rerun-if-changed={}", project.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    list(&project, &mut files)?;
    files.sort();
    let mut text = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&project)?.to_str().ok_or("a file's name is no text")?;
        writeln!(text, "    ({name:?}, include_bytes!({:?})),", file.display().to_string())?;
    }
    text.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("project.rs"), text)?;
    Ok(())
}

/// All files below a folder; what begins with a dot is nobody's project.
fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
