//! The gate under random acts: nothing that a rule finds is lost or told twice, and neither the cut into batches nor a
//! crash at any place changes an event.

use crate::{
    common::{SECOND, apply, asset, contract, instance, limit, line, part, sample, signal, signals},
    gate::{act, guarded, told},
};
use andon_contract::{
    Contract,
    contract::{Clock, LimitSettings, RuleKind},
};
use andon_events::{Engine, Loop, Progress, Saved};
use andon_model::{Entry, Event, Mark, Quality, Time, Value, span::Span};
use andon_store::{Store, StoredEvent};
use proptest::prelude::*;
use std::sync::Arc;

/// Seconds forward (late when negative), what, and a value.
type Step = (i64, u8, i16);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (prop_oneof![8 => 0_i64..6, 1 => 20_i64..60, 1 => -5_i64..0], 0_u8..16, 80_i16..140);
    prop::collection::vec(step, 1..100)
}

fn settings() -> impl Strategy<Value = LimitSettings> {
    prop::sample::select(vec![
        "High 100",
        "HighHigh 120, High 100, Deadband 5",
        "HighHigh 120, High 100, OnDelay 4 s, OffDelay 4 s",
        "High 100, OnDelay 4 s, ReAlarmTime 5 s",
    ])
    .prop_map(limit)
}

fn entries(steps: &[Step], disabling: bool) -> Vec<Entry> {
    let (mut clock, mut received) = (1_000, 1_000);
    let mut all = Vec::new();
    for (forward, what, value) in steps {
        // Samples of one time and receipt are one message, which is never cut.
        received += forward.max(&1);
        let time = clock + forward;
        clock = clock.max(time);
        let of = |number, value| {
            let mut made = sample(number, time * SECOND, received * SECOND, Quality::GOOD, 0.0);
            made.value = Value::F64(value);
            Entry::Sample(made)
        };
        let at = received.to_string();
        let until = (received + i64::from(*value) - 75).to_string();
        all.push(match what {
            0 => act(&["shelve", &at, &until]),
            1 => act(&["once", &at, &until]),
            2 => act(&["unshelve", &at]),
            3 => of(2, f64::from(value % 2)),
            4 if disabling => act(&["disable", &at]),
            5 | 6 if disabling => act(&["enable", &at]),
            7 => {
                let (plant, utc) = (Time(time * SECOND), Time(received * SECOND));
                Entry::Mark(Mark::Tick { asset: asset("m"), plant, utc })
            }
            _ => of(1, f64::from(*value)),
        });
    }
    all
}

fn engine(contract: Contract) -> Engine {
    Engine::new(Arc::new(contract), instance(), &signals(), Saved::default(), Time(0), &mut Vec::new())
}

fn is_late(event: &Event) -> bool {
    event.data.get("reason").and_then(|reason| reason.as_str()).is_some_and(|reason| reason.starts_with("raised late"))
}

fn store() -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    store.signal(&asset("m"), &signal("t")).unwrap();
    store.signal(&asset("m"), &signal("other")).unwrap();
    store
}

fn drain(rules: &mut Loop, monotonic: Span) {
    while rules.step(Time(0), monotonic).unwrap() == Progress::Worked {}
}

fn all(store: &Store) -> Vec<StoredEvent> {
    let mut all = store.events_after(0, usize::MAX >> 1).unwrap();
    all.sort_by_key(|stored| stored.event.id);
    for stored in &mut all {
        stored.sequence = 0;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_recorded_and_raised_is_what_the_rule_finds(set in settings(), steps in steps()) {
        let entries = entries(&steps, false);
        let free = contract(&["m"], &[("hot", RuleKind::Limit(set.clone()))], Clock::Recorded);
        let found: Vec<String> = apply(&mut engine(free), entries.iter().filter(|entry| {
            !matches!(entry, Entry::Mark(Mark::Control(_)))
        }).cloned().collect())
            .iter()
            .map(|(event, _)| line(event))
            .filter(|line| !line.contains("realarmed"))
            .collect();
        let events = apply(&mut engine(guarded(RuleKind::Limit(set))), entries);
        let kept: Vec<String> = events
            .iter()
            .filter(|(event, _)| event.kind != "asset.alarm.control" && !is_late(event))
            .map(|(event, _)| line(event))
            .filter(|line| !line.contains("realarmed"))
            .collect();
        prop_assert_eq!(kept, found);
        // What is raised begins before it ends, once, and is of one story.
        let mut raised = None;
        for (event, _) in events.iter().filter(|(event, _)| event.kind == "asset.alarm") {
            match event.data["change"].as_str().unwrap() {
                "activated" => {
                    prop_assert_eq!(raised, None, "{}", told(event));
                    raised = Some(event.correlation);
                }
                "returned" => {
                    prop_assert_eq!(raised, Some(event.correlation), "{}", told(event));
                    raised = None;
                }
                _ => prop_assert_eq!(raised, Some(event.correlation), "{}", told(event)),
            }
        }
        let ids: std::collections::BTreeSet<_> = events.iter().map(|(event, _)| event.id).collect();
        prop_assert_eq!(ids.len(), events.len());
    }

    #[test]
    fn neither_cut_nor_crash_changes_an_event(
        set in settings(),
        steps in steps(),
        cuts in prop::collection::vec((1_usize..16, 0_u8..5), 1..40),
    ) {
        let entries = entries(&steps, true);
        let contract = Arc::new(guarded(RuleKind::Limit(set)));
        let begin = |store: &Store| Loop::new(store.clone(), Arc::clone(&contract), Time(0)).unwrap();
        let whole = store();
        let mut once = begin(&whole);
        whole.append(vec![part(entries.clone())]).unwrap();
        drain(&mut once, Span::ZERO);

        let cut = store();
        let mut rules = begin(&cut);
        let mut rest = entries.as_slice();
        let mut monotonic = Span::ZERO;
        for (length, between) in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at((*length).min(rest.len()));
            rest = tail;
            cut.append(vec![part(head.to_vec())]).unwrap();
            match between {
                0 => {}
                1 => rules = begin(&cut),
                2 => {
                    rules.step(Time(0), monotonic).unwrap();
                    rules = begin(&cut);
                }
                3 => {
                    monotonic = Span::from_nanos(monotonic.nanos() + 11 * SECOND);
                    rules.step(Time(0), monotonic).unwrap();
                    rules = begin(&cut);
                }
                _ => {
                    rules.stop().unwrap();
                    rules = begin(&cut);
                }
            }
        }
        drain(&mut rules, monotonic);
        prop_assert_eq!(all(&whole), all(&cut));
        for stored in all(&cut) {
            let (_, evidence) = cut.event(stored.event.id).unwrap().unwrap();
            prop_assert_eq!(&evidence, &whole.event(stored.event.id).unwrap().unwrap().1, "{}", told(&stored.event));
        }
        prop_assert_eq!(andon_events::alarms::alarms(&whole).unwrap(), andon_events::alarms::alarms(&cut).unwrap());
    }
}
