//! The contract: a project after loading and checking. What exists here is valid, so nobody
//! checks again.

use crate::{expr::Program, workflow::Definition};
use andon_model::{
    AssetName, Name, Schemas, SignalName, SiteName,
    span::Span,
    time::{Unit, Zone},
    value::Kind,
};
use serde_json::Value as Json;
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
    /// The capabilities, by name without major: only the newest major is offered under the plain name.
    pub capabilities: BTreeMap<String, Capability>,
    /// The systems of record, by name.
    pub systems: BTreeMap<Name, System>,
    /// The routes in the order of the file; the first that matches wins.
    pub routes: Vec<Route>,
    /// Who answers for what.
    pub ownership: Ownership,
    /// Where events go.
    pub subscribers: BTreeMap<Name, Subscriber>,
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
}

/// A connection to the plant side.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it speaks.
    pub kind: SourceKind,
    /// Whether plant time goes on between samples.
    pub clock: Clock,
    /// The zone of times that name none.
    pub zone: Zone,
    /// A time this much later than the receive time is not believed; default 5 min.
    pub ahead: Span,
}

/// Whether plant time goes on between the samples of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Plant time goes on with the monotonic time since the newest sample's receipt.
    Live,
    /// Plant time stands between samples: a replay.
    Recorded,
}

/// The protocol of a source with its settings.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// MQTT 3.1.1 or 5 towards a broker.
    Mqtt(MqttSource),
    /// Samples posted to the API: `POST /v1/sources/<name>/samples`.
    Http(HttpSource),
}

/// An MQTT source.
#[derive(Debug, Clone)]
pub struct MqttSource {
    /// The broker.
    pub broker: Broker,
    /// How long the broker keeps our session while we are away; MQTT 5 only. Default 7 days.
    pub session_expiry: Span,
    /// The topics, in the order of the file; a message belongs to the first that matches.
    pub topics: Vec<TopicMapping>,
}

/// A broker and how to come in.
#[derive(Debug, Clone)]
pub struct Broker {
    /// `mqtt://host:port`.
    pub address: Address,
    /// The protocol version.
    pub version: MqttVersion,
    /// User and password, where the broker wants them.
    pub credentials: Option<UserPassword>,
    /// Keep-alive; default 30 s.
    pub keep_alive: Span,
}

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1.
    V3,
    /// 5.
    V5,
}

/// A user and a password by reference.
#[derive(Debug, Clone)]
pub struct UserPassword {
    /// The user.
    pub user: String,
    /// The password, read at each use.
    pub password: Secret,
}

/// A secret by reference; read at each use, never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable.
    Env(String),
    /// A file; surrounding white space is left out.
    File(String),
}

/// An address that the environment may override: `env:NAME else mqtt://127.0.0.1:1883`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The environment variable that overrides, where named.
    pub env: Option<String>,
    /// The address otherwise.
    pub default: String,
}

impl Address {
    /// The address in force, with the environment given by the caller.
    pub fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) -> String {
        self.env.as_deref().and_then(env).filter(|v| !v.is_empty()).unwrap_or_else(|| self.default.clone())
    }
}

/// Messages of these topics become samples.
#[derive(Debug, Clone)]
pub struct TopicMapping {
    /// The levels of the topic.
    pub levels: Vec<Level>,
    /// The quality of service we subscribe with: 0, 1 or 2.
    pub qos: u8,
    /// The text that names the asset in this source, over the captures.
    pub asset: Template,
    /// The samples a message holds.
    pub signals: Vec<SignalMapping>,
}

/// One level of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// Exactly this text.
    Text(String),
    /// Anything, kept under this name.
    Capture(String),
}

impl TopicMapping {
    /// The filter to subscribe to: captures become `+`.
    pub fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Text(text) => text.as_str(),
                Level::Capture(_) => "+",
            })
            .collect();
        levels.join("/")
    }
}

/// A text with `{name}` places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its pieces in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// What is known under this name.
    Place(String),
}

impl Template {
    /// The text with every place filled; `Err` names the place nobody knows.
    pub fn fill<'a>(&self, known: &dyn Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(t) => text.push_str(t),
                Piece::Place(name) => text.push_str(known(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(text)
    }
}

/// How one sample is read from a message.
#[derive(Debug, Clone)]
pub struct SignalMapping {
    /// The signal's name over the captures.
    pub signal: Template,
    /// JSON pointer (RFC 6901) to the value; empty: the whole payload.
    pub value: Pointer,
    /// Where its time stands; `None`: the receive time.
    pub time: Option<TimeMapping>,
    /// JSON pointer to the quality, an OPC UA `StatusCode` as number; a message without it is good.
    pub quality: Option<Pointer>,
}

/// A JSON pointer, split into its unescaped tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The tokens; none stands for the whole.
    pub tokens: Vec<String>,
}

