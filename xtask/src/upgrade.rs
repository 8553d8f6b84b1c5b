//! `cargo xtask upgrade`: the release before writes a data folder under load and is killed, this one goes on with it.
//!
//! The release before is the newest tag `v*` behind the present commit; while there is none, the commit that
//! `xtask/release-before.txt` names. It is built from a folder of its own, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{command, root, setup};

/// Names the commit of the release before, while there are no tags.
const NAMED: &str = "xtask/release-before.txt";

/// What is played, and with which binary.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The release before: a tag or a commit.
    #[arg(long)]
    from: Option<String>,
    /// Takes this binary instead of building one.
    #[arg(long, conflicts_with = "from")]
    andon: Option<PathBuf>,
    /// Keeps what the release before leaves, under this name, for the tests; once for each release.
    #[arg(long, value_name = "NAME")]
    keep: Option<String>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let before = match &arguments.andon {
        Some(andon) => fs::canonicalize(andon).with_context(|| format!("looking for {}", andon.display()))?,
        None => build(&revision(arguments.from.as_deref())?)?,
    };
    let test = if arguments.keep.is_some() {
        "upgrade::keep_a_folder_of_the_release_before"
    } else {
        "upgrade::a_folder_of_the_release_before_goes_on"
    };
    let mut cargo = command::cargo();
    cargo.args(["test", "--workspace", "--test", "product", "--", "--ignored", "--exact", test]);
    cargo.env("ANDON_BEFORE", &before).envs(arguments.keep.as_ref().map(|name| ("ANDON_KEEP", name)));
    if !command::stream(cargo, |_| {})?.success() {
        bail!("what {} has written does not go on: see above", before.display());
    }
    println!("what {} has written goes on", before.display());
    Ok(())
}

/// The commit of the release before.
fn revision(asked: Option<&str>) -> Result<String> {
    let named = match asked {
        Some(asked) => asked.to_owned(),
        None => match git(&["describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^"]) {
            Ok(tag) => tag,
            Err(_) => fs::read_to_string(root::root().join(NAMED)).with_context(|| format!("reading {NAMED}"))?,
        },
    };
    git(&["rev-parse", "--verify", &format!("{}^{{commit}}", named.trim())])
}

fn git(arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(root::root()).args(arguments);
    Ok(command::output(git)?.trim().to_owned())
}

/// Builds a commit from a folder of its own; its binary.
fn build(revision: &str) -> Result<PathBuf> {
    let target = root::target()?;
    let source = target.join("upgrade").join(revision);
    let program = source.join("andon");
    if program.is_file() {
        return Ok(program);
    }
    unpack(revision, &source)?;
    let mut cargo = command::cargo();
    // Into the present build folder and with the features of the whole workspace: most dependencies are there already.
    cargo.current_dir(&source).env("CARGO_TARGET_DIR", &target).args(["build", "--workspace", "--bin", "andon"]);
    if !command::stream(cargo, |_| {})?.success() {
        bail!("the commit {revision} does not build");
    }
    fs::copy(target.join("debug/andon"), &program).context("keeping the binary of the release before")?;
    Ok(program)
}

fn unpack(revision: &str, source: &Path) -> Result<()> {
    fs::create_dir_all(source).with_context(|| format!("making {}", source.display()))?;
    let packed = source.join("source.tar");
    let mut git = Command::new("git");
    git.current_dir(root::root()).args(["archive", "--format=tar", "--output"]).arg(&packed).arg(revision);
    command::output(git)?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&packed).arg("-C").arg(source);
    command::output(tar)?;
    fs::remove_file(&packed).context("removing the packed source")
}
