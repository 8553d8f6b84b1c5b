//! Ids: a two-letter kind, `_`, and 80 bits in Crockford base32.

use crate::base32;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id like {kind}_7K3QF0ZT9M2RX4B8, found {found:?}")]
pub struct NotAnId {
    /// The two letters that were expected.
    pub kind: &'static str,
    /// What stood there.
    pub found: String,
}

/// The first 80 bits of the SHA-256 over the parts; each part is preceded by its length, so that
/// no two lists of parts read alike.
pub fn derive(parts: &[&[u8]]) -> [u8; 10] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    first_ten(&hash.finalize())
}

pub(crate) fn first_ten(bytes: &[u8]) -> [u8; 10] {
    let mut ten = [0; 10];
    ten.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    ten
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The two letters before the underscore.
            pub const KIND: &'static str = $kind;

            /// An id derived from what it stands for: the same parts give the same id for ever.
            pub fn derived(parts: &[&[u8]]) -> Self {
                Self::from_bits(derive(parts))
            }

            /// An id from 80 bits of chance, which the caller brings.
            pub fn from_bits(bits: [u8; 10]) -> Self {
                let mut text = [0; 16];
                text.iter_mut().zip(base32::encode(bits).bytes()).for_each(|(to, from)| *to = from);
                Self(text)
            }

            /// Reads an id as it is written; lower case and look-alikes are accepted.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                let wrong = || NotAnId { kind: $kind, found: text.chars().take(64).collect() };
                let (kind, rest) = text.split_once('_').ok_or_else(wrong)?;
                let rest = base32::normalise(rest);
                if kind != $kind || !base32::is_valid(&rest) {
                    return Err(wrong());
                }
                let mut bytes = [0; 16];
                bytes.iter_mut().zip(rest.bytes()).for_each(|(to, from)| *to = from);
                Ok(Self(bytes))
            }

            /// The 16 characters without the kind.
            pub fn code(&self) -> &str {
                std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $kind, self.code())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One data folder's instance; drawn when the folder is made.
    InstanceId, "in");
id!(
    /// A canonical event; derived from what made it.
    EventId, "ev");
id!(
    /// One execution of a workflow; derived from the workflow's name and the event.
    RunId, "ru");
id!(
    /// One request to a system of record; derived from its key.
    CallId, "ca");
id!(
    /// Something that needs a person; derived from its cause, so that repetitions count up.
    ExceptionId, "ex");

impl RunId {
    /// The run of a workflow that is started by hand under a key.
    pub fn of_key(workflow: &str, key: &str) -> Self {
        Self::derived(&[b"key", workflow.as_bytes(), key.as_bytes()])
    }
}

impl EventId {
    /// The event that a task of a run emits in one of its iterations.
    pub fn emitted(run: RunId, pointer: &str, iteration: &str) -> Self {
        Self::derived(&[b"emit", run.to_string().as_bytes(), pointer.as_bytes(), iteration.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_refuses_other_kinds() {
        let id = EventId::derived(&[b"a", b"b"]);
        assert_eq!(EventId::parse(&id.to_string()).unwrap(), id);
        assert_ne!(id, EventId::derived(&[b"ab"]));
        assert_ne!(id, EventId::derived(&[b"ab", b""]));
        assert!(RunId::parse(&id.to_string()).is_err());
        assert!(EventId::parse("ev_").is_err());
        assert_eq!(EventId::parse("ev_7k3qf0zt9m2rx4b8").unwrap().to_string(), "ev_7K3QF0ZT9M2RX4B8");
    }
}
