//! What clients ask for and what they are answered: who comes in, what is taken, who subscribes. It has no socket and
//! no clock.

use super::{
    connection::Connection,
    filter,
    handle::Published,
    intake::{Intake, Plan, Post},
    packets::{Hello, Retained, Will, Wish},
    retained::{Kept, RetainedMessages},
    rights::{Clients, Rights},
    session::{Asked, CLIENT_ID_MAX, Limits, Message, Now},
    subscriptions::{Added, ClientNo, Subscriptions},
    wire::{self, Publish, code},
};
use crate::{
    given::{self, Env},
    mapping::Incoming,
    mqtt::Ack,
    problem::quote,
};
use andon_contract::contract::MqttVersion;
use andon_model::{Time, span::Span};
use andon_store::{StoreError, rows::RetainedRow};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt, mem,
    sync::Arc,
    time::Duration,
};

/// Refusals that are logged in one span; the others are only counted.
const TOLD_MAX: u32 = 20;
/// The span in which at most [`TOLD_MAX`] refusals are logged.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Topics that nobody maps of which it is remembered that they were logged.
const UNMAPPED_MAX: usize = 1_000;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// The number of the connection.
    pub(super) client: ClientNo,
    address: String,
    id: String,
    pub(super) rights: Arc<Rights>,
}

impl Peer {
    pub(super) fn new(client: ClientNo, address: &str) -> Self {
        Self { client, address: address.to_owned(), id: String::new(), rights: Arc::new(Rights::anybody()) }
    }
}

impl Peer {
    /// Who it says it is, without its address.
    fn said(&self) -> String {
        let id = quote(&self.id);
        if self.rights.name.is_empty() {
            format!("client id {id}")
        } else {
            format!("client {}, id {id}", self.rights.name)
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, id, rights, .. } = self;
        write!(f, "{address} (client id {}", quote(id))?;
        if !rights.name.is_empty() {
            write!(f, ", client {}", rights.name)?;
        }
        f.write_str(")")
    }
}

/// What is decided about clients and their messages.
pub(super) struct Core {
    pub(super) intake: Intake,
    pub(super) subscriptions: Subscriptions,
    retained: RetainedMessages,
    clients: Clients,
    env: Env,
    limits: Limits,
    connections_max: usize,
    /// Connections by who they are and their client id.
    by_id: HashMap<(String, String), ClientNo>,
    /// Connections whose client id came again.
    pub(super) kicks: Vec<ClientNo>,
    /// Refused messages and clients since they were last told, by reason code.
    pub(super) refused: BTreeMap<u8, u64>,
    told: (u32, Duration),
    /// Topics that nobody maps and that were logged, shortened.
    unmapped: HashSet<String>,
    /// Begins the client ids that are given.
    prefix: String,
}

/// What a core is made of.
pub(super) struct CoreParts {
    pub(super) intake: Intake,
    pub(super) clients: Clients,
    pub(super) env: Env,
    pub(super) limits: Limits,
    pub(super) connections_max: usize,
    pub(super) retained: Vec<RetainedRow>,
    pub(super) prefix: String,
}

