//! CONNECT, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT as a server reads them, by the library; CONNACK as it writes it.

use super::wire::{Fault, Packet, code, write_binary, write_packet, write_properties};
use andon_contract::contract::MqttVersion;
use mqtt_protocol_core::mqtt::{
    packet::{Property, SubEntry, v3_1_1 as v3, v5_0 as v5},
    prelude::PropertyValueAccess as _,
    result_code::MqttError,
};

/// The name of the protocol since 3.1.1, with its length.
const NAME: &[u8] = b"\0\x04MQTT";
/// The name of the protocol before, with its length.
const OLD_NAME: &[u8] = b"\0\x06MQIsdp";
/// The first byte of a CONNACK.
const CONNACK: u8 = 0x20;

/// A CONNECT that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// 3.1.1 or 5.
    pub version: MqttVersion,
    /// The client id; may be empty.
    pub client_id: String,
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Vec<u8>>,
    /// Whether it wants no session from earlier.
    pub clean: bool,
    /// Seconds of its keep-alive; 0: none.
    pub keep_alive: u16,
    /// What is published when it ends uncleanly.
    pub will: Option<Will>,
    /// Publishes of ours without acknowledgement that it takes at once.
    pub receive_max: u16,
    /// The largest packet it takes, in bytes.
    pub packet_max: u32,
    /// Whether it wants a session that outlives its connection.
    pub wants_session: bool,
    /// It wants to authenticate by a method of its own.
    pub authentication: bool,
}

/// What is published when a client ends uncleanly. Its delay is not kept: our sessions end with the connection, and
/// then the delay is over [MQTT-3.1.3-9].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Whether it is kept for those who subscribe later.
    pub retain: bool,
    /// The properties that go on to subscribers, as they are written.
    pub properties: Vec<u8>,
    /// Seconds after which nobody wants it any more.
    pub expiry: Option<u32>,
}

/// A filter that somebody subscribes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The topic filter.
    pub filter: String,
    /// How it is to be delivered.
    pub options: Options,
}

/// How messages of a subscription are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The highest quality of service, 0 or 1; 2 is granted as 1.
    pub qos: u8,
    /// Not what the client published itself.
    pub no_local: bool,
    /// The retain flag stays as it was published.
    pub retain_as_published: bool,
    /// Which retained messages come at once.
    pub retained: Retained,
}

/// Which retained messages come with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained {
    /// All that match.
    Send,
    /// All that match, where the subscription is a new one.
    IfNew,
    /// None.
    Never,
}

/// Why a CONNECT is not read: the answer, which may be nothing, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoHello {
    pub(super) answer: Vec<u8>,
    pub(super) fault: Fault,
}

/// Reads a CONNECT (3.1).
pub(super) fn connect(body: &[u8]) -> Result<Hello, NoHello> {
    let silent = |fault| NoHello { answer: Vec::new(), fault };
    let other = Fault::new(code::VERSION, "the client speaks neither MQTT 3.1.1 nor 5");
    if body.starts_with(OLD_NAME) {
        return Err(NoHello { answer: refusal_v3(1), fault: other });
    }
    let Some(rest) = body.strip_prefix(NAME) else {
        return Err(silent(Fault::new(code::PROTOCOL, "the client does not speak MQTT [MQTT-3.1.2-1]")));
    };
    let [level, flags, ..] = rest else { return Err(silent(Fault::new(code::MALFORMED, "a field is cut off"))) };
    let will_flags_wrong = flags & 0x04 == 0 && flags & 0x38 != 0;
    let wrong_flags = flags & 0x01 != 0 || will_flags_wrong || flags & 0x18 == 0x18;
    let wrong_flags = wrong_flags.then_some(Fault::new(code::MALFORMED, "the flags of CONNECT are wrong [MQTT-3.1.2]"));
    match level {
        4 => {
            if let Some(fault) = wrong_flags {
                return Err(silent(fault));
            }
            connect_v3(body).map_err(silent)
        }
        5 => {
            let read = wrong_flags.map_or_else(|| connect_v5(body), Err);
            read.map_err(|fault| NoHello { answer: connack(MqttVersion::V5, fault.code, fault.why, &[]), fault })
        }
        0..4 => Err(NoHello { answer: refusal_v3(1), fault: other }),
        _ => Err(NoHello { answer: connack(MqttVersion::V5, code::VERSION, "", &[]), fault: other }),
    }
}

