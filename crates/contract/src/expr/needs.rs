//! What an expression needs of its input and its variables: the rest is not taken over, however large it is.
//!
//! The answer is never too small. Whatever is not understood here needs all of it, and what a path only passes is taken
//! as far as it decides whether the path can be followed.

use super::reads::Step;
use super::reads::{constant, step};
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::{Part, Path};
use std::collections::BTreeMap;

/// What is needed of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// All of it.
    pub(super) whole: bool,
    /// Of an object: these fields.
    pub(super) fields: BTreeMap<String, Need>,
    /// Of an array: these elements.
    pub(super) items: BTreeMap<usize, Need>,
}

impl Need {
    /// All of a value.
    pub(super) const WHOLE: Self = Self { whole: true, fields: BTreeMap::new(), items: BTreeMap::new() };

    /// What is needed where these steps lead.
    fn at(&mut self, steps: &[Step]) -> &mut Self {
        let Some((first, rest)) = steps.split_first() else { return self };
        match first {
            Step::Key(key) => entry(&mut self.fields, key).at(rest),
            Step::Index(index) => match usize::try_from(*index) {
                Ok(index) => entry(&mut self.items, &index).at(rest),
                Err(_) => self.all(),
            },
            Step::Each => self.all(),
        }
    }

    fn all(&mut self) -> &mut Self {
        self.whole = true;
        self
    }
}

fn entry<'n, K: Clone + Ord>(of: &'n mut BTreeMap<K, Need>, key: &K) -> &'n mut Need {
    of.entry(key.clone()).or_default()
}

/// What is needed of the input, and of each of the variables.
pub(super) fn needs(term: &Term<&str>, globals: &[String]) -> (Need, Vec<Need>) {
    let mut finder = Finder { globals, input: Need::default(), vars: vec![Need::default(); globals.len()] };
    match finder.value(term, Some(&Place { of: None, path: Vec::new() })) {
        Some(()) => (finder.input, finder.vars),
        None => (Need::WHOLE, vec![Need::WHOLE; globals.len()]),
    }
}

/// Where the output of a term comes from.
enum Out {
    /// It lies there, and is not needed yet.
    At(Place),
    /// It is made, and what it is made of is noted.
    Made,
}

impl Out {
    fn place(self) -> Option<Place> {
        match self {
            Self::At(place) => Some(place),
            Self::Made => None,
        }
    }
}

/// A place in the input, or in the variable of this number.
#[derive(Debug, Clone)]
struct Place {
    of: Option<usize>,
    path: Vec<Step>,
}

struct Finder<'g> {
    globals: &'g [String],
    input: Need,
    vars: Vec<Need>,
}

/// Functions that look at nothing but what they are given.
const OF_ARGUMENTS: [&str; 8] = ["id", "value", "name", "our_value", "null", "true", "false", "empty"];

impl Finder<'_> {
    fn need(&mut self, place: &Place) -> &mut Need {
        // The number of a variable is one of theirs: it was found among them.
        let root = place.of.and_then(|of| self.vars.get_mut(of)).unwrap_or(&mut self.input);
        root.at(&place.path)
    }

    /// All that a term gives is needed; `None`: it is not understood.
    fn value(&mut self, t: &Term<&str>, here: Option<&Place>) -> Option<()> {
        if let Out::At(place) = self.place(t, here)? {
            self.need(&place).all();
        }
        Some(())
    }

    fn values<'t, 's: 't>(
        &mut self,
        all: impl IntoIterator<Item = &'t Term<&'s str>>,
        here: Option<&Place>,
    ) -> Option<()> {
        all.into_iter().try_for_each(|t| self.value(t, here))
    }

    /// Where the output of a term comes from, whose input lies at `here`, or is made; `None`: it is not understood.
    fn place(&mut self, t: &Term<&str>, here: Option<&Place>) -> Option<Out> {
        match t {
            Term::Id => return Some(here.cloned().map_or(Out::Made, Out::At)),
            Term::Var(x) => {
                let of = self.globals.iter().position(|global| global == x)?;
                return Some(Out::At(Place { of: Some(of), path: Vec::new() }));
            }
            Term::Path(base, Path(parts)) => return self.path(base, parts.iter().map(|(part, _)| part), here),
            Term::BinOp(l, BinaryOp::Pipe(None), r) => {
                let place = self.place(l, here)?.place();
                return self.place(r, place.as_ref());
            }
            Term::BinOp(l, op, r) => match op {
                BinaryOp::Comma
                | BinaryOp::Alt
                | BinaryOp::Or
                | BinaryOp::And
                | BinaryOp::Math(_)
                | BinaryOp::Cmp(_) => self.values([&**l, &**r], here)?,
                _ => return None,
            },
            Term::Num(_) | Term::Arr(None) => {}
            Term::Str(_, parts) => {
                let inner = parts.iter().filter_map(|part| if let StrPart::Term(t) = part { Some(t) } else { None });
                self.values(inner, here)?;
            }
            Term::Arr(Some(t)) | Term::Neg(t) => self.value(t, here)?,
            Term::Obj(entries) => {
                for (key, value) in entries {
                    match (value, constant(key)) {
                        (Some(value), _) => self.values([key, value], here)?,
                        // `{a}` is `{a: .a}`.
                        (None, Some(name)) => {
                            if let Some(place) = self.then(here.cloned(), Step::Key(name.to_owned())) {
                                self.need(&place).all();
                            }
                        }
                        (None, None) => return None,
                    }
                }
            }
            Term::IfThenElse(ifs, last) => {
                self.values(ifs.iter().flat_map(|(when, then)| [when, then]), here)?;
                // Without `else` the input goes on as it is.
                self.value(last.as_deref().unwrap_or(&Term::Id), here)?;
            }
            Term::TryCatch(t, catch) => {
                self.value(t, here)?;
                self.values(catch.as_deref(), None)?;
            }
            Term::Call(name, args) if OF_ARGUMENTS.contains(name) => self.values(args, here)?,
            Term::Call(_, args) => {
                // What its arguments see is its input or made of that.
                if let Some(here) = here {
                    self.need(here).all();
                }
                self.values(args, None)?;
            }
            Term::Recurse => {
                if let Some(here) = here {
                    self.need(here).all();
                }
            }
            Term::Break(_) | Term::Label(..) | Term::Fold(..) | Term::Def(..) => return None,
        }
        Some(Out::Made)
    }

    fn path<'t, 's: 't>(
        &mut self,
        base: &Term<&'s str>,
        parts: impl Iterator<Item = &'t Part<Term<&'s str>>>,
        here: Option<&Place>,
    ) -> Option<Out> {
        let mut place = self.place(base, here)?.place();
        for part in parts {
            let known = match part {
                Part::Index(i) => {
                    self.value(i, here)?;
                    step(i).map(|(step, _)| step).filter(|step| !is_negative(step))
                }
                Part::Range(from, to) => {
                    self.values(from.iter().chain(to), here)?;
                    None
                }
            };
            place = match (place, known) {
                (Some(place), Some(step)) => self.then(Some(place), step),
                (Some(place), None) => {
                    self.need(&place).all();
                    None
                }
                (None, _) => None,
            };
        }
        Some(place.map_or(Out::Made, Out::At))
    }

    /// One step on. Whether it can be made is seen by what stands before it, which is noted.
    fn then(&mut self, place: Option<Place>, step: Step) -> Option<Place> {
        let mut place = place?;
        place.path.push(step);
        self.need(&place);
        Some(place)
    }
}

