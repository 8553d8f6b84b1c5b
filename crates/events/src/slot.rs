//! A rule for one asset: its machine with what stands around it.

use crate::{
    birth::{self, Dress},
    context::Known,
    engine::Output,
    gate::{self, Gate, Opening},
    guard::{Guard, Looked},
    identity::Identity,
    rules::{Armed, Bench, Change, Fact, Machine},
    saw,
    states::SavedState,
    waiting::{self, WAITING_MAX, Waiting},
};
use andon_contract::{Contract, contract::RuleSettings};
use andon_model::{
    Event, Position, Sample, SignalName, Time,
    sample::{Control, ControlAct},
};
use andon_store::rows::Evidence;
use serde_json::{Map, Value as Json};
use std::{collections::VecDeque, sync::Arc};

/// The state of a rule for an asset. In memory it lies in this order: what every sample needs stands together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot {
    /// Entries before this were read before the start.
    pub(crate) position: Position,
    /// The source of the newest sample of its first input; timers run by its clock.
    pub(crate) source: u32,
    pub(crate) asset: u32,
    guard: Option<Box<Guard>>,
    /// What stands between it and those who are told; `None`: it is open, and no alarm stands.
    pub(crate) gate: Option<Box<Gate>>,
    /// How many of its inputs are the machine's.
    machine_inputs: usize,
    /// Whether its conditions began or ended to suppress it since its row was last written.
    moved: bool,
    /// Whether it made something since its row was last written.
    pub(crate) touched: bool,
    pub(crate) machine: Machine,
    /// When it is noted to be asked again.
    pub(crate) noted: Noted,
    settings: Arc<RuleSettings>,
    pub(crate) identity: Identity,
    pub(crate) dress: Dress,
    /// What it reads: first the inputs of its machine, the first of them being the signal it stands on; behind them
    /// what its guard reads.
    pub(crate) inputs: Box<[SignalName]>,
    /// Events that wait for newer context, in their order.
    waiting: VecDeque<Waiting>,
}

/// The earliest times at which a state is noted to be asked again; [`Time::MAX`] where it is not.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) plant: Time,
    pub(crate) utc: Time,
}

impl Slot {
    /// One that has seen nothing.
    pub(crate) fn new(
        identity: Identity,
        on: &SignalName,
        site: &andon_model::SiteName,
        settings: &Arc<RuleSettings>,
        asset: u32,
        position: Position,
    ) -> Self {
        let of_machine: Vec<SignalName> = std::iter::once(on).chain(&settings.inputs).cloned().collect();
        let machine_inputs = of_machine.len();
        let dress = Dress::new(site, &identity.asset, &of_machine, &settings.unit);
        Self {
            identity,
            dress,
            inputs: of_machine.into_iter().chain(settings.guard.signals()).collect(),
            machine_inputs,
            asset,
            source: u32::MAX,
            position,
            machine: Machine::new(&settings.kind),
            guard: Guard::new(settings),
            settings: Arc::clone(settings),
            gate: None,
            waiting: VecDeque::new(),
            moved: false,
            touched: false,
            noted: Noted { plant: Time::MAX, utc: Time::MAX },
        }
    }

    /// Takes up a state that is of the same kind and reads the same; says whether it is.
    pub(crate) fn resume(&mut self, settings: &RuleSettings, saved: &SavedState) -> bool {
        if !saved.inputs.iter().eq(self.inputs.iter().take(self.machine_inputs)) {
            return false;
        }
        let Some(machine) = Machine::resume(&settings.kind, saved.state.clone()) else { return false };
        self.machine = machine;
        if let Some(guard) = &mut self.guard {
            guard.resume(saved.guard.clone());
        }
        self.waiting.clone_from(&saved.waiting);
        self.gate = saved.gate.clone().map(Box::new);
        if let (true, Some(gate)) = (settings.guard.suppress.is_empty(), &mut self.gate) {
            gate.suppressed = false;
        }
        true
    }

