//! Reads: a pace, pages that end, and a mapping that gives objects of the schema.

use super::{
    assets::{Assets, zone},
    expressions::{Expr, expression},
    http::{Door, door},
    identifiers::Names,
    mappings::{each, fields},
    paging,
    requests::{Written, request},
    rules::version,
    schemas::SchemaSet,
    units,
};
use crate::{
    codes,
    contract::{Delta, FieldMap, Read, Request, Webhook},
    files::{
        reads::{AbsentWord, DeltaFile, ReadFile, ReadRequestFile},
        systems::MethodWord,
        words::Named,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, Entries},
    tree::{Kind, NodeId, Tree},
};
use andon_model::{Name, SiteName, span::Span, time::Zone};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What reads refer to.
pub(crate) struct Beside<'a> {
    pub(crate) schemas: &'a SchemaSet,
    pub(crate) assets: &'a Assets,
    pub(crate) identifiers: &'a Names,
}

/// Fields that the read itself knows: added where the schema has them.
const OURS: [&str; 3] = ["number", "site", "assets"];
/// References followed at most; a schema may refer to itself.
const REFERENCES_MAX: usize = 16;

/// The reads of a system; `found` gets their expressions, each with the sites it is asked for.
pub(crate) fn resolve(
    project: &Project,
    file: &Entries<Named, ReadFile>,
    beside: &Beside<'_>,
    found: &mut Vec<(Expr, Vec<SiteName>)>,
) -> BTreeMap<Name, Read> {
    let mut reads = BTreeMap::new();
    for (name, file) in &file.good {
        let mut exprs = Vec::new();
        let read = read(project, name.spot, file, beside, &mut exprs);
        let sites = read.as_ref().map(|read| read.sites.clone()).unwrap_or_default();
        found.extend(exprs.into_iter().map(|expr| (expr, sites.clone())));
        if let Some(read) = read {
            reads.insert(name.value.0.clone(), read);
        }
    }
    reads
}

fn read(project: &Project, at: Spot, file: &ReadFile, beside: &Beside<'_>, found: &mut Vec<Expr>) -> Option<Read> {
    let schema = object(project, &file.object, beside.schemas);
    let (every, max_age) = pace(project, file);
    let sites = sites(project, file, beside.assets);
    let zone = match &file.zone {
        None => Some(Zone::utc()),
        Some(named) => zone(project, named),
    };
    let request = asked(project, at, file, found);
    let webhook = webhook(project, at, file, sites.as_deref(), found);
    let cursor = optional(project, file.cursor.as_ref(), found);
    if let Some(Some(expr)) = &cursor {
        let seen = json!({ "additionalProperties": false, "properties": { "answer": {}, "last": {}, "cursor": {} } });
        expr.check_reads(project, &seen, "what `cursor` sees");
    }
    let close_absent = close_absent(project, file);
    let delta = delta(project, file, found);
    let (paging, pages) = paging::of_read(project, file.paging.as_ref(), found)?;
    let number = expression(project, &file.number, &[]);
    let [items, gone, site, from, to, assets, line] =
        [&file.items, &file.gone, &file.site, &file.from, &file.to, &file.assets, &file.line]
            .map(|text| optional(project, text.as_ref(), found));
    let mapping = fields(project, file.mapping, &[], found);
    let schema = schema?;
    let tree = project.findings.tree(file.mapping.spot.file)?;
    let fits = Fits { project, tree, file: file.mapping.spot.file, root: schema, of: &file.object };
    let added = fits.added(file.mapping.spot.node);
    fits.object(schema, file.mapping.spot.node, &added);
    let number = number?;
    found.push(number.clone());
    let program = |expr: Option<Expr>| expr.map(|expr| expr.program);
    Some(Read {
        object: file.object.value.clone(),
        every,
        max_age,
        sites: sites?,
        request: request?,
        webhook: webhook?,
        items: program(items?),
        cursor: program(cursor?),
        delta: delta?,
        paging,
        pages,
        close_absent,
        gone: program(gone?),
        zone: zone?,
        number: number.program,
        site: program(site?),
        from: program(from?),
        to: program(to?),
        assets: program(assets?),
        line: program(line?),
        mapping: mapping.filter(is_object)?,
        added,
        version: meaning(project, file, beside.identifiers),
    })
}

