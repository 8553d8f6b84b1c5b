//! Requests to systems: a path below the base, a query, headers and a body, with expressions in some places.

use super::{
    expressions::{Expr, compile},
    mappings::fields,
};
use crate::{
    codes,
    contract::{FieldMap, PathPiece, Request},
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
    Some(Request {
        method: file.method.to_owned(),
        path: path?,
        query: query?,
        headers: headers?,
        body: match body {
            None => None,
            Some(body) => Some(body?),
        },
    })
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
