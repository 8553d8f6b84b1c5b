//! Tests of expressions.

mod api;
mod limits;
mod random;
mod refusals;
mod speed;
mod table;

use super::{EvalError, Lookup, NoNames, Program};
use serde_json::Value;

/// All outputs of an expression without variables, or why there are none.
fn outputs(source: &str, input: &str) -> Result<Vec<Value>, EvalError> {
    let program = Program::compile(source, &[]).unwrap_or_else(|e| panic!("{source}: {e}"));
    program.eval_all(&json(input), &[], &NoNames, 100_000)
}

/// The one output of an expression without variables.
fn one(source: &str, input: &str) -> Result<Value, EvalError> {
    Program::compile(source, &[]).unwrap_or_else(|e| panic!("{source}: {e}")).eval(&json(input), &[], &NoNames)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The names of an office that a test asks.
struct Office;

impl Lookup for Office {
    fn id(&self, system: &str, name: &str) -> Option<String> {
        (system == "maximo" && name == "packing-3").then(|| "PKG-0003".to_owned())
    }

    fn value(&self, system: &str, map: &str, value: &Value) -> Option<Value> {
        (system == "maximo" && map == "priority" && *value == "high").then(|| 1.into())
    }

    fn name(&self, system: &str, kind: &str, theirs: &str) -> Option<String> {
        (system == "maximo" && kind == "asset" && theirs == "PKG-0003").then(|| "packing-3".to_owned())
    }

    fn our_value(&self, system: &str, map: &str, value: &Value) -> Option<Value> {
        (system == "maximo" && map == "priority" && *value == 1).then(|| "high".into())
    }
}
