//! `cargo xtask torture`: the packaging line under load, with everything going wrong that can, and the product killed
//! again and again; then it is looked whether anything was lost or done twice.
//!
//! The checker shares no code with the product. It knows what machines published and what was acknowledged to them, the
//! offices' own files, and what the program's commands say.

mod chance;
mod check;
mod effects;
mod http;
mod machines;
mod mqtt;
mod parts;
mod people;
mod plan;
mod project;
mod proxy;
mod report;
mod rule;
mod samples;
mod subscriber;
mod time;
mod world;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::chance::Chance;
use self::parts::Place;
use self::report::{Bar, Report};
use self::world::World;
use crate::clock::{Stopwatch, unix_us};
use crate::{command, root, setup};

/// After so many kills everything is mended and checked in full.
const CHECK_EVERY: u64 = 250;

/// Kills of the tests, and their seed.
const OF_TESTS: u64 = 20;
const SEED_OF_TESTS: u64 = 1;

/// How much is tortured, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often the product is killed.
    #[arg(long, default_value_t = 100)]
    pub(crate) kills: u64,
    /// Ends after so many minutes, also with fewer kills.
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// What is drawn is drawn from this number; default: another one each time.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Tortures this binary instead of building one.
    #[arg(long)]
    pub(crate) andon: Option<PathBuf>,
    /// Messages a second of each of the two sites.
    #[arg(long, default_value_t = 30)]
    pub(crate) rate: u64,
    /// Prints one JSON line at the end.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keeps the folder of the run also when nothing was wrong.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let andon = match &arguments.andon {
        Some(andon) => andon.clone(),
        None => built()?,
    };
    let seed = arguments.seed.unwrap_or_else(|| u64::try_from(unix_us() % 1_000_000).unwrap_or(0));
    let folder = root::target()?.join("torture").join(format!("seed-{seed}"));
    if folder.exists() {
        // What was ended from outside has left its disk.
        parts::unmount(&folder.join("data"));
        fs::remove_dir_all(&folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // The binary is built again while this runs: what is tortured stays what it was.
    let own = folder.join("andon");
    fs::copy(&andon, &own).with_context(|| format!("copying {}", andon.display()))?;
    let mut world = World::start(Place::new(folder.clone(), own), arguments.rate, seed)?;
    let mut report = Report::new(seed, arguments, &world.left_out);
    let tortured = torture(&mut world, arguments, seed, &mut report);
    report.fill(&world);
    if let Err(error) = tortured {
        report.violations.push(format!("it could not go on: {error:#}"));
    }
    report.print(arguments.json);
    if report.violations.is_empty() {
        drop(world);
        if !arguments.keep {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        return Ok(());
    }
    world.kill();
    if let Some(disk) = &world.disk {
        disk.keep().context("keeping the data folder")?;
    }
    bail!("{} violations, named above; everything is kept in {}", report.violations.len(), folder.display())
}

/// What the tests of the project include: a few kills, always the same.
pub(crate) fn of_tests() -> Result<()> {
    let (kills, seed) = (OF_TESTS, Some(SEED_OF_TESTS));
    run(&Arguments { kills, minutes: Some(4), seed, andon: None, rate: 30, json: false, keep: false })
}

/// Kills until it was done often enough, and looks whether all is well.
fn torture(world: &mut World, arguments: &Arguments, seed: u64, report: &mut Report) -> Result<()> {
    let mut chance = Chance::of(seed, "lives");
    let stopwatch = Stopwatch::start();
    let bar = Bar::new(arguments.kills);
    let over = |kills| {
        let minutes = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
        kills == arguments.kills || minutes.is_some_and(|minutes| stopwatch.elapsed() >= minutes)
    };
    let mut kills = 0;
    while !over(kills) {
        kills += 1;
        let told = world.live(&mut chance)?;
        bar.tell(kills, &told);
        report.violations.append(&mut world.broken);
        // Between kills only what is quickly found: the offices' files.
        report.violations.extend(effects::doubled(&effects::read(&world.place.offices())?));
        if !report.violations.is_empty() {
            return Ok(());
        }
        if kills % CHECK_EVERY == 0 || over(kills) {
            bar.tell(kills, "everything is mended, and checked in full");
            check::all(world, report)?;
            if !report.violations.is_empty() {
                return Ok(());
            }
            world.book.pause(false);
        }
    }
    Ok(())
}

/// A binary as the tests have it: it is built with them, and a build by itself would have other features.
fn built() -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["test", "--workspace", "--no-run", "--test", "product"]);
    if !cargo.status().context("starting cargo")?.success() {
        bail!("andon does not build");
    }
    Ok(root::target()?.join("debug/andon"))
}
