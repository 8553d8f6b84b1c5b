//! The conversation with one client, without I/O and without a clock: bytes and moments go in, what the client asks
//! for and bytes to send come out. Who may do what, and what becomes of a message, is decided outside.

use super::{
    packets::{self, Granted, Hello, Will, Wish},
    wire::{self, Cut, Fault, Outgoing, Publish, code, kind},
};
use crate::{mqtt::Ack, payload::PAYLOAD_MAX};
use andon_contract::contract::MqttVersion;
use andon_model::Time;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The largest packet: a payload of 1 MiB, a topic of 64 KiB, and room for properties.
pub const PACKET_MAX: usize = PAYLOAD_MAX + (64 << 10) + (16 << 10);
/// The largest packet that is no publish.
pub const CONTROL_MAX: usize = 256 << 10;
/// Bytes that are written ahead of the socket; messages beyond wait in the queue, and a client that does not take
/// its acknowledgements is not read any more.
pub const OUTPUT_MAX: usize = 256 << 10;
/// Messages that wait for a subscriber; one more, and it is disconnected (0x97).
pub const QUEUE_MESSAGES_MAX: usize = 100_000;
/// Bytes of topics and payloads that wait for a subscriber; more, and it is disconnected (0x97).
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Publishes to a subscriber of 3.1.1 without acknowledgement.
pub const WINDOW_V3: u16 = 1_000;
/// The longest client id, in bytes.
pub const CLIENT_ID_MAX: usize = 256;

/// A message on its way to subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its payload.
    pub payload: Arc<[u8]>,
    /// The properties that go on unaltered, as they are written.
    pub properties: Arc<[u8]>,
    /// When it was published.
    pub received: Time,
    /// When nobody wants it any more.
    pub expires: Option<Time>,
}

impl Message {
    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len()
    }
}

/// A moment: UTC, and time that only goes on.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// UTC.
    pub utc: Time,
    /// Time since some moment of the process.
    pub monotonic: Duration,
}

/// What a client asks for.
#[derive(Debug)]
pub enum Asked<'a> {
    /// To be taken in; answered by [`Session::welcome`] or [`Session::end`].
    Connect(Box<Hello>),
    /// To take a message; answered by [`Session::acknowledge`] at QoS 1 and 2.
    Publish(Publish<'a>),
    /// To subscribe; answered by [`Session::subscribed`].
    Subscribe(u16, Vec<Wish>),
    /// To end subscriptions; answered by [`Session::unsubscribed`].
    Unsubscribe(u16, Vec<String>),
    /// To leave; whether the will is wanted all the same.
    Disconnect(bool),
}

/// What a listener tells its clients and holds them to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Publishes of a client without acknowledgement at once.
    pub receive_max: u16,
    /// The longest keep-alive in seconds, at least 1.
    pub keep_alive: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read.
    New,
    /// CONNECT was read and not answered.
    Asking,
    /// The conversation stands.
    Open,
    /// Nothing more is read.
    Over,
}

/// The conversation with one client.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    state: State,
    version: MqttVersion,
    output: Vec<u8>,
    heard: Duration,
    keep_alive: Duration,
    /// Publishes of QoS 1 and 2 that are not over, as the client counts them.
    in_flight: usize,
    /// Publishes of QoS 1 and 2 that were not acknowledged.
    unacknowledged: usize,
    /// Messages of QoS 2 between PUBLISH and PUBREL; whether PUBREC was sent.
    taken: HashMap<u16, bool>,
    will: Option<Will>,
    window: u16,
    packet_max: usize,
    next_id: u16,
    under_way: HashSet<u16>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Nothing more is read before the end.
    deaf: bool,
}

#[derive(Debug)]
struct Queued {
    message: Arc<Message>,
    qos: u8,
    retain: bool,
}

impl Session {
    /// A conversation that begins now.
    pub fn new(limits: Limits, now: Now) -> Self {
        Self {
            limits,
            state: State::New,
            version: MqttVersion::V5,
            output: Vec::new(),
            heard: now.monotonic,
            keep_alive: Duration::from_secs(limits.keep_alive.max(1).into()) * 3 / 2,
            in_flight: 0,
            unacknowledged: 0,
            taken: HashMap::new(),
            will: None,
            window: WINDOW_V3,
            packet_max: usize::MAX,
            next_id: 0,
            under_way: HashSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            deaf: false,
        }
    }

