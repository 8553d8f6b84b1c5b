//! Networks between the broker and its clients: bytes take their time, stall, and end where nobody chose.

use crate::chance::Chance;
use andon_edge::mqtt::{
    Ended,
    transport::{Bytes, Wire},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

/// Bytes that a side reads at once at most.
const READ_MAX: u64 = 4_096;
/// Bytes on their way in one direction before no more are taken.
const ON_THE_WAY_MAX: usize = 64 << 10;

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Way {
    /// Pieces with the moments at which they arrive and were sent.
    pieces: VecDeque<(Duration, Duration, Vec<u8>)>,
    /// How long what was taken last had been on its way.
    took: Duration,
    /// Bytes that still pass before the connection is cut.
    left: Option<usize>,
    /// The sender has ended it: nothing comes behind the pieces.
    ended: bool,
}

impl Way {
    fn len(&self) -> usize {
        self.pieces.iter().map(|(.., piece)| piece.len()).sum()
    }

    fn push(&mut self, bytes: &[u8], now: Duration, due: Duration) {
        let due = self.pieces.back().map_or(due, |(last, ..)| due.max(*last));
        if !bytes.is_empty() {
            self.pieces.push_back((due, now, bytes.to_vec()));
        }
    }

    /// Bytes that have arrived, at most so many, and whether the connection is cut behind them.
    fn take(&mut self, now: Duration, most: usize) -> (Vec<u8>, bool) {
        let mut taken = Vec::new();
        let most = self.left.map_or(most, |left| most.min(left));
        while taken.len() < most
            && let Some((due, sent, piece)) = self.pieces.front_mut()
            && *due <= now
        {
            self.took = now.saturating_sub(*sent);
            let count = piece.len().min(most - taken.len());
            taken.extend(piece.drain(..count));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        if let Some(left) = &mut self.left {
            *left -= taken.len();
        }
        (taken, self.left == Some(0))
    }
}

/// One connection.
#[derive(Debug)]
struct Line {
    /// From the broker to the client.
    down: Way,
    /// From the client to the broker.
    up: Way,
    now: Duration,
    /// No byte arrives before this moment.
    stalled: Duration,
    chance: Chance,
    /// When it was cut.
    cut: Option<Duration>,
    /// How long after the cut each side hears of it.
    client_hears: Duration,
    broker_hears: Duration,
    /// A side has closed it.
    client_closed: bool,
    broker_closed: bool,
    latency: (i64, i64),
}

impl Line {
    fn due(&mut self) -> Duration {
        let (low, high) = self.latency;
        self.now + self.chance.millis(low, high).std()
    }

    fn most(&mut self) -> usize {
        usize::try_from(1 + self.chance.below(READ_MAX)).unwrap_or(1)
    }

    fn is_open(&self) -> bool {
        self.cut.is_none() && self.now >= self.stalled
    }

    fn cut_now(&mut self) {
        self.cut.get_or_insert(self.now);
        self.down.pieces.clear();
        self.up.pieces.clear();
    }

    fn has_heard(&self, after: Duration) -> bool {
        self.cut.is_some_and(|cut| self.now >= cut + after)
    }
}

/// The end of a connection that a source has.
#[derive(Debug)]
pub struct Pipe {
    line: Rc<RefCell<Line>>,
    buffer: Vec<u8>,
}

impl Wire for Pipe {
    fn read(&mut self) -> Result<Bytes<'_>, Ended> {
        let mut line = self.line.borrow_mut();
        if line.is_open() {
            let (now, most) = (line.now, line.most());
            let (bytes, cut) = line.down.take(now, most);
            if cut {
                line.cut_now();
            }
            if !bytes.is_empty() {
                let more = line.cut.is_none() && line.down.pieces.front().is_some_and(|(due, ..)| *due <= line.now);
                self.buffer = bytes;
                return Ok(Bytes::Some(&self.buffer, more));
            }
            if line.cut.is_none() && line.down.ended && line.down.pieces.is_empty() {
                return Err(Ended::new("the broker closed the connection", "look into the broker's log"));
            }
        }
        if line.has_heard(line.client_hears) { Err(lost()) } else { Ok(Bytes::None) }
    }

    fn write(&mut self, output: &mut Vec<u8>) -> Result<(), Ended> {
        let mut line = self.line.borrow_mut();
        if line.has_heard(line.client_hears) {
            return Err(lost());
        }
        let room = ON_THE_WAY_MAX.saturating_sub(line.up.len());
        let most = room.min(line.most());
        let sent: Vec<u8> = output.drain(..most.min(output.len())).collect();
        if line.cut.is_none() {
            let due = line.due();
            let now = line.now;
            line.up.push(&sent, now, due);
        }
        Ok(())
    }

    fn close(self, output: Vec<u8>) {
        let mut line = self.line.borrow_mut();
        if line.cut.is_none() {
            let due = line.due();
            let now = line.now;
            line.up.push(&output, now, due);
            line.up.ended = true;
        }
        line.client_closed = true;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The process has ended without a word: the operating system ends the connection.
        let mut line = self.line.borrow_mut();
        if !line.client_closed {
            line.client_closed = true;
            line.up.ended = true;
        }
    }
}

fn lost() -> Ended {
    Ended::new("the connection was lost: cut", "check the network and the broker")
}

/// What the broker hears of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Its end.
    End,
}

