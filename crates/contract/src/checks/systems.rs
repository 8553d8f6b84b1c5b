//! Systems and their operations: addresses, credentials, retries that end, requests and answers that fit the
//! capability, and an idempotency class that the request keeps.

use super::{
    Known,
    capabilities::Capabilities,
    connect::{HTTP, address, secret, user_password},
    expressions::{Expr, NameCall, compile, expression, name_calls},
    mappings::fields,
    schemas::SchemaSet,
    stem,
};
use crate::{
    codes,
    contract::{
        Capability, Credentials, FieldMap, Idempotency, Lookup, Operation, PathPiece, Request, Response, Retry, System,
    },
    files::systems::{
        ClassWord, CredentialsFile, LookupClass, LookupFile, OperationFile, RequestFile, ResponseFile, RetryFile,
        SystemFile,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, Entries, Raw, read},
};
use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

/// The variables that expressions of a system may read.
pub(crate) const VARIABLES: [&str; 3] = ["key", "reference", "site"];
/// Attempts under way at once unless told, and at most.
const CONCURRENT: u32 = 4;
const CONCURRENT_MAX: u32 = 1_000;
/// How long an attempt may take unless told.
const TIMEOUT: Span = Span::from_secs(30);
/// How long a system may need until its search sees what was sent, unless told.
const SETTLE: Span = Span::from_secs(60);

/// All systems.
pub(crate) struct Systems {
    pub(crate) good: BTreeMap<Name, System>,
    pub(crate) known: Known,
    /// Names of operations by system, also of those that are wrong.
    pub(crate) operations: BTreeMap<String, Known>,
    /// What operations ask of identifiers: system, operation, call and its place.
    pub(crate) uses: Vec<NameUse>,
}

/// A call of `id` or `value` in an operation.
pub(crate) struct NameUse {
    pub(crate) system: Name,
    pub(crate) operation: Name,
    pub(crate) call: NameCall,
    pub(crate) expr: Expr,
}

pub(crate) fn resolve(project: &Project, capabilities: &Capabilities, schemas: &SchemaSet) -> Systems {
    let mut systems = Systems {
        good: BTreeMap::new(),
        known: Known::stems(&project.systems),
        operations: BTreeMap::new(),
        uses: Vec::new(),
    };
    for doc in &project.systems {
        let (Some(name), Some(file)) = (stem(project, doc), &doc.body) else { continue };
        let mut known = Known(file.operations.spoilt.iter().map(ToString::to_string).collect());
        known.0.extend(file.operations.good.iter().map(|(operation, _)| operation.to_string()));
        systems.operations.insert(name.to_string(), known);
        let mut operations = BTreeMap::new();
        for (operation_name, operation) in &file.operations.good {
            let scope = Scope { project, capabilities, schemas, name: operation_name };
            let mut found = Vec::new();
            if let Some(operation) = scope.operation(operation, &mut found) {
                operations.insert(operation_name.0.clone(), operation);
            }
            for expr in found {
                for call in name_calls(expr.program.source()) {
                    let (system, operation) = (name.clone(), operation_name.0.clone());
                    systems.uses.push(NameUse { system, operation, call, expr: expr.clone() });
                }
            }
        }
        if let Some(system) = system(project, file, operations) {
            systems.good.insert(name, system);
        }
    }
    systems
}

fn system(project: &Project, file: &SystemFile, operations: BTreeMap<Name, Operation>) -> Option<System> {
    let base = address(project, &file.base, &HTTP);
    let credentials = match &file.credentials {
        None => Some(Credentials::None),
        Some(credentials) => self::credentials(project, credentials),
    };
    if let Some(timeout) = file.timeout.as_ref().filter(|timeout| timeout.0 <= Span::ZERO) {
        let finding = Finding::error(codes::RETRY, timeout.spot, "an attempt of no time never succeeds");
        project.push(finding.expected("a duration longer than 0 s").help("correct the duration"));
    }
    let concurrent = file.limits.as_ref().and_then(|limits| limits.concurrent.as_ref());
    if let Some(number) = concurrent.filter(|number| !(1..=CONCURRENT_MAX).contains(&number.value)) {
        let finding = Finding::error(codes::CONCURRENT, number.spot, format!("{} attempts at once", number.value));
        project.push(finding.expected(format!("1 to {CONCURRENT_MAX}")).help("correct the number"));
    }
    let retry = retry(project, file.retry.as_ref());
    Some(System {
        zone: file.zone.0.clone(),
        base: base?,
        credentials: credentials?,
        timeout: file.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.0),
        retry,
        concurrent: concurrent.map_or(CONCURRENT, |number| number.value),
        operations,
    })
}

