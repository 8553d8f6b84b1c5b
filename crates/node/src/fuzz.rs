//! Entries for fuzzing: what people and machines ask of an instance, and the rows that an earlier one has stored.

use crate::backend::StoreBackend;
use andon_api::routes::router;
use andon_contract::{Contract, from_files, init_files};
use andon_model::{
    Entry, Event, EventId, ExceptionId, Quality, Sample, SiteName, Time, Value,
    sample::{Origin, Part},
};
use andon_store::{
    Store,
    rows::{AuditRow, ContractRow, ExceptionKind, ExceptionRow, RunRow, Write},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::sync::{Arc, LazyLock};

/// When everything of the store came.
const NOW: Time = Time(1_795_334_400_000_000_000);

static CONTRACT: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    let files = init_files().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    match from_files(files) {
        Ok(loaded) => Arc::new(loaded.contract),
        Err(problems) => panic!("{}", problems.iter().map(|problem| problem.render(false)).collect::<String>()),
    }
});

/// A stopped instance with one thing of each kind.
static BACKEND: LazyLock<Arc<StoreBackend>> = LazyLock::new(|| {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    fill(&store, &CONTRACT);
    Arc::new(StoreBackend::resting(store, CONTRACT.clone()))
});

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
}

/// A request of HTTP, from its first line to the end of its body.
pub fn request(data: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(andon_api::fuzz::request(router(BACKEND.clone()), data)));
}

/// A stored row; the first byte chooses its kind. What is read is written as it was read.
pub fn row(data: &[u8]) {
    let Some((kind, json)) = data.split_first() else { return };
    match kind % 4 {
        0 => same::<RunRow>(json),
        1 => same::<ExceptionRow>(json),
        2 => same::<AuditRow>(json),
        _ => {
            let Ok(json) = serde_json::from_slice(json) else { return };
            if let Ok(event) = Event::from_json(&json) {
                let again = Event::from_json(&event.to_json(None));
                assert_eq!(again.as_ref(), Ok(&event), "an event says the same when it is read again");
            }
        }
    }
}

fn same<T: DeserializeOwned + Serialize>(json: &[u8]) {
    let Ok(row) = serde_json::from_slice::<T>(json) else { return };
    let once = serde_json::to_value(&row).expect("a row is JSON");
    let again: T = serde_json::from_value(once.clone()).expect("what was written reads back");
    assert_eq!(serde_json::to_value(&again).expect("a row is JSON"), once);
}

fn fill(store: &Store, contract: &Contract) {
    let contract_row =
        ContractRow { revision: contract.revision.clone(), activated: NOW, files: contract.files.clone() };
    let (asset, of) = contract.assets.iter().next().expect("a new project has an asset");
    let signal =
        contract.classes.get(&of.class).and_then(|class| class.signals.keys().next()).expect("it has a signal");
    let site = &of.site;
    let source = contract.sources.keys().next().expect("a new project has a source");
    let mut part = Part::new(site.clone(), source.clone());
    let number = store.signal(asset, signal).expect("memory has room");
    for n in 0..50_i32 {
        part.counts.received += 1;
        part.counts.stored += 1;
        part.entries.push(Entry::Sample(Sample {
            signal: number,
            time: Time(NOW.0 + i64::from(n) * 1_000_000_000),
            received: NOW,
            quality: Quality::GOOD,
            value: Value::F64(f64::from(n)),
            origin: Origin::Live,
        }));
    }
    store.append(vec![part]).expect("memory has room");
    let owner = contract.ownership.teams.keys().next().expect("a new project has a team").clone();
    let exception = ExceptionRow {
        site: Some(site.clone()),
        cause: "it was too hot".to_owned(),
        ..ExceptionRow::new(ExceptionId::derived(&[b"fuzz"]), ExceptionKind::Input, owner, "f".to_owned(), NOW)
    };
    let events = (0..3_u8).map(|n| Write::event(Box::new(event(site, asset.as_str(), n)), None, None));
    let writes = [Write::Contract(Box::new(contract_row)), Write::Exception(Box::new(exception))];
    store.commit(writes.into_iter().chain(events).collect()).expect("memory has room");
}

fn event(site: &SiteName, asset: &str, n: u8) -> Event {
    let id = EventId::derived(&[b"fuzz", &[n]]);
    Event {
        id,
        kind: "asset.alarm".to_owned(),
        source: format!("/{site}/rules/fuzz"),
        time: NOW,
        subject: asset.to_owned(),
        schema: "andon:asset.alarm/1.2".to_owned(),
        site: site.clone(),
        key: asset.to_owned(),
        correlation: id,
        causation: None,
        recorded: NOW,
        data: json!({"change": "activated", "state": "active", "value": n}),
    }
}
