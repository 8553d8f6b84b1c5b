//! `sources/<source>.yaml`: the connections to the plant floor.

use super::{
    tls::ClientTlsFile,
    words::{Duration, Silence},
};
use crate::{
    contract::Clock,
    read::{At, Entries, Items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A connection to an MQTT broker.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttSourceFile {
    /// `mqtt`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: MqttWord,
    /// The broker: `mqtt://host:port`, `mqtts://host:port` with TLS, or `env:NAME else` one of these.
    pub(crate) broker: At<String>,
    /// How TLS is spoken with the broker.
    #[serde(default)]
    pub(crate) tls: Option<ClientTlsFile>,
    /// The protocol version: 5 (default) or 3.1.1.
    #[serde(default)]
    pub(crate) version: Option<At<VersionWord>>,
    /// The session the broker keeps for us.
    #[serde(default)]
    pub(crate) session: Option<SessionFile>,
    /// The settings of the broker, where it is a Mosquitto: the path of its `mosquitto.conf` or of a copy, relative to
    /// the project's folder. `andon check` warns of what they let be lost.
    #[serde(default, rename = "broker-settings")]
    pub(crate) broker_settings: Option<String>,
    /// User and password, where the broker wants them.
    #[serde(default)]
    pub(crate) credentials: Option<UserPasswordFile>,
    /// How long the connection may be silent; default 30 s.
    #[serde(default, rename = "keep-alive")]
    pub(crate) keep_alive: Option<At<Duration>>,
    /// `live` (default), or `recorded` for a replay: no time passes between its samples.
    #[serde(default)]
    pub(crate) clock: Option<Clock>,
    /// The zone of times that name none, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
    /// A time this much later than the receive time is not believed; default 5 min.
    #[serde(default)]
    pub(crate) ahead: Option<At<Duration>>,
    /// Connected and without a sample for so long, the source is silent; `never`: it may say nothing for ever. Default
    /// 10 min, and `never` with a recorded clock.
    #[serde(default)]
    pub(crate) silence: Option<At<Silence>>,
    /// The topics; a message belongs to the first that matches.
    pub(crate) topics: Items<TopicFile>,
}

/// The word `mqtt`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum MqttWord {
    /// MQTT.
    Mqtt,
}

/// The word `http`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum HttpWord {
    /// HTTP.
    Http,
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum VersionWord {
    /// MQTT 5.
    #[serde(rename = "5")]
    Five,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    Three,
}

impl JsonSchema for VersionWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MqttVersion".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [5, "5", "3.1.1"] })
    }
}

/// The session that the broker keeps for us.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionFile {
    /// How long the broker keeps our messages while we are away; MQTT 5 only; default 7 days.
    pub(crate) expiry: At<Duration>,
}

/// A user and a password by reference.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPasswordFile {
    /// The user.
    pub(crate) user: String,
    /// The password: `env:NAME` or `file:PATH`.
    pub(crate) password: At<String>,
}

/// Messages of a topic become samples.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicFile {
    /// The topic; a level `{name}` matches anything and keeps it under this name.
    pub(crate) topic: At<String>,
    /// Quality of service we subscribe with: 0, 1 (default) or 2.
    #[serde(default)]
    pub(crate) qos: Option<At<u8>>,
    /// What the source calls the asset, over the captures; default `{asset}`.
    #[serde(default)]
    pub(crate) asset: Option<At<String>>,
    /// How each signal is read from a message; the signal's name may hold captures.
    pub(crate) signals: Entries<String, SignalMappingFile>,
}

/// How a sample is read from a message.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalMappingFile {
    /// JSON pointer to the value; default `""`, the whole message.
    #[serde(default)]
    pub(crate) value: Option<At<String>>,
    /// Where the time of the sample stands; without it the receive time is taken.
    #[serde(default)]
    pub(crate) time: Option<TimeFile>,
    /// JSON pointer to the quality, an OPC UA status code; a message without it is good.
    #[serde(default)]
    pub(crate) quality: Option<At<String>>,
    /// The unit in which the message has the value, UCUM; it is converted into that of the signal. Default: the same.
    #[serde(default)]
    pub(crate) unit: Option<At<String>>,
}

/// Where a time stands and how it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeFile {
    /// JSON pointer to it.
    pub(crate) at: At<String>,
    /// `text` (RFC 3339, or date and time in the zone of the source), or the unit of a number since 1970.
    pub(crate) form: At<FormWord>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FormWord {
    /// RFC 3339, or date and time in the zone of the source.
    Text,
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// Microseconds since 1970.
    Us,
    /// Nanoseconds since 1970.
    Ns,
}

/// What `kind` may be; the kinds that are not built yet stand in `not_built`.
pub(crate) const KINDS: [&str; 4] = ["mqtt", "http", "shdr", "file"];
