//! The socket of a conversation, in a thread of its own: it blocks while nothing happens, and while much
//! happens it looks only once a millisecond, so that nobody is woken for each packet.

use super::{
    client::Ended,
    secure::{PORT_REMEDY, Secure, Taken},
};
use crate::tls;
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt},
};
use rustls::ClientConfig;
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

/// Bytes read at once.
pub const READ_BUFFER: usize = 128 << 10;
/// How long the thread leaves the socket alone after it has emptied it.
pub const PACE: Duration = Duration::from_millis(1);
/// Without a byte for this long the thread blocks until the next one comes: below some hundred messages a second
/// being woken for each costs less than looking all the time.
pub const PACED_FOR: Duration = Duration::from_millis(4);
/// A broker that does not take a connection for this long is not there.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a goodbye waits for the other side: so many times at most, so long each.
const CLOSE_PAUSES: usize = 50;
const CLOSE_PAUSE_NANOS: i64 = 20_000_000;
/// The port where an address names none.
const MQTT_PORT: u16 = 1883;
/// The same with TLS.
const MQTTS_PORT: u16 = 8883;

/// The address of a broker: `mqtt://host:port`, or `mqtts://host:port` with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or number.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl BrokerAddress {
    /// Reads `mqtt://host`, `mqtt://host:port`, `mqtt://[::1]:port`, and the same with `mqtts`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown = without_credentials(text);
            format!("{shown:?} is no address of a broker: expected mqtt://host:port or mqtts://host:port")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '@', '?', '#']) {
            return Err(format!("{}; user and password have keys of their own", wrong()));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(wrong)?;
                (host, after.strip_prefix(':'))
            }
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port =
            port.map_or(Ok(if tls { MQTTS_PORT } else { MQTT_PORT }), |port| port.parse().map_err(|_| wrong()))?;
        if host.is_empty() || port == 0 { Err(wrong()) } else { Ok(Self { host: host.to_owned(), port, tls }) }
    }
}

/// An address without what may be a password in it.
pub(crate) fn without_credentials(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://...@{after}")
        }
        None => address.to_owned(),
    }
}

impl std::fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Wakes a thread that waits in [`Link::wait`] or [`Waker::wait`]. Clones wake the same thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker; an error is one of the operating system (too many open files).
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Wakes the thread, now or when it waits next.
    pub fn wake(&self) {
        // The counter is full only when nobody has waited for 2^64 - 1 wakes; then it is awake anyway.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Waits for a wake, at most this long.
    pub fn wait(&self, timeout: Option<Duration>) {
        let mut fds = [PollFd::new(&*self.0, PollFlags::IN)];
        wait_for(&mut fds, timeout);
        self.clear();
    }

    fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.0, &mut count);
    }
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// Bytes, or the end, can be read.
    pub readable: bool,
    /// The waker was used.
    pub woken: bool,
}

/// The result of a look at the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Bytes<'a> {
    /// These came; whether more may be there at once.
    Some(&'a [u8], bool),
    /// None for now.
    None,
}

/// What a conversation runs over: a socket ([`Link`]), or what a simulation has in its place.
pub trait Wire {
    /// What is there, at most one buffer.
    fn read(&mut self) -> Result<Bytes<'_>, Ended>;
    /// Sends as much as it takes and removes it from `output`.
    fn write(&mut self, output: &mut Vec<u8>) -> Result<(), Ended>;
    /// Ends the connection after a goodbye such that the other side reads it.
    fn close(self, output: Vec<u8>);
}

impl Wire for Link {
    fn read(&mut self) -> Result<Bytes<'_>, Ended> {
        Self::read(self)
    }

    fn write(&mut self, output: &mut Vec<u8>) -> Result<(), Ended> {
        Self::write(self, output)
    }

    fn close(self, output: Vec<u8>) {
        Self::close(self, output);
    }
}

/// A connection to a broker.
pub struct Link {
    stream: TcpStream,
    buffer: Box<[u8]>,
    secure: Option<Box<Secure>>,
}

