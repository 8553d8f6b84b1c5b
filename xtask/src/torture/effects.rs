//! What the offices have: their own files, read by us and by nobody of the product.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The offices that the packaging line calls.
pub(super) const OFFICES: [&str; 10] =
    ["maximo", "eam", "s4", "legacy-erp", "wms", "qms", "lab", "crm", "planning", "supplier"];

/// A document in the file of an office.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) office: &'static str,
    pub(super) kind: String,
    pub(super) number: String,
    pub(super) line: Value,
}

/// All documents by their reference. What an office changes by itself has none.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, Vec<Document>>> {
    let mut found: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    for office in OFFICES {
        let path = folder.join(format!("{office}.jsonl"));
        let Ok(text) = fs::read_to_string(&path) else { continue };
        // Of the last line perhaps only a part is written yet.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        for line in whole.lines() {
            let line: Value = serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))?;
            let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (reference, kind, number) = (text("reference"), text("kind"), text("document"));
            if !reference.is_empty() {
                found.entry(reference).or_default().push(Document { office, kind, number, line });
            }
        }
    }
    Ok(found)
}

/// Each reference that made more than one document of its kind.
pub(super) fn doubled(documents: &BTreeMap<String, Vec<Document>>) -> Vec<String> {
    let mut found = Vec::new();
    for (reference, of) in documents {
        let mut counts: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for document in of {
            counts.entry((document.office, &document.kind)).or_default().push(&document.number);
        }
        for ((office, kind), numbers) in counts.iter().filter(|(_, numbers)| numbers.len() > 1) {
            found.push(format!("{office} has {} times {kind} of {reference}: {}", numbers.len(), numbers.join(", ")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_there_twice_is_found_and_a_torn_line_is_not_read() {
        let folder = std::env::temp_dir().join(format!("andon-torture-effects-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let line = |number: u32, reference: &str| {
            format!(r#"{{"document":"MR-{number}","reference":"{reference}","kind":"maintenance-request"}}"#)
        };
        let text = format!("{}\n{}\n{}\n{{\"docu", line(1, "A"), line(2, "B"), line(3, "A"));
        fs::write(folder.join("eam.jsonl"), text).unwrap();
        let documents = read(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(doubled(&documents), ["eam has 2 times maintenance-request of A: MR-1, MR-3"]);
    }
}
