//! Objects, and keys of whatever has keys.

#![expect(clippy::needless_pass_by_value, reason = "natives take input and arguments by value")]

use super::{Kind, f0, give, plain};
use crate::expr::meter::{self, ENTRY};
use crate::expr::num::Num;
use crate::expr::val::{R, Text, Val, error, fail};
use indexmap::IndexMap;
use jaq_core::ValT as _;
use jaq_core::native::Fun;

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        f0("type", |cv| give(|| Ok(Val::text(cv.1.kind())))),
        plain!("keys", keys),
        plain!("keys_unsorted", keys_unsorted),
        plain!("has", 1, has),
        plain!("to_entries", to_entries),
        plain!("from_entries", from_entries),
    ]
}

fn keys(v: Val) -> R {
    match &v {
        Val::Obj(o) => Val::new_array(Val::sorted_keys(o).into_iter().map(|k| Val::Str(k.clone())).collect()),
        _ => keys_unsorted(v),
    }
}

fn keys_unsorted(v: Val) -> R {
    match v {
        Val::Obj(o) => Val::new_array(o.keys().map(|k| Val::Str(k.clone())).collect()),
        Val::Arr(a) => Val::new_array((0..a.len()).map(Val::count).collect()),
        other => fail(format!("{} has no keys", other.told())),
    }
}

fn has(v: Val, key: Val) -> R {
    match (&v, &key) {
        (Val::Obj(o), Val::Str(k)) => Ok(Val::Bool(o.contains_key(&**k))),
        (Val::Arr(a), Val::Num(n)) => {
            let there = !n.is_nan() && usize::try_from(n.truncated()).is_ok_and(|i| i < a.len());
            Ok(Val::Bool(there))
        }
        (v, key) => fail(format!("cannot ask {} whether it has {}", v.told(), key.told())),
    }
}

fn to_entries(v: Val) -> R {
    let mut all = Vec::new();
    for entry in v.key_values() {
        let (k, v) = entry?;
        all.push(Val::new_object(IndexMap::from_iter([(named("key"), k), (named("value"), v)]))?);
    }
    Val::new_array(all)
}

fn named(s: &str) -> Text {
    Text::from(s.to_owned())
}

/// The object of entries, each with `key`, `k` or `name`, and `value` or `v`, also with a capital.
fn from_entries(v: Val) -> R {
    let mut map = IndexMap::new();
    for entry in v.values() {
        let entry = entry?;
        let Val::Obj(o) = &entry else {
            return fail(format!("from_entries needs objects with key and value, not {}", entry.told()));
        };
        let first = |names: &[&str], is: fn(&Val) -> bool| names.iter().find_map(|n| o.get(*n).filter(|v| is(v)));
        let key = first(&["key", "k", "name", "Name", "Key", "K"], |v| !matches!(v, Val::Null | Val::Bool(false)));
        let key = match key.or_else(|| o.get("key")) {
            Some(Val::Str(k)) => k.clone(),
            Some(Val::Null) | None => named("null"),
            Some(Val::Bool(b)) => named(if *b { "true" } else { "false" }),
            Some(Val::Num(n @ Num::Int(_))) => Text::from(n.to_string()),
            Some(other) => return Err(error(format!("from_entries needs a string as key, not {}", other.told()))),
        };
        let value = first(&["value", "v", "Value", "V"], |_| true).cloned().unwrap_or_default();
        meter::try_grow(key.len() + ENTRY)?;
        map.insert(key, value);
    }
    meter::checked(Val::object(map))
}
