//! Requests over HTTP that a workflow makes itself: their shape, their addresses, and the system they go to.
//!
//! A host is reached only as a system: a request goes where the `base` of a file in `systems/` leads, and below it.
//! The address is written with the `base` as it stands in the project; where a variable of the environment leads the
//! system elsewhere, the request goes there too.

use crate::{contract::System, workflow::HttpOutput};
use andon_model::Name;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The longest address of a request, in bytes.
pub const URL_MAX_BYTES: usize = 8 << 10;
/// Headers of a request at most.
pub const HEADERS_MAX: usize = 64;
/// The function of `call` that sends a request; what stands for the capability in the row of such a call.
pub const HTTP: &str = "http";
/// The function of `call` that sends what an OpenAPI document describes.
pub const OPENAPI: &str = "openapi";
/// What stands for the operation of a system in the rows of such calls; no operation of a project has this name.
pub const SEND: &str = "call-http";
/// The same where the document of a call by `openapi` is read.
pub const DOCUMENT: &str = "read-openapi";

/// All but the unreserved characters of RFC 3986.
pub const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers that belong to the connection or to the credentials: no request of the project sets them.
pub const HEADERS_REFUSED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request as a run makes it: everything in it is known, but secrets stand in it by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method, in capitals.
    pub method: String,
    /// The full address, by the names of the project.
    pub url: String,
    /// Its headers, by their lower-case names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its body: a text is sent as it is where a header names another type than JSON. Null: no body.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub body: Json,
    /// What of the answer is given.
    #[serde(default)]
    pub output: HttpOutput,
    /// Whether a redirect is followed within its host, and counts as success elsewhere.
    #[serde(default)]
    pub redirect: bool,
    /// What repeats of it do.
    pub repeats: Repeats,
    /// How it identifies us; `None`: as the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A call of an operation that a document describes, before the document is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The address of the document.
    pub document: String,
    /// The `operationId`.
    pub operation: String,
    /// The parameters, by name.
    #[serde(default)]
    pub parameters: Json,
    /// What of the answer is given.
    #[serde(default)]
    pub output: HttpOutput,
    /// Whether a redirect is followed within its host, and counts as success elsewhere.
    #[serde(default)]
    pub redirect: bool,
    /// What repeats of it do, where the task says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
    /// How it identifies us; `None`: as the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// What repeats of a request do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// Nothing: it only reads.
    Read,
    /// Nothing: the system knows our reference, which the header `idempotency-key` carries.
    Key,
    /// The same once more: it writes what is there already.
    Upsert,
    /// The effect again, so that an unknown outcome needs a person.
    None,
}

impl Repeats {
    /// What repeats of a method do: as RFC 9110, section 9.2 says.
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Self::Read,
            "PUT" | "DELETE" => Self::Upsert,
            _ => Self::None,
        }
    }

    /// What a task says of its repeats; `None` where the word is none of ours.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "read" => Self::Read,
            "key" => Self::Key,
            "upsert" => Self::Upsert,
            "none" => Self::None,
            _ => return None,
        })
    }
}

/// How a request identifies us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: Part,
        /// The password.
        password: Part,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Part,
    },
}

/// A part of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A variable of the environment, read when it is sent.
    Env(String),
    /// A file, read when it is sent.
    File(String),
    /// What an expression gave.
    Text(String),
}

impl Part {
    /// A reference `env:NAME` or `file:PATH` as it stands in a project; `None` where it is none.
    pub fn reference(text: &str) -> Option<Self> {
        let env = text.strip_prefix("env:").map(|name| Self::Env(name.to_owned()));
        env.or_else(|| text.strip_prefix("file:").map(|path| Self::File(path.to_owned())))
    }
}

impl Serialize for HttpOutput {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Raw => "raw",
            Self::Content => "content",
            Self::Response => "response",
        })
    }
}

impl<'de> Deserialize<'de> for HttpOutput {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        Self::of_word(&word).ok_or_else(|| serde::de::Error::unknown_variant(&word, &["raw", "content", "response"]))
    }
}

