//! The loop of an MQTT source as steps: each is given the moment, does what can be done without waiting, and says what
//! its driver waits for.

use super::{
    flight::{COALESCE, Flight},
    handle::{Shared, SourceStatus},
};
use crate::{
    careful::Careful,
    duplicates::Duplicates,
    given::{self, Backoff, Chance, End, Env, draw, draw_key},
    history,
    mapping::Incoming,
    mqtt::{
        Ack, BrokerAddress, Client, Ended, Happened, Settings,
        transport::{Bytes, PACED_FOR, Wire},
    },
    source::{self, SourceCore},
};
use andon_contract::contract::{Contract, MqttSource};
use andon_model::{Name, Time};
use andon_store::{Store, StoreError, rows::SourceRow};
use rustls::ClientConfig;
use std::{
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// How often a full disk is looked at again.
const RETRY_STORE: Duration = Duration::from_secs(1);
/// How long a stop waits for what is under way.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Reads between two looks at what became durable.
const READS_AT_ONCE: usize = 8;

/// What the driver of a loop does before the next step. A step that comes early does no harm. Moments are of the
/// monotonic time that steps are given; a stop that is asked for ends every wait.
#[derive(Debug)]
pub enum Next {
    /// Nothing.
    Again,
    /// Connects to this broker, with TLS where it is told how, and hands the result to [`Loop::connected`].
    Connect(BrokerAddress, Option<Arc<ClientConfig>>),
    /// Leaves the wire alone for a moment: much happens.
    Pace,
    /// Waits for bytes on the wire, for something that became durable, or for the moment.
    Wire {
        /// Also until the wire takes bytes.
        to_write: bool,
        /// The moment.
        until: Option<Duration>,
    },
    /// Waits for something that became durable, or for the moment.
    Durable(Duration),
    /// Waits for the moment.
    Pause(Duration),
    /// Nothing ever again: it has stopped.
    Over,
}

/// Where the loop stands.
enum Phase<W> {
    /// What the log holds of the source is to be read, not before this moment; then the next conversation begins, after
    /// a pause where the last one ended by itself after this time.
    Remembering { at: Duration, stood: Option<Duration> },
    /// The next conversation begins at this moment.
    Pausing(Duration),
    /// A wire was asked for.
    Connecting(Box<Connecting<W>>),
    /// The conversation stands.
    Talking(Box<Talk<W>>),
    /// It is over, and what was received in it becomes durable; a stop waits for it until this moment.
    Finishing(Box<Talk<W>>, End, Duration),
    /// How it ended is to be recorded.
    Settling(Box<Settling>),
    /// It has stopped.
    Over,
}

struct Connecting<W> {
    began: Duration,
    settings: Settings,
    answer: Option<Result<W, Ended>>,
}

/// A conversation and what it runs over.
struct Talk<W> {
    wire: W,
    client: Client,
    began: Duration,
}

struct Settling {
    end: End,
    /// How long the conversation stood.
    stood: Duration,
    /// The disk has failed.
    failed: bool,
    /// Not before this moment.
    at: Duration,
}

/// The moment of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// UTC.
    pub(super) utc: Time,
    /// Time that only goes on.
    pub(super) monotonic: Duration,
}

/// The loop of one MQTT source. Its driver calls [`Loop::step`] and does what [`Next`] says; that may be a thread, or a
/// simulation.
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the connection, in any combination")]
pub struct Loop<W> {
    pub(super) name: Name,
    pub(super) filters: Vec<(String, u8)>,
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) core: SourceCore,
    pub(super) now: Moment,
    /// The log says that we are connected.
    pub(super) marked: bool,
    /// The broker says that it has a session for us.
    pub(super) session_present: bool,
    /// That it has one says nothing: it was asked before, and nobody heard the answer.
    pub(super) doubted: bool,
    /// It was asked and has not answered.
    pub(super) asking: bool,
    /// It has answered our subscription, and what may be missing from before is told.
    pub(super) subscribed: bool,
    pub(super) row: Option<SourceRow>,
    /// The filters that the session at the broker may have; the stored row never names fewer.
    pub(super) held: Vec<String>,
    /// When a subscription was asked for the first time.
    pub(super) asked: Option<Time>,
    /// What the broker said when it did not let go of filters.
    pub(super) kept: String,
    pub(super) flight: Option<Flight>,
    pub(super) flights: u64,
    pub(super) submitted: Duration,
    /// When bytes came last, in UTC.
    pub(super) heard_at: Time,
    /// Until then everything is durable that came, in UTC, once we are subscribed.
    pub(super) intact: Time,
    mqtt: MqttSource,
    env: Env,
    chance: Chance,
    careful: Careful,
    backoff: Backoff,
    phase: Phase<W>,
    /// When bytes came last.
    heard: Duration,
    /// Packet ids of QoS 2 whose message is durable and whose release has not come.
    handled: Vec<u16>,
    /// Packet ids of messages that were read and not taken, because the conversation ended before their turn.
    untaken: Vec<u16>,
}

