//! The world of the demo as the demo sees it: found alive, or started; asked, and ended when the demo ends.

use crate::output::{NO, failure};
use andon_demo::world::{self, Andon, Found, Stand};
use anyhow::Context;
use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How often a world that starts, or ends, is looked for, and how long between.
const LOOKS_MAX: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a new world tells its story.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    /// How many times as fast as the wall.
    pub(super) speed: u32,
    /// In seconds of the story.
    pub(super) length: u32,
    /// Ends with this process, however that ends.
    pub(super) attached: bool,
    /// At the usual ports where they are free.
    pub(super) usual: bool,
}

/// A world that answers.
pub(super) struct Neighbour {
    dir: PathBuf,
    telling: Telling,
    found: Found,
    /// Where this process started it. Its stdin is held as long as this value lives.
    child: Option<Child>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Neighbour {
    /// The world of a folder: the one that lives there, else a new one.
    pub(super) fn find(dir: &Path, telling: Telling) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = andon_node::http_client();
        let nobody =
            Found { pid: 0, nonce: String::new(), control: String::new(), offices: String::new(), broker: None };
        let mut neighbour = Self { dir: dir.to_owned(), telling, found: nobody, child: None, client, runtime };
        neighbour.look()?;
        Ok(neighbour)
    }

    /// Where it is found.
    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// Whether this process has started it.
    pub(super) fn is_own(&self) -> bool {
        self.child.is_some()
    }

    /// How it is; `None` where it does not answer.
    pub(super) fn stand(&self) -> Option<Stand> {
        self.ask(&self.found)
    }

    /// Tells it where Andon is.
    pub(super) fn meet(&self, andon: &Andon) -> anyhow::Result<()> {
        let request = self.client.post(self.place("/andon")).json(andon);
        let answer = self.runtime.block_on(async { request.send().await })?;
        anyhow::ensure!(answer.status().is_success(), "the machines and offices do not go on: {}", answer.status());
        Ok(())
    }

    /// Looks for it again where it no longer answers, and starts it where it is gone; it goes on with its story.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        for _ in 0..LOOKS_MAX {
            if let Some(found) = world::found(&self.dir).unwrap_or_default()
                && self.ask(&found).is_some()
            {
                self.found = found;
                return Ok(());
            }
            let gone = match &mut self.child {
                None => true,
                // One that found another one in the folder ends, and the other one is found.
                Some(child) => child.try_wait()?.is_some(),
            };
            if gone {
                self.child = Some(self.start()?);
            }
            thread::sleep(LOOK_EVERY);
        }
        Err(failure(
            NO,
            "the machines and offices do not start",
            format!("look at {}", self.dir.join("world.log").display()),
        ))
    }

    fn start(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(self.dir.join("world.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("world").arg("--dir").arg(&self.dir);
        command.arg("--speed").arg(self.telling.speed.to_string());
        command.arg("--length").arg(self.telling.length.to_string());
        if self.telling.usual {
            command.arg("--usual");
        }
        if self.telling.attached {
            command.arg("--attached").stdin(Stdio::piped());
        } else {
            command.stdin(Stdio::null());
        }
        // Ctrl-C is for the demo, which then ends its world itself.
        command.stdout(Stdio::null()).stderr(log).process_group(0);
        Ok(command.spawn()?)
    }

    /// Ends it and waits until it is gone.
    pub(super) fn stop(mut self) {
        let request = self.client.post(self.place("/stop"));
        let asked = self.runtime.block_on(async { request.send().await });
        if asked.is_err() {
            return;
        }
        for _ in 0..LOOKS_MAX {
            let gone = match &mut self.child {
                Some(child) => child.try_wait().is_ok_and(|ended| ended.is_some()),
                None => self.stand().is_none() && world::found(&self.dir).ok().flatten().is_none(),
            };
            if gone {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn place(&self, path: &str) -> String {
        format!("http://{}/{}{path}", self.found.control, self.found.nonce)
    }

    /// Asks the world at a place, if it is still that one.
    fn ask(&self, found: &Found) -> Option<Stand> {
        let request = self.client.get(format!("http://{}/{}", found.control, found.nonce)).timeout(LOOK_EVERY * 40);
        let stand = self.runtime.block_on(async {
            let answer = request.send().await.ok()?.error_for_status().ok()?;
            answer.json::<Stand>().await.ok()
        })?;
        (stand.nonce == found.nonce).then_some(stand)
    }
}

impl Drop for Neighbour {
    /// A world that is attached ends with its stdin; the other one lives on for the next demo of its folder.
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut().filter(|_| self.telling.attached) {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
