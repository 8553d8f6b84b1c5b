//! Systems of record: where they are, what they can do, and how requests and answers are read.

use super::{Address, Breaker, Narrow, OAuth2, Paged, Rate, Reach, Read, Retry, Secret, UserPassword};
use crate::expr::Program;
use andon_model::{Name, span::Span};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A system of record.
#[derive(Debug, Clone)]
pub struct System {
    /// Where it stands.
    pub zone: Name,
    /// Whether nothing there counts: only then it may shadow calls that have an effect.
    pub test: bool,
    /// How far its file has come; `None`: nobody says.
    pub maturity: Option<Maturity>,
    /// The base of its addresses: `https://host/path`.
    pub base: Address,
    /// How its host is reached, where not as the address says.
    pub reach: Reach,
    /// How we identify ourselves.
    pub credentials: Credentials,
    /// An attempt that takes longer has an unknown outcome; default 30 s.
    pub timeout: Span,
    /// When failed attempts are repeated.
    pub retry: Retry,
    /// Attempts under way at once, at most; default 4.
    pub concurrent: u32,
    /// Whether fewer are under way while it answers more slowly than usual, or refuses for load; default true.
    pub adaptive: bool,
    /// When calls are held back because it fails; `None`: never. Default on.
    pub breaker: Option<Breaker>,
    /// How many requests it can bear in a time; `None`: as many as its places allow.
    pub rate: Option<Rate>,
    /// What it can do.
    pub operations: BTreeMap<Name, Operation>,
    /// What is taken from it.
    pub reads: BTreeMap<Name, Read>,
}

/// How far the file of a system has come. It is shown, and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Maturity {
    /// Tried against a simulation only.
    Simulated,
    /// Tried against a system of its kind.
    Tested,
    /// In use.
    Proven,
}

impl Maturity {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Tested => "tested",
            Self::Proven => "proven",
        }
    }
}

/// How we identify ourselves at a system.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Not at all.
    None,
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// `Authorization: Basic`.
    Basic(UserPassword),
    /// A header of this name.
    ApiKey {
        /// The header.
        header: String,
        /// Its value.
        key: Secret,
    },
    /// `Authorization: Bearer` with a token that is got before.
    OAuth2(Box<OAuth2>),
}

/// What a system can do, bound to a capability.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The capability it implements, as it is kept: its plain name is its first major.
    pub implements: String,
    /// What repeats do.
    pub idempotency: Idempotency,
    /// What it narrows of the policy of its system.
    pub narrow: Narrow,
    /// The request that makes the effect.
    pub request: Request,
    /// How the answer is read.
    pub response: Response,
    /// How an answer in pages is read, of an operation that only reads; `None`: it is one page.
    pub paging: Option<Paged>,
}

/// The idempotency class of an operation.
#[derive(Debug, Clone)]
pub enum Idempotency {
    /// The operation only reads: repeats are free.
    Read,
    /// The system takes our key and repeats do nothing.
    Key,
    /// A natural key: repeats write the same.
    Upsert,
    /// The system can be searched by our reference.
    Lookup(Box<Lookup>),
    /// Repeats do it again; an unknown outcome needs a person.
    None,
}

impl Idempotency {
    /// The word that is shown.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Key => "key",
            Self::Upsert => "upsert",
            Self::Lookup(_) => "lookup",
            Self::None => "none",
        }
    }
}

/// How a system is searched by our reference.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The field that holds the reference.
    pub by: String,
    /// How long the system may need until the search sees what was sent; default 60 s.
    pub settle: Span,
    /// The request that searches.
    pub request: Request,
    /// From the answer: the document in the shape of the answer to the request itself, or null.
    pub found: Program,
    /// How an answer in pages is read: until the document is found; `None`: it is one page.
    pub paging: Option<Paged>,
}

/// A request as a map of fields. Expressions see the capability's input and the variables
/// `$key`, `$reference`, `$site`, where answers come in pages also `$page`, `$skip` and `$token`.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, POST, PUT, PATCH, DELETE.
    pub method: String,
    /// The path below the base, whose places are percent-encoded into one segment each.
    pub path: Vec<PathPiece>,
    /// The query, in order.
    pub query: Vec<(String, FieldMap)>,
    /// Headers beside those of the content and the credentials.
    pub headers: Vec<(String, FieldMap)>,
    /// The body; `None`: no body.
    pub body: Option<FieldMap>,
    /// How the body is written.
    pub content: Content,
}

/// How the body of a request is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// As JSON, of this media type.
    Json(String),
    /// As a form (`application/x-www-form-urlencoded`): names and texts, or lists of texts.
    Form,
    /// As the text that it is, of this media type; in UTF-8.
    Text(String),
}

impl Default for Content {
    fn default() -> Self {
        Self::Json("application/json".to_owned())
    }
}

/// A piece of a path.
#[derive(Debug, Clone)]
pub enum PathPiece {
    /// This text.
    Text(String),
    /// The result of an expression, percent-encoded.
    Expression(Program),
}

/// A JSON value in which some places are expressions (`${ ... }`).
#[derive(Debug, Clone)]
pub enum FieldMap {
    /// As written.
    Constant(Json),
    /// The result of an expression; a key whose expression gives null is left out.
    Expression(Program),
    /// A list.
    List(Vec<FieldMap>),
    /// An object, in order.
    Object(Vec<(String, FieldMap)>),
    /// A list of one value for each item of a list. Expressions in the value see the item, and the variables `$whole`
    /// (what the others see) and `$index` (from 0). Null gives null.
    Each {
        /// Gives the list.
        list: Program,
        /// What is made of each item.
        map: Box<FieldMap>,
    },
}

/// How an answer is read. Expressions see the answer's body, where it comes in pages the list of all items, and the
/// variables `$status` and `$headers` beside those of the request.
#[derive(Debug, Clone)]
pub struct Response {
    /// The number of the document; `None` for reads.
    pub document: Option<Program>,
    /// The capability's output.
    pub output: FieldMap,
    /// What the body is.
    pub content: Body,
}

/// What the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// JSON, or nothing, which is null.
    #[default]
    Json,
    /// A text.
    Text,
    /// Nothing that is read: expressions see null.
    Nothing,
}
