//! What must hold for every series: a naive reference agrees, and neither the cut into batches nor
//! a crash at any place changes an event.

use crate::common::{SECOND, apply, asset, contract, engine, limit, line, lines, part, sample, signal, stale};
use andon_contract::{
    Contract,
    contract::{Clock, LimitLevel, LimitSettings, RuleKind},
};
use andon_events::{Loop, Progress};
use andon_model::{Entry, Mark, Quality, Sample, Time, Value, sample::Origin, span::Span};
use andon_store::{Fault, Store, StoredEvent};
use proptest::prelude::*;
use std::sync::Arc;

/// One step of a series: seconds forward (late when negative), what, and a value.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    forward: i64,
    what: u8,
    value: i16,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (prop_oneof![8 => 0_i64..8, 1 => 20_i64..90, 1 => -6_i64..0], 0_u8..12, -20_i16..140)
        .prop_map(|(forward, what, value)| Step { forward, what, value });
    prop::collection::vec(step, 1..120)
}

fn settings() -> impl Strategy<Value = LimitSettings> {
    let delay = || prop_oneof![Just("0 s"), Just("5 s"), Just("20 s")];
    let limits = prop::sample::select(vec![
        "High 100",
        "Low 10",
        "High 100, Low 10",
        "HighHigh 120, High 100, Low 10, LowLow 0",
        "HighHigh 120, LowLow 0",
    ]);
    (limits, prop_oneof![Just(0), Just(5), Just(95)], delay(), delay(), prop::bool::ANY).prop_map(
        |(limits, deadband, on, off, again)| {
            let again = if again { ", ReAlarmTime 7 s" } else { "" };
            limit(&format!("{limits}, Deadband {deadband}, OnDelay {on}, OffDelay {off}{again}"))
        },
    )
}

pub(crate) fn entries(steps: &[Step]) -> Vec<Entry> {
    let mut clock = 1_000;
    let mut received = 1_000;
    steps
        .iter()
        .map(|step| {
            received += step.forward.max(0);
            let time = clock + step.forward;
            clock = clock.max(time);
            let of = |number, quality| {
                Entry::Sample(sample(number, time * SECOND, received * SECOND, quality, f64::from(step.value)))
            };
            match step.what {
                0 => of(2, Quality::GOOD),
                1 => of(1, Quality::BAD),
                2 => of(1, Quality::UNCERTAIN),
                3 => {
                    let (plant, utc) = (Time(time * SECOND), Time(received * SECOND));
                    Entry::Mark(Mark::Tick { asset: asset("m"), plant, utc })
                }
                4 => match of(1, Quality::GOOD) {
                    Entry::Sample(sample) => Entry::Sample(Sample { origin: Origin::RetainedUntimed, ..sample }),
                    mark @ Entry::Mark(_) => mark,
                },
                _ => of(1, Quality::GOOD),
            }
        })
        .collect()
}

/// The semantics as somebody would write them down who has all day: nothing is kept but the good
/// values so far, and every question is answered by walking back over them.
struct Naive<'a> {
    set: &'a LimitSettings,
    good: Vec<(Time, f64)>,
    active: Option<(LimitLevel, Time)>,
    told: u32,
    lines: Vec<String>,
}

