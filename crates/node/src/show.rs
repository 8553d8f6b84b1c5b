//! One thing, whole: by its id, its reference, the number of its document, its key, or its place in the log.

use crate::{hidden::Hidden, stuck::show_exception};
use andon_api::Kind;
use andon_contract::Contract;
use andon_model::{CallId, EventId, ExceptionId, Position, Reference, RunId};
use andon_observe::{confirmed, lineage::sample_offset, runs_of_key};
use andon_store::{
    Store, StoreError,
    historian::Found,
    rows::{CallRow, QuarantineRow, RunRow},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value as Json, json};

/// Runs shown that a run has started, the first ones; the others are counted.
const CHILDREN_SHOWN: usize = 1_000;

/// One thing by its id, reference, document number, place, or the key of a run.
pub(crate) fn show(store: &Store, contract: &Contract, id: &str) -> Result<Option<Json>, StoreError> {
    if let Ok(id) = EventId::parse(id) {
        let Some((stored, evidence)) = store.event(id)? else {
            return Ok(store.confirmation(id)?.map(|row| json!({ "confirmation": row })));
        };
        let confirmations = confirmed::of_event(store, &stored.event)?;
        let event = stored.event.to_json(Some(stored.sequence));
        return Ok(Some(json!({ "event": event, "evidence": evidence, "confirmations": confirmations })));
    }
    if let Ok(id) = RunId::parse(id) {
        let Some(run) = store.run(id)? else { return Ok(None) };
        return show_run(store, &run).map(Some);
    }
    if let Ok(id) = ExceptionId::parse(id) {
        let Some(row) = store.exception(id)? else { return Ok(None) };
        return show_exception(store, &row).map(Some);
    }
    if let Some((epoch, offset)) = sample_offset(id)
        && let Some(row) = sample(store, Position { epoch, offset })?
    {
        return Ok(Some(json!({ "sample": row })));
    }
    let call = if let Ok(id) = CallId::parse(id) {
        store.call(id)?
    } else {
        let by_reference = match Reference::parse(id) {
            Some(reference) => store.call_by_reference(&reference)?,
            None => None,
        };
        match by_reference {
            Some(call) => Some(call),
            None => store.calls_by_document(id)?.into_iter().next(),
        }
    };
    if let Some(call) = call {
        return show_call(store, &call).map(Some);
    }
    // Of several workflows with a run of this key it is the one that was started last.
    let run = runs_of_key(store, contract, id)?.into_iter().max_by_key(|run| run.started);
    run.map(|run| show_run(store, &run)).transpose()
}

/// A run with its tasks and calls, and where the runs stand that it has started.
fn show_run(store: &Store, run: &RunRow) -> Result<Json, StoreError> {
    let mut hidden = Hidden::new(store);
    let mut tasks = Vec::new();
    for task in store.tasks(run.id)? {
        tasks.push(hidden.task(&task)?);
    }
    let mut calls = Vec::new();
    for call in store.calls_of(run.id)? {
        calls.push(hidden.call(&call)?);
    }
    let mut shown = json!({ "run": hidden.row(Kind::Runs, json!(run))?, "tasks": tasks, "calls": calls });
    let children = store.runs_of_parent(run.id)?;
    if let (false, Some(shown)) = (children.is_empty(), shown.as_object_mut()) {
        let first: Vec<Json> = children.iter().take(CHILDREN_SHOWN).map(child).collect();
        shown.insert("children".into(), json!(first));
        if let Some(untold) = children.len().checked_sub(CHILDREN_SHOWN).filter(|untold| *untold > 0) {
            shown.insert("untold".into(), json!(untold));
        }
    }
    Ok(shown)
}

/// A run that another one has started: which task, and where it stands.
fn child(run: &RunRow) -> Json {
    let by = run.parent.as_ref();
    json!({
        "id": run.id,
        "workflow": run.workflow,
        "state": run.state,
        "pointer": by.map(|parent| &parent.pointer),
        "iteration": by.map(|parent| &parent.iteration),
        "wait": by.map(|parent| parent.wait),
        "started": run.started,
        "updated": run.updated,
    })
}

/// A call with its attempts and shadows.
pub(crate) fn show_call(store: &Store, call: &CallRow) -> Result<Json, StoreError> {
    let mut hidden = Hidden::new(store);
    let rows = store.attempts(call.id)?;
    let mut attempts = Vec::new();
    for row in &rows {
        attempts.push(hidden.row(Kind::Attempts, json!(row))?);
    }
    let mut shown = json!({ "call": hidden.call(call)?, "attempts": attempts });
    let shadows = andon_observe::shadow::compared(call, &rows);
    if let (false, Some(shown)) = (shadows.is_empty(), shown.as_object_mut()) {
        shown.insert("shadows".into(), hidden.told(call.run, &json!(shadows))?);
    }
    Ok(shown)
}

