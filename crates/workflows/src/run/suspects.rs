//! What this loop has at hand, and what becomes of what ended the process with it.
//!
//! Every event, run and call is named before it is worked on. After an unclean end what was named is suspect, and the
//! step in which it is met again is made anew with nothing else at hand in the whole instance. What ends the process so
//! twice is poison: an event is passed over, a run is faulted, a call is parked, each as an exception.

use super::{Loop, Open};
use crate::fault::{Fault, Standard};
use andon_contract::Contract;
use andon_model::{CallId, EventId, ExceptionId, RunId, Time};
use andon_store::rows::{Action, ExceptionKind, ExceptionRow, StoredEvent};
use andon_store::{ENDS_MAX, Gate, Hand, Store, StoreError, Suspects};

/// The name of this loop among those that have something at hand.
const PART: &str = "workflows";

/// What is worked on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    Event(EventId),
    Run(RunId),
    Call(CallId),
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(id) => write!(f, "event/{id}"),
            Self::Run(id) => write!(f, "run/{id}"),
            Self::Call(id) => write!(f, "call/{id}"),
        }
    }
}

/// What the loop has at hand, and whom it suspects.
#[derive(Debug)]
pub(super) struct Careful {
    hand: Hand,
    suspects: Suspects,
    /// This step has nothing else at hand in the whole instance.
    alone: bool,
    /// A suspect was met, and is to be alone.
    wants_alone: bool,
}

impl Careful {
    pub(super) fn new(store: &Store) -> Self {
        let suspects = store.suspects(PART).unwrap_or_else(|error| {
            tracing::warn!(%error, "what the process before had at hand cannot be read");
            Suspects::default()
        });
        Self { hand: store.hand(PART), suspects, alone: false, wants_alone: false }
    }

    /// The way in for a step.
    pub(super) fn gate(&mut self) -> Gate {
        self.alone = std::mem::take(&mut self.wants_alone);
        self.hand.gate(self.alone)
    }

    /// Nothing is at hand any more.
    pub(super) fn free(&mut self) {
        self.hand.free();
    }

    /// The step was undone: what it met is met again. Whether it is made anew at once, alone.
    pub(super) fn again(&mut self) -> bool {
        self.hand.free();
        self.suspects.again();
        self.wants_alone
    }

    /// The step is durable: whom it met is suspected no more.
    pub(super) fn survived(&mut self, store: &Store) {
        self.hand.free();
        let rows = self.suspects.acquit();
        if !rows.is_empty()
            && let Err(error) = store.commit(rows)
        {
            tracing::warn!(%error, "what was suspected stays so until the next end");
        }
    }

    /// Names what is worked on from here on; whether it is poison. The error undoes the step.
    fn meets(&mut self, item: Item) -> Result<bool, StoreError> {
        let item = item.to_string();
        if self.suspects.ends(&item).is_some() && !self.alone {
            self.wants_alone = true;
            return Err(StoreError::Stopped(format!("{item} is processed alone")));
        }
        if self.suspects.meets(&item) {
            return Ok(true);
        }
        self.hand.take(&item);
        Ok(false)
    }
}

fn why(what: &str) -> String {
    format!("the process ended {ENDS_MAX} times with {what} alone at hand: it is set aside as poison")
}

impl Loop {
    /// Whether an event is poison: then it is passed over, and an exception tells of it.
    pub(super) fn is_poison_event(&mut self, stored: &StoredEvent, now: Time) -> Result<bool, StoreError> {
        let is_poison = self.careful.meets(Item::Event(stored.event.id))?;
        if is_poison {
            self.batch.exception(poison(&self.contract, stored, now));
        }
        Ok(is_poison)
    }

    /// Whether a run is poison: the error with which it ends.
    pub(super) fn poison_of_run(&mut self, open: &Open) -> Result<Option<Fault>, StoreError> {
        let is_poison = self.careful.meets(Item::Run(open.row.id))?;
        Ok(is_poison.then(|| Fault::of(Standard::Runtime, why("this run"))))
    }

    /// Whether a call is poison: why it is parked.
    pub(super) fn poison_of_call(&mut self, call: CallId) -> Result<Option<String>, StoreError> {
        Ok(self.careful.meets(Item::Call(call))?.then(|| why("this call")))
    }
}

