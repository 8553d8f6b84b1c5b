//! The API's questions, answered from the store: for a running instance and for a stopped folder.

use crate::{
    clock, given,
    history::{Counted, fault},
};
use andon_api::{
    Backend, Kind, Page, Problem, Query,
    posts::{Admission, Post, Taken},
    samples::{
        CountQuery, Historian, LastPage, LastQuery, RangeQuery, Replay, ReplayQuery, SampleCount, SamplePage, Series,
        SeriesQuery,
    },
    types::{Finding, Readiness, Seam, Source, Status, Term},
};
use andon_contract::Contract;
use andon_edge::replay::{Ask, replay};
use andon_model::{ExceptionId, Position, SignalNo, Time, sample::Entry};
use andon_observe::{
    health::{self, Live, Observed},
    lineage::sample_offset,
    metrics::{Measured, metrics},
    seams,
};
use andon_store::{
    Store, StoreError,
    historian::Found,
    rows::{ExceptionKind, QuarantineRow},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Entries of the log looked through for one page of samples.
const SCAN_MAX: u64 = 5_000_000;

/// How often the samples of rules are counted at most until none came in between.
const COUNTED_MAX: u32 = 3;

/// Messages shown of an exception, the newest first.
const MESSAGES_SHOWN: usize = 20;

/// What a running instance adds to the rows.
pub trait Running: Send + Sync + 'static {
    /// What is missing until it does its work, one sentence each.
    fn waiting_for(&self) -> Vec<String>;
    /// Samples that rules evaluated, that came late for them, and that wait.
    fn rules(&self) -> Option<(u64, u64, u64)>;
    /// What happened lately, beside what rows say.
    fn live(&self) -> Result<Live, StoreError>;
    /// Connections that stand, by listener.
    fn connections(&self) -> Vec<(String, u64)>;
    /// Writes everything that is in the log to files of the historian.
    fn seal(&self) -> Result<(), Problem>;
    /// Lets a post in before its body is read.
    fn admit(&self, post: &Post) -> Result<Admission, Problem>;
    /// Takes what was posted.
    fn take(&self, post: &Post, admission: Admission, body: &[u8]) -> Result<Taken, Problem>;
}

/// Answers from the store.
pub struct StoreBackend {
    pub(crate) store: Store,
    pub(crate) contract: Arc<Contract>,
    running: Option<Arc<dyn Running>>,
    pub(crate) counted: Counted,
}

/// Why a stopped folder cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The store cannot be read.
    #[error("the data folder cannot be read: {0}")]
    Store(#[from] StoreError),
    /// No contract was ever activated.
    #[error("no contract was ever activated in this data folder")]
    Empty,
    /// The kept contract is not understood by this version.
    #[error("the contract that is kept in this data folder is refused by this version ({0} problems)")]
    Contract(usize),
}

impl LookError {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            // The store's own words say what to do.
            Self::Store(_) => "",
            Self::Empty => "start an instance over it with `andon run DIR --data`, and look again",
            Self::Contract(_) => "`andon check` on the project says what to change; then start it with `andon run`",
        }
    }
}

/// Looks at a stopped data folder.
pub fn look(dir: &Path) -> Result<StoreBackend, LookError> {
    let store = Store::look(dir)?;
    let row = store.active_contract()?.ok_or(LookError::Empty)?;
    let loaded = andon_contract::from_files(row.files).map_err(|problems| LookError::Contract(problems.len()))?;
    Ok(StoreBackend { store, contract: Arc::new(loaded.contract), running: None, counted: Counted::default() })
}

impl StoreBackend {
    /// Answers for a running instance.
    pub fn running(store: Store, contract: Arc<Contract>, running: Arc<dyn Running>) -> Self {
        Self { store, contract, running: Some(running), counted: Counted::default() }
    }

    /// Only an instance at work changes anything.
    fn at_work(&self) -> Result<&dyn Running, Problem> {
        let stopped = || Problem::unavailable("the instance is stopped").remedy("start it with `andon run`");
        self.running.as_deref().ok_or_else(stopped)
    }

