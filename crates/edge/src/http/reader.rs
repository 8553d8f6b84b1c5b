//! Reads bodies of JSON element by element, borrowing their texts and making no tree.

use super::{BodyProblem, PROBLEMS_MAX, Refusal};
use crate::payload::{self, Leaf};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    marker::PhantomData,
};

/// An element that should be a sample, as it stands.
#[derive(Debug, Clone)]
pub(super) struct Raw<'a> {
    pub(super) asset: Leaf<'a>,
    pub(super) signal: Leaf<'a>,
    pub(super) value: Leaf<'a>,
    pub(super) time: Leaf<'a>,
    pub(super) quality: Leaf<'a>,
    pub(super) unit: Leaf<'a>,
    /// The first keys that a sample does not have.
    pub(super) unknown: Vec<Cow<'a, str>>,
    /// What stands there instead of an object.
    pub(super) instead: Option<Leaf<'a>>,
}

impl Raw<'_> {
    const NOTHING: Self = Self {
        asset: Leaf::Absent,
        signal: Leaf::Absent,
        value: Leaf::Absent,
        time: Leaf::Absent,
        quality: Leaf::Absent,
        unit: Leaf::Absent,
        unknown: Vec::new(),
        instead: None,
    };
}

/// Where an element stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Its number in the body's array, or of its line among the lines.
    pub(super) element: Option<usize>,
    /// It is, or is in, the data of an event.
    pub(super) in_data: bool,
    /// Its number in the array that is the data.
    pub(super) item: Option<usize>,
}

impl Place {
    /// The pointer to a key of it; empty: to itself.
    pub(super) fn pointer(self, key: &str) -> String {
        let mut text = self.element.map_or_else(String::new, |number| format!("/{number}"));
        if self.in_data {
            text.push_str("/data");
        }
        if let Some(number) = self.item {
            let _ = write!(text, "/{number}");
        }
        if !key.is_empty() {
            text.push('/');
            text.push_str(&key.replace('~', "~0").replace('/', "~1"));
        }
        text
    }
}

/// A visitor that takes every scalar as a leaf and everything else as its kind.
macro_rules! scalars {
    ($life:lifetime, $value:ty, $wrap:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_unit<E>(self) -> Result<$value, E> {
            Ok($wrap(Leaf::Null))
        }
        fn visit_bool<E>(self, value: bool) -> Result<$value, E> {
            Ok($wrap(Leaf::Bool(value)))
        }
        fn visit_i64<E>(self, value: i64) -> Result<$value, E> {
            Ok($wrap(Leaf::Int(value)))
        }
        #[expect(clippy::cast_precision_loss, reason = "what does not fit is a number with a fraction, as in a tree")]
        fn visit_u64<E>(self, value: u64) -> Result<$value, E> {
            Ok($wrap(i64::try_from(value).map_or(Leaf::Float(value as f64), Leaf::Int)))
        }
        fn visit_f64<E>(self, value: f64) -> Result<$value, E> {
            Ok($wrap(Leaf::Float(value)))
        }
        fn visit_borrowed_str<E>(self, value: &$life str) -> Result<$value, E> {
            Ok($wrap(Leaf::Text(Cow::Borrowed(value))))
        }
        fn visit_str<E>(self, value: &str) -> Result<$value, E> {
            Ok($wrap(Leaf::Text(Cow::Owned(value.to_owned()))))
        }
    };
}
pub(super) use scalars;

fn skip_seq<'a, A: SeqAccess<'a>>(mut seq: A) -> Result<Leaf<'a>, A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(Leaf::Other("an array"))
}

fn skip_map<'a, A: MapAccess<'a>>(mut map: A) -> Result<Leaf<'a>, A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(Leaf::Other("an object"))
}

impl<'a> Deserialize<'a> for Leaf<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'a> Visitor<'a> for V {
            type Value = Leaf<'a>;
            scalars!('a, Leaf<'a>, std::convert::identity);
            fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Leaf<'a>, A::Error> {
                skip_seq(seq)
            }
            fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Leaf<'a>, A::Error> {
                skip_map(map)
            }
        }
        from.deserialize_any(V)
    }
}

/// A key of an object.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'a> Deserialize<'a> for Key<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'a> Visitor<'a> for V {
            type Value = Key<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Owned(value.to_owned())))
            }
        }
        from.deserialize_str(V)
    }
}