/// Where the time of a sample stands and how it is written.
#[derive(Debug, Clone)]
pub struct TimeMapping {
    /// JSON pointer to it.
    pub at: Pointer,
    /// How it is written.
    pub form: TimeForm,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// A number in this unit since 1970 UTC.
    Number(Unit),
    /// RFC 3339, or a date and time in the zone of the source.
    Text,
}

/// An HTTP source.
#[derive(Debug, Clone)]
pub struct HttpSource {
    /// The bearer token that callers must show, where one is asked for.
    pub token: Option<Secret>,
}

/// A rule with everything resolved per asset.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its class.
    pub class: Name,
    /// The signal it reads.
    pub signal: SignalName,
    /// The assets it holds for, with the settings in force there.
    pub assets: BTreeMap<AssetName, RuleSettings>,
}

/// What a rule does for one asset. Its version is the hash of these settings.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleSettings {
    /// Values beyond a limit.
    Limit(LimitSettings),
    /// A silent source.
    Stale(StaleSettings),
}

/// The four exclusive levels of a limit rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum LimitLevel {
    /// Above the highest limit.
    HighHigh,
    /// Above the high limit.
    High,
    /// Below the low limit.
    Low,
    /// Below the lowest limit.
    LowLow,
}

/// A limit rule for one asset; names as in OPC UA Part 9.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSettings {
    /// The limits that are set, with their severities (1 to 1000).
    pub limits: BTreeMap<LimitLevel, Limit>,
    /// The return is delayed until the value is back by this much.
    pub deadband: f64,
    /// The condition must hold this long in plant time before the alarm is active.
    pub on_delay: Span,
    /// The value must be back this long before the alarm ends.
    pub off_delay: Span,
    /// An alarm that stays active is told again after this long; `None`: never.
    pub realarm: Option<Span>,
    /// Unit of the signal.
    pub unit: String,
    /// Hash of the resolved meaning: changes when, and only when, the rule means something else here.
    pub version: String,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// In the unit of the signal.
    pub value: f64,
    /// 1 to 1000.
    pub severity: u16,
}

/// A stale rule for one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct StaleSettings {
    /// Without a sample for this long, by receive time, the alarm is active.
    pub after: Span,
    /// 1 to 1000.
    pub severity: u16,
    /// Hash of the resolved meaning.
    pub version: String,
}

/// What systems call our things, and what their words mean.
#[derive(Debug, Clone, Default)]
pub struct Identifiers {
    /// By system, kind (`asset`, `site`, `material`, `location`, `party`) and our name.
    pub names: BTreeMap<Name, BTreeMap<String, BTreeMap<String, String>>>,
    /// By system, map (`unit`, `state`, `reason`, `priority`, ...) and our value as text.
    pub values: BTreeMap<Name, BTreeMap<String, BTreeMap<String, Json>>>,
}

/// A canonical function.
#[derive(Debug, Clone)]
pub struct Capability {
    /// Its major version.
    pub version: u32,
    /// Who answers for its kind.
    pub domain: String,
    /// The team that answers for it.
    pub owner: Name,
    /// What it changes, in words; `None`: it only reads.
    pub effect: Option<String>,
    /// The schema of its input: `name/major`.
    pub input: String,
    /// The fields of its output with their JSON types.
    pub output: BTreeMap<String, String>,
    /// How quickly it is to be done.
    pub objective: Option<Objective>,
}

/// A promise about time.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Done within this span.
    pub within: Span,
    /// For so many of a hundred.
    pub percent: f64,
}

/// A system of record.
#[derive(Debug, Clone)]
pub struct System {
    /// Where it stands.
    pub zone: Name,
    /// The base of its addresses: `https://host/path`.
    pub base: Address,
    /// How we identify ourselves.
    pub credentials: Credentials,
    /// An attempt that takes longer has an unknown outcome; default 30 s.
    pub timeout: Span,
    /// When failed attempts are repeated.
    pub retry: Retry,
    /// Attempts under way at once; default 4.
    pub concurrent: u32,
    /// What it can do.
    pub operations: BTreeMap<Name, Operation>,
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
}

