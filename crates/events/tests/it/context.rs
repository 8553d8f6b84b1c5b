//! What events say of orders, batches, shifts and maintenance: as of their time, as it was known.

use crate::common::{SECOND, asset, contract, limit, line, part, site, timeline};
use andon_contract::{
    Contract,
    contract::{Clock, Condition, Guard, RuleKind, Test, What, WhenStale, Word},
};
use andon_events::{Loop, Progress};
use andon_model::{Entry, Event, EventId, Mark, Quality, Time, span::Span};
use andon_store::{Limits, ObjectRow, RevisionRow, SimDisk, Store, Write};
use serde_json::{Value as Json, json};
use std::sync::Arc;

pub(crate) fn store() -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    for signal in ["t", "other"] {
        store.signal(&asset("m"), &crate::common::signal(signal)).unwrap();
    }
    store
}

fn at(seconds: i64) -> Time {
    Time(seconds * SECOND)
}

/// A limit of 100 for machine `m` of line `one`, with a guard.
pub(crate) fn plant(limits: &str, guard: &Guard) -> Arc<Contract> {
    Arc::new(plant_of(limits, guard))
}

fn plant_of(limits: &str, guard: &Guard) -> Contract {
    let mut made = contract(&["m"], &[("hot", RuleKind::Limit(limit(limits)))], Clock::Recorded);
    for machine in made.assets.values_mut() {
        machine.line = Some("one".into());
    }
    for settings in made.rules.values_mut().flat_map(|rule| rule.assets.values_mut()) {
        let changed = Arc::make_mut(settings);
        changed.guard = guard.clone();
        changed.version = format!("{}{guard:?}", changed.version);
    }
    made.revision = format!("{limits}{guard:?}");
    made
}

/// `order 7 100 200 Running`: the order 7 of machine `m`, valid in `[100, 200)` seconds; `-` leaves an end open, and
/// `@line` behind it makes it valid for the line.
pub(crate) fn object(text: &str) -> ObjectRow {
    let words: Vec<&str> = text.split_whitespace().collect();
    let kind = match words[0] {
        "order" => "ProductionOrder",
        "batch" => "MaterialLot",
        "shift" => "Shift",
        _ => "MaintenanceState",
    };
    let time = |text: &str| text.parse().ok().map(at);
    let of_line = words.get(5).is_some();
    ObjectRow {
        site: site(),
        kind: kind.into(),
        number: words[1].into(),
        revision: 0,
        known: Time::default(),
        from: time(words[2]),
        to: time(words[3]),
        assets: if of_line { Vec::new() } else { vec![asset("m")] },
        line: of_line.then(|| "one".to_owned()),
        origin: "erp/objects".into(),
        data: json!({ "state": words.get(4) }),
    }
}

/// Tells objects at a time, in seconds UTC; silent for more than 60 s is stale.
fn tell(store: &Store, utc: i64, objects: &[&str]) -> u64 {
    let row = RevisionRow::new(at(utc), "erp/objects", Some(Span::from_secs(60)));
    store.tell_context(&site(), row, objects.iter().map(|text| object(text)).collect(), Vec::new()).unwrap()
}

fn feed(store: &Store, text: &str) {
    store.append(vec![part(timeline(text))]).unwrap();
}

fn open(store: &Store, contract: &Arc<Contract>) -> Loop {
    Loop::new(store.clone(), Arc::clone(contract), at(0)).unwrap()
}

fn settle(rules: &mut Loop, utc: i64) {
    while rules.step(at(utc), Span::ZERO).unwrap() == Progress::Worked {}
}

fn told(store: &Store) -> Vec<Event> {
    store.events_after(0, 100_000).unwrap().into_iter().map(|stored| stored.event).collect()
}

