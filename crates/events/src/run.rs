//! The loop: reads the log, lets the engine work, commits its outputs with the states that made them.

mod suspects;

use crate::{
    context::Context,
    engine::{Costs, Counts, Engine, MeterClock, Moment, Output},
    rotation::Rotation,
    states::{Clocks, Saved},
};
use andon_contract::Contract;
use andon_model::{Entry, Mark, Name, Position, Time, sample::Part, span::Span};
use andon_store::{
    Hand, KeptState, Store, StoreError, Suspects,
    rows::{RuleStateRow, Write},
};
use std::sync::Arc;

/// Entries read in one step at most: so often a loop that is far behind looks up.
pub const STEP_ENTRIES_MAX: usize = 65_536;
/// Outputs committed at once at most, give or take those of one batch.
pub const STEP_OUTPUTS_MAX: usize = 1_000;
/// Evaluations in one step, give or take those of one entry: with many rules on a signal a step is as short as with
/// few.
const STEP_WORK_MAX: u64 = 1_000_000;
/// The file of states is written at least so often while samples come.
pub const STATES_EVERY: Span = Span::from_secs(10);
/// Likewise, counted in entries.
pub const STATES_EVERY_ENTRIES: u64 = 1_000_000;
/// A start that had so many entries to read again keeps all states as soon as it has read them: an instance that is
/// ended again and again before it is time for the file would else read what all its lives before have left.
const AGAIN_ENTRIES: u64 = 1_000;
/// States put into the file in one step; more where the log is read so fast that the file would not keep up.
const SLICE_STATES: usize = 1_000;
/// So soon the disk is looked at again that writes a slice of states, when nothing else happens.
const DISK_AGAIN: Span = Span::from_nanos(1_000_000);

/// Rows of the context read at once.
const FETCH_ROWS: usize = 5_000;
/// Revisions of the context that changed nothing are kept so long, for backtests.
pub const REVISIONS_KEPT: Span = Span::from_secs(7 * 86_400);
/// So long whoever told a revision has for its mark before it is repeated.
const MARK_WAIT: Span = Span::from_secs(1);
/// So often they are forgotten, each time in so many transactions at most: more than any number of reads makes.
const FORGET_EVERY: Span = Span::from_secs(600);
const FORGET_TIMES_MAX: u32 = 100;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something; there may be more at once.
    Worked,
    /// Nothing: the log is read.
    Idle {
        /// After this span there may be something to do although the store does not change.
        until: Option<Span>,
    },
}

/// Why rules cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store refused, or a state has read further than the log reaches.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of states cannot be read.
    #[error("{0}; restore a backup, or move the file of rule states aside to start all rules empty")]
    States(String),
}

/// The loop of layer 2. Dropping it at any moment loses nothing.
#[derive(Debug)]
pub struct Loop {
    store: Store,
    engine: Engine,
    /// Made and not yet committed; committed before anything else.
    outputs: Vec<Output>,
    writes: Vec<Write>,
    /// Entries from here on came after the start: their clocks go.
    live_from: Position,
    /// When the last file of states was begun, in monotonic time.
    states_at: Option<Span>,
    /// The place from which it begins.
    states_position: Position,
    /// The next one, while it is being written: the one before counts until it is whole.
    rotation: Option<Rotation>,
    slice: usize,
    /// All states are kept as soon as what lay there at the start is read.
    is_behind: bool,
    /// The present moment of the last step.
    now: Time,
    /// The revision of the context that the file of states knows, and the one that the next file will know.
    states_context: u64,
    rotation_context: u64,
    /// When revisions are to be forgotten next, in monotonic time.
    forget_at: Option<Span>,
    /// The store's count of changed rows when the log was last compared with them.
    rows_seen: u64,
    /// What is at hand, and what ended the process with it at hand.
    hand: Hand,
    suspects: Suspects,
    /// A revision of the context that the log does not tell of, and since when that is seen, in monotonic time.
    lacking: Option<(u64, Span)>,
}

