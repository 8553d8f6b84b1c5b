//! Machines that publish, and the book of what they published and what was acknowledged.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::chance::Chance;
use super::http;
use super::mqtt::{Connection, Said};
use super::time::rfc3339;
use crate::clock::Stopwatch;

/// Messages without acknowledgement of one site.
const WINDOW: usize = 50;

/// How long an acknowledgement is waited for before the connection is made again.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(4);

/// How long after a lost connection the next one is tried.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Microseconds that a late message is older than it is sent.
const LATE_US: i64 = 3_000_000;

/// The asset of the gateway.
pub(super) const METER: &str = "palletiser-07";

/// Samples of a post.
const POSTED: u64 = 5;

/// How long a gateway rests between two posts.
const POST_EVERY: Duration = Duration::from_millis(250);

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// `good`, `rejects`, `speed`, beside a state and a mode that stay.
    Status { good: u64, speed: f64 },
    /// Of a cartoner.
    Condition { vibration: f64, temperature: f64 },
    /// What a meter counted; posted by a gateway.
    Energy(u64),
    /// Bytes that nobody can read, or of an asset that nobody knows.
    Garbage(String),
}

/// A message that was published.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) asset: &'static str,
    pub(super) topic: String,
    pub(super) content: Content,
    /// Its own time, microseconds since 1970.
    pub(super) time_us: i64,
    /// When it was acknowledged, milliseconds since the start of the run.
    pub(super) acknowledged: Option<u64>,
}

