//! Events that somebody else has found: CloudEvents of a canonical type, or anything that a mapping makes one of.
//!
//! Who sends CloudEvents reads the answer: one that does not fit refuses the request. What platforms send by webhook
//! nobody reads the answer of: what does not fit is set aside with its bytes, and the others go on.

use super::{
    Admitted, BodyProblem, Head, HttpIngest, PROBLEMS_MAX, Refusal,
    body::{self, Form},
    cloud::{ATTRIBUTE_MAX, is_json},
    reader::{self, Place},
    repeat::Begin,
    samples::{Failed, Stop},
    table::{self, Table},
};
use crate::{
    mapping::Incoming,
    payload,
    problem::{Problem, quote},
    source::Quarantine,
    value,
};
use andon_contract::{
    contract::{Contract, EventMapping, HttpSource, MappedEvent, MappedTo, Source, TimeForm},
    expr::{NoNames, Program, truthy},
};
use andon_model::{Event, EventId, ExceptionId, Name, SiteName, Time, sample::Counts, time::Unit};
use andon_store::{Store, StoreError, rows::Write};
use serde_json::{Map, Value as Json, json};
use std::{collections::HashMap, sync::PoisonError};

/// Events of one request.
pub const EVENTS_MAX: usize = 1_000;
/// The largest body of events, decompressed, in bytes.
pub const EVENTS_BODY_MAX: usize = 4 << 20;
/// The longest name that somebody else gives an event, in bytes.
const ID_MAX: usize = 1_024;

/// What became of posted events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raised {
    /// All of it is durable: answer 202.
    Accepted(Told),
    /// Nothing of it is stored.
    Refused(Refusal),
}

/// What is told of accepted events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// The ids of all events, in their order, also of those that were there already.
    pub events: Vec<String>,
    /// Those that were there already.
    pub duplicate: u64,
    /// Those of which a mapping makes nothing.
    pub ignored: u64,
    /// The exceptions of those that were set aside.
    pub set_aside: Vec<String>,
    /// It is the answer to an earlier request with the same key.
    pub replayed: bool,
}

impl Told {
    fn to_json(&self) -> Json {
        json!({
            "events": self.events, "duplicate": self.duplicate, "ignored": self.ignored, "set_aside": self.set_aside
        })
    }

    fn of_json(json: &Json) -> Self {
        let count = |name: &str| json.get(name).and_then(Json::as_u64).unwrap_or(0);
        let texts = |name: &str| {
            let list = json.get(name).and_then(Json::as_array).into_iter().flatten();
            list.filter_map(Json::as_str).map(str::to_owned).collect()
        };
        Self {
            events: texts("events"),
            duplicate: count("duplicate"),
            ignored: count("ignored"),
            set_aside: texts("set_aside"),
            replayed: true,
        }
    }
}

/// What one element is to become.
pub(super) enum Becomes {
    Event(Box<Event>),
    Nothing,
}

/// Why an element becomes no event.
pub(super) struct Unfit {
    code: &'static str,
    /// Keys of the element, `/data` for example.
    at: String,
    cause: String,
    found: String,
    remedy: String,
}

impl Unfit {
    fn new(code: &'static str, at: &str, cause: impl Into<String>, found: impl Into<String>, remedy: &str) -> Self {
        Self { code, at: at.to_owned(), cause: cause.into(), found: found.into(), remedy: remedy.to_owned() }
    }
}

/// An element of a body, with the bytes it is set aside with.
pub(super) struct Element<'a> {
    pub(super) place: Place,
    pub(super) json: Json,
    pub(super) bytes: std::borrow::Cow<'a, [u8]>,
}

impl HttpIngest {
    /// Takes a request to `/events`; returns when what it brought is durable.
    pub fn raise(&self, admitted: &Admitted, head: &Head<'_>, sent: &[u8], now: Time) -> Result<Raised, Failed> {
        self.tidy(now)?;
        match self.take_events(admitted, head, sent, now) {
            Ok(told) => Ok(Raised::Accepted(told)),
            Err(Stop::Failed(failed)) => Err(failed),
            Err(Stop::Refused(refusal)) => {
                self.count_refused(&refusal)?;
                Ok(Raised::Refused(refusal))
            }
        }
    }

