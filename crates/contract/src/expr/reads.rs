//! Finds the paths that an expression reads, as far as they stand in its text.

use super::check::{children, pattern_vars};
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::load::span;
use jaq_core::path::{Opt, Part, Path};
use std::fmt;
use std::ops::Range;

/// A path that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRead {
    /// The variable it starts from, without `$`; `None` is the input.
    pub of: Option<String>,
    /// Its steps.
    pub path: Vec<Step>,
    /// Where it stands in the text of the expression, in bytes.
    pub at: Range<usize>,
    /// Whether the expression says what happens when it leads nowhere, by `?`, `//` or `try`.
    pub optional: bool,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a field.
    Key(String),
    /// To an element; negative ones count from the end.
    Index(i64),
    /// To every element.
    Each,
}

impl fmt::Display for PathRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(of) = &self.of {
            write!(f, "${of}")?;
        }
        for step in &self.path {
            match step {
                Step::Key(k) => write!(f, ".{k}")?,
                Step::Index(i) => write!(f, "[{i}]")?,
                Step::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

/// All paths that can be known, in the order in which they stand.
pub(super) fn reads(source: &str, t: &Term<&str>, globals: &[String]) -> Vec<PathRead> {
    let mut reader = Reader { source, globals, vars: Vec::new(), own: Vec::new(), found: Vec::new() };
    let input = Place { of: None, path: Vec::new() };
    reader.term(t, Some(&input), false);
    reader.found.sort_by_key(|read| read.at.start);
    reader.found.dedup();
    reader.found
}

/// A place in the input or in a variable.
#[derive(Debug, Clone)]
struct Place {
    of: Option<String>,
    path: Vec<Step>,
}

impl Place {
    fn then(&self, step: Step) -> Self {
        let mut place = self.clone();
        place.path.push(step);
        place
    }
}

struct Reader<'s, 'g> {
    source: &'s str,
    globals: &'g [String],
    vars: Vec<(&'s str, Option<Place>)>,
    own: Vec<&'s str>,
    found: Vec<PathRead>,
}

impl<'s> Reader<'s, '_> {
    /// Notes what a term reads when its input is at `here`, and answers where its output is, if that is known.
    fn term(&mut self, t: &Term<&'s str>, here: Option<&Place>, optional: bool) -> Option<Place> {
        match t {
            Term::Id => here.cloned(),
            Term::Var(x) => self.var(x),
            Term::Path(base, Path(parts)) => self.path(base, parts, here, optional),
            Term::BinOp(l, op, r) => self.operator(l, op, r, here, optional),
            Term::Label(_, t) => self.term(t, here, optional),
            Term::TryCatch(t, catch) => {
                let place = self.term(t, here, true);
                if let Some(t) = catch {
                    self.term(t, None, optional);
                }
                if catch.is_none() { place } else { None }
            }
            Term::Fold(_, xs, p, args) => {
                let x = self.term(xs, here, optional);
                for (i, arg) in args.iter().enumerate() {
                    if i == 0 {
                        self.term(arg, here, optional);
                    } else {
                        self.bound(p, x.as_ref(), |r| r.term(arg, None, optional));
                    }
                }
                None
            }
            Term::Def(defs, t) => {
                let own = self.own.len();
                for def in defs {
                    let (vars, inner) = (self.vars.len(), self.own.len());
                    self.own.extend(def.args.iter().filter(|a| !a.starts_with('$')));
                    self.vars.extend(def.args.iter().filter(|a| a.starts_with('$')).map(|a| (*a, None)));
                    self.term(&def.body, None, optional);
                    self.vars.truncate(vars);
                    self.own.truncate(inner);
                    self.own.push(def.name);
                }
                let place = self.term(t, here, optional);
                self.own.truncate(own);
                place
            }
            Term::Call(name, args) => self.call(name, args, here, optional),
            Term::Obj(entries) => {
                for (k, v) in entries {
                    self.entry(k, v.as_ref(), here, optional);
                }
                None
            }
            other => {
                let mut inside = Vec::new();
                children(other, &mut |t| inside.push(t));
                self.terms(inside, here, optional)
            }
        }
    }

    /// Notes what terms read that have the same input, and whose output is at no place.
    fn terms<'t>(
        &mut self,
        all: impl IntoIterator<Item = &'t Term<&'s str>>,
        here: Option<&Place>,
        optional: bool,
    ) -> Option<Place>
    where
        's: 't,
    {
        for t in all {
            self.term(t, here, optional);
        }
        None
    }

    fn entry(&mut self, k: &Term<&'s str>, v: Option<&Term<&'s str>>, here: Option<&Place>, optional: bool) {
        self.term(k, here, optional);
        match (v, constant(k), here) {
            (Some(v), _, _) => drop(self.term(v, here, optional)),
            // `{a}` is `{a: .a}`.
            (None, Some(name), Some(here)) => self.note(&here.then(Step::Key(name.to_owned())), name, name, optional),
            _ => {}
        }
    }

    fn var(&self, x: &str) -> Option<Place> {
        if let Some((_, place)) = self.vars.iter().rev().find(|(v, _)| *v == x) {
            return place.clone();
        }
        let of = self.globals.iter().find(|g| *g == x)?.strip_prefix('$')?;
        Some(Place { of: Some(of.to_owned()), path: Vec::new() })
    }

    fn path(
        &mut self,
        base: &Term<&'s str>,
        parts: &[(Part<Term<&'s str>>, Opt)],
        here: Option<&Place>,
        optional: bool,
    ) -> Option<Place> {
        let mut place = self.term(base, here, optional);
        let start = if let Term::Var(x) = base { Some(*x) } else { None };
        let (mut start, mut end) = (start, None);
        let mut optional = optional;
        for (part, opt) in parts {
            optional |= matches!(opt, Opt::Optional);
            let step = match part {
                Part::Index(i) => {
                    self.term(i, here, optional);
                    step(i).map(|(step, text)| {
                        start = start.or(Some(text));
                        end = Some(text);
                        Some(step)
                    })
                }
                Part::Range(None, None) => Some(Some(Step::Each)),
                Part::Range(from, to) => {
                    self.terms(from.iter().chain(to), here, optional);
                    // A slice of an array has the elements of the array.
                    Some(None)
                }
            };
            match step {
                Some(Some(step)) => place = place.map(|p| p.then(step)),
                Some(None) => {}
                None => {
                    if let (Some(place), Some(start), Some(end)) = (&place, start, end) {
                        self.note(place, start, end, optional);
                    }
                    return None;
                }
            }
        }
        if let (Some(place), Some(start), Some(end)) = (&place, start, end) {
            self.note(place, start, end, optional);
        }
        place
    }

    fn note(&mut self, place: &Place, start: &str, end: &str, optional: bool) {
        let at = extent(self.source, span(self.source, start).start..span(self.source, end).end);
        self.found.push(PathRead { of: place.of.clone(), path: place.path.clone(), at, optional });
    }

    fn operator(
        &mut self,
        l: &Term<&'s str>,
        op: &BinaryOp<&'s str>,
        r: &Term<&'s str>,
        here: Option<&Place>,
        optional: bool,
    ) -> Option<Place> {
        match op {
            BinaryOp::Pipe(None) => {
                let place = self.term(l, here, optional);
                self.term(r, place.as_ref(), optional)
            }
            BinaryOp::Pipe(Some(p)) => {
                let x = self.term(l, here, optional);
                self.bound(p, x.as_ref(), |reader| reader.term(r, here, optional))
            }
            // What is assigned to need not be there.
            BinaryOp::Assign => {
                self.term(r, here, optional);
                None
            }
            BinaryOp::Update => {
                let place = self.term(l, here, true);
                self.term(r, place.as_ref(), optional);
                None
            }
            BinaryOp::Alt | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                self.term(l, here, true);
                self.term(r, here, optional);
                None
            }
            _ => {
                self.term(l, here, optional);
                self.term(r, here, optional);
                None
            }
        }
    }

    fn bound<T>(&mut self, p: &Pattern<&'s str>, x: Option<&Place>, f: impl FnOnce(&mut Self) -> T) -> T {
        let vars = self.vars.len();
        if let Pattern::Var(v) = p {
            self.vars.push((v, x.cloned()));
        } else {
            let mut all = Vec::new();
            pattern_vars(p, &mut all);
            self.vars.extend(all.into_iter().map(|v| (v, None)));
        }
        let out = f(self);
        self.vars.truncate(vars);
        out
    }

    fn call(&mut self, name: &str, args: &[Term<&'s str>], here: Option<&Place>, optional: bool) -> Option<Place> {
        if self.own.contains(&name) {
            return self.terms(args, None, optional);
        }
        let each = || here.map(|p| p.then(Step::Each));
        match (name, args) {
            ("select", [f]) => {
                self.term(f, here, optional);
                here.cloned()
            }
            (
                "values" | "nulls" | "booleans" | "numbers" | "strings" | "arrays" | "objects" | "iterables"
                | "scalars" | "sort" | "reverse" | "unique",
                [],
            ) => here.cloned(),
            ("first", []) => here.map(|p| p.then(Step::Index(0))),
            ("last", []) => here.map(|p| p.then(Step::Index(-1))),
            ("sort_by" | "unique_by", [f]) => {
                self.term(f, each().as_ref(), optional);
                here.cloned()
            }
            ("min_by" | "max_by", [f]) => {
                let each = each();
                self.term(f, each.as_ref(), optional);
                each
            }
            ("map" | "map_values" | "any" | "all" | "group_by" | "INDEX", [f]) => {
                self.term(f, each().as_ref(), optional);
                None
            }
            ("any" | "all" | "INDEX", [from, f]) => {
                let place = self.term(from, here, optional);
                self.term(f, place.as_ref(), optional);
                None
            }
            ("first" | "last", [f]) | ("limit" | "skip" | "nth", [_, f]) => self.term(f, here, optional),
            ("isvalid" | "isempty", [f]) => {
                self.term(f, here, true);
                None
            }
            (
                "has" | "contains" | "inside" | "in" | "startswith" | "endswith" | "split" | "join" | "ltrimstr"
                | "rtrimstr" | "id" | "value" | "range" | "pow" | "indices" | "index" | "rindex" | "flatten" | "add"
                | "error" | "getpath" | "IN",
                args,
            ) => self.terms(args, here, optional),
            _ => self.terms(args, None, optional),
        }
    }
}

/// A path with the dot, the quotes and the brackets that belong to its first and last name.
fn extent(source: &str, mut at: Range<usize>) -> Range<usize> {
    let before = |at: usize, what: &str| source.get(..at).is_some_and(|s| s.ends_with(what));
    let after = |at: usize, what: &str| source.get(at..).is_some_and(|s| s.starts_with(what));
    for quote in ["\"", "-"] {
        at.start -= usize::from(before(at.start, quote));
    }
    at.end += usize::from(after(at.end, "\""));
    // A bracket belongs to the path where its partner does.
    let inside = source.get(at.clone()).unwrap_or_default();
    if inside.matches('[').count() < inside.matches(']').count() + 1
        && before(at.start, "[")
        && !inside.starts_with('.')
    {
        at.start -= 1;
    }
    let inside = source.get(at.clone()).unwrap_or_default();
    if inside.matches('[').count() > inside.matches(']').count() && after(at.end, "]") {
        at.end += 1;
    }
    at.start -= usize::from(before(at.start, "."));
    at
}

/// The text that a term is, when it is nothing else.
pub(super) fn constant<'s>(t: &Term<&'s str>) -> Option<&'s str> {
    match t {
        Term::Str(None, parts) => match parts.as_slice() {
            [StrPart::Str(s)] => Some(s),
            _ => None,
        },
        _ => None,
    }
}

/// The step that an index means, and the text of it.
pub(super) fn step<'s>(i: &Term<&'s str>) -> Option<(Step, &'s str)> {
    match i {
        Term::Num(n) => Some((Step::Index(n.parse().ok()?), n)),
        Term::Neg(t) => match &**t {
            Term::Num(n) => Some((Step::Index(n.parse::<i64>().ok()?.checked_neg()?), n)),
            _ => None,
        },
        other => constant(other).map(|s| (Step::Key(s.to_owned()), s)),
    }
}
