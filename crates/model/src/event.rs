//! Canonical events: `CloudEvents` 1.0 with the extensions every event of ours carries.

use crate::{id::EventId, name::SiteName, time::Time};
use serde_json::{Map, Value as Json, json};

/// A canonical fact. What it says about itself stands in the envelope, what happened in `data`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Derived from what made it, so that it exists once.
    pub id: EventId,
    /// Its type, such as `asset.alarm`; later majors end in `.v2`.
    pub kind: String,
    /// What made it: `/<site>/rules/<rule>` or `/<site>/workflows/<workflow>`.
    pub source: String,
    /// When it happened, in the time of the plant.
    pub time: Time,
    /// What it is about: an asset, or an object.
    pub subject: String,
    /// The schema of `data`: `andon:<type>/<major>.<minor>`.
    pub schema: String,
    /// The site it belongs to.
    pub site: SiteName,
    /// Events with the same key keep their order everywhere.
    pub key: String,
    /// The first event of the story; the event itself where it is the first.
    pub correlation: EventId,
    /// What caused it directly: an event, or a run; absent when nothing did.
    pub causation: Option<String>,
    /// When it was recorded here.
    pub recorded: Time,
    /// What happened, as its schema says.
    pub data: Json,
}

impl Event {
    /// The event as structured `CloudEvents` JSON. `sequence` is its order number in the event log
    /// of the owning instance, once it has one.
    pub fn to_json(&self, sequence: Option<u64>) -> Json {
        let mut json = Map::new();
        let mut put = |name: &str, value: Json| json.insert(name.to_owned(), value);
        put("specversion", "1.0".into());
        put("id", json!(self.id));
        put("source", self.source.as_str().into());
        put("type", self.kind.as_str().into());
        put("time", json!(self.time));
        put("subject", self.subject.as_str().into());
        put("dataschema", self.schema.as_str().into());
        put("datacontenttype", "application/json".into());
        put("site", self.site.as_str().into());
        put("partitionkey", self.key.as_str().into());
        if let Some(number) = sequence {
            put("sequence", format!("{number:020}").into());
        }
        put("correlationid", json!(self.correlation));
        if let Some(cause) = &self.causation {
            put("causationid", cause.as_str().into());
        }
        put("recordedtime", json!(self.recorded));
        put("data", self.data.clone());
        Json::Object(json)
    }

    /// Reads back what [`Event::to_json`] wrote, or says which attribute is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, String> {
        fn text<'a>(json: &'a Json, name: &str) -> Result<&'a str, String> {
            json.get(name).and_then(Json::as_str).ok_or_else(|| format!("the attribute `{name}` is missing or no text"))
        }
        fn read<T, E: std::fmt::Display>(
            json: &Json,
            name: &str,
            parse: impl Fn(&str) -> Result<T, E>,
        ) -> Result<T, String> {
            parse(text(json, name)?).map_err(|e| format!("the attribute `{name}`: {e}"))
        }
        Ok(Self {
            id: read(json, "id", EventId::parse)?,
            kind: text(json, "type")?.to_owned(),
            source: text(json, "source")?.to_owned(),
            time: read(json, "time", Time::parse)?,
            subject: text(json, "subject")?.to_owned(),
            schema: text(json, "dataschema")?.to_owned(),
            site: read(json, "site", SiteName::new)?,
            key: text(json, "partitionkey")?.to_owned(),
            correlation: read(json, "correlationid", EventId::parse)?,
            causation: json.get("causationid").and_then(Json::as_str).map(str::to_owned),
            recorded: read(json, "recordedtime", Time::parse)?,
            data: json.get("data").cloned().unwrap_or(Json::Null),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back() {
        let id = EventId::derived(&[b"x"]);
        let event = Event {
            id,
            kind: "asset.alarm".into(),
            source: "/hamburg/rules/vibration".into(),
            time: Time::parse("2026-11-22T08:05:00.25Z").unwrap(),
            subject: "cartoner-07".into(),
            schema: "andon:asset.alarm/1.0".into(),
            site: SiteName::new("hamburg").unwrap(),
            key: "cartoner-07".into(),
            correlation: id,
            causation: None,
            recorded: Time::parse("2026-11-22T08:05:01Z").unwrap(),
            data: json!({"change": "activated"}),
        };
        let json = event.to_json(Some(4711));
        assert_eq!(json["sequence"], "00000000000000004711");
        assert_eq!(Event::from_json(&json).unwrap(), event);
        assert!(Event::from_json(&json!({"id": "ev_1"})).is_err());
    }
}
