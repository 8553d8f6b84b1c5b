//! What the tests of this crate share: a contract by hand, and text timelines.
use andon_contract::{
    Contract,
    contract::{
        Asset, Class, Clock, HttpSource, Limit, LimitLevel, LimitSettings, Rule, RuleKind, RuleSettings, Site, Source,
        SourceKind, StaleSettings,
    },
};
use andon_events::{Engine, Output, Saved, engine::Moment};
use andon_model::{
    AssetName, Entry, Event, InstanceId, Mark, Name, Position, Quality, Sample, SignalName, SignalNo, SiteName, Time,
    Value,
    sample::{Batch, Origin, Part},
    span::Span,
    time::Zone,
};
use andon_store::rows::Evidence;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const SECOND: i64 = 1_000_000_000;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn asset(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

pub(crate) fn signal(text: &str) -> SignalName {
    SignalName::new(text).unwrap()
}

pub(crate) fn site() -> SiteName {
    SiteName::new("hamburg").unwrap()
}

/// `High 100, Low 10, Deadband 5, OnDelay 60 s`; durations as in YAML.
pub(crate) fn limit(text: &str) -> LimitSettings {
    let mut settings = LimitSettings {
        limits: BTreeMap::new(),
        deadband: 0.0,
        on_delay: Span::ZERO,
        off_delay: Span::ZERO,
        realarm: None,
    };
    for part in text.split(',').map(str::trim) {
        let (key, value) = part.split_once(' ').unwrap();
        let mut set = |level, severity| {
            settings.limits.insert(level, Limit { value: value.parse().unwrap(), severity });
        };
        match key {
            "HighHigh" => set(LimitLevel::HighHigh, 900),
            "High" => set(LimitLevel::High, 700),
            "Low" => set(LimitLevel::Low, 500),
            "LowLow" => set(LimitLevel::LowLow, 600),
            "Deadband" => settings.deadband = value.parse().unwrap(),
            "OnDelay" => settings.on_delay = Span::parse(value).unwrap(),
            "OffDelay" => settings.off_delay = Span::parse(value).unwrap(),
            "ReAlarmTime" => settings.realarm = Some(Span::parse(value).unwrap()),
            other => panic!("{other}"),
        }
    }
    settings
}

pub(crate) fn stale(text: &str) -> StaleSettings {
    StaleSettings { after: Span::parse(text).unwrap(), severity: 300 }
}

/// A contract of one site with machines of one class, whose signals are `t` and `other`.
pub(crate) fn contract(assets: &[&str], rules: &[(&str, RuleKind)], clock: Clock) -> Contract {
    let revision = format!("{assets:?}{rules:?}{clock:?}");
    let asset_of = |text: &&str| {
        let it = Asset {
            site: site(),
            class: name("machine"),
            area: None,
            line: None,
            unit: None,
            addresses: BTreeMap::new(),
            parameters: BTreeMap::new(),
        };
        (asset(text), it)
    };
    let rule_of = |(rule, kind): &(&str, RuleKind)| {
        let unit = if matches!(kind, RuleKind::Stale(_)) { "1" } else { "mm/s" };
        let mut settings = RuleSettings::plain(kind.clone(), unit, &format!("{kind:?}"));
        if matches!(kind, RuleKind::Deviation(_) | RuleKind::Table(_)) {
            settings.inputs.push(signal("other"));
        }
        let settings = Arc::new(settings);
        let of = assets.iter().map(|a| (asset(a), settings.clone())).collect();
        (name(rule), Rule { class: name("machine"), signal: signal("t"), assets: of })
    };
    let source = Source {
        kind: SourceKind::Http(HttpSource::open()),
        clock,
        zone: Zone::utc(),
        ahead: Span::from_secs(300),
        silence: None,
    };
    Contract {
        revision,
        sites: [(site(), Site { zone: name("plant"), timezone: Zone::utc() })].into(),
        assets: assets.iter().map(asset_of).collect(),
        classes: [(name("machine"), Class { signals: BTreeMap::new() })].into(),
        sources: [(name("plc"), source)].into(),
        rules: rules.iter().map(rule_of).collect(),
        ..Contract::empty()
    }
}

pub(crate) fn instance() -> InstanceId {
    InstanceId::derived(&[b"test"])
}

pub(crate) fn part(entries: Vec<Entry>) -> Part {
    Part { entries, ..Part::new(site(), name("plc")) }
}

pub(crate) fn sample(number: u32, time: i64, received: i64, quality: Quality, value: f64) -> Sample {
    Sample {
        signal: SignalNo(number),
        time: Time(time),
        received: Time(received),
        quality,
        value: Value::F64(value),
        origin: Origin::Live,
    }
}

/// Lines of `second value`, where the value may be followed by `!` (bad), `?` (uncertain), `r`
/// (retained) or `u` (retained, untimed) and `@second` (received); `second other` is a sample of
/// another signal of the same clock, `second other value` with a value; `tick second` and `tick second @second` are
/// marks.
pub(crate) fn timeline(text: &str) -> Vec<Entry> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(entry).collect()
}

