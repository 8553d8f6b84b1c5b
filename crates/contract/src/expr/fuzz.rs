//! What the fuzz target of expressions calls.

use super::{NoNames, Program};

/// Takes bytes as an expression, a zero byte and the JSON of its input; compiles and evaluates it.
///
/// The first half of the bytes is the expression where there is no zero byte.
pub fn fuzz(data: &[u8]) {
    let at = data.iter().position(|b| *b == 0).unwrap_or(data.len() / 2);
    let (source, input) = data.split_at(at);
    let Ok(source) = std::str::from_utf8(source) else { return };
    let input = serde_json::from_slice(input.strip_prefix(&[0]).unwrap_or(input)).unwrap_or_default();
    if let Ok(program) = Program::compile(source, &["context"]) {
        // Whatever comes of it is right, as long as it comes.
        let _ = program.eval_all(&input, &[serde_json::Value::Null], &NoNames, 1_000);
    }
}
