//! Systems and their operations: addresses, credentials, retries that end, requests and answers that fit the
//! capability, and an idempotency class that the request keeps.

use super::{
    Known,
    assets::Assets,
    capabilities::Capabilities,
    connect::{HTTP, address, secret, user_password},
    expressions::{Expr, NameCall, expression, name_calls},
    identifiers::Names,
    mappings::fields,
    paging,
    policy::{self, Policy},
    reach::{oauth2, rate, reach},
    reads,
    requests::{Written, request},
    schemas::SchemaSet,
    stem,
};
use crate::{
    codes,
    contract::{
        Body, Capability, Credentials, FieldMap, Idempotency, Lookup, Operation, Read, Request, Response, System,
    },
    files::systems::{
        BodyWord, ClassWord, CredentialsFile, LookupClass, LookupFile, OperationFile, RequestFile, ResponseFile,
        SystemFile,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, read},
};
use andon_model::{Name, SiteName, span::Span};
use std::collections::BTreeMap;

/// The variables that expressions of a system may read.
pub(crate) const VARIABLES: [&str; 3] = ["key", "reference", "site"];
/// Those of a request whose answer comes in pages.
const OF_PAGES: [&str; 6] = ["key", "reference", "site", "page", "skip", "token"];
/// Those of what reads an answer.
const OF_ANSWER: [&str; 5] = ["key", "reference", "site", "status", "headers"];
/// Attempts under way at once unless told, and at most.
const CONCURRENT: u32 = 4;
const CONCURRENT_MAX: u32 = 1_000;
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

/// A call of `id`, `value` or `name` in an operation or a read.
pub(crate) struct NameUse {
    /// Who asks.
    pub(crate) by: Asking,
    pub(crate) call: NameCall,
    pub(crate) expr: Expr,
}

/// Who asks for a name.
#[derive(Clone)]
pub(crate) enum Asking {
    /// An operation of a system, at the sites that are routed to it.
    Operation(Name, Name),
    /// A read that serves these sites.
    Read(Vec<SiteName>),
}

pub(crate) fn resolve(
    project: &Project,
    capabilities: &Capabilities,
    schemas: &SchemaSet,
    assets: &Assets,
    identifiers: &Names,
) -> Systems {
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
        let policy = policy::policy(project, file);
        for (operation_name, operation) in &file.operations.good {
            let scope = Scope { project, capabilities, schemas, name: operation_name, policy: &policy };
            let mut found = Vec::new();
            if let Some(operation) = scope.operation(operation, &mut found) {
                operations.insert(operation_name.0.clone(), operation);
            }
            for expr in found {
                for call in name_calls(expr.program.source()) {
                    let by = Asking::Operation(name.clone(), operation_name.0.clone());
                    systems.uses.push(NameUse { by, call, expr: expr.clone() });
                }
            }
        }
        let mut found = Vec::new();
        let reads = reads::resolve(project, &file.reads, &reads::Beside { schemas, assets, identifiers }, &mut found);
        for (expr, sites) in found {
            let of_read = |call| NameUse { by: Asking::Read(sites.clone()), call, expr: expr.clone() };
            systems.uses.extend(name_calls(expr.program.source()).into_iter().map(of_read));
        }
        if let Some(system) = system(project, file, policy, (operations, reads)) {
            systems.good.insert(name, system);
        }
    }
    systems
}

