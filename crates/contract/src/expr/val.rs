//! Values of expressions: JSON, cheap to clone, that knows its depth and counts what is done with it.

use super::meter::{self, ELEMENT, ENTRY, Limit, MAX_VALUE_DEPTH};
use super::num::Num;
use indexmap::IndexMap;
use jaq_core::{Error, ValR};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::rc::Rc;

/// A value or the error in its place.
pub(super) type R = ValR<Val>;

/// A value.
#[derive(Debug, Clone, Default)]
pub(super) enum Val {
    #[default]
    Null,
    Bool(bool),
    Num(Num),
    Str(Text),
    Arr(Rc<Arr>),
    Obj(Rc<Obj>),
}

/// A text, shared until it is changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Text(Rc<String>);

/// The elements of an array and how deep they are nested.
#[derive(Debug, Clone, Default)]
pub(super) struct Arr {
    depth: usize,
    items: Vec<Val>,
}

/// The entries of an object in the order of their making, and how deep they are nested.
#[derive(Debug, Clone, Default)]
pub(super) struct Obj {
    depth: usize,
    map: IndexMap<Text, Val>,
}

impl Text {
    pub(super) fn as_mut(&mut self) -> &mut String {
        Rc::make_mut(&mut self.0)
    }

    /// Whether changing this text copies it first.
    pub(super) fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(s: String) -> Self {
        Self(Rc::new(s))
    }
}

impl Deref for Arr {
    type Target = [Val];
    fn deref(&self) -> &[Val] {
        &self.items
    }
}

impl Deref for Obj {
    type Target = IndexMap<Text, Val>;
    fn deref(&self) -> &IndexMap<Text, Val> {
        &self.map
    }
}

impl Arr {
    /// Changes the elements; `None` when that nests them too deep.
    pub(super) fn change<T>(&mut self, f: impl FnOnce(&mut Vec<Val>) -> T) -> T {
        let out = f(&mut self.items);
        self.depth = nested(self.items.iter());
        out
    }

    /// Puts a value at a place that exists, or behind the last.
    pub(super) fn put(&mut self, at: usize, v: Val) {
        self.depth = self.depth.max(checked_depth(v.depth() + 1));
        match self.items.get_mut(at) {
            Some(place) => *place = v,
            None => self.items.push(v),
        }
    }

    /// Takes a value out and leaves null in its place.
    pub(super) fn take(&mut self, at: usize) -> Option<Val> {
        self.items.get_mut(at).map(std::mem::take)
    }

    pub(super) fn into_items(self) -> Vec<Val> {
        self.items
    }
}

impl Obj {
    pub(super) fn put(&mut self, k: Text, v: Val) {
        self.depth = self.depth.max(checked_depth(v.depth() + 1));
        self.map.insert(k, v);
    }

    pub(super) fn take(&mut self, k: &str) -> Option<Val> {
        self.map.get_mut(k).map(std::mem::take)
    }

    pub(super) fn remove(&mut self, k: &str) {
        self.map.shift_remove(k);
    }

    /// Keeps the entries whose value `f` gives, in their order.
    pub(super) fn change<E>(&mut self, mut f: impl FnMut(Val) -> Result<Option<Val>, E>) -> Result<(), E> {
        let map = std::mem::take(&mut self.map);
        self.map.reserve(map.len());
        for (k, v) in map {
            if let Some(v) = f(v)? {
                self.map.insert(k, v);
            }
        }
        self.depth = nested(self.map.values());
        Ok(())
    }

    pub(super) fn into_map(self) -> IndexMap<Text, Val> {
        self.map
    }
}

/// How deep an array or object of these values is.
fn nested<'a>(values: impl Iterator<Item = &'a Val>) -> usize {
    checked_depth(1 + values.map(Val::depth).max().unwrap_or(0))
}

fn checked_depth(depth: usize) -> usize {
    if depth > MAX_VALUE_DEPTH {
        meter::stop(Limit::Depth);
    }
    depth
}

/// The one value of a shared cell, copied when others hold it too.
pub(super) fn unshare<T: Clone>(rc: Rc<T>) -> T {
    Rc::try_unwrap(rc).unwrap_or_else(|rc| (*rc).clone())
}

