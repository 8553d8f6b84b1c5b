//! What expressions mean, row by row; the plain rows mean the same to the program `jq`, where it is installed.

use super::{json, outputs};
use serde_json::Value;
use std::process::{Command, Stdio};

/// An expression, its input and all its outputs; `!` stands for an error.
type Row = (&'static str, &'static str, &'static str);

/// What `jq` 1.6 answers too.
const PLAIN: &[Row] = &[
    (".", "1", "[1]"),
    (".a", r#"{"a":1}"#, "[1]"),
    (".a.b", r#"{"a":{"b":2}}"#, "[2]"),
    (".a.b", "null", "[null]"),
    (r#".["a b"]"#, r#"{"a b":3}"#, "[3]"),
    (r#"."a b""#, r#"{"a b":3}"#, "[3]"),
    (".a", "[1]", "!"),
    (".a?", "[1]", "[]"),
    (".[1]", "[1,2,3]", "[2]"),
    (".[-1]", "[1,2,3]", "[3]"),
    (".[5]", "[1]", "[null]"),
    (".[1:]", "[1,2,3]", "[[2,3]]"),
    (".[:-1]", "[1,2,3]", "[[1,2]]"),
    (".[1:2]", "\"abc\"", "[\"b\"]"),
    (".[-2:]", "\"äöü\"", "[\"öü\"]"),
    (".[]", "[1,2]", "[1,2]"),
    (".[]", r#"{"b":1,"a":2}"#, "[1,2]"),
    (".[]?", "1", "[]"),
    (".[]", "1", "!"),
    ("..", "[[1]]", "[[[1]],[1],1]"),
    (".a, .b", r#"{"a":1,"b":2}"#, "[1,2]"),
    ("[.[] | . * 2]", "[1,2]", "[[2,4]]"),
    ("{a, b: .c}", r#"{"a":1,"c":2}"#, r#"[{"a":1,"b":2}]"#),
    ("{(.k): 1}", r#"{"k":"x"}"#, r#"[{"x":1}]"#),
    (r#"{"a\(.k)": 1, @base64 "b": 2}"#, r#"{"k":"x"}"#, r#"[{"ax":1,"b":2}]"#),
    (". as $x | {$x}", "1", r#"[{"x":1}]"#),
    ("{a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9,j:10} | keys | length", "null", "[10]"),
    ("{(.): 2}", "1", "!"),
    ("1 + 2 * 3 - 4 / 2", "null", "[5]"),
    ("10 % 3, -10 % 3", "null", "[1,-1]"),
    ("1 % 0", "null", "!"),
    ("1 / 3", "null", "[0.3333333333333333]"),
    ("\"a\" + \"b\" + null", "null", "[\"ab\"]"),
    ("[1] + [2] + null", "null", "[[1,2]]"),
    ("{a:1} + {a:2,b:3}", "null", r#"[{"a":2,"b":3}]"#),
    ("{a:{b:1}} * {a:{c:2}}", "null", r#"[{"a":{"b":1,"c":2}}]"#),
    ("[1,2,3,1] - [1]", "null", "[[2,3]]"),
    ("\"a,b\" / \",\"", "null", r#"[["a","b"]]"#),
    ("\"ab\" * 3", "null", "[\"ababab\"]"),
    ("\"ab\" * 0", "null", "[null]"),
    ("1 + \"a\"", "null", "!"),
    ("-(1), -.", "3", "[-1,-3]"),
    ("1 < 2, 2 <= 1, 1 == 1.0, \"a\" != \"b\"", "null", "[true,false,true,true]"),
    ("[null, false, true, 0, \"\", [], {}] | sort == .", "null", "[true]"),
    ("[{\"a\":2},{\"b\":1},{\"a\":1}] | sort", "null", r#"[[{"a":1},{"a":2},{"b":1}]]"#),
    ("true and null, true or error, false // 1", "null", "[false,true,1]"),
    (".a // \"none\"", "{}", "[\"none\"]"),
    ("(1, null, 2) // 3", "null", "[1,2]"),
    ("if . > 1 then \"big\" elif . == 1 then \"one\" else \"small\" end", "1", "[\"one\"]"),
    ("[.[] | if . then 1 else 0 end]", "[true,null,0]", "[[1,0,1]]"),
    ("try error(\"x\") catch .", "null", "[\"x\"]"),
    ("try error({a:1}) catch .a", "null", "[1]"),
    ("[.[] | try tonumber catch \"no\"]", r#"["1","x",2]"#, r#"[[1,"no",2]]"#),
    ("error(\"x\")", "null", "!"),
    ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "[6]"),
    ("[foreach .[] as $x (0; . + $x)]", "[1,2,3]", "[[1,3,6]]"),
    ("[foreach .[] as $x (0; . + $x; [$x, .])]", "[1,2]", "[[[1,1],[2,3]]]"),
    (". as [$a, {b: $c}] | $a + $c", r#"[1,{"b":2}]"#, "[3]"),
    (". as {$a, b: [$c]} | [$a, $c]", r#"{"a":1,"b":[2]}"#, "[[1,2]]"),
    ("label $out | .[] | if . > 1 then ., break $out else . end", "[1,2,3]", "[1,2]"),
    ("def f(g): g * 2; f(.a)", r#"{"a":4}"#, "[8]"),
    ("def f($x; $y): $x - $y; f(5; 3)", "null", "[2]"),
    ("def twice(f): f | f; twice(. + 1)", "0", "[2]"),
    ("\"\\(1 + 1) and \\(.a)\"", r#"{"a":[1]}"#, "[\"2 and [1]\"]"),
    ("map(. + 1)", "[1,2]", "[[2,3]]"),
    ("map_values(. + 1)", r#"{"a":1}"#, r#"[{"a":2}]"#),
    ("[.[] | select(. > 1)]", "[1,2,3]", "[[2,3]]"),
    ("[empty]", "null", "[[]]"),
    ("length", "\"äb\"", "[2]"),
    ("[.[] | length]", r#"[null, "abc", [1], {"a":1}, -5]"#, "[[0,3,1,1,5]]"),
    ("keys, keys_unsorted", r#"{"b":1,"a":2}"#, r#"[["a","b"],["b","a"]]"#),
    ("keys", "[5,6]", "[[0,1]]"),
    ("has(\"a\"), has(\"b\")", r#"{"a":null}"#, "[true,false]"),
    ("has(0), has(2)", "[1]", "[true,false]"),
    (".[] | in([0,1])", "[0,2]", "[true,false]"),
    ("add", "[1,2,3]", "[6]"),
    ("add", r#"["a","b"]"#, "[\"ab\"]"),
    ("add", "[]", "[null]"),
    ("any, all", "[true,false]", "[true,false]"),
    ("any(. > 1), all(. > 1)", "[1,2]", "[true,false]"),
    ("any(.[]; . == 2)", "[1,2]", "[true]"),
    ("flatten", "[1,[2,[3]]]", "[[1,2,3]]"),
    ("flatten(1)", "[1,[2,[3]]]", "[[1,2,[3]]]"),
    (
        "[range(3)], [range(1;3)], [range(0;5;2)], [range(3;0;-1)], [range(0;1;0)]",
        "null",
        "[[0,1,2],[1,2],[0,2,4],[3,2,1],[]]",
    ),
    ("floor, ceil, round", "-1.5", "[-2,-1,-2]"),
    ("sqrt, pow(.; 2), log", "1", "[1,1,0]"),
    ("min, max", "[2,1,3]", "[1,3]"),
    ("min", "[]", "[null]"),
    ("min_by(.a), max_by(.a)", r#"[{"a":2},{"a":1}]"#, r#"[{"a":1},{"a":2}]"#),
    ("sort_by(.a)", r#"[{"a":2,"b":1},{"a":1},{"a":2,"b":0}]"#, r#"[[{"a":1},{"a":2,"b":1},{"a":2,"b":0}]]"#),
    ("group_by(.a) | map(length)", r#"[{"a":2},{"a":1},{"a":2}]"#, "[[1,2]]"),
    ("unique", "[2,1,2,1]", "[[1,2]]"),
    ("unique_by(length)", r#"["ab","c","de"]"#, r#"[["c","ab"]]"#),
    ("reverse", "[1,2]", "[[2,1]]"),
    ("join(\", \")", r#"["a",1,null,true]"#, "[\"a, 1, , true\"]"),
    ("to_entries", r#"{"b":1,"a":2}"#, r#"[[{"key":"b","value":1},{"key":"a","value":2}]]"#),
    ("with_entries(.value += 1)", r#"{"a":1}"#, r#"[{"a":2}]"#),
    ("first, last", "[1,2,3]", "[1,3]"),
    ("first(.[]), last(.[]), nth(1; .[]), nth(2)", "[1,2,3]", "[1,3,2,3]"),
    ("first(empty)", "null", "[]"),
    ("[limit(2; .[])]", "[1,2,3]", "[[1,2]]"),
    ("until(. > 100; . * 2)", "1", "[128]"),
    ("[while(. < 10; . * 2)]", "1", "[[1,2,4,8]]"),
    ("[recurse(if . < 3 then . + 1 else empty end)]", "0", "[[0,1,2,3]]"),
    ("[recurse(. * .; . < 20)]", "2", "[[2,4,16]]"),
    ("indices(\", \"), index(\",\"), rindex(\",\")", "\"a, b, c\"", "[[1,4],1,4]"),
    ("indices(1), indices([1,2])", "[1,2,1,2]", "[[0,2],[0,2]]"),
    ("inside([1,2,3])", "[1,2]", "[true]"),
    ("contains(\"bar\")", "\"foobar\"", "[true]"),
    ("contains({a:[\"x\"]})", r#"{"a":["xy"],"b":1}"#, "[true]"),
    ("contains([\"baz\"])", r#"["foobar"]"#, "[false]"),
    ("tojson, (tojson | fromjson)", r#"{"a":[1,"x\n",null]}"#, r#"["{\"a\":[1,\"x\\n\",null]}",{"a":[1,"x\n",null]}]"#),
    ("[.[] | type]", "[null,true,1,\"\",[],{}]", r#"[["null","boolean","number","string","array","object"]]"#),
    ("map(not)", "[null,true,0]", "[[true,false,false]]"),
    ("[.[] | values], [.[] | scalars], [.[] | iterables]", "[null,1,[2]]", "[[1,[2]],[null,1],[[2]]]"),
    (
        "[.[] | strings, numbers, booleans, nulls, arrays, objects]",
        "[null,true,1,\"\",[],{}]",
        "[[null,true,1,\"\",[],{}]]",
    ),
    ("@text, @json", "[1,\"a\"]", r#"["[1,\"a\"]","[1,\"a\"]"]"#),
    ("@csv, @tsv", r#"[1,"a\"b",null,true]"#, r#"["1,\"a\"\"b\",,true","1\ta\"b\t\ttrue"]"#),
    ("@base64, (@base64 | @base64d)", "\"hällo\"", "[\"aMOkbGxv\",\"hällo\"]"),
    ("@uri", "\"a b&ü/1\"", "[\"a%20b%26%C3%BC%2F1\"]"),
    ("@uri \"q=\\(.)\"", "\"ä\"", "[\"q=%C3%A4\"]"),
    ("todate, (todate | fromdate)", "1425599621", "[\"2015-03-05T23:53:41Z\",1425599621]"),
    ("getpath([\"a\",0]), getpath([\"x\",\"y\"])", r#"{"a":[5]}"#, "[5,null]"),
    ("[paths]", r#"{"a":[1]}"#, r#"[[["a"],["a",0]]]"#),
    ("[paths(type == \"number\")], [leaf_paths]", r#"{"a":[1]}"#, r#"[[["a",0]],[["a",0]]]"#),
    ("path(.a[0].b?)", "null", r#"[["a",0,"b"]]"#),
    ("[path(..)]", "[[1]]", "[[[],[0],[0,0]]]"),
    ("setpath([\"a\",\"b\"]; 1)", "null", r#"[{"a":{"b":1}}]"#),
    ("delpaths([[\"a\"],[\"b\",0]])", r#"{"a":1,"b":[1,2]}"#, r#"[{"b":[2]}]"#),
    ("del(.a), del(.b[0,2])", r#"{"a":1,"b":[1,2,3]}"#, r#"[{"b":[1,2,3]},{"a":1,"b":[2]}]"#),
    ("del(.[] | select(. > 1))", "[1,2,3,0]", "[[1,0]]"),
    (
        ".a = 1, .a |= . + 1, .a += 5, .a -= 1, .a *= 2, .a /= 2, .a //= 3",
        r#"{"a":2}"#,
        r#"[{"a":1},{"a":3},{"a":7},{"a":1},{"a":4},{"a":1},{"a":2}]"#,
    ),
    (".a.b[2] = 1", "null", r#"[{"a":{"b":[null,null,1]}}]"#),
    (".[1:] = [9]", "[1,2,3]", "[[1,9]]"),
    (".[] += 1", "[1,2]", "[[2,3]]"),
    ("(.a, .b) = 1", "{}", r#"[{"a":1,"b":1}]"#),
    ("(.[] | select(. > 1)) |= . * 10", "[1,2]", "[[1,20]]"),
    ("ascii_downcase, ascii_upcase", "\"aBÄ\"", "[\"abÄ\",\"ABÄ\"]"),
    ("explode, (explode | implode)", "\"aé\"", "[[97,233],\"aé\"]"),
    ("startswith(\"a\"), endswith(\"c\")", "\"abc\"", "[true,true]"),
    ("startswith(1)", "\"abc\"", "!"),
    ("ltrimstr(\"a\"), rtrimstr(\"c\"), ltrimstr(\"x\")", "\"abc\"", "[\"bc\",\"ab\",\"abc\"]"),
    ("split(\", \")", "\"a, b\"", r#"[["a","b"]]"#),
    ("split(\"\")", "\"ab\"", r#"[["a","b"]]"#),
    ("tostring", "[1,\"a\"]", r#"["[1,\"a\"]"]"#),
    ("[.[] | tostring]", r#"[1,"a",null,true,1.5]"#, r#"[["1","a","null","true","1.5"]]"#),
    ("[.[] | tonumber]", r#"["1","-1.5","1e3"]"#, "[[1,-1.5,1000]]"),
    ("walk(if type == \"number\" then . + 1 else . end)", r#"[1,{"a":2}]"#, r#"[[2,{"a":3}]]"#),
    ("transpose", "[[1],[2,3]]", "[[[1,2],[null,3]]]"),
    ("utf8bytelength", "\"ä\"", "[2]"),
    ("infinite > 1e300, (nan | isnan), (1 | isnormal)", "null", "[true,true,true]"),
    ("[.[] as [$a] | $a]", "[[1],[2]]", "[[1,2]]"),
    ("isempty(empty), isempty(1)", "null", "[true,false]"),
    ("IN(1, 2), IN(.; 3, 4)", "1", "[true,false]"),
    ("INDEX(.id)", r#"[{"id":1},{"id":"a"}]"#, r#"[{"1":{"id":1},"a":{"id":"a"}}]"#),
    ("[combinations]", "[[1,2],[3]]", "[[[1,3],[2,3]]]"),
    ("# a comment\n.a # another", r#"{"a":1}"#, "[1]"),
    ("1 as $x | 2 as $y | [$x, $y, $x + $y]", "null", "[[1,2,3]]"),
    ("reduce range(5) as $i ([]; . + [$i * $i])", "null", "[[0,1,4,9,16]]"),
    (
        "[.lines[] | {id, qty: (.qty // 1)}]",
        r#"{"lines":[{"id":1,"qty":2},{"id":2}]}"#,
        r#"[[{"id":1,"qty":2},{"id":2,"qty":1}]]"#,
    ),
];

/// What only our expressions have, or mean in their own way.
const OURS: &[Row] = &[
    (".[1.7]", "[1,2]", "[2]"),
    ("from_entries", r#"[{"key":"a","value":1},{"name":"b","value":2},{"k":"c"}]"#, r#"[{"a":1,"b":2,"c":null}]"#),
    ("[limit(3; repeat(. * 2))]", "1", "[[1,2,4]]"),
    ("isvalid(error), isvalid(1)", "null", "[false,true]"),
    ("@html", "\"<a href='x'>&\\\"\"", "[\"&lt;a href=&#39;x&#39;&gt;&amp;&quot;\"]"),
    ("[.[] | ascii]", "[65]", "[[\"A\"]]"),
    ("1 / 0", "null", "!"),
    ("9007199254740993 + 1", "null", "[9007199254740994]"),
    ("9223372036854775807 + 1", "null", "[9223372036854775808.0]"),
    (".", "18446744073709551615", "[18446744073709551615]"),
    ("tostring", "18446744073709551615", "[\"18446744073709551615\"]"),
    ("123456789012345678901234567890 | tostring", "null", "[\"123456789012345678901234567890\"]"),
    ("\"123456789012345678901234567890\" | tonumber | tojson", "null", "[\"123456789012345678901234567890\"]"),
    ("nan", "null", "!"),
    ("[infinite]", "null", "!"),
    ("time_us", "\"2026-11-22T08:05:00.25Z\"", "[1795334700250000]"),
    ("time_ms", "\"2026-11-22T09:05:00.25+01:00\"", "[1795334700250]"),
    ("time_us", "\"1969-12-31T23:59:59.9999995Z\"", "[-1]"),
    ("time_us", "\"yesterday\"", "!"),
    ("time_us", "5", "!"),
    ("trim, ltrim, rtrim", "\" a \"", "[\"a\",\"a \",\" a\"]"),
    ("abs", "-3", "[3]"),
    ("toarray", "1", "[[1]]"),
    ("pick(.a.b)", r#"{"a":{"b":1,"c":2},"d":3}"#, r#"[{"a":{"b":1}}]"#),
    ("[limit(0; 1, 2)], [skip(1; 1, 2)]", "null", "[[],[2]]"),
    ("add(.[].a)", r#"[{"a":1},{"a":2}]"#, "[3]"),
    ("id(\"maximo\"; .)", "\"nobody\"", "!"),
    ("id(\"maximo\"; .)? // \"none\"", "\"nobody\"", "[\"none\"]"),
    (".[] |= empty", "[1,2]", "[[]]"),
    ("map_values(empty)", r#"{"a":1}"#, "[{}]"),
    ("if . then 1 end", "false", "[false]"),
    ("[.[] | tonumber?]", r#"["1","1 ","0x1","","-",".5","5.","nan","1e999"]"#, "[[1]]"),
    ("reverse", "\"ab\"", "[\"ba\"]"),
    ("@base64d", "\"/w==\"", "!"),
    ("ltrimstr(1)", "\"1a\"", "[\"1a\"]"),
    ("{} | .a.b.c", "null", "[null]"),
    ("[.[] | round]", "[0.5,-0.5,1e300]", "[[1,-1,1e300]]"),
    ("3.0, 1e3, 0.1 + 0.2", "null", "[3,1000,0.30000000000000004]"),
    ("todate", "1425599621.9", "[\"2015-03-05T23:53:41Z\"]"),
    ("todate", "1e300", "!"),
    ("fromjson", "\"[1,\"", "!"),
];

#[test]
fn expressions_mean_what_the_table_says() {
    let mut wrong = Vec::new();
    for (source, input, expected) in PLAIN.iter().chain(OURS) {
        let given = match outputs(source, input) {
            Ok(all) => Value::Array(all).to_string(),
            Err(_) => "!".to_owned(),
        };
        let same = given == *expected || (*expected != "!" && given != "!" && json(&given) == json(expected));
        if !same {
            wrong.push(format!(
                "{source}  of  {input}\n  expected {expected}\n  given    {given} {:?}",
                outputs(source, input).err()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(PLAIN.len() + OURS.len() >= 150, "{} and {}", PLAIN.len(), OURS.len());
}

#[test]
fn jq_agrees_with_the_plain_rows() {
    if Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_err() {
        return;
    }
    // One program for all rows, for starting jq takes longer than any of them.
    let row = |(source, input, _): &Row| format!("({input} | try [{source}\n] catch \"!\")");
    let all = PLAIN.iter().map(row).collect::<Vec<_>>().join(",\n");
    let out = Command::new("jq").args(["-n", "-c", &all]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let given: Vec<Value> =
        serde_json::Deserializer::from_slice(&out.stdout).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(given.len(), PLAIN.len());
    let mut wrong = Vec::new();
    for ((source, input, expected), given) in PLAIN.iter().zip(given) {
        let same = if *expected == "!" { given == "!" } else { rounded(&given) == rounded(&json(expected)) };
        if !same {
            wrong.push(format!("{source}  of  {input}\n  expected {expected}\n  jq gives {given}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All numbers as floating point, for `jq` writes 1.0 as it likes.
fn rounded(v: &Value) -> Value {
    match v {
        Value::Number(n) => n.as_f64().into(),
        Value::Array(a) => a.iter().map(rounded).collect(),
        Value::Object(o) => o.iter().map(|(k, v)| (k.clone(), rounded(v))).collect(),
        other => other.clone(),
    }
}
