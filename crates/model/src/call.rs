//! Calls to systems of record as every layer sees them: key, reference, request, outcome.

use crate::{
    base32,
    id::{CallId, derive},
    name::{Name, SiteName},
    span::Span,
    time::Time,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::{collections::BTreeMap, fmt};

/// What makes a call the same call, however often it is attempted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(String);

impl Key {
    /// The key of a task of a run: the iteration leaves out passes of `retry`, and `edit` rises
    /// with each edit of a call that surely had no effect.
    pub fn of_task(run: crate::RunId, pointer: &str, iteration: &str, edit: u32) -> Self {
        Self(format!("{run}{pointer}#{iteration}~{edit}"))
    }

    /// The key as text, for systems that take one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The short form that fits every system's field.
    pub fn reference(&self) -> Reference {
        Reference(base32::encode(self.bits()))
    }

    /// The id of the call: `ca_` and the reference.
    pub fn call_id(&self) -> CallId {
        CallId::from_bits(self.bits())
    }

    fn bits(&self) -> [u8; 10] {
        use sha2::{Digest, Sha256};
        crate::id::first_ten(&Sha256::digest(self.0.as_bytes()))
    }
}

/// The first 80 bits of the SHA-256 of a key in Crockford base32: what a `lookup` searches and
/// `explain` accepts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference(String);

impl Reference {
    /// Reads a reference as a person typed it; `None` when it is not 16 characters of the alphabet.
    pub fn parse(text: &str) -> Option<Self> {
        let text = base32::normalise(text.trim());
        base32::is_valid(&text).then_some(Self(text))
    }

    /// The 16 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the call.
    pub fn call_id(&self) -> CallId {
        CallId::parse(&format!("ca_{}", self.0)).expect("a reference is 16 characters of the alphabet")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an attempt does: make the effect, or search for it after an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Sends the request of the operation.
    Send,
    /// Searches by our reference whether an earlier attempt had its effect.
    Search,
}

/// One attempt that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRequest {
    /// The call it belongs to.
    pub call: CallId,
    /// Which attempt of the call this is, from 1.
    pub attempt: u32,
    /// Send or search.
    pub step: Step,
    /// The site the run belongs to.
    pub site: SiteName,
    /// The system that is asked.
    pub system: Name,
    /// Its operation.
    pub operation: Name,
    /// The capability's input.
    pub input: Json,
    /// The key of the call.
    pub key: Key,
    /// When the attempt began: identifiers are those of this moment.
    pub at: Time,
}

/// A request in the dialect of its system, before credentials are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The HTTP method.
    pub method: String,
    /// The full address.
    pub url: String,
    /// Headers without credentials.
    pub headers: BTreeMap<String, String>,
    /// The body; empty where there is none.
    pub body: String,
}

impl Prepared {
    /// The hash that the attempt's row keeps: 80 bits over method, address, headers and body.
    pub fn hash(&self) -> String {
        let headers = self.headers.iter().fold(String::new(), |all, (name, value)| all + name + ":" + value + "\n");
        base32::encode(derive(&[self.method.as_bytes(), self.url.as_bytes(), headers.as_bytes(), self.body.as_bytes()]))
    }
}

/// What an outcome means; one taxonomy for all systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeClass {
    /// Done.
    Ok,
    /// The credentials are not accepted.
    Auth,
    /// The credentials may not do this.
    Permission,
    /// Too many requests; `retry_after` is a floor.
    Limit,
    /// The object changed or is locked.
    Conflict,
    /// The content is refused; never tried again.
    Validation,
    /// What the request names does not exist.
    NotFound,
    /// Failed now, may succeed later; certainly without effect.
    Transient,
    /// Sent, and nobody knows whether it had its effect.
    Unknown,
}

impl OutcomeClass {
    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Limit => "limit",
            Self::Conflict => "conflict",
            Self::Validation => "validation",
            Self::NotFound => "not-found",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for OutcomeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its class.
    pub class: OutcomeClass,
    /// Whether a byte of the request may have reached the system. Fallback needs `false`, or the
    /// class `limit`.
    pub sent: bool,
    /// The status code where the system answered.
    pub status: Option<u16>,
    /// What happened in one line, for people; in the words of the system where it said something.
    pub detail: String,
    /// The capability's output where the class is ok; of a search, the found document or null.
    pub output: Json,
    /// The number of the document at the system.
    pub document: Option<String>,
    /// The earliest moment of a next attempt, from now.
    pub retry_after: Option<Span>,
    /// The answer's body, redacted and cut to 16 KiB, for lineage.
    pub response: String,
    /// The answer's headers that say something about it, redacted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What else was asked in the course of the attempt, in order: pages behind the first, a token that was renewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<Exchange>,
}

/// A request of an attempt beside the one that its row holds, and what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What it was for: `page 2`, `token`.
    pub what: String,
    /// Method and address, redacted.
    pub request: String,
    /// The request's body, redacted and cut; empty where it had none, or where it is nobody's business.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The status code, where there was an answer.
    pub status: Option<u16>,
    /// The answer's body, redacted and cut; or why there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response: String,
}

impl Outcome {
    /// An outcome of an attempt that did not reach the system.
    pub fn not_sent(class: OutcomeClass, detail: impl Into<String>) -> Self {
        Self {
            class,
            sent: false,
            status: None,
            detail: detail.into(),
            output: Json::Null,
            document: None,
            retry_after: None,
            response: String::new(),
            headers: BTreeMap::new(),
            exchanges: Vec::new(),
        }
    }
}

/// Turns attempts into requests; implemented by the connectors, asked by the workflows before the
/// attempt's row is written.
pub trait Prepare: Send + Sync {
    /// The request of an attempt; `Err` is the outcome of one that cannot be made.
    fn prepare(&self, request: &CallRequest) -> Result<Prepared, Outcome>;

    /// The request as it may be kept: without what its system keeps secret.
    fn kept(&self, request: &CallRequest, prepared: &Prepared) -> Prepared {
        let _ = request;
        prepared.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunId;

    #[test]
    fn a_reference_is_derived_from_the_key_and_fits_sixteen_characters() {
        let key = Key::of_task(RunId::derived(&[b"r"]), "/do/0/request", "", 0);
        assert_eq!(key.reference(), key.reference());
        assert_eq!(key.reference().as_str().len(), 16);
        assert_ne!(key.reference(), Key::of_task(RunId::derived(&[b"r"]), "/do/0/request", "", 1).reference());
        assert_eq!(Reference::parse(&key.reference().as_str().to_lowercase()), Some(key.reference()));
        assert_eq!(Reference::parse("too-short"), None);
    }
}
