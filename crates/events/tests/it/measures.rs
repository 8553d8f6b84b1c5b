//! What must hold of derived numbers for every series: a naive reference works them out and lets a plain limit judge
//! them; and neither the cut into batches nor a crash at any place changes an event.

use crate::{
    common::{apply, asset, contract, engine, limit, line, lines, part, sample, signal, timeline},
    properties::{Step, cuts, entries, neither_cut_nor_crash, steps},
    rate::rate,
    window::window,
};
use andon_contract::contract::{Clock, RuleKind, WindowFunction, WindowSettings};
use andon_events::{Loop, Progress};
use andon_model::{Entry, Mark, Quality, Sample, Time, Value, sample::Origin, span::Span};
use andon_store::Store;
use proptest::prelude::*;
use std::sync::Arc;

/// What the reference makes for a plain limit: numbers as samples, and ticks where the clock moves.
#[derive(Default)]
struct Numbers(Vec<Entry>);

impl Numbers {
    fn number(&mut self, time: Time, number: f64) {
        self.0.push(Entry::Sample(sample(1, time.0, time.0, Quality::GOOD, number)));
    }

    fn clock(&mut self, plant: Time) {
        self.0.push(Entry::Mark(Mark::Tick { asset: asset("m"), plant, utc: plant }));
    }

    fn judged(self, levels: &str) -> Vec<String> {
        lines(&apply(&mut engine(RuleKind::Limit(limit(levels))), self.0))
    }
}

/// An entry as a rule sees it: a sample and whether it is late, and where it moves the clock to.
type Seen = (Option<(Sample, bool)>, Option<Time>);

/// The entries as a rule sees them: samples that are never evaluated are left out.
fn seen(entries: &[Entry]) -> Vec<Seen> {
    let mut newest = [Time::MIN; 3];
    let of = |entry: &Entry| match entry {
        Entry::Mark(Mark::Tick { plant, .. }) => Some((None, Some(*plant))),
        Entry::Mark(_) => None,
        Entry::Sample(sample) if sample.origin == Origin::RetainedUntimed => None,
        Entry::Sample(sample) => {
            let newest = &mut newest[sample.signal.0 as usize];
            let late = sample.time < *newest;
            *newest = sample.time.max(*newest);
            Some((Some((sample.clone(), late)), (!late).then_some(sample.time)))
        }
    };
    entries.iter().filter_map(of).collect()
}

fn good(sample: &Sample) -> Option<f64> {
    sample.value.number().filter(|_| sample.quality.is_good())
}

/// All values of all windows are kept, and each window is worked out over them by the book when it closes. Nothing is
/// closed before the rule has heard of its signal, whose source has its clock.
fn windows(set: &WindowSettings, entries: &[Entry]) -> Numbers {
    let mut numbers = Numbers::default();
    let mut kept: Vec<(Time, f64)> = Vec::new();
    let mut closed = 0;
    let mut zero_waits = false;
    let (every, parts) = (set.every.nanos(), set.over.nanos() / set.every.nanos());
    let stretch = |time: Time| time.0.div_euclid(every);
    let mut is_heard = false;
    for (sample, clock) in seen(entries) {
        let clock = clock.map(|clock| clock.minus(set.lateness));
        if let (Some(clock), true) = (clock, is_heard) {
            // Only a window with samples, and the first empty count behind it, has a timer.
            let first = closed + 1;
            for window in first..=(clock.0 - 1).div_euclid(every) {
                let ends = Time(window * every);
                let begins = ends.minus(set.over);
                let within: Vec<_> = kept.iter().filter(|(t, _)| (begins..ends).contains(t)).copied().collect();
                if within.is_empty() && !zero_waits {
                    continue;
                }
                if within.len() as u64 >= set.at_least
                    && let Some(number) = book(set.function, &within)
                {
                    numbers.number(ends, number);
                }
                zero_waits = !within.is_empty() && set.function == WindowFunction::Count && set.at_least == 0;
                closed = window;
            }
            numbers.clock(clock);
        }
        let Some((sample, late)) = sample.filter(|(sample, _)| sample.signal.0 == 1) else { continue };
        is_heard = true;
        if !late {
            closed = closed.max((sample.time.minus(set.lateness).0 - 1).div_euclid(every));
        }
        if let Some(value) = good(&sample)
            && stretch(sample.time) + parts > closed
        {
            kept.push((sample.time, value));
        }
    }
    numbers
}

