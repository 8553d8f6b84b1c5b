//! `cargo xtask fuzz`: runs the targets of `fuzz/`, one after the other, at low priority, and sums up what came of it.
//!
//! It needs no tool beside the compiler of the repository and a C++ compiler: the coverage that libFuzzer follows is a
//! pass of LLVM, which every compiler has. Sanitizers would need a nightly compiler and find what our code, which has
//! no `unsafe`, cannot do. Assertions and checks of overflow are on.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

use crate::clock::Stopwatch;
use crate::{command, process, root};

/// What the compiler adds so that libFuzzer sees where an input went and what was compared.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
];
/// What an input may take before it is a finding. Generous, because whoever fuzzes at low priority waits for others.
const LIMITS: [&str; 3] = ["-timeout=120", "-report_slow_units=30", "-rss_limit_mb=4096"];
/// How often it is looked whether a target has had its time.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Lines that are shown of what a target said last, where it found something.
const SHOWN_LINES: usize = 40;

/// Which target and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The target; all of them, one after the other, when none is named.
    target: Option<String>,
    /// How long each target runs, in minutes of processor time: on a busy machine it takes longer.
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u32>,
    /// How long each target runs, in seconds of processor time.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Targets that run beside each other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Names the targets and runs none.
    #[arg(long)]
    list: bool,
}

/// What came of a run.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    /// Inputs that were tried.
    runs: u64,
    /// Edges of the code that were seen.
    coverage: u64,
    /// Inputs that are kept, because each sees something of its own.
    kept: u64,
    /// The input that was found, and why it is one.
    found: Option<PathBuf>,
}

