//! What an evaluation costs; figures only, run by hand with `--ignored --nocapture`.

use crate::expr::{NoNames, Program};
use serde_json::json;
use std::hint::black_box;

/// A mapping of an event as projects write them.
const MAPPING: &str = "{asset: .subject, state: (if .data.change == \"returned\" then \"CLEAR\" else \"ALARM\" end), \
                       v: (.data.value.value|tonumber), ts: (.time|time_us)}";

#[test]
#[ignore = "prints figures"]
#[expect(clippy::disallowed_methods, reason = "figures need a clock")]
fn what_an_evaluation_costs() {
    let event = json!({
        "specversion": "1.0", "id": "0192f1a0-0000-7000-8000-000000000001", "source": "/hamburg/packing",
        "type": "condition.changed.v1", "subject": "packing-3", "time": "2026-11-22T08:05:00.25Z",
        "data": {"change": "raised", "rule": "too-hot", "severity": "high",
                 "value": {"value": "81.5", "unit": "Cel"}, "since": "2026-11-22T08:04:30Z"}
    });
    for (name, source) in
        [("mapping", MAPPING), ("path", ".data.value.value"), ("filter", ".data.change == \"raised\"")]
    {
        let program = Program::compile(source, &[]).unwrap();
        program.eval(&event, &[], &NoNames).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..20_000 {
            black_box(program.eval(black_box(&event), &[], &NoNames).unwrap());
        }
        println!("{name}: {} ns an evaluation", start.elapsed().as_nanos() / 20_000);
    }
    let start = std::time::Instant::now();
    for _ in 0..200 {
        black_box(Program::compile(black_box(MAPPING), &[]).unwrap());
    }
    println!("compile: {} us", start.elapsed().as_micros() / 200);
    let deep = Program::compile(&format!("{MAPPING}{}", " | .".repeat(60)), &[]).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..2_000 {
        black_box(deep.eval(black_box(&event), &[], &NoNames).unwrap());
    }
    println!("on a thread of its own: {} us", start.elapsed().as_micros() / 2_000);
}