/// All connections to one broker.
#[derive(Debug)]
pub struct Network {
    lines: BTreeMap<u64, Rc<RefCell<Line>>>,
    connections: u64,
    /// Of connections that are over: how long what their client heard last had been on its way.
    took: BTreeMap<u64, Duration>,
    now: Duration,
    refusing: Duration,
    /// The longest that a byte takes, without what holds it up, in milliseconds.
    latency: i64,
    chance: Chance,
}

impl Network {
    /// A network in which nothing goes wrong yet; a byte takes so many milliseconds at most.
    pub fn new(latency: i64, chance: Chance) -> Self {
        let (lines, took) = (BTreeMap::new(), BTreeMap::new());
        Self { lines, connections: 0, took, now: Duration::ZERO, refusing: Duration::ZERO, latency, chance }
    }

    /// Time goes on.
    pub fn pass(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.lines.retain(|number, line| {
            let mut line = line.borrow_mut();
            line.now = self.now;
            let over = line.client_closed && line.broker_closed;
            if over {
                self.took.insert(*number, line.down.took);
            }
            !over
        });
    }

    /// A client connects.
    pub fn connect(&mut self) -> Result<Pipe, Ended> {
        if self.now < self.refusing {
            let reason = "the broker cannot be reached: connection refused";
            return Err(Ended::new(reason, "check the address, the network, and that the broker runs"));
        }
        let line = Line {
            down: Way::default(),
            up: Way::default(),
            now: self.now,
            stalled: Duration::ZERO,
            chance: Chance::new(self.chance.draw()),
            cut: None,
            client_hears: Duration::ZERO,
            broker_hears: Duration::ZERO,
            client_closed: false,
            broker_closed: false,
            latency: (0, self.latency),
        };
        let line = Rc::new(RefCell::new(line));
        self.connections += 1;
        self.lines.insert(self.connections, Rc::clone(&line));
        Ok(Pipe { line, buffer: Vec::new() })
    }

    /// The connections that the broker has not ended, by number.
    pub fn lines(&self) -> Vec<u64> {
        self.lines.iter().filter(|(_, line)| !line.borrow().broker_closed).map(|(number, _)| *number).collect()
    }

    /// How long what its client heard last on a connection that is over had been on its way.
    pub fn took(&self, line: u64) -> Option<Duration> {
        self.took.get(&line).copied()
    }