fn poison(contract: &Contract, stored: &StoredEvent, now: Time) -> ExceptionRow {
    let event = &stored.event;
    let kind = ExceptionKind::Input;
    let about = andon_contract::contract::About::of(kind.word(), None, Some(&event.site));
    let answerable = contract.answerable(&about, now);
    let id = ExceptionId::derived(&[b"poison", event.id.to_string().as_bytes()]);
    ExceptionRow {
        site: Some(event.site.clone()),
        due: answerable.due,
        key: Some(event.key.clone()),
        action: Some(Action::Discard),
        cause: format!("an event of the type {} ended the process each time workflows took it up", event.kind),
        detail: format!("{}; event {}, which is kept in the event log", why("it"), event.id),
        remedy: "tell the makers of andon; once it is mended, start by hand the runs that the event would have started"
            .to_owned(),
        ..ExceptionRow::new(id, kind, answerable.owner, format!("poison/{}", event.kind), now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Loop;
    use crate::testing::plant::contract;
    use andon_model::call::{CallRequest, Prepare, Prepared};
    use andon_model::{CallId, Event, EventId, Outcome, OutcomeClass, SiteName, Time, span::Span};
    use andon_store::rows::{CallState, ContractRow, Write};
    use andon_store::{ENDS_MAX, Store};
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;

    /// Where the process that is to end finds its data folder.
    const FOLDER: &str = "ANDON_TEST_POISON";

    /// Ends the process when it is to make the request of one event of many.
    struct Poison;

    impl Prepare for Poison {
        fn prepare(&self, request: &CallRequest) -> Result<Prepared, Outcome> {
            if request.input["n"] == 2 {
                std::process::abort();
            }
            let (method, url) = ("POST".to_owned(), format!("http://{}/{}", request.system, request.operation));
            let body = request.key.reference().to_string();
            Ok(Prepared { method, url, headers: BTreeMap::new(), body })
        }
    }

    fn chance(bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn plant() -> andon_contract::Contract {
        let tasks = json!([{"ask": {"call": "work.key", "with": {"n": "${ .n }", "asset": "m-1"}}}]);
        let workflow = json!({
            "schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}},
            "input": {"from": "{ n: .[0].data.n }"},
            "do": tasks,
        });
        contract(&[("work", workflow)])
    }

    fn now() -> Time {
        Time::parse("2026-11-22T08:00:00Z").unwrap()
    }

    /// One start of an instance: works until nothing is left, and answers every call.
    fn live(dir: &Path) {
        let store = Store::open(dir, &mut chance).unwrap();
        store.take_up(now()).unwrap();
        let plant = plant();
        if store.last_sequence().unwrap() == 0 {
            let files = plant.files.clone();
            let row = ContractRow { revision: plant.revision.clone(), activated: now(), files };
            let mut writes = vec![Write::Contract(Box::new(row))];
            for n in 1..=3 {
                writes.push(Write::Event(Box::new(alarm(n)), None));
            }
            store.commit(writes).unwrap();
        }
        let load = Box::new(|_: &BTreeMap<String, String>| Err("there is one contract".to_owned()));
        let mut runs = Loop::new(store, Arc::new(plant), Arc::new(Poison), load);
        let mut at = now();
        loop {
            let progress = runs.step(at).unwrap();
            for ready in runs.take_requests() {
                let document = ready.request.key.reference().to_string();
                let outcome = Outcome {
                    sent: true,
                    output: json!({"document": document}),
                    document: Some(document),
                    ..Outcome::not_sent(OutcomeClass::Ok, "")
                };
                runs.complete(ready.request.call, ready.request.attempt, outcome);
            }
            if !progress.worked {
                break;
            }
            at = at.plus(Span::from_secs(1));
        }
    }

    fn alarm(n: u64) -> Event {
        let id = EventId::derived(&[&n.to_le_bytes()]);
        Event {
            id,
            kind: "asset.alarm".into(),
            source: "/home/rules/hot".into(),
            time: now(),
            subject: format!("m-{n}"),
            schema: "andon:asset.alarm/1.0".into(),
            site: SiteName::new("home").unwrap(),
            key: format!("m-{n}"),
            correlation: id,
            causation: None,
            recorded: now(),
            data: json!({"change": "activated", "n": n}),
        }
    }

    /// The child of the test below; by itself it does nothing.
    #[test]
    fn a_process_that_may_end() {
        if let Some(dir) = std::env::var_os(FOLDER) {
            live(Path::new(&dir));
        }
    }

    #[test]
    fn a_call_that_ends_the_process_is_parked_after_two_ends_alone_and_all_others_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let start = || {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "run::suspects::tests::a_process_that_may_end"]).env(FOLDER, dir.path());
            child.output().unwrap().status.success()
        };
        let ends = (0..10).take_while(|_| !start()).count();
        assert_eq!(ends, 1 + ENDS_MAX as usize, "the first end, and those with it alone at hand");
        assert!(start(), "what is parked stays so");

        let store = Store::open(dir.path(), &mut chance).unwrap();
        assert_eq!(store.in_process().unwrap(), []);
        let calls = store.list("calls", &andon_store::Query::default()).unwrap().rows;
        let mut states: Vec<(i64, String)> = calls
            .iter()
            .map(|call| (call["input"]["n"].as_i64().unwrap(), call["state"].as_str().unwrap().to_owned()))
            .collect();
        states.sort();
        let of = |n, state: CallState| (n, state.word().to_owned());
        assert_eq!(states, [of(1, CallState::Delivered), of(2, CallState::Parked), of(3, CallState::Delivered)]);
        let parked: CallId = calls.iter().find(|c| c["state"] == "parked").unwrap()["id"]
            .as_str()
            .and_then(|id| CallId::parse(id).ok())
            .unwrap();
        let exceptions = store.exceptions_of_call(parked).unwrap();
        assert!(exceptions.iter().any(|row| row.detail.contains("poison")), "{exceptions:?}");
    }
}
