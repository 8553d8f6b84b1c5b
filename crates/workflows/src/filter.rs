//! Which events a filter means: attributes, data and what events have in common with a run or with each other.

use andon_contract::expr::{Lookup, truthy};
use andon_contract::workflow::{Consumption, DataFilter, EventFilter, Mapping, Until};
use andon_model::Event;
use andon_model::id::derive;
use andon_store::StoredEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A value that takes more bytes than this is found by its hash.
const VALUE_BYTES_MAX: usize = 200;

/// Values by the name of what events have in common.
pub(crate) type Bound = BTreeMap<String, Json>;

/// An event as filters look at it.
pub(crate) struct Seen<'e> {
    pub(crate) stored: &'e StoredEvent,
    envelope: OnceCell<Json>,
}

impl<'e> Seen<'e> {
    pub(crate) fn new(stored: &'e StoredEvent) -> Self {
        Self { stored, envelope: OnceCell::new() }
    }

    pub(crate) fn event(&self) -> &'e Event {
        &self.stored.event
    }

    /// The whole event, made when somebody looks at it.
    pub(crate) fn envelope(&self) -> &Json {
        self.envelope.get_or_init(|| self.stored.event.to_json(Some(self.stored.sequence)))
    }
}

/// The values of a filter that an expression of a run has made, or that are written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fixed {
    /// Of its attributes, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attributes: Vec<Json>,
    /// Fields that the data must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Json>,
    /// What its correlations must be, in their order; `None`: the first event says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expect: Vec<Option<Json>>,
}

impl Fixed {
    /// The values of a filter, each made by `make`.
    pub(crate) fn of<E>(filter: &EventFilter, mut make: impl FnMut(&Mapping) -> Result<Json, E>) -> Result<Self, E> {
        Ok(Self {
            attributes: filter.attributes.iter().map(|(_, value)| make(value)).collect::<Result<_, E>>()?,
            data: match &filter.data {
                Some(DataFilter::Equals(value)) => Some(make(value)?),
                Some(DataFilter::Holds(_)) | None => None,
            },
            expect: filter
                .correlate
                .iter()
                .map(|correlation| correlation.expect.as_ref().map(&mut make).transpose())
                .collect::<Result<_, E>>()?,
        })
    }

    /// The values as they are written, where there is no run.
    pub(crate) fn written(filter: &EventFilter) -> Self {
        let constant = |mapping: &Mapping| -> Result<Json, std::convert::Infallible> {
            Ok(match mapping {
                Mapping::Constant(value) => value.clone(),
                Mapping::Object(fields) => fields
                    .iter()
                    .filter_map(|(name, value)| match value {
                        Mapping::Constant(value) => Some((name.clone(), value.clone())),
                        _ => None,
                    })
                    .collect(),
                Mapping::Expression(_) | Mapping::List(_) => Json::Null,
            })
        };
        match Self::of(filter, constant) {
            Ok(fixed) => fixed,
            Err(never) => match never {},
        }
    }
}

/// Whether an event passes a filter; what it has in common with those that follow, where it does. The error says why
/// nobody knows.
pub(crate) fn passes(
    filter: &EventFilter,
    fixed: &Fixed,
    bound: &Bound,
    seen: &Seen<'_>,
    lookup: &dyn Lookup,
) -> Result<Option<Bound>, String> {
    let event = seen.event();
    if filter.kind != event.kind {
        return Ok(None);
    }
    for ((name, _), wanted) in filter.attributes.iter().zip(&fixed.attributes) {
        if !seen.envelope().get(name).is_some_and(|found| same(found, wanted)) {
            return Ok(None);
        }
    }
    if fixed.data.as_ref().is_some_and(|wanted| !has(&event.data, wanted)) {
        return Ok(None);
    }
    let mut common = Bound::new();
    for (at, correlation) in filter.correlate.iter().enumerate() {
        let found = correlation.from.eval(seen.envelope(), &[], lookup).map_err(|e| e.to_string())?;
        if found.is_null() {
            return Ok(None);
        }
        let expected = fixed.expect.get(at).and_then(Option::as_ref).or_else(|| bound.get(&correlation.name));
        match expected {
            Some(expected) if same(&found, expected) => {}
            Some(_) => return Ok(None),
            None => {
                common.insert(correlation.name.clone(), found);
            }
        }
    }
    if let Some(DataFilter::Holds(holds)) = &filter.data {
        let vars = vec![Json::Null; holds.vars().count()];
        if !truthy(&holds.eval(&event.data, &vars, lookup).map_err(|e| e.to_string())?) {
            return Ok(None);
        }
    }
    Ok(Some(common))
}

