//! The handle of a running listener, what it shares with its thread, and the way for messages of the instance itself.

use super::{poll::Bell, session::Message};
use crate::run::SourceStatus;
use andon_model::{Name, SiteName, Time, sample::Batch};
use andon_store::StoreError;
use std::{
    collections::BTreeMap,
    fmt, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// Messages of the instance that wait for the listener's thread.
pub const HUB_MESSAGES_MAX: usize = 10_000;
/// Bytes of messages of the instance that wait for the listener's thread.
pub const HUB_BYTES_MAX: usize = 16 << 20;

/// The condition of a running listener.
#[derive(Debug, Clone, Default)]
pub struct ListenerStatus {
    /// Connections that stand.
    pub connections: usize,
    /// Messages and clients that were refused since the start, by reason code.
    pub refused: BTreeMap<u8, u64>,
    /// Why nothing is acknowledged at present; empty when all is well.
    pub reason: String,
    /// Its sources.
    pub sources: Vec<(Name, SourceStatus)>,
}

/// A running listener; dropping it stops it.
pub struct ListenerHandle {
    pub(super) address: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) wake_store: Box<dyn Fn() + Send>,
}

impl fmt::Debug for ListenerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerHandle").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ListenerHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The condition at the moment.
    pub fn status(&self) -> ListenerStatus {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The way for messages of the instance to the listener's subscribers.
    pub fn hub(&self) -> ListenerHub {
        ListenerHub { shared: Arc::clone(&self.shared) }
    }

    /// Ends the listener: what was received becomes durable and is acknowledged, then clients are told and their
    /// connections are closed. Returns when it is over.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.bell.ring();
        (self.wake_store)();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("the thread of a listener ended by a defect");
            }
        }
    }
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What became of a message of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is on its way to those who have subscribed it now. Who comes later does not get it, unless it is retained.
    Taken,
    /// Too many wait; try again a moment later.
    Full,
    /// The listener has ended.
    Stopped,
}

/// The way for messages of the instance to the subscribers of a listener. Clones lead to the same one.
#[derive(Clone)]
pub struct ListenerHub {
    shared: Arc<Shared>,
}

impl fmt::Debug for ListenerHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenerHub")
    }
}

impl ListenerHub {
    /// Publishes a message at QoS 0 or 1 to those who may see its site; `None`: to no site, which only clients of all
    /// sites see. A retained one is kept for those who subscribe later.
    pub fn publish(
        &self,
        topic: &str,
        payload: Vec<u8>,
        qos: u8,
        retain: bool,
        site: Option<&SiteName>,
        now: Time,
    ) -> Delivery {
        if self.shared.stopped() {
            return Delivery::Stopped;
        }
        let message = Message {
            topic: topic.into(),
            payload: payload.into(),
            properties: [].into(),
            received: now,
            expires: None,
        };
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.waiting.len() >= HUB_MESSAGES_MAX || inbox.bytes + message.size() > HUB_BYTES_MAX {
            return Delivery::Full;
        }
        inbox.bytes += message.size();
        inbox.waiting.push(Published { message: Arc::new(message), qos: qos.min(1), retain, site: site.cloned() });
        drop(inbox);
        self.shared.ring();
        Delivery::Taken
    }

    /// Whether anybody has subscribed anything.
    pub fn has_subscribers(&self) -> bool {
        self.shared.subscribed.load(Ordering::Acquire)
    }
}

/// A message of the instance.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) message: Arc<Message>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) site: Option<SiteName>,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: Vec<Published>,
    bytes: usize,
}

/// A part that is over: the number of its flight, its place there, and how.
pub(super) type Done = (u64, usize, Result<(), StoreError>);

/// What the handle and the thread share.
pub(super) struct Shared {
    bell: Bell,
    stop: AtomicBool,
    /// The thread blocks and must be woken when something comes.
    blocked: AtomicBool,
    done: Mutex<Vec<Done>>,
    inbox: Mutex<Inbox>,
    pub(super) subscribed: AtomicBool,
    pub(super) status: Mutex<ListenerStatus>,
}

impl Shared {
    pub(super) fn new(bell: Bell, sources: Vec<(Name, SourceStatus)>) -> Self {
        Self {
            bell,
            stop: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            done: Mutex::default(),
            inbox: Mutex::default(),
            subscribed: AtomicBool::new(false),
            status: Mutex::new(ListenerStatus { sources, ..ListenerStatus::default() }),
        }
    }

    /// Whether the handle asks for the end.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// A part of a flight is over.
    pub(super) fn part_done(&self, flight: u64, part: usize, result: Result<Arc<Batch>, StoreError>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((flight, part, result.map(drop)));
        self.ring();
    }

    fn ring(&self) {
        if self.blocked.load(Ordering::SeqCst) {
            self.bell.ring();
        }
    }

    pub(super) fn take_done(&self) -> Vec<Done> {
        mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn take_inbox(&self) -> Vec<Published> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.bytes = 0;
        mem::take(&mut inbox.waiting)
    }

    /// Does `wait` such that a part that is over, a message or a stop ends it.
    pub(super) fn block(&self, wait: impl FnOnce(bool)) {
        self.blocked.store(true, Ordering::SeqCst);
        let nothing = self.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            && self.inbox.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
            && !self.stopped();
        wait(nothing);
        self.blocked.store(false, Ordering::SeqCst);
    }

    pub(super) fn status(&self, change: impl FnOnce(&mut ListenerStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
