//! What is known of a value before a workflow runs: its schema, its fields, its kind, or nothing.

use crate::{
    checks::shapes,
    expr::{Form, Step},
};
use serde_json::Value as Json;
use std::{collections::BTreeSet, sync::Arc};

/// Alternatives at most; more may be anything.
const EITHER_MAX: usize = 8;
/// Objects and lists nested in each other at most; deeper may be anything.
const DEPTH_MAX: usize = 12;

/// What is known of a value. Where nothing is known, nothing is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    /// Anything.
    Any,
    /// A value of this JSON type.
    Kind(&'static str),
    /// A value of a schema.
    Schema(Arc<Described>),
    /// An object of these fields and no others; its name is for people.
    Object(Arc<Fields>),
    /// A list of these.
    List(Arc<Type>),
    /// One of these; none: nothing comes here at all.
    Either(Arc<Vec<Type>>),
}

/// A part of a schema.
#[derive(Debug)]
pub(super) struct Described {
    root: Arc<Json>,
    at: Json,
    name: String,
}

impl PartialEq for Described {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.at == other.at
    }
}

/// The fields of an object.
#[derive(Debug, PartialEq)]
pub(super) struct Fields {
    name: String,
    fields: Vec<(String, Type)>,
}

/// A step that leads nowhere.
#[derive(Debug, PartialEq)]
pub(super) struct Lost {
    /// What it was looked for in.
    pub(super) of: String,
    /// The key.
    pub(super) key: String,
    /// The keys there are.
    pub(super) known: Vec<String>,
}

impl Type {
    /// Nothing comes here.
    pub(super) fn never() -> Self {
        Self::Either(Arc::new(Vec::new()))
    }

    /// A value of a schema that people call so.
    pub(super) fn schema(root: &Arc<Json>, name: &str) -> Self {
        let at = shapes::resolved(root, root).cloned().unwrap_or(Json::Bool(true));
        Self::Schema(Arc::new(Described { root: Arc::clone(root), at, name: name.to_owned() }))
    }

    pub(super) fn object(name: &str, fields: Vec<(String, Self)>) -> Self {
        if fields.iter().any(|(_, of)| of.depth() >= DEPTH_MAX) {
            return Self::Any;
        }
        Self::Object(Arc::new(Fields { name: name.to_owned(), fields }))
    }

    pub(super) fn list(of: Self) -> Self {
        if of.depth() >= DEPTH_MAX { Self::Kind("array") } else { Self::List(Arc::new(of)) }
    }

    pub(super) fn either(all: impl IntoIterator<Item = Self>) -> Self {
        let mut flat: Vec<Self> = Vec::new();
        for one in all {
            match one {
                Self::Any => return Self::Any,
                Self::Either(inner) => {
                    for one in inner.iter() {
                        if !flat.contains(one) {
                            flat.push(one.clone());
                        }
                    }
                }
                other if !flat.contains(&other) => flat.push(other),
                _ => {}
            }
        }
        match flat.len() {
            1 => flat.remove(0),
            n if n > EITHER_MAX => Self::Any,
            _ => Self::Either(Arc::new(flat)),
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Any | Self::Kind(_) | Self::Schema(_) => 0,
            Self::Object(of) => 1 + of.fields.iter().map(|(_, of)| of.depth()).max().unwrap_or(0),
            Self::List(of) => 1 + of.depth(),
            Self::Either(all) => all.iter().map(Self::depth).max().unwrap_or(0),
        }
    }

    /// What stands at a path; an error where no value has it.
    pub(super) fn follow(&self, path: &[Step]) -> Result<Self, Lost> {
        path.iter().try_fold(self.clone(), |at, step| at.step(step))
    }

    fn step(&self, step: &Step) -> Result<Self, Lost> {
        let lost = |of: &str, known: Vec<String>| match step {
            Step::Key(key) => Err(Lost { of: of.to_owned(), key: key.clone(), known }),
            Step::Index(_) | Step::Each => Ok(Self::Any),
        };
        match (self, step) {
            (Self::Kind("array") | Self::List(_), Step::Key(_)) => lost("a list", Vec::new()),
            (Self::Kind("string"), _) => lost("a text", Vec::new()),
            (Self::Kind("number"), _) => lost("a number", Vec::new()),
            (Self::Kind("boolean"), _) => lost("a truth value", Vec::new()),
            // Null gives null, and of an object nothing else is known.
            (Self::Kind(_) | Self::Any, _) | (Self::Object(_), Step::Index(_)) => Ok(Self::Any),
            (Self::List(of), _) => Ok((**of).clone()),
            (Self::Object(of), Step::Key(key)) => match of.fields.iter().find(|(name, _)| name == key) {
                Some((_, found)) => Ok(found.clone()),
                None => lost(&of.name, of.fields.iter().map(|(name, _)| name.clone()).collect()),
            },
            (Self::Object(of), Step::Each) => Ok(Self::either(of.fields.iter().map(|(_, of)| of.clone()))),
            (Self::Schema(of), step) => match shapes::step(&of.root, &of.at, step) {
                Ok(None) => Ok(Self::Any),
                Ok(Some(at)) => Ok(Self::Schema(Arc::new(Described {
                    root: Arc::clone(&of.root),
                    at: at.clone(),
                    name: of.name.clone(),
                }))),
                Err(nowhere) => lost(&of.name, nowhere.known),
            },
            (Self::Either(all), step) => {
                let found: Vec<Result<Self, Lost>> = all.iter().map(|of| of.step(step)).collect();
                let (good, lost): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
                if good.is_empty() && !lost.is_empty() {
                    let mut lost = lost.into_iter().filter_map(Result::err);
                    let first = lost.next();
                    return first.map_or(Ok(Self::Any), |mut first| {
                        first.known.extend(lost.flat_map(|lost| lost.known));
                        Err(first)
                    });
                }
                Ok(Self::either(good.into_iter().filter_map(Result::ok)))
            }
        }
    }

