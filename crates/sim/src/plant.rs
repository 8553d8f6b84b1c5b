//! The plant: machines whose values wander, and a source that repeats, delays and loses its connection.

use crate::{chance::Chance, project};
use andon_model::{
    AssetName, Entry, Mark, Name, Quality, Sample, SignalName, SignalNo, SiteName, Time, Value,
    sample::{Counts, Origin, Part},
    span::Span,
};
use andon_store::{Store, StoreError};

/// One wandering value.
#[derive(Debug, Clone)]
struct Wander {
    signal: SignalNo,
    value: i64,
    low: i64,
    high: i64,
    /// Says nothing until then.
    silent: Time,
}

/// The machines and their source.
#[derive(Debug, Clone)]
pub struct Plant {
    wanders: Vec<Wander>,
    /// What the broker keeps while the source is away.
    backlog: Vec<Sample>,
    connected: bool,
    last: Option<Sample>,
}

impl Plant {
    /// Every press stands in the middle of its range.
    pub fn new(store: &Store) -> Result<Self, StoreError> {
        let mut wanders = Vec::new();
        for asset in project::assets() {
            for (name, low, high) in [("temperature", 0, 140), ("speed", 0, 80)] {
                wanders.push(Wander {
                    signal: number(store, &asset, name)?,
                    value: i64::midpoint(low, high),
                    low,
                    high,
                    silent: Time::MIN,
                });
            }
        }
        Ok(Self { wanders, backlog: Vec::new(), connected: true, last: None })
    }

    /// What reaches the log now, if anything.
    pub fn speak(&mut self, chance: &mut Chance, now: Time) -> Option<Part> {
        let mut part = Part::new(SiteName::new("home").expect("it is a name"), source());
        if chance.percent(4) {
            self.connected = !self.connected;
            let lost = || Mark::Disconnected("the broker is gone".into());
            part.entries.push(Entry::Mark(if self.connected { Mark::Connected } else { lost() }));
            if self.connected {
                let backlog = self.backlog.drain(..).map(|sample| Sample { received: whole(now), ..sample });
                part.entries.extend(backlog.map(Entry::Sample));
            }
        }
        for _ in 0..chance.between(0, 12) {
            let Some(sample) = self.sample(chance, now) else { continue };
            if self.connected {
                self.last = Some(sample.clone());
                part.entries.push(Entry::Sample(sample));
            } else {
                self.backlog.push(sample);
            }
        }
        let stored = part.entries.iter().filter(|entry| matches!(entry, Entry::Sample(_))).count() as u64;
        part.counts = Counts { received: stored, stored, ..Counts::default() };
        (!part.is_empty()).then_some(part)
    }

    fn sample(&mut self, chance: &mut Chance, now: Time) -> Option<Sample> {
        if chance.percent(3)
            && let Some(last) = &self.last
        {
            // Same time, other value: both are kept.
            return Some(Sample { value: number_value(chance.between(0, 140)), received: whole(now), ..last.clone() });
        }
        let at = usize::try_from(chance.below(self.wanders.len() as u64)).unwrap_or(0);
        let wander = self.wanders.get_mut(at)?;
        if chance.percent(1) {
            wander.silent = now.plus(Span::from_secs(chance.between(30, 600)));
        }
        if now < wander.silent {
            return None;
        }
        let jump = if chance.percent(5) { 60 } else { 6 };
        wander.value = (wander.value + chance.between(-jump, jump)).clamp(wander.low, wander.high);
        let mut sample = Sample {
            signal: wander.signal,
            time: Time(now.0 - chance.between(0, 300_000_000)),
            received: whole(now),
            quality: Quality::GOOD,
            value: number_value(wander.value),
            origin: Origin::Live,
        };
        match chance.below(40) {
            0 | 1 => sample.quality = Quality::BAD,
            2 => sample.quality = Quality::UNCERTAIN,
            3 | 4 => sample.time = sample.time.minus(Span::from_secs(chance.between(1, 90))),
            5 => sample.origin = Origin::Retained,
            6 => {
                sample.origin = Origin::RetainedUntimed;
                sample.quality = Quality::UNCERTAIN;
                sample.time = sample.received;
            }
            7 => {
                sample.origin = Origin::Ahead(now.plus(Span::from_secs(3_600)));
                sample.quality = Quality::UNCERTAIN;
                sample.time = sample.received;
            }
            _ => {}
        }
        Some(sample)
    }
}

fn whole(now: Time) -> Time {
    Time::from_millis(now.millis())
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number_value(number: i64) -> Value {
    Value::F64(number as f64)
}

fn number(store: &Store, asset: &AssetName, signal: &str) -> Result<SignalNo, StoreError> {
    store.signal(asset, &SignalName::new(signal).expect("it is a name"))
}

fn source() -> Name {
    Name::new("plc").expect("it is a name")
}
