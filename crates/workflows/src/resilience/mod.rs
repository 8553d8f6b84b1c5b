//! Resilience: each system has a guard that says how many attempts it bears and whether any go to it at all. What
//! fails belongs to the system, never to the workflow.
//!
//! [`breaker`] and [`adaptive`] are pure; [`Guards`] holds one of each for every system, and a breaker for each
//! operation that has one of its own. What a breaker is stands in rows; how many places there are is found out anew.

pub mod adaptive;
pub mod breaker;
mod told;

pub(crate) use told::{exception_of, opened};

use crate::clocks::moved;
use adaptive::{Adaptive, Sign};
use andon_contract::Contract;
use andon_contract::contract::{Breaker as Settings, OperationRef};
use andon_model::{CallId, Name, Outcome, OutcomeClass, Time, span::Span};
use andon_store::rows::SystemRow;
use breaker::{Admission, Breaker, Moved, Standing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// Waits in the queue of a system that are remembered, for how long it is in the middle.
const WAITS_MAX: usize = 256;

/// What has a breaker: a system, or one of its operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gate {
    /// The system.
    pub system: Name,
    /// The operation, where the breaker is its own.
    pub operation: Option<Name>,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            Some(operation) => write!(f, "{}.{operation}", self.system),
            None => write!(f, "{}", self.system),
        }
    }
}

/// What is kept of the guard of a system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its breaker.
    pub breaker: Breaker,
    /// Those of operations that have one of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<Name, Breaker>,
}

impl Kept {
    fn all_mut(&mut self) -> impl Iterator<Item = &mut Breaker> {
        std::iter::once(&mut self.breaker).chain(self.operations.values_mut())
    }
}

/// The row of a system by a clock that was set by so many nanoseconds; `None`: it cannot be read.
pub(crate) fn moved_row(row: SystemRow, by: i64) -> Option<SystemRow> {
    let mut kept: Kept = serde_json::from_value(row.state).ok()?;
    kept.all_mut().for_each(|breaker| breaker.clock_was_set(by));
    Some(SystemRow { system: row.system, changed: moved(row.changed, by), state: to_json(&kept) })
}

fn to_json(kept: &Kept) -> serde_json::Value {
    serde_json::to_value(kept).expect("a breaker is made of texts, numbers and times")
}

/// How a system fares at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Fares {
    /// What is kept of it.
    pub kept: Kept,
    /// Attempts under way.
    pub under_way: u32,
    /// How many may be.
    pub places: u32,
    /// Calls that wait for a place.
    pub queued: usize,
    /// Calls that wait for a breaker.
    pub held: usize,
    /// How long requests of late waited from when they could have gone until they did, in the middle: for a place, and
    /// until their attempt was durable. `None`: there were none.
    pub wait: Option<Span>,
}

#[derive(Debug, Default)]
struct Guard {
    kept: Kept,
    places: Option<Adaptive>,
    /// Probes under way, by the breaker that they try.
    probes: BTreeSet<(Option<Name>, CallId)>,
    waits: VecDeque<Span>,
}

impl Guard {
    fn breaker(&self, operation: Option<&Name>) -> Option<&Breaker> {
        match operation {
            None => Some(&self.kept.breaker),
            Some(operation) => self.kept.operations.get(operation),
        }
    }

    fn breaker_mut(&mut self, operation: Option<&Name>) -> &mut Breaker {
        match operation {
            None => &mut self.kept.breaker,
            Some(operation) => self.kept.operations.entry(operation.clone()).or_default(),
        }
    }

    fn admit(&self, operation: Option<&Name>, settings: &Settings, now: Time) -> Admission {
        let Some(breaker) = self.breaker(operation) else { return Admission::Pass };
        if breaker.state == Standing::Closed {
            return Admission::Pass;
        }
        let flying = self.probes.iter().filter(|(of, _)| of.as_ref() == operation).count();
        breaker.admit(settings, u32::try_from(flying).unwrap_or(u32::MAX), now)
    }

