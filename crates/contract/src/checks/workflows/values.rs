//! What stands in the places of a workflow: expressions, mappings, durations, schemas and what is used by name.

use super::{Scope, Vars};
use crate::{
    checks::{
        expressions::{Expr, Told, compile, of_text},
        mappings::mapping,
    },
    codes,
    expr::Program,
    files::workflows::{DurationFile, ExportFile, InputFile, OrName, OutputFile, SchemaFile, TimeoutFile, UseFile},
    problem::{Finding, Spot},
    read::{At, Entries, Raw, read},
    tree::{Kind, Plain},
    workflow::{Delay, Mapping, ValueSchema},
};
use andon_model::span::Span;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What names a schema of the project as the place of a resource.
const SCHEMA: &str = "andon:";

impl<'a> Scope<'a> {
    /// A text that the DSL takes for an expression, with `${ }` around it or without.
    pub(super) fn program(&mut self, text: &str, spot: Spot, vars: &Vars) -> Result<Program, Told> {
        self.expr(text, spot, vars).map(|expr| expr.program)
    }

    /// The same, with its place.
    pub(super) fn expr(&mut self, text: &str, spot: Spot, vars: &Vars) -> Result<Expr, Told> {
        let vars = vars.names();
        let expr = match of_text(self.project, spot, text, &vars) {
            Some(found) => found?,
            None => compile(self.project, spot, text, 0, &vars).ok_or(Told)?,
        };
        self.exprs.push(expr.clone());
        Ok(expr)
    }

    /// An expression that may be missing.
    pub(super) fn condition(&mut self, text: Option<&At<String>>, vars: &Vars) -> Result<Option<Program>, Told> {
        text.map(|text| self.program(text, text.spot, vars)).transpose()
    }

    /// A mapping: a value in which texts `${ ... }` are expressions.
    pub(super) fn mapping(&mut self, raw: Raw, vars: &Vars) -> Result<Mapping, Told> {
        mapping(self.project, raw, &vars.names(), &mut self.exprs).ok_or(Told)
    }

    /// A mapping that may be missing.
    pub(super) fn optional(&mut self, raw: Option<Raw>, vars: &Vars) -> Result<Option<Mapping>, Told> {
        raw.map(|raw| self.mapping(raw, vars)).transpose()
    }

    /// A filter that may be missing: a text is an expression as a whole, anything else a mapping.
    pub(super) fn filter(&mut self, raw: Option<Raw>, vars: &Vars) -> Result<Option<Mapping>, Told> {
        let Some(raw) = raw else { return Ok(None) };
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        match tree.text(raw.spot.node).filter(|text| !text.trim().is_empty()) {
            Some(text) => self.program(text, raw.spot, vars).map(|program| Some(Mapping::Expression(program))),
            None => self.mapping(raw, vars).map(Some),
        }
    }

    /// An object whose texts may be expressions, or one expression.
    pub(super) fn object(&mut self, raw: Raw, vars: &Vars) -> Result<Mapping, Told> {
        let mapping = self.mapping(raw, vars)?;
        let is_object = match &mapping {
            Mapping::Constant(json) => json.is_object(),
            Mapping::List(_) => false,
            Mapping::Object(_) | Mapping::Expression(_) => true,
        };
        if is_object {
            return Ok(mapping);
        }
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        let message = format!("found {} where an object is made", tree.told(raw.spot.node));
        let finding = Finding::error(codes::WRONG_TYPE, raw.spot, message);
        self.project
            .push(finding.expected("a mapping, or an expression `${ ... }`").help("write `key: value` below it"));
        Err(Told)
    }

    /// A text that may be an expression; a number or truth is its own text.
    pub(super) fn text(&mut self, raw: Raw, vars: &Vars) -> Result<Mapping, Told> {
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        let found = tree.text(raw.spot.node).filter(|_| tree.scalar(raw.spot.node) != Some(Plain::Null));
        let Some(text) = found else {
            let message = format!("found {} where a text is needed", tree.told(raw.spot.node));
            let finding = Finding::error(codes::WRONG_TYPE, raw.spot, message);
            self.project.push(finding.expected("a text, or an expression `${ ... }`").help("write one text"));
            return Err(Told);
        };
        match of_text(self.project, raw.spot, text, &vars.names()) {
            None => Ok(Mapping::Constant(Json::from(text))),
            Some(expr) => {
                let expr = expr?;
                self.exprs.push(expr.clone());
                Ok(Mapping::Expression(expr.program))
            }
        }
    }

