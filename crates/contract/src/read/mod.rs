//! Reads the types of `files` from a tree: every entry of a list or mapping by itself, so that one wrong entry spoils
//! itself only, and every error at the innermost place it knows.

mod parts;
mod shape;

pub(crate) use parts::{At, Entries, Items, Raw};

use crate::{
    codes,
    files::not_built,
    problem::{Finding, Findings, Spot, nearest, one_of},
    tree::{Kind, NodeId, Plain, Style, Tree},
};
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor},
};
use shape::Shape;
use std::{cell::RefCell, collections::BTreeSet};

/// Times a file is read again to find what the first wrong value of an entry hid.
const PASSES_MAX: usize = 8;

const AT: &str = "andon:at";
const RAW: &str = "andon:raw";
const ENTRIES: &str = "andon:entries";
const ITEMS: &str = "andon:items";

/// How a mapping is read that several types share, each of them some of its keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    /// Keys that another type reads.
    pub(crate) others: &'a [&'static str],
    /// Whether keys that neither knows are passed over; the reading of the other type tells of them then.
    pub(crate) quiet: bool,
    /// Values that stand elsewhere and count as if they stood here, in the place of what stands here.
    pub(crate) instead: &'a [(&'static str, Spot)],
}

/// Reads a value from a node; what is wrong is told to the findings.
pub(crate) fn read<T: de::DeserializeOwned>(findings: &Findings, spot: Spot) -> Option<T> {
    read_shared(findings, spot, Shared { others: &[], quiet: false, instead: &[] })
}

/// Reads a value from a node whose keys it shares with other types.
pub(crate) fn read_shared<T: de::DeserializeOwned>(findings: &Findings, spot: Spot, shared: Shared) -> Option<T> {
    let tree = findings.tree(spot.file)?;
    let shared = Some((spot.node, shared));
    let context = Context { tree, file: spot.file, findings, shared, deferred: RefCell::default() };
    let mut value = None;
    for _ in 0..PASSES_MAX {
        let before = context.deferred.borrow().len();
        value = match T::deserialize(Reader { context: &context, node: spot.node }) {
            Ok(value) => Some(value),
            Err(error) => {
                context.tell(error, spot.node);
                None
            }
        };
        if context.deferred.borrow().len() == before {
            break;
        }
    }
    value
}

struct Context<'a> {
    tree: &'a Tree,
    file: u32,
    findings: &'a Findings,
    /// The mapping whose keys are shared.
    shared: Option<(NodeId, Shared<'a>)>,
    /// Values that were wrong; they are read after their neighbours, so that those are looked at too.
    deferred: RefCell<BTreeSet<NodeId>>,
}

impl Context<'_> {
    fn tell(&self, error: Shape, fallback: NodeId) {
        let error = *error.0;
        if error.told {
            return;
        }
        let spot = Spot { file: self.file, node: error.node.unwrap_or(fallback) };
        self.findings.push(Finding {
            expected: error.expected,
            suggestion: error.suggestion,
            ..Finding::error(error.code, spot, error.message).help(error.help)
        });
    }
}

#[derive(Clone, Copy)]
struct Reader<'c, 'a> {
    context: &'c Context<'a>,
    node: NodeId,
}