impl HttpOutput {
    /// What a word of the DSL means.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "raw" => Self::Raw,
            "content" => Self::Content,
            "response" => Self::Response,
            _ => return None,
        })
    }
}

/// The parts of an address of the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, as written.
    pub host: &'a str,
    /// The port, or that of the scheme.
    pub port: u16,
    /// The path: empty, or from its first slash on.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: Option<&'a str>,
}

impl<'a> Web<'a> {
    /// Splits an address; `Err` says what is wrong with it.
    pub fn split(text: &'a str) -> Result<Self, String> {
        if text.len() > URL_MAX_BYTES {
            return Err(format!("an address of {} bytes; at most {URL_MAX_BYTES} are sent", text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\<>\"^`{|}".contains(&b)) {
            return Err("an address has no white space, no `{`, `}`, `\\` and nothing beyond ASCII; encode it".into());
        }
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or("no address of the web; it begins with `https://` or `http://`")?;
        if rest.contains('#') {
            return Err("a request has no fragment (`#`); leave it out".into());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err("the address holds a user or a password; use `authentication`".into());
        }
        let (host, port) =
            match authority.rsplit_once(':').filter(|(host, _)| !host.starts_with('[') || host.ends_with(']')) {
                // A sign before the digits is read by nobody else.
                Some((_, port)) if !port.bytes().all(|b| b.is_ascii_digit()) => return Err("the port is none".into()),
                Some((host, port)) => (host, port.parse().ok().filter(|p| *p != 0).ok_or("the port is none")?),
                None => (authority, if scheme == "https" { 443 } else { 80 }),
            };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match inner {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
        };
        if !is_host {
            return Err("it names no host".into());
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        for part in path.split('/') {
            if matches!(percent_decode_str(part).decode_utf8_lossy().as_ref(), "." | "..") {
                return Err("a segment of dots leads to another place than it says".into());
            }
        }
        Ok(Self { scheme, host, port, path, query })
    }

    /// `https://host`, with the port where it is not that of the scheme.
    pub fn origin(&self) -> String {
        let usual = if self.scheme == "https" { 443 } else { 80 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{}://{}{port}", self.scheme, self.host)
    }

    fn same_origin(&self, other: &Web<'_>) -> bool {
        self.scheme == other.scheme && self.host.eq_ignore_ascii_case(other.host) && self.port == other.port
    }
}

/// The system that a request goes to.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its name.
    pub name: &'a Name,
    /// The system.
    pub system: &'a System,
    /// How much of the path is the system's base, in bytes.
    base: usize,
}

impl Found<'_> {
    /// The address below this base, which is the system's as it is now.
    pub fn below(&self, base: &str, url: &Web<'_>) -> String {
        let rest = url.path.get(self.base..).unwrap_or_default();
        let query = url.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{rest}{query}", base.trim_end_matches('/'))
    }
}

/// Whose address this is: the system whose `base`, as written, it begins with; the longest where there are several.
/// `Err` says that nobody declares it.
pub fn find<'a>(systems: &'a BTreeMap<Name, System>, url: &Web<'_>) -> Result<Found<'a>, String> {
    let mut found: Option<Found<'a>> = None;
    let mut beside = None;
    for (name, system) in systems {
        let Ok(base) = Web::split(&system.base.default) else { continue };
        if !base.same_origin(url) {
            continue;
        }
        let path = base.path.trim_end_matches('/');
        let is_below = url.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_below {
            beside = Some((name, base.path));
        } else if found.is_none_or(|other| other.base < path.len()) {
            found = Some(Found { name, system, base: path.len() });
        }
    }
    found.ok_or_else(|| match beside {
        Some((name, path)) => {
            format!("{} is the system `{name}`, and only what stands below {path} belongs to it", url.origin())
        }
        None => format!("no file in systems/ declares {}", url.origin()),
    })
}

/// The names in a template `https://host/{name}` (RFC 6570, level 1), in order; `Err` says what is wrong with it.
pub fn names(template: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let Some(inside) = rest.get(at..).and_then(|rest| rest.strip_prefix('{')) else {
            return Err("a `}` without its `{`".into());
        };
        let Some((name, behind)) = inside.split_once('}') else { return Err("a `{` without its `}`".into()) };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("`{{{name}}}` is no name of a value; only `{{name}}` is read (RFC 6570, level 1)"));
        }
        names.push(name);
        rest = behind;
    }
    Ok(names)
}