/// How the system is asked, where it is.
#[expect(clippy::option_option, reason = "the outer says whether something is wrong, the inner whether it is there")]
fn asked(project: &Project, at: Spot, file: &ReadFile, found: &mut Vec<Expr>) -> Option<Option<Request>> {
    let refuse = |spot: Spot, message: &str, help: &str| {
        project.push(Finding::error(codes::WEBHOOK, spot, message).help(help));
    };
    let request = match (&file.every, &file.request) {
        (Some(_), Some(request)) => request,
        (None, None) if file.webhook.is_some() => {
            let polled = [&file.cursor, &file.items].into_iter().flatten().map(|text| text.spot);
            let others = [file.delta.as_ref().map(|at| at.spot), file.paging.as_ref().map(|at| at.spot)];
            let absent = file.absent.as_ref().filter(|word| word.value == AbsentWord::Close).map(|word| word.spot);
            for spot in polled.chain(others.into_iter().flatten()).chain(absent) {
                refuse(spot, "nobody is asked, so nothing is answered", "leave it out, or add `request` and `every`");
            }
            return Some(None);
        }
        (None, None) => {
            let help = "add `request` and `every`, or `webhook`";
            refuse(at, "this read asks nobody, and nobody posts to it", help);
            return None;
        }
        (Some(every), None) => {
            refuse(every.spot, "nothing says what is asked for", "add `request`, or leave out `every`");
            return None;
        }
        (None, Some(request)) => {
            refuse(request.path.spot, "nothing says how often it is asked", "add `every: 30 s`");
            return None;
        }
    };
    let mut asked = Vec::new();
    let written = Written {
        method: method(project, request),
        path: &request.path,
        query: &request.query,
        headers: &request.headers,
        body: request.body,
        content: request.content.as_ref(),
    };
    let request = self::request(project, &written, &[], &mut asked);
    let seen = json!({
        "additionalProperties": false,
        "properties": { "cursor": {}, "delta": {}, "since": { "type": "string" }, "site": { "type": "string" },
            "now": { "type": "string" }, "page": { "type": "integer" }, "skip": { "type": "integer" }, "token": {} },
    });
    for expr in &asked {
        expr.check_reads(project, &seen, "what a request sees");
    }
    if let Some(delta) = file.delta.as_ref().filter(|delta| delta.token.is_some())
        && !asked.iter().any(|expr| expr.program.source().contains(".delta"))
    {
        refuse(delta.spot, "the request does not send the token, so all is asked for each time", "send `${ .delta }`");
    }
    found.append(&mut asked);
    request.map(Some)
}

/// What the system posts, where it does.
#[expect(clippy::option_option, reason = "the outer says whether something is wrong, the inner whether it is there")]
fn webhook(
    project: &Project,
    at: Spot,
    file: &ReadFile,
    sites: Option<&[SiteName]>,
    found: &mut Vec<Expr>,
) -> Option<Option<Webhook>> {
    let Some(webhook) = &file.webhook else { return Some(None) };
    let refuse = |message: &str, help: &str| {
        project.push(Finding::error(codes::WEBHOOK, webhook.spot, message).help(help));
    };
    if webhook.token.is_none() && webhook.keys.good.is_empty() && webhook.signature.is_none() {
        refuse("anybody could post here", "add `signature`, `token` or `keys`");
    }
    if file.site.is_none() && sites.is_some_and(|sites| sites.len() > 1) {
        refuse("nothing says whose site a post tells of", "add `site: ${ name(...) }`, or serve one site with `sites`");
    }
    let written = Door { token: webhook.token.as_ref(), keys: &webhook.keys, signature: webhook.signature.as_ref() };
    let door = door(project, &written, webhook.posts.as_ref(), at);
    let when = optional(project, webhook.when.as_ref(), found);
    let items = optional(project, webhook.items.as_ref(), found);
    let program = |expr: Option<Expr>| expr.map(|expr| expr.program);
    Some(Some(Webhook { door: door?, when: program(when?), items: program(items?) }))
}

