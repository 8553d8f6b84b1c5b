//! Every evaluation ends, at a limit if need be.

use super::{json, one, outputs};
use crate::expr::limits::{MAX_GROWTH, MAX_INPUT_DEPTH};
use crate::expr::meter;
use crate::expr::{EvalError, Limit, NoNames, Program};
use std::fmt::Write as _;

fn limit(source: &str) -> Limit {
    match outputs(source, "[1,2,3]") {
        Err(EvalError::Limit(limit)) => limit,
        other => panic!("{source}: {:?}", other.map(|all| all.len())),
    }
}

#[test]
fn loops_without_end_stop_after_so_many_steps() {
    // Fewer steps show the same and take less time; another test takes all of them.
    meter::limit_steps_to(50_000);
    for source in [
        "last(range(1e12))",
        "reduce range(1e12) as $x (0; 1)",
        "last(range(0; infinite))",
        "last(repeat(.))",
        "last(limit(1e12; repeat(1)))",
        "last(recurse(.))",
        "until(false; .)",
        "last(while(true; .))",
        "[limit(5; repeat(.) | empty)]",
        "first(repeat(.) | select(false))",
        "isempty(repeat(.) | empty)",
        "null | any(repeat(false); .)",
        "all(repeat(true); .)",
        "label $x | repeat(1) | if . == 2 then break $x else empty end",
        "try last(repeat(.)) catch \"caught\"",
        "last(repeat(.))? // 1",
        "[.[] | try last(repeat(.)) catch 0]",
        "(last(repeat(.)) // 1), 2",
        "path(last(recurse(.)))",
        "reduce repeat(1) as $x (.; .[0] = $x)",
        "foreach repeat(1) as $x (0; 1; empty)",
    ] {
        let limit = limit(source);
        assert!(matches!(limit, Limit::Steps | Limit::Path), "{source}: {limit:?}");
    }
}

#[test]
fn all_steps_can_be_taken_and_no_more() {
    assert_eq!(one("reduce range(150000) as $i (0; . + 1)", "null"), Ok(json("150000")));
    assert_eq!(one("last(range(1e12))", "null"), Err(EvalError::Limit(Limit::Steps)));
}

#[test]
fn few_functions_that_give_much_stop_too() {
    meter::limit_steps_to(50_000);
    let mut twice = String::from("def f0: ., .; ");
    for i in 1..9 {
        let _ = write!(twice, "def f{i}: f{j} | f{j}; ", j = i - 1);
    }
    assert_eq!(limit(&format!("{twice} reduce f8 as $x (0; .)")), Limit::Steps);
    assert!(matches!(limit(&format!("{twice} [f8?] | length")), Limit::Steps | Limit::Bytes));
    let commas = vec!["(., .)"; 18].join(" | ");
    assert_eq!(limit(&format!("last({commas})")), Limit::Steps);
    assert_eq!(limit(&format!("reduce ({commas}) as $x (0; try error catch .)")), Limit::Steps);
    let each = vec!["([1,1] | .[])"; 18].join(" | ");
    assert!(matches!(limit(&format!("reduce ({each}) as $x (0; .)")), Limit::Steps | Limit::Bytes));
    let each = [".[]?"; 12].join(" , ");
    let product = vec![format!("({each})"); 4].join(" + ");
    assert_eq!(limit(&format!("reduce ({product}) as $x (0; .)")), Limit::Steps);
    let keys: Vec<String> = (0..18).map(|i| format!("k{i}: (1, 2)")).collect();
    assert!(matches!(limit(&format!("last({{{}}})", keys.join(", "))), Limit::Steps | Limit::Bytes));
}

#[test]
fn what_is_built_is_bounded() {
    for source in [
        "[range(1e9)] | length",
        "\"x\" * 1e9 | length",
        "reduce range(60) as $i (\"x\"; . + .) | length",
        "reduce range(60) as $i ([1]; . + .) | length",
        "[repeat(1)] | length",
        ".[1e9] = 1",
        ".[1e18] = 1",
        "[limit(100000; repeat(\"x\"))] | join(\"yyyyyyyyyyyyyyyyyyyyyyyyy\") | length",
        "reduce range(100000) as $i ({}; .[\"key\\($i)\"] = $i) | length",
        "[range(30000)] | map(tostring) | add | split(\"\") | length",
        "[range(60000)] | [., .] | add | length",
        "reduce range(30) as $i (.; [., .]) | tojson | length",
        "[range(50000)] | tojson | [., .] | tojson",
        "[range(60000)] | group_by(.) | length",
    ] {
        assert_eq!(limit(source), Limit::Bytes, "{source}");
    }
}