#[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
fn book(function: WindowFunction, all: &[(Time, f64)]) -> Option<f64> {
    let values: Vec<f64> = all.iter().map(|(_, value)| *value).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let spread: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let number = match function {
        WindowFunction::Count => return Some(count),
        _ if values.is_empty() => return None,
        WindowFunction::Mean => mean,
        WindowFunction::Rms => (values.iter().map(|value| value * value).sum::<f64>() / count).sqrt(),
        WindowFunction::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        WindowFunction::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        WindowFunction::Stddev => (spread / (count - 1.0)).sqrt(),
        WindowFunction::Slope(per) => {
            let times: Vec<f64> = all.iter().map(|(time, _)| (time.0 - all[0].0.0) as f64 / 1e9).collect();
            let middle = times.iter().sum::<f64>() / count;
            let together: f64 = times.iter().zip(&values).map(|(t, v)| (t - middle) * (v - mean)).sum();
            together / times.iter().map(|t| (t - middle) * (t - middle)).sum::<f64>() * (per.nanos() as f64 / 1e9)
        }
        WindowFunction::Percentile(percent) => {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let place = percent / 100.0 * (sorted.len() - 1) as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small index")]
            let at = place as usize;
            let above = sorted.get(at + 1).copied().unwrap_or(sorted[at]);
            sorted[at] + (above - sorted[at]) * place.fract()
        }
    };
    number.is_finite().then_some(number)
}

/// The newest value and setpoint of every time, judged once the clock has passed it.
fn deviations(entries: &[Entry]) -> Numbers {
    let mut numbers = Numbers::default();
    let mut newest: [Option<(Time, f64)>; 2] = [None, None];
    let mut waits: Option<(Time, f64)> = None;
    let mut is_heard = false;
    for (sample, clock) in seen(entries) {
        // The rule hears of its clock with the first sample of the value.
        if let Some(clock) = clock.filter(|_| is_heard) {
            if let Some((time, number)) = waits.filter(|(time, _)| *time < clock) {
                numbers.number(time, number);
                waits = None;
            }
            numbers.clock(clock);
        }
        let Some((sample, false)) = sample else { continue };
        is_heard |= sample.signal.0 == 1;
        let Some(value) = good(&sample) else { continue };
        newest[usize::from(sample.signal.0 == 2)] = Some((sample.time, value));
        if let [Some((a, value)), Some((b, setpoint))] = newest {
            waits = Some((a.max(b), value - setpoint));
        }
    }
    numbers
}

/// The rate between each two good values in a row of different times, the later of one time counting.
#[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
fn rates(per: Span, over: Option<Span>, entries: &[Entry]) -> Numbers {
    let mut numbers = Numbers::default();
    let mut kept: Vec<(Time, f64)> = Vec::new();
    let mut is_heard = false;
    for (sample, clock) in seen(entries) {
        if let Some(clock) = clock.filter(|_| is_heard) {
            numbers.clock(clock);
        }
        let Some((sample, false)) = sample.filter(|(sample, _)| sample.signal.0 == 1) else { continue };
        is_heard = true;
        let Some(value) = good(&sample) else { continue };
        kept.retain(|(time, _)| *time < sample.time);
        let far = over.unwrap_or(Span::from_nanos(1));
        if let Some((time, before)) = kept.iter().rev().find(|(time, _)| sample.time.since(*time) >= far) {
            let between = sample.time.since(*time).nanos() as f64;
            numbers.number(sample.time, (value - before) * per.nanos() as f64 / between);
        }
        kept.push((sample.time, value));
    }
    numbers
}

fn levels() -> impl Strategy<Value = String> {
    let limits = prop::sample::select(vec!["High 60", "Low 20", "HighHigh 90, High 50, Low 10, LowLow -30"]);
    let delay = || prop_oneof![Just("0 s"), Just("5 s"), Just("20 s")];
    (limits, prop_oneof![Just(0), Just(8)], delay(), delay(), prop::bool::ANY).prop_map(
        |(limits, band, on, off, again)| {
            let again = if again { ", ReAlarmTime 7 s" } else { "" };
            format!("{limits}, Deadband {band}, OnDelay {on}, OffDelay {off}{again}")
        },
    )
}

fn window_text() -> impl Strategy<Value = String> {
    let function =
        prop::sample::select(vec!["mean", "rms", "min", "max", "stddev", "slope", "count", "p0", "p37.5", "p100"]);
    let lengths = prop::sample::select(vec![
        "10 s",
        "30 s",
        "30 s every 10 s",
        "7 s",
        "30 s every 5 s lateness 12 s",
        "10 s lateness 3 s",
    ]);
    let least = prop::sample::select(vec!["", " at-least 1", " at-least 3"]);
    (function, lengths, least).prop_map(|(function, lengths, least)| format!("{function} over {lengths}{least}"))
}

/// Lines are the same but for the last digits of their values.
fn same(found: &[String], expected: &[String]) -> Result<(), TestCaseError> {
    let parts = |line: &String| {
        let (head, value) = line.rsplit_once(' ').unwrap();
        (head.to_owned(), value.parse::<f64>().unwrap())
    };
    let close = |(a, b): (&String, &String)| {
        let ((a, x), (b, y)) = (parts(a), parts(b));
        a == b && (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0)
    };
    let agree = found.len() == expected.len() && found.iter().zip(expected).all(close);
    prop_assert!(agree, "found {found:#?}\nexpected {expected:#?}");
    Ok(())
}

