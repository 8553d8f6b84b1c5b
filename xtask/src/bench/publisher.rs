//! Publishers of the bench for one listener: MQTT 3.1.1 at QoS 1 over plain sockets, many publishes under way, each
//! acknowledgement held against the time at which its publish was due.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::clock::Stopwatch;

/// Publishes without acknowledgement in one connection.
const WINDOW: usize = 1_000;

/// Bytes that wait to be sent in one connection before no more are made.
const BUFFER_BYTES: usize = 64 << 10;

/// How long the last acknowledgements are waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// How much of the beginning is left out of the latencies.
const WARM: Duration = Duration::from_secs(1);

/// How long a publisher rests when nothing is due.
const REST: Duration = Duration::from_micros(200);

/// What is published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The port on loopback.
    pub(super) port: u16,
    /// The number in the topics.
    pub(super) run: u32,
    /// Messages a second, over all connections.
    pub(super) rate: u32,
    /// How long.
    pub(super) length: Duration,
    /// Connections.
    pub(super) connections: u32,
}

/// What became of it.
#[derive(Debug, Default, Clone)]
pub(super) struct Published {
    /// Messages sent.
    pub(super) sent: u64,
    /// Messages acknowledged, in order.
    pub(super) acknowledged: u64,
    /// Acknowledged messages a second, until the last acknowledgement.
    pub(super) rate: f64,
    /// Milliseconds from when it was due until it was acknowledged, for 99 of 100.
    pub(super) p99_ms: f64,
    /// The same for half of them.
    pub(super) p50_ms: f64,
}

/// Publishes and waits for the acknowledgements.
pub(super) fn publish(plan: Plan) -> Result<Published> {
    let stopwatch = Stopwatch::start();
    let threads: Vec<_> = (0..plan.connections)
        .map(|number| thread::spawn(move || Publisher::connect(plan, number)?.run(stopwatch)))
        .collect();
    let (mut all, mut latencies, mut last) = (Published::default(), Vec::new(), Duration::ZERO);
    for thread in threads {
        let Ok(done) = thread.join() else { bail!("a publisher ended by a defect") };
        let done = done?;
        all.sent += done.sent;
        all.acknowledged += done.acknowledged;
        last = last.max(done.last);
        latencies.extend(done.latencies);
    }
    latencies.sort_unstable();
    all.p50_ms = percentile(&latencies, 50);
    all.p99_ms = percentile(&latencies, 99);
    #[expect(clippy::cast_precision_loss, reason = "messages of a run are far below 2^52")]
    let acknowledged = all.acknowledged as f64;
    all.rate = acknowledged / last.as_secs_f64().max(f64::EPSILON);
    Ok(all)
}

/// Milliseconds of the sorted microseconds below which so many of a hundred are.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    f64::from(sorted.get(at).copied().unwrap_or(0)) / 1_000.0
}

struct Publisher {
    plan: Plan,
    number: u32,
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    inbox: Vec<u8>,
    /// When each publish under way was due, with its packet identifier.
    under_way: VecDeque<(u16, Duration)>,
    next_id: u16,
    done: Done,
}

#[derive(Default)]
struct Done {
    sent: u64,
    acknowledged: u64,
    last: Duration,
    latencies: Vec<u32>,
}

