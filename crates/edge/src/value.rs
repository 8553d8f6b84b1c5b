//! From what stands in a message to the value, the time and the quality of a sample.

use crate::{payload::Leaf, problem::quote};
use andon_contract::{contract::TimeForm, units::Conversion};
use andon_model::{
    Quality, Time, Value,
    sample::Origin,
    span::Span,
    time::{Unit, Zone},
    value::{BYTES_MAX, Kind, TEXT_MAX_BYTES},
};
use base64::Engine as _;

/// 2000-01-01T00:00:00Z: no plant that is read here is older; a time before it is in the wrong unit.
pub const EARLIEST: Time = Time(946_684_800_000_000_000);
/// A time later than the receive time by more than this is in the wrong unit.
pub const LATEST_AHEAD: Span = Span::from_secs(86_400);

/// Why a place does not give what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The cause in one word.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) cause: String,
    /// What was found.
    pub(crate) found: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Wrong {
    pub(crate) fn new(
        code: &'static str,
        cause: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { code, cause: cause.into(), found: found.into(), remedy: remedy.into() }
    }
}

/// The kind in words.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::I64 => "a whole number",
        Kind::F64 => "a number",
        Kind::Text => "a text",
        Kind::Bytes => "bytes in base64",
    }
}

fn shown(leaf: &Leaf<'_>) -> String {
    match leaf {
        Leaf::Absent => "nothing".into(),
        Leaf::Null => "null".into(),
        Leaf::Bool(b) => b.to_string(),
        Leaf::Int(n) => n.to_string(),
        Leaf::Float(x) => x.to_string(),
        Leaf::Text(text) => format!("the text {:?}", quote(text)),
        Leaf::Other(what) => (*what).into(),
    }
}

fn wrong_kind(leaf: &Leaf<'_>, kind: Kind) -> Wrong {
    let code = if matches!(leaf, Leaf::Null) { "null" } else { "wrong-kind" };
    let found = shown(leaf);
    let remedy = "correct the pointer of the signal, its `kind` in the class, or what the machine sends";
    Wrong::new(code, format!("the value is not {}", kind_word(kind)), found, remedy)
}

/// The value of a JSON place.
#[expect(clippy::cast_precision_loss, reason = "a whole number is accepted where a number is wanted")]
pub(crate) fn value_of(leaf: Leaf<'_>, kind: Kind) -> Result<Value, Wrong> {
    match (kind, leaf) {
        (Kind::F64, Leaf::Float(x)) if x.is_finite() => Ok(Value::F64(x)),
        (Kind::F64, Leaf::Int(n)) => Ok(Value::F64(n as f64)),
        (Kind::I64, Leaf::Int(n)) => Ok(Value::I64(n)),
        (Kind::I64, Leaf::Float(x)) => whole(x).map(Value::I64).ok_or_else(|| wrong_kind(&Leaf::Float(x), Kind::I64)),
        (Kind::Bool, Leaf::Bool(b)) => Ok(Value::Bool(b)),
        (Kind::Bool, Leaf::Int(n @ (0 | 1))) => Ok(Value::Bool(n == 1)),
        (Kind::Text, Leaf::Text(text)) => text_value(&text),
        (Kind::Bytes, Leaf::Text(text)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).map_err(|e| {
                Wrong::new("not-base64", "the bytes are no base64", e.to_string(), "send standard base64")
            })?;
            bytes_value(&bytes)
        }
        (kind, leaf) => Err(wrong_kind(&leaf, kind)),
    }
}

