//! Requests to systems: a path below the base, a query, headers and a body, with expressions in some places.

use super::{
    expressions::{Expr, compile},
    mappings::fields,
};
use crate::{
    codes,
    contract::{Content, FieldMap, PathPiece, Request},
    load::Project,
    problem::Finding,
    read::{At, Entries, Raw},
};

/// A request as it is written.
pub(crate) struct Written<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a At<String>,
    pub(crate) query: &'a Entries<String, Raw>,
    pub(crate) headers: &'a Entries<String, Raw>,
    pub(crate) body: Option<Raw>,
    pub(crate) content: Option<&'a At<String>>,
}

/// A request whose expressions may read these variables; they are added to `found`.
pub(crate) fn request(project: &Project, file: &Written<'_>, vars: &[&str], found: &mut Vec<Expr>) -> Option<Request> {
    let path = path(project, file.path, vars, found);
    let query = named(project, file.query, vars, found);
    let headers = named(project, file.headers, vars, found);
    for (name, _) in &file.headers.good {
        let is_ours = ["authorization", "content-length", "content-type", "host", "transfer-encoding", "connection"]
            .contains(&name.to_lowercase().as_str());
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if is_ours || !is_name {
            let message = format!("the header `{}` cannot be set here", name.value);
            let finding = Finding::error(codes::REQUEST, name.spot, message);
            project.push(finding.help("content and connection are set by Andon, credentials by `credentials`"));
        }
    }
    let body = file.body.map(|raw| fields(project, raw, vars, found));
    if let Some(raw) = file.body.filter(|_| file.method == "GET") {
        let finding = Finding::error(codes::REQUEST, raw.spot, "a GET has no body");
        project.push(finding.help("put the values into `query`, or use another method"));
    }
    let content = content(project, file, body.as_ref().and_then(Option::as_ref));
    Some(Request {
        method: file.method.to_owned(),
        path: path?,
        query: query?,
        headers: headers?,
        body: match body {
            None => None,
            Some(body) => Some(body?),
        },
        content: content?,
    })
}

/// How a body is written, by a word or a media type.
fn content(project: &Project, file: &Written<'_>, body: Option<&FieldMap>) -> Option<Content> {
    let Some(word) = file.content else { return Some(Content::default()) };
    let refuse = |message: String, expected: &str, help: &str| {
        let finding = Finding::error(codes::CONTENT, word.spot, message);
        project.push(finding.expected(expected).help(help));
    };
    if file.body.is_none() {
        refuse("there is no body of this content".into(), "`body`", "leave out `content`, or write a `body`");
        return None;
    }
    let lower = word.value.trim().to_ascii_lowercase();
    let media = lower.split(';').next().unwrap_or_default().trim();
    let is_media = media.split_once('/').is_some_and(|(kind, of)| {
        [kind, of]
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+_".contains(&b)))
    }) && word.value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let content = match media {
        "json" => Content::default(),
        "form" | "application/x-www-form-urlencoded" => Content::Form,
        "text" => Content::Text("text/plain; charset=utf-8".into()),
        _ if media.starts_with("multipart/") => {
            refuse("a body of several parts is not built".into(), "`json`, `form`, `text`", "send one part");
            return None;
        }
        _ if is_media && (media.ends_with("/json") || media.ends_with("+json")) => Content::Json(word.value.clone()),
        _ if is_media && !lower.contains("charset") => Content::Text(format!("{}; charset=utf-8", word.value)),
        _ if is_media && lower.contains("utf-8") => Content::Text(word.value.clone()),
        _ => {
            let expected = "`json`, `form`, `text`, or a media type such as `text/xml`";
            refuse(format!("nobody can write `{}`", word.value), expected, "texts are written in UTF-8");
            return None;
        }
    };
    let wrong = match (&content, body) {
        (Content::Form, Some(FieldMap::List(_) | FieldMap::Each { .. })) => Some("a form is made of names and values"),
        (Content::Text(_), Some(FieldMap::List(_) | FieldMap::Each { .. } | FieldMap::Object(_))) => {
            Some("a text is one text")
        }
        (Content::Text(_), Some(FieldMap::Constant(json))) if !json.is_string() => Some("a text is one text"),
        (Content::Form, Some(FieldMap::Constant(json))) if !json.is_object() => {
            Some("a form is made of names and values")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        let help = "`content: form` goes with `body: { name: value }`, `content: text` with `body: ${ ... }` that \
        gives a text";
        refuse(format!("{wrong}, and this body is another"), "a body of this content", help);
        return None;
    }
    Some(content)
}

fn named(
    project: &Project,
    entries: &Entries<String, Raw>,
    vars: &[&str],
    found: &mut Vec<Expr>,
) -> Option<Vec<(String, FieldMap)>> {
    let all: Vec<_> = entries
        .good
        .iter()
        .map(|(name, raw)| Some((name.value.clone(), fields(project, *raw, vars, found)?)))
        .collect();
    all.into_iter().collect()
}

/// A path whose expressions each become one segment.
fn path(project: &Project, path: &At<String>, vars: &[&str], found: &mut Vec<Expr>) -> Option<Vec<PathPiece>> {
    let refuse = |message: &str, help: &str| {
        let finding = Finding::error(codes::REQUEST, path.spot, message);
        project.push(finding.expected("a path like `/requests/${ .number }`").help(help));
    };
    if !path.starts_with('/') {
        refuse("the path does not begin with `/`", "begin it with `/`; the host stands in `base`");
        return None;
    }
    let mut pieces = Vec::new();
    let mut offset = 0;
    let mut rest = path.value.as_str();
    while let Some(open) = rest.find("${") {
        let (text, after) = rest.split_at(open);
        let Some(length) = end_of_expression(after) else {
            refuse("an expression in the path has no end", "close it with `}`");
            return None;
        };
        if !text.is_empty() {
            pieces.push(PathPiece::Text(text.to_owned()));
        }
        let inner = after.get(2..length - 1)?;
        let source = inner.trim();
        let lead = inner.len() - inner.trim_start().len();
        let expr = compile(project, path.spot, source, offset + open + 2 + lead, vars)?;
        pieces.push(PathPiece::Expression(expr.program.clone()));
        found.push(expr);
        offset += open + length;
        rest = after.get(length..)?;
    }
    if !rest.is_empty() {
        pieces.push(PathPiece::Text(rest.to_owned()));
    }
    let texts: String =
        pieces.iter().filter_map(|p| if let PathPiece::Text(t) = p { Some(t.as_str()) } else { None }).collect();
    if texts.contains(['?', '#', ' ']) {
        refuse("the path holds `?`, `#` or a blank", "put the query under `query`");
        return None;
    }
    Some(pieces)
}

/// The length of `${ ... }` at the beginning of a text; brackets inside of texts do not count.
fn end_of_expression(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