impl Naive<'_> {
    fn at(&self, level: LimitLevel) -> Option<f64> {
        self.set.limits.get(&level).map(|l| l.value)
    }

    fn level(&self, value: f64) -> Option<LimitLevel> {
        use LimitLevel::{High, HighHigh, Low, LowLow};
        [HighHigh, High]
            .into_iter()
            .find(|l| self.at(*l).is_some_and(|x| value > x))
            .or_else(|| [LowLow, Low].into_iter().find(|l| self.at(*l).is_some_and(|x| value < x)))
    }

    /// The level that holds while active, or `None` when the value is back.
    fn held(&self, value: f64, active: LimitLevel) -> Option<LimitLevel> {
        use LimitLevel::{High, HighHigh, Low, LowLow};
        if let Some(level) = self.level(value) {
            return Some(level);
        }
        let inner = match active {
            HighHigh | High => [High, HighHigh].into_iter().find(|l| self.at(*l).is_some())?,
            Low | LowLow => [Low, LowLow].into_iter().find(|l| self.at(*l).is_some())?,
        };
        let limit = self.at(inner)?;
        let held = match inner {
            HighHigh | High => value > limit - self.set.deadband,
            Low | LowLow => value < limit + self.set.deadband,
        };
        held.then_some(inner)
    }

    fn high(level: LimitLevel) -> bool {
        matches!(level, LimitLevel::HighHigh | LimitLevel::High)
    }

    fn since(&self, holds: impl Fn(f64) -> bool) -> Option<Time> {
        self.good.iter().rev().take_while(|(_, v)| holds(*v)).last().map(|(t, _)| *t)
    }

    fn say(&mut self, at: Time, what: &str, level: LimitLevel) {
        let value = self.good.last().unwrap().1;
        #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
        let seconds = at.0 as f64 / 1e9;
        self.lines.push(format!("{seconds} {what} {level:?} {value}"));
    }

    fn expire(&mut self, clock: Time) {
        loop {
            let Some(last) = self.good.last().map(|(_, v)| *v) else { return };
            match self.active {
                None => {
                    let Some(level) = self.level(last) else { return };
                    let same = |v| self.level(v).is_some_and(|l| Self::high(l) == Self::high(level));
                    let deadline = self.since(same).unwrap().plus(self.set.on_delay);
                    if deadline >= clock {
                        return;
                    }
                    self.say(deadline, "activated", level);
                    self.active = Some((level, deadline));
                    self.told = 0;
                }
                Some((level, since)) => {
                    let back = self.since(|v| self.held(v, level).is_none());
                    let off = back.map_or(Time::MAX, |t| t.plus(self.set.off_delay));
                    let again = self.set.realarm.map_or(Time::MAX, |span| {
                        since.plus(Span::from_nanos(span.nanos() * (i64::from(self.told) + 1)))
                    });
                    if off.min(again) >= clock {
                        return;
                    }
                    if off <= again {
                        self.say(off, "returned", level);
                        self.active = None;
                    } else {
                        self.say(again, "realarmed", level);
                        self.told += 1;
                    }
                }
            }
        }
    }

    fn good(&mut self, time: Time, value: f64) {
        self.good.push((time, value));
        match self.active {
            None => {
                if let Some(level) = self.level(value).filter(|_| self.set.on_delay == Span::ZERO) {
                    self.say(time, "activated", level);
                    self.active = Some((level, time));
                    self.told = 0;
                }
            }
            Some((level, since)) => match self.held(value, level) {
                Some(new) if new != level => {
                    self.say(time, "level", new);
                    self.active = Some((new, since));
                }
                None if self.set.off_delay == Span::ZERO => {
                    self.say(time, "returned", level);
                    self.active = None;
                }
                Some(_) | None => {}
            },
        }
    }
}

fn naive(set: &LimitSettings, entries: &[Entry]) -> Vec<String> {
    let mut this = Naive { set, good: Vec::new(), active: None, told: 0, lines: Vec::new() };
    let mut newest = [Time::MIN; 3];
    for entry in entries {
        match entry {
            Entry::Mark(Mark::Tick { plant, .. }) => this.expire(*plant),
            Entry::Mark(_) => {}
            Entry::Sample(s) if s.origin == Origin::RetainedUntimed => {}
            Entry::Sample(s) => {
                let newest = &mut newest[s.signal.0 as usize];
                if s.time < *newest {
                    continue;
                }
                *newest = s.time;
                this.expire(s.time);
                if let (1, true, Value::F64(value)) = (s.signal.0, s.quality.is_good(), &s.value) {
                    this.good(s.time, *value);
                }
            }
        }
    }
    this.lines
}

/// A store whose instance is always the same, so that ids can be compared.
pub(crate) fn store() -> Store {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    assert_eq!(store.signal(&asset("m"), &signal("t")).unwrap().0, 1);
    assert_eq!(store.signal(&asset("m"), &signal("other")).unwrap().0, 2);
    store
}

fn rules(set: &LimitSettings) -> Arc<andon_contract::Contract> {
    let rules = [("hot", RuleKind::Limit(set.clone())), ("silent", RuleKind::Stale(stale("30 s")))];
    Arc::new(contract(&["m"], &rules, Clock::Recorded))
}

pub(crate) fn drain(rules: &mut Loop, monotonic: Span) {
    while rules.step(Time(0), monotonic).unwrap() == Progress::Worked {}
}