/// A row without what only the layers need.
pub(crate) fn public(kind: Kind, mut row: Json) -> Json {
    if let Some(object) = row.as_object_mut() {
        object.remove("memory");
        if kind == Kind::Contracts
            && let Some(files) = object.get("files").and_then(Json::as_object)
        {
            let paths: Vec<String> = files.keys().cloned().collect();
            object.insert("files".to_owned(), json!(paths));
        }
    }
    row
}

/// A message that was set aside: its bytes, and its text where it is one.
pub(crate) fn message(row: &QuarantineRow) -> Json {
    json!({
        "received": row.received,
        "source": row.source,
        "topic": row.topic,
        "detail": row.detail,
        "size": row.bytes.len(),
        "text": std::str::from_utf8(&row.bytes).ok(),
        "bytes": BASE64_STANDARD.encode(&row.bytes),
    })
}

/// The sample at a place, in the log or in a file.
fn sample(store: &Store, place: Position) -> Result<Option<Json>, StoreError> {
    let Some(found) = store.sample_at(place)?.filter(|found| found.sample.position.epoch == place.epoch) else {
        return Ok(None);
    };
    let Found { site, source, asset, signal, sample, .. } = found;
    let from = andon_observe::rows::rows_of(store, source.as_ref(), place)?;
    let mut row = json!({
        "position": format!("{}/{}", store.instance(), sample.position),
        "source": source,
        "site": site,
        "signal": format!("{asset}/{signal}"),
        "time": sample.time,
        "received": sample.received,
        "quality": sample.quality.word(),
        "status": sample.quality.0,
        "value": sample.value.to_json(),
    });
    // The file, or the request, that it came with.
    if let (Some(from), Some(row)) = (from, row.as_object_mut()) {
        row.insert("rows".into(), json!(from));
    }
    Ok(Some(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{
        AssetName, Name, Quality, Sample, SignalName, SiteName, Time, Value,
        sample::{Entry, Origin, Part},
    };
    use andon_store::{
        conformance as given,
        rows::{Parent, RunState, Write},
    };

    fn contract() -> Contract {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/machine-temperature");
        andon_contract::load(std::path::Path::new(example)).unwrap().contract
    }

    #[test]
    fn a_run_is_shown_with_its_parent_and_the_states_of_those_it_has_started() {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let root = RunRow { id: RunId::of_key("repair", "4711"), key: Some("4711".into()), ..given::run(0, None) };
        let root = RunRow { workflow: "repair".into(), ..root };
        let mut writes = vec![Write::Run(Box::new(root.clone()))];
        let states = [RunState::Completed, RunState::Waiting];
        for (number, state) in (1..).zip(states) {
            let (pointer, iteration) = ("/do/0/part".to_owned(), format!("{number}"));
            let parent = Parent { run: root.id, pointer, iteration, wait: true, depth: 1 };
            let row = RunRow { parent: Some(parent), state, event: None, ..given::run(number, None) };
            writes.push(Write::Run(Box::new(row)));
        }
        store.commit(writes).unwrap();
        for name in [root.id.to_string(), "4711".to_owned()] {
            let shown = show(&store, &contract(), &name).unwrap().unwrap();
            assert_eq!(shown["run"]["id"], json!(root.id), "{name}");
            let told: Vec<_> =
                shown["children"].as_array().unwrap().iter().map(|of| (&of["state"], &of["iteration"])).collect();
            assert_eq!(told, [(&json!("completed"), &json!("1")), (&json!("waiting"), &json!("2"))]);
            assert_eq!(shown.get("untold"), None);
        }
        let child = show(&store, &contract(), &given::run(1, None).id.to_string()).unwrap().unwrap();
        assert_eq!((&child["run"]["parent"]["run"], child.get("children")), (&json!(root.id), None));
        assert_eq!(show(&store, &contract(), "4712").unwrap(), None);
    }

    #[test]
    fn a_sample_is_shown_by_its_place() {
        let contract = contract();
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let signal = store.signal(&AssetName::new("m-1").unwrap(), &SignalName::new("heat").unwrap()).unwrap();
        let mut part = Part::new(SiteName::new("home").unwrap(), Name::new("machines").unwrap());
        part.entries.push(Entry::Sample(Sample {
            signal,
            time: Time(1),
            received: Time(2),
            quality: Quality::GOOD,
            value: Value::I64(71),
            origin: Origin::Live,
        }));
        let epoch = store.append(vec![part]).unwrap()[0].first.epoch;
        let shown = show(&store, &contract, &format!("{epoch}/0")).unwrap().unwrap();
        assert_eq!((&shown["sample"]["signal"], &shown["sample"]["value"]), (&json!("m-1/heat"), &json!(71)));
        assert_eq!(show(&store, &contract, &format!("{epoch}/1")).unwrap(), None);
        assert_eq!(show(&store, &contract, &format!("{}/0", epoch + 1)).unwrap(), None);
    }
}
