//! What a start makes of the states it finds and the rules as they are now.

use super::{Engine, NONE, Output};
use crate::{
    birth::{self, Dress},
    clock::PlantClock,
    context::Context,
    gate::Gate,
    identity::Identity,
    rules::Bench,
    slot::Slot,
    states::{Clocks, Saved, SavedState, decode},
};
use ahash::AHashMap;
use andon_contract::{
    Contract,
    contract::{Rule, RuleSettings},
};
use andon_model::{AssetName, InstanceId, Name, SignalName, SignalNo, Time};
use andon_store::rows::RuleStateRow;
use std::sync::Arc;

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
        let mut engine = Self {
            contract,
            position: saved.position,
            counts: saved.clocks.counts,
            signals: Vec::new(),
            assets: Vec::new(),
            by_name: AHashMap::new(),
            sources: Vec::new(),
            states: Vec::new(),
            armed: Vec::new(),
            utc_next: Time::MAX,
            touched: Vec::new(),
            gone: Vec::new(),
            changes: Vec::new(),
            context: Context::default(),
        };
        let mut rows = saved.rows;
        let contract = Arc::clone(&engine.contract);
        for (name, rule) in &contract.rules {
            for (asset, settings) in &rule.assets {
                let row = rows.remove(&(name.clone(), asset.clone()));
                engine.add(instance, name, rule, asset, settings, row, now, out);
            }
        }
        for row in rows.into_values() {
            engine.remove(instance, row, now, out);
        }
        engine.learn(signals);
        engine.take_clocks(&saved.clocks);
        for index in 0..engine.assets.len() {
            engine.look_closely(index);
        }
        engine
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one state, named once, at a start")]
    fn add(
        &mut self,
        instance: InstanceId,
        name: &Name,
        rule: &Rule,
        asset: &AssetName,
        settings: &Arc<RuleSettings>,
        row: Option<RuleStateRow>,
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
        if let Some(row) = row.filter(|row| !row.state.is_null()) {
            let same_version = row.version == slot.identity.version;
            match decode(&row) {
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
            slot.with_bench(&mut self.changes, |machine, bench| machine.after_edit(at, now, &reason, bench));
        }
        if let Some(asset) = self.assets.get_mut(slot.asset as usize) {
            asset.states.push(index);
        }
        self.states.push(slot);
        if edited || replaced {
            self.touch(index);
            self.bear(index, now, out);
        }
    }

    /// A rule that is gone, or does not hold for the asset any more.
    fn remove(&mut self, instance: InstanceId, row: RuleStateRow, now: Time, out: &mut Vec<Output>) {
        if row.state.is_null() {
            return;
        }
        match decode(&row) {
            Ok(saved) => self.end_saved(instance, &row, saved, REMOVED, now, out),
            Err(cause) => out.push(birth::unreadable(&self.contract, &row, &cause, None, now)),
        }
        let position = self.position.max(row.position);
        self.gone.push(RuleStateRow { state: serde_json::Value::Null, position, ..row });
    }

    fn end_saved(
        &mut self,
        instance: InstanceId,
        row: &RuleStateRow,
        saved: SavedState,
        what: &str,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let SavedState { inputs, site, unit, mut state, gate, .. } = saved;
        let identity =
            Identity { instance, rule: row.rule.clone(), version: row.version.clone(), asset: row.asset.clone() };
        let dress = Dress::new(&site, &row.asset, &inputs, &unit);
        let mut changes = Vec::new();
        let mut bench = Bench { identity: &identity, signals: &dress.signals, holds: true, out: &mut changes };
        let why = format!("the rule {} {what}", row.rule);
        state.removed(row.position, &why, &mut bench);
        if let Some(mut gate) = gate {
            gate.pass(&identity, dress.signal(), &|| "of the rule as it was".to_owned(), &mut changes, 0);
            if what == REMOVED {
                gate.forget(&identity, row.position, now, &why, &mut changes);
            }
        }
        for change in changes {
            out.push(birth::dress(&self.contract, &identity, &dress, change, now));
        }
    }

    fn take_clocks(&mut self, clocks: &Clocks) {
        for (number, newest) in &clocks.newest {
            if let Some(Some(signal)) = self.signals.get_mut(*number as usize) {
                signal.newest = Time(*newest);
            }
        }
        for (asset, source, newest) in &clocks.plant {
            let source = self.source(source);
            if let Some(index) = self.by_name.get(asset)
                && let Some(asset) = self.assets.get_mut(*index as usize)
            {
                asset.clocks.push((source, PlantClock::standing(Time(*newest))));
            }
        }
    }
}
