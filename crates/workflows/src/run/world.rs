//! A world for tests of the loop: events, a store in memory, and an office that counts effects and forgets to answer.

use super::{Load, Loop, Ready};
use andon_contract::Contract;
use andon_model::call::{CallRequest, Prepare, Prepared, Step};
use andon_model::{CallId, Event, EventId, Outcome, OutcomeClass, Reference, SiteName, Time, span::Span};
use andon_store::Store;
use andon_store::rows::{AttemptRow, CallRow, ContractRow, ExceptionRow, RunRow, RunState, TaskRow, Write};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Requests in the dialect of the office: the reference.
#[derive(Default)]
pub(super) struct Dialect {
    /// Inputs that cannot be said: the outcome instead.
    pub(super) refuses: Mutex<Option<Outcome>>,
}

impl Prepare for Dialect {
    fn prepare(&self, request: &CallRequest) -> Result<Prepared, Outcome> {
        if let Some(outcome) = self.refuses.lock().unwrap().clone() {
            return Err(outcome);
        }
        Ok(Prepared {
            method: if request.step == Step::Search { "GET" } else { "POST" }.into(),
            url: format!("http://{}/{}", request.system, request.operation),
            headers: BTreeMap::new(),
            body: request.key.reference().to_string(),
        })
    }
}

/// Remembers what was done, by reference.
#[derive(Default)]
pub(super) struct Office {
    /// Effects by reference; for `key` and `upsert`, repeats make no second one.
    pub(super) effects: BTreeMap<Reference, u32>,
    /// All requests in the order in which they came: key of the event, step.
    pub(super) seen: Vec<(String, Step)>,
    /// What repeats do, by operation; of a request of a workflow the request says it.
    pub(super) classes: BTreeMap<String, &'static str>,
    /// What it answers to calls with this `n`, without doing anything.
    pub(super) refuses: BTreeMap<i64, Outcome>,
    /// What it answers beside the document, by operation.
    pub(super) answers: BTreeMap<&'static str, Json>,
}

impl Office {
    /// Does what is asked and answers.
    pub(super) fn serve(&mut self, ready: &Ready) -> Outcome {
        let request = &ready.request;
        let reference = request.key.reference();
        self.seen.push((request.input["asset"].as_str().unwrap_or_default().to_owned(), request.step));
        let found = self.effects.contains_key(&reference);
        if request.step == Step::Search {
            return ok(if found { json!({"document": reference.as_str()}) } else { Json::Null }, &reference);
        }
        if let Some(outcome) = request.input["n"].as_i64().and_then(|n| self.refuses.get(&n)) {
            return outcome.clone();
        }
        if request.operation.as_str() == "read-openapi" {
            let described = json!({"method": "POST", "url": "http://office/work", "repeats": "upsert"});
            return ok(described, &reference);
        }
        let operation = format!("{}.{}", request.system, request.operation);
        let said = request.input["repeats"].as_str().unwrap_or("none");
        match self.classes.get(&operation).copied().unwrap_or(said) {
            "read" => {}
            "key" | "upsert" => {
                self.effects.insert(reference.clone(), 1);
            }
            _ => *self.effects.entry(reference.clone()).or_insert(0) += 1,
        }
        let mut output = json!({"document": reference.as_str()});
        if let (Some(Json::Object(more)), Some(output)) = (self.answers.get(operation.as_str()), output.as_object_mut())
        {
            output.extend(more.clone());
        }
        ok(output, &reference)
    }
}

fn ok(output: Json, reference: &Reference) -> Outcome {
    Outcome {
        sent: true,
        status: Some(200),
        document: (!output.is_null()).then(|| reference.to_string()),
        output,
        ..Outcome::not_sent(OutcomeClass::Ok, "done")
    }
}

pub(super) fn answer(class: OutcomeClass, sent: bool, status: Option<u16>, detail: &str) -> Outcome {
    Outcome { sent, status, ..Outcome::not_sent(class, detail) }
}

