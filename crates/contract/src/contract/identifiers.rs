//! Identifiers: what systems call our things and when, and what their words mean, both ways.

use super::Validity;
use crate::expr::Lookup;
use andon_model::{Name, Time};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What systems call our things, and what their words mean.
#[derive(Debug, Clone, Default)]
pub struct Identifiers {
    /// By system and kind (`asset`, `site`, `material`, `location`, `party`).
    pub names: BTreeMap<Name, BTreeMap<String, NameTable>>,
    /// By system and map (`unit`, `state`, `reason`, `priority`, ...).
    pub values: BTreeMap<Name, BTreeMap<String, ValueMap>>,
}

impl Identifiers {
    /// What they mean at a moment.
    pub fn at(&self, at: Time) -> NamesAt<'_> {
        NamesAt { identifiers: self, at }
    }
}

/// A name at a system, and when it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameHeld {
    /// The name there.
    pub name: String,
    /// When it holds.
    pub valid: Validity,
}

/// What a system calls things of a kind.
#[derive(Debug, Clone, Default)]
pub struct NameTable {
    theirs: BTreeMap<String, Vec<NameHeld>>,
    /// Our names by theirs, so that a table of many materials is searched both ways.
    ours: BTreeMap<String, Vec<String>>,
}

impl NameTable {
    /// Adds a name; one of ours may have several, each for its time.
    pub fn add(&mut self, ours: &str, held: NameHeld) {
        let known = self.ours.entry(held.name.clone()).or_default();
        if !known.iter().any(|other| other == ours) {
            known.push(ours.to_owned());
        }
        self.theirs.entry(ours.to_owned()).or_default().push(held);
    }

    /// The names that something of ours has there over time; empty: none at all.
    pub fn held(&self, ours: &str) -> &[NameHeld] {
        self.theirs.get(ours).map(Vec::as_slice).unwrap_or_default()
    }

    /// What something of ours is called there at a moment.
    pub fn theirs(&self, ours: &str, at: Time) -> Option<&str> {
        self.held(ours).iter().find(|held| held.valid.holds(at)).map(|held| held.name.as_str())
    }

    /// What we call something that is called so there at a moment; `None` where nothing, or more than one thing, is.
    pub fn ours(&self, theirs: &str, at: Time) -> Option<&str> {
        let so = |ours: &&String| self.held(ours).iter().any(|held| held.name == theirs && held.valid.holds(at));
        let mut found = self.ours.get(theirs)?.iter().filter(so);
        let ours = found.next()?;
        found.next().is_none().then_some(ours)
    }

    /// How many of our things have a name there.
    pub fn len(&self) -> usize {
        self.theirs.len()
    }

    /// Whether nothing has a name there.
    pub fn is_empty(&self) -> bool {
        self.theirs.is_empty()
    }
}

/// What a system says for our values, and what we say for its.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValueMap {
    /// Its values by ours as text.
    pub to: BTreeMap<String, Json>,
    /// Its value for all other values of ours.
    pub to_else: Option<Json>,
    /// Our values by its as text; what it says for several of ours is not here.
    pub from: BTreeMap<String, Json>,
    /// Our value for all other values of its.
    pub from_else: Option<Json>,
}

impl ValueMap {
    /// What the system says for a value of ours.
    pub fn theirs(&self, ours: &Json) -> Option<&Json> {
        self.to.get(&value_key(ours)?).or(self.to_else.as_ref())
    }

    /// What we say for a value of the system.
    pub fn ours(&self, theirs: &Json) -> Option<&Json> {
        self.from.get(&value_key(theirs)?).or(self.from_else.as_ref())
    }
}

/// A value as the key of a value map; a whole number is written without its point, as people write it. `None`: no
/// value of one piece.
pub fn value_key(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").map(str::to_owned).unwrap_or(text))
        }
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Identifiers as they hold at a moment: that of an attempt, of a poll, or of a task.
#[derive(Debug, Clone, Copy)]
pub struct NamesAt<'a> {
    identifiers: &'a Identifiers,
    at: Time,
}

