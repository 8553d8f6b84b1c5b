//! Puts a tick wherever an evaluation can go on, so that it can be ended there.
//!
//! More than one output comes from `,`, from `.[]` and `..`, and from natives that tick themselves; more work and
//! stack come from functions, from expressions handed to them, and from the rounds of `reduce` and `foreach`.
//! All of these get a tick. Long objects and texts become sums of short ones, because a sum nests once an addend.

use super::natives::TICK;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

/// Entries of an object, or parts of a text, that stay together.
pub(super) const TOGETHER: usize = 8;

type T<'s> = Term<&'s str>;

pub(super) fn rewrite(t: T<'_>) -> T<'_> {
    use BinaryOp::{Comma, Pipe};
    match t {
        Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => t,
        Term::Recurse => then_tick(t),
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(t) => StrPart::Term(rewrite(t)),
                other => other,
            };
            sum(parts.into_iter().map(part).collect(), &|parts| Term::Str(format, parts))
        }
        Term::Arr(Some(t)) => Term::Arr(Some(boxed(*t))),
        Term::Obj(entries) => {
            let entry = |(k, v): (_, Option<_>)| (key(k), v.map(rewrite));
            sum(entries.into_iter().map(entry).collect(), &Term::Obj)
        }
        Term::Neg(t) => Term::Neg(boxed(*t)),
        Term::BinOp(l, Comma, r) => tick_then(Term::BinOp(boxed(*l), Comma, boxed(*r))),
        Term::BinOp(l, Pipe(Some(p)), r) => Term::BinOp(boxed(*l), Pipe(Some(pattern(p))), boxed(*r)),
        Term::BinOp(l, op, r) => Term::BinOp(boxed(*l), op, boxed(*r)),
        Term::Label(x, t) => Term::Label(x, boxed(*t)),
        Term::Fold(name, xs, p, args) => {
            let args = args.into_iter().enumerate().map(|(i, arg)| match i {
                0 => rewrite(arg),
                _ => tick_then(rewrite(arg)),
            });
            Term::Fold(name, boxed(*xs), pattern(p), args.collect())
        }
        Term::TryCatch(t, catch) => Term::TryCatch(boxed(*t), catch.map(|t| boxed(*t))),
        Term::IfThenElse(ifs, last) => {
            let ifs = ifs.into_iter().map(|(cond, then)| (rewrite(cond), rewrite(then))).collect();
            Term::IfThenElse(ifs, last.map(|t| boxed(*t)))
        }
        Term::Def(defs, t) => Term::Def(defs.into_iter().map(definition).collect(), boxed(*t)),
        Term::Call(name, args) => {
            let arg = |arg| if is_plain(&arg) { arg } else { tick_then(rewrite(arg)) };
            Term::Call(name, args.into_iter().map(arg).collect())
        }
        Term::Path(t, Path(parts)) => {
            let goes_through = parts.iter().any(|(part, _)| matches!(part, Part::Range(None, None)));
            let parts = parts.into_iter().map(|(part, opt)| {
                let part = match part {
                    Part::Index(i) => Part::Index(rewrite(i)),
                    Part::Range(from, to) => Part::Range(from.map(rewrite), to.map(rewrite)),
                };
                (part, opt)
            });
            let path = Term::Path(boxed(*t), Path(parts.collect()));
            if goes_through { then_tick(path) } else { path }
        }
    }
}

/// A function whose every call ticks.
pub(super) fn definition(def: Def<&str>) -> Def<&str> {
    Def { name: def.name, args: def.args, body: tick_then(rewrite(def.body)) }
}

fn boxed(t: T<'_>) -> Box<T<'_>> {
    Box::new(rewrite(t))
}

fn tick_then(t: T<'_>) -> T<'_> {
    Term::BinOp(Box::new(Term::Call(TICK, Vec::new())), BinaryOp::Pipe(None), Box::new(t))
}

fn then_tick(t: T<'_>) -> T<'_> {
    Term::BinOp(Box::new(t), BinaryOp::Pipe(None), Box::new(Term::Call(TICK, Vec::new())))
}

/// The key of an entry; `{$x}` and `{"a"}` mean more than their value, so these stay as they are.
fn key(k: T<'_>) -> T<'_> {
    match k {
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(t) => StrPart::Term(rewrite(t)),
                other => other,
            };
            Term::Str(format, parts.into_iter().map(part).collect())
        }
        other => rewrite(other),
    }
}

fn pattern(p: Pattern<&str>) -> Pattern<&str> {
    match p {
        Pattern::Var(x) => Pattern::Var(x),
        Pattern::Arr(all) => Pattern::Arr(all.into_iter().map(pattern).collect()),
        Pattern::Obj(all) => Pattern::Obj(all.into_iter().map(|(k, p)| (rewrite(k), pattern(p))).collect()),
    }
}

/// Whether evaluating this takes no more than a few steps and no stack worth speaking of.
fn is_plain(t: &T<'_>) -> bool {
    match t {
        Term::Id | Term::Num(_) | Term::Var(_) => true,
        Term::Str(None, parts) => parts.len() <= TOGETHER && !parts.iter().any(|p| matches!(p, StrPart::Term(_))),
        Term::Path(t, Path(parts)) => {
            matches!(**t, Term::Id | Term::Var(_))
                && parts.iter().all(|(part, _)| matches!(part, Part::Index(i) if is_plain(i)))
        }
        _ => false,
    }
}

/// Parts as a sum that is no deeper than it must be.
fn sum<'s, P>(mut parts: Vec<P>, whole: &dyn Fn(Vec<P>) -> T<'s>) -> T<'s> {
    if parts.len() <= TOGETHER {
        return whole(parts);
    }
    let behind = parts.split_off(parts.len() / 2);
    let (l, r) = (sum(parts, whole), sum(behind, whole));
    Term::BinOp(Box::new(l), BinaryOp::Math(Math::Add), Box::new(r))
}