    fn all(&self) -> impl Iterator<Item = (Option<&Name>, &Breaker)> {
        std::iter::once((None, &self.kept.breaker))
            .chain(self.kept.operations.iter().map(|(name, of)| (Some(name), of)))
    }
}

/// The breakers that an attempt passes, with their settings: the system's, then the operation's own.
fn passed<'c>(
    contract: &'c Contract,
    target: &'c OperationRef,
) -> impl Iterator<Item = (Option<&'c Name>, &'c Settings)> {
    let system = contract.systems.get(&target.system);
    let of_system = system.and_then(|of| of.breaker.as_ref()).map(|settings| (None, settings));
    let operation = system.and_then(|of| of.operations.get(&target.operation));
    let own = operation.and_then(|of| of.narrow.breaker.as_ref());
    of_system.into_iter().chain(own.map(|settings| (Some(&target.operation), settings)))
}

fn settings<'c>(contract: &'c Contract, gate: &Gate) -> Option<&'c Settings> {
    let system = contract.systems.get(&gate.system)?;
    match &gate.operation {
        None => system.breaker.as_ref(),
        Some(operation) => system.operations.get(operation)?.narrow.breaker.as_ref(),
    }
}

/// What an outcome says about the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// It answered.
    Answers,
    /// It bears no more at this moment.
    Full,
    /// It failed.
    Fails,
    /// Nothing: it was not asked, or the process ended before.
    Nothing,
}

fn says(outcome: &Outcome, lost: bool) -> Says {
    match outcome.class {
        _ if lost => Says::Nothing,
        OutcomeClass::Transient | OutcomeClass::Unknown => Says::Fails,
        OutcomeClass::Limit if outcome.sent => Says::Full,
        _ if outcome.sent => Says::Answers,
        _ => Says::Nothing,
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    /// The call.
    pub(crate) call: CallId,
    /// Who was asked.
    pub(crate) target: &'a OperationRef,
    /// What became of it.
    pub(crate) outcome: &'a Outcome,
    /// Whether the process ended before the outcome came, or nothing was sent because we stop.
    pub(crate) lost: bool,
    /// When it began.
    pub(crate) started: Time,
}

/// The guards of all systems.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    systems: BTreeMap<Name, Guard>,
}

impl Guards {
    /// As the rows say. Probes are those that [`Guards::fly`] tells again.
    pub(crate) fn recover(&mut self, rows: Vec<SystemRow>) {
        for guard in self.systems.values_mut() {
            (guard.kept, guard.probes) = (Kept::default(), BTreeSet::new());
        }
        for row in rows {
            let guard = self.systems.entry(row.system.clone()).or_default();
            guard.kept = serde_json::from_value(row.state).unwrap_or_else(|error| {
                tracing::warn!(system = %row.system, %error, "its breaker cannot be read and counts as closed");
                Kept::default()
            });
            if guard.all().any(|(_, breaker)| breaker.state != Standing::Closed) {
                guard.places.get_or_insert_with(|| Adaptive::new(1)).begin_anew();
            }
        }
    }

    /// The clock was set by so many nanoseconds: what is known of places follows. Rows follow by themselves.
    pub(crate) fn clock_was_set(&mut self, by: i64) {
        let places = self.systems.values_mut().filter_map(|guard| guard.places.as_mut());
        places.for_each(|places| places.clock_was_set(by));
    }

    /// What a new process makes of the rows that it has read; the systems of which that changed anything.
    pub(crate) fn found(&mut self, now: Time) -> Vec<Name> {
        let found = |guard: &mut Guard| guard.kept.all_mut().fold(false, |any, breaker| breaker.found(now) | any);
        self.systems.iter_mut().filter_map(|(system, guard)| found(guard).then(|| system.clone())).collect()
    }

