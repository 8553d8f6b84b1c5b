//! Calls over HTTP: a request that can be sent, to a host that a system declares, with secrets by reference only.

use super::{Scope, Vars};
use crate::{
    checks::{expressions::Told, systems::Systems},
    codes,
    contract::System,
    expr::embedded,
    files::workflows::{AuthenticationFile, EndpointFile, HttpFile, OpenapiFile, OutputWord},
    http::{DOCUMENT, Part, Repeats, SEND, Web, find, header_name, names},
    load::Project,
    problem::{Finding, Spot},
    read::{At, Raw},
    tree::Kind,
    workflow::{Authentication, HttpCall, HttpOutput, Mapping, OpenapiCall, TaskKind},
};
use andon_model::Name;
use std::collections::BTreeMap;

/// The methods a request may have.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What repeats of a request may do.
const REPEATS: [&str; 4] = ["read", "key", "upsert", "none"];

/// An address that a call names, known before it runs.
pub(crate) struct Host {
    /// The address; names in `{ }` stand behind the host.
    url: String,
    spot: Spot,
}

impl Scope<'_> {
    /// `call: http`.
    pub(super) fn http(
        &mut self,
        with: Option<Raw>,
        at: Spot,
        told: Option<&At<String>>,
        vars: &Vars,
    ) -> Result<TaskKind, Told> {
        let file: HttpFile =
            self.read(self.given(with, at, "`with: { method: get, endpoint: https://host/path }`")?.spot)?;
        let method = self.method(&file.method);
        let (uri, authentication) = self.endpoint(file.endpoint)?;
        let endpoint = self.address(uri, vars);
        let authentication = self.authentication(authentication, vars);
        let headers = self.objects(file.headers, vars);
        if let (Some(raw), Ok(Some(headers))) = (file.headers, &headers) {
            self.header_names(raw, headers);
        }
        let query = self.objects(file.query, vars);
        let body = self.optional(file.body, vars);
        let idempotency = self.repeats(told);
        Ok(TaskKind::Http(Box::new(HttpCall {
            method: method?,
            endpoint: endpoint?,
            authentication: authentication?,
            headers: headers?,
            query: query?,
            body: body?,
            output: output(file.output),
            redirect: file.redirect,
            idempotency: idempotency?,
        })))
    }

    /// `call: openapi`.
    pub(super) fn openapi(
        &mut self,
        with: Option<Raw>,
        at: Spot,
        told: Option<&At<String>>,
        vars: &Vars,
    ) -> Result<TaskKind, Told> {
        let expected = "`with: { document: { endpoint: https://host/openapi.json }, operationId: ... }`";
        let file: OpenapiFile = self.read(self.given(with, at, expected)?.spot)?;
        let (uri, own) = self.endpoint(file.document.endpoint)?;
        if let Some(own) = own {
            let finding =
                Finding::error(codes::NOT_SUPPORTED, own.spot, "a document has no `authentication` of its own");
            self.project.push(finding.help("declare the credentials in the file of its system"));
            return Err(Told);
        }
        let document = self.address(uri, vars);
        let parameters = self.objects(file.parameters, vars);
        let authentication = self.authentication(file.authentication, vars);
        let idempotency = self.repeats(told);
        Ok(TaskKind::Openapi(Box::new(OpenapiCall {
            document: document?,
            operation: file.operation.value.clone(),
            parameters: parameters?,
            authentication: authentication?,
            output: output(file.output),
            redirect: file.redirect,
            idempotency: idempotency?,
        })))
    }

    fn refuse(&self, spot: Spot, message: impl Into<String>, expected: impl Into<String>, help: &str) -> Told {
        self.project.push(Finding::error(codes::HTTP_CALL, spot, message).expected(expected).help(help));
        Told
    }

    fn given(&self, with: Option<Raw>, at: Spot, expected: &str) -> Result<Raw, Told> {
        with.ok_or_else(|| self.refuse(at, "nothing says what is sent", expected, "add `with`"))
    }

    fn objects(&mut self, raw: Option<Raw>, vars: &Vars) -> Result<Option<Mapping>, Told> {
        raw.map(|raw| self.object(raw, vars)).transpose()
    }

    fn method(&self, method: &At<String>) -> Result<String, Told> {
        let upper = method.to_ascii_uppercase();
        if METHODS.contains(&upper.as_str()) {
            return Ok(upper);
        }
        let message = format!("`{}` is no method of HTTP that is sent", method.value);
        Err(self.refuse(method.spot, message, format!("one of {}", METHODS.join(", ")), "correct the method"))
    }

    /// What stands as `endpoint`: the address, and how it is identified there.
    fn endpoint(&self, raw: Raw) -> Result<(Raw, Option<Raw>), Told> {
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        if !matches!(tree.node(raw.spot.node).kind, Kind::Map(_)) {
            return Ok((raw, None));
        }
        let file: EndpointFile = self.read(raw.spot)?;
        Ok((file.uri, file.authentication))
    }

    /// An address: a template, whose host is known now, or an expression, whose host is looked at when it is sent.
    fn address(&mut self, raw: Raw, vars: &Vars) -> Result<Mapping, Told> {
        let mapping = self.text(raw, vars)?;
        let Mapping::Constant(json) = &mapping else { return Ok(mapping) };
        let template = json.as_str().unwrap_or_default();
        let expected = "`https://host/path/{name}`";
        if let Err(cause) = names(template) {
            return Err(self.refuse(raw.spot, cause, expected, "correct the address, or make it by an expression"));
        }
        // What stands in place of a name is one encoded text, so that any will do to look at the rest.
        let url = template.replace(['{', '}'], "");
        match Web::split(&url) {
            Ok(_) if template.find('{').is_some_and(|at| at < host_end(template)) => {
                let help = "write the host out, or make the whole address by an expression";
                Err(self.refuse(raw.spot, "the host stands in a name in `{ }`", expected, help))
            }
            Ok(_) => {
                self.hosts.push(Host { url, spot: raw.spot });
                Ok(mapping)
            }
            Err(cause) => Err(self.refuse(raw.spot, cause, expected, "correct the address")),
        }
    }

    fn header_names(&self, raw: Raw, headers: &Mapping) {
        let keys: Vec<&str> = match headers {
            Mapping::Object(fields) => fields.iter().map(|(key, _)| key.as_str()).collect(),
            Mapping::Constant(json) => {
                json.as_object().map(|o| o.keys().map(String::as_str).collect()).unwrap_or_default()
            }
            Mapping::Expression(_) | Mapping::List(_) => Vec::new(),
        };
        for cause in keys.into_iter().filter_map(|key| header_name(key).err()) {
            self.refuse(raw.spot, cause, "a header of the content", "leave it out; who we are says `authentication`");
        }
    }

    fn repeats(&self, told: Option<&At<String>>) -> Result<Option<String>, Told> {
        let Some(word) = told else { return Ok(None) };
        if Repeats::of_word(word).is_some() {
            return Ok(Some(word.value.clone()));
        }
        let help = if word.as_str() == "lookup" {
            "make it an operation of the system, which says how the system is searched, and call its capability"
        } else {
            "say what a repeat of the request does"
        };
        let message = format!("`{}` is no class of a call over HTTP", word.value);
        Err(self.refuse(word.spot, message, format!("one of `{}`", REPEATS.join("`, `")), help))
    }

    /// How a call identifies itself.
    fn authentication(&mut self, raw: Option<Raw>, vars: &Vars) -> Result<Option<Authentication>, Told> {
        let Some(raw) = raw else { return Ok(None) };
        if let Some(text) = self.name_of(raw) {
            let help = "write `{ use: NAME }`, `{ basic: ... }` or `{ bearer: ... }`";
            return Err(self.refuse(raw.spot, format!("`{text}` is no authentication"), "a mapping", help));
        }
        let file: AuthenticationFile = self.read(raw.spot)?;
        match (&file.named, &file.basic, &file.bearer) {
            (Some(name), None, None) => {
                let policy = *self.used("authentication", name, name.spot, |uses| &uses.authentications)?;
                let inner: AuthenticationFile = self.read(policy.spot)?;
                if inner.named.is_some() {
                    let help = "write `basic` or `bearer` there";
                    return Err(self.refuse(policy.spot, "an authentication names another one", "its parts", help));
                }
                self.authentication(Some(policy), vars)
            }
            (None, Some(basic), None) => {
                let (username, password) =
                    (self.part(basic.username, true, vars), self.part(basic.password, false, vars));
                Ok(Some(Authentication::Basic { username: username?, password: password? }))
            }
            (None, None, Some(bearer)) => {
                let token = match (bearer.token, &bearer.secret) {
                    (Some(token), None) => self.part(token, false, vars)?,
                    (None, Some(secret)) => self.declared_secret(secret)?,
                    _ => {
                        let expected = "`token`, or `use` with a name of `use.secrets`";
                        return Err(self.refuse(
                            bearer.spot,
                            "the token is none, or stands here twice",
                            expected,
                            "keep one",
                        ));
                    }
                };
                Ok(Some(Authentication::Bearer { token }))
            }
            _ => {
                let expected = "one of `use`, `basic`, `bearer`";
                Err(self.refuse(raw.spot, "this authentication is none, or several", expected, "keep one"))
            }
        }
    }

    /// A part of an authentication: a reference or an expression; a literal where it is no secret.
    fn part(&mut self, raw: Raw, literal: bool, vars: &Vars) -> Result<Mapping, Told> {
        let text = self.name_of(raw).unwrap_or_default();
        let is_reference = Part::reference(&text).is_some();
        if is_reference || (!literal && embedded(&text).is_none()) {
            let text = At { value: text, spot: raw.spot };
            crate::checks::connect::secret(self.project, &text).ok_or(Told)?;
        }
        self.text(raw, vars)
    }

    /// A secret that the workflow declares under `use.secrets`.
    fn declared_secret(&self, name: &At<String>) -> Result<Mapping, Told> {
        let secrets = self.uses.map(|uses| &uses.secrets);
        let known: Vec<&str> =
            secrets.into_iter().flat_map(crate::read::Items::iter).map(|secret| secret.value.as_str()).collect();
        if !known.contains(&name.as_str()) {
            let message = format!("`use` declares no secret `{}`", name.value);
            let finding = Finding::error(codes::NOT_IN_USE, name.spot, message);
            let finding = if known.is_empty() { finding } else { finding.known(name, known.iter().copied()) };
            self.project.push(finding.help("declare it under `use.secrets` as `env:NAME` or `file:PATH`"));
            return Err(Told);
        }
        Ok(Mapping::Constant(name.value.clone().into()))
    }
}

