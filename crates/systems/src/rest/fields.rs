//! Evaluates field maps: the shape of a request or an output, with expressions in some places.

use crate::names::Names;
use andon_contract::{contract::FieldMap, expr::Program};
use andon_model::call::CallRequest;
use serde_json::{Map, Value as Json};

/// What expressions see.
pub(super) struct Scope<'a> {
    /// The capability's input, or the answer's body.
    pub(super) input: &'a Json,
    /// Where `$key`, `$reference` and `$site` come from; `None` where there are no variables.
    pub(super) request: Option<&'a CallRequest>,
    /// Where `id` and `value` look.
    pub(super) names: Names<'a>,
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
        let vars: Vec<Json> = program.vars().map(|name| self.variable(name)).collect();
        program.eval(self.input, &vars, &self.names).map_err(|e| Wrong::new(place, e.to_string()))
    }

    /// The value of a field map. A key whose expression gives null is left out.
    pub(super) fn build(&self, map: &FieldMap, place: &str) -> Result<Json, Wrong> {
        build(map, place, &|program, place| self.eval(program, place))
    }

    fn variable(&self, name: &str) -> Json {
        let Some(request) = self.request else { return Json::Null };
        match name {
            "key" => request.key.as_str().into(),
            "reference" => request.key.reference().as_str().into(),
            "site" => request.site.as_str().into(),
            _ => Json::Null,
        }
    }
}

/// The value of a field map whose expressions somebody evaluates.
pub(super) fn build<E>(
    map: &FieldMap,
    place: &str,
    eval: &dyn Fn(&Program, &str) -> Result<Json, E>,
) -> Result<Json, E> {
    match map {
        FieldMap::Constant(value) => Ok(value.clone()),
        FieldMap::Expression(program) => eval(program, place),
        FieldMap::List(items) => {
            let items = items.iter().enumerate().map(|(i, item)| build(item, &format!("{place}[{i}]"), eval));
            Ok(Json::Array(items.collect::<Result<_, _>>()?))
        }
        FieldMap::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                let value = build(field, &format!("{place}.{name}"), eval)?;
                if !(value.is_null() && matches!(field, FieldMap::Expression(_))) {
                    object.insert(name.clone(), value);
                }
            }
            Ok(Json::Object(object))
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
