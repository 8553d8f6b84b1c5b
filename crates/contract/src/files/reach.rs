//! How a system is reached and what it can bear: another place, TLS, a proxy, tokens, a pace.

use super::sources::UserPasswordFile;
use crate::read::{At, Items};
use andon_model::span::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::borrow::Cow;

/// How TLS is spoken with a system; paths are taken as they are written, a relative one from the folder that Andon is
/// started in. Files are read at each use: a renewed certificate counts without a new start.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SystemTlsFile {
    /// File of the authorities that are believed, PEM; without it those of the operating system.
    #[serde(default)]
    pub(crate) authority: Option<At<String>>,
    /// File of our certificate and those between it and its authority, PEM, where the system asks for one.
    #[serde(default)]
    pub(crate) certificate: Option<At<String>>,
    /// The key of the certificate, PEM: `file:PATH` or `env:NAME`.
    #[serde(default)]
    pub(crate) key: Option<At<String>>,
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

/// A proxy that wants to know who we are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyFile {
    /// `http://host:port`, or `env:NAME else http://host:port`.
    pub(crate) address: At<String>,
    /// What it wants to know of us.
    #[serde(default)]
    pub(crate) credentials: Option<UserPasswordFile>,
}

/// An address, or a proxy with credentials.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values are read by hand, for better messages")]
pub(crate) enum ProxyWord {
    /// `http://host:port`, or `env:NAME else http://host:port`.
    Address(String),
    /// A proxy that wants to know who we are.
    Proxy(Box<ProxyFile>),
}

/// A token of OAuth 2.0.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth2File {
    /// Where it is got: a path below `base` such as `/oauth2/token`, or an address.
    pub(crate) token: At<String>,
    /// For what.
    pub(crate) grant: At<GrantWord>,
    /// Who asks for it.
    pub(crate) client: OAuth2ClientFile,
    /// The user, with `grant: password`.
    #[serde(default)]
    pub(crate) username: Option<At<String>>,
    /// The user's password, with `grant: password`: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) password: Option<At<String>>,
    /// What the token shall be good for.
    #[serde(default)]
    pub(crate) scopes: Items<At<String>>,
    /// Whom the token is for, where the server asks for it.
    #[serde(default)]
    pub(crate) audience: Option<At<String>>,
    /// Where name and secret of the client stand: in a header (`basic`, default) or in the form (`post`).
    #[serde(default, rename = "client-authentication")]
    pub(crate) client_authentication: Option<At<ClientAuthenticationWord>>,
}

/// Who asks for a token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth2ClientFile {
    /// Its name.
    pub(crate) id: At<String>,
    /// Its secret: `env:NAME` or `file:PATH`; a public client has none.
    #[serde(default)]
    pub(crate) secret: Option<At<String>>,
}

/// What a token is got for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GrantWord {
    /// The client itself.
    ClientCredentials,
    /// A user's name and password.
    Password,
}

/// Where name and secret of a client stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuthenticationWord {
    /// In the header `Authorization`.
    Basic,
    /// In the form.
    Post,
}

/// A number of requests in a time: `10 / s`, `600 / min`, `5000 / h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PerTime {
    pub(crate) number: u32,
    pub(crate) per: Span,
}

impl<'de> Deserialize<'de> for PerTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parts = text.split_once('/').and_then(|(number, per)| {
            let number = number.trim().parse().ok().filter(|number| *number > 0)?;
            let per = match per.trim() {
                "s" => 1,
                "min" => 60,
                "h" => 3_600,
                _ => return None,
            };
            Some(Self { number, per: Span::from_secs(per) })
        });
        parts.ok_or_else(|| D::Error::custom(format!("expected a number and a time like 10 / s, found {text:?}")))
    }
}

impl JsonSchema for PerTime {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "PerTime".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[1-9][0-9]* ?/ ?(s|min|h)$",
            "description": "A number of requests in a time: `10 / s`, `600 / min`, `5000 / h`.",
            "examples": ["10 / s"]
        })
    }
}
