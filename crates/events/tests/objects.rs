//! Objects as they become known: by polls of a system that answers as a table says, by the API's way, and by events.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

use andon_contract::{Contract, from_files};
use andon_events::objects::{
    Again, Given, Objects, Teller, of_body,
    poll::Poll,
    posted::{NotTaken, Posted},
};
use andon_model::{
    Event, EventId, Mark, Outcome, OutcomeClass, Position, SiteName, Time,
    object::{Ask, Item, More, Page, Since, Told, Unfit},
    sample::Entry,
    span::Span,
};
use andon_store::{Fault, ObjectName, Query, Store, rows::Write};
use serde_json::{Value as Json, json};
use std::sync::Arc;

const SYSTEM: &str = r"
protocol: rest
base: http://127.0.0.1:1/erp
zone: z
retry: { first: 1 s, factor: 2, max: 60 s }
reads:
  orders:
    object: ProductionOrder/1
    every: 30 s
    sites: [home]
    request: { path: /orders }
    cursor: ${ .last.at }
    paging: { size: 2, pages: 3 }
    number: ${ .number }
    mapping: ${ . }
";

fn contract(system: &str) -> Arc<Contract> {
    let files = [
        ("andon.yaml", "format: 1\nname: p\ninstances: { plant: { role: both, zone: z } }\n"),
        (
            "assets/home.yaml",
            "site: home\nzone: z\ntimezone: UTC\nassets: { press-01: { class: press }, press-02: { class: press } }\n",
        ),
        ("assets/away.yaml", "site: away\nzone: z\ntimezone: UTC\nassets: { saw-01: { class: press } }\n"),
        ("classes/press.yaml", "signals: { heat: { kind: f64, unit: Cel } }\n"),
        ("policies/ownership.yaml", "teams: { people: { mail: a@b.example } }\nrules: [{ owner: people }]\n"),
        ("systems/erp.yaml", system),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let loaded = from_files(files).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Arc::new(loaded.contract)
}

fn store() -> Store {
    Store::memory(&mut |bytes| bytes.fill(1))
}

fn at(seconds: i64) -> Time {
    Time::parse("2026-11-22T08:00:00Z").unwrap().plus(Span::from_secs(seconds))
}

fn order(number: &str, state: &str, assets: &[&str]) -> Told {
    Told {
        object: "ProductionOrder/1".into(),
        site: "home".into(),
        number: number.into(),
        from: Since::Time(at(0)),
        to: None,
        assets: assets.iter().map(|asset| (*asset).to_owned()).collect(),
        line: None,
        data: json!({"number": number, "site": "home", "state": state, "material": "foil",
                     "quantity": {"value": "5", "unit": "kg"}}),
        gone: false,
    }
}

fn item(told: Told) -> Item {
    Item { bytes: told.data.to_string().into_bytes(), told: Ok(told) }
}

fn unknown(name: &str) -> Item {
    let unfit = Unfit {
        code: "unknown-name",
        place: "assets (erp, asset)".into(),
        cause: "the identifiers do not have everything".into(),
        found: name.into(),
        remedy: "add it".into(),
    };
    Item { bytes: name.as_bytes().to_vec(), told: Err(unfit) }
}

fn page(items: Vec<Item>, cursor: &str, more: More) -> Page {
    let cursor = (!cursor.is_empty()).then(|| json!(cursor));
    Page { items, cursor, more }
}

fn changes(store: &Store) -> Vec<(String, String, Json)> {
    let all = store.events_after(0, 1_000).unwrap();
    let of = |event: &Event| {
        let changes = event.data.get("changes").cloned().unwrap_or_default();
        (event.subject.clone(), event.data["change"].as_str().unwrap_or("").to_owned(), changes)
    };
    all.iter().map(|stored| of(&stored.event)).collect()
}

fn marks(store: &Store) -> Vec<u64> {
    let mut at = Position { epoch: store.epoch(), offset: 0 };
    let mut found = Vec::new();
    while let Some(batch) = store.read(at).unwrap() {
        found.extend(batch.part.entries.iter().filter_map(|entry| match entry {
            Entry::Mark(Mark::Context(revision)) => Some(*revision),
            _ => None,
        }));
        at = batch.end();
    }
    found
}

fn rows(store: &Store, kind: &str) -> Vec<Json> {
    let query = Query { where_: Vec::new(), after: None, limit: 100, ascending: true };
    store.list(kind, &query).unwrap().rows
}

fn poll(objects: &Objects) -> Poll {
    Poll::all(objects).unwrap().into_iter().find(|poll| poll.site.is_some()).unwrap()
}

/// One whole poll of pages.
fn answer(poll: &mut Poll, objects: &Objects, seconds: i64, pages: Vec<Page>) -> Vec<Ask> {
    let mut asked = Vec::new();
    let now = Span::from_secs(seconds);
    for page in pages {
        assert_eq!(poll.due(now), Span::ZERO, "{seconds} s");
        let ask = poll.ask(at(seconds));
        poll.page(objects, &ask, page, at(seconds), now).unwrap();
        asked.push(ask);
    }
    asked
}

fn name(number: &str) -> ObjectName {
    ObjectName::parse(&format!("ProductionOrder/home/{number}")).unwrap()
}

#[test]
fn what_a_poll_tells_is_a_version_an_event_and_a_mark_and_a_repeat_is_nothing() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let store = objects.store();
    let mut poll = poll(&objects);
    let orders = || vec![item(order("1", "Released", &["press-01"])), item(order("2", "Running", &["press-02"]))];
    let asked = answer(&mut poll, &objects, 0, vec![page(orders(), "t2", More::Last)]);
    assert_eq!((&asked[0].cursor, asked[0].since, asked[0].page), (&Json::Null, None, 1));
    assert_eq!(poll.due(Span::ZERO), Span::from_secs(30));
    assert_eq!(
        changes(store),
        [
            ("ProductionOrder/home/1".to_owned(), "created".to_owned(), json!([])),
            ("ProductionOrder/home/2".to_owned(), "created".to_owned(), json!([])),
        ]
    );
    let row = store.object(&name("2")).unwrap().unwrap();
    assert_eq!(
        (row.assets.len(), row.from, row.to, row.origin.as_str()),
        (1, Some(at(0)), None, "reads/erp/orders/home")
    );

    // The same again, and one that differs.
    let asked = answer(&mut poll, &objects, 30, vec![page(orders(), "t2", More::Last)]);
    assert_eq!((&asked[0].cursor, asked[0].since), (&json!("t2"), Some(at(0))));
    answer(&mut poll, &objects, 60, vec![page(vec![item(order("1", "Running", &["press-01"]))], "t3", More::Last)]);
    let all = changes(store);
    assert_eq!(all.len(), 3);
    assert_eq!(
        (all[2].1.as_str(), &all[2].2),
        ("changed", &json!([{"field": "state", "from": "Released", "to": "Running"}]))
    );
    // Every poll is a revision, because it says how old the knowledge is.
    assert_eq!(marks(store), [1, 2, 3]);
    let revisions = rows(store, "context-revisions");
    let changed: Vec<_> = revisions.iter().map(|row| row["changed"].as_bool().unwrap()).collect();
    assert_eq!(changed, [true, false, true]);
    assert_eq!(store.object_versions(&name("1"), 0, 10).unwrap().len(), 2);

    // Back to what it was: another event than the first one.
    answer(&mut poll, &objects, 90, vec![page(orders(), "t4", More::Last)]);
    let ids: std::collections::BTreeSet<_> =
        store.events_after(0, 100).unwrap().iter().map(|stored| stored.event.id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn what_tells_of_no_object_is_set_aside_once_and_the_others_go_on() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let store = objects.store();
    let mut poll = poll(&objects);
    let mut wrong = order("3", "Sleeping", &[]);
    wrong.data["state"] = json!("Sleeping");
    let elsewhere = Told { site: "away".into(), ..order("4", "Running", &[]) };
    let items = || {
        vec![
            unknown("EQ-9"),
            unknown("EQ-8"),
            item(wrong.clone()),
            item(elsewhere.clone()),
            item(order("5", "Running", &["saw-01"])),
            item(order("1", "Running", &["press-01"])),
        ]
    };
    answer(&mut poll, &objects, 0, vec![page(items(), "t1", More::Last)]);
    answer(&mut poll, &objects, 30, vec![page(items(), "t1", More::Last)]);
    assert_eq!(changes(store).len(), 1);
    let exceptions = rows(store, "exceptions");
    let mut causes: Vec<_> = exceptions.iter().map(|row| row["fingerprint"].as_str().unwrap()).collect();
    causes.sort_unstable();
    assert_eq!(
        causes,
        [
            "reads/erp/orders/home:object-data:/object/state",
            "reads/erp/orders/home:object-name:/object/site",
            "reads/erp/orders/home:unknown-asset:/assets",
            "reads/erp/orders/home:unknown-name:assets (erp, asset)",
        ]
    );
    // Two items under one cause, each with its bytes, and nothing twice.
    assert_eq!(exceptions[0]["count"], 2);
    let messages = store.quarantined(None, 0, 100).unwrap();
    assert_eq!(messages.len(), causes.len() + 1);
    assert_eq!(messages[0].1.bytes, b"EQ-9");
    assert_eq!((poll.kept().aside, poll.kept().changed), (messages.len() as u64, 0));
}

#[test]
fn a_crash_at_any_place_loses_nothing_and_makes_nothing_twice() {
    let contract = contract(SYSTEM);
    let pages = || {
        vec![
            page(vec![item(order("1", "Running", &["press-01"])), unknown("EQ-9")], "t1", More::Number),
            page(vec![item(order("2", "Running", &["press-02"]))], "t2", More::Last),
        ]
    };
    for (skipped, fault) in (0..4).flat_map(|skipped| [(skipped, Fault::Before), (skipped, Fault::After)]) {
        let objects = Objects::new(store(), contract.clone());
        let store = objects.store();
        let mut crashed = poll(&objects);
        store.plan_fault(skipped, fault);
        let mut pages_left = pages();
        let mut failed = false;
        while let Some(page) = (!pages_left.is_empty()).then(|| pages_left.remove(0)) {
            let ask = crashed.ask(at(0));
            if crashed.page(&objects, &ask, page, at(0), Span::ZERO).is_err() {
                failed = true;
                break;
            }
        }
        assert!(failed, "{skipped}");
        // The next start: from what is durable, the system tells everything again behind the cursor or from its begin.
        let mut next = poll(&objects);
        let cursor = next.kept().cursor.clone();
        let again = if cursor == json!("t1") { pages().split_off(1) } else { pages() };
        answer(&mut next, &objects, 1, again);
        assert_eq!(changes(store).len(), 2, "{skipped}: {:?}", changes(store));
        assert_eq!(store.quarantined(None, 0, 100).unwrap().len(), 1, "{skipped}");
        assert_eq!(next.kept().cursor, json!("t2"));
        // The last mark covers all revisions.
        assert_eq!(marks(store).last(), Some(&store.context_revision().unwrap()), "{skipped}");
    }
}

#[test]
fn pages_are_bounded_and_the_rest_is_asked_for_at_once_behind_the_cursor() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let mut poll = poll(&objects);
    let full = |number: &str, cursor: &str| page(vec![item(order(number, "Running", &[]))], cursor, More::Number);
    let asked = answer(&mut poll, &objects, 0, vec![full("1", "a"), full("2", "b"), full("3", "c")]);
    assert_eq!(asked.iter().map(|ask| (ask.page, ask.skip)).collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 2)]);
    // Within a poll the cursor stays what it was: the pages are those of one question.
    assert!(asked.iter().all(|ask| ask.cursor == Json::Null));
    assert_eq!((poll.due(Span::ZERO), poll.kept().since), (Span::ZERO, None));
    let asked = answer(&mut poll, &objects, 0, vec![page(Vec::new(), "", More::Last)]);
    assert_eq!((&asked[0].cursor, asked[0].page), (&json!("c"), 1));
    assert_eq!(poll.due(Span::ZERO), Span::from_secs(30));
}

