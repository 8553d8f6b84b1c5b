//! What a start makes of the states it finds and the rules as they are now.

use super::{Counts, Engine, NONE, Output, Wakes, meter::Meter};
use crate::{
    birth::{self, Dress},
    clock::PlantClock,
    context::{Context, Known},
    evidence::Rests,
    gate::Gate,
    identity::Identity,
    rules::Bench,
    slot::Slot,
    states::{Clocks, Saved, SavedState, decode},
};
use ahash::AHashMap;
use andon_contract::{
    Contract,
    contract::{Guard, Rule, RuleSettings},
};
use andon_model::{AssetName, InstanceId, Name, Position, SignalName, SignalNo, Time};
use andon_store::{KeptState, rows::RuleStateRow};
use std::{collections::VecDeque, sync::Arc};

/// What became of a rule that no longer holds for an asset.
const REMOVED: &str = "was removed";

impl Engine {
    /// The rules of a contract with the states of an earlier start. What an edit ends goes to `out`.
    pub fn new(
        contract: Arc<Contract>,
        instance: InstanceId,
        signals: &[(SignalNo, AssetName, SignalName)],
        saved: Saved,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Self {
        let context = saved.context.unwrap_or_default();
        let mut engine = Self { counts: saved.clocks.counts, ..Self::bare(contract, saved.position, context) };
        let (mut rows, rests) = (saved.rows, saved.rests);
        let contract = Arc::clone(&engine.contract);
        if engine.context.revision() == 0 {
            engine.context = Context::of(&contract);
        }
        for asset in contract.rules.values().flat_map(|rule| rule.assets.keys()) {
            engine.asset(asset);
        }
        // What a rule that is gone left ends where its clock stands.
        for (_, asset) in rows.keys() {
            engine.asset(asset);
        }
        engine.take_clocks(&saved.clocks);
        for (name, rule) in &contract.rules {
            for (asset, settings) in &rule.assets {
                let row = rows.remove(&(name.clone(), asset.clone()));
                engine.add(instance, name, rule, asset, settings, row, &rests, now, out);
            }
        }
        for row in rows.into_values() {
            engine.remove(instance, row, &rests, now, out);
        }
        engine.learn(signals);
        for (number, newest) in &saved.clocks.newest {
            if let Some(Some(signal)) = engine.signals.get_mut(*number as usize) {
                signal.newest = Time(*newest);
            }
        }
        for index in 0..u32::try_from(engine.states.len()).unwrap_or(NONE) {
            engine.arm(index);
        }
        engine.look_for_sources();
        engine
    }

    /// One without rules.
    pub(super) fn bare(contract: Arc<Contract>, position: Position, context: Context) -> Self {
        Self {
            contract,
            position,
            counts: Counts::default(),
            signals: Vec::new(),
            assets: Vec::new(),
            by_name: AHashMap::new(),
            sources: Vec::new(),
            states: Vec::new(),
            wakes: Wakes::default(),
            due: Vec::new(),
            work: 0,
            touched: Vec::new(),
            gone: Vec::new(),
            changes: Vec::new(),
            context,
            corrections: VecDeque::new(),
            guarded: false,
            meter: Meter::default(),
            timing: None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one state, named once, at a start")]
    pub(super) fn add(
        &mut self,
        instance: InstanceId,
        name: &Name,
        rule: &Rule,
        asset: &AssetName,
        settings: &Arc<RuleSettings>,
        row: Option<KeptState>,
        rests: &Arc<Rests>,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let Some(site) = self.contract.assets.get(asset).map(|a| a.site.clone()) else { return };
        let version = settings.version.clone();
        let identity = Identity { instance, rule: name.clone(), version, asset: asset.clone() };
        let asset = self.asset(asset);
        let mut slot = Slot::new(identity, &rule.signal, &site, settings, asset, self.position);
        let index = u32::try_from(self.states.len()).unwrap_or(NONE);
        let (mut edited, mut replaced) = (false, false);
        // Also an empty state goes on where the one before it ended: nothing is read twice.
        slot.position = row.as_ref().map_or(slot.position, |row| slot.position.max(row.position));
        if let Some(row) = row.filter(|row| !row.is_empty()) {
            let same_version = row.version == slot.identity.version;
            match decode(&row, rests) {
                Ok(saved) => {
                    if slot.resume(settings, &saved) {
                        slot.source = saved.source.as_ref().map_or(NONE, |source| self.source(source));
                        edited = !same_version;
                    } else {
                        // What persons did holds for the rule by its name, whatever it looks for now.
                        slot.gate = saved.gate.clone().and_then(Gate::acts);
                        self.end_saved(instance, &row, saved, "now reads something else", now, out);
                        replaced = true;
                    }
                }
                Err(cause) => {
                    out.push(birth::unreadable(&self.contract, &row, &cause, Some(&site), now));
                    replaced = true;
                }
            }
        }
        if edited {
            let reason = format!(
                "the rule {name} was edited: what was active does not hold under version {}",
                slot.identity.version
            );
            let at = slot.position;
            let clocks = self.assets.get(slot.asset as usize).map_or(&[][..], |asset| &asset.clocks);
            let clock = clocks.iter().find(|of| of.source == slot.source).map_or(Time::MIN, |of| of.clock.newest());
            slot.with_bench(&mut self.changes, |machine, bench| {
                machine.after_edit(at, (now, clock), &reason, bench);
                machine.edited_at(clock);
            });
            slot.edited(now, Known { context: &self.context, utc: Time::MIN }, &mut self.changes);
        }
        if let Some(asset) = self.assets.get_mut(slot.asset as usize) {
            asset.states.push(index);
        }
        self.guarded |= slot.is_guarded();
        self.states.push(slot);
        if edited || replaced {
            self.touch(index);
            self.bear(index, now, out);
        }
    }

    /// A rule that is gone, or does not hold for the asset any more.
    fn remove(&mut self, instance: InstanceId, row: KeptState, rests: &Arc<Rests>, now: Time, out: &mut Vec<Output>) {
        if row.is_empty() {
            return;
        }
        match decode(&row, rests) {
            Ok(saved) => self.end_saved(instance, &row, saved, REMOVED, now, out),
            Err(cause) => out.push(birth::unreadable(&self.contract, &row, &cause, None, now)),
        }
        let position = self.position.max(row.position);
        let KeptState { rule, asset, version, .. } = row;
        self.gone.push(RuleStateRow { rule, asset, version, position, state: serde_json::Value::Null });
    }

    fn end_saved(
        &mut self,
        instance: InstanceId,
        row: &KeptState,
        saved: SavedState,
        what: &str,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let SavedState { inputs, site, unit, source, mut state, gate, waiting, .. } = saved;
        let identity =
            Identity { instance, rule: row.rule.clone(), version: row.version.clone(), asset: row.asset.clone() };
        let dress = Dress::new(&site, &row.asset, &inputs, &unit);
        let mut changes = Vec::new();
        let mut bench = Bench { identity: &identity, signals: &dress.signals, holds: true, out: &mut changes };
        let why = format!("the rule {} {what}", row.rule);
        let clock = source.map_or(Time::MIN, |source| self.clock_of(&row.asset, &source));
        state.removed(row.position, clock, &why, &mut bench);
        if let Some(mut gate) = gate {
            gate.pass(&identity, dress.signal(), &|| "of the rule as it was".to_owned(), &mut changes, 0);
            if what == REMOVED {
                gate.forget(&identity, row.position, now, &why, &mut changes);
            }
        }
        // What waited for newer context goes out first, with what is known.
        let waiting = waiting.into_iter().map(|waiting| (waiting.event, waiting.evidence));
        let changes = changes.into_iter().map(|change| birth::dress(&self.contract, &identity, &dress, change, now));
        let known = Known { context: &self.context, utc: Time::MIN };
        for dressed in waiting.chain(changes) {
            let context = known.refs(&row.asset, dressed.0.time, &Guard::default()).data;
            out.push(birth::bear(&self.contract, &identity, dressed, context, now));
        }
    }

    /// Where the clock of an asset for a source stands; before all where there is none.
    fn clock_of(&self, asset: &AssetName, source: &Name) -> Time {
        let asset = self.by_name.get(asset).and_then(|index| self.assets.get(*index as usize));
        let mut clocks = asset.map_or(&[][..], |asset| &asset.clocks).iter();
        let is_its = |of: u32| self.sources.get(of as usize).is_some_and(|known| known.name == *source);
        clocks.find(|of| is_its(of.source)).map_or(Time::MIN, |of| of.clock.newest())
    }

    fn take_clocks(&mut self, clocks: &Clocks) {
        for (asset, source, newest) in &clocks.plant {
            let source = self.source(source);
            if let Some(index) = self.by_name.get(asset)
                && let Some(asset) = self.assets.get_mut(*index as usize)
            {
                asset.clock(source).clock = PlantClock::standing(Time(*newest));
            }
        }
    }
}
