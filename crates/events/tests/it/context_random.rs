//! Properties of the context: neither cuts nor crashes nor rows that are there before their mark change an event.

use crate::{
    common::{SECOND, part, sample, site},
    context::{object, plant, store},
};
use andon_contract::contract::{Condition, Guard, Test, What, WhenStale, Word};
use andon_events::{Loop, Progress};
use andon_model::{Entry, Mark, Quality, Time, sample::Part, span::Span};
use andon_store::{Fault, ObjectRow, RevisionRow, Store, Write};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// What happens, one after the other.
#[derive(Debug, Clone)]
enum Happening {
    /// A sample: steps of its time and its receipt in seconds, and whether it is beyond the limit.
    Sample(i64, i64, bool),
    /// Somebody tells orders: number, first and last second, whether it runs; and the step of UTC.
    Told(Vec<(u8, i64, i64, bool)>, i64),
    /// A tick, after steps of plant time and UTC.
    Tick(i64, i64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let order = (0..4_u8, 0..200_i64, 1..120_i64, any::<bool>());
    let one = prop_oneof![
        6 => (0..12_i64, 0..25_i64, any::<bool>()).prop_map(|(time, utc, high)| Happening::Sample(time, utc, high)),
        2 => (prop::collection::vec(order, 0..3), 0..25_i64).prop_map(|(orders, utc)| Happening::Told(orders, utc)),
        1 => (0..12_i64, 0..60_i64).prop_map(|(plant, utc)| Happening::Tick(plant, utc)),
    ];
    prop::collection::vec(one, 1..60)
}

fn guards() -> impl Strategy<Value = Guard> {
    let stale = prop_oneof![
        Just(WhenStale::Use),
        Just(WhenStale::Ignore),
        (5..60_i64).prop_map(|most| WhenStale::Wait(Span::from_secs(most))),
    ];
    (stale, any::<bool>(), prop::option::of(10..60_i64)).prop_map(|(when_stale, reads, max_age)| {
        let what = What::Context { name: "order".into(), field: vec!["state".into()] };
        let running = Condition { what, test: Test::Is(Word::Text("Running".into())) };
        let when = if reads { vec![running] } else { Vec::new() };
        Guard { when, when_stale, max_age: max_age.map(Span::from_secs), ..Guard::default() }
    })
}

/// A revision with its objects, and the entries of the log.
type Script = (Vec<(RevisionRow, Vec<ObjectRow>)>, Vec<Part>);

fn script(all: &[Happening]) -> Script {
    let (mut time, mut utc) = (0, 0);
    let (mut revisions, mut parts) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Happening::Sample(step, utc_step, high) => {
                (time, utc) = (time + step, utc + utc_step);
                let value = if *high { 101.0 } else { 99.0 };
                let made = sample(1, time * SECOND, utc * SECOND, Quality::GOOD, value);
                parts.push(part(vec![Entry::Sample(made)]));
            }
            Happening::Tick(step, utc_step) => {
                utc += utc_step;
                let (plant, utc) = (Time((time + step) * SECOND), Time(utc * SECOND));
                let asset = crate::common::asset("m");
                parts.push(part(vec![Entry::Mark(Mark::Tick { asset, plant, utc })]));
            }
            Happening::Told(orders, utc_step) => {
                utc += utc_step;
                let row = RevisionRow::new(Time(utc * SECOND), "erp/objects", Some(Span::from_secs(40)));
                let of = |(number, from, length, runs): &(u8, i64, i64, bool)| {
                    let state = if *runs { "Running" } else { "Waiting" };
                    object(&format!("order {number} {from} {} {state}", from + length))
                };
                revisions.push((row, orders.iter().map(of).collect()));
                let mut mark = Part::new(site(), crate::common::name("andon"));
                mark.entries.push(Entry::Mark(Mark::Context(revisions.len() as u64)));
                parts.push(mark);
            }
        }
    }
    (revisions, parts)
}

