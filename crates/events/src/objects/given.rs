//! Objects that are given: by the API, and by events of the type `<object>.changed` that others told.

use super::{Objects, Teller, aside};
use andon_model::{
    Event, Name, Time,
    object::{Item, Since, Told, Unfit},
    schema::changed_event,
};
use andon_store::{ObjectName, StoreError, rows::Write};
use serde_json::{Value as Json, json};

/// The name of the reader of the event log.
pub const CURSOR: &str = "objects";
/// Events that are looked through in one step.
const STEP_EVENTS: usize = 500;
/// Events that are passed without a word about it at most; so many are looked through again after a start.
const PASSED_MAX: u64 = 1_000;

/// What a body or an event may say.
const KEYS: [&str; 8] = ["object", "from", "to", "assets", "line", "change", "changes", "origin"];

/// What a body or an event tells of an object: `{object, from, to, assets, line, change}`. Without `from` it always was
/// valid, null says that it is not valid yet. Without `assets` those of the object itself count.
pub fn of_body(name: &ObjectName, schema: &str, body: &Json) -> Result<Told, Unfit> {
    let unfit = |place: &str, cause: &str, found: &Json, remedy: &str| Unfit {
        code: "body",
        place: place.to_owned(),
        cause: cause.to_owned(),
        found: found.to_string().chars().take(120).collect(),
        remedy: remedy.to_owned(),
    };
    let Some(fields) = body.as_object() else {
        return Err(unfit("", "this is no object", body, "send `{\"object\": { ... }, \"assets\": [ ... ]}`"));
    };
    if let Some((key, value)) = fields.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
        let remedy = "leave it out; the fields of the object stand in `object`";
        return Err(unfit(&format!("/{key}"), "nobody knows this key", value, remedy));
    }
    let time = |key: &str| match fields.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if Time::parse(text).is_ok() => Ok(Time::parse(text).ok()),
        Some(other) => Err(unfit(&format!("/{key}"), "this is no time", other, "write RFC 3339, or null")),
    };
    let from = match (fields.contains_key("from"), time("from")?) {
        (false, _) => Since::Always,
        (true, None) => Since::NotYet,
        (true, Some(time)) => Since::Time(time),
    };
    let mut data = fields.get("object").cloned().unwrap_or(Json::Null);
    let list = match fields.get("assets") {
        Some(list) => Some(list),
        None => data.get("assets"),
    };
    let assets = match list {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(list)) => {
            let one = |value: &Json| {
                value
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| unfit("/assets", "this is no name", value, "write names"))
            };
            list.iter().map(one).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(unfit("/assets", "a list is needed", other, "write a list of names of assets")),
    };
    let line = match fields.get("line") {
        None | Some(Json::Null) => None,
        Some(Json::String(line)) => Some(line.clone()),
        Some(other) => return Err(unfit("/line", "this is no name", other, "write the name of a line")),
    };
    if let Some(own) = data.as_object_mut() {
        own.entry("number").or_insert_with(|| name.number.as_str().into());
        own.entry("site").or_insert_with(|| name.site.as_str().into());
    }
    Ok(Told {
        object: schema.to_owned(),
        site: name.site.to_string(),
        number: name.number.clone(),
        from,
        to: time("to")?,
        assets,
        line,
        data,
        gone: fields.get("change") == Some(&json!("closed")) && !fields.contains_key("to"),
    })
}

/// The loop over the event log: what others told by events becomes known.
#[derive(Debug)]
pub struct Given {
    objects: Objects,
    at: u64,
    /// Where the cursor stands in the store.
    saved: u64,
}

impl Given {
    /// Goes on where it was left; in a store without cursor behind the last event, since what came before was not for
    /// it.
    pub fn new(objects: Objects) -> Result<Self, StoreError> {
        let at = if let Some(at) = objects.store.cursor(CURSOR)? {
            at
        } else {
            let at = objects.store.last_sequence()?;
            objects.store.commit(vec![Write::Cursor(CURSOR.to_owned(), at)])?;
            at
        };
        Ok(Self { objects, at, saved: at })
    }

    /// Looks through the events behind the cursor. Whether there may be more.
    pub fn step(&mut self, now: Time) -> Result<bool, StoreError> {
        let events = self.objects.store.events_after(self.at, STEP_EVENTS)?;
        for stored in &events {
            if let Some(name) = theirs(&stored.event) {
                self.take(&stored.event, &name, stored.sequence, now)?;
                self.saved = stored.sequence;
            }
            self.at = stored.sequence;
        }
        if self.at - self.saved >= PASSED_MAX {
            self.objects.store.commit(vec![Write::Cursor(CURSOR.to_owned(), self.at)])?;
            self.saved = self.at;
        }
        Ok(events.len() == STEP_EVENTS)
    }

    fn take(&self, event: &Event, name: &ObjectName, sequence: u64, now: Time) -> Result<(), StoreError> {
        let objects = &self.objects;
        let of = event.source.strip_prefix(&format!("/{}/", event.site)).unwrap_or(&event.source).to_owned();
        let version = event.schema.rsplit_once('/').map_or("1", |(_, version)| version);
        let major = version.split('.').next().unwrap_or("1");
        let told = of_body(name, &format!("{}/{major}", name.kind), &event.data);
        let told = told.map(|told| Told { to: told.to.or(told.gone.then_some(event.time)), ..told });
        let item = Item { bytes: event.to_json(Some(sequence)).to_string().into_bytes(), told };
        let teller = Teller { of: of.clone(), max_age: None, home: name.site.clone() };
        let source = Name::new(of.rsplit('/').next().unwrap_or("events"));
        let source = source.unwrap_or_else(|_| Name::new("events").expect("it is a name"));
        objects.take(&teller, vec![item], true, now, |taken| {
            let aside = taken.unfit.iter().flat_map(|(unfit, bytes)| {
                aside(&objects.contract, &format!("events/{of}"), &source, unfit, bytes, now)
            });
            aside.chain([Write::Cursor(CURSOR.to_owned(), sequence)]).collect()
        })?;
        Ok(())
    }
}

/// The object of an event that others told; those of reads and of the API are told already.
fn theirs(event: &Event) -> Option<ObjectName> {
    let name = ObjectName::parse(&event.subject)?;
    let kind = changed_event(&name.kind);
    let is_changed = event.kind == kind || event.kind.strip_prefix(&kind).is_some_and(|rest| rest.starts_with(".v"));
    let ours = |what: &str| event.source.starts_with(&format!("/{}/{what}", event.site));
    (is_changed && name.site == event.site && !ours("reads/") && !ours("api")).then_some(name)
}
