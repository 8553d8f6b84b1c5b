//! What calls over HTTP are given: `with` of `call: http` and of `call: openapi`, and how they identify themselves.

use crate::read::{At, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// `with` of `call: http`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpFile {
    /// The method.
    pub(crate) method: At<String>,
    /// Where it goes: `https://host/path/{name}`, an expression, or `{ uri, authentication }`.
    pub(crate) endpoint: Raw,
    /// Headers: an object of texts, or an expression.
    #[serde(default)]
    pub(crate) headers: Option<Raw>,
    /// The query: an object of texts or lists of them, or an expression.
    #[serde(default)]
    pub(crate) query: Option<Raw>,
    /// The body: a value whose texts may be expressions.
    #[serde(default)]
    pub(crate) body: Option<Raw>,
    /// What of the answer is given: `content` (default), `raw` or `response`.
    #[serde(default)]
    pub(crate) output: Option<OutputWord>,
    /// Whether a redirect is followed within its host, and is no error elsewhere; default false.
    #[serde(default)]
    pub(crate) redirect: bool,
}

/// Where a request goes, and how it identifies itself there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointFile {
    /// `https://host/path/{name}`, or an expression.
    pub(crate) uri: Raw,
    /// How it identifies itself; without it as the system says.
    #[serde(default)]
    pub(crate) authentication: Option<Raw>,
}

/// `with` of `call: openapi`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenapiFile {
    /// The document that describes the operation.
    pub(crate) document: DocumentFile,
    /// The operation: its `operationId`.
    #[serde(rename = "operationId")]
    pub(crate) operation: At<String>,
    /// Its parameters by name; the body of OpenAPI 3 is `body`.
    #[serde(default)]
    pub(crate) parameters: Option<Raw>,
    /// How it identifies itself; without it as the system says.
    #[serde(default)]
    pub(crate) authentication: Option<Raw>,
    /// What of the answer is given: `content` (default), `raw` or `response`.
    #[serde(default)]
    pub(crate) output: Option<OutputWord>,
    /// Whether a redirect is followed within its host, and is no error elsewhere; default false.
    #[serde(default)]
    pub(crate) redirect: bool,
}

/// A document that describes an API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentFile {
    /// What it is called; for people.
    #[serde(default)]
    #[expect(dead_code, reason = "the DSL allows it; nobody reads it")]
    pub(crate) name: Option<String>,
    /// Where it stands: `https://host/path`, below a system of the project.
    pub(crate) endpoint: Raw,
}

/// What of an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutputWord {
    /// The body, in base64.
    Raw,
    /// The body, read by its content type.
    Content,
    /// Status, headers, body and the request.
    Response,
}

/// How a call over HTTP identifies itself: one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthenticationFile {
    /// A name of `use.authentications`.
    #[serde(default, rename = "use")]
    pub(crate) named: Option<At<String>>,
    /// `Authorization: Basic`.
    #[serde(default)]
    pub(crate) basic: Option<BasicFile>,
    /// `Authorization: Bearer`.
    #[serde(default)]
    pub(crate) bearer: Option<At<BearerFile>>,
}

/// A user with a password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicFile {
    /// The user: a text, a reference or an expression.
    pub(crate) username: Raw,
    /// The password: `env:NAME`, `file:PATH` or an expression.
    pub(crate) password: Raw,
}

/// A token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BearerFile {
    /// The token: `env:NAME`, `file:PATH` or an expression.
    #[serde(default)]
    pub(crate) token: Option<Raw>,
    /// A secret of `use.secrets`, which holds the token.
    #[serde(default, rename = "use")]
    pub(crate) secret: Option<At<String>>,
}
