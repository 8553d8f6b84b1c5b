//! The loop around both machines: reads events, outcomes and times, commits what follows, hands requests out.
//!
//! One step is one commit, or two: operations that harm when repeated get their attempt rows in a commit of their own,
//! after the one that holds the preceding tasks. A request leaves this file only after its attempt row is durable.
//! When a commit fails, everything in memory is forgotten and read again from the store.

mod acts;
mod advance;
mod attempt;
mod batch;
#[cfg(test)]
mod breakers;
mod clock;
#[cfg(test)]
mod constructs;
#[cfg(test)]
mod ends;
mod events;
mod family;
#[cfg(test)]
mod generated;
mod lines;
mod listens;
mod migrate;
#[cfg(test)]
mod pinned;
mod pins;
mod places;
mod recall;
mod remedies;
mod replays;
mod restored;
#[cfg(test)]
mod routed;
mod schedules;
mod shadow;
#[cfg(test)]
mod shown;
mod starts;
mod suspects;
mod taken_up;
mod tally;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use crate::calls::CallMemory;
use crate::machine::Input;
use crate::machine::memory::Memory;
use crate::resilience::{Fares, Guards};
use acts::Acts;
pub use acts::{Act, Acted, Standing, What};
use andon_contract::Contract;
use andon_contract::contract::Role;
use andon_contract::workflow::Definition;
use andon_model::call::{CallRequest, Prepare, Prepared};
use andon_model::{CallId, Name, Outcome, OutcomeClass, RunId, Time, span::Span};
use andon_store::rows::{AttemptRow, CallRow, RestoreRow, RunRow};
use andon_store::{Store, StoreError};
use batch::Batch;
use clock::Setting;
use family::Family;
use lines::Lines;
use listens::Ears;
use pins::Pins;
use places::Places;
pub use places::placed;
use replays::Replays;
use schedules::Schedules;
use starts::Starts;
pub use starts::{Ended, Start, Started, run_of_key};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use suspects::Careful;
use tally::Tally;

/// The name of this loop's place in the event log.
pub const CURSOR: &str = "workflows";
/// Events read in one step at most.
pub const EVENTS_STEP_MAX: usize = 256;
/// Runs that get their turn in one step at most.
pub const RUNS_STEP_MAX: usize = 512;
/// Attempts begun in one step at most.
pub const ATTEMPTS_STEP_MAX: usize = 1_024;
/// The cursor over events that started nothing is committed after so many of them, or after [`CURSOR_HELD_MAX`]: until
/// then they are considered again after a crash, and start nothing again.
pub const CURSOR_EVENTS_MAX: u64 = 1_000;
/// How long such a cursor waits for something to be committed with.
pub const CURSOR_HELD_MAX: Span = Span::from_secs(1);
/// Unfinished calls from which on no new run is started: events wait in their log instead.
pub const CALLS_UNFINISHED_MAX: usize = 100_000;
/// Rows of runs, and of calls that wait, kept in memory at most; others are read when needed.
pub const ROWS_KEPT_MAX: usize = 10_000;
/// Waking times kept in memory at most; later ones are read when those are used up.
pub const WAKES_KEPT_MAX: usize = 100_000;

/// Reads a contract back from the files of its revision; the error says why it cannot be read.
pub type Load = Box<dyn Fn(&BTreeMap<String, String>) -> Result<Contract, String> + Send>;

/// A request whose attempt is durable: send it, then [`Loop::complete`] it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// The attempt.
    pub request: CallRequest,
    /// What is sent.
    pub prepared: Prepared,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Something was done, or is left to do: step again at once.
    pub worked: bool,
    /// Otherwise, when there is something to do again by itself.
    pub wake: Option<Time>,
}

/// Runs workflows over a store.
pub struct Loop {
    store: Store,
    contract: Arc<Contract>,
    prepare: Arc<dyn Prepare>,
    role: Role,
    pins: Pins,
    /// What is at hand, and whom it suspects after an unclean end.
    careful: Careful,
    /// Definitions by the type of event that starts them.
    triggers: BTreeMap<String, Vec<Arc<Definition>>>,

