//! Events on their way to one plain broker, or to the clients of a listener: at least once, in order per key, with a
//! durable cursor that follows what is over.

mod broker;
mod clients;
mod outbox;

pub use outbox::{AHEAD_MAX, TRIES_MAX};

use self::outbox::{Outbox, Tally};
use crate::{
    given::{Backoff, Chance, Clock, End, Env, draw},
    listener::ListenerHub,
    mqtt::Waker,
    render::{self, Unpublished},
};
use andon_contract::contract::{Contract, PublishTo, Subscriber};
use andon_model::{Name, Time};
use andon_store::{Store, StoreError, rows::Write};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Publishes without acknowledgement at most.
pub const WINDOW: u16 = 1_000;
/// Events read from the store at once.
const READ_AT_ONCE: usize = 500;
/// The cursor is committed after so many events, or after [`COMMIT_AFTER`].
const COMMIT_EVENTS: u64 = 500;
/// How long an event that is over waits for others before the cursor is committed.
const COMMIT_AFTER: Duration = Duration::from_millis(50);
/// Between two looks at the store while it changes all the time.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long the bell waits before it looks whether it is to stop.
const BELL_MAX: Duration = Duration::from_millis(500);
/// How often a failed store is tried again.
const RETRY_STORE: Duration = Duration::from_secs(1);
/// How long a stop waits for acknowledgements.
const STOP_MAX: Duration = Duration::from_secs(2);

/// The condition of a running subscriber.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriberStatus {
    /// Connected to its broker.
    pub connected: bool,
    /// Since when.
    pub since: Time,
    /// Why not; empty when all is well.
    pub reason: String,
    /// Events delivered since the loop began.
    pub delivered: u64,
    /// Events set aside as exceptions since the loop began.
    pub parked: u64,
    /// Everything up to this order number is delivered, parked, or of a type that is not wanted.
    pub cursor: u64,
}

/// A running subscriber; dropping it stops it.
pub struct SubscriberHandle {
    shared: Arc<Shared>,
    store: Store,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waker: Waker,
    stop: AtomicBool,
    changed: AtomicBool,
    status: Mutex<SubscriberStatus>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn status(&self, change: impl FnOnce(&mut SubscriberStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl SubscriberHandle {
    /// The condition at the moment.
    pub fn status(&self) -> SubscriberStatus {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the loop; what is under way is waited for briefly. Returns when it is over.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.waker.wake();
        self.store.wake();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("the thread of a subscriber ended by a defect");
            }
        }
    }
}

impl Drop for SubscriberHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The way to the clients of the listeners of an instance, by their names. A listener may be added later: whoever has
/// events for its clients keeps them until then.
pub type Hubs = Arc<Mutex<BTreeMap<Name, ListenerHub>>>;

/// The name of a subscriber's cursor.
pub fn cursor_name(subscriber: &Name) -> String {
    format!("subscriber/{subscriber}")
}

/// Starts the loop of a subscriber; `hubs` leads to the listeners of the instance. One that is new begins behind the
/// newest event there is; start it before what makes events. Errors are those of the operating system and of the
/// store, and a name that is no subscriber.
pub fn start_subscriber(
    contract: Arc<Contract>,
    name: &Name,
    hubs: &Hubs,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
) -> io::Result<SubscriberHandle> {
    let subscriber =
        contract.subscribers.get(name).cloned().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is no subscriber of the project"))
        })?;
    let (cursor, tally) = first_cursor(&store, name).map_err(io::Error::other)?;
    let shared = Arc::new(Shared {
        waker: Waker::new()?,
        stop: AtomicBool::new(false),
        changed: AtomicBool::new(true),
        status: Mutex::new(SubscriberStatus {
            cursor,
            since: clock.now(),
            reason: "starting".into(),
            ..SubscriberStatus::default()
        }),
    });
    let (bell_store, bell_shared) = (store.clone(), Arc::clone(&shared));
    let bell = thread::Builder::new().name(format!("bell {name}")).spawn(move || bell(&bell_store, &bell_shared))?;
    let mut handle = SubscriberHandle { shared: Arc::clone(&shared), store: store.clone(), threads: vec![bell] };
    let outbox = Outbox::new(cursor, tally);
    let me = Loop {
        contract,
        name: name.clone(),
        subscriber,
        store,
        env,
        clock,
        chance,
        shared,
        hubs: Arc::clone(hubs),
        outbox,
        began: tally,
        refusing: false,
        heard: Duration::ZERO,
        acked_at: None,
    };
    handle.threads.push(thread::Builder::new().name(format!("subscriber {name}")).spawn(move || me.run())?);
    Ok(handle)
}

/// The names of the rows that keep what ended how up to the cursor, and where the cursor began.
fn tally_names(subscriber: &Name) -> [String; 4] {
    ["delivered", "parked", "unwanted", "from"].map(|what| format!("{}/{what}", cursor_name(subscriber)))
}

