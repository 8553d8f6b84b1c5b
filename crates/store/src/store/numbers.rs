//! The numbers of signals: each is given once, and durable before it is told.

use super::Store;
use crate::StoreError;
use andon_model::{AssetName, SignalName, SignalNo};
use std::sync::PoisonError;

/// New numbers in one transaction at most: commits of others wait for it.
const NUMBERS_AT_ONCE: usize = 10_000;

impl Store {
    /// The number of a signal that has one.
    pub fn known_number(&self, asset: &AssetName, signal: &SignalName) -> Option<SignalNo> {
        let known = self.0.signals.read().unwrap_or_else(PoisonError::into_inner);
        known.get(asset).and_then(|of| of.get(signal)).copied()
    }

    /// The number of a signal; given once, durable before it is returned.
    pub fn signal(&self, asset: &AssetName, signal: &SignalName) -> Result<SignalNo, StoreError> {
        if let Some(number) = self.known_number(asset, signal) {
            return Ok(number);
        }
        let numbers = self.numbers(&[(asset.clone(), signal.clone())])?;
        Ok(*numbers.first().expect("one signal has one number"))
    }

    /// The numbers of many signals, in their order: those that are new become durable together, with one sync.
    pub fn numbers(&self, signals: &[(AssetName, SignalName)]) -> Result<Vec<SignalNo>, StoreError> {
        let known = self.0.signals.read().unwrap_or_else(PoisonError::into_inner);
        let number = |(asset, signal): &(_, _)| known.get(asset).and_then(|of| of.get(signal)).copied();
        let mut numbers: Vec<Option<SignalNo>> = signals.iter().map(number).collect();
        drop(known);
        let places: Vec<usize> = (0..).zip(&numbers).filter(|(_, n)| n.is_none()).map(|(place, _)| place).collect();
        for places in places.chunks(NUMBERS_AT_ONCE) {
            let new: Vec<_> = places.iter().filter_map(|place| signals.get(*place).cloned()).collect();
            let given = self.0.db.numbers(new.clone())?;
            let mut known = self.0.signals.write().unwrap_or_else(PoisonError::into_inner);
            for ((place, (asset, signal)), number) in places.iter().zip(new).zip(given) {
                known.entry(asset).or_default().insert(signal, number);
                numbers.get_mut(*place).expect("it is a place among them").replace(number);
            }
        }
        Ok(numbers.into_iter().map(|number| number.expect("each was known or given")).collect())
    }
}