/// The value of a payload that is the value.
pub(crate) fn value_of_payload(payload: &[u8], kind: Kind) -> Result<Value, Wrong> {
    if kind == Kind::Bytes {
        return bytes_value(payload);
    }
    let not_text = || {
        Wrong::new("not-utf8", "the payload is no text", "bytes that are no UTF-8", "give the signal the kind `bytes`")
    };
    let text = std::str::from_utf8(payload).map_err(|_| not_text())?;
    if kind == Kind::Text {
        return text_value(text);
    }
    let plain = text.trim_ascii();
    let wrong = || match plain {
        "" => Wrong::new("empty", "the payload is empty", "0 bytes", "clear no retained topic that the source reads"),
        _ => wrong_kind(&Leaf::Text(plain.into()), kind),
    };
    match kind {
        Kind::Bool => match plain {
            "true" | "True" | "TRUE" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong()),
        },
        Kind::I64 => match plain.parse::<i64>() {
            Ok(number) => Ok(Value::I64(number)),
            Err(_) => plain.parse::<f64>().ok().and_then(whole).map(Value::I64).ok_or_else(wrong),
        },
        _ => {
            let number = plain.parse::<f64>().map_err(|_| wrong())?;
            if number.is_finite() {
                return Ok(Value::F64(number));
            }
            let remedy = "send nothing, or a quality, where there is no value";
            Err(Wrong::new("not-finite", "NaN and Infinity are no values", quote(plain), remedy))
        }
    }
}

/// The value of a JSON place in the unit of its signal.
pub(crate) fn value_in(leaf: Leaf<'_>, kind: Kind, by: Option<&Conversion>) -> Result<Value, Wrong> {
    let Some(by) = by else { return value_of(leaf, kind) };
    let fraction = |found: String| {
        let cause = "in the unit of its signal the value is no whole number that fits";
        Wrong::new("fraction", cause, found, "let the signal be of kind f64, or give it the unit of the message")
    };
    match (kind, leaf) {
        // Before the conversion it need not be whole: 1.5 m are 1500 mm.
        (Kind::I64, Leaf::Int(n)) => by.apply_i64(n).map(Value::I64).ok_or_else(|| fraction(n.to_string())),
        (Kind::I64, Leaf::Float(x)) => by.apply_whole(x).map(Value::I64).ok_or_else(|| fraction(x.to_string())),
        (kind, leaf) => match value_of(leaf, kind)? {
            Value::F64(was) => {
                let is = by.apply_f64(was);
                if is.is_finite() {
                    return Ok(Value::F64(is));
                }
                let cause = "the value is too large for the unit of its signal";
                let remedy = "correct the unit of the mapping, or what the machine sends";
                Err(Wrong::new("overflow", cause, was.to_string(), remedy))
            }
            // Texts and truth values have no unit.
            value => Ok(value),
        },
    }
}

/// The value of a payload that is the value, in the unit of its signal.
pub(crate) fn value_of_payload_in(payload: &[u8], kind: Kind, by: Option<&Conversion>) -> Result<Value, Wrong> {
    if by.is_none() || !matches!(kind, Kind::I64 | Kind::F64) {
        return value_of_payload(payload, kind);
    }
    let whole = std::str::from_utf8(payload).ok().and_then(|text| text.trim_ascii().parse().ok());
    let leaf = match (kind, whole) {
        (Kind::I64, Some(n)) => Leaf::Int(n),
        _ => match value_of_payload(payload, Kind::F64) {
            Ok(Value::F64(x)) => Leaf::Float(x),
            // It tells what is wrong with it as a value of its own kind.
            other => return other.and_then(|_| value_of_payload(payload, kind)),
        },
    };
    value_in(leaf, kind, by)
}

fn text_value(text: &str) -> Result<Value, Wrong> {
    if text.len() > TEXT_MAX_BYTES {
        let found = format!("{} bytes", text.len());
        return Err(Wrong::new("text-too-long", "the text is longer than 64 KiB", found, "send a shorter text"));
    }
    Ok(Value::Text(text.into()))
}

fn bytes_value(bytes: &[u8]) -> Result<Value, Wrong> {
    if bytes.len() > BYTES_MAX {
        let found = format!("{} bytes", bytes.len());
        return Err(Wrong::new("too-large", "more than 1 MiB of bytes", found, "send less at once"));
    }
    Ok(Value::Bytes(bytes.into()))
}

