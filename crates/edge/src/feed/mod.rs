//! Recorded data on its way to a broker, as a plant would publish it: rows of a file, a topic, a speed, and
//! no more ahead of the instance than it can be asked to bear.

mod destination;
mod rows;
pub mod shdr;

pub use destination::{Destination, Wanted, destination};
pub use rows::{Format, LINE_MAX, Row, rows};

use crate::{
    given::{self, Chance, Clock, Env, draw},
    mqtt::Settings,
    publish::Publisher,
};
use andon_model::Time;
use std::{sync::Arc, time::Duration};

/// Messages ahead of what the instance says it has received, at most.
pub const AHEAD_MAX: u64 = 500;
/// An instance that is there and receives nothing more for this long has what it gets.
const STANDSTILL: Duration = Duration::from_secs(3);
/// Between two questions to the instance.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Publishes without acknowledgement at most.
const WINDOW: u16 = 100;
/// Between two reports.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is wrong with a file, or with the way it is to be fed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}; {remedy}")]
pub struct FeedError {
    /// `file:line`, or what is meant.
    pub place: String,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl FeedError {
    pub(crate) fn new(place: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.into(), cause: cause.into(), remedy: remedy.into() }
    }
}

/// How fast rows are fed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as they are received.
    Max,
    /// As they were recorded.
    Real,
    /// So many times as fast.
    Times(f64),
}

/// How far a feed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Rows that were published.
    pub published: u64,
    /// Publishes that the broker has acknowledged.
    pub acknowledged: u64,
    /// What the instance has received of them.
    pub received: u64,
    /// The time of the last row.
    pub time: Option<Time>,
    /// The instance does not answer.
    pub instance_away: bool,
}

/// What a feed asks its caller while it runs.
pub struct Caller<'a> {
    /// How many samples the instance has received from the source so far; `None`: it does not answer.
    pub received: &'a mut dyn FnMut() -> Option<u64>,
    /// Is told how far the feed has come.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
}

/// A publisher for a destination, with a client id of its own that is drawn by chance.
pub fn publisher(
    to: &Destination,
    env: &Env,
    clock: Arc<dyn Clock>,
    mut chance: Chance,
) -> Result<Publisher, FeedError> {
    let (address, tls) = given::address(&to.broker, env, "source").map_err(ended)?;
    let settings = Settings {
        client_id: format!("andon-feed-{:016x}", draw(&mut chance)),
        version: to.broker.version,
        clean_start: true,
        session_expiry: 0,
        keep_alive: given::keep_alive(&to.broker),
        credentials: given::credentials(&to.broker, env).map_err(ended)?,
        window: WINDOW,
    };
    Publisher::new(address, tls, settings, clock, chance)
        .map_err(|e| FeedError::new("broker", e.to_string(), "close other programs"))
}

/// Publishes rows; returns when the instance has received all of them, or the caller stops it.
pub fn feed(
    rows: impl Iterator<Item = Result<Row, FeedError>>,
    to: &Destination,
    speed: Speed,
    publisher: &mut Publisher,
    clock: &dyn Clock,
    caller: Caller<'_>,
) -> Result<Progress, FeedError> {
    let mut feeding = Feeding {
        to,
        speed,
        publisher,
        clock,
        caller,
        progress: Progress::default(),
        last: None,
        moved: clock.monotonic(),
        asked: None,
        told: None,
        first: None,
    };
    feeding.ask();
    for row in rows {
        let row = row?;
        feeding.pace(&row)?;
        feeding.publish(&row)?;
        if (feeding.caller.stop)() {
            break;
        }
    }
    feeding.finish()?;
    Ok(feeding.progress)
}

struct Feeding<'a, 'b> {
    to: &'a Destination,
    speed: Speed,
    publisher: &'a mut Publisher,
    clock: &'a dyn Clock,
    caller: Caller<'b>,
    progress: Progress,
    /// The instance's last answer.
    last: Option<u64>,
    /// When it last received something, or was away.
    moved: Duration,
    asked: Option<Duration>,
    told: Option<Duration>,
    /// The time of the first row, and when it was fed.
    first: Option<(Time, Duration)>,
}

