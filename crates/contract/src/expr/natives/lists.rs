//! Arrays.

#![expect(clippy::needless_pass_by_value, reason = "natives take input and arguments by value")]

use super::{Kind, ff, give, plain};
use crate::expr::meter::{self, ELEMENT, MAX_VALUE_DEPTH};
use crate::expr::num::Num;
use crate::expr::val::{R, Val, fail, unshare};
use jaq_core::box_iter::box_once;
use jaq_core::native::Fun;
use jaq_core::{Cv, Error, Exn, ValT as _, ValX, ValXs};
use std::cmp::Ordering;

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        plain!("length", length),
        plain!("add", add),
        plain!("join", 1, join),
        plain!("reverse", reverse),
        plain!("flatten", flatten_all),
        plain!("flatten", 1, flatten),
        plain!("sort", sort),
        plain!("min", min),
        plain!("max", max),
        plain!("unique", unique),
        ff("sort_by", |cv| by(cv, "sort_by", |all| Val::new_array(values(all)))),
        ff("min_by", |cv| by(cv, "min_by", |all| Ok(all.into_iter().next().map(|(_, v)| v).unwrap_or_default()))),
        ff("max_by", |cv| by(cv, "max_by", |all| Ok(all.into_iter().next_back().map(|(_, v)| v).unwrap_or_default()))),
        ff("unique_by", |cv| {
            by(cv, "unique_by", |mut all| {
                all.dedup_by(|(a, _), (b, _)| a.order(b).is_eq());
                Val::new_array(values(all))
            })
        }),
        ff("group_by", |cv| by(cv, "group_by", groups)),
        plain!("contains", 1, contains),
    ]
}

fn length(v: Val) -> R {
    match &v {
        Val::Null => Ok(Val::int(0)),
        Val::Bool(_) => fail(format!("{} has no length", v.told())),
        Val::Num(n) => Ok(Val::Num(if n.order(&Num::Int(0)).is_lt() { n.neg() } else { n.clone() })),
        Val::Str(s) => {
            meter::try_step(s.len() / 64)?;
            Ok(Val::count(s.chars().count()))
        }
        Val::Arr(a) => Ok(Val::count(a.len())),
        Val::Obj(o) => Ok(Val::count(o.len())),
    }
}

fn add(v: Val) -> R {
    let mut sum = Val::Null;
    for item in v.values() {
        sum = (sum + item?)?;
    }
    Ok(sum)
}

fn join(v: Val, between: Val) -> R {
    let between = between.need_text("join")?.clone();
    let mut out = String::new();
    for (i, item) in v.need_array("join")?.iter().enumerate() {
        if i > 0 {
            out.push_str(&between);
        }
        match item {
            Val::Null => {}
            Val::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Val::Num(n) => out.push_str(&n.to_string()),
            Val::Str(s) => out.push_str(s),
            other => return fail(format!("join needs strings, numbers and booleans, not {}", other.told())),
        }
        meter::try_step(1)?;
        if out.len() > meter::left() {
            break;
        }
    }
    Val::new_text(out)
}

fn reverse(v: Val) -> R {
    match v {
        Val::Null => Ok(Val::array(Vec::new())),
        Val::Str(s) => Val::new_text(s.chars().rev().collect::<String>()),
        other => {
            let mut items = unshare(other.need_array("reverse")?).into_items();
            items.reverse();
            Val::new_array(items)
        }
    }
}

fn flatten_all(v: Val) -> R {
    flatten_to(v, MAX_VALUE_DEPTH)
}

fn flatten(v: Val, depth: Val) -> R {
    match usize::try_from(depth.need_number("flatten")?.truncated()) {
        Ok(depth) => flatten_to(v, depth.min(MAX_VALUE_DEPTH)),
        Err(_) => fail("flatten needs a depth that is not negative"),
    }
}

fn flatten_to(v: Val, depth: usize) -> R {
    let mut out = Vec::new();
    match v {
        Val::Obj(_) => v.values().try_for_each(|item| flatten_into(item?, depth, &mut out))?,
        other => {
            let items = unshare(other.need_array("flatten")?).into_items();
            items.into_iter().try_for_each(|item| flatten_into(item, depth, &mut out))?;
        }
    }
    Ok(Val::array(out))
}

fn flatten_into(v: Val, depth: usize, out: &mut Vec<Val>) -> Result<(), Error<Val>> {
    meter::try_step(1)?;
    match v {
        Val::Arr(a) if depth > 0 => {
            unshare(a).into_items().into_iter().try_for_each(|v| flatten_into(v, depth - 1, out))
        }
        other => {
            meter::try_grow(ELEMENT)?;
            out.push(other);
            Ok(())
        }
    }
}

