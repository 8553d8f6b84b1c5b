//! What is posted: samples in every form, repeats, keys, and events that others found.

use crate::common::*;
use andon_contract::{
    Contract,
    contract::{
        EventMapping, HttpSource, MappedEvent, MappedTo, MqttVersion, Secret, Signature, Site, Source, SourceKind,
    },
    expr::Program,
};
use andon_edge::{
    given::Env,
    http::{Admitted, Head, HttpIngest, KEPT, Posted, Raised, Refusal, SAMPLES_MAX, Told},
};
use andon_model::{Entry, Mark, SiteName, Time, Value, sample::Counts, span::Span, time::Zone};
use andon_store::{
    Fault, Query, Store,
    rows::{IntakeRow, Write},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use std::{io::Write as _, sync::Arc};

const NOW: Time = Time(1_764_000_000_000_400_000);
const JSON: (&str, &str) = ("content-type", "application/json");
const GOOD: &str = r#"{"asset":"machine-001","signal":"temperature","value":5,"time":"2025-11-24T15:59:59Z"}"#;

fn env() -> Env {
    Arc::new(|name| match name {
        "KEY_A" => Some("key of a".into()),
        "KEY_B" => Some("key of b".into()),
        "HOOK" => Some("a secret".into()),
        _ => None,
    })
}

/// Three machines at home, and one elsewhere.
fn plant(http: HttpSource) -> Contract {
    let mut contract = contract("mqtt://127.0.0.1", MqttVersion::V5, 1, 3);
    let source = contract.sources.get("machines").unwrap();
    let posts = Source { kind: SourceKind::Http(http), zone: Zone::named("Europe/Berlin").unwrap(), ..source.clone() };
    contract.sources.insert(name("posts"), posts);
    let elsewhere = SiteName::new("elsewhere").unwrap();
    contract.sites.insert(elsewhere.clone(), Site { zone: name("plant"), timezone: Zone::utc() });
    for (asset, settings) in &mut contract.assets {
        if asset.as_str() == "machine-002" {
            settings.site = elsewhere.clone();
            settings.addresses.insert(name("posts"), "M/2".into());
        }
    }
    contract
}

struct Posts {
    store: Store,
    ingest: HttpIngest,
}

impl Posts {
    fn new(http: HttpSource) -> Self {
        Self::over(Store::memory(&mut chance(3)), http)
    }

    /// As after a restart.
    fn over(store: Store, http: HttpSource) -> Self {
        let made = HttpIngest::new(Arc::new(plant(http)), &name("posts"), store.clone(), env(), &mut chance(3));
        Self { store, ingest: made.unwrap().unwrap() }
    }

    fn admit(&self, headers: &[(&str, &str)]) -> Result<Admitted, Refusal> {
        self.ingest.admit(&Head { headers: &owned(headers), query: "" }).unwrap()
    }

    fn try_post(&self, headers: &[(&str, &str)], body: &[u8], now: Time) -> Result<Posted, String> {
        let headers = owned(headers);
        let head = Head { headers: &headers, query: "" };
        match self.ingest.admit(&head).unwrap() {
            Err(refusal) => Ok(Posted::Refused(refusal)),
            Ok(admitted) => self.ingest.post(&admitted, &head, body, now).map_err(|failed| failed.to_string()),
        }
    }

    fn post(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Posted {
        self.try_post(headers, body.as_ref(), NOW).unwrap()
    }

    /// What is refused: status and places.
    fn refused(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> (u16, Vec<String>) {
        match self.post(headers, body) {
            Posted::Refused(refusal) => (refusal.status, refusal.problems.into_iter().map(|p| p.pointer).collect()),
            accepted @ Posted::Accepted { .. } => panic!("{accepted:?}"),
        }
    }

    fn raise(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Raised {
        let headers = owned(headers);
        let head = Head { headers: &headers, query: "" };
        match self.ingest.admit(&head).unwrap() {
            Err(refusal) => Raised::Refused(refusal),
            Ok(admitted) => self.ingest.raise(&admitted, &head, body.as_ref(), NOW).unwrap(),
        }
    }

    fn raised(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Told {
        match self.raise(headers, body) {
            Raised::Accepted(told) => told,
            Raised::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    fn counts(&self) -> Counts {
        let counts = self.store.source_counts().get("posts").copied().unwrap_or_default();
        assert!(counts.is_whole(), "{counts:?}");
        counts
    }

    fn values(&self) -> Vec<Value> {
        samples(&self.store).into_iter().map(|sample| sample.value).collect()
    }

    fn events(&self) -> Vec<andon_model::Event> {
        self.store.events_after(0, 100).unwrap().into_iter().map(|stored| stored.event).collect()
    }

    fn rows(&self, kind: &str) -> usize {
        let query = Query { limit: 100, ..Query::default() };
        self.store.list(kind, &query).unwrap().rows.len()
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn accepted(stored: u64, duplicate: u64) -> Posted {
    let counts = Counts { received: stored + duplicate, stored, duplicate, ..Counts::default() };
    Posted::Accepted { counts, replayed: false }
}

fn numbered(value: u32) -> String {
    GOOD.replace(":5,", &format!(":{value},"))
}

#[test]
fn a_body_is_stored_as_a_whole_or_every_problem_is_told() {
    let posts = Posts::new(HttpSource::open());
    assert_eq!(posts.post(&[("content-type", "application/json; charset=utf-8")], GOOD), accepted(1, 0));
    assert_eq!(posts.post(&[JSON], format!("[{GOOD},{}]", numbered(6))), accepted(1, 1));
    let bad = format!(
        "[{GOOD},{},{},{},{}]",
        r#"{"asset":"nobody","signal":"temperature","value":5}"#,
        r#"{"asset":"machine-001","signal":"temperature","value":"5","tme":1}"#,
        r#"{"asset":"machine-001","signal":"temperature","value":5,"time":"2125-11-24T15:59:59Z"}"#,
        r#"{"asset":"machine-001","signal":"temperature","value":5,"unit":"mm"}"#,
    );
    let places = ["/1/asset", "/2/tme", "/2/value", "/3/time", "/4/unit"].map(str::to_owned).to_vec();
    assert_eq!(posts.refused(&[JSON], &bad), (422, places));
    for (body, status) in [("{", 400), ("5", 422), ("[]", 422), ("[5]", 422), ("\u{FEFF}{}", 400)] {
        assert_eq!(posts.refused(&[JSON], body).0, status, "{body}");
    }
    assert_eq!(posts.refused(&[JSON], [b'"', 0xFF, b'"']).0, 400);
    let many = format!("[{}]", vec!["{}"; SAMPLES_MAX + 1].join(","));
    assert_eq!(posts.refused(&[JSON], many).0, 413);
    assert_eq!(posts.refused(&[], GOOD).0, 415);
    let counts = posts.counts();
    assert_eq!((counts.stored, counts.refused), (2, 5 + 5 + 1 + SAMPLES_MAX as u64 + 1));
    assert_eq!(posts.values().len(), 2);
}

#[test]
fn a_hundred_thousand_samples_are_taken_at_once() {
    let posts = Posts::new(HttpSource::open());
    let lines: String = (0..100_000).map(|n| numbered(n) + "\n").collect();
    assert_eq!(posts.post(&[("content-type", "application/x-ndjson")], &lines), accepted(SAMPLES_MAX as u64, 0));
    assert_eq!(posts.values().len(), SAMPLES_MAX);
}

#[test]
fn lines_are_samples() {
    let posts = Posts::new(HttpSource::open());
    let media = [("content-type", "application/x-ndjson")];
    assert_eq!(posts.post(&media, format!("{}\r\n\n{}\n", numbered(1), numbered(2))), accepted(2, 0));
    let bad = format!("{}\n{{\n{}\n", numbered(3), r#"{"asset":"machine-001","signal":"heat","value":1}"#);
    assert_eq!(posts.refused(&media, bad), (422, vec!["/1".to_owned(), "/2/signal".to_owned()]));
    assert_eq!(posts.counts().refused, 3);
    assert_eq!(posts.values().len(), 2);
}

#[test]
fn units_are_converted_and_times_without_a_zone_are_those_of_the_source() {
    let posts = Posts::new(HttpSource::open());
    let body = r#"[{"asset":"machine-000","signal":"temperature","value":212,"unit":"[degF]",
            "time":"2025-11-24 16:59:59"},
        {"asset":"M/2","signal":"temperature","value":1.5,"unit":"Cel","quality":1073741824}]"#;
    assert_eq!(posts.post(&[JSON], body), accepted(2, 0));
    let all = samples(&posts.store);
    let home = all.iter().find(|sample| sample.value == Value::F64(100.0)).unwrap();
    assert_eq!(home.time.to_string(), "2025-11-24T15:59:59Z");
    let elsewhere = all.iter().find(|sample| sample.value == Value::F64(1.5)).unwrap();
    assert_eq!((elsewhere.quality.0, elsewhere.time), (1_073_741_824, Time::from_millis(NOW.millis())));
}

#[test]
fn compressed_bodies_are_read() {
    let posts = Posts::new(HttpSource::open());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(numbered(1).as_bytes()).unwrap();
    assert_eq!(posts.post(&[JSON, ("content-encoding", "gzip")], gzip.finish().unwrap()), accepted(1, 0));
    let zstd = zstd::encode_all(numbered(2).as_bytes(), 3).unwrap();
    assert_eq!(posts.post(&[JSON, ("content-encoding", "ZSTD")], zstd), accepted(1, 0));
    assert_eq!(posts.refused(&[JSON, ("content-encoding", "br")], GOOD).0, 415);
    assert_eq!(posts.refused(&[JSON, ("content-encoding", "gzip")], GOOD).0, 400);
}

#[test]
fn cloud_events_are_read_in_three_forms() {
    let posts = Posts::new(HttpSource::open());
    let event = |id: u32, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/press","type":"plant.sample","subject":"machine-001",
            "time":"2025-11-24T15:59:5{id}Z","data":{data}}}"#
        )
    };
    let sample = r#"{"signal":"temperature","value":1}"#;
    let structured = [("content-type", "application/cloudevents+json")];
    assert_eq!(posts.post(&structured, event(1, sample)), accepted(1, 0));
    assert_eq!(posts.post(&structured, event(1, sample)), accepted(0, 1), "the event's time tells a repeat");
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let many = format!("[{},{}]", event(2, sample), event(3, &format!("[{sample},{}]", numbered(9))));
    assert_eq!(posts.post(&batch, many), accepted(3, 0));
    let binary = [
        JSON,
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/press"),
        ("ce-type", "plant.sample"),
        ("ce-subject", "M%2F2"),
    ];
    assert_eq!(posts.post(&binary, sample), accepted(1, 0));
    let wrong = format!("[{},{}]", event(4, r#"[{"signal":"temperature","value":"hot"}]"#), event(5, "7"));
    assert_eq!(posts.refused(&batch, wrong), (422, vec!["/0/data/0/value".to_owned(), "/1/data".to_owned()]));
    assert_eq!(posts.refused(&structured, sample).0, 422);
    assert_eq!(posts.refused(&binary[..3], sample).0, 422);
    assert_eq!(posts.refused(&batch, "[]").0, 422);
    assert_eq!(posts.refused(&structured, event(6, "[]")).0, 422);
    assert_eq!(posts.values().len(), 5);
}

#[test]
fn no_more_posts_are_under_way_than_the_source_allows() {
    let posts = Posts::new(HttpSource { posts: 2, ..HttpSource::open() });
    let (one, _two) = (posts.admit(&[JSON]).unwrap(), posts.admit(&[JSON]).unwrap());
    let refusal = posts.admit(&[JSON]).unwrap_err();
    assert_eq!((refusal.status, refusal.headers.as_slice()), (429, &[("retry-after", "1".to_owned())][..]));
    drop(one);
    assert!(posts.admit(&[JSON]).is_ok());
    assert_eq!(
        posts.ingest.admit(&Head { headers: &owned(&[JSON]), query: "partial=true" }).unwrap().unwrap_err().status,
        400
    );
}

fn keyed(key: &str) -> [(&str, &str); 2] {
    [JSON, ("idempotency-key", key)]
}

fn replayed(stored: u64, duplicate: u64) -> Posted {
    match accepted(stored, duplicate) {
        Posted::Accepted { counts, .. } => Posted::Accepted { counts, replayed: true },
        refused @ Posted::Refused(_) => refused,
    }
}

/// A sample without a time: only a key tells that it is the same.
const UNTIMED: &str = r#"{"asset":"machine-001","signal":"temperature","value":5}"#;

#[test]
fn a_request_with_a_key_is_stored_once() {
    let posts = Posts::new(HttpSource::open());
    assert_eq!(posts.post(&keyed("\"8e03978e\""), UNTIMED), accepted(1, 0));
    assert_eq!(posts.post(&keyed("8e03978e"), UNTIMED), replayed(1, 0), "in quotes or plain");
    assert_eq!(posts.refused(&keyed("8e03978e"), GOOD).0, 422, "the same key for another body");
    assert_eq!(posts.post(&keyed("other"), UNTIMED), accepted(1, 0));
    assert_eq!(posts.values().len(), 2);
    let again = Posts::over(posts.store.clone(), HttpSource::open());
    assert_eq!(again.post(&keyed("other"), UNTIMED), replayed(1, 0), "after a restart");
    for wrong in ["", "\"", "a\"b", &"x".repeat(256), "ä"] {
        assert_eq!(posts.refused(&keyed(wrong), UNTIMED).0, 400, "{wrong}");
    }
    // What was refused is not remembered: the corrected body may have the same key.
    assert_eq!(posts.refused(&keyed("mended"), "[]").0, 422);
    assert_eq!(posts.post(&keyed("mended"), UNTIMED), accepted(1, 0));
    // What is kept of the reads of a system that is called as the source is.
    let row = IntakeRow {
        source: name("posts"),
        of: "reads/posts/orders/home".into(),
        position: posts.store.log_end(),
        open: false,
        updated: NOW,
        state: serde_json::json!({ "cursor": 7 }),
    };
    posts.store.commit(vec![Write::Intake(Box::new(row.clone()))]).unwrap();
    // A day later the key is new.
    let later = NOW.plus(KEPT).plus(Span::from_secs(1));
    assert_eq!(again.try_post(&keyed("other"), UNTIMED.as_bytes(), later).unwrap(), accepted(1, 0));
    let left = again.store.intakes(&name("posts")).unwrap();
    assert_eq!(left.len(), 2, "the others are forgotten");
    assert!(left.contains(&row), "a read goes on where it was");
}

#[test]
fn keys_of_several_callers_do_not_meet() {
    let keys = [("a", "KEY_A"), ("b", "KEY_B")].map(|(who, key)| (name(who), Secret::Env(key.into())));
    let posts = Posts::new(HttpSource { keys: keys.into(), ..HttpSource::open() });
    let by = |key| [JSON, ("idempotency-key", "1"), ("x-api-key", key)];
    assert_eq!(posts.post(&by("key of a"), UNTIMED), accepted(1, 0));
    assert_eq!(posts.post(&by("key of b"), UNTIMED), accepted(1, 0));
    assert_eq!(posts.post(&by("key of b"), UNTIMED), replayed(1, 0));
    assert_eq!(posts.refused(&by("key of c"), UNTIMED).0, 401);
}

#[test]
fn two_requests_with_one_key_at_once_are_one() {
    let posts = Arc::new(Posts::new(HttpSource { posts: 64, ..HttpSource::open() }));
    let barrier = Arc::new(std::sync::Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (posts, barrier) = (posts.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                posts.post(&keyed("one"), UNTIMED)
            })
        })
        .collect();
    let mut stored = 0;
    for outcome in threads.into_iter().map(|thread| thread.join().unwrap()) {
        match outcome {
            Posted::Accepted { replayed, .. } => stored += u64::from(!replayed),
            Posted::Refused(refusal) => assert_eq!((refusal.status, refusal.headers[0].0), (409, "retry-after")),
        }
    }
    assert_eq!((stored, posts.values().len()), (1, 1));
}

/// A body for two sites, without times.
fn both_sites() -> String {
    format!("[{UNTIMED},{},{UNTIMED}]", UNTIMED.replace("machine-001", "M/2"))
}

#[test]
fn wherever_a_request_with_a_key_ends_its_repeat_completes_it() {
    for body in [UNTIMED.to_owned(), both_sites()] {
        let count = body.matches("value").count();
        for skipped in 0..6 {
            for fault in [Fault::Before, Fault::After] {
                let posts = Posts::new(HttpSource::open());
                posts.store.plan_fault(skipped, fault);
                let first = posts.try_post(&keyed("k"), body.as_bytes(), NOW);
                // A crash: what is known in memory is gone.
                let again = Posts::over(posts.store.clone(), HttpSource::open());
                let second = again.try_post(&keyed("k"), body.as_bytes(), NOW);
                let place = format!("{skipped} {fault:?} {first:?} {second:?}");
                let last = match second {
                    Ok(posted) => posted,
                    Err(_) => again.try_post(&keyed("k"), body.as_bytes(), NOW).unwrap(),
                };
                assert!(matches!(last, Posted::Accepted { counts, .. } if counts.stored == count as u64), "{place}");
                assert_eq!(again.values().len(), count, "{place}");
                assert_eq!(again.counts().stored, count as u64, "{place}");
            }
        }
    }
}

#[test]
fn a_request_with_a_key_that_only_one_site_saw_is_completed() {
    let posts = Posts::new(HttpSource::open());
    assert_eq!(posts.post(&keyed("k"), both_sites()), accepted(3, 0));
    // A folder in which only the first of the two parts became durable, and no answer.
    let torn = Store::memory(&mut chance(5));
    let mut at = posts.store.log_start();
    let first = posts.store.read(at).unwrap().unwrap();
    at = first.end();
    let second = posts.store.read(at).unwrap().unwrap();
    assert_ne!(first.part.site, second.part.site);
    for marked in [&first, &second] {
        assert!(matches!(&marked.part.entries[0], Entry::Mark(Mark::Rows { of, .. }) if of == "key//k"));
    }
    let row = posts.store.intake(&name("posts"), "key//k").unwrap().unwrap();
    let mut state = row.state.clone();
    state["answer"] = serde_json::Value::Null;
    let open = andon_store::IntakeRow { open: true, position: torn.log_end(), state, ..row };
    torn.commit(vec![andon_store::Write::Intake(Box::new(open))]).unwrap();
    torn.append(vec![first.part.clone()]).unwrap();
    let again = Posts::over(torn, HttpSource::open());
    assert_eq!(again.post(&keyed("k"), both_sites()), accepted(3, 0));
    assert_eq!((again.values().len(), again.counts().stored), (3, 3));
    assert_eq!(again.post(&keyed("k"), both_sites()), replayed(3, 0));
}

#[test]
fn what_repeats_samples_that_were_not_stored_is_no_repeat() {
    let posts = Posts::new(HttpSource::open());
    let both = format!("[{},{}]", GOOD, GOOD.replace("machine-001", "M/2"));
    posts.store.plan_fault(0, Fault::Before);
    assert!(posts.try_post(&[JSON], both.as_bytes(), NOW).is_err());
    assert_eq!(posts.post(&[JSON], &both), accepted(2, 0));
    assert_eq!(posts.post(&[JSON], &both), accepted(0, 2));
}

fn program(text: &str) -> Program {
    Program::compile(text, &[]).unwrap()
}

fn alarms() -> HttpSource {
    let mapped = MappedEvent {
        kind: "asset.alarm".into(),
        subject: program(".device"),
        time: Some(program(".ts")),
        id: Some(program(".alarm")),
        data: program(
            r#"{change: "activated", state: "active", condition: "reported", signal: .metric, severity: .severity}"#,
        ),
    };
    let ping = MappedTo::Nothing("it is there".into());
    HttpSource {
        events: vec![
            EventMapping { when: Some(program(".kind == \"ping\"")), to: ping },
            EventMapping { when: Some(program(".kind == \"alarm\"")), to: MappedTo::Event(Box::new(mapped)) },
        ],
        ..HttpSource::open()
    }
}

fn alarm(id: u32, device: &str) -> String {
    format!(
        r#"{{"kind":"alarm","alarm":{id},"device":"{device}","ts":1763999999000,"metric":"vibration","severity":800}}"#
    )
}

#[test]
fn an_anomaly_found_elsewhere_becomes_an_event() {
    let posts = Posts::new(alarms());
    let told = posts.raised(&[JSON], alarm(1, "M/2"));
    let [event] = posts.events().try_into().unwrap();
    assert_eq!(told.events, [event.id.to_string()]);
    assert_eq!(
        (event.kind.as_str(), event.subject.as_str(), event.key.as_str()),
        ("asset.alarm", "machine-002", "machine-002")
    );
    assert_eq!((event.site.as_str(), event.source.as_str()), ("elsewhere", "/elsewhere/sources/posts"));
    assert_eq!(event.time.to_string(), "2025-11-24T15:59:59Z");
    assert_eq!(
        (event.correlation, event.schema.as_str(), &event.data["severity"]),
        (event.id, "andon:asset.alarm/1.2", &800.into())
    );
    // The same again, alone or among others, is the same event.
    let told =
        posts.raised(&[JSON], format!("[{},{},{{\"kind\":\"ping\"}}]", alarm(1, "M/2"), alarm(2, "machine-000")));
    assert_eq!((told.events.len(), told.duplicate, told.ignored), (2, 1, 1));
    assert_eq!(posts.events().len(), 2);
    let again = Posts::over(posts.store.clone(), alarms());
    assert_eq!(again.raised(&[("content-type", "application/x-ndjson")], alarm(1, "M/2") + "\n").duplicate, 1);
    assert_eq!(posts.rows("quarantine"), 0);
}

#[test]
fn what_a_platform_sends_and_does_not_fit_is_set_aside_with_its_bytes() {
    let posts = Posts::new(alarms());
    let odd = [
        alarm(1, "nobody"),
        alarm(2, "M/2").replace("800", "\"high\""),
        alarm(3, "M/2").replace("1763999999000", "5"),
        alarm(4, "M/2").replace(":4,", ":{},"),
        "{\"kind\":\"alarm\"}".to_owned(),
        "{\"kind\":\"unheard of\"}".to_owned(),
        "{ no JSON".to_owned(),
        "[5]".to_owned(),
    ];
    for body in &odd {
        let told = posts.raised(&[JSON], body);
        assert_eq!((told.events.len(), told.set_aside.len()), (0, 1), "{body}");
        let exception = andon_model::ExceptionId::parse(&told.set_aside[0]).unwrap();
        let kept = posts.store.quarantine(exception, 9).unwrap();
        assert_eq!(kept[0].topic, "/v1/sources/posts/events");
        assert!(kept.iter().any(|row| row.bytes == body.trim_matches(['[', ']']).as_bytes()), "{body}");
    }
    // The others of a body are taken.
    let told = posts.raised(&[JSON], format!("[{},{}]", alarm(5, "nobody"), alarm(6, "M/2")));
    assert_eq!((told.events.len(), told.set_aside.len()), (1, 1));
    // The same name for something else is no repeat.
    let told = posts.raised(&[JSON], alarm(6, "machine-000"));
    assert_eq!((told.events.len(), told.set_aside.len()), (0, 1));
    assert_eq!((posts.events().len(), posts.rows("quarantine")), (1, odd.len() + 2));
    assert_eq!(posts.counts().quarantined, odd.len() as u64 + 2);
    // Without a mapping nothing can be made of it, and who set it up is told.
    let none = Posts::new(HttpSource::open());
    assert!(matches!(none.raise(&[JSON], alarm(1, "M/2")), Raised::Refused(refusal) if refusal.status == 422));
}

#[test]
fn a_cloud_event_of_a_canonical_type_needs_no_mapping() {
    let posts = Posts::new(HttpSource::open());
    let data = r#"{"change":"activated","state":"active","condition":"reported","signal":"vibration","severity":800}"#;
    let event = |id: u32, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"urn:iot","type":"asset.alarm","subject":"machine-001",
            "time":"2025-11-24T15:59:59Z","data":{data}}}"#
        )
    };
    let structured = [("content-type", "application/cloudevents+json")];
    assert_eq!(posts.raised(&structured, event(1, data)).events.len(), 1);
    assert_eq!(posts.raised(&structured, event(1, data)).duplicate, 1);
    let binary = [
        JSON,
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "urn:iot"),
        ("ce-type", "asset.alarm"),
        ("ce-subject", "machine-001"),
    ];
    assert_eq!(posts.raised(&binary, data).duplicate, 1, "the form does not matter");
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let wrong = format!("[{},{}]", event(2, data), event(3, &data.replace("800", "8000")));
    let Raised::Refused(refusal) = posts.raise(&batch, wrong) else { panic!("it is refused") };
    assert_eq!((refusal.status, refusal.problems[0].pointer.as_str()), (422, "/1/data/severity"));
    let Raised::Refused(refusal) = posts.raise(&structured, event(1, &data.replace("800", "1"))) else {
        panic!("another content under the same name")
    };
    assert_eq!(refusal.status, 422);
    let Raised::Refused(refusal) = posts.raise(&structured, event(4, data).replace("asset.alarm", "own.type")) else {
        panic!("a type that nobody knows")
    };
    assert_eq!(refusal.problems[0].pointer, "/type");
    assert_eq!((posts.events().len(), posts.rows("quarantine")), (1, 0), "of a batch nothing is stored");
}

