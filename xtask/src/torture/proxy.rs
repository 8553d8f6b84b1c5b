//! A link between two programs that can be cut at any byte, slowed, stalled and refused.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How often a link looks whether it was told something else.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The most bytes carried at once.
const CHUNK_BYTES: usize = 16 << 10;

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Nobody listens.
    Refused,
    /// Nothing passes any more, and nobody is told. What was under way is lost.
    Stalled,
    /// A few bytes at a time, with a pause after each.
    Slow { bytes: usize, pause: Duration },
    /// Every connection is cut after so many further bytes of both directions; those made afterwards hold.
    Cut { after: u32 },
}

/// A link from a port of its own to another port.
pub(super) struct Proxy {
    /// Where it listens, on loopback.
    pub(super) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    fault: Mutex<Fault>,
    /// Bytes until the cut; without a cut below zero and not counted.
    left: AtomicI64,
    ended: AtomicBool,
}

impl Proxy {
    /// A link that holds.
    pub(super) fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for a link")?;
        let port = listener.local_addr()?.port();
        let fault = Mutex::new(Fault::None);
        let shared = Arc::new(Shared { target, fault, left: AtomicI64::new(-1), ended: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || of_thread.listen(port, listener));
        Ok(Self { port, shared })
    }

    /// From now on this is wrong with it.
    pub(super) fn set(&self, fault: Fault) {
        if let Fault::Cut { after } = fault {
            self.shared.left.store(i64::from(after), Ordering::SeqCst);
        }
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: Arc<Self>, port: u16, first: TcpListener) {
        let mut listener = Some(first);
        while !self.ended.load(Ordering::SeqCst) {
            if self.fault() == Fault::Refused {
                listener = None;
            } else if listener.is_none() {
                listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
            }
            let accepted = listener.as_ref().filter(|listener| listener.set_nonblocking(true).is_ok());
            match accepted.map(TcpListener::accept) {
                Some(Ok((client, _))) => Arc::clone(&self).carry(client),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn carry(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) else { return };
        let ready = |stream: &TcpStream| {
            stream.set_nonblocking(false).is_ok()
                && stream.set_nodelay(true).is_ok()
                && stream.set_read_timeout(Some(LOOK_EVERY)).is_ok()
                && stream.set_write_timeout(Some(Duration::from_secs(5))).is_ok()
        };
        let (Ok(client2), Ok(server2)) = (client.try_clone(), server.try_clone()) else { return };
        if ready(&client) && ready(&server) {
            let other = Arc::clone(&self);
            thread::spawn(move || self.one_way(client, server));
            thread::spawn(move || other.one_way(server2, client2));
        }
    }

    /// Carries bytes until one side ends, or until the link does.
    fn one_way(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; CHUNK_BYTES];
        // A request that was held up must not arrive once its sender has given it up: no network is that late.
        let mut stalled = false;
        while !self.ended.load(Ordering::SeqCst) {
            let (most, pause) = match self.fault() {
                Fault::Refused => break,
                Fault::Stalled => {
                    stalled = true;
                    thread::sleep(LOOK_EVERY);
                    continue;
                }
                Fault::Slow { bytes, pause } => (bytes.min(CHUNK_BYTES), pause),
                Fault::None | Fault::Cut { .. } => (CHUNK_BYTES, Duration::ZERO),
            };
            if stalled {
                break;
            }
            let count = match from.read(buffer.get_mut(..most).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => break,
            };
            let whole = self.until_cut(count);
            if to.write_all(buffer.get(..whole).unwrap_or_default()).is_err() || whole < count {
                break;
            }
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// How many of the bytes still pass; fewer than all: the link is cut here, and holds for the next connection.
    fn until_cut(&self, count: usize) -> usize {
        if !matches!(self.fault(), Fault::Cut { .. }) {
            return count;
        }
        let bytes = i64::try_from(count).unwrap_or(i64::MAX);
        let left = self.left.fetch_sub(bytes, Ordering::SeqCst);
        if left > bytes {
            return count;
        }
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Fault::None;
        usize::try_from(left).unwrap_or(0).min(count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what comes, and a link to it.
    fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut buffer = [0; 1000];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        stream.write_all(&buffer[..count]).unwrap();
                    }
                });
            }
        });
        Proxy::start(port).unwrap()
    }

    #[test]
    fn what_is_sent_arrives_until_the_byte_at_which_it_is_cut() {
        let proxy = echo();
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        stream.write_all(b"whole").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"whole");
        // Ten bytes there, three of them back.
        proxy.set(Fault::Cut { after: 13 });
        stream.write_all(b"0123456789").unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"012");
        let mut next = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        next.write_all(b"again").unwrap();
        next.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"again");
    }

    #[test]
    fn a_refused_link_takes_nobody_and_a_stalled_one_says_nothing() {
        let proxy = echo();
        proxy.set(Fault::Stalled);
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.write_all(b"x").unwrap();
        assert!(stream.read(&mut [0; 1]).is_err());
        proxy.set(Fault::Refused);
        while TcpStream::connect(("127.0.0.1", proxy.port)).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
        proxy.set(Fault::None);
        while TcpStream::connect(("127.0.0.1", proxy.port)).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
