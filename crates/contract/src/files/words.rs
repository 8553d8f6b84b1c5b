//! Small values that stand in many files: durations, percentages, whole numbers as text.

use crate::contract::WhenStale;
use andon_model::{
    Name, SignalName,
    span::{Span, parse_size},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{borrow::Cow, fmt, ops::Deref};

/// Implements the schema of a value that is written as one text.
macro_rules! text_schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// A length of time that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) Span);

impl Deref for Duration {
    type Target = Span;
    fn deref(&self) -> &Span {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Span::deserialize(from).map(Self)
    }
}

text_schema!(Duration, "Duration", {
    "type": "string",
    "description": "A duration: `60 min`, `1h 30m`, `250 ms`, `7 d` or ISO 8601 (`PT1H`).",
    "examples": ["60 min", "1h 30m", "PT1H"]
});

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parse_size(&String::deserialize(from)?).map(Self).map_err(D::Error::custom)
    }
}

text_schema!(Size, "Size", {
    "type": "string",
    "pattern": "^[0-9]+ ?(B|kB|MB|GB|KiB|MiB|GiB|TiB)$",
    "description": "A size: `64 MiB`, `20 GiB`, `512 B`.",
    "examples": ["20 GiB"]
});

/// A length of time, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence(pub(crate) Option<Span>);

impl<'de> Deserialize<'de> for Silence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "never" {
            return Ok(Self(None));
        }
        let wrong = |_| D::Error::custom(format!("expected a duration like 10 min, or never, found {text:?}"));
        Span::parse(&text).map(|span| Self(Some(span))).map_err(wrong)
    }
}

text_schema!(Silence, "Silence", {
    "type": "string", "description": "A duration like `10 min`, or `never`.", "examples": ["10 min", "never"]
});

/// A number of a hundred: `99 %`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Percent(pub(crate) f64);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        number
            .filter(|n| *n > 0.0 && *n <= 100.0)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("expected a percentage like 99 %, found {text:?}")))
    }
}

text_schema!(Percent, "Percent", {
    "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?%$", "description": "A percentage: `99 %`.", "examples": ["99 %"]
});

/// A name as other files refer to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Named(pub(crate) Name);

impl Deref for Named {
    type Target = Name;
    fn deref(&self) -> &Name {
        &self.0
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Name::deserialize(from).map(Self)
    }
}

text_schema!(Named, "Name", {
    "type": "string",
    "pattern": "^[a-z0-9][a-z0-9-]{0,62}$",
    "description": "A name of lower-case letters, digits and hyphens, at most 63 characters."
});

/// A signal's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Signalled(pub(crate) SignalName);

impl<'de> Deserialize<'de> for Signalled {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        SignalName::deserialize(from).map(Self)
    }
}

/// What a value is compared with: a text, a number or a truth, read by what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparand(pub(crate) String);

impl<'de> Deserialize<'de> for Comparand {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

text_schema!(Comparand, "Comparand", { "type": ["string", "number", "boolean"] });

/// What is done with context whose reading system is silent: `use`, `wait 5 min`, `ignore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Staleness(pub(crate) WhenStale);

impl<'de> Deserialize<'de> for Staleness {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wait = || text.strip_prefix("wait ").and_then(|span| Span::parse(span.trim()).ok());
        match text.as_str() {
            "use" => Ok(Self(WhenStale::Use)),
            "ignore" => Ok(Self(WhenStale::Ignore)),
            _ => wait().map(|span| Self(WhenStale::Wait(span))).ok_or_else(|| {
                D::Error::custom(format!(
                    "expected use, ignore, or wait with a duration like wait 5 min, found {text:?}"
                ))
            }),
        }
    }
}

text_schema!(Staleness, "Staleness", {
    "type": "string",
    "description": "`use`, `ignore`, or `wait` with a duration.",
    "examples": ["use", "wait 5 min", "ignore"]
});

/// A number or a text that is read by its place: a limit, a duration, somebody else's name of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

text_schema!(Word, "Word", { "type": ["string", "number"] });
