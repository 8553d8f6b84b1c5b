//! The recording of a real turning centre (Okuma, MTConnect) through the rules of `examples/cnc-cell`, against what a
//! plain pass over the file says.

use crate::common::asset;
use andon_contract::{Contract, load};
use andon_events::{Loop, Progress};
use andon_model::{
    Entry, Event, Mark, Name, Quality, Sample, SiteName, Time, Value,
    sample::{Origin, Part},
    span::Span,
    value::Kind,
};
use andon_store::Store;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of the recording where it is at hand, else of the made-up one; and whether it is the real one.
fn recording() -> (String, bool) {
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root().join("../shared/data"), |d| root().join(d));
    let file = data.join("mtconnect-okuma-imts2022/okuma.shdr.txt");
    let real = file.is_file();
    let file = if real { file } else { root().join("examples/cnc-cell/data/lathe_synthetic.shdr") };
    println!("used {} ({})", file.display(), if real { "recorded" } else { "synthetic" });
    (fs::read_to_string(file).unwrap(), real)
}

/// An item's value at a time.
type Said = (Time, String, String);

/// The values of each recording in the file, in the order of the file; each begins with a full line.
fn sessions(text: &str) -> Vec<Vec<Said>> {
    let mut sessions: Vec<Vec<Said>> = Vec::new();
    let mut document: Option<String> = None;
    for line in text.lines() {
        if document.as_deref().is_some_and(|end| line == end) {
            document = None;
            continue;
        }
        if document.is_some() || line.starts_with('*') {
            continue;
        }
        if let Some(at) = line.find("--multiline--") {
            document = Some(line[at..].to_owned());
        }
        let fields: Vec<&str> = line.split('|').collect();
        if fields[1].starts_with('@') {
            continue;
        }
        if fields[1] == "avail" {
            sessions.push(Vec::new());
        }
        let time = Time::parse(fields[0]).unwrap();
        let said = fields[1..].chunks_exact(2).map(|pair| (time, pair[0].to_owned(), pair[1].to_owned()));
        sessions.last_mut().unwrap().extend(said);
    }
    sessions
}

/// Plays recordings as a source that is connected for each of them, and returns the events of the rules.
fn play(contract: &Arc<Contract>, sessions: &[Vec<Said>]) -> (Vec<Event>, u64) {
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    let machine = asset("multus-01");
    let class = &contract.classes[&contract.assets[&machine].class];
    let mut numbers = BTreeMap::new();
    let mut rules = Loop::new(store.clone(), Arc::clone(contract), Time(0)).unwrap();
    for session in sessions {
        let mut entries = vec![Entry::Mark(Mark::Connected)];
        for (time, item, value) in session {
            let Some((name, signal)) = class.signals.get_key_value(item.as_str()) else { continue };
            let number = *numbers.entry(name.clone()).or_insert_with(|| store.signal(&machine, name).unwrap());
            let (value, quality) = match signal.kind {
                Kind::Text => (Some(Value::Text(value.as_str().into())), Quality::GOOD),
                Kind::I64 => (value.parse().ok().map(Value::I64), Quality::GOOD),
                _ => (value.parse().ok().map(Value::F64), Quality::GOOD),
            };
            let bad = (Some(Value::F64(0.0)), Quality::BAD);
            let (value, quality) = if value.is_none() { bad } else { (value, quality) };
            let (time, origin) = (*time, Origin::Live);
            entries.push(Entry::Sample(Sample {
                signal: number,
                time,
                received: time,
                quality,
                value: value.unwrap(),
                origin,
            }));
        }
        entries.push(Entry::Mark(Mark::Disconnected("the recording ends".into())));
        for chunk in entries.chunks(499) {
            let part = Part::new(SiteName::new("works").unwrap(), Name::new("lathe").unwrap());
            store.append(vec![Part { entries: chunk.to_vec(), ..part }]).unwrap();
            while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
        }
    }
    let events = store.events_after(0, 100_000).unwrap();
    (events.into_iter().map(|stored| stored.event).collect(), rules.counts().late)
}

/// What an item said, without what was older than what it had said before; each with the number of its recording.
fn heard(sessions: &[Vec<Said>], item: &str) -> Vec<(usize, Time, String)> {
    let mut all: Vec<(usize, Time, String)> = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        for (time, of, value) in session.iter().filter(|(_, of, _)| of == item) {
            assert_eq!(of, item);
            if all.last().is_none_or(|(_, last, _)| time >= last) {
                all.push((number, *time, value.clone()));
            }
        }
    }
    all
}

/// Begin and end of each cycle: ACTIVE and then `PROGRAM_COMPLETED` without READY between.
fn cycles(sessions: &[Vec<Said>]) -> Vec<String> {
    let mut begin = None;
    let mut cycles = Vec::new();
    for (_, time, state) in heard(sessions, "pexecution") {
        match state.as_str() {
            "ACTIVE" => begin = begin.or(Some(time)),
            "READY" => begin = None,
            "PROGRAM_COMPLETED" => cycles.extend(begin.take().map(|from| format!("{from} {time}"))),
            _ => {}
        }
    }
    cycles
}

/// Steps of the counter: what it was, how much, and from where to where. The first value of a recording follows a gap.
fn counts(sessions: &[Vec<Said>]) -> Vec<String> {
    let all = heard(sessions, "ppartcount");
    let steps = all.windows(2).filter_map(|pair| {
        let [(before, _, a), (number, time, b)] = pair else { return None };
        let (a, b): (i64, i64) = (a.parse().unwrap(), b.parse().unwrap());
        let live = before == number;
        match b - a {
            0 => None,
            step if step > 0 => {
                Some(format!("{time} {} {step} {a}>{b} live {live}", if live { "counted" } else { "gap" }))
            }
            _ => Some(format!("{time} reset {b} {a}>{b} live {live}")),
        }
    });
    steps.collect()
}

