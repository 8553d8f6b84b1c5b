//! Numbers: whole ones as such, others as floating point, and longer whole ones as they were written.

use super::val::{R, Val, fail};
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

/// A number of an expression.
#[derive(Debug, Clone)]
pub(super) enum Num {
    /// Whole, and small enough to be calculated with exactly.
    Int(i64),
    /// Any other.
    Float(f64),
    /// A whole number of more digits, as it was written; calculating with it rounds.
    Big(Rc<str>),
}

/// Whole numbers up to here are the same in floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Whole numbers up to here are printed with all their digits.
const PLAIN: f64 = 1e17;
/// 2^63, the first whole number that is no `i64`.
const TOO_LONG: f64 = 9_223_372_036_854_775_808.0;
/// Digits of a number taken as written.
const MAX_DIGITS: usize = 400;

impl Num {
    /// Reads digits, with or without sign, fraction and exponent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_DIGITS || !is_number(text) {
            return None;
        }
        if let Ok(whole) = text.parse::<i64>() {
            return Some(Self::Int(whole));
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Some(Self::Big(Rc::from(text)));
        }
        text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Self::float)
    }

    /// A result of calculation: whole where it is exactly.
    pub(super) fn float(f: f64) -> Self {
        match whole(f) {
            Some(i) if f.abs() <= EXACT => Self::Int(i),
            _ => Self::Float(f),
        }
    }

    pub(super) fn as_f64(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "longer whole numbers are rounded, as jq rounds all")]
            Self::Int(i) => *i as f64,
            Self::Float(f) => *f,
            Self::Big(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Without what stands behind the point; the ends of the range where it does not fit.
    pub(super) fn truncated(&self) -> i64 {
        match self {
            Self::Int(i) => *i,
            #[expect(clippy::cast_possible_truncation, reason = "the cast stays at the ends of the range; wanted")]
            other => other.as_f64() as i64,
        }
    }

    pub(super) fn from_json(n: &serde_json::Number) -> Self {
        if let Some(i) = n.as_i64() {
            Self::Int(i)
        } else if let Some(u) = n.as_u64() {
            Self::Big(Rc::from(u.to_string()))
        } else {
            Self::Float(n.as_f64().unwrap_or(f64::NAN))
        }
    }

    /// As JSON; `None` for what JSON has no number for.
    pub(super) fn to_json(&self) -> Option<serde_json::Number> {
        match self {
            Self::Int(i) => Some((*i).into()),
            Self::Big(text) => {
                text.parse::<u64>().map(Into::into).ok().or_else(|| serde_json::Number::from_f64(self.as_f64()))
            }
            Self::Float(f) => serde_json::Number::from_f64(*f),
        }
    }

    /// The order of numbers by their value; what is not a number comes first.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(a), b) => int_float(*a, b.as_f64()),
            (a, Self::Int(b)) => int_float(*b, a.as_f64()).reverse(),
            (a, b) => order_floats(a.as_f64(), b.as_f64()),
        }
    }

    pub(super) fn is_nan(&self) -> bool {
        matches!(self, Self::Float(f) if f.is_nan())
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        self.exact(other, i64::checked_add, |a, b| a + b)
    }

    pub(super) fn sub(&self, other: &Self) -> Self {
        self.exact(other, i64::checked_sub, |a, b| a - b)
    }

    pub(super) fn mul(&self, other: &Self) -> Self {
        self.exact(other, i64::checked_mul, |a, b| a * b)
    }

    pub(super) fn div(&self, other: &Self) -> R {
        if other.as_f64() == 0.0 {
            return fail(format!("cannot divide {self} by zero"));
        }
        let exact = |a: i64, b: i64| a.checked_rem(b).filter(|rest| *rest == 0).and_then(|_| a.checked_div(b));
        Ok(Val::Num(self.exact(other, exact, |a, b| a / b)))
    }

    pub(super) fn rem(&self, other: &Self) -> R {
        if self.is_nan() || other.is_nan() {
            return Ok(Val::Num(Self::Float(f64::NAN)));
        }
        match other.truncated() {
            0 => fail(format!("cannot divide {self} by zero")),
            // The one quotient that does not fit has no rest.
            by => Ok(Val::Num(Self::Int(self.truncated().checked_rem(by).unwrap_or(0)))),
        }
    }

    pub(super) fn neg(&self) -> Self {
        Self::Int(0).sub(self)
    }

    fn exact(&self, other: &Self, int: fn(i64, i64) -> Option<i64>, float: fn(f64, f64) -> f64) -> Self {
        if let (Self::Int(a), Self::Int(b)) = (self, other)
            && let Some(c) = int(*a, *b)
        {
            return Self::Int(c);
        }
        Self::float(float(self.as_f64(), other.as_f64()))
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Big(text) => f.write_str(text),
            // JSON has no word for it; jq prints the same.
            Self::Float(x) if x.is_nan() => f.write_str("null"),
            Self::Float(x) if x.is_infinite() => {
                f.write_str(if *x > 0.0 { "1.7976931348623157e308" } else { "-1.7976931348623157e308" })
            }
            Self::Float(x) if x.fract() == 0.0 && x.abs() < PLAIN => write!(f, "{x:.0}"),
            Self::Float(x) => match serde_json::Number::from_f64(*x) {
                Some(n) => write!(f, "{n}"),
                None => f.write_str("null"),
            },
        }
    }
}

/// The whole number that this is, when it is one and fits.
fn whole(f: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (f.fract() == 0.0 && (-TOO_LONG..TOO_LONG).contains(&f)).then_some(f as i64)
}

fn int_float(a: i64, b: f64) -> Ordering {
    if b.is_nan() || b < -TOO_LONG {
        return Ordering::Greater;
    }
    if b >= TOO_LONG {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let whole = b.trunc() as i64;
    a.cmp(&whole).then_with(|| order_floats(0.0, b.fract()))
}

fn order_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Whether a text is a number as JSON writes one; leading zeros are let pass.
fn is_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (text, None),
    };
    let mantissa_fits = match mantissa.split_once('.') {
        Some((before, after)) => digits(before) && digits(after),
        None => digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
