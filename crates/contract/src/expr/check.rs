//! Checks a parsed expression: every name is known, nothing calls itself, and it is not too large.

use super::compile::{CompileError, MAX_NESTING, MAX_NODES};
use super::known::{self, Function};
use super::num::Num;
use super::rewrite::TOGETHER;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::span;
use jaq_core::path::{Part, Path};
use std::collections::BTreeSet;

/// Names this alike are taken for slips of the pen.
const ALIKE: f64 = 0.83;

/// What a checked expression uses.
#[derive(Default)]
pub(super) struct Used<'s> {
    /// The functions that are not its own.
    pub(super) calls: BTreeSet<Function<'s>>,
    /// The variables it was compiled with that it reads, with `$`.
    pub(super) vars: BTreeSet<&'s str>,
    /// How deep it is nested.
    pub(super) depth: usize,
}

/// Checks an expression that may use these variables, written with `$`.
pub(super) fn check<'s>(source: &'s str, t: &Term<&'s str>, vars: &[String]) -> Result<Used<'s>, CompileError> {
    let mut checker = Checker { source, globals: vars, ..Checker::default() };
    checker.term(t)?;
    Ok(checker.used)
}

/// Names every call of a function in an expression, the arguments of calls included.
pub(super) fn each_call<'s>(t: &Term<&'s str>, f: &mut dyn FnMut(&'s str, usize)) {
    if let Term::Call(name, args) = t {
        f(name, args.len());
    }
    if let Term::Str(Some(format), _) = t {
        f(format, 0);
    }
    children(t, &mut |t| each_call(t, f));
}

/// The terms directly inside of a term.
pub(super) fn children<'t, 's>(t: &'t Term<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    match t {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => {}
        Term::Str(_, parts) => parts.iter().for_each(|p| {
            if let StrPart::Term(t) = p {
                f(t);
            }
        }),
        Term::Arr(Some(t)) | Term::Neg(t) | Term::Label(_, t) => f(t),
        Term::Obj(entries) => entries.iter().for_each(|(k, v)| {
            f(k);
            v.iter().for_each(&mut *f);
        }),
        Term::BinOp(l, op, r) => {
            f(l);
            if let BinaryOp::Pipe(Some(p)) = op {
                pattern_keys(p, f);
            }
            f(r);
        }
        Term::Fold(_, xs, p, args) => {
            f(xs);
            pattern_keys(p, f);
            args.iter().for_each(f);
        }
        Term::TryCatch(t, catch) => {
            f(t);
            if let Some(t) = catch {
                f(t);
            }
        }
        Term::IfThenElse(ifs, last) => {
            for (cond, then) in ifs {
                f(cond);
                f(then);
            }
            if let Some(t) = last {
                f(t);
            }
        }
        Term::Def(defs, t) => {
            for def in defs {
                f(&def.body);
            }
            f(t);
        }
        Term::Call(_, args) => args.iter().for_each(f),
        Term::Path(t, Path(parts)) => {
            f(t);
            for (part, _) in parts {
                match part {
                    Part::Index(i) => f(i),
                    Part::Range(from, to) => from.iter().chain(to).for_each(&mut *f),
                }
            }
        }
    }
}

fn pattern_keys<'t, 's>(p: &'t Pattern<&'s str>, f: &mut dyn FnMut(&'t Term<&'s str>)) {
    match p {
        Pattern::Var(_) => {}
        Pattern::Arr(all) => all.iter().for_each(|p| pattern_keys(p, f)),
        Pattern::Obj(all) => all.iter().for_each(|(k, p)| {
            f(k);
            pattern_keys(p, f);
        }),
    }
}