/// Without limits that a number may hit to the last digit, where the reference may fall to the other side.
fn off_by_a_hair(levels: &str) -> String {
    levels
        .replace("High 60", "High 60.0137")
        .replace("Low 20", "Low 19.9871")
        .replace("High 50", "High 50.0173")
        .replace("Low 10", "Low 9.9873")
        .replace("HighHigh 90", "HighHigh 90.0131")
        .replace("LowLow -30", "LowLow -30.0173")
}

fn series() -> impl Strategy<Value = Vec<Step>> {
    steps()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_those_of_the_reference(text in window_text(), levels in levels(), steps in series()) {
        let levels = off_by_a_hair(&levels);
        let kind = window(&text, &levels);
        let RuleKind::Window(set) = &kind else { unreachable!() };
        let entries = entries(&steps);
        let found = lines(&apply(&mut engine(kind.clone()), entries.clone()));
        same(&found, &windows(set, &entries).judged(&levels))?;
    }

    #[test]
    fn deviations_are_those_of_the_reference(levels in levels(), steps in series()) {
        let entries = entries(&steps);
        let found = lines(&apply(&mut engine(RuleKind::Deviation(limit(&levels))), entries.clone()));
        same(&found, &deviations(&entries).judged(&levels))?;
    }

    #[test]
    fn rates_are_those_of_the_reference(over in prop::bool::ANY, levels in levels(), steps in series()) {
        let over = over.then_some("10 s");
        let levels = off_by_a_hair(&levels);
        let entries = entries(&steps);
        let found = lines(&apply(&mut engine(rate("1 s", over, &levels)), entries.clone()));
        let over = over.map(|over| Span::parse(over).unwrap());
        same(&found, &rates(Span::from_secs(1), over, &entries).judged(&levels))?;
    }

    #[test]
    fn neither_cut_nor_crash_changes_an_event_of_a_number(
        text in window_text(),
        levels in levels(),
        steps in series(),
        cuts in cuts(),
    ) {
        let rules = [
            ("deviation", RuleKind::Deviation(limit(&levels))),
            ("rate", rate("1 s", None, &levels)),
            ("rate-over", rate("1 min", Some("10 s"), &levels)),
            ("window", window(&text, &levels)),
        ];
        neither_cut_nor_crash(&Arc::new(contract(&["m"], &rules, Clock::Recorded)), &entries(&steps), &cuts)?;
    }
}

#[test]
fn the_reference_knows_what_is_good() {
    let mut made = sample(1, 0, 0, Quality::BAD, 1.0);
    assert_eq!(good(&made), None);
    (made.quality, made.value) = (Quality::GOOD, Value::F64(2.0));
    assert_eq!(good(&made), Some(2.0));
}

/// What a rule tells of one series under one contract after the other.
fn edited(kinds: &[RuleKind]) -> Vec<String> {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    for name in ["t", "other"] {
        store.signal(&asset("m"), &signal(name)).unwrap();
    }
    let mut entries = timeline("0 20\n5 other 1\n11 20\n12 20\n21 20\n22 20");
    for kind in kinds {
        let rules = Arc::new(contract(&["m"], &[("hot", kind.clone())], Clock::Recorded));
        let mut rules = Loop::new(store.clone(), rules, Time(0)).unwrap();
        if !entries.is_empty() {
            store.append(vec![part(std::mem::take(&mut entries))]).unwrap();
        }
        while rules.step(Time(0), Span::ZERO).unwrap() == Progress::Worked {}
        rules.stop().unwrap();
    }
    let stored = store.events_after(0, 100).unwrap();
    stored.iter().map(|stored| format!("{} {}", line(&stored.event), stored.event.data["reason"])).collect()
}

#[test]
fn an_edit_of_levels_is_judged_and_one_of_the_number_ends_an_alarm() {
    let active = "10 activated High 20 null";
    let mean = |levels| window("mean over 10 s", levels);
    assert_eq!(edited(&[mean("High 10"), mean("High 5, OnDelay 1 h")]), [active]);
    let higher = edited(&[mean("High 10"), mean("High 50")]);
    assert!(higher[0] == active && higher[1].contains("returned High 20 \"the rule hot was edited"), "{higher:#?}");
    for other in
        [window("mean over 20 s", "High 10"), window("max over 10 s", "High 10"), RuleKind::Limit(limit("High 10"))]
    {
        let ended = edited(&[mean("High 10"), other]);
        assert!(ended.len() == 2 && ended[0] == active, "{ended:#?}");
        assert!(ended[1].contains("returned High 20 \"the rule hot now reads something else"), "{ended:#?}");
    }
    let fast = |per, levels| rate(per, None, levels);
    assert_eq!(edited(&[fast("1 s", "Low 1"), fast("1 s", "Low 2")]), ["11 activated Low 0 null"]);
    assert_eq!(edited(&[fast("1 s", "Low 1"), fast("1 min", "Low 1")]).len(), 2);
    let deviation = |levels| RuleKind::Deviation(limit(levels));
    assert_eq!(edited(&[deviation("High 10"), deviation("High 12")]), ["5 activated High 19 null"]);
    assert_eq!(edited(&[deviation("High 10"), deviation("High 30")]).len(), 2);
}