#[test]
fn values_that_contain_others_many_times_are_not_written_out() {
    meter::limit_steps_to(50_000);
    // Fifty arrays in memory, more than 10^15 in JSON.
    for then in [
        ".",
        "[..] | length",
        "last(..)",
        ". == map(.)",
        ". < map(.)",
        "walk(.)",
        "contains(.)",
        "flatten",
        "tojson",
        r#""\(.)""#,
        "[paths] | length",
        "(.. | numbers) |= 2",
        "sort",
        "unique",
        "value(\"a\"; \"b\"; .)",
        "error",
    ] {
        let source = format!("reduce range(50) as $i (1; [., .]) | {then}");
        assert!(
            matches!(outputs(&source, "1"), Err(EvalError::Limit(Limit::Steps | Limit::Bytes) | EvalError::Raised(_))),
            "{then}"
        );
    }
}

#[test]
fn values_are_not_nested_without_end() {
    for source in [
        "reduce range(1e5) as $i (null; [.])",
        "reduce range(1e5) as $i (null; {a: .})",
        "reduce range(1e5) as $i (null; .a |= {b: .})",
        "last(repeat([.]))",
        "until(false; [.])",
        "null | setpath([range(200)] | map(0); 1)",
        "reduce range(1e5) as $i ({}; . * {a: {a: .}})",
        "reduce range(1e5) as $i ([]; [.] + [])",
        "last(recurse({a: .}))",
    ] {
        assert_eq!(limit(source), Limit::Depth, "{source}");
    }
}

#[test]
fn paths_and_open_ways_are_bounded() {
    assert_eq!(limit("null | path(reduce range(1e5) as $i (.; .[0]))"), Limit::Path);
    assert_eq!(limit("null | getpath([range(1000)])"), Limit::Path);
    assert_eq!(limit("null | path(getpath([range(1000)]))"), Limit::Path);
    assert_eq!(limit("null | setpath([range(1000)]; 1)"), Limit::Path);
    assert_eq!(limit("null | path(last(recurse(.a)))"), Limit::Path);
    assert_eq!(limit("null | [limit(1e5; path(recurse(.a)))]"), Limit::Path);
    assert!(matches!(limit("last(recurse(., .))"), Limit::Path | Limit::Steps));
}

#[test]
fn functions_nested_in_functions_do_not_end_the_stack() {
    let mut source = String::from("def f0(g): g; ");
    for i in 1..30 {
        let _ = write!(source, "def f{i}(g): f{j}(f{j}(g)); ", j = i - 1);
    }
    let limit = limit(&format!("{source} f29(. | .)"));
    assert!(matches!(limit, Limit::Stack | Limit::Steps), "{limit:?}");
    // As a path and as an update too.
    for form in ["path({})", "({}) |= 1", "del({})"] {
        let form = form.replace("{}", "f29(. | .)");
        let got = outputs(&format!("{source} {form}"), "{}");
        assert!(matches!(got, Err(EvalError::Limit(Limit::Stack | Limit::Steps))), "{form}: {got:?}");
    }
    assert!(matches!(outputs("(reduce range(1e5) as $i (.; .a)) |= 3", "null"), Err(EvalError::Limit(_))));
}

