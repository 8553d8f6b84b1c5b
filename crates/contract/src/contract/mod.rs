//! The contract: a project after loading and checking. What exists here is valid, so nobody
//! checks again.

mod capabilities;
mod exceptions;
mod file;
mod http;
mod identifiers;
mod listeners;
mod ownership;
mod policy;
mod reach;
mod reads;
mod retention;
mod routes;
mod rules;
mod scenarios;
mod shdr;
mod shelving;
mod sources;
mod systems;
mod validity;

pub use capabilities::{Capability, Deprecated, Objective, capability_key};
pub use exceptions::{Agree, Exceptions, Failing, Replay, ReplayWhen};
pub use file::{
    After, ColumnMapping, CsvFormat, FILE, FileFormat, FileSource, Pattern, Ready, RowMapping, RowTime, RowTimeForm,
};
pub use http::{EventMapping, HttpSource, MappedEvent, MappedTo, Signature};
pub use identifiers::{Identifiers, NameHeld, NameTable, NamesAt, ValueMap, value_key};
pub use listeners::{Client, Listener, ServerTls};
pub use ownership::{
    About, Answerable, CONTENT, Escalate, Hook, MailTls, Matter, Notify, Ownership, OwnershipLine, Smtp, Team, matter,
};
pub use policy::{Breaker, Narrow, Outage, Retry};
pub use reach::{Grant, OAuth2, Proxy, Rate, Reach, TokenPlace, is_loopback, place};
pub use reads::{Delta, Paged, Paging, Read, Webhook};
pub use retention::{Keep, ReduceBy, Reduction, Retention};
pub use routes::{OperationRef, Route, Target};
pub use rules::{
    Band, Condition, CountKind, CounterSettings, CyclePart, CycleSettings, Every, Feature, Guard, Learn, Limit,
    LimitLevel, LimitSettings, Lines, RateSettings, ReasonSettings, Rule, RuleKind, RuleSettings, RunPattern, RunRule,
    STANDARD_STATES, SUBGROUP_MAX, SeverityLine, SigmaFrom, SpcSettings, SpectrumSettings, StaleSettings,
    StandardState, StateSettings, TableForm, TableRow, TableSettings, TableTest, TableValue, TableWhat, Test,
    TimeClass, WINDOW_PARTS_MAX, Waveform, WaveformFormat, What, WhenStale, WindowFunction, WindowSettings, Word,
};
pub use scenarios::{Answer, Expect, Expected, Given, Happening, Reply, Scenario};
pub use shdr::{ItemForm, Others, ShdrSource};
pub use shelving::Shelving;
pub use sources::{
    Address, Broker, ClientTls, Clock, Level, ListenerSource, MqttSource, MqttVersion, Piece, Pointer, Secret,
    SignalMapping, Source, SourceKind, Template, TimeForm, TimeMapping, TlsIdentity, TopicMapping, UserPassword,
};
pub use systems::{
    Body, Content, Credentials, FieldMap, Idempotency, Lookup, Maturity, Operation, PathPiece, Request, Response,
    System,
};
pub use validity::Validity;

use crate::{expr::Program, workflow::Definition};
use andon_model::{AssetName, Name, Schemas, SignalName, SiteName, span::Span, time::Zone, value::Kind};
use std::{collections::BTreeMap, sync::Arc};

/// A checked project; immutable, shared by reference.
#[derive(Debug)]
pub struct Contract {
    /// SHA-256 of the project's files, in hexadecimal.
    pub revision: String,
    /// The project's files as they were read, by path; what a data folder keeps of an activated contract.
    pub files: BTreeMap<String, String>,
    /// The project's name.
    pub name: String,
    /// The instances, by name.
    pub instances: BTreeMap<Name, Instance>,
    /// The sites, by name.
    pub sites: BTreeMap<SiteName, Site>,
    /// The assets of all sites, by name.
    pub assets: BTreeMap<AssetName, Asset>,
    /// The classes, by name.
    pub classes: BTreeMap<Name, Class>,
    /// The sources, by name.
    pub sources: BTreeMap<Name, Source>,
    /// The rules, by name.
    pub rules: BTreeMap<Name, Rule>,
    /// Built-in schemas and those of the project.
    pub schemas: Schemas,
    /// What systems call our things.
    pub identifiers: Identifiers,
    /// The workflows, by name.
    pub workflows: BTreeMap<Name, Arc<Definition>>,
    /// The capabilities by name: the first major under the plain name, the others as `name@major`.
    pub capabilities: BTreeMap<String, Capability>,
    /// The systems of record, by name.
    pub systems: BTreeMap<Name, System>,
    /// The routes in the order of the file; the first that matches wins.
    pub routes: Vec<Route>,
    /// Who answers for what.
    pub ownership: Ownership,
    /// What is done about exceptions by themselves, and what needs two people.
    pub exceptions: Exceptions,
    /// Where events go.
    pub subscribers: BTreeMap<Name, Subscriber>,
    /// How long samples are kept.
    pub retention: Retention,
    /// How long alarms may be shelved.
    pub shelving: Shelving,
    /// The scenarios that show what the project does, by name.
    pub scenarios: BTreeMap<Name, Scenario>,
}

