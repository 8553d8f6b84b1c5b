//! Bodies read against a table of fields. What is wrong is named; each office says it in its own way.

use super::{Reply, Request, format::short};
use andon_model::Time;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};

/// A field that an office knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
}

/// What may stand in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A text of 1 to so many characters.
    Text(usize),
    /// One line of 1 to so many characters.
    Line(usize),
    /// A text of at most so many characters.
    Long(usize),
    /// A whole number in a range.
    Whole(i64, i64),
    /// A decimal number, as a number or a text.
    Decimal,
    /// A moment in RFC 3339; it is kept in UTC.
    Moment,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A text that passes, and what it must be.
    Form(fn(&str) -> bool, &'static str),
    /// An object with fields of its own.
    Object(&'static [Field]),
}

/// A field that must be there.
pub(super) const fn needed(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

/// A field that may be missing, or null.
pub(super) const fn possible(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no such field.
    Unknown,
    /// It must be there.
    Missing,
    /// It is longer than so many characters.
    TooLong(usize),
    /// It is of another kind, or none of the possible values.
    Value,
}

/// A wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Its name, with `/` before those of objects in it.
    pub(super) name: String,
    /// What is wrong.
    pub(super) trouble: Trouble,
    /// The same in words.
    pub(super) message: String,
    /// What stood there, shortened.
    pub(super) found: String,
}

/// Why a body is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not sent as JSON.
    Type,
    /// It is no JSON, or no object; the reason.
    Body(String),
    /// Its fields are wrong.
    Fields(Vec<Wrong>),
}

impl Refusal {
    /// Everything in one line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Type => "send application/json".into(),
            Self::Body(cause) => cause.clone(),
            Self::Fields(wrong) => wrong.iter().map(|w| w.message.as_str()).collect::<Vec<_>>().join("; "),
        }
    }

    /// As a problem (RFC 9457), with a pointer to each field.
    pub(super) fn problem(&self) -> Reply {
        match self {
            Self::Type => Reply::problem(415, "Unsupported Media Type", &self.text()),
            Self::Body(cause) => Reply::problem(400, "Bad Request", cause),
            Self::Fields(wrong) => {
                let mut reply = Reply::problem(422, "Unprocessable Content", &self.text());
                let at =
                    |w: &Wrong| json!({ "pointer": format!("/{}", w.name).trim_end_matches('/'), "detail": w.message });
                if let Some(body) = reply.body.as_object_mut() {
                    body.insert("errors".into(), wrong.iter().map(at).collect());
                }
                reply
            }
        }
    }
}

/// The fields of a request's body, all of them right; nulls are left out.
pub(super) fn of(request: &Request, fields: &[Field]) -> Result<Map<String, Json>, Refusal> {
    match request.content_type().as_deref() {
        Some("application/json" | "application/merge-patch+json") => {}
        _ => return Err(Refusal::Type),
    }
    let body: Json = serde_json::from_slice(&request.body)
        .map_err(|cause| Refusal::Body(format!("the body is no JSON: {cause}")))?;
    let mut wrong = Vec::new();
    let read = read(&body, fields, "", &mut wrong);
    if wrong.is_empty() { Ok(read) } else { Err(Refusal::Fields(wrong)) }
}

fn read(body: &Json, fields: &[Field], within: &str, wrong: &mut Vec<Wrong>) -> Map<String, Json> {
    let mut read = Map::new();
    let Some(found) = body.as_object() else {
        let message =
            if within.is_empty() { "the body must be an object".into() } else { format!("{within} must be an object") };
        wrong.push(Wrong { name: within.into(), trouble: Trouble::Value, message, found: short(&body.to_string()) });
        return read;
    };
    let full = |name: &str| if within.is_empty() { short(name) } else { format!("{within}/{}", short(name)) };
    for (name, value) in found {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let message = format!("{} is not a field", full(name));
            wrong.push(Wrong {
                name: full(name),
                trouble: Trouble::Unknown,
                message,
                found: short(&value.to_string()),
            });
            continue;
        };
        match (value, field.shape) {
            (Json::Null, _) => {}
            (value, Shape::Object(inner)) => {
                let inner = self::read(value, inner, &full(name), wrong);
                read.insert(name.clone(), inner.into());
            }
            (value, shape) => match check(value, shape) {
                Ok(value) => {
                    read.insert(name.clone(), value);
                }
                Err((trouble, expected)) => {
                    let message = format!("{} must be {expected}", full(name));
                    let found = value.as_str().map_or_else(|| short(&value.to_string()), short);
                    wrong.push(Wrong { name: full(name), trouble, message, found });
                }
            },
        }
    }
    for field in fields.iter().filter(|field| field.required && !read.contains_key(field.name)) {
        let name = full(field.name);
        if !wrong.iter().any(|w| w.name == name || w.name.starts_with(&format!("{name}/"))) {
            let message = format!("{name} is missing");
            wrong.push(Wrong { name, trouble: Trouble::Missing, message, found: String::new() });
        }
    }
    read
}