/// How the system is asked for changes only, where it keeps count of them.
#[expect(clippy::option_option, reason = "the outer says whether something is wrong, the inner whether it is there")]
fn delta(project: &Project, file: &ReadFile, found: &mut Vec<Expr>) -> Option<Option<Delta>> {
    let Some(delta) = &file.delta else { return Some(None) };
    let DeltaFile { link, token, expired } = &delta.value;
    if file.cursor.is_some() {
        let message = "a cursor and a delta both say where to go on";
        let finding = Finding::error(codes::READ_PAGES, delta.spot, message);
        project.push(finding.help("keep `delta` where the system keeps count of changes, else `cursor`"));
    }
    let (text, is_link) = match (link, token) {
        (Some(link), None) => (link, true),
        (None, Some(token)) => (token, false),
        _ => {
            let finding = Finding::error(codes::READ_PAGES, delta.spot, "where a delta goes on is not said");
            let finding = finding.expected("`link: ${ ... }` for an address, or `token: ${ ... }`");
            project.push(finding.help("keep one of them"));
            return None;
        }
    };
    let next = expression(project, text, &[])?;
    found.push(next.clone());
    let mut codes_of = Vec::new();
    for code in expired.iter().flat_map(crate::read::Items::iter) {
        if !(400..=499).contains(&code.value) {
            let finding =
                Finding::error(codes::READ_PAGES, code.spot, format!("{} says nothing of a delta", code.value));
            project.push(finding.expected("400 to 499").help("410 is the default"));
        }
        codes_of.push(code.value);
    }
    if codes_of.is_empty() {
        codes_of.push(Delta::EXPIRED);
    }
    Some(Some(Delta { next: next.program, is_link, expired: codes_of }))
}

/// A mapping that gives a list or a number is told of by [`Fits::object`].
fn is_object(mapping: &FieldMap) -> bool {
    !matches!(mapping, FieldMap::List(_) | FieldMap::Each { .. })
        && !matches!(mapping, FieldMap::Constant(json) if !json.is_object())
}

/// An expression that may be left out; `None` where it does not compile.
#[expect(clippy::option_option, reason = "the outer says whether something is wrong, the inner whether it is there")]
fn optional(project: &Project, text: Option<&At<String>>, found: &mut Vec<Expr>) -> Option<Option<Expr>> {
    let Some(text) = text else { return Some(None) };
    let expr = expression(project, text, &[])?;
    found.push(expr.clone());
    Some(Some(expr))
}

/// The schema of the objects: one of a business object, which has no dot in its name.
fn object<'a>(project: &Project, object: &At<String>, schemas: &'a SchemaSet) -> Option<&'a Json> {
    let key = if object.contains('/') { object.value.clone() } else { format!("{}/1", object.value) };
    let is_there = schemas.known.expect(project, codes::UNKNOWN_SCHEMA, object.spot, "schema", &key);
    if is_there && key.contains('.') {
        let message = format!("`{}` is the schema of an event, and reads give objects", object.value);
        let finding = Finding::error(codes::READ_MAPPING, object.spot, message);
        project.push(finding.expected("a business object, such as `ProductionOrder/1`").help("name one"));
        return None;
    }
    schemas.json(&key).filter(|_| is_there)
}

