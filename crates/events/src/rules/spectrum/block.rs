//! Reads a block of a waveform: foreign bytes become numbers, or a reason why not.

use andon_contract::contract::{Waveform, WaveformFormat};
use andon_model::Value;

/// The shortest block of which anything is said, in samples of the waveform.
pub const BLOCK_SAMPLES_MIN: usize = 16;

/// Why nothing is said of a block.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Neither bytes, nor a text where one is expected.
    #[error("the value is {found}, and the waveform is written as {wanted}")]
    Kind {
        /// What it is.
        found: &'static str,
        /// What the rule says.
        wanted: &'static str,
    },
    /// A last number that is cut.
    #[error("{bytes} bytes are no whole number of samples of {each} bytes")]
    Cut {
        /// Of the block.
        bytes: usize,
        /// Of a number.
        each: usize,
    },
    /// A text that is no array of numbers.
    #[error("no JSON array of numbers: {0}")]
    Json(String),
    /// Not a number, or infinite.
    #[error("the sample {0} of the block is no finite number")]
    NotFinite(usize),
    /// Too few numbers for anything.
    #[error("{0} samples are too few: at least {BLOCK_SAMPLES_MIN} are needed")]
    TooFew(usize),
    /// Too short for the lowest frequency of the band.
    #[error("the block lasts {lasts} s and the band begins at {from} Hz: a block of at least {needed} s is needed")]
    TooShort {
        /// Seconds.
        lasts: f64,
        /// The lowest frequency of the band in Hz.
        from: f64,
        /// Seconds.
        needed: f64,
    },
    /// All numbers are equal, and the feature is a ratio.
    #[error("all samples are equal: the ratio of nothing to nothing is none")]
    Flat,
    /// Numbers whose powers are beyond what f64 holds.
    #[error("the samples are too large, or too small, to be worked with")]
    TooLarge,
}

/// The samples of a block, scaled.
///
/// # Errors
/// The value is no such block. It never panics, whatever the value is.
pub fn decode(waveform: &Waveform, value: &Value) -> Result<Vec<f64>, Refusal> {
    let mut samples = match (waveform.format, value) {
        (WaveformFormat::F32Le, Value::Bytes(bytes)) => numbers(bytes, |b: [u8; 4]| f64::from(f32::from_le_bytes(b)))?,
        (WaveformFormat::F64Le, Value::Bytes(bytes)) => numbers(bytes, f64::from_le_bytes)?,
        (WaveformFormat::I16Le, Value::Bytes(bytes)) => numbers(bytes, |b: [u8; 2]| f64::from(i16::from_le_bytes(b)))?,
        (WaveformFormat::Json, Value::Text(text)) => {
            serde_json::from_str::<Vec<f64>>(text).map_err(|error| Refusal::Json(error.to_string()))?
        }
        (WaveformFormat::Json, other) => return Err(Refusal::Kind { found: word(other), wanted: "a text" }),
        (_, other) => return Err(Refusal::Kind { found: word(other), wanted: "bytes" }),
    };
    for (number, sample) in samples.iter_mut().enumerate() {
        *sample *= waveform.scale;
        if !sample.is_finite() {
            return Err(Refusal::NotFinite(number));
        }
    }
    if samples.len() < BLOCK_SAMPLES_MIN {
        return Err(Refusal::TooFew(samples.len()));
    }
    Ok(samples)
}

fn numbers<const EACH: usize>(bytes: &[u8], read: impl Fn([u8; EACH]) -> f64) -> Result<Vec<f64>, Refusal> {
    let (chunks, rest) = bytes.as_chunks::<EACH>();
    if !rest.is_empty() {
        return Err(Refusal::Cut { bytes: bytes.len(), each: EACH });
    }
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "a truth value",
        Value::I64(_) | Value::F64(_) => "a number",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
    }
}