#[test]
fn the_deepest_expressions_that_compile_run_on_any_thread() {
    let deep = [
        vec!["."; 390].join(" | "),
        vec!["1"; 390].join(" + "),
        vec!["."; 390].join(", "),
        format!("{}.{}", "[".repeat(190), "]".repeat(190)),
        format!("{}1{}", "(".repeat(190), ")".repeat(190)),
        format!("{}1", "-".repeat(390)),
        format!("{}1", "try ".repeat(390)),
        format!("{}1{}", "if . then ".repeat(130), " else 0 end".repeat(130)),
        format!("{}1", "1 as $x | ".repeat(190)),
        format!("{}1", "label $x | ".repeat(390)),
        format!("{{{}}}", (0..1000).map(|i| format!("k{i}: {i}")).collect::<Vec<_>>().join(", ")),
        format!("\"{}\"", "\\(1)".repeat(1000)),
        format!(".{}", "[0]?".repeat(190)),
        format!(". as [{}] | $x0", (0..190).map(|i| format!("$x{i}")).collect::<Vec<_>>().join(", ")),
        format!("{}.", (0..130).map(|i| format!("def f{i}: .; ")).collect::<Vec<_>>().concat()),
    ];
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let thread = small.spawn(move || {
        for source in deep {
            let program = Program::compile(&source, &[]).unwrap_or_else(|e| panic!("{source}: {e}"));
            let out = program.eval_all(&json("[[]]"), &[], &NoNames, 1_000);
            let fine = matches!(out, Ok(_) | Err(EvalError::Raised(_) | EvalError::Limit(Limit::Depth)));
            assert!(fine, "{source}: {out:?}");
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn expressions_of_any_depth_run_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let thread = small.spawn(|| {
        for n in (1..12).chain([16, 24, 40]) {
            for (open, middle, close) in [
                ("select(", ".", ")"),
                ("map(", "1", ")"),
                ("first(", ".", ")"),
                ("path(", ".", ")"),
                ("[", "1", "]"),
                ("{a: ", "1", "}"),
                ("", ".", ", 1"),
                ("", ".", " | ."),
                ("", "1", " + 1"),
                ("1 as $x | ", "$x", ""),
                ("reduce . as $x (.; ", ".", ")"),
                ("sort_by(", ".", ")"),
                ("any(", ".", ")"),
                ("def f(g): g; f(", ".", ")"),
                ("(", ".", ") |= 1"),
                ("\"\\(", "1", ")\""),
                ("if . then ", "1", " else 2 end"),
                ("try ", "error", " catch ."),
            ] {
                let source = format!("{}{middle}{}", open.repeat(n), close.repeat(n));
                let Ok(program) = Program::compile(&source, &[]) else { continue };
                let out = program.eval_all(&json("[[[[1],[2]]]]"), &[], &NoNames, 1_000);
                assert!(!matches!(out, Err(EvalError::Limit(_) | EvalError::Internal(_))), "{source}: {out:?}");
            }
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn inputs_and_results_keep_to_their_depth() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(one(".", &nested(MAX_INPUT_DEPTH)).is_ok());
    assert!(one("[..] | length", &nested(MAX_INPUT_DEPTH)).is_ok());
    assert!(one("walk(.)", &nested(MAX_INPUT_DEPTH)).is_ok());
    let refused = one(".", &nested(MAX_INPUT_DEPTH + 1));
    assert_eq!(refused, Err(EvalError::TooDeep { what: "the input".into() }));
    assert!(matches!(one("fromjson", &format!("{:?}", nested(100))), Err(EvalError::Raised(_))));
    let program = Program::compile("$x", &["x"]).unwrap();
    let refused = program.eval(&json("1"), &[json(&nested(MAX_INPUT_DEPTH + 1))], &NoNames);
    assert_eq!(refused, Err(EvalError::TooDeep { what: "$x".into() }));
}

#[test]
fn large_inputs_are_mapped_within_the_limits() {
    let lines: Vec<String> = (0..5_000).map(|i| format!("{{\"id\":\"line-{i}\",\"qty\":{i}}}")).collect();
    let input = format!("{{\"lines\":[{}]}}", lines.join(","));
    let total = one("[.lines[] | select(.qty > 10) | .qty] | add", &input).unwrap();
    assert_eq!(total, json("12497445"));
    assert!(one("[.lines[] | {id, qty: (.qty * 2)}] | length", &input).is_ok());
    // What comes in may go out again, whatever its size.
    let text = format!("\"{}\"", "x".repeat(3 * MAX_GROWTH));
    assert!(one("{a: ., b: 1}", &text).is_ok());
    assert!(one("[., .]", &text).is_err());
}