impl Feeding<'_, '_> {
    /// Asks the instance how far it is. One that was started anew counts from zero.
    fn ask(&mut self) {
        let now = self.clock.monotonic();
        self.asked = Some(now);
        let answer = (self.caller.received)();
        self.progress.instance_away = answer.is_none();
        let Some(count) = answer else {
            self.moved = now;
            return;
        };
        let new = match self.last {
            None => 0,
            Some(last) if count >= last => count - last,
            Some(_) => count,
        };
        self.last = Some(count);
        self.progress.received += new;
        if new > 0 {
            self.moved = now;
        } else if now.saturating_sub(self.moved) > STANDSTILL
            && self.publisher.acknowledged() >= self.progress.published
        {
            // What it received before it was started anew it does not count.
            self.progress.received = self.progress.published;
        }
    }

    fn ahead(&self) -> u64 {
        self.progress.published.saturating_sub(self.progress.received)
    }

    /// Lets time pass, asks and tells.
    fn wait(&mut self, time: Duration) -> Result<(), FeedError> {
        let stop = self.caller.stop;
        self.publisher.wait(time, &mut |_| stop()).map_err(ended)?;
        let now = self.clock.monotonic();
        if self.asked.is_none_or(|at| now >= at + ASK_EVERY) {
            self.ask();
        }
        self.tell(now, false);
        Ok(())
    }

    fn tell(&mut self, now: Duration, at_once: bool) {
        if at_once || self.told.is_none_or(|at| now >= at + TELL_EVERY) {
            self.told = Some(now);
            self.progress.acknowledged = self.publisher.acknowledged();
            (self.caller.progress)(self.progress);
        }
    }

    /// Waits until a row is due and the instance is not too far behind.
    fn pace(&mut self, row: &Row) -> Result<(), FeedError> {
        let time = self.to.time(row);
        self.progress.time = time.or(self.progress.time);
        while self.ahead() >= AHEAD_MAX && !(self.caller.stop)() {
            self.wait(ASK_EVERY / 5)?;
        }
        let factor = match self.speed {
            Speed::Max => return Ok(()),
            Speed::Real => 1.0,
            Speed::Times(factor) => factor.max(f64::MIN_POSITIVE),
        };
        let Some(time) = time else { return Ok(()) };
        let (first, began) = *self.first.get_or_insert((time, self.clock.monotonic()));
        let due = time.since(first).std().as_secs_f64() / factor;
        let due = began + Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX / 2);
        loop {
            let left = due.saturating_sub(self.clock.monotonic());
            if left.is_zero() || (self.caller.stop)() {
                return Ok(());
            }
            self.wait(left.min(TELL_EVERY))?;
        }
    }

    fn publish(&mut self, row: &Row) -> Result<(), FeedError> {
        let topic = self.to.topic(row)?;
        let payload = serde_json::to_vec(&row.fields)
            .map_err(|e| FeedError::new(format!("line {}", row.line), e.to_string(), "check the file"))?;
        let stop = self.caller.stop;
        self.publisher.publish(&topic, &payload, &mut |_| stop()).map_err(ended)?;
        self.progress.published += 1;
        if let Some(refused) = self.publisher.take_refused().into_iter().next() {
            let cause = format!("the broker refused a publish: {} (0x{:02X})", refused.why.cause, refused.code);
            return Err(FeedError::new(refused.topic, cause, refused.why.remedy));
        }
        let now = self.clock.monotonic();
        self.tell(now, false);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), FeedError> {
        let stop = self.caller.stop;
        self.publisher.flush(&mut |_| stop()).map_err(ended)?;
        self.moved = self.clock.monotonic();
        while self.ahead() > 0 && !stop() {
            self.wait(ASK_EVERY / 5)?;
        }
        let now = self.clock.monotonic();
        self.tell(now, true);
        Ok(())
    }
}

fn ended(ended: crate::mqtt::Ended) -> FeedError {
    FeedError::new("broker", ended.reason, ended.remedy)
}