fn first_cursor(store: &Store, name: &Name) -> Result<(u64, Tally), StoreError> {
    let [delivered, parked, unwanted, from] = tally_names(name);
    let cursor = store.cursor(&cursor_name(name))?;
    if let (Some(cursor), Some(_)) = (cursor, store.cursor(&from)?) {
        let row = |name: &str| Ok::<u64, StoreError>(store.cursor(name)?.unwrap_or(0));
        let tally = Tally { delivered: row(&delivered)?, parked: row(&parked)?, unwanted: row(&unwanted)? };
        return Ok((cursor, tally));
    }
    let cursor = match cursor {
        Some(cursor) => cursor,
        None => store.last_sequence()?,
    };
    store.commit(vec![Write::Cursor(cursor_name(name), cursor), Write::Cursor(from, cursor)])?;
    Ok((cursor, Tally::default()))
}

/// Tells the loop that the store has changed.
fn bell(store: &Store, shared: &Shared) {
    let mut seen = store.change_of_rows();
    while !shared.stopped() {
        let now = store.wait_rows(seen, BELL_MAX);
        if now == seen {
            continue;
        }
        seen = now;
        if !shared.changed.swap(true, Ordering::AcqRel) {
            shared.waker.wake();
        }
        thread::sleep(LOOK_EVERY);
    }
}

struct Loop {
    contract: Arc<Contract>,
    name: Name,
    subscriber: Subscriber,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
    shared: Arc<Shared>,
    hubs: Hubs,
    outbox: Outbox,
    /// What had ended how when the loop began.
    began: Tally,
    /// The status tells of events that are refused for now.
    refusing: bool,
    /// When bytes came last.
    heard: Duration,
    /// When the first event that is not committed was over.
    acked_at: Option<Duration>,
}

impl Loop {
    fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.shared.stopped() {
            let began = self.clock.monotonic();
            let end = match self.subscriber.to {
                PublishTo::Broker(_) => self.conversation(),
                PublishTo::Listener(_) => self.deliver_to_clients(),
            };
            let now = self.clock.now();
            if let Err(error) = self.commit() {
                tracing::warn!(subscriber = %self.name, %error, "the cursor cannot be committed");
            }
            let (reason, pause) = match end {
                End::Stopped => break,
                End::Store(error) => (error.to_string(), RETRY_STORE),
                End::Ended(ended) => {
                    let stood = self.clock.monotonic().saturating_sub(began);
                    (ended.to_string(), backoff.pause(stood, draw(&mut self.chance)))
                }
            };
            tracing::warn!(subscriber = %self.name, %reason, "not connected");
            self.shared.status(|s| {
                s.since = if s.connected { now } else { s.since };
                (s.connected, s.reason) = (false, reason);
            });
            let until = self.clock.monotonic() + pause;
            while !self.shared.stopped() && self.clock.monotonic() < until {
                self.shared.waker.wait(Some(until.saturating_sub(self.clock.monotonic())));
            }
        }
    }

    fn connected(&self) {
        tracing::info!(subscriber = %self.name, "connected");
        let now = self.clock.now();
        self.shared.status(|s| (s.connected, s.since, s.reason) = (true, now, String::new()));
    }

    /// The next event as its message; what can never be one is set aside on the way.
    fn render_next(&mut self, now: Duration) -> Option<render::Rendered> {
        loop {
            let event = self.outbox.next(now)?;
            let why = match render::render(&self.contract, &self.subscriber, event) {
                Ok(message) => return Some(message),
                Err(why) => why,
            };
            self.unsendable(now, &why);
        }
    }

    /// The next event can never be sent.
    fn unsendable(&mut self, now: Duration, why: &Unpublished) {
        let at = self.clock.now();
        let Some(event) = self.outbox.next(now) else { return };
        let row = why.exception(&self.contract, &self.name, event, at);
        self.outbox.unsendable(Write::Exception(Box::new(row)));
    }

    /// Reads more events, when there may be any and there is room; whether some were read.
    fn look(&mut self) -> Result<bool, StoreError> {
        let most = self.outbox.room().min(READ_AT_ONCE);
        if most == 0 || !self.shared.changed.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let events = self.store.events_after(self.outbox.read(), most)?;
        let any = !events.is_empty();
        if events.len() == most {
            self.shared.changed.store(true, Ordering::Release);
        }
        let subscriber = &self.subscriber;
        self.outbox.take(events, &|event| render::wants(subscriber, event));
        Ok(any)
    }

    fn commit_when_due(&mut self, now: Duration) -> Result<(), StoreError> {
        if !self.outbox.is_dirty() {
            return Ok(());
        }
        let since = *self.acked_at.get_or_insert(now);
        let many = self.outbox.uncommitted() >= COMMIT_EVENTS;
        if many || now.saturating_sub(since) >= COMMIT_AFTER || self.shared.stopped() {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if !self.outbox.is_dirty() {
            return Ok(());
        }
        let (cursor, tally) = self.outbox.progress();
        let [delivered, parked, unwanted, _] = tally_names(&self.name);
        let mut writes = self.outbox.exceptions().to_vec();
        writes.extend([
            Write::Cursor(cursor_name(&self.name), cursor),
            Write::Cursor(delivered, tally.delivered),
            Write::Cursor(parked, tally.parked),
            Write::Cursor(unwanted, tally.unwanted),
        ]);
        self.store.commit(writes)?;
        self.outbox.committed();
        self.acked_at = None;
        let (delivered, parked) = (tally.delivered - self.began.delivered, tally.parked - self.began.parked);
        self.shared.status(|s| (s.delivered, s.parked, s.cursor) = (delivered, parked, cursor));
        Ok(())
    }
}
