//! Events that a workflow emits.

use super::Machine;
use crate::fault::{Fault, Standard};
use andon_contract::workflow::{Emit, Task};
use andon_model::{Event, EventId, Schemas, Time};
use serde_json::Value as Json;

impl Machine<'_> {
    /// The event that a task emits; its id derives from the run, the task and its iteration.
    pub(super) fn event(&self, task: &Task, emit: &Emit, input: &Json) -> Result<Event, Fault> {
        let (run, now, scene) = (self.given.run, self.given.now, self.scene());
        let cause = run.input.get(0);
        let of_cause = |name: &str| cause.and_then(|event| event.get(name)).and_then(Json::as_str).map(str::to_owned);
        let subject = emit.subject.as_ref().map(|text| scene.text(text, input, "subject")).transpose()?;
        let source = emit.source.as_ref().map(|text| scene.text(text, input, "source")).transpose()?;
        let time = emit.time.as_ref().map(|text| scene.text(text, input, "time")).transpose()?;
        let time = time.map(|text| Time::parse(&text).map_err(|_| not_a_time(&text))).transpose()?;
        let data = match &emit.data {
            Some(data) => scene.map(data, input)?,
            None => Json::Object(serde_json::Map::new()),
        };
        let key = subject.clone().or_else(|| of_cause("partitionkey"));
        let subject = subject.or_else(|| of_cause("subject")).unwrap_or_else(|| run.site.as_str().to_owned());
        let id = EventId::emitted(run.id, &task.pointer, &self.iteration());
        let event = Event {
            id,
            kind: emit.kind.clone(),
            source: source.unwrap_or_else(|| format!("/{}/workflows/{}", run.site, run.workflow)),
            time: time.unwrap_or(now),
            key: key.unwrap_or_else(|| subject.clone()),
            subject,
            schema: schema_of(&emit.kind, self.given.schemas)?,
            site: run.site.clone(),
            correlation: run.correlation.unwrap_or(id),
            causation: Some(run.id.to_string()),
            recorded: now,
            data,
        };
        self.given
            .schemas
            .check_event(&event)
            .map_err(|e| Fault::of(Standard::Validation, format!("the event {} {e}", emit.kind)))?;
        Ok(event)
    }
}

fn not_a_time(text: &str) -> Fault {
    Fault::of(Standard::Expression, format!("`time` must be a moment like 2026-11-22T08:05:00Z, it is {text:?}"))
}

/// The schema of an event type: that of its whole name, which others may end in `.v1`; else later majors of a type end
/// in `.v2`.
fn schema_of(kind: &str, schemas: &Schemas) -> Result<String, Fault> {
    let versioned = || {
        let (name, major) = kind.rsplit_once(".v")?;
        major.parse::<u32>().ok().and_then(|major| schemas.full_name(&format!("{name}/{major}")))
    };
    schemas
        .full_name(&format!("{kind}/1"))
        .or_else(versioned)
        .ok_or_else(|| Fault::of(Standard::Validation, format!("there is no schema for events of the type {kind}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_type_is_found_by_its_whole_name_and_then_by_its_major() {
        let of = |name: &str, version: &str| (name.to_owned(), version.to_owned(), json!({ "type": "object" }));
        let schemas = Schemas::with(vec![of("com.x.greeted.v1", "1.0"), of("press.checked", "2.3")]).unwrap();
        assert_eq!(schema_of("com.x.greeted.v1", &schemas).unwrap(), "andon:com.x.greeted.v1/1.0");
        assert_eq!(schema_of("press.checked.v2", &schemas).unwrap(), "andon:press.checked/2.3");
        assert_eq!(schema_of("asset.alarm", &schemas).unwrap().rsplit_once('/').unwrap().0, "andon:asset.alarm");
        assert!(schema_of("press.checked.v3", &schemas).is_err() && schema_of("press.vast", &schemas).is_err());
    }
}