fn system(
    project: &Project,
    file: &SystemFile,
    policy: Policy,
    (operations, reads): (BTreeMap<Name, Operation>, BTreeMap<Name, Read>),
) -> Option<System> {
    let base = address(project, &file.base, &HTTP);
    let reach = reach(project, file);
    let credentials = match &file.credentials {
        None => Some(Credentials::None),
        Some(credentials) => self::credentials(project, credentials),
    };
    let concurrent = file.limits.as_ref().and_then(|limits| limits.concurrent.as_ref());
    if let Some(number) = concurrent.filter(|number| !(1..=CONCURRENT_MAX).contains(&number.value)) {
        let finding = Finding::error(codes::CONCURRENT, number.spot, format!("{} attempts at once", number.value));
        project.push(finding.expected(format!("1 to {CONCURRENT_MAX}")).help("correct the number"));
    }
    let rate = rate(project, file.limits.as_ref());
    let adaptive = file.limits.as_ref().and_then(|limits| limits.adaptive.as_ref());
    let Policy { timeout, retry, breaker } = policy;
    Some(System {
        zone: file.zone.0.clone(),
        test: file.test.as_ref().is_some_and(|test| test.value),
        maturity: file.maturity,
        base: base?,
        reach: reach?,
        credentials: credentials?,
        timeout,
        retry,
        concurrent: concurrent.map_or(CONCURRENT, |number| number.value),
        adaptive: adaptive.is_none_or(|adaptive| adaptive.value),
        breaker,
        rate,
        operations,
        reads,
    })
}

fn credentials(project: &Project, file: &At<CredentialsFile>) -> Option<Credentials> {
    match (&file.bearer, &file.basic, &file.api_key, &file.oauth2) {
        (Some(token), None, None, None) => secret(project, token).map(Credentials::Bearer),
        (None, Some(basic), None, None) => user_password(project, basic).map(Credentials::Basic),
        (None, None, Some(key), None) => {
            let is_header =
                !key.header.is_empty() && key.header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_header {
                let finding = Finding::error(codes::CREDENTIALS, key.header.spot, "this is no name of a header");
                project.push(finding.expected("letters, digits and `-`").help("correct the name"));
            }
            let header = key.header.value.clone();
            secret(project, &key.key).filter(|_| is_header).map(|key| Credentials::ApiKey { header, key })
        }
        (None, None, None, Some(oauth)) => oauth2(project, oauth).map(Box::new).map(Credentials::OAuth2),
        _ => {
            let finding = Finding::error(codes::CREDENTIALS, file.spot, "these credentials are none, or several");
            project.push(finding.expected("one of `bearer`, `basic`, `api-key`, `oauth2`").help("keep one"));
            None
        }
    }
}

/// One operation and what it may refer to.
struct Scope<'a> {
    project: &'a Project,
    capabilities: &'a Capabilities,
    schemas: &'a SchemaSet,
    name: &'a At<crate::files::words::Named>,
    /// The policy of its system.
    policy: &'a Policy,
}