pub(super) fn instead(leaf: Leaf<'_>) -> Raw<'_> {
    Raw { instead: Some(leaf), ..Raw::NOTHING }
}

/// Reads an object as a sample. Of a key that stands twice the last counts, as in a tree.
pub(super) fn object<'a, A: MapAccess<'a>>(mut map: A) -> Result<Raw<'a>, A::Error> {
    let mut raw = Raw::NOTHING;
    while let Some(Key(key)) = map.next_key()? {
        match &*key {
            "asset" => raw.asset = map.next_value()?,
            "signal" => raw.signal = map.next_value()?,
            "value" => raw.value = map.next_value()?,
            "time" => raw.time = map.next_value()?,
            "quality" => raw.quality = map.next_value()?,
            "unit" => raw.unit = map.next_value()?,
            _ => {
                map.next_value::<IgnoredAny>()?;
                if raw.unknown.len() < PROBLEMS_MAX {
                    raw.unknown.push(key);
                }
            }
        }
    }
    Ok(raw)
}

impl<'a> Deserialize<'a> for Raw<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'a> Visitor<'a> for V {
            type Value = Raw<'a>;
            scalars!('a, Raw<'a>, instead);
            fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Raw<'a>, A::Error> {
                skip_seq(seq).map(instead)
            }
            fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Raw<'a>, A::Error> {
                object(map)
            }
        }
        from.deserialize_any(V)
    }
}

/// The text of a body.
pub(super) fn text(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|error| {
        let cause = format!("the body is no UTF-8 at byte {}", error.valid_up_to());
        Refusal::new(400, cause, "send JSON in UTF-8")
    })
}

fn refused(body: &[u8], error: &serde_json::Error) -> Refusal {
    let not = payload::not_json(body, error);
    Refusal::new(400, format!("{}: {}", not.cause, not.detail), "correct the JSON")
}

/// Gives each element of a body that is one element or an array of them.
pub(super) fn elements<'a, T: Deserialize<'a>>(
    text: &'a str,
    what: &str,
    each: &mut dyn FnMut(Place, T),
) -> Result<(), Refusal> {
    struct V<'f, T>(&'f mut dyn FnMut(Place, T), PhantomData<T>);
    impl<'a, T: Deserialize<'a>> Visitor<'a> for V<'_, T> {
        type Value = usize;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while let Some(element) = seq.next_element()? {
                (self.0)(Place { element: Some(count), ..Place::default() }, element);
                count += 1;
            }
            Ok(count)
        }
    }
    match text.trim_ascii_start().bytes().next() {
        Some(b'[') => {
            let mut from = serde_json::Deserializer::from_str(text);
            let count = from.deserialize_seq(V(each, PhantomData)).and_then(|count| from.end().map(|()| count));
            match count {
                Ok(0) => Err(Refusal::new(422, "the array is empty", format!("send at least one {what}"))),
                Ok(_) => Ok(()),
                Err(error) => Err(refused(text.as_bytes(), &error)),
            }
        }
        _ => element(text, what, each),
    }
}

/// Gives the element that a body is.
pub(super) fn element<'a, T: Deserialize<'a>>(
    text: &'a str,
    what: &str,
    each: &mut dyn FnMut(Place, T),
) -> Result<(), Refusal> {
    if let Some(b'{') | None = text.trim_ascii_start().bytes().next() {
        let element = serde_json::from_str(text).map_err(|error| refused(text.as_bytes(), &error))?;
        each(Place::default(), element);
        return Ok(());
    }
    // What is JSON, and no object, is refused for that; what is none, for being none.
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => Err(refused(text.as_bytes(), &error)),
        Ok(_) => Err(Refusal::new(422, "the body is no object", format!("send one {what}, as an object"))),
    }
}

/// Reads a body that is one value of any kind.
pub(super) fn whole<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| refused(text.as_bytes(), &error))
}

/// Gives the object of each line that is not blank. Lines that are no JSON are told with their numbers; `Ok` gives how
/// many lines there were.
pub(super) fn lines<'a, T: Deserialize<'a>>(
    text: &'a str,
    each: &mut dyn FnMut(Place, T),
    wrong: &mut dyn FnMut(BodyProblem),
) -> Result<(), Refusal> {
    let mut count = 0;
    for (number, line) in text.split('\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let place = Place { element: Some(count), ..Place::default() };
        count += 1;
        match serde_json::from_str(line) {
            Ok(element) => each(place, element),
            Err(error) => {
                let not = payload::not_json(line.as_bytes(), &error);
                wrong(BodyProblem {
                    pointer: place.pointer(""),
                    cause: format!("line {} is no JSON: {}", number + 1, not.detail),
                    remedy: "correct the line".to_owned(),
                });
            }
        }
    }
    if count == 0 {
        return Err(Refusal::new(422, "the body has no line", "send at least one sample"));
    }
    Ok(())
}

