//! `subscribers/<subscriber>.yaml`: where events go.

use super::{
    sources::{MqttWord, UserPasswordFile, VersionWord},
    tls::ClientTlsFile,
    words::{Duration, Named},
};
use crate::read::{At, Items};
use schemars::JsonSchema;
use serde::Deserialize;

/// Events are published to an MQTT broker, or to the clients of a listener of the instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "subscribers/<subscriber>.yaml")]
pub(crate) struct SubscriberFile {
    /// `mqtt`.
    #[expect(dead_code, reason = "there is one kind; the key is read so that others are refused")]
    pub(crate) kind: MqttWord,
    /// The broker: `mqtt://host:port`, `mqtts://host:port` with TLS, or `env:NAME else` one of these.
    #[serde(default)]
    pub(crate) broker: Option<At<String>>,
    /// How TLS is spoken with the broker.
    #[serde(default)]
    pub(crate) tls: Option<ClientTlsFile>,
    /// A listener of the instance, instead of `broker`: the events go to its clients.
    #[serde(default)]
    pub(crate) listener: Option<At<Named>>,
    /// The protocol version: 5 (default) or 3.1.1.
    #[serde(default)]
    pub(crate) version: Option<At<VersionWord>>,
    /// User and password, where the broker wants them.
    #[serde(default)]
    pub(crate) credentials: Option<UserPasswordFile>,
    /// How long the connection may be silent; default 30 s.
    #[serde(default, rename = "keep-alive")]
    pub(crate) keep_alive: Option<At<Duration>>,
    /// The event types; without it all.
    #[serde(default)]
    pub(crate) types: Items<At<String>>,
    /// Quality of service: 0 or 1 (default).
    #[serde(default)]
    pub(crate) qos: Option<At<u8>>,
    /// The topic, over `{site}`, `{area}`, `{line}`, `{asset}`, `{type}`.
    pub(crate) topic: At<String>,
    /// The payload: an expression `${ ... }` over the event; without it the event itself.
    #[serde(default)]
    pub(crate) payload: Option<At<String>>,
}
