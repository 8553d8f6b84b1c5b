//! A connection: its socket, its conversation, and what waits to be understood.

use super::{core::Peer, session::Session, socket::Socket};
use std::{mem, time::Duration};

/// A connection.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) session: Session,
    pub(super) peer: Peer,
    pub(super) since: Duration,
    /// Bytes that were read and not understood yet, or not taken yet.
    pub(super) pending: Vec<u8>,
    /// What the poller waits for: bytes, and room for bytes.
    pub(super) interest: (bool, bool),
    /// Since when it takes nothing.
    pub(super) stuck: Option<Duration>,
    /// It is being closed: until when, and whether all was said.
    pub(super) closing: Option<(Duration, bool)>,
}

impl Connection {
    /// The bytes that were not understood before, with those that came.
    pub(super) fn take_pending(&mut self) -> Vec<u8> {
        mem::take(&mut self.pending)
    }

    pub(super) fn put_pending(&mut self, pending: Vec<u8>) {
        self.pending = pending;
    }

    pub(super) fn common_name(&self) -> Option<String> {
        self.socket.common_name()
    }
}
