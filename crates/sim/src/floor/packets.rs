//! MQTT 3.1.1 and 5 as the broker of the simulation reads and writes it. Written from the standard, with nothing of
//! what it is spoken with.

/// Packets of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// It wants in.
    Connect(Connect),
    /// It has taken a message for good (QoS 1).
    Puback(u16),
    /// It has taken a message and waits for its release (QoS 2).
    Pubrec(u16),
    /// It has forgotten a released message (QoS 2).
    Pubcomp(u16),
    /// It wants messages: filters with the quality of service asked for.
    Subscribe(u16, Vec<(String, u8)>),
    /// It wants no more of these.
    Unsubscribe(u16, Vec<String>),
    /// It wants to hear that we are here.
    Ping,
    /// It leaves.
    Disconnect,
}

/// How a client comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// 4 is MQTT 3.1.1, 5 is 5.
    pub level: u8,
    /// Its id.
    pub client: String,
    /// It wants nothing of what was before.
    pub clean: bool,
    /// Seconds for which its session is kept while it is away; 3.1.1 has no end.
    pub expiry: u32,
    /// Messages without acknowledgement that it takes at once.
    pub window: u16,
}

/// A message on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// The quality of service.
    pub qos: u8,
    /// Kept from before.
    pub retained: bool,
    /// Sent before.
    pub again: bool,
    /// Its number, above QoS 0.
    pub id: u16,
}

/// Takes one packet off the front of the bytes of a client; `None`: more bytes are needed.
pub fn take(bytes: &mut Vec<u8>, level: u8) -> Result<Option<Packet>, String> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, digits)) = number(rest)? else { return Ok(None) };
    let Some(body) = rest.get(digits..digits + length) else { return Ok(None) };
    let packet = read(*first, body, level).ok_or_else(|| format!("a packet that is none: {first:#04x} {body:02x?}"))?;
    bytes.drain(..=digits + length);
    Ok(Some(packet))
}

fn number(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err("a length that does not end".to_owned()) }
}

fn read(first: u8, body: &[u8], level: u8) -> Option<Packet> {
    let mut body = Body(body);
    match (first >> 4, first & 0x0F) {
        (1, 0) => connect(&mut body).map(Packet::Connect),
        (4, 0) => body.short().map(Packet::Puback),
        (5, 0) => body.short().map(Packet::Pubrec),
        (7, 0) => body.short().map(Packet::Pubcomp),
        (8, 2) => {
            let id = body.short()?;
            body.properties(level)?;
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                let filter = body.text()?;
                filters.push((filter, body.byte()? & 3));
            }
            (!filters.is_empty()).then_some(Packet::Subscribe(id, filters))
        }
        (10, 2) => {
            let id = body.short()?;
            body.properties(level)?;
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push(body.text()?);
            }
            (!filters.is_empty()).then_some(Packet::Unsubscribe(id, filters))
        }
        (12, 0) => body.0.is_empty().then_some(Packet::Ping),
        (14, 0) => Some(Packet::Disconnect),
        _ => None,
    }
}

fn connect(body: &mut Body<'_>) -> Option<Connect> {
    if body.text()? != "MQTT" {
        return None;
    }
    let level = body.byte().filter(|level| matches!(level, 4 | 5))?;
    let flags = body.byte()?;
    let _keep_alive = body.short()?;
    let (mut expiry, mut window) = (if level == 4 { u32::MAX } else { 0 }, u16::MAX);
    let mut properties = Body(body.properties(level)?);
    while let Some(property) = properties.byte() {
        match property {
            0x11 => expiry = properties.long()?,
            0x21 => window = properties.short()?,
            0x27 => drop(properties.long()?),
            _ => return None,
        }
    }
    let client = body.text()?;
    // A will is nothing that a source has.
    if flags & 0x04 != 0 {
        return None;
    }
    Some(Connect { level, client, clean: flags & 2 != 0, expiry, window })
}

/// The body of a packet, shortened by what was read.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.short()?;
        String::from_utf8(self.bytes(length.into())?.to_vec()).ok()
    }

    fn properties(&mut self, level: u8) -> Option<&'a [u8]> {
        if level == 4 {
            return Some(&[]);
        }
        let (length, digits) = number(self.0).ok()??;
        self.bytes(digits)?;
        self.bytes(length)
    }
}

/// The answer to a connect; a code that is not 0 refuses.
pub fn connack(level: u8, session_present: bool, code: u8) -> Vec<u8> {
    let mut body = vec![u8::from(session_present && code == 0), code];
    if level == 5 {
        body.push(0);
    }
    packet(0x20, &body)
}

/// The answer to a subscription.
pub fn suback(level: u8, id: u16, codes: &[u8]) -> Vec<u8> {
    packet(0x90, &with_id(level, id, codes))
}

/// The answer to the end of subscriptions.
pub fn unsuback(level: u8, id: u16, count: usize) -> Vec<u8> {
    let codes = if level == 5 { vec![0; count] } else { Vec::new() };
    packet(0xB0, &with_id(level, id, &codes))
}

fn with_id(level: u8, id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if level == 5 {
        body.push(0);
    }
    body.extend_from_slice(codes);
    body
}

/// The release of a message (QoS 2).
pub fn pubrel(id: u16) -> Vec<u8> {
    packet(0x62, &id.to_be_bytes())
}

/// The answer to a ping.
pub fn pong() -> Vec<u8> {
    packet(0xD0, &[])
}

/// A message, with properties as they are written.
pub fn publish(level: u8, message: Publish<'_>, properties: &[u8]) -> Vec<u8> {
    let Publish { topic, payload, qos, retained, again, id } = message;
    let mut body = u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    if level == 5 {
        length(&mut body, properties.len());
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(payload);
    packet(0x30 | u8::from(again) << 3 | qos << 1 | u8::from(retained), &body)
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    length(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn length(into: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let digit = u8::try_from(rest & 0x7F).unwrap_or(0);
        rest >>= 7;
        into.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_whole_and_one_at_a_time() {
        let mut bytes = vec![0x40, 2, 0, 7, 0xC0, 0, 0x82, 8, 0, 1, 0, 0, 2, b'a'];
        assert_eq!(take(&mut bytes, 5), Ok(Some(Packet::Puback(7))));
        assert_eq!(take(&mut bytes, 5), Ok(Some(Packet::Ping)));
        assert_eq!(take(&mut bytes, 5), Ok(None));
        bytes.extend([b'#', 2]);
        assert_eq!(take(&mut bytes, 5), Ok(Some(Packet::Subscribe(1, vec![("a#".into(), 2)]))));
        assert_eq!(take(&mut bytes, 5), Ok(None));
        assert!(take(&mut vec![0x40, 1, 0], 5).is_err());
    }

    #[test]
    fn lengths_are_written_in_sevens() {
        let message = Publish { topic: "t", payload: &[7; 200], qos: 1, retained: true, again: true, id: 3 };
        let bytes = publish(5, message, &[]);
        assert_eq!(bytes.get(..9), Some(&[0x3B, 0xCE, 0x01, 0, 1, b't', 0, 3, 0][..]));
        assert_eq!(bytes.len(), 3 + 206);
    }
}