/// `1060 activated: order 7, revision 3`.
fn shown(event: &Event) -> String {
    let context = &event.data["context"];
    let name = |name: &str| context[name].as_str().map(|text| format!("{name} {}", text.rsplit('/').next().unwrap()));
    let names = ["order", "batch", "shift", "maintenance"].into_iter().filter_map(name);
    let revision = context["revision"].as_u64().map(|revision| format!("revision {revision}"));
    let stale = context["stale"].as_bool().map(|_| format!("stale {}", context["age"].as_str().unwrap()));
    let all: Vec<String> = names.chain(revision).chain(stale).collect();
    let text = line(event);
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    format!("{}: {}", words.join(" "), all.join(", "))
}

fn alarms(store: &Store) -> Vec<String> {
    told(store).iter().filter(|event| event.kind == "asset.alarm").map(shown).collect()
}

fn corrections(store: &Store) -> Vec<Json> {
    let corrected = |event: &Event| event.kind == "context.corrected";
    told(store).into_iter().filter(corrected).map(|event| event.data).collect()
}

fn when(name: &str, state: &str) -> Guard {
    let what = What::Context { name: name.into(), field: vec!["state".into()] };
    let condition = Condition { what, test: Test::Is(Word::Text(state.into())) };
    Guard { when: vec![condition], ..Guard::default() }
}

fn stale(when_stale: WhenStale) -> Guard {
    Guard { when_stale, ..Guard::default() }
}

#[test]
fn an_event_says_what_was_valid_at_its_time() {
    let store = store();
    let mut rules = open(&store, &plant("High 100", &Guard::default()));
    feed(&store, "5 101\n6 99");
    let objects = [
        "order 1 10 100 Running",
        "order 2 50 80 Running",
        "order 3 100 - Running",
        "batch A 20 90 x",
        "shift early - 60 x @line",
        "shift late 60 - x @line",
        "maintenance W 200 210 x",
        // Valid never, and valid nowhere we know.
        "order 4 90 90 Running",
    ];
    tell(&store, 6, &objects);
    feed(&store, "10 101 @7\n20 99 @7\n50 101 @8\n80 99 @8\n100 101 @9\n205 99 @9");
    settle(&mut rules, 10);
    let expected = [
        "5 activated: ",
        "6 returned: ",
        "10 activated: order 1, shift early, revision 1",
        "20 returned: order 1, batch A, shift early, revision 1",
        "50 activated: order 2, batch A, shift early, revision 1",
        "80 returned: order 1, batch A, shift late, revision 1",
        "100 activated: order 3, shift late, revision 1",
        "205 returned: order 3, shift late, maintenance W, revision 1",
    ];
    assert_eq!(alarms(&store), expected);
}

#[test]
fn what_is_known_holds_from_its_mark_on_and_not_before() {
    let store = store();
    let mut rules = open(&store, &plant("High 100", &Guard::default()));
    tell(&store, 10, &["order 1 0 - Running"]);
    feed(&store, "11 101 @11");
    tell(&store, 12, &["order 1 0 12 Completed", "order 2 12 - Running"]);
    feed(&store, "12 99 @13");
    // The rows are there although the loop has not read the mark yet.
    settle(&mut rules, 13);
    assert_eq!(alarms(&store), ["11 activated: order 1, revision 1", "12 returned: order 2, revision 2"]);
    assert_eq!(corrections(&store), [Json::Null; 0], "no event lies behind the end of the first order");
}

#[test]
fn an_order_that_changes_while_a_delay_runs_decides_by_the_time_of_the_event() {
    for (before, after, expected) in [
        ("Running", "Waiting", vec![]),
        ("Running", "Running", vec!["1060 activated: order 2, revision 1"]),
        ("Waiting", "Running", vec!["1085 activated: order 2, revision 1"]),
    ] {
        let store = store();
        let mut rules = open(&store, &plant("High 100, OnDelay 60 s", &when("order", "Running")));
        let objects = [format!("order 1 0 1030 {before}"), format!("order 2 1030 - {after}")];
        tell(&store, 1_000, &objects.each_ref().map(String::as_str));
        feed(&store, "1000 101 @1001\n1025 102 @1001\n1090 other @1002");
        if before == "Waiting" {
            // What does not hold when a value comes begins with the first one that it does.
            feed(&store, "1091 101 @1002\n1200 other @1003");
            settle(&mut rules, 1_003);
            assert_eq!(alarms(&store), ["1151 activated: order 2, revision 1"]);
            continue;
        }
        settle(&mut rules, 1_003);
        assert_eq!(alarms(&store), expected, "{before} {after}");
    }
}