fn pace(project: &Project, file: &ReadFile) -> (Span, Option<Span>) {
    let Some(written) = &file.every else { return (Read::EVERY_MAX, file.max_age.as_ref().map(|age| age.value.0)) };
    let every = written.value.0;
    if !(Read::EVERY_MIN..=Read::EVERY_MAX).contains(&every) {
        let finding = Finding::error(codes::READ_PACE, written.spot, format!("a poll every {every} makes no sense"));
        project.push(finding.expected("1 s to 7 d").help("correct the duration; 30 s suits most systems"));
    }
    let twice = Span::from_nanos(every.nanos().saturating_mul(2));
    let max_age = file.max_age.as_ref().map_or(twice, |age| age.value.0);
    if let Some(age) = file.max_age.as_ref().filter(|age| age.value.0 < every) {
        let message = format!("what is asked for every {every} would be stale after {max_age}, between two polls");
        let finding = Finding::error(codes::READ_PACE, age.spot, message);
        project.push(finding.expected("not shorter than `every`").help("leave it out: the default is two polls"));
    }
    (every, Some(max_age))
}

/// A read changes nothing at the system.
fn method(project: &Project, request: &ReadRequestFile) -> &'static str {
    let Some(method) = &request.method else { return MethodWord::Get.word() };
    if !matches!(method.value, MethodWord::Get | MethodWord::Post) {
        let finding = Finding::error(codes::REQUEST, method.spot, format!("{} changes something", method.word()));
        project.push(finding.expected("`GET`, or `POST` for a search").help("a read only asks"));
    }
    method.word()
}

fn sites(project: &Project, file: &ReadFile, assets: &Assets) -> Option<Vec<SiteName>> {
    let Some(listed) = &file.sites else { return Some(assets.sites.keys().cloned().collect()) };
    let mut sites = Vec::new();
    for site in listed.iter() {
        if assets.known_sites.expect(project, codes::UNKNOWN_SITE, site.spot, "site", site) {
            sites.extend(SiteName::new(site));
        }
    }
    sites.sort();
    sites.dedup();
    (!sites.is_empty() && listed.spoilt == 0).then_some(sites)
}

/// An object can be missed only where everything is told.
fn close_absent(project: &Project, file: &ReadFile) -> bool {
    let Some(absent) = file.absent.as_ref().filter(|absent| absent.value == AbsentWord::Close) else { return false };
    if file.cursor.is_some() {
        let finding = Finding::error(
            codes::READ_PAGES,
            absent.spot,
            "behind a cursor only changes are told, so all others are absent",
        );
        project
            .push(finding.help("leave out `cursor`, or `absent`, or let `gone` find what the system says is deleted"));
    }
    true
}

