//! One MQTT conversation as a client, without I/O and without a clock: bytes and moments go in,
//! bytes to send and what happened come out. A new connection is a new [`Client`].

pub use super::told::{Ended, Happened, NotSent};

use super::{
    codes,
    frame::{Framer, Oversize, PACKET_MAX, Piece},
    message::{self, Ack, Body, Message},
    packets,
};
use andon_contract::contract::MqttVersion;
use mqtt_protocol_core::mqtt::{
    Connection, Version,
    common::Cursor,
    connection::{ConnectionOptions, Event, TimerKind},
    packet::{GenericPacketTrait as _, Packet, Property},
    result_code::MqttError,
    role,
};
use std::{
    collections::{HashSet, VecDeque},
    panic::AssertUnwindSafe,
    time::Duration,
};

/// Messages of QoS 1 and 2 that a broker may have under way to us; told to it with MQTT 5.
pub const RECEIVE_MAX: u16 = 1_000;
/// A broker that does not answer a connect or a subscription for this long is given up.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A broker that says nothing for this long after our ping is given up.
pub const PING_ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes that wait to be sent before nothing more is published.
pub const OUTPUT_MAX: usize = 1 << 20;
/// The type of a PUBLISH.
const PUBLISH: u8 = 3;
/// The first byte of a PUBACK.
const PUBACK: u8 = 0x40;
/// Why a conversation has ended in which the protocol core failed.
pub(crate) const CORE_FAILED: &str = "the protocol core failed on what the broker sent";
/// The longest text of a broker that is shown.
const SAID_MAX: usize = 200;

/// How a client presents itself.
#[derive(Clone)]
pub struct Settings {
    /// Its id, the same at every connect.
    pub client_id: String,
    /// The version of MQTT.
    pub version: MqttVersion,
    /// Begin without what the broker remembers of us.
    pub clean_start: bool,
    /// How long the broker remembers us, in seconds; MQTT 5 only.
    pub session_expiry: u32,
    /// Keep-alive in seconds; 0: none.
    pub keep_alive: u16,
    /// User and password.
    pub credentials: Option<(String, Vec<u8>)>,
    /// Most publishes of ours without acknowledgement.
    pub window: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Connecting,
    Connected,
    Over,
}

/// One conversation.
pub struct Client {
    core: Connection<role::Client>,
    settings: Settings,
    stage: Stage,
    framer: Framer,
    output: Vec<u8>,
    filters: Vec<(String, u8)>,
    subscribing: Option<u16>,
    /// Filters whose end the broker has not confirmed, with the packet id of the request.
    unsubscribing: Option<(u16, Vec<String>)>,
    unanswered: VecDeque<u16>,
    /// Messages of QoS 2 that came and are not acknowledged yet.
    owed: HashSet<u16>,
    in_flight: u16,
    /// Until when the broker has to answer a connect or a subscription.
    answer_by: Option<Duration>,
    ping_every: Duration,
    sent_at: Duration,
    pinged_at: Option<Duration>,
}

impl Client {
    /// A conversation that has not begun. `handled` are the packet ids of QoS 2 whose message is durable
    /// here and whose release has not come; they survive the connection.
    pub fn new(settings: Settings, handled: impl IntoIterator<Item = u16>) -> Self {
        let size = u32::try_from(PACKET_MAX).unwrap_or(u32::MAX);
        let options = ConnectionOptions::new().maximum_packet_size_recv(size);
        let version = match settings.version {
            MqttVersion::V3 => Version::V3_1_1,
            MqttVersion::V5 => Version::V5_0,
        };
        let mut core = Connection::with_options(version, options);
        core.restore_qos2_publish_handled(handled.into_iter().collect());
        Self {
            core,
            settings,
            stage: Stage::New,
            framer: Framer::default(),
            output: Vec::new(),
            filters: Vec::new(),
            subscribing: None,
            unsubscribing: None,
            unanswered: VecDeque::new(),
            owed: HashSet::new(),
            in_flight: 0,
            answer_by: None,
            ping_every: Duration::ZERO,
            sent_at: Duration::ZERO,
            pinged_at: None,
        }
    }