impl<W: Wire> Loop<W> {
    /// The loop of an MQTT source that its caller drives; `None` where the contract has no such source.
    pub fn new(
        contract: &Arc<Contract>,
        name: &Name,
        store: Store,
        env: Env,
        chance: Chance,
        now: Time,
    ) -> Option<Self> {
        let shared = Arc::new(Shared::new(None, now));
        Self::sharing(contract, name, store, env, chance, shared)
    }

    /// The same; a handle shares its condition.
    pub(super) fn sharing(
        contract: &Arc<Contract>,
        name: &Name,
        store: Store,
        env: Env,
        mut chance: Chance,
        shared: Arc<Shared>,
    ) -> Option<Self> {
        let window = Duplicates::new(draw_key(&mut chance));
        let core = SourceCore::new(Arc::clone(contract), name, window)?;
        let (_, mqtt) = source::mqtt_source(contract, name)?;
        let utc = shared.status.lock().unwrap_or_else(PoisonError::into_inner).since;
        Some(Self {
            careful: Careful::new(&store, name),
            name: name.clone(),
            filters: source::filters(mqtt),
            mqtt: mqtt.clone(),
            store,
            env,
            chance,
            shared,
            core,
            now: Moment { utc, monotonic: Duration::ZERO },
            backoff: Backoff::default(),
            phase: Phase::Remembering { at: Duration::ZERO, stood: None },
            flight: None,
            flights: 0,
            submitted: Duration::ZERO,
            heard: Duration::ZERO,
            heard_at: utc,
            intact: utc,
            handled: Vec::new(),
            untaken: Vec::new(),
            marked: false,
            session_present: false,
            doubted: false,
            asking: false,
            subscribed: false,
            row: None,
            held: Vec::new(),
            asked: None,
            kept: String::new(),
        })
    }

