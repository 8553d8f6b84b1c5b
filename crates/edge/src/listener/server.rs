//! The thread of a listener: takes connections, reads them, sends groups to the disk, acknowledges what is durable
//! and delivers to subscribers. It blocks while nothing happens, and while much happens it looks once a millisecond.

use super::{
    connection::Connection,
    core::{Core, Peer},
    handle::Shared,
    intake::{Landed, Post},
    poll::{Poller, Ready, Room},
    session::{Now, PACKET_MAX, Session},
    socket::{Got, Socket},
    subscriptions::{ClientNo, Match},
    wire::code,
};
use crate::{
    given::{Clock, Env},
    mqtt::{
        Ended,
        transport::{PACE, PACED_FOR, READ_BUFFER},
    },
    tls,
};
use andon_contract::contract::{Listener, MqttVersion};
use andon_store::StoreError;
use rustls::ServerConfig;
use std::{
    collections::HashMap,
    mem,
    net::TcpListener,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

/// How long a client may take from its connection to its CONNECT.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a client may surely take to its CONNECT, also when others wait for its place.
pub const CONNECT_MIN: Duration = Duration::from_secs(1);
/// How long a client that takes nothing of what is sent to it is borne with.
pub const TAKES_NOTHING_MAX: Duration = Duration::from_secs(30);
/// Connections beyond the limit that are heard, so that they are told why they cannot stay.
const SPARE_CONNECTIONS: usize = 16;
/// How long a goodbye waits for the other side.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// How often deadlines are looked at.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// How long nobody is taken in after the operating system could not give a socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a certificate is believed to be the one in its file.
const RELOAD_TLS: Duration = Duration::from_mins(1);
/// How long a stop waits for what is under way.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Reads of one socket at once.
const READS_AT_ONCE: usize = 4;
/// The token of the listening socket.
const ACCEPT: u64 = 1;
/// The first number of a client.
const FIRST_CLIENT: ClientNo = 2;

/// The thread of a listener.
pub(super) struct Server {
    pub(super) settings: Listener,
    pub(super) listener: TcpListener,
    pub(super) poller: Poller,
    pub(super) core: Core,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) env: Env,
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<(Arc<ServerConfig>, Duration)>,
    connections: HashMap<ClientNo, Connection, ahash::RandomState>,
    /// Connections with something to send, or whose input waits.
    dirty: Vec<ClientNo>,
    held: Vec<ClientNo>,
    last_client: ClientNo,
    buffer: Box<[u8]>,
    heard: Duration,
    swept: Duration,
    /// Nobody is taken in until then.
    deaf: Option<Duration>,
}

/// What a server is made of.
pub(super) struct Parts {
    pub(super) settings: Listener,
    pub(super) listener: TcpListener,
    pub(super) poller: Poller,
    pub(super) core: Core,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) env: Env,
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<(Arc<ServerConfig>, Duration)>,
}

impl Server {
    pub(super) fn new(parts: Parts) -> std::io::Result<Self> {
        let Parts { settings, listener, poller, core, clock, env, shared, tls } = parts;
        listener.set_nonblocking(true)?;
        poller.add(&listener, ACCEPT)?;
        Ok(Self {
            settings,
            listener,
            poller,
            core,
            clock,
            env,
            shared,
            tls,
            connections: HashMap::default(),
            dirty: Vec::new(),
            held: Vec::new(),
            last_client: FIRST_CLIENT,
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            heard: Duration::ZERO,
            swept: Duration::ZERO,
            deaf: None,
        })
    }

    pub(super) fn run(mut self) {
        let (mut room, mut ready) = (Room::new(), Vec::new());
        while !self.shared.stopped() {
            self.turn(&mut room, &mut ready);
        }
        self.finish(&mut room);
    }

    fn now(&self) -> Now {
        Now { utc: self.clock.now(), monotonic: self.clock.monotonic() }
    }

