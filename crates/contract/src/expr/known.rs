//! The functions that expressions have, and those of jq they have not, with what to do instead.

use super::natives;
use super::rewrite::definition;
use jaq_core::load::parse::{Def, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A function: its name and how many arguments it takes.
pub(super) type Function<'s> = (&'s str, usize);

/// A function written in jq, ready to be compiled, and the functions it calls.
struct Written {
    def: Def<&'static str>,
    calls: BTreeSet<Function<'static>>,
}

/// The functions that are written in jq, in the order in which they use each other.
static WRITTEN: LazyLock<Vec<Written>> = LazyLock::new(|| {
    let defs = jaq_core::load::parse(include_str!("defs.jq"), |p| p.defs()).expect("our own definitions parse");
    defs.into_iter()
        .map(|def| {
            let mut calls = BTreeSet::new();
            collect_calls(&Term::Def(vec![def.clone()], Box::new(Term::Id)), &mut calls);
            Written { def: definition(def), calls }
        })
        .collect()
});

/// All functions by name, with the numbers of arguments they take.
static KNOWN: LazyLock<BTreeMap<&'static str, BTreeSet<usize>>> = LazyLock::new(|| {
    let mut known = BTreeMap::<_, BTreeSet<_>>::new();
    for (name, args, _) in natives::all() {
        known.entry(name).or_default().insert(args.len());
    }
    for written in WRITTEN.iter() {
        known.entry(written.def.name).or_default().insert(written.def.args.len());
    }
    known.remove(natives::TICK);
    known
});

/// The numbers of arguments that a function of this name may take.
pub(super) fn arities(name: &str) -> Option<&'static BTreeSet<usize>> {
    KNOWN.get(name)
}

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.keys().copied()
}

/// The definitions that these functions need, theirs included, in an order in which they compile.
pub(super) fn definitions(called: &BTreeSet<Function<'_>>) -> Vec<Def<&'static str>> {
    let mut needed: BTreeSet<Function<'_>> = called.clone();
    let mut chosen = Vec::new();
    // A definition uses only those before it, so one pass from the last to the first finds all.
    for written in WRITTEN.iter().rev() {
        if needed.contains(&(written.def.name, written.def.args.len())) {
            needed.extend(written.calls.iter().copied());
            chosen.push(written.def.clone());
        }
    }
    chosen.reverse();
    chosen
}

fn collect_calls(t: &Term<&'static str>, calls: &mut BTreeSet<Function<'static>>) {
    super::check::each_call(t, &mut |name, args| {
        calls.insert((name, args));
    });
}

const REGEX: (&str, &str) = (
    "regular expressions can take long on texts that others write",
    "use `startswith`, `endswith`, `contains`, `split(\"...\")` or `ltrimstr`",
);
const WORLD: (&str, &str) = (
    "an expression sees only its input and its variables, so that it means the same tomorrow",
    "hand the value in as a part of the input",
);
const CLOCK: (&str, &str) = (
    "an expression has no clock and no time zone, so that it means the same tomorrow",
    "use a time of the input with `time_us`, `time_ms`, `fromdate` or `todate`",
);
const INPUTS: (&str, &str) = ("an expression has one input", "use `.`");
const OUTSIDE: (&str, &str) =
    ("an expression has no effect beside its value", "leave it out, or use `error(\"...\")` to fail");
const MODULES: (&str, &str) = ("an expression stands alone", "write the definition here, with `def name: ...;`");
const STREAMS: (&str, &str) = ("streams are not part of expressions", "use `paths`, `getpath` and `setpath`");
const SECRETS: (&str, &str) = (
    "what an expression makes is kept, and a secret would be kept with it",
    "name the secret as `env:NAME` or `file:PATH` in `authentication`, or in the credentials of a system",
);
const AUTHORIZATION: (&str, &str) =
    ("what a call identified itself with is not kept", "leave it out; the system or `authentication` identifies it");
const SHELL: (&str, &str) = ("nothing of an expression reaches a shell", "use `@json` or `@text`");

/// Why there is no function or variable of this name, and what to use instead.
pub(super) fn refused(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "test" | "match" | "capture" | "scan" | "splits" | "sub" | "gsub" => REGEX,
        "env" | "$ENV" | "get_search_list" | "$__prog_args" | "$__loc__" | "builtins" | "input_line_number"
        | "input_filename" => WORLD,
        "now" | "localtime" | "gmtime" | "mktime" | "strftime" | "strflocaltime" | "strptime" | "date" | "dateadd"
        | "datesub" => CLOCK,
        "input" | "inputs" => INPUTS,
        "halt" | "halt_error" | "debug" | "stderr" => OUTSIDE,
        "import" | "include" | "module" | "modulemeta" => MODULES,
        "tostream" | "fromstream" | "truncate_stream" => STREAMS,
        "@sh" => SHELL,
        "$secrets" => SECRETS,
        "$authorization" => AUTHORIZATION,
        _ => return None,
    })
}