    /// A duration as text, as an object of the DSL, or as an expression.
    pub(super) fn delay(&mut self, raw: Raw, vars: &Vars) -> Result<Delay, Told> {
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        let Some(text) = tree.text(raw.spot.node) else {
            let file: DurationFile = read(&self.project.findings, raw.spot).ok_or(Told)?;
            let part = |number: Option<u32>, millis: i64| i64::from(number.unwrap_or(0)).saturating_mul(millis);
            let millis = part(file.days, 86_400_000)
                .saturating_add(part(file.hours, 3_600_000))
                .saturating_add(part(file.minutes, 60_000))
                .saturating_add(part(file.seconds, 1_000))
                .saturating_add(part(file.milliseconds, 1));
            return Ok(Delay::Fixed(Span::from_millis(millis)));
        };
        if let Some(expr) = of_text(self.project, raw.spot, text, &vars.names()) {
            let expr = expr?;
            self.exprs.push(expr.clone());
            return Ok(Delay::Expression(expr.program));
        }
        match Span::parse(text) {
            Ok(span) => Ok(Delay::Fixed(span)),
            Err(error) => {
                let finding = Finding::error(codes::WRONG_FORM, raw.spot, format!("`{text}` is no duration"));
                self.project.push(finding.expected(error.expected).help("correct the duration"));
                Err(Told)
            }
        }
    }

    /// A duration that may be missing.
    pub(super) fn delay_of(&mut self, raw: Option<Raw>, vars: &Vars) -> Result<Option<Delay>, Told> {
        raw.map(|raw| self.delay(raw, vars)).transpose()
    }

    /// A duration that is known before there is a run.
    pub(super) fn span(&mut self, raw: Raw) -> Result<Span, Told> {
        match self.delay(raw, &Vars::none())? {
            Delay::Fixed(span) => Ok(span),
            Delay::Expression(_) => {
                let finding = Finding::error(codes::WRONG_FORM, raw.spot, "there is no run yet to look at");
                self.project.push(finding.expected("a duration like 15 min or PT15M").help("write the duration"));
                Err(Told)
            }
        }
    }

    /// A time at most, written out or by its name.
    pub(super) fn timeout(&mut self, timeout: Option<OrName<TimeoutFile>>, vars: &Vars) -> Result<Option<Delay>, Told> {
        let Some(OrName(raw, _)) = timeout else { return Ok(None) };
        let after = match self.name_of(raw) {
            Some(name) => self.used("timeout", &name, raw.spot, |uses| &uses.timeouts)?.after,
            None => self.read::<TimeoutFile>(raw.spot)?.after,
        };
        self.delay(after, vars).map(Some)
    }

    /// What a place of `use` has under a name; tells where there is nothing of that name.
    pub(super) fn used<T>(
        &self,
        what: &str,
        name: &str,
        spot: Spot,
        entries: impl Fn(&'a UseFile) -> &'a Entries<String, T>,
    ) -> Result<&'a T, Told> {
        let entries = self.uses.map(entries);
        if let Some((_, found)) = entries.and_then(|all| all.good.iter().find(|(key, _)| key.value == name)) {
            return Ok(found);
        }
        if entries.is_some_and(|all| all.spoilt.iter().any(|known| known == name)) {
            return Err(Told);
        }
        let known: Vec<&str> = entries.map_or_else(Vec::new, |all| all.good.iter().map(|(k, _)| k.as_str()).collect());
        let finding = Finding::error(codes::NOT_IN_USE, spot, format!("`use` declares no {what} `{name}`"));
        let finding = if known.is_empty() { finding } else { finding.known(name, known) };
        self.project.push(finding.help(format!("declare it under `use`, or write the {what} here")));
        Err(Told)
    }

