//! Scenarios: what happens when, and what must come of it.

use super::OperationRef;
use andon_model::{AssetName, Name, Quality, SignalName, Time, Value, object::Told, sample::Control, span::Span};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A scenario of the project.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub description: Option<String>,
    /// Its file.
    pub file: String,
    /// When it begins.
    pub start: Time,
    /// When the plant ends; systems may answer later.
    pub end: Time,
    /// What happens, in the order of its moments.
    pub given: Vec<Given>,
    /// How systems answer.
    pub answers: Vec<Answer>,
    /// What must come of it.
    pub expect: Expect,
}

/// Something that happens at the plant.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// When it is received.
    pub at: Time,
    /// What.
    pub what: Happening,
}

/// What happens at the plant.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A sample.
    Sample {
        /// The source that delivers it.
        source: Name,
        /// Its asset.
        asset: AssetName,
        /// Its signal.
        signal: SignalName,
        /// Its time.
        time: Time,
        /// Its value.
        value: Value,
        /// Its quality.
        quality: Quality,
    },
    /// A source is disconnected.
    Disconnected(Name),
    /// A source is connected again.
    Connected(Name),
    /// Somebody tells a business object, as by the API.
    Told(Box<Told>),
    /// A person does something to the alarms of a rule for an asset.
    Done(Box<Control>),
}

/// How an operation answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The operation.
    pub operation: OperationRef,
    /// Whether it answers a search, not a sending.
    pub search: bool,
    /// What it says.
    pub reply: Reply,
    /// How long it takes.
    pub after: Span,
    /// How often it is given before the next one.
    pub times: u32,
    /// The line in the scenario's file.
    pub line: usize,
}

/// What a system says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// An answer of HTTP.
    Http {
        /// The status code.
        status: u16,
        /// The headers, by their lower-case names.
        headers: BTreeMap<String, String>,
        /// The body.
        body: Option<Json>,
    },
    /// It was sent, and nothing comes back.
    Lost,
    /// There is no connection.
    Refused,
}

/// What must come of a scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expect {
    /// Types of events that are not compared.
    pub ignore: Vec<String>,
    /// All other events, in their order; `None`: not compared.
    pub events: Option<Vec<Expected>>,
    /// All calls, in their order; `None`: not compared.
    pub calls: Option<Vec<Expected>>,
    /// All exceptions, in their order.
    pub exceptions: Vec<Expected>,
}

/// Something that must be there: fields with their values, others may be there too.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The fields, as an object whose lists are whole and whose objects are parts.
    pub fields: Json,
    /// The line in the scenario's file.
    pub line: usize,
}
