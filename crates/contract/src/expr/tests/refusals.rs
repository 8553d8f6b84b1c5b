//! What is no expression, and what people are told about it.

use super::{json, one};
use crate::expr::{NoNames, Program};
use std::fmt::Write as _;

/// The text with its place marked, the message and the help.
fn told(source: &str) -> String {
    let Err(e) = Program::compile(source, &["context", "input"]) else {
        return format!("{source}\n  compiles\n");
    };
    assert!(source.get(e.at.clone()).is_some(), "{source}: {:?}", e.at);
    let before = source[..e.at.start].chars().count();
    let marks = "^".repeat(source[e.at.clone()].chars().count().max(1));
    let mut out = format!("{source}\n{}{marks} {}\n", " ".repeat(before), e.message);
    if let Some(help) = &e.help {
        let _ = writeln!(out, "  help: {help}");
    }
    out
}

#[test]
fn refusals_say_what_and_where_and_what_instead() {
    let all = [
        "",
        ".a |",
        ".a b",
        "(.a",
        ".a)",
        "[1, 2",
        "{a: 1",
        "{a => 1}",
        "'a'",
        "\"a",
        "\"\\a\"",
        "\"\\ud800\"",
        "1.",
        "$",
        ".a &&.b",
        ".a || .b",
        ".a === .b",
        "if . then 1",
        "reduce . as $x (0)",
        "reduce .[] ($x)",
        "foreach . as $x (1; 2; 3; 4)",
        "1e999",
        "lenght",
        "map(.x) | frist",
        "foo(1)",
        "split(\",\"; \"g\")",
        "length(1)",
        "map",
        "$contxt.a",
        "$nothing",
        "break $out",
        "test(\"^a\")",
        "[match(\"a\")]",
        "sub(\"a\"; \"b\")",
        "env.HOME",
        "$ENV.HOME",
        "$__loc__",
        "now",
        "now | strftime(\"%Y\")",
        "input",
        "[inputs]",
        "halt",
        "halt_error",
        "debug",
        "stderr",
        "input_filename",
        "get_search_list",
        "@sh",
        "@csw",
        "@main",
        "import \"a\" as a; .",
        "include \"a\"; .",
        "a::b",
        "tostream",
        "def f: f; f",
        "def f: def g: f; g; f",
        "def a: b; def b: a; a",
        "def f(x): if . then f(x) else . end; f(1)",
        "def f($x): $x; f",
        "def f: 1; f(2)",
        ".. |",
        "äöü",
        ".ä",
        ". as [$a, $b",
        ". as {a: } | 1",
        ".a.",
        ".[",
        "{(1)}",
    ];
    let text: Vec<String> = all.iter().map(|source| told(source)).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn too_large_expressions_are_refused_before_they_are_parsed() {
    let refused = |source: String| Program::compile(&source, &[]).unwrap_err().message;
    assert!(refused("1".repeat(20_000)).contains("16384 are the limit"));
    assert!(refused("(".repeat(10_000)).contains("too many brackets"));
    assert!(refused("[".repeat(10_000)).contains("too many brackets"));
    assert!(refused(format!("\"{}", "\\(\"".repeat(5_000))).contains("too many brackets"));
    assert!(refused("-".repeat(16_000) + "1").contains("nested too deep"));
    assert!(refused("try ".repeat(4_000) + "1").contains("nested too deep"));
    assert!(refused("if ".repeat(5_000)).contains("expected"));
    assert!(refused(".|".repeat(8_000) + ".").contains("nested too deep"));
    assert!(refused(".,".repeat(8_000) + ".").contains("nested too deep"));
    assert!(refused("def f: ".repeat(2_000)).contains("expected"));
    assert!(refused(". as $x|".repeat(2_000) + ".").contains("nested too deep"));
    assert!(refused(format!("[{}]", vec!["[1]|[1]"; 1_500].join(","))).contains("too"));
}

#[test]
fn failures_say_what_failed() {
    let all = [
        (".a", "[1]"),
        (".[0]", "{\"a\":1}"),
        (".[]", "1"),
        (".a + 1", "{\"a\":\"x\"}"),
        (". - 1", "null"),
        ("1 / .", "0"),
        ("tonumber", "\"12 kg\""),
        ("tonumber", "null"),
        ("time_us", "\"22.11.2026 08:05\""),
        ("fromjson", "\"{\""),
        ("error(\"no such asset\")", "null"),
        ("error({code: 5})", "null"),
        ("empty", "null"),
        ("1, 2", "null"),
        ("infinite", "null"),
        ("id(\"maximo\"; .)", "\"packing-9\""),
        ("value(\"maximo\"; \"priority\"; .)", "\"urgent\""),
        ("id(\"maximo\"; .)", "5"),
        ("last(repeat(.))", "1"),
        ("\"x\" * 1e9", "1"),
        ("reduce range(1e5) as $i (null; [.])", "1"),
        ("null | getpath([range(1000)])", "1"),
        ("path(1)", "1"),
        ("@csv", "[[1]]"),
        ("join(\",\")", "[{\"a\":1}]"),
        ("{(.): 1}", "5"),
        (".[\"a\", 1]", "{}"),
        ("has(1)", "{}"),
        ("\"a very long text that goes on and on until nobody reads it any more\" - 1", "1"),
    ];
    let text = all.iter().map(|(source, input)| match one(source, input) {
        Ok(v) => format!("{source}  of  {input}\n  gives {v}"),
        Err(e) => format!("{source}  of  {input}\n  {e}"),
    });
    insta::assert_snapshot!(text.collect::<Vec<_>>().join("\n"));
}

#[test]
fn variables_must_be_given() {
    let program = Program::compile("$a + $b", &["a", "b"]).unwrap();
    assert_eq!(program.eval(&json("1"), &[json("2"), json("3")], &NoNames), Ok(json("5")));
    let e = program.eval(&json("1"), &[json("2")], &NoNames).unwrap_err();
    assert_eq!(e.to_string(), "the expression has 2 variables, and 1 values were given");
}
