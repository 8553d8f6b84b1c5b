//! A copy of the tree in which mutants are built: within the build folder, so that what was built of others is used.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Mutant;
use crate::{command, root};

/// The last lines of a failed program that are told.
const SAID_LINES: usize = 20;

/// One less than there are by default, by which the build of a mutant has another name.
const CODEGEN_UNITS: u32 = 255;

/// The copy.
pub(crate) struct Copy {
    tree: PathBuf,
    target: PathBuf,
    /// The packages of the repository.
    members: Vec<String>,
}

/// How a test program ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// The end of what it said.
    pub(crate) said: String,
}

impl Copy {
    /// Copies what changed since the last time.
    pub(crate) fn make() -> Result<Self> {
        let metadata = cargo_metadata::MetadataCommand::new()
            .manifest_path(root::root().join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("asking cargo for the packages")?;
        let members = metadata.packages.iter().map(|package| package.name.to_string()).collect();
        let target = metadata.target_directory.into_std_path_buf();
        let tree = target.join("mutants/tree");
        let root = root::root();
        fs::create_dir_all(&tree).with_context(|| format!("making {}", tree.display()))?;
        let files = root::files(&root)?;
        for file in &files {
            copied(&root.join(file), &tree.join(file))?;
        }
        for left in root::files(&tree)?.into_iter().filter(|file| files.binary_search(file).is_err()) {
            fs::remove_file(tree.join(&left)).with_context(|| format!("removing {}", left.display()))?;
        }
        Ok(Self { tree, target, members })
    }

    /// Breaks the promise in the copy.
    pub(crate) fn apply(&self, mutant: &Mutant) -> Result<()> {
        let mut git = Command::new("git");
        git.arg("apply").arg(root::root().join(mutant.path())).current_dir(&self.tree);
        // The copy lies within a repository and is no part of it.
        git.env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap_or(&self.tree));
        command::output(git).map(drop).with_context(|| format!("applying {}", mutant.name))
    }

    /// Mends it again.
    pub(crate) fn restore(&self, mutant: &Mutant) -> Result<()> {
        let root = root::root();
        mutant.files.iter().try_for_each(|file| copied(&root.join(file), &self.tree.join(file)))
    }

    /// Cargo in the copy.
    ///
    /// It shares the build folder for what was built of others. Our packages have a profile that differs in a detail,
    /// so that they are built under names of their own: cargo takes the same package of two trees for one, and
    /// something that a mutant is in would be taken for what it was made from.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = command::cargo();
        for member in &self.members {
            cargo.arg("--config").arg(format!("profile.dev.package.{member}.codegen-units={CODEGEN_UNITS}"));
        }
        cargo.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target).env_remove("CARGO_MANIFEST_DIR");
        cargo.env("ANDON_TESTDATA", root::outside("ANDON_TESTDATA", "../shared/data"));
        cargo
    }

    /// Runs tests; `None` when nothing is heard of them for so long.
    pub(crate) fn within(mut cargo: Command, longest: Duration) -> Result<Option<Ran>> {
        use std::os::unix::process::CommandExt as _;
        // A group of its own, so that what hangs goes with all it has started.
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = cargo.spawn().context("starting cargo")?;
        let (told, lines) = mpsc::channel();
        let out = child.stdout.take().context("its output is a pipe")?;
        let mut err = child.stderr.take().context("its messages are a pipe")?;
        let reader = thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(std::io::Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            // What it said beside is only told where it fails.
            drop(err.read_to_string(&mut text));
            text
        });
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(longest) {
                Ok(line) => said.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let group = rustix::process::Pid::from_child(&child);
                    rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
                        .context("ending what hangs")?;
                    child.wait().context("waiting for cargo")?;
                    return Ok(None);
                }
            }
        }
        let status = child.wait().context("waiting for cargo")?;
        drop(reader.join());
        said.extend(errors.join().unwrap_or_default().lines().map(str::to_owned));
        let count = |end: &str| said.iter().filter(|line| line.starts_with("test ") && line.ends_with(end)).count();
        let (passed, failed) = (count(" ... ok"), count(" ... FAILED"));
        let last = said.len().saturating_sub(SAID_LINES);
        let said = said.get(last..).unwrap_or_default().join("\n");
        Ok(Some(Ran { code: status.code(), passed, failed, said }))
    }
}

/// Copies a file that differs; what is the same keeps its time, so that it is not built again.
fn copied(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(to, bytes).with_context(|| format!("writing {}", to.display()))?;
    let mode = fs::metadata(from).with_context(|| format!("looking at {}", from.display()))?.permissions();
    fs::set_permissions(to, mode).with_context(|| format!("making {} as it was", to.display()))
}
