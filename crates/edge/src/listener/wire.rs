//! Packets as a server reads and writes them. Publishes and acknowledgements are read by hand, because they come by
//! the hundred thousand; CONNECT, SUBSCRIBE and UNSUBSCRIBE by the library, see [`super::packets`].

use andon_contract::contract::MqttVersion;

/// What is wrong with a packet: the reason code of MQTT 5 that says so, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The reason code.
    pub code: u8,
    /// Why, for the log and the reason string.
    pub why: &'static str,
}

impl Fault {
    pub(super) const fn new(code: u8, why: &'static str) -> Self {
        Self { code, why }
    }

    const fn malformed(why: &'static str) -> Self {
        Self::new(code::MALFORMED, why)
    }
}

/// Reason codes (MQTT 5, 2.4).
pub mod code {
    /// Taken.
    pub const SUCCESS: u8 = 0x00;
    /// An unsubscribe of what nobody subscribed.
    pub const NO_SUBSCRIPTION: u8 = 0x11;
    /// SUBACK of 3.1.1: refused.
    pub const FAILURE: u8 = 0x80;
    /// The bytes are no packet.
    pub const MALFORMED: u8 = 0x81;
    /// A packet that must not come like this.
    pub const PROTOCOL: u8 = 0x82;
    /// Another version of MQTT.
    pub const VERSION: u8 = 0x84;
    /// A client id that is not accepted.
    pub const CLIENT_ID: u8 = 0x85;
    /// A wrong user or password.
    pub const USER: u8 = 0x86;
    /// Not allowed.
    pub const NOT_AUTHORIZED: u8 = 0x87;
    /// Too many connections.
    pub const BUSY: u8 = 0x89;
    /// The listener stops.
    pub const SHUTTING_DOWN: u8 = 0x8B;
    /// Extended authentication is not offered.
    pub const AUTHENTICATION: u8 = 0x8C;
    /// Nothing was heard in time.
    pub const KEEP_ALIVE: u8 = 0x8D;
    /// Another connection came with the same client id.
    pub const TAKEN_OVER: u8 = 0x8E;
    /// A topic filter that is none.
    pub const FILTER: u8 = 0x8F;
    /// A topic that nobody maps.
    pub const TOPIC: u8 = 0x90;
    /// PUBREL or PUBREC of an id that is not under way.
    pub const UNKNOWN_ID: u8 = 0x92;
    /// More under way than the receive maximum.
    pub const RECEIVE_MAX: u8 = 0x93;
    /// A topic alias, of which there are none.
    pub const TOPIC_ALIAS: u8 = 0x94;
    /// A packet larger than was told.
    pub const TOO_LARGE: u8 = 0x95;
    /// A limit is reached.
    pub const QUOTA: u8 = 0x97;
    /// Shared subscriptions are not offered.
    pub const SHARED: u8 = 0x9E;
    /// Subscription identifiers are not offered.
    pub const SUBSCRIPTION_ID: u8 = 0xA1;
}

/// Types of packets, the four high bits of the first byte.
pub(super) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const DISCONNECT: u8 = 14;
}

/// One packet in the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) body: &'a [u8],
}

/// What stands at the beginning of the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// A packet, and how many bytes it takes.
    Packet(Packet<'a>, usize),
    /// Not all of it is there.
    More,
    /// It will be larger than `most`.
    TooLarge,
    /// Its length does not end [MQTT-1.5.5].
    Malformed,
}

/// Cuts off the first packet of `input`, whose whole size is at most `most`.
pub(super) fn cut(input: &[u8], most: usize) -> Cut<'_> {
    let Some((&first, rest)) = input.split_first() else { return Cut::More };
    let (length, digits) = match varint(rest) {
        Varint::Is(length, digits) => (length, digits),
        Varint::More => return Cut::More,
        Varint::None => return Cut::Malformed,
    };
    let size = 1 + digits + length;
    if size > most {
        return Cut::TooLarge;
    }
    let Some(body) = input.get(1 + digits..size) else { return Cut::More };
    Cut::Packet(Packet { kind: first >> 4, flags: first & 0x0F, body }, size)
}

enum Varint {
    Is(usize, usize),
    More,
    None,
}

/// A variable byte integer and how many bytes it takes.
fn varint(bytes: &[u8]) -> Varint {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Varint::Is(value, at + 1);
        }
    }
    if bytes.len() < 4 { Varint::More } else { Varint::None }
}

/// Bytes that are read from their beginning.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::malformed("a field is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A text [MQTT-1.5.4-1, -2].
    fn text(&mut self) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| Fault::malformed("a text is not UTF-8"))?;
        if text.contains('\0') { Err(Fault::malformed("a text holds a zero byte")) } else { Ok(text) }
    }

    fn varint(&mut self) -> Result<usize, Fault> {
        match varint(self.0) {
            Varint::Is(value, digits) => self.take(digits).map(|_| value),
            Varint::More | Varint::None => Err(Fault::malformed("a length does not end")),
        }
    }
}