    /// Its state as it is stored, without the name of its source.
    pub(crate) fn saved(&self) -> SavedState {
        SavedState {
            inputs: self.inputs.iter().take(self.machine_inputs).cloned().collect(),
            site: self.dress.site.clone(),
            unit: self.dress.unit.clone(),
            source: None,
            guard: self.guard.as_ref().map(|guard| guard.seen()),
            gate: self.gate.as_deref().cloned(),
            waiting: self.waiting.clone(),
            state: self.machine.state(),
        }
    }

    /// Reads where it lies in memory, and nothing of what it means.
    #[inline]
    pub(crate) fn look(&self) -> usize {
        let first = usize::from(self.position > Position::default());
        let last = usize::from(self.noted.plant > self.noted.utc);
        first + last + self.machine.look()
    }

    /// The next sample of one of its inputs; says whether a timer may now end earlier.
    #[inline]
    pub(crate) fn sample(
        &mut self,
        input: u8,
        at: Position,
        sample: &Sample,
        late: bool,
        known: Known,
        out: &mut Vec<Change>,
    ) -> Armed {
        let number = usize::from(input);
        let of_guard = number >= self.machine_inputs;
        let mut armed = false;
        if let Some(guard) = &mut self.guard {
            if of_guard && !late {
                guard.sample(number - self.machine_inputs, at, sample);
            }
            if !late {
                // What a message says together counts together: where it holds a sample of the rule's own signal, that
                // one decides and not the one before it.
                let begins = of_guard && !guard.awaits(at);
                armed = self.ask(sample.time, known, begins.then_some(at), out);
            }
        }
        if !self.is_enabled() {
            return false;
        }
        if !of_guard {
            armed |= self.with_bench(out, |machine, bench| machine.sample(input, at, sample, late, bench));
        }
        if let Some(gate) = &mut self.gate {
            // The blocks of a spectrum stay in the historian; its alarms hold features.
            if input == 0 && !late && !matches!(self.machine, Machine::Spectrum(..)) {
                gate.sample(at, sample);
            }
            gate.settle(&self.identity, self.dress.signal(), Opening::Sample(at, sample.time), out);
            self.leave_idle();
        }
        armed
    }

    /// A sample that comes later in the message that is read, before any of the message is evaluated.
    pub(crate) fn foresee(&mut self, input: u8, at: Position, sample: &Sample) {
        let Some(guard) = &mut self.guard else { return };
        match usize::from(input).checked_sub(self.machine_inputs) {
            Some(number) => guard.sample(number, at, sample),
            None => guard.comes(at),
        }
    }

    /// Asks the conditions that an edit brought, before anything else is read: what they do not know does not hold.
    /// Those that read the context are asked with the next sample, about its time.
    pub(crate) fn edited(&mut self, now: Time, known: Known, out: &mut Vec<Change>) {
        if !self.settings.guard.reads_context() {
            self.ask(now, known, None, out);
        }
    }

    /// Whether it has conditions.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Gives an alarm the severity and the priority of the table, where the rule has one.
    pub(crate) fn rank(&self, change: &mut Change) {
        if let (Some(guard), Fact::Alarm(alarm) | Fact::Suppressed(alarm, _)) = (&self.guard, &mut change.fact)
            && let Some(line) = guard.line(alarm.level)
        {
            alarm.severity = line.severity;
            alarm.priority.clone_from(&line.priority);
        }
    }

    /// Asks the conditions about a time; the gate closes and the machine hears of it, and what then is open is settled
    /// by whoever asks. `at` is the place of what made them change, where something may begin by it.
    fn ask(&mut self, time: Time, known: Known, at: Option<Position>, out: &mut Vec<Change>) -> Armed {
        let Some(guard) = &mut self.guard else { return false };
        let changed = guard.ask(&self.identity.asset, time, known);
        let suppressed = guard.suppressed();
        if suppressed != self.gate.as_ref().is_some_and(|gate| gate.suppressed) {
            self.gate.get_or_insert_default().suppressed = suppressed;
            self.moved = true;
        }
        let by = at.map(|at| (at, time));
        changed && self.is_enabled() && self.with_bench(out, |machine, bench| machine.guard(by, bench))
    }

