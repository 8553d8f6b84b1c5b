//! Where the parameters of an operation go: into the path, the query, the headers or the body, each in its style.

use super::{Document, Operation, Version, meant};
use crate::http::{encode, scalar};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// The name under which a call gives the body of an operation that has no parameter of this name.
const BODY: &str = "body";
/// Parameters of an operation at most.
const PARAMETERS_MAX: usize = 1_000;

/// The parts of a request.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) path: String,
    /// Names, and values that are encoded already.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Json,
}

/// A parameter as a document describes it.
struct Parameter<'a> {
    name: &'a str,
    place: &'a str,
    required: bool,
    style: Style,
    json: bool,
}

/// How lists and objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    /// Between the items.
    between: &'static str,
    /// Each item by itself, as a pair of its own.
    explode: bool,
    /// `name[key]=value`.
    deep: bool,
}

const COMMA: Style = Style { between: ",", explode: false, deep: false };

/// Places what a call gives; `Err` says what is missing, unknown, or has no place.
pub(super) fn place(document: &Document, operation: &Operation<'_>, given: &Json) -> Result<Placed, String> {
    let empty = Map::new();
    let given = match given {
        Json::Null => &empty,
        Json::Object(given) => given,
        _ => return Err("`parameters` needs an object".into()),
    };
    let parameters = parameters(document, operation)?;
    let mut placed = Placed::default();
    let mut inside = BTreeMap::new();
    let mut form = Vec::new();
    for parameter in &parameters {
        let Some(value) = given.get(parameter.name).filter(|value| !value.is_null()) else {
            if parameter.required {
                return Err(format!("the operation demands the parameter `{}`, which is missing", parameter.name));
            }
            continue;
        };
        let told = |cause: &str| format!("the parameter `{}` {cause}", parameter.name);
        match parameter.place {
            "path" => drop(inside.insert(parameter.name, flat(parameter, value, encode).map_err(|e| told(&e))?)),
            "query" => placed.query.extend(pairs(parameter, value).map_err(|e| told(&e))?),
            "header" => {
                let text = flat(parameter, value, str::to_owned).map_err(|e| told(&e))?;
                placed.headers.insert(parameter.name.to_owned(), text);
            }
            "body" => placed.body = value.clone(),
            "formData" => form.extend(pairs(parameter, value).map_err(|e| told(&e))?),
            other => return Err(told(&format!("goes into `{other}`, which is not supported"))),
        }
    }
    if !form.is_empty() {
        placed.body = Json::String(
            form.iter().map(|(name, value)| format!("{}={value}", encode(name))).collect::<Vec<_>>().join("&"),
        );
        placed.headers.insert("content-type".into(), "application/x-www-form-urlencoded".into());
    }
    let has_body = request_body(document, operation, given, &parameters, &mut placed)?;
    let knows = |name: &str| parameters.iter().any(|parameter| parameter.name == name) || (has_body && name == BODY);
    if let Some(unknown) = given.keys().find(|name| !knows(name)) {
        let names = parameters.iter().map(|parameter| parameter.name).chain(has_body.then_some(BODY));
        return Err(format!("the operation has no parameter `{unknown}`{}", meant(unknown, names)));
    }
    placed.path = path(operation.path, &inside)?;
    Ok(placed)
}

/// The path with its parameters.
fn path(template: &str, inside: &BTreeMap<&str, String>) -> Result<String, String> {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) =
            behind.split_once('}').ok_or_else(|| format!("the path {template:?} has a `{{` without `}}`"))?;
        let value = inside.get(name).ok_or_else(|| format!("the path names `{name}`, which no parameter gives"))?;
        path.push_str(before);
        path.push_str(value);
        rest = behind;
    }
    path.push_str(rest);
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(format!("the path {template:?} does not begin with a slash, or holds a query"));
    }
    Ok(path)
}

/// The parameters of an operation and those of its path that it does not replace.
fn parameters<'a>(document: &'a Document, operation: &Operation<'a>) -> Result<Vec<Parameter<'a>>, String> {
    let mut parameters: Vec<Parameter<'a>> = Vec::new();
    let lists = [operation.body, operation.item].map(|at| at.get("parameters").and_then(Json::as_array));
    for written in lists.into_iter().flatten().flatten().take(PARAMETERS_MAX) {
        let json = document.follow(written)?;
        let text = |key: &str| json.get(key).and_then(Json::as_str);
        let (Some(name), Some(place)) = (text("name"), text("in")) else {
            return Err("a parameter without `name` or `in`".into());
        };
        if parameters.iter().any(|known| known.name == name && known.place == place) {
            continue;
        }
        let required = json.get("required").and_then(Json::as_bool).unwrap_or(false);
        let (style, json) = match document.version {
            Version::Swagger2 => (swagger_style(text("collectionFormat")), false),
            Version::Openapi3 => (openapi_style(place, json)?, json.get("content").is_some()),
        };
        parameters.push(Parameter { name, place, required, style, json });
    }
    Ok(parameters)
}

fn swagger_style(format: Option<&str>) -> Style {
    match format {
        Some("multi") => Style { between: "&", explode: true, deep: false },
        Some("ssv") => Style { between: "%20", ..COMMA },
        Some("tsv") => Style { between: "%09", ..COMMA },
        Some("pipes") => Style { between: "%7C", ..COMMA },
        _ => COMMA,
    }
}

