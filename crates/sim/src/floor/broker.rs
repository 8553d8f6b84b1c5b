//! The broker: keeps a session for each client that has one, delivers at most once, at least once or exactly once, and
//! sends again what was not acknowledged. It writes down what it has promised to whom.

use super::{
    ledger::{Fate, Ledger},
    network::{Heard, Network},
    packets::{self, Connect, Packet, Publish},
};
use crate::chance::Chance;
use andon_model::Time;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// A property that a machine's library may add to each message: a text of its own.
const PROPERTY: &[u8] = &[0x26, 0, 1, b'k', 0, 1, b'v'];

/// How far the sending of a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not sent.
    Waiting,
    /// Sent under this packet id.
    Sent(u16),
    /// Received by the client under this packet id, and released (QoS 2).
    Released(u16),
}

/// A message on its way to a client.
#[derive(Debug)]
struct Out {
    delivery: usize,
    retained: bool,
    stage: Stage,
}

/// What is kept of a client.
#[derive(Debug)]
struct Session {
    level: u8,
    filters: Vec<(String, u8)>,
    queue: VecDeque<Out>,
    next_id: u16,
    expiry: Duration,
    window: usize,
    line: Option<u64>,
    /// When its connection ended.
    left: Duration,
    /// Deliveries of QoS 0 on this connection: whether they arrive is not known before it ends.
    loose: Vec<usize>,
    /// Packet ids of QoS 1 that were sent on this connection and not acknowledged, in their order.
    order: VecDeque<u16>,
}

/// A connection.
#[derive(Debug, Default)]
struct Peer {
    input: Vec<u8>,
    client: Option<String>,
    level: u8,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    /// What was published and delivered.
    pub ledger: Ledger,
    sessions: BTreeMap<String, Session>,
    /// Clients whose session was lost, with the filters it had: until they subscribe again they miss messages.
    forgotten: BTreeMap<String, Vec<(String, u8)>>,
    /// By topic, the message that is kept.
    retained: BTreeMap<String, usize>,
    peers: BTreeMap<u64, Peer>,
    /// Every connection there was, with its client.
    connections: Vec<(u64, String)>,
    /// The most it has under way to one client.
    window: usize,
    utc: Time,
    now: Duration,
    down: Duration,
    chance: Chance,
}

impl Broker {
    /// A broker that nobody knows yet.
    pub fn new(mut chance: Chance, utc: Time) -> Self {
        let window = *chance.one(&[1, 2, 20, 1_000]);
        Self {
            ledger: Ledger::default(),
            sessions: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            retained: BTreeMap::new(),
            peers: BTreeMap::new(),
            connections: Vec::new(),
            window,
            utc,
            now: Duration::ZERO,
            down: Duration::ZERO,
            chance,
        }
    }