#[test]
fn failures_wait_longer_each_time_and_at_least_as_long_as_the_system_asks() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let mut poll = poll(&objects);
    let outcome = |after: Option<i64>| Outcome {
        retry_after: after.map(Span::from_secs),
        ..Outcome::not_sent(OutcomeClass::Transient, "no connection")
    };
    let mut due = Vec::new();
    for after in [None, None, None, Some(100), None, None, None, None] {
        poll.ask(at(0));
        poll.failed(outcome(after), Span::ZERO, 1.0);
        due.push(poll.due(Span::ZERO).millis() / 1_000);
    }
    assert_eq!(due, [1, 2, 4, 100, 16, 32, 60, 60]);
    answer(&mut poll, &objects, 60, vec![page(Vec::new(), "", More::Last)]);
    poll.failed(outcome(None), Span::ZERO, 0.0);
    assert_eq!(poll.due(Span::ZERO), Span::from_millis(750));
}

#[test]
fn an_edit_of_the_read_begins_anew_and_is_done_with_what_was_set_aside() {
    let store = store();
    let objects = Objects::new(store.clone(), contract(SYSTEM));
    answer(&mut poll(&objects), &objects, 0, vec![page(vec![unknown("EQ-9")], "t1", More::Last)]);
    assert_eq!(poll(&objects).kept().cursor, json!("t1"));
    let edited = Objects::new(store.clone(), contract(&SYSTEM.replace("path: /orders", "path: /v2/orders")));
    let mut anew = poll(&edited);
    assert_eq!((anew.kept().cursor.clone(), anew.kept().known.len()), (Json::Null, 0));
    assert_eq!(rows(&store, "exceptions")[0]["state"], "resolved");
    // It is not mended yet.
    answer(&mut anew, &edited, 0, vec![page(vec![unknown("EQ-9")], "t1", More::Last)]);
    assert_eq!(rows(&store, "exceptions")[0]["state"], "open");
    // A comment changes nothing.
    let same = Objects::new(
        store,
        contract(&SYSTEM.replace("path: /orders", "path: /v2/orders").replace("zone: z", "zone: z # hall")),
    );
    assert_eq!(poll(&same).kept().cursor, json!("t1"));
}