    /// The seams in the order of the way of a sample.
    fn seams(&self) -> Result<Vec<seams::Seam>, StoreError> {
        let mut seams = seams::seams(&self.store, &self.contract)?;
        if let Some(rules) = self.rules_seam() {
            let place = seams.iter().take_while(|s| s.seam.starts_with("source")).count();
            seams.insert(place, rules);
        }
        if let Some(historian) = self.historian_seam() {
            let place = seams.iter().take_while(|s| s.seam.starts_with("source")).count();
            seams.insert(place, historian);
        }
        Ok(seams)
    }

    /// Samples go on coming while they are counted: only a count during which none came is told.
    fn rules_seam(&self) -> Option<seams::Seam> {
        let stored = || self.store.source_counts().values().map(|c| c.stored).sum::<u64>();
        (0..COUNTED_MAX).find_map(|_| {
            let before = stored();
            let (evaluated, late, waiting) = if let Some(running) = &self.running {
                running.rules()?
            } else {
                let (counts, waiting) = andon_events::run::conservation(&self.store).ok()?;
                (counts.evaluated, counts.late, waiting)
            };
            (stored() == before).then(|| seams::rules(before, evaluated, late, waiting))
        })
    }

    /// The seam between the log and the files, counted like that of the rules.
    fn historian_seam(&self) -> Option<seams::Seam> {
        let stored = || self.store.source_counts().values().map(|c| c.stored).sum::<u64>();
        (0..COUNTED_MAX).find_map(|_| {
            let before = (stored(), self.store.holdings().ok()?);
            let hot = self.hot(before.1.sealed).ok()?;
            let after = (stored(), self.store.holdings().ok()?);
            (after == before).then(|| seams::historian(before.0, &before.1, hot))
        })
    }

    /// The condition of every source.
    fn observed(&self) -> Result<Vec<Observed>, StoreError> {
        let live = self.running.as_ref().map_or_else(|| Ok(Live::default()), |running| running.live())?;
        health::sources(&self.store, &self.contract, &self.store.activity()?, &live, clock::now())
    }

    fn sources(&self, observed: Vec<Observed>) -> Vec<Source> {
        let counts = self.store.source_counts();
        let of = |observed: Observed| {
            let counts = counts.get(&observed.source).copied().unwrap_or_default();
            let kind = self.contract.sources.get(&observed.source).map_or("", |source| source.kind.word());
            let condition = observed.condition;
            Source {
                source: observed.source.to_string(),
                kind: kind.to_owned(),
                state: condition.state.word().to_owned(),
                reason: condition.reason.word().to_owned(),
                since: condition.since.map(|since| since.to_string()),
                detail: condition.detail,
                remedy: condition.remedy,
                connected: observed.connected,
                last: observed.last.map(|last| last.to_string()),
                silent_assets: condition.silent.into_iter().map(|(asset, _)| asset.to_string()).collect(),
                received: counts.received,
                stored: counts.stored,
                duplicate: counts.duplicate,
                quarantined: counts.quarantined,
                refused: counts.refused,
            }
        };
        observed.into_iter().map(of).collect()
    }

    /// How the historian stands.
    fn historian(&self) -> Result<Historian, StoreError> {
        let holdings = self.store.holdings()?;
        let oldest = self.first_received(holdings.sealed)?;
        let lag = oldest.map_or(0, |received| clock::now().since(received).millis() / 1_000);
        Ok(Historian {
            files: holdings.files,
            bytes: holdings.bytes,
            samples: holdings.samples,
            hot: self.hot(holdings.sealed)?,
            sealed: holdings.sealed.to_string(),
            lag_seconds: u64::try_from(lag).unwrap_or(0),
            reduced: holdings.reduced.into_iter().map(|(source, count)| (source.to_string(), count)).collect(),
            expired: holdings.expired.into_iter().map(|(site, count)| (site.to_string(), count)).collect(),
            dropped: holdings.dropped.into_iter().map(|(source, count)| (source.to_string(), count)).collect(),
        })
    }

    /// When the first sample from a place of the log on was received.
    fn first_received(&self, mut at: Position) -> Result<Option<Time>, StoreError> {
        while let Some(batch) = self.store.read(at)? {
            let skip = usize::try_from(at.offset.saturating_sub(batch.first.offset)).unwrap_or(usize::MAX);
            let sample = batch.part.entries.iter().skip(skip).find_map(|entry| match entry {
                Entry::Sample(sample) => Some(sample.received),
                Entry::Mark(_) => None,
            });
            if sample.is_some() {
                return Ok(sample);
            }
            at = batch.end();
        }
        Ok(None)
    }