    fn turn(&mut self, room: &mut Room, ready: &mut Vec<Ready>) {
        let now = self.now();
        self.land(now);
        self.deliver_inbox(now);
        let reading = !self.is_held_up();
        if reading {
            for client in mem::take(&mut self.held) {
                self.hear(client, now);
            }
        }
        for which in mem::take(ready) {
            match which.token {
                ACCEPT => self.accept(now),
                client => {
                    if which.writable {
                        self.dirty.push(client);
                    }
                    if which.broken {
                        // The system tells it until it is read, which may not be for a while: no turn follows at once.
                        self.heard = now.monotonic;
                    }
                    if which.readable && reading {
                        self.read(client, now);
                    }
                }
            }
        }
        self.kick(now);
        self.sweep(now);
        self.send(now, false);
        // Before anybody is told that he has subscribed, so that he misses nothing from then on.
        self.shared.subscribed.store(!self.core.subscriptions.is_empty(), Ordering::Release);
        self.flush(now);
        self.pause(room, ready);
    }

    /// Whether nothing is read, because the disk has enough to do.
    fn is_held_up(&self) -> bool {
        self.core.intake.is_full()
    }

    /// Sends the group on its way.
    fn send(&mut self, now: Now, hurry: bool) {
        let result = self.core.intake.send(now.monotonic, hurry, &self.shared);
        self.told(result.err());
    }

    /// Says why nothing is acknowledged at present, or that all is well.
    fn told(&self, error: Option<StoreError>) {
        if let Some(error) = error {
            let reason = error.to_string();
            self.shared.status(|status| {
                if status.reason != reason {
                    tracing::warn!(%error, "the listener acknowledges nothing until the disk takes data again");
                    status.reason = reason;
                }
            });
        }
    }

    /// Acknowledges and delivers what is durable now.
    fn land(&mut self, now: Now) {
        let (landed, error) = self.core.intake.landed(now.monotonic, &self.shared);
        if error.is_none() && !landed.is_empty() {
            self.shared.status(|status| {
                if !status.reason.is_empty() {
                    tracing::info!("the disk takes data again");
                    status.reason.clear();
                }
            });
        }
        self.told(error);
        for Landed { acks, posts } in landed {
            for of in acks {
                let Some(connection) = self.connections.get_mut(&of.client) else { continue };
                for (ack, code) in of.list {
                    let refused = code >= code::FAILURE;
                    let silent = ack.is_none() || connection.session.version() == MqttVersion::V3;
                    match ack {
                        _ if refused && silent => connection.session.end(code, Core::why(code)),
                        Some(ack) => connection.session.acknowledge(ack, code),
                        None => {}
                    }
                }
                self.dirty.push(of.client);
                self.held.push(of.client);
            }
            for post in posts {
                self.deliver(post, now);
            }
        }
    }

    /// Takes messages of the instance itself; retained ones go by the disk.
    fn deliver_inbox(&mut self, now: Now) {
        for published in self.shared.take_inbox() {
            if let Some(post) = self.core.published(published) {
                self.deliver(post, now);
            }
        }
    }

    fn deliver(&mut self, post: Post, now: Now) {
        let mut found: Vec<Match> = Vec::new();
        self.core.subscriptions.matches(&post.message.topic, post.from, &mut found);
        for wanted in found {
            let Some(connection) = self.connections.get_mut(&wanted.client) else { continue };
            if !connection.peer.rights.sees(post.site) {
                continue;
            }
            let retain = post.retain && wanted.retain_as_published;
            if connection.session.deliver(&post.message, post.qos.min(wanted.qos), retain, now) {
                self.dirty.push(wanted.client);
            } else {
                let why = "more messages wait than the listener keeps for a client";
                tracing::warn!(client = %connection.peer, "a subscriber is too slow and is disconnected: {why}");
                self.shared.status(|status| *status.refused.entry(code::QUOTA).or_default() += 1);
                connection.session.end(code::QUOTA, why);
                self.dirty.push(wanted.client);
            }
        }
        if post.retain {
            self.core.keep(post);
        }
    }