impl Link {
    /// Connects, with TLS where it is told how; gives up when woken and `stopped` says so.
    pub fn connect(
        address: &BrokerAddress,
        tls: Option<&Arc<ClientConfig>>,
        waker: &Waker,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Self, Ended> {
        let unreachable = |e: &dyn std::fmt::Display| {
            Ended::new(
                format!("{address} cannot be reached: {e}"),
                "check the address, the network, and that the broker runs",
            )
        };
        let found = (address.host.as_str(), address.port).to_socket_addrs().map_err(|e| unreachable(&e))?;
        let mut last = unreachable(&"the name has no address");
        for socket in found {
            match connect_to(socket, waker, stopped) {
                Ok(stream) => {
                    let buffer = vec![0; READ_BUFFER].into_boxed_slice();
                    let mut link = Self { stream, buffer, secure: None };
                    if let Some(config) = tls {
                        let name = tls::server_name(&address.host)?;
                        link.handshake(Secure::new(config, name, address.to_string())?, address, waker, stopped)?;
                    }
                    return Ok(link);
                }
                Err(error) => last = unreachable(&error),
            }
            if stopped() {
                break;
            }
        }
        Err(last)
    }

    fn handshake(
        &mut self,
        mut secure: Secure,
        address: &BrokerAddress,
        waker: &Waker,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Ended> {
        let broken = |what: &str| Ended::new(format!("TLS with {address} failed: {what}"), PORT_REMEDY);
        let mut left = CONNECT_MAX;
        loop {
            secure.flush(&mut self.stream)?;
            if !secure.is_handshaking() {
                self.secure = Some(Box::new(secure));
                return Ok(());
            }
            match secure.take(&mut self.stream)? {
                Taken::Some => continue,
                Taken::End => return Err(broken("it closed the connection during the handshake")),
                Taken::Nothing => {}
            }
            let interest = if secure.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let mut fds = [PollFd::new(&self.stream, interest), PollFd::new(&*waker.0, PollFlags::IN)];
            wait_for(&mut fds, Some(left));
            let [ready, wake] = fds.map(|fd| fd.revents());
            if stopped() {
                return Err(broken("stopped"));
            }
            if ready.is_empty() && wake.is_empty() {
                return Err(broken("no answer within 10 s"));
            }
            waker.clear();
            // A handshake takes few turns; each costs a tenth of the time that is left, so that it ends.
            left = left * 9 / 10;
        }
    }

    /// Waits until bytes come, the socket takes more bytes (where that is asked for), the waker is used, or the
    /// time is over.
    pub fn wait(&self, waker: &Waker, to_write: bool, timeout: Option<Duration>) -> Ready {
        let to_write = to_write || !self.is_flushed();
        let interest = if to_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(&self.stream, interest), PollFd::new(&*waker.0, PollFlags::IN)];
        wait_for(&mut fds, timeout);
        let [socket, wake] = fds.map(|fd| fd.revents());
        let woken = !wake.is_empty();
        if woken {
            waker.clear();
        }
        Ready { readable: socket.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR), woken }
    }

    /// Whether the socket has taken everything that was removed from an output.
    pub fn is_flushed(&self) -> bool {
        self.secure.as_ref().is_none_or(|secure| !secure.wants_write())
    }