/// A publish that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Packet id; 0 at QoS 0.
    pub id: u16,
    /// Whether it is to be kept for those who subscribe later.
    pub retain: bool,
    /// Its properties as they came, MQTT 5.
    pub properties: &'a [u8],
    /// Seconds after which nobody wants it any more.
    pub expiry: Option<u32>,
}

/// Reads a publish (3.3).
pub(super) fn publish<'a>(version: MqttVersion, packet: &Packet<'a>) -> Result<Publish<'a>, Fault> {
    let qos = packet.flags >> 1 & 3;
    if qos == 3 {
        return Err(Fault::malformed("there is no quality of service 3 [MQTT-3.3.1-4]"));
    }
    if qos == 0 && packet.flags & 8 != 0 {
        return Err(Fault::malformed("a publish of QoS 0 is never sent again [MQTT-3.3.1-2]"));
    }
    let mut body = Reader(packet.body);
    let topic = body.text()?;
    if topic.contains(['+', '#']) {
        return Err(Fault::new(code::TOPIC, "a topic holds no wildcard [MQTT-3.3.2-2]"));
    }
    let id = if qos > 0 { body.u16()? } else { 0 };
    if qos > 0 && id == 0 {
        return Err(Fault::new(code::PROTOCOL, "a packet id is not 0 [MQTT-2.2.1-3]"));
    }
    let (mut properties, mut expiry) = (&[][..], None);
    if version == MqttVersion::V5 {
        let length = body.varint()?;
        if length > 0 {
            properties = body.take(length)?;
            expiry = publish_properties(properties)?;
        }
    }
    if topic.is_empty() {
        let code = if version == MqttVersion::V5 { code::PROTOCOL } else { code::MALFORMED };
        return Err(Fault::new(code, "a topic has at least one character [MQTT-4.7.3-1]"));
    }
    Ok(Publish { topic, payload: body.0, qos, id, retain: packet.flags & 1 != 0, properties, expiry })
}

/// Ids of the properties of a publish (3.3.2.3).
mod property {
    pub(super) const PAYLOAD_FORMAT: u8 = 1;
    pub(super) const EXPIRY: u8 = 2;
    pub(super) const CONTENT_TYPE: u8 = 3;
    pub(super) const RESPONSE_TOPIC: u8 = 8;
    pub(super) const CORRELATION: u8 = 9;
    pub(super) const SUBSCRIPTION_ID: u8 = 11;
    pub(super) const TOPIC_ALIAS: u8 = 35;
    pub(super) const USER: u8 = 38;
}

/// One property of a publish: its id, and the expiry where it is that.
fn next_property(reader: &mut Reader<'_>) -> Result<(u8, Option<u32>), Fault> {
    let id = reader.u8()?;
    let mut expiry = None;
    match id {
        property::PAYLOAD_FORMAT => {
            if reader.u8()? > 1 {
                return Err(Fault::new(code::PROTOCOL, "the payload format is 0 or 1"));
            }
        }
        property::EXPIRY => expiry = Some(u32::from(reader.u16()?) << 16 | u32::from(reader.u16()?)),
        property::CONTENT_TYPE => drop(reader.text()?),
        property::RESPONSE_TOPIC => {
            if reader.text()?.contains(['+', '#']) {
                return Err(Fault::new(code::PROTOCOL, "a response topic holds no wildcard [MQTT-3.3.2-14]"));
            }
        }
        property::CORRELATION => drop(reader.binary()?),
        property::USER => {
            reader.text()?;
            reader.text()?;
        }
        property::TOPIC_ALIAS => {
            return Err(Fault::new(code::TOPIC_ALIAS, "the topic alias maximum is 0 [MQTT-3.3.2-9]"));
        }
        property::SUBSCRIPTION_ID => {
            return Err(Fault::new(code::PROTOCOL, "a client sends no subscription id [MQTT-3.3.4-6]"));
        }
        _ => return Err(Fault::malformed("a publish has no such property")),
    }
    Ok((id, expiry))
}

/// Checks the properties of a publish; its expiry.
fn publish_properties(bytes: &[u8]) -> Result<Option<u32>, Fault> {
    let mut reader = Reader(bytes);
    let (mut seen, mut expiry) = (0_u64, None);
    while !reader.0.is_empty() {
        let (id, this) = next_property(&mut reader)?;
        if id != property::USER && seen & 1 << id != 0 {
            return Err(Fault::new(code::PROTOCOL, "a property stands twice"));
        }
        seen |= 1 << id;
        expiry = this.or(expiry);
    }
    Ok(expiry)
}