impl Loop {
    /// Takes up the rules where they were left. Refuses when a state has read further than the log
    /// reaches. What an edit of the rules ends is committed before this returns.
    pub fn new(store: Store, contract: Arc<Contract>, now: Time) -> Result<Self, StartError> {
        let file = store.kept_states()?;
        let database = store.rule_states()?;
        check_positions(&store, &file, &database)?;
        let begun = !file.is_empty();
        let saved = Saved::merge(file, database, store.log_start()).map_err(StartError::States)?;
        let same = begun && saved.clocks.revision == contract.revision;
        if saved.clocks.revision != contract.revision {
            mark_contract(&store, &contract)?;
        }
        let mut saved = saved;
        saved.context = known(&store, &contract, &saved.clocks)?;
        match mark_context(&store, &contract, &saved) {
            // A full disk keeps nobody from starting: a step repeats the mark once there is room.
            Err(error) if error.is_full() => {}
            marked => marked?,
        }
        let mut outputs = Vec::new();
        let signals = store.signals()?;
        let engine = Engine::new(contract, store.instance(), &signals, saved, now, &mut outputs);
        let live_from = store.log_end();
        let states_position = engine.position();
        let (hand, suspects) = (store.hand(suspects::PART), store.suspects(suspects::PART)?);
        let again = live_from.offset.saturating_sub(states_position.offset);
        // Suspects hold up everybody, and are remembered until the file of states lies behind them.
        let is_behind = again >= AGAIN_ENTRIES || !suspects.is_empty();
        let mut this = Self {
            store,
            hand,
            suspects,
            engine,
            outputs,
            writes: Vec::new(),
            live_from,
            states_at: None,
            states_position,
            rotation: None,
            slice: SLICE_STATES,
            is_behind,
            now,
            states_context: 0,
            rotation_context: 0,
            forget_at: None,
            rows_seen: u64::MAX,
            lacking: None,
        };
        // Where nothing was made, what lies there is what a crash now would find.
        if this.commit(now)? || !same {
            this.write_states()?;
        }
        Ok(this)
    }

    /// Puts so many states into the file in one step. For tests, in which few states shall take many steps.
    #[doc(hidden)]
    #[must_use]
    pub fn with_slice(self, states: usize) -> Self {
        Self { slice: states.max(1), ..self }
    }

    /// One step: `now` is UTC, `monotonic` any clock that never jumps. After an error nothing is
    /// lost and the same step can be tried again.
    pub fn step(&mut self, now: Time, monotonic: Span) -> Result<Progress, StoreError> {
        let gate = self.hand.gate(self.is_near_suspects());
        let _inside = gate.enter();
        let done = self.go_on(now, monotonic);
        self.hand.free();
        done
    }

    fn go_on(&mut self, now: Time, monotonic: Span) -> Result<Progress, StoreError> {
        self.now = now;
        let mut worked = self.commit(now)?;
        let entries = self.read(now, monotonic)?;
        worked |= entries > 0;
        self.commit(now)?;
        worked |= self.save_states(monotonic, entries)?;
        self.acquit()?;
        self.forget_context(now, monotonic)?;
        if worked {
            return Ok(Progress::Worked);
        }
        let (ticks, until) = self.engine.ticks(now, monotonic);
        let lacking = self.repeat_mark(monotonic)?;
        if ticks.is_empty() {
            let unsaved = self.engine.position() != self.states_position;
            let save = self.states_at.filter(|_| unsaved && self.rotation.is_none()).map(|at| remaining(at, monotonic));
            let disk = self.rotation.is_some().then_some(DISK_AGAIN);
            return Ok(Progress::Idle { until: [until, save, disk, lacking].into_iter().flatten().min() });
        }
        self.store.append(ticks)?;
        Ok(Progress::Worked)
    }