    /// A page of samples from the hot log; `after` is the offset behind which it begins.
    fn samples(&self, query: &Query) -> Result<Page, StoreError> {
        let names = names_of(&self.store)?;
        let instance = self.store.instance();
        let start = self.store.log_start();
        let end = self.store.log_end();
        let mut rows = Vec::new();
        if query.ascending {
            let mut at = start;
            if let Some(after) = query.after {
                at.offset = at.offset.max(after.saturating_add(1));
            }
            let first = at.offset;
            while let Some(batch) = self.store.read(at)? {
                for (place, row) in rows_of(&batch, &names, &instance.to_string()) {
                    if place >= at.offset && matches(&row, query) {
                        rows.push(row);
                        if rows.len() == query.limit {
                            return Ok(Page { rows, next: Some(place) });
                        }
                    }
                }
                at = batch.end();
                if at.offset - first > SCAN_MAX {
                    return Ok(Page { rows, next: Some(at.offset - 1) });
                }
            }
            return Ok(Page { rows, next: None });
        }
        // Newest first: the log is read in steps backwards, each step forwards.
        let mut upper = query.after.unwrap_or(end.offset).min(end.offset);
        let first = upper;
        while upper > start.offset && rows.len() < query.limit && first - upper < SCAN_MAX {
            let lower = upper.saturating_sub(STEP).max(start.offset);
            let mut found = Vec::new();
            let mut at = Position { epoch: start.epoch, offset: lower };
            while at.offset < upper {
                let Some(batch) = self.store.read(at)? else { break };
                for (place, row) in rows_of(&batch, &names, &instance.to_string()) {
                    if place >= lower && place < upper && matches(&row, query) {
                        found.push((place, row));
                    }
                }
                at = batch.end();
            }
            for (place, row) in found.into_iter().rev() {
                rows.push(row);
                if rows.len() == query.limit {
                    let next = (place > start.offset).then_some(place);
                    return Ok(Page { rows, next });
                }
            }
            upper = lower;
        }
        Ok(Page { rows, next: (upper > start.offset).then_some(upper) })
    }
}

/// `<asset>/<signal>` by number.
fn names_of(store: &Store) -> Result<BTreeMap<SignalNo, String>, StoreError> {
    Ok(store.signals()?.into_iter().map(|(number, asset, signal)| (number, format!("{asset}/{signal}"))).collect())
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

/// Entries of a step backwards.
const STEP: u64 = 20_000;

fn rows_of<'a>(
    batch: &'a andon_model::sample::Batch,
    names: &'a BTreeMap<SignalNo, String>,
    instance: &'a str,
) -> impl Iterator<Item = (u64, Json)> + 'a {
    batch.part.entries.iter().zip(batch.first.offset..).filter_map(move |(entry, offset)| {
        let Entry::Sample(sample) = entry else { return None };
        let row = json!({
            "position": format!("{instance}/{}/{offset}", batch.first.epoch),
            "source": batch.part.source,
            "site": batch.part.site,
            "signal": names.get(&sample.signal),
            "time": sample.time,
            "received": sample.received,
            "quality": sample.quality.word(),
            "status": sample.quality.0,
            "value": sample.value.to_json(),
        });
        Some((offset, row))
    })
}

fn matches(row: &Json, query: &Query) -> bool {
    query.filters.iter().all(|(field, wanted)| {
        let mut value = row;
        for part in field.split('.') {
            value = value.get(part).unwrap_or(&Json::Null);
        }
        match value {
            Json::String(text) => text == wanted,
            // A number or a bool is compared as it is written.
            other => format!("{other}") == *wanted,
        }
    })
}

/// A page of rows that have no place of their own: `after` counts those that were passed.
fn page_of(all: impl Iterator<Item = Json>, query: &Query) -> Page {
    let passed = query.after.and_then(|after| usize::try_from(after).ok()).unwrap_or(0);
    let mut found = all.zip(1_u64..).skip(passed).filter(|(row, _)| matches(row, query));
    let (rows, places): (Vec<Json>, Vec<u64>) = found.by_ref().take(query.limit).unzip();
    let more = found.next().is_some();
    Page { rows, next: places.last().copied().filter(|_| more) }
}