/// A number without fraction that floating point tells exactly.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// The quality of a JSON place; good where there is none.
pub(crate) fn quality_of(leaf: &Leaf<'_>) -> Result<Quality, Wrong> {
    match leaf {
        Leaf::Absent | Leaf::Null => Ok(Quality::GOOD),
        Leaf::Int(n) if u32::try_from(*n).is_ok() => Ok(Quality(u32::try_from(*n).unwrap_or_default())),
        other => Err(Wrong::new(
            "wrong-quality",
            "the quality is no OPC UA StatusCode",
            shown(other),
            "send a whole number from 0 to 4294967295, or leave `quality` out",
        )),
    }
}

/// The time of a JSON place.
pub(crate) fn time_of(leaf: &Leaf<'_>, form: TimeForm, zone: &Zone) -> Result<Time, Wrong> {
    let does_not_fit = |found: String| {
        let remedy = "check `time.form` of the signal: s, ms, us, ns or text";
        Wrong::new("wrong-unit", "the time does not fit its unit: is the unit wrong?", found, remedy)
    };
    match (form, leaf) {
        (TimeForm::Number(unit), Leaf::Int(n)) => Time::from_unit(*n, unit).ok_or_else(|| does_not_fit(n.to_string())),
        (TimeForm::Number(unit), Leaf::Float(x)) => from_fraction(*x, unit).ok_or_else(|| does_not_fit(x.to_string())),
        (TimeForm::Text, Leaf::Text(text)) => Time::parse_in(text, zone).map_err(|e| {
            let remedy = "send RFC 3339, or date and time in the zone of the source";
            Wrong::new("no-time", "the time cannot be read", quote(&e.found), remedy)
        }),
        (TimeForm::Number(_), other) => Err(Wrong::new(
            "no-time",
            "the time is no number",
            shown(other),
            "set `time.form` to text if the source writes dates, or correct `time.at`",
        )),
        (TimeForm::Text, other) => Err(Wrong::new(
            "no-time",
            "the time is no text",
            shown(other),
            "set `time.form` to s, ms, us or ns if the source writes numbers, or correct `time.at`",
        )),
    }
}

/// A number with a fraction is exact to the microsecond, which is what floating point can tell of today.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the range is checked first")]
fn from_fraction(number: f64, unit: Unit) -> Option<Time> {
    let micros = number * (unit.nanos() as f64) / 1_000.0;
    (micros.abs() < 9.2e15).then(|| Time((micros.round() as i64).saturating_mul(1_000)))
}

/// When a sample happened, what is known of that, and whether the value is to be doubted for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The time it is stored with.
    pub(crate) time: Time,
    /// Where the time comes from.
    pub(crate) origin: Origin,
    /// What its source claims, by which repeats are known; `None`: it has no time of its source.
    pub(crate) claimed: Option<Time>,
    /// Whether it is uncertain for its time.
    pub(crate) doubtful: bool,
}

/// Judges the time of a source by the receive time.
pub(crate) fn moment(claimed: Option<Time>, received: Time, ahead: Span, retained: bool) -> Result<Moment, Wrong> {
    let Some(claimed) = claimed else {
        let origin = if retained { Origin::RetainedUntimed } else { Origin::Live };
        return Ok(Moment { time: received, origin, claimed: None, doubtful: retained });
    };
    let wrong_unit = |when: &str| {
        Err(Wrong::new(
            "wrong-unit",
            format!("the time lies {when}: is its unit wrong?"),
            claimed.to_string(),
            "check `time.form` of the signal: s, ms, us or ns, and the zone of the source",
        ))
    };
    if claimed < EARLIEST {
        return wrong_unit("before the year 2000");
    }
    if claimed > received.plus(LATEST_AHEAD) {
        return wrong_unit("more than a day after it was received");
    }
    let is_ahead = claimed > received.plus(ahead);
    let (time, origin) = match (is_ahead, retained) {
        (true, true) => (received, Origin::RetainedAhead(claimed)),
        (true, false) => (received, Origin::Ahead(claimed)),
        (false, true) => (claimed, Origin::Retained),
        (false, false) => (claimed, Origin::Live),
    };
    Ok(Moment { time, origin, claimed: Some(claimed), doubtful: is_ahead })
}

