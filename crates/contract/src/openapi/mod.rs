//! Documents that describe an API: OpenAPI 3.0 and 3.1, and Swagger 2.0, as far as a call needs them.
//!
//! Read is which request an operation is: its method, its address, and where each parameter goes. What an answer looks
//! like is not read; the caller sees the answer itself. References are followed within the document only.

mod parameters;

use crate::{
    http::{Described, HttpRequest, Repeats, Web},
    problem::nearest,
    tree::Tree,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The longest document, in bytes.
pub const DOCUMENT_MAX_BYTES: usize = 4 << 20;
/// References that lead to references, at most.
const REFERENCES_MAX: usize = 16;
/// Variables of a server's address at most.
const VARIABLES_MAX: usize = 32;
/// The methods that a path can have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// A document that was read.
#[derive(Debug, Clone)]
pub struct Document {
    root: Json,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Swagger2,
    Openapi3,
}

/// An operation of a document: the method and what stands below it.
struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    item: &'a Json,
    body: &'a Json,
}

impl Document {
    /// Reads a document in JSON or YAML; `Err` says why it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > DOCUMENT_MAX_BYTES {
            return Err(format!("the document has {} bytes; at most {DOCUMENT_MAX_BYTES} are read", text.len()));
        }
        let text = text.trim_start_matches('\u{feff}');
        let root = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|e| format!("the document is no JSON: {e}"))?
        } else {
            yaml(text).map_err(|e| format!("the document is neither JSON nor YAML: {e}"))?
        };
        let text =
            |key: &str| root.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let version = match (text("openapi"), text("swagger")) {
            (Some(version), _) if version.starts_with("3.0") || version.starts_with("3.1") => Version::Openapi3,
            (None, Some(version)) if version == "2.0" => Version::Swagger2,
            (Some(version), _) | (None, Some(version)) => {
                let version: String = version.chars().take(20).collect();
                return Err(format!(
                    "the document has the version {version}; OpenAPI 3.0 and 3.1 and Swagger 2.0 are read"
                ));
            }
            (None, None) => return Err("the document has neither `openapi` nor `swagger`".into()),
        };
        Ok(Self { root, version })
    }

    /// The names of its operations: each `operationId`.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.all().filter_map(|operation| operation.id())
    }

    /// The request that a call of an operation is. `from` is the address the document was read from, and `declared`
    /// says whether a system stands at an address: the first server of the operation that has one is asked.
    pub fn request(
        &self,
        call: &Described,
        from: Option<&Web<'_>>,
        declared: &dyn Fn(&str) -> bool,
    ) -> Result<HttpRequest, String> {
        let operation = self.operation(&call.operation)?;
        let server = self.server(&operation, from, declared)?;
        let method = operation.method.to_ascii_uppercase();
        let placed = parameters::place(self, &operation, &call.parameters)?;
        let mut url = format!("{}{}", server.trim_end_matches('/'), placed.path);
        for (name, value) in &placed.query {
            crate::http::append(&mut url, name, value);
        }
        Web::split(&url)?;
        let mut headers = BTreeMap::new();
        for (name, value) in placed.headers {
            let one = crate::http::headers(&Json::Object([(name, Json::String(value))].into_iter().collect()))?;
            headers.extend(one);
        }
        Ok(HttpRequest {
            repeats: call.repeats.unwrap_or_else(|| Repeats::of_method(&method)),
            method,
            url,
            headers,
            body: placed.body,
            output: call.output,
            redirect: call.redirect,
            identity: call.identity.clone(),
        })
    }

    fn all(&self) -> impl Iterator<Item = Operation<'_>> {
        let paths = self.root.get("paths").and_then(Json::as_object);
        paths.into_iter().flatten().flat_map(|(path, item)| {
            let item = self.follow(item).unwrap_or(item);
            METHODS.iter().filter_map(move |method| Some(Operation { method, path, item, body: item.get(*method)? }))
        })
    }

    fn operation(&self, id: &str) -> Result<Operation<'_>, String> {
        let mut found = self.all().filter(|operation| operation.id() == Some(id));
        let Some(operation) = found.next() else {
            let near = meant(id, self.operations());
            return Err(format!("the document has no operation `{id}`{near}"));
        };
        if found.next().is_some() {
            return Err(format!("the document has the operation `{id}` more than once"));
        }
        Ok(operation)
    }

    /// What stands at a place, where it is a reference what it leads to.
    fn follow<'a>(&'a self, mut at: &'a Json) -> Result<&'a Json, String> {
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = at.get("$ref").and_then(Json::as_str) else { return Ok(at) };
            let pointer = reference.strip_prefix('#');
            let pointer = pointer.ok_or_else(|| format!("the reference {reference:?} leads out of the document"))?;
            at = self.root.pointer(pointer).ok_or_else(|| format!("the reference {reference:?} leads nowhere"))?;
        }
        Err(format!("more than {REFERENCES_MAX} references lead to one another"))
    }

    /// The address below which the operation stands.
    fn server(
        &self,
        operation: &Operation<'_>,
        from: Option<&Web<'_>>,
        declared: &dyn Fn(&str) -> bool,
    ) -> Result<String, String> {
        let servers = match self.version {
            Version::Swagger2 => self.hosts(operation, from)?,
            Version::Openapi3 => self.servers(operation, from)?,
        };
        match servers.iter().find(|server| declared(server)) {
            Some(server) => Ok(server.clone()),
            None => Err(format!(
                "the operation `{}` is at {}, and no file in systems/ declares that host",
                operation.id().unwrap_or_default(),
                servers.join(" or ")
            )),
        }
    }

    /// `schemes`, `host` and `basePath` of Swagger 2.0; what is missing is that of the document's own address.
    fn hosts(&self, operation: &Operation<'_>, from: Option<&Web<'_>>) -> Result<Vec<String>, String> {
        let text = |key: &str| self.root.get(key).and_then(Json::as_str);
        let own = from.map(Web::origin);
        let own_host = own.as_deref().and_then(|own| Some(own.split_once("://")?.1));
        let host = text("host").or(own_host).ok_or("the document names no `host`")?;
        let schemes = operation.body.get("schemes").or_else(|| self.root.get("schemes")).and_then(Json::as_array);
        let mut schemes: Vec<&str> = schemes.into_iter().flatten().filter_map(Json::as_str).collect();
        schemes.retain(|scheme| matches!(*scheme, "https" | "http"));
        if schemes.is_empty() {
            schemes.push(from.map_or("https", |from| from.scheme));
        }
        // TLS goes first, in whichever order they stand.
        schemes.sort_by_key(|scheme| *scheme != "https");
        let base = text("basePath").unwrap_or_default();
        Ok(schemes.iter().map(|scheme| format!("{scheme}://{host}{base}")).collect())
    }

    /// `servers` of the operation, else of its path, else of the document.
    fn servers(&self, operation: &Operation<'_>, from: Option<&Web<'_>>) -> Result<Vec<String>, String> {
        let listed = [operation.body, operation.item, &self.root]
            .into_iter()
            .find_map(|at| at.get("servers")?.as_array().filter(|list| !list.is_empty()));
        let Some(listed) = listed else { return Ok(vec![resolve("/", from)?]) };
        listed.iter().map(|server| resolve(&filled(server)?, from)).collect()
    }
}