impl Scope<'_> {
    fn operation(&self, file: &OperationFile, found: &mut Vec<Expr>) -> Option<Operation> {
        let project = self.project;
        let capability = self.capabilities.find(project, file.implements.spot, &file.implements);
        let mut sent = Vec::new();
        let request = self.request(&file.request, file.paging.is_some(), &mut sent);
        self.reads(capability.map(|(_, capability)| capability), &sent);
        let idempotency = self.idempotency(file, capability.map(|(_, capability)| capability), &sent, found);
        found.append(&mut sent);
        let response = self.response(&file.response, capability.map(|(_, capability)| capability), found);
        let is_read = capability.is_none_or(|(_, capability)| capability.effect.is_none());
        if let Some(paging) = file.paging.as_ref().filter(|_| !is_read) {
            let message = "what has an effect is answered once, not in pages";
            let finding = Finding::error(codes::READ_PAGES, paging.spot, message);
            project.push(finding.help("leave out `paging`; in `lookup` it stands beside `found`"));
        }
        let paging = paging::of_operation(project, file.paging.as_ref(), found);
        let narrow = policy::narrow(project, file, self.policy);
        let (name, _) = capability?;
        Some(Operation {
            implements: name.to_owned(),
            idempotency: idempotency?,
            narrow,
            request: request?,
            response: response?,
            paging: paging?,
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

    /// `in_pages`: its answer comes in pages, and each asks for the next by what it sees of them.
    fn request(&self, file: &RequestFile, in_pages: bool, found: &mut Vec<Expr>) -> Option<Request> {
        let written = Written {
            method: file.method.word(),
            path: &file.path,
            query: &file.query,
            headers: &file.headers,
            body: file.body,
            content: file.content.as_ref(),
        };
        request(self.project, &written, if in_pages { &OF_PAGES } else { &VARIABLES }, found)
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
        let request = self.request(&file.request, file.paging.is_some(), &mut searched);
        self.reads(capability, &searched);
        for (exprs, what) in [(sent, "request"), (&searched, "search")] {
            if !uses(exprs, &["$reference", "$key"]) {
                let message = format!("the {what} holds no reference, so nothing can be found by it");
                let finding = Finding::error(codes::KEY_NOT_SENT, file.by.spot, message);
                project.push(finding.expected("`${ $reference }`").help("send the reference and search by it"));
            }
        }
        found.append(&mut searched);
        let found_by = expression(project, &file.found, &OF_ANSWER);
        let paging = paging::of_operation(project, file.paging.as_ref(), found);
        Some(Idempotency::Lookup(Box::new(Lookup {
            by: file.by.value.clone(),
            settle: file.settle.as_ref().map_or(SETTLE, |settle| settle.0),
            request: request?,
            found: found_by?.program,
            paging: paging?,
        })))
    }

    fn response(
        &self,
        file: &ResponseFile,
        capability: Option<&Capability>,
        found: &mut Vec<Expr>,
    ) -> Option<Response> {
        let project = self.project;
        let document = file.document.as_ref().map(|text| expression(project, text, &OF_ANSWER));
        let output = fields(project, file.output, &OF_ANSWER, found)?;
        if let (Some(capability), Some(given)) = (capability, keys(&output)) {
            self.output(capability, &given, file.output.spot);
        }
        Some(Response {
            document: match document {
                None => None,
                Some(expr) => Some(expr?.program),
            },
            output,
            content: match file.content.as_ref().map(|word| word.value) {
                None | Some(BodyWord::Json) => Body::Json,
                Some(BodyWord::Text) => Body::Text,
                Some(BodyWord::None) => Body::Nothing,
            },
        })
    }

    /// The output has the fields that the capability promises, and no others than it names.
    fn output(&self, capability: &Capability, given: &[&str], spot: Spot) {
        for field in capability.output.keys().filter(|field| !given.contains(&field.as_str())) {
            let finding = Finding::error(
                codes::OUTPUT,
                spot,
                format!("the output lacks `{field}`, which the capability promises"),
            );
            self.project.push(finding.help(format!("add `{field}: ${{ ... }}`")));
        }
        // What a schema names and does not require may be there.
        let schema = capability.output_schema.as_ref().and_then(|reference| self.schemas.json(reference));
        let named = schema.and_then(|schema| schema.get("properties")?.as_object());
        let named: Vec<&str> = named.into_iter().flatten().map(|(field, _)| field.as_str()).collect();
        let is_known = |field: &str| capability.output.contains_key(field) || named.contains(&field);
        for field in given.iter().filter(|field| !is_known(field)) {
            let finding = Finding::error(codes::OUTPUT, spot, format!("the capability promises no `{field}`"));
            let known = finding.known(field, capability.output.keys().map(String::as_str).chain(named.iter().copied()));
            self.project.push(known.help("leave it out, or add it to the capability's output"));
        }
    }
}

/// The keys of an object; `None` where an expression makes it.
fn keys(map: &FieldMap) -> Option<Vec<&str>> {
    match map {
        FieldMap::Object(entries) => Some(entries.iter().map(|(key, _)| key.as_str()).collect()),
        FieldMap::Constant(json) => Some(json.as_object()?.keys().map(String::as_str).collect()),
        FieldMap::Expression(_) | FieldMap::List(_) | FieldMap::Each { .. } => None,
    }
}

fn uses(exprs: &[Expr], variables: &[&str]) -> bool {
    exprs.iter().any(|expr| variables.iter().any(|variable| expr.program.source().contains(variable)))
}
