//! The world in which the product is killed: its parts, the links between them, and what is wrong at the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::chance::Chance;
use super::http;
use super::machines::{Book, Machines};
use super::parts::{self, Disk, Part, Place, Ports, free_port};
use super::plan::{self, Act, Can, LINKS, Link};
use super::project;
use super::proxy::{Fault, Proxy};
use super::subscriber::Subscriber;
use crate::clock::{Stopwatch, unix_us};

/// The small disk: the reserve, a segment of the log, the database, and some room.
const DISK_MIB: u64 = 512;

/// How often the world is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long the product may take until it is ready when nothing is wrong.
const READY_MAX: Duration = Duration::from_mins(2);

/// A slot of the offices' orders, and how long one runs, in microseconds.
const SLOT_US: i64 = 4 * 3_600 * 1_000_000;

/// An interval in which the broker may have forgotten what it acknowledged, for it was killed: milliseconds of the run.
pub(super) type Forgotten = (u64, u64);

/// Everything that runs.
pub(super) struct World {
    pub(super) place: Place,
    pub(super) ports: Ports,
    pub(super) can: Can,
    /// What this machine does not allow, by name.
    pub(super) left_out: Vec<String>,
    pub(super) book: Arc<Book>,
    pub(super) subscriber: Subscriber,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) ready_after: Vec<Duration>,
    pub(super) forgotten: Vec<Forgotten>,
    /// References of documents that were explained.
    pub(super) explained: BTreeSet<String>,
    /// How often the product was started.
    pub(super) starts: u64,
    /// What the product did that it must not.
    pub(super) broken: Vec<String>,
    _machines: Machines,
    links: Vec<(Link, Proxy)>,
    andon: Part,
    offices: Part,
    broker: Part,
    pub(super) disk: Option<Disk>,
    queue: Vec<(Duration, Act)>,
    going_on: BTreeMap<String, String>,
}

impl World {
    /// Starts everything but the product.
    pub(super) fn start(place: Place, rate: u64, seed: u64) -> Result<Self> {
        project::write(&place.folder.join("project"))?;
        let mut left_out = Vec::new();
        let disk = match Disk::mount(&place.data(), DISK_MIB) {
            Ok(disk) => Some(disk),
            Err(why) => {
                left_out.push(format!("the full disk: nothing can be mounted here ({why})"));
                None
            }
        };
        if place.faketime.is_none() {
            left_out.push("the clock that jumps: libfaketime is missing (cargo xtask setup)".to_owned());
        }
        let can = Can { fill_disk: disk.is_some(), jump_clock: place.faketime.is_some() };
        place.set_clock(0)?;
        let (api, listener, broker_port, office_port) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let mut links = Vec::new();
        for (link, port) in LINKS.into_iter().zip([broker_port, listener, office_port, api]) {
            links.push((link, Proxy::start(port)?));
        }
        let at = |wanted: Link| links.iter().find(|(link, _)| *link == wanted).map_or(0, |(_, proxy)| proxy.port);
        let ports = Ports {
            api,
            listener,
            broker: broker_port,
            offices: office_port,
            broker_link: at(Link::Broker),
            offices_link: at(Link::Offices),
        };
        let (mut broker, mut offices) = (Part::new(), Part::new());
        place.start_broker(&mut broker, ports.broker)?;
        fs::create_dir_all(place.offices())?;
        place.start_offices(&mut offices, ports.offices)?;
        let book = Arc::new(Book::new(begin_us(), rate));
        let andon = Part::new();
        let machines = [at(Link::Listener), ports.broker];
        let mut world = Self {
            _machines: Machines::start(&book, machines, at(Link::Api), seed),
            place,
            ports,
            can,
            left_out,
            subscriber: Subscriber::start(broker_port, book.stopwatch),
            book,
            counts: BTreeMap::new(),
            ready_after: Vec::new(),
            forgotten: Vec::new(),
            explained: BTreeSet::new(),
            starts: 0,
            broken: Vec::new(),
            links,
            andon,
            offices,
            broker,
            disk,
            queue: Vec::new(),
            going_on: BTreeMap::new(),
        };
        // The broker keeps nothing for a session that it has not seen yet.
        world.begin()?;
        world.until_ready()?;
        world.until_connected()?;
        world.book.pause(false);
        Ok(world)
    }

    /// Starts the product.
    fn begin(&mut self) -> Result<()> {
        self.starts += 1;
        self.place.start_andon(&mut self.andon, &self.ports)
    }

    /// Since the start of the run.
    fn now(&self) -> Duration {
        self.book.stopwatch.elapsed()
    }