#[test]
fn what_is_gone_or_absent_is_closed() {
    let closing = SYSTEM.replace("    cursor: ${ .last.at }\n", "    absent: close\n");
    let objects = Objects::new(store(), contract(&closing));
    let store = objects.store();
    let mut poll = poll(&objects);
    let two = vec![item(order("1", "Running", &["press-01"])), item(order("2", "Running", &["press-02"]))];
    answer(&mut poll, &objects, 0, vec![page(two, "", More::Last)]);
    // A page with something that cannot be read may have told of it.
    answer(
        &mut poll,
        &objects,
        30,
        vec![page(vec![item(order("1", "Running", &["press-01"])), unknown("x")], "", More::Last)],
    );
    assert_eq!(store.object(&name("2")).unwrap().unwrap().to, None);
    answer(&mut poll, &objects, 60, vec![page(vec![item(order("1", "Running", &["press-01"]))], "", More::Last)]);
    let closed = store.object(&name("2")).unwrap().unwrap();
    assert_eq!((closed.to, closed.assets.len()), (Some(at(60)), 1));
    answer(&mut poll, &objects, 90, vec![page(vec![item(Told { gone: true, ..order("1", "", &[]) })], "", More::Last)]);
    let all = changes(store);
    assert_eq!(
        all.iter().map(|(_, change, _)| change.as_str()).collect::<Vec<_>>(),
        ["created", "created", "closed", "closed"]
    );
    // Gone once is gone; it may come back.
    answer(&mut poll, &objects, 120, vec![page(Vec::new(), "", More::Last)]);
    assert_eq!(changes(store).len(), 4);
    answer(&mut poll, &objects, 150, vec![page(vec![item(order("2", "Running", &["press-02"]))], "", More::Last)]);
    assert_eq!(store.object(&name("2")).unwrap().unwrap().to, None);
}