    /// Whether it is evaluated at all.
    fn is_enabled(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.disabled.is_none())
    }

    /// Forgets a gate that has nothing to remember.
    fn leave_idle(&mut self) {
        if self.gate.as_ref().is_some_and(|gate| gate.is_idle()) {
            self.gate = None;
        }
    }

    /// Whether its row must be written because it was suppressed, or is no more, although nothing was told.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether an event of it waits for newer context.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether its conditions read the context.
    pub(crate) fn reads_context(&self) -> bool {
        self.guard.is_some() && self.settings.guard.reads_context()
    }

    /// Its conditions as they stand; the context is asked about this time.
    pub(crate) fn looked(&self, time: Time, known: Known) -> Vec<Looked<'_>> {
        self.guard.as_ref().map_or_else(Vec::new, |guard| guard.look(&self.identity.asset, time, known))
    }

    /// What it looked at when it found this, but for the context, which may come later.
    pub(crate) fn saw(&self, change: &Change, known: Known) -> Json {
        let mut saw = Map::new();
        let inputs = self.inputs.get(..self.machine_inputs).unwrap_or_default();
        let mut settings = saw::settings(&self.settings, inputs);
        settings.extend(self.machine.shown(&self.dress.signals));
        saw.insert("settings".to_owned(), Json::Object(settings));
        let timers = saw::timers(&self.settings.kind, change);
        if !timers.is_empty() {
            saw.insert("timers".to_owned(), Json::Array(timers));
        }
        if let Some(guard) = &self.guard {
            let looked = guard.look(&self.identity.asset, change.time, known);
            saw.insert("conditions".to_owned(), looked.iter().map(saw::looked).collect());
        }
        if let Some(gate) = self.gate.as_ref().and_then(|gate| saw::gate(gate)) {
            saw.insert("gate".to_owned(), gate);
        }
        Json::Object(saw)
    }

    /// Lets an event go with what is known of its context, or lets it wait.
    pub(crate) fn bear(
        &mut self,
        contract: &Contract,
        dressed: (Event, Evidence),
        known: Known,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let refs = known.refs(&self.identity.asset, dressed.0.time, &self.settings.guard);
        let Some(until) = waiting::until(&self.settings.guard, &refs, known.utc, &self.waiting) else {
            let (event, mut evidence) = dressed;
            self.saw_context(&event, &mut evidence, known);
            out.push(birth::bear(contract, &self.identity, (event, evidence), refs.data, now));
            return;
        };
        let (event, evidence) = dressed;
        self.waiting.push_back(Waiting { until, event, evidence });
        if self.waiting.len() > WAITING_MAX {
            self.first_goes(contract, known, now, out);
        }
    }

    /// Lets those events go whose context is no longer stale, or whose time is over; says whether any went.
    pub(crate) fn let_go(&mut self, contract: &Contract, known: Known, now: Time, out: &mut Vec<Output>) -> bool {
        let before = self.waiting.len();
        while let Some(first) = self.waiting.front() {
            let refs = known.refs(&self.identity.asset, first.event.time, &self.settings.guard);
            if refs.stale.is_some() && known.utc <= first.until {
                break;
            }
            self.first_goes(contract, known, now, out);
        }
        self.waiting.len() < before
    }

    /// Adds what is known of the context where the event goes out.
    fn saw_context(&self, event: &Event, evidence: &mut Evidence, known: Known) {
        let shown = known.shown(&self.identity.asset, event.time, &self.settings.guard);
        if let (Some(saw), Some(context)) = (evidence.saw.as_object_mut(), shown) {
            saw.insert("context".to_owned(), context);
        }
    }

    fn first_goes(&mut self, contract: &Contract, known: Known, now: Time, out: &mut Vec<Output>) {
        let Some(Waiting { event, mut evidence, .. }) = self.waiting.pop_front() else { return };
        self.saw_context(&event, &mut evidence, known);
        let refs = known.refs(&self.identity.asset, event.time, &self.settings.guard);
        out.push(birth::bear(contract, &self.identity, (event, evidence), refs.data, now));
    }

    /// Another revision of the context is known from here on: its conditions are asked again about the newest time of
    /// its clock.
    pub(crate) fn reconsider(&mut self, at: Position, newest: Time, known: Known, out: &mut Vec<Change>) {
        if !self.reads_context() {
            return;
        }
        self.ask(newest, known, Some(at), out);
        if !self.is_enabled() {
            return;
        }
        if let Some(gate) = &mut self.gate {
            gate.settle(&self.identity, self.dress.signal(), Opening::Sample(at, newest), out);
            self.leave_idle();
        }
    }

    /// When its next timer in UTC ends: of its machine, of a shelving, or of an event that waits.
    pub(crate) fn utc_deadline(&self) -> Option<Time> {
        let shelved = self.gate.as_ref().and_then(|gate| gate.deadline());
        let waiting = self.waiting.front().map(|waiting| waiting.until);
        [self.machine.utc_deadline(), shelved, waiting].into_iter().flatten().min()
    }

    /// Ends a shelving whose time was over before this time, UTC: by any entry of the asset, whatever its source.
    pub(crate) fn expire(&mut self, utc: Time, out: &mut Vec<Change>) {
        if let Some(gate) = &mut self.gate {
            gate.expire(&self.identity, self.dress.signal(), utc, out);
            self.leave_idle();
        }
    }

    /// A person did something to its alarms; `clock` is where the clock of its source stands.
    pub(crate) fn control(&mut self, at: Position, clock: Time, done: &Control, out: &mut Vec<Change>) {
        let gate = self.gate.get_or_insert_default();
        gate.act(&self.identity, at, done, out);
        match done.act {
            ControlAct::Shelve { .. } => {}
            ControlAct::Unshelve => {
                gate.settle(&self.identity, self.dress.signal(), Opening::Act(done, at), out);
            }
            // What was active ends, and it begins empty.
            ControlAct::Disable => {
                let Identity { rule, asset, .. } = &self.identity;
                let why = format!("{} disabled the rule {rule} for {asset} ({})", done.actor, done.reason);
                let mut state = self.machine.state();
                self.machine = Machine::new(&self.settings.kind);
                self.with_bench(out, |_, bench| state.removed(at, clock, &why, bench));
            }
            ControlAct::Enable => self.machine = Machine::new(&self.settings.kind),
        }
        self.leave_idle();
    }

    /// Fires what ended before these times, plant time and UTC.
    pub(crate) fn fire(&mut self, plant: Time, utc: Time, known: Known, out: &mut Vec<Change>) {
        if !self.is_enabled() {
            return;
        }
        let by_plant = self.machine.plant_deadline().filter(|deadline| *deadline < plant);
        let deadline = by_plant.or(self.machine.utc_deadline().filter(|deadline| *deadline < utc));
        if let Some(deadline) = deadline.filter(|_| self.guard.is_some()) {
            self.ask(deadline, known, None, out);
        }
        self.with_bench(out, |machine, bench| machine.fire(plant, utc, bench));
        if let (Some(deadline), Some(gate)) = (deadline, &mut self.gate) {
            gate.settle(&self.identity, self.dress.signal(), Opening::Timer(deadline), out);
        }
        self.leave_idle();
    }

    /// Lets the machine work with its bench.
    #[inline]
    pub(crate) fn with_bench<T>(
        &mut self,
        out: &mut Vec<Change>,
        work: impl FnOnce(&mut Machine, &mut Bench) -> T,
    ) -> T {
        let holds = self.guard.as_ref().is_none_or(|guard| guard.holds());
        let from = out.len();
        let mut bench = Bench { identity: &self.identity, signals: &self.dress.signals, holds, out: &mut *out };
        let done = work(&mut self.machine, &mut bench);
        for change in out.iter_mut().skip(from) {
            self.rank(change);
        }
        if Gate::concerns(out, from) {
            let conditions = || gate::words(&self.settings.guard.suppress);
            let gate = self.gate.get_or_insert_default();
            gate.pass(&self.identity, self.dress.signal(), &conditions, out, from);
        }
        done
    }
}
