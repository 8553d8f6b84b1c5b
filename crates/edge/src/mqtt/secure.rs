//! TLS between the socket and the conversation: bytes that come are opened, bytes that go are sealed, without
//! ever waiting.

use super::client::Ended;
use crate::tls;
use rustls::{ClientConfig, ClientConnection, Error, pki_types::ServerName};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

/// Sealed bytes read from the socket at once.
const SEALED_BUFFER: usize = 64 << 10;

/// What to do where the other side does not understand a handshake.
pub(super) const PORT_REMEDY: &str =
    "check that this is the port of the broker's TLS listener (mostly 8883), and look into its log";

/// The TLS of one connection.
pub(super) struct Secure {
    tls: ClientConnection,
    /// The other side, for messages.
    peer: String,
    /// Sealed bytes that came: those from `at` to `end` are not opened yet.
    sealed: Box<[u8]>,
    at: usize,
    end: usize,
    /// What ended it, which is told once everything before it was read.
    failed: Option<Ended>,
}

/// What a look at the socket brought.
pub(super) enum Taken {
    /// Something; there may be more.
    Some,
    /// Nothing for now.
    Nothing,
    /// The other side has closed.
    End,
}

impl Secure {
    pub(super) fn new(config: &Arc<ClientConfig>, name: ServerName<'static>, peer: String) -> Result<Self, Ended> {
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(|e| tls::explain(&peer, &e))?;
        Ok(Self { tls, peer, sealed: vec![0; SEALED_BUFFER].into_boxed_slice(), at: 0, end: 0, failed: None })
    }

    /// Whether the handshake is not over, or its last bytes are not sent.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking() || self.tls.wants_write()
    }

    /// Whether sealed bytes wait for the socket to take them.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Says goodbye in the words of TLS.
    pub(super) fn close(&mut self) {
        self.tls.send_close_notify();
    }

    /// Takes sealed bytes from the socket and opens them.
    pub(super) fn take(&mut self, stream: &mut TcpStream) -> Result<Taken, Ended> {
        if self.at == self.end {
            match stream.read(&mut self.sealed) {
                Ok(0) => return Ok(Taken::End),
                Ok(n) => (self.at, self.end) = (0, n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Taken::Nothing),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(Taken::Some),
                Err(e) => return Err(self.lost(&e)),
            }
        }
        let mut sealed = self.sealed.get(self.at..self.end).unwrap_or(&[]);
        let before = sealed.len();
        let read = self.tls.read_tls(&mut sealed);
        self.at += before - sealed.len();
        read.map_err(|e| self.lost(&e))?;
        match self.tls.process_new_packets() {
            Ok(_) => Ok(Taken::Some),
            Err(error) => {
                // The other side is told why, as far as its socket takes it.
                let _ = self.tls.write_tls(stream);
                Err(self.explain(&error))
            }
        }
    }

    /// Reads opened bytes, at most as much as fits; `None`: nothing for now, 0: the other side has closed.
    pub(super) fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, Ended> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.tls.reader().read(room) {
                Ok(0) => return Ok(Some(filled)),
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // The other side has closed without a word; what came before it counts.
                Err(_) => return Ok(Some(filled)),
            }
            if filled > 0 && self.at == self.end {
                break;
            }
            if let Some(ended) = self.failed.take() {
                return Err(ended);
            }
            match self.take(stream) {
                Ok(Taken::Some) => {}
                Ok(Taken::Nothing) => break,
                // An end is found again once everything before it was read.
                Ok(Taken::End) => return Ok(Some(filled)),
                Err(ended) if filled > 0 => {
                    self.failed = Some(ended);
                    break;
                }
                Err(ended) => return Err(ended),
            }
        }
        Ok((filled > 0).then_some(filled))
    }

    /// Seals and sends as much as the socket takes, and removes from `output` what is sealed.
    pub(super) fn write(&mut self, stream: &mut TcpStream, output: &mut Vec<u8>) -> Result<(), Ended> {
        let mut sealed = 0;
        let result = loop {
            match self.flush(stream) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(ended) => break Err(ended),
            }
            let Some(rest) = output.get(sealed..).filter(|rest| !rest.is_empty()) else { break Ok(()) };
            match self.tls.writer().write(rest) {
                Ok(0) => break Ok(()),
                Ok(n) => sealed += n,
                Err(e) => break Err(self.lost(&e)),
            }
        };
        output.drain(..sealed);
        result
    }

    /// Sends what is sealed; whether all of it went.
    pub(super) fn flush(&mut self, stream: &mut TcpStream) -> Result<bool, Ended> {
        while self.tls.wants_write() {
            match self.tls.write_tls(stream) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // Why it closed may lie in what it sent before: with TLS 1.3 a certificate is refused after the
                    // handshake is over for us.
                    while let Taken::Some = self.take(stream)? {}
                    return Err(self.lost(&e));
                }
            }
        }
        Ok(true)
    }

    pub(super) fn explain(&self, error: &Error) -> Ended {
        tls::explain(&self.peer, error)
    }

    fn lost(&self, error: &io::Error) -> Ended {
        if self.tls.is_handshaking() {
            let reason =
                format!("TLS with {} failed: it ended the connection during the handshake ({error})", self.peer);
            return Ended::new(reason, PORT_REMEDY);
        }
        let remedy = "check the network and the broker; its log says whether it refused our certificate";
        Ended::new(format!("the connection with {} was lost: {error}", self.peer), remedy)
    }
}
