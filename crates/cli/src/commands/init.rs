//! `andon init`: a new, commented project.

use crate::{
    args::Init,
    output::{self, NO, failure},
};
use anyhow::Context;
use std::{fs, process::ExitCode};

pub(super) fn run(args: &Init) -> anyhow::Result<ExitCode> {
    let dir = &args.dir;
    if dir.exists() && fs::read_dir(dir).with_context(|| dir.display().to_string())?.next().is_some() {
        return Err(failure(NO, format!("{} is not empty", dir.display()), "name a folder that does not exist yet"));
    }
    for (path, text) in andon_contract::init_files() {
        let file = dir.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        output::line(file.display());
    }
    output::hint(format!("next: andon check {0}, then andon run {0}", dir.display()));
    Ok(ExitCode::SUCCESS)
}