fn seconds(text: &str) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
    let nanos = (text.parse::<f64>().unwrap() * 1e9).round() as i64;
    nanos
}

fn entry(line: &str) -> Entry {
    let (line, received) = line.split_once('@').map_or((line, None), |(l, r)| (l, Some(seconds(r.trim()))));
    let words: Vec<&str> = line.split_whitespace().collect();
    if words[0] == "tick" {
        let plant = seconds(words[1]);
        let utc = Time(received.unwrap_or(plant));
        return Entry::Mark(Mark::Tick { asset: asset("m"), plant: Time(plant), utc });
    }
    let time = seconds(words[0]);
    let mut made = sample(1, time, received.unwrap_or(time), Quality::GOOD, 0.0);
    let mut word = words[1];
    if word == "other" {
        made.signal = SignalNo(2);
        word = words.get(2).copied().unwrap_or("0");
    }
    let value = word.trim_end_matches(['!', '?', 'r', 'u']);
    made.value = Value::F64(value.parse().unwrap());
    for flag in word[value.len()..].chars() {
        match flag {
            '!' => made.quality = Quality::BAD,
            '?' => made.quality = Quality::UNCERTAIN,
            'r' => made.origin = Origin::Retained,
            _ => made.origin = Origin::RetainedUntimed,
        }
    }
    Entry::Sample(made)
}

pub(crate) fn signals() -> Vec<(SignalNo, AssetName, SignalName)> {
    vec![(SignalNo(1), asset("m"), signal("t")), (SignalNo(2), asset("m"), signal("other"))]
}

pub(crate) fn engine(settings: RuleKind) -> Engine {
    let contract = Arc::new(contract(&["m"], &[("hot", settings)], Clock::Recorded));
    Engine::new(contract, instance(), &signals(), Saved::default(), Time(0), &mut Vec::new())
}

pub(crate) fn apply(engine: &mut Engine, entries: Vec<Entry>) -> Vec<(Event, Evidence)> {
    let mut out = Vec::new();
    let batch = Batch { first: Position { epoch: 0, offset: engine.position().offset }, part: part(entries) };
    engine.apply(&batch, Moment { now: Time(0), monotonic: None }, &mut out);
    events(out)
}

pub(crate) fn events(out: Vec<Output>) -> Vec<(Event, Evidence)> {
    out.into_iter()
        .map(|output| match output {
            Output::Event(event, evidence) => (*event, *evidence),
            Output::Exception(row) => panic!("{row:?}"),
        })
        .collect()
}

/// `second change limit value`, one line an event.
pub(crate) fn lines(events: &[(Event, Evidence)]) -> Vec<String> {
    events.iter().map(|(event, _)| line(event)).collect()
}

pub(crate) fn line(event: &Event) -> String {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
    #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
    let at = event.time.0 as f64 / 1e9;
    format!("{at} {} {} {}", text("/change"), text("/limit"), text("/value/value"))
}
