//! Spectra: a feature of each block of a waveform, judged by limits like a value of its own.
//!
//! - A sample of the signal is a block. What the limits see is its feature, at the time and place of the block; the
//!   evidence holds features, not blocks, which stay in the historian.
//! - A block that cannot be read, or does not have the feature, is like a sample of bad quality: it never begins, ends
//!   or delays anything. The first of them is told as `asset.condition` with the reason, and so is the first good block
//!   after them, with their number.
//! - Where the limits are the boundaries of zones, an alarm says the zone: above B/C (High) it is C, above C/D
//!   (`HighHigh`) it is D.

pub mod block;
pub mod feature;
mod why;

use super::{Armed, Bench, Change, Condition, Fact, limit};
use crate::{
    diagram::Diagram,
    evidence::{Gather, Raw},
    identity::{Cause, ChangeKind, EventType},
};
use andon_contract::contract::{Band, Feature, LimitLevel, SpectrumSettings, Waveform, WaveformFormat};
use andon_model::{EventId, Position, Quality, Sample, Time, Value};
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// Its states; those of the alarm are the states of a limit.
pub const DIAGRAM: Diagram = Diagram {
    kind: "spectrum",
    begins: "Readable",
    steps: &[
        ("Readable", "Readable", "a good block with the feature, which the limits judge"),
        ("Readable", "Unreadable", "a good block without it, the first (unreadable)"),
        ("Unreadable", "Unreadable", "another one, which is counted"),
        ("Unreadable", "Readable", "a good block with the feature (readable)"),
    ],
};

/// The settings of the contract, with the transform that is used again.
#[derive(Debug, Clone)]
pub struct Settings {
    waveform: Waveform,
    feature: Feature,
    pub(super) limit: limit::Settings,
    zones: bool,
    plan: feature::Plan,
}

impl Settings {
    /// From the contract.
    pub fn new(settings: &SpectrumSettings) -> Self {
        Self {
            waveform: settings.waveform,
            feature: settings.feature,
            limit: limit::Settings::new(&settings.limit),
            zones: settings.zones,
            plan: feature::Plan::default(),
        }
    }
}

/// What a spectrum remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) judge: limit::State,
    /// Whether alarms say their zone; kept for the end of a rule that is removed.
    zones: bool,
    /// The blocks that could not be read, since the last one that could.
    unreadable: Option<Unreadable>,
}

/// Blocks that cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unreadable {
    story: EventId,
    blocks: u64,
    reason: String,
}

impl State {
    /// The next block that is not late.
    pub fn sample(&mut self, set: &mut Settings, at: Position, sample: &Sample, bench: &mut Bench) -> Armed {
        let mut judged = Sample { value: Value::Bool(false), ..*sample };
        if sample.quality.is_good() {
            let samples = block::decode(&set.waveform, &sample.value);
            match samples.and_then(|block| feature::feature(set.feature, set.waveform.rate, block, &mut set.plan)) {
                Ok(found) => {
                    judged.value = Value::F64(found);
                    self.readable(at, &judged, bench);
                }
                Err(refusal) => {
                    let reason = refusal.to_string();
                    judged.quality = Quality::BAD;
                    judged.value = Value::Text(reason.as_str().into());
                    self.unreadable(reason, at, &judged, bench);
                }
            }
        } else {
            judged.value = Value::Text(format!("not judged: its quality is {}", sample.quality).into());
        }
        self.zones = set.zones;
        self.judging(bench, |judge, bench| judge.sample(&set.limit, at, &judged, bench))
    }

    /// Lets the limits judge, and says of what they find that a spectrum found it.
    fn judging<T>(&mut self, bench: &mut Bench, judge: impl FnOnce(&mut limit::State, &mut Bench) -> T) -> T {
        let before = bench.out.len();
        let found = judge(&mut self.judge, bench);
        for change in bench.out.iter_mut().skip(before) {
            if let Fact::Alarm(alarm) = &mut change.fact {
                alarm.condition = Condition::Spectrum;
                alarm.outcome = alarm.level.filter(|_| self.zones).and_then(zone).map(str::to_owned);
            }
        }
        found
    }

