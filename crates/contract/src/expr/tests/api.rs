//! Programs as others use them: variables, lookups, paths, embedded texts, threads.

use super::{Office, json, one};
use crate::expr::{EvalError, Missing, NoNames, Program, embedded, paths_read, truthy};
use serde_json::json as j;

#[test]
fn names_of_other_systems_come_from_the_lookup() {
    let program =
        Program::compile(r#"{asset: id("maximo"; .asset), priority: value("maximo"; "priority"; .severity)}"#, &[])
            .unwrap();
    let input = j!({"asset": "packing-3", "severity": "high"});
    assert_eq!(program.eval(&input, &[], &Office), Ok(j!({"asset": "PKG-0003", "priority": 1})));
    let Err(EvalError::Missing(missing)) = program.eval(&j!({"asset": "x"}), &[], &Office) else { panic!() };
    assert_eq!((missing.system.as_str(), missing.map, missing.name.as_str()), ("maximo", None, "x"));
    let Err(EvalError::Missing(Missing { map, name, .. })) =
        program.eval(&j!({"asset": "packing-3", "severity": 9}), &[], &Office)
    else {
        panic!()
    };
    assert_eq!((map.as_deref(), name.as_str()), (Some("priority"), "9"));
    // An error that was handled is not the reason of a later one.
    let program = Program::compile(r#"(id("maximo"; "x")? // "none") | error"#, &[]).unwrap();
    assert_eq!(program.eval(&j!(null), &[], &Office), Err(EvalError::Raised("none".into())));
}

#[test]
fn one_output_or_none_or_all() {
    let program = Program::compile(".[] | select(. > 1)", &[]).unwrap();
    assert_eq!(program.eval(&j!([1, 2]), &[], &NoNames), Ok(j!(2)));
    assert_eq!(program.eval_opt(&j!([1]), &[], &NoNames), Ok(None));
    assert_eq!(program.eval(&j!([1]), &[], &NoNames), Err(EvalError::Empty));
    assert!(matches!(program.eval(&j!([2, 3]), &[], &NoNames), Err(EvalError::Many(_))));
    assert_eq!(program.eval_all(&j!([2, 3]), &[], &NoNames, 2), Ok(vec![j!(2), j!(3)]));
    assert!(matches!(program.eval_all(&j!([2, 3, 4]), &[], &NoNames, 2), Err(EvalError::Many(_))));
    // The second output is not asked for where the first is one too many already.
    assert!(matches!(one("1, 2, last(repeat(.))", "null"), Err(EvalError::Many(_))));
}

#[test]
fn entries_keep_their_order() {
    let out = one("{z: 1, a: .b} + {m: {y: 1, b: 2}} | .c = 3", r#"{"b":{"q":1,"c":2}}"#).unwrap();
    assert_eq!(out.to_string(), r#"{"z":1,"a":{"q":1,"c":2},"m":{"y":1,"b":2},"c":3}"#);
}

#[test]
fn the_same_input_gives_the_same_output_on_every_thread() {
    let source =
        "{a: (.x | map(. * 1.1) | add), b: (.o | to_entries | map(.key) | join(\",\")), c: (.x | group_by(. % 3))}";
    let program = Program::compile(source, &[]).unwrap();
    let input = j!({"x": (0..200).collect::<Vec<_>>(), "o": {"z": 1, "b": 2, "q": 3}});
    let first = program.eval(&input, &[], &NoNames).unwrap().to_string();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(program.clone().eval(&input, &[], &NoNames).unwrap().to_string(), first);
                }
            });
        }
    });
}

#[test]
fn a_lookup_may_evaluate_too() {
    struct Nested(Program);
    impl crate::expr::Lookup for Nested {
        fn id(&self, _: &str, name: &str) -> Option<String> {
            self.0.eval(&j!(name), &[], &NoNames).ok().map(|v| v.to_string())
        }
        fn value(&self, _: &str, _: &str, _: &serde_json::Value) -> Option<serde_json::Value> {
            None
        }
        fn name(&self, _: &str, _: &str, _: &str) -> Option<String> {
            None
        }
        fn our_value(&self, _: &str, _: &str, _: &serde_json::Value) -> Option<serde_json::Value> {
            None
        }
    }
    let nested = Nested(Program::compile("ascii_upcase", &[]).unwrap());
    let program = Program::compile("[range(1000) | id(\"a\"; \"x\\(.)\")] | last", &[]).unwrap();
    assert_eq!(program.eval(&j!(null), &[], &nested), Ok(j!("\"X999\"")));
}