/// The value as it is kept, or what it must be.
fn check(value: &Json, shape: Shape) -> Result<Json, (Trouble, String)> {
    let wrong = |expected: &str| (Trouble::Value, expected.to_owned());
    match shape {
        Shape::Whole(from, to) => match value.as_i64().filter(|n| (from..=to).contains(n)) {
            Some(number) => Ok(number.into()),
            None => Err(wrong(&format!("a whole number from {from} to {to}"))),
        },
        Shape::Decimal => match value {
            Json::Number(number) => Ok(number.to_string().into()),
            Json::String(text) if is_decimal(text) => Ok(value.clone()),
            _ => Err(wrong("a decimal number")),
        },
        Shape::Object(_) => Err(wrong("an object")),
        Shape::Text(max) | Shape::Line(max) | Shape::Long(max) => {
            let one_line = matches!(shape, Shape::Line(_));
            let expected = match shape {
                Shape::Line(_) => format!("one line of 1 to {max} characters"),
                Shape::Long(_) => format!("a text of at most {max} characters"),
                _ => format!("a text of 1 to {max} characters"),
            };
            let Some(text) = value.as_str() else { return Err((Trouble::Value, expected)) };
            let length = text.chars().count();
            if length > max {
                return Err((Trouble::TooLong(max), format!("{expected}, it has {length}")));
            }
            let is_empty = text.is_empty() && !matches!(shape, Shape::Long(_));
            if is_empty || one_line && text.contains(['\r', '\n']) {
                return Err((Trouble::Value, expected));
            }
            Ok(value.clone())
        }
        Shape::Moment => match value.as_str().map(Time::parse) {
            Some(Ok(time)) => Ok(time.to_string().into()),
            _ => Err(wrong("a time like 2026-11-22T08:05:00Z")),
        },
        Shape::OneOf(texts) => match value.as_str().filter(|text| texts.contains(text)) {
            Some(_) => Ok(value.clone()),
            None => Err(wrong(&format!("one of {}", texts.join(", ")))),
        },
        Shape::Form(passes, expected) => match value.as_str().filter(|text| passes(text)) {
            Some(_) => Ok(value.clone()),
            None => Err(wrong(expected)),
        },
    }
}

/// Whether a text is a decimal number such as `-12.5`.
fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    text.split_once('.').map_or_else(|| digits(text), |(whole, rest)| digits(whole) && digits(rest))
}

/// Whether a text is so many digits.
pub(super) fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

/// The names and values of a form (`application/x-www-form-urlencoded`); what is no UTF-8 is replaced.
pub(crate) fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Field; 6] = [
        needed("title", Shape::Line(10)),
        possible("text", Shape::Long(20)),
        possible("count", Shape::Whole(1, 9)),
        possible("value", Shape::Decimal),
        possible("at", Shape::Moment),
        possible("of", Shape::Object(&[needed("hash", Shape::Text(4))])),
    ];

    fn read(body: &str) -> Result<Map<String, Json>, Refusal> {
        let headers = vec![("content-type".into(), "application/json; charset=utf-8".into())];
        of(&Request { headers, body: body.into(), ..Request::default() }, &FIELDS)
    }

    #[test]
    fn what_is_right_is_kept_as_it_is_meant() {
        let body =
            r#"{"title":"a","text":"","count":3,"value":7.10,"at":"2026-03-02T09:00:00+01:00","of":{"hash":"ab"}}"#;
        let kept = Json::from(read(body).unwrap());
        assert_eq!(
            kept,
            json!({
                "title": "a", "text": "", "count": 3, "value": "7.1", "at": "2026-03-02T08:00:00Z",
                "of": { "hash": "ab" }
            })
        );
        assert_eq!(Json::from(read(r#"{"title":"a","text":null,"value":"-7.10"}"#).unwrap())["value"], "-7.10");
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let Err(Refusal::Fields(wrong)) =
            read(r#"{"text":1,"count":0,"value":"7,1","at":"today","of":{"hash":"abcde"},"x":1}"#)
        else {
            panic!("refused");
        };
        let found: Vec<(&str, Trouble)> = wrong.iter().map(|w| (w.name.as_str(), w.trouble)).collect();
        assert_eq!(
            found,
            [
                ("text", Trouble::Value),
                ("count", Trouble::Value),
                ("value", Trouble::Value),
                ("at", Trouble::Value),
                ("of/hash", Trouble::TooLong(4)),
                ("x", Trouble::Unknown),
                ("title", Trouble::Missing)
            ]
        );
        assert!(wrong[4].message.ends_with("a text of 1 to 4 characters, it has 5"));
        assert_eq!(read(r#"{"title":"a\nb"}"#).unwrap_err().text(), "title must be one line of 1 to 10 characters");
    }

    #[test]
    fn what_is_no_body_is_refused() {
        assert_eq!(read("{").unwrap_err().problem().status, 400);
        assert_eq!(read("[]").unwrap_err().problem().status, 422);
        assert_eq!(read(&"[".repeat(10_000)).unwrap_err().problem().status, 400);
        let text = Request { body: b"{}".to_vec(), ..Request::default() };
        assert_eq!(of(&text, &FIELDS).unwrap_err().problem().status, 415);
    }

    #[test]
    fn a_form_is_taken_apart() {
        assert_eq!(form(b"a=1+2&b=%C3%A4&c"), [("a", "1 2"), ("b", "ä"), ("c", "")].map(|(n, v)| (n.into(), v.into())));
    }
}
