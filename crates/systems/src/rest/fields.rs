//! Evaluates field maps: the shape of a request or an output, with expressions in some places.

use crate::names::Names;
use andon_contract::{contract::FieldMap, expr::Program};
use andon_model::call::CallRequest;
use serde_json::{Map, Value as Json};

/// Items of a list that is made of a list at most.
const ITEMS_MAX: usize = 10_000;

/// What expressions see.
pub(super) struct Scope<'a> {
    /// The capability's input, or the answer's body.
    pub(super) input: &'a Json,
    /// Where `$key`, `$reference` and `$site` come from; `None` where there are no variables.
    pub(super) request: Option<&'a CallRequest>,
    /// Where `id` and `value` look.
    pub(super) names: Names<'a>,
    /// Variables beside those of the request: of its pages, or of its answer.
    pub(super) others: &'a [(&'static str, Json)],
}

/// What is wrong, and where: `request.body.equipment`.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) place: String,
    pub(super) cause: String,
}

impl Wrong {
    pub(super) fn new(place: &str, cause: impl Into<String>) -> Self {
        Self { place: place.to_owned(), cause: cause.into() }
    }
}

impl Scope<'_> {
    /// The result of an expression.
    pub(super) fn eval(&self, program: &Program, place: &str) -> Result<Json, Wrong> {
        self.evaluate(program, self.input, None, place)
    }

    /// The value of a field map. A key whose expression gives null is left out.
    pub(super) fn build(&self, map: &FieldMap, place: &str) -> Result<Json, Wrong> {
        build(map, self.input, self, place)
    }

    fn variable(&self, name: &str, item: Option<usize>) -> Json {
        match (name, self.request) {
            ("whole", _) => self.input.clone(),
            ("index", _) => item.map_or(Json::Null, Json::from),
            ("key", Some(request)) => request.key.as_str().into(),
            ("reference", Some(request)) => request.key.reference().as_str().into(),
            ("site", Some(request)) => request.site.as_str().into(),
            _ => self.others.iter().find(|(known, _)| *known == name).map_or(Json::Null, |(_, value)| value.clone()),
        }
    }
}

/// Who evaluates the expressions of a field map.
pub(super) trait Evaluate {
    /// What is wrong.
    type Error;
    /// The result of an expression over a value; `item`: its place in a list that is gone through.
    fn evaluate(&self, program: &Program, input: &Json, item: Option<usize>, place: &str) -> Result<Json, Self::Error>;
    /// A value at a place has another form than it must have.
    fn wrong(&self, place: &str, cause: String) -> Self::Error;
}

impl Evaluate for Scope<'_> {
    type Error = Wrong;

    fn evaluate(&self, program: &Program, input: &Json, item: Option<usize>, place: &str) -> Result<Json, Wrong> {
        let vars: Vec<Json> = program.vars().map(|name| self.variable(name, item)).collect();
        program.eval(input, &vars, &self.names).map_err(|e| Wrong::new(place, e.to_string()))
    }

    fn wrong(&self, place: &str, cause: String) -> Wrong {
        Wrong::new(place, cause)
    }
}

/// The value of a field map over an input.
pub(super) fn build<B: Evaluate>(map: &FieldMap, input: &Json, by: &B, place: &str) -> Result<Json, B::Error> {
    at_item(map, input, None, by, place)
}

fn at_item<B: Evaluate>(
    map: &FieldMap,
    input: &Json,
    item: Option<usize>,
    by: &B,
    place: &str,
) -> Result<Json, B::Error> {
    match map {
        FieldMap::Constant(value) => Ok(value.clone()),
        FieldMap::Expression(program) => by.evaluate(program, input, item, place),
        FieldMap::List(items) => {
            let items =
                items.iter().enumerate().map(|(i, one)| at_item(one, input, item, by, &format!("{place}[{i}]")));
            Ok(Json::Array(items.collect::<Result<_, _>>()?))
        }
        FieldMap::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                let value = at_item(field, input, item, by, &format!("{place}.{name}"))?;
                if !(value.is_null() && matches!(field, FieldMap::Expression(_) | FieldMap::Each { .. })) {
                    object.insert(name.clone(), value);
                }
            }
            Ok(Json::Object(object))
        }
        FieldMap::Each { list, map } => {
            let found = by.evaluate(list, input, item, &format!("{place}.each"))?;
            let items = match found {
                Json::Null => return Ok(Json::Null),
                Json::Array(items) if items.len() <= ITEMS_MAX => items,
                Json::Array(items) => {
                    let cause = format!("has {} items; at most {ITEMS_MAX} are gone through", items.len());
                    return Err(by.wrong(&format!("{place}.each"), cause));
                }
                other => {
                    let cause = format!("needs a list, found {}; `[ ... ]` makes one of one", kind(&other));
                    return Err(by.wrong(&format!("{place}.each"), cause));
                }
            };
            let made =
                items.iter().enumerate().map(|(i, one)| at_item(map, one, Some(i), by, &format!("{place}[{i}]")));
            Ok(Json::Array(made.collect::<Result<_, _>>()?))
        }
    }
}

/// A value as text, where it is one that stands alone.
pub(super) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What a value is, for people.
pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::Identifiers;
    use serde_json::json;

    fn each(list: &str, map: FieldMap) -> FieldMap {
        let list = Program::compile(list, &["whole", "index"]).unwrap();
        FieldMap::Each { list, map: Box::new(map) }
    }

    fn field(text: &str) -> FieldMap {
        FieldMap::Expression(Program::compile(text, &["whole", "index"]).unwrap())
    }

    fn built(map: &FieldMap, input: &Json) -> Result<Json, String> {
        let identifiers = Identifiers::default();
        let scope = Scope { input, request: None, names: identifiers.at(andon_model::Time(0)), others: &[] };
        scope.build(map, "request.body").map_err(|wrong| format!("{}: {}", wrong.place, wrong.cause))
    }

    #[test]
    fn a_list_is_made_of_a_list_also_of_lists_inside() {
        let line = FieldMap::Object(vec![
            ("order".into(), field("$whole.number")),
            ("position".into(), field("($index + 1) * 10")),
            ("parts".into(), each(".parts", field(". + \"!\""))),
        ]);
        let map = FieldMap::Object(vec![("lines".into(), each(".items", line))]);
        let input = json!({ "number": "7", "items": [{ "parts": ["a", "b"] }, { "parts": null }] });
        assert_eq!(
            built(&map, &input).unwrap(),
            json!({ "lines": [{ "order": "7", "position": 10, "parts": ["a!", "b!"] }, { "order": "7",
            "position": 20 }] })
        );
    }

    #[test]
    fn what_is_no_list_is_told_with_its_place() {
        let map = FieldMap::Object(vec![("lines".into(), each(".items", each(".parts", field("."))))]);
        assert_eq!(
            built(&map, &json!({ "items": [{ "parts": [] }, { "parts": 7 }] })).unwrap_err(),
            "request.body.lines[1].each: needs a list, found a number; `[ ... ]` makes one of one"
        );
        let many = json!({ "items": vec![0; ITEMS_MAX + 1] });
        assert!(built(&map, &many).unwrap_err().contains("at most"));
    }
}