#[test]
fn an_order_that_has_not_begun_is_valid_nowhere() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let mut poll = poll(&objects);
    let waiting = Told { from: Since::NotYet, ..order("1", "Released", &["press-01"]) };
    answer(&mut poll, &objects, 0, vec![page(vec![item(waiting)], "", More::Last)]);
    assert!(objects.store().object(&name("1")).unwrap().unwrap().assets.is_empty());
    answer(&mut poll, &objects, 30, vec![page(vec![item(order("1", "Running", &["press-01"]))], "", More::Last)]);
    let fields: Vec<_> = changes(objects.store())[1].2.as_array().unwrap().iter().map(|c| c["field"].clone()).collect();
    assert_eq!(fields, ["assets", "from", "state"]);
}

#[test]
fn an_object_can_be_given_and_wrong_ones_say_where() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let teller = Teller { of: "api".into(), max_age: None, home: SiteName::new("home").unwrap() };
    let body = json!({"object": {"state": "Running", "material": "foil", "quantity": {"value": "5", "unit": "kg"},
                                 "assets": ["press-01"]}, "from": "2026-11-22T08:00:00Z"});
    let told = of_body(&name("7"), "ProductionOrder/1", &body).unwrap();
    let taken = objects.take(&teller, vec![item(told)], false, at(0), |_| Vec::new()).unwrap();
    assert_eq!((taken.revision, taken.changed.len(), taken.unfit.len()), (1, 1, 0));
    let row = objects.store().object(&name("7")).unwrap().unwrap();
    assert_eq!((row.assets.len(), row.data["number"].as_str()), (1, Some("7")));
    for (wrong, place) in [
        (json!([]), ""),
        (json!({"obect": {}}), "/obect"),
        (json!({"object": {}, "from": 7}), "/from"),
        (json!({"object": {}, "to": "soon"}), "/to"),
        (json!({"object": {}, "assets": "press-01"}), "/assets"),
        (json!({"object": {}, "line": 7}), "/line"),
    ] {
        assert_eq!(of_body(&name("7"), "ProductionOrder/1", &wrong).unwrap_err().place, place, "{wrong}");
    }
}