fn openapi_style(place: &str, parameter: &Json) -> Result<Style, String> {
    let usual = if matches!(place, "query" | "cookie") { "form" } else { "simple" };
    let word = parameter.get("style").and_then(Json::as_str).unwrap_or(usual);
    let explode = parameter.get("explode").and_then(Json::as_bool).unwrap_or(word == "form");
    Ok(match word {
        "form" | "simple" => Style { explode, ..COMMA },
        "spaceDelimited" => Style { between: "%20", explode, deep: false },
        "pipeDelimited" => Style { between: "%7C", explode, deep: false },
        "deepObject" => Style { between: ",", explode: true, deep: true },
        other => return Err(format!("the style `{other}` of a parameter is not supported")),
    })
}

/// A value as one text: of the path and of headers.
fn flat(parameter: &Parameter<'_>, value: &Json, write: impl Fn(&str) -> String) -> Result<String, String> {
    let text = if parameter.json {
        write(&value.to_string())
    } else {
        match value {
            Json::Array(items) => items.iter().map(|item| one(item, &write)).collect::<Result<Vec<_>, _>>()?.join(","),
            Json::Object(fields) => {
                let equals = if parameter.style.explode { "=" } else { "," };
                let fields =
                    fields.iter().map(|(key, value)| Ok(format!("{}{equals}{}", write(key), one(value, &write)?)));
                fields.collect::<Result<Vec<_>, String>>()?.join(",")
            }
            value => one(value, &write)?,
        }
    };
    if text.is_empty() {
        return Err("is empty, so that the request would mean something else".into());
    }
    Ok(text)
}

/// A value as pairs of a query or a form.
fn pairs(parameter: &Parameter<'_>, value: &Json) -> Result<Vec<(String, String)>, String> {
    let Parameter { name, style, .. } = parameter;
    let pair = |name: &str, value: String| (name.to_owned(), value);
    if parameter.json {
        return Ok(vec![pair(name, encode(&value.to_string()))]);
    }
    Ok(match value {
        Json::Array(items) => {
            let items = items.iter().map(|item| one(item, encode)).collect::<Result<Vec<_>, _>>()?;
            if style.explode {
                items.into_iter().map(|item| pair(name, item)).collect()
            } else {
                vec![pair(name, items.join(style.between))]
            }
        }
        Json::Object(fields) if style.deep => fields
            .iter()
            .map(|(key, value)| Ok(pair(&format!("{name}[{key}]"), one(value, encode)?)))
            .collect::<Result<_, String>>()?,
        Json::Object(fields) if style.explode => {
            fields.iter().map(|(key, value)| Ok(pair(key, one(value, encode)?))).collect::<Result<_, String>>()?
        }
        Json::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| Ok(format!("{},{}", encode(key), one(value, encode)?)));
            vec![pair(name, fields.collect::<Result<Vec<_>, String>>()?.join(","))]
        }
        value => vec![pair(name, one(value, encode)?)],
    })
}

fn one(value: &Json, write: impl Fn(&str) -> String) -> Result<String, String> {
    scalar(value).map(|text| write(&text)).ok_or_else(|| "holds something that is no text and no number".to_owned())
}

/// The body of OpenAPI 3 under the name `body`; whether the operation has one.
fn request_body(
    document: &Document,
    operation: &Operation<'_>,
    given: &Map<String, Json>,
    parameters: &[Parameter<'_>],
    placed: &mut Placed,
) -> Result<bool, String> {
    let named = parameters.iter().any(|parameter| parameter.name == BODY);
    let Some(described) = operation.body.get("requestBody").filter(|_| document.version == Version::Openapi3) else {
        return Ok(false);
    };
    let described = document.follow(described)?;
    let value = given.get(BODY).filter(|value| !named && !value.is_null());
    let Some(value) = value else {
        if described.get("required").and_then(Json::as_bool) == Some(true) {
            return Err(format!("the operation demands a body, which the parameter `{BODY}` gives"));
        }
        return Ok(!named);
    };
    let kinds = described.get("content").and_then(Json::as_object);
    let kinds: Vec<&str> = kinds.into_iter().flatten().map(|(kind, _)| kind.as_str()).collect();
    let is_json = |kind: &&str| {
        matches!(*kind, "application/json" | "*/*" | "application/*")
            || kind.split(';').next().unwrap_or(kind).ends_with("+json")
            || kind.starts_with("application/json;")
    };
    if kinds.is_empty() || kinds.iter().any(is_json) {
        if let Some(kind) = kinds.iter().find(|kind| is_json(kind)).filter(|kind| !kind.contains('*')) {
            placed.headers.insert("content-type".into(), (*kind).to_owned());
        }
        placed.body = value.clone();
    } else if kinds.contains(&"application/x-www-form-urlencoded") {
        let Json::Object(fields) = value else { return Err("the body of a form needs an object".into()) };
        let form = Parameter {
            name: BODY,
            place: "query",
            required: true,
            style: Style { explode: true, ..COMMA },
            json: false,
        };
        let mut all = Vec::new();
        for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            all.extend(pairs(&Parameter { name: key, ..form }, value)?);
        }
        let text = all.iter().map(|(name, value)| format!("{}={value}", encode(name))).collect::<Vec<_>>().join("&");
        placed.body = Json::String(text);
        placed.headers.insert("content-type".into(), "application/x-www-form-urlencoded".into());
    } else if let (Some(kind), Json::String(_)) =
        (kinds.iter().find(|kind| kind.starts_with("text/") || kind.ends_with("xml")), value)
    {
        placed.body = value.clone();
        placed.headers.insert("content-type".into(), (*kind).to_owned());
    } else {
        return Err(format!("the body is {}, which is not supported; JSON, forms and texts are", kinds.join(" or ")));
    }
    Ok(true)
}