/// Makes a contract; twice the same.
pub(super) type Maker = Arc<dyn Fn() -> Contract + Send + Sync>;
type Makers = Arc<Mutex<BTreeMap<String, Maker>>>;

pub(super) struct World {
    pub(super) store: Store,
    pub(super) contract: Arc<Contract>,
    pub(super) dialect: Arc<Dialect>,
    /// How the contracts are made that were in force, by revision.
    makers: Makers,
    pub(super) runner: Loop,
    pub(super) office: Office,
    pub(super) now: Time,
    pub(super) crashes: u32,
    /// The state of chance.
    pub(super) chance: u64,
}

impl World {
    pub(super) fn new(contract: Contract) -> Self {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let contract = Arc::new(contract);
        let dialect = Arc::new(Dialect::default());
        let makers = Makers::default();
        let runner = Loop::new(store.clone(), Arc::clone(&contract), dialect.clone(), load(&makers));
        let now = Time::parse("2026-11-22T08:00:00Z").unwrap();
        let classes = contract.systems.iter().flat_map(|(system, of)| {
            of.operations.iter().map(move |(name, of)| (format!("{system}.{name}"), of.idempotency.word()))
        });
        let office = Office { classes: classes.collect(), ..Office::default() };
        Self { store, contract, dialect, makers, runner, office, now, crashes: 0, chance: 1 }
    }

    /// A world whose contract can be read again after it was changed.
    pub(super) fn of(maker: Maker) -> Self {
        let mut world = Self::new(maker());
        world.change(maker);
        world
    }

    /// Another contract comes into force.
    pub(super) fn change(&mut self, maker: Maker) {
        let contract = maker();
        let row = ContractRow {
            revision: contract.revision.clone(),
            activated: self.now,
            files: [("revision".to_owned(), contract.revision.clone())].into(),
        };
        self.store.commit(vec![Write::Contract(Box::new(row))]).unwrap();
        self.makers.lock().unwrap().insert(contract.revision.clone(), maker);
        self.contract = Arc::new(contract);
        self.runner.set_contract(Arc::clone(&self.contract), self.dialect.clone());
    }

