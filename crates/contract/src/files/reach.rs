//! How the host of a system is reached: another place, TLS.

use crate::read::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// How TLS is spoken with a system.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SystemTlsFile {
    /// `plain`: no TLS on the way to `connect`, which must be an address of this machine. For tests, where a program
    /// beside Andon answers in place of a system; without it TLS is always spoken with `https`.
    #[serde(default)]
    pub(crate) loopback: Option<At<LoopbackWord>>,
}

/// What is spoken within this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoopbackWord {
    /// HTTP without TLS.
    Plain,
}
