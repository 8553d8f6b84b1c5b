//! What steers an evaluation: the tick, constants, errors, loops.

use super::{Kind, TICK, f0, ff, fv, give};
use crate::expr::meter::{self, Limit, MAX_PATH, MAX_PENDING};
use crate::expr::num::Num;
use crate::expr::val::Val;
use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, v};
use jaq_core::{Bind, Cv, Error, Exn, Native, ValT as _, ValXs};

pub(super) fn funs() -> Vec<Fun<Kind>> {
    let mut all = vec![
        (TICK, v(0), tick()),
        f0("null", |_| give(|| Ok(Val::Null))),
        f0("true", |_| give(|| Ok(Val::Bool(true)))),
        f0("false", |_| give(|| Ok(Val::Bool(false)))),
        f0("not", |cv| give(|| Ok(Val::Bool(!cv.1.as_bool())))),
        ("empty", v(0), empty()),
        ("error", v(0), raise()),
        fv("range", 1, |mut cv| {
            let to = cv.0.pop_var();
            range(&Val::int(0), &to, &Val::int(1))
        }),
        fv("range", 2, |mut cv| {
            let to = cv.0.pop_var();
            range(&cv.0.pop_var(), &to, &Val::int(1))
        }),
        fv("range", 3, |mut cv| {
            let by = cv.0.pop_var();
            let to = cv.0.pop_var();
            range(&cv.0.pop_var(), &to, &by)
        }),
        ("recurse", [Bind::Fun(())].into(), recurse()),
        ff("repeat", |cv| Box::new(Open::new(cv))),
        (
            "while",
            [Bind::Fun(()), Bind::Fun(())].into(),
            Native::new(|mut cv| {
                let update = cv.0.pop_fun();
                let (cond, cond_ctx) = cv.0.pop_fun();
                let go = move |v: &Val| cond.run((cond_ctx.clone(), v.clone())).next().transpose();
                // A value that fails the condition is neither given nor followed.
                Box::new(Open::new_while(update, cv.1, move |v| Ok(go(v)?.is_some_and(|b| b.as_bool()))))
            }),
        ),
        ("until", [Bind::Fun(()), Bind::Fun(())].into(), Native::<Kind>::new(until)),
    ];
    // These end when what they take from ends, and what they take from counts.
    let ready = ["first", "last", "limit", "skip", "path"];
    all.extend(jaq_core::funs().filter(|(name, args, _)| ready.contains(name) && !args.is_empty()));
    all
}

/// Lets its input through in every mode, after a look at the limits.
fn tick() -> Native<Kind> {
    Native::new(|cv| box_once(meter::tick().map(|()| cv.1)))
        .with_paths(|cv| {
            let long = cv.1.1.iter().nth(MAX_PATH).is_some();
            if long {
                meter::stop(Limit::Path);
            }
            box_once(meter::tick().map(|()| cv.1))
        })
        .with_update(|cv, f| match meter::tick() {
            Ok(()) => f(cv.1),
            Err(e) => box_once(Err(e)),
        })
}

fn empty() -> Native<Kind> {
    Native::new(|_| Box::new(std::iter::empty()))
        .with_paths(|_| Box::new(std::iter::empty()))
        .with_update(|cv, _| box_once(Ok(cv.1)))
}

fn raise() -> Native<Kind> {
    Native::new(|cv| box_once(Err(Error::new(cv.1).into())))
        .with_paths(|cv| box_once(Err(Error::new(cv.1.0).into())))
        .with_update(|cv, _| box_once(Err(Error::new(cv.1).into())))
}

fn range<'a>(from: &Val, to: &Val, by: &Val) -> ValXs<'a, Val> {
    let number = |v: &Val| v.need_number("range").cloned();
    let (from, to, by) = match number(from).and_then(|from| Ok((from, number(to)?, number(by)?))) {
        Ok(all) => all,
        Err(e) => return box_once(Err(e.into())),
    };
    let onwards = by.order(&Num::Int(0));
    let mut next = Some(from);
    Box::new(std::iter::from_fn(move || {
        let now = next.take()?;
        // A step of nothing leads nowhere, so it gives nothing, as in jq.
        if onwards.is_eq() || now.order(&to) != onwards.reverse() {
            return None;
        }
        if let Err(e) = meter::tick() {
            return Some(Err(e));
        }
        next = Some(now.add(&by));
        Some(Ok(Val::Num(now)))
    }))
}

