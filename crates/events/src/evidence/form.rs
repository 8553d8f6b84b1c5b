//! How evidence is written: a sample as a list, and a range that many states have alike once.
//!
//! In the file of states a range that others have too stands in a row of its own, and the states name its number; read
//! back they hold the same again. Anywhere else each state is written whole. Which of both it is the thread knows that
//! writes or reads.

use super::{Raw, Rest, from_hex};
use ahash::AHashMap;
use andon_model::{Position, Quality, Time, Value};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeTuple as _,
};
use std::{cell::RefCell, fmt, sync::Arc};

/// So many hold a range that one other state has too: that state, and this one with the copy that is being written.
const HOLDERS_MIN: usize = 3;

/// Ranges by their number in a file.
pub(crate) type Rests = AHashMap<u64, Arc<Rest>>;

/// What a file has of ranges that states share.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    /// Numbers by address. What has one is held, so that nothing else comes to its address and it stays as it is.
    numbers: AHashMap<usize, (u64, Arc<Rest>)>,
    next: u64,
    /// Those that have no row yet.
    new: Vec<(u64, Arc<Rest>)>,
}

impl Sharing {
    /// Forgets what it holds: numbers go on.
    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
    }

    /// What has no row yet, to be put into the file.
    pub(crate) fn take_new(&mut self) -> Vec<(u64, Arc<Rest>)> {
        std::mem::take(&mut self.new)
    }

    fn number(&mut self, rest: &Arc<Rest>) -> u64 {
        let (next, new) = (&mut self.next, &mut self.new);
        let held = self.numbers.entry(Arc::as_ptr(rest).addr()).or_insert_with(|| {
            *next += 1;
            new.push((*next, Arc::clone(rest)));
            (*next, Arc::clone(rest))
        });
        held.0
    }
}

#[derive(Default)]
enum Place {
    /// A state by itself.
    #[default]
    Alone,
    /// Into a file.
    Into(Sharing),
    /// From a file.
    From(Arc<Rests>),
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::default();
}

/// Whatever `write` writes shares its ranges.
pub(crate) fn into_file(sharing: &mut Sharing, write: impl FnOnce()) {
    PLACE.set(Place::Into(std::mem::take(sharing)));
    write();
    if let Place::Into(used) = PLACE.take() {
        *sharing = used;
    }
}

/// Whatever `read` reads finds the ranges of its file.
pub(crate) fn from_file<T>(rests: &Arc<Rests>, read: impl FnOnce() -> T) -> T {
    PLACE.set(Place::From(Arc::clone(rests)));
    let done = read();
    PLACE.set(Place::Alone);
    done
}

/// The number of a range that is written into a file in which others have it too.
fn number(rest: &Arc<Rest>) -> Option<u64> {
    PLACE.with_borrow_mut(|place| match place {
        Place::Into(sharing) if Arc::strong_count(rest) >= HOLDERS_MIN => Some(sharing.number(rest)),
        _ => None,
    })
}

/// Writes all behind the first sample of a range, or the number of it.
#[expect(clippy::ref_option, reason = "it is called with the field")]
pub(super) fn write_rest<S: Serializer>(rest: &Option<Arc<Rest>>, to: S) -> Result<S::Ok, S::Error> {
    match rest.as_ref().and_then(number) {
        Some(number) => to.serialize_u64(number),
        None => rest.serialize(to),
    }
}

/// Reads what [`write_rest`] wrote.
pub(super) fn read_rest<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Rest>>, D::Error> {
    from.deserialize_any(OfRest)
}

struct OfRest;

impl<'de> Visitor<'de> for OfRest {
    type Value = Option<Arc<Rest>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rest of a range, its number, or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let found = PLACE.with_borrow(|place| match place {
            Place::From(rests) => rests.get(&number).cloned(),
            Place::Alone | Place::Into(_) => None,
        });
        found.map(Some).ok_or_else(|| E::custom(format!("the evidence {number} is not in its file")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Rest::deserialize(MapAccessDeserializer::new(map)).map(|rest| Some(Arc::new(rest)))
    }
}

/// Epoch, offset, time and receive time in ns, quality, value; the number of the input behind them where it is not 0.
impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_tuple(if self.input == 0 { 6 } else { 7 })?;
        row.serialize_element(&self.position.epoch)?;
        row.serialize_element(&self.position.offset)?;
        row.serialize_element(&self.time.0)?;
        row.serialize_element(&self.received.0)?;
        row.serialize_element(&self.quality.0)?;
        row.serialize_element(&Written(&self.value))?;
        if self.input != 0 {
            row.serialize_element(&self.input)?;
        }
        row.end()
    }
}

/// A value in JSON.
struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(b) => to.serialize_bool(*b),
            Value::I64(n) => to.serialize_i64(*n),
            // JSON has no NaN: it becomes null.
            Value::F64(x) => to.serialize_f64(*x),
            Value::Text(text) => to.serialize_str(text),
            // Bytes are told from a text by their place in a list.
            Value::Bytes(_) => [self.0.to_json()].serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(OfRaw)
    }
}

struct OfRaw;

impl<'de> Visitor<'de> for OfRaw {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample: epoch, offset, time, receive time, quality, value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Raw, A::Error> {
        let mut have = 0;
        let mut lacks = || {
            have += 1;
            A::Error::invalid_length(have - 1, &"the 6 or 7 parts of a sample")
        };
        let epoch = row.next_element()?.ok_or_else(&mut lacks)?;
        let offset = row.next_element()?.ok_or_else(&mut lacks)?;
        let time = row.next_element()?.ok_or_else(&mut lacks)?;
        let received = row.next_element()?.ok_or_else(&mut lacks)?;
        let quality = row.next_element()?.ok_or_else(&mut lacks)?;
        let Read(value) = row.next_element()?.ok_or_else(&mut lacks)?;
        let input = row.next_element()?.unwrap_or(0);
        let position = Position { epoch, offset };
        Ok(Raw { position, time: Time(time), received: Time(received), quality: Quality(quality), value, input })
    }
}

/// A value read from JSON.
struct Read(Value);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OfValue).map(Self)
    }
}

struct OfValue;

impl<'de> Visitor<'de> for OfValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a sample")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        // Samples have no NaN either, but a state must never be lost for one.
        Ok(Value::F64(f64::NAN))
    }

    fn visit_bool<E: Error>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Value, E> {
        Ok(Value::I64(n))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Value, E> {
        match i64::try_from(n) {
            Ok(n) => Ok(Value::I64(n)),
            Err(_) => serde_json::Number::from(n).as_f64().map(Value::F64).ok_or_else(|| E::custom("no number")),
        }
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Value, E> {
        Ok(Value::F64(x))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let text: String = list.next_element()?.ok_or_else(|| A::Error::custom("expected bytes in a list"))?;
        let bytes = from_hex(&text).ok_or_else(|| A::Error::custom("expected hexadecimal bytes"))?;
        Ok(Value::Bytes(bytes.into()))
    }
}
