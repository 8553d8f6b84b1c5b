//! `andon demo`: the packaging-line example, from two plants to their systems, told as it happens.
//!
//! Andon runs in this process. Machines and offices run in another one, which owns the story's clock: who kills this
//! process does not kill them, and the next demo of the same folder finds them and goes on.

mod count;
mod neighbour;
mod places;
mod project;
mod teller;
mod words;

use crate::{
    args::{Demo, Where},
    commands::check::problems,
    output::{self, NO, failure},
    target::Target,
};
use andon_contract::load;
use andon_demo::world::Andon;
use andon_node::{Node, Options, StopSignal, clock, given};
use anyhow::Context;
use neighbour::{Neighbour, Telling};
use places::{Places, Usual};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use teller::Teller;
use tracing_subscriber::EnvFilter;

/// Between two looks at what has happened.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks in a row at which the world may be silent before it is looked for.
const SILENT_MAX: u32 = 5;
/// So long may Andon take until it hears everybody.
const READY_MAX: Duration = Duration::from_mins(1);
/// So long may both stories take with `--once`.
const ONCE_MAX: Duration = Duration::from_mins(5);
/// How many times as fast as the wall both stories are told, and how much of them until they have caught up with it, in
/// seconds. They take about forty minutes; played once they must not become slow where something takes longer.
const ONCE: (u32, u32) = (60, 4 * 3_600);
const LIVE: (u32, u32) = (20, 45 * 60);

/// Where everything of the demo lives; a temporary folder goes with it, unless something went wrong.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn of(args: &Demo) -> anyhow::Result<Self> {
        let folder = if let Some(dir) = &args.data {
            Self { path: std::path::absolute(dir)?, temporary: false }
        } else {
            let path = std::env::temp_dir().join(format!("andon-demo-{}", std::process::id()));
            // One of this name is left of a demo that was killed long ago.
            let _ = fs::remove_dir_all(&path);
            Self { path, temporary: true }
        };
        fs::create_dir_all(&folder.path).with_context(|| folder.path.display().to_string())?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

pub(super) fn run(args: &Demo) -> anyhow::Result<ExitCode> {
    let mut folder = Folder::of(args)?;
    let project = folder.path.join("project");
    project::write(&project)?;
    project::set(&project, &args.set)?;
    if let Err(found) = load(&project) {
        problems(&found, args.json);
        return Err(failure(NO, "the project is refused", "mend the problems above"));
    }
    log_to(&folder.path.join("andon.log"))?;
    let played = play(args, &folder, &project);
    if let (Err(_), true) = (&played, folder.temporary) {
        folder.temporary = false;
        output::hint(format!("kept to be looked at: {}", folder.path.display()));
    }
    played
}

/// Logs go to a file: the terminal is for the story.
fn log_to(path: &Path) -> anyhow::Result<()> {
    let file = File::options().create(true).append(true).open(path).with_context(|| path.display().to_string())?;
    let filter = EnvFilter::try_from_env("ANDON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(Mutex::new(file)).json().flatten_event(true).init();
    Ok(())
}

/// A demo at work.
struct Playing<'a> {
    args: &'a Demo,
    dir: &'a Path,
    project: &'a Path,
    /// `None` only while it is started anew.
    node: Option<Node>,
    places: Places,
    usual: Usual,
    world: Neighbour,
    target: Target,
    stop: Arc<AtomicBool>,
}

fn play(args: &Demo, folder: &Folder, project: &Path) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let (speed, length) = if args.once { ONCE } else { LIVE };
    let usual = Usual::take();
    let telling = Telling { speed, length, attached: folder.temporary, usual: usual.are_ours() };
    let world = Neighbour::find(&folder.path.join("world"), telling)?;
    let started = start(&world, &usual, project, &folder.path.join("data"));
    let (node, places, target) = match started {
        Ok(started) => started,
        Err(error) => {
            // One that was there already may be somebody else's.
            if world.is_own() {
                world.stop();
            }
            return Err(error);
        }
    };
    let node = Some(node);
    let mut playing = Playing { args, dir: &folder.path, project, node, places, usual, world, target, stop };
    let told = playing.begin().and_then(|()| playing.tell());
    // Whatever came of it: this process ends, and with it its world.
    if let Some(node) = playing.node.take() {
        node.stop();
    }
    playing.world.stop();
    told.map(|()| ExitCode::SUCCESS)
}

/// Starts Andon among its neighbours.
fn start(world: &Neighbour, usual: &Usual, project: &Path, data: &Path) -> anyhow::Result<(Node, Places, Target)> {
    project::fit(project, world.found().broker.is_some())?;
    let places = Places::choose(usual)?;
    given::give(places.variables(world.found()));
    let options =
        Options { project: project.to_owned(), data: data.to_owned(), api: Some(places.api.clone()), instance: None };
    let node = super::run::start(&options)?;
    let target = Target::find(&Where { data: None, api: Some(node.api().to_string()), json: false })?;
    Ok((node, places, target))
}

/// Set once somebody wants this process to end.
fn stop_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signal = runtime.block_on(async { StopSignal::listen() })?;
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(signal.wait());
        set.store(true, Ordering::SeqCst);
    })?;
    Ok(stop)
}