    /// The name that stands in the place of a thing; `None` where the thing itself stands there.
    pub(super) fn name_of(&self, raw: Raw) -> Option<String> {
        self.project.findings.tree(raw.spot.file)?.text(raw.spot.node).map(str::to_owned)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, spot: Spot) -> Result<T, Told> {
        read(&self.project.findings, spot).ok_or(Told)
    }

    /// `from` and `schema` of an input.
    pub(super) fn input_of(&mut self, file: Option<InputFile>, vars: &Vars) -> Result<Filtered, Told> {
        let Some(file) = file else { return Ok((None, None)) };
        let (mapping, schema) = (self.filter(file.from, vars), self.schema(file.schema));
        Ok((mapping?, schema?))
    }

    /// `as` and `schema` of an output.
    pub(super) fn output_of(&mut self, file: Option<OutputFile>, vars: &Vars) -> Result<Filtered, Told> {
        let Some(file) = file else { return Ok((None, None)) };
        let (mapping, schema) = (self.filter(file.value, vars), self.schema(file.schema));
        Ok((mapping?, schema?))
    }

    /// `as` and `schema` of an export.
    pub(super) fn export_of(&mut self, file: Option<ExportFile>, vars: &Vars) -> Result<Filtered, Told> {
        let Some(file) = file else { return Ok((None, None)) };
        let (mapping, schema) = (self.filter(file.value, vars), self.schema(file.schema));
        Ok((mapping?, schema?))
    }

    /// What a value must be, written out or by the name of a schema of the project.
    pub(super) fn schema(&self, file: Option<SchemaFile>) -> Result<Option<ValueSchema>, Told> {
        let Some(file) = file else { return Ok(None) };
        if let Some(format) = file.format.as_ref().filter(|format| !is_json(format)) {
            let message = format!("schemas of the format `{}` are not supported", format.value);
            let finding = Finding::error(codes::NOT_SUPPORTED, format.spot, message);
            self.project.push(finding.expected("`json`").help("write it as a JSON Schema (2020-12)"));
            return Err(Told);
        }
        let (document, spot) = match (file.document, &file.resource) {
            (Some(raw), None) => {
                let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
                (tree.json(raw.spot.node), raw.spot)
            }
            (None, Some(resource)) => (self.resource(resource.endpoint)?, resource.spot),
            (None, None) => return Ok(None),
            (Some(_), Some(resource)) => {
                let finding = Finding::error(codes::WRONG_FORM, resource.spot, "the schema stands here twice");
                self.project.push(finding.expected("`document` or `resource`").help("keep one of the two"));
                return Err(Told);
            }
        };
        ValueSchema::compile(document).map(Some).map_err(|error| {
            let finding = Finding::error(codes::SCHEMA, spot, format!("no JSON Schema: {error}"));
            self.project.push(finding.expected("JSON Schema 2020-12").help("correct the schema"));
            Told
        })
    }

    /// The schema that an endpoint names.
    fn resource(&self, endpoint: Raw) -> Result<Json, Told> {
        let tree = self.project.findings.tree(endpoint.spot.file).ok_or(Told)?;
        let node = match &tree.node(endpoint.spot.node).kind {
            Kind::Map(_) => tree.get(endpoint.spot.node, "uri").unwrap_or(endpoint.spot.node),
            _ => endpoint.spot.node,
        };
        let spot = Spot { node, ..endpoint.spot };
        let text = tree.text(node).unwrap_or_default();
        let Some(name) = text.strip_prefix(SCHEMA) else {
            let finding = Finding::error(codes::NOT_SUPPORTED, spot, "a schema that stands elsewhere is not fetched");
            self.project.push(
                finding
                    .expected("a schema of the project: `andon:<Name>/<major>`")
                    .help("put the schema into `schemas/` and name it, or write it out under `document`"),
            );
            return Err(Told);
        };
        if let Some(found) = self.schemas.json(name) {
            return Ok(found.clone());
        }
        if !self.open && !self.schemas.known.has(name) {
            self.project.push(self.schemas.known.unknown(codes::UNKNOWN_SCHEMA, spot, "schema", name));
        }
        Err(Told)
    }
}

/// A filter and a schema, each of which may be missing.
pub(super) type Filtered = (Option<Mapping>, Option<ValueSchema>);

fn is_json(format: &str) -> bool {
    matches!(format.split(':').next(), Some("json"))
}