fn credentials(project: &Project, file: &At<CredentialsFile>) -> Option<Credentials> {
    match (&file.bearer, &file.basic, &file.api_key) {
        (Some(token), None, None) => secret(project, token).map(Credentials::Bearer),
        (None, Some(basic), None) => user_password(project, basic).map(Credentials::Basic),
        (None, None, Some(key)) => {
            let is_header =
                !key.header.is_empty() && key.header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_header {
                let finding = Finding::error(codes::CREDENTIALS, key.header.spot, "this is no name of a header");
                project.push(finding.expected("letters, digits and `-`").help("correct the name"));
            }
            let header = key.header.value.clone();
            secret(project, &key.key).filter(|_| is_header).map(|key| Credentials::ApiKey { header, key })
        }
        _ => {
            let finding = Finding::error(codes::CREDENTIALS, file.spot, "these credentials are none, or several");
            project.push(finding.expected("one of `bearer`, `basic`, `api-key`").help("keep one"));
            None
        }
    }
}

fn retry(project: &Project, file: Option<&RetryFile>) -> Retry {
    let default =
        Retry { first: Span::from_secs(1), max: Span::from_secs(300), factor: 2.0, within: Span::from_secs(86_400) };
    let Some(file) = file else { return default };
    let retry = Retry {
        first: file.first.as_ref().map_or(default.first, |span| span.0),
        max: file.max.as_ref().map_or(default.max, |span| span.0),
        factor: file.factor.as_ref().map_or(default.factor, |factor| factor.value),
        within: file.within.as_ref().map_or(default.within, |span| span.0),
    };
    let refuse = |spot: Option<Spot>, message: String, expected: &str| {
        let Some(spot) = spot else { return };
        let finding = Finding::error(codes::RETRY, spot, message).expected(expected);
        project.push(finding.help("an endless or breathless retry hurts the system it waits for"));
    };
    let (first, max) = (file.first.as_ref().map(|s| s.spot), file.max.as_ref().map(|s| s.spot));
    if retry.first < Span::from_millis(10) {
        refuse(first, format!("a first pause of {} is none", retry.first), "at least 10 ms");
    }
    if retry.max < retry.first {
        let message = format!("the longest pause ({}) is shorter than the first ({})", retry.max, retry.first);
        refuse(max.or(first), message, "`max` not shorter than `first`");
    }
    if !(1.0..=100.0).contains(&retry.factor) {
        let spot = file.factor.as_ref().map(|factor| factor.spot);
        refuse(spot, format!("pauses grow by a factor of {}", retry.factor), "1 to 100");
    }
    if retry.within < retry.first {
        let spot = file.within.as_ref().map(|within| within.spot).or(first);
        refuse(spot, format!("after {} nothing has been repeated yet", retry.within), "`within` longer than `first`");
    }
    retry
}

/// One operation and what it may refer to.
struct Scope<'a> {
    project: &'a Project,
    capabilities: &'a Capabilities,
    schemas: &'a SchemaSet,
    name: &'a At<crate::files::words::Named>,
}

