//! What people do about exceptions: they look at the system where nobody knows what was done, and try again what was
//! refused.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::effects::Document;
use super::parts::Place;

/// What is done about an exception.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The effect is there, under this number.
    Skip(String),
    /// Somebody has looked, and it is not there.
    NotThere,
    /// It was refused: once more.
    Retry,
}

/// What somebody does about an unfinished exception of kind `output`; nothing where it is on its way by itself.
pub(super) fn decided(exception: &Value, of_reference: &[Document]) -> Option<Act> {
    let text = |name: &str| exception.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != "output" || !matches!(text("state"), "open" | "assigned") {
        return None;
    }
    // Also what was refused at last may have been done by an attempt before.
    if text("action") != "look" {
        return Some(Act::Retry);
    }
    Some(of_reference.first().map_or(Act::NotThere, |document| Act::Skip(document.number.clone())))
}

/// What the call would have given, as it stands in the document.
fn given(document: &Document) -> String {
    let more: &[&str] =
        if document.office == "planning" { &["finish", "promised", "late", "minutesLate"] } else { &[] };
    let named = |name: &&str| Some(((*name).to_owned(), document.line.get(*name)?.clone()));
    Value::Object(["document"].iter().chain(more).filter_map(named).collect()).to_string()
}

/// Acts on whatever is open; how many exceptions that were.
pub(super) fn act(place: &Place, documents: &BTreeMap<String, Vec<Document>>) -> Result<u64> {
    let mut acted = 0;
    for exception in place.ask(&["list", "exceptions", "--where", "unfinished=yes", "--where", "kind=output"])? {
        let text = |name: &str| exception.get(name).and_then(Value::as_str).unwrap_or_default();
        let reference = match text("call") {
            "" => String::new(),
            call => {
                let found = place.ask(&["list", "calls", "--where", &format!("id={call}")])?;
                let found = found.first().and_then(|call| call.get("reference")).and_then(Value::as_str);
                found.unwrap_or_default().to_owned()
            }
        };
        let there = documents.get(&reference).map_or(&[] as &[Document], Vec::as_slice);
        let Some(act) = decided(&exception, there) else { continue };
        let id = text("id");
        let because = ["--by", "torture", "--reason", "somebody has looked"];
        let mut arguments = match &act {
            Act::Retry => vec!["exceptions", "retry", id],
            Act::NotThere => vec!["exceptions", "retry", "--not-there", id],
            Act::Skip(document) => vec!["exceptions", "skip", id, "--document", document, "--output"],
        };
        let output = match &act {
            Act::Skip(_) => there.first().map(given).unwrap_or_default(),
            _ => String::new(),
        };
        if !output.is_empty() {
            arguments.push(&output);
        }
        arguments.extend(because);
        // What is refused because it moved meanwhile is looked at again.
        let _ = place.ask(&arguments);
        acted += 1;
    }
    Ok(acted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(state: &str, action: &str) -> Value {
        serde_json::json!({ "id": "ex_1", "kind": "output", "state": state, "action": action })
    }

    #[test]
    fn who_says_that_something_is_there_gives_what_it_gave() {
        let line = serde_json::json!({ "document": "DIS-1", "asset": "x", "late": true });
        let document = |office| Document { office, kind: "x".into(), number: "DIS-1".into(), line: line.clone() };
        assert_eq!(given(&document("planning")), r#"{"document":"DIS-1","late":true}"#);
        assert_eq!(given(&document("eam")), r#"{"document":"DIS-1"}"#);
    }

    #[test]
    fn nobody_repeats_what_may_be_there() {
        let there = [Document { office: "eam", kind: "x".into(), number: "MR-1".into(), line: Value::Null }];
        assert_eq!(decided(&exception("open", "look"), &there), Some(Act::Skip("MR-1".into())));
        assert_eq!(decided(&exception("open", "look"), &[]), Some(Act::NotThere));
        assert_eq!(decided(&exception("open", "retry"), &there), Some(Act::Retry));
        assert_eq!(decided(&exception("resubmitted", "retry"), &there), None);
    }
}