    fn take_events(&self, admitted: &Admitted, head: &Head<'_>, sent: &[u8], now: Time) -> Result<Told, Stop> {
        let webhook = self.door.webhook(admitted, head, sent, now)?;
        let body = body::decode(head.one("content-encoding")?, sent)?;
        if body.len() > EVENTS_BODY_MAX {
            let cause = format!("{} bytes of events are more than {EVENTS_BODY_MAX}", body.len());
            return Err(Refusal::new(413, cause, "send fewer events at once").into());
        }
        if self.door.http.events.is_empty() && !admitted.form.is_cloud() {
            let cause = "the source makes no events of what is posted";
            return Err(Refusal::new(422, cause, "add `events` to the source, or send CloudEvents").into());
        }
        let ticket = match self.begin("events", admitted, head, webhook, &body, now)? {
            Begin::Plain => None,
            Begin::New(ticket) => Some(ticket),
            Begin::Answered(answer) => return Ok(Told::of_json(&answer)),
        };
        let form = admitted.form;
        let mut broken = Vec::new();
        let elements = match elements(form, head, &body, &mut broken) {
            Ok(elements) => elements,
            // Bytes of a platform are kept, whatever they are.
            Err(refusal) if !form.is_cloud() && refusal.status == 400 => {
                broken = vec![(&*body, first_cause(&refusal))];
                Vec::new()
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let count = (elements.len() + broken.len()) as u64;
        if count > EVENTS_MAX as u64 {
            let refusal = Refusal::new(413, format!("the body has {count} events"), "send at most 1,000");
            return Err(Refusal { samples: count, ..refusal }.into());
        }

        // Two requests with one event must not both find it missing.
        let births = self.births.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Told::default();
        let mut aside = Aside { quarantine: Quarantine::default(), exceptions: Vec::new(), count: 0 };
        let mut problems = Vec::new();
        let mut born: HashMap<EventId, Event> = HashMap::new();
        let mut writes = Vec::new();
        let maker = self.maker(now);
        for element in elements {
            let becomes = maker.becomes(form, &element, now);
            match becomes.and_then(|becomes| compare(&self.store, becomes, &mut born)) {
                Ok(Born::Ignored) => told.ignored += 1,
                Ok(Born::Known(id)) => {
                    told.duplicate += 1;
                    told.events.push(id.to_string());
                }
                Ok(Born::New(event)) => {
                    told.events.push(event.id.to_string());
                    let fact = self.contract.schemas.interval(&event.schema, &event.data);
                    writes.push(Write::event(event, None, fact));
                }
                Err(Trouble::Unfit(unfit, _)) if form.is_cloud() => {
                    problems.push(BodyProblem {
                        pointer: if form == Form::CloudBinary {
                            unfit.at
                        } else {
                            element.place.pointer("") + &unfit.at
                        },
                        cause: format!("{}: {}", unfit.cause, unfit.found),
                        remedy: unfit.remedy,
                    });
                }
                Err(Trouble::Unfit(unfit, site)) => {
                    self.set_aside(&mut aside, &unfit, site.as_ref(), &element.bytes, now);
                }
                Err(Trouble::Store(error)) => return Err(error.into()),
            }
        }
        if !problems.is_empty() {
            return Err(Refusal::content(problems, count).into());
        }
        for (bytes, cause) in broken {
            self.set_aside(&mut aside, &unreadable(cause), None, bytes, now);
        }
        told.set_aside = aside.exceptions.iter().map(ToString::to_string).collect();
        writes.extend(aside.quarantine.into_writes());
        match &ticket {
            Some(ticket) => self.finish(ticket, &told.to_json(), now, writes)?,
            None if writes.is_empty() => {}
            None => drop(self.store.commit(writes)?),
        }
        drop(births);
        if aside.count > 0 {
            self.count(Counts { received: aside.count, quarantined: aside.count, ..Counts::default() })?;
        }
        Ok(told)
    }

    fn set_aside(&self, aside: &mut Aside, unfit: &Unfit, site: Option<&SiteName>, bytes: &[u8], now: Time) {
        let problem = problem(unfit);
        let topic = topic(&self.name);
        let message = Incoming { topic: &topic, payload: bytes, retained: false, received: now };
        aside.quarantine.add(&self.contract, &self.name, site, &problem, message);
        aside.count += 1;
        let exception = Problem::exception(&problem.fingerprint(&self.name, site));
        if !aside.exceptions.contains(&exception) {
            aside.exceptions.push(exception);
        }
    }

    fn maker(&self, recorded: Time) -> Maker<'_> {
        let Self { contract, name, source, door, table, .. } = self;
        Maker { contract, name, source, http: &door.http, table, recorded }
    }
}

fn first_cause(refusal: &Refusal) -> String {
    refusal.problems.first().map_or_else(String::new, |problem| problem.cause.clone())
}

pub(super) fn unreadable(cause: String) -> Unfit {
    Unfit::new("not-json", "", "the body cannot be read", cause, "correct what the platform sends")
}

/// Where posts that are set aside came to.
pub(super) fn topic(source: &Name) -> String {
    format!("/v1/sources/{source}/events")
}

pub(super) fn problem(unfit: &Unfit) -> Problem {
    Problem {
        code: unfit.code,
        place: format!("events{}", unfit.at),
        cause: unfit.cause.clone(),
        detail: unfit.found.clone(),
        remedy: unfit.remedy.clone(),
    }
}

/// Makes events of elements, by themselves.
pub(super) struct Maker<'a> {
    pub(super) contract: &'a Contract,
    pub(super) name: &'a Name,
    pub(super) source: &'a Source,
    pub(super) http: &'a HttpSource,
    pub(super) table: &'a Table,
    pub(super) recorded: Time,
}

