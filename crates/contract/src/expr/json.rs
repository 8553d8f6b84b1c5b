//! Values from and to the JSON of the rest of the program.

use super::meter::{ELEMENT, ENTRY, MAX_INPUT_DEPTH};
use super::needs::Need;
use super::num::Num;
use super::val::{Text, Val};
use indexmap::IndexMap;
use serde_json::Value;

/// JSON nested deeper than an expression takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooDeep;

/// A value that has no JSON, or more than is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum NoJson {
    /// It is larger than allowed, which values can be that contain others many times.
    Size,
    /// It contains a number that JSON cannot write.
    Number,
}

impl Val {
    /// Takes JSON over and adds its size to `size`.
    pub(super) fn from_json(json: &Value, size: &mut usize) -> Result<Self, TooDeep> {
        read(json, size, MAX_INPUT_DEPTH)
    }

    /// Takes over what is needed of JSON, and adds its size to `size`.
    pub(super) fn of_json(json: &Value, need: &Need, size: &mut usize) -> Result<Self, TooDeep> {
        read_needed(json, need, size, MAX_INPUT_DEPTH)
    }

    /// Gives JSON and adds its size to `size`, which may not go over `max`.
    pub(super) fn to_json(&self, size: &mut usize, max: usize) -> Result<Value, NoJson> {
        let own = if let Self::Str(s) = self { s.len() } else { 0 };
        *size = size.saturating_add(ELEMENT + own);
        if *size > max {
            return Err(NoJson::Size);
        }
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Num(n) => Value::Number(n.to_json().ok_or(NoJson::Number)?),
            Self::Str(s) => Value::String(s.to_string()),
            Self::Arr(a) => Value::Array(a.iter().map(|v| v.to_json(size, max)).collect::<Result<_, _>>()?),
            Self::Obj(o) => {
                let mut map = serde_json::Map::with_capacity(o.len());
                for (k, v) in o.iter() {
                    *size = size.saturating_add(k.len() + ENTRY - ELEMENT);
                    map.insert(k.to_string(), v.to_json(size, max)?);
                }
                Value::Object(map)
            }
        })
    }
}

/// What is needed of a value that is of another kind than the expression takes it for is all of it: it is told in the
/// error.
fn read_needed(json: &Value, need: &Need, size: &mut usize, depth: usize) -> Result<Val, TooDeep> {
    match json {
        Value::Object(object) if !need.whole && need.items.is_empty() => {
            *size += ELEMENT;
            let depth = depth.checked_sub(1).ok_or(TooDeep)?;
            let mut map = IndexMap::with_capacity(need.fields.len());
            for (key, need) in &need.fields {
                if let Some(value) = object.get(key) {
                    *size += key.len() + ENTRY - ELEMENT;
                    map.insert(Text::from(key.clone()), read_needed(value, need, size, depth)?);
                }
            }
            Ok(Val::object(map))
        }
        Value::Array(array) if !need.whole && need.fields.is_empty() => {
            *size += ELEMENT;
            let depth = depth.checked_sub(1).ok_or(TooDeep)?;
            let count = need.items.keys().next_back().map_or(0, |last| last + 1).min(array.len());
            let mut items = vec![Val::Null; count];
            for (index, need) in &need.items {
                if let (Some(item), Some(value)) = (items.get_mut(*index), array.get(*index)) {
                    *item = read_needed(value, need, size, depth)?;
                }
            }
            Ok(Val::array(items))
        }
        _ => read(json, size, depth),
    }
}

fn read(json: &Value, size: &mut usize, depth: usize) -> Result<Val, TooDeep> {
    *size += ELEMENT;
    Ok(match json {
        Value::Null => Val::Null,
        Value::Bool(b) => Val::Bool(*b),
        Value::Number(n) => Val::Num(Num::from_json(n)),
        Value::String(s) => {
            *size += s.len();
            Val::text(s.as_str())
        }
        Value::Array(a) => {
            let depth = depth.checked_sub(1).ok_or(TooDeep)?;
            Val::array(a.iter().map(|v| read(v, size, depth)).collect::<Result<_, _>>()?)
        }
        Value::Object(o) => {
            let depth = depth.checked_sub(1).ok_or(TooDeep)?;
            let mut map = IndexMap::with_capacity(o.len());
            for (k, v) in o {
                *size += k.len() + ENTRY - ELEMENT;
                map.insert(Text::from(k.clone()), read(v, size, depth)?);
            }
            Val::object(map)
        }
    })
}
