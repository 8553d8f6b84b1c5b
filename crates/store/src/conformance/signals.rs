//! Signals have numbers.

use super::asset;
use crate::Store;
use andon_model::SignalName;

pub(super) fn signals_keep_their_numbers(store: &Store) {
    let number = |of: &str, signal: &str| store.signal(&asset(of), &SignalName::new(signal).unwrap()).unwrap();
    let numbers = [number("a", "temp"), number("a", "speed"), number("b", "temp")];
    assert_eq!([number("a", "temp"), number("a", "speed"), number("b", "temp")], numbers);
    assert_eq!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    // Asked for together: known ones, new ones, and one twice.
    let names = [("b", "temp"), ("c", "temp"), ("a", "temp"), ("c", "temp"), ("d", "temp")];
    let names = names.map(|(of, signal)| (asset(of), SignalName::new(signal).unwrap()));
    let together = store.numbers(&names).unwrap();
    assert_eq!(together, [numbers[2], number("c", "temp"), numbers[0], number("c", "temp"), number("d", "temp")]);
    let numbers = [&numbers[..], &[together[1], together[4]]].concat();
    let listed = store.signals().unwrap();
    assert_eq!(listed.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), numbers);
    assert_eq!((listed[2].1.as_str(), listed[2].2.as_str()), ("b", "temp"));
}
