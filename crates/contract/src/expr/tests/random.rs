//! Random expressions on random inputs: none panics, and every one ends.

use crate::expr::fuzz::fuzz;
use crate::expr::{EvalError, NoNames, Program};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::Value;

fn value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| serde_json::Number::from_f64(f).map_or(Value::Null, Value::Number)),
        "[a-cäß ,.0-9]{0,6}".prop_map(Value::String),
    ];
    plain.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[abc]", inner), 0..4).prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        ".",
        ".",
        "..",
        ".a",
        ".b",
        ".a.b?",
        ".[]",
        ".[]?",
        ".[0]",
        ".[-1]",
        ".[1:]",
        ".[:2]",
        ".[1e9]",
        "0",
        "1",
        "-1",
        "2.5",
        "1e300",
        "99999999999999999999",
        "\"a\"",
        "\"b\\(.)\"",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "empty",
        "error",
        "$x",
        "length",
        "keys",
        "add",
        "sort",
        "type",
        "not",
        "tojson",
        "fromjson",
        "tostring",
        "tonumber",
        "reverse",
        "to_entries",
        "from_entries",
        "paths",
        "first",
        "last",
        "min",
        "max",
        "unique",
        "flatten",
        "floor",
        "ceil",
        "round",
        "sqrt",
        "log",
        "explode",
        "implode",
        "@csv",
        "@base64",
        "@base64d",
        "@uri",
        "@html",
        "any",
        "all",
        "transpose",
        "time_us",
        "todate",
        "fromdate",
        "ascii",
        "infinite",
        "nan",
        "ascii_downcase",
        "trim",
        "recurse",
        "combinations",
        "[range(5)]",
        "range(3)",
        "scalars",
        "values",
        "abs",
        "leaf_paths",
        "toarray",
        "utf8bytelength",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let one = prop::sample::select(vec![
            "[?]",
            "(?)",
            "{a: ?}",
            "{(?): 1}",
            "{a: ?, b: .}",
            "-(?)",
            "try (?) catch .",
            "(?)?",
            "\"\\(?)\"",
            "map(?)",
            "map_values(?)",
            "select(?)",
            "recurse(?)",
            "[limit(5; repeat(?))]",
            "first(?)",
            "last(?)",
            "limit(3; ?)",
            "skip(1; ?)",
            "nth(1; ?)",
            "until(?; .)",
            "[while(?; .[0]?)]",
            "sort_by(?)",
            "group_by(?)",
            "min_by(?)",
            "max_by(?)",
            "unique_by(?)",
            "path(?)",
            "del(?)",
            "pick(?)",
            "[paths(?)]",
            "walk(?)",
            "any(?)",
            "all(?)",
            "isempty(?)",
            "isvalid(?)",
            "error(?)",
            "has(?)",
            "contains(?)",
            "inside(?)",
            "in(?)",
            "join(?)",
            "split(?)",
            "indices(?)",
            "index(?)",
            "startswith(?)",
            "ltrimstr(?)",
            "getpath(?)",
            "delpaths(?)",
            "flatten(?)",
            "range(?)",
            "with_entries(?)",
            "add(?)",
            "id(\"a\"; ?)",
            "value(\"a\"; \"b\"; ?)",
            "label $l | (?)",
            "label $l | (?), break $l",
            "def f: ?; f | f",
            "def f(g): g | g; f(?)",
            ". as [$a, $x] | ?",
            ". as {a: $x} | ?",
            ".[?]",
            ".[?:]",
            "reduce .[]? as $x (.; ?)",
            "[foreach .[]? as $x (0; ?)]",
            "(?) |= .",
            "(?) = 1",
            "(?) += 1",
            "(?) //= 2",
            "(.. | ?) |= 1",
            "INDEX(?)",
            "IN(?)",
            "setpath([\"a\", 0]; ?)",
            "pow(?; 2)",
        ]);
        let two = prop::sample::select(vec![
            "? | ?",
            "? | ?",
            "? , ?",
            "? + ?",
            "? - ?",
            "? * ?",
            "? / ?",
            "? % ?",
            "? == ?",
            "? < ?",
            "? and ?",
            "? or ?",
            "? // ?",
            "? as $x | ?",
            "(?) |= (?)",
            "(?) = (?)",
            "(?) *= (?)",
            "if ? then ? else . end",
            "any(?; ?)",
            "all(?; ?)",
            "recurse(?; ?)",
            "until(?; ?)",
            "[limit(3; while(?; ?))]",
            "range(?; ?)",
            "setpath(?; ?)",
            "reduce (?) as $x (0; ?)",
            "foreach (?) as $x (.; ?; $x)",
            ".[?:?]",
            "def f($x; g): [$x, g]; f(?; ?)",
            "path(? | ?)",
            "try (?) catch (?)",
        ]);
        prop_oneof![
            (one, inner.clone()).prop_map(|(form, a)| form.replacen('?', &a, 1)),
            (two, inner.clone(), inner).prop_map(|(form, a, b)| {
                // The holes are filled from the last, for what fills one may contain a question mark too.
                let at = form.rfind('?').unwrap_or_default();
                let form = format!("{}({b}){}", &form[..at], &form[at + 1..]);
                form.replacen('?', &format!("({a})"), 1)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn random_expressions_end(source in expression(), input in value(), var in value()) {
        if let Ok(program) = Program::compile(&source, &["x"]) {
            let out = program.eval_all(&input, std::slice::from_ref(&var), &NoNames, 10_000);
            prop_assert!(!matches!(out, Err(EvalError::Internal(_))), "{source}: {out:?}");
            let again = program.eval_all(&input, std::slice::from_ref(&var), &NoNames, 10_000);
            prop_assert_eq!(&out, &again, "{}", source);
            // What the expression does not need changes nothing: a definition makes it need everything.
            let whole = Program::compile(&format!("def whole: 1; {source}"), &["x"]);
            if let Ok(whole) = whole
                && !matches!(out, Err(EvalError::Limit(_)))
            {
                prop_assert_eq!(out, whole.eval_all(&input, &[var], &NoNames, 10_000), "{}", source);
            }
        }
    }

    #[test]
    fn random_bytes_are_refused_or_run(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        fuzz(&bytes);
    }

    #[test]
    fn random_texts_are_refused_or_run(
        text in "([.|,:;$@?\"\\\\(){}\\[\\]a-c0-9 +*/%<=>-]\
                |def |if |then |else |end|as |reduce |\\$x|\\.\\.|//|try |label ){0,24}"
    ) {
        fuzz(format!("{text}\0[1,{{\"a\":2}}]").as_bytes());
    }
}

#[test]
fn values_survive_the_way_in_and_out() {
    let program = Program::compile(".", &[]).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..500 {
        let input = value().new_tree(&mut runner).unwrap().current();
        assert_eq!(program.eval(&input, &[], &NoNames), Ok(input.clone()));
    }
}