impl Maker<'_> {
    /// What an element becomes, by itself.
    pub(super) fn becomes(&self, form: Form, element: &Element<'_>, now: Time) -> Result<Becomes, Trouble> {
        let json = &element.json;
        if !json.is_object() {
            let remedy = "send an object, or an array of them";
            return Err(Unfit::new("no-object", "", "an event is an object", quote(&json.to_string()), remedy).into());
        }
        if form.is_cloud() {
            check_envelope(json)?;
            let kind = json.get("type").and_then(Json::as_str).unwrap_or_default();
            if kind.contains('.') && self.contract.schemas.json(kind).is_some() {
                return self.canonical(json, kind, now);
            }
            if self.http.events.is_empty() {
                let known = self.contract.schemas.names().filter(|name| name.contains('.'));
                let known: Vec<String> = known.filter_map(|name| name.split('/').next().map(str::to_owned)).collect();
                let remedy = format!("send one of {}, or add a mapping to the source", known.join(", "));
                let cause = "there is no such type of event, and the source has no mapping";
                return Err(Unfit { remedy, ..Unfit::new("event-type", "/type", cause, quote(kind), "") }.into());
            }
        }
        self.mapped(element, now)
    }

    /// A `CloudEvent` of a canonical type.
    fn canonical(&self, json: &Json, kind: &str, now: Time) -> Result<Becomes, Trouble> {
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default();
        let foreign = Foreign {
            kind,
            subject: text("subject"),
            time: json.get("time"),
            name: &[text("source").as_bytes(), text("id").as_bytes()],
            data: json.get("data").cloned().unwrap_or(Json::Null),
            places: Places { subject: "/subject", time: "/time", data: "/data" },
        };
        self.event(foreign, now)
    }

    /// What the first mapping that takes an element makes of it.
    fn mapped(&self, element: &Element<'_>, now: Time) -> Result<Becomes, Trouble> {
        for (number, EventMapping { when, to }) in self.http.events.iter().enumerate() {
            let place = |key: &str| format!("/{number}/{key}");
            if let Some(when) = when {
                let holds = when.eval(&element.json, &[], &NoNames).map_err(|error| failed(&place("when"), &error))?;
                if !truthy(&holds) {
                    continue;
                }
            }
            let MappedTo::Event(mapped) = to else { return Ok(Becomes::Nothing) };
            let MappedEvent { kind, subject, time, id, data } = &**mapped;
            let eval = |program: &Program, key: &str| {
                program.eval(&element.json, &[], &NoNames).map_err(|error| failed(&place(key), &error))
            };
            let called = eval(subject, "subject")?;
            let time = time.as_ref().map(|time| eval(time, "time")).transpose()?;
            let id = id.as_ref().map(|id| eval(id, "id")).transpose()?;
            let data = eval(data, "data")?;
            let own = id.map(|id| own_name(&id, &place("id"))).transpose()?;
            let (places_subject, places_time, places_data) = (place("subject"), place("time"), place("data"));
            let Some(subject) = called.as_str() else {
                let remedy = "let `subject` give the name of an asset, as this source calls it";
                let found = quote(&called.to_string());
                return Err(
                    Unfit::new("event-subject", &places_subject, "the subject is no text", found, remedy).into()
                );
            };
            let foreign = Foreign {
                kind,
                subject,
                time: time.as_ref().filter(|time| !time.is_null()),
                name: match &own {
                    Some(own) => &[b"id", own.as_bytes()],
                    None => &[b"bytes", &element.bytes],
                },
                data,
                places: Places { subject: &places_subject, time: &places_time, data: &places_data },
            };
            return self.event(foreign, now);
        }
        let found = quote(&String::from_utf8_lossy(&element.bytes));
        let remedy = "add a mapping that takes it, or one with `ignore` that says why it means nothing";
        Err(Unfit::new("no-mapping", "", "no mapping of the source takes it", found, remedy).into())
    }

    fn event(&self, foreign: Foreign<'_>, now: Time) -> Result<Becomes, Trouble> {
        let Foreign { kind, subject, time, name, data, places } = foreign;
        let (about, site) = self.about(kind, subject, places.subject)?;
        let unfit = |unfit: Unfit| Trouble::Unfit(unfit, Some(site.clone()));
        let claimed = time.map(|time| self.claimed(time)).transpose();
        let moment = claimed.and_then(|claimed| value::moment(claimed, now, self.source.ahead, false));
        let moment = moment.map_err(|wrong| {
            let remedy = "send RFC 3339, or milliseconds since 1970 by the mapping's `time`";
            unfit(Unfit::new(wrong.code, places.time, wrong.cause, wrong.found, remedy))
        })?;
        let mut parts: Vec<&[u8]> = vec![b"posted", self.name.as_str().as_bytes()];
        parts.extend(name);
        let id = EventId::derived(&parts);
        let event = Event {
            id,
            kind: kind.to_owned(),
            source: format!("/{site}/sources/{}", self.name),
            time: moment.time,
            subject: about.clone(),
            schema: self.contract.schemas.full_name(kind).unwrap_or_default(),
            site: site.clone(),
            key: about,
            correlation: id,
            causation: None,
            recorded: self.recorded,
            data,
        };
        self.contract.schemas.check_event(&event).map_err(|mismatch| {
            let (at, message) = mismatch.problems.first().cloned().unwrap_or_default();
            // In a mapping the place is that of the key that gives the data; what is wrong in them stands in the text.
            let (pointer, found) = match places.data {
                "/data" => (format!("/data{at}"), message),
                key => (key.to_owned(), format!("at {}: {message}", if at.is_empty() { "/" } else { &at })),
            };
            let cause = format!("the data do not fit {}", mismatch.schema);
            unfit(Unfit::new("event-data", &pointer, cause, quote_long(&found), "correct the data of the event"))
        })?;
        Ok(Becomes::Event(Box::new(event)))
    }

    /// What an event is about, and whose it is: an asset as this source calls it; of an object its name.
    fn about(&self, kind: &str, subject: &str, place: &str) -> Result<(String, SiteName), Trouble> {
        if let Some(object) = table::object_of(self.contract, kind, subject) {
            return object.map(|name| (name.to_string(), name.site)).ok_or_else(|| {
                let remedy = "write `<Type>/<site>/<number>`, such as ProductionOrder/hamburg/1000123";
                let cause = "the subject is not the name of such an object at a site of the project";
                Unfit::new("object-name", place, cause, quote(subject), remedy).into()
            });
        }
        let Some((asset, site)) = self.table.asset(subject) else {
            let remedy = "declare the asset, or give one this address";
            let cause = "no asset has this name in the source";
            return Err(Unfit::new("unknown-asset", place, cause, quote(subject), remedy).into());
        };
        Ok((asset.to_string(), site.clone()))
    }

    fn claimed(&self, time: &Json) -> Result<Time, value::Wrong> {
        let form = if time.is_number() { TimeForm::Number(Unit::Ms) } else { TimeForm::Text };
        value::time_of(&payload::leaf_of(time), form, &self.source.zone)
    }
}