    /// Whether a call may go to a target now: with the breakers that it tries, or with the one that keeps it away.
    pub(crate) fn admit(&self, contract: &Contract, target: &OperationRef, now: Time) -> Result<Vec<Gate>, Gate> {
        let mut tries = Vec::new();
        let Some(guard) = self.systems.get(&target.system) else { return Ok(tries) };
        for (operation, settings) in passed(contract, target) {
            let gate = || Gate { system: target.system.clone(), operation: operation.cloned() };
            match guard.admit(operation, settings, now) {
                Admission::Pass => {}
                Admission::Probe => tries.push(gate()),
                Admission::Away => return Err(gate()),
            }
        }
        Ok(tries)
    }

    /// Whether a target's breakers let nothing go to it now.
    pub(crate) fn is_away(&self, contract: &Contract, target: &OperationRef, now: Time) -> bool {
        self.admit(contract, target, now).is_err()
    }

    /// Whether a breaker would let one more call try its system now.
    pub(crate) fn wants_probe(&self, contract: &Contract, gate: &Gate, now: Time) -> bool {
        let Some(settings) = settings(contract, gate) else { return true };
        let guard = self.systems.get(&gate.system);
        guard.is_none_or(|guard| guard.admit(gate.operation.as_ref(), settings, now) != Admission::Away)
    }

    /// Systems whose breaker is not closed, with the time from which on a call may try them.
    pub(crate) fn shut(&self) -> impl Iterator<Item = (&Name, Time)> {
        let shut = self.systems.iter().filter(|(_, guard)| guard.kept.breaker.state != Standing::Closed);
        shut.map(|(system, guard)| (system, guard.kept.breaker.probe.unwrap_or(Time::MIN)))
    }

    /// Whether nothing at all goes to a system now.
    pub(crate) fn is_shut(&self, contract: &Contract, system: &Name, now: Time) -> bool {
        let settings = contract.systems.get(system).and_then(|of| of.breaker.as_ref());
        let Some((guard, settings)) = self.systems.get(system).zip(settings) else { return false };
        guard.admit(None, settings, now) == Admission::Away
    }

    /// Whether the pause of a call at a target is over because a breaker decides: it keeps the call away, or has
    /// closed since the call was last touched.
    pub(crate) fn decides(&self, target: &OperationRef, touched: Time) -> bool {
        let Some(guard) = self.systems.get(&target.system) else { return false };
        [None, Some(&target.operation)]
            .into_iter()
            .filter_map(|operation| guard.breaker(operation))
            .any(|breaker| breaker.state != Standing::Closed || breaker.closed.is_some_and(|closed| closed >= touched))
    }

    /// How many attempts may be under way at a system. The breaker counts those that try it.
    pub(crate) fn places(&self, contract: &Contract, system: &Name) -> u32 {
        let Some(of) = contract.systems.get(system) else { return 1 };
        let most = of.concurrent.max(1);
        let guard =
            self.systems.get(system).filter(|guard| of.adaptive && guard.kept.breaker.state == Standing::Closed);
        guard.and_then(|guard| guard.places.as_ref()).map_or(most, |places| places.places(most))
    }

    /// A request went out to a system so long after it could have.
    pub(crate) fn waited(&mut self, system: &Name, wait: Span) {
        let guard = self.systems.entry(system.clone()).or_default();
        if guard.waits.len() >= WAITS_MAX {
            guard.waits.pop_front();
        }
        guard.waits.push_back(wait);
    }

    /// An attempt begins, as one of so many at its system; it tries these breakers. Whether that moved one of them.
    pub(crate) fn begin(
        &mut self,
        contract: &Contract,
        (call, system): (CallId, &Name),
        tries: Vec<Gate>,
        under_way: u32,
        now: Time,
    ) -> bool {
        let most = contract.systems.get(system).map_or(1, |of| of.concurrent.max(1));
        let guard = self.systems.entry(system.clone()).or_default();
        guard.places.get_or_insert_with(|| Adaptive::new(most)).begun(under_way, most);
        let mut moved = false;
        for Gate { operation, .. } in tries {
            moved |= guard.breaker_mut(operation.as_ref()).try_it(now);
            guard.probes.insert((operation, call));
        }
        moved
    }