impl Playing<'_> {
    fn say(&self, text: impl std::fmt::Display) {
        if !self.args.json {
            output::line(text);
        }
    }

    fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Says where everything is, and lets the story begin once Andon hears everybody.
    fn begin(&self) -> anyhow::Result<()> {
        let found = self.world.found();
        self.say(format!("Andon runs, its API is http://{}", self.api()));
        self.say(format!("the offices of both plants are {}, their files are in {}", found.offices, self.files()));
        let broker = found.broker.as_ref().map_or("Andon as well", |broker| broker.address.as_str());
        let listener = &self.places.listener;
        self.say(format!("the machines of hamburg publish to mqtt://{listener}, those of monterrey to {broker}"));
        self.meet()?;
        self.say(format!("look at it with: andon status --data {}", self.dir.join("data").display()));
        self.say("");
        Ok(())
    }

    /// Where the API is.
    fn api(&self) -> String {
        self.node.as_ref().map(|node| node.api().to_string()).unwrap_or_default()
    }

    fn files(&self) -> String {
        self.dir.join("world/offices").display().to_string()
    }

    /// Tells the world where Andon is, once that hears everybody.
    fn meet(&self) -> anyhow::Result<()> {
        let ready = || {
            let status = self.target.status().ok()?;
            (status.running && status.sources.iter().all(|source| source.connected)).then_some(())
        };
        let begun = clock::monotonic().std();
        while ready().is_none() {
            if self.is_to_stop() {
                return Ok(());
            }
            if clock::monotonic().std().saturating_sub(begun) > READY_MAX {
                let log = self.dir.join("andon.log");
                return Err(failure(NO, "Andon does not become ready", format!("look at {}", log.display())));
            }
            thread::sleep(LOOK_EVERY / 4);
        }
        self.world.meet(&Andon { listener: self.places.listener.clone(), api: self.api() })
    }

    /// Tells what happens until somebody wants an end, or the stories have one and are played once.
    fn tell(&mut self) -> anyhow::Result<()> {
        let mut teller = Teller::new(self.args.json);
        let begun = clock::monotonic().std();
        let (mut silent, mut over, mut last) = (0, false, None);
        while !self.is_to_stop() {
            thread::sleep(LOOK_EVERY);
            let Some(stand) = self.world.stand() else {
                silent += 1;
                if silent > SILENT_MAX {
                    self.look_for_the_world()?;
                    silent = 0;
                }
                continue;
            };
            silent = 0;
            teller.look(&self.target, &stand)?;
            let stand = last.insert(stand);
            if over {
                continue;
            }
            let missing = teller.missing(&self.target, stand)?;
            over = missing.is_empty();
            if over && self.args.once {
                return self.finish(stand);
            }
            if over {
                self.say("\nboth stories are told; ordinary production goes on, Ctrl-C ends it\n");
            }
            if self.args.once && clock::monotonic().std().saturating_sub(begun) > ONCE_MAX {
                let log = self.dir.join("andon.log");
                return Err(failure(
                    NO,
                    format!("the stories have not come to their end: {}", missing.join("; ")),
                    format!("look at {}", log.display()),
                ));
            }
        }
        // Whoever ends it reads what has come of it.
        match last {
            Some(stand) if self.args.json => self.finish(&stand),
            _ => Ok(()),
        }
    }

    /// The world is gone: it is started again, and goes on where it was. Where it comes back at other places, Andon is
    /// started again as well.
    fn look_for_the_world(&mut self) -> anyhow::Result<()> {
        let before = self.places.variables(self.world.found());
        self.world.look()?;
        if self.places.variables(self.world.found()) != before {
            if let Some(node) = self.node.take() {
                node.stop();
            }
            let (node, places, target) = start(&self.world, &self.usual, self.project, &self.dir.join("data"))?;
            (self.node, self.places, self.target) = (Some(node), places, target);
            self.say(format!(
                "\nthe offices are at {} now; Andon's API is http://{}\n",
                self.world.found().offices,
                self.api()
            ));
        }
        self.meet()
    }

    /// Says what both stories have brought about.
    fn finish(&self, stand: &andon_demo::world::Stand) -> anyhow::Result<()> {
        let summary = count::summary(&self.target, stand)?;
        if self.args.json {
            output::line(summary);
            return Ok(());
        }
        let number = |pointer: &str| summary.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
        self.say("");
        self.say(format!(
            "both stories are told: {} events, {} runs done and {} faulted, {} exceptions",
            number("/events"),
            number("/runs/completed"),
            number("/runs/faulted"),
            number("/exceptions")
        ));
        self.say(format!(
            "{} documents at the systems, {} of them lead back to samples of the machines; {} alarms in maintenance",
            number("/lineage/documents"),
            number("/lineage/complete"),
            number("/suppressed_in_maintenance")
        ));
        if self.args.data.is_some() {
            let data = self.dir.join("data");
            self.say(format!("kept: andon list calls --data {0}; andon explain ID --data {0}", data.display()));
        }
        Ok(())
    }
}
