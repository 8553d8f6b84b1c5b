//! A small MQTT 3.1.1 client of our own, so that what a machine knows is not known by the product's code.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection, its CONNACK and a write may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an empty inbox is waited at.
const REST: Duration = Duration::from_millis(5);

/// A connection to a broker or to the product's listener.
pub(super) struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
}

/// What the other side says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// PUBACK of this packet.
    Acknowledged(u16),
    /// A message: packet identifier (zero at QoS 0), topic, payload.
    Message(u16, String, Vec<u8>),
    /// Anything else.
    Other,
}

impl Connection {
    /// Connects; `clean` begins a session anew.
    pub(super) fn open(port: u16, id: &str, clean: bool) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, inbox: Vec::new() };
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.extend([if clean { 2 } else { 0 }, 0, 30]);
        text(&mut body, id);
        connection.send(0x10, &body)?;
        let mut answer = [0; 4];
        connection.stream.read_exact(&mut answer)?;
        if !matches!(answer, [0x20, 2, _, 0]) {
            return Err(io::Error::other(format!("CONNECT was answered with {answer:02x?}")));
        }
        connection.stream.set_read_timeout(Some(REST))?;
        Ok(connection)
    }

    /// Sends a message at QoS 1.
    pub(super) fn publish(&mut self, id: u16, topic: &str, payload: &[u8], retain: bool) -> io::Result<()> {
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend(id.to_be_bytes());
        body.extend(payload);
        self.send(0x32 | u8::from(retain), &body)
    }

    /// Subscribes at QoS 1.
    pub(super) fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let mut body = vec![0, 1];
        text(&mut body, filter);
        body.push(1);
        self.send(0x82, &body)
    }

    /// Acknowledges a message.
    pub(super) fn acknowledge(&mut self, id: u16) -> io::Result<()> {
        self.send(0x40, &id.to_be_bytes())
    }

    /// Says that we are still here.
    pub(super) fn ping(&mut self) -> io::Result<()> {
        self.send(0xC0, &[])
    }

    /// What has come, after a short rest when nothing has.
    pub(super) fn read(&mut self) -> io::Result<Vec<Said>> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.inbox.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let (mut said, mut used) = (Vec::new(), 0);
        while let Some((packet, length)) = self.inbox.get(used..).and_then(packet) {
            said.push(packet);
            used += length;
        }
        self.inbox.drain(..used);
        Ok(said)
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            let digit = u8::try_from(length & 127).unwrap_or(0);
            length >>= 7;
            packet.push(if length > 0 { digit | 128 } else { digit });
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream.write_all(&packet)
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The first packet and how many bytes it takes, once it is there as a whole.
fn packet(bytes: &[u8]) -> Option<(Said, usize)> {
    let kind = *bytes.first()?;
    let (mut length, mut at) = (0, 1);
    loop {
        let digit = *bytes.get(at)?;
        length |= usize::from(digit & 127) << (7 * (at - 1));
        at += 1;
        if digit & 128 == 0 {
            break;
        }
    }
    let body = bytes.get(at..at + length)?;
    let number = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let said = match kind >> 4 {
        4 => Said::Acknowledged(number(0)?),
        3 => {
            let topic = usize::from(number(0)?);
            let id = if kind & 6 == 0 { 0 } else { number(2 + topic)? };
            let payload = body.get(2 + topic + if kind & 6 == 0 { 0 } else { 2 }..)?;
            Said::Message(id, String::from_utf8_lossy(body.get(2..2 + topic)?).into_owned(), payload.to_vec())
        }
        _ => Said::Other,
    };
    Some((said, at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_once_they_are_whole() {
        let message = [0x32, 9, 0, 3, b'a', b'/', b'b', 0, 7, b'h', b'i', 0x40, 2, 1, 2];
        assert_eq!(packet(&message[..10]), None);
        assert_eq!(packet(&message), Some((Said::Message(7, "a/b".into(), b"hi".to_vec()), 11)));
        assert_eq!(packet(&message[11..]), Some((Said::Acknowledged(258), 4)));
        assert_eq!(packet(&[0xD0, 0]), Some((Said::Other, 2)));
    }
}
