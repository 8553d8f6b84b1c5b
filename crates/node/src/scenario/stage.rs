//! The stage: one thread, one clock, the real loops.

use andon_contract::{
    Contract,
    contract::{Answer, Given, Happening, Scenario},
};
use andon_events::{
    Progress,
    objects::{Objects, Teller},
};
use andon_model::{
    AssetName, CallId, Entry, Event, Mark, Name, Outcome, OutcomeClass, Sample, SignalName, SignalNo, SiteName, Time,
    call::{CallRequest, Step},
    object::{Item, Told},
    sample::{Origin, Part},
    span::Span,
};
use andon_store::{
    Query, Store, StoreError,
    rows::{CallRow, ContractRow, ExceptionRow, Write},
};
use andon_systems::Connectors;
use andon_workflows::Ready;
use std::{collections::BTreeMap, sync::Arc};

/// Systems and workflows come to rest within this time after the plant has ended, or the scenario ends there: retries
/// of a day, and a little more.
const REST_MAX: Span = Span::from_secs(26 * 3_600);
/// Steps of one scenario at most; more is a circle.
const STEPS_MAX: u64 = 50_000_000;
/// The source under which acts of persons stand in the log.
const INSTANCE: &str = "andon";
/// Samples that are handed to the log at once at most.
const PART_MAX: usize = 1_000;

/// What was played.
pub(super) struct Played {
    pub(super) now: Time,
    pub(super) samples: usize,
    /// What came of it, or what stopped it.
    pub(super) found: Result<Found, String>,
}

/// What came of a scenario.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) events: Vec<Event>,
    pub(super) calls: Vec<CallRow>,
    pub(super) exceptions: Vec<ExceptionRow>,
    /// What was asked of systems and not answered by the scenario: operation and step.
    pub(super) unanswered: Vec<String>,
}

/// An answer on its way.
struct OnItsWay {
    due: Time,
    call: CallId,
    attempt: u32,
    outcome: Outcome,
}

struct Stage<'a> {
    contract: &'a Arc<Contract>,
    store: Store,
    events: andon_events::Loop,
    workflows: andon_workflows::Loop,
    objects: Objects,
    connectors: Arc<Connectors>,
    answers: &'a [Answer],
    /// How often each answer was given.
    given: Vec<u32>,
    on_their_way: Vec<OnItsWay>,
    unanswered: Vec<String>,
    signals: BTreeMap<(AssetName, SignalName), SignalNo>,
    start: Time,
    now: Time,
    steps: u64,
}

/// Plays a scenario to its end.
pub(super) fn play(contract: &Arc<Contract>, scenario: &Scenario) -> Played {
    let samples = scenario.given.iter().filter(|given| matches!(given.what, Happening::Sample { .. })).count();
    let mut stage = match Stage::new(contract, scenario) {
        Ok(stage) => stage,
        Err(cause) => return Played { now: scenario.start, samples, found: Err(cause) },
    };
    let found = stage.run(scenario).and_then(|()| stage.found());
    Played { now: stage.now, samples, found }
}

fn words(error: &StoreError) -> String {
    format!("the store in memory refuses: {error}")
}

impl<'a> Stage<'a> {
    fn new(contract: &'a Arc<Contract>, scenario: &'a Scenario) -> Result<Self, String> {
        // The ids of every playing are the same: its chance is a counter.
        let mut next = 0_u8;
        let store = Store::memory(&mut |buffer| {
            buffer.fill_with(|| {
                next = next.wrapping_add(1);
                next
            });
        });
        let row = ContractRow {
            revision: contract.revision.clone(),
            activated: scenario.start,
            files: contract.files.clone(),
        };
        store.commit(vec![Write::Contract(Box::new(row))]).map_err(|e| words(&e))?;
        let events = andon_events::Loop::new(store.clone(), Arc::clone(contract), scenario.start);
        let events = events.map_err(|e| format!("the rules do not start: {e}"))?;
        // Addresses and secrets are never used, so every variable of the environment is as good as any other.
        let connectors = Arc::new(Connectors::new(Arc::clone(contract), |_| None));
        let load = Box::new(|_: &BTreeMap<String, String>| Err("a scenario has one contract".to_owned()));
        let workflows = andon_workflows::Loop::new(store.clone(), Arc::clone(contract), connectors.clone(), load);
        Ok(Self {
            contract,
            objects: Objects::new(store.clone(), Arc::clone(contract)),
            store,
            events,
            workflows,
            connectors,
            answers: &scenario.answers,
            given: vec![0; scenario.answers.len()],
            on_their_way: Vec::new(),
            unanswered: Vec::new(),
            signals: BTreeMap::new(),
            start: scenario.start,
            now: scenario.start,
            steps: 0,
        })
    }