impl Core {
    pub(super) fn new(parts: CoreParts) -> Self {
        let CoreParts { intake, clients, env, limits, connections_max, retained: rows, prefix } = parts;
        let mut retained = RetainedMessages::default();
        for row in rows {
            let site = row.site.as_ref().and_then(|site| intake.sites().iter().position(|known| known == site));
            let message = Message {
                topic: row.topic.into(),
                payload: row.payload.into(),
                properties: row.properties.into(),
                received: row.received,
                expires: row.expires,
            };
            // A message of a site that is gone is seen by nobody any more.
            if (row.site.is_none() || site.is_some()) && retained.reserve(&message) {
                retained.keep(Kept { message: Arc::new(message), qos: 1, site });
            }
        }
        Self {
            intake,
            subscriptions: Subscriptions::default(),
            retained,
            clients,
            env,
            limits,
            connections_max,
            by_id: HashMap::new(),
            kicks: Vec::new(),
            refused: BTreeMap::new(),
            told: (0, Duration::ZERO),
            unmapped: HashSet::new(),
            prefix,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts something that was refused.
    pub(super) fn count(&mut self, code: u8) {
        *self.refused.entry(code).or_default() += 1;
    }

    /// Counts a refusal and logs it, not more often than [`TOLD_MAX`] times in [`TOLD_EVERY`].
    fn tell(&mut self, peer: &Peer, code: u8, what: &str, now: Now) {
        self.count(code);
        let (told, since) = &mut self.told;
        if now.monotonic.saturating_sub(*since) >= TOLD_EVERY {
            (*told, *since) = (0, now.monotonic);
        }
        *told += 1;
        if *told <= TOLD_MAX {
            tracing::warn!(client = %peer, code = format!("0x{code:02X}"), "refused: {what}");
        }
    }

    /// What a reason code says to the client.
    pub(super) fn why(code: u8) -> &'static str {
        match code {
            code::NOT_AUTHORIZED => "the client has no right to publish to this topic",
            code::TOPIC => "no source of the listener maps this topic",
            code::QUOTA => "no room for one more retained message",
            code::TAKEN_OVER => "another connection came with this client id",
            code::SHUTTING_DOWN => "the listener stops",
            code::KEEP_ALIVE => "nothing was heard within one and a half times the keep-alive",
            _ => "",
        }
    }

    /// Reads bytes of a client behind those that waited, as far as they are complete and may be taken now.
    pub(super) fn heard(&mut self, connection: &mut Connection, bytes: &[u8], now: Now) {
        let mut pending = connection.take_pending();
        if pending.is_empty() {
            let mut rest = bytes;
            self.hear(connection, &mut rest, now);
            pending.extend_from_slice(rest);
        } else {
            pending.extend_from_slice(bytes);
            let mut rest = pending.as_slice();
            self.hear(connection, &mut rest, now);
            let read = pending.len() - rest.len();
            pending.drain(..read);
        }
        connection.put_pending(pending);
    }

    fn hear(&mut self, connection: &mut Connection, rest: &mut &[u8], now: Now) {
        while !self.intake.is_full() {
            let before = *rest;
            match connection.session.next(rest, now) {
                Ok(None | Some(Asked::Disconnect(_))) => return,
                Ok(Some(Asked::Publish(publish))) => {
                    if let Err(error) = self.publish(connection, &publish, now) {
                        // Nothing of it was taken; its bytes wait until the disk takes the numbers of new signals.
                        tracing::warn!(client = %connection.peer, %error, "a message waits for the disk");
                        connection.session.untake(&publish);
                        *rest = before;
                        return;
                    }
                }
                Ok(Some(Asked::Connect(hello))) => self.connect(connection, *hello, now),
                Ok(Some(Asked::Subscribe(id, wishes))) => self.subscribe(connection, id, &wishes, now),
                Ok(Some(Asked::Unsubscribe(id, filters))) => {
                    let client = connection.peer.client;
                    let were: Vec<bool> =
                        filters.iter().map(|filter| self.subscriptions.remove(client, filter)).collect();
                    connection.session.unsubscribed(id, &were);
                }
                Err(fault) => {
                    self.tell(&connection.peer, fault.code, fault.why, now);
                    if fault.code == code::TOO_LARGE && connection.session.is_open() {
                        self.intake.refuse(None);
                    }
                    connection.session.end(fault.code, fault.why);
                    return;
                }
            }
        }
    }

    fn connect(&mut self, connection: &mut Connection, hello: Hello, now: Now) {
        let refuse = |core: &mut Self, connection: &mut Connection, code: u8, why: &str| {
            core.tell(&connection.peer, code, why, now);
            connection.session.end(code, why);
        };
        connection.peer.id.clone_from(&hello.client_id);
        if hello.client_id.len() > CLIENT_ID_MAX {
            return refuse(self, connection, code::CLIENT_ID, "a client id has at most 256 bytes");
        }
        if hello.client_id.is_empty() && hello.version == MqttVersion::V3 && !hello.clean {
            let why = "a session without client id cannot be kept [MQTT-3.1.3-8]";
            return refuse(self, connection, code::CLIENT_ID, why);
        }
        let env = &self.env;
        let secret = |secret: &_| given::secret(secret, env).map_err(|ended| ended.to_string());
        let mut wrong = |text: String| tracing::warn!("{text}");
        let common_name = connection.common_name();
        let rights = match self.clients.identify(&hello, common_name.as_deref(), &secret, &mut wrong) {
            Ok(rights) => rights,
            Err(fault) => return refuse(self, connection, fault.code, fault.why),
        };
        connection.peer.rights = rights;
        if let Some(will) = &hello.will
            && let Some((code, why)) = self.wrong_will(&connection.peer, hello.version, will)
        {
            return refuse(self, connection, code, why);
        }
        let assigned = hello.client_id.is_empty().then(|| format!("{}-{}", self.prefix, connection.peer.client));
        if let Some(id) = &assigned {
            connection.peer.id.clone_from(id);
        }
        let key = (connection.peer.rights.name.clone(), connection.peer.id.clone());
        if self.by_id.len() >= self.connections_max && !self.by_id.contains_key(&key) {
            return refuse(self, connection, code::BUSY, "the listener has as many connections as it may have");
        }
        if let Some(other) = self.by_id.insert(key, connection.peer.client) {
            self.kicks.push(other);
        }
        tracing::info!(client = %connection.peer, version = ?hello.version, "a client has come in");
        connection.session.welcome(hello, assigned.as_deref(), now);
    }

    /// Why a will could never be published. One of 3.1.1 to a topic that nobody maps lets its client in all the same:
    /// what else the client publishes is wanted, and 3.1.1 cannot say what is wrong.
    fn wrong_will(&mut self, peer: &Peer, version: MqttVersion, will: &Will) -> Option<(u8, &'static str)> {
        if will.topic.is_empty() || will.topic.contains(['+', '#', '\0']) {
            return Some((code::TOPIC, "the topic of the will is none"));
        }
        let plan = self.intake.plan(&will.topic).ok()?;
        if plan.is_nobodys() && version == MqttVersion::V5 {
            return Some((code::TOPIC, "no source of the listener maps the topic of the will"));
        }
        (!may_publish(peer, &plan))
            .then_some((code::NOT_AUTHORIZED, "the client has no right to publish to the topic of its will"))
    }

    /// Takes a message, or refuses it with its reason; either way the client is told once that is durable. An error
    /// of the store: nothing was taken.
    fn publish(&mut self, connection: &mut Connection, publish: &Publish<'_>, now: Now) -> Result<(), StoreError> {
        let ack = (publish.qos > 0).then_some(Ack { id: publish.id, exactly_once: publish.qos == 2 });
        let plan = self.intake.plan(publish.topic)?;
        let version = connection.session.version();
        let code = self.take(&connection.peer, version, &plan, publish, now)?;
        if code == code::TOPIC && ack.is_none() {
            // Nobody waits for an answer, and what else the client publishes is wanted.
            self.intake.refuse(None);
            self.unmapped(&connection.peer, publish.topic, now);
            return Ok(());
        }
        self.intake.ack(connection.peer.client, ack, code);
        if code >= code::FAILURE {
            let what = format!("topic {}: {}", quote(publish.topic), Self::why(code));
            self.tell(&connection.peer, code, &what, now);
            self.intake.refuse(Some(&plan));
            if ack.is_none() || version == MqttVersion::V3 {
                // There is no packet that says it: the connection is closed once what came before is acknowledged.
                connection.session.hear_no_more();
            }
        }
        Ok(())
    }

    /// Counts a message of QoS 0 to a topic that nobody maps, and logs the topic once.
    fn unmapped(&mut self, peer: &Peer, topic: &str, now: Now) {
        let topic = quote(topic);
        if self.unmapped.contains(&topic) || self.unmapped.len() >= UNMAPPED_MAX {
            return self.count(code::TOPIC);
        }
        let what = format!("topic {topic}: {}; this is told once", Self::why(code::TOPIC));
        self.tell(peer, code::TOPIC, &what, now);
        self.unmapped.insert(topic);
    }

    /// Takes a message; the reason code with which it is acknowledged. A client of 3.1.1 has no packet that refuses a
    /// message, and would send the same one first after each reconnection: one that nobody maps is set aside for it.
    fn take(
        &mut self,
        peer: &Peer,
        version: MqttVersion,
        plan: &Plan,
        publish: &Publish<'_>,
        now: Now,
    ) -> Result<u8, StoreError> {
        if !may_publish(peer, plan) {
            return Ok(code::NOT_AUTHORIZED);
        }
        let incoming = Incoming { topic: publish.topic, payload: publish.payload, retained: false, received: now.utc };
        let can_be_told = version == MqttVersion::V5 && publish.qos > 0;
        if plan.is_nobodys() {
            let is_aside =
                version == MqttVersion::V3 && publish.qos > 0 && self.intake.set_aside(&peer.said(), incoming);
            return Ok(if is_aside { code::SUCCESS } else { code::TOPIC });
        }
        let mut post = self.post(peer.client, plan, publish, now);
        if let Some(post) = &mut post
            && post.retain
            && !self.retained.reserve(&post.message)
        {
            if can_be_told {
                return Ok(code::QUOTA);
            }
            let what =
                format!("topic {}: the message is not retained: {}", quote(publish.topic), Self::why(code::QUOTA));
            self.tell(peer, code::QUOTA, &what, now);
            post.retain = false;
        }
        // A retained message without payload says that there is none any more; it is no sample.
        if !(publish.retain && publish.payload.is_empty())
            && let Err(error) = self.intake.take(plan, incoming)
        {
            if let Some(post) = post.filter(|post| post.retain) {
                self.retained.release(&post.message);
            }
            return Err(error);
        }
        if let Some(post) = post {
            self.intake.post(post);
        }
        Ok(code::SUCCESS)
    }

    /// The message for subscribers, where somebody wants it or it is to be kept.
    fn post(&self, from: ClientNo, plan: &Plan, publish: &Publish<'_>, now: Now) -> Option<Post> {
        if !publish.retain && !self.subscriptions.is_wanted(publish.topic) {
            return None;
        }
        let message = Message {
            topic: Arc::clone(&plan.topic),
            payload: publish.payload.into(),
            properties: wire::forwarded(publish.properties).into(),
            received: now.utc,
            expires: expires(publish.expiry, now.utc),
        };
        let site = plan.site();
        Some(Post { message: Arc::new(message), qos: publish.qos, retain: publish.retain, site, from })
    }

    fn subscribe(&mut self, connection: &mut Connection, id: u16, wishes: &[Wish], now: Now) {
        let client = connection.peer.client;
        let mut codes = Vec::with_capacity(wishes.len());
        let mut at_once = Vec::new();
        for Wish { filter, options } in wishes {
            let refused = if filter.starts_with("$share/") {
                Some((code::SHARED, "shared subscriptions are not offered"))
            } else if !filter::is_filter(filter) {
                Some((code::FILTER, "it is no topic filter of at most 64 levels"))
            } else if connection.peer.rights.may_subscribe(filter) {
                match self.subscriptions.add(client, filter, *options) {
                    Added::TooMany => Some((code::QUOTA, "the client has as many subscriptions as it may have")),
                    added => {
                        let wanted = match options.retained {
                            Retained::Send => true,
                            Retained::IfNew => added == Added::New,
                            Retained::Never => false,
                        };
                        // A filter that stands more than once counts as its last one.
                        at_once.retain(|(known, _): &(&String, _)| *known != filter);
                        if wanted {
                            at_once.push((filter, options));
                        }
                        None
                    }
                }
            } else {
                Some((code::NOT_AUTHORIZED, "the client has no right to subscribe it"))
            };
            if let Some((code, why)) = refused {
                self.tell(&connection.peer, code, &format!("filter {}: {why}", quote(filter)), now);
            }
            codes.push(refused.map_or(options.qos, |(code, _)| code));
        }
        connection.session.subscribed(id, &codes);
        for (filter, options) in at_once {
            for kept in self.retained.matching(filter) {
                if !connection.peer.rights.sees(kept.site) {
                    continue;
                }
                if !connection.session.deliver(&kept.message, kept.qos.min(options.qos), true, now) {
                    let why = "more retained messages belong to a filter than wait for a client";
                    self.tell(&connection.peer, code::QUOTA, why, now);
                    return connection.session.end(code::QUOTA, why);
                }
            }
        }
    }

    /// A message of the instance, for its subscribers. A retained one goes with the next group.
    pub(super) fn published(&mut self, published: Published) -> Option<Post> {
        let Published { message, qos, retain, site } = published;
        let site = match site {
            None => None,
            Some(site) => Some(self.intake.sites().iter().position(|known| *known == site)?),
        };
        let post = Post { message, qos, retain, site, from: 0 };
        if !retain {
            return Some(post);
        }
        if self.retained.reserve(&post.message) {
            self.intake.post(post);
            return None;
        }
        self.count(code::QUOTA);
        tracing::warn!(topic = %quote(&post.message.topic), "a message is not retained: {}", Self::why(code::QUOTA));
        Some(Post { retain: false, ..post })
    }

    /// Keeps a retained message that is durable now.
    pub(super) fn keep(&mut self, post: Post) {
        self.retained.keep(Kept { message: post.message, qos: post.qos.min(1), site: post.site });
    }

    /// What is to be done when a connection is over: its will is published where there is one, its subscriptions end.
    pub(super) fn gone(&mut self, connection: &mut Connection, now: Now) {
        let client = connection.peer.client;
        self.subscriptions.remove_client(client);
        let key = (connection.peer.rights.name.clone(), mem::take(&mut connection.peer.id));
        if self.by_id.get(&key) == Some(&client) {
            self.by_id.remove(&key);
        }
        connection.peer.id = key.1;
        let Some(will) = connection.session.take_will() else { return };
        let publish = Publish {
            topic: &will.topic,
            payload: &will.payload,
            qos: will.qos,
            id: 0,
            retain: will.retain,
            properties: &will.properties,
            expiry: will.expiry,
        };
        let taken = self.intake.plan(&will.topic).and_then(|plan| {
            let code = self.take(&connection.peer, connection.session.version(), &plan, &publish, now)?;
            if code >= code::FAILURE {
                self.intake.refuse(Some(&plan));
                self.tell(&connection.peer, code, &format!("will to {}: {}", quote(&will.topic), Self::why(code)), now);
            }
            Ok(())
        });
        if let Err(error) = taken {
            tracing::warn!(client = %connection.peer, %error, "a will could not be published");
        }
    }
}

/// Whether a client may publish to a topic: for each asset that it is about. One that nobody maps is about none; there
/// only the topics count that the client may publish to.
fn may_publish(peer: &Peer, plan: &Plan) -> bool {
    if plan.is_nobodys() {
        return peer.rights.may_publish_to(&plan.topic);
    }
    plan.sites().all(|site| peer.rights.may_publish(&plan.topic, site))
}

fn expires(seconds: Option<u32>, now: Time) -> Option<Time> {
    seconds.map(|seconds| now.plus(Span::from_secs(seconds.into())))
}