impl Backend for StoreBackend {
    fn readiness(&self) -> Readiness {
        let waiting_for = match &self.running {
            Some(running) => running.waiting_for(),
            None => vec!["the instance is stopped".to_owned()],
        };
        Readiness { ready: waiting_for.is_empty(), waiting_for }
    }

    fn list(&self, kind: Kind, query: &Query) -> Result<Page, Problem> {
        let page = match kind {
            Kind::Samples => return self.samples(query).map_err(|e| fault(&e)),
            Kind::Sources => {
                let all = self.sources(self.observed().map_err(|e| fault(&e))?);
                return Ok(page_of(all.iter().map(|source| json!(source)), query));
            }
            _ => self.store.list(
                kind.word(),
                &andon_store::Query {
                    where_: query.filters.clone(),
                    after: query.after,
                    limit: query.limit,
                    ascending: query.ascending,
                },
            ),
        };
        let page = page.map_err(|e| match e {
            StoreError::Refused(cause) => Problem::request(cause),
            other => fault(&other),
        })?;
        Ok(Page { rows: page.rows.into_iter().map(|row| public(kind, row)).collect(), next: page.next })
    }

    fn show(&self, id: &str) -> Result<Json, Problem> {
        show(&self.store, id.trim()).map_err(|e| fault(&e))?.ok_or_else(|| unknown(id))
    }

    fn explain(&self, id: &str) -> Result<Json, Problem> {
        let lineage = andon_observe::explain(&self.store, id).map_err(|e| fault(&e))?.ok_or_else(|| unknown(id))?;
        serde_json::to_value(lineage).map_err(|e| Problem::fault(e.to_string()))
    }

    fn status(&self) -> Result<Status, Problem> {
        let seams = self.seams().map_err(|e| fault(&e))?;
        let running = self.running.is_some();
        let observed = self.observed().map_err(|e| fault(&e))?;
        let mut findings: Vec<Finding> = health::findings(&self.store, &observed, &seams, running)
            .map_err(|e| fault(&e))?
            .into_iter()
            .map(|f| Finding {
                level: if f.level == health::Level::Error { "error" } else { "warning" }.to_owned(),
                subject: f.subject,
                detail: f.detail,
                since: f.since,
                remedy: f.remedy,
            })
            .collect();
        if let Some(running) = &self.running {
            for missing in running.waiting_for() {
                if findings.iter().any(|f| missing.starts_with(&format!("{} ", f.subject))) {
                    continue;
                }
                findings.push(Finding {
                    level: "error".to_owned(),
                    subject: "instance".to_owned(),
                    detail: missing,
                    since: None,
                    remedy: "the log of the instance says more".to_owned(),
                });
            }
        }
        let health = if findings.iter().any(|f| f.level == "error") {
            "down"
        } else if findings.is_empty() {
            "ok"
        } else {
            "degraded"
        };
        Ok(Status {
            project: self.contract.name.clone(),
            revision: self.contract.revision.clone(),
            instance: self.store.instance().to_string(),
            running,
            health: health.to_owned(),
            findings,
            sources: self.sources(observed),
            counts: self.store.counts().map_err(|e| fault(&e))?,
            historian: self.historian().map_err(|e| fault(&e))?,
            seams: seams
                .into_iter()
                .map(|s| Seam {
                    seam: s.seam,
                    terms: s.terms.into_iter().map(|t| Term { name: t.name.to_owned(), count: t.count }).collect(),
                    holds: s.holds,
                })
                .collect(),
        })
    }

    fn metrics(&self) -> Result<String, Problem> {
        let seams = self.seams().map_err(|e| fault(&e))?;
        let counts = self.store.counts().map_err(|e| fault(&e))?;
        let observed = self.observed().map_err(|e| fault(&e))?;
        let historian = self.historian().map_err(|e| fault(&e))?;
        Ok(metrics(&Measured {
            counts: &counts,
            seams: &seams,
            log: (self.store.log_start().offset, self.store.log_end().offset),
            ready: self.readiness().ready,
            sources: &observed,
            historian: [
                ("files", historian.files),
                ("bytes", historian.bytes),
                ("samples", historian.samples),
                ("lag_seconds", historian.lag_seconds),
            ],
            listeners: &self.running.as_ref().map_or_else(Vec::new, |running| running.connections()),
            now: clock::now(),
        }))
    }

    fn range(&self, query: &RangeQuery) -> Result<SamplePage, Problem> {
        self.range_of(query)
    }