#[test]
fn events_of_others_become_known_once_and_ours_are_known_already() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let store = objects.store();
    let mut given = Given::new(objects.clone()).unwrap();
    answer(
        &mut poll(&objects),
        &objects,
        0,
        vec![page(vec![item(order("1", "Running", &["press-01"]))], "", More::Last)],
    );
    assert!(!given.step(at(1)).unwrap());
    assert_eq!(store.context_revision().unwrap(), 1);
    let event = |n: u8, number: &str, data: Json| Event {
        id: EventId::derived(&[&[n]]),
        kind: "production-order.changed".into(),
        source: "/home/sources/posted".into(),
        time: at(i64::from(n)),
        subject: format!("ProductionOrder/home/{number}"),
        schema: "andon:production-order.changed/1.0".into(),
        site: SiteName::new("home").unwrap(),
        key: number.into(),
        correlation: EventId::derived(&[&[n]]),
        causation: None,
        recorded: at(i64::from(n)),
        data,
    };
    let data = order("2", "Running", &[]).data;
    let told = json!({"object": data, "assets": ["press-02"], "from": at(5)});
    let wrong = json!({"object": data, "assets": ["press-09"]});
    let ended = json!({"object": data, "change": "closed"});
    for (n, number, data) in [(10, "2", &told), (11, "3", &wrong), (12, "2", &ended)] {
        store.commit(vec![Write::Event(Box::new(event(n, number, data.clone())), None)]).unwrap();
    }
    assert!(!given.step(at(20)).unwrap());
    let versions = store.object_versions(&name("2"), 0, 10).unwrap();
    assert_eq!((versions.len(), versions[1].to.is_some()), (2, true));
    assert_eq!(versions[0].origin, "sources/posted");
    assert_eq!(store.object(&name("3")).unwrap(), None);
    assert_eq!(rows(store, "exceptions").len(), 1);
    // Its own read, and a crash in between, tell nothing twice.
    let revision = store.context_revision().unwrap();
    assert!(!given.step(at(21)).unwrap());
    assert!(!Given::new(objects.clone()).unwrap().step(at(22)).unwrap());
    assert_eq!(store.context_revision().unwrap(), revision);
    assert_eq!(store.events_after(0, 100).unwrap().len(), 4);
}

