//! The value and the quality of a sample.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The longest text of a sample, in bytes.
pub const TEXT_MAX_BYTES: usize = 64 << 10;
/// The longest byte string of a sample.
pub const BYTES_MAX: usize = 1 << 20;

/// What a signal said.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A finite number; NaN and infinities are refused where samples are made.
    F64(f64),
    /// A text of at most 64 KiB.
    Text(Arc<str>),
    /// Bytes, at most 1 MiB.
    Bytes(Arc<[u8]>),
}

/// The kind of a signal's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    I64,
    /// A number.
    F64,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
}

impl Value {
    /// The kind of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::I64(_) => Kind::I64,
            Self::F64(_) => Kind::F64,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
        }
    }

    /// The value as a number, where it is one; a bool is 0 or 1.
    #[expect(clippy::cast_precision_loss, reason = "a limit is compared in floating point")]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::I64(n) => Some(*n as f64),
            Self::F64(x) => Some(*x),
            Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// As JSON; bytes become upper-case hexadecimal text.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(b) => (*b).into(),
            Self::I64(n) => (*n).into(),
            Self::F64(x) => (*x).into(),
            Self::Text(t) => t.as_ref().into(),
            Self::Bytes(b) => hexadecimal(b).into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::I64(n) => write!(f, "{n}"),
            Self::F64(x) => write!(f, "{x}"),
            Self::Text(t) => f.write_str(t),
            Self::Bytes(b) => write!(f, "{} bytes", b.len()),
        }
    }
}

/// Upper-case hexadecimal text of bytes.
fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0').to_ascii_uppercase();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The quality of a sample: an OPC UA `StatusCode` (Part 4, 7.39).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Quality(pub u32);

impl Quality {
    /// Good.
    pub const GOOD: Self = Self(0);
    /// Uncertain.
    pub const UNCERTAIN: Self = Self(0x4000_0000);
    /// Bad.
    pub const BAD: Self = Self(0x8000_0000);

    /// Whether the value may be used: the two highest bits are 00.
    pub fn is_good(self) -> bool {
        self.0 >> 30 == 0
    }

    /// Whether the value must not be used: the highest bit is set.
    pub fn is_bad(self) -> bool {
        self.0 >> 31 == 1
    }

    /// The severity in one word: good, uncertain or bad.
    pub fn word(self) -> &'static str {
        match self.0 >> 30 {
            0 => "good",
            1 => "uncertain",
            _ => "bad",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Debug for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:08X})", self.word(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_is_in_the_two_highest_bits() {
        assert!(Quality(0x0000_0400).is_good());
        assert_eq!(Quality(0x408F_0000).word(), "uncertain");
        assert!(Quality(0x808A_0000).is_bad());
    }

    #[test]
    fn a_bool_is_a_number_and_a_text_is_none() {
        assert_eq!(Value::Bool(true).number(), Some(1.0));
        assert_eq!(Value::Text("5".into()).number(), None);
    }
}