    /// What the broker hears of a connection now.
    pub fn hear(&mut self, line: u64) -> Option<Heard> {
        let mut line = self.lines.get(&line)?.borrow_mut();
        if line.broker_closed {
            return None;
        }
        if line.is_open() {
            let (now, most) = (line.now, line.most());
            let (bytes, cut) = line.up.take(now, most);
            if cut {
                line.cut_now();
            }
            if !bytes.is_empty() {
                return Some(Heard::Bytes(bytes));
            }
            if line.cut.is_none() && line.up.ended && line.up.pieces.is_empty() {
                return Some(Heard::End);
            }
        }
        line.has_heard(line.broker_hears).then_some(Heard::End)
    }

    /// The broker sends bytes to a client.
    pub fn send(&mut self, line: u64, bytes: &[u8]) {
        let Some(line) = self.lines.get(&line) else { return };
        let mut line = line.borrow_mut();
        if line.cut.is_none() && !line.client_closed {
            let due = line.due();
            let now = line.now;
            line.down.push(bytes, now, due);
        }
    }

    /// Bytes on their way to a client.
    pub fn on_the_way(&self, line: u64) -> usize {
        self.lines.get(&line).map_or(0, |line| line.borrow().down.len())
    }

    /// Whether the broker may send more to a client for now.
    pub fn takes(&self, line: u64) -> bool {
        self.on_the_way(line) < ON_THE_WAY_MAX
    }

    /// The broker ends a connection; what it has sent before still arrives.
    pub fn end(&mut self, line: u64) {
        if let Some(line) = self.lines.get(&line) {
            let mut line = line.borrow_mut();
            line.down.ended = true;
            line.broker_closed = true;
        }
    }

    /// The broker is gone: what was on its way to its clients may still arrive, or not.
    pub fn break_all(&mut self) {
        for line in self.lines.values() {
            let mut line = line.borrow_mut();
            if line.broker_closed {
                continue;
            }
            line.broker_closed = true;
            if self.chance.percent(50) {
                line.cut_now();
                line.client_hears = Duration::ZERO;
            } else {
                line.down.ended = true;
            }
        }
    }

    /// Cuts a connection behind the next so many bytes of one direction; each side hears of it so much later.
    pub fn cut(&mut self, line: u64, down: bool, after: usize, client_hears: Duration, broker_hears: Duration) {
        let Some(line) = self.lines.get(&line) else { return };
        let mut line = line.borrow_mut();
        line.client_hears = client_hears;
        line.broker_hears = broker_hears;
        if after == 0 {
            line.cut_now();
        } else if down {
            line.down.left = Some(after);
        } else {
            line.up.left = Some(after);
        }
    }

    /// No byte arrives on any connection until then.
    pub fn stall(&mut self, until: Duration) {
        for line in self.lines.values() {
            let mut line = line.borrow_mut();
            line.stalled = line.stalled.max(until);
        }
    }

    /// Nobody gets a connection until then.
    pub fn refuse(&mut self, until: Duration) {
        self.refusing = self.refusing.max(until);
    }

    /// Everything works from now on; what is cut stays so, and everybody has heard of it.
    pub fn heal(&mut self) {
        self.refusing = Duration::ZERO;
        for line in self.lines.values() {
            let mut line = line.borrow_mut();
            line.stalled = Duration::ZERO;
            line.down.left = None;
            line.up.left = None;
            line.client_hears = Duration::ZERO;
            line.broker_hears = Duration::ZERO;
        }
    }

    /// The next moment at which something arrives or is heard of.
    pub fn next(&self) -> Option<Duration> {
        let mut next = None;
        for line in self.lines.values() {
            let line = line.borrow();
            let moments = match line.cut {
                Some(cut) => [Some(cut + line.client_hears), Some(cut + line.broker_hears)],
                None => [&line.down, &line.up].map(|way| way.pieces.front().map(|(due, ..)| (*due).max(line.stalled))),
            };
            next = moments.into_iter().flatten().filter(|at| *at > self.now).chain(next).min();
        }
        next
    }

    /// Whether nothing is on its way.
    pub fn is_quiet(&self) -> bool {
        self.lines.values().all(|line| {
            let line = line.borrow();
            line.down.pieces.is_empty() && line.up.pieces.is_empty()
        })
    }
}
