//! Workflows: the subset of the DSL that runs, its names and targets, its expressions, and its calls against the
//! capabilities they name.

mod flow;
mod inputs;
mod tasks;

use super::{
    capabilities::Capabilities,
    expressions::{Expr, expression},
    mappings::mapping,
    rules::version,
    schemas::SchemaSet,
    shapes::{Nowhere, follow},
    stem,
};
use crate::{
    codes,
    expr::{Step, paths_read},
    files::workflows::{ScheduleFile, WorkflowFile},
    load::{Doc, Project},
    problem::{Finding, Spot},
    read::Raw,
    workflow::{Consumption, DataFilter, Definition, EventFilter, Schedule, Schemas, Settings, VARIABLES},
};
use andon_model::Name;
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};

/// The version of the DSL that is read.
pub(crate) const DSL: &str = "1.0.3";
/// The attributes of an event as a workflow sees it.
const ATTRIBUTES: [&str; 16] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
    "site",
    "partitionkey",
    "sequence",
    "correlationid",
    "causationid",
    "recordedtime",
    "traceparent",
    "data",
];

/// All workflows.
#[derive(Default)]
pub(crate) struct Workflows {
    pub(crate) good: BTreeMap<Name, Arc<Definition>>,
    pub(crate) calls: Vec<Call>,
}

/// A call of a capability.
pub(crate) struct Call {
    pub(crate) capability: String,
    pub(crate) spot: Spot,
    /// The type of event that starts the workflow.
    pub(crate) trigger: Option<String>,
}

pub(crate) fn resolve(project: &Project, capabilities: &Capabilities, schemas: &SchemaSet) -> Workflows {
    let mut all = Workflows::default();
    for doc in &project.workflows {
        let (Some(name), Some((raw, Some(file)))) = (stem(project, doc), &doc.body) else { continue };
        if let Some(definition) = workflow(project, doc, *raw, file, capabilities, schemas, &mut all.calls) {
            all.good.insert(name, Arc::new(definition));
        }
    }
    all
}

/// What the tasks of a workflow may refer to, and what is found in them.
struct Scope<'a> {
    project: &'a Project,
    capabilities: &'a Capabilities,
    schemas: &'a SchemaSet,
    trigger: Option<String>,
    calls: &'a mut Vec<Call>,
    exprs: Vec<Expr>,
}

fn workflow(
    project: &Project,
    doc: &Doc<(Raw, Option<WorkflowFile>)>,
    raw: Raw,
    file: &WorkflowFile,
    capabilities: &Capabilities,
    schemas: &SchemaSet,
    calls: &mut Vec<Call>,
) -> Option<Definition> {
    head(project, doc, file);
    let schedule = file.schedule.as_ref().map(|schedule| self::schedule(project, schedule, schemas));
    let trigger = file.schedule.as_ref().map(|schedule| schedule.on.one.with.kind.value.clone());
    let mut scope = Scope { project, capabilities, schemas, trigger, calls, exprs: Vec::new() };
    let mut inputs = Vec::new();
    let input = match &file.input {
        None => Some(None),
        Some(filter) => mapping(project, filter.from, &VARIABLES, &mut inputs).map(Some),
    };
    for expr in &inputs {
        check_events(project, schemas, scope.trigger.as_deref(), expr, None);
    }
    let output = match &file.output {
        None => Some(None),
        Some(filter) => mapping(project, filter.value, &VARIABLES, &mut scope.exprs).map(Some),
    };
    let tasks = scope.list(file.tasks, "/do", &VARIABLES.map(str::to_owned));
    for expr in scope.exprs.iter().chain(&inputs) {
        check_events(project, schemas, scope.trigger.as_deref(), expr, Some("workflow"));
    }
    let document = project.findings.tree(raw.spot.file)?.json(raw.spot.node);
    Some(Definition {
        name: file.document.name.value.clone(),
        version: file.document.version.value.clone(),
        hash: version(&["workflow", &canonical(&document)]),
        document,
        schedule: match schedule {
            None => None,
            Some(schedule) => Some(schedule?),
        },
        input: input?,
        output: output?,
        schemas: Schemas::default(),
        timeout: None,
        settings: Settings::default(),
        tasks: tasks?,
    })
}

