//! The loop of an MQTT source, in a thread of its own: connects, reads, makes durable, acknowledges, and
//! begins again when the connection or the disk fails.

mod handle;

pub use handle::{SourceHandle, SourceStatus};

pub(crate) use handle::Shared;

use crate::{
    careful::Careful,
    duplicates::Duplicates,
    given::{self, Backoff, Chance, Clock, End, Env, draw, draw_key},
    history,
    mapping::Incoming,
    mqtt::{
        Ack, Client, Ended, Happened, Link, Settings, Waker,
        codes::Explained,
        transport::{Bytes, PACE, PACED_FOR},
    },
    source::{self, Before, Group, SourceCore},
};
use andon_contract::contract::{Broker, Contract, MqttSource};
use andon_model::{
    Entry, Mark, Name, Time,
    sample::{Counts, Part},
};
use andon_store::{
    Store, StoreError,
    rows::{SourceRow, Write},
};
use std::{
    io, mem,
    sync::{Arc, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

/// At QoS 0 nobody waits for durability: groups are collected at least this long.
pub const COALESCE: Duration = Duration::from_millis(10);
/// How often a full disk is looked at again.
const RETRY_STORE: Duration = Duration::from_secs(1);
/// How long a stop waits for what is under way.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Reads between two looks at what became durable.
const READS_AT_ONCE: usize = 8;

/// Starts the loop of an MQTT source. Errors are those of the operating system (threads, files), and a name
/// that is no MQTT source of the contract.
pub fn start_mqtt(
    contract: &Arc<Contract>,
    name: &Name,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    mut chance: Chance,
) -> io::Result<SourceHandle> {
    let no_source = || io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is no MQTT source of the project"));
    let window = Duplicates::new(draw_key(&mut chance));
    let core = SourceCore::new(Arc::clone(contract), name, window).ok_or_else(no_source)?;
    let (_, mqtt) = source::mqtt_source(contract, name).ok_or_else(no_source)?;
    let mqtt = mqtt.clone();
    let shared = Arc::new(Shared::new(Waker::new()?, clock.now()));
    let filters = source::filters(&mqtt);
    let source_loop = Loop {
        careful: Careful::new(&store, name),
        name: name.clone(),
        mqtt,
        filters,
        store,
        env,
        clock,
        chance,
        shared: Arc::clone(&shared),
        core,
        flight: None,
        flights: 0,
        submitted: Duration::ZERO,
        heard: Duration::ZERO,
        handled: Vec::new(),
        untaken: Vec::new(),
        marked: false,
        session_present: false,
        row: None,
        held: Vec::new(),
        kept: String::new(),
        last_received: None,
    };
    let thread = thread::Builder::new().name(format!("source {name}")).spawn(move || source_loop.run())?;
    Ok(SourceHandle { shared, thread: Some(thread) })
}

/// A group on its way to the disk.
struct Flight {
    number: u64,
    /// Parts that are not over.
    parts: usize,
    acks: Vec<Ack>,
    messages: u64,
    counts: Counts,
    /// Why it will never be durable as a whole: nobody waits for the rest of it.
    failed: Option<StoreError>,
}

impl Flight {
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.failed = Some(error.clone());
        error
    }
}

struct Loop {
    name: Name,
    mqtt: MqttSource,
    filters: Vec<(String, u8)>,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
    shared: Arc<Shared>,
    core: SourceCore,
    careful: Careful,
    flight: Option<Flight>,
    flights: u64,
    submitted: Duration,
    /// When bytes came last.
    heard: Duration,
    /// Packet ids of QoS 2 whose message is durable and whose release has not come.
    handled: Vec<u16>,
    /// Packet ids of messages that were read and not taken, because the conversation ended before their turn.
    untaken: Vec<u16>,
    /// The log says that we are connected.
    marked: bool,
    session_present: bool,
    row: Option<SourceRow>,
    /// The filters that the session at the broker may have; the stored row never names fewer.
    held: Vec<String>,
    /// What the broker said when it did not let go of filters.
    kept: String,
    last_received: Option<Time>,
}

impl Loop {
    fn run(mut self) {
        self.remember();
        let mut backoff = Backoff::default();
        while !self.shared.stopped() {
            let began = self.clock.monotonic();
            let end = self.conversation();
            self.settle(&end);
            let End::Ended(_) = end else { continue };
            let pause = backoff.pause(self.clock.monotonic().saturating_sub(began), draw(&mut self.chance));
            let until = self.clock.monotonic() + pause;
            while !self.shared.stopped() && self.clock.monotonic() < until {
                self.shared.waker.wait(Some(until.saturating_sub(self.clock.monotonic())));
            }
        }
        if self.marked {
            self.settle(&End::Stopped);
        }
    }

    /// Reads from the log what is known of the source, until that succeeds.
    fn remember(&mut self) {
        loop {
            let key = draw_key(&mut self.chance);
            let read = history::read(&self.store, &self.name, key).and_then(|history| {
                let row = self.store.source_rows()?.into_iter().find(|row| row.source == self.name);
                Ok((history, row))
            });
            match read {
                Ok(((window, last_received), row)) => {
                    self.core.reset(window);
                    self.last_received = last_received;
                    self.held = row.as_ref().map_or_else(Vec::new, |row| row.filters.clone());
                    self.row = row;
                    return;
                }
                Err(error) => self.tell(false, error.to_string()),
            }
            if self.shared.stopped() {
                return;
            }
            self.shared.waker.wait(Some(RETRY_STORE));
        }
    }

    fn settings(&self, broker: &Broker) -> Result<Settings, Ended> {
        Ok(Settings {
            client_id: format!("andon-{}-{}", self.store.instance(), self.name),
            version: broker.version,
            clean_start: false,
            session_expiry: u32::try_from(self.mqtt.session_expiry.std().as_secs()).unwrap_or(u32::MAX),
            keep_alive: given::keep_alive(broker),
            credentials: given::credentials(broker, &self.env)?,
            window: 0,
        })
    }

    fn connect(&mut self) -> Result<(Link, Client), Ended> {
        let settings = self.settings(&self.mqtt.broker)?;
        let (address, tls) = given::address(&self.mqtt.broker, &self.env, "source")?;
        let shared = &self.shared;
        let link = Link::connect(&address, tls.as_ref(), &shared.waker, &|| shared.stopped())?;
        let mut client = Client::new(settings, mem::take(&mut self.handled));
        client.connect(self.clock.monotonic())?;
        Ok((link, client))
    }

    /// One connection from its beginning to its end.
    fn conversation(&mut self) -> End {
        let (mut link, mut client) = match self.connect() {
            Ok(both) => both,
            Err(_) if self.shared.stopped() => return End::Stopped,
            Err(ended) => return End::Ended(ended),
        };
        let end = loop {
            if self.shared.stopped() {
                break End::Stopped;
            }
            if let Err(end) = self.turn(&mut link, &mut client) {
                break end;
            }
        };
        let end = match self.finish(&mut client) {
            Err(error) => End::Store(error),
            Ok(()) => end,
        };
        if matches!(end, End::Stopped | End::Store(_)) {
            client.disconnect(self.clock.monotonic());
        }
        link.close(mem::take(client.output()));
        self.handled = client.handled();
        // The protocol core counts them as known and would acknowledge their repeats.
        let untaken = mem::take(&mut self.untaken);
        self.handled.retain(|id| !untaken.contains(id));
        if let End::Store(_) = end {
            let lost: Vec<u16> = self.unstored().map(|ack| ack.id).collect();
            self.handled.retain(|id| !lost.contains(id));
            self.flight = None;
        }
        end
    }

    /// Acknowledgements of messages that are not durable.
    fn unstored(&self) -> impl Iterator<Item = &Ack> {
        self.flight.iter().flat_map(|flight| &flight.acks).chain(&self.core.group().acks)
    }

    /// One turn: what became durable is acknowledged, what came is read and sent on its way.
    fn turn(&mut self, link: &mut Link, client: &mut Client) -> Result<(), End> {
        self.landed(client)?;
        client.tick(self.clock.monotonic())?;
        for _ in 0..READS_AT_ONCE {
            if self.core.group().is_full() {
                break;
            }
            let Bytes::Some(bytes, more) = link.read()? else { break };
            self.heard = self.clock.monotonic();
            let mut happened = Vec::new();
            self.careful.begin();
            let result = client.receive(bytes, self.heard, &mut happened);
            let taken = self.all_happened(happened, client);
            self.careful.end();
            taken?;
            result?;
            if !more {
                break;
            }
        }
        self.send_group()?;
        link.write(client.output())?;
        self.pause(link, client);
        Ok(())
    }

    /// Leaves the socket alone for a moment while much happens, and blocks while nothing does.
    fn pause(&mut self, link: &Link, client: &mut Client) {
        let now = self.clock.monotonic();
        if self.core.group().is_full() && self.flight.is_some() {
            self.block(|waker| waker.wait(Some(PACED_FOR)));
            return;
        }
        if now.saturating_sub(self.heard) < PACED_FOR && client.is_connected() {
            thread::sleep(PACE);
            return;
        }
        let due = (self.flight.is_none() && !self.core.group().is_empty()).then(|| self.submitted + COALESCE);
        let timeout = [due, client.deadline()].into_iter().flatten().min().map(|at| at.saturating_sub(now));
        let to_write = !client.output().is_empty();
        self.block(|waker| {
            link.wait(waker, to_write, timeout);
        });
    }

    /// Waits such that a part that becomes durable, or a stop, ends the wait.
    fn block(&self, wait: impl FnOnce(&Waker)) {
        self.shared.blocked.store(true, Ordering::SeqCst);
        let nothing_done = self.shared.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if nothing_done && !self.shared.stopped() {
            wait(&self.shared.waker);
        }
        self.shared.blocked.store(false, Ordering::SeqCst);
    }

    fn all_happened(&mut self, happened: Vec<Happened>, client: &mut Client) -> Result<(), End> {
        let received = self.clock.now();
        let mut happened = happened.into_iter();
        while let Some(what) = happened.next() {
            let ack = what.ack();
            if let Err(end) = self.happened(what, client, received) {
                self.untaken =
                    ack.into_iter().chain(happened.filter_map(|what| what.ack())).map(|ack| ack.id).collect();
                return Err(end);
            }
        }
        Ok(())
    }

    fn happened(&mut self, what: Happened, client: &mut Client, received: Time) -> Result<(), End> {
        match what {
            Happened::Connected { session_present } => {
                self.session_present = session_present;
                self.kept.clear();
                let unwanted = self.unwanted(received)?;
                let now = self.clock.monotonic();
                if unwanted.is_empty() {
                    client.subscribe(&self.filters, now)?;
                } else {
                    client.unsubscribe(unwanted, now)?;
                }
            }
            Happened::Unsubscribed { refused } => {
                self.unsubscribed(&refused);
                client.subscribe(&self.filters, self.clock.monotonic())?;
            }
            Happened::Subscribed { refused, lowered } => self.subscribed(&refused, &lowered, received)?,
            Happened::Message(message) => {
                self.mark_connected();
                let store = &self.store;
                let incoming = Incoming {
                    topic: message.topic(),
                    payload: message.payload(),
                    retained: message.retained(),
                    received,
                };
                let numbers = &mut |asset: &_, signal: &_| store.signal(asset, signal);
                self.careful.message(&mut self.core, incoming, message.ack(), numbers)?;
            }
            Happened::TooLarge { topic, size, head, ack } => {
                self.mark_connected();
                self.core.too_large(&topic, size, &head, ack, received);
            }
            Happened::Published { .. } => {}
        }
        Ok(())
    }

    fn mark_connected(&mut self) {
        if !self.marked {
            self.marked = true;
            self.core.mark(Mark::Connected);
        }
    }

    fn wants(&self, filter: &str) -> bool {
        self.filters.iter().any(|(wanted, _)| wanted == filter)
    }

    /// The filters that the session has from an earlier edit of the project. What the broker is going to hold is
    /// durable before it is asked for, so that a crash in between forgets nothing.
    fn unwanted(&mut self, now: Time) -> Result<Vec<String>, StoreError> {
        let stored = mem::take(&mut self.held);
        if self.session_present {
            self.held.clone_from(&stored);
        }
        for (filter, _) in &self.filters {
            if !self.held.contains(filter) {
                self.held.push(filter.clone());
            }
        }
        if !self.held.iter().all(|filter| stored.contains(filter)) {
            let row = self.row.clone().unwrap_or_else(|| self.row(false, now, "subscribing".into()));
            self.store.commit(vec![Write::Source(SourceRow { filters: self.held.clone(), ..row })])?;
        }
        Ok(self.held.iter().filter(|filter| !self.wants(filter)).cloned().collect())
    }

    fn unsubscribed(&mut self, refused: &[(String, u8, Explained)]) {
        let mut held = mem::take(&mut self.held);
        held.retain(|filter| self.wants(filter) || refused.iter().any(|(kept, ..)| kept == filter));
        self.held = held;
        let said = refused.iter().map(|(filter, code, why)| {
            format!(
                "the broker goes on to send {filter}, which the source names no more: {} (0x{code:02X}); {}",
                why.cause, why.remedy
            )
        });
        self.kept = said.collect::<Vec<_>>().join("; ");
    }

    fn row(&self, connected: bool, since: Time, reason: String) -> SourceRow {
        let (source, filters) = (self.name.clone(), self.held.clone());
        SourceRow { source, connected, since, reason, code: None, filters }
    }

    fn subscribed(
        &mut self,
        refused: &[(String, u8, Explained)],
        lowered: &[(String, u8)],
        now: Time,
    ) -> Result<(), End> {
        let reasons: Vec<String> = refused
            .iter()
            .map(|(filter, code, why)| {
                format!("the broker refused {filter}: {} (0x{code:02X}); {}", why.cause, why.remedy)
            })
            .collect();
        let lower = lowered.iter().map(|(filter, qos)| {
            format!("the broker grants only QoS {qos} for {filter}: allow more there, or ask for less in the source")
        });
        let kept = Some(self.kept.clone()).filter(|kept| !kept.is_empty());
        let reason = reasons.into_iter().chain(lower).chain(kept).collect::<Vec<_>>().join("; ");
        if refused.len() == self.filters.len() {
            return Err(End::Ended(Ended::new(reason, "the subscription is tried again")));
        }
        self.mark_connected();
        let at_most_once = self.filters.iter().chain(lowered).any(|(_, qos)| *qos == 0);
        let before = Before { row: self.row.as_ref(), last_received: self.last_received };
        let gap = source::gap(&self.name, before, now, self.session_present, at_most_once);
        let row = self.row(true, now, reason.clone());
        self.store.commit(gap.map(Write::Gap).into_iter().chain([Write::Source(row.clone())]).collect())?;
        self.row = Some(row);
        self.tell(true, reason);
        Ok(())
    }

    /// Sends the group on its way, when the last one is durable and somebody waits for it, or long enough has passed.
    fn send_group(&mut self) -> Result<(), StoreError> {
        let group = self.core.group();
        let now = self.clock.monotonic();
        let early = group.acks.is_empty() && !group.is_full() && now < self.submitted + COALESCE;
        if self.flight.is_some() || group.is_empty() || early {
            return Ok(());
        }
        self.submit(now)
    }

    fn submit(&mut self, now: Duration) -> Result<(), StoreError> {
        let group = self.core.take_group();
        let counts = group.counts();
        let Group { parts, quarantine, acks, messages, .. } = group;
        self.submitted = now;
        self.flights += 1;
        let number = self.flights;
        self.flight = Some(Flight { number, parts: parts.len(), acks, messages, counts, failed: None });
        if !quarantine.is_empty() {
            let kept = self.store.commit(quarantine.into_writes());
            kept.map_err(|error| self.flight.as_mut().map_or(error.clone(), |flight| flight.fail(error)))?;
        }
        for part in parts {
            let shared = Arc::clone(&self.shared);
            self.store.submit(part, Box::new(move |result| shared.part_done(number, result)));
        }
        Ok(())
    }

    /// Acknowledges the group on its way once all of it is durable.
    fn landed(&mut self, client: &mut Client) -> Result<(), End> {
        let done = mem::take(&mut *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(flight) = &mut self.flight else { return Ok(()) };
        if let Some(error) = &flight.failed {
            return Err(End::Store(error.clone()));
        }
        for (number, result) in done {
            if number == flight.number {
                result.map_err(|error| flight.fail(error))?;
                flight.parts = flight.parts.saturating_sub(1);
            }
        }
        if flight.parts > 0 {
            return Ok(());
        }
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let now = self.clock.monotonic();
        {
            let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.messages += flight.messages;
            status.counts.add(&flight.counts);
        }
        for ack in flight.acks {
            client.acknowledge(ack, now)?;
        }
        Ok(())
    }

    /// Makes durable what was received before the end of a conversation.
    fn finish(&mut self, client: &mut Client) -> Result<(), StoreError> {
        let until = self.clock.monotonic() + STOP_MAX;
        loop {
            // A conversation that is over takes no acknowledgement; that is no matter any more.
            if let Err(End::Store(error)) = self.landed(client) {
                return Err(error);
            }
            if self.flight.is_none() {
                if self.core.group().is_empty() {
                    return Ok(());
                }
                self.submit(self.clock.monotonic())?;
                continue;
            }
            if self.shared.stopped() && self.clock.monotonic() > until {
                return Ok(());
            }
            self.block_briefly();
        }
    }

    fn block_briefly(&self) {
        self.shared.blocked.store(true, Ordering::SeqCst);
        if self.shared.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.shared.waker.wait(Some(PACED_FOR));
        }
        self.shared.blocked.store(false, Ordering::SeqCst);
    }

    /// Records the end of a conversation; after a failure of the disk returns only once it takes data again.
    fn settle(&mut self, end: &End) {
        let (reason, code) = match end {
            End::Stopped => ("stopped".to_owned(), None),
            End::Ended(ended) => (ended.to_string(), ended.code),
            End::Store(error) => (error.to_string(), None),
        };
        self.tell(false, reason.clone());
        let mut failed = matches!(end, End::Store(_));
        loop {
            match self.record_disconnected(&reason, code) {
                Ok(()) => break,
                Err(error) => {
                    failed = true;
                    self.tell(false, error.to_string());
                    tracing::warn!(source = %self.name, %error, "the end of a connection cannot be recorded");
                }
            }
            if self.shared.stopped() {
                return;
            }
            self.shared.waker.wait(Some(RETRY_STORE));
        }
        if failed && !self.shared.stopped() {
            // What the log holds decides which samples are known.
            self.shared.waker.wait(Some(RETRY_STORE));
            self.remember();
        }
    }

    fn record_disconnected(&mut self, reason: &str, code: Option<u8>) -> Result<(), StoreError> {
        let now = self.clock.now();
        if self.marked {
            let mut part = Part::new(self.core.home(), self.name.clone());
            part.entries.push(Entry::Mark(Mark::Disconnected(reason.to_owned())));
            self.store.append(vec![part])?;
            self.marked = false;
        }
        let since = self.row.as_ref().filter(|row| !row.connected).map_or(now, |row| row.since);
        let row = SourceRow { code, ..self.row(false, since, reason.to_owned()) };
        if self.row.as_ref() != Some(&row) {
            self.store.commit(vec![Write::Source(row.clone())])?;
            self.row = Some(row);
        }
        Ok(())
    }

    fn tell(&self, connected: bool, reason: String) {
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.connected != connected || status.reason != reason {
            if connected {
                tracing::info!(source = %self.name, %reason, "connected and subscribed");
            } else {
                tracing::warn!(source = %self.name, %reason, "not connected");
            }
        }
        if status.connected != connected {
            status.since = self.clock.now();
        }
        status.connected = connected;
        status.reason = reason;
    }
}
