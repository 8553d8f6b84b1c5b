//! `listeners` of an instance in `andon.yaml`, and sources that name one of them.

use super::{
    sources::{MqttWord, TopicFile},
    words::{Duration, Named, Silence},
};
use crate::{
    contract::Clock,
    read::{At, Entries, Items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What clients publish to a listener of the instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerSourceFile {
    /// `mqtt`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: MqttWord,
    /// The listener of the instance, by its name in `andon.yaml`.
    pub(crate) listener: At<Named>,
    /// `live` (default), or `recorded` for a replay: no time passes between its samples.
    #[serde(default)]
    pub(crate) clock: Option<Clock>,
    /// The zone of times that name none, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
    /// A time this much later than the receive time is not believed; default 5 min.
    #[serde(default)]
    pub(crate) ahead: Option<At<Duration>>,
    /// Without a sample for so long, the source is silent; `never`: it may say nothing for ever. Default 10 min, and
    /// `never` with a recorded clock.
    #[serde(default)]
    pub(crate) silence: Option<At<Silence>>,
    /// The topics; a message belongs to the first that matches.
    pub(crate) topics: Items<TopicFile>,
}

/// An MQTT listener: machines publish to it without a broker.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerFile {
    /// Where it listens: an IP address and a port such as `127.0.0.1:1883`, or `env:NAME else 127.0.0.1:1883`.
    pub(crate) address: At<String>,
    /// How it speaks TLS; without it, it does not.
    #[serde(default)]
    pub(crate) tls: Option<ServerTlsFile>,
    /// Who may come in, by user name; without it anybody, which only an address of the machine itself may allow.
    #[serde(default)]
    pub(crate) clients: Entries<String, ClientFile>,
    /// Connections at once; default 1000.
    #[serde(default)]
    pub(crate) connections: Option<At<u64>>,
    /// Publishes that a client may have under way without acknowledgement; default 1000.
    #[serde(default, rename = "receive-maximum")]
    pub(crate) receive_max: Option<At<u64>>,
    /// The longest keep-alive of a client; default 5 min. A client that asks for none, or for more, is held to this.
    #[serde(default, rename = "keep-alive")]
    pub(crate) keep_alive: Option<At<Duration>>,
}

/// How a listener speaks TLS; paths are taken as they are written, a relative one from the folder Andon is started in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTlsFile {
    /// File of its certificate and those between it and its authority, PEM.
    pub(crate) certificate: At<String>,
    /// The key of the certificate, PEM: `file:PATH` or `env:NAME`.
    pub(crate) key: At<String>,
    /// File of the authorities of clients, PEM; with it nobody comes in without a certificate of theirs.
    #[serde(default, rename = "client-authority")]
    pub(crate) client_authority: Option<At<String>>,
}

/// A client and what it may do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFile {
    /// Its password: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) password: Option<At<String>>,
    /// The common name of the certificate that it must show.
    #[serde(default)]
    pub(crate) certificate: Option<At<String>>,
    /// The sites whose assets it may publish for and whose topics and events it sees; without it all.
    #[serde(default)]
    pub(crate) sites: Option<Items<At<String>>>,
    /// Topic filters it may publish to, on top of its sites; without it all.
    #[serde(default)]
    pub(crate) publish: Items<At<String>>,
    /// Topic filters it may subscribe within, on top of its sites; without it all.
    #[serde(default)]
    pub(crate) subscribe: Items<At<String>>,
}