#[test]
fn a_signed_webhook_is_taken_once() {
    let hook =
        Signature { secret: Secret::Env("HOOK".into()), header: "x-iot".into(), tolerance: Signature::TOLERANCE };
    let posts = Posts::new(HttpSource { signature: Some(hook), ..alarms() });
    let sign = |id: &str, body: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a secret");
        let tag = ring::hmac::sign(&key, format!("{id}.1764000000.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    };
    let body = format!("[{},{}]", alarm(1, "M/2"), alarm(2, "nobody"));
    let signature = sign("msg_1", &body);
    let headers =
        [JSON, ("x-iot-id", "msg_1"), ("x-iot-timestamp", "1764000000"), ("x-iot-signature", signature.as_str())];
    let told = posts.raised(&headers, &body);
    assert_eq!((told.events.len(), told.set_aside.len(), told.replayed), (1, 1, false));
    let again = Posts::over(
        posts.store.clone(),
        HttpSource {
            signature: Some(Signature {
                secret: Secret::Env("HOOK".into()),
                header: "x-iot".into(),
                tolerance: Signature::TOLERANCE,
            }),
            ..alarms()
        },
    );
    let repeated = again.raised(&headers, &body);
    assert_eq!(repeated, Told { replayed: true, ..told });
    assert_eq!((again.rows("quarantine"), again.counts().quarantined), (1, 1), "set aside once");
    for (changed, status) in [(alarm(9, "M/2"), 401), (body.clone() + " ", 401)] {
        assert!(matches!(posts.raise(&headers, changed), Raised::Refused(refusal) if refusal.status == status));
    }
    assert!(matches!(posts.raise(&[JSON], &body), Raised::Refused(refusal) if refusal.status == 401));
}

#[test]
fn posts_without_a_secret_take_no_places_and_no_counts_from_those_with_one() {
    let hook =
        Signature { secret: Secret::Env("HOOK".into()), header: "x-iot".into(), tolerance: Signature::TOLERANCE };
    let keys = [(name("a"), Secret::Env("KEY_A".into()))].into();
    let posts = Posts::new(HttpSource { signature: Some(hook), keys, posts: 4, ..alarms() });
    let signed = [JSON, ("x-iot-id", "1"), ("x-iot-timestamp", "1764000000"), ("x-iot-signature", "v1,AAAA")];
    let held: Vec<Admitted> = (0..2).map(|_| posts.admit(&signed).unwrap()).collect();
    assert_eq!(posts.admit(&signed).unwrap_err().status, 429);
    let keyed: Vec<Admitted> = (0..2).map(|_| posts.admit(&[JSON, ("x-api-key", "key of a")]).unwrap()).collect();
    assert_eq!(posts.admit(&[JSON, ("x-api-key", "key of a")]).unwrap_err().status, 429);
    drop((held, keyed));
    // A signature that is wrong brought nothing that is counted.
    assert!(matches!(posts.raise(&signed, alarm(1, "M/2")), Raised::Refused(refusal) if refusal.status == 401));
    assert_eq!(posts.refused(&signed, GOOD).0, 401);
    assert_eq!(posts.counts(), Counts::default());
}

#[test]
fn a_line_that_is_no_json_is_set_aside_and_the_others_are_events() {
    let posts = Posts::new(alarms());
    let body = format!("{}\n{{ no JSON\n\n{}\n", alarm(1, "M/2"), alarm(2, "M/2"));
    let told = posts.raised(&[("content-type", "application/x-ndjson")], body);
    assert_eq!((told.events.len(), told.set_aside.len(), posts.rows("quarantine")), (2, 1, 1));
}

proptest! {
    #[test]
    fn whatever_is_posted_is_counted(
        bodies in prop::collection::vec(("[{}\\[\\]\":,a-e0-9]{0,30}", 0_usize..6, any::<bool>()), 0..20),
    ) {
        let posts = Posts::new(alarms());
        let media = [
            "application/json", "application/x-ndjson", "application/cloudevents+json",
            "application/cloudevents-batch+json", "application/json", "application/json",
        ];
        for (odd, form, to_events) in bodies {
            let body = match form {
                4 => numbered(7),
                5 => format!("[{GOOD},{odd}]"),
                _ => odd,
            };
            let headers = [("content-type", media[form])];
            if to_events {
                let _ = posts.raise(&headers, &body);
            } else {
                let _ = posts.post(&headers, &body);
            }
        }
        let counts = posts.counts();
        prop_assert_eq!(counts.stored, posts.values().len() as u64);
        prop_assert_eq!(counts.quarantined, posts.rows("quarantine").min(100) as u64);
    }
}