#[test]
fn paths_that_are_read_are_known() {
    let read = |source: &str| -> Vec<String> {
        let program = Program::compile(source, &["context"]).unwrap();
        paths_read(&program)
            .iter()
            .map(|r| format!("{r}{} = {}", if r.optional { "?" } else { "" }, &source[r.at.clone()]))
            .collect()
    };
    assert_eq!(read(".a.b"), [".a.b = .a.b"]);
    assert_eq!(
        read(r#"{asset: .subject, v: (.data["value"].value | tonumber)}"#),
        [".subject = .subject", ".data.value.value = .data[\"value\"].value"]
    );
    assert_eq!(read(".lines[] | .qty"), [".lines[] = .lines", ".lines[].qty = .qty"]);
    assert_eq!(
        read(".lines | map(select(.qty > 1) | .id)"),
        [".lines = .lines", ".lines[].qty = .qty", ".lines[].id = .id"]
    );
    assert_eq!(read(".a? // .b"), [".a? = .a", ".b = .b"]);
    assert_eq!(read("$context.order.id"), ["$context.order.id = $context.order.id"]);
    assert_eq!(read("{a, $context}"), [".a = a"]);
    assert_eq!(read(".a as $x | $x.b"), [".a = .a", ".a.b = $x.b"]);
    assert_eq!(read("[.x] | .[0].y"), [".x = .x"]);
    assert_eq!(read("def f: .z; .a | f"), [".a = .a"]);
    assert_eq!(read("id(\"maximo\"; .asset)"), [".asset = .asset"]);
    assert_eq!(read("reduce .l[] as $x (.start; . + $x.n)"), [".l[] = .l", ".start = .start", ".l[].n = $x.n"]);
    assert_eq!(read(".a = .b"), [".b = .b"]);
    assert_eq!(read("if .a then .b.c else .d end"), [".a = .a", ".b.c = .b.c", ".d = .d"]);
    assert_eq!(read(".[0].a, .[-1].b"), ["[0].a = .[0].a", "[-1].b = .[-1].b"]);
    assert_eq!(read("\"x \\(.a.b) y\""), [".a.b = .a.b"]);
    assert_eq!(read("."), [""; 0]);
}

#[test]
fn embedded_expressions_are_found() {
    assert_eq!(embedded("${ .a }"), Some(".a"));
    assert_eq!(embedded("  ${.a | {b: 1}}  "), Some(".a | {b: 1}"));
    assert_eq!(embedded("${}"), Some(""));
    assert_eq!(embedded("$ { .a }"), None);
    assert_eq!(embedded("x ${ .a }"), None);
    assert_eq!(embedded("${ .a } x"), None);
    assert_eq!(embedded("text"), None);
}

#[test]
fn truth_is_that_of_jq() {
    assert!(!truthy(&j!(null)) && !truthy(&j!(false)));
    assert!(truthy(&j!(0)) && truthy(&j!("")) && truthy(&j!([])));
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let program = Program::compile(".a", &["x", "y"]).unwrap();
    shared(&program);
    assert_eq!(program.source(), ".a");
    assert_eq!(program.vars().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(format!("{program:?}"), "Program(\".a\")");
    assert_eq!(program.eval(&json("{\"a\":1}"), &[j!(1), j!(2)], &NoNames), Ok(j!(1)));
}

#[test]
fn our_name_is_found_by_theirs_and_a_missing_one_says_what_to_do() {
    let program = Program::compile("name(\"maximo\"; \"asset\"; .)", &[]).unwrap();
    assert_eq!(program.eval(&j!("PKG-0003"), &[], &Office), Ok(j!("packing-3")));
    let missing = match program.eval(&j!(1010), &[], &Office) {
        Err(EvalError::Missing(missing)) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (missing.system.as_str(), missing.map.as_deref(), missing.name.as_str()),
        ("maximo", Some("asset"), "1010")
    );
    for wrong in ["null", "[]", "{}", "true"] {
        assert!(matches!(program.eval(&json(wrong), &[], &Office), Err(EvalError::Raised(_))), "{wrong}");
    }
    let with_default = Program::compile("name(\"maximo\"; \"asset\"; .)? // \"none\"", &[]).unwrap();
    assert_eq!(with_default.eval(&j!(7), &[], &Office), Ok(j!("none")));
}
