//! A small model of a limit, written from what is promised and not from the code: which activations must be there.
//!
//! It knows one signal and the clock of its asset. A good value beyond a limit begins a condition, which is an alarm
//! once it has lasted for `OnDelay` by the clock of the asset; an alarm ends once values were back by the deadband for
//! `OffDelay`. Samples that are late, not good, or of no known time decide nothing.

use super::Told;
use crate::{
    project::{ASSETS, Edit, Variant},
    world::{Broken, World, fault},
};
use andon_model::{Entry, Mark, Time, Value, span::Span};
use std::collections::BTreeMap;

/// A rule as the project says it.
struct Limit {
    rules: &'static [&'static str],
    signal: &'static str,
    /// From the outermost: above this.
    high: f64,
    /// Below this, where it has a lower side.
    low: Option<f64>,
    deadband: f64,
    on: Span,
    off: Span,
    /// Edits after which it is another.
    edits: &'static [Edit],
}

const LIMITS: [Limit; 2] = [
    Limit {
        rules: &["fast", "quick"],
        signal: "speed",
        high: 60.0,
        low: None,
        deadband: 10.0,
        on: Span::ZERO,
        off: Span::ZERO,
        edits: &[Edit::Renamed],
    },
    Limit {
        rules: &["hot"],
        signal: "temperature",
        high: 100.0,
        low: Some(10.0),
        deadband: 5.0,
        on: Span::from_secs(20),
        off: Span::from_secs(10),
        edits: &[Edit::Threshold],
    },
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    High,
    Low,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Normal,
    /// Beyond since then.
    Beyond(Side, Time),
    /// An alarm, perhaps back since then.
    Alarm(Side, Option<Time>),
}

/// One asset in the eyes of one rule.
struct Model<'a> {
    limit: &'a Limit,
    state: State,
    activations: Vec<Time>,
}

impl Model<'_> {
    fn side(&self, value: f64) -> Option<Side> {
        if value > self.limit.high {
            Some(Side::High)
        } else if self.limit.low.is_some_and(|low| value < low) {
            Some(Side::Low)
        } else {
            None
        }
    }

    fn holds(&self, side: Side, value: f64) -> bool {
        match side {
            Side::High => value > self.limit.high - self.limit.deadband,
            Side::Low => self.limit.low.is_some_and(|low| value < low + self.limit.deadband),
        }
    }

    /// The clock of the asset has come so far.
    fn clock(&mut self, clock: Time) {
        match self.state {
            State::Beyond(side, since) if since.plus(self.limit.on) < clock => {
                self.activations.push(since.plus(self.limit.on));
                self.state = State::Alarm(side, None);
            }
            State::Alarm(_, Some(since)) if since.plus(self.limit.off) < clock => self.state = State::Normal,
            _ => {}
        }
    }

    fn value(&mut self, value: f64, time: Time) {
        self.state = match (self.state, self.side(value)) {
            (State::Beyond(side, since), Some(other)) if side == other => State::Beyond(side, since),
            (State::Normal | State::Beyond(..), Some(side)) => self.begins(side, time),
            (State::Normal | State::Beyond(..), None) => State::Normal,
            (State::Alarm(..), Some(side)) => State::Alarm(side, None),
            (State::Alarm(side, back), None) => {
                if self.holds(side, value) {
                    State::Alarm(side, None)
                } else if self.limit.off == Span::ZERO {
                    State::Normal
                } else {
                    State::Alarm(side, back.or(Some(time)))
                }
            }
        };
    }

    fn begins(&mut self, side: Side, time: Time) -> State {
        if self.limit.on == Span::ZERO {
            self.activations.push(time);
            return State::Alarm(side, None);
        }
        State::Beyond(side, time)
    }
}

/// The activations of limits that no edit has changed are those of the model.
pub(super) fn every_activation_is_there(world: &World, told: &[Told]) -> Result<(), Broken> {
    for limit in LIMITS.iter().filter(|limit| !is_edited(world, limit)) {
        for asset in ASSETS {
            let expected = activations(world, limit, asset)?;
            let found: Vec<Time> = told
                .iter()
                .filter(|told| {
                    told.is_activation() && told.event.subject == asset && limit.rules.contains(&told.rule())
                })
                .map(|told| told.event.time)
                .collect();
            if expected != found {
                let rule = limit.rules.first().copied().unwrap_or_default();
                let text = format!("{rule} of {asset} is active from {found:?}, and should be from {expected:?}");
                return Err(Broken::new("model", text));
            }
        }
    }
    Ok(())
}

fn is_edited(world: &World, limit: &Limit) -> bool {
    let changed = |variant: &Variant| limit.edits.iter().any(|edit| variant.has(*edit));
    world.variants.iter().any(changed)
}

fn activations(world: &World, limit: &Limit, asset: &str) -> Result<Vec<Time>, Broken> {
    let mut signals = BTreeMap::new();
    for (number, of, signal) in world.store.signals().map_err(fault)? {
        if of.as_str() == asset {
            signals.insert(number, signal.to_string());
        }
    }
    let mut model = Model { limit, state: State::Normal, activations: Vec::new() };
    let mut newest = BTreeMap::new();
    for batch in &world.archive {
        for entry in &batch.part.entries {
            match entry {
                Entry::Mark(Mark::Tick { asset: of, plant, .. }) if of.as_str() == asset => model.clock(*plant),
                Entry::Sample(sample) => {
                    let Some(signal) = signals.get(&sample.signal) else { continue };
                    let late = newest.get(signal).is_some_and(|newest| sample.time < *newest);
                    if late || sample.origin.is_untimed() {
                        continue;
                    }
                    newest.insert(signal.clone(), sample.time);
                    model.clock(sample.time);
                    if let (Value::F64(value), true, true) =
                        (&sample.value, sample.quality.is_good(), signal == limit.signal)
                    {
                        model.value(*value, sample.time);
                    }
                }
                Entry::Mark(_) => {}
            }
        }
    }
    Ok(model.activations)
}
