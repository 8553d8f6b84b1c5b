//! Evidence: the samples of a condition, gathered while it lasts and copied into the event.

mod form;
mod shared;

pub(crate) use form::{Rests, Sharing, from_file, into_file};

use andon_model::{Position, Quality, Sample, Time, Value};
use andon_store::rows::{EVIDENCE_SAMPLES_MAX, Evidence, EvidenceSample};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::{fmt::Write as _, sync::Arc};

/// Stretches between the first and the last sample; each keeps two, so that all fit
/// [`EVIDENCE_SAMPLES_MAX`]. Even, because full stretches are merged in pairs.
const STRETCHES_MAX: usize = EVIDENCE_SAMPLES_MAX / 2 - 2;

/// A sample with its place, as a rule's state keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// Its place in the log.
    pub position: Position,
    /// The time of the source.
    pub time: Time,
    /// When it was received.
    pub received: Time,
    /// Its quality.
    pub quality: Quality,
    /// Its value.
    pub value: Value,
    /// The number of its signal among the inputs of its rule; 0 is the one the rule stands on.
    pub input: u8,
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

impl Raw {
    /// A sample of the signal the rule stands on, at its place.
    #[inline]
    pub fn new(position: Position, sample: &Sample) -> Self {
        Self::of(0, position, sample)
    }

    /// A sample of an input of the rule, at its place.
    #[inline]
    pub fn of(input: u8, position: Position, sample: &Sample) -> Self {
        Self {
            input,
            position,
            time: sample.time,
            received: sample.received,
            quality: sample.quality,
            value: sample.value.clone(),
        }
    }

    fn number(&self) -> Option<f64> {
        self.value.number().filter(|x| x.is_finite())
    }

    fn copy(&self, signals: &[impl AsRef<str>]) -> EvidenceSample {
        EvidenceSample {
            position: self.position,
            signal: signals.get(usize::from(self.input)).map_or("", AsRef::as_ref).to_owned(),
            time: self.time,
            received: self.received,
            quality: self.quality.0,
            value: self.value.to_json(),
        }
    }
}

/// The next link of the chain over the full range: SHA-256 over the link before (32 zero bytes
/// before the first), epoch, offset, time in ns and quality in little-endian order, a byte for the
/// kind of the value (0 bool, 1 whole number, 2 number, 3 text, 4 bytes) and the value: 1 byte, 8
/// bytes, or the bytes behind their length as u64.
pub fn chain(before: [u8; 32], raw: &Raw) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(raw.position.epoch.to_le_bytes());
    hash.update(raw.position.offset.to_le_bytes());
    hash.update(raw.time.0.to_le_bytes());
    hash.update(raw.quality.0.to_le_bytes());
    let mut long = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match &raw.value {
        Value::Bool(b) => hash.update([0, u8::from(*b)]),
        Value::I64(n) => {
            hash.update([1]);
            hash.update(n.to_le_bytes());
        }
        Value::F64(x) => {
            hash.update([2]);
            hash.update(x.to_le_bytes());
        }
        Value::Text(text) => long(3, text.as_bytes()),
        Value::Bytes(bytes) => long(4, bytes),
    }
    hash.finalize().into()
}

/// A range of samples while it grows: the first, the last, the extremes of equal stretches
/// between, how many there were, and the chain over all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gather {
    first: Raw,
    /// All behind the first; made with the second sample, so that a range of one costs a copy.
    #[serde(serialize_with = "form::write_rest", deserialize_with = "form::read_rest")]
    rest: Option<Arc<Rest>>,
}

/// All of a range behind its first sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rest {
    last: Raw,
    count: u64,
    hash: [u8; 32],
    /// Samples of a stretch: 2 as long as all are kept, doubled whenever the stretches are full.
    stretch: u64,
    /// Samples in the stretch that is being filled; 0 when the next sample begins a new one.
    fill: u64,
    /// Of each stretch the lowest and the highest; of a stretch of two simply both.
    stretches: Vec<(Raw, Raw)>,
}

impl Gather {
    /// A range that begins with this sample.
    pub fn from(first: Raw) -> Self {
        Self { first, rest: None }
    }

    /// A range of samples that are all at hand, in their order; `None` where there is none.
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Raw>) -> Option<Self> {
        let mut samples = samples.into_iter();
        let mut gather = Self::from(samples.next()?.clone());
        samples.for_each(|raw| gather.push(raw.clone()));
        Some(gather)
    }

    /// Begins anew with this sample.
    pub fn restart(&mut self, first: Raw) {
        self.first = first;
        self.rest = None;
    }

    /// The next sample of the range.
    pub fn push(&mut self, raw: Raw) {
        match &mut self.rest {
            None => self.rest = Some(shared::begin(&self.first, raw)),
            Some(rest) => shared::push(rest, raw),
        }
    }

    /// The first sample.
    pub fn first(&self) -> &Raw {
        &self.first
    }

    /// The newest sample.
    pub fn last(&self) -> &Raw {
        self.rest.as_ref().map_or(&self.first, |rest| &rest.last)
    }

    /// A range of one signal as evidence; `signal` is `<asset>/<signal>`.
    pub fn finish(&self, signal: &str) -> Evidence {
        self.finish_all(&[signal])
    }

    /// A range of several signals as evidence: `<asset>/<signal>` by the numbers of the rule's inputs.
    pub fn finish_all(&self, signals: &[impl AsRef<str>]) -> Evidence {
        let mut samples = vec![self.first.copy(signals)];
        let (count, hash) = match &self.rest {
            None => (1, chain([0; 32], &self.first)),
            Some(rest) => {
                for (a, b) in &rest.stretches {
                    let (early, late) = if a.position <= b.position { (a, b) } else { (b, a) };
                    samples.push(early.copy(signals));
                    if early.position != late.position {
                        samples.push(late.copy(signals));
                    }
                }
                samples.push(rest.last.copy(signals));
                (rest.count, rest.hash)
            }
        };
        Evidence {
            from: self.first.position,
            to: self.last().position,
            count,
            hash: hex(&hash),
            samples,
            saw: Json::Null,
        }
    }
}