    /// Commits what waits and writes all states: a clean stop. The next start repeats nothing.
    pub fn stop(&mut self) -> Result<(), StoreError> {
        self.commit(self.now)?;
        match self.write_states() {
            // The reserve was released: there is room now.
            Err(error) if error.is_full() => self.write_states(),
            outcome => outcome,
        }
    }

    /// Measures from here on what rules cost, by this clock.
    pub fn measure(&mut self, clock: MeterClock) {
        self.engine.measure(clock);
    }

    /// What rules cost so far; `None` where nobody measures.
    pub fn costs(&self) -> Option<Costs> {
        self.engine.costs()
    }

    /// The place up to which the log was read.
    pub fn position(&self) -> Position {
        self.engine.position()
    }

    /// What became of the samples before [`Loop::position`].
    pub fn counts(&self) -> Counts {
        self.engine.counts()
    }

    /// Samples that are stored and not yet read: counted from the log itself.
    pub fn waiting(&self) -> Result<u64, StoreError> {
        waiting(&self.store, self.engine.position())
    }

    /// Reads the revisions of the context up to one, for the engine to know when its mark comes.
    fn fetch_context(&mut self, to: u64) -> Result<(), StoreError> {
        let known = self.engine.context().revision();
        let (mut revisions, mut objects) = (Vec::new(), Vec::new());
        let mut after = known;
        loop {
            let some = self.store.context_revisions(after, to, FETCH_ROWS)?;
            let Some(last) = some.last() else { break };
            after = last.revision;
            revisions.extend(some);
        }
        after = known;
        loop {
            let some = self.store.objects_since(after, to, FETCH_ROWS)?;
            let Some(last) = some.last() else { break };
            after = last.revision;
            objects.extend(some);
        }
        self.engine.bring(to, revisions, objects);
        Ok(())
    }

    /// Lets the log say of the last revision of the context what it lacks: whoever told it got no room for the mark.
    /// The log is read; the span after which it is time.
    fn repeat_mark(&mut self, monotonic: Span) -> Result<Option<Span>, StoreError> {
        let rows = self.store.change_of_rows();
        if rows == self.rows_seen && self.lacking.is_none() {
            return Ok(None);
        }
        self.rows_seen = rows;
        let last = self.store.context_revision()?;
        if last <= self.engine.context().revision() {
            self.lacking = None;
            return Ok(None);
        }
        // Whoever tells it is given time to write the mark himself.
        let (of, since) = *self.lacking.get_or_insert((last, monotonic));
        let waited = monotonic.nanos().saturating_sub(since.nanos());
        if of != last || waited < MARK_WAIT.nanos() {
            self.lacking = if of == last { self.lacking } else { Some((last, monotonic)) };
            return Ok(Some(Span::from_nanos(MARK_WAIT.nanos().saturating_sub(waited).max(1))));
        }
        let Some(site) = self.engine.contract().sites.keys().next().cloned() else { return Ok(None) };
        self.store.mark_context(&site, last)?;
        self.lacking = None;
        Ok(Some(Span::from_nanos(1)))
    }

    /// Forgets revisions of the context that nobody asks for any more.
    fn forget_context(&mut self, now: Time, monotonic: Span) -> Result<(), StoreError> {
        let due = self.forget_at.is_none_or(|at| at <= monotonic);
        if self.states_context == 0 || !due {
            return Ok(());
        }
        self.forget_at = Some(Span::from_nanos(monotonic.nanos().saturating_add(FORGET_EVERY.nanos())));
        let before = now.minus(REVISIONS_KEPT);
        for _ in 0..FORGET_TIMES_MAX {
            if !self.store.has_old_revisions(self.states_context, before)? {
                break;
            }
            self.store.commit(vec![Write::ForgetRevisions(self.states_context, before)])?;
        }
        Ok(())
    }