fn head(project: &Project, doc: &Doc<(Raw, Option<WorkflowFile>)>, file: &WorkflowFile) {
    let document = &file.document;
    if document.dsl.value != DSL {
        let message = format!("the workflow is written in the version `{}` of the DSL", document.dsl.value);
        let finding = Finding::error(codes::DSL_VERSION, document.dsl.spot, message);
        project
            .push(finding.expected(format!("`dsl: {DSL}`")).help("see what changed in the DSL and adapt the workflow"));
    }
    if document.name.value != doc.stem {
        let message = format!("the workflow `{}` stands in a file of another name", document.name.value);
        let finding = Finding::error(codes::FILE_NAME, document.name.spot, message);
        project
            .push(finding.expected(format!("`{}`, the file's name", doc.stem)).help("rename the file or the workflow"));
    }
    if document.version.trim().is_empty() {
        let finding = Finding::error(codes::WRONG_FORM, document.version.spot, "the version is empty");
        project.push(finding.expected("a version like 1.0.0").help("count it up with each change"));
    }
}

fn schedule(project: &Project, file: &ScheduleFile, schemas: &SchemaSet) -> Option<Schedule> {
    let with = &file.on.one.with;
    let is_known = schemas.events.expect(project, codes::UNKNOWN_EVENT, with.kind.spot, "type of event", &with.kind);
    let data = match &with.data {
        None => None,
        Some(text) => {
            let expr = expression(project, text, &[]);
            if let (Some(expr), Some(schema)) = (&expr, schemas.json(&with.kind)) {
                expr.check_reads(project, schema, &with.kind);
            }
            Some(expr)
        }
    };
    let data = match data {
        None => None,
        Some(expr) => Some(expr?.program),
    };
    let filter = EventFilter {
        kind: with.kind.value.clone(),
        attributes: Vec::new(),
        data: data.map(DataFilter::Holds),
        correlate: Vec::new(),
    };
    is_known.then_some(Schedule::On(Consumption::One(filter)))
}

/// Paths into the events that started the run: of the input (`of` is nothing) or of `$workflow.input`.
fn check_events(project: &Project, schemas: &SchemaSet, trigger: Option<&str>, expr: &Expr, of: Option<&str>) {
    let Some((kind, schema)) = trigger.and_then(|kind| Some((kind, schemas.json(kind)?))) else { return };
    for read in paths_read(&expr.program).iter().filter(|read| read.of.as_deref() == of) {
        let path = match (of, read.path.as_slice()) {
            (None, path) => path,
            (Some(_), [Step::Key(input), path @ ..]) if input == "input" => path,
            _ => continue,
        };
        let [Step::Index(_) | Step::Each, Step::Key(attribute), rest @ ..] = path else { continue };
        let found = match attribute.as_str() {
            "data" => follow(schema, rest),
            known if ATTRIBUTES.contains(&known) => Ok(()),
            _ => Err(Nowhere { key: attribute.clone(), known: ATTRIBUTES.map(str::to_owned).to_vec() }),
        };
        if let Err(Nowhere { key, known }) = found {
            let message = format!("`{read}` leads nowhere: an event `{kind}` has no `{key}` there");
            let finding = Finding::error(codes::NO_SUCH_PATH, expr.place(project, &read.at), message);
            let finding = finding.known(&key, known.iter().map(String::as_str));
            project.push(finding.help("correct the path, or extend the schema of the event"));
        }
    }
}

/// The document as text that is the same for the same meaning: keys in order, without what only people read.
fn canonical(document: &Json) -> String {
    fn write(json: &Json, to: &mut String) {
        match json {
            Json::Object(map) => {
                let sorted: BTreeMap<_, _> = map.iter().collect();
                to.push('{');
                for (key, value) in sorted {
                    to.push_str(&Json::from(key.as_str()).to_string());
                    to.push(':');
                    write(value, to);
                    to.push(',');
                }
                to.push('}');
            }
            Json::Array(items) => {
                to.push('[');
                for item in items {
                    write(item, to);
                    to.push(',');
                }
                to.push(']');
            }
            other => to.push_str(&other.to_string()),
        }
    }
    let mut meaning = document.clone();
    if let Some(head) = meaning.get_mut("document").and_then(Json::as_object_mut) {
        head.retain(|key, _| !matches!(key.as_str(), "title" | "summary" | "tags" | "metadata" | "namespace"));
    }
    let mut text = String::new();
    write(&meaning, &mut text);
    text
}