/// How long the program ran in each recording, in ns, and how long the recording is.
fn ran(session: &[Said]) -> (i64, i64) {
    let states = heard(&[session.to_vec()], "pexecution");
    let active = states.windows(2).filter(|pair| pair[0].2 == "ACTIVE").map(|pair| pair[1].1.0 - pair[0].1.0);
    (active.sum(), states.last().unwrap().1.0 - states.first().unwrap().1.0)
}

fn found<'a>(events: &'a [Event], kind: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

fn found_cycles(events: &[Event]) -> Vec<String> {
    let text = |event: &Event, key: &str| event.data[key].as_str().unwrap().to_owned();
    found(events, "asset.cycle").iter().map(|event| format!("{} {}", text(event, "from"), text(event, "to"))).collect()
}

fn found_counts(events: &[Event]) -> Vec<String> {
    let of = |event: &&Event| {
        let data = &event.data;
        let change = data["change"].as_str().unwrap();
        let (from, to) = (&data["previous"], &data["value"]);
        format!("{} {change} {} {from}>{to} live {}", event.time, data["delta"], data["live"])
    };
    found(events, "asset.count").iter().map(of).collect()
}

/// A quantity in seconds, in ns.
fn nanos(quantity: &serde_json::Value) -> i64 {
    let text = quantity["value"].as_str().unwrap_or("0");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    whole.parse::<i64>().unwrap() * 1_000_000_000 + format!("{part:0<9}").parse::<i64>().unwrap()
}

fn contract() -> Arc<Contract> {
    Arc::new(load(&root().join("examples/cnc-cell")).unwrap().contract)
}

#[test]
fn the_recorded_machine_completes_its_cycles_and_counts_its_parts() {
    let (text, real) = recording();
    let mut sessions = sessions(&text);
    sessions.sort_by_key(|session| session[0].0);
    let (events, late) = play(&contract(), &sessions);
    assert_eq!(found_cycles(&events), cycles(&sessions));
    assert_eq!(found_counts(&events), counts(&sessions));

    // The time that counts as production is the time that the program ran, recording by recording.
    for session in &sessions {
        let (from, to) = (session.first().unwrap().0, session.last().unwrap().0);
        let (expected, whole) = ran(session);
        let states = found(&events, "asset.state");
        let inside = states.iter().filter(|event| (from..=to).contains(&event.time));
        let production = inside.filter(|event| event.data["previousclass"] == "production");
        let ran: i64 = production.map(|event| nanos(&event.data["duration"]) - nanos(&event.data["gap"])).sum();
        assert_eq!(ran, expected, "{from} to {to}");
        println!("{from} to {to}: production {} s of {} s", ran / 1_000_000_000, whole / 1_000_000_000);
        assert!(ran <= whole);
    }
    if real {
        assert_eq!(late, sessions_late(&sessions));
        let programs: Vec<_> = found(&events, "asset.cycle").iter().map(|e| e.data["program"].clone()).collect();
        assert_eq!(
            programs,
            ["IMTS-2022-1E-mm.MIN", "IMTS-2022-2-HOB.MIN", "IMTS-2022-3-TRAN.MIN", "IMTS-2022-4B-mm.MIN"]
        );
        let counted: Vec<_> = found(&events, "asset.count").iter().map(|e| e.data["change"].clone()).collect();
        assert_eq!(counted, ["counted", "reset", "counted", "reset", "counted", "gap", "counted"]);
        let last = found(&events, "asset.count").last().unwrap().data["total"].clone();
        assert_eq!(last, 5, "4 seen and 1 known");
    }
}

/// Samples that are older than the newest of their item, without those that nobody reads.
fn sessions_late(sessions: &[Vec<Said>]) -> u64 {
    let contract = contract();
    let class = &contract.classes[&contract.assets[&asset("multus-01")].class];
    let mut newest: BTreeMap<&str, Time> = BTreeMap::new();
    let mut late = 0;
    for (time, item, _) in sessions.iter().flatten().filter(|(_, item, _)| class.signals.contains_key(item.as_str())) {
        let newest = newest.entry(item).or_insert(*time);
        late += u64::from(time < newest);
        *newest = (*newest).max(*time);
    }
    late
}

#[test]
fn in_the_order_of_the_file_older_recordings_change_nothing() {
    let (text, _) = recording();
    let sessions = sessions(&text);
    let mut newest = Time::MIN;
    let mut fresh = Vec::new();
    for session in &sessions {
        if session[0].0 > newest {
            fresh.push(session.clone());
        }
        newest = session.iter().map(|(time, _, _)| *time).fold(newest, Time::max);
    }
    assert!(fresh.len() < sessions.len(), "no recording is older than the one before it");
    let (all, late) = play(&contract(), &sessions);
    let (only, _) = play(&contract(), &fresh);
    assert!(late > 0);
    assert_eq!(found_cycles(&all), found_cycles(&only));
    assert_eq!(found_counts(&all), found_counts(&only));
    // The same facts; of their evidence only the places in the log differ.
    let facts = |events: &[Event]| {
        let plain = events.iter().filter(|event| event.kind != "asset.alarm").map(|event| {
            let mut data = event.data.clone();
            data.as_object_mut().unwrap().remove("evidence");
            format!("{} {} {data}", event.time, event.kind)
        });
        plain.collect::<Vec<_>>()
    };
    assert_eq!(facts(&all), facts(&only));
}