/// A template with the values of these names in an object, percent-encoded; `Err` names what is missing.
pub fn expand(template: &str, input: &Json) -> Result<String, String> {
    let mut url = String::new();
    let mut rest = template;
    for name in names(template)? {
        let Some((before, behind)) = rest.split_once('{').and_then(|(a, b)| Some((a, b.split_once('}')?.1))) else {
            break;
        };
        url.push_str(before);
        let value = input.get(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| format!("the input has no `{name}`, which the endpoint names"))?;
        let text = scalar(value).ok_or_else(|| format!("`{name}` in the endpoint is no text and no number"))?;
        if text.is_empty() {
            return Err(format!("`{name}` is empty, so that the endpoint would name something else"));
        }
        url.push_str(&encode(&text));
        rest = behind;
    }
    url.push_str(rest);
    Ok(url)
}

/// A text in which everything but the unreserved characters of RFC 3986 is percent-encoded.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// An address with a query of names and texts, numbers or lists of them; what is null is left out.
pub fn with_query(url: &str, query: &Json) -> Result<String, String> {
    let pairs = match query {
        Json::Null => return Ok(url.to_owned()),
        Json::Object(pairs) => pairs,
        _ => return Err("`query` needs an object".into()),
    };
    let mut url = url.to_owned();
    for (name, value) in pairs {
        let values = match value {
            Json::Null => continue,
            Json::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = scalar(value).ok_or_else(|| format!("`{name}` of the query is no text and no number"))?;
            append(&mut url, name, &encode(&text));
        }
    }
    Ok(url)
}

/// Adds a pair to the query of an address; the value is encoded already.
pub(crate) fn append(url: &mut String, name: &str, encoded: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(&encode(name));
    url.push('=');
    url.push_str(encoded);
}

/// Headers by their lower-case names, from an object of texts or numbers; what is null is left out.
pub fn headers(value: &Json) -> Result<BTreeMap<String, String>, String> {
    let pairs = match value {
        Json::Null => return Ok(BTreeMap::new()),
        Json::Object(pairs) => pairs,
        _ => return Err("`headers` needs an object".into()),
    };
    if pairs.len() > HEADERS_MAX {
        return Err(format!("{} headers; at most {HEADERS_MAX} are sent", pairs.len()));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_null()) {
        let name = header_name(name)?;
        let text = scalar(value).ok_or_else(|| format!("the header `{name}` is no text and no number"))?;
        // A line break would begin a header of somebody else.
        if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) || text.trim() != text || text.len() > URL_MAX_BYTES {
            return Err(format!("the header `{name}` carries printable ASCII in one line only"));
        }
        headers.insert(name, text);
    }
    Ok(headers)
}

/// The name of a header in lower case; `Err` where a request may not set it.
pub fn header_name(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if lower.is_empty() || lower.len() > 128 || !lower.bytes().all(is_token) {
        return Err(format!("`{name}` is no name of a header"));
    }
    if HEADERS_REFUSED.contains(&lower.as_str()) {
        return Err(format!("the header `{name}` is set by the connection or by `authentication`"));
    }
    Ok(lower)
}