    /// Time goes on; sessions whose client is away for too long are lost.
    pub fn pass(&mut self, utc: Time, now: Duration) {
        self.utc = utc;
        self.now = self.now.max(now);
        let over = |session: &Session| session.line.is_none() && self.now > session.left + session.expiry;
        let over: Vec<String> =
            self.sessions.iter().filter(|(_, session)| over(session)).map(|(client, _)| client.clone()).collect();
        for client in over {
            self.forget(&client);
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.now >= self.down
    }

    /// Takes a message of a machine; whether it did.
    pub fn publish(&mut self, message: usize, network: &mut Network) -> bool {
        if !self.is_up() {
            return false;
        }
        let Some(is) = self.ledger.messages.get(message) else { return false };
        let (topic, most, retain, empty) = (is.topic.clone(), is.qos, is.retain, is.payload.is_empty());
        let clients: Vec<(String, u8)> =
            self.sessions.iter().filter_map(|(c, s)| Some((c.clone(), wanted(&s.filters, &topic)?))).collect();
        for (client, qos) in clients {
            self.queue(&client, message, qos.min(most), false, network);
        }
        let missing: Vec<(String, u8)> =
            self.forgotten.iter().filter_map(|(c, filters)| Some((c.clone(), wanted(filters, &topic)?))).collect();
        for (client, qos) in missing {
            let delivery = self.ledger.deliver(message, &client, qos.min(most), self.utc, true);
            self.ledger.end(delivery, Fate::Lost(self.utc));
        }
        if retain && empty {
            self.retained.remove(&topic);
        } else if retain {
            self.retained.insert(topic, message);
        }
        true
    }

    fn queue(&mut self, client: &str, message: usize, qos: u8, retained: bool, network: &mut Network) {
        let away = self.sessions.get(client).is_none_or(|session| session.line.is_none());
        let delivery = self.ledger.deliver(message, client, qos, self.utc, away);
        let Some(session) = self.sessions.get_mut(client) else { return };
        if qos > 0 {
            session.queue.push_back(Out { delivery, retained, stage: Stage::Waiting });
            self.pump(client, network);
            return;
        }
        // At most once: now or never.
        match session.line {
            Some(line) => {
                let level = session.level;
                session.loose.push(delivery);
                self.send(line, level, delivery, retained, false, 0, network);
            }
            None => self.ledger.end(delivery, Fate::Lost(self.utc)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of the packet")]
    fn send(
        &mut self,
        line: u64,
        level: u8,
        delivery: usize,
        retained: bool,
        again: bool,
        id: u16,
        network: &mut Network,
    ) {
        self.ledger.sent(delivery);
        let Some(is) = self.ledger.deliveries.get(delivery) else { return };
        let Some(message) = self.ledger.messages.get(is.message) else { return };
        let properties = if self.chance.percent(20) { PROPERTY } else { &[] };
        let (topic, payload, qos) = (message.topic.as_str(), message.payload.as_slice(), is.qos);
        let publish = Publish { topic, payload, qos, retained, again, id };
        network.send(line, &packets::publish(level, publish, properties));
    }

    /// Sends what waits, as much as may be under way.
    fn pump(&mut self, client: &str, network: &mut Network) {
        loop {
            let Some(session) = self.sessions.get_mut(client) else { return };
            let Some(line) = session.line.filter(|line| network.takes(*line)) else { return };
            let under_way = session.queue.iter().filter(|out| out.stage != Stage::Waiting).count();
            if under_way >= session.window.min(self.window) {
                return;
            }
            let taken: BTreeSet<u16> = session.queue.iter().filter_map(Out::id).collect();
            let Some(out) = session.queue.iter_mut().find(|out| out.stage == Stage::Waiting) else { return };
            // Some brokers count on, others give the lowest number again that is free.
            if matches!(self.window, 1 | 20) {
                session.next_id = 0;
            }
            loop {
                session.next_id = session.next_id.checked_add(1).unwrap_or(1);
                if !taken.contains(&session.next_id) {
                    break;
                }
            }
            let id = session.next_id;
            out.stage = Stage::Sent(id);
            let (level, delivery, retained) = (session.level, out.delivery, out.retained);
            if self.ledger.deliveries.get(delivery).is_some_and(|is| is.qos == 1) {
                session.order.push_back(id);
            }
            self.send(line, level, delivery, retained, false, id, network);
        }
    }

    /// Hears what came from clients and answers; whether anything came.
    pub fn work(&mut self, network: &mut Network) -> bool {
        let mut worked = false;
        for line in network.lines() {
            if !self.is_up() {
                network.end(line);
                worked = true;
                continue;
            }
            match network.hear(line) {
                None => {}
                Some(Heard::Bytes(bytes)) => {
                    worked = true;
                    let peer = self.peers.entry(line).or_default();
                    peer.input.extend_from_slice(&bytes);
                    if let Err(complaint) = self.read(line, network) {
                        self.ledger.complaints.push(complaint);
                        self.drop_line(line, network);
                    }
                }
                Some(Heard::End) => {
                    worked = true;
                    self.drop_line(line, network);
                }
            }
        }
        for client in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.pump(&client, network);
        }
        worked
    }

    fn read(&mut self, line: u64, network: &mut Network) -> Result<(), String> {
        loop {
            let Some(peer) = self.peers.get_mut(&line) else { return Ok(()) };
            let Some(packet) = packets::take(&mut peer.input, peer.level)? else { return Ok(()) };
            match (packet, peer.client.clone()) {
                (Packet::Connect(connect), None) => self.connect(line, connect, network),
                (Packet::Connect(_), Some(client)) => return Err(format!("{client} connects twice")),
                (other, None) => return Err(format!("before it connects, a client says {other:?}")),
                (Packet::Disconnect, Some(_)) => self.drop_line(line, network),
                (packet, Some(client)) => self.packet(line, &client, packet, network)?,
            }
        }
    }

    fn connect(&mut self, line: u64, connect: Connect, network: &mut Network) {
        let Connect { level, client, clean, expiry, window } = connect;
        if let Some(other) = self.sessions.get(&client).and_then(|session| session.line) {
            self.drop_line(other, network);
        }
        if clean {
            self.forget(&client);
        }
        let present = self.sessions.contains_key(&client);
        let session = self.sessions.entry(client.clone()).or_insert_with(|| Session {
            level,
            filters: Vec::new(),
            queue: VecDeque::new(),
            next_id: 0,
            expiry: Duration::ZERO,
            window: 1,
            line: None,
            left: Duration::ZERO,
            loose: Vec::new(),
            order: VecDeque::new(),
        });
        session.level = level;
        session.line = Some(line);
        session.window = window.into();
        session.expiry = Duration::from_secs(expiry.into());
        session.order.clear();
        for out in &session.queue {
            self.ledger.met(out.delivery, self.utc);
        }
        self.connections.push((line, client.clone()));
        if let Some(peer) = self.peers.get_mut(&line) {
            peer.client = Some(client.clone());
            peer.level = level;
        }
        network.send(line, &packets::connack(level, present, 0));
        self.resend(line, &client, network);
        self.pump(&client, network);
    }

    /// What was under way on an earlier connection is sent again, in its order.
    fn resend(&mut self, line: u64, client: &str, network: &mut Network) {
        let Some(session) = self.sessions.get(client) else { return };
        let level = session.level;
        let again: Vec<(usize, bool, Stage)> =
            session.queue.iter().map(|out| (out.delivery, out.retained, out.stage)).collect();
        for (delivery, retained, stage) in again {
            match stage {
                Stage::Waiting => {}
                Stage::Released(id) => network.send(line, &packets::pubrel(id)),
                Stage::Sent(id) => {
                    let at_least_once = self.ledger.deliveries.get(delivery).is_some_and(|is| is.qos == 1);
                    if let Some(session) = self.sessions.get_mut(client).filter(|_| at_least_once) {
                        session.order.push_back(id);
                    }
                    self.send(line, level, delivery, retained, true, id, network);
                }
            }
        }
    }

    fn packet(&mut self, line: u64, client: &str, packet: Packet, network: &mut Network) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(client) else { return Ok(()) };
        let level = session.level;
        match packet {
            Packet::Puback(id) => {
                let first = session.order.pop_front();
                if first != Some(id) {
                    return Err(format!("{client} acknowledges {id}, and {first:?} is the first that it has to"));
                }
                self.acknowledged(client, id, 1)?;
            }
            Packet::Pubrec(id) => {
                self.acknowledged(client, id, 2)?;
                network.send(line, &packets::pubrel(id));
            }
            Packet::Pubcomp(id) => session.queue.retain(|out| out.stage != Stage::Released(id)),
            Packet::Subscribe(id, filters) => {
                let codes: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
                network.send(line, &packets::suback(level, id, &codes));
                self.subscribe(client, filters, network);
            }
            Packet::Unsubscribe(id, filters) => {
                session.filters.retain(|(filter, _)| !filters.contains(filter));
                network.send(line, &packets::unsuback(level, id, filters.len()));
            }
            Packet::Ping => network.send(line, &packets::pong()),
            Packet::Connect(_) | Packet::Disconnect => {}
        }
        self.pump(client, network);
        Ok(())
    }

    /// The client has taken a message: at QoS 1 that is all, at QoS 2 it is released and completed.
    fn acknowledged(&mut self, client: &str, id: u16, qos: u8) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(client) else { return Ok(()) };
        let ledger = &mut self.ledger;
        let at = session.queue.iter().position(|out| out.id() == Some(id));
        let is = at.and_then(|at| Some((at, session.queue.get_mut(at)?)));
        let Some((at, out)) = is else { return Err(format!("{client} acknowledges {id}, which is not under way")) };
        if ledger.deliveries.get(out.delivery).map(|is| is.qos) != Some(qos) {
            return Err(format!("{client} acknowledges {id} as if it were of QoS {qos}"));
        }
        ledger.end(out.delivery, Fate::Acknowledged);
        if qos == 2 {
            out.stage = Stage::Released(id);
        } else {
            session.queue.remove(at);
        }
        Ok(())
    }

    fn subscribe(&mut self, client: &str, filters: Vec<(String, u8)>, network: &mut Network) {
        self.forgotten.remove(client);
        let Some(session) = self.sessions.get_mut(client) else { return };
        let mut new = Vec::new();
        for (filter, qos) in filters {
            if let Some((_, known)) = session.filters.iter_mut().find(|(known, _)| *known == filter) {
                *known = qos;
            } else {
                session.filters.push((filter.clone(), qos));
                new.push((filter, qos));
            }
        }
        // What is kept comes once for a new subscription, as it is asked for.
        let kept: Vec<(usize, u8)> =
            self.retained.iter().filter_map(|(topic, message)| Some((*message, wanted(&new, topic)?))).collect();
        for (message, qos) in kept {
            let most = self.ledger.messages.get(message).map_or(0, |is| is.qos);
            self.queue(client, message, qos.min(most), true, network);
        }
    }

    fn drop_line(&mut self, line: u64, network: &mut Network) {
        network.end(line);
        let Some(Peer { client: Some(client), .. }) = self.peers.remove(&line) else { return };
        if let Some(session) = self.sessions.get_mut(&client)
            && session.line == Some(line)
        {
            session.leave(self.now, self.utc, &mut self.ledger);
        }
    }

    /// The broker ends and starts again so much later. Its sessions are on its disk, or are lost.
    pub fn restart(&mut self, after: Duration, loses_sessions: bool, network: &mut Network) {
        network.break_all();
        self.peers.clear();
        self.down = self.now + after;
        for session in self.sessions.values_mut() {
            if session.line.is_some() {
                session.leave(self.now, self.utc, &mut self.ledger);
            }
        }
        if loses_sessions {
            for client in self.sessions.keys().cloned().collect::<Vec<_>>() {
                self.forget(&client);
            }
        }
    }

    /// The session of a client is lost, with all that waits in it.
    pub fn forget(&mut self, client: &str) {
        let Some(session) = self.sessions.remove(client) else { return };
        for out in session.queue {
            let waits = self.ledger.deliveries.get(out.delivery).is_some_and(|is| is.fate == Fate::Waiting);
            if waits {
                self.ledger.end(out.delivery, Fate::Lost(self.utc));
            }
        }
        if !session.filters.is_empty() {
            self.forgotten.insert(client.to_owned(), session.filters);
        }
    }

    /// The longest that what a client heard last on a connection had been on its way.
    pub fn took(&self, client: &str, network: &Network) -> Duration {
        let lines = self.connections.iter().filter(|(_, of)| of == client);
        lines.filter_map(|(line, _)| network.took(*line)).max().unwrap_or_default()
    }

    /// It runs from now on.
    pub fn heal(&mut self) {
        self.down = Duration::ZERO;
    }

    /// When it runs again, where it does not.
    pub fn next(&self) -> Option<Duration> {
        (!self.is_up()).then_some(self.down)
    }

    /// Whether nothing waits for a client.
    pub fn is_empty(&self) -> bool {
        self.sessions.values().all(|session| session.queue.is_empty())
    }
}

impl Session {
    /// Its connection has ended.
    fn leave(&mut self, now: Duration, utc: Time, ledger: &mut Ledger) {
        self.line = None;
        self.left = now;
        for delivery in self.loose.drain(..) {
            ledger.end(delivery, Fate::Lost(utc));
        }
    }
}

impl Out {
    fn id(&self) -> Option<u16> {
        match self.stage {
            Stage::Waiting => None,
            Stage::Sent(id) | Stage::Released(id) => Some(id),
        }
    }
}

/// The highest quality of service with which somebody with these filters gets a topic.
fn wanted(filters: &[(String, u8)], topic: &str) -> Option<u8> {
    filters.iter().filter(|(filter, _)| matches(filter, topic)).map(|(_, qos)| *qos).max()
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(want), Some(is)) if want == is => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn filters_match_as_the_standard_says() {
        assert!(matches("plant/+/speed", "plant/press-01/speed") && matches("plant/#", "plant") && matches("#", "a/b"));
        assert!(!matches("plant/+", "plant/press-01/speed") && !matches("plant/+/speed", "plant/press-01"));
    }
}
