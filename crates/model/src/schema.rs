//! Canonical schemas: JSON Schema 2020-12 of events and objects, built in and added by a project.

use crate::{
    event::Event,
    matching::{Interval, Match},
};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

/// The schemas that come with Andon: name, version, text.
pub const BUILT_IN: &[(&str, &str, &str)] = &[
    ("asset.alarm", "1.2", include_str!("../schemas/asset.alarm-1.2.json")),
    ("asset.alarm.suppressed", "1.0", include_str!("../schemas/asset.alarm.suppressed-1.0.json")),
    ("asset.alarm.control", "1.0", include_str!("../schemas/asset.alarm.control-1.0.json")),
    ("asset.state", "1.0", include_str!("../schemas/asset.state-1.0.json")),
    ("asset.downtime", "1.0", include_str!("../schemas/asset.downtime-1.0.json")),
    ("asset.count", "1.0", include_str!("../schemas/asset.count-1.0.json")),
    ("asset.condition", "1.0", include_str!("../schemas/asset.condition-1.0.json")),
    ("asset.cycle", "1.0", include_str!("../schemas/asset.cycle-1.0.json")),
    ("MaintenanceRequest", "1.0", include_str!("../schemas/MaintenanceRequest-1.0.json")),
    ("ProductionOrder", "1.1", include_str!("../schemas/ProductionOrder-1.1.json")),
    ("MaterialLot", "1.0", include_str!("../schemas/MaterialLot-1.0.json")),
    ("Shift", "1.0", include_str!("../schemas/Shift-1.0.json")),
    ("MaintenanceState", "1.0", include_str!("../schemas/MaintenanceState-1.0.json")),
    ("InventoryMovement", "1.0", include_str!("../schemas/InventoryMovement-1.0.json")),
    ("Stock", "1.0", include_str!("../schemas/Stock-1.0.json")),
    ("QualityIncident", "1.0", include_str!("../schemas/QualityIncident-1.0.json")),
    ("InspectionResult", "1.0", include_str!("../schemas/InspectionResult-1.0.json")),
    ("ShipmentMilestone", "1.0", include_str!("../schemas/ShipmentMilestone-1.0.json")),
    ("context.corrected", "1.0", include_str!("../schemas/context.corrected-1.0.json")),
    ("human.decision", "1.0", include_str!("../schemas/human.decision-1.0.json")),
];

/// Problems shown of one value at most; a value wrong in a thousand places is wrong once.
const PROBLEMS_MAX: usize = 20;

/// A schema that is none, or that cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema {name}/{version}: {cause}")]
pub struct SchemaError {
    /// Its name.
    pub name: String,
    /// Its version, `major.minor`.
    pub version: String,
    /// What is wrong with it.
    pub cause: String,
}

