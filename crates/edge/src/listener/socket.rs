//! The socket of a client, with TLS or without. It never blocks.

use crate::{mqtt::Ended, tls};
use rustls::{ServerConfig, ServerConnection};
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

/// Bytes that are handed to TLS at once.
const TLS_PIECE: usize = 64 << 10;

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes.
    Bytes(usize),
    /// None for now.
    Nothing,
    /// The client has closed.
    End,
}

/// The socket of a client.
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    peer: String,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>, peer: String) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Some(Box::new(connection))
            }
        };
        Ok(Self { stream, tls, peer })
    }

    /// The address of the client.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// The common name of the certificate that the client has shown.
    pub(super) fn common_name(&self) -> Option<String> {
        self.tls.as_ref()?.peer_certificates()?.first().and_then(tls::name::common_name)
    }

    /// Reads at most one buffer.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Got, Ended> {
        let Some(tls) = &mut self.tls else { return got(self.stream.read(buffer)) };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(count) => return Ok(Got::Bytes(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok(Got::End),
            }
            match got(tls.read_tls(&mut self.stream))? {
                Got::Bytes(_) => {}
                // Bytes that ended without a goodbye of TLS are told apart from nothing by the packets in them.
                other => return Ok(other),
            }
            if let Err(error) = tls.process_new_packets() {
                // The alert that says why; the client may be gone.
                let _ = tls.write_tls(&mut self.stream);
                return Err(tls::explain(&self.peer, &error));
            }
        }
    }

    /// Sends as much as the socket takes and removes it from `output`; whether nothing is left.
    pub(super) fn write(&mut self, output: &mut Vec<u8>) -> Result<bool, Ended> {
        let Some(tls) = &mut self.tls else {
            let (sent, result) = send(&mut self.stream, output);
            output.drain(..sent);
            return result.map(|()| output.is_empty());
        };
        loop {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(lost(&error)),
                }
            }
            if output.is_empty() || tls.is_handshaking() {
                return Ok(output.is_empty());
            }
            let piece = output.get(..output.len().min(TLS_PIECE)).unwrap_or_default();
            let taken = tls.writer().write(piece).map_err(|e| lost(&e))?;
            output.drain(..taken);
        }
    }

    /// Whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether TLS has something to send of its own.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Says that nothing more is sent.
    pub(super) fn shut(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.stream);
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn got(result: io::Result<usize>) -> Result<Got, Ended> {
    match result {
        Ok(0) => Ok(Got::End),
        Ok(count) => Ok(Got::Bytes(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(Got::Nothing)
        }
        Err(error) => Err(lost(&error)),
    }
}

fn send(stream: &mut TcpStream, output: &[u8]) -> (usize, Result<(), Ended>) {
    let mut sent = 0;
    loop {
        let Some(rest) = output.get(sent..).filter(|rest| !rest.is_empty()) else { return (sent, Ok(())) };
        match stream.write(rest) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (sent, Ok(())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (sent, Err(lost(&error))),
        }
    }
}

fn lost(error: &io::Error) -> Ended {
    Ended::new(format!("the connection was lost: {error}"), "check the network and the client")
}
