//! `tls`: how TLS is spoken towards a broker.

use crate::read::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// How TLS is spoken; paths are taken as they are written, a relative one from the folder that Andon is started in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTlsFile {
    /// File of the authorities that are believed, PEM; without it those of the operating system.
    #[serde(default)]
    pub(crate) authority: Option<At<String>>,
    /// File of our certificate and those between it and its authority, PEM, where the broker asks for one.
    #[serde(default)]
    pub(crate) certificate: Option<At<String>>,
    /// The key of the certificate, PEM: `file:PATH` or `env:NAME`.
    #[serde(default)]
    pub(crate) key: Option<At<String>>,
}