/// The variables of a pattern, in their order.
pub(super) fn pattern_vars<'s>(p: &Pattern<&'s str>, into: &mut Vec<&'s str>) {
    match p {
        Pattern::Var(x) => into.push(x),
        Pattern::Arr(all) => all.iter().for_each(|p| pattern_vars(p, into)),
        Pattern::Obj(all) => all.iter().for_each(|(_, p)| pattern_vars(p, into)),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Is {
    /// A function within its own definition.
    Open,
    /// A function after its definition.
    Done,
    /// An argument that is an expression.
    Given,
}

#[derive(Default)]
struct Checker<'s, 'g> {
    source: &'s str,
    globals: &'g [String],
    funs: Vec<(&'s str, usize, Is)>,
    vars: Vec<&'s str>,
    labels: Vec<&'s str>,
    nodes: usize,
    depth: usize,
    used: Used<'s>,
}

type Checked = Result<(), CompileError>;

impl<'s> Checker<'s, '_> {
    fn error<T>(
        &self,
        at: &str,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> Result<T, CompileError> {
        Err(CompileError { at: span(self.source, at), message: message.into(), help: help.into() })
    }

    fn term(&mut self, t: &Term<&'s str>) -> Checked {
        let before = self.depth;
        self.nodes += 1;
        self.depth += 1 + width(t);
        self.used.depth = self.used.depth.max(self.depth);
        if self.nodes > MAX_NODES || self.depth > MAX_NESTING {
            let what = if self.nodes > MAX_NODES { "too long" } else { "nested too deep" };
            let help = "take it apart: let several expressions do it".to_owned();
            return self.error(self.source, format!("this expression is {what}"), help);
        }
        self.inside(t)?;
        self.depth = before;
        Ok(())
    }

    fn inside(&mut self, t: &Term<&'s str>) -> Checked {
        match t {
            Term::Num(n) if Num::parse(n).is_none() => {
                self.error(n, format!("{n} is too large a number to calculate with"), None)
            }
            Term::Var(x) => self.var(x),
            Term::Break(x) if !self.labels.contains(x) => {
                let help = format!("put `label {x} | ...` around the place to leave");
                self.error(x, format!("there is no label {x} here"), help)
            }
            Term::Label(x, t) => {
                self.labels.push(x);
                self.term(t)?;
                self.labels.pop();
                Ok(())
            }
            Term::BinOp(l, BinaryOp::Pipe(Some(p)), r) => {
                self.term(l)?;
                self.keys(p)?;
                self.bound(p, |c| c.term(r))
            }
            Term::Fold(name, xs, p, args) => {
                let fits = matches!((*name, args.len()), ("reduce" | "foreach", 2) | ("foreach", 3));
                if !fits {
                    let form = if *name == "reduce" { "(init; update)" } else { "(init; update; output)" };
                    return self.error(name, format!("`{name}` needs {form}"), None);
                }
                self.term(xs)?;
                self.keys(p)?;
                args.iter().take(1).try_for_each(|t| self.term(t))?;
                self.bound(p, |c| args.iter().skip(1).try_for_each(|t| c.term(t)))
            }
            Term::Def(defs, t) => {
                let funs = self.funs.len();
                for def in defs {
                    self.def(def)?;
                }
                self.term(t)?;
                self.funs.truncate(funs);
                Ok(())
            }
            Term::Call(name, args) => {
                self.call(name, args.len())?;
                args.iter().try_for_each(|t| self.term(t))
            }
            Term::Str(Some(format), _) => {
                self.call(format, 0)?;
                self.each_child(t)
            }
            _ => self.each_child(t),
        }
    }

    fn each_child(&mut self, t: &Term<&'s str>) -> Checked {
        let mut out = Ok(());
        children(t, &mut |t| {
            if out.is_ok() {
                out = self.term(t);
            }
        });
        out
    }

    fn keys(&mut self, p: &Pattern<&'s str>) -> Checked {
        let mut out = Ok(());
        pattern_keys(p, &mut |t| {
            if out.is_ok() {
                out = self.term(t);
            }
        });
        out
    }

    fn bound(&mut self, p: &Pattern<&'s str>, f: impl FnOnce(&mut Self) -> Checked) -> Checked {
        let (vars, depth) = (self.vars.len(), self.depth);
        pattern_vars(p, &mut self.vars);
        // Each binding of a pattern nests in the one before it.
        self.depth += self.vars.len() - vars;
        f(self)?;
        self.vars.truncate(vars);
        self.depth = depth;
        Ok(())
    }

    fn def(&mut self, def: &Def<&'s str>) -> Checked {
        let (funs, vars) = (self.funs.len(), self.vars.len());
        self.funs.push((def.name, def.args.len(), Is::Open));
        for arg in &def.args {
            if arg.starts_with('$') {
                self.vars.push(arg);
            } else {
                self.funs.push((arg, 0, Is::Given));
            }
        }
        self.term(&def.body)?;
        self.funs.truncate(funs);
        self.vars.truncate(vars);
        self.funs.push((def.name, def.args.len(), Is::Done));
        Ok(())
    }

    fn var(&mut self, x: &'s str) -> Checked {
        if self.vars.contains(&x) {
            return Ok(());
        }
        if self.globals.iter().any(|g| g == x) {
            self.used.vars.insert(x);
            return Ok(());
        }
        if let Some((why, instead)) = known::refused(x) {
            return self.error(x, format!("there is no {x} here: {why}"), instead.to_owned());
        }
        let there = self.vars.iter().copied().chain(self.globals.iter().map(String::as_str));
        let help = match alike(x, there.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match there.collect::<BTreeSet<_>>() {
                none if none.is_empty() => "there are no variables here".to_owned(),
                some => format!("there is {}", some.into_iter().collect::<Vec<_>>().join(", ")),
            },
        };
        self.error(x, format!("unknown variable {x}"), help)
    }

    fn call(&mut self, name: &'s str, args: usize) -> Checked {
        if name.contains("::") {
            let help = "write the definition here, with `def name: ...;`".to_owned();
            return self.error(name, format!("there are no modules, so there is no {name}"), help);
        }
        if let Some((_, _, is)) = self.funs.iter().rev().find(|(n, a, _)| *n == name && *a == args) {
            if *is == Is::Open {
                let help = "use `map`, `walk`, `reduce`, `recurse(...)`, `until` or `while`".to_owned();
                return self.error(name, format!("`{name}` calls itself, which could go on for ever"), help);
            }
            return Ok(());
        }
        let arities = known::arities(name);
        if arities.is_some_and(|all| all.contains(&args)) {
            self.used.calls.insert((name, args));
            return Ok(());
        }
        if let Some((why, instead)) = known::refused(name) {
            return self.error(name, format!("there is no `{name}` here: {why}"), instead.to_owned());
        }
        if name == "split" {
            return self.error(name, "`split` takes one text to split at, and no regular expression", None);
        }
        let mut own = self.funs.iter().filter(|(n, _, _)| *n == name).map(|(_, a, _)| *a).peekable();
        if arities.is_some() || own.peek().is_some() {
            let takes: BTreeSet<usize> = own.chain(arities.into_iter().flatten().copied()).collect();
            let takes: Vec<String> = takes.iter().map(ToString::to_string).collect();
            let (takes, last) = (takes.join(" or "), takes.last().map(String::as_str));
            let plural = if last == Some("1") { "argument" } else { "arguments" };
            let help = "arguments are separated by `;`".to_owned();
            return self.error(name, format!("`{name}` takes {takes} {plural}, and here it has {args}"), help);
        }
        let known: Vec<&str> = known::names().collect();
        let there = self.funs.iter().map(|(n, ..)| *n).chain(known);
        let help = alike(name, there).map(|near| format!("did you mean `{near}`?"));
        let help = help.unwrap_or_else(|| {
            format!(
                "a function is defined before it is used, with `def {name}: ...;`; a text stands in quotes, \"{name}\""
            )
        });
        self.error(name, format!("unknown function `{name}`"), help)
    }
}

/// Levels of nesting beside its own that a term causes while it runs.
fn width(t: &Term<&str>) -> usize {
    match t {
        Term::Obj(all) => {
            all.len().min(TOGETHER) + (all.len() / TOGETHER).checked_ilog2().map_or(0, |n| n as usize + 1)
        }
        Term::Str(_, all) => {
            all.len().min(TOGETHER) + (all.len() / TOGETHER).checked_ilog2().map_or(0, |n| n as usize + 1)
        }
        Term::IfThenElse(ifs, _) => ifs.len(),
        Term::Call(_, args) => args.len(),
        Term::Path(_, Path(parts)) => parts.len(),
        Term::Def(defs, _) => usize::from(defs.iter().any(|d| d.args.len() > TOGETHER)),
        _ => 0,
    }
}

/// The name most like this one, if any is.
fn alike<'n>(name: &str, there: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let rated = there.map(|n| (strsim::jaro_winkler(name, n), n)).filter(|(rate, _)| *rate >= ALIKE);
    rated.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, n)| n)
}
