//! Events on their way to one plain broker: at least once, in order per key, many under way, with a durable
//! cursor that follows what was acknowledged.

use crate::{
    given::{self, Backoff, Chance, Clock, End, Env, draw},
    mqtt::{
        Client, Ended, Happened, Link, Settings, Waker,
        client::NotSent,
        codes::Explained,
        transport::{Bytes, PACE, PACED_FOR},
    },
    render::{self, Unpublished},
};
use andon_contract::contract::{Contract, PublishTo, Subscriber};
use andon_model::{Name, Time};
use andon_store::{
    Store, StoreError,
    rows::{StoredEvent, Write},
};
use std::{
    collections::VecDeque,
    io, mem,
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
/// How long an acknowledged event waits for others before the cursor is committed.
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

/// The name of a subscriber's cursor.
pub fn cursor_name(subscriber: &Name) -> String {
    format!("subscriber/{subscriber}")
}

/// Starts the loop of a subscriber. One that is new begins behind the newest event there is; start it before what
/// makes events. Errors are those of the operating system and of the store, and a name that is no subscriber.
pub fn start_subscriber(
    contract: Arc<Contract>,
    name: &Name,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
) -> io::Result<SubscriberHandle> {
    let subscriber =
        contract.subscribers.get(name).cloned().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is no subscriber of the project"))
        })?;
    let cursor = first_cursor(&store, name).map_err(io::Error::other)?;
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
    let outbox = Outbox::new(cursor);
    let me = Loop {
        contract,
        name: name.clone(),
        subscriber,
        store,
        env,
        clock,
        chance,
        shared,
        outbox,
        heard: Duration::ZERO,
        acked_at: None,
    };
    handle.threads.push(thread::Builder::new().name(format!("subscriber {name}")).spawn(move || me.run())?);
    Ok(handle)
}