    // What follows mirrors the store, and is read again after a failed commit.
    stale: bool,
    setting: Setting,
    cursor: u64,
    /// The cursor in the store, and since when the one here is ahead of it.
    cursor_durable: u64,
    cursor_held: Option<Time>,
    /// What became of the events before the cursor.
    tally: Tally,
    open: HashMap<RunId, Open>,
    turns: VecDeque<RunId>,
    wakes: BTreeSet<(Time, RunId)>,
    /// Whether `wakes` holds all there are.
    wakes_whole: bool,
    ears: Ears,
    schedules: Schedules,
    replays: Replays,
    places: Places,
    lines: Lines,
    guards: Guards,
    /// So many unfinished calls each system may have before runs that call it wait.
    share: usize,
    /// Whether `lines` holds all unfinished calls.
    lines_whole: bool,
    calls: HashMap<CallId, Held>,
    under_way: HashMap<CallId, AttemptRow>,
    /// Shadows under way, by call and number; after a restart nobody waits for them.
    shadows: HashMap<(CallId, u32), AttemptRow>,

    // What a step has gathered and not yet committed.
    family: Family,
    batch: Batch,
    /// The attempts that do not share the commit of the preceding tasks.
    second: Batch,
    next: Vec<Ready>,
    /// Systems of which a breaker closes by this step.
    closed: Vec<Name>,
    /// The last restore of the data folder.
    restored: Option<RestoreRow>,

    // What the outside holds or has brought.
    starts: Starts,
    acts: Acts,
    given_out: HashMap<CallId, u32>,
    ready: Vec<Ready>,
    arrived: Vec<(CallId, u32, Outcome)>,

    /// At this commit the process of a test ends: before it is durable, or after.
    #[cfg(test)]
    ends: Option<(u32, End)>,
}

/// Where the process of a test ends.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Before,
    After,
}

/// A run that has not ended, with what is pinned to it.
struct Open {
    row: RunRow,
    memory: Memory,
    pinned: Arc<Contract>,
    definition: Arc<Definition>,
    is_new: bool,
    /// What it is told when it goes on.
    told: VecDeque<Input>,
}

/// A call that is not finished.
#[derive(Debug, Clone)]
struct Held {
    row: CallRow,
    memory: CallMemory,
}

impl Loop {
    /// A loop over a store; it reads where it stands at its first step. `load` reads the contracts of runs that began
    /// under an earlier revision.
    pub fn new(store: Store, contract: Arc<Contract>, prepare: Arc<dyn Prepare>, load: Load) -> Self {
        Self {
            triggers: events::triggers(&contract, Role::Both),
            share: places::share(&contract),
            pins: Pins::new(load),
            careful: Careful::new(&store),
            store,
            contract,
            prepare,
            stale: true,
            setting: Setting::default(),
            cursor: 0,
            cursor_durable: 0,
            cursor_held: None,
            tally: Tally::default(),
            open: HashMap::new(),
            turns: VecDeque::new(),
            wakes: BTreeSet::new(),
            wakes_whole: true,
            ears: Ears::default(),
            schedules: Schedules::default(),
            replays: Replays::default(),
            lines: Lines::default(),
            guards: Guards::default(),
            lines_whole: true,
            calls: HashMap::new(),
            under_way: HashMap::new(),
            shadows: HashMap::new(),
            batch: Batch::default(),
            second: Batch::default(),
            next: Vec::new(),
            closed: Vec::new(),
            restored: None,
            starts: Starts::default(),
            acts: Acts::default(),
            family: Family::default(),
            places: Places::default(),
            role: Role::Both,
            given_out: HashMap::new(),
            ready: Vec::new(),
            arrived: Vec::new(),
            #[cfg(test)]
            ends: None,
        }
    }

    /// The role of the instance: of workflows with another `placement` it starts no runs. Without it, it runs all.
    #[must_use]
    pub fn in_role(mut self, role: Role) -> Self {
        self.role = role;
        self.triggers = events::triggers(&self.contract, role);
        self
    }

