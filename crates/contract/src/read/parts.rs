//! What the types of files are made of: values that know their place, and lists and mappings read entry by entry.

use super::{AT, ENTRIES, ITEMS, RAW};
use crate::{problem::Spot, tree::NodeId};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

/// A value that knows its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) spot: Spot,
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = At<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a project's file")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let spot = spot(&mut seq)?;
                let value = seq.next_element()?.ok_or_else(|| A::Error::custom("no value"))?;
                Ok(At { value, spot })
            }
        }
        from.deserialize_newtype_struct(AT, V(PhantomData))
    }
}

fn spot<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<Spot, A::Error> {
    match (seq.next_element()?, seq.next_element()?) {
        (Some(file), Some(node)) => Ok(Spot { file, node: NodeId(node) }),
        _ => Err(A::Error::custom("no place")),
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A part of the tree as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw {
    pub(crate) spot: Spot,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a project's file")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                Ok(Raw { spot: spot(&mut seq)? })
            }
        }
        from.deserialize_newtype_struct(RAW, V)
    }
}

impl JsonSchema for Raw {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

/// A mapping whose entries are read one by one.
#[derive(Debug, Clone)]
pub(crate) struct Entries<K, T> {
    /// The entries that could be read, in the order of the file.
    pub(crate) good: Vec<(At<K>, T)>,
    /// The keys of the others; they are declared, so nobody else is told that they are missing.
    pub(crate) spoilt: Vec<K>,
}

impl<K, T> Default for Entries<K, T> {
    fn default() -> Self {
        Self { good: Vec::new(), spoilt: Vec::new() }
    }
}

impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for Entries<K, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V<K, T>(PhantomData<(K, T)>);
        impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for V<K, T> {
            type Value = Entries<K, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<K, T>, A::Error> {
                let mut entries = Entries::default();
                loop {
                    match map.next_key::<At<K>>() {
                        Ok(None) => return Ok(entries),
                        Ok(Some(key)) => match map.next_value() {
                            Ok(value) => entries.good.push((key, value)),
                            Err(_) => entries.spoilt.push(key.value),
                        },
                        Err(_) => {}
                    }
                }
            }
        }
        from.deserialize_newtype_struct(ENTRIES, V(PhantomData))
    }
}

impl<K, T: JsonSchema> JsonSchema for Entries<K, T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// A list whose items are read one by one.
#[derive(Debug, Clone)]
pub(crate) struct Items<T> {
    /// The items that could be read, with their places in the list.
    pub(crate) good: Vec<(usize, T)>,
    /// How many others there are.
    pub(crate) spoilt: usize,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { good: Vec::new(), spoilt: 0 }
    }
}

impl<T> Items<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.good.iter().map(|(_, item)| item)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = Items<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<T>, A::Error> {
                let mut items = Items::default();
                for number in 0.. {
                    match seq.next_element() {
                        Ok(None) => break,
                        Ok(Some(item)) => items.good.push((number, item)),
                        Err(_) => items.spoilt += 1,
                    }
                }
                Ok(items)
            }
        }
        from.deserialize_newtype_struct(ITEMS, V(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Items<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Items_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "array", "items": value })
    }
}
