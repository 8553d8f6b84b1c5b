//! Sources: the connections to the plant side, and what connects to a broker.

use super::{FileSource, HttpSource, ShdrSource};
use andon_model::{
    Name,
    span::Span,
    time::{Unit, Zone},
};

/// A connection to the plant side.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it speaks.
    pub kind: SourceKind,
    /// Whether plant time goes on between samples.
    pub clock: Clock,
    /// The zone of times that name none.
    pub zone: Zone,
    /// A time this much later than the receive time is not believed; default 5 min.
    pub ahead: Span,
    /// A source that is connected and says nothing for this long is silent; `None`: it may be silent for ever.
    /// Default 10 min with a live clock, none with a recorded one.
    pub silence: Option<Span>,
}

/// Whether plant time goes on between the samples of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Plant time goes on with the monotonic time since the newest sample's receipt.
    Live,
    /// Plant time stands between samples: a replay.
    Recorded,
}

/// The protocol of a source with its settings.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// MQTT 3.1.1 or 5 towards a broker.
    Mqtt(MqttSource),
    /// What clients publish to a listener of the instance.
    Listener(ListenerSource),
    /// Samples and events posted to the API: `POST /v1/sources/<name>/samples`.
    Http(HttpSource),
    /// An adapter of `MTConnect` that speaks SHDR.
    Shdr(ShdrSource),
    /// Files that appear in a folder.
    File(FileSource),
}

impl SourceKind {
    /// The word of the kind in files, lists and messages.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Mqtt(_) | Self::Listener(_) => "mqtt",
            Self::Http(_) => "http",
            Self::Shdr(_) => "shdr",
            Self::File(_) => "file",
        }
    }

    /// The topics of a source that speaks MQTT.
    pub fn topics(&self) -> Option<&[TopicMapping]> {
        match self {
            Self::Mqtt(mqtt) => Some(&mqtt.topics),
            Self::Listener(listener) => Some(&listener.topics),
            Self::Http(_) | Self::Shdr(_) | Self::File(_) => None,
        }
    }
}

/// What clients publish to a listener.
#[derive(Debug, Clone)]
pub struct ListenerSource {
    /// The listener of the instance.
    pub listener: Name,
    /// The topics, in the order of the file; a message belongs to the first that matches.
    pub topics: Vec<TopicMapping>,
}

/// An MQTT source.
#[derive(Debug, Clone)]
pub struct MqttSource {
    /// The broker.
    pub broker: Broker,
    /// How long the broker keeps our session while we are away; MQTT 5 only. Default 7 days.
    pub session_expiry: Span,
    /// The path of the broker's `mosquitto.conf`, which `check` looks at; nothing else reads it.
    pub broker_settings: Option<String>,
    /// The topics, in the order of the file; a message belongs to the first that matches.
    pub topics: Vec<TopicMapping>,
}

/// A broker and how to come in.
#[derive(Debug, Clone)]
pub struct Broker {
    /// `mqtt://host:port`, or `mqtts://host:port` with TLS.
    pub address: Address,
    /// How TLS is spoken where the address says so.
    pub tls: ClientTls,
    /// The protocol version.
    pub version: MqttVersion,
    /// User and password, where the broker wants them.
    pub credentials: Option<UserPassword>,
    /// Keep-alive; default 30 s.
    pub keep_alive: Span,
}

/// How TLS is spoken towards a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// File of the authorities that are believed, PEM; `None`: those of the operating system.
    pub authority: Option<String>,
    /// Files of our certificate chain and its key, PEM, where the server asks for one.
    pub identity: Option<TlsIdentity>,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// File of the certificate chain, PEM.
    pub certificate: String,
    /// The key, PEM; read at each use.
    pub key: Secret,
}

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1.
    V3,
    /// 5.
    V5,
}

/// A user and a password by reference.
#[derive(Debug, Clone)]
pub struct UserPassword {
    /// The user.
    pub user: String,
    /// The password, read at each use.
    pub password: Secret,
}

/// A secret by reference; read at each use, never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable.
    Env(String),
    /// A file; surrounding white space is left out.
    File(String),
}

/// An address that the environment may override: `env:NAME else mqtt://127.0.0.1:1883`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The environment variable that overrides, where named.
    pub env: Option<String>,
    /// The address otherwise.
    pub default: String,
}

impl Address {
    /// The address in force, with the environment given by the caller.
    pub fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) -> String {
        self.env.as_deref().and_then(env).filter(|v| !v.is_empty()).unwrap_or_else(|| self.default.clone())
    }
}

/// Messages of these topics become samples.
#[derive(Debug, Clone)]
pub struct TopicMapping {
    /// The levels of the topic.
    pub levels: Vec<Level>,
    /// The quality of service we subscribe with: 0, 1 or 2.
    pub qos: u8,
    /// The text that names the asset in this source, over the captures.
    pub asset: Template,
    /// The samples a message holds.
    pub signals: Vec<SignalMapping>,
}

/// One level of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// Exactly this text.
    Text(String),
    /// Anything, kept under this name.
    Capture(String),
}

impl TopicMapping {
    /// The filter to subscribe to: captures become `+`.
    pub fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Text(text) => text.as_str(),
                Level::Capture(_) => "+",
            })
            .collect();
        levels.join("/")
    }
}

/// A text with `{name}` places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its pieces in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// What is known under this name.
    Place(String),
}

impl Template {
    /// The text with every place filled; `Err` names the place nobody knows.
    pub fn fill<'a>(&self, known: &dyn Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(t) => text.push_str(t),
                Piece::Place(name) => text.push_str(known(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(text)
    }
}

/// How one sample is read from a message.
#[derive(Debug, Clone)]
pub struct SignalMapping {
    /// The signal's name over the captures.
    pub signal: Template,
    /// JSON pointer (RFC 6901) to the value; empty: the whole payload.
    pub value: Pointer,
    /// Where its time stands; `None`: the receive time.
    pub time: Option<TimeMapping>,
    /// JSON pointer to the quality, an OPC UA `StatusCode` as number; a message without it is good.
    pub quality: Option<Pointer>,
    /// The unit in which the message has it, UCUM; `None`: that of the signal.
    pub unit: Option<String>,
}

/// A JSON pointer, split into its unescaped tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The tokens; none stands for the whole.
    pub tokens: Vec<String>,
}

/// Where the time of a sample stands and how it is written.
#[derive(Debug, Clone)]
pub struct TimeMapping {
    /// JSON pointer to it.
    pub at: Pointer,
    /// How it is written.
    pub form: TimeForm,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// A number in this unit since 1970 UTC.
    Number(Unit),
    /// RFC 3339, or a date and time in the zone of the source.
    Text,
}