    fn run(&mut self, scenario: &Scenario) -> Result<(), String> {
        let mut rest = &scenario.given[..];
        while let Some(first) = rest.first() {
            self.go_on_until(first.at, true)?;
            let together = rest.iter().take_while(|given| given.at == first.at).count();
            let (now, later) = rest.split_at(together);
            self.happen(now)?;
            rest = later;
        }
        self.go_on_until(scenario.end, true)?;
        // The plant stands still now; what was begun comes to its end, and nothing is planned any more.
        self.workflows.plan_no_more();
        self.go_on_until(scenario.end.plus(REST_MAX), false)
    }

    /// Lets everything work until a moment, or, without the plant, until nothing is left to do.
    fn go_on_until(&mut self, end: Time, plant: bool) -> Result<(), String> {
        let plant_end = self.now;
        loop {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err("it does not come to rest: something starts itself again and again".to_owned());
            }
            let plant_now = if plant { self.now } else { plant_end };
            let rules = self.step_rules(plant_now)?;
            let (worked, wake) = self.step_workflows()?;
            if rules == Progress::Worked || worked {
                continue;
            }
            let by_rules = match rules {
                Progress::Idle { until } => until.filter(|_| plant).map(|until| self.now.plus(until)),
                Progress::Worked => None,
            };
            let by_answer = self.on_their_way.iter().map(|answer| answer.due).min();
            let next = [by_rules, wake, by_answer].into_iter().flatten().min();
            match next {
                Some(next) if next <= end => self.now = next.max(self.now.plus(Span::from_nanos(1))),
                _ if plant => {
                    self.now = end.max(self.now);
                    return self.settle();
                }
                _ => return Ok(()),
            }
        }
    }

    /// What is due at this very moment, before something else happens in it.
    fn settle(&mut self) -> Result<(), String> {
        while self.step_rules(self.now)? == Progress::Worked || self.step_workflows()?.0 {
            self.steps += 1;
        }
        Ok(())
    }

    fn step_rules(&mut self, now: Time) -> Result<Progress, String> {
        self.events.step(now, now.since(self.start)).map_err(|e| words(&e))
    }

    fn step_workflows(&mut self) -> Result<(bool, Option<Time>), String> {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.on_their_way).into_iter().partition(|answer| answer.due <= now);
        self.on_their_way = later;
        let due: Vec<OnItsWay> = due;
        let mut worked = !due.is_empty();
        for answer in due {
            self.workflows.complete(answer.call, answer.attempt, answer.outcome);
        }
        let progress = self.workflows.step(now).map_err(|e| words(&e))?;
        worked |= progress.worked;
        for ready in self.workflows.take_requests() {
            self.answer(&ready);
            worked = true;
        }
        Ok((worked, progress.wake))
    }

    /// Finds the answer to a request: those of its operation in their order, the last one again and again.
    fn answer(&mut self, ready: &Ready) {
        let request = &ready.request;
        let mut found = None;
        for (number, answer) in self.answers.iter().enumerate() {
            if !fits(answer, request) {
                continue;
            }
            found = Some(number);
            if self.given.get(number).is_some_and(|given| *given < answer.times) {
                break;
            }
        }
        let known = found.and_then(|number| Some((number, self.answers.get(number)?)));
        let (outcome, after) = if let Some((number, answer)) = known {
            if let Some(given) = self.given.get_mut(number) {
                *given = given.saturating_add(1);
            }
            (self.connectors.play(request, &answer.reply), answer.after)
        } else {
            let step = if request.step == Step::Search { " (search: true)" } else { "" };
            let asked = format!("{}.{}{step}", request.system, request.operation);
            if !self.unanswered.contains(&asked) {
                self.unanswered.push(asked);
            }
            (Outcome::not_sent(OutcomeClass::Validation, "the scenario tells no answer"), Span::ZERO)
        };
        let due = self.now.plus(after);
        self.on_their_way.push(OnItsWay { due, call: request.call, attempt: request.attempt, outcome });
    }

    fn happen(&mut self, given: &[Given]) -> Result<(), String> {
        let mut parts: Vec<Part> = Vec::new();
        for given in given {
            let instance = Name::new(INSTANCE).map_err(|e| e.expected.to_owned())?;
            let (site, source, entry) = match &given.what {
                Happening::Sample { source, asset, signal, time, value, quality } => {
                    let sample = Sample {
                        signal: self.signal(asset, signal)?,
                        time: *time,
                        received: given.at,
                        quality: *quality,
                        value: value.clone(),
                        origin: Origin::Live,
                    };
                    let site = self.contract.assets.get(asset).map(|asset| asset.site.clone());
                    (site, source, Entry::Sample(sample))
                }
                Happening::Disconnected(source) => {
                    (self.any_site(), source, Entry::Mark(Mark::Disconnected("the scenario says so".to_owned())))
                }
                Happening::Connected(source) => (self.any_site(), source, Entry::Mark(Mark::Connected)),
                Happening::Told(told) => {
                    // It has a place in the log: behind what was given before it.
                    self.append(std::mem::take(&mut parts))?;
                    self.tell(told, given.at)?;
                    continue;
                }
                Happening::Done(done) => {
                    let site = self.contract.assets.get(&done.asset).map(|asset| asset.site.clone());
                    (site, &instance, Entry::Mark(Mark::Control(done.clone())))
                }
            };
            let Some(site) = site else { continue };
            push(&mut parts, site, source, entry);
        }
        self.append(parts)
    }

    fn append(&mut self, parts: Vec<Part>) -> Result<(), String> {
        if parts.is_empty() {
            return Ok(());
        }
        self.store.append(parts).map(drop).map_err(|e| words(&e))
    }

    /// Tells an object as the API does.
    fn tell(&self, told: &Told, now: Time) -> Result<(), String> {
        let Some(home) = self.contract.sites.keys().find(|site| site.as_str() == told.site).cloned() else {
            return Err(format!("there is no site {}", told.site));
        };
        let teller = Teller { of: "api".to_owned(), max_age: None, home };
        let item = Item { bytes: Vec::new(), told: Ok(told.clone()) };
        let taken = self.objects.take(&teller, vec![item], false, now, |_| Vec::new()).map_err(|e| words(&e))?;
        match taken.unfit.first() {
            Some((unfit, _)) => Err(format!("{} at {}: {}", unfit.cause, unfit.place, unfit.found)),
            None => Ok(()),
        }
    }

    fn any_site(&self) -> Option<SiteName> {
        self.contract.sites.keys().next().cloned()
    }

    fn signal(&mut self, asset: &AssetName, signal: &SignalName) -> Result<SignalNo, String> {
        let key = (asset.clone(), signal.clone());
        if let Some(number) = self.signals.get(&key) {
            return Ok(*number);
        }
        let number = self.store.signal(asset, signal).map_err(|e| words(&e))?;
        self.signals.insert(key, number);
        Ok(number)
    }

    fn found(&mut self) -> Result<Found, String> {
        let mut found = Found { unanswered: std::mem::take(&mut self.unanswered), ..Found::default() };
        let mut after = 0;
        loop {
            let page = self.store.events_after(after, PART_MAX).map_err(|e| words(&e))?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            found.events.extend(page.into_iter().map(|stored| stored.event));
        }
        found.calls = self.rows("calls")?;
        found.calls.sort_by_key(|call| call.created);
        found.exceptions = self.rows("exceptions")?;
        Ok(found)
    }

    fn rows<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, String> {
        let mut all = Vec::new();
        let mut query = Query { limit: PART_MAX, ascending: true, ..Query::default() };
        loop {
            let page = self.store.list(kind, &query).map_err(|e| words(&e))?;
            for row in page.rows {
                all.push(serde_json::from_value(row).map_err(|e| format!("a row of {kind} cannot be read: {e}"))?);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

fn fits(answer: &Answer, request: &CallRequest) -> bool {
    answer.operation.system == request.system
        && answer.operation.operation == request.operation
        && answer.search == (request.step == Step::Search)
}

/// Adds an entry to the last part, where it belongs there: what a source says keeps its order.
fn push(parts: &mut Vec<Part>, site: SiteName, source: &Name, entry: Entry) {
    if let Some(part) = parts.last_mut()
        && part.site == site
        && part.source == *source
        && part.entries.len() < PART_MAX
    {
        part.entries.push(entry);
        return;
    }
    let mut part = Part::new(site, source.clone());
    part.entries.push(entry);
    parts.push(part);
}