/// Where the host of a template ends.
fn host_end(template: &str) -> usize {
    let start = template.find("://").map_or(0, |at| at + 3);
    template.get(start..).and_then(|rest| rest.find(['/', '?'])).map_or(template.len(), |at| start + at)
}

fn output(word: Option<OutputWord>) -> HttpOutput {
    match word {
        Some(OutputWord::Raw) => HttpOutput::Raw,
        Some(OutputWord::Response) => HttpOutput::Response,
        Some(OutputWord::Content) | None => HttpOutput::Content,
    }
}

/// Tells of operations whose names stand for something else in the rows of calls.
fn check_names(project: &Project) {
    for (name, _) in project.systems.iter().filter_map(|doc| doc.body.as_ref()).flat_map(|file| &file.operations.good) {
        if [SEND, DOCUMENT].contains(&name.0.as_str()) {
            let message = format!("`{}` stands for requests that workflows make themselves", name.0);
            let finding = Finding::error(codes::HTTP_CALL, name.spot, message);
            project.push(finding.expected("another name").help("rename the operation"));
        }
    }
}

/// Tells of addresses that belong to no system.
pub(crate) fn check_hosts(project: &Project, hosts: &[Host], systems: &Systems) {
    check_names(project);
    // A system that is wrong is told of already, and may be the one that is meant.
    let whole = systems.known.0.len() == systems.good.len();
    for host in hosts {
        let Ok(web) = Web::split(&host.url) else { continue };
        let Err(cause) = find(&systems.good, &web) else { continue };
        if !whole && cause.starts_with("no file") {
            continue;
        }
        let known = bases(&systems.good);
        let finding = Finding::error(codes::HOST, host.spot, &cause);
        let finding = if cause.starts_with("no file") && !known.is_empty() {
            finding.known(&web.origin(), known.iter().map(String::as_str))
        } else {
            finding
        };
        project.push(finding.help(
            "correct the address, or declare the host: `base` of a file in `systems/`, with its zone and credentials",
        ));
    }
}

fn bases(systems: &BTreeMap<Name, System>) -> Vec<String> {
    systems.values().filter_map(|system| Some(Web::split(&system.base.default).ok()?.origin())).collect()
}