impl<'a> Operation<'a> {
    fn id(&self) -> Option<&'a str> {
        self.body.get("operationId")?.as_str()
    }
}

/// `; did you mean ...?`, where something like it is known.
fn meant<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    nearest(written, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The address of a server with the defaults of its variables.
fn filled(server: &Json) -> Result<String, String> {
    let mut url = server.get("url").and_then(Json::as_str).ok_or("a server without `url`")?.to_owned();
    let variables = server.get("variables").and_then(Json::as_object);
    for (name, variable) in variables.into_iter().flatten().take(VARIABLES_MAX) {
        if let Some(default) = variable.get("default").and_then(Json::as_str) {
            url = url.replace(&format!("{{{name}}}"), default);
        }
        if url.len() > crate::http::URL_MAX_BYTES {
            return Err("the address of a server is too long".into());
        }
    }
    Ok(url)
}

/// An address as it stands in a document, which may leave out its beginning.
fn resolve(url: &str, from: Option<&Web<'_>>) -> Result<String, String> {
    if url.contains("://") {
        return Ok(url.to_owned());
    }
    let from = from.ok_or("the document names no server with a host")?;
    if let Some(rest) = url.strip_prefix("//") {
        return Ok(format!("{}://{rest}", from.scheme));
    }
    if url.starts_with('/') {
        return Ok(format!("{}{url}", from.origin()));
    }
    let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = if url == "." { "" } else { url.strip_prefix("./").unwrap_or(url) };
    Ok(format!("{}{folder}/{below}", from.origin()))
}

/// A text in YAML as JSON; `Err` says what is wrong with it first.
pub fn yaml(text: &str) -> Result<Json, String> {
    match Tree::parse(text) {
        Ok(tree) => Ok(tree.json(tree.root())),
        Err(faults) => {
            Err(faults.first().map_or_else(|| "it cannot be read".to_owned(), |fault| fault.message.clone()))
        }
    }
}

/// Takes bytes as a document and asks for each of its operations, for a fuzz target. Never panics.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(document) = Document::read(&String::from_utf8_lossy(data)) else { return };
    let from = Web::split("https://host.example/v1/api.json").ok();
    for operation in document.operations().take(100) {
        for parameters in
            [Json::Null, serde_json::json!({ "id": 1, "body": { "a": [1, "b"] }, "list": ["x", { "y": 2 }] })]
        {
            let call = Described {
                document: String::new(),
                operation: operation.to_owned(),
                parameters,
                output: crate::workflow::HttpOutput::Content,
                redirect: false,
                repeats: None,
                identity: None,
            };
            if let Ok(request) = document.request(&call, from.as_ref(), &|_| true) {
                assert!(Web::split(&request.url).is_ok(), "an address that was made can be read");
            }
        }
    }
}

#[cfg(test)]
mod tests;