/// A target that ran.
struct Ran {
    target: String,
    seconds: u64,
    figures: Figures,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let manifest = root::root().join("fuzz/Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let known = targets(&text)?;
    if arguments.list {
        println!("{}", known.join("\n"));
        return Ok(());
    }
    let chosen = match &arguments.target {
        None => known,
        Some(name) if known.contains(name) => vec![name.clone()],
        Some(name) => bail!("no fuzz target `{name}`; there are: {}", known.join(", ")),
    };
    let seconds = arguments.minutes.map_or(arguments.seconds, |minutes| minutes.saturating_mul(60));
    let programs = build(&manifest, &chosen)?;
    let all = all(&programs, seconds, arguments.jobs)?;
    println!("\n{}", table(&all));
    let found: Vec<String> = all.iter().filter_map(advice).collect();
    if found.is_empty() {
        return Ok(());
    }
    println!("\n{}", found.join("\n"));
    bail!("{} of {} targets found something", found.len(), all.len())
}

/// Runs all targets, so many beside each other, each as soon as there is a place.
fn all(programs: &[(String, PathBuf)], seconds: u32, jobs: u8) -> Result<Vec<Ran>> {
    let waiting = Mutex::new(programs.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let job = || {
        let mut ran = Vec::new();
        while let Some((target, program)) = next() {
            println!("== {target}, {seconds} s");
            ran.push(fuzz(target, program, seconds)?);
            println!("{}", ran.last().map(row).unwrap_or_default());
        }
        Ok(ran)
    };
    let jobs: Vec<Result<Vec<Ran>>> = thread::scope(|scope| {
        let started: Vec<_> = (0..jobs).map(|_| scope.spawn(job)).collect();
        started.into_iter().map(|job| job.join().unwrap_or_else(|_| bail!("a job has ended by a panic"))).collect()
    });
    let mut all: Vec<Ran> = jobs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    all.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(all)
}

/// The names of the fuzz targets.
pub(crate) fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("reading fuzz/Cargo.toml")?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array);
    let names = programs.into_iter().flatten().filter_map(|program| program.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Builds the targets and says where each program is.
fn build(manifest: &Path, targets: &[String]) -> Result<Vec<(String, PathBuf)>> {
    if command::find("c++").is_none() {
        bail!("fuzzing needs a C++ compiler, because libFuzzer is written in C++: apt-get install g++");
    }
    let platform = platform()?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--release", "--target", &platform, "--manifest-path"]).arg(manifest);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    // With a target named, these concern the programs and not what runs while they are built.
    cargo.env("RUSTFLAGS", FLAGS.join(" "));
    if !cargo.status().context("starting cargo")?.success() {
        bail!("the fuzz targets do not build");
    }
    let folder = folder()?.join(platform).join("release");
    Ok(targets.iter().map(|target| (target.clone(), folder.join(target))).collect())
}

/// The platform of the compiler.
fn platform() -> Result<String> {
    let mut rustc = Command::new("rustc");
    rustc.arg("-vV").current_dir(root::root());
    let said = command::output(rustc)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it builds for")
}

/// The build folder of the fuzz targets; what they find lies there as well, where git does not look.
fn folder() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root::root().join("fuzz/Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo for the build folder of the fuzz targets")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Runs a target. What widens the coverage goes to the build folder: the corpus holds what people chose.
fn fuzz(target: &str, program: &Path, seconds: u32) -> Result<Ran> {
    let folder = folder()?;
    let (found, failing) = (folder.join("found").join(target), folder.join("artifacts").join(target));
    for made in [&found, &failing] {
        fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
    }
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(program).args([&found, &root::root().join("fuzz/corpus").join(target)]);
    nice.args(LIMITS).arg(format!("-artifact_prefix={}/", failing.display()));
    nice.arg("-print_final_stats=1");
    let words = root::root().join("fuzz/words").join(target);
    if words.is_file() {
        nice.arg(format!("-dict={}", words.display()));
    }
    nice.current_dir(root::root().join("fuzz")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let stopwatch = Stopwatch::start();
    let mut child = nice.spawn().with_context(|| format!("starting {}", program.display()))?;
    let said = child.stderr.take().context("its output is lost")?;
    let process = Pid::from_child(&child);
    let ends = thread::spawn(move || ends(process, u64::from(seconds)));
    let mut figures = Figures::default();
    let mut last = Vec::new();
    for line in BufReader::new(said).split(b'\n') {
        let line = line.with_context(|| format!("reading what {target} says"))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        figures.hear(&line);
        if !is_progress(&line) {
            last.push(line);
        }
    }
    let status = child.wait().with_context(|| format!("waiting for {target}"))?;
    let is_over = ends.join().unwrap_or(false) && figures.found.is_none();
    if !is_over {
        println!("{}", last.get(last.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n"));
        if figures.found.is_none() {
            bail!("{target} ended with {status} and has found nothing");
        }
    }
    Ok(Ran { target: target.to_owned(), seconds: stopwatch.elapsed().as_secs(), figures })
}

/// Ends a target that has had its processor time; whether it was so. The clock on the wall would say nothing of what
/// was tried: a target has low priority.
fn ends(target: Pid, seconds: u64) -> bool {
    while let Some(used) = process::cpu_us_until_end(target) {
        if used >= seconds * 1_000_000 {
            // libFuzzer ends by it as by SIGINT, which who is started in the background of a shell ignores.
            return rustix::process::kill_process(target, Signal::TERM).is_ok();
        }
        thread::sleep(LOOK_EVERY);
    }
    false
}

impl Figures {
    /// Takes what a line of libFuzzer says.
    fn hear(&mut self, line: &str) {
        if let Some(path) = line.split_once("Test unit written to ").map(|(_, path)| path.trim()) {
            // Slow ones are told on the way and end nothing.
            if !path.contains("slow-unit-") {
                self.found = Some(PathBuf::from(path));
            }
        } else if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = runs.trim().parse().unwrap_or(self.runs);
        } else if line.starts_with('#') {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let behind = |word: &str| {
                let at = words.iter().position(|known| *known == word)?;
                words.get(at + 1)?.split('/').next()?.parse().ok()
            };
            self.runs = words.first().and_then(|word| word.trim_start_matches('#').parse().ok()).unwrap_or(self.runs);
            self.coverage = behind("cov:").unwrap_or(self.coverage);
            self.kept = behind("corp:").unwrap_or(self.kept);
        }
    }
}

/// Whether a line only says how far it is.
fn is_progress(line: &str) -> bool {
    line.starts_with('#') || line.starts_with("INFO:") || line.starts_with("\tNEW_FUNC") || line.starts_with("stat::")
}

fn row(ran: &Ran) -> String {
    let Figures { runs, coverage, kept, found } = &ran.figures;
    let found = if found.is_some() { "FOUND" } else { "-" };
    format!("{:<20} {:>7} {runs:>12} {coverage:>9} {kept:>7} {found:>6}", ran.target, ran.seconds)
}

fn table(all: &[Ran]) -> String {
    let mut table =
        format!("{:<20} {:>7} {:>12} {:>9} {:>7} {:>6}", "target", "seconds", "runs", "coverage", "kept", "");
    for ran in all {
        let _ = write!(table, "\n{}", row(ran));
    }
    table
}

/// What to do with what was found.
fn advice(ran: &Ran) -> Option<String> {
    let found = ran.figures.found.as_ref()?;
    let target = &ran.target;
    Some(format!(
        "{target}: {}\n  keep it as fuzz/corpus/{target}/WHAT-IT-IS; then `cargo test -p andon --test corpus {target}` \
         fails until it is mended",
        found.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_programs_of_the_fuzz_crate() {
        let manifest = "[package]\nname = 'fuzz'\n[[bin]]\nname = 'json'\npath = 'a.rs'\n[[bin]]\nname = 'frame'\n";
        assert_eq!(targets(manifest).unwrap(), ["json", "frame"]);
        assert!(targets("[package]\nname = 'fuzz'").unwrap().is_empty());
    }

    #[test]
    fn a_process_is_ended_once_it_has_had_its_time() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        assert!(ends(Pid::from_child(&busy), 1));
        assert!(!busy.wait().unwrap().success());
        let mut ended = Command::new("true").spawn().unwrap();
        assert!(!ends(Pid::from_child(&ended), 1));
        ended.wait().unwrap();
    }

    fn heard(lines: &[&str]) -> Figures {
        let mut figures = Figures::default();
        for line in lines {
            figures.hear(line);
        }
        figures
    }

    #[test]
    fn figures_are_those_of_the_last_line() {
        let figures = heard(&[
            "INFO: Seed: 1",
            "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb",
            "#65536\tpulse  cov: 812 ft: 2000 corp: 31/910b lim: 4096 exec/s: 32768 rss: 41Mb",
            "#70000\tDONE   cov: 815 ft: 2001 corp: 32/911b lim: 4096 exec/s: 35000 rss: 41Mb",
            "stat::number_of_executed_units: 70001",
        ]);
        assert_eq!(figures, Figures { runs: 70_001, coverage: 815, kept: 32, found: None });
    }

    #[test]
    fn what_was_found_is_named_and_slow_inputs_are_no_findings() {
        let slow = "artifact_prefix='a/'; Test unit written to a/slow-unit-1";
        assert_eq!(heard(&[slow]).found, None);
        let crash = "artifact_prefix='a/'; Test unit written to a/crash-1";
        let figures = heard(&[slow, crash, "#5\tNEW cov: 3"]);
        assert_eq!(figures.found.as_deref(), Some(Path::new("a/crash-1")));
        let ran = Ran { target: "frame".into(), seconds: 9, figures };
        assert!(advice(&ran).unwrap().contains("fuzz/corpus/frame/"));
        assert!(table(&[ran]).lines().last().unwrap().ends_with("FOUND"));
    }
}