/// An error with this message, which `try` can catch.
pub(super) fn error(message: impl Into<String>) -> Error<Val> {
    Error::new(Val::Str(Text::from(message.into())))
}

/// Fails with this message.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, Error<Val>> {
    Err(error(message))
}

impl Val {
    pub(super) fn int(i: i64) -> Self {
        Self::Num(Num::Int(i))
    }

    /// A count; there is none in memory that does not fit.
    pub(super) fn count(n: usize) -> Self {
        Self::int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    pub(super) fn float(f: f64) -> Self {
        Self::Num(Num::float(f))
    }

    /// A text that is not counted: a part of the program, or one counted already.
    pub(super) fn text(s: impl Into<String>) -> Self {
        Self::Str(Text::from(s.into()))
    }

    /// A new text.
    pub(super) fn new_text(s: impl Into<String>) -> R {
        let s = s.into();
        meter::try_grow(s.len() + ELEMENT)?;
        Ok(Self::text(s))
    }

    /// A new array.
    pub(super) fn new_array(items: Vec<Self>) -> R {
        meter::try_grow(items.len() * ELEMENT)?;
        meter::checked(Self::array(items))
    }

    /// An array that is not counted.
    pub(super) fn array(items: Vec<Self>) -> Self {
        let depth = nested(items.iter());
        if depth > MAX_VALUE_DEPTH {
            return Self::Null;
        }
        Self::Arr(Rc::new(Arr { depth, items }))
    }

    /// A new object.
    pub(super) fn new_object(map: IndexMap<Text, Self>) -> R {
        meter::try_grow(map.keys().map(|k| k.len() + ENTRY).sum())?;
        meter::checked(Self::object(map))
    }

    /// An object that is not counted.
    pub(super) fn object(map: IndexMap<Text, Self>) -> Self {
        let depth = nested(map.values());
        if depth > MAX_VALUE_DEPTH {
            return Self::Null;
        }
        Self::Obj(Rc::new(Obj { depth, map }))
    }

    fn depth(&self) -> usize {
        match self {
            Self::Arr(a) => a.depth,
            Self::Obj(o) => o.depth,
            _ => 0,
        }
    }

    /// The word of jq for what this is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }

    /// The text, or why not.
    pub(super) fn need_text(&self, who: &str) -> Result<&Text, Error<Self>> {
        match self {
            Self::Str(s) => Ok(s),
            other => fail(format!("{who} needs a string, not {}", other.told())),
        }
    }

    /// The number, or why not.
    pub(super) fn need_number(&self, who: &str) -> Result<&Num, Error<Self>> {
        match self {
            Self::Num(n) => Ok(n),
            other => fail(format!("{who} needs a number, not {}", other.told())),
        }
    }

    /// The array, or why not.
    pub(super) fn need_array(self, who: &str) -> Result<Rc<Arr>, Error<Self>> {
        match self {
            Self::Arr(a) => Ok(a),
            other => fail(format!("{who} needs an array, not {}", other.told())),
        }
    }

    /// The value in a message: short, with its kind.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(b) => b.to_string(),
            Self::Num(n) => format!("{n} (a number)"),
            Self::Str(s) => {
                let mut start: String = s.chars().take(41).collect();
                if start.chars().nth(40).is_some() {
                    start = start.chars().take(40).collect();
                    start.push('…');
                }
                format!("{start:?} (a string)")
            }
            Self::Arr(a) => format!("an array of {}", a.len()),
            Self::Obj(o) => match o.keys().next() {
                Some(first) => format!("an object with {:?}", first.chars().take(40).collect::<String>()),
                None => "an empty object".into(),
            },
        }
    }

    /// As JSON text.
    pub(super) fn to_json_text(&self) -> Result<String, Error<Self>> {
        let mut out = String::new();
        self.write_json(&mut out)?;
        Ok(out)
    }

    fn write_json(&self, out: &mut String) -> Result<(), Error<Self>> {
        meter::try_step(1)?;
        if out.len() > meter::left() {
            meter::stop(Limit::Bytes);
            return Err(meter::spent());
        }
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Num(n) => {
                // Writing into a text cannot fail.
                let _ = write!(out, "{n}");
            }
            Self::Str(s) => quote(s, out),
            Self::Arr(a) => {
                out.push('[');
                for (i, v) in a.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    v.write_json(out)?;
                }
                out.push(']');
            }
            Self::Obj(o) => {
                out.push('{');
                for (i, (k, v)) in o.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    quote(k, out);
                    out.push(':');
                    v.write_json(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// The keys of an object in the order in which objects are compared.
    pub(super) fn sorted_keys(o: &Obj) -> Vec<&Text> {
        let mut keys: Vec<_> = o.keys().collect();
        keys.sort_unstable();
        keys
    }

    /// The order of all values: null, false, true, numbers, texts, arrays, objects.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        if !meter::step(1) {
            return Ordering::Equal;
        }
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Num(a), Self::Num(b)) => a.order(b),
            (Self::Str(a), Self::Str(b)) => {
                meter::step(a.len().min(b.len()) / 64);
                a.cmp(b)
            }
            (Self::Arr(a), Self::Arr(b)) => {
                let unequal = a.iter().zip(b.iter()).map(|(x, y)| x.order(y)).find(|o| o.is_ne());
                unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Self::Obj(a), Self::Obj(b)) => {
                meter::step(a.len() + b.len());
                let (ka, kb) = (Self::sorted_keys(a), Self::sorted_keys(b));
                ka.cmp(&kb).then_with(|| {
                    let pairs = ka.iter().filter_map(|k| Some((a.get(&***k)?, b.get(&***k)?)));
                    pairs.map(|(x, y)| x.order(y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
                })
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Num(_) => 2,
            Self::Str(_) => 3,
            Self::Arr(_) => 4,
            Self::Obj(_) => 5,
        }
    }
}

fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Only ever shown inside of messages, so it is short.
impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told())
    }
}

impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Num(a), Self::Num(b)) if a.is_nan() || b.is_nan() => false,
            (Self::Obj(a), Self::Obj(b)) if a.len() != b.len() => false,
            (Self::Arr(a), Self::Arr(b)) if a.len() != b.len() => false,
            _ => self.order(other).is_eq(),
        }
    }
}

impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.order(other))
    }
}

impl From<bool> for Val {
    fn from(b: bool) -> Self {
        meter::step(1);
        Self::Bool(b)
    }
}

impl From<isize> for Val {
    fn from(i: isize) -> Self {
        meter::step(1);
        Self::int(i64::try_from(i).unwrap_or(i64::MAX))
    }
}

/// A literal of the program.
impl From<String> for Val {
    fn from(s: String) -> Self {
        meter::step(1 + s.len() / 64);
        Self::text(s)
    }
}

/// The step of a path that is a slice.
impl From<jaq_core::val::Range<Self>> for Val {
    fn from(range: jaq_core::val::Range<Self>) -> Self {
        meter::grow(2 * ENTRY);
        let entry = |k: &str, v: Option<Self>| (Text::from(k.to_owned()), v.unwrap_or_default());
        Self::object(IndexMap::from_iter([entry("start", range.start), entry("end", range.end)]))
    }
}

/// What `[...]` collects. It ends early, with the limit remembered, when there is too much.
impl FromIterator<Self> for Val {
    fn from_iter<I: IntoIterator<Item = Self>>(iter: I) -> Self {
        let mut items = Vec::new();
        for item in iter {
            if !meter::grow(ELEMENT) {
                break;
            }
            items.push(item);
        }
        Self::array(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_values_is_total() {
        let nan = Val::Num(Num::Float(f64::NAN));
        let big = Val::Num(Num::parse("9223372036854775808").unwrap());
        let all = [
            Val::Null,
            Val::Bool(false),
            Val::Bool(true),
            nan,
            Val::float(-1.5),
            Val::int(-1),
            Val::int(0),
            Val::float(0.5),
            Val::int(i64::MAX),
            big,
            Val::float(1e300),
            Val::text("a"),
            Val::text("b"),
            Val::array(vec![]),
            Val::array(vec![Val::int(1)]),
            Val::object(IndexMap::new()),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.order(b), i.cmp(&j), "{a} and {b}");
            }
        }
    }
}