    /// Reads on; how many entries it read.
    fn read(&mut self, now: Time, monotonic: Span) -> Result<usize, StoreError> {
        let (mut entries, mut work) = (0, 0);
        while entries < STEP_ENTRIES_MAX && work < STEP_WORK_MAX && self.outputs.len() < STEP_OUTPUTS_MAX {
            let from = self.engine.position();
            let Some(batch) = self.store.read(from)? else { break };
            if let Some(from) = self.engine.unknown(&batch) {
                self.engine.learn(&self.store.signals_from(from)?);
            }
            if let Some(revision) = self.engine.asks_for(&batch) {
                self.fetch_context(revision)?;
            }
            let live = batch.first >= self.live_from;
            let moment = Moment { now, monotonic: live.then_some(monotonic) };
            let (batch, left) = self.take_in_hand(batch, from, STEP_WORK_MAX - work)?;
            work += self.engine.apply_some(&batch, moment, STEP_OUTPUTS_MAX, left, &mut self.outputs);
            let read = self.engine.position().offset.saturating_sub(from.offset);
            entries += usize::try_from(read).unwrap_or(usize::MAX);
        }
        Ok(entries)
    }

    /// Everything that waits: outputs, then what they are corrected by.
    fn commit(&mut self, now: Time) -> Result<bool, StoreError> {
        self.hand.free();
        let mut any = self.commit_outputs()?;
        while let Some(correction) = self.engine.correction() {
            let event = correction.event(&self.store, self.engine.contract(), now)?;
            self.writes.extend(event.map(|event| Write::Event(Box::new(event), None)));
            self.engine.corrected();
            any = true;
        }
        Ok(self.commit_outputs()? || any)
    }

    /// One transaction: the outputs and the states that made them. What fails stays and is tried again.
    fn commit_outputs(&mut self) -> Result<bool, StoreError> {
        let schemas = &self.engine.contract().schemas;
        self.writes.extend(self.outputs.drain(..).map(|output| output.into_write(schemas)));
        self.writes.extend(self.engine.take_touched().into_iter().map(Write::RuleState));
        if self.writes.is_empty() {
            return Ok(false);
        }
        self.store.commit(self.writes.clone())?;
        self.writes.clear();
        Ok(true)
    }

    /// Goes on with the file of states where it is time for it; says whether it did.
    fn save_states(&mut self, monotonic: Span, entries: usize) -> Result<bool, StoreError> {
        let at = *self.states_at.get_or_insert(monotonic);
        let Some(rotation) = &mut self.rotation else {
            let position = self.engine.position();
            let unsaved = position.offset.saturating_sub(self.states_position.offset);
            let has_read_again = self.is_behind && position >= self.live_from;
            let due = has_read_again || unsaved >= STATES_EVERY_ENTRIES || remaining(at, monotonic) <= Span::ZERO;
            if position == self.states_position || !due {
                return Ok(false);
            }
            self.is_behind &= !has_read_again;
            self.rotation = Some(Rotation::begin(&self.store, &self.engine, monotonic)?);
            self.rotation_context = self.engine.context().revision();
            return self.save_states(monotonic, entries);
        };
        if !rotation.is_ready() {
            return Ok(false);
        }
        if rotation.is_whole() {
            let (begun, from) = (rotation.begun(), rotation.from());
            if let Some(rotation) = self.rotation.take() {
                rotation.finish(&self.store)?;
            }
            self.states_at = Some(begun);
            self.states_position = from;
            self.states_context = self.rotation_context;
            return Ok(true);
        }
        // Half of what may be read until the next file is begun, at most, while this one is made.
        let every = usize::try_from(STATES_EVERY_ENTRIES / 2).unwrap_or(usize::MAX);
        let share = self.engine.state_count().saturating_mul(entries) / every;
        if let Err(error) = rotation.advance(&self.store, &self.engine, self.slice.max(share)) {
            // It is begun anew: what is whole is the one before.
            self.rotation = None;
            return Err(error);
        }
        Ok(true)
    }

