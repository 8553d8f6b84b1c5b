//! Expressions that are one path, as most are: the path is followed in the JSON itself, and nothing is taken over.

use super::meter::MAX_INPUT_DEPTH;
use super::{Inner, PathRead, Step};
use serde_json::Value;

/// Where a path leads that finds nothing.
const NOTHING: Value = Value::Null;

/// The path that an expression is, when it is nothing else.
pub(super) fn whole<'r>(source: &str, reads: &'r [PathRead]) -> Option<&'r PathRead> {
    let [path] = reads else { return None };
    let plain = |step: &Step| match step {
        Step::Key(_) => true,
        Step::Index(index) => *index >= 0,
        Step::Each => false,
    };
    (!path.optional && path.path.iter().all(plain) && path.to_string() == source.trim()).then_some(path)
}

/// What the path of a program gives over its input and its variables; `None`: it must be evaluated, because it is more
/// than a path or its path leads into what has no fields.
pub(super) fn run(program: &Inner, input: &Value, vars: &[Value]) -> Option<Value> {
    let path = program.reads.first().filter(|_| program.is_path)?;
    let root = match &path.of {
        None => input,
        Some(of) => vars.get(program.vars.iter().position(|(name, _)| name == of)?)?,
    };
    take(root, &path.path)
}

/// A copy of what steps lead to.
pub(super) fn take(root: &Value, steps: &[Step]) -> Option<Value> {
    let mut at = root;
    for step in steps {
        at = match (at, step) {
            (Value::Object(fields), Step::Key(key)) => fields.get(key).unwrap_or(&NOTHING),
            (Value::Array(items), Step::Index(index)) => items.get(usize::try_from(*index).ok()?).unwrap_or(&NOTHING),
            (Value::Null, _) => &NOTHING,
            _ => return None,
        };
    }
    let flat = !matches!(at, Value::Array(_) | Value::Object(_));
    (flat || is_shallow(root, MAX_INPUT_DEPTH)).then(|| at.clone())
}

/// Whether a value is nested no deeper than an expression takes.
fn is_shallow(value: &Value, left: usize) -> bool {
    let inner = |value: &Value| left.checked_sub(1).is_some_and(|left| is_shallow(value, left));
    match value {
        Value::Array(items) => left > 0 && items.iter().all(inner),
        Value::Object(fields) => left > 0 && fields.values().all(inner),
        _ => true,
    }
}