#[test]
fn a_condition_is_asked_again_where_a_revision_becomes_known() {
    let store = store();
    let contract = plant("High 100, OnDelay 60 s", &when("order", "Running"));
    let mut rules = open(&store, &contract);
    tell(&store, 1_000, &["order 1 0 - Running"]);
    feed(&store, "1000 101 @1000");
    // Known late, and not true of the newest time: the delay ends.
    tell(&store, 1_010, &["order 1 0 990 Completed"]);
    feed(&store, "1070 other @1015");
    tell(&store, 1_020, &["order 1 0 - Running"]);
    feed(&store, "1129 other @1021\n1140 other @1021");
    settle(&mut rules, 1_021);
    // The value stands since before; what lasts begins when all of it is true.
    assert_eq!(alarms(&store), ["1130 activated: order 1, revision 3"]);
}

#[test]
fn a_late_order_is_a_correction_that_names_the_events_it_touches() {
    let store = store();
    let contract = plant("High 100", &Guard::default());
    let mut rules = open(&store, &contract);
    tell(&store, 5, &["order 1 0 20 Running"]);
    feed(&store, "10 101 @11\n30 99 @31\n40 101 @41");
    let revision = tell(&store, 50, &["order 2 25 35 Running"]);
    settle(&mut rules, 51);
    let events = told(&store);
    assert_eq!(alarms(&store).len(), 3);
    let expected = json!({
        "object": "ProductionOrder/hamburg/2", "context": "order", "revision": revision, "asset": "m",
        "from": at(30), "to": at(30), "count": 1,
        "events": [{ "event": events[1].id, "is": "ProductionOrder/hamburg/2" }],
    });
    assert_eq!(corrections(&store), [expected]);
    let corrected = &events[3];
    assert_eq!((corrected.time, corrected.subject.as_str()), (at(50), "m"));
    let revision = revision.to_le_bytes();
    let id = EventId::derived(&[b"context.corrected", b"ProductionOrder/hamburg/2", &revision, b"m"]);
    assert_eq!(corrected.id, id);
    assert_eq!(shown(&events[1]), "30 returned: revision 1", "an event is never changed");
    // The first start that reads the same again says the same.
    drop(rules);
    store.write_states(&[]).unwrap();
    settle(&mut open(&store, &contract), 51);
    assert_eq!(told(&store), events);
}

#[test]
fn an_order_that_is_exchanged_is_one_correction_for_each_object() {
    let store = store();
    let mut rules = open(&store, &plant("High 100", &Guard::default()));
    tell(&store, 5, &["order 1 0 - Running", "batch A 0 - x"]);
    feed(&store, "10 101 @11\n20 99 @21\n30 101 @31\n40 99 @41");
    // The first ended at 15 and the second ran from 25 on: 20 belongs to none.
    tell(&store, 45, &["order 1 0 15 Completed", "order 2 25 - Running", "batch A 0 - y"]);
    settle(&mut rules, 46);
    let events = told(&store);
    let touched = |n: usize, is: Option<&str>| {
        let mut one = json!({ "event": events[n].id, "was": "ProductionOrder/hamburg/1" });
        if let Some(is) = is {
            one["is"] = json!(is);
        }
        one
    };
    let two = Some("ProductionOrder/hamburg/2");
    let by_object = |of: &Json| (of["object"].as_str().unwrap().to_owned(), of["events"].clone());
    let found: Vec<_> = corrections(&store).iter().map(by_object).collect();
    let expected = [
        ("ProductionOrder/hamburg/1".to_owned(), json!([touched(1, None)])),
        ("ProductionOrder/hamburg/2".to_owned(), json!([touched(2, two), touched(3, two)])),
    ];
    assert_eq!(found, expected, "what another state of the same object says corrects nothing");
    tell(&store, 60, &["order 2 25 - Completed"]);
    settle(&mut rules, 61);
    assert_eq!(told(&store).len(), events.len());
}