/// The array in order; the cost of ordering is counted by what it compares.
fn sorted(v: Val, who: &str) -> Result<Vec<Val>, Error<Val>> {
    let items = unshare(v.need_array(who)?).into_items();
    meter::try_grow(items.len() * ELEMENT)?;
    Ok(in_order(items, Val::order))
}

fn sort(v: Val) -> R {
    sorted(v, "sort").map(Val::array)
}

fn min(v: Val) -> R {
    let items = v.need_array("min")?;
    Ok(items.iter().reduce(|a, b| if b.order(a).is_lt() { b } else { a }).cloned().unwrap_or_default())
}

fn max(v: Val) -> R {
    let items = v.need_array("max")?;
    Ok(items.iter().reduce(|a, b| if b.order(a).is_lt() { a } else { b }).cloned().unwrap_or_default())
}

fn unique(v: Val) -> R {
    let mut items = sorted(v, "unique")?;
    items.dedup_by(|a, b| a.order(b).is_eq());
    Ok(Val::array(items))
}

/// Orders elements, equal ones as they stood. The sort of the standard library may panic when an order changes under
/// it, and ours does once a limit is passed: then all values count as equal.
pub(super) fn in_order<T>(mut items: Vec<T>, order: impl Fn(&T, &T) -> Ordering + Copy) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let behind = in_order(items.split_off(items.len() / 2), order);
    let before = in_order(items, order);
    let mut out = Vec::with_capacity(before.len() + behind.len());
    let (mut before, mut behind) = (before.into_iter().peekable(), behind.into_iter().peekable());
    loop {
        let next = match (before.peek(), behind.peek()) {
            (Some(a), Some(b)) if order(b, a).is_lt() => behind.next(),
            (None, _) => behind.next(),
            _ => before.next(),
        };
        match next {
            Some(item) => out.push(item),
            None => return out,
        }
    }
}

type Keyed = Vec<(Val, Val)>;

/// Orders the elements of an array by what an expression makes of them, and hands them on with that.
fn by<'a>(mut cv: Cv<'a, Kind>, who: &'static str, then: fn(Keyed) -> R) -> ValXs<'a, Val> {
    let (f, ctx) = cv.0.pop_fun();
    let key = |v: &Val| -> ValX<'a, Val> {
        meter::tick()?;
        let outs: Result<Val, Exn<'a, Val>> = f.run((ctx.clone(), v.clone())).collect();
        outs
    };
    let keyed = move |v: Val| -> Result<Keyed, Exn<'a, Val>> {
        let items = unshare(v.need_array(who)?).into_items();
        let all = items.into_iter().map(|v| Ok((key(&v)?, v))).collect::<Result<Keyed, Exn<'a, Val>>>()?;
        Ok(in_order(all, |(a, _), (b, _)| a.order(b)))
    };
    match keyed(cv.1) {
        Ok(all) => give(|| then(all)),
        Err(e) => box_once(Err(e)),
    }
}

fn values(all: Keyed) -> Vec<Val> {
    all.into_iter().map(|(_, v)| v).collect()
}

fn groups(all: Keyed) -> R {
    let mut groups = Vec::new();
    let mut last: Option<(Val, Vec<Val>)> = None;
    for (key, v) in all {
        match &mut last {
            Some((of, group)) if of.order(&key).is_eq() => group.push(v),
            _ => {
                if let Some((_, group)) = last.replace((key, vec![v])) {
                    groups.push(Val::new_array(group)?);
                }
            }
        }
    }
    if let Some((_, group)) = last {
        groups.push(Val::new_array(group)?);
    }
    Val::new_array(groups)
}

fn contains(v: Val, part: Val) -> R {
    has_part(&v, &part).map(Val::Bool)
}

fn has_part(v: &Val, part: &Val) -> Result<bool, Error<Val>> {
    meter::try_step(1)?;
    match (v, part) {
        (Val::Obj(v), Val::Obj(part)) => {
            for (k, want) in part.iter() {
                match v.get(&**k) {
                    Some(have) if has_part(have, want)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Val::Arr(v), Val::Arr(part)) => {
            for want in part.iter() {
                let mut found = false;
                for have in v.iter() {
                    if have.kind() == want.kind() && has_part(have, want)? {
                        found = true;
                        break;
                    }
                    meter::try_step(1)?;
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Val::Str(v), Val::Str(part)) => {
            meter::try_step(v.len() / 64)?;
            Ok(v.contains(&**part))
        }
        (v, part) if v.kind() == part.kind() => Ok(v == part),
        (v, part) => fail(format!("cannot look for {} in {}", part.told(), v.told())),
    }
}