pub(crate) fn told(store: &Store) -> Vec<StoredEvent> {
    let mut all = store.events_after(0, usize::MAX >> 1).unwrap();
    all.sort_by_key(|stored| stored.event.id);
    for stored in &mut all {
        stored.sequence = 0;
    }
    all
}

/// What happens between two pieces of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Between {
    Nothing,
    Step,
    Crash,
    StepAndCrash,
    SaveAndCrash,
    Stop,
    /// A write of a step fails, before or after it is done, and everything ends there.
    Fail {
        skipped: u64,
        fault: Fault,
    },
}

fn between() -> impl Strategy<Value = Between> {
    use Between::{Crash, Nothing, SaveAndCrash, Step, StepAndCrash, Stop};
    let fault = prop_oneof![Just(Fault::Before), Just(Fault::After)];
    let fail = (0_u64..3, fault).prop_map(|(skipped, fault)| Between::Fail { skipped, fault });
    prop_oneof![Just(Nothing), Just(Step), Just(Crash), Just(StepAndCrash), Just(SaveAndCrash), Just(Stop), fail]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_agrees(set in settings(), steps in steps()) {
        let entries = entries(&steps);
        let mut engine = engine(RuleKind::Limit(set.clone()));
        prop_assert_eq!(lines(&apply(&mut engine, entries.clone())), naive(&set, &entries));
    }

    #[test]
    fn neither_cut_nor_crash_changes_an_event(set in settings(), steps in steps(), cuts in cuts()) {
        neither_cut_nor_crash(&rules(&set), &entries(&steps), &cuts)?;
    }
}

/// Lengths of pieces of the log, each with what happens behind it.
pub(crate) type Cuts = Vec<(usize, Between)>;

pub(crate) fn cuts() -> impl Strategy<Value = Cuts> {
    prop::collection::vec((1_usize..20, between()), 1..40)
}

/// The rules of a contract make the same events of a log, however it is cut, and wherever the process ends.
pub(crate) fn neither_cut_nor_crash(
    contract: &Arc<Contract>,
    entries: &[Entry],
    cuts: &Cuts,
) -> Result<(), TestCaseError> {
    let whole = store();
    let mut once = Loop::new(whole.clone(), Arc::clone(contract), Time(0)).unwrap();
    whole.append(vec![part(entries.to_vec())]).unwrap();
    drain(&mut once, Span::ZERO);

    let cut = store();
    let mut rules = Loop::new(cut.clone(), Arc::clone(contract), Time(0)).unwrap();
    let mut rest = entries;
    let mut monotonic = Span::ZERO;
    for (length, between) in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (head, tail) = rest.split_at((*length).min(rest.len()));
        rest = tail;
        cut.append(vec![part(head.to_vec())]).unwrap();
        match between {
            Between::Nothing | Between::Crash => {}
            Between::Step | Between::StepAndCrash | Between::SaveAndCrash => {
                if matches!(between, Between::SaveAndCrash) {
                    monotonic = Span::from_nanos(monotonic.nanos() + 11 * SECOND);
                }
                rules.step(Time(0), monotonic).unwrap();
            }
            Between::Stop => rules.stop().unwrap(),
            Between::Fail { skipped, fault } => {
                cut.plan_fault(*skipped, *fault);
                // What it fails at it takes up again after the end; a step that writes less does not fail.
                let _ = rules.step(Time(0), monotonic);
                // What did not fail yet shall not be a write of the test.
                for _ in 0..=*skipped {
                    drop(cut.commit(Vec::new()));
                }
            }
        }
        if !matches!(between, Between::Nothing | Between::Step) {
            rules = Loop::new(cut.clone(), Arc::clone(contract), Time(0)).unwrap();
        }
    }
    drain(&mut rules, monotonic);
    prop_assert_eq!(told(&whole), told(&cut));
    prop_assert_eq!(once.counts(), rules.counts());
    prop_assert_eq!(rules.waiting().unwrap(), 0);
    let stored = entries.iter().filter(|e| matches!(e, Entry::Sample(_))).count() as u64;
    prop_assert_eq!(rules.counts().evaluated + rules.counts().late, stored);
    for event in told(&cut) {
        let (_, evidence) = cut.event(event.event.id).unwrap().unwrap();
        prop_assert_eq!(&evidence, &whole.event(event.event.id).unwrap().unwrap().1, "{}", line(&event.event));
    }
    Ok(())
}