#[test]
fn a_correction_names_a_hundred_events_and_counts_the_others() {
    let store = store();
    let mut rules = open(&store, &plant("High 100", &Guard::default()));
    let text: Vec<String> = (0..250).map(|n| format!("{n} {} @{n}", if n % 2 == 0 { 101 } else { 99 })).collect();
    feed(&store, &text.join("\n"));
    tell(&store, 300, &["order 1 - - Running"]);
    settle(&mut rules, 301);
    let [one] = &corrections(&store)[..] else { panic!("one is expected") };
    assert_eq!((one["count"].as_u64(), one["events"].as_array().unwrap().len()), (Some(250), 100));
    assert_eq!((&one["from"], &one["to"], &one["more"]), (&json!(at(0)), &json!(at(249)), &Json::Null));
}

#[test]
fn silence_is_measured_when_a_sample_comes() {
    let store = store();
    let mut rules = open(&store, &plant("High 100", &stale(WhenStale::Use)));
    tell(&store, 1_000, &["order 1 0 - Running"]);
    feed(&store, "1000 101 @1060\n1001 99 @1061");
    tell(&store, 1_062, &[]);
    feed(&store, "1002 101 @1122");
    settle(&mut rules, 9_000);
    let expected = [
        "1000 activated: order 1, revision 1",
        "1001 returned: order 1, revision 1, stale 61 s",
        "1002 activated: order 1, revision 2",
    ];
    assert_eq!(alarms(&store), expected);
    // Where nothing is valid, the one who told the last may have more to tell.
    tell(&store, 1_130, &["order 1 0 1010 Completed"]);
    feed(&store, "1020 99 @1200");
    settle(&mut rules, 9_000);
    assert_eq!(
        alarms(&store).last().unwrap(),
        "1020 returned: revision 3, stale 1 min 10 s".replace("1 min 10 s", "70 s").as_str()
    );
}

#[test]
fn what_people_tell_is_stale_only_where_a_rule_says_so() {
    for (max_age, expected) in
        [(None, "10 activated: order 1, revision 1"), (Some(30), "10 activated: order 1, revision 1, stale 990 s")]
    {
        let store = store();
        let guard = Guard { max_age: max_age.map(Span::from_secs), ..Guard::default() };
        let mut rules = open(&store, &plant("High 100", &guard));
        let row = ObjectRow { origin: "api".into(), ..object("order 1 0 - Running") };
        store.tell_context(&site(), RevisionRow::new(at(10), "api", None), vec![row], Vec::new()).unwrap();
        feed(&store, "10 101 @1000");
        settle(&mut rules, 1_000);
        assert_eq!(alarms(&store), [expected]);
    }
}

#[test]
fn ignored_context_counts_as_unknown() {
    for (when_stale, expected) in [
        (
            WhenStale::Use,
            vec![
                "10 activated: order 1, revision 1",
                "11 returned: order 1, revision 1",
                "12 activated: order 1, revision 1, stale 85 s",
            ],
        ),
        (WhenStale::Ignore, vec!["10 activated: order 1, revision 1", "11 returned: order 1, revision 1"]),
    ] {
        let store = store();
        let guard = Guard { when_stale, ..when("order", "Running") };
        let mut rules = open(&store, &plant("High 100", &guard));
        tell(&store, 15, &["order 1 0 - Running"]);
        feed(&store, "10 101 @20\n11 99 @20\n12 101 @100");
        settle(&mut rules, 100);
        assert_eq!(alarms(&store), expected);
    }
    let store = store();
    let mut rules = open(&store, &plant("High 100", &stale(WhenStale::Ignore)));
    tell(&store, 15, &["order 1 0 - Running"]);
    feed(&store, "10 101 @100");
    settle(&mut rules, 100);
    assert_eq!(alarms(&store), ["10 activated: revision 1, stale 85 s"]);
}

