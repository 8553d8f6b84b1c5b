//! A rule for one asset by itself, as it is replayed to say why it had not fired.

use super::{Engine, Output};
use crate::{
    context::{Context, Known},
    slot::Slot,
};
use andon_contract::Contract;
use andon_model::sample::{Batch, Part};
use andon_model::{AssetName, Entry, InstanceId, Mark, Name, Position, SignalName, SignalNo, SiteName, Time};
use std::sync::Arc;

impl Engine {
    /// The rule for the asset, which has seen nothing, with what is known of the context; `None` where it does not hold
    /// for it.
    pub(crate) fn alone(
        contract: &Arc<Contract>,
        instance: InstanceId,
        (rule, asset): (&Name, &AssetName),
        signals: &[(SignalNo, AssetName, SignalName)],
        (position, context): (Position, Context),
    ) -> Option<Self> {
        let of = contract.rules.get(rule)?;
        let settings = of.assets.get(asset)?;
        let mut engine = Self::bare(Arc::clone(contract), position, context);
        engine.asset(asset);
        engine.add(instance, rule, of, asset, settings, None, &Arc::default(), Time(0), &mut Vec::new());
        engine.learn(signals);
        Some(engine)
    }

    /// Its one rule.
    pub(crate) fn only(&self) -> Option<&Slot> {
        self.states.first()
    }

    /// The source whose clock its one rule runs by, whether it is connected, and where its clock stands.
    pub(crate) fn only_source(&self) -> Option<(&Name, bool, Time)> {
        let slot = self.states.first()?;
        let source = self.sources.get(slot.source as usize)?;
        let clocks = self.assets.get(slot.asset as usize).map_or(&[][..], |asset| &asset.clocks);
        let newest = clocks.iter().find(|of| of.source == slot.source).map_or(Time::MIN, |of| of.clock.newest());
        Some((&source.name, source.connected, newest))
    }

    /// Lets its clock pass these times, as a tick does.
    pub(crate) fn pass(&mut self, site: &SiteName, asset: &AssetName, plant: Time, utc: Time) {
        let Some((source, ..)) = self.only_source() else { return };
        let mut part = Part::new(site.clone(), source.clone());
        part.entries.push(Entry::Mark(Mark::Tick { asset: asset.clone(), plant, utc }));
        let batch = Batch { first: self.position, part };
        let mut out: Vec<Output> = Vec::new();
        self.apply(&batch, super::Moment { now: utc, monotonic: None }, &mut out);
    }

    /// What it knows of the context, where the silence of those who tell it is measured at this time.
    pub(crate) fn known(&self, utc: Time) -> Known<'_> {
        Known { context: &self.context, utc }
    }
}
