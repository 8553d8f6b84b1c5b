//! `cargo xtask bench`: every measurement, one after the other; at the end one table, the same as JSON, and a picture.
//! Where only some are made, the others keep the figures of their last run.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};

use super::figure::{self, Figure};
use super::{sheet, signal};
use crate::{command, root};

/// The picture of the last whole run.
const PICTURE: &str = "docs/bench.svg";

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
    /// Only these measurements; the figures of the others stay those of their last run.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { runs: 5, andon: None, only: Vec::new() }
    }
}

const ALL: [&str; 9] = ["signal", "source", "listener", "http", "start", "drain", "historian", "rules", "workflow"];

/// The command. One measurement that fails keeps no other from being made.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(unknown) = arguments.only.iter().find(|name| !ALL.contains(&name.as_str())) {
        bail!("there is no measurement {unknown}; there is {}", ALL.join(", "));
    }
    let (andon, folder, _broker) = signal::subjects(arguments.andon.as_deref())?;
    let (lines, json) = (folder.join("figures.jsonl"), folder.join("figures.json"));
    let asked = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut kept = read(&lines)?;
    kept.retain(|figure| !asked(&figure.bench));
    write(&lines, &kept)?;
    let runs = arguments.runs.to_string();
    let mut failed = Vec::new();
    for name in ALL {
        if !asked(name) {
            continue;
        }
        println!("\n== {name}");
        let mut bench = command::cargo();
        bench.args(["xtask", "bench", name]).env(figure::FILE, &lines);
        match name {
            "historian" => {}
            "rules" => {
                bench.args(["--runs", &runs]);
            }
            "start" => {
                bench.arg("--andon").arg(&andon);
            }
            _ => {
                bench.arg("--andon").arg(&andon).args(["--runs", &runs]);
            }
        }
        if !bench.status().with_context(|| format!("starting the measurement {name}"))?.success() {
            failed.push(name);
        }
    }
    let mut figures = read(&lines)?;
    figures.sort_by_key(|figure| ALL.iter().position(|name| *name == figure.bench));
    println!("\n{}", sheet::table(&figures));
    fs::write(&json, serde_json::to_vec_pretty(&figures)?).with_context(|| format!("writing {}", json.display()))?;
    println!("the figures as JSON: {}", json.display());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let setting = format!("{cores} cores, fsync on; more to the right is better");
    let path = root::root().join(PICTURE);
    fs::write(&path, sheet::picture(&figures, &setting)).with_context(|| format!("writing {}", path.display()))?;
    println!("the picture: {}", path.display());
    if failed.is_empty() { Ok(()) } else { bail!("these measurements failed: {}", failed.join(", ")) }
}

/// The figures that measurements have told.
fn read(lines: &Path) -> Result<Vec<Figure>> {
    let text = fs::read_to_string(lines).unwrap_or_default();
    let figures = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    figures.with_context(|| format!("reading {}; remove it", lines.display()))
}

fn write(lines: &Path, figures: &[Figure]) -> Result<()> {
    let text: Vec<String> = figures.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let text: String = text.into_iter().map(|line| line + "\n").collect();
    fs::write(lines, text).with_context(|| format!("writing {}", lines.display()))
}
