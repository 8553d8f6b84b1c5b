//! Sources: the connections to the plant side, and what connects to a broker.

use andon_model::{
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
    /// Samples posted to the API: `POST /v1/sources/<name>/samples`.
    Http(HttpSource),
}

/// An MQTT source.
#[derive(Debug, Clone)]
pub struct MqttSource {
    /// The broker.
    pub broker: Broker,
    /// How long the broker keeps our session while we are away; MQTT 5 only. Default 7 days.
    pub session_expiry: Span,
    /// The topics, in the order of the file; a message belongs to the first that matches.
    pub topics: Vec<TopicMapping>,
}

/// A broker and how to come in.
#[derive(Debug, Clone)]
pub struct Broker {
    /// `mqtt://host:port`.
    pub address: Address,
    /// The protocol version.
    pub version: MqttVersion,
    /// User and password, where the broker wants them.
    pub credentials: Option<UserPassword>,
    /// Keep-alive; default 30 s.
    pub keep_alive: Span,
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

/// An HTTP source.
#[derive(Debug, Clone)]
pub struct HttpSource {
    /// The bearer token that callers must show, where one is asked for.
    pub token: Option<Secret>,
}