fn connect_v3(body: &[u8]) -> Result<Hello, Fault> {
    let (packet, size) = v3::Connect::parse(body).map_err(fault)?;
    whole(size, body)?;
    let will = packet.will_topic().zip(packet.will_payload()).map(|(topic, payload)| Will {
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        qos: packet.will_qos() as u8,
        retain: packet.will_retain(),
        properties: Vec::new(),
        expiry: None,
    });
    Ok(Hello {
        version: MqttVersion::V3,
        client_id: packet.client_id().to_owned(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        clean: packet.clean_session(),
        keep_alive: packet.keep_alive(),
        will,
        receive_max: u16::MAX,
        packet_max: u32::MAX,
        wants_session: !packet.clean_session(),
        authentication: false,
    })
}

fn connect_v5(body: &[u8]) -> Result<Hello, Fault> {
    let (packet, size) = v5::Connect::parse(body).map_err(fault)?;
    whole(size, body)?;
    let will = packet.will_topic().zip(packet.will_payload()).map(|(topic, payload)| {
        let mut properties = Vec::new();
        let mut expiry = None;
        for property in packet.will_props() {
            match property {
                Property::MessageExpiryInterval(_) => expiry = property.as_u32(),
                Property::WillDelayInterval(_) => {}
                other => other.to_buffers().iter().for_each(|piece| properties.extend_from_slice(piece)),
            }
        }
        let qos = packet.will_qos() as u8;
        Will {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            qos,
            retain: packet.will_retain(),
            properties,
            expiry,
        }
    });
    let mut hello = Hello {
        version: MqttVersion::V5,
        client_id: packet.client_id().to_owned(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        clean: packet.clean_start(),
        keep_alive: packet.keep_alive(),
        will,
        receive_max: u16::MAX,
        packet_max: u32::MAX,
        wants_session: false,
        authentication: false,
    };
    for property in packet.props() {
        match property {
            Property::ReceiveMaximum(_) => hello.receive_max = property.as_u16().unwrap_or(u16::MAX).max(1),
            Property::MaximumPacketSize(_) => hello.packet_max = property.as_u32().unwrap_or(u32::MAX).max(1),
            Property::SessionExpiryInterval(_) => hello.wants_session = property.as_u32() != Some(0),
            Property::AuthenticationMethod(_) => hello.authentication = true,
            _ => {}
        }
    }
    Ok(hello)
}

/// Reads a SUBSCRIBE (3.8): packet id and wishes.
pub(super) fn subscribe(version: MqttVersion, packet: &Packet<'_>) -> Result<(u16, Vec<Wish>), Fault> {
    flags(packet)?;
    let (id, entries) = match version {
        MqttVersion::V3 => {
            let (read, size) = v3::Subscribe::parse(packet.body).map_err(fault)?;
            whole(size, packet.body)?;
            (read.packet_id(), read.entries().iter().map(wish).collect())
        }
        MqttVersion::V5 => {
            let (read, size) = v5::Subscribe::parse(packet.body).map_err(fault)?;
            whole(size, packet.body)?;
            if read.props().iter().any(|p| matches!(p, Property::SubscriptionIdentifier(_))) {
                return Err(Fault::new(code::SUBSCRIPTION_ID, "subscription identifiers are not offered"));
            }
            (read.packet_id(), read.entries().iter().map(wish).collect())
        }
    };
    not_zero(id).map(|id| (id, entries))
}

fn wish(entry: &SubEntry) -> Wish {
    let options = entry.sub_opts();
    Wish {
        filter: entry.topic_filter().to_owned(),
        options: Options {
            qos: (options.qos() as u8).min(1),
            no_local: options.nl(),
            retain_as_published: options.rap(),
            retained: match options.rh() as u8 {
                0 => Retained::Send,
                1 => Retained::IfNew,
                _ => Retained::Never,
            },
        },
    }
}

/// Reads an UNSUBSCRIBE (3.10): packet id and filters.
pub(super) fn unsubscribe(version: MqttVersion, packet: &Packet<'_>) -> Result<(u16, Vec<String>), Fault> {
    flags(packet)?;
    let (id, size, filters) = match version {
        MqttVersion::V3 => {
            let (read, size) = v3::Unsubscribe::parse(packet.body).map_err(fault)?;
            (read.packet_id(), size, read.entries().iter().map(|e| e.as_str().to_owned()).collect())
        }
        MqttVersion::V5 => {
            let (read, size) = v5::Unsubscribe::parse(packet.body).map_err(fault)?;
            (read.packet_id(), size, read.entries().iter().map(|e| e.as_str().to_owned()).collect())
        }
    };
    whole(size, packet.body)?;
    not_zero(id).map(|id| (id, filters))
}

/// Reads a DISCONNECT (3.14): whether the will is wanted all the same.
pub(super) fn disconnect(version: MqttVersion, packet: &Packet<'_>) -> Result<bool, Fault> {
    if packet.flags != 0 {
        return Err(Fault::new(code::MALFORMED, "the flags of DISCONNECT are 0 [MQTT-3.14.1-1]"));
    }
    match version {
        MqttVersion::V3 if packet.body.is_empty() => Ok(false),
        MqttVersion::V3 => Err(Fault::new(code::MALFORMED, "DISCONNECT has no body")),
        MqttVersion::V5 => Ok(packet.body.first().is_some_and(|code| *code != 0)),
    }
}

fn not_zero(id: u16) -> Result<u16, Fault> {
    if id == 0 { Err(Fault::new(code::PROTOCOL, "a packet id is not 0 [MQTT-2.2.1-3]")) } else { Ok(id) }
}

fn flags(packet: &Packet<'_>) -> Result<(), Fault> {
    if packet.flags == 2 {
        return Ok(());
    }
    Err(Fault::new(code::MALFORMED, "the flags of this packet are 2 [MQTT-3.8.1-1, MQTT-3.10.1-1]"))
}

fn whole(size: usize, body: &[u8]) -> Result<(), Fault> {
    if size == body.len() { Ok(()) } else { Err(Fault::new(code::MALFORMED, "bytes follow the last field")) }
}

fn fault(error: MqttError) -> Fault {
    match error {
        MqttError::ProtocolError => Fault::new(code::PROTOCOL, "the packet is not allowed like this"),
        MqttError::ClientIdentifierNotValid => Fault::new(code::CLIENT_ID, "the client id is no text"),
        MqttError::BadUserNameOrPassword => Fault::new(code::USER, "user or password cannot be read"),
        _ => Fault::new(code::MALFORMED, "the packet cannot be read"),
    }
}

/// What a CONNACK tells a client of MQTT 5.
#[derive(Debug, Default, Clone)]
pub(super) struct Granted<'a> {
    pub(super) receive_max: u16,
    pub(super) packet_max: u32,
    pub(super) server_keep_alive: Option<u16>,
    pub(super) assigned_id: Option<&'a str>,
    pub(super) session_expiry: bool,
}

/// A CONNACK that takes a client in.
pub(super) fn connack_granted(version: MqttVersion, granted: &Granted<'_>) -> Vec<u8> {
    let mut properties = Vec::new();
    if granted.session_expiry {
        properties.push(17);
        properties.extend_from_slice(&0_u32.to_be_bytes());
    }
    properties.push(33);
    properties.extend_from_slice(&granted.receive_max.to_be_bytes());
    properties.push(39);
    properties.extend_from_slice(&granted.packet_max.to_be_bytes());
    if let Some(id) = granted.assigned_id {
        properties.push(18);
        write_binary(&mut properties, id.as_bytes());
    }
    // No subscription identifiers, no shared subscriptions.
    properties.extend_from_slice(&[41, 0, 42, 0]);
    if let Some(seconds) = granted.server_keep_alive {
        properties.push(19);
        properties.extend_from_slice(&seconds.to_be_bytes());
    }
    connack(version, code::SUCCESS, "", &properties)
}

/// A CONNACK with a reason code of MQTT 5, which is told a client of 3.1.1 in the words of that.
pub(super) fn connack(version: MqttVersion, code: u8, why: &str, properties: &[u8]) -> Vec<u8> {
    match version {
        MqttVersion::V3 => refusal_v3(match code {
            code::SUCCESS => 0,
            code::VERSION => 1,
            code::CLIENT_ID => 2,
            code::USER => 4,
            code::NOT_AUTHORIZED | code::TOPIC | code::AUTHENTICATION => 5,
            _ => 3,
        }),
        MqttVersion::V5 => {
            let mut all = properties.to_vec();
            reason(&mut all, why);
            let mut body = vec![0, code];
            write_properties(&mut body, &all);
            let mut packet = Vec::new();
            write_packet(&mut packet, CONNACK, &body);
            packet
        }
    }
}

/// The property that says why, in words.
pub(super) fn reason(properties: &mut Vec<u8>, why: &str) {
    if !why.is_empty() {
        properties.push(31);
        write_binary(properties, why.as_bytes());
    }
}

fn refusal_v3(code: u8) -> Vec<u8> {
    vec![CONNACK, 2, 0, code]
}