/// The quality of a value outside of what its signal can be, or with a doubtful time: at best uncertain.
pub(crate) fn doubted(quality: Quality, value: &Value, range: Option<(f64, f64)>, doubtful: bool) -> Quality {
    let outside = match (range, value.number()) {
        (Some((low, high)), Some(number)) => number < low || number > high,
        _ => false,
    };
    if (outside || doubtful) && quality.is_good() { Quality::UNCERTAIN } else { quality }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_764_000_000_000_000_000);

    #[test]
    fn kinds_take_what_is_theirs() {
        assert_eq!(value_of(Leaf::Int(5), Kind::F64), Ok(Value::F64(5.0)));
        assert_eq!(value_of(Leaf::Float(5.0), Kind::I64), Ok(Value::I64(5)));
        assert_eq!(value_of(Leaf::Float(5.5), Kind::I64).unwrap_err().code, "wrong-kind");
        assert_eq!(value_of(Leaf::Int(1), Kind::Bool), Ok(Value::Bool(true)));
        assert!(value_of(Leaf::Int(2), Kind::Bool).is_err());
        assert_eq!(value_of(Leaf::Text("AAE=".into()), Kind::Bytes), Ok(Value::Bytes([0, 1].as_slice().into())));
        assert_eq!(value_of(Leaf::Text("!".into()), Kind::Bytes).unwrap_err().code, "not-base64");
        let long = "x".repeat(TEXT_MAX_BYTES + 1);
        assert_eq!(value_of(Leaf::Text(long.into()), Kind::Text).unwrap_err().code, "text-too-long");
        assert_eq!(value_of(Leaf::Null, Kind::F64).unwrap_err().code, "null");
        assert!(value_of(Leaf::Text("5".into()), Kind::F64).unwrap_err().found.contains('5'));
    }

    #[test]
    fn a_payload_may_be_the_value() {
        assert_eq!(value_of_payload(b" 23.5\n", Kind::F64), Ok(Value::F64(23.5)));
        assert_eq!(value_of_payload(b"true", Kind::Bool), Ok(Value::Bool(true)));
        assert_eq!(value_of_payload(b"7.0", Kind::I64), Ok(Value::I64(7)));
        assert_eq!(value_of_payload(b"running", Kind::Text), Ok(Value::Text("running".into())));
        assert_eq!(value_of_payload(&[0xFF], Kind::Bytes), Ok(Value::Bytes([0xFF].as_slice().into())));
        for wrong in ["NaN", "inf", "", "1,5", "x"] {
            assert!(value_of_payload(wrong.as_bytes(), Kind::F64).is_err(), "{wrong}");
        }
        assert_eq!(value_of_payload(&[0xFF], Kind::F64).unwrap_err().code, "not-utf8");
    }

    #[test]
    fn whole_numbers_are_converted_exactly_and_never_rounded() {
        let by = andon_contract::units::conversion("m", "mm").unwrap();
        let back = andon_contract::units::conversion("mm", "m").unwrap();
        assert_eq!(value_of_payload_in(b" 1.5 ", Kind::I64, by.as_ref()), Ok(Value::I64(1_500)));
        assert_eq!(
            value_of_payload_in(b"9007199254740993", Kind::I64, by.as_ref()),
            Ok(Value::I64(9_007_199_254_740_993_000))
        );
        assert_eq!(value_in(Leaf::Int(2_000), Kind::I64, back.as_ref()), Ok(Value::I64(2)));
        let fraction = value_in(Leaf::Int(2_001), Kind::I64, back.as_ref()).unwrap_err();
        assert_eq!((fraction.code, fraction.found.as_str()), ("fraction", "2001"));
        assert_eq!(value_of_payload_in(b"1.25", Kind::F64, by.as_ref()), Ok(Value::F64(1_250.0)));
        assert_eq!(value_of_payload_in(b"x", Kind::I64, by.as_ref()).unwrap_err().code, "wrong-kind");
        assert_eq!(value_of_payload_in(b"NaN", Kind::I64, by.as_ref()).unwrap_err().code, "not-finite");
        assert_eq!(value_in(Leaf::Null, Kind::I64, by.as_ref()).unwrap_err().code, "null");
        assert_eq!(value_in(Leaf::Text("a".into()), Kind::Text, by.as_ref()), Ok(Value::Text("a".into())));
    }

    #[test]
    fn times_are_judged_by_the_receive_time() {
        let five = Span::from_secs(300);
        let at = |secs: i64| Some(NOW.plus(Span::from_secs(secs)));
        assert_eq!(moment(at(0), NOW, five, false).unwrap().origin, Origin::Live);
        let ahead = moment(at(301), NOW, five, false).unwrap();
        assert_eq!((ahead.time, ahead.origin, ahead.doubtful), (NOW, Origin::Ahead(at(301).unwrap()), true));
        assert_eq!(moment(at(300), NOW, five, false).unwrap().origin, Origin::Live);
        assert_eq!(moment(at(86_401), NOW, five, false).unwrap_err().code, "wrong-unit");
        assert_eq!(moment(Some(Time(0)), NOW, five, false).unwrap_err().code, "wrong-unit");
        assert_eq!(moment(None, NOW, five, false).unwrap().claimed, None);
        assert_eq!(moment(at(-9), NOW, five, true).unwrap().origin, Origin::Retained);
        let ahead = moment(at(301), NOW, five, true).unwrap();
        assert_eq!((ahead.time, ahead.origin, ahead.doubtful), (NOW, Origin::RetainedAhead(at(301).unwrap()), true));
        assert_eq!(moment(None, NOW, five, true).unwrap().origin, Origin::RetainedUntimed);
        assert!(moment(None, NOW, five, true).unwrap().doubtful);
    }

    #[test]
    fn a_fraction_of_a_second_is_exact_to_the_microsecond() {
        let read = |x: f64, unit| time_of(&Leaf::Float(x), TimeForm::Number(unit), &Zone::utc()).unwrap().0;
        assert_eq!(read(1_764_000_000.25, Unit::S), 1_764_000_000_250_000_000);
        assert_eq!(read(1_764_000_000.123_456, Unit::S), 1_764_000_000_123_456_000);
        assert_eq!(read(1_764_000_000_123.5, Unit::Ms), 1_764_000_000_123_500_000);
        assert!(time_of(&Leaf::Float(1e300), TimeForm::Number(Unit::S), &Zone::utc()).is_err());
        assert!(time_of(&Leaf::Int(i64::MAX), TimeForm::Number(Unit::S), &Zone::utc()).is_err());
        assert!(time_of(&Leaf::Int(5), TimeForm::Text, &Zone::utc()).unwrap_err().remedy.contains("ms"));
    }

    #[test]
    fn a_value_outside_of_its_range_is_uncertain_and_a_bad_one_stays_bad() {
        let range = Some((0.0, 10.0));
        assert_eq!(doubted(Quality::GOOD, &Value::F64(10.0), range, false), Quality::GOOD);
        assert_eq!(doubted(Quality::GOOD, &Value::F64(10.1), range, false), Quality::UNCERTAIN);
        assert_eq!(doubted(Quality::BAD, &Value::F64(10.1), range, false), Quality::BAD);
        assert_eq!(doubted(Quality::GOOD, &Value::Text("x".into()), range, true), Quality::UNCERTAIN);
    }
}