#[test]
fn several_items_about_one_object_are_told_one_after_the_other_and_once() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let store = objects.store();
    let mut poll = poll(&objects);
    let told = |states: &[&str]| states.iter().map(|state| item(order("1", state, &["press-01"]))).collect::<Vec<_>>();
    let states = |store: &Store| -> Vec<String> {
        let all = store.events_after(0, 100).unwrap();
        all.iter().map(|stored| stored.event.data["object"]["state"].as_str().unwrap().to_owned()).collect()
    };
    answer(&mut poll, &objects, 0, vec![page(told(&["Released", "Running", "Held"]), "t1", More::Last)]);
    assert_eq!(states(store), ["Released", "Running", "Held"]);
    // Each is a version with a revision of its own, and one mark tells of all of them.
    let versions = store.object_versions(&name("1"), 0, 10).unwrap();
    assert_eq!(versions.iter().map(|row| row.revision).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(marks(store), [3]);
    // The same page again, and one that goes on from there.
    answer(&mut poll, &objects, 30, vec![page(told(&["Released", "Running", "Held"]), "t1", More::Last)]);
    assert_eq!(states(store).len(), 3);
    answer(&mut poll, &objects, 60, vec![page(told(&["Running", "Held", "Running", "Held"]), "t1", More::Last)]);
    assert_eq!(states(store).len(), 3, "what ends in what is known tells nothing");
    answer(&mut poll, &objects, 90, vec![page(told(&["Held", "Running", "Completed"]), "t2", More::Last)]);
    assert_eq!(states(store)[3..], ["Running", "Completed"]);
    // What begins and is gone on one page was there.
    let gone = Told { gone: true, ..order("2", "Running", &[]) };
    let page = || page(vec![item(order("2", "Running", &["press-02"])), item(gone.clone())], "t3", More::Last);
    answer(&mut poll, &objects, 120, vec![page()]);
    answer(&mut poll, &objects, 150, vec![page()]);
    assert_eq!(store.object_versions(&name("2"), 0, 10).unwrap().len(), 2);
    let ids: std::collections::BTreeSet<_> =
        store.events_after(0, 100).unwrap().iter().map(|stored| stored.event.id).collect();
    assert_eq!(ids.len(), 7);
}

#[test]
fn what_is_given_again_is_heard() {
    let objects = Objects::new(store(), contract(SYSTEM));
    let store = objects.store();
    let teller = Teller { of: "api".to_owned(), max_age: None, home: SiteName::new("home").unwrap() };
    let give = |seconds| {
        let item = item(order("1", "Running", &["press-01"]));
        objects.give(&teller, (&name("1"), item), None, at(seconds)).unwrap().unwrap()
    };
    assert_eq!(give(0).changed.len(), 1);
    assert_eq!(give(60).changed.len(), 0);
    assert_eq!(marks(store), [1, 2]);
    assert_eq!(store.context_tellers(2).unwrap()[0].at, at(60), "it is still so");
    assert_eq!((changes(store).len(), store.object(&name("1")).unwrap().unwrap().revision), (1, 1));
    // What does not fit says nothing of anything.
    objects.take(&teller, vec![unknown("EQ-9")], false, at(120), |_| Vec::new()).unwrap();
    assert_eq!(marks(store), [1, 2]);
}

fn expired() -> Outcome {
    Outcome { status: Some(410), sent: true, ..Outcome::not_sent(OutcomeClass::NotFound, "410 Gone: resync") }
}

#[test]
fn a_delta_tells_changes_and_one_that_expired_is_all_of_it_again() {
    let delta = "delta: { link: \"${ .delta }\" }\n    absent: close\n    paging: { next: \"${ .next }\" }";
    let text = SYSTEM.replace("cursor: ${ .last.at }\n    paging: { size: 2, pages: 3 }", delta);
    let objects = Objects::new(store(), contract(&text));
    let store = objects.store().clone();
    let mut one = poll(&objects);
    let released = |number: &str| item(order(number, "Released", &["press-01"]));

    // All of it, in two pages; where to go on stands on the last one.
    let all = vec![
        page(vec![released("1"), released("2")], "", More::Link("/orders?page=2".into())),
        page(vec![released("3")], "/orders?delta=1", More::Last),
    ];
    let asked = answer(&mut one, &objects, 0, all);
    assert_eq!(asked[0].link, None);
    assert_eq!(asked[1].link.as_deref(), Some("/orders?page=2"));
    assert_eq!(changes(&store).len(), 3);

    // Only what has changed; the others are not absent. What is removed is closed. A start goes on there.
    let mut one = {
        drop(one);
        poll(&objects)
    };
    let removed = item(Told { gone: true, ..order("2", "Released", &[]) });
    let running = item(order("1", "Running", &["press-01"]));
    let asked = answer(&mut one, &objects, 30, vec![page(vec![running, removed], "/orders?delta=2", More::Last)]);
    assert_eq!(asked[0].link.as_deref(), Some("/orders?delta=1"));
    assert_eq!(changes(&store).len(), 5);
    assert!(store.object(&name("3")).unwrap().unwrap().to.is_none(), "it was not told of, and is there");

    // A failure of another kind keeps the delta.
    let other = Outcome { status: Some(503), ..Outcome::not_sent(OutcomeClass::Transient, "down") };
    assert!(!one.expired(&other, at(60), Span::from_secs(60)));
    // It has expired: at once all of it is asked for, and what is absent then is closed.
    let ask = one.ask(at(60));
    assert_eq!(ask.link.as_deref(), Some("/orders?delta=2"));
    assert!(one.expired(&expired(), at(60), Span::from_secs(60)));
    assert_eq!(one.due(Span::from_secs(60)), Span::ZERO);
    assert_eq!(one.kept().anew.as_ref().unwrap().why, "410 Gone: resync");
    let running = item(order("1", "Running", &["press-01"]));
    let asked = answer(&mut one, &objects, 60, vec![page(vec![running], "/orders?delta=3", More::Last)]);
    assert_eq!(asked[0].link, None);
    assert_eq!(changes(&store).len(), 6);
    assert!(store.object(&name("3")).unwrap().unwrap().to.is_some());
    // A system that says so of all of it is asked again like any that fails.
    let mut fresh = poll(&Objects::new(self::store(), contract(&text)));
    assert!(!fresh.expired(&expired(), at(60), Span::from_secs(60)));
    // How it began anew is kept.
    assert_eq!(poll(&objects).kept().anew.as_ref().unwrap().at, at(60));
}