/// Reads a body in every form; must return, and agree with a tree where there is one.
pub(super) fn fuzz(form: u8, body: &[u8]) {
    let Ok(text) = text(body) else { return };
    let mut count = 0_usize;
    match form & 3 {
        0 => {
            let _ = elements(text, "sample", &mut |_, raw: Raw<'_>| {
                count += 1;
                same_as_tree(text, count - 1, &raw);
            });
        }
        1 => drop(lines(text, &mut |_, _: Raw<'_>| count += 1, &mut |_| {})),
        2 => {
            let mut each = |_, _: Raw<'_>| count += 1;
            let _ = elements(text, "event", &mut |place, event: super::cloud::Envelope<'_>| {
                event.samples(place, false, &mut each, &mut |_| {});
            });
        }
        _ => drop(whole::<super::cloud::Data<'_>>(text)),
    }
}

/// The value of an element is the one that a tree has at its place; looked at in small bodies only.
fn same_as_tree(text: &str, number: usize, raw: &Raw<'_>) {
    if text.len() > 4_096 {
        return;
    }
    let Ok(tree) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let element = tree.as_array().map_or(Some(&tree), |list| list.get(number));
    let Some(object) = element.and_then(|element| element.as_object()) else { return };
    let there = object.get("value").map_or(Leaf::Absent, payload::leaf_of);
    // As texts, because only there the two zeroes differ.
    assert_eq!(format!("{:?}", raw.value), format!("{there:?}"), "the two ways differ");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, u16> {
        let mut found = Vec::new();
        elements(text, "sample", &mut |place, raw: Raw<'_>| {
            found.push((place.pointer("value"), format!("{:?}", raw.value)));
        })
        .map(|()| found)
        .map_err(|refusal| refusal.status)
    }

    #[test]
    fn elements_are_read_with_their_places() {
        let one = |pointer: &str, value: &str| (pointer.to_owned(), value.to_owned());
        assert_eq!(read(r#" {"value":5,"x":[1]} "#), Ok(vec![one("/value", "Int(5)")]));
        assert_eq!(
            read(r#"[{"value":1.5},{"value":18446744073709551615},{"value":null},{"a":1,"value":"\u0061"}]"#),
            Ok(vec![
                one("/0/value", "Float(1.5)"),
                one("/1/value", "Float(1.8446744073709552e19)"),
                one("/2/value", "Null"),
                one("/3/value", "Text(\"a\")")
            ])
        );
        assert_eq!(read(r#"[{"value":1,"value":{"a":2}}]"#), Ok(vec![one("/0/value", "Other(\"an object\")")]));
        for (text, status) in
            [("", 400), ("{", 400), ("[]", 422), ("5", 422), ("[1", 400), ("[{}]x", 400), ("{}x", 400), ("\"x", 400)]
        {
            assert_eq!(read(text), Err(status), "{text}");
        }
        assert_eq!(read("[5]"), Ok(vec![one("/0/value", "Absent")]));
        let deep = format!("[{{\"value\":{}1{}}}]", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(read(&deep), Ok(vec![one("/0/value", "Other(\"an array\")")]), "depth takes no stack");
    }

    #[test]
    fn a_broken_line_is_told_and_the_others_are_read() {
        let (mut found, mut told) = (0, Vec::new());
        let body = "{\"value\":1}\r\n\n{\"value\":\n{\"value\":2}\n";
        lines(body, &mut |_, _: Raw<'_>| found += 1, &mut |problem| told.push(problem)).unwrap();
        assert_eq!((found, told.len()), (2, 1));
        assert_eq!(told[0].pointer, "/1");
        assert!(told[0].cause.contains("line 3"), "{told:?}");
        assert_eq!(lines(" \n", &mut |_, _: Raw<'_>| {}, &mut |_| {}).unwrap_err().status, 422);
    }

    proptest! {
        #[test]
        fn it_reads_what_a_tree_reads(body in "[{}\\[\\]\":,value0-9.eE+ tnl\\\\u-]{0,60}", form in 0_u8..4) {
            fuzz(form, body.as_bytes());
            fuzz(0, format!("[{{\"value\":{body}}}]").as_bytes());
            fuzz(2, format!("[{{\"data\":{body}}}]").as_bytes());
        }
    }
}
