//! Paths as values: `getpath`, `setpath`, `delpaths`.

use super::lists::in_order;
use super::{Kind, fv, plain};
use crate::expr::meter::{self, ELEMENT, Limit, MAX_PATH};
use crate::expr::val::{Arr, R, Val, fail};
use jaq_core::box_iter::{box_once, then};
use jaq_core::native::{Fun, v};
use jaq_core::path::Opt;
use jaq_core::{Error, Exn, Native, ValT as _, ValX, ValXs};
use std::rc::Rc;

pub(super) fn funs() -> Vec<Fun<Kind>> {
    vec![
        ("getpath", v(1), getpath()),
        fv("setpath", 2, |mut cv| {
            let new = cv.0.pop_var();
            let path = steps(cv.0.pop_var(), "setpath");
            let set = path.map_err(Exn::from).and_then(|path| update(cv.1, &path, &|_| box_once(Ok(new.clone()))));
            box_once(set)
        }),
        plain!("delpaths", 1, delpaths),
    ]
}

/// The steps of a path that is an array.
fn steps(path: Val, who: &str) -> Result<Rc<Arr>, Error<Val>> {
    let path = path.need_array(who)?;
    if path.len() > MAX_PATH {
        meter::stop(Limit::Path);
        return Err(meter::spent());
    }
    Ok(path)
}

fn getpath() -> Native<Kind> {
    Native::new(|mut cv| {
        let path = steps(cv.0.pop_var(), "getpath");
        box_once(meter::tick().and_then(|()| Ok(get(cv.1, &path?)?)))
    })
    .with_paths(|mut cv| {
        let path = steps(cv.0.pop_var(), "getpath");
        box_once(meter::tick().and_then(|()| {
            let (mut v, mut at): (Val, _) = cv.1;
            for step in path?.iter() {
                v = v.index(step)?;
                at = at.cons(step.clone());
            }
            Ok((v, at))
        }))
    })
    .with_update(|mut cv, f| {
        let path = steps(cv.0.pop_var(), "getpath").map_err(Exn::from);
        then(path, |path| if path.is_empty() { f(cv.1) } else { box_once(update(cv.1, &path, &f)) })
    })
}

fn get(mut v: Val, path: &[Val]) -> R {
    for step in path {
        v = v.index(step)?;
    }
    Ok(v)
}

/// Changes what is at a path; no output removes it.
fn update<'a>(v: Val, path: &[Val], f: &dyn Fn(Val) -> ValXs<'a, Val>) -> ValX<'a, Val> {
    match path {
        [] => f(v).next().unwrap_or(Ok(Val::Null)),
        [last] => v.map_index(last, Opt::Essential, f),
        [first, rest @ ..] => v.map_index(first, Opt::Essential, |v| std::iter::once(update(v, rest, f))),
    }
}

/// Removes what is at these paths, the last first, so that each still means what it meant.
fn delpaths(v: Val, paths: Val) -> R {
    let paths = paths.need_array("delpaths")?;
    meter::try_grow(paths.len() * ELEMENT)?;
    let mut v = v;
    for path in in_order(paths.iter().collect(), |a: &&Val, b: &&Val| b.order(a)) {
        let path = steps(path.clone(), "delpaths")?;
        v = remove(v, &path)?;
    }
    Ok(v)
}

fn remove(v: Val, path: &[Val]) -> R {
    meter::try_step(1)?;
    let Some((first, rest)) = path.split_first() else { return Ok(Val::Null) };
    // What is not there needs no removing, and must not be made on the way.
    let there = v.clone().index(first)?;
    match (&v, first) {
        (Val::Null, _) => return Ok(v),
        (Val::Obj(o), Val::Str(k)) if !o.contains_key(&**k) => return Ok(v),
        (Val::Arr(a), Val::Num(n)) if n.is_nan() || !reaches(n.truncated(), a.len()) => return Ok(v),
        (Val::Arr(_), Val::Arr(_)) => return fail("an array is no step of a path to remove"),
        _ => {}
    }
    drop(there);
    // The closure may not fail with an exception, so the outcome is kept beside it.
    let failed = std::cell::Cell::new(None);
    let out = v.map_index(first, Opt::Essential, |v| {
        if rest.is_empty() {
            return None.into_iter();
        }
        match remove(v, rest) {
            Ok(v) => Some(Ok(v)).into_iter(),
            Err(e) => {
                failed.set(Some(e));
                None.into_iter()
            }
        }
    });
    match (failed.take(), out) {
        (Some(e), _) => Err(e),
        (None, Ok(v)) => Ok(v),
        (None, Err(e)) => Err(e.get_err().unwrap_or_else(|_| meter::spent())),
    }
}

fn reaches(at: i64, len: usize) -> bool {
    usize::try_from(if at < 0 { at.saturating_add_unsigned(len as u64) } else { at }).is_ok_and(|at| at < len)
}