    /// Begins the conversation.
    pub fn connect(&mut self, now: Duration) -> Result<(), Ended> {
        let cannot = |e| {
            Ended::new(
                format!("the connect cannot be written: {e:?}"),
                "shorten user, password or the source's name to 64 KiB at most",
            )
        };
        let packet = packets::connect(&self.settings, false).map_err(cannot)?;
        self.stage = Stage::Connecting;
        self.answer_by = Some(now + HANDSHAKE_MAX);
        // The broker is told our receive maximum, the core is not: mosquitto 2.0 exceeds it by a few messages, and
        // nothing is won by ending the connection over that.
        let told = packets::connect(&self.settings, true).map_err(cannot)?;
        for event in self.core.send(packet) {
            match event {
                Event::NotifyError(error) => return Err(Ended::protocol(error)),
                Event::RequestSendPacket { .. } => {
                    let packet = told.clone();
                    self.send_event(Event::RequestSendPacket { packet, release_packet_id_if_send_error: None }, now);
                }
                other => self.send_event(other, now),
            }
        }
        Ok(())
    }

    /// Whether the broker let us in and the conversation stands.
    pub fn is_connected(&self) -> bool {
        self.stage == Stage::Connected
    }

    /// Subscribes to filters, each with its QoS. With MQTT 5 retained messages come once for a new subscription.
    pub fn subscribe(&mut self, filters: &[(String, u8)], now: Duration) -> Result<(), Ended> {
        let cannot = |e: MqttError| {
            Ended::new(format!("the subscription cannot be written: {e:?}"), "check the topics of the source")
        };
        if self.stage != Stage::Connected {
            return Ok(());
        }
        let id = self.core.acquire_packet_id().map_err(cannot)?;
        let packet = packets::subscribe(self.settings.version, id, filters).map_err(cannot)?;
        self.filters = filters.to_vec();
        self.subscribing = Some(id);
        self.answer_by = Some(now + HANDSHAKE_MAX);
        let events = self.core.send(packet);
        self.send_events(events, now)
    }

    /// Ends the subscription to filters that the session still has from earlier.
    pub fn unsubscribe(&mut self, filters: Vec<String>, now: Duration) -> Result<(), Ended> {
        let cannot = |e: MqttError| {
            Ended::new(
                format!("the end of a subscription cannot be written: {e:?}"),
                "remove the session at the broker",
            )
        };
        if self.stage != Stage::Connected {
            return Ok(());
        }
        let id = self.core.acquire_packet_id().map_err(cannot)?;
        let packet = packets::unsubscribe(self.settings.version, id, &filters).map_err(cannot)?;
        self.unsubscribing = Some((id, filters));
        self.answer_by = Some(now + HANDSHAKE_MAX);
        let events = self.core.send(packet);
        self.send_events(events, now)
    }

    /// Takes bytes of the broker. What they say is added to `happened`; after an error nothing more is read,
    /// and [`Client::output`] may hold a last word to the broker.
    pub fn receive(&mut self, mut bytes: &[u8], now: Duration, happened: &mut Vec<Happened>) -> Result<(), Ended> {
        if !bytes.is_empty() {
            self.pinged_at = None;
        }
        while let Some(piece) = self.framer.next(&mut bytes) {
            match piece {
                Piece::Begin(kind, bytes) => {
                    self.in_turn(kind)?;
                    let whole = kind == PUBLISH && self.framer.is_between();
                    if let Some(message) = whole.then(|| message::plain(bytes, self.settings.version)).flatten() {
                        happened.push(Happened::Message(message));
                    } else {
                        self.feed(bytes, now, happened)?;
                    }
                }
                Piece::Header(kind, bytes, filled) => {
                    self.in_turn(kind)?;
                    self.feed(bytes.get(..filled).unwrap_or(&[]), now, happened)?;
                }
                Piece::More(bytes) => self.feed(bytes, now, happened)?,
                Piece::TooLarge(large) => {
                    self.in_turn(3)?;
                    happened.push(self.too_large(&large)?);
                }
                Piece::Malformed => return Err(self.over(Ended::protocol(MqttError::MalformedPacket))),
            }
        }
        Ok(())
    }

    /// A packet may come only after the broker let us in, and that happens once.
    fn in_turn(&mut self, kind: u8) -> Result<(), Ended> {
        const CONNACK: u8 = 2;
        let expected = match self.stage {
            Stage::Connecting => kind == CONNACK,
            Stage::Connected => kind != CONNACK,
            Stage::New | Stage::Over => false,
        };
        if expected { Ok(()) } else { Err(self.over(Ended::protocol(MqttError::ProtocolError))) }
    }