    /// All states at one place, at once.
    fn write_states(&mut self) -> Result<(), StoreError> {
        self.rotation = None;
        let mut rotation = Rotation::begin(&self.store, &self.engine, Span::ZERO)?;
        while !rotation.is_whole() {
            rotation.advance(&self.store, &self.engine, SLICE_STATES)?;
        }
        rotation.finish(&self.store)?;
        self.states_position = self.engine.position();
        self.states_context = self.engine.context().revision();
        Ok(())
    }
}

/// Refuses states that have read further than the log reaches; the one that is farthest is named.
fn check_positions(store: &Store, file: &[KeptState], database: &[RuleStateRow]) -> Result<(), StoreError> {
    let of_file = file.iter().map(|kept| (kept.position, &kept.rule, &kept.asset));
    let all = of_file.chain(database.iter().map(|row| (row.position, &row.rule, &row.asset)));
    let farthest = [all.clone().max_by_key(|of| of.0), all.max_by_key(|of| of.0.offset)];
    let named = farthest.into_iter().flatten().map(|(at, rule, asset)| (format!("the rule {rule} for {asset}"), at));
    store.check_positions(&named.collect::<Vec<_>>())
}

/// What became of the samples of a stopped store, and how many wait: from the saved states and the log.
pub fn conservation(store: &Store) -> Result<(Counts, u64), StartError> {
    let saved =
        Saved::merge(store.kept_states()?, store.rule_states()?, store.log_start()).map_err(StartError::States)?;
    Ok((saved.clocks.counts, waiting(store, saved.position)?))
}

/// Samples behind a position: what rules have not read yet.
pub fn waiting(store: &Store, from: Position) -> Result<u64, StoreError> {
    let mut at = from;
    let mut count = 0;
    while let Some(batch) = store.read(at)? {
        let skip = usize::try_from(at.offset.saturating_sub(batch.first.offset)).unwrap_or(usize::MAX);
        let samples = batch.part.entries.iter().skip(skip).filter(|e| matches!(e, Entry::Sample(_))).count();
        count += samples as u64;
        at = batch.end();
    }
    Ok(count)
}

fn remaining(since: Span, monotonic: Span) -> Span {
    let left = since.nanos().saturating_add(STATES_EVERY.nanos()).saturating_sub(monotonic.nanos());
    Span::from_nanos(left.max(0))
}

/// What was known of the context where the states were saved.
pub(crate) fn known(store: &Store, contract: &Contract, clocks: &Clocks) -> Result<Option<Context>, StoreError> {
    let revision = clocks.context;
    if revision == 0 {
        return Ok(None);
    }
    let mut context = Context::of(contract);
    context.forget(&clocks.forgotten);
    context.load(revision, store.context_tellers(revision)?, Vec::new());
    let mut after = 0;
    loop {
        let some = store.objects_known(revision, after, FETCH_ROWS)?;
        let Some((last, _)) = some.last() else { return Ok(Some(context)) };
        after = *last;
        context.load(revision, Vec::new(), some.into_iter().map(|(_, row)| row));
    }
}

/// Repeats the mark of the last revision of the context, where whoever wrote it stopped before the log knew.
fn mark_context(store: &Store, contract: &Contract, saved: &Saved) -> Result<(), StoreError> {
    let Some(site) = contract.sites.keys().next() else { return Ok(()) };
    let last = store.context_revision()?;
    if last > saved.clocks.context && last > store.context_in_log(saved.position)? {
        store.mark_context(site, last)?;
    }
    Ok(())
}

/// The mark from which on this contract holds. It belongs to the instance and stands under the
/// first site, since every batch names one.
fn mark_contract(store: &Store, contract: &Contract) -> Result<(), StoreError> {
    let Some(site) = contract.sites.keys().next() else { return Ok(()) };
    let mut part = Part::new(site.clone(), Name::new("andon").expect("it is a name"));
    part.entries.push(Entry::Mark(Mark::Contract(contract.revision.clone())));
    store.append(vec![part])?;
    Ok(())
}