impl<'a> Reader<'_, 'a> {
    fn tree(self) -> &'a Tree {
        self.context.tree
    }

    fn to(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    fn wrong<T>(self, expected: &str, help: &str) -> Result<T, Shape> {
        Err(Shape::wrong_type(self.tree(), self.node, expected, help))
    }

    /// The text of a scalar; a number or truth value is its own text.
    fn text(self) -> Result<&'a str, Shape> {
        match self.tree().scalar(self.node) {
            Some(Plain::Null) => self.wrong("a text", "write the text behind the colon"),
            Some(_) => Ok(self.tree().text(self.node).unwrap_or_default()),
            None => self.wrong("a text", "write one text in its place"),
        }
    }

    fn quoted(self) -> &'static str {
        let quotes = matches!(
            self.tree().node(self.node).kind,
            Kind::Scalar { style: Style::SingleQuoted | Style::DoubleQuoted, .. }
        );
        if quotes { "leave the quotes out" } else { "correct the value" }
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        match self.tree().scalar(self.node) {
            Some(Plain::Int(n)) => u64::try_from(n).map_or_else(|_| Err(n), Ok).map_or_else(
                |n| Err(Shape::invalid_value(Unexpected::Signed(n), &"a whole number from 0")),
                |n| visitor.visit_u64(n),
            ),
            _ => self.wrong("a whole number", self.quoted()),
        }
        .map_err(|error| error.at(self.node))
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        match self.tree().scalar(self.node) {
            #[expect(clippy::cast_precision_loss, reason = "settings are numbers of people, far below 2^53")]
            Some(Plain::Int(n)) => visitor.visit_f64(n as f64),
            Some(Plain::Float(x)) => visitor.visit_f64(x),
            _ => self.wrong("a number", self.quoted()),
        }
        .map_err(|error: Shape| error.at(self.node))
    }

    /// Whether another key stands in the place of this one, misspelt or not built yet; it has been told then.
    fn is_told(self, name: &str, field: &str, fields: &[&'static str]) -> bool {
        let keys = self.tree().entries(self.node).iter().filter_map(|(key, _)| self.tree().text(*key));
        keys.filter(|key| !fields.contains(key))
            .any(|key| not_built::key(name, key).is_some() || nearest(key, fields).as_deref() == Some(field))
    }

    /// How the keys of this mapping are shared.
    fn shared(self) -> Shared<'a> {
        let shared = self.context.shared.filter(|(node, _)| *node == self.node).map(|(_, shared)| shared);
        shared.unwrap_or(Shared { others: &[], quiet: false, instead: &[] })
    }

    /// Tells of keys that a struct does not have and leaves them out.
    fn known_entries(self, name: &str, fields: &[&'static str]) -> Vec<(NodeId, NodeId)> {
        let (tree, context, shared) = (self.tree(), self.context, self.shared());
        let mut entries = Vec::new();
        for (key, value) in tree.entries(self.node) {
            let text = tree.text(*key).unwrap_or_default();
            if shared.instead.iter().any(|(instead, _)| *instead == text) {
                continue;
            }
            if fields.contains(&text) {
                entries.push((*key, *value));
                continue;
            }
            if shared.quiet || shared.others.contains(&text) {
                continue;
            }
            let spot = Spot { file: context.file, node: *key };
            let finding = match not_built::key(name, text) {
                Some(help) => {
                    Finding::error(codes::NOT_BUILT, spot, format!("the key `{text}` is not built yet")).help(help)
                }
                None => Finding::error(codes::UNKNOWN_KEY, spot, format!("nobody knows the key `{text}` here"))
                    .known(text, fields.iter().chain(shared.others).copied())
                    .help("correct the key or leave it out; a key that nobody knows would be ignored"),
            };
            context.findings.push(finding);
        }
        let deferred = context.deferred.borrow();
        // Entries of entries first: what a wrong value hides is then little.
        entries.sort_by_key(|(_, value)| (deferred.contains(value), tree.scalar(*value).is_some()));
        entries
    }
}

macro_rules! integers {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
            self.integer(visitor)
        })+
    };
}

