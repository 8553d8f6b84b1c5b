//! Rules for states and counters in tests: settings in few words, timelines in, events as lines out.

use crate::common::{SECOND, asset, contract, instance, part, signal};
use andon_contract::{
    Contract,
    contract::{
        Clock, Condition, CountKind, CounterSettings, CycleSettings, Every, Guard, ReasonSettings, RuleKind,
        RuleSettings, STANDARD_STATES, StateSettings, Test, TimeClass, What, Word,
    },
};
use andon_events::{Engine, Loop, Output, Progress, Saved, engine::Moment};
use andon_model::{
    AssetName, Entry, Event, Mark, Position, Quality, Sample, SignalName, SignalNo, Time, Value,
    sample::{Batch, Origin},
    span::Span,
};
use andon_store::Store;
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

/// `PackML` names for the numbers that the tests use.
fn names() -> BTreeMap<i64, String> {
    [(2, "Stopped"), (4, "Idle"), (6, "Execute"), (11, "Held"), (17, "Complete")]
        .into_iter()
        .map(|(number, name)| (number, name.to_owned()))
        .collect()
}

/// `at-least 30 s, reason-within 10 s, Held planned-down, cycle`; the reason is signal `a`, the program signal `b`.
pub(crate) fn state(text: &str) -> StateSettings {
    let classes = STANDARD_STATES.iter().map(|(name, class, _)| ((*name).to_owned(), *class));
    let mut set = StateSettings {
        names: Some(Arc::new(names())),
        classes: classes.collect(),
        at_least: Span::ZERO,
        reason: None,
        cycle: None,
    };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once(' ').unwrap_or((part, ""));
        match key {
            "at-least" => set.at_least = Span::parse(value).unwrap(),
            "reason-within" => {
                let names = Some(Arc::new([(7, "no material".to_owned())].into()));
                set.reason = Some(ReasonSettings { input: 1, names, within: Span::parse(value).unwrap() });
            }
            "cycle" => {
                set.cycle = Some(CycleSettings {
                    runs: list(&["Execute", "ACTIVE"]),
                    completed: list(&["Complete", "PROGRAM_COMPLETED"]),
                    given_up: list(&["Idle", "Stopped", "READY"]),
                    program: Some(2),
                    part: None,
                });
            }
            name => {
                let class = TimeClass::ALL.into_iter().find(|class| class.word() == value).unwrap();
                set.classes.insert(name.to_owned(), class);
            }
        }
    }
    set
}

