//! What an expression gives, as far as its text says so: a part of what it sees, a value of some kind, an object of
//! some fields.

use super::check::pattern_vars;
use super::reads::{Step, constant, step};
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

/// Steps of a place at most; what lies deeper may be anything.
const STEPS_MAX: usize = 32;
/// Alternatives at most; more may be anything.
const EITHER_MAX: usize = 16;

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// Anything.
    Any,
    /// What stands at a path of the input (`of` is nothing) or of a variable.
    At {
        /// The variable, without `$`.
        of: Option<String>,
        /// The path.
        path: Vec<Step>,
    },
    /// A value of this JSON type.
    Kind(&'static str),
    /// A list of these.
    List(Vec<Form>),
    /// An object of these fields and no others.
    Object(Vec<(String, Form)>),
    /// One of these; none: nothing at all.
    Either(Vec<Form>),
}

/// What a term gives.
pub(super) fn form(t: &Term<&str>, globals: &[String]) -> Form {
    let mut reader = Reader { globals, vars: Vec::new() };
    reader.term(t, &Form::At { of: None, path: Vec::new() })
}

struct Reader<'s, 'g> {
    globals: &'g [String],
    vars: Vec<(&'s str, Form)>,
}

impl<'s> Reader<'s, '_> {
    fn term(&mut self, t: &Term<&'s str>, here: &Form) -> Form {
        match t {
            Term::Id => here.clone(),
            Term::Num(_) | Term::Neg(_) => Form::Kind("number"),
            Term::Str(..) => Form::Kind("string"),
            Term::Arr(None) => Form::List(Vec::new()),
            Term::Arr(Some(t)) => match self.term(t, here) {
                Form::Either(all) => Form::List(all),
                Form::Any => Form::Kind("array"),
                one => Form::List(vec![one]),
            },
            Term::Obj(entries) => self.object(entries, here),
            Term::Path(base, Path(parts)) => {
                let mut at = self.term(base, here);
                for (part, _) in parts {
                    at = self::part(at, part);
                }
                at
            }
            Term::BinOp(l, op, r) => self.operator(l, op, r, here),
            Term::Label(_, t) | Term::TryCatch(t, None) => self.term(t, here),
            Term::TryCatch(t, Some(catch)) => {
                let (one, other) = (self.term(t, here), self.term(catch, &Form::Any));
                either(vec![one, other])
            }
            Term::IfThenElse(ifs, last) => {
                let mut all: Vec<Form> = ifs.iter().map(|(_, then)| self.term(then, here)).collect();
                all.push(last.as_ref().map_or_else(|| here.clone(), |t| self.term(t, here)));
                either(all)
            }
            Term::Var(x) => self.var(x),
            Term::Call(name, args) => self.call(name, args, here),
            Term::Recurse | Term::Break(_) | Term::Fold(..) | Term::Def(..) => Form::Any,
        }
    }

    fn object(&mut self, entries: &[(Term<&'s str>, Option<Term<&'s str>>)], here: &Form) -> Form {
        let mut fields: Vec<(String, Form)> = Vec::new();
        for (key, value) in entries {
            // `{$x}` is `{x: $x}`.
            let name = match key {
                Term::Var(x) => x.trim_start_matches('$'),
                key => match constant(key) {
                    Some(name) => name,
                    None => return Form::Kind("object"),
                },
            };
            let value = match (value, key) {
                (Some(value), _) => self.term(value, here),
                (None, Term::Var(x)) => self.var(x),
                (None, _) => next(here.clone(), Step::Key(name.to_owned())),
            };
            fields.retain(|(known, _)| known != name);
            fields.push((name.to_owned(), value));
        }
        Form::Object(fields)
    }

    fn var(&self, x: &str) -> Form {
        if let Some((_, form)) = self.vars.iter().rev().find(|(name, _)| *name == x) {
            return form.clone();
        }
        let global = self.globals.iter().find(|global| *global == x).and_then(|global| global.strip_prefix('$'));
        global.map_or(Form::Any, |of| Form::At { of: Some(of.to_owned()), path: Vec::new() })
    }