const POSTED: &str = r#"
protocol: rest
base: http://127.0.0.1:1/erp
zone: z
reads:
  orders:
    object: ProductionOrder/1
    every: 30 s
    sites: [home]
    request: { path: /orders }
    absent: close
    webhook: { token: "env:HOOK" }
    number: ${ .number }
    mapping: ${ . }
"#;

fn posted(objects: &Objects) -> Posted {
    let (system, settings) = objects.contract().systems.iter().next().unwrap();
    let (read, of) = settings.reads.iter().next().unwrap();
    Posted::new(objects.clone(), (system, read, of)).unwrap()
}

#[test]
fn a_post_is_taken_once_for_each_id_also_when_something_newer_came_between() {
    let objects = Objects::new(store(), contract(POSTED));
    let store = objects.store().clone();
    let hook = posted(&objects);
    let told = |state: &str| vec![item(order("1", state, &["press-01"]))];
    let first = hook.take(Some("webhook/a"), b"released", told("Released"), at(0)).unwrap();
    assert_eq!((first.changed, first.same, first.replayed), (1, 0, false));
    assert_eq!(hook.take(Some("webhook/b"), b"running", told("Running"), at(1)).unwrap().changed, 1);
    // The first one comes again, to an instance that was started anew: what is newer stays.
    let hook = posted(&objects);
    let again = hook.take(Some("webhook/a"), b"released", told("Released"), at(2)).unwrap();
    assert_eq!((again.changed, again.replayed), (1, true));
    assert_eq!(store.object(&name("1")).unwrap().unwrap().data["state"], "Running");
    assert!(matches!(hook.take(Some("webhook/a"), b"other", told("Held"), at(2)), Err(NotTaken::OtherBody)));
    // Without an id only what it says counts.
    assert_eq!(hook.take(None, b"running", told("Running"), at(3)).unwrap().same, 1);
    let tally = hook.tally();
    assert_eq!((tally.posts, tally.duplicates, tally.changed, tally.last), (3, 1, 2, Some(at(3))));
    // A day later the id is forgotten.
    let day = 86_401;
    assert!(!hook.take(Some("webhook/a"), b"other", told("Held"), at(day)).unwrap().replayed);
    assert_eq!(store.intakes(&"erp".parse().unwrap()).unwrap().len(), 2, "one id and the tally");
}

