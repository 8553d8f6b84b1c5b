//! The functions of expressions that are written in Rust; every one counts, and none reads clock, chance or world.

mod control;
mod formats;
mod lists;
mod maths;
mod names;
mod objects;
mod paths;
mod texts;

pub(super) use texts::{indices, split, to_text};

use super::meter;
use super::val::{R, Val};
use jaq_core::box_iter::box_once;
use jaq_core::data::HasLut;
use jaq_core::native::{self, Fun, v};
use jaq_core::{Bind, Cv, DataT, Exn, Lut, ValXs};
use std::cell::RefCell;
use std::collections::VecDeque;

/// How expressions run: values of ours, and the lookup beside them.
pub(super) struct Kind;

/// What natives reach besides their input and arguments.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) lut: &'a Lut<Kind>,
    pub(super) lookup: &'a dyn super::Lookup,
    /// The last names that a lookup did not have.
    pub(super) missing: &'a RefCell<VecDeque<super::Missing>>,
}

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Run<'a>;
}

impl<'a> HasLut<'a, Kind> for Run<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

/// The name of the function that the compiler puts wherever an evaluation can go on; it cannot be written by hand.
pub(super) const TICK: &str = "!tick";

/// All of them, the one used most first.
pub(super) fn all() -> Vec<Fun<Kind>> {
    let mut all = control::funs();
    all.extend(maths::funs());
    all.extend(texts::funs());
    all.extend(formats::funs());
    all.extend(lists::funs());
    all.extend(objects::funs());
    all.extend(paths::funs());
    all.extend(names::funs());
    all
}

/// The one output of a function, after a tick.
fn give<'a>(f: impl FnOnce() -> R) -> ValXs<'a, Val> {
    box_once(meter::tick().and_then(|()| f().map_err(Exn::from)))
}

/// A function of its input alone.
fn f0(name: &'static str, f: for<'a> fn(Cv<'a, Kind>) -> ValXs<'a, Val>) -> Fun<Kind> {
    native::run::<Kind>((name, v(0), f))
}

/// A function of its input and so many values.
fn fv(name: &'static str, args: usize, f: for<'a> fn(Cv<'a, Kind>) -> ValXs<'a, Val>) -> Fun<Kind> {
    native::run::<Kind>((name, v(args), f))
}

/// A function of its input and one expression.
fn ff(name: &'static str, f: for<'a> fn(Cv<'a, Kind>) -> ValXs<'a, Val>) -> Fun<Kind> {
    native::run::<Kind>((name, [Bind::Fun(())].into(), f))
}

/// Makes a native of a function over values: the input, then the arguments.
macro_rules! plain {
    ($name:literal, $f:path) => {
        $crate::expr::natives::f0($name, |cv| $crate::expr::natives::give(|| $f(cv.1)))
    };
    ($name:literal, 1, $f:path) => {
        $crate::expr::natives::fv($name, 1, |mut cv| {
            let a = cv.0.pop_var();
            $crate::expr::natives::give(|| $f(cv.1, a))
        })
    };
    ($name:literal, 2, $f:path) => {
        $crate::expr::natives::fv($name, 2, |mut cv| {
            let b = cv.0.pop_var();
            let a = cv.0.pop_var();
            $crate::expr::natives::give(|| $f(cv.1, a, b))
        })
    };
}
use plain;
