//! The loop over a store: ticks of live clocks, starts, edits, and what it refuses.

use crate::common::{SECOND, asset, contract, limit, line, name, part, sample, signal, site, stale, timeline};
use andon_contract::{
    Contract,
    contract::{Clock, RuleKind},
};
use andon_events::{Loop, Progress, StartError};
use andon_model::{
    Entry, Mark, Position, Quality, Time,
    sample::{Batch, Part},
    span::Span,
};
use andon_store::{RuleStateRow, Store, StoreError, Write};
use std::sync::Arc;

fn store() -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    store.signal(&asset("m"), &signal("t")).unwrap();
    store.signal(&asset("m"), &signal("other")).unwrap();
    store
}

fn rules(list: &[(&str, RuleKind)], clock: Clock) -> Arc<Contract> {
    Arc::new(contract(&["m"], list, clock))
}

fn high(text: &str) -> [(&'static str, RuleKind); 1] {
    [("hot", RuleKind::Limit(limit(text)))]
}

fn at(seconds: i64) -> Time {
    Time(seconds * SECOND)
}

/// Steps until nothing is left to do; the span until there may be.
fn settle(rules: &mut Loop, utc: i64, monotonic: i64) -> Option<Span> {
    loop {
        match rules.step(at(utc), Span::from_secs(monotonic)).unwrap() {
            Progress::Worked => {}
            Progress::Idle { until } => return until,
        }
    }
}

fn feed(store: &Store, text: &str) {
    store.append(vec![part(timeline(text))]).unwrap();
}

fn mark(store: &Store, mark: Mark) {
    store.append(vec![part(vec![Entry::Mark(mark)])]).unwrap();
}

fn told(store: &Store) -> Vec<String> {
    store.events_after(0, 1_000).unwrap().iter().map(|stored| line(&stored.event)).collect()
}

fn log(store: &Store) -> Vec<Arc<Batch>> {
    let mut at = store.log_start();
    let mut all = Vec::new();
    while let Some(batch) = store.read(at).unwrap() {
        at = batch.end();
        all.push(batch);
    }
    all
}

#[test]
fn a_live_clock_fires_by_a_tick_when_no_sample_comes() {
    let store = store();
    let mut rules = Loop::new(store.clone(), rules(&high("High 100, OnDelay 60 s"), Clock::Live), at(0)).unwrap();
    feed(&store, "1000 101");
    let until = settle(&mut rules, 5_000, 10).unwrap();
    assert!(until <= Span::from_secs(10), "the file of states comes first: {until:?}");
    settle(&mut rules, 5_000, 21);
    assert_eq!(settle(&mut rules, 5_000, 21), Some(Span::from_nanos(49 * SECOND + 1)));
    settle(&mut rules, 5_000, 70);
    assert_eq!(told(&store), [""; 0], "the deadline itself is not yet later");
    settle(&mut rules, 5_000, 71);
    assert_eq!(told(&store), ["1060 activated High 101"]);
    let ticks: Vec<_> = log(&store)
        .iter()
        .flat_map(|batch| &batch.part.entries)
        .filter_map(|entry| match entry {
            Entry::Mark(Mark::Tick { plant, .. }) => Some(*plant),
            _ => None,
        })
        .collect();
    assert_eq!(ticks, [at(1_061)]);
}

/// The process ends while the rules have a piece of the log at hand, `alone` or with others.
fn ends_with(store: &Store, item: &str, alone: bool) -> u32 {
    let mut hand = store.hand("rules");
    hand.gate(alone);
    hand.take(item);
    drop(hand);
    store.take_up(at(0)).unwrap().first().map_or(0, |row| row.ends)
}

#[test]
fn an_entry_that_ends_the_process_is_passed_over_and_told_of_and_all_others_are_read() {
    let store = store();
    let contract = rules(&high("High 100"), Clock::Recorded);
    let begin = || Loop::new(store.clone(), Arc::clone(&contract), at(0)).unwrap();
    drop(begin());
    let first = store.log_end().offset;
    feed(&store, "1000 99\n1001 101\n1002 99\n1003 105\n1004 99\n1005 101");
    let poison = format!("log/1/{}", first + 3);
    assert_eq!(ends_with(&store, &format!("log/1/{first}-{}", first + 5), false), 0);
    assert_eq!(ends_with(&store, &poison, true), 1);
    assert_eq!(ends_with(&store, &poison, true), 2);

    let mut rules = begin();
    settle(&mut rules, 2_000, 0);
    let expected = ["1001 activated High 101", "1002 returned High 99", "1005 activated High 101"];
    assert_eq!(told(&store), expected);
    assert_eq!(rules.counts().evaluated, 6, "what is passed over is counted");
    let told_of = || {
        let query = andon_store::Query::default();
        store
            .list("exceptions", &query)
            .unwrap()
            .rows
            .into_iter()
            .map(|row| row["cause"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(told_of().len(), 1);
    assert!(told_of()[0].contains("ended the process"), "{:?}", told_of());
    assert_eq!(store.in_process().unwrap(), [], "the file of states lies behind it: no crash leads back to it");

    // It is told of once.
    drop(rules);
    let mut rules = begin();
    settle(&mut rules, 2_000, 0);
    assert_eq!(told(&store), expected);
    assert_eq!(told_of().len(), 1);
    rules.stop().unwrap();
    drop(rules);
    let mut rules = begin();
    settle(&mut rules, 2_000, 0);
    assert_eq!(store.in_process().unwrap(), [], "the file of states lies behind it");
}

#[test]
fn a_recorded_clock_waits_for_its_samples() {
    let store = store();
    let mut rules = Loop::new(store.clone(), rules(&high("High 100, OnDelay 60 s"), Clock::Recorded), at(0)).unwrap();
    feed(&store, "1000 101\n2000 other\n1010 101");
    settle(&mut rules, 5_000, 10);
    settle(&mut rules, 900_000, 100_000);
    assert_eq!(told(&store), ["1060 activated High 101"]);
    let store = self::store();
    let mut rules =
        Loop::new(store.clone(), self::rules(&high("High 100, OnDelay 60 s"), Clock::Recorded), at(0)).unwrap();
    feed(&store, "2000 other\n1000 101");
    settle(&mut rules, 900_000, 100_000);
    assert_eq!(told(&store), [""; 0], "a clock ahead of the signal ends nothing by itself");
    feed(&store, "1060 99\n1061 99");
    settle(&mut rules, 900_000, 200_000);
    assert_eq!(told(&store), [""; 0]);
}

#[test]
fn while_disconnected_the_backlog_decides() {
    let store = store();
    let mut rules = Loop::new(store.clone(), rules(&high("High 100, OnDelay 60 s"), Clock::Live), at(0)).unwrap();
    mark(&store, Mark::Connected);
    feed(&store, "1000 101");
    settle(&mut rules, 1_000, 0);
    mark(&store, Mark::Disconnected("gone".into()));
    settle(&mut rules, 1_010, 10);
    settle(&mut rules, 9_000, 8_000);
    assert_eq!(told(&store), [""; 0]);
    mark(&store, Mark::Connected);
    feed(&store, "1030 99 @9000");
    settle(&mut rules, 9_000, 8_000);
    settle(&mut rules, 9_900, 9_000);
    assert_eq!(told(&store), [""; 0]);
}

#[test]
fn after_a_start_a_clock_stands_until_the_next_sample() {
    let store = store();
    let contract = rules(&high("High 100, OnDelay 60 s"), Clock::Live);
    let mut rules = Loop::new(store.clone(), Arc::clone(&contract), at(0)).unwrap();
    feed(&store, "1000 101");
    settle(&mut rules, 1_000, 0);
    let mut rules = Loop::new(store.clone(), contract, at(0)).unwrap();
    settle(&mut rules, 9_000, 9_000);
    settle(&mut rules, 99_000, 99_000);
    assert_eq!(told(&store), [""; 0]);
    feed(&store, "1001 102");
    settle(&mut rules, 99_000, 99_000);
    settle(&mut rules, 99_100, 99_060);
    assert_eq!(told(&store), ["1060 activated High 102"]);
}

#[test]
fn a_silence_goes_on_through_disconnection_and_restart() {
    let store = store();
    let list = [("silent", RuleKind::Stale(stale("60 s")))];
    let contract = rules(&list, Clock::Recorded);
    let mut rules = Loop::new(store.clone(), Arc::clone(&contract), at(0)).unwrap();
    feed(&store, "1000 1 @5000");
    mark(&store, Mark::Disconnected("gone".into()));
    settle(&mut rules, 5_000, 0);
    rules.stop().unwrap();
    let mut rules = Loop::new(store.clone(), contract, at(5_030)).unwrap();
    assert_eq!(settle(&mut rules, 5_030, 0), Some(Span::from_nanos(30 * SECOND + 1)));
    settle(&mut rules, 5_060, 30);
    assert_eq!(told(&store), [""; 0]);
    settle(&mut rules, 5_061, 31);
    assert_eq!(told(&store), ["1060 activated - -"]);
    feed(&store, "1030 1 @6000");
    settle(&mut rules, 6_000, 900);
    assert_eq!(told(&store), ["1060 activated - -", "1030 returned - -"]);
}

#[test]
fn a_clean_stop_repeats_nothing_and_a_new_rule_begins_where_the_others_are() {
    let store = store();
    let one = rules(&high("High 100"), Clock::Recorded);
    let mut rules = Loop::new(store.clone(), one, at(0)).unwrap();
    feed(&store, "0 101\n1 90\n2 101");
    settle(&mut rules, 0, 0);
    rules.stop().unwrap();
    let end = store.log_end();
    let two = [("hot", RuleKind::Limit(limit("High 100"))), ("warm", RuleKind::Limit(limit("High 50")))];
    let mut rules = Loop::new(store.clone(), self::rules(&two, Clock::Recorded), at(0)).unwrap();
    assert_eq!(rules.position(), end);
    assert_eq!((rules.counts().evaluated, rules.counts().late, rules.waiting().unwrap()), (3, 0, 0));
    feed(&store, "3 60");
    assert_eq!(rules.waiting().unwrap(), 1);
    settle(&mut rules, 0, 0);
    assert_eq!(
        told(&store),
        [
            "0 activated High 101",
            "1 returned High 90",
            "2 activated High 101",
            "3 returned High 60",
            "3 activated High 60",
        ]
    );
    let marks = log(&store)
        .iter()
        .flat_map(|b| &b.part.entries)
        .filter(|e| matches!(e, Entry::Mark(Mark::Contract(_))))
        .count();
    assert_eq!(marks, 2, "one for each contract");
}

fn edited(before: &[(&str, RuleKind)], after: &[(&str, RuleKind)]) -> (Store, Loop) {
    let store = store();
    let mut first = Loop::new(store.clone(), rules(before, Clock::Recorded), at(0)).unwrap();
    feed(&store, "0 90\n1 101\n2 111");
    settle(&mut first, 0, 0);
    // A crash: what was committed is there, the file is that of the start.
    drop(first);
    let mut second = Loop::new(store.clone(), rules(after, Clock::Recorded), at(7)).unwrap();
    settle(&mut second, 0, 0);
    (store, second)
}

fn reason(store: &Store) -> String {
    let events = store.events_after(0, 1_000).unwrap();
    events.last().unwrap().event.data["reason"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_changed_rule_keeps_its_state() {
    let (store, mut rules) = edited(&high("High 100"), &high("High 105, Deadband 2"));
    assert_eq!(told(&store), ["1 activated High 101"]);
    feed(&store, "3 104\n4 103");
    settle(&mut rules, 0, 0);
    assert_eq!(told(&store), ["1 activated High 101", "4 returned High 103"]);
    let events = store.events_after(0, 10).unwrap();
    assert_eq!(events[1].event.correlation, events[0].event.id);
    assert_eq!(events[1].event.data["setting"]["value"], "105");
}

#[test]
fn a_realarm_time_that_is_new_counts_from_the_edit() {
    let store = store();
    let mut before = Loop::new(store.clone(), rules(&high("High 100"), Clock::Recorded), at(0)).unwrap();
    feed(&store, "0 101\n500 120");
    settle(&mut before, 0, 0);
    drop(before);
    let edit = high("High 100, ReAlarmTime 10 s");
    let mut after = Loop::new(store.clone(), rules(&edit, Clock::Recorded), at(7)).unwrap();
    feed(&store, "505 121\n512 122");
    settle(&mut after, 0, 0);
    assert_eq!(told(&store), ["0 activated High 101", "510 realarmed High 121"]);
}

#[test]
fn an_edit_ends_what_no_longer_holds_and_says_so_once() {
    let (store, rules) = edited(&high("High 100"), &high("High 200"));
    assert_eq!(told(&store), ["1 activated High 101", "2 returned High 111"]);
    assert!(reason(&store).contains("the rule hot was edited"), "{}", reason(&store));
    drop(rules);
    let mut again = Loop::new(store.clone(), self::rules(&high("High 200"), Clock::Recorded), at(9)).unwrap();
    settle(&mut again, 0, 0);
    assert_eq!(told(&store).len(), 2);
}

#[test]
fn a_removed_rule_ends_its_alarm_and_comes_back_empty() {
    let (store, rules) = edited(&high("High 100"), &[]);
    assert_eq!(told(&store), ["1 activated High 101", "2 returned High 111"]);
    assert_eq!(reason(&store), "the rule hot was removed");
    drop(rules);
    let mut again = Loop::new(store.clone(), self::rules(&high("High 100"), Clock::Recorded), at(9)).unwrap();
    settle(&mut again, 0, 0);
    assert_eq!(told(&store).len(), 2);
    feed(&store, "3 101");
    settle(&mut again, 0, 0);
    assert_eq!(told(&store).len(), 3);
}

#[test]
fn a_rule_of_another_kind_starts_empty() {
    let other = [("hot", RuleKind::Stale(stale("60 s")))];
    let (store, _) = edited(&high("High 100"), &other);
    assert_eq!(told(&store), ["1 activated High 101", "2 returned High 111"]);
    assert_eq!(reason(&store), "the rule hot now reads something else");
}

#[test]
fn a_state_beyond_the_log_refuses_the_start() {
    let store = store();
    let row = RuleStateRow {
        rule: name("hot"),
        asset: asset("m"),
        version: "v".into(),
        position: Position { epoch: store.epoch(), offset: 4_711 },
        state: serde_json::Value::Null,
    };
    store.commit(vec![Write::RuleState(row)]).unwrap();
    let refused = Loop::new(store, rules(&high("High 100"), Clock::Recorded), at(0)).unwrap_err();
    assert!(matches!(refused, StartError::Store(StoreError::Beyond { .. })), "{refused}");
}

#[test]
fn a_state_that_cannot_be_read_is_told_and_its_rule_starts_empty() {
    let store = store();
    let row = RuleStateRow {
        rule: name("hot"),
        asset: asset("m"),
        version: "v-High 100".into(),
        position: store.log_end(),
        state: serde_json::json!({"kind": "limit", "phase": 7}),
    };
    store.commit(vec![Write::RuleState(row)]).unwrap();
    let mut rules = Loop::new(store.clone(), rules(&high("High 100"), Clock::Recorded), at(0)).unwrap();
    feed(&store, "0 101");
    settle(&mut rules, 0, 0);
    assert_eq!(told(&store), ["0 activated High 101"]);
    let counts = store.counts().unwrap();
    assert_eq!(counts.get("exceptions.open"), Some(&1), "{counts:?}");
}

#[test]
fn signals_that_appear_later_are_read_and_unknown_ones_do_no_harm() {
    let store = store();
    let contract = Arc::new(contract(&["m", "n"], &high("High 100"), Clock::Recorded));
    let mut rules = Loop::new(store.clone(), contract, at(0)).unwrap();
    let number = store.signal(&asset("n"), &signal("t")).unwrap();
    let good = |number, value| Entry::Sample(sample(number, SECOND, SECOND, Quality::GOOD, value));
    store.append(vec![part(vec![good(number.0, 101.0), good(4_711, 101.0)])]).unwrap();
    settle(&mut rules, 0, 0);
    assert_eq!(told(&store), ["1 activated High 101"]);
    assert_eq!(rules.counts().evaluated, 2);
}

#[test]
fn another_sources_samples_do_not_move_a_clock() {
    let store = store();
    let contract = rules(&high("High 100, OnDelay 10 s"), Clock::Recorded);
    let mut rules = Loop::new(store.clone(), contract, at(0)).unwrap();
    feed(&store, "0 101");
    let foreign = Part { entries: timeline("50 other"), ..Part::new(site(), name("scada")) };
    store.append(vec![foreign]).unwrap();
    settle(&mut rules, 0, 0);
    assert_eq!(told(&store), [""; 0]);
    feed(&store, "60 other");
    settle(&mut rules, 0, 0);
    assert_eq!(told(&store), ["10 activated High 101"]);
}

#[test]
fn a_data_folder_is_taken_up_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), &mut |bytes| bytes.fill(7)).unwrap();
    let contract = rules(&high("High 100, OnDelay 10 s"), Clock::Recorded);
    for (piece, stops) in
        [("0 90\n1 101", true), ("5 102", false), ("12 103", false), ("13 90", true), ("14 90", false)]
    {
        let store = open();
        store.signal(&asset("m"), &signal("t")).unwrap();
        store.signal(&asset("m"), &signal("other")).unwrap();
        let mut rules = Loop::new(store.clone(), Arc::clone(&contract), at(0)).unwrap();
        feed(&store, piece);
        settle(&mut rules, 0, 0);
        if stops {
            rules.stop().unwrap();
        }
    }
    let store = open();
    let rules = Loop::new(store.clone(), contract, at(0)).unwrap();
    assert_eq!(told(&store), ["11 activated High 102", "13 returned High 90"]);
    let counts = rules.counts();
    assert_eq!(counts.evaluated + counts.late + rules.waiting().unwrap(), 6);
}