    fn feed(&mut self, bytes: &[u8], now: Duration, happened: &mut Vec<Happened>) -> Result<(), Ended> {
        let core = &mut self.core;
        // A defect of the protocol core that foreign bytes find ends the connection, not the source.
        let caught = std::panic::catch_unwind(AssertUnwindSafe(|| core.recv(&mut Cursor::new(bytes))));
        let Ok(events) = caught else {
            return Err(self.over(Ended::new(CORE_FAILED, "report it with the broker's name and version")));
        };
        if events.is_empty() {
            return Ok(());
        }
        let mut end = None;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => {
                    if let Err(ended) = self.packet(packet, happened) {
                        end = Some(ended);
                    }
                }
                Event::NotifyError(error) => end = Some(Ended::protocol(error)),
                Event::RequestClose => {
                    end.get_or_insert_with(|| Ended::protocol(MqttError::ProtocolError));
                }
                // The core answers a repeat at once, but its message may not be durable yet.
                Event::RequestSendPacket { packet: Packet::V3_1_1Pubrec(p), .. }
                    if self.owed.contains(&p.packet_id()) => {}
                Event::RequestSendPacket { packet: Packet::V5_0Pubrec(p), .. }
                    if self.owed.contains(&p.packet_id()) => {}
                other => self.send_event(other, now),
            }
        }
        match end {
            Some(ended) => Err(self.over(ended)),
            None => self.answer_releases(now),
        }
    }

    fn over(&mut self, ended: Ended) -> Ended {
        self.stage = Stage::Over;
        ended
    }

    fn packet(&mut self, packet: Packet, happened: &mut Vec<Happened>) -> Result<(), Ended> {
        match packet {
            Packet::V3_1_1Publish(_) | Packet::V5_0Publish(_) => {
                let message = Message(Body::Packet(packet));
                match message.ack() {
                    // MQTT-2.3.1-1. The core lets it pass in 3.1.1, and fails when it is to answer it.
                    Some(Ack { id: 0, .. }) => return Err(Ended::protocol(MqttError::MalformedPacket)),
                    Some(Ack { id, exactly_once: true }) => {
                        self.owed.insert(id);
                    }
                    _ => {}
                }
                happened.push(Happened::Message(message));
            }
            Packet::V3_1_1Puback(p) => self.published(p.packet_id(), 0, happened),
            Packet::V5_0Puback(p) => {
                self.published(p.packet_id(), p.reason_code().map_or(0, |code| code as u8), happened);
            }
            Packet::V3_1_1Pubrel(p) => self.unanswered.push_back(p.packet_id()),
            Packet::V5_0Pubrel(p) => self.unanswered.push_back(p.packet_id()),
            Packet::V3_1_1Connack(p) => {
                let code = p.return_code() as u8;
                if code != 0 {
                    let ended = Ended::explained("the broker refused us", code, codes::connect_v3(code), "");
                    return Err(Ended { code: Some(codes::of_v3(code)), ..ended });
                }
                self.connected(p.session_present(), happened);
            }
            Packet::V5_0Connack(p) => {
                let code = p.reason_code() as u8;
                if code != 0 {
                    let said = reason_string(p.props());
                    return Err(Ended::explained("the broker refused us", code, codes::code_of(code), &said));
                }
                self.connected(p.session_present(), happened);
            }
            Packet::V3_1_1Suback(p) => {
                let codes: Vec<u8> = p.return_codes().into_iter().map(|code| code as u8).collect();
                self.subscribed(p.packet_id(), &codes, happened);
            }
            Packet::V5_0Suback(p) => {
                let codes: Vec<u8> = p.reason_codes().into_iter().map(|code| code as u8).collect();
                self.subscribed(p.packet_id(), &codes, happened);
            }
            // 3.1.1 knows no refusal here.
            Packet::V3_1_1Unsuback(p) => self.unsubscribed(p.packet_id(), &[], happened),
            Packet::V5_0Unsuback(p) => {
                let codes: Vec<u8> = p.reason_codes().into_iter().map(|code| code as u8).collect();
                self.unsubscribed(p.packet_id(), &codes, happened);
            }
            Packet::V5_0Disconnect(p) => {
                let code = p.reason_code().map_or(0, |code| code as u8);
                let said = reason_string(p.props().as_deref().unwrap_or(&[]));
                return Err(Ended::explained("the broker ended the connection", code, codes::code_of(code), &said));
            }
            Packet::V5_0Auth(_) => return Err(Ended::protocol(MqttError::ProtocolError)),
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, session_present: bool, happened: &mut Vec<Happened>) {
        self.stage = Stage::Connected;
        self.answer_by = None;
        if !session_present {
            // Packet ids begin anew with the session.
            self.core.restore_qos2_publish_handled(std::iter::empty().collect());
        }
        happened.push(Happened::Connected { session_present });
    }

    fn subscribed(&mut self, id: u16, codes: &[u8], happened: &mut Vec<Happened>) {
        if self.subscribing != Some(id) {
            return;
        }
        self.subscribing = None;
        self.answer_by = None;
        // A broker that answers for fewer filters than we named has refused the rest.
        let codes = codes.iter().copied().chain(std::iter::repeat(0x80));
        let (mut refused, mut lowered) = (Vec::new(), Vec::new());
        for ((filter, qos), code) in self.filters.iter().zip(codes) {
            if code >= 0x80 {
                refused.push((filter.clone(), code, codes::code_of(code)));
            } else if code < *qos {
                lowered.push((filter.clone(), code));
            }
        }
        happened.push(Happened::Subscribed { refused, lowered });
    }

    fn unsubscribed(&mut self, id: u16, codes: &[u8], happened: &mut Vec<Happened>) {
        let Some((_, filters)) = self.unsubscribing.take_if(|(asked, _)| *asked == id) else { return };
        self.answer_by = None;
        let answered = filters.into_iter().zip(codes).filter(|(_, code)| **code >= 0x80);
        let refused = answered.map(|(filter, code)| (filter, *code, codes::code_of(*code))).collect();
        happened.push(Happened::Unsubscribed { refused });
    }

    fn published(&mut self, id: u16, code: u8, happened: &mut Vec<Happened>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let refused = (code >= 0x80).then(|| (code, codes::code_of(code)));
        happened.push(Happened::Published { id, refused });
    }

    fn too_large(&mut self, large: &Oversize) -> Result<Happened, Ended> {
        let malformed = || Ended::protocol(MqttError::MalformedPacket);
        let qos = large.flags >> 1 & 3;
        let read = || -> Option<(String, Option<u16>, usize)> {
            let (length, rest) = large.head.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let topic = std::str::from_utf8(rest.get(..length)?).ok()?.to_owned();
            if qos == 0 {
                return Some((topic, None, 2 + length));
            }
            let id = rest.get(length..)?.first_chunk::<2>()?;
            Some((topic, Some(u16::from_be_bytes(*id)), 4 + length))
        };
        let Some((topic, id, start)) = read() else { return Err(self.over(malformed())) };
        if qos == 3 || id == Some(0) {
            return Err(self.over(malformed()));
        }
        let ack = id.map(|id| Ack { id, exactly_once: qos == 2 });
        let head = large.head.get(start..).unwrap_or(&[]).to_vec();
        Ok(Happened::TooLarge { topic, size: large.size, head, ack })
    }

    /// The message is durable: acknowledges it. Acknowledge in the order of receipt.
    pub fn acknowledge(&mut self, ack: Ack, now: Duration) -> Result<(), Ended> {
        if self.stage != Stage::Connected {
            return Ok(());
        }
        if !ack.exactly_once {
            // The same in both versions: success needs no reason code. The core keeps no account of these.
            let [high, low] = ack.id.to_be_bytes();
            self.output.extend_from_slice(&[PUBACK, 2, high, low]);
            self.sent_at = now;
            return Ok(());
        }
        self.owed.remove(&ack.id);
        let packet = packets::acknowledge(self.settings.version, ack.id).map_err(Ended::protocol)?;
        let events = self.core.send(packet);
        self.send_events(events, now)
    }

    /// The second half of QoS 2: a release is answered at once, for its message is durable.
    fn answer_releases(&mut self, now: Duration) -> Result<(), Ended> {
        while let Some(id) = self.unanswered.pop_front() {
            let packet = packets::complete(self.settings.version, id).map_err(Ended::protocol)?;
            let events = self.core.send(packet);
            self.send_events(events, now)?;
        }
        Ok(())
    }

    /// Whether another publish may be sent now.
    pub fn has_room(&self) -> bool {
        self.stage == Stage::Connected
            && self.in_flight < self.settings.window
            && self.output.len() < OUTPUT_MAX
            && self.core.get_receive_maximum_vacancy_for_send().is_none_or(|n| n > 0)
    }

    /// Publishes. At QoS 1 the packet id is returned, by which [`Happened::Published`] tells its end.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, now: Duration) -> Result<Option<u16>, NotSent> {
        if self.stage != Stage::Connected {
            return Err(NotSent::NotConnected);
        }
        if !self.has_room() {
            return Err(NotSent::Full);
        }
        if topic.is_empty() || topic.contains(['+', '#', '\0']) {
            return Err(NotSent::Impossible(format!("{topic:?} is no topic: it is empty or holds +, # or NUL")));
        }
        let impossible =
            |e: MqttError| NotSent::Impossible(format!("the publish to {topic:?} cannot be written: {e:?}"));
        let id = if qos == 0 { None } else { Some(self.core.acquire_packet_id().map_err(|_| NotSent::Full)?) };
        let packet = packets::publish(self.settings.version, id, topic, payload);
        let sent = packet.map_err(impossible).and_then(|packet| {
            let events = self.core.send(packet);
            self.send_events(events, now).map_err(|ended| NotSent::Impossible(ended.reason))
        });
        if let Err(error) = sent {
            if let Some(id) = id {
                self.core.release_packet_id(id);
            }
            return Err(error);
        }
        if id.is_some() {
            self.in_flight += 1;
        }
        Ok(id)
    }

    /// Packet ids of QoS 2 whose release has not come; for the next conversation of the same session, once
    /// their messages are durable.
    pub fn handled(&self) -> Vec<u16> {
        self.core.get_qos2_publish_handled().into_iter().collect()
    }

    /// Says goodbye; nothing is read or sent afterwards but the last bytes of the output.
    pub fn disconnect(&mut self, now: Duration) {
        if self.stage != Stage::Connected {
            self.stage = Stage::Over;
            return;
        }
        if let Ok(packet) = packets::disconnect(self.settings.version) {
            for event in self.core.send(packet) {
                self.send_event(event, now);
            }
        }
        self.stage = Stage::Over;
    }

    /// The bytes to send; the caller removes what it has sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// When [`Client::tick`] is to be called at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let ping = (self.stage == Stage::Connected && !self.ping_every.is_zero()).then(|| match self.pinged_at {
            Some(at) => at + PING_ANSWER_MAX,
            None => self.sent_at + self.ping_every,
        });
        [ping, self.answer_by].into_iter().flatten().min()
    }

    /// Looks at the clock: pings, and ends a conversation whose broker does not answer.
    pub fn tick(&mut self, now: Duration) -> Result<(), Ended> {
        if self.answer_by.is_some_and(|by| now >= by) {
            let what = if self.stage == Stage::Connecting { "connect" } else { "subscription" };
            return Err(self.over(Ended::new(
                format!("the broker did not answer the {what} within {} s", HANDSHAKE_MAX.as_secs()),
                "check that the address is that of an MQTT broker, and its load",
            )));
        }
        if self.stage != Stage::Connected || self.ping_every.is_zero() {
            return Ok(());
        }
        if let Some(at) = self.pinged_at {
            if now >= at + PING_ANSWER_MAX {
                return Err(self.over(Ended::new(
                    format!("the broker did not answer a ping within {} s", PING_ANSWER_MAX.as_secs()),
                    "check the network and the broker's load",
                )));
            }
        } else if now >= self.sent_at + self.ping_every {
            let events = self.core.notify_timer_fired(TimerKind::PingreqSend);
            self.send_events(events, now)?;
            self.pinged_at = Some(now);
        }
        Ok(())
    }

    fn send_events(&mut self, events: Vec<Event>, now: Duration) -> Result<(), Ended> {
        for event in events {
            if let Event::NotifyError(error) = event {
                return Err(Ended::protocol(error));
            }
            self.send_event(event, now);
        }
        Ok(())
    }

    fn send_event(&mut self, event: Event, now: Duration) {
        match event {
            Event::RequestSendPacket { packet, .. } => {
                for buffer in packet.to_buffers() {
                    self.output.extend_from_slice(&buffer);
                }
                self.sent_at = now;
            }
            Event::RequestTimerReset { kind: TimerKind::PingreqSend, duration_ms } => {
                self.ping_every = Duration::from_millis(duration_ms);
            }
            Event::RequestTimerCancel(TimerKind::PingreqSend) => self.ping_every = Duration::ZERO,
            _ => {}
        }
    }
}

fn reason_string(props: &[Property]) -> String {
    let said = props.iter().find_map(|p| match p {
        Property::ReasonString(text) => Some(text.val()),
        _ => None,
    });
    said.unwrap_or_default().chars().filter(|c| !c.is_control()).take(SAID_MAX).collect()
}
