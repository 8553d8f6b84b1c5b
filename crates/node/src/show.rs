//! One thing, whole: by its id, its reference, the number of its document, or its place in the log.

use andon_api::Kind;
use andon_model::{CallId, EventId, ExceptionId, Position, Reference, RunId};
use andon_observe::{confirmed, lineage::sample_offset};
use andon_store::{Store, StoreError, historian::Found, rows::QuarantineRow};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value as Json, json};

/// Messages shown of an exception, the newest first.
const MESSAGES_SHOWN: usize = 20;

/// One thing by its id, reference, document number or place.
pub(crate) fn show(store: &Store, id: &str) -> Result<Option<Json>, StoreError> {
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
        let calls: Vec<Json> = store.calls_of(id)?.iter().map(|c| public(Kind::Calls, json!(c))).collect();
        return Ok(Some(json!({ "run": public(Kind::Runs, json!(run)), "tasks": store.tasks(id)?, "calls": calls })));
    }
    if let Ok(id) = ExceptionId::parse(id) {
        let Some(row) = store.exception(id)? else { return Ok(None) };
        let quarantine: Vec<Json> = store.quarantine(id, MESSAGES_SHOWN)?.iter().map(message).collect();
        return Ok(Some(json!({ "exception": row, "quarantine": quarantine })));
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
    let Some(call) = call else { return Ok(None) };
    let attempts = store.attempts(call.id)?;
    let shadows = andon_observe::shadow::compared(&call, &attempts);
    let mut shown = json!({ "call": public(Kind::Calls, json!(call)), "attempts": attempts });
    if let (false, Some(shown)) = (shadows.is_empty(), shown.as_object_mut()) {
        shown.insert("shadows".into(), json!(shadows));
    }
    Ok(Some(shown))
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
fn message(row: &QuarantineRow) -> Json {
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

    #[test]
    fn a_sample_is_shown_by_its_place() {
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
        let shown = show(&store, &format!("{epoch}/0")).unwrap().unwrap();
        assert_eq!((&shown["sample"]["signal"], &shown["sample"]["value"]), (&json!("m-1/heat"), &json!(71)));
        assert_eq!(show(&store, &format!("{epoch}/1")).unwrap(), None);
        assert_eq!(show(&store, &format!("{}/0", epoch + 1)).unwrap(), None);
    }
}