impl Scope<'_> {
    fn operation(&self, file: &OperationFile, found: &mut Vec<Expr>) -> Option<Operation> {
        let project = self.project;
        let capability = self.capabilities.find(project, file.implements.spot, &file.implements);
        let mut sent = Vec::new();
        let request = self.request(&file.request, &mut sent);
        self.reads(capability.map(|(_, capability)| capability), &sent);
        let idempotency = self.idempotency(file, capability.map(|(_, capability)| capability), &sent, found);
        found.append(&mut sent);
        let response = self.response(&file.response, capability.map(|(_, capability)| capability), found);
        let (name, _) = capability?;
        Some(Operation {
            implements: name.to_owned(),
            idempotency: idempotency?,
            request: request?,
            response: response?,
        })
    }

    /// The expressions of a request read what the capability's input has.
    fn reads(&self, capability: Option<&Capability>, exprs: &[Expr]) {
        let Some(capability) = capability else { return };
        let Some(schema) = self.schemas.json(&capability.input) else { return };
        for expr in exprs {
            expr.check_reads(self.project, schema, &capability.input);
        }
    }

    fn request(&self, file: &RequestFile, found: &mut Vec<Expr>) -> Option<Request> {
        let path = self.path(&file.path, found);
        let query = self.named(&file.query, found);
        let headers = self.named(&file.headers, found);
        for (name, _) in &file.headers.good {
            let is_ours =
                ["authorization", "content-length", "content-type", "host", "transfer-encoding", "connection"]
                    .contains(&name.to_lowercase().as_str());
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            if is_ours || !is_name {
                let message = format!("the header `{}` cannot be set here", name.value);
                let finding = Finding::error(codes::REQUEST, name.spot, message);
                self.project
                    .push(finding.help("content and connection are set by Andon, credentials by `credentials`"));
            }
        }
        let body = file.body.map(|raw| fields(self.project, raw, &VARIABLES, found));
        if let Some(raw) = file.body.filter(|_| file.method.word() == "GET") {
            let finding = Finding::error(codes::REQUEST, raw.spot, "a GET has no body");
            self.project.push(finding.help("put the values into `query`, or use another method"));
        }
        Some(Request {
            method: file.method.word().to_owned(),
            path: path?,
            query: query?,
            headers: headers?,
            body: match body {
                None => None,
                Some(body) => Some(body?),
            },
        })
    }

    fn named(&self, entries: &Entries<String, Raw>, found: &mut Vec<Expr>) -> Option<Vec<(String, FieldMap)>> {
        let all: Vec<_> = entries
            .good
            .iter()
            .map(|(name, raw)| Some((name.value.clone(), fields(self.project, *raw, &VARIABLES, found)?)))
            .collect();
        all.into_iter().collect()
    }

    /// A path whose expressions each become one segment.
    fn path(&self, path: &At<String>, found: &mut Vec<Expr>) -> Option<Vec<PathPiece>> {
        let refuse = |message: &str, help: &str| {
            let finding = Finding::error(codes::REQUEST, path.spot, message);
            self.project.push(finding.expected("a path like `/requests/${ .number }`").help(help));
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
            let expr = compile(self.project, path.spot, source, offset + open + 2 + lead, &VARIABLES)?;
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

    fn idempotency(
        &self,
        file: &OperationFile,
        capability: Option<&Capability>,
        sent: &[Expr],
        found: &mut Vec<Expr>,
    ) -> Option<Idempotency> {
        let project = self.project;
        let is_read = capability.is_some_and(|capability| capability.effect.is_none());
        let Some(raw) = file.idempotency else {
            if is_read || capability.is_none() {
                return Some(Idempotency::Read);
            }
            let finding =
                Finding::error(codes::IDEMPOTENCY, self.name.spot, "nothing says what a repeat of this operation does");
            project.push(
                finding
                    .expected("`idempotency: key`, `upsert`, `none` or `lookup: { ... }`")
                    .help("`lookup` where the system can be searched by our reference; `none` where it cannot"),
            );
            return None;
        };
        let tree = project.findings.tree(raw.spot.file)?;
        if tree.scalar(raw.spot.node).is_none() {
            let lookup: LookupClass = read(&project.findings, raw.spot)?;
            return self.lookup(&lookup.lookup, capability, sent, found);
        }
        let word: ClassWord = read(&project.findings, raw.spot)?;
        if (word == ClassWord::Read) != is_read && capability.is_some() {
            let effect = capability.and_then(|c| c.effect.as_deref()).unwrap_or("reads");
            let message = format!("the capability's effect is `{effect}`, which does not go with this class");
            let finding = Finding::error(codes::IDEMPOTENCY, raw.spot, message);
            project.push(finding.help("`read` is for capabilities that only read, and the only class they have"));
            return None;
        }
        if word == ClassWord::Key && !uses(sent, &["$key", "$reference"]) {
            let finding =
                Finding::error(codes::KEY_NOT_SENT, raw.spot, "the system takes our key, and the request sends none");
            project.push(
                finding.expected("`$key` or `$reference` in the request").help("send it where the system takes it"),
            );
        }
        Some(match word {
            ClassWord::Read => Idempotency::Read,
            ClassWord::Key => Idempotency::Key,
            ClassWord::Upsert => Idempotency::Upsert,
            ClassWord::None => Idempotency::None,
        })
    }

    fn lookup(
        &self,
        file: &LookupFile,
        capability: Option<&Capability>,
        sent: &[Expr],
        found: &mut Vec<Expr>,
    ) -> Option<Idempotency> {
        let project = self.project;
        let mut searched = Vec::new();
        let request = self.request(&file.request, &mut searched);
        self.reads(capability, &searched);
        for (exprs, what) in [(sent, "request"), (&searched, "search")] {
            if !uses(exprs, &["$reference", "$key"]) {
                let message = format!("the {what} holds no reference, so nothing can be found by it");
                let finding = Finding::error(codes::KEY_NOT_SENT, file.by.spot, message);
                project.push(finding.expected("`${ $reference }`").help("send the reference and search by it"));
            }
        }
        found.append(&mut searched);
        let found_by = expression(project, &file.found, &VARIABLES);
        Some(Idempotency::Lookup(Box::new(Lookup {
            by: file.by.value.clone(),
            settle: file.settle.as_ref().map_or(SETTLE, |settle| settle.0),
            request: request?,
            found: found_by?.program,
        })))
    }

    fn response(
        &self,
        file: &ResponseFile,
        capability: Option<&Capability>,
        found: &mut Vec<Expr>,
    ) -> Option<Response> {
        let project = self.project;
        let document = file.document.as_ref().map(|text| expression(project, text, &VARIABLES));
        let output = fields(project, file.output, &VARIABLES, found)?;
        if let (Some(capability), Some(given)) = (capability, keys(&output)) {
            self.output(capability, &given, file.output.spot);
        }
        Some(Response {
            document: match document {
                None => None,
                Some(expr) => Some(expr?.program),
            },
            output,
        })
    }

    /// The output has the fields that the capability promises, and no others.
    fn output(&self, capability: &Capability, given: &[&str], spot: Spot) {
        for field in capability.output.keys().filter(|field| !given.contains(&field.as_str())) {
            let finding = Finding::error(
                codes::OUTPUT,
                spot,
                format!("the output lacks `{field}`, which the capability promises"),
            );
            self.project.push(finding.help(format!("add `{field}: ${{ ... }}`")));
        }
        for field in given.iter().filter(|field| !capability.output.contains_key(**field)) {
            let finding = Finding::error(codes::OUTPUT, spot, format!("the capability promises no `{field}`"));
            let known = finding.known(field, capability.output.keys().map(String::as_str));
            self.project.push(known.help("leave it out, or add it to the capability's output"));
        }
    }
}

/// The keys of an object; `None` where an expression makes it.
fn keys(map: &FieldMap) -> Option<Vec<&str>> {
    match map {
        FieldMap::Object(entries) => Some(entries.iter().map(|(key, _)| key.as_str()).collect()),
        FieldMap::Constant(json) => Some(json.as_object()?.keys().map(String::as_str).collect()),
        FieldMap::Expression(_) | FieldMap::List(_) => None,
    }
}

fn uses(exprs: &[Expr], variables: &[&str]) -> bool {
    exprs.iter().any(|expr| variables.iter().any(|variable| expr.program.source().contains(variable)))
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