impl Publisher {
    fn connect(plan: Plan, number: u32) -> Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, plan.port)).context("connecting to the listener")?;
        stream.set_nodelay(true)?;
        let id = format!("bench-{}-{number}", plan.run);
        let mut connect = vec![0x10, u8::try_from(12 + id.len())?];
        connect.extend_from_slice(b"\0\x04MQTT\x04\x02\0\x3c");
        text(&mut connect, &id)?;
        stream.write_all(&connect)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).context("reading CONNACK")?;
        ensure!(answer == [0x20, 2, 0, 0], "the listener answered {answer:02x?} to CONNECT");
        stream.set_nonblocking(true)?;
        let (out, inbox, under_way) = (Vec::new(), vec![0; 64 << 10], VecDeque::new());
        let done = Done::default();
        Ok(Self { plan, number, stream, out, written: 0, inbox, under_way, next_id: 1, done })
    }

    fn run(mut self, stopwatch: Stopwatch) -> Result<Done> {
        let mine = f64::from(self.plan.rate) / f64::from(self.plan.connections);
        let mut filled = 0;
        loop {
            let elapsed = stopwatch.elapsed();
            let publishing = elapsed < self.plan.length;
            let due = if publishing { whole(elapsed.as_secs_f64() * mine) } else { 0 };
            while self.done.sent < due && self.under_way.len() < WINDOW && self.out.len() < BUFFER_BYTES {
                let at = Duration::from_secs_f64(per(self.done.sent, mine));
                self.publish(at)?;
            }
            let moved = self.flush()? | self.read(&mut filled, stopwatch)?;
            if !publishing && (self.under_way.is_empty() || elapsed > self.plan.length + DRAIN) {
                return Ok(self.done);
            }
            if !moved {
                thread::sleep(REST);
            }
        }
    }

    fn publish(&mut self, due: Duration) -> Result<()> {
        let asset = (u32::try_from(self.done.sent % 50)? * self.plan.connections + self.number) % 200;
        let topic = format!("plant{}/line{}/asset{asset:03}/vibration", self.plan.run, asset % 10);
        let wall = crate::clock::unix_us();
        let payload = format!("{{\"ts\":{wall},\"v\":{}.{:02}}}", 60 + asset % 9, self.done.sent % 97);
        let rest = 2 + topic.len() + 2 + payload.len();
        self.out.push(0x32);
        if rest > 127 {
            self.out.extend_from_slice(&[u8::try_from(rest & 127)? | 128, u8::try_from(rest >> 7)?]);
        } else {
            self.out.push(u8::try_from(rest)?);
        }
        text(&mut self.out, &topic)?;
        self.out.extend_from_slice(&self.next_id.to_be_bytes());
        self.out.extend_from_slice(payload.as_bytes());
        self.under_way.push_back((self.next_id, due));
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.done.sent += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<bool> {
        let mut moved = false;
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => bail!("the listener has closed the connection"),
                Ok(count) => {
                    self.written += count;
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(moved),
                Err(error) => return Err(error).context("publishing"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(moved)
    }

    /// Reads acknowledgements; `filled` bytes of the inbox are the beginning of one.
    fn read(&mut self, filled: &mut usize, stopwatch: Stopwatch) -> Result<bool> {
        let count = match self.stream.read(self.inbox.get_mut(*filled..).unwrap_or_default()) {
            Ok(0) => bail!("the listener has closed the connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("reading acknowledgements"),
        };
        let now = stopwatch.elapsed();
        let have = *filled + count;
        let (packets, rest) = self.inbox.get(..have).unwrap_or_default().as_chunks::<4>();
        for packet in packets {
            let [0x40, 2, high, low] = *packet else { bail!("the listener sent {packet:02x?} instead of PUBACK") };
            let id = u16::from_be_bytes([high, low]);
            let Some((expected, due)) = self.under_way.pop_front() else { bail!("a PUBACK nobody waits for") };
            ensure!(id == expected, "PUBACK {id} came before that of {expected}");
            self.done.acknowledged += 1;
            if due > WARM {
                self.done.latencies.push(u32::try_from((now.saturating_sub(due)).as_micros()).unwrap_or(u32::MAX));
            }
        }
        self.done.last = now;
        let (from, length) = (have - rest.len(), rest.len());
        self.inbox.copy_within(from..have, 0);
        *filled = length;
        Ok(true)
    }
}

fn text(to: &mut Vec<u8>, text: &str) -> Result<()> {
    to.extend_from_slice(&u16::try_from(text.len())?.to_be_bytes());
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "messages of a run are far below 2^52")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[expect(clippy::cast_precision_loss, reason = "messages of a run are far below 2^52")]
fn per(count: u64, rate: f64) -> f64 {
    count as f64 / rate
}

/// The limit of this machine: reads what publishers send and acknowledges it at once, without keeping anything.
pub(super) mod bare {
    use anyhow::Result;
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    /// Serves every connection on a thread of its own until the process ends; returns the port.
    pub(in super::super) fn serve() -> Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(std::io::Result::ok) {
                thread::spawn(move || answer(stream));
            }
        });
        Ok(port)
    }

    fn answer(mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut buffer = vec![0; 256 << 10];
        let (mut have, mut acks) = (0, Vec::new());
        loop {
            let count = stream.read(buffer.get_mut(have..)?).ok().filter(|count| *count > 0)?;
            have += count;
            let mut at = 0;
            while let Some((kind, from, to)) = packet(buffer.get(at..have)?) {
                let body = buffer.get(at + from..at + to)?;
                match kind >> 4 {
                    1 => acks.extend_from_slice(&[0x20, 2, 0, 0]),
                    3 => {
                        let topic = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
                        let id = body.get(2 + topic..4 + topic)?;
                        acks.extend_from_slice(&[0x40, 2]);
                        acks.extend_from_slice(id);
                    }
                    _ => {}
                }
                at += to;
            }
            buffer.copy_within(at..have, 0);
            have -= at;
            stream.write_all(&acks).ok()?;
            acks.clear();
            // As every reader of many small messages should: let some come together.
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The kind of the first packet, where its body begins and where it ends.
    fn packet(bytes: &[u8]) -> Option<(u8, usize, usize)> {
        let (kind, first) = (*bytes.first()?, *bytes.get(1)?);
        let (length, from) = if first < 128 {
            (usize::from(first), 2)
        } else {
            (usize::from(first & 127) | usize::from(*bytes.get(2)?) << 7, 3)
        };
        (bytes.len() >= from + length).then_some((kind, from, from + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_published_is_acknowledged_in_order() {
        let port = bare::serve().unwrap();
        let plan = Plan { port, run: 7, rate: 2_000, length: Duration::from_millis(200), connections: 2 };
        let published = publish(plan).unwrap();
        assert!(published.sent > 0 && published.sent == published.acknowledged, "{published:?}");
    }
}