/// `rollover 65536, max-step 10, gap 60 s, every 5, within 60 s, every 10 s`; signal `a` counts rejects.
pub(crate) fn counter(text: &str) -> CounterSettings {
    let mut set = CounterSettings {
        counts: vec![CountKind::Good, CountKind::Reject],
        rollover: None,
        max_step: None,
        gap: None,
        every: Every::Count(1, Span::from_secs(60)),
        run_time: None,
    };
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once(' ').unwrap();
        match (key, value.parse::<i64>(), set.every) {
            ("rollover", number, _) => set.rollover = Some(number.unwrap()),
            ("max-step", number, _) => set.max_step = Some(number.unwrap()),
            ("gap", _, _) => set.gap = Some(Span::parse(value).unwrap()),
            ("every", Ok(number), Every::Count(_, within)) => set.every = Every::Count(number, within),
            ("every", _, _) => set.every = Every::Time(Span::parse(value).unwrap()),
            ("within", _, Every::Count(number, _)) => set.every = Every::Count(number, Span::parse(value).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    set
}

/// A contract of one rule on signal `t` that also reads the signals `a` and `b`.
pub(crate) fn one_rule(kind: RuleKind) -> Contract {
    let inputs = match &kind {
        RuleKind::Counter(_) => vec![signal("a")],
        _ => vec![signal("a"), signal("b")],
    };
    let version = format!("{kind:?}");
    let settings = Arc::new(RuleSettings { inputs, ..RuleSettings::plain(kind.clone(), "1", &version) });
    let mut all = contract(&["m"], &[("floor", kind)], Clock::Recorded);
    for rule in all.rules.values_mut() {
        rule.assets.values_mut().for_each(|known| *known = Arc::clone(&settings));
    }
    all
}

/// The signals and their numbers.
pub(crate) fn signals() -> Vec<(SignalNo, AssetName, SignalName)> {
    let all = [(1, "t"), (2, "a"), (3, "b"), (4, "other")];
    all.into_iter().map(|(number, name)| (SignalNo(number), asset("m"), signal(name))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
fn seconds(text: &str) -> i64 {
    (text.parse::<f64>().unwrap() * 1e9).round() as i64
}

/// Lines of `second value` of signal `t`, `second a=value` of another; `!` behind it is bad, `?` uncertain. A value
/// that is no whole number is a text. `away`, `back` and `tick second` are marks.
pub(crate) fn timeline(text: &str) -> Vec<Entry> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(entry).collect()
}

fn entry(line: &str) -> Entry {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match first {
        "away" => return Entry::Mark(Mark::Disconnected("gone".into())),
        "back" => return Entry::Mark(Mark::Connected),
        "tick" => {
            let plant = Time(seconds(rest));
            return Entry::Mark(Mark::Tick { asset: asset("m"), plant, utc: plant });
        }
        _ => {}
    }
    let (name, value) = rest.split_once('=').unwrap_or(("t", rest));
    let number = signals().into_iter().find(|(_, _, known)| *known == signal(name)).unwrap().0;
    let plain = value.trim_end_matches(['!', '?']);
    let quality = match &value[plain.len()..] {
        "!" => Quality::BAD,
        "?" => Quality::UNCERTAIN,
        _ => Quality::GOOD,
    };
    let time = Time(seconds(first));
    Entry::Sample(sample(number, time, quality, plain))
}

/// A sample whose value is a whole number, else a text.
pub(crate) fn sample(signal: SignalNo, time: Time, quality: Quality, value: &str) -> Sample {
    let value = value.parse::<i64>().map_or_else(|_| Value::Text(value.into()), Value::I64);
    Sample { signal, time, received: time, quality, value, origin: Origin::Live }
}

pub(crate) fn engine(kind: RuleKind) -> Engine {
    Engine::new(Arc::new(one_rule(kind)), instance(), &signals(), Saved::default(), Time(0), &mut Vec::new())
}

/// The same, with the condition that the signal `other` is 1.
pub(crate) fn guarded(kind: RuleKind) -> Engine {
    let mut all = one_rule(kind);
    let condition = Condition { what: What::Signal(signal("other")), test: Test::Is(Word::Number(1.0)) };
    for settings in all.rules.values_mut().flat_map(|rule| rule.assets.values_mut()) {
        let guard = Guard { when: vec![condition.clone()], ..Guard::default() };
        *settings = Arc::new(RuleSettings { guard, ..RuleSettings::clone(settings) });
    }
    Engine::new(Arc::new(all), instance(), &signals(), Saved::default(), Time(0), &mut Vec::new())
}

/// What is told under one rule, and at the start under the edited one; `None`: it was removed.
pub(crate) fn edited(kind: RuleKind, entries: &str, into: Option<RuleKind>) -> (Vec<String>, Vec<String>) {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    for (number, of, name) in signals() {
        assert_eq!(store.signal(&of, &name).unwrap(), number);
    }
    let drain = |rules: &mut Loop| while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {};
    let told = |from: u64| {
        let events = store.events_after(from, 1_000).unwrap();
        (events.last().map_or(from, |last| last.sequence), events.iter().map(|of| line(&of.event)).collect())
    };
    let mut rules = Loop::new(store.clone(), Arc::new(one_rule(kind)), Time(0)).unwrap();
    store.append(vec![part(timeline(entries))]).unwrap();
    drain(&mut rules);
    rules.stop().unwrap();
    let (at, before) = told(0);
    let after = into.map_or_else(|| contract(&["m"], &[], Clock::Recorded), one_rule);
    let mut rules = Loop::new(store.clone(), Arc::new(Contract { revision: "next".into(), ..after }), Time(0)).unwrap();
    drain(&mut rules);
    (before, told(at).1)
}

pub(crate) fn apply(engine: &mut Engine, text: &str) -> Vec<Event> {
    let mut out = Vec::new();
    let first = Position { epoch: 0, offset: engine.position().offset };
    let batch = Batch { first, part: part(timeline(text)) };
    engine.apply(&batch, Moment { now: Time(0), monotonic: None }, &mut out);
    out.into_iter()
        .map(|output| match output {
            Output::Event(event, _) => *event,
            other @ Output::Exception(_) => panic!("{other:?}"),
        })
        .collect()
}

pub(crate) fn check(kind: RuleKind, entries: &str, expected: &[&str]) {
    let found: Vec<String> = apply(&mut engine(kind), entries).iter().map(line).collect();
    assert_eq!(found, expected, "{entries}");
}

/// An event in few words, its times in seconds.
pub(crate) fn line(event: &Event) -> String {
    let data = &event.data;
    let text = |key: &str| data[key].as_str().unwrap_or("-").to_owned();
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
    let at = |key: &str| Time::parse(data[key].as_str().unwrap()).unwrap().0 as f64 / SECOND as f64;
    let amount = |key: &str| data[key]["value"].as_str().map(|value| format!(" {key} {value}")).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
    let mut line = format!("{} ", event.time.0 as f64 / SECOND as f64);
    match &*event.kind {
        "asset.state" => {
            let _ = write!(line, "{} {}", text("state"), text("class"));
            if !data["previous"].is_null() {
                let _ = write!(line, ", {} {} since {}", text("previous"), text("previousclass"), at("since"));
                line += &amount("duration");
            }
        }
        "asset.downtime" => {
            let planned = if data["planned"] == true { "planned " } else { "" };
            let _ = write!(line, "{planned}down {} from {}", text("change"), at("from"));
            line += &amount("duration");
            if !data["reason"].is_null() {
                let _ = write!(line, " because {}", data["reason"]["code"].as_str().unwrap());
                line += data["reason"]["text"].as_str().map(|text| format!(" {text}")).unwrap_or_default().as_str();
            }
            if !data["edit"].is_null() {
                line += " by an edit";
            }
        }
        "asset.cycle" => {
            let _ =
                write!(line, "cycle {} from {}{}{}", data["number"], at("from"), amount("duration"), amount("running"));
            line += data["program"].as_str().map(|text| format!(" of {text}")).unwrap_or_default().as_str();
        }
        _ => {
            let _ = write!(line, "{} {} {} of {}", text("change"), text("kind"), data["delta"], data["total"]);
            let _ = write!(line, ", {} to {} since {}", data["previous"], data["value"], at("from"));
            line += if data["live"] == true { "" } else { ", over a gap" };
            line += data["reason"].as_str().map(|_| ", not believed").unwrap_or_default();
        }
    }
    line + &amount("gap")
}