    fn last(&self, query: &LastQuery) -> Result<LastPage, Problem> {
        self.last_of(query)
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, Problem> {
        self.series_of(query)
    }

    fn count(&self, query: &CountQuery) -> Result<SampleCount, Problem> {
        self.count_of(query)
    }

    fn seal(&self) -> Result<Historian, Problem> {
        self.at_work()?.seal()?;
        self.historian().map_err(|e| fault(&e))
    }

    fn replay(&self, exception: &str, query: &ReplayQuery) -> Result<Replay, Problem> {
        self.at_work()?;
        let id = ExceptionId::parse(exception).map_err(|_| unknown(exception))?;
        let row = self.store.exception(id).map_err(|e| fault(&e))?.ok_or_else(|| unknown(exception))?;
        if row.kind != ExceptionKind::Input {
            return Err(Problem::content(format!("{id} holds no messages: it is of kind {}", row.kind.word()))
                .remedy("andon list exceptions --where kind=input names those that do"));
        }
        let ask = Ask {
            exception: id,
            after: query.after.unwrap_or(0),
            limit: query.limit,
            dry_run: query.dry_run,
            now: clock::now(),
        };
        let mut chance: andon_edge::given::Chance = Box::new(given::chance);
        let done = replay(&self.contract, &self.store, &ask, &mut chance).map_err(|e| match e {
            full if full.is_full() => Problem::unavailable(full.to_string()).remedy("free space, and replay again"),
            other => fault(&other),
        })?;
        Ok(Replay {
            dry_run: query.dry_run,
            messages: done.messages,
            mended: done.mended,
            stored: done.stored,
            duplicate: done.duplicate,
            wrong: done.wrong,
            problems: done.problems,
            resolved: done.resolved,
            next: done.next,
        })
    }

    fn admit(&self, post: &Post) -> Result<Admission, Problem> {
        self.at_work()?.admit(post)
    }

    fn take(&self, post: &Post, admission: Admission, body: axum::body::Bytes) -> Result<Taken, Problem> {
        self.at_work()?.take(post, admission, &body)
    }
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("nothing kept here is called {id:?}"))
        .remedy("an id (ev_, ru_, ca_, ex_), a call's reference, a document's number, or a sample's epoch/offset")
}

/// A row without what only the layers need.
fn public(kind: Kind, mut row: Json) -> Json {
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

/// One thing by its id, reference, document number or place.
fn show(store: &Store, id: &str) -> Result<Option<Json>, StoreError> {
    use andon_model::{CallId, EventId, ExceptionId, Reference, RunId};
    if let Ok(id) = EventId::parse(id) {
        return Ok(store.event(id)?.map(
            |(stored, evidence)| json!({ "event": stored.event.to_json(Some(stored.sequence)), "evidence": evidence }),
        ));
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
            Some(reference) => store.calls_by_reference(&reference)?.into_iter().next(),
            None => None,
        };
        match by_reference {
            Some(call) => Some(call),
            None => store.calls_by_document(id)?.into_iter().next(),
        }
    };
    let Some(call) = call else { return Ok(None) };
    let attempts = store.attempts(call.id)?;
    Ok(Some(json!({ "call": public(Kind::Calls, json!(call)), "attempts": attempts })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::{
        AssetName, Name, Quality, Sample, SignalName, SiteName, Time, Value,
        sample::{Origin, Part},
    };

    #[test]
    fn rows_without_places_are_read_page_by_page() {
        let all = || (0..5).map(|n| json!({ "n": n, "odd": n % 2 == 1 }));
        let query = |after, limit| Query { after, limit, ..Query::default() };
        let first = page_of(all(), &query(None, 3));
        assert_eq!((first.rows.len(), first.next), (3, Some(3)));
        let rest = page_of(all(), &query(first.next, 3));
        assert_eq!((rest.rows.len(), rest.next), (2, None));
        let odd = Query { filters: vec![("odd".into(), "true".into())], ..query(None, 1) };
        assert_eq!(page_of(all(), &odd), Page { rows: vec![json!({ "n": 1, "odd": true })], next: Some(2) });
        assert_eq!(page_of(all(), &Query { after: Some(2), ..odd }).rows, [json!({ "n": 3, "odd": true })]);
        assert_eq!(page_of(all(), &query(Some(u64::MAX), 3)), Page { rows: Vec::new(), next: None });
    }

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