/// A value that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The schema as `name/major.minor`.
    pub schema: String,
    /// Place (JSON pointer) and message of each problem.
    pub problems: Vec<(String, String)>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "does not fit {}", self.schema)?;
        for (at, message) in &self.problems {
            write!(f, "; at {}: {message}", if at.is_empty() { "/" } else { at })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mismatch {}

struct Schema {
    name: String,
    version: (u32, u32),
    json: Json,
    validator: jsonschema::Validator,
    matched: Option<Match>,
}

/// All schemas of a contract. Cheap to clone.
#[derive(Clone)]
pub struct Schemas(Arc<BTreeMap<(String, u32), Arc<Schema>>>);

/// The built-in schemas are compiled once a process: every contract begins with them.
static COMPILED: LazyLock<Schemas> = LazyLock::new(compile_built_in);

fn compile_built_in() -> Schemas {
    let mut all = BTreeMap::new();
    for (name, version, text) in BUILT_IN {
        let json = serde_json::from_str(text).expect("a built-in schema is JSON");
        add(&mut all, name, version, json).expect("a built-in schema is a schema");
    }
    Schemas(Arc::new(all))
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Schemas {
    /// The schemas that come with Andon.
    pub fn built_in() -> Self {
        COMPILED.clone()
    }

    /// These schemas and those of a project: name, `major.minor`, schema.
    pub fn with(extra: Vec<(String, String, Json)>) -> Result<Self, SchemaError> {
        let mut all = (*COMPILED.0).clone();
        for (name, version, json) in extra {
            add(&mut all, &name, &version, json)?;
        }
        Ok(Self(Arc::new(all)))
    }

    /// All names with their versions, in order.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.0.values().map(|s| format!("{}/{}.{}", s.name, s.version.0, s.version.1))
    }

    /// The schema of `name` or `name/major`, as JSON.
    pub fn json(&self, reference: &str) -> Option<&Json> {
        self.find(reference).map(|s| &s.json)
    }

    /// The full reference `andon:name/major.minor` of a name or `name/major`.
    pub fn full_name(&self, reference: &str) -> Option<String> {
        self.find(reference).map(|s| format!("andon:{}/{}.{}", s.name, s.version.0, s.version.1))
    }

    fn find(&self, reference: &str) -> Option<&Schema> {
        let plain = reference.strip_prefix("andon:").unwrap_or(reference);
        let (name, version) = plain.split_once('/').unwrap_or((plain, "1"));
        let major = version.split('.').next()?.parse().ok()?;
        self.0.get(&(name.to_owned(), major)).map(|schema| &**schema)
    }

    /// Checks a value against `name` or `name/major`.
    pub fn check(&self, reference: &str, value: &Json) -> Result<(), Mismatch> {
        let Some(schema) = self.find(reference) else {
            return Err(Mismatch {
                schema: reference.to_owned(),
                problems: vec![(String::new(), "there is no schema of this name".to_owned())],
            });
        };
        let problems: Vec<_> = schema
            .validator
            .iter_errors(value)
            .take(PROBLEMS_MAX)
            .map(|e| (e.instance_path().to_string(), e.to_string()))
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(Mismatch { schema: format!("{}/{}.{}", schema.name, schema.version.0, schema.version.1), problems })
    }

    /// The interval of the fact that data of a type tell, where the type names a match and the data a beginning.
    pub fn interval(&self, reference: &str, data: &Json) -> Option<Interval> {
        self.find(reference)?.matched.as_ref()?.interval(data)
    }

    /// Checks the data of an event against the schema it names; every event passes here where it is born.
    pub fn check_event(&self, event: &Event) -> Result<(), Mismatch> {
        self.check(&event.schema, &event.data)
    }
}

/// The event that tells of a change of an object: `production-order.changed` of `ProductionOrder`.
pub fn changed_event(object: &str) -> String {
    let mut name = String::new();
    for c in object.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name + ".changed"
}

/// Adds a schema, and beside that of an object the schema of the event that tells of its changes.
fn add(
    all: &mut BTreeMap<(String, u32), Arc<Schema>>,
    name: &str,
    version: &str,
    json: Json,
) -> Result<(), SchemaError> {
    let changed = (!name.contains('.')).then(|| (changed_event(name), changed_schema(name, &json)));
    let schema = compile(name, version, json)?;
    let major = schema.version.0;
    all.insert((name.to_owned(), major), Arc::new(schema));
    if let Some((event, json)) = changed {
        all.insert((event.clone(), major), Arc::new(compile(&event, version, json)?));
    }
    Ok(())
}

/// What a `<object>.changed` says: the whole object, and which of its fields are others now.
fn changed_schema(name: &str, object: &Json) -> Json {
    let mut object = object.clone();
    move_references(&mut object);
    if let Some(object) = object.as_object_mut() {
        object.remove("$schema");
        object.remove("$id");
    }
    let time = json!({ "type": "string", "format": "date-time" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": changed_event(name),
        "description": format!("A {name} is another than it was; the subject of the event is its name."),
        "type": "object",
        "required": ["object"],
        "additionalProperties": false,
        "properties": {
            "change": {
                "description": "Whether it is new, another, or valid no longer.",
                "enum": ["created", "changed", "closed"],
            },
            "changes": {
                "description": "The fields that are others now, without `from` or `to` where there was or is nothing.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field"],
                    "additionalProperties": false,
                    "properties": { "field": { "type": "string", "minLength": 1 }, "from": {}, "to": {} },
                },
            },
            "object": object,
            "from": time,
            "to": time,
            "assets": { "description": "Where it is valid.", "type": "array", "items": { "type": "string" } },
            "line": { "type": "string" },
            "origin": { "description": "Who told it.", "type": "string" },
        },
    })
}

/// The references of a schema that becomes a part of another one.
fn move_references(json: &mut Json) {
    match json {
        Json::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Json::String(reference) if key == "$ref" && reference.starts_with('#') => {
                        *reference = format!("#/properties/object{}", reference.trim_start_matches('#'));
                    }
                    other => move_references(other),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(move_references),
        _ => {}
    }
}

