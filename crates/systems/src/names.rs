//! What systems call our things, as expressions ask for it: `id(system; name)` and `value(system; map; v)`.

use andon_contract::{contract::Identifiers, expr::Lookup};
use serde_json::Value as Json;

/// The identifiers of a contract.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a>(&'a Identifiers);

impl<'a> Names<'a> {
    pub(crate) fn new(identifiers: &'a Identifiers) -> Self {
        Self(identifiers)
    }
}

impl Lookup for Names<'_> {
    /// The name at a system. Where two kinds of things share our name and the system tells them apart, there is no
    /// answer: a wrong one would be an order for the wrong thing.
    fn id(&self, system: &str, name: &str) -> Option<String> {
        let mut found = self.0.names.get(system)?.values().filter_map(|kind| kind.get(name));
        let first = found.next()?;
        found.all(|other| other == first).then(|| first.clone())
    }

    fn value(&self, system: &str, map: &str, value: &Json) -> Option<Json> {
        self.0.values.get(system)?.get(map)?.get(&as_key(value)?).cloned()
    }

    fn name(&self, system: &str, kind: &str, theirs: &str) -> Option<String> {
        self.0.our_name(system, kind, theirs).map(str::to_owned)
    }
}

/// A value as the key of a value map; a whole number is written without its point, as people write it.
fn as_key(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(b) => Some(b.to_string()),
        Json::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").map(str::to_owned).unwrap_or(text))
        }
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn identifiers() -> Identifiers {
        let kinds = json!({
            "asset": { "machine-01": "EQ-1", "north": "EQ-2", "same": "X" },
            "site": { "north": "1010", "same": "X" },
        });
        let values = json!({ "priority": { "1": "high", "true": 7, "low": null } });
        let eam: andon_model::Name = "eam".parse().unwrap();
        Identifiers {
            names: BTreeMap::from([(eam.clone(), serde_json::from_value(kinds).unwrap())]),
            values: BTreeMap::from([(eam, serde_json::from_value(values).unwrap())]),
        }
    }

    #[test]
    fn a_name_is_found_unless_it_means_two_things() {
        let all = identifiers();
        let names = Names::new(&all);
        assert_eq!(names.id("eam", "machine-01").as_deref(), Some("EQ-1"));
        assert_eq!(names.id("eam", "same").as_deref(), Some("X"));
        for (system, name) in [("eam", "north"), ("eam", "machine-02"), ("s4", "machine-01")] {
            assert_eq!(names.id(system, name), None, "{system} {name}");
        }
    }

    #[test]
    fn a_value_is_found_by_its_text() {
        let all = identifiers();
        let names = Names::new(&all);
        assert_eq!(names.value("eam", "priority", &json!(1)), Some(json!("high")));
        assert_eq!(names.value("eam", "priority", &json!(1.0)), Some(json!("high")));
        assert_eq!(names.value("eam", "priority", &json!("1")), Some(json!("high")));
        assert_eq!(names.value("eam", "priority", &json!(true)), Some(json!(7)));
        assert_eq!(names.value("eam", "priority", &json!(null)), None);
        assert_eq!(names.value("eam", "state", &json!(1)), None);
    }
}
