//! What the operators of jq do with values.

use super::meter::{self, ELEMENT, ENTRY, Limit};
use super::natives;
use super::num::Num;
use super::val::{Arr, Obj, R, Text, Val, error, fail, unshare};
use indexmap::IndexMap;
use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Error, Exn, ValT, ValX};
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::rc::Rc;

impl ValT for Val {
    fn from_num(text: &str) -> R {
        meter::try_step(1)?;
        match Num::parse(text) {
            Some(n) => Ok(Self::Num(n)),
            None => fail(format!("{text} is not a number that can be calculated with")),
        }
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(iter: I) -> R {
        let mut map = IndexMap::new();
        for (k, v) in iter {
            let Self::Str(k) = k else {
                return fail(format!("the key of an object must be a string, not {}", k.told()));
            };
            meter::try_grow(k.len() + ENTRY)?;
            map.insert(k, v);
        }
        meter::checked(Self::object(map))
    }

    fn key_values(self) -> BoxIter<'static, Result<(Self, Self), Error<Self>>> {
        match self {
            Self::Arr(a) => Box::new(Children { at: 0, of: a, get: |a, i| Some((Self::count(i), a.get(i)?.clone())) }),
            Self::Obj(o) => Box::new(Children { at: 0, of: o, get: |o, i| entry(o, i) }),
            other => box_once(fail(format!("cannot go through {}", other.told()))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = R>> {
        match self {
            Self::Arr(a) => Box::new(Children { at: 0, of: a, get: |a, i| a.get(i).cloned() }),
            Self::Obj(o) => Box::new(Children { at: 0, of: o, get: |o, i| Some(o.get_index(i)?.1.clone()) }),
            other => box_once(fail(format!("cannot go through {}", other.told()))),
        }
    }

    fn index(self, index: &Self) -> R {
        meter::try_step(1)?;
        match (self, index) {
            (Self::Null, Self::Str(_) | Self::Num(_) | Self::Null) => Ok(Self::Null),
            (Self::Obj(o), Self::Str(k)) => Ok(o.get(&**k).cloned().unwrap_or_default()),
            (Self::Arr(a), Self::Num(n)) => Ok(place(n, a.len()).and_then(|i| a.get(i)).cloned().unwrap_or_default()),
            (Self::Arr(a), Self::Arr(b)) => natives::indices(Self::Arr(a), Self::Arr(Rc::clone(b))),
            (v @ (Self::Null | Self::Arr(_) | Self::Str(_)), Self::Obj(o)) if is_slice(o) => {
                v.range(bound(o.get("start"))..bound(o.get("end")))
            }
            (v, Self::Str(k)) => fail(format!("cannot read {:?} of {}", &**k, v.told())),
            (v, i) => fail(format!("cannot take {} out of {}", i.told(), v.told())),
        }
    }

    fn range(self, range: Range<&Self>) -> R {
        meter::try_step(1)?;
        match self {
            Self::Null => Ok(Self::Null),
            Self::Arr(a) => {
                let (from, to) = slice(&range, a.len())?;
                Self::new_array(a.get(from..to).unwrap_or_default().to_vec())
            }
            Self::Str(s) => {
                meter::try_step(s.len() / 64)?;
                let (from, to) = slice(&range, s.chars().count())?;
                Self::new_text(s.chars().skip(from).take(to - from).collect::<String>())
            }
            other => fail(format!("cannot take a slice of {}", other.told())),
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        let first = |v: Self| {
            meter::tick()?;
            f(v).next().transpose()
        };
        match self {
            Self::Arr(a) => {
                let items = unshare(a).into_items();
                meter::try_grow(items.len() * ELEMENT)?;
                let items: Result<Vec<Self>, Exn<_>> = items.into_iter().filter_map(|v| first(v).transpose()).collect();
                Ok(meter::checked(Self::array(items?))?)
            }
            Self::Obj(mut o) => {
                meter::try_grow(o.len() * ENTRY)?;
                Rc::make_mut(&mut o).change(first)?;
                Ok(meter::checked(Self::Obj(o))?)
            }
            other => Ok(opt.fail(other, |v| error(format!("cannot go through {}", v.told())))?),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        meter::tick()?;
        match (self, index) {
            (Self::Null, Self::Str(k)) => put_key(Rc::default(), k, f),
            (Self::Obj(o), Self::Str(k)) => put_key(o, k, f),
            (Self::Null, Self::Num(n)) => put_place(Rc::default(), n, opt, f),
            (Self::Arr(a), Self::Num(n)) => put_place(a, n, opt, f),
            (v @ (Self::Null | Self::Arr(_)), Self::Obj(o)) if is_slice(o) => {
                v.map_range(bound(o.get("start"))..bound(o.get("end")), opt, f)
            }
            (v, i) => Ok(opt.fail(v, |v| error(format!("cannot put {} into {}", i.told(), v.told())))?),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        meter::tick()?;
        let mut a = match self {
            Self::Null => Rc::default(),
            Self::Arr(a) => a,
            other => return Ok(opt.fail(other, |v| error(format!("cannot put a slice into {}", v.told())))?),
        };
        let (from, to) = slice(&range, a.len())?;
        let part = Self::new_array(a.get(from..to).unwrap_or_default().to_vec())?;
        let new = match f(part).next().transpose()? {
            Some(Self::Arr(new)) => unshare(new).into_items(),
            None => Vec::new(),
            Some(other) => {
                return Err(error(format!("a slice is replaced by an array, not by {}", other.told())).into());
            }
        };
        meter::try_grow((a.len() + new.len()) * ELEMENT)?;
        Rc::make_mut(&mut a).change(|items| drop(items.splice(from..to, new)));
        Ok(meter::checked(Self::Arr(a))?)
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        natives::to_text(self).unwrap_or_default()
    }
}

/// The elements of something shared, one after the other, each counted.
struct Children<C, T> {
    at: usize,
    of: Rc<C>,
    get: fn(&C, usize) -> Option<T>,
}

impl<C, T> Iterator for Children<C, T> {
    type Item = Result<T, Error<Val>>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = (self.get)(&self.of, self.at)?;
        self.at += 1;
        if !meter::step(1) {
            self.at = usize::MAX;
            return Some(Err(meter::spent()));
        }
        Some(Ok(item))
    }
}

fn entry(o: &Obj, i: usize) -> Option<(Val, Val)> {
    let (k, v) = o.get_index(i)?;
    Some((Val::Str(k.clone()), v.clone()))
}

/// The place in an array that a number means; negative ones count from the end.
fn place(n: &Num, len: usize) -> Option<usize> {
    if n.is_nan() {
        return None;
    }
    let at = floor(n);
    usize::try_from(if at < 0 { at.saturating_add_unsigned(len as u64) } else { at }).ok()
}

fn floor(n: &Num) -> i64 {
    match n {
        Num::Int(i) => *i,
        other => Num::Float(other.as_f64().floor()).truncated(),
    }
}

fn is_slice(o: &Obj) -> bool {
    o.len() == 2 && o.contains_key("start") && o.contains_key("end")
}

fn bound(v: Option<&Val>) -> Option<&Val> {
    v.filter(|v| !matches!(v, Val::Null))
}

/// The places a slice reaches from and to, both within the length.
fn slice(range: &Range<&Val>, len: usize) -> Result<(usize, usize), Error<Val>> {
    let clamp = |at: i64| {
        let at = if at < 0 { at.saturating_add_unsigned(len as u64) } else { at };
        usize::try_from(at.max(0)).unwrap_or(len).min(len)
    };
    let at = |v: Option<&Val>, default: usize, up: bool| match v {
        None | Some(Val::Null) => Ok(default),
        Some(Val::Num(n)) if n.is_nan() => Ok(default),
        Some(Val::Num(Num::Float(f))) if up => Ok(clamp(Num::Float(f.ceil()).truncated())),
        Some(Val::Num(n)) => Ok(clamp(floor(n))),
        Some(other) => fail(format!("the ends of a slice are numbers, not {}", other.told())),
    };
    let (from, to) = (at(range.start, 0, false)?, at(range.end, len, true)?);
    Ok((from, to.max(from)))
}

fn put_key<'a, I: Iterator<Item = ValX<'a, Val>>>(mut o: Rc<Obj>, k: &Text, f: impl Fn(Val) -> I) -> ValX<'a, Val> {
    if Rc::strong_count(&o) > 1 {
        meter::try_step(o.len())?;
    }
    let map = Rc::make_mut(&mut o);
    let old = map.take(k);
    let is_new = old.is_none();
    if let Some(v) = f(old.unwrap_or_default()).next().transpose()? {
        if is_new {
            meter::try_grow(k.len() + ENTRY)?;
        }
        map.put(k.clone(), v);
    } else {
        meter::try_step(map.len() / 16)?;
        map.remove(k);
    }
    Ok(meter::checked(Val::Obj(o))?)
}

fn put_place<'a, I: Iterator<Item = ValX<'a, Val>>>(
    mut a: Rc<Arr>,
    n: &Num,
    opt: Opt,
    f: impl Fn(Val) -> I,
) -> ValX<'a, Val> {
    let Some(at) = place(n, a.len()) else {
        let refuse = |_| error(format!("there is no place {n} in an array of {}", a.len()));
        return Ok(opt.fail(Val::Arr(Rc::clone(&a)), refuse)?);
    };
    if Rc::strong_count(&a) > 1 {
        meter::try_step(a.len())?;
    }
    let items = Rc::make_mut(&mut a);
    let old = items.take(at).unwrap_or_default();
    match f(old).next().transpose()? {
        Some(v) => {
            if at >= items.len() {
                meter::try_grow((at - items.len()).saturating_add(1).saturating_mul(ELEMENT))?;
                while items.len() < at {
                    items.put(usize::MAX, Val::Null);
                }
            }
            items.put(at, v);
        }
        None if at < items.len() => {
            meter::try_step(items.len())?;
            items.change(|items| drop(items.remove(at)));
        }
        None => {}
    }
    Ok(meter::checked(Val::Arr(a))?)
}

impl Add for Val {
    type Output = R;

    fn add(self, other: Self) -> R {
        meter::try_step(1)?;
        match (self, other) {
            (Self::Null, v) | (v, Self::Null) => Ok(v),
            (Self::Num(a), Self::Num(b)) => Ok(Self::Num(a.add(&b))),
            (Self::Str(mut a), Self::Str(b)) => {
                meter::try_step(if a.is_shared() { a.len() / 64 } else { 0 })?;
                meter::try_grow(b.len())?;
                a.as_mut().push_str(&b);
                Ok(Self::Str(a))
            }
            (Self::Arr(mut a), Self::Arr(b)) => {
                meter::try_step(if Rc::strong_count(&a) > 1 { a.len() } else { 0 })?;
                meter::try_grow(b.len() * ELEMENT)?;
                for item in unshare(b).into_items() {
                    Rc::make_mut(&mut a).put(usize::MAX, item);
                }
                meter::checked(Self::Arr(a))
            }
            (Self::Obj(mut a), Self::Obj(b)) => {
                meter::try_step(if Rc::strong_count(&a) > 1 { a.len() } else { 0 })?;
                meter::try_grow(b.len() * ENTRY)?;
                let into = Rc::make_mut(&mut a);
                for (k, v) in unshare(b).into_map() {
                    into.put(k, v);
                }
                meter::checked(Self::Obj(a))
            }
            (a, b) => fail(format!("cannot add {} and {}", a.told(), b.told())),
        }
    }
}

impl Sub for Val {
    type Output = R;

    fn sub(self, other: Self) -> R {
        meter::try_step(1)?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => Ok(Self::Num(a.sub(&b))),
            (Self::Arr(a), Self::Arr(b)) => {
                let mut items = unshare(a).into_items();
                items.retain(|x| !b.iter().any(|y| x == y));
                Self::new_array(items)
            }
            (a, b) => fail(format!("cannot subtract {} from {}", b.told(), a.told())),
        }
    }
}

impl Mul for Val {
    type Output = R;

    fn mul(self, other: Self) -> R {
        meter::try_step(1)?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => Ok(Self::Num(a.mul(&b))),
            (Self::Str(s), Self::Num(n)) | (Self::Num(n), Self::Str(s)) => repeat(&s, &n),
            (Self::Obj(a), Self::Obj(b)) => merge(a, b).map(Self::Obj),
            (a, b) => fail(format!("cannot multiply {} by {}", a.told(), b.told())),
        }
    }
}

/// A text so many times; none at all is null, as in jq.
fn repeat(s: &Text, n: &Num) -> R {
    if n.order(&Num::Int(0)).is_le() {
        return Ok(Val::Null);
    }
    let times = usize::try_from(Num::Float(n.as_f64().ceil()).truncated()).unwrap_or(usize::MAX);
    meter::try_grow(s.len().saturating_mul(times).saturating_add(ELEMENT))?;
    Ok(Val::text(s.repeat(if s.is_empty() { 1 } else { times })))
}

/// Both objects as one; where both have an object under a key, these are merged too.
fn merge(mut a: Rc<Obj>, b: Rc<Obj>) -> Result<Rc<Obj>, Error<Val>> {
    meter::try_step(if Rc::strong_count(&a) > 1 { a.len() } else { 0 })?;
    meter::try_grow(b.len() * ENTRY)?;
    let into = Rc::make_mut(&mut a);
    for (k, new) in unshare(b).into_map() {
        let v = match (into.take(&k), new) {
            (Some(Val::Obj(old)), Val::Obj(new)) => Val::Obj(merge(old, new)?),
            (_, new) => new,
        };
        into.put(k, v);
    }
    if meter::over() == Some(Limit::Depth) { Err(meter::spent()) } else { Ok(a) }
}

impl Div for Val {
    type Output = R;

    fn div(self, other: Self) -> R {
        meter::try_step(1)?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => a.div(&b),
            (a @ Self::Str(_), b @ Self::Str(_)) => natives::split(a, b),
            (a, b) => fail(format!("cannot divide {} by {}", a.told(), b.told())),
        }
    }
}

impl Rem for Val {
    type Output = R;

    fn rem(self, other: Self) -> R {
        meter::try_step(1)?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => a.rem(&b),
            (a, b) => fail(format!("cannot divide {} by {}", a.told(), b.told())),
        }
    }
}

impl Neg for Val {
    type Output = R;

    fn neg(self) -> R {
        meter::try_step(1)?;
        match self {
            Self::Num(n) => Ok(Self::Num(n.neg())),
            other => fail(format!("cannot negate {}", other.told())),
        }
    }
}