/// The hash of what a read means: its own text without comments, and all names it may look up.
fn meaning(project: &Project, file: &ReadFile, identifiers: &Names) -> String {
    let mut parts = vec![format!("{:?}", identifiers.all.names), format!("{:?}", identifiers.all.values)];
    let dates = [&file.gone, &file.zone, &file.from, &file.to];
    let texts = [&file.items, &file.cursor, &file.site, &file.assets, &file.line].into_iter().chain(dates);
    parts.extend(texts.map(|text| text.as_ref().map_or_else(String::new, |text| format!("={}", text.value))));
    parts.extend([file.object.value.clone(), file.number.value.clone()]);
    let tree = project.findings.tree(file.mapping.spot.file);
    let json = |spot: Spot| tree.map_or_else(String::new, |tree| tree.json(spot.node).to_string());
    parts.push(json(file.mapping.spot));
    if let Some(request) = &file.request {
        parts.push(request.path.value.clone());
        for (name, raw) in request.query.good.iter().chain(&request.headers.good) {
            parts.push(format!("{}={}", name.value, json(raw.spot)));
        }
        parts.extend(request.body.map(|raw| json(raw.spot)));
        parts.extend(request.content.as_ref().map(|word| word.value.clone()));
    }
    if let Some(delta) = &file.delta {
        parts.extend([&delta.link, &delta.token].into_iter().flatten().map(|text| format!("delta={}", text.value)));
    }
    version(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Compares a mapping with the schema of its object, as far as both can be known.
struct Fits<'a> {
    project: &'a Project,
    tree: &'a Tree,
    file: u32,
    root: &'a Json,
    of: &'a str,
}

impl<'a> Fits<'a> {
    /// What the read adds of its own: it is in the schema and not in the mapping.
    fn added(&self, mapping: NodeId) -> Vec<&'static str> {
        let Kind::Map(entries) = &self.tree.node(mapping).kind else { return OURS.to_vec() };
        let has = |name: &str| entries.iter().any(|(key, _)| self.tree.text(*key) == Some(name));
        let knows = |name: &str| self.root.get("properties").and_then(|all| all.get(name)).is_some();
        OURS.into_iter().filter(|name| knows(name) && !has(name)).collect()
    }

    fn spot(&self, node: NodeId) -> Spot {
        Spot { file: self.file, node }
    }

    /// An object has the fields its schema requires, and no others.
    fn object(&self, schema: &'a Json, node: NodeId, added: &[&str]) {
        let Some(schema) = self.resolved(schema) else { return };
        let entries = match &self.tree.node(node).kind {
            Kind::Map(entries) => entries,
            Kind::Scalar { text, .. } if text.contains("${") => return,
            _ => {
                let finding =
                    Finding::error(codes::READ_MAPPING, self.spot(node), format!("found {}", self.tree.told(node)));
                self.project.push(finding.expected("the fields of the object").help("write each as `field: ${ ... }`"));
                return;
            }
        };
        let properties = schema.get("properties").and_then(Json::as_object);
        let is_closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        let mut given: Vec<&str> = added.to_vec();
        for (key, value) in entries {
            let name = self.tree.text(*key).unwrap_or_default();
            given.push(name);
            match properties.and_then(|all| all.get(name)) {
                Some(field) => self.field(field, name, *value),
                None if is_closed => {
                    let message = format!("`{}` has no `{name}` here", self.of);
                    let known = properties.into_iter().flat_map(|all| all.keys().map(String::as_str));
                    let finding = Finding::error(codes::READ_MAPPING, self.spot(*key), message);
                    self.project.push(finding.known(name, known).help("leave it out, or correct the name"));
                }
                None => {}
            }
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        for name in required.filter(|name| !given.contains(name)) {
            let message = format!("every `{}` has a `{name}`, and this gives none", self.of);
            let finding = Finding::error(codes::READ_MAPPING, self.spot(node), message);
            self.project.push(finding.help(format!("add `{name}: ${{ ... }}`")));
        }
    }

    fn field(&self, schema: &'a Json, name: &str, node: NodeId) {
        let Some(schema) = self.resolved(schema) else { return };
        match &self.tree.node(node).kind {
            Kind::Map(entries) if each(self.tree, entries).is_some() => {
                if let (Some((_, map)), Some(items)) = (each(self.tree, entries), schema.get("items")) {
                    self.field(items, name, map);
                }
            }
            Kind::Map(_) if schema.get("properties").is_some() => self.object(schema, node, &[]),
            Kind::Scalar { text, .. } if !text.contains("${") => {
                let text = At { value: text.clone(), spot: self.spot(node) };
                // A quantity has a value and a unit; a unit that is written here is known here.
                if name == "unit" {
                    units::unit(self.project, &text);
                }
                let words = schema.get("enum").and_then(Json::as_array);
                if let Some(words) = words.filter(|words| !words.contains(&self.tree.json(node))) {
                    let message = format!("`{}` is no `{name}` of `{}`", text.value, self.of);
                    let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
                    let finding = Finding::error(codes::READ_MAPPING, text.spot, message);
                    self.project.push(finding.known(&text.value, words).help("correct the word"));
                }
            }
            _ => {}
        }
    }

    /// A schema with its reference followed; `None` where that cannot be done here.
    fn resolved(&self, schema: &'a Json) -> Option<&'a Json> {
        let mut at = schema;
        for _ in 0..REFERENCES_MAX {
            match at.get("$ref").and_then(Json::as_str) {
                None => return Some(at),
                Some(reference) => at = self.root.pointer(reference.strip_prefix('#')?)?,
            }
        }
        None
    }
}