/// A value, then what an expression makes of it, then what it makes of those; depth first.
struct Open<'a, T, F, C> {
    next: Option<T>,
    ways: Vec<ValXs<'a, T, Val>>,
    follow: F,
    check: C,
}

type Follow<'a> = Box<dyn Fn(Val) -> ValXs<'a, Val> + 'a>;
type Check<'a> = Box<dyn Fn(&Val) -> Result<bool, Exn<'a, Val>> + 'a>;

impl<'a> Open<'a, Val, Follow<'a>, Check<'a>> {
    fn new(mut cv: Cv<'a, Kind>) -> Self {
        let f = cv.0.pop_fun();
        Self::new_while(f, cv.1, |_| Ok(true))
    }

    fn new_while(
        (f, ctx): (jaq_core::compile::TermId, jaq_core::Ctx<'a, Kind>),
        v: Val,
        check: impl Fn(&Val) -> Result<bool, Exn<'a, Val>> + 'a,
    ) -> Self {
        let follow = move |v| f.run((ctx.clone(), v));
        Self { next: Some(v), ways: Vec::new(), follow: Box::new(follow), check: Box::new(check) }
    }
}

impl<'a, T: Clone, F, C> Open<'a, T, F, C>
where
    F: Fn(T) -> ValXs<'a, T, Val>,
    C: Fn(&T) -> Result<bool, Exn<'a, Val>>,
{
    /// The next value that was found, not yet followed.
    fn found(&mut self) -> Option<Result<T, Exn<'a, Val>>> {
        loop {
            if let Some(v) = self.next.take() {
                return Some(Ok(v));
            }
            let mut top = self.ways.pop()?;
            if let Some(v) = top.next() {
                // What is known to be exhausted is not kept, so that a chain without end needs no memory.
                if top.size_hint() != (0, Some(0)) {
                    self.ways.push(top);
                }
                return Some(v);
            }
        }
    }

    fn give_one(&mut self) -> Result<Option<T>, Exn<'a, Val>> {
        loop {
            meter::tick()?;
            let Some(v) = self.found().transpose()? else { return Ok(None) };
            if !(self.check)(&v)? {
                continue;
            }
            if self.ways.len() >= MAX_PENDING {
                meter::stop(Limit::Path);
                meter::tick()?;
            }
            self.ways.push((self.follow)(v.clone()));
            return Ok(Some(v));
        }
    }
}

impl<'a, T: Clone, F, C> Iterator for Open<'a, T, F, C>
where
    F: Fn(T) -> ValXs<'a, T, Val>,
    C: Fn(&T) -> Result<bool, Exn<'a, Val>>,
{
    type Item = Result<T, Exn<'a, Val>>;

    fn next(&mut self) -> Option<Self::Item> {
        let out = self.give_one().transpose();
        if matches!(out, Some(Err(_))) {
            self.ways.clear();
            self.next = None;
        }
        out
    }
}

fn recurse() -> Native<Kind> {
    Native::new(|cv| Box::new(Open::new(cv))).with_paths(|mut cv| {
        let (f, ctx) = cv.0.pop_fun();
        let follow = move |vp| f.paths((ctx.clone(), vp));
        let check = |vp: &(Val, _)| {
            let _: &Val = &vp.0;
            Ok(true)
        };
        let mut all = Open { next: Some(cv.1), ways: Vec::new(), follow, check };
        Box::new(std::iter::from_fn(move || {
            let out = all.next()?;
            Some(out.and_then(|vp| {
                if vp.1.iter().nth(MAX_PATH).is_some() {
                    meter::stop(Limit::Path);
                }
                meter::tick().map(|()| vp)
            }))
        }))
    })
}

/// The first value in the chain of an expression that fulfils a condition.
fn until<'a>(mut cv: Cv<'a, Kind>) -> ValXs<'a, Val> {
    let (update, update_ctx) = cv.0.pop_fun();
    let (cond, cond_ctx) = cv.0.pop_fun();
    let one = move |mut v: Val| -> Result<Option<Val>, Exn<'a, Val>> {
        loop {
            meter::tick()?;
            match cond.run((cond_ctx.clone(), v.clone())).next().transpose()? {
                Some(done) if done.as_bool() => return Ok(Some(v)),
                Some(_) => {}
                None => return Ok(None),
            }
            match update.run((update_ctx.clone(), v)).next().transpose()? {
                Some(next) => v = next,
                None => return Ok(None),
            }
        }
    };
    Box::new(one(cv.1).transpose().into_iter())
}
