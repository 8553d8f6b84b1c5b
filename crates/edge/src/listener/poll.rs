//! Many sockets and a bell in one wait.

use rustix::{
    buffer::spare_capacity,
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// The token of the bell.
pub(super) const BELL: u64 = 0;
/// Sockets that are told of at once.
const READY_MAX: usize = 256;

/// Ends a wait of its poller, now or when it waits next. Clones ring the same bell.
#[derive(Debug, Clone)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(super) fn ring(&self) {
        // The counter is full only when nobody has waited for 2^64 - 1 rings; then it is awake anyway.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// Waits for sockets.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    bell: Bell,
}

/// Room for what a wait finds; it stays in one thread.
pub(super) struct Room(Vec<epoll::Event>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(READY_MAX))
    }
}

/// A socket that is ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) token: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// It is told whether it is waited for or not, again and again.
    pub(super) broken: bool,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Bell(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?));
        epoll::add(&epoll, &*bell.0, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Self { epoll, bell })
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    pub(super) fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
    }

    /// Sets what a socket is waited for.
    pub(super) fn set(&self, socket: impl AsFd, token: u64, read: bool, write: bool) -> io::Result<()> {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, read);
        flags.set(epoll::EventFlags::OUT, write);
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), flags)?)
    }

    pub(super) fn remove(&self, socket: impl AsFd) {
        // A socket that is gone already is waited for no more.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until a socket is ready, the bell rings, or the time is over.
    pub(super) fn wait(&self, timeout: Option<Duration>, room: &mut Room, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        room.0.clear();
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        match epoll::wait(&self.epoll, spare_capacity(&mut room.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &room.0 {
            let flags = event.flags;
            if event.data.u64() == BELL {
                let mut count = [0; 8];
                let _ = rustix::io::read(&*self.bell.0, &mut count);
                continue;
            }
            let broken = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            ready.push(Ready {
                token: event.data.u64(),
                readable: broken || flags.intersects(epoll::EventFlags::IN),
                writable: broken || flags.intersects(epoll::EventFlags::OUT),
                broken,
            });
        }
        Ok(())
    }
}