    /// Puts another contract in force: new runs begin under it, and every later attempt goes by its routes and
    /// systems. Runs under way keep their definition.
    pub fn set_contract(&mut self, contract: Arc<Contract>, prepare: Arc<dyn Prepare>) {
        self.pins.keep(&self.contract);
        self.triggers = events::triggers(&contract, self.role);
        self.share = places::share(&contract);
        self.contract = contract;
        self.prepare = prepare;
        self.stale = true;
    }

    /// Does what there is to do at `now`. After an error nothing of the step has happened as far as this loop knows;
    /// the next step reads from the store what is really there, so that it may be repeated at any time.
    pub fn step(&mut self, now: Time) -> Result<Progress, StoreError> {
        let gate = self.careful.gate();
        let _inside = gate.enter();
        let arrived = std::mem::take(&mut self.arrived);
        let done = self.try_step(&arrived, now);
        if done.is_ok() {
            self.careful.survived(&self.store);
            return done;
        }
        self.arrived = arrived;
        self.starts.again();
        self.acts.again();
        self.forget();
        if self.careful.again() { Ok(Progress { worked: true, wake: None }) } else { done }
    }

    /// The requests whose attempts have become durable since the last call.
    pub fn take_requests(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.ready)
    }

    /// These requests are let go now: how long each waited is remembered of its system.
    pub fn let_go(&mut self, requests: &[Ready], now: Time) {
        for Ready { request, .. } in requests {
            if let Some(since) = self.lines.queued_since(request.call) {
                self.guards.waited(&request.system, now.since(since));
            }
        }
    }

    /// How the systems of the contract fare at this moment.
    pub fn fares(&self) -> BTreeMap<Name, Fares> {
        let fares = |system: &Name| {
            let (queued, held) = self.lines.standing(system);
            let under_way = self.lines.under_way(system);
            Fares { under_way, queued, held, ..self.guards.fares(&self.contract, system) }
        };
        self.contract.systems.keys().map(|system| (system.clone(), fares(system))).collect()
    }

    /// Brings the outcome of an attempt; it is durable, and its run has gone on, after the next step. An outcome
    /// of an attempt that is not under way, such as one from before a restart, changes nothing.
    pub fn complete(&mut self, call: CallId, attempt: u32, outcome: Outcome) {
        self.arrived.push((call, attempt, outcome));
    }

    /// Before a clean stop: the outcomes that have come become durable, with how far events were read, and no attempt
    /// is begun. What follows from them is done after the next start.
    pub fn close(&mut self, now: Time) -> Result<(), StoreError> {
        let arrived = std::mem::take(&mut self.arrived);
        self.follow_clock()?;
        if self.stale {
            self.recover(now)?;
        }
        for (call, attempt, outcome) in &arrived {
            // What was not sent because we stop is no reason to ask somebody else after the next start.
            let held_back = outcome.class == OutcomeClass::Transient && !outcome.sent;
            self.answer_to(*call, *attempt, outcome, held_back, now)?;
        }
        self.settle_families(now)?;
        self.write()?;
        self.starts.durable();
        Ok(())
    }

    fn try_step(&mut self, arrived: &[(CallId, u32, Outcome)], now: Time) -> Result<Progress, StoreError> {
        self.follow_clock()?;
        if self.stale || (!self.lines_whole && self.lines.len() == 0) {
            self.recover(now)?;
        }
        for (call, attempt, outcome) in arrived {
            self.answer(*call, *attempt, outcome, now)?;
        }
        self.take_queued(now)?;
        self.take_turns(now)?;
        let more_acts = self.take_acts(now)? | self.take_replays(now)?;
        let more_starts = self.take_starts(now)?;
        let more_planned = self.take_schedules(now)?;
        let more_events = self.read_events(now)?;
        self.settle_families(now)?;
        let more_attempts = self.dispatch(now)?;
        self.settle_families(now)?;
        self.note_replays(now);
        let committed = self.commit(now)?;
        self.starts.durable();
        self.acts.durable();
        self.stale = false;
        self.setting.begun.get_or_insert(now);
        self.closed.clear();
        for (call, attempt, _) in arrived {
            self.shadows.remove(&(*call, *attempt));
            if self.given_out.get(call) == Some(attempt) && !self.under_way.contains_key(call) {
                self.given_out.remove(call);
            }
        }
        self.trim();
        let worked = committed
            || more_acts
            || more_starts
            || more_planned
            || more_events
            || more_attempts
            || !self.turns.is_empty();
        let held = self.cursor_held.map(|since| since.plus(CURSOR_HELD_MAX));
        let probe = self.guards.wake(self.lines.gates()).filter(|probe| *probe > now);
        let wakes = [
            self.wakes.first().map(|(time, _)| *time),
            self.lines.wake(),
            self.schedules.wake(),
            self.replays.wake(),
            held,
            probe,
        ];
        Ok(Progress { worked, wake: wakes.into_iter().flatten().min() })
    }

    /// Makes the step durable, then lets its requests go.
    fn commit(&mut self, now: Time) -> Result<bool, StoreError> {
        if self.may_hold_cursor(now) { Ok(false) } else { self.write() }
    }

    fn write(&mut self) -> Result<bool, StoreError> {
        self.careful.free();
        self.plan_again();
        self.starts.see(self.batch.by_hand());
        let schemas = &self.contract.schemas;
        let mut first = std::mem::take(&mut self.batch).writes(CURSOR, schemas);
        let tells = !first.is_empty();
        if tells {
            first.extend(self.tally.writes());
        }
        let second = std::mem::take(&mut self.second).writes(CURSOR, schemas);
        let worked = !first.is_empty() || !second.is_empty();
        for writes in [first, second] {
            if !writes.is_empty() {
                #[cfg(test)]
                self.end_of_process(End::Before)?;
                self.store.commit(writes)?;
                #[cfg(test)]
                self.end_of_process(End::After)?;
            }
        }
        (self.cursor_durable, self.cursor_held) = (self.cursor, None);
        if tells {
            self.tally.durable();
        }
        for ready in self.next.drain(..) {
            let (call, attempt) = (ready.request.call, ready.request.attempt);
            if !self.shadows.contains_key(&(call, attempt)) {
                self.given_out.insert(call, attempt);
            }
            self.ready.push(ready);
        }
        Ok(worked)
    }

    /// A cursor alone is not worth a sync: it goes with the next commit, or by itself a little later.
    fn may_hold_cursor(&mut self, now: Time) -> bool {
        let alone = self.batch.is_cursor() && self.second.is_empty() && self.next.is_empty();
        if !alone || self.cursor - self.cursor_durable >= CURSOR_EVENTS_MAX {
            return false;
        }
        let since = *self.cursor_held.get_or_insert(now);
        now.since(since) < CURSOR_HELD_MAX
    }

    #[cfg(test)]
    fn end_of_process(&mut self, here: End) -> Result<(), StoreError> {
        let Some((left, end)) = &mut self.ends else { return Ok(()) };
        if here == End::Before {
            *left = left.saturating_sub(1);
        }
        let ends = *left == 0 && *end == here;
        if ends { Err(StoreError::Stopped("the process of the test ends here".into())) } else { Ok(()) }
    }

    /// After a failed commit nobody knows what of it is durable: everything is read again.
    fn forget(&mut self) {
        self.stale = true;
        self.batch = Batch::default();
        self.second = Batch::default();
        for Ready { request, .. } in self.next.drain(..) {
            // A shadow that was not let go is not under way: its number may be that of an attempt some day.
            self.shadows.remove(&(request.call, request.attempt));
        }
        self.closed.clear();
        self.open.clear();
        self.calls.clear();
        self.family = Family::default();
    }

    /// Rows beyond the limit are forgotten; they are durable and read when needed.
    fn trim(&mut self) {
        if self.open.len() > ROWS_KEPT_MAX {
            self.open.clear();
        }
        if self.calls.len() > ROWS_KEPT_MAX + self.under_way.len() {
            let under_way = &self.under_way;
            self.calls.retain(|id, _| under_way.contains_key(id));
        }
        while self.wakes.len() > WAKES_KEPT_MAX {
            self.wakes.pop_last();
            self.wakes_whole = false;
        }
    }
}