    /// The JSON types a value may have; `None` where that is not known.
    pub(super) fn kinds(&self) -> Option<BTreeSet<&str>> {
        match self {
            Self::Any => None,
            Self::Kind(kind) => Some(BTreeSet::from([*kind])),
            Self::Object(_) => Some(BTreeSet::from(["object"])),
            Self::List(_) => Some(BTreeSet::from(["array"])),
            Self::Schema(of) => kinds_of(&of.at),
            Self::Either(all) if all.is_empty() => None,
            Self::Either(all) => all.iter().try_fold(BTreeSet::new(), |mut kinds, of| {
                kinds.extend(of.kinds()?);
                Some(kinds)
            }),
        }
    }

    /// Its fields, where it is an object whose fields are known.
    pub(super) fn fields(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(of) => Some(&of.fields),
            _ => None,
        }
    }

    /// What an expression of a form gives.
    pub(super) fn of_form(form: &Form, input: &Self, var: &dyn Fn(&str) -> Self) -> Self {
        let inner = |form: &Form| Self::of_form(form, input, var);
        match form {
            Form::Any => Self::Any,
            Form::Kind(kind) => Self::Kind(kind),
            Form::At { of, path } => {
                let from = of.as_deref().map_or_else(|| input.clone(), var);
                from.follow(path).unwrap_or(Self::Any)
            }
            Form::List(items) => Self::list(Self::either(items.iter().map(inner))),
            Form::Object(fields) => {
                let fields = fields.iter().map(|(name, form)| (name.clone(), inner(form))).collect();
                Self::object("what is made before", fields)
            }
            Form::Either(all) => Self::either(all.iter().map(inner)),
        }
    }

    /// What is known of a value that is written out.
    pub(super) fn of_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Kind("null"),
            Json::Bool(_) => Self::Kind("boolean"),
            Json::Number(_) => Self::Kind("number"),
            Json::String(_) => Self::Kind("string"),
            Json::Array(items) => Self::list(Self::either(items.iter().map(Self::of_json))),
            Json::Object(fields) => {
                let fields = fields.iter().map(|(name, json)| (name.clone(), Self::of_json(json))).collect();
                Self::object("what is made before", fields)
            }
        }
    }
}

/// The types that a schema allows; `None` where it does not say.
pub(super) fn kinds_of(schema: &Json) -> Option<BTreeSet<&str>> {
    let plain = |kind| if kind == "integer" { "number" } else { kind };
    match schema.get("type")? {
        Json::String(kind) => Some(BTreeSet::from([plain(kind.as_str())])),
        Json::Array(kinds) => Some(kinds.iter().filter_map(Json::as_str).map(plain).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn what_is_known_is_followed_and_what_is_not_is_anything() {
        let root = Arc::new(json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "n": { "type": "number" }, "inner": { "$ref": "#/$defs/inner" },
                "list": { "items": { "type": "string" } }
            },
            "$defs": { "inner": { "additionalProperties": false, "properties": { "x": {} } } }
        }));
        let of = Type::schema(&root, "thing");
        assert!(of.follow(&[key("n")]).unwrap().kinds().unwrap().contains("number"));
        assert_eq!(of.follow(&[key("m")]).unwrap_err().known, ["n", "inner", "list"]);
        assert_eq!(of.follow(&[key("inner"), key("y")]).unwrap_err().known, ["x"]);
        assert!(of.follow(&[key("inner"), key("x"), key("deeper")]).is_ok());
        assert!(of.follow(&[key("list"), Step::Each, key("x")]).is_err());
        let made = Type::object("made", vec![("a".into(), Type::Kind("number"))]);
        let one = Type::either([made.clone(), of.clone()]);
        assert!(one.follow(&[key("a")]).is_ok() && one.follow(&[key("n")]).is_ok() && one.follow(&[key("z")]).is_err());
        assert_eq!(Type::either([made, Type::Any]), Type::Any);
        assert_eq!(Type::list(of).follow(&[key("n")]).unwrap_err().of, "a list");
        let mut deep = Type::Kind("null");
        for _ in 0..40 {
            deep = Type::object("deep", vec![("d".into(), deep)]);
        }
        assert!(deep.depth() <= DEPTH_MAX + 1);
    }
}