    fn operator(&mut self, l: &Term<&'s str>, op: &BinaryOp<&'s str>, r: &Term<&'s str>, here: &Form) -> Form {
        match op {
            BinaryOp::Pipe(None) => {
                let at = self.term(l, here);
                self.term(r, &at)
            }
            BinaryOp::Pipe(Some(pattern)) => {
                let x = self.term(l, here);
                let vars = self.vars.len();
                if let Pattern::Var(name) = pattern {
                    self.vars.push((name, x));
                } else {
                    let mut all = Vec::new();
                    pattern_vars(pattern, &mut all);
                    self.vars.extend(all.into_iter().map(|name| (name, Form::Any)));
                }
                let found = self.term(r, here);
                self.vars.truncate(vars);
                found
            }
            BinaryOp::Comma | BinaryOp::Alt => {
                let (one, other) = (self.term(l, here), self.term(r, here));
                either(vec![one, other])
            }
            BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_) => Form::Kind("boolean"),
            BinaryOp::Math(math) => {
                let (l, r) = (self.term(l, here), self.term(r, here));
                arithmetic(l, *math, r)
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => Form::Any,
        }
    }

    fn call(&mut self, name: &str, args: &[Term<&'s str>], here: &Form) -> Form {
        match (name, args) {
            ("null", []) => Form::Kind("null"),
            ("empty" | "error", _) => Form::Either(Vec::new()),
            (
                "true" | "false" | "not" | "isvalid" | "isempty" | "any" | "all" | "has" | "in" | "contains" | "inside"
                | "startswith" | "endswith",
                _,
            ) => Form::Kind("boolean"),
            (
                "length" | "utf8bytelength" | "tonumber" | "floor" | "ceil" | "round" | "sqrt" | "time_us" | "time_ms",
                [],
            ) => Form::Kind("number"),
            ("tostring" | "tojson" | "ascii_downcase" | "ascii_upcase" | "trim" | "ltrim" | "rtrim" | "todate", [])
            | ("join", [_]) => Form::Kind("string"),
            ("keys" | "to_entries" | "explode", []) | ("split", _) => Form::Kind("array"),
            ("map", [f]) => {
                let item = next(here.clone(), Step::Each);
                match self.term(f, &item) {
                    Form::Any => Form::Kind("array"),
                    Form::Either(all) => Form::List(all),
                    one => Form::List(vec![one]),
                }
            }
            ("values" | "sort" | "reverse" | "unique", []) | ("select" | "sort_by" | "unique_by", [_]) => here.clone(),
            ("first", []) => next(here.clone(), Step::Index(0)),
            ("last", []) => next(here.clone(), Step::Index(-1)),
            ("first" | "last", [f]) => self.term(f, here),
            _ => Form::Any,
        }
    }
}

/// What a part of a path leads to.
fn part(at: Form, part: &Part<Term<&str>>) -> Form {
    match part {
        Part::Index(index) => match step(index) {
            Some((step, _)) => next(at, step),
            None => Form::Any,
        },
        Part::Range(None, None) => next(at, Step::Each),
        // A slice of a list has the items of the list; one of a text is a text.
        Part::Range(..) => at,
    }
}

/// What stands one step further.
fn next(at: Form, step: Step) -> Form {
    match at {
        Form::At { of, mut path } if path.len() < STEPS_MAX => {
            path.push(step);
            Form::At { of, path }
        }
        Form::List(items) if !matches!(step, Step::Key(_)) => either(items),
        Form::Object(fields) => match step {
            Step::Key(key) => {
                fields.into_iter().find(|(name, _)| *name == key).map_or(Form::Kind("null"), |(_, form)| form)
            }
            Step::Each => either(fields.into_iter().map(|(_, form)| form).collect()),
            Step::Index(_) => Form::Any,
        },
        Form::Either(all) => either(all.into_iter().map(|form| next(form, step.clone())).collect()),
        _ => Form::Any,
    }
}

/// One of several.
fn either(all: Vec<Form>) -> Form {
    let mut flat: Vec<Form> = Vec::new();
    for form in all {
        match form {
            Form::Any => return Form::Any,
            Form::Either(inner) => flat.extend(inner),
            other if !flat.contains(&other) => flat.push(other),
            _ => {}
        }
    }
    match flat.len() {
        1 => flat.remove(0),
        n if n > EITHER_MAX => Form::Any,
        _ => Form::Either(flat),
    }
}

fn arithmetic(l: Form, math: Math, r: Form) -> Form {
    let is = |form: &Form, kind: &str| matches!(form, Form::Kind(k) if *k == kind);
    if is(&l, "number") && is(&r, "number") {
        return Form::Kind("number");
    }
    if !matches!(math, Math::Add) {
        return Form::Any;
    }
    match (l, r) {
        (Form::List(mut a), Form::List(b)) => {
            a.extend(b);
            match either(a) {
                Form::Any => Form::Kind("array"),
                Form::Either(all) => Form::List(all),
                one => Form::List(vec![one]),
            }
        }
        (Form::Object(mut a), Form::Object(b)) => {
            for (name, form) in b {
                a.retain(|(known, _)| *known != name);
                a.push((name, form));
            }
            Form::Object(a)
        }
        // What is added to null stays what it is, and what is added to anything else is of the same kind.
        (a, b) if is(&a, "string") || is(&b, "string") => Form::Kind("string"),
        (a, b) if is(&a, "number") || is(&b, "number") => Form::Kind("number"),
        (Form::List(_), _) | (_, Form::List(_)) => Form::Kind("array"),
        (Form::Object(_), _) | (_, Form::Object(_)) => Form::Kind("object"),
        _ => Form::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Program;

    fn of(source: &str) -> Form {
        Program::compile(source, &["input", "error"]).unwrap().form().clone()
    }

    fn at(of: Option<&str>, path: &[&str]) -> Form {
        let step = |name: &&str| match *name {
            "[]" => Step::Each,
            "0" => Step::Index(0),
            key => Step::Key(key.to_owned()),
        };
        Form::At { of: of.map(str::to_owned), path: path.iter().map(step).collect() }
    }

    #[test]
    fn places_are_followed() {
        assert_eq!(of(".a.b"), at(None, &["a", "b"]));
        assert_eq!(of("$input[0] | .data"), at(Some("input"), &["0", "data"]));
        assert_eq!(of(". as $x | $x.a"), at(None, &["a"]));
        assert_eq!(of("first | .a"), at(None, &["0", "a"]));
        assert_eq!(of(".a[1:]"), at(None, &["a"]));
        assert_eq!(of(".[.key]"), Form::Any);
        assert_eq!(of("reduce .[] as $x (0; . + $x)"), Form::Any);
    }

    #[test]
    fn values_have_kinds() {
        for (source, kind) in [
            ("\"a \" + .b", "string"),
            ("1 + 2", "number"),
            (".a == 1", "boolean"),
            (".a and .b", "boolean"),
            ("\"x\\(.a)\"", "string"),
            (".a | length", "number"),
            ("{(.a): 1}", "object"),
            (".colors + [\"red\"]", "array"),
            ("null", "null"),
            ("{a: 1}.b", "null"),
        ] {
            assert_eq!(of(source), Form::Kind(kind), "{source}");
        }
        assert_eq!(of("empty"), Form::Either(Vec::new()));
        assert_eq!(of(".a // 0"), Form::Either(vec![at(None, &["a"]), Form::Kind("number")]));
        assert_eq!(of("if .a then .b else \"c\" end"), Form::Either(vec![at(None, &["b"]), Form::Kind("string")]));
    }

    #[test]
    fn objects_and_lists_know_what_they_hold() {
        assert_eq!(
            of("{a: .x, b: {c: 1}, d, $error}"),
            Form::Object(vec![
                ("a".into(), at(None, &["x"])),
                ("b".into(), Form::Object(vec![("c".into(), Form::Kind("number"))])),
                ("d".into(), at(None, &["d"])),
                ("error".into(), at(Some("error"), &[])),
            ])
        );
        assert_eq!(of("{a: 1} + {b: 2} | .b"), Form::Kind("number"));
        assert_eq!(of("map({n: .m})"), Form::List(vec![Form::Object(vec![("n".into(), at(None, &["[]", "m"]))])]));
        assert_eq!(of("[.a, .b] | .[0]"), Form::Either(vec![at(None, &["a"]), at(None, &["b"])]));
    }
}