    fn accept(&mut self, now: Now) {
        loop {
            let (stream, peer) = match self.listener.accept() {
                Ok(both) => both,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    tracing::warn!(%error, "no client can be taken in for a moment");
                    self.deaf = Some(now.monotonic + ACCEPT_PAUSE);
                    self.poller.remove(&self.listener);
                    return;
                }
            };
            if self.connections.len() >= self.settings.connections + SPARE_CONNECTIONS && !self.make_room(now) {
                self.core.count(code::BUSY);
                continue;
            }
            self.reload(now);
            let tls = self.tls.as_ref().map(|(config, _)| config);
            let Ok(socket) = Socket::new(stream, tls, peer.to_string()) else { continue };
            self.last_client += 1;
            let client = self.last_client;
            if self.poller.add(&socket, client).is_err() {
                continue;
            }
            let connection = Connection {
                session: Session::new(self.core.limits(), now),
                peer: Peer::new(client, socket.peer()),
                socket,
                since: now.monotonic,
                pending: Vec::new(),
                interest: (true, false),
                stuck: None,
                closing: None,
            };
            self.connections.insert(client, connection);
        }
    }

    /// Gives up the connection that has kept its CONNECT back the longest, so that those who say nothing keep nobody
    /// out; false where there is none that had time to say something.
    fn make_room(&mut self, now: Now) -> bool {
        let silent = self.connections.iter().filter(|(_, c)| !c.session.is_open() && c.closing.is_none());
        let late = silent.filter(|(_, c)| now.monotonic >= c.since + CONNECT_MIN);
        let Some(oldest) = late.min_by_key(|(_, c)| c.since).map(|(client, _)| *client) else { return false };
        self.core.count(code::BUSY);
        self.drop_connection(oldest, "no CONNECT came, and others wait for the place", now);
        true
    }

    /// Reads the certificate again, so that a renewed one needs no new start.
    fn reload(&mut self, now: Now) {
        let (Some((config, read)), Some(settings)) = (&mut self.tls, &self.settings.tls) else { return };
        if now.monotonic.saturating_sub(*read) < RELOAD_TLS {
            return;
        }
        *read = now.monotonic;
        match tls::server(settings, &self.env) {
            Ok(new) => *config = new,
            Err(ended) => {
                tracing::warn!(reason = %ended, "the listener goes on with the certificate it has read before");
            }
        }
    }

    /// Reads what is there.
    fn read(&mut self, client: ClientNo, now: Now) {
        let Some(mut connection) = self.connections.remove(&client) else { return };
        let mut buffer = mem::take(&mut self.buffer);
        let mut end = None;
        for _ in 0..READS_AT_ONCE {
            let has_room = connection.session.is_reading() && connection.pending.len() <= PACKET_MAX;
            if connection.closing.is_none() && (!has_room || self.core.intake.is_full()) {
                self.held.push(client);
                break;
            }
            match connection.socket.read(&mut buffer) {
                Ok(Got::Bytes(count)) => {
                    self.heard = now.monotonic;
                    if connection.closing.is_some() {
                        continue;
                    }
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.core.heard(&mut connection, bytes, now);
                    if count < buffer.len() && !connection.socket.is_tls() {
                        break;
                    }
                }
                Ok(Got::Nothing) => break,
                Ok(Got::End) => {
                    end = Some(Ended::new("the client closed the connection without a goodbye", ""));
                    break;
                }
                Err(ended) => {
                    end = Some(ended);
                    break;
                }
            }
        }
        self.buffer = buffer;
        self.dirty.push(client);
        if !connection.pending.is_empty() {
            self.held.push(client);
        }
        self.connections.insert(client, connection);
        if let Some(ended) = end {
            self.drop_connection(client, &ended.reason, now);
        }
    }

    /// Goes on with bytes that were not taken before.
    fn hear(&mut self, client: ClientNo, now: Now) {
        let Some(mut connection) = self.connections.remove(&client) else { return };
        if connection.closing.is_none() && !connection.pending.is_empty() {
            self.core.heard(&mut connection, &[], now);
            self.dirty.push(client);
        }
        let held = !connection.pending.is_empty() && connection.session.is_reading() && self.core.intake.is_full();
        if held {
            self.held.push(client);
        }
        self.connections.insert(client, connection);
    }

    /// Ends connections whose client id came again.
    fn kick(&mut self, now: Now) {
        for client in mem::take(&mut self.core.kicks) {
            if let Some(connection) = self.connections.get_mut(&client) {
                tracing::info!(client = %connection.peer, "another connection came with the same client id");
                connection.session.end(code::TAKEN_OVER, Core::why(code::TAKEN_OVER));
                self.dirty.push(client);
                self.leave(client, now);
            }
        }
    }

    /// Deadlines.
    fn sweep(&mut self, now: Now) {
        if self.deaf.is_some_and(|until| now.monotonic >= until) {
            self.deaf = None;
            if let Err(error) = self.poller.add(&self.listener, ACCEPT) {
                tracing::warn!(%error, "no client can be taken in for a moment");
                self.deaf = Some(now.monotonic + ACCEPT_PAUSE);
            }
        }
        if now.monotonic.saturating_sub(self.swept) < SWEEP_EVERY {
            return;
        }
        self.swept = now.monotonic;
        let held_up = self.is_held_up();
        let mut gone = Vec::new();
        for (client, connection) in &mut self.connections {
            if let Some((until, _)) = connection.closing {
                if now.monotonic >= until {
                    gone.push((*client, "closed"));
                }
            } else if connection.stuck.is_some_and(|since| now.monotonic >= since + TAKES_NOTHING_MAX) {
                gone.push((*client, "the client takes nothing of what is sent to it"));
            } else if !connection.session.is_open() && held_up {
                // It may have said what nobody reads at present.
                connection.since = now.monotonic;
            } else if !connection.session.is_open() && now.monotonic >= connection.since + CONNECT_MAX {
                gone.push((*client, "no CONNECT came in time"));
            } else if held_up || (connection.session.is_open() && !connection.session.is_reading()) {
                connection.session.excuse(now);
            } else if connection.session.is_open() && now.monotonic >= connection.session.deadline() {
                tracing::info!(client = %connection.peer, "nothing was heard for one and a half times the keep-alive");
                connection.session.end(code::KEEP_ALIVE, Core::why(code::KEEP_ALIVE));
                self.dirty.push(*client);
            }
        }
        for (client, why) in gone {
            self.drop_connection(client, why, now);
        }
        self.shared.status(|status| {
            status.connections = self.connections.values().filter(|c| c.session.is_open()).count();
            for (code, count) in mem::take(&mut self.core.refused) {
                *status.refused.entry(code).or_default() += count;
            }
        });
    }

    /// Sends what is to be sent; what is over is closed then.
    fn flush(&mut self, now: Now) {
        let mut dirty = mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for client in dirty {
            let Some(connection) = self.connections.get_mut(&client) else { continue };
            let written = loop {
                let before = connection.session.output().len();
                match connection.socket.write(connection.session.output()) {
                    Ok(true) => {
                        connection.session.pump(now);
                        if connection.session.output().is_empty() {
                            connection.stuck = None;
                            break Ok(true);
                        }
                    }
                    Ok(false) => {
                        if connection.session.output().len() < before {
                            connection.stuck = None;
                        }
                        connection.stuck.get_or_insert(now.monotonic);
                        break Ok(false);
                    }
                    Err(ended) => break Err(ended),
                }
            };
            match written {
                Err(ended) => self.drop_connection(client, &ended.reason, now),
                Ok(all) => {
                    let over = connection.session.is_over();
                    let write = !all || connection.socket.wants_write();
                    let read = over || connection.session.is_reading();
                    if connection.interest != (read, write) {
                        connection.interest = (read, write);
                        if let Err(error) = self.poller.set(&connection.socket, client, read, write) {
                            tracing::warn!(%error, "a socket cannot be waited for");
                        }
                    }
                    if over {
                        self.leave(client, now);
                    } else if read && !connection.pending.is_empty() {
                        self.held.push(client);
                    }
                }
            }
        }
    }

    /// Begins to close a connection that is over: its will is published, its subscriptions end, and what was said is
    /// given time to be read, for closing a socket with unread bytes throws away what was sent.
    fn leave(&mut self, client: ClientNo, now: Now) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if connection.closing.is_none() {
            connection.closing = Some((now.monotonic + GOODBYE_MAX, false));
            connection.pending = Vec::new();
            self.core.gone(connection, now);
        }
        let said = connection.session.output().is_empty() && !connection.socket.wants_write();
        if let Some((_, shut @ false)) = &mut connection.closing
            && said
        {
            *shut = true;
            connection.socket.shut();
        }
    }

    /// Ends a connection at once.
    fn drop_connection(&mut self, client: ClientNo, why: &str, now: Now) {
        let Some(mut connection) = self.connections.remove(&client) else { return };
        self.poller.remove(&connection.socket);
        if connection.closing.is_none() {
            tracing::info!(client = %connection.peer, "{why}");
            connection.session.cut();
            self.core.gone(&mut connection, now);
        }
    }

    /// Leaves the sockets alone for a moment while much happens, and blocks while nothing does.
    fn pause(&mut self, room: &mut Room, ready: &mut Vec<Ready>) {
        let now = self.clock.monotonic();
        let held_up = self.is_held_up();
        let busy = now.saturating_sub(self.heard) < PACED_FOR;
        if busy || held_up {
            thread::sleep(if self.core.intake.is_stalled() { PACE * 20 } else { PACE });
        }
        let timeout = if busy || held_up {
            Duration::ZERO
        } else {
            let due = self.core.intake.due().map(|at| at.saturating_sub(now));
            due.unwrap_or(SWEEP_EVERY).min(SWEEP_EVERY)
        };
        let poller = &self.poller;
        let mut failed = None;
        self.shared.block(|nothing| {
            let timeout = if nothing { timeout } else { Duration::ZERO };
            failed = poller.wait(Some(timeout), room, ready).err();
        });
        if let Some(error) = failed {
            tracing::error!(%error, "the sockets of a listener cannot be waited for");
            thread::sleep(ACCEPT_PAUSE);
        }
    }

    /// Makes durable what was received, acknowledges it, and says goodbye to everybody.
    fn finish(mut self, room: &mut Room) {
        let until = self.clock.monotonic() + STOP_MAX;
        self.poller.remove(&self.listener);
        while !self.core.intake.is_empty() && self.clock.monotonic() < until {
            let now = self.now();
            self.send(now, true);
            self.land(now);
            self.flush(now);
            thread::sleep(PACE);
        }
        for (client, connection) in &mut self.connections {
            drop(connection.session.take_will());
            connection.session.end(code::SHUTTING_DOWN, Core::why(code::SHUTTING_DOWN));
            self.dirty.push(*client);
        }
        let until = self.clock.monotonic() + GOODBYE_MAX;
        let mut ready = Vec::new();
        while !self.connections.is_empty() && self.clock.monotonic() < until {
            let now = self.now();
            self.flush(now);
            if self.poller.wait(Some(PACE * 10), room, &mut ready).is_err() {
                break;
            }
            for which in mem::take(&mut ready) {
                self.dirty.push(which.token);
                self.read(which.token, now);
            }
        }
        if let Err(error) = self.core.intake.disconnected(self.clock.now(), "stopped") {
            tracing::warn!(%error, "the end of a listener cannot be recorded");
        }
    }
}