fn compile(name: &str, version: &str, json: Json) -> Result<Schema, SchemaError> {
    let wrong = |cause: String| SchemaError { name: name.to_owned(), version: version.to_owned(), cause };
    let (major, minor) = version
        .split_once('.')
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
        .ok_or_else(|| wrong("expected a version like 1.0".to_owned()))?;
    let validator = jsonschema::draft202012::new(&json).map_err(|e| wrong(e.to_string()))?;
    // Only types of events have one. One that is wrong is none here; the checks of a project say so.
    let matched = if name.contains('.') { Match::of(&json).ok().flatten() } else { None };
    Ok(Schema { name: name.to_owned(), version: (major, minor), json, validator, matched })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_schemas_hold_what_they_say() {
        let schemas = Schemas::built_in();
        let good = json!({"title": "Look at it", "asset": "m-1", "site": "home", "priority": 2});
        schemas.check("MaintenanceRequest/1", &good).unwrap();
        let wrong = schemas.check("MaintenanceRequest", &json!({"title": 5})).unwrap_err();
        assert!(wrong.problems.iter().any(|(at, _)| at == "/title"), "{wrong}");
        assert!(schemas.check("Nothing/1", &good).is_err());
        assert_eq!(schemas.full_name("asset.alarm").as_deref(), Some("andon:asset.alarm/1.2"));
    }

    #[test]
    fn what_rules_tell_of_states_and_counts_fits() {
        let schemas = Schemas::built_in();
        let second = json!({"value": "1.5", "unit": "s"});
        let (from, to) = ("2026-11-22T08:00:00Z", "2026-11-22T08:00:01.5Z");
        let state = json!({"change": "changed", "signal": "state", "state": "Held", "class": "delay",
            "previous": "Execute", "previousclass": "production", "since": from, "duration": second});
        schemas.check("asset.state/1", &state).unwrap();
        let started = json!({"change": "started", "from": from, "planned": false});
        schemas.check("asset.downtime/1", &started).unwrap();
        let ended = json!({"change": "ended", "from": from, "planned": false});
        assert!(schemas.check("asset.downtime/1", &ended).is_err(), "an end says when and after how long");
        let count = json!({"change": "counted", "signal": "parts", "kind": "good", "delta": 1, "total": 1,
            "from": from, "to": to, "live": true});
        schemas.check("asset.count/1", &count).unwrap();
        let cycle = json!({"change": "completed", "signal": "state", "from": from, "to": to, "duration": second,
            "program": "O1000.MIN"});
        schemas.check("asset.cycle/1", &cycle).unwrap();
    }

    #[test]
    fn what_lies_moves_is_tested_and_shipped_has_quantities_and_the_codes_of_its_standards() {
        let schemas = Schemas::built_in();
        let one = json!({"value": "1", "unit": "1"});
        let at = "2026-11-22T08:00:00Z";
        let lies = json!({"site": "home", "material": "bearing", "quantity": one, "available": one});
        let moves = json!({"site": "home", "type": "issue", "material": "bearing", "quantity": one,
                           "materialUse": "Replacement Asset", "reservation": "R-1"});
        let doubt = json!({"site": "home", "title": "It shook", "state": "open", "lot": "L-77", "value": one,
                           "evidence": {"from": "a", "to": "b", "count": 3, "hash": "c"}});
        let tested = json!({"number": "LR-1", "site": "home", "lot": "L-77", "characteristic": "seal",
                            "result": one, "verdict": "pass", "evaluationDate": at});
        let shipped = json!({"number": "D-1", "site": "home", "step": "staging_outbound", "disposition": "in_progress",
                             "planned": at, "estimated": at});
        for (name, good, (field, wrong)) in [
            ("Stock/1", &lies, ("quantity", json!(1))),
            ("InventoryMovement/1", &moves, ("type", json!("261"))),
            ("QualityIncident/1", &doubt, ("evidence", json!({"hash": "c"}))),
            ("InspectionResult/1", &tested, ("verdict", json!("ok"))),
            ("ShipmentMilestone/1", &shipped, ("step", json!("staged"))),
        ] {
            schemas.check(name, good).unwrap();
            let mut bad = good.clone();
            bad[field] = wrong;
            assert!(schemas.check(name, &bad).is_err(), "{name} takes a wrong {field}");
        }
        let never = json!({"number": "D-1", "site": "home", "step": "shipping"});
        assert!(schemas.check("ShipmentMilestone/1", &never).is_err(), "a milestone has a time");
        let told = json!({"object": tested});
        schemas.check("inspection-result.changed/1", &told).unwrap();
    }

    #[test]
    fn each_object_has_an_event_that_tells_of_its_changes() {
        for (object, event) in
            [("ProductionOrder", "production-order.changed"), ("Stock", "stock.changed"), ("My-Lot", "my-lot.changed")]
        {
            assert_eq!(changed_event(object), event);
        }
        let schemas = Schemas::built_in();
        let order = json!({"number": "1", "site": "home", "state": "Running", "material": "m",
                           "quantity": {"value": "5", "unit": "1"}});
        let event = |order: &Json| json!({"change": "created", "changes": [], "object": order});
        schemas.check("production-order.changed", &event(&order)).unwrap();
        // A reference within the object leads to the same place as before.
        let mut wrong = order.clone();
        wrong["quantity"]["value"] = json!(5);
        let mismatch = schemas.check("production-order.changed", &event(&wrong)).unwrap_err();
        assert_eq!(mismatch.problems[0].0, "/object/quantity/value");
        assert_eq!(
            schemas.full_name("production-order.changed").as_deref(),
            Some("andon:production-order.changed/1.1")
        );
        let own = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
        let schemas = Schemas::with(vec![("Own".into(), "2.1".into(), own)]).unwrap();
        assert!(schemas.check("own.changed/2", &json!({"object": {"a": {"a": {}}}})).is_ok());
        assert!(schemas.check("own.changed/2", &json!({"object": {"a": {"a": 1}}})).is_err());
    }

    #[test]
    fn a_project_adds_its_own_and_a_wrong_one_is_named() {
        let own = json!({"type": "object", "required": ["a"]});
        let schemas = Schemas::with(vec![("Own".into(), "2.1".into(), own)]).unwrap();
        assert!(schemas.check("Own/2", &json!({"a": 1})).is_ok());
        assert!(schemas.check("Own/1", &json!({"a": 1})).is_err());
        let error = Schemas::with(vec![("Own".into(), "1.0".into(), json!({"type": 7}))]).unwrap_err();
        assert_eq!(error.name, "Own");
    }
}