/// One running Andon of the project.
#[derive(Debug, Clone)]
pub struct Instance {
    /// At the plant, in the middle, or both.
    pub role: Role,
    /// Where its data folder lies.
    pub zone: Name,
    /// Address of the API, `host:port`; loopback unless the project says otherwise.
    pub api: String,
    /// Its MQTT listeners, by name.
    pub listeners: BTreeMap<Name, Listener>,
}

/// What an instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Beside the machines; forwards to a hub.
    Edge,
    /// Runs workflows, talks to systems of record.
    Hub,
    /// Everything in one place.
    Both,
}

/// A site and the zone its data live in.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where its data may be kept.
    pub zone: Name,
    /// The zone of its clocks and calendars.
    pub timezone: Zone,
}

/// A piece of equipment.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its site.
    pub site: SiteName,
    /// Its class.
    pub class: Name,
    /// Area of the site (ISA-95), where told.
    pub area: Option<String>,
    /// Line of the area, where told.
    pub line: Option<String>,
    /// Unit of the line, where told.
    pub unit: Option<String>,
    /// What a source calls it, by source; a source that is not listed calls it by its own name.
    pub addresses: BTreeMap<Name, String>,
    /// The class's parameters resolved for this asset: `<signal>.<key>` to value and where it came from.
    pub parameters: BTreeMap<String, Parameter>,
}

/// A resolved parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its value: a number, or a span in nanoseconds for the delays.
    pub value: Setting,
    /// Where it was set: `classes/machine.yaml:7`, `assets/home.yaml:12`.
    pub from: String,
}

/// A number or a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// A number in the unit of the signal.
    Number(f64),
    /// A length of time.
    Span(Span),
}

/// The template of assets.
#[derive(Debug, Clone)]
pub struct Class {
    /// Its signals.
    pub signals: BTreeMap<SignalName, Signal>,
}

/// One time series of every asset of a class.
#[derive(Debug, Clone)]
pub struct Signal {
    /// The kind of its values.
    pub kind: Kind,
    /// Its unit in UCUM; `1` where it has none.
    pub unit: String,
    /// Lowest and highest value that can be true; others are stored with quality uncertain.
    pub range: Option<(f64, f64)>,
    /// Which of its samples need not be kept for long; `None`: all are kept.
    pub reduce: Option<Reduction>,
    /// What its numbers are called, where they are states; `None`: they are numbers.
    pub states: Option<Arc<BTreeMap<i64, String>>>,
}

impl Signal {
    /// The number of a state by its name; `None` where it has no state of that name.
    pub fn state(&self, name: &str) -> Option<i64> {
        let mut states = self.states.iter().flat_map(|states| states.iter());
        states.find(|(_, known)| known.as_str() == name).map(|(number, _)| *number)
    }
}

/// Where a subscriber's events are published.
#[derive(Debug, Clone)]
pub enum PublishTo {
    /// At a broker.
    Broker(Broker),
    /// At a listener of the instance, to its clients.
    Listener(Name),
}

/// Where events go.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// Where they are published.
    pub to: PublishTo,
    /// The event types; empty: all.
    pub types: Vec<String>,
    /// 0 or 1.
    pub qos: u8,
    /// The topic over `{site}`, `{area}`, `{line}`, `{asset}`, `{type}`.
    pub topic: Template,
    /// The payload over the event's JSON, compiled without variables; `None`: the event itself.
    pub payload: Option<Program>,
}

impl Contract {
    /// Nothing but the built-in schemas: what a contract that is made by hand, as in tests, begins with.
    pub fn empty() -> Self {
        Self {
            revision: String::new(),
            files: BTreeMap::new(),
            name: "empty".into(),
            instances: BTreeMap::new(),
            sites: BTreeMap::new(),
            assets: BTreeMap::new(),
            classes: BTreeMap::new(),
            sources: BTreeMap::new(),
            rules: BTreeMap::new(),
            schemas: Schemas::built_in(),
            identifiers: Identifiers::default(),
            workflows: BTreeMap::new(),
            capabilities: BTreeMap::new(),
            systems: BTreeMap::new(),
            routes: Vec::new(),
            ownership: Ownership::default(),
            exceptions: Exceptions::default(),
            subscribers: BTreeMap::new(),
            retention: Retention::default(),
            shelving: Shelving::default(),
            scenarios: BTreeMap::new(),
        }
    }

    /// An operation by its name; `None` when an edit removed it.
    pub fn operation(&self, name: &OperationRef) -> Option<(&System, &Operation)> {
        let system = self.systems.get(&name.system)?;
        Some((system, system.operations.get(&name.operation)?))
    }
}