/// A value as text: texts, numbers and truth values have one.
pub fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn systems(bases: &[(&str, &str)]) -> BTreeMap<Name, System> {
        let mut files: BTreeMap<String, String> = [
            ("andon.yaml", "name: x\nformat: 1\ninstances: { plant: { role: both, zone: plant } }\n"),
            ("assets/plant.yaml", "site: plant\nzone: plant\ntimezone: UTC\nassets: {}\n"),
            ("policies/ownership.yaml", "teams: { integration: {} }\nrules:\n  - { owner: integration }\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
        for (name, base) in bases {
            files.insert(format!("systems/{name}.yaml"), format!("protocol: rest\nzone: plant\nbase: {base}\n"));
        }
        crate::from_files(files).expect("a project").contract.systems
    }

    #[test]
    fn addresses_are_split_or_refused() {
        let web = Web::split("https://host:8443/a/b?c=d&e").unwrap();
        assert_eq!((web.host, web.port, web.path, web.query), ("host", 8443, "/a/b", Some("c=d&e")));
        assert_eq!(web.origin(), "https://host:8443");
        assert_eq!(Web::split("http://[::1]:80").unwrap().origin(), "http://[::1]");
        assert_eq!(Web::split("https://h?x=1").unwrap().path, "");
        for wrong in [
            "",
            "host/x",
            "ftp://host",
            "https://",
            "https://u:p@host/",
            "https://host/a b",
            "https://host/{x}",
            "https://host/a/../b",
            "https://host/a/%2e%2E/b",
            "https://host/#x",
            "https://host:0/",
            "https://host:+80/",
            "https://host:99999/",
            "https://ho%73t/",
            "https://höst/",
            "https://[::1/",
            "https://host\\x/",
            "HTTPS://host/",
        ] {
            assert!(Web::split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_belongs_to_the_system_whose_base_it_begins_with() {
        let systems = systems(&[
            ("erp", "https://erp.example/sap/"),
            ("erp-orders", "https://erp.example/sap/orders"),
            ("shop", "https://Shop.example"),
        ]);
        let who = |url: &str| {
            let web = Web::split(url).unwrap();
            find(&systems, &web).map(|found| (found.name.to_string(), found.below("http://test:1/x/", &web)))
        };
        assert_eq!(who("https://erp.example/sap/a?b=c").unwrap(), ("erp".into(), "http://test:1/x/a?b=c".into()));
        assert_eq!(who("https://erp.example:443/sap/orders/7").unwrap().0, "erp-orders");
        assert_eq!(who("https://erp.example/sap/ordersheet").unwrap().0, "erp");
        assert_eq!(who("https://shop.example").unwrap(), ("shop".into(), "http://test:1/x".into()));
        assert!(who("https://erp.example/other").unwrap_err().contains("only what stands below /sap/"));
        for foreign in ["http://shop.example/", "https://shop.example:8443/", "https://evil.example/shop.example"] {
            assert!(who(foreign).unwrap_err().starts_with("no file in systems/ declares "), "{foreign}");
        }
    }

    #[test]
    fn a_template_takes_encoded_values_and_never_guesses() {
        let input = json!({ "id": 7, "name": "a/b ?ü", "ok": true, "no": null, "list": [1], "empty": "" });
        assert_eq!(
            expand("https://h/{id}/x?n={name}&o={ok}", &input).unwrap(),
            "https://h/7/x?n=a%2Fb%20%3F%C3%BC&o=true"
        );
        for wrong in ["{none}", "{no}", "{list}", "{empty}", "{+id}", "{id", "id}", "{}", "{a,b}"] {
            assert!(expand(&format!("https://h/{wrong}"), &input).is_err(), "{wrong}");
        }
        assert_eq!(
            with_query("https://h/?a=1", &json!({ "b": ["x y", 2], "c": null })).unwrap(),
            "https://h/?a=1&b=x%20y&b=2"
        );
        assert!(
            with_query("https://h/", &json!({ "b": {} })).is_err() && with_query("https://h/", &json!([])).is_err()
        );
    }

    #[test]
    fn headers_carry_no_credentials_and_no_line_breaks() {
        assert_eq!(headers(&json!({ "X-A": 1, "b": null })).unwrap(), BTreeMap::from([("x-a".into(), "1".into())]));
        for wrong in
            [json!({ "Authorization": "x" }), json!({ "a": "x\r\ny: z" }), json!({ "a b": "x" }), json!({ "a": [] })]
        {
            assert!(headers(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn repeats_follow_the_method_unless_told() {
        assert_eq!(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "X"].map(Repeats::of_method), {
            use Repeats::{None, Read, Upsert};
            [Read, Read, Upsert, Upsert, None, None, None]
        });
        assert_eq!(Part::reference("env:A"), Some(Part::Env("A".into())));
        assert_eq!(Part::reference("secret"), None);
    }
}