fn commit(store: &Store, (row, objects): &(RevisionRow, Vec<ObjectRow>)) {
    let mut writes = vec![Write::ContextRevision(row.clone())];
    writes.extend(objects.iter().map(|row| Write::Object(Box::new(row.clone()))));
    store.commit(writes).unwrap();
}

/// All events by id, without when they were recorded.
fn events(store: &Store) -> BTreeMap<String, String> {
    let of = |stored: andon_store::StoredEvent| {
        let (event, evidence) = store.event(stored.event.id).unwrap().unwrap();
        let mut json = event.event.to_json(None);
        json.as_object_mut().unwrap().remove("recordedtime");
        (stored.event.id.to_string(), format!("{json} {evidence:?}"))
    };
    store.events_after(0, 100_000).unwrap().into_iter().map(of).collect()
}

fn settle(rules: &mut Loop) {
    while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 2_000 }))]

    #[test]
    fn neither_cuts_nor_crashes_nor_early_rows_change_an_event(
        all in happenings(),
        guard in guards(),
        cuts in prop::collection::vec((1..9_usize, 0..5_u8), 1..20),
        faults in prop::collection::vec(0..9_u64, 1..9),
    ) {
        let contract = plant("High 100, OnDelay 20 s, OffDelay 5 s", &guard);
        let (revisions, parts) = script(&all);
        // Once as it happens, entry by entry: rows, mark, read.
        let plain = store();
        let mut rules = Loop::new(plain.clone(), Arc::clone(&contract), Time(0)).unwrap();
        let mut next = revisions.iter();
        for part in &parts {
            if let [Entry::Mark(Mark::Context(_))] = part.entries[..] {
                commit(&plain, next.next().unwrap());
            }
            plain.append(vec![part.clone()]).unwrap();
            settle(&mut rules);
        }
        // And once in pieces, each with all its rows beforehand, and with crashes and stops between them.
        let cut = store();
        let mut faults = faults.iter().cycle();
        let open = || loop {
            if let Ok(rules) = Loop::new(cut.clone(), Arc::clone(&contract), Time(0)) {
                break rules;
            }
        };
        let mut rules = open();
        let mut next = revisions.iter();
        let mut left = &parts[..];
        for (most, then) in cuts.iter().cycle() {
            let (some, rest) = left.split_at((*most).min(left.len()));
            left = rest;
            // Samples that follow each other may come as one.
            let mut joined: Vec<Part> = Vec::new();
            for part in some {
                if let [Entry::Mark(Mark::Context(_))] = part.entries[..] {
                    commit(&cut, next.next().unwrap());
                }
                match joined.last_mut().filter(|last| last.source == part.source) {
                    Some(last) => last.entries.extend(part.entries.clone()),
                    None => joined.push(part.clone()),
                }
            }
            if !joined.is_empty() {
                cut.append(joined).unwrap();
            }
            match then {
                0 => settle(&mut rules),
                // A write fails, before or after it is done: the step is tried again, or everything ends there.
                1 | 2 => {
                    let skipped = faults.next().unwrap();
                    cut.plan_fault(*skipped, if *then == 1 { Fault::Before } else { Fault::After });
                    for _ in 0..3 {
                        if rules.step(Time(0), Span::ZERO).is_err() && skipped % 2 == 0 {
                            rules = open();
                        }
                    }
                    // What did not fail yet shall not be a write of the test.
                    for _ in 0..10 {
                        drop(cut.commit(Vec::new()));
                    }
                }
                // A crash: what is not kept is read again.
                3 => {
                    rules.step(Time(0), Span::ZERO).unwrap();
                    rules = open();
                }
                _ => {
                    rules.step(Time(0), Span::ZERO).unwrap();
                    rules.stop().unwrap();
                    rules = open();
                }
            }
            if left.is_empty() {
                break;
            }
        }
        settle(&mut rules);
        prop_assert_eq!(events(&cut), events(&plain));
        // Everything read once more says nothing new.
        drop(rules);
        cut.write_states(&[]).unwrap();
        settle(&mut open());
        prop_assert_eq!(events(&cut), events(&plain));
    }
}