    /// A life: from a start until the kill. Says what was going on.
    pub(super) fn live(&mut self, chance: &mut Chance) -> Result<String> {
        let life = Stopwatch::start();
        self.begin()?;
        let begin = self.now();
        for (at, act) in plan::life(chance, self.can) {
            self.queue.push((begin + at, act));
        }
        self.queue.sort_by_key(|(at, _)| *at);
        let mut ready = None;
        loop {
            while self.queue.first().is_some_and(|(at, _)| *at <= self.now()) {
                let (_, act) = self.queue.remove(0);
                if act == Act::Kill {
                    self.andon.kill();
                    let told = self.told(life.elapsed(), ready);
                    // Nobody knows which misdeeds were met by now.
                    self.going_on.retain(|subject, _| !super::effects::OFFICES.contains(&subject.as_str()));
                    return Ok(told);
                }
                self.act(&act)?;
            }
            if let Some(status) = self.andon.ended() {
                return Ok(self.ended_by_itself(&status, life.elapsed()));
            }
            if ready.is_none() && parts::is_ready(self.ports.api) {
                let after = life.elapsed();
                ready = Some(after);
                self.ready_after.push(after);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn ended_by_itself(&mut self, status: &str, after: Duration) -> String {
        self.queue.retain(|(_, act)| *act != Act::Kill);
        let going_on = self.going_on();
        let text = format!("it ended with {status} after {} ms by itself; {going_on}", after.as_millis());
        self.broken.push(format!("the product {text}: {}", self.last_words()));
        *self.counts.entry("ends by itself").or_default() += 1;
        text
    }

    /// The end of the product's log.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.place.folder.join("andon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" | ")
    }

    fn told(&mut self, life: Duration, ready: Option<Duration>) -> String {
        *self.counts.entry("kills").or_default() += 1;
        let when = match ready {
            None => {
                *self.counts.entry("kills before it was ready").or_default() += 1;
                format!("killed {} ms after its start, before it was ready", life.as_millis())
            }
            Some(ready) => {
                let since = life.saturating_sub(ready).as_millis();
                format!("killed {} ms after its start, {since} ms after it was ready", life.as_millis())
            }
        };
        format!("{when}; {}", self.going_on())
    }

    fn going_on(&self) -> String {
        let all: Vec<&str> = self.going_on.values().map(String::as_str).collect();
        if all.is_empty() { "nothing else was wrong".to_owned() } else { all.join(", ") }
    }

    fn act(&mut self, act: &Act) -> Result<()> {
        *self.counts.entry(name(act)).or_default() += 1;
        match *act {
            Act::Kill => self.andon.kill(),
            Act::Link(link, fault) => {
                if let Some((_, proxy)) = self.links.iter().find(|(of, _)| *of == link) {
                    proxy.set(fault);
                }
                self.is_wrong(&format!("{link:?}"), (fault != Fault::None).then(|| format!("{link:?} {fault:?}")));
            }
            Act::Misbehave { office, kind, next, ms, method } => {
                let ms = ms.map_or_else(String::new, |ms| format!(r#","ms":{ms}"#));
                let of = method.map_or_else(String::new, |method| format!(r#","method":"{method}""#));
                let body = format!(r#"{{"next":{next},"kind":"{kind}"{ms}{of}}}"#);
                let path = format!("/{office}/office/faults");
                // Offices that were killed cannot be told anything.
                let patience = Duration::from_secs(1);
                let _ = http::ask(self.ports.offices, "POST", &path, &[], body.as_bytes(), patience);
                self.is_wrong(office, Some(format!("{office} {kind}")));
            }
            Act::OfficesEnd => {
                self.offices.kill();
                self.is_wrong("offices", Some("the offices are killed".to_owned()));
            }
            Act::OfficesBegin => {
                self.place.start_offices(&mut self.offices, self.ports.offices)?;
                self.is_wrong("offices", None);
            }
            Act::BrokerEnd { killed } => self.end_broker(killed)?,
            Act::BrokerBegin => {
                self.place.start_broker(&mut self.broker, self.ports.broker)?;
                self.is_wrong("broker", None);
            }
            Act::Clock(seconds) => {
                self.place.set_clock(seconds)?;
                self.is_wrong("clock", (seconds != 0).then(|| format!("its clock is {seconds:+} s wrong")));
            }
            Act::DiskFill(kib) => {
                if let Some(disk) = self.disk.as_mut() {
                    disk.fill(kib)?;
                    self.is_wrong("disk", Some(format!("the disk has {kib} KiB left")));
                }
            }
            Act::DiskFree => {
                if let Some(disk) = self.disk.as_mut() {
                    disk.free();
                    self.is_wrong("disk", None);
                }
            }
        }
        Ok(())
    }

    fn is_wrong(&mut self, subject: &str, what: Option<String>) {
        match what {
            Some(what) => drop(self.going_on.insert(subject.to_owned(), what)),
            None => drop(self.going_on.remove(subject)),
        }
    }

    fn end_broker(&mut self, killed: bool) -> Result<()> {
        if killed {
            // What it acknowledged since it last wrote its database is lost by it, and by nobody else.
            let written = fs::metadata(self.place.kept_by_broker()).and_then(|file| file.modified());
            let age = written.ok().and_then(|at| at.elapsed().ok());
            self.broker.kill();
            let now = self.now();
            let since = age.map_or(Duration::ZERO, |age| now.saturating_sub(age + Duration::from_millis(500)));
            let millis = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            self.forgotten.push((millis(since), millis(now) + 500));
        } else {
            self.broker.stop(Duration::from_secs(20)).context("stopping the broker")?;
        }
        let how = if killed { "killed" } else { "stopped" };
        self.is_wrong("broker", Some(format!("the broker is {how}")));
        Ok(())
    }

    /// Mends everything, starts the product where it does not run, and waits until it is ready and connected.
    pub(super) fn mend(&mut self) -> Result<()> {
        for (_, act) in std::mem::take(&mut self.queue) {
            if matches!(act, Act::OfficesBegin | Act::BrokerBegin) {
                self.act(&act)?;
            }
        }
        for link in LINKS {
            self.act(&Act::Link(link, Fault::None))?;
        }
        self.act(&Act::Clock(0))?;
        self.act(&Act::DiskFree)?;
        for office in super::effects::OFFICES {
            let path = format!("/{office}/office/faults");
            http::ask(self.ports.offices, "DELETE", &path, &[], b"", Duration::from_secs(5))
                .with_context(|| format!("mending {office}"))?;
        }
        self.going_on.clear();
        self.begin()?;
        self.until_ready()?;
        self.until_connected()
    }

    fn until_ready(&mut self) -> Result<()> {
        let stopwatch = Stopwatch::start();
        while !parts::is_ready(self.ports.api) {
            if let Some(status) = self.andon.ended() {
                anyhow::bail!("the product ended with {status} though nothing was wrong: {}", self.last_words());
            }
            anyhow::ensure!(stopwatch.elapsed() < READY_MAX, "not ready after {} s", READY_MAX.as_secs());
            thread::sleep(LOOK_EVERY);
        }
        self.ready_after.push(stopwatch.elapsed());
        Ok(())
    }

    fn until_connected(&mut self) -> Result<()> {
        let stopwatch = Stopwatch::start();
        loop {
            let sources = self.place.ask(&["list", "sources"])?;
            let connected = sources.iter().filter(|source| source["source"] != "gateway");
            let is_connected = |source: &serde_json::Value| source["connected"] == true;
            if connected.clone().count() == 2 && connected.clone().all(is_connected) {
                return Ok(());
            }
            anyhow::ensure!(stopwatch.elapsed() < READY_MAX, "sources are not connected: {sources:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the product as an operator would.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.andon.stop(Duration::from_mins(1)).context("stopping the product")
    }

    /// A program that was killed outside of a life, for the next one to begin.
    pub(super) fn kill(&mut self) {
        self.andon.kill();
    }
}

/// The time of the machines at the start: more than an hour ago, soon after the beginning of an order of the ERPs.
fn begin_us() -> i64 {
    let now = i64::try_from(unix_us()).unwrap_or(i64::MAX);
    (now - 3_600 * 1_000_000).div_euclid(SLOT_US) * SLOT_US + 60_000_000
}

fn name(act: &Act) -> &'static str {
    match act {
        Act::Kill => "kills",
        Act::Link(_, Fault::None) => "links mended",
        Act::Link(_, Fault::Cut { .. }) => "links cut",
        Act::Link(_, Fault::Stalled) => "links stalled",
        Act::Link(_, Fault::Refused) => "links refused",
        Act::Link(_, Fault::Slow { .. }) => "links slowed",
        Act::Misbehave { .. } => "misdeeds of offices",
        Act::OfficesEnd => "offices killed",
        Act::BrokerEnd { killed: true } => "broker killed",
        Act::BrokerEnd { killed: false } => "broker restarted",
        Act::OfficesBegin | Act::BrokerBegin => "parts started again",
        Act::Clock(_) => "clock jumps",
        Act::DiskFill(_) => "full disks",
        Act::DiskFree => "disks freed",
    }
}
