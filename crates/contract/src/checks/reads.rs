//! Reads: a pace, pages that end, and a mapping that gives objects of the schema.

use super::{
    assets::{Assets, zone},
    expressions::{Expr, expression},
    identifiers::Names,
    mappings::fields,
    requests::{Written, request},
    rules::version,
    schemas::SchemaSet,
    units,
};
use crate::{
    codes,
    contract::{FieldMap, Paging, Read},
    files::{
        reads::{AbsentWord, PagingFile, ReadFile},
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

/// The reads of a system.
pub(crate) fn resolve(
    project: &Project,
    file: &Entries<Named, ReadFile>,
    beside: &Beside<'_>,
    found: &mut Vec<Expr>,
) -> BTreeMap<Name, Read> {
    let mut reads = BTreeMap::new();
    for (name, file) in &file.good {
        if let Some(read) = read(project, file, beside, found) {
            reads.insert(name.value.0.clone(), read);
        }
    }
    reads
}

fn read(project: &Project, file: &ReadFile, beside: &Beside<'_>, found: &mut Vec<Expr>) -> Option<Read> {
    let schema = object(project, &file.object, beside.schemas);
    let (every, max_age) = pace(project, file);
    let sites = sites(project, file, beside.assets);
    let zone = match &file.zone {
        None => Some(Zone::utc()),
        Some(named) => zone(project, named),
    };
    let mut asked = Vec::new();
    let written = Written {
        method: method(project, file),
        path: &file.request.path,
        query: &file.request.query,
        headers: &file.request.headers,
        body: file.request.body,
    };
    let request = request(project, &written, &[], &mut asked);
    let seen = json!({
        "additionalProperties": false,
        "properties": { "cursor": {}, "since": { "type": "string" }, "site": { "type": "string" },
            "now": { "type": "string" }, "page": { "type": "integer" }, "skip": { "type": "integer" } },
    });
    for expr in &asked {
        expr.check_reads(project, &seen, "what a request sees");
    }
    found.append(&mut asked);
    let cursor = optional(project, file.cursor.as_ref(), found);
    if let Some(Some(expr)) = &cursor {
        let seen = json!({ "additionalProperties": false, "properties": { "answer": {}, "last": {}, "cursor": {} } });
        expr.check_reads(project, &seen, "what `cursor` sees");
    }
    let close_absent = close_absent(project, file);
    let (paging, pages) = paging(project, file.paging.as_ref(), found)?;
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
        items: program(items?),
        cursor: program(cursor?),
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

/// A mapping that gives a list or a number is told of by [`Fits::object`].
fn is_object(mapping: &FieldMap) -> bool {
    !matches!(mapping, FieldMap::List(_)) && !matches!(mapping, FieldMap::Constant(json) if !json.is_object())
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

fn pace(project: &Project, file: &ReadFile) -> (Span, Span) {
    let every = file.every.value.0;
    if !(Read::EVERY_MIN..=Read::EVERY_MAX).contains(&every) {
        let finding = Finding::error(codes::READ_PACE, file.every.spot, format!("a poll every {every} makes no sense"));
        project.push(finding.expected("1 s to 7 d").help("correct the duration; 30 s suits most systems"));
    }
    let twice = Span::from_nanos(every.nanos().saturating_mul(2));
    let max_age = file.max_age.as_ref().map_or(twice, |age| age.value.0);
    if let Some(age) = file.max_age.as_ref().filter(|age| age.value.0 < every) {
        let message = format!("what is asked for every {every} would be stale after {max_age}, between two polls");
        let finding = Finding::error(codes::READ_PACE, age.spot, message);
        project.push(finding.expected("not shorter than `every`").help("leave it out: the default is two polls"));
    }
    (every, max_age)
}

/// A read changes nothing at the system.
fn method(project: &Project, file: &ReadFile) -> &'static str {
    let Some(method) = &file.request.method else { return MethodWord::Get.word() };
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

fn paging(project: &Project, file: Option<&At<PagingFile>>, found: &mut Vec<Expr>) -> Option<(Paging, u32)> {
    let Some(file) = file else { return Some((Paging::None, 1)) };
    let pages = file.pages.as_ref().map_or(Read::PAGES, |pages| pages.value);
    if let Some(at) = file.pages.as_ref().filter(|pages| !(1..=Read::PAGES_MAX).contains(&pages.value)) {
        let finding = Finding::error(codes::READ_PAGES, at.spot, format!("{pages} pages of one answer"));
        project.push(finding.expected("1 to 10000").help("correct the number; 100 is the default"));
    }
    let paging = match (&file.next, &file.size) {
        (Some(next), None) => {
            let expr = expression(project, next, &[])?;
            found.push(expr.clone());
            Paging::Next(expr.program)
        }
        (None, Some(size)) if size.value > 0 => Paging::Size(size.value),
        (None, Some(size)) => {
            let finding = Finding::error(codes::READ_PAGES, size.spot, "a page without items is the last one");
            project.push(finding.expected("1 or more").help("write how many items the system puts on a page"));
            return None;
        }
        _ => {
            let finding = Finding::error(codes::READ_PAGES, file.spot, "how pages follow each other is not said");
            project.push(
                finding
                    .expected("`next: ${ ... }` for a link, or `size: 200` for numbered pages")
                    .help("keep one of them"),
            );
            return None;
        }
    };
    Some((paging, pages))
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
    parts.extend([file.object.value.clone(), file.number.value.clone(), file.request.path.value.clone()]);
    let tree = project.findings.tree(file.mapping.spot.file);
    let json = |spot: Spot| tree.map_or_else(String::new, |tree| tree.json(spot.node).to_string());
    parts.push(json(file.mapping.spot));
    for (name, raw) in file.request.query.good.iter().chain(&file.request.headers.good) {
        parts.push(format!("{}={}", name.value, json(raw.spot)));
    }
    parts.extend(file.request.body.map(|raw| json(raw.spot)));
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