/// The machines of a site: four in a line, with one connection.
pub(super) struct Site {
    pub(super) name: &'static str,
    /// Filler, cartoner, case packer, palletiser.
    pub(super) assets: [&'static str; 4],
}

pub(super) const SITES: [Site; 2] = [
    Site { name: "hamburg", assets: ["filler-07", "cartoner-07", "case-packer-07", "palletiser-07"] },
    Site { name: "monterrey", assets: ["filler-21", "cartoner-21", "case-packer-21", "palletiser-21"] },
];

/// What all machines share.
pub(super) struct Book {
    messages: Mutex<Vec<Message>>,
    /// The time of the machines at the start of the run, microseconds since 1970.
    pub(super) begin_us: i64,
    pub(super) stopwatch: Stopwatch,
    paused: AtomicBool,
    ended: AtomicBool,
    /// Messages a second of a site.
    rate: AtomicU64,
    /// Of both sites and of the gateway.
    waiting: [AtomicU64; 3],
    /// Connections that were lost.
    pub(super) lost: AtomicU64,
    /// The status with which a post was refused for good.
    pub(super) refused: AtomicU64,
}

impl Book {
    pub(super) fn new(begin_us: i64, rate: u64) -> Self {
        Self {
            messages: Mutex::default(),
            begin_us,
            stopwatch: Stopwatch::start(),
            paused: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            rate: AtomicU64::new(rate),
            waiting: Default::default(),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// All messages so far.
    pub(super) fn messages(&self) -> MutexGuard<'_, Vec<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets machines rest, or go on.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// Messages that were published and not acknowledged yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Whether machines are at rest, and nothing of theirs is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.paused.load(Ordering::SeqCst) && self.waiting() == 0
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn set_waiting(&self, of: usize, count: u64) {
        if let Some(waiting) = self.waiting.get(of) {
            waiting.store(count, Ordering::SeqCst);
        }
    }

    /// Writes a message down before it is sent; its place.
    pub(super) fn write(&self, message: Message) -> usize {
        let mut messages = self.messages();
        messages.push(message);
        messages.len() - 1
    }

    /// Writes down that one was acknowledged.
    pub(super) fn is_acknowledged(&self, at: usize) {
        let now = self.millis();
        if let Some(message) = self.messages().get_mut(at) {
            message.acknowledged.get_or_insert(now);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.stopwatch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The threads of all machines; they end with this value.
pub(super) struct Machines {
    book: Arc<Book>,
    threads: Vec<JoinHandle<()>>,
}

impl Machines {
    /// Starts the machines of both sites, each with a port of its own, and the gateway with the port of the API.
    pub(super) fn start(book: &Arc<Book>, ports: [u16; 2], api: u16, seed: u64) -> Self {
        let threads = SITES.iter().zip(ports).enumerate().map(|(number, (site, port))| {
            let line = Line {
                site,
                number,
                port,
                book: Arc::clone(book),
                chance: Chance::of(seed, site.name),
                shaking: Shaking::default(),
                sent: 0,
                made: 0,
                last_us: 0,
                under_way: VecDeque::new(),
                next_id: 1,
            };
            thread::spawn(move || line.run())
        });
        let mut threads: Vec<_> = threads.collect();
        let of_gateway = Arc::clone(book);
        threads.push(thread::spawn(move || post(&of_gateway, api)));
        Self { book: Arc::clone(book), threads }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.book.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How a cartoner shakes, by the seconds of its own time: calm, then beyond a limit, shortly or long.
#[derive(Debug, Default)]
struct Shaking {
    until_us: i64,
    level: f64,
    /// The alarm surely stands: before that a level never changes, for the page does not say what a delay then does.
    long: bool,
}

impl Shaking {
    fn at(&mut self, time_us: i64, chance: &mut Chance) -> f64 {
        if time_us >= self.until_us {
            let calm = self.level < 4.0 && self.until_us != 0;
            self.level = match chance.between(0, 9) {
                _ if !calm && self.level < 6.0 && self.long && chance.percent(30) => 8.0,
                _ if !calm => 2.0,
                0..6 => 5.0,
                _ => 8.0,
            };
            let (least, most) = if self.level < 4.0 { (2_500, 6_000) } else { (1_000, 7_000) };
            let millis = chance.between(least, most);
            self.long = millis > 3_000;
            self.until_us = time_us + i64::try_from(millis).unwrap_or(0) * 1_000;
        }
        self.level
    }
}

struct Line {
    site: &'static Site,
    number: usize,
    port: u16,
    book: Arc<Book>,
    chance: Chance,
    shaking: Shaking,
    sent: u64,
    made: u64,
    last_us: i64,
    /// Packet identifier, place in the book, when it was sent.
    under_way: VecDeque<(u16, usize, Stopwatch)>,
    next_id: u16,
}

impl Line {
    fn run(mut self) {
        while !self.book.is_over() {
            // What was not acknowledged is sent again over the next connection, before anything else.
            let _ = self.converse();
            self.book.lost.fetch_add(1, Ordering::Relaxed);
            thread::sleep(AGAIN_AFTER);
        }
    }

    fn converse(&mut self) -> io::Result<()> {
        let mut connection = Connection::open(self.port, &format!("line-{}", self.site.name), true)?;
        let again: Vec<usize> = self.under_way.drain(..).map(|(_, at, _)| at).collect();
        for (number, at) in again.iter().enumerate() {
            if let Err(error) = self.send(&mut connection, *at) {
                // The others are sent over the connection after this one; no packet has the identifier 0.
                let left = again.iter().skip(number + 1).map(|at| (0, *at, Stopwatch::start()));
                self.under_way.extend(left);
                return Err(error);
            }
        }
        let (begin, mut pinged) = (Stopwatch::start(), Duration::ZERO);
        let every = Duration::from_micros(1_000_000 / self.book.rate.load(Ordering::SeqCst).max(1));
        let mut due = Duration::ZERO;
        while !self.book.is_over() {
            let elapsed = begin.elapsed();
            let resting = self.book.paused.load(Ordering::SeqCst);
            // What a machine had no room for it never says.
            due = due.max(elapsed.saturating_sub(every * 100));
            while !resting && due < elapsed && self.under_way.len() < WINDOW {
                due += every;
                let at = self.make();
                self.send(&mut connection, at)?;
            }
            if elapsed > pinged + Duration::from_secs(5) {
                pinged = elapsed;
                connection.ping()?;
            }
            for said in connection.read()? {
                if let Said::Acknowledged(id) = said {
                    self.acknowledged(id)?;
                }
            }
            self.book.set_waiting(self.number, self.under_way.len() as u64);
            if self.under_way.front().is_some_and(|(_, _, sent)| sent.elapsed() > ACKNOWLEDGED_WITHIN) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, id: u16) -> io::Result<()> {
        let Some(place) = self.under_way.iter().position(|(under_way, _, _)| *under_way == id) else {
            return Err(io::Error::other("a PUBACK nobody waits for"));
        };
        if let Some((_, at, _)) = self.under_way.remove(place) {
            self.book.is_acknowledged(at);
        }
        Ok(())
    }

    fn send(&mut self, connection: &mut Connection, at: usize) -> io::Result<()> {
        let Some(message) = self.book.messages().get(at).cloned() else { return Ok(()) };
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.under_way.push_back((id, at, Stopwatch::start()));
        self.sent += 1;
        connection.publish(id, &message.topic, payload(&message).as_bytes(), false)
    }

    /// Thinks of the next message and writes it into the book; now and then the same as before.
    fn make(&mut self) -> usize {
        self.made += 1;
        let elapsed = i64::try_from(self.book.stopwatch.elapsed().as_micros()).unwrap_or(0);
        // Times of the same signal never repeat: those in order are even, late ones odd.
        let time_us = ((self.book.begin_us + elapsed).max(self.last_us + 2)) & !1;
        self.last_us = time_us;
        let [filler, cartoner, case_packer, palletiser] = self.site.assets;
        let kind = self.made % 10;
        let asset = match kind {
            0 => filler,
            2 => case_packer,
            3 => palletiser,
            _ => cartoner,
        };
        let draw = self.chance.between(0, 199);
        let number = self.made;
        let (content, time_us) = match draw {
            0 | 1 => (Content::Garbage(garbage(asset, number)), time_us),
            2..5 if kind < 4 => (self.status(), time_us - LATE_US + 1),
            _ if kind < 4 => (self.status(), time_us),
            _ => (self.condition(time_us), time_us),
        };
        let what = if matches!(content, Content::Condition { .. }) { "condition" } else { "status" };
        let topic = match draw {
            1 => format!("plant/stranger-{number}/{what}"),
            _ => format!("plant/{asset}/{what}"),
        };
        let mut messages = self.book.messages();
        // What the gateway posted has no topic.
        let is_ours = |before: &&Message| before.asset == asset && !before.topic.is_empty();
        let repeated = messages.last().filter(|before| draw == 5 && is_ours(before)).cloned();
        messages.push(repeated.unwrap_or(Message { asset, topic, content, time_us, acknowledged: None }));
        if let Some(last) = messages.last_mut() {
            last.acknowledged = None;
        }
        messages.len() - 1
    }

    fn status(&mut self) -> Content {
        Content::Status { good: self.made, speed: fraction(60, self.made) }
    }

    fn condition(&mut self, time_us: i64) -> Content {
        let level = self.shaking.at(time_us, &mut self.chance);
        Content::Condition { vibration: level + fraction(0, self.made), temperature: fraction(40, self.made) }
    }
}

/// The gateway: one post after the other, each repeated under its key until it is taken.
fn post(book: &Book, api: u16) {
    let mut count = 0;
    while !book.is_over() {
        if book.paused.load(Ordering::SeqCst) {
            thread::sleep(AGAIN_AFTER);
            continue;
        }
        let (mut body, mut places) = (String::new(), Vec::new());
        for _ in 0..POSTED {
            count += 1;
            let elapsed = i64::try_from(book.stopwatch.elapsed().as_micros()).unwrap_or(0);
            let message = Message {
                asset: METER,
                topic: String::new(),
                content: Content::Energy(count),
                time_us: book.begin_us + elapsed,
                acknowledged: None,
            };
            let _ = writeln!(body, "{}", payload(&message));
            places.push(book.write(message));
            thread::sleep(Duration::from_millis(10));
        }
        book.set_waiting(SITES.len(), POSTED);
        let key = format!("post-{count}");
        let headers = [("Idempotency-Key", key.as_str()), ("Content-Type", "application/x-ndjson")];
        while !book.is_over() {
            let path = "/v1/sources/gateway/samples";
            let answer = http::ask(api, "POST", path, &headers, body.as_bytes(), ACKNOWLEDGED_WITHIN);
            match answer.map(|answer| answer.status) {
                Ok(202) => {
                    for at in places {
                        book.is_acknowledged(at);
                    }
                    break;
                }
                // What is not taken now is sent again; refused for good it must not be.
                Ok(status @ (400..=408 | 410..=428)) => {
                    book.refused.store(status.into(), Ordering::SeqCst);
                    break;
                }
                _ => thread::sleep(AGAIN_AFTER),
            }
        }
        book.set_waiting(SITES.len(), 0);
        thread::sleep(POST_EVERY);
    }
}

/// Bytes that nobody can read. Their length is what lists tell of them, so it differs from message to message.
fn garbage(asset: &str, number: u64) -> String {
    let length = usize::try_from(number * 7_919 % 9_973).unwrap_or(0);
    format!("garbage {asset} {number} {}", ".".repeat(length))
}

/// A number that differs from message to message.
fn fraction(whole: u32, number: u64) -> f64 {
    f64::from(whole) + f64::from(u32::try_from(number % 9_973).unwrap_or(0)) / 20_000.0
}

/// The bytes of a message.
pub(super) fn payload(message: &Message) -> String {
    let time = rfc3339(message.time_us);
    match &message.content {
        Content::Status { good, speed } => {
            let rejects = good / 50;
            format!(r#"{{"state":6,"mode":1,"speed":{speed},"good":{good},"rejects":{rejects},"time":"{time}"}}"#)
        }
        Content::Condition { vibration, temperature } => {
            format!(r#"{{"vibration":{vibration},"temperature":{temperature},"time":"{time}"}}"#)
        }
        Content::Energy(count) => {
            format!(r#"{{"asset":"{METER}","signal":"energy","value":{count},"time":"{time}"}}"#)
        }
        Content::Garbage(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cartoner_is_calm_between_two_shakings() {
        let (mut shaking, mut chance) = (Shaking::default(), Chance::new(1));
        let levels: Vec<f64> = (1..2_000).map(|second| shaking.at(second * 100_000, &mut chance)).collect();
        assert!(levels.iter().any(|level| *level > 7.1) && levels.iter().any(|level| *level < 4.0));
        let begins = levels.windows(2).filter(|pair| pair[0] < 4.0 && pair[1] > 4.5).count();
        assert!(begins > 10, "{begins} times");
    }
}