    /// Goes on as far as is possible without waiting.
    pub fn step(&mut self, utc: Time, monotonic: Duration) -> Next {
        self.now = Moment { utc, monotonic };
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Remembering { at, stood } => self.remember(at, stood),
            Phase::Pausing(until) => self.begin(until),
            Phase::Connecting(connecting) => self.connect(*connecting),
            Phase::Talking(talk) => self.talk(talk),
            Phase::Finishing(talk, end, until) => self.finish(talk, end, until),
            Phase::Settling(settling) => self.settle(settling),
            Phase::Over => Next::Over,
        }
    }

    /// Hands in what [`Next::Connect`] has asked for.
    pub fn connected(&mut self, wire: Result<W, Ended>) {
        if let Phase::Connecting(connecting) = &mut self.phase {
            connecting.answer = Some(wire);
        }
    }

    /// The wire, while there is one.
    pub fn wire(&self) -> Option<&W> {
        match &self.phase {
            Phase::Talking(talk) | Phase::Finishing(talk, ..) => Some(&talk.wire),
            _ => None,
        }
    }

    /// Asks it to stop: what was received becomes durable and is acknowledged, then the broker is told.
    pub fn stop(&self) {
        self.shared.ask_stop();
    }

    /// The condition at the moment.
    pub fn status(&self) -> SourceStatus {
        self.shared.status()
    }

    fn then(&mut self, phase: Phase<W>, next: Next) -> Next {
        self.phase = phase;
        next
    }

    /// Reads from the log what is known of the source, until that succeeds.
    fn remember(&mut self, at: Duration, stood: Option<Duration>) -> Next {
        let Moment { monotonic, .. } = self.now;
        if monotonic < at && !self.shared.stopped() {
            return self.then(Phase::Remembering { at, stood }, Next::Pause(at));
        }
        let key = draw_key(&mut self.chance);
        let read =
            history::read(&self.store, &self.name, key).and_then(|(window, last)| Ok((window, self.before(last)?)));
        match read {
            Ok((window, row)) => {
                self.core.reset(window);
                self.held = row.as_ref().map_or_else(Vec::new, |row| row.filters.clone());
                self.row = row;
                self.pause(stood)
            }
            Err(error) => {
                self.tell(false, error.to_string());
                if self.shared.stopped() {
                    return self.end();
                }
                let at = monotonic + RETRY_STORE;
                self.then(Phase::Remembering { at, stood }, Next::Pause(at))
            }
        }
    }

    /// Before the next conversation: a pause, where the last one ended by itself after this time.
    fn pause(&mut self, stood: Option<Duration>) -> Next {
        let pause = stood.map_or(Duration::ZERO, |stood| self.backoff.pause(stood, draw(&mut self.chance)));
        let until = self.now.monotonic + pause;
        self.then(Phase::Pausing(until), Next::Again)
    }

    fn begin(&mut self, until: Duration) -> Next {
        if self.shared.stopped() {
            return self.end();
        }
        let began = self.now.monotonic;
        if began < until {
            return self.then(Phase::Pausing(until), Next::Pause(until));
        }
        let settings = self.settings();
        let both = settings.and_then(|s| Ok((s, given::address(&self.mqtt.broker, &self.env, "source")?)));
        match both {
            Ok((settings, (address, tls))) => {
                let connecting = Connecting { began, settings, answer: None };
                self.then(Phase::Connecting(Box::new(connecting)), Next::Connect(address, tls))
            }
            Err(ended) => self.ended(End::Ended(ended), Duration::ZERO),
        }
    }

    fn settings(&self) -> Result<Settings, Ended> {
        let broker = &self.mqtt.broker;
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

    fn connect(&mut self, connecting: Connecting<W>) -> Next {
        let Moment { monotonic, .. } = self.now;
        let Connecting { began, settings, answer } = connecting;
        let wire = match answer {
            // Asked for again.
            None => return self.then(Phase::Pausing(monotonic), Next::Again),
            Some(Ok(wire)) => wire,
            Some(Err(_)) if self.shared.stopped() => return self.ended(End::Stopped, Duration::ZERO),
            Some(Err(ended)) => return self.ended(End::Ended(ended), monotonic.saturating_sub(began)),
        };
        if let Err(error) = self.doubt() {
            return self.ended(End::Store(error), monotonic.saturating_sub(began));
        }
        if self.doubted {
            // They may be of a session that is gone: rather is a message read twice than a new one taken for a repeat.
            self.handled.clear();
        }
        let mut client = Client::new(settings, mem::take(&mut self.handled));
        match client.connect(monotonic) {
            Ok(()) => self.then(Phase::Talking(Box::new(Talk { wire, client, began })), Next::Again),
            Err(ended) => self.ended(End::Ended(ended), monotonic.saturating_sub(began)),
        }
    }

    fn talk(&mut self, mut talk: Box<Talk<W>>) -> Next {
        let taken = if self.shared.stopped() { Err(End::Stopped) } else { self.turn(&mut talk) };
        match taken {
            Ok(()) => {
                let next = self.wait(&mut talk.client);
                self.then(Phase::Talking(talk), next)
            }
            Err(end) => {
                let until = self.now.monotonic + STOP_MAX;
                self.then(Phase::Finishing(talk, end, until), Next::Again)
            }
        }
    }

    /// Makes durable what was received before the end of a conversation, and ends it.
    fn finish(&mut self, mut talk: Box<Talk<W>>, mut end: End, until: Duration) -> Next {
        let Moment { monotonic, .. } = self.now;
        match self.drain(&mut talk.client, until) {
            Ok(true) => {}
            Ok(false) => return self.then(Phase::Finishing(talk, end, until), Next::Durable(monotonic + PACED_FOR)),
            Err(error) => end = End::Store(error),
        }
        let Talk { wire, mut client, began } = *talk;
        if matches!(end, End::Stopped | End::Store(_)) {
            client.disconnect(monotonic);
        }
        wire.close(mem::take(client.output()));
        self.handled = client.handled();
        // The protocol core counts them as known and would acknowledge their repeats.
        let untaken = mem::take(&mut self.untaken);
        self.handled.retain(|id| !untaken.contains(id));
        if let End::Store(_) = end {
            let lost: Vec<u16> = self.unstored().map(|ack| ack.id).collect();
            self.handled.retain(|id| !lost.contains(id));
            self.flight = None;
        }
        self.ended(end, monotonic.saturating_sub(began))
    }

    /// Whether nothing is left that is to become durable before the end of a conversation.
    fn drain(&mut self, client: &mut Client, until: Duration) -> Result<bool, StoreError> {
        loop {
            // A conversation that is over takes no acknowledgement; that is no matter any more.
            if let Err(End::Store(error)) = self.landed(client) {
                return Err(error);
            }
            if self.flight.is_some() {
                return Ok(self.shared.stopped() && self.now.monotonic > until);
            }
            if self.core.group().is_empty() {
                return Ok(true);
            }
            self.submit()?;
        }
    }

    /// Acknowledgements of messages that are not durable.
    fn unstored(&self) -> impl Iterator<Item = &Ack> {
        self.flight.iter().flat_map(|flight| &flight.acks).chain(&self.core.group().acks)
    }

    fn ended(&mut self, end: End, stood: Duration) -> Next {
        self.tell(false, end.told().0);
        let failed = matches!(end, End::Store(_));
        let settling = Settling { end, stood, failed, at: self.now.monotonic };
        self.then(Phase::Settling(Box::new(settling)), Next::Again)
    }

    /// Records the end of a conversation; after a failure of the disk goes on only once it takes data again.
    fn settle(&mut self, mut settling: Box<Settling>) -> Next {
        let Moment { monotonic, .. } = self.now;
        let stopped = self.shared.stopped();
        if monotonic < settling.at && !stopped {
            let at = settling.at;
            return self.then(Phase::Settling(settling), Next::Pause(at));
        }
        let (reason, code) = settling.end.told();
        if let Err(error) = self.record_disconnected(&reason, code) {
            self.tell(false, error.to_string());
            tracing::warn!(source = %self.name, %error, "the end of a connection cannot be recorded");
            if stopped {
                return self.end();
            }
            settling.failed = true;
            settling.at = monotonic + RETRY_STORE;
            let at = settling.at;
            return self.then(Phase::Settling(settling), Next::Pause(at));
        }
        let stood = matches!(settling.end, End::Ended(_)).then_some(settling.stood);
        if settling.failed && !stopped {
            // What the log holds decides which samples are known.
            let at = monotonic + RETRY_STORE;
            return self.then(Phase::Remembering { at, stood }, Next::Pause(at));
        }
        self.pause(stood)
    }

    /// It has stopped: the log says so, if the disk takes it.
    fn end(&mut self) -> Next {
        if self.marked {
            let (reason, code) = End::Stopped.told();
            self.tell(false, reason.clone());
            if let Err(error) = self.record_disconnected(&reason, code) {
                self.tell(false, error.to_string());
                tracing::warn!(source = %self.name, %error, "the end of a connection cannot be recorded");
            }
        }
        Next::Over
    }

    /// One turn: what became durable is acknowledged, what came is read and sent on its way.
    fn turn(&mut self, talk: &mut Talk<W>) -> Result<(), End> {
        let Talk { wire, client, .. } = talk;
        let Moment { utc, monotonic } = self.now;
        self.landed(client)?;
        client.tick(monotonic)?;
        for _ in 0..READS_AT_ONCE {
            if self.core.group().is_full() {
                break;
            }
            let Bytes::Some(bytes, more) = wire.read()? else { break };
            self.heard = monotonic;
            self.heard_at = utc;
            let mut happened = Vec::new();
            self.careful.begin();
            let result = client.receive(bytes, monotonic, &mut happened);
            let taken = self.all_happened(happened, client, utc);
            self.careful.end();
            taken?;
            result?;
            if !more {
                break;
            }
        }
        self.send_group()?;
        if self.subscribed && self.flight.is_none() && self.core.group().is_empty() {
            self.intact = self.heard_at;
        }
        wire.write(client.output())?;
        Ok(())
    }

    /// Leaves the wire alone for a moment while much happens, and waits for it while nothing does.
    fn wait(&self, client: &mut Client) -> Next {
        let Moment { monotonic, .. } = self.now;
        if self.core.group().is_full() && self.flight.is_some() {
            return Next::Durable(monotonic + PACED_FOR);
        }
        if monotonic.saturating_sub(self.heard) < PACED_FOR && client.is_connected() {
            return Next::Pace;
        }
        let due = (self.flight.is_none() && !self.core.group().is_empty()).then(|| self.submitted + COALESCE);
        let until = [due, client.deadline()].into_iter().flatten().min();
        Next::Wire { to_write: !client.output().is_empty(), until }
    }

    fn all_happened(&mut self, happened: Vec<Happened>, client: &mut Client, received: Time) -> Result<(), End> {
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
                self.answered(session_present);
                self.kept.clear();
                let unwanted = self.unwanted(received)?;
                let now = self.now.monotonic;
                if unwanted.is_empty() {
                    client.subscribe(&self.filters, now)?;
                } else {
                    client.unsubscribe(unwanted, now)?;
                }
            }
            Happened::Unsubscribed { refused } => {
                self.unsubscribed(&refused);
                client.subscribe(&self.filters, self.now.monotonic)?;
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
}