/// When failed attempts are repeated: `first`, then longer by `factor`, never longer than `max`,
/// until `within` is used up.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The first pause; default 1 s.
    pub first: Span,
    /// The longest pause; default 5 min.
    pub max: Span,
    /// How much longer each pause is; default 2.
    pub factor: f64,
    /// After this long the call is given up; default 24 h.
    pub within: Span,
}

/// What a system can do, bound to a capability.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The capability it implements.
    pub implements: String,
    /// What repeats do.
    pub idempotency: Idempotency,
    /// The request that makes the effect.
    pub request: Request,
    /// How the answer is read.
    pub response: Response,
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
}

/// A request as a map of fields. Expressions see the capability's input and the variables
/// `$key`, `$reference`, `$site`.
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
    /// The JSON body; `None`: no body.
    pub body: Option<FieldMap>,
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
}

/// How an answer is read. Expressions see the answer's body.
#[derive(Debug, Clone)]
pub struct Response {
    /// The number of the document; `None` for reads.
    pub document: Option<Program>,
    /// The capability's output.
    pub output: FieldMap,
}

/// Which system answers for a capability at a site.
#[derive(Debug, Clone)]
pub struct Route {
    /// The capability.
    pub capability: String,
    /// The site; `None`: every site.
    pub site: Option<SiteName>,
    /// The operation, or nobody with the reason.
    pub target: Target,
    /// Who is asked when certainly nothing happened at the first, in order.
    pub fallback: Vec<OperationRef>,
    /// The first day it holds, at the site's midnight in UTC nanoseconds; `None`: always.
    pub from: Option<andon_model::Time>,
    /// The line in `routes.yaml`.
    pub line: usize,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this operation.
    Operation(OperationRef),
    /// Nowhere: the task is skipped, and lineage says why.
    None {
        /// Why nobody answers there.
        reason: String,
    },
}

/// An operation of a system: `maximo.create-sr`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationRef {
    /// The system.
    pub system: Name,
    /// Its operation.
    pub operation: Name,
}

impl std::fmt::Display for OperationRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.system, self.operation)
    }
}

/// Who answers for what.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    /// The teams.
    pub teams: BTreeMap<Name, Team>,
    /// First match wins; the last line matches everything.
    pub lines: Vec<OwnershipLine>,
}

/// A team that can own exceptions.
#[derive(Debug, Clone, Default)]
pub struct Team {
    /// Its mail address.
    pub mail: Option<String>,
    /// Its webhook.
    pub webhook: Option<String>,
    /// Its hours, as written.
    pub hours: Option<String>,
}

/// One line of the ownership policy; what is not set matches everything.
#[derive(Debug, Clone)]
pub struct OwnershipLine {
    /// The domain of the capability, or `ingest` for messages.
    pub domain: Option<String>,
    /// The site.
    pub site: Option<SiteName>,
    /// The kind of exception: input, output, decision, drift, objective.
    pub kind: Option<String>,
    /// Who owns it.
    pub owner: Name,
}

/// Where events go.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// The broker.
    pub broker: Broker,
    /// The event types; empty: all.
    pub types: Vec<String>,
    /// 0 or 1.
    pub qos: u8,
    /// The topic over `{site}`, `{area}`, `{line}`, `{asset}`, `{type}`.
    pub topic: Template,
    /// The payload over the event's JSON; `None`: the event itself.
    pub payload: Option<Program>,
}

impl Contract {
    /// The route in force for a capability at a site and a moment; `None`: nobody answers.
    pub fn route(&self, capability: &str, site: &SiteName, now: andon_model::Time) -> Option<&Route> {
        self.routes.iter().find(|route| {
            route.capability == capability
                && route.site.as_ref().is_none_or(|s| s == site)
                && route.from.is_none_or(|from| now >= from)
        })
    }

    /// An operation by its name; `None` when an edit removed it.
    pub fn operation(&self, name: &OperationRef) -> Option<(&System, &Operation)> {
        let system = self.systems.get(&name.system)?;
        Some((system, system.operations.get(&name.operation)?))
    }

    /// The owner of an exception; the last line of the policy matches everything.
    pub fn owner(&self, kind: &str, domain: Option<&str>, site: Option<&SiteName>) -> Option<&Name> {
        self.ownership
            .lines
            .iter()
            .find(|line| {
                line.kind.as_deref().is_none_or(|k| k == kind)
                    && line.domain.as_deref().is_none_or(|d| Some(d) == domain)
                    && line.site.as_ref().is_none_or(|s| Some(s) == site)
            })
            .map(|line| &line.owner)
    }
}
