//! A rule for one asset: its machine with what stands around it.

use crate::{
    birth::Dress,
    context::Context,
    guard::Guard,
    identity::Identity,
    rules::{Armed, Bench, Change, Machine},
    states::SavedState,
};
use andon_contract::contract::RuleSettings;
use andon_model::{Position, Sample, SignalName, Time};
use std::sync::Arc;

/// The state of a rule for an asset.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) identity: Identity,
    pub(crate) dress: Dress,
    /// What it reads: first the inputs of its machine, the first of them being the signal it stands on; behind them
    /// what its guard reads.
    pub(crate) inputs: Box<[SignalName]>,
    /// How many of them are the machine's.
    machine_inputs: usize,
    pub(crate) asset: u32,
    /// The source of the newest sample of its first input; timers run by its clock.
    pub(crate) source: u32,
    /// Entries before this were read before the start.
    pub(crate) position: Position,
    pub(crate) machine: Machine,
    guard: Option<Box<Guard>>,
    /// Whether it made something since its row was last written.
    pub(crate) touched: bool,
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
            touched: false,
        }
    }

    /// Takes up a state that is of the same kind and reads the same; says whether it is.
    pub(crate) fn resume(&mut self, settings: &RuleSettings, saved: &SavedState) -> bool {
        if saved.inputs[..] != self.inputs[..self.machine_inputs] {
            return false;
        }
        let Some(machine) = Machine::resume(&settings.kind, saved.state.clone()) else { return false };
        self.machine = machine;
        if let (Some(guard), Some(seen)) = (&mut self.guard, &saved.guard) {
            guard.resume(seen.clone());
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
            guard: self.guard.as_ref().map(|guard| guard.seen().clone()),
            state: self.machine.state(),
        }
    }

    /// The next sample of one of its inputs; says whether a timer may now end earlier.
    #[inline]
    pub(crate) fn sample(
        &mut self,
        input: u8,
        at: Position,
        sample: &Sample,
        late: bool,
        context: &Context,
        out: &mut Vec<Change>,
    ) -> Armed {
        let number = usize::from(input);
        let of_guard = number >= self.machine_inputs;
        let mut armed = false;
        if let Some(guard) = &mut self.guard {
            if of_guard && !late {
                guard.sample(number - self.machine_inputs, at, sample);
            }
            if !late && guard.ask(&self.identity.asset, sample.time, context) {
                armed = self.with_bench(out, |machine, bench| machine.guard(bench));
            }
        }
        if !of_guard {
            armed |= self.with_bench(out, |machine, bench| machine.sample(input, at, sample, late, bench));
        }
        armed
    }

    /// Fires what ended before these times, plant time and UTC.
    pub(crate) fn fire(&mut self, plant: Time, utc: Time, context: &Context, out: &mut Vec<Change>) {
        if let Some(guard) = &mut self.guard
            && let Some(deadline) = self.machine.plant_deadline().filter(|deadline| *deadline < plant)
            && guard.ask(&self.identity.asset, deadline, context)
        {
            self.with_bench(out, |machine, bench| machine.guard(bench));
        }
        self.with_bench(out, |machine, bench| machine.fire(plant, utc, bench));
    }

    /// Lets the machine work with its bench.
    #[inline]
    pub(crate) fn with_bench<T>(
        &mut self,
        out: &mut Vec<Change>,
        work: impl FnOnce(&mut Machine, &mut Bench) -> T,
    ) -> T {
        let holds = self.guard.as_ref().is_none_or(|guard| guard.holds());
        let mut bench = Bench { identity: &self.identity, signals: &self.dress.signals, holds, out };
        work(&mut self.machine, &mut bench)
    }
}