impl Rest {
    fn push(&mut self, raw: Raw) {
        self.hash = chain(self.hash, &raw);
        self.count = self.count.saturating_add(1);
        let inner = std::mem::replace(&mut self.last, raw);
        self.inner(inner);
    }

    fn inner(&mut self, raw: Raw) {
        if self.fill == 0 {
            if self.stretches.len() >= STRETCHES_MAX {
                self.merge();
            }
            self.stretches.push((raw.clone(), raw));
        } else if let Some(stretch) = self.stretches.last_mut() {
            if self.stretch == 2 {
                stretch.1 = raw;
            } else {
                extend(stretch, raw);
            }
        }
        self.fill += 1;
        if self.fill >= self.stretch {
            self.fill = 0;
        }
    }

    fn merge(&mut self) {
        let mut merged = Vec::with_capacity(STRETCHES_MAX);
        let mut old = std::mem::take(&mut self.stretches).into_iter();
        while let Some((a, b)) = old.next() {
            let mut stretch = (a.clone(), a);
            let (c, d) = old.next().unzip();
            for raw in [Some(b), c, d].into_iter().flatten() {
                extend(&mut stretch, raw);
            }
            merged.push(stretch);
        }
        self.stretches = merged;
        self.stretch = self.stretch.saturating_mul(2);
    }
}

/// Takes the sample as lowest or highest of the stretch where it is; one without a number never is.
fn extend(stretch: &mut (Raw, Raw), raw: Raw) {
    let Some(new) = raw.number() else { return };
    let lowest = stretch.0.number().is_none_or(|low| new < low);
    let highest = stretch.1.number().is_none_or(|high| new > high);
    match (lowest, highest) {
        (true, true) => *stretch = (raw.clone(), raw),
        (true, false) => stretch.0 = raw,
        (false, true) => stretch.1 = raw,
        (false, false) => {}
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn raw(offset: u64, value: f64) -> Raw {
        let time = Time::from_millis(i64::try_from(offset).unwrap());
        let position = Position { epoch: 0, offset };
        Raw { position, time, received: time, quality: Quality::GOOD, value: Value::F64(value), input: 0 }
    }

    fn gathered(values: &[f64]) -> Gather {
        let mut all = values.iter().enumerate().map(|(i, v)| raw(i as u64, *v));
        let mut gather = Gather::from(all.next().unwrap());
        all.for_each(|raw| gather.push(raw));
        gather
    }

    #[test]
    fn up_to_the_limit_every_sample_is_kept() {
        for count in [1_usize, 2, 3, 4, 17, 498] {
            let evidence = gathered(&vec![7.0; count]).finish("m/t");
            assert_eq!(evidence.samples.len(), count);
            assert_eq!(evidence.count, count as u64);
            assert!(evidence.samples.windows(2).all(|w| w[0].position < w[1].position));
        }
    }

    #[test]
    fn a_long_range_keeps_first_last_and_extremes() {
        let values: Vec<f64> = (0..100_000)
            .map(|i| match i {
                31_415 => 1_000.0,
                92_653 => -1_000.0,
                i => f64::from(i % 100),
            })
            .collect();
        let evidence = gathered(&values).finish("m/t");
        assert!(evidence.samples.len() <= EVIDENCE_SAMPLES_MAX, "{}", evidence.samples.len());
        assert!(evidence.samples.len() > EVIDENCE_SAMPLES_MAX / 3);
        assert_eq!((evidence.from.offset, evidence.to.offset, evidence.count), (0, 99_999, 100_000));
        assert_eq!(evidence.samples.first().unwrap().position.offset, 0);
        assert_eq!(evidence.samples.last().unwrap().position.offset, 99_999);
        for offset in [31_415, 92_653] {
            assert!(evidence.samples.iter().any(|s| s.position.offset == offset));
        }
    }

    #[test]
    fn the_chain_covers_the_full_range() {
        let values: Vec<f64> = (0..5_000).map(f64::from).collect();
        let hash = values.iter().enumerate().fold([0; 32], |h, (i, v)| chain(h, &raw(i as u64, *v)));
        assert_eq!(gathered(&values).finish("m/t").hash, hex(&hash));
        let mut other = values.clone();
        other[2_500] += 1e-9;
        assert_ne!(gathered(&other).finish("m/t").hash, hex(&hash));
    }

    #[test]
    fn a_range_reads_back_at_every_length() {
        let mut gather = Gather::from(raw(0, 0.1));
        for (i, value) in [
            Value::I64(i64::MIN),
            Value::F64(3.0),
            Value::Bool(true),
            Value::Text("wörter".into()),
            Value::Bytes(vec![0, 255].into()),
        ]
        .into_iter()
        .enumerate()
        {
            let input = u8::try_from(i % 2).unwrap();
            gather.push(Raw { value, input, ..raw(i as u64 + 1, 0.0) });
            let text = serde_json::to_string(&gather).unwrap();
            assert_eq!(serde_json::from_str::<Gather>(&text).unwrap(), gather);
        }
        assert!(serde_json::from_str::<Raw>(r#"[0,0,0,0,0,["0"]]"#).is_err());
        assert!(serde_json::from_str::<Raw>(r#"[0,0,0,0,0,["ä"]]"#).is_err());
    }
}