    /// The next thing the client asks for in `input`, which is shortened by what was read. `None`: more bytes are
    /// needed, or nothing is read for now. A fault ends the conversation by [`Session::end`].
    pub fn next<'a>(&mut self, input: &mut &'a [u8], now: Now) -> Result<Option<Asked<'a>>, Fault> {
        while self.is_reading() {
            let is_publish =
                self.state == State::Open && input.first().is_some_and(|first| first >> 4 == kind::PUBLISH);
            let most = if is_publish { PACKET_MAX } else { CONTROL_MAX };
            let (packet, size) = match wire::cut(input, most) {
                Cut::Packet(packet, size) => (packet, size),
                Cut::More => return Ok(None),
                Cut::TooLarge if is_publish => {
                    return Err(Fault::new(code::TOO_LARGE, "a publish is larger than 1 MiB"));
                }
                Cut::TooLarge => {
                    return Err(Fault::new(code::TOO_LARGE, "a packet that is no publish is larger than 256 KiB"));
                }
                Cut::Malformed => return Err(Fault::new(code::MALFORMED, "a length does not end [MQTT-1.5.5]")),
            };
            *input = input.get(size..).unwrap_or_default();
            self.heard = now.monotonic;
            if let Some(asked) = self.packet(&packet, now)? {
                return Ok(Some(asked));
            }
        }
        Ok(None)
    }

    /// Whether bytes of the client are read now: not while it has too much under way, or takes no answers.
    pub fn is_reading(&self) -> bool {
        let held = self.version == MqttVersion::V3 && self.unacknowledged >= usize::from(self.limits.receive_max);
        matches!(self.state, State::New | State::Open) && !held && !self.deaf && self.output.len() <= OUTPUT_MAX
    }

    fn packet<'a>(&mut self, packet: &wire::Packet<'a>, now: Now) -> Result<Option<Asked<'a>>, Fault> {
        if self.state == State::New {
            return self.first(packet).map(Some);
        }
        match packet.kind {
            kind::PUBLISH => self.publish(packet),
            kind::PUBACK => {
                flags(packet, 0)?;
                let (id, _) = wire::acknowledgement(self.version, packet.body)?;
                // An id that is not under way is one of a conversation before this one.
                if self.under_way.remove(&id) {
                    self.pump(now);
                }
                Ok(None)
            }
            kind::PUBREL => {
                flags(packet, 2)?;
                let (id, _) = wire::acknowledgement(self.version, packet.body)?;
                let known = match self.taken.get(&id) {
                    Some(true) => true,
                    Some(false) => return Err(Fault::new(code::PROTOCOL, "a PUBREL came before its PUBREC")),
                    None => false,
                };
                if known {
                    self.taken.remove(&id);
                    self.in_flight = self.in_flight.saturating_sub(1);
                }
                let code = if known { code::SUCCESS } else { code::UNKNOWN_ID };
                wire::write_ack(&mut self.output, self.version, kind::PUBCOMP, id, code);
                Ok(None)
            }
            kind::SUBSCRIBE => {
                packets::subscribe(self.version, packet).map(|(id, wishes)| Some(Asked::Subscribe(id, wishes)))
            }
            kind::UNSUBSCRIBE => {
                packets::unsubscribe(self.version, packet).map(|(id, filters)| Some(Asked::Unsubscribe(id, filters)))
            }
            kind::PINGREQ => {
                flags(packet, 0)?;
                self.output.extend_from_slice(&wire::PINGRESP);
                Ok(None)
            }
            kind::DISCONNECT => {
                let with_will = packets::disconnect(self.version, packet)?;
                self.state = State::Over;
                if !with_will {
                    self.will = None;
                }
                Ok(Some(Asked::Disconnect(with_will)))
            }
            kind::CONNECT => Err(Fault::new(code::PROTOCOL, "a second CONNECT [MQTT-3.1.0-2]")),
            kind::PUBREC | kind::PUBCOMP => Err(Fault::new(code::PROTOCOL, "nothing of QoS 2 was sent to this client")),
            _ => Err(Fault::new(code::PROTOCOL, "a client does not send such a packet")),
        }
    }

    fn first<'a>(&mut self, packet: &wire::Packet<'a>) -> Result<Asked<'a>, Fault> {
        if packet.kind != kind::CONNECT {
            return Err(Fault::new(code::PROTOCOL, "the first packet is CONNECT [MQTT-3.1.0-1]"));
        }
        if packet.flags != 0 {
            return Err(Fault::new(code::MALFORMED, "the flags of CONNECT are 0"));
        }
        match packets::connect(packet.body) {
            Ok(hello) => {
                self.version = hello.version;
                self.state = State::Asking;
                Ok(Asked::Connect(Box::new(hello)))
            }
            Err(not) => {
                self.output.extend_from_slice(&not.answer);
                Err(not.fault)
            }
        }
    }

    fn publish<'a>(&mut self, packet: &wire::Packet<'a>) -> Result<Option<Asked<'a>>, Fault> {
        let publish = wire::publish(self.version, packet)?;
        if publish.qos == 2
            && let Some(acknowledged) = self.taken.get(&publish.id)
        {
            // Sent again: it was taken, or is being taken [MQTT-4.3.3-10].
            if *acknowledged {
                wire::write_ack(&mut self.output, self.version, kind::PUBREC, publish.id, code::SUCCESS);
            }
            return Ok(None);
        }
        if publish.qos > 0 {
            if self.version == MqttVersion::V5 && self.in_flight >= usize::from(self.limits.receive_max) {
                return Err(Fault::new(code::RECEIVE_MAX, "more publishes at once than the receive maximum"));
            }
            self.in_flight += 1;
            self.unacknowledged += 1;
            if publish.qos == 2 {
                self.taken.insert(publish.id, false);
            }
        }
        Ok(Some(Asked::Publish(publish)))
    }

    /// Takes back a publish that could not be taken now; its bytes are to be read again.
    pub fn untake(&mut self, publish: &Publish<'_>) {
        if publish.qos > 0 {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            self.taken.remove(&publish.id);
        }
    }

    /// Takes the client in. `assigned` is the client id it is given where it has none.
    pub fn welcome(&mut self, hello: Hello, assigned: Option<&str>, now: Now) {
        let most = self.limits.keep_alive.max(1);
        let told = hello.keep_alive == 0 || hello.keep_alive > most;
        let seconds = if told { most } else { hello.keep_alive };
        self.keep_alive = Duration::from_secs(seconds.into()) * 3 / 2;
        self.window = if hello.version == MqttVersion::V3 { WINDOW_V3 } else { hello.receive_max };
        self.packet_max = usize::try_from(hello.packet_max).unwrap_or(usize::MAX);
        self.heard = now.monotonic;
        let granted = Granted {
            receive_max: self.limits.receive_max,
            packet_max: u32::try_from(PACKET_MAX).unwrap_or(u32::MAX),
            server_keep_alive: told.then_some(most),
            assigned_id: assigned,
            session_expiry: hello.wants_session,
        };
        self.output.extend_from_slice(&packets::connack_granted(self.version, &granted));
        self.will = hello.will;
        self.state = State::Open;
    }

    /// Acknowledges a message once it is durable, or says by which code it is refused. At 3.1.1 a refused message
    /// is never acknowledged; the conversation is ended.
    pub fn acknowledge(&mut self, ack: Ack, code: u8) {
        if self.state != State::Open {
            return;
        }
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        let kind = if ack.exactly_once { kind::PUBREC } else { kind::PUBACK };
        if !ack.exactly_once || code >= code::FAILURE {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.taken.remove(&ack.id);
        } else if let Some(acknowledged) = self.taken.get_mut(&ack.id) {
            *acknowledged = true;
        }
        wire::write_ack(&mut self.output, self.version, kind, ack.id, code);
    }

    /// Answers a SUBSCRIBE: the granted QoS or a reason code for each wish.
    pub fn subscribed(&mut self, id: u16, codes: &[u8]) {
        let mut body = id.to_be_bytes().to_vec();
        if self.version == MqttVersion::V5 {
            wire::write_properties(&mut body, &[]);
            body.extend_from_slice(codes);
        } else {
            body.extend(codes.iter().map(|code| if *code < code::FAILURE { *code } else { code::FAILURE }));
        }
        wire::write_packet(&mut self.output, 0x90, &body);
    }

    /// Answers an UNSUBSCRIBE: whether each filter was subscribed.
    pub fn unsubscribed(&mut self, id: u16, were: &[bool]) {
        let mut body = id.to_be_bytes().to_vec();
        if self.version == MqttVersion::V5 {
            wire::write_properties(&mut body, &[]);
            body.extend(were.iter().map(|was| if *was { code::SUCCESS } else { code::NO_SUBSCRIPTION }));
        }
        wire::write_packet(&mut self.output, 0xB0, &body);
    }

    /// Puts a message into the queue for the client; false where the queue is full: it is too slow.
    pub fn deliver(&mut self, message: &Arc<Message>, qos: u8, retain: bool, now: Now) -> bool {
        if self.state != State::Open {
            return true;
        }
        if self.queue.len() >= QUEUE_MESSAGES_MAX || self.queued_bytes + message.size() > QUEUE_BYTES_MAX {
            return false;
        }
        self.queued_bytes += message.size();
        self.queue.push_back(Queued { message: Arc::clone(message), qos, retain });
        self.pump(now);
        true
    }

    /// Moves messages from the queue to the output, as far as the socket and the client's window have room.
    pub fn pump(&mut self, now: Now) {
        while self.state == State::Open && self.output.len() < OUTPUT_MAX {
            let Some(next) = self.queue.front() else { return };
            if next.qos > 0 && self.under_way.len() >= usize::from(self.window) {
                return;
            }
            let Some(Queued { message, qos, retain }) = self.queue.pop_front() else { return };
            self.queued_bytes = self.queued_bytes.saturating_sub(message.size());
            let left = message.expires.map(|at| at.millis().saturating_sub(now.utc.millis()));
            if left.is_some_and(|left| left <= 0) {
                continue;
            }
            let expiry = left.map(|left| u32::try_from(left / 1_000 + 1).unwrap_or(u32::MAX));
            let id = if qos > 0 { self.free_id() } else { 0 };
            let outgoing = Outgoing {
                topic: &message.topic,
                payload: &message.payload,
                properties: &message.properties,
                expiry,
                id,
                retain,
            };
            // What is too large for the client counts as sent [MQTT-3.1.2-25].
            if outgoing.size(self.version) <= self.packet_max {
                outgoing.write(&mut self.output, self.version);
                if id > 0 {
                    self.under_way.insert(id);
                }
            }
        }
    }

    /// The window is at most 65,535, so that one is free where it has room.
    fn free_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if !self.under_way.contains(&self.next_id) {
                return self.next_id;
            }
        }
    }

    /// Ends the conversation with a reason code: a CONNACK before it stands, a DISCONNECT of MQTT 5 afterwards.
    pub fn end(&mut self, code: u8, why: &str) {
        match (self.state, self.version) {
            (State::Asking, version) => {
                self.output.extend_from_slice(&packets::connack(version, code, why, &[]));
                self.will = None;
            }
            (State::Open, MqttVersion::V5) => {
                let mut properties = Vec::new();
                packets::reason(&mut properties, why);
                let mut body = vec![code];
                wire::write_properties(&mut body, &properties);
                if body.len() + 4 > self.packet_max {
                    body.truncate(1);
                }
                wire::write_packet(&mut self.output, 0xE0, &body);
            }
            (State::New | State::Open | State::Over, _) => {}
        }
        self.state = State::Over;
        self.queue.clear();
        self.queued_bytes = 0;
    }

    /// Nothing more is read; the conversation goes on until it is ended.
    pub fn hear_no_more(&mut self) {
        self.deaf = true;
    }

    /// Nothing more is read, and no goodbye is said.
    pub fn cut(&mut self) {
        self.state = State::Over;
        self.queue.clear();
        self.queued_bytes = 0;
    }

    /// When the client must have been heard of at the latest.
    pub fn deadline(&self) -> Duration {
        self.heard + self.keep_alive
    }

    /// Puts off the deadline: the client could not be heard, because nobody read.
    pub fn excuse(&mut self, now: Now) {
        self.heard = now.monotonic;
    }

    /// The will, once; there is none after a clean end.
    pub fn take_will(&mut self) -> Option<Will> {
        self.will.take()
    }

    /// Whether the conversation stands.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether nothing more is read.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The version of the client, once CONNECT was read.
    pub fn version(&self) -> MqttVersion {
        self.version
    }

    /// Bytes to send; what was sent is removed by the caller.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Messages that wait for the client.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

fn flags(packet: &wire::Packet<'_>, expected: u8) -> Result<(), Fault> {
    if packet.flags == expected {
        return Ok(());
    }
    Err(Fault::new(code::MALFORMED, "the flags of a packet are not what its type wants [MQTT-2.1.3-1]"))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
