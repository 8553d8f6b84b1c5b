//! Names of sites, assets and everything else a project declares.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Borrow, fmt, sync::Arc};

/// The longest name, in characters.
pub const NAME_MAX: usize = 63;

/// A text that is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct NotAName {
    /// The form that was expected.
    pub expected: &'static str,
    /// What stood there.
    pub found: String,
}

const NAME: &str =
    "a name of lower-case letters, digits and hyphens, at most 63 characters, beginning with a letter or digit";
const SIGNAL: &str =
    "a signal's name of letters, digits, `-`, `_` and `.`, at most 63 characters, beginning with a letter or digit";

fn is_name(text: &str) -> bool {
    let mut chars = text.bytes();
    text.len() <= NAME_MAX
        && chars.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

fn is_signal(text: &str) -> bool {
    let mut chars = text.bytes();
    text.len() <= NAME_MAX
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:expr, $test:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name, or says which form was expected.
            pub fn new(text: &str) -> Result<Self, NotAName> {
                if $test(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NotAName { expected: $expected, found: text.chars().take(80).collect() })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAName;
            fn from_str(text: &str) -> Result<Self, NotAName> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a thing a project declares: a rule, a source, a system, a workflow, a class.
    Name, NAME, is_name);
name!(
    /// A site: the unit of segmentation.
    SiteName, NAME, is_name);
name!(
    /// An asset; unique in the project and never reused.
    AssetName, NAME, is_name);
name!(
    /// A signal of a class, without its asset.
    SignalName, SIGNAL, is_signal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for good in ["cartoner-07", "0", "a", &"x".repeat(63)] {
            assert!(AssetName::new(good).is_ok(), "{good}");
        }
        for wrong in ["", "-a", "A", "a_b", "a/b", "ä", &"x".repeat(64)] {
            assert!(AssetName::new(wrong).is_err(), "{wrong}");
        }
        assert!(SignalName::new("Motor.Temp_1").is_ok());
        assert!(SignalName::new("a/b").is_err());
    }
}