/// Compares an event with that of its id, in this request, in the event log, and among what confirms another event.
pub(super) fn compare(store: &Store, becomes: Becomes, born: &mut HashMap<EventId, Event>) -> Result<Born, Trouble> {
    let Becomes::Event(event) = becomes else { return Ok(Born::Ignored) };
    let same = |known: &Event| {
        if known.kind == event.kind && known.subject == event.subject && known.data == event.data {
            return Ok(Born::Known(event.id));
        }
        let cause = "an event of this name is there already, with another content";
        let remedy = "give each event a name of its own: `source` and `id` of a CloudEvent, `id` of a mapping";
        let unfit = Unfit::new("same-event", "", cause, event.id.to_string(), remedy);
        Err(Trouble::Unfit(unfit, Some(event.site.clone())))
    };
    if let Some(known) = born.get(&event.id) {
        return same(known);
    }
    if let Some((known, _)) = store.event(event.id).map_err(Trouble::Store)? {
        return same(&known.event);
    }
    if let Some(row) = store.confirmation(event.id).map_err(Trouble::Store)? {
        // What is stored was an event of ours: it reads back.
        return Event::from_json(&row.event).map_or(Ok(Born::Known(event.id)), |known| same(&known));
    }
    born.insert(event.id, (*event).clone());
    Ok(Born::New(event))
}

