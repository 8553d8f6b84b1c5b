//! What shadows of a call said, beside what it said itself: computed from its rows, stored nowhere.

use andon_model::OutcomeClass;
use andon_store::rows::{AttemptRow, CallRow};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Differences told of one shadow at most.
const DIFFERENCES_MAX: usize = 20;
/// Characters shown of a value at most.
const VALUE_MAX: usize = 60;

/// A shadow of a call beside the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The number of its attempt.
    pub attempt: u32,
    /// The operation that was sent the same.
    pub operation: String,
    /// `same`, `differs`, `failed`, or `unknown`: no outcome came.
    pub verdict: String,
    /// Where the outputs differ, the call's value first; of a failed one, why.
    pub differences: Vec<String>,
}

/// The shadows of a call, each compared with what the call gave.
pub fn compared(call: &CallRow, attempts: &[AttemptRow]) -> Vec<Compared> {
    let of = |attempt: &AttemptRow| {
        let (verdict, differences) = match &attempt.outcome {
            None => ("unknown", Vec::new()),
            Some(outcome) if outcome.class != OutcomeClass::Ok => {
                ("failed", vec![format!("{}: {}", outcome.class, outcome.detail)])
            }
            Some(outcome) => {
                let mut differences = Vec::new();
                let documents = call.document.as_deref().zip(outcome.document.as_deref());
                let real = call.output.as_ref().unwrap_or(&Json::Null);
                differ(real, &outcome.output, documents, "", &mut differences);
                (if differences.is_empty() { "same" } else { "differs" }, differences)
            }
        };
        Compared {
            attempt: attempt.number,
            operation: format!("{}.{}", attempt.system, attempt.operation),
            verdict: verdict.to_owned(),
            differences,
        }
    };
    attempts.iter().filter(|attempt| attempt.shadow).map(of).collect()
}

/// Where two values differ, field by field. Outputs are at most as deep as a JSON text that was read. The numbers of
/// the two documents are no difference: each system counts its own.
fn differ(real: &Json, shadow: &Json, documents: Option<(&str, &str)>, at: &str, told: &mut Vec<String>) {
    let are_documents = || documents.is_some_and(|(of, other)| real == of && shadow == other);
    if told.len() >= DIFFERENCES_MAX || real == shadow || are_documents() {
        return;
    }
    if let (Json::Object(real), Json::Object(shadow)) = (real, shadow) {
        let keys: BTreeSet<&String> = real.keys().chain(shadow.keys()).collect();
        for key in keys {
            let field = |of: &serde_json::Map<String, Json>| of.get(key).cloned().unwrap_or(Json::Null);
            differ(&field(real), &field(shadow), documents, &format!("{at}.{key}"), told);
        }
        return;
    }
    let at = if at.is_empty() { "." } else { at };
    told.push(format!("{at}: {} / {}", short(real), short(shadow)));
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    text.chars().take(VALUE_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_are_compared_field_by_field() {
        let told = |real: Json, shadow: Json| {
            let mut told = Vec::new();
            differ(&real, &shadow, Some(("SR-1", "7")), "", &mut told);
            told
        };
        let real = json!({ "document": "SR-1", "state": "NEW", "by": { "name": "A" } });
        assert!(told(real.clone(), real.clone()).is_empty());
        let mut numbered = real.clone();
        numbered["document"] = json!("7");
        assert!(told(real.clone(), numbered).is_empty(), "each system counts its own");
        let shadow = json!({ "document": "1000", "state": "NEW", "by": { "name": "A", "mail": "a@b" } });
        assert_eq!(told(real.clone(), shadow), [".by.mail: null / \"a@b\"", ".document: \"SR-1\" / \"1000\""]);
        assert_eq!(told(real, json!([1])).len(), 1, "all of it");
        let many = |n: u32| Json::Object((0..100).map(|key| (key.to_string(), json!(n))).collect());
        assert_eq!(told(many(1), many(2)).len(), DIFFERENCES_MAX);
        assert!(told(json!("x".repeat(500)), json!(1))[0].len() < 100);
    }
}