#[test]
fn what_is_posted_becomes_what_a_poll_tells_and_a_poll_does_not_close_what_came_meanwhile() {
    let objects = Objects::new(store(), contract(POSTED));
    let store = objects.store().clone();
    let (hook, mut one) = (posted(&objects), poll(&objects));
    let told = hook.take(None, b"x", vec![item(order("1", "Released", &[])), unknown("EQ-9")], at(0)).unwrap();
    assert_eq!((told.changed, told.set_aside.len()), (1, 1));
    assert_eq!(rows(&store, "exceptions")[0]["id"], told.set_aside[0].as_str());
    assert_eq!(rows(&store, "quarantine").len(), 1);
    // The poll begins; what is posted before its answer is there is not in the answer.
    let ask = one.ask(at(10));
    hook.take(None, b"y", vec![item(order("2", "Released", &[]))], at(11)).unwrap();
    one.page(&objects, &ask, page(Vec::new(), "", More::Last), at(12), Span::from_secs(12)).unwrap();
    assert!(store.object(&name("1")).unwrap().unwrap().to.is_some(), "the poll is the reconciliation");
    assert!(store.object(&name("2")).unwrap().unwrap().to.is_none(), "it is newer than the poll");
    // What belongs to a site that is not served is nobody's.
    let away = item(Told { site: "away".into(), ..order("3", "Released", &[]) });
    let told = hook.take(None, b"z", vec![away], at(13)).unwrap();
    assert_eq!((told.changed, told.same, told.set_aside.len()), (0, 0, 0));
}

#[test]
fn a_crash_in_a_post_loses_nothing_and_takes_it_once() {
    for (skipped, fault) in (0..2).flat_map(|skipped| [(skipped, Fault::Before), (skipped, Fault::After)]) {
        let objects = Objects::new(store(), contract(POSTED));
        let store = objects.store().clone();
        let hook = posted(&objects);
        let told = || vec![item(order("1", "Released", &["press-01"]))];
        store.plan_fault(skipped, fault);
        let crashed = hook.take(Some("webhook/a"), b"a", told(), at(0)).is_err();
        // Sent again, as whoever got no answer does, to the next start.
        let again = posted(&objects).take(Some("webhook/a"), b"a", told(), at(1)).unwrap();
        assert_eq!((again.changed, crashed), (1, true), "{skipped} {fault:?}");
        assert_eq!(again.replayed, fault == Fault::After || skipped > 0, "{skipped} {fault:?}");
        assert_eq!(changes(&store).len(), 1, "{skipped} {fault:?}");
    }
}

#[test]
fn what_a_system_posted_and_was_set_aside_is_told_again_but_never_over_something_newer() {
    let objects = Objects::new(store(), contract(POSTED));
    let store = objects.store().clone();
    let hook = posted(&objects);
    let sites = [SiteName::new("home").unwrap()];
    hook.take(None, b"x", vec![unknown("EQ-9")], at(0)).unwrap();
    hook.take(None, b"y", vec![unknown("EQ-9")], at(1)).unwrap();
    hook.take(None, b"w", vec![unknown("EQ-9")], at(2)).unwrap();
    let aside = store.quarantined(None, 0, 10).unwrap();
    let teller = Teller { of: aside[0].1.topic.clone(), max_age: None, home: sites[0].clone() };
    let again = |n: usize, item: Item, dry_run| {
        let (number, row) = &aside[n];
        objects.again((&teller, &sites), (*number, row.received), item, dry_run, at(20)).unwrap()
    };
    assert!(matches!(again(0, unknown("EQ-9"), false), Again::Wrong(_)));
    let away = item(Told { site: "away".into(), ..order("1", "Released", &[]) });
    assert!(matches!(again(0, away, false), Again::Wrong(_)));
    // Mended, it becomes what it would have been; a trial changes nothing.
    assert_eq!(again(0, item(order("1", "Released", &[])), true), Again::Changed);
    assert_eq!((store.object(&name("1")).unwrap(), rows(&store, "quarantine").len()), (None, 3));
    assert_eq!(again(0, item(order("1", "Released", &[])), false), Again::Changed);
    assert_eq!((changes(&store).len(), rows(&store, "quarantine").len()), (1, 2));
    // What came behind it is newer, although both are told now.
    assert_eq!(again(1, item(order("1", "Held", &[])), false), Again::Changed);
    // Of this one something newer came in meanwhile.
    hook.take(None, b"z", vec![item(order("1", "Running", &[]))], at(21)).unwrap();
    assert_eq!(again(2, item(order("1", "Released", &[])), false), Again::Overtaken);
    assert_eq!(store.object(&name("1")).unwrap().unwrap().data["state"], "Running");
    assert_eq!(rows(&store, "quarantine").len(), 0);
}
