//! What is posted to the API: samples, which are stored as a whole or refused with every problem, and events that
//! somebody else has found.

mod again;
mod body;
mod cloud;
mod events;
mod gate;
mod keys;
mod reader;
mod repeat;
mod samples;
mod table;
mod time;

pub(crate) use again::PostsAgain;
pub use body::{RATIO_MAX, SENT_MAX};
pub use events::{EVENTS_BODY_MAX, EVENTS_MAX, Raised, Told};
pub use gate::{Admitted, Door, Opened};
pub use keys::Caller;
pub use repeat::{KEPT, KEPT_MAX, KEY_MAX};
pub use samples::Failed;

use crate::{
    given::{Chance, Env, draw_key},
    history,
};
use andon_contract::contract::{Contract, HttpSource, Source, SourceKind};
use andon_model::{Name, sample::Counts};
use andon_store::{Store, StoreError};
use std::sync::{Arc, Mutex};

/// Samples of one request.
pub const SAMPLES_MAX: usize = 100_000;
/// The largest body, decompressed, in bytes.
pub const BODY_MAX: usize = 32 << 20;
/// Problems told of one body.
pub const PROBLEMS_MAX: usize = 20;

/// What comes before the body of a request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// What stands behind the `?` of its address.
    pub query: &'a str,
}

impl<'a> Head<'a> {
    /// A header that may stand once.
    fn one(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let first = found.next();
        if found.next().is_some() {
            return Err(Refusal::new(400, format!("the header `{name}` stands more than once"), "send it once"));
        }
        Ok(first.map(str::trim))
    }
}

/// A problem of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyProblem {
    /// JSON pointer into the body; of JSON lines, the number of the line's sample is its first token.
    pub pointer: String,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

/// A request that is not accepted; nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status that says so: 400, 401, 409, 413, 415, 422 or 429.
    pub status: u16,
    /// Every problem, at least one and at most [`PROBLEMS_MAX`].
    pub problems: Vec<BodyProblem>,
    /// Samples or events that are refused with it, at least one.
    pub samples: u64,
    /// Headers of the answer that say more.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal for one reason that concerns the whole request.
    pub(crate) fn new(status: u16, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = BodyProblem { pointer: String::new(), cause: cause.into(), remedy: remedy.into() };
        Self { status, problems: vec![problem], samples: 1, headers: Vec::new() }
    }

    /// With a header of the answer.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A body whose content is refused.
    pub(crate) fn content(mut problems: Vec<BodyProblem>, samples: u64) -> Self {
        problems.truncate(PROBLEMS_MAX);
        Self { status: 422, problems, samples: samples.max(1), headers: Vec::new() }
    }
}

/// What became of posted samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// All of it is durable: answer 202.
    Accepted {
        /// What became of the samples.
        counts: Counts,
        /// It is the answer to an earlier request with the same key.
        replayed: bool,
    },
    /// Nothing of it is stored.
    Refused(Refusal),
}

/// The HTTP source of a name.
pub fn http_source<'a>(contract: &'a Contract, name: &Name) -> Option<(&'a Source, &'a HttpSource)> {
    let source = contract.sources.get(name)?;
    match &source.kind {
        SourceKind::Http(http) => Some((source, http)),
        SourceKind::Mqtt(_) | SourceKind::Listener(_) | SourceKind::Shdr(_) | SourceKind::File(_) => None,
    }
}

/// Takes the requests of one HTTP source.
pub struct HttpIngest {
    contract: Arc<Contract>,
    name: Name,
    source: Source,
    door: Door,
    store: Store,
    table: table::Table,
    window: Mutex<samples::Window>,
    repeats: Mutex<repeat::Repeats>,
    /// Held while events are compared with those that are there and committed.
    births: Mutex<()>,
}

impl HttpIngest {
    /// For the HTTP source of a name; `None` where the contract has none. Reads the window of duplicates from
    /// the log, and the keys of requests from the database.
    pub fn new(
        contract: Arc<Contract>,
        name: &Name,
        store: Store,
        env: Env,
        chance: &mut Chance,
    ) -> Result<Option<Self>, StoreError> {
        let Some((source, http)) = http_source(&contract, name) else { return Ok(None) };
        let (source, http) = (source.clone(), http.clone());
        let (window, _) = history::read(&store, name, draw_key(chance))?;
        Ok(Some(Self {
            table: table::Table::new(&contract, name),
            door: Door::new(http, env, chance),
            window: Mutex::new(samples::Window::new(window)),
            repeats: Mutex::new(repeat::Repeats::read(&store, name)?),
            births: Mutex::default(),
            name: name.clone(),
            contract,
            source,
            store,
        }))
    }
}

/// Reads events, to be samples and to be events; the first byte chooses whether they have their attributes.
pub(crate) fn fuzz_cloud(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    reader::fuzz(2 + (first & 1), body);
    events::fuzz(body);
}

/// Reads a body as far as that goes without a contract; the first byte chooses its form.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let encoding = match first & 3 {
        0 => Some("gzip"),
        1 => Some("zstd"),
        _ => None,
    };
    let Ok(body) = body::decode(encoding, body) else { return };
    reader::fuzz(first >> 2, &body);
    time::fuzz(&body);
    events::fuzz(&body);
}