/// The properties that go on to subscribers unaltered (3.3.2.3): all but the expiry, which is told anew.
pub(super) fn forwarded(properties: &[u8]) -> Vec<u8> {
    let mut reader = Reader(properties);
    let mut kept = Vec::with_capacity(properties.len());
    while !reader.0.is_empty() {
        let before = reader.0;
        let Ok((id, _)) = next_property(&mut reader) else { return kept };
        if id != property::EXPIRY {
            kept.extend_from_slice(before.get(..before.len() - reader.0.len()).unwrap_or_default());
        }
    }
    kept
}

/// Reads PUBACK, PUBREC, PUBREL and PUBCOMP: packet id and reason code. Their properties are not looked into.
pub(super) fn acknowledgement(version: MqttVersion, body: &[u8]) -> Result<(u16, u8), Fault> {
    let mut reader = Reader(body);
    let id = reader.u16()?;
    if id == 0 {
        return Err(Fault::new(code::PROTOCOL, "a packet id is not 0 [MQTT-2.2.1-3]"));
    }
    match version {
        MqttVersion::V3 if !reader.0.is_empty() => Err(Fault::malformed("an acknowledgement has two bytes")),
        MqttVersion::V3 => Ok((id, code::SUCCESS)),
        MqttVersion::V5 => Ok((id, if reader.0.is_empty() { code::SUCCESS } else { reader.u8()? })),
    }
}

/// Writes PUBACK, PUBREC, PUBREL or PUBCOMP; the code only where it says something.
pub(super) fn write_ack(output: &mut Vec<u8>, version: MqttVersion, kind: u8, id: u16, code: u8) {
    let flags = if kind == kind::PUBREL { 2 } else { 0 };
    let [high, low] = id.to_be_bytes();
    if version == MqttVersion::V5 && code != code::SUCCESS {
        output.extend_from_slice(&[kind << 4 | flags, 3, high, low, code]);
    } else {
        output.extend_from_slice(&[kind << 4 | flags, 2, high, low]);
    }
}

/// PINGRESP (3.13).
pub(super) const PINGRESP: [u8; 2] = [0xD0, 0];

fn write_varint(output: &mut Vec<u8>, mut value: usize) {
    loop {
        let digit = u8::try_from(value & 0x7F).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            output.push(digit);
            return;
        }
        output.push(digit | 0x80);
    }
}

fn varint_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// A publish to a subscriber.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    /// Properties that go on unaltered.
    pub(super) properties: &'a [u8],
    /// Seconds that are left.
    pub(super) expiry: Option<u32>,
    /// Packet id at QoS 1; 0 at QoS 0.
    pub(super) id: u16,
    pub(super) retain: bool,
}

impl Outgoing<'_> {
    fn properties_size(&self) -> usize {
        self.properties.len() + if self.expiry.is_some() { 5 } else { 0 }
    }

    fn body_size(&self, version: MqttVersion) -> usize {
        let properties = match version {
            MqttVersion::V3 => 0,
            MqttVersion::V5 => self.properties_size() + varint_size(self.properties_size()),
        };
        2 + self.topic.len() + if self.id > 0 { 2 } else { 0 } + properties + self.payload.len()
    }

    /// The size of the whole packet.
    pub(super) fn size(&self, version: MqttVersion) -> usize {
        let body = self.body_size(version);
        1 + varint_size(body) + body
    }

    pub(super) fn write(&self, output: &mut Vec<u8>, version: MqttVersion) {
        let qos = u8::from(self.id > 0);
        output.push(kind::PUBLISH << 4 | qos << 1 | u8::from(self.retain));
        write_varint(output, self.body_size(version));
        write_binary(output, self.topic.as_bytes());
        if self.id > 0 {
            output.extend_from_slice(&self.id.to_be_bytes());
        }
        if version == MqttVersion::V5 {
            write_varint(output, self.properties_size());
            if let Some(expiry) = self.expiry {
                output.push(property::EXPIRY);
                output.extend_from_slice(&expiry.to_be_bytes());
            }
            output.extend_from_slice(self.properties);
        }
        output.extend_from_slice(self.payload);
    }
}

/// Writes bytes behind their length; more than 65,535 are cut off, which nothing of ours reaches.
pub(super) fn write_binary(output: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(bytes.get(..length.into()).unwrap_or(bytes));
}

/// Writes a packet of this first byte.
pub(super) fn write_packet(output: &mut Vec<u8>, first: u8, body: &[u8]) {
    output.push(first);
    write_varint(output, body.len());
    output.extend_from_slice(body);
}

/// Writes properties behind their length.
pub(super) fn write_properties(output: &mut Vec<u8>, properties: &[u8]) {
    write_varint(output, properties.len());
    output.extend_from_slice(properties);
}