fn is_negative(step: &Step) -> bool {
    matches!(step, Step::Index(index) if *index < 0)
}

#[cfg(test)]
mod tests {
    use super::super::{EvalError, NoNames, Program};
    use super::Need;
    use serde_json::{Value, json};

    /// Evaluates with all that is there, whatever is needed.
    fn whole(source: &str, input: &Value, vars: &[Value]) -> Result<Vec<Value>, EvalError> {
        // A definition is not understood: it needs everything.
        Program::compile(&format!("def whole: 1; {source}"), &["x", "y"]).unwrap().eval_all(input, vars, &NoNames, 50)
    }

    #[test]
    fn what_is_left_out_changes_nothing() {
        let input = json!({
            "a": {"b": "t", "c": [1, {"d": 2}, "z"], "e": null}, "l": [[5, 6], {"k": 7}], "s": "text", "n": 3, "t": true
        });
        let vars = [json!({"p": {"q": [10, 11]}, "s": "v"}), json!([{"m": 1}, 2])];
        for source in [
            ".",
            ".a.b",
            ".a.b.c",
            ".s.x",
            ".a[0]",
            ".l.k",
            ".l[0][1], .l[1].k, .l[7], .l[-1].k",
            ".a.b | 1",
            ".s.b | 1",
            ".a.c[1].d + .n",
            "\"x\" + .a.b + $x.s + ($x.p.q[1] | tostring)",
            "\"x\\(.a.b)y\\($y[0].m)\"",
            "{s, n: .n, (.a.b): .t}",
            "{s} + {z: $x.p}",
            "[.a.c[]]",
            "[.l[] | length]",
            "if .t then .a.b else .a.e end",
            "if .a.e then 1 end",
            ".a.e // .s",
            ".a.x // $y[1]",
            "try .s.x catch .",
            ".s.x?",
            ".a | keys",
            ".a | has(\"b\")",
            ".a | .c | length",
            ".a[\"c\"][0:2]",
            ".a.c[$y[1]]",
            ".l[.n - 3][0]",
            "[..] | length",
            "-.n",
            ".a == $x",
            ".n > 2 and .t",
            ".a.c | map(tostring) | join(\",\")",
            ".a as {b: $b} | $b + .s",
            "reduce .a.c[] as $i (0; . + 1)",
            ".a.b |= ascii_upcase",
            ".a.b = $x.s",
            "to_entries | length",
            "first(.a.c[], .s)",
            ".l | .[0] | .[1]",
            "[.l[1], .l] | length",
            "(.a, .l) | length",
            "(.a.b, .s) | ascii_upcase",
            ".a.c[1:] | .[0].d",
            "error(.s)",
            ".n.x",
            "$y.m",
            ".l + 1",
            ".a + 1",
            "{} | .a.b",
            "null | $x.p.q[0]",
            "@base64 \"\\(.s)\"",
        ] {
            let Ok(program) = Program::compile(source, &["x", "y"]) else { panic!("{source} does not compile") };
            let found = program.eval_all(&input, &vars, &NoNames, 50);
            assert_eq!(found, whole(source, &input, &vars), "{source}");
        }
    }

    #[test]
    fn only_what_is_read_is_taken_over() {
        let Program(inner) = Program::compile("\"a\" + .a.b + $x.c", &["x"]).unwrap();
        assert!(!inner.input.whole && !inner.vars[0].1.whole);
        assert_eq!(inner.input.fields["a"].fields["b"], Need::WHOLE);
        let Program(inner) = Program::compile(". + $x", &["x"]).unwrap();
        assert!(inner.input.whole && inner.vars[0].1.whole);
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let program = Program::compile(".a + 1", &[]).unwrap();
        assert_eq!(program.eval(&json!({"a": 1, "deep": deep}), &[], &NoNames), Ok(json!(2)));
    }
}