fn wait() -> Guard {
    stale(WhenStale::Wait(Span::from_secs(30)))
}

#[test]
fn an_event_waits_for_newer_context_and_stays_what_it_was() {
    let ids = |store: &Store| told(store).iter().map(|event| (event.id, event.time)).collect::<Vec<_>>();
    let mut all = Vec::new();
    for by in ["context", "tick", "restart"] {
        let store = store();
        let contract = plant("High 100", &wait());
        let mut rules = open(&store, &contract);
        tell(&store, 1_000, &["order 1 0 - Running"]);
        feed(&store, "1001 101 @1100\n1002 99 @1105");
        settle(&mut rules, 1_105);
        assert_eq!(alarms(&store), [""; 0], "both wait");
        let expected = match by {
            "context" => {
                tell(&store, 1_110, &["order 1 0 1002 Completed", "order 2 1002 - Running"]);
                settle(&mut rules, 1_110);
                ["1001 activated: order 1, revision 2", "1002 returned: order 2, revision 2"]
            }
            "tick" => {
                settle(&mut rules, 1_130);
                assert_eq!(alarms(&store).len(), 0, "the time is not yet over");
                settle(&mut rules, 1_131);
                assert_eq!(alarms(&store).len(), 1);
                settle(&mut rules, 1_136);
                ["1001 activated: order 1, revision 1, stale 131 s", "1002 returned: order 1, revision 1, stale 136 s"]
            }
            _ => {
                rules.stop().unwrap();
                rules = open(&store, &contract);
                settle(&mut rules, 1_105);
                assert_eq!(alarms(&store), [""; 0], "they wait in the state");
                tell(&store, 1_106, &[]);
                settle(&mut rules, 1_106);
                ["1001 activated: order 1, revision 2", "1002 returned: order 1, revision 2"]
            }
        };
        assert_eq!(alarms(&store), expected, "{by}");
        assert_eq!(corrections(&store), [Json::Null; 0], "{by}");
        all.push(ids(&store));
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
}

#[test]
fn what_waits_for_a_rule_that_is_gone_goes_out() {
    let store = store();
    let mut rules = open(&store, &plant("High 100", &wait()));
    tell(&store, 1_000, &["order 1 0 - Running"]);
    feed(&store, "1001 101 @1100");
    settle(&mut rules, 1_100);
    rules.stop().unwrap();
    let mut without = plant_of("High 100", &wait());
    without.rules.clear();
    without.revision = "none".into();
    drop(open(&store, &Arc::new(without)));
    let expected = ["1001 activated: order 1, revision 1", "1001 returned: order 1, revision 1"];
    assert_eq!(alarms(&store), expected);
}

#[test]
fn a_start_repeats_the_mark_that_the_log_lacks() {
    let store = store();
    let contract = plant("High 100", &Guard::default());
    let mut rules = open(&store, &contract);
    let told = vec![
        Write::ContextRevision(RevisionRow::new(at(10), "api", None)),
        Write::Object(Box::new(object("order 1 0 - Running"))),
    ];
    store.commit(told).unwrap();
    feed(&store, "10 101");
    settle(&mut rules, 10);
    assert_eq!(alarms(&store), ["10 activated: "], "the log does not say so yet");
    let other = self::store();
    let of_other = |rules: &mut Loop, monotonic| rules.step(at(10), Span::from_secs(monotonic)).unwrap();
    let mut running = open(&other, &contract);
    while of_other(&mut running, 0) == Progress::Worked {}
    other.commit(vec![Write::ContextRevision(RevisionRow::new(at(10), "api", None))]).unwrap();
    assert_eq!(of_other(&mut running, 1), Progress::Idle { until: Some(Span::from_secs(1)) });
    of_other(&mut running, 2);
    assert_eq!(other.context_in_log(other.log_start()).unwrap(), 1, "nor does it have to wait for a start");
    drop(rules);
    rules = open(&store, &contract);
    feed(&store, "11 99");
    settle(&mut rules, 11);
    assert_eq!(alarms(&store)[1], "11 returned: order 1, revision 1");
    rules.stop().unwrap();
    let marks = || {
        let (mut place, mut count) = (store.log_start(), 0);
        while let Some(batch) = store.read(place).unwrap() {
            let of = |entry: &&Entry| matches!(entry, Entry::Mark(Mark::Context(_)));
            count += batch.part.entries.iter().filter(of).count();
            place = batch.end();
        }
        count
    };
    assert_eq!(marks(), 1);
    drop(open(&store, &contract));
    assert_eq!(marks(), 1, "what the log knows is not repeated");
    // Twice is harmless.
    store.mark_context(&site(), 1).unwrap();
    rules = open(&store, &contract);
    feed(&store, "12 101");
    settle(&mut rules, 12);
    assert_eq!(alarms(&store)[2], "12 activated: order 1, revision 1");
}

/// Found by `cargo xtask torture --seed 2`: the mark found no room, and the instance ended instead of starting.
#[test]
fn a_start_on_a_full_disk_lets_the_mark_wait_for_room() {
    let disk = SimDisk::new();
    let limits = Limits { segment_bytes: 4 << 10, ..Limits::default() };
    let store = Store::simulated(&disk, &limits, &mut |bytes| bytes.fill(7)).unwrap();
    store.signal(&asset("m"), &crate::common::signal("t")).unwrap();
    let contract = plant("High 100", &Guard::default());
    drop(open(&store, &contract));
    store.commit(vec![Write::ContextRevision(RevisionRow::new(at(10), "api", None))]).unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    let sample = || Entry::Sample(crate::common::sample(1, 0, 0, Quality::GOOD, 1.0));
    while store.append(vec![part(vec![sample()])]).is_ok() {}
    let mut rules = open(&store, &contract);
    let _ = rules.step(at(10), Span::ZERO);
    assert_eq!(store.context_in_log(store.log_start()).unwrap(), 0, "there is no room for it");
    disk.set_capacity(None);
    for second in 1..4 {
        while rules.step(at(10), Span::from_secs(second)).unwrap() == Progress::Worked {}
    }
    assert_eq!(store.context_in_log(store.log_start()).unwrap(), 1);
}

#[test]
fn after_a_start_the_context_is_that_of_the_place() {
    let store = store();
    let contract = plant("High 100", &Guard::default());
    let mut rules = open(&store, &contract);
    tell(&store, 1, &["order 1 0 - Running", "shift early 0 - x @line"]);
    settle(&mut rules, 1);
    rules.stop().unwrap();
    // What became known behind the place is not known there.
    tell(&store, 2, &["order 1 0 5 Completed"]);
    feed(&store, "10 101 @2");
    tell(&store, 3, &["order 2 5 - Running"]);
    feed(&store, "11 99 @3");
    let mut rules = open(&store, &contract);
    settle(&mut rules, 3);
    let expected = ["10 activated: shift early, revision 2", "11 returned: order 2, shift early, revision 3"];
    assert_eq!(alarms(&store), expected);
}

#[test]
fn revisions_without_change_are_forgotten_in_time() {
    let store = store();
    let contract = plant("High 100", &Guard::default());
    let mut rules = open(&store, &contract);
    let week = 7 * 86_400;
    for n in 0..5 {
        tell(&store, n * 30, &["order 1 0 - Running"]);
    }
    feed(&store, "10 99");
    settle(&mut rules, 150);
    rules.stop().unwrap();
    assert_eq!(store.context_revisions(0, 99, 99).unwrap().len(), 5);
    settle(&mut rules, week + 70);
    let left: Vec<u64> = store.context_revisions(0, 99, 99).unwrap().iter().map(|row| row.revision).collect();
    assert_eq!(left, [1, 4, 5], "what changed something, the last, and what is not old enough");
}
