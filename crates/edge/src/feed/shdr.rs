//! Recordings of adapters, played as the adapter would: found sessions, in order of time, each as a connection.

use super::{FeedError, Speed};
use crate::{
    given::Clock,
    shdr::codec::{Said, Stamp, parse},
};
use andon_model::{Time, span::Span, time::Zone};
use std::{
    collections::BTreeSet,
    io::{self, BufRead, Read, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// The largest recording; it is kept in memory, because its sessions may lie in any order.
pub const RECORDING_MAX: u64 = 512 << 20;
/// A time that lies this much before the last one begins a new session: adapters write a little out of order.
pub const SESSION_BACK: Span = Span::from_secs(60);
/// Items of a first line that names everything; another line with the same items begins a session.
const FULL_MIN: usize = 8;
/// How long a connection that has everything is waited for until it is closed by the other side.
const CLOSE_MAX: Duration = Duration::from_mins(1);
/// The pace of signs of life that is asked for.
const PONG: &[u8] = b"* PONG 10000\n";
/// Bytes handed to the connection at once.
const WRITE_MAX: usize = 64 << 10;
/// How long the connection is left alone when nothing happens.
const PAUSE: Duration = Duration::from_millis(2);
/// Between two reports.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// A recording: sessions in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The sessions.
    pub sessions: Vec<RecordedSession>,
}

/// What an adapter said in one connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedSession {
    /// The time of its first line.
    pub start: Option<Time>,
    /// Its lines with their ends, each with the time by which it is played.
    pub lines: Vec<(Option<Time>, Vec<u8>)>,
}

impl Recording {
    /// Lines of all sessions.
    pub fn lines(&self) -> u64 {
        self.sessions.iter().map(|session| session.lines.len() as u64).sum()
    }

    /// Bytes of all sessions.
    pub fn bytes(&self) -> u64 {
        self.sessions.iter().flat_map(|session| &session.lines).map(|(_, line)| line.len() as u64).sum()
    }
}

/// Reads a recording and finds its sessions, in the order of the file. A session begins where the time goes back by
/// more than a minute, and with a line that names the same items as the first line of the recording. The times of
/// documents about tools are those of the tools and tell nothing.
pub fn recording(name: &str, file: impl Read, zone: &Zone) -> Result<Recording, FeedError> {
    let mut file = io::BufReader::new(file.take(RECORDING_MAX + 1));
    let mut finder = Finder::new(zone);
    let (mut read, mut number) = (0, 0);
    loop {
        let mut line = Vec::new();
        number += 1;
        let wrong = |e: io::Error| FeedError::new(format!("{name}:{number}"), e.to_string(), "check the file");
        let n = file.read_until(b'\n', &mut line).map_err(wrong)?;
        if n == 0 {
            break;
        }
        read += n as u64;
        if read > RECORDING_MAX {
            return Err(FeedError::new(name, "the recording is larger than 512 MiB", "cut it into several files"));
        }
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        finder.line(line);
    }
    let mut sessions = finder.sessions;
    sessions.push(finder.current);
    sessions.retain(|session| !session.lines.is_empty());
    if sessions.iter().all(|session| session.start.is_none()) {
        let cause = "no line of SHDR with a time is in the file";
        return Err(FeedError::new(name, cause, "name a recording of an adapter: `time|item|value` in each line"));
    }
    Ok(Recording { sessions })
}

struct Finder<'a> {
    zone: &'a Zone,
    sessions: Vec<RecordedSession>,
    current: RecordedSession,
    last: Option<Time>,
    /// The items of the first line, where they are many.
    full: Option<BTreeSet<String>>,
    seen: bool,
    /// The end of the document of several lines that is open.
    open: Option<Vec<u8>>,
}

impl<'a> Finder<'a> {
    fn new(zone: &'a Zone) -> Self {
        let current = RecordedSession::default();
        Self { zone, sessions: Vec::new(), current, last: None, full: None, seen: false, open: None }
    }

    fn line(&mut self, line: Vec<u8>) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if self.open.as_deref().is_some_and(|end| end == text.as_bytes()) {
            self.open = None;
            return self.current.lines.push((self.last, line));
        }
        if self.open.is_some() {
            return self.current.lines.push((self.last, line));
        }
        if let Some(at) = text.find("--multiline--") {
            self.open = text.as_bytes().get(at..).map(<[u8]>::to_vec);
        }
        let Ok(Said::Data(data)) = parse(&text) else { return self.current.lines.push((self.last, line)) };
        let Stamp::Text(stamp) = data.stamp else { return self.current.lines.push((self.last, line)) };
        let Ok(time) = Time::parse_in(stamp, self.zone) else { return self.current.lines.push((self.last, line)) };
        let items: BTreeSet<String> = data.fields.iter().step_by(2).map(ToString::to_string).collect();
        if !std::mem::replace(&mut self.seen, true) {
            self.full = (items.len() >= FULL_MIN).then_some(items);
        } else if self.last.is_some_and(|last| time.plus(SESSION_BACK) < last) || self.full == Some(items) {
            self.sessions.push(std::mem::take(&mut self.current));
        }
        self.current.start.get_or_insert(time);
        self.last = Some(time);
        self.current.lines.push((Some(time), line));
    }
}