impl Lookup for NamesAt<'_> {
    /// The name at a system. Where two kinds of things share our name and the system tells them apart, there is no
    /// answer: a wrong one would be an order for the wrong thing.
    fn id(&self, system: &str, name: &str) -> Option<String> {
        let kinds = self.identifiers.names.get(system)?.values();
        let mut found = kinds.filter_map(|kind| kind.theirs(name, self.at));
        let first = found.next()?;
        found.all(|other| other == first).then(|| first.to_owned())
    }

    fn value(&self, system: &str, map: &str, value: &Json) -> Option<Json> {
        self.identifiers.values.get(system)?.get(map)?.theirs(value).cloned()
    }

    fn name(&self, system: &str, kind: &str, theirs: &str) -> Option<String> {
        self.identifiers.names.get(system)?.get(kind)?.ours(theirs, self.at).map(str::to_owned)
    }

    fn our_value(&self, system: &str, map: &str, value: &Json) -> Option<Json> {
        self.identifiers.values.get(system)?.get(map)?.ours(value).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn held(name: &str, from: Option<i64>, until: Option<i64>) -> NameHeld {
        NameHeld { name: name.to_owned(), valid: Validity { from: from.map(Time), until: until.map(Time) } }
    }

    fn identifiers() -> Identifiers {
        let mut assets = NameTable::default();
        assets.add("machine-01", held("EQ-1", None, Some(10)));
        assets.add("machine-01", held("EQ-7", Some(10), None));
        // A number that was given again to another machine.
        assets.add("machine-02", held("EQ-1", Some(10), None));
        assets.add("machine-03", held("TWIN", None, None));
        assets.add("machine-04", held("TWIN", None, None));
        assets.add("north", held("EQ-2", None, None));
        assets.add("same", held("X", None, None));
        let mut sites = NameTable::default();
        sites.add("north", held("1010", None, None));
        sites.add("same", held("X", None, None));
        let mut priority = ValueMap { to_else: Some(json!("low")), ..ValueMap::default() };
        priority.to.extend([("1".to_owned(), json!("high")), ("true".to_owned(), json!(7))]);
        priority.from.extend([("high".to_owned(), json!(1)), ("7".to_owned(), json!(true))]);
        let eam: Name = "eam".parse().unwrap();
        let names = [("asset".to_owned(), assets), ("site".to_owned(), sites)].into();
        Identifiers {
            names: BTreeMap::from([(eam.clone(), names)]),
            values: BTreeMap::from([(eam, [("priority".to_owned(), priority)].into())]),
        }
    }

    #[test]
    fn a_name_is_that_of_its_time_and_means_one_thing() {
        let all = identifiers();
        let (before, after) = (all.at(Time(9)), all.at(Time(10)));
        assert_eq!(before.id("eam", "machine-01").as_deref(), Some("EQ-1"));
        assert_eq!(after.id("eam", "machine-01").as_deref(), Some("EQ-7"));
        assert_eq!(before.id("eam", "machine-02"), None);
        assert_eq!(before.name("eam", "asset", "EQ-1").as_deref(), Some("machine-01"));
        assert_eq!(after.name("eam", "asset", "EQ-1").as_deref(), Some("machine-02"));
        assert_eq!(after.name("eam", "asset", "TWIN"), None, "two things are called so");
        assert_eq!(after.id("eam", "same").as_deref(), Some("X"));
        for (system, name) in [("eam", "north"), ("eam", "machine-05"), ("s4", "machine-01")] {
            assert_eq!(after.id(system, name), None, "{system} {name}");
        }
    }

    #[test]
    fn a_value_is_found_by_its_text_both_ways() {
        let all = identifiers();
        let names = all.at(Time(0));
        for one in [json!(1), json!(1.0), json!("1")] {
            assert_eq!(names.value("eam", "priority", &one), Some(json!("high")), "{one}");
        }
        assert_eq!(names.value("eam", "priority", &json!(true)), Some(json!(7)));
        assert_eq!(names.value("eam", "priority", &json!("other")), Some(json!("low")), "the one for all others");
        assert_eq!(names.value("eam", "priority", &json!(null)), None, "nothing is no value");
        assert_eq!(names.value("eam", "state", &json!(1)), None);
        assert_eq!(names.our_value("eam", "priority", &json!("high")), Some(json!(1)));
        assert_eq!(names.our_value("eam", "priority", &json!(7)), Some(json!(true)));
        assert_eq!(names.our_value("eam", "priority", &json!("low")), None);
    }
}
