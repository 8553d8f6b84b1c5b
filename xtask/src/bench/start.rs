//! `cargo xtask bench start`: how long an instance takes to be ready again after `kill -9`, with many samples behind it
//! and many events that wait: for a workflow whose system is down, and for a subscriber that is.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::broker::free_port;
use super::figure::{self, Figure};
use super::publisher::{self, Plan};
use super::subject::{self, Start};
use super::{drain, http, listener, project, signal};
use crate::clock::Stopwatch;
use crate::{process, setup};

/// The longest time until it is ready, seconds.
const READY_S_MAX: f64 = 2.0;

/// Messages a second with which the samples are brought in.
const RATE: u32 = 200_000;

/// The number of the run.
const RUN: u32 = 9_001;

/// Samples that are posted before the events are counted again.
const BATCH: u32 = 400_000;

/// How long the events may take to come to be.
const EVENTS_MAX: Duration = Duration::from_mins(15);

/// How it is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Samples before the kill, in millions.
    #[arg(long, default_value_t = 50)]
    millions: u32,
    /// Events that wait at the kill, in thousands.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    events: u32,
    /// Measures this binary instead of building one.
    #[arg(long)]
    andon: Option<PathBuf>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let (andon, folder, _broker) = signal::subjects(arguments.andon.as_deref())?;
    let port = free_port()?;
    let folder = subject::folder(&folder, RUN, &files(port, free_port()?))?;
    let start = Start { program: &andon, folder: &folder, trace: None };
    let subject = start.run()?;
    let waiting = events(arguments.events * 1_000, subject.api)?;
    let length = Duration::from_secs(u64::from(arguments.millions) * 1_000_000 / u64::from(RATE));
    let published = publisher::publish(Plan { port, run: RUN, rate: RATE, length, connections: 4 })?;
    subject.kill()?;
    let subject = start.run()?;
    let (ready, rss) = (subject.ready_after.as_secs_f64(), process::rss_mib(subject.pid)?);
    subject.stop()?;
    let stored = listener::stored(&andon, &folder)?;
    let verdict = if ready < READY_S_MAX { "met" } else { "MISSED" };
    println!("{stored} samples, {waiting} events that wait; kill -9");
    println!("ready after {ready:.2} s (target < {READY_S_MAX}: {verdict}), {rss:.0} MiB");
    let name =
        format!("ready after kill -9 with {} M samples, {} k waiting events, s", arguments.millions, arguments.events);
    figure::tell(&[Figure::less("start", &name, ready).held_to(READY_S_MAX)])?;
    ensure!(stored >= published.acknowledged, "{} were acknowledged, {stored} are there", published.acknowledged);
    signal::clear(&folder);
    Ok(())
}

/// Lets so many events come to be, at least; how many there are that nobody has taken.
fn events(wanted: u32, api: std::net::SocketAddr) -> Result<u64> {
    let stopwatch = Stopwatch::start();
    let mut turn = 0;
    loop {
        let waiting = drain::waiting(&drain::get(api, "/v1/status")?, "hub -> subscriber (alarms)").unwrap_or(0);
        eprintln!("{waiting} events wait");
        if waiting >= u64::from(wanted) {
            return Ok(waiting);
        }
        if stopwatch.elapsed() > EVENTS_MAX {
            bail!("only {waiting} events wait after {} s", EVENTS_MAX.as_secs());
        }
        // A little more than one event of two samples.
        http::post_all(api, &http::bodies(BATCH, turn))?;
        turn += 1;
        drain::read_all(api)?;
    }
}

/// A listener for the samples, a source that is posted to whose values go to and fro over their limit, and what the
/// events wait for: a system and a broker at a port where nobody is.
fn files(port: u16, nobody: u16) -> Vec<(String, String)> {
    let mut assets = "site: posted\nzone: plant\ntimezone: UTC\nassets:\n".to_owned();
    for number in 0..http::ASSETS {
        let _ = writeln!(assets, "  asset-{number:03}: {{ class: posted }}");
    }
    let system = format!("protocol: rest\nbase: http://127.0.0.1:{nobody}\n{SYSTEM}");
    let subscriber = format!(
        "kind: mqtt\nbroker: mqtt://127.0.0.1:{nobody}\ntypes: [asset.alarm]\nqos: 1\ntopic: events/{{site}}/{{asset}}\n"
    );
    let own = [
        ("assets/posted.yaml", assets.as_str()),
        ("classes/posted.yaml", CLASS),
        ("rules/vibration.yaml", "kind: limit\non: posted.vibration\nseverity: { High: 700 }\n"),
        ("sources/posts.yaml", "kind: http\n"),
        ("subscribers/alarms.yaml", &subscriber),
        ("systems/eam.yaml", &system),
        ("routes.yaml", "- { capability: maintenance.request-work, site: '*', use: eam.create-request }\n"),
        ("capabilities/maintenance.request-work.yaml", CAPABILITY),
        ("workflows/on-alarm.yaml", WORKFLOW),
    ];
    let own = own.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
    project::listening(RUN, port).into_iter().chain(own).collect()
}

const CLASS: &str = "signals:\n  vibration: { kind: f64, unit: mm/s }\nparameters:\n  vibration.High: 31\n";

const SYSTEM: &str = "\
zone: plant
timeout: 10 s
operations:
  create-request:
    implements: maintenance.request-work
    idempotency: key
    request: { method: POST, path: /requests, body: { title: '${ .title }', reference: '${ $reference }' } }
    response: { document: '${ .number }', output: { document: '${ .number }' } }
";

const CAPABILITY: &str = "\
version: 1
domain: maintenance
owner: bench
effect: creates MaintenanceRequest
input: { schema: MaintenanceRequest/1 }
output: { document: string }
";

const WORKFLOW: &str = "\
document: { dsl: 1.0.3, namespace: bench, name: on-alarm, version: 1.0.0 }
schedule:
  on:
    one: { with: { type: asset.alarm, data: '${ .change == \"activated\" }' } }
input: { from: '${ .[0] }' }
do:
  - request:
      call: maintenance.request-work
      with: { title: '${ \"Look at \" + .subject }', asset: '${ .subject }', site: '${ .site }', priority: 2 }
";