fn first_cursor(store: &Store, name: &Name) -> Result<u64, StoreError> {
    if let Some(cursor) = store.cursor(&cursor_name(name))? {
        return Ok(cursor);
    }
    let newest = store.last_sequence()?;
    store.commit(vec![Write::Cursor(cursor_name(name), newest)])?;
    Ok(newest)
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

/// What is under way, in the order of the events. Pure.
#[derive(Debug)]
struct Outbox {
    /// Everything up to here is over and committed.
    committed: u64,
    /// Everything up to here is over.
    cursor: u64,
    /// Read from the store up to here.
    read: u64,
    /// Read and not sent.
    unsent: VecDeque<StoredEvent>,
    under_way: VecDeque<UnderWay>,
    exceptions: Vec<Write>,
    delivered: u64,
    parked: u64,
}

#[derive(Debug)]
struct UnderWay {
    sequence: u64,
    state: State,
    /// For a refusal.
    event: Option<Box<StoredEvent>>,
}

#[derive(Debug)]
enum State {
    /// Sent at QoS 1 with this packet id.
    Sent(u16),
    /// At QoS 0: waits until its bytes are written.
    Written,
    Over,
}

impl Outbox {
    fn new(cursor: u64) -> Self {
        Self {
            committed: cursor,
            cursor,
            read: cursor,
            unsent: VecDeque::new(),
            under_way: VecDeque::new(),
            exceptions: Vec::new(),
            delivered: 0,
            parked: 0,
        }
    }

    /// Begins behind what is over; the rest is read and sent again.
    fn again(&mut self) {
        self.unsent.clear();
        self.under_way.clear();
        self.read = self.cursor;
    }

    fn read(&mut self, events: Vec<StoredEvent>) {
        self.read = events.last().map_or(self.read, |event| event.sequence);
        self.unsent.extend(events);
    }

    fn push(&mut self, sequence: u64, state: State, event: Option<Box<StoredEvent>>) {
        self.under_way.push_back(UnderWay { sequence, state, event });
    }

    /// A packet id is acknowledged; the event is returned.
    fn acknowledged(&mut self, id: u16) -> Option<StoredEvent> {
        // Brokers acknowledge in order: it is nearly always the first one under way.
        let way = self.under_way.iter_mut().find(|way| matches!(way.state, State::Sent(sent) if sent == id))?;
        way.state = State::Over;
        let event = way.event.take();
        self.advance();
        event.map(|event| *event)
    }

    fn written(&mut self) {
        for way in self.under_way.iter_mut().filter(|way| matches!(way.state, State::Written)) {
            way.state = State::Over;
            self.delivered += 1;
        }
    }

    fn advance(&mut self) {
        while let Some(UnderWay { sequence, state: State::Over, .. }) = self.under_way.front() {
            self.cursor = *sequence;
            self.under_way.pop_front();
        }
    }

    fn is_dirty(&self) -> bool {
        self.cursor > self.committed || !self.exceptions.is_empty()
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
    outbox: Outbox,
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
            let end = self.conversation();
            let now = self.clock.now();
            if let Err(error) = self.commit() {
                tracing::warn!(subscriber = %self.name, %error, "the cursor cannot be committed");
            }
            self.outbox.again();
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

    fn connect(&self) -> Result<(Link, Client), Ended> {
        let PublishTo::Broker(broker) = &self.subscriber.to else {
            return Err(Ended::new("listeners are not published to yet", "name a broker"));
        };
        let (address, tls) = given::address(broker, &self.env, "subscriber")?;
        let settings = Settings {
            client_id: format!("andon-{}-subscriber-{}", self.store.instance(), self.name),
            version: broker.version,
            clean_start: true,
            session_expiry: 0,
            keep_alive: given::keep_alive(broker),
            credentials: given::credentials(broker, &self.env)?,
            window: WINDOW,
        };
        let shared = &self.shared;
        let link = Link::connect(&address, tls.as_ref(), &shared.waker, &|| shared.stopped())?;
        let mut client = Client::new(settings, []);
        client.connect(self.clock.monotonic())?;
        Ok((link, client))
    }

    fn conversation(&mut self) -> End {
        let (mut link, mut client) = match self.connect() {
            Ok(both) => both,
            Err(_) if self.shared.stopped() => return End::Stopped,
            Err(ended) => return End::Ended(ended),
        };
        self.shared.changed.store(true, Ordering::Release);
        let mut stop_by = None;
        let end = loop {
            let now = self.clock.monotonic();
            if self.shared.stopped() {
                let by = *stop_by.get_or_insert(now + STOP_MAX);
                if self.outbox.under_way.is_empty() || now >= by {
                    break End::Stopped;
                }
            }
            if let Err(end) = self.turn(&mut link, &mut client, now) {
                break end;
            }
        };
        client.disconnect(self.clock.monotonic());
        link.close(mem::take(client.output()));
        end
    }

    fn turn(&mut self, link: &mut Link, client: &mut Client, now: Duration) -> Result<(), End> {
        client.tick(now)?;
        while let Bytes::Some(bytes, more) = link.read()? {
            self.heard = now;
            let mut happened = Vec::new();
            let result = client.receive(bytes, now, &mut happened);
            for what in happened {
                self.happened(&what)?;
            }
            result?;
            if !more {
                break;
            }
        }
        if client.is_connected() && !self.shared.stopped() {
            self.fill(client, now)?;
        }
        link.write(client.output())?;
        if client.output().is_empty() && link.is_flushed() {
            self.outbox.written();
        }
        self.outbox.advance();
        self.commit_when_due(now)?;
        let any = !self.outbox.unsent.is_empty() || self.shared.changed.load(Ordering::Acquire);
        if any && client.has_room() {
            return Ok(());
        }
        if !self.outbox.under_way.is_empty() && now.saturating_sub(self.heard) < PACED_FOR {
            thread::sleep(PACE);
        } else {
            let commit = self.acked_at.map(|at| at + COMMIT_AFTER);
            let stop = self.shared.stopped().then(|| now + Duration::from_millis(20));
            let timeout = [commit, client.deadline(), stop].into_iter().flatten().min();
            link.wait(&self.shared.waker, !client.output().is_empty(), timeout.map(|at| at.saturating_sub(now)));
        }
        Ok(())
    }

    fn happened(&mut self, what: &Happened) -> Result<(), End> {
        match *what {
            Happened::Connected { .. } => {
                tracing::info!(subscriber = %self.name, "connected");
                let now = self.clock.now();
                self.shared.status(|s| (s.connected, s.since, s.reason) = (true, now, String::new()));
            }
            Happened::Published { id, refused: None } => {
                if self.outbox.acknowledged(id).is_some() {
                    self.outbox.delivered += 1;
                }
            }
            Happened::Published { id, refused: Some((code, why)) } => self.refused(id, code, why)?,
            Happened::Subscribed { .. }
            | Happened::Unsubscribed { .. }
            | Happened::Message(_)
            | Happened::TooLarge { .. } => {}
        }
        Ok(())
    }

    /// A refusal for good sets the event aside; one that may pass ends the connection, and all is tried again.
    fn refused(&mut self, id: u16, code: u8, why: Explained) -> Result<(), End> {
        const FOR_GOOD: [u8; 3] = [0x87, 0x90, 0x99];
        if !FOR_GOOD.contains(&code) {
            let reason = format!("the broker did not take an event: {} (0x{code:02X})", why.cause);
            return Err(End::Ended(Ended::new(reason, why.remedy)));
        }
        if let Some(event) = self.outbox.acknowledged(id) {
            self.park(
                &event,
                &Unpublished {
                    code: format!("0x{code:02X}"),
                    cause: format!("the broker refuses the event: {} (0x{code:02X})", why.cause),
                    detail: format!("event {} about {}", event.event.id, event.event.subject),
                    remedy: why.remedy.into(),
                },
            );
        }
        Ok(())
    }

    fn park(&mut self, event: &StoredEvent, why: &Unpublished) {
        let row = why.exception(&self.contract, &self.name, event, self.clock.now());
        self.outbox.exceptions.push(Write::Exception(Box::new(row)));
        self.outbox.parked += 1;
    }

    /// Sends as much as there is and fits.
    fn fill(&mut self, client: &mut Client, now: Duration) -> Result<(), End> {
        let backlog = usize::from(WINDOW);
        while client.has_room() && self.outbox.under_way.len() < backlog + READ_AT_ONCE {
            if self.outbox.unsent.is_empty() && !self.look()? {
                return Ok(());
            }
            let Some(stored) = self.outbox.unsent.pop_front() else { return Ok(()) };
            let sequence = stored.sequence;
            if !render::wants(&self.subscriber, &stored) {
                self.outbox.push(sequence, State::Over, None);
                continue;
            }
            let message = match render::render(&self.contract, &self.subscriber, &stored) {
                Ok(message) => message,
                Err(why) => {
                    self.park(&stored, &why);
                    self.outbox.push(sequence, State::Over, None);
                    continue;
                }
            };
            match client.publish(&message.topic, &message.payload, self.subscriber.qos.min(1), now) {
                Ok(Some(id)) => self.outbox.push(sequence, State::Sent(id), Some(Box::new(stored))),
                Ok(None) => self.outbox.push(sequence, State::Written, None),
                Err(NotSent::Full | NotSent::NotConnected) => {
                    self.outbox.unsent.push_front(stored);
                    return Ok(());
                }
                Err(NotSent::Impossible(cause)) => {
                    let detail = format!("event {} about {}", stored.event.id, stored.event.subject);
                    let remedy = "correct `topic` or `payload` of the subscriber".into();
                    self.park(&stored, &Unpublished { code: "impossible".into(), cause, detail, remedy });
                    self.outbox.push(sequence, State::Over, None);
                }
            }
        }
        Ok(())
    }

    /// Reads more events, when there may be any; whether some were read.
    fn look(&mut self) -> Result<bool, StoreError> {
        if !self.shared.changed.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let events = self.store.events_after(self.outbox.read, READ_AT_ONCE)?;
        let any = !events.is_empty();
        if events.len() == READ_AT_ONCE {
            self.shared.changed.store(true, Ordering::Release);
        }
        self.outbox.read(events);
        Ok(any)
    }

    fn commit_when_due(&mut self, now: Duration) -> Result<(), StoreError> {
        if !self.outbox.is_dirty() {
            return Ok(());
        }
        let since = *self.acked_at.get_or_insert(now);
        let many = self.outbox.cursor - self.outbox.committed >= COMMIT_EVENTS;
        if many || now.saturating_sub(since) >= COMMIT_AFTER || self.shared.stopped() {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if !self.outbox.is_dirty() {
            return Ok(());
        }
        let cursor = self.outbox.cursor;
        let mut writes = self.outbox.exceptions.clone();
        writes.push(Write::Cursor(cursor_name(&self.name), cursor));
        self.store.commit(writes)?;
        self.outbox.exceptions.clear();
        self.outbox.committed = cursor;
        self.acked_at = None;
        let (delivered, parked) = (self.outbox.delivered, self.outbox.parked);
        self.shared.status(|s| (s.delivered, s.parked, s.cursor) = (delivered, parked, cursor));
        Ok(())
    }
}