/// How far a recording is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Played {
    /// Sessions that were played and read to their end.
    pub sessions: usize,
    /// Lines that were sent and read.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The time of the last line.
    pub time: Option<Time>,
    /// Somebody is connected.
    pub connected: bool,
}

/// Plays a recording to whoever connects: each session is a connection, played until the other side has read all of
/// it and closed. A session whose connection is lost begins again with the next one: an adapter that is asked anew
/// tells everything anew, and what is known already is dropped by who reads it.
pub fn play(
    recording: &Recording,
    listener: &TcpListener,
    speed: Speed,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(Played),
    stop: &dyn Fn() -> bool,
) -> Result<Played, FeedError> {
    let at = listener.local_addr().map_or_else(|_| "listener".into(), |address| address.to_string());
    let wrong = |e: io::Error| FeedError::new(at.clone(), e.to_string(), "free the address, or name another one");
    listener.set_nonblocking(true).map_err(wrong)?;
    let first = recording.sessions.iter().find_map(|session| session.start);
    let mut player = Player { speed, clock, progress, stop, first, began: None, done: Played::default(), told: None };
    for session in &recording.sessions {
        loop {
            if stop() {
                return Ok(player.done);
            }
            let Some((stream, _)) = accept(listener, player.clock, &mut |now| player.tell(now)).map_err(wrong)? else {
                thread::sleep(PAUSE);
                continue;
            };
            let before = player.done;
            let whole = player.session(session, stream);
            player.done.connected = false;
            if whole {
                player.done.sessions += 1;
                break;
            }
            player.done = Played { connected: false, ..before };
        }
    }
    let done = player.done;
    (player.progress)(done);
    Ok(done)
}

fn accept(
    listener: &TcpListener,
    clock: &dyn Clock,
    tell: &mut dyn FnMut(Duration),
) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    tell(clock.monotonic());
    match listener.accept() {
        Ok(both) => Ok(Some(both)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
        Err(e) => Err(e),
    }
}

struct Player<'a> {
    speed: Speed,
    clock: &'a dyn Clock,
    progress: &'a mut dyn FnMut(Played),
    stop: &'a dyn Fn() -> bool,
    /// The time of the first line, and when it was sent.
    first: Option<Time>,
    began: Option<Duration>,
    done: Played,
    told: Option<Duration>,
}

/// How a look at the connection went.
enum Looked {
    Nothing,
    Something,
    Closed,
    Lost,
}

impl Player<'_> {
    /// Plays a session; whether the other side has read all of it.
    fn session(&mut self, session: &RecordedSession, mut stream: TcpStream) -> bool {
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
            return false;
        }
        self.done.connected = true;
        let mut output: Vec<u8> = Vec::new();
        let mut lines = session.lines.iter().peekable();
        let mut sent_all: Option<Duration> = None;
        loop {
            let now = self.clock.monotonic();
            self.tell(now);
            if (self.stop)() || sent_all.is_some_and(|at| now.saturating_sub(at) > CLOSE_MAX) {
                return false;
            }
            let mut moved = match look(&mut stream, &mut output, sent_all.is_none()) {
                Looked::Closed => return sent_all.is_some(),
                Looked::Lost => return false,
                Looked::Something => true,
                Looked::Nothing => false,
            };
            while output.len() < WRITE_MAX
                && let Some((time, line)) = lines.next_if(|(time, _)| self.is_due(*time, now))
            {
                output.extend_from_slice(line);
                self.done.lines += 1;
                self.done.bytes += line.len() as u64;
                self.done.time = time.or(self.done.time);
            }
            if sent_all.is_none() && !output.is_empty() {
                match stream.write(&output) {
                    Ok(n) => {
                        output.drain(..n);
                        moved = true;
                    }
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    Err(_) => return false,
                }
            }
            if sent_all.is_none() && output.is_empty() && lines.peek().is_none() {
                if stream.shutdown(Shutdown::Write).is_err() {
                    return false;
                }
                sent_all = Some(now);
            }
            if !moved {
                thread::sleep(PAUSE);
            }
        }
    }

    fn is_due(&mut self, time: Option<Time>, now: Duration) -> bool {
        let factor = match self.speed {
            Speed::Max => return true,
            Speed::Real => 1.0,
            Speed::Times(factor) => factor.max(f64::MIN_POSITIVE),
        };
        let (Some(time), Some(first)) = (time, self.first) else { return true };
        let began = *self.began.get_or_insert(now);
        let after = time.since(first).std().as_secs_f64() / factor;
        now >= began + Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX / 2)
    }

    fn tell(&mut self, now: Duration) {
        if self.told.is_none_or(|at| now >= at + TELL_EVERY) {
            self.told = Some(now);
            (self.progress)(self.done);
        }
    }
}

/// Reads what the other side says, and answers its question for a sign of life.
fn look(stream: &mut TcpStream, output: &mut Vec<u8>, answer: bool) -> Looked {
    let mut buffer = [0; 1024];
    match stream.read(&mut buffer) {
        Ok(0) => Looked::Closed,
        Ok(n) => {
            let asked = buffer.get(..n).unwrap_or(&[]).windows(4).any(|four| four == b"PING");
            // Behind what waits: that ends with a line.
            if asked && answer {
                output.extend_from_slice(PONG);
            }
            Looked::Something
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Looked::Nothing,
        Err(_) => Looked::Lost,
    }
}