    /// Reads what is there, at most one buffer.
    pub fn read(&mut self) -> Result<Bytes<'_>, Ended> {
        let closed = || Ended::new("the broker closed the connection", "look into the broker's log");
        if let Some(secure) = &mut self.secure {
            return match secure.read(&mut self.stream, &mut self.buffer)? {
                None => Ok(Bytes::None),
                Some(0) => Err(closed()),
                Some(n) => Ok(Bytes::Some(self.buffer.get(..n).unwrap_or(&[]), true)),
            };
        }
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(closed()),
                Ok(n) => {
                    let more = n == self.buffer.len();
                    return Ok(Bytes::Some(self.buffer.get(..n).unwrap_or(&[]), more));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Bytes::None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(lost(&e)),
            }
        }
    }

    /// Sends as much as the socket takes and removes it from `output`; with TLS what is removed may still wait,
    /// see [`Link::is_flushed`].
    pub fn write(&mut self, output: &mut Vec<u8>) -> Result<(), Ended> {
        if let Some(secure) = &mut self.secure {
            return secure.write(&mut self.stream, output);
        }
        let mut sent = 0;
        let result = loop {
            let Some(rest) = output.get(sent..).filter(|rest| !rest.is_empty()) else { break Ok(()) };
            match self.stream.write(rest) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(lost(&e)),
            }
        };
        output.drain(..sent);
        result
    }

    /// Ends the connection after a goodbye such that the other side reads it: what still comes is read until it
    /// closes too, for closing a socket with unread bytes throws away what was sent.
    pub fn close(mut self, mut output: Vec<u8>) {
        let patience = Timespec { tv_sec: 0, tv_nsec: CLOSE_PAUSE_NANOS };
        let (mut said, mut shut) = (false, false);
        for _ in 0..CLOSE_PAUSES {
            if output.is_empty()
                && !said
                && let Some(secure) = &mut self.secure
            {
                secure.close();
            }
            said |= output.is_empty();
            if self.write(&mut output).is_err() {
                return;
            }
            let gone = output.is_empty() && self.is_flushed();
            if gone && !shut {
                shut = self.stream.shutdown(Shutdown::Write).is_ok();
            }
            let interest = if gone { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            if poll(&mut [PollFd::new(&self.stream, interest)], Some(&patience)).is_err() {
                return;
            }
            while let Ok(Bytes::Some(..)) = self.read() {}
            if self.read().is_err() {
                return;
            }
        }
    }
}

fn lost(error: &io::Error) -> Ended {
    Ended::new(format!("the connection was lost: {error}"), "check the network and the broker")
}

fn connect_to(address: SocketAddr, waker: &Waker, stopped: &dyn Fn() -> bool) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            let mut left = CONNECT_MAX;
            // Wakes that do not stop us are few; each costs a tenth of the time that is left.
            loop {
                let mut fds = [PollFd::new(&socket, PollFlags::OUT), PollFd::new(&*waker.0, PollFlags::IN)];
                wait_for(&mut fds, Some(left));
                let [ready, wake] = fds.map(|fd| fd.revents());
                if !ready.is_empty() {
                    break;
                }
                if stopped() {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
                }
                if wake.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s"));
                }
                waker.clear();
                left = left * 9 / 10;
            }
            sockopt::socket_error(&socket)??;
        }
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Polls; a signal, or a time too long for the system, ends the wait early, which every caller bears.
fn wait_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) {
    let timeout = timeout
        .map(|t| Timespec { tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX), tv_nsec: t.subsec_nanos().into() });
    if poll(fds, timeout.as_ref()).is_err() {
        fds.iter_mut().for_each(PollFd::clear_revents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        let parse = |text| BrokerAddress::parse(text).map(|a| a.to_string());
        assert_eq!(parse("mqtt://plant").unwrap(), "mqtt://plant:1883");
        assert_eq!(parse("mqtt://127.0.0.1:1884/").unwrap(), "mqtt://127.0.0.1:1884");
        assert_eq!(parse("mqtt://[::1]:5").unwrap(), "mqtt://[::1]:5");
        assert_eq!(parse("mqtts://plant").unwrap(), "mqtts://plant:8883");
        for wrong in ["", "plant:1883", "mqtt://", "mqtt://:5", "mqtt://a:x", "mqtt://a:0", "mqtt://u:p@a", "wss://a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for told in ["mqtt://me:secret@plant", "http://me:secret@plant", "me:sec@secret@plant:1883"] {
            let wrong = parse(told).unwrap_err();
            assert!(!wrong.contains("sec") && wrong.contains("plant"), "{wrong}");
        }
    }

    #[test]
    fn a_wake_before_the_wait_is_not_lost() {
        let waker = Waker::new().unwrap();
        waker.clone().wake();
        waker.wait(None);
    }

    #[test]
    fn nobody_there_is_an_end_with_a_remedy() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let address = BrokerAddress { host: "127.0.0.1".into(), port, tls: false };
        let ended = Link::connect(&address, None, &Waker::new().unwrap(), &|| false).err().unwrap();
        assert!(ended.reason.contains("refused"), "{ended}");
        assert!(ended.remedy.contains("broker runs"), "{ended}");
    }
}