/// By which value an event finds what waits for it: an expression over the event, and its value; both are empty where
/// the type alone says it.
pub(crate) fn found_by(filter: &EventFilter, fixed: &Fixed, bound: &Bound) -> (String, String) {
    for (at, correlation) in filter.correlate.iter().enumerate() {
        let expected = fixed.expect.get(at).and_then(Option::as_ref).or_else(|| bound.get(&correlation.name));
        if let Some(expected) = expected {
            return (correlation.from.source().to_owned(), token(expected));
        }
    }
    if let Some(((name, _), value)) =
        filter.attributes.iter().zip(&fixed.attributes).find(|((name, _), _)| name != "site")
    {
        return (format!(".{name}"), token(value));
    }
    let field = fixed.data.as_ref().and_then(Json::as_object).and_then(|fields| {
        fields.iter().find(|(_, value)| value.is_string() || value.is_number() || value.is_boolean())
    });
    match field {
        Some((name, value)) => (format!(".data[{}]", Json::from(name.as_str())), token(value)),
        None => (String::new(), String::new()),
    }
}

/// All filters of a consumption, those of its `until` behind its own.
pub(crate) fn filters(to: &Consumption) -> Vec<&EventFilter> {
    match to {
        Consumption::One(filter) => vec![filter],
        Consumption::All(filters) => filters.iter().collect(),
        Consumption::Any { filters: of, until } => {
            let mut all: Vec<&EventFilter> = of.iter().collect();
            if let Some(Until::Events(events)) = until {
                all.extend(filters(events));
            }
            all
        }
    }
}

/// Whether all fields that are wanted are there, with equal values.
fn has(data: &Json, wanted: &Json) -> bool {
    match (data, wanted) {
        (Json::Object(data), Json::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| data.get(name).is_some_and(|found| has(found, wanted)))
        }
        _ => same(data, wanted),
    }
}

/// Whether two values are the same: 1 is 1.0, and the order of fields does not count.
pub(crate) fn same(one: &Json, other: &Json) -> bool {
    canonical(one) == canonical(other)
}

/// A value as it is found in an index: equal values have equal tokens.
pub(crate) fn token(value: &Json) -> String {
    let text = canonical(value);
    if text.len() <= VALUE_BYTES_MAX {
        return text;
    }
    let mut hash = "#".to_owned();
    for byte in derive(&[b"value", text.as_bytes()]) {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

fn canonical(value: &Json) -> String {
    match value {
        Json::Number(number) => match number.as_f64() {
            // Whole numbers are the same however they are written; beyond 2^53 as they are written.
            Some(float) if float.fract() == 0.0 && float.abs() < 9.0e15 => format!("{:.0}", float + 0.0),
            _ => number.to_string(),
        },
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            let fields =
                fields.iter().map(|(name, value)| format!("{}:{}", Json::from(name.as_str()), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_have_equal_tokens_and_others_do_not() {
        for (one, other) in [
            (json!(1), json!(1.0)),
            (json!(0), json!(-0.0)),
            (json!({"a": 1, "b": [2.0]}), json!({"b": [2], "a": 1.0})),
            (json!("x".repeat(300)), json!("x".repeat(300))),
        ] {
            assert_eq!(token(&one), token(&other));
            assert!(same(&one, &other));
        }
        for (one, other) in [
            (json!(1), json!("1")),
            (json!(-10), json!(10)),
            (json!(1.5), json!(1)),
            (json!("x".repeat(300)), json!("x".repeat(301))),
            (json!(null), json!(false)),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
        ] {
            assert_ne!(token(&one), token(&other), "{one} {other}");
        }
    }
}