struct Aside {
    quarantine: Quarantine,
    exceptions: Vec<ExceptionId>,
    count: u64,
}

/// What somebody else says of an event.
struct Foreign<'a> {
    kind: &'a str,
    subject: &'a str,
    time: Option<&'a Json>,
    /// What it is called there.
    name: &'a [&'a [u8]],
    data: Json,
    places: Places<'a>,
}

struct Places<'a> {
    subject: &'a str,
    time: &'a str,
    data: &'a str,
}

pub(super) enum Born {
    New(Box<Event>),
    Known(EventId),
    Ignored,
}

pub(super) enum Trouble {
    Unfit(Unfit, Option<SiteName>),
    Store(StoreError),
}

impl From<Unfit> for Trouble {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit, None)
    }
}

fn failed(place: &str, error: &andon_contract::expr::EvalError) -> Unfit {
    let remedy = "correct the expression of the mapping, or let `when` not take such a body";
    Unfit::new("mapping", place, "the mapping fails", quote_long(&error.to_string()), remedy)
}

fn quote_long(text: &str) -> String {
    text.chars().take(400).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A name that a mapping gives an event.
fn own_name(id: &Json, place: &str) -> Result<String, Unfit> {
    let name = match id {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    };
    if name.is_empty() || name.len() > ID_MAX {
        let remedy = "let `id` give a text of 1 to 1,024 bytes, or a number";
        return Err(Unfit::new("event-id", place, "the id is none", quote(&id.to_string()), remedy));
    }
    Ok(name)
}

/// The attributes that every `CloudEvent` has.
fn check_envelope(json: &Json) -> Result<(), Unfit> {
    let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default();
    let found = |name: &str| json.get(name).map_or_else(|| "nothing".to_owned(), |json| quote(&json.to_string()));
    let wrong = |name: &str, cause: &str, remedy: &str| {
        Err(Unfit::new("envelope", &format!("/{name}"), cause, found(name), remedy))
    };
    if text("specversion") != "1.0" {
        return wrong("specversion", "the version is not 1.0", "send `specversion` 1.0");
    }
    for name in ["id", "source", "type"] {
        if text(name).is_empty() || text(name).len() > ATTRIBUTE_MAX {
            return wrong(name, "an event has this attribute, a text", "send it, with at most 1,024 bytes");
        }
    }
    if json.get("data_base64").is_some() {
        return wrong("data_base64", "the data are bytes", "send JSON in `data`");
    }
    match json.get("datacontenttype") {
        Some(Json::String(media)) if !is_json(media) => {
            wrong("datacontenttype", "the data are no JSON", "send `application/json`")
        }
        Some(Json::String(_) | Json::Null) | None => Ok(()),
        Some(_) => wrong("datacontenttype", "the media type is no text", "send `application/json`"),
    }
}

/// The elements of a body, each with the bytes it is set aside with. Lines that are no JSON are `broken`, with why.
fn elements<'a>(
    form: Form,
    head: &Head<'_>,
    body: &'a [u8],
    broken: &mut Vec<(&'a [u8], String)>,
) -> Result<Vec<Element<'a>>, Refusal> {
    let parse = |bytes: &[u8]| {
        payload::parse(bytes)
            .map_err(|not| Refusal::new(400, format!("{}: {}", not.cause, not.detail), "correct the JSON"))
    };
    let whole = |json| vec![Element { place: Place::default(), json, bytes: body.into() }];
    if form == Form::Lines {
        let lines = reader::text(body)?.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty());
        let element = |(number, line): (usize, &'a str)| {
            let place = Place { element: Some(number), ..Place::default() };
            match parse(line.as_bytes()) {
                Ok(json) => Some(Element { place, json, bytes: line.as_bytes().into() }),
                Err(refusal) => {
                    broken.push((line.as_bytes(), first_cause(&refusal)));
                    None
                }
            }
        };
        return Ok(lines.enumerate().filter_map(element).collect());
    }
    let json = parse(body)?;
    let list = match (form, json) {
        (Form::CloudBinary, data) => return Ok(whole(binary(head, data)?)),
        (Form::Json | Form::CloudBatch, Json::Array(list)) => list,
        (Form::CloudBatch, _) => return Err(Refusal::new(422, "the batch is no array", "send an array of events")),
        (_, one) => return Ok(whole(one)),
    };
    if list.is_empty() {
        return Err(Refusal::new(422, "the array is empty", "send at least one event"));
    }
    let element = |(number, json): (usize, Json)| {
        let bytes = json.to_string().into_bytes().into();
        Element { place: Place { element: Some(number), ..Place::default() }, json, bytes }
    };
    Ok(list.into_iter().enumerate().map(element).collect())
}

/// An event whose attributes are headers, as it would be in structured form.
fn binary(head: &Head<'_>, data: Json) -> Result<Json, Refusal> {
    let mut event = Map::new();
    for (name, _) in head.headers {
        let Some(attribute) = name.strip_prefix("ce-") else { continue };
        let value = head.one(name)?.unwrap_or_default();
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        event.insert(attribute.to_owned(), value.into_owned().into());
    }
    event.insert("data".to_owned(), data);
    Ok(Json::Object(event))
}

/// Reads a body as far as that goes without a contract.
pub(super) fn fuzz(body: &[u8]) {
    for form in [Form::Json, Form::Lines, Form::Cloud, Form::CloudBatch, Form::CloudBinary] {
        let head = Head { headers: &[("ce-id".to_owned(), "%41".to_owned())], query: "" };
        for element in elements(form, &head, body, &mut Vec::new()).unwrap_or_default().iter().take(PROBLEMS_MAX) {
            let _ = check_envelope(&element.json);
        }
    }
}