    /// A number below `below`, by chance.
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % below
    }

    /// The process ends and starts again. Of the requests it had in hand some have reached the office.
    pub(super) fn crash(&mut self, in_hand: &[Ready]) {
        self.crashes += 1;
        assert!(self.crashes < 1_000, "no step is durable any more; {}", self.standing());
        for ready in in_hand {
            if self.draw(2) == 0 {
                self.office.serve(ready);
            }
        }
        let (store, contract) = (self.store.clone(), Arc::clone(&self.contract));
        self.runner = Loop::new(store, contract, self.dialect.clone(), load(&self.makers));
    }

    /// An event of a type about an asset.
    pub(super) fn event(&mut self, number: u64, asset: &str, data: Json) -> EventId {
        let id = EventId::derived(&[&number.to_le_bytes()]);
        let event = Event {
            id,
            kind: "asset.alarm".into(),
            source: "/home/rules/hot".into(),
            time: self.now,
            subject: asset.into(),
            schema: "andon:asset.alarm/1.0".into(),
            site: SiteName::new("home").unwrap(),
            key: asset.into(),
            correlation: id,
            causation: None,
            recorded: self.now,
            data,
        };
        self.store.commit(vec![Write::Event(Box::new(event), None)]).unwrap();
        id
    }

    /// Steps until nothing is left to do at this moment; the requests that were let go.
    pub(super) fn settle(&mut self) -> Vec<Ready> {
        let mut ready = Vec::new();
        for _ in 0..1_000 {
            let Ok(progress) = self.runner.step(self.now) else {
                self.crash(&std::mem::take(&mut ready));
                continue;
            };
            ready.extend(self.runner.take_requests());
            if !progress.worked {
                return ready;
            }
        }
        panic!("it does not come to rest");
    }

    /// Serves these requests and brings the answers back.
    pub(super) fn serve(&mut self, requests: &[Ready]) {
        for ready in requests {
            let outcome = self.office.serve(ready);
            self.runner.complete(ready.request.call, ready.request.attempt, outcome);
        }
    }

    /// Answers one request with this outcome.
    pub(super) fn reply(&mut self, ready: &Ready, outcome: Outcome) {
        self.runner.complete(ready.request.call, ready.request.attempt, outcome);
    }

    pub(super) fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    /// The clock is set by this span, and the process is told.
    pub(super) fn set_clock(&mut self, by: Span) {
        self.pass(by);
        self.runner.clock_was_set(by.nanos());
    }

    /// Everything to its end with an office that always answers; time goes to the next wake.
    pub(super) fn finish(&mut self) {
        for _ in 0..10_000 {
            let requests = self.settle();
            if !requests.is_empty() {
                self.serve(&requests);
                continue;
            }
            let Ok(progress) = self.runner.step(self.now) else {
                self.crash(&[]);
                continue;
            };
            match progress.wake {
                Some(wake) => self.now = wake.max(self.now),
                None if !progress.worked => return super::tally::assert_whole(&self.store),
                None => {}
            }
        }
        panic!("it does not end; {}", self.standing());
    }

    /// Where the runs and calls stand that have not ended.
    fn standing(&self) -> String {
        let runs = self.runs().into_iter().filter(|run| !run.state.has_ended());
        let calls = self.calls().into_iter().filter(|call| call.output.is_none());
        let runs: Vec<_> = runs.map(|run| (run.workflow, run.state, run.wake)).collect();
        let calls: Vec<_> = calls.map(|call| (call.pointer, call.iteration, call.state, call.due)).collect();
        format!("runs {runs:?}, calls {calls:?}")
    }

    fn list<T: DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let query = andon_store::Query { limit: 10_000, ascending: true, ..andon_store::Query::default() };
        let page = self.store.list(kind, &query).unwrap();
        page.rows.into_iter().map(|row| serde_json::from_value(row).unwrap()).collect()
    }

    pub(super) fn runs(&self) -> Vec<RunRow> {
        self.list("runs")
    }

    pub(super) fn calls(&self) -> Vec<CallRow> {
        self.list("calls")
    }

    pub(super) fn tasks(&self) -> Vec<TaskRow> {
        self.list("tasks")
    }

    pub(super) fn exceptions(&self) -> Vec<ExceptionRow> {
        self.list("exceptions")
    }

    pub(super) fn attempts(&self, call: CallId) -> Vec<AttemptRow> {
        self.store.attempts(call).unwrap()
    }

    /// Every run completed, every call had its effect once.
    pub(super) fn assert_exactly_once(&self, runs: usize, effects: usize, why: &str) {
        let rows = self.runs();
        assert_eq!(rows.len(), runs, "{why}: one run per event");
        for row in &rows {
            assert_eq!(row.state, RunState::Completed, "{why}: {row:?}");
        }
        assert_eq!(self.office.effects.len(), effects, "{why}: every call was made");
        for (reference, count) in &self.office.effects {
            assert_eq!(*count, 1, "{why}: {reference} was done {count} times");
        }
        let calls: BTreeSet<_> = self.calls().iter().map(|call| call.reference.clone()).collect();
        assert!(self.office.effects.keys().all(|reference| calls.contains(reference)), "{why}");
        assert!(self.exceptions().is_empty(), "{why}: {:?}", self.exceptions());
    }
}

fn load(makers: &Makers) -> Load {
    let makers = Arc::clone(makers);
    Box::new(move |files| {
        let makers = makers.lock().unwrap();
        makers.get(&files["revision"]).map(|maker| maker()).ok_or_else(|| "nothing can be read in this test".into())
    })
}

pub(super) fn no_load() -> Load {
    Box::new(|_| Err("nothing can be read in this test".into()))
}