    fn unreadable(&mut self, reason: String, at: Position, judged: &Sample, bench: &mut Bench) {
        if let Some(known) = &mut self.unreadable {
            known.blocks = known.blocks.saturating_add(1);
            known.reason = reason;
            return;
        }
        let id = bench.identity.event_id(EventType::Condition, ChangeKind::Unreadable, "", Cause::Sample(at));
        let told = Unreadable { story: id, blocks: 1, reason };
        bench.out.push(told.change(ChangeKind::Unreadable, id, at, judged, bench));
        self.unreadable = Some(told);
    }

    fn readable(&mut self, at: Position, judged: &Sample, bench: &mut Bench) {
        let Some(told) = self.unreadable.take() else { return };
        let id = bench.identity.event_id(EventType::Condition, ChangeKind::Readable, "", Cause::Sample(at));
        bench.out.push(told.change(ChangeKind::Readable, id, at, judged, bench));
    }

    /// The conditions of its rule hold again, or do not any more.
    pub fn guard(&mut self, set: &Settings, by: Option<(Position, Time)>, bench: &mut Bench) -> Armed {
        self.judging(bench, |judge, bench| judge.guard(&set.limit, by, bench))
    }

    /// The plant time at which its next timer runs out.
    pub fn deadline(&self, set: &Settings) -> Option<Time> {
        self.judge.deadline(&set.limit)
    }

    /// Lets every timer fire whose deadline lies before `clock`.
    pub fn fire(&mut self, set: &Settings, clock: Time, bench: &mut Bench) {
        self.judging(bench, |judge, bench| judge.fire(&set.limit, clock, bench));
    }

    /// Ends an active alarm that these settings no longer hold. The feature that decided is the one of before: where
    /// another one is judged now, the next block says what holds.
    pub fn after_edit(&mut self, set: &Settings, at: Position, reason: &str, bench: &mut Bench) {
        self.zones = set.zones;
        self.judging(bench, |judge, bench| judge.after_edit(&set.limit, at, reason, bench));
    }

    /// Ends an active alarm because of an edit.
    pub fn end(&mut self, at: Position, reason: &str, bench: &mut Bench) {
        self.judging(bench, |judge, bench| judge.end(at, reason, bench));
    }
}

impl Unreadable {
    fn change(&self, kind: ChangeKind, id: EventId, at: Position, judged: &Sample, bench: &Bench) -> Change {
        let mut fields = Map::new();
        fields.insert("condition".to_owned(), Condition::Spectrum.word().into());
        fields.insert("signal".to_owned(), bench.name(0).into());
        fields.insert("blocks".to_owned(), self.blocks.into());
        fields.insert("reason".to_owned(), self.reason.as_str().into());
        Change {
            kind,
            id,
            story: self.story,
            time: judged.time,
            fact: Fact::Other(EventType::Condition, fields),
            evidence: Gather::from(Raw::new(at, judged)).finish(bench.signal()),
        }
    }
}

/// Reads bytes as a block and works every feature out of it, for a fuzz target: the first byte chooses the format.
/// Never panics, and what it finds is a number.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let format =
        WaveformFormat::ALL.into_iter().cycle().nth(usize::from(*which)).map_or(WaveformFormat::Json, |(f, _)| f);
    let value = match format {
        WaveformFormat::Json => Value::Text(String::from_utf8_lossy(data).into_owned().into()),
        WaveformFormat::F32Le | WaveformFormat::F64Le | WaveformFormat::I16Le => Value::Bytes(data.into()),
    };
    let waveform = Waveform { format, rate: 10_240.0, scale: f64::from(*which) };
    let Ok(samples) = block::decode(&waveform, &value) else { return };
    let band = Band { from: 300.0, to: 5_120.0 };
    let all = [
        Feature::VelocityRms(band),
        Feature::Band(band),
        Feature::Rms,
        Feature::Peak,
        Feature::CrestFactor,
        Feature::Kurtosis,
    ];
    let mut plan = feature::Plan::default();
    for of in all {
        if let Ok(found) = feature::feature(of, waveform.rate, samples.clone(), &mut plan) {
            assert!(found.is_finite() && found >= 0.0, "{of:?} is {found}");
        }
    }
}

/// The zone that a level begins.
fn zone(level: LimitLevel) -> Option<&'static str> {
    match level {
        LimitLevel::HighHigh => Some("D"),
        LimitLevel::High => Some("C"),
        LimitLevel::Low | LimitLevel::LowLow => None,
    }
}