    /// An attempt was under way before the rows were read: it goes on trying the breakers that it tried.
    pub(crate) fn fly(&mut self, contract: &Contract, call: CallId, target: &OperationRef, started: Time) {
        let Some(guard) = self.systems.get_mut(&target.system) else { return };
        for (operation, _) in passed(contract, target) {
            let of = guard.breaker(operation);
            if of.is_some_and(|of| of.state == Standing::HalfOpen && of.since.is_some_and(|since| started >= since)) {
                guard.probes.insert((operation.cloned(), call));
            }
        }
    }

    /// An attempt has ended: how the breakers that it passed have moved.
    pub(crate) fn settle(&mut self, contract: &Contract, ended: &Ended<'_>, now: Time) -> Vec<(Gate, Moved)> {
        let Ended { call, target, outcome, lost, started } = *ended;
        let guard = self.systems.entry(target.system.clone()).or_default();
        guard.probes.retain(|(_, of)| *of != call);
        let says = says(outcome, lost);
        let Some(system) = contract.systems.get(&target.system).filter(|_| says != Says::Nothing) else {
            return Vec::new();
        };
        // Where the pace is given, the time of an attempt is that of its wait for its turn.
        let took = system.rate.is_none().then(|| now.since(started));
        let sign = if says == Says::Answers { Sign::Answered(took) } else { Sign::Pressure };
        let most = system.concurrent.max(1);
        guard.places.get_or_insert_with(|| Adaptive::new(most)).settle(sign, most, now);
        let failed = (says == Says::Fails).then_some(outcome.detail.as_str());
        let mut all = Vec::new();
        for (operation, settings) in passed(contract, target) {
            let moved = guard.breaker_mut(operation).settle(settings, failed, started, now);
            if moved != Moved::No {
                all.push((Gate { system: target.system.clone(), operation: operation.cloned() }, moved));
            }
        }
        if all.iter().any(|(gate, moved)| gate.operation.is_none() && *moved == Moved::Opened)
            && let Some(places) = &mut guard.places
        {
            places.begin_anew();
        }
        all
    }

    /// Closes what is open and has no breaker any more by the contract in force.
    pub(crate) fn close_forgotten(&mut self, contract: &Contract, now: Time) -> Vec<Gate> {
        let mut closed = Vec::new();
        for (system, guard) in &mut self.systems {
            let open = guard.all().filter(|(_, breaker)| breaker.state != Standing::Closed);
            let open: Vec<Option<Name>> = open.map(|(operation, _)| operation.cloned()).collect();
            for operation in open {
                let gate = Gate { system: system.clone(), operation };
                if settings(contract, &gate).is_none() {
                    guard.breaker_mut(gate.operation.as_ref()).close(now);
                    closed.push(gate);
                }
            }
        }
        closed
    }

    /// The row of a system as it stands now.
    pub(crate) fn row(&self, system: &Name, now: Time) -> SystemRow {
        let kept = self.systems.get(system).map(|guard| guard.kept.clone()).unwrap_or_default();
        let since = kept.breaker.since.unwrap_or(now);
        SystemRow { system: system.clone(), changed: since, state: to_json(&kept) }
    }

    /// When the next of these breakers lets a call try its system by itself.
    pub(crate) fn wake<'g>(&self, gates: impl Iterator<Item = &'g Gate>) -> Option<Time> {
        gates.filter_map(|gate| self.systems.get(&gate.system)?.breaker(gate.operation.as_ref())?.probe).min()
    }

    /// How a system fares, beside what its lines say.
    pub(crate) fn fares(&self, contract: &Contract, system: &Name) -> Fares {
        let guard = self.systems.get(system);
        let mut waits: Vec<Span> = guard.map(|guard| guard.waits.iter().copied().collect()).unwrap_or_default();
        waits.sort_unstable();
        Fares {
            kept: guard.map(|guard| guard.kept.clone()).unwrap_or_default(),
            under_way: 0,
            places: self.places(contract, system),
            queued: 0,
            held: 0,
            wait: waits.get(waits.len() / 2).copied(),
        }
    }
}