impl<'de> Deserializer<'de> for Reader<'_, '_> {
    type Error = Shape;

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 }
    integers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        match &self.tree().node(self.node).kind {
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
            Kind::Scalar { text, .. } => match self.tree().scalar(self.node).unwrap_or(Plain::Text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(b) => visitor.visit_bool(b),
                Plain::Int(n) => visitor.visit_i64(n),
                Plain::Float(x) => visitor.visit_f64(x),
                Plain::Text => visitor.visit_str(text),
            }
            .map_err(|error: Shape| error.at(self.node)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        match self.tree().scalar(self.node) {
            Some(Plain::Bool(b)) => visitor.visit_bool(b),
            _ => self.wrong("`true` or `false`", self.quoted()),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        self.number(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        self.number(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        visitor.visit_str(self.text()?).map_err(|error: Shape| error.at(self.node))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        if self.tree().scalar(self.node) == Some(Plain::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Shape> {
        match name {
            AT | RAW => visitor.visit_seq(Placed { reader: self, step: 0 }),
            ENTRIES => match &self.tree().node(self.node).kind {
                Kind::Map(entries) => visitor.visit_map(Entry::new(self, entries.clone(), true)),
                _ if self.tree().scalar(self.node) == Some(Plain::Null) => {
                    visitor.visit_map(Entry::new(self, Vec::new(), true))
                }
                _ => self.wrong("a mapping (`key: value`)", "write `key: value` below it, one a line"),
            },
            ITEMS => match &self.tree().node(self.node).kind {
                Kind::List(items) => visitor.visit_seq(Item { reader: self, items: items.clone(), next: 0, own: true }),
                _ if self.tree().scalar(self.node) == Some(Plain::Null) => {
                    visitor.visit_seq(Item { reader: self, items: Vec::new(), next: 0, own: true })
                }
                _ => self.wrong("a list (`- ...` or `[...]`)", "put `[` and `]` around it"),
            },
            _ => visitor.visit_newtype_struct(self),
        }
        .map_err(|error: Shape| error.at(self.node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        match &self.tree().node(self.node).kind {
            Kind::List(items) => visitor
                .visit_seq(Item { reader: self, items: items.clone(), next: 0, own: false })
                .map_err(|error: Shape| error.at(self.node)),
            _ => self.wrong("a list (`- ...` or `[...]`)", "put `[` and `]` around it"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Shape> {
        match &self.tree().node(self.node).kind {
            Kind::List(items) if items.len() > length => {
                Err(Shape::invalid_length(items.len(), &&*format!("{length} entries")).at(self.node))
            }
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        match &self.tree().node(self.node).kind {
            Kind::Map(entries) => {
                visitor.visit_map(Entry::new(self, entries.clone(), false)).map_err(|error: Shape| error.at(self.node))
            }
            _ => self.wrong("a mapping (`key: value`)", "write `key: value` below it, one a line"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Shape> {
        if !matches!(self.tree().node(self.node).kind, Kind::Map(_)) {
            let keys = one_of(fields);
            let expected = format!("a mapping with the keys {}", keys.trim_start_matches("one of "));
            return self.wrong(&expected, "write `key: value` below it, one a line");
        }
        let entries =
            Entry { instead: self.shared().instead, ..Entry::new(self, self.known_entries(name, fields), false) };
        visitor.visit_map(entries).map_err(|mut error: Shape| {
            let missing = error.0.missing.take();
            error.0.told |= missing.is_some_and(|field| self.is_told(name, field, fields));
            error.at(self.node)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Shape> {
        let Some(text) = self.tree().text(self.node) else {
            return self.wrong(&one_of(variants), "write one word in its place");
        };
        if !variants.contains(&text) {
            let message = format!("`{text}` is not known here");
            let mut shape = Shape::new(codes::WRONG_FORM, message).expected(one_of(variants)).help("correct the word");
            shape.0.suggestion = nearest(text, variants);
            return Err(shape.at(self.node));
        }
        let variant: de::value::StrDeserializer<'_, Shape> = text.into_deserializer();
        visitor.visit_enum(variant).map_err(|error| error.at(self.node))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Shape> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple_struct }
}

/// File, node, value: what [`At`] and [`Raw`] read.
struct Placed<'c, 'a> {
    reader: Reader<'c, 'a>,
    step: u8,
}

impl<'de> SeqAccess<'de> for Placed<'_, '_> {
    type Error = Shape;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Shape> {
        self.step += 1;
        match self.step {
            1 => seed.deserialize(self.reader.context.file.into_deserializer()).map(Some),
            2 => seed.deserialize(self.reader.node.0.into_deserializer()).map(Some),
            3 => seed.deserialize(self.reader).map(Some),
            _ => Ok(None),
        }
    }
}

/// The entries of a mapping. With `own` each is read by itself: a wrong one is told and answered with an error that
/// the reader of [`Entries`] passes over.
struct Entry<'c, 'a> {
    reader: Reader<'c, 'a>,
    entries: Vec<(NodeId, NodeId)>,
    next: usize,
    own: bool,
    /// Read behind the entries, each in its own file.
    instead: &'a [(&'static str, Spot)],
}

impl<'c, 'a> Entry<'c, 'a> {
    fn new(reader: Reader<'c, 'a>, entries: Vec<(NodeId, NodeId)>, own: bool) -> Self {
        Self { reader, entries, next: 0, own, instead: &[] }
    }

    /// The value that was asked for last, where it stands elsewhere.
    fn elsewhere(&self) -> Option<Spot> {
        let number = self.next.checked_sub(1)?.checked_sub(self.entries.len())?;
        self.instead.get(number).map(|(_, spot)| *spot)
    }

    fn failed(&self, error: Shape, node: NodeId) -> Shape {
        let error = error.at(node);
        if !self.own {
            return error;
        }
        self.reader.context.tell(error, node);
        Shape::told()
    }
}

impl<'de> MapAccess<'de> for Entry<'_, '_> {
    type Error = Shape;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Shape> {
        let Some((key, _)) = self.entries.get(self.next).copied() else {
            let number = self.next.saturating_sub(self.entries.len());
            self.next += 1;
            let Some((key, _)) = self.instead.get(number) else { return Ok(None) };
            return seed.deserialize((*key).into_deserializer()).map(Some);
        };
        self.next += 1;
        seed.deserialize(self.reader.to(key)).map(Some).map_err(|error| self.failed(error, key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Shape> {
        if let Some(spot) = self.elsewhere() {
            let findings = self.reader.context.findings;
            let tree = findings.tree(spot.file).ok_or_else(Shape::told)?;
            let context = Context { tree, file: spot.file, findings, shared: None, deferred: RefCell::default() };
            return seed.deserialize(Reader { context: &context, node: spot.node }).map_err(|error| {
                context.tell(error, spot.node);
                Shape::told()
            });
        }
        let value = self.next.checked_sub(1).and_then(|at| self.entries.get(at)).map(|(_, value)| *value);
        let value = value.ok_or_else(Shape::told)?;
        seed.deserialize(self.reader.to(value)).map_err(|error| {
            if !self.own {
                self.reader.context.deferred.borrow_mut().insert(value);
            }
            self.failed(error, value)
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some((self.entries.len() + self.instead.len()).saturating_sub(self.next))
    }
}

/// The items of a list; `own` as for entries.
struct Item<'c, 'a> {
    reader: Reader<'c, 'a>,
    items: Vec<NodeId>,
    next: usize,
    own: bool,
}

impl<'de> SeqAccess<'de> for Item<'_, '_> {
    type Error = Shape;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Shape> {
        let Some(item) = self.items.get(self.next).copied() else { return Ok(None) };
        self.next += 1;
        seed.deserialize(self.reader.to(item)).map(Some).map_err(|error| {
            let error = error.at(item);
            if !self.own {
                return error;
            }
            self.reader.context.tell(error, item);
            Shape::told()
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len().saturating_sub(self.next))
    }
}
