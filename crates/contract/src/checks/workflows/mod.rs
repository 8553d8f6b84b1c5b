//! Workflows: the DSL as far as it runs here, its names and targets, its expressions, and its calls against the
//! capabilities they name.

mod blocks;
mod decisions;
mod effects;
mod events;
mod flow;
mod handed;
mod http;
mod infer;
mod inputs;
mod settings;
mod subflows;
mod tasks;
#[cfg(test)]
mod tests;
mod types;
mod values;

use super::{
    Known,
    capabilities::Capabilities,
    expressions::{Expr, Told},
    ownership::Owners,
    rules::version,
    schemas::SchemaSet,
    stem,
};
use crate::{
    codes,
    files::workflows::{METADATA, MetadataFile, UseFile, WorkflowFile},
    load::{Doc, Project},
    problem::{Finding, Spot},
    read::{At, Raw},
    workflow::{Definition, Schedule, Schemas, Settings, VARIABLES},
};
use andon_model::Name;
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) use effects::check as check_effects;
pub(crate) use http::{Host, check_hosts};

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
    pub(crate) calls: Vec<WorkflowCall>,
    /// The addresses that calls over HTTP name.
    pub(crate) hosts: Vec<Host>,
    /// Where tasks stand, by workflow and pointer.
    spots: BTreeMap<Name, BTreeMap<String, Spot>>,
    /// Where a workflow says where it runs.
    placed: BTreeMap<Name, Spot>,
    /// The workflows that a workflow runs.
    runs: BTreeMap<Name, Vec<String>>,
}

/// A call of a capability by a workflow.
pub(crate) struct WorkflowCall {
    pub(crate) capability: String,
    pub(crate) spot: Spot,
    /// The type of event that starts the workflow; `None`: several, or something else.
    pub(crate) trigger: Option<String>,
}

/// What is looked at beside the workflows.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    pub(crate) project: &'a Project,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) schemas: &'a SchemaSet,
    /// The teams; `None`: nobody is told that one is missing.
    pub(crate) owners: Option<&'a Owners>,
    /// The sites; `None`: nobody is told that one is missing.
    pub(crate) sites: Option<&'a Known>,
    /// Whether names that stand outside of the workflow are taken as they are.
    pub(crate) open: bool,
    /// Whether values and flows are followed, and not only read.
    pub(crate) follow: bool,
}

impl Workflows {
    /// Whether another workflow runs this one.
    fn is_run(&self, name: &str) -> bool {
        self.runs.values().flatten().any(|run| run == name)
    }
}

pub(crate) fn resolve(beside: Beside) -> Workflows {
    let project = beside.project;
    let mut all = Workflows::default();
    let mut read: BTreeMap<Name, Reading> = BTreeMap::new();
    for doc in &project.workflows {
        let (Some(name), Some((raw, Some(file)))) = (stem(project, doc), &doc.body) else { continue };
        let mut scope = Scope::new(beside, file.uses.as_ref());
        let definition = scope.workflow(doc, *raw, file);
        let triggers = scope.triggers.clone();
        all.spots.insert(name.clone(), std::mem::take(&mut scope.spots));
        all.placed.extend(scope.placed.map(|spot| (name.clone(), spot)));
        all.runs.insert(name.clone(), scope.subflows.iter().map(|run| run.name.value.clone()).collect());
        all.hosts.append(&mut scope.hosts);
        read.insert(name.clone(), Reading { file, calls: scope.calls, subflows: scope.subflows, triggers });
        if let Ok(definition) = definition {
            all.good.insert(name, Arc::new(definition));
        }
    }
    all.calls = subflows::check(beside, &read);
    all
}

/// Reads one workflow as a project does, without a project: what it names outside of itself is taken as it is. Where
/// nothing is followed, flows that never end and values that cannot be there are left to whoever runs it.
pub(crate) fn alone(name: &str, text: &str, follow: bool) -> Result<Definition, String> {
    let files = BTreeMap::from([(format!("workflows/{name}.yaml"), text.to_owned())]);
    let project = Project::read(&files, Vec::new());
    let capabilities =
        Capabilities { good: BTreeMap::new(), known: super::Known::default(), domains: super::Known::default() };
    let schemas = super::schemas::resolve(&project);
    let beside = Beside {
        project: &project,
        capabilities: &capabilities,
        schemas: &schemas,
        owners: None,
        sites: None,
        open: true,
        follow,
    };
    let mut found = resolve(beside);
    let problems = project.findings.problems();
    match found.good.pop_first() {
        Some((_, definition)) if !project.findings.has_errors() => {
            Ok(Arc::try_unwrap(definition).unwrap_or_else(|shared| (*shared).clone()))
        }
        _ => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")),
    }
}

/// What was found in the file of a workflow.
struct Reading<'a> {
    file: &'a WorkflowFile,
    calls: Vec<Call>,
    subflows: Vec<Subflow>,
    /// The types of events that start it; none where something else does.
    triggers: BTreeSet<String>,
}

/// A call of a capability.
struct Call {
    capability: String,
    spot: Spot,
}

/// A run of another workflow.
struct Subflow {
    name: At<String>,
    namespace: At<String>,
    version: Option<At<String>>,
}

/// The variables in scope, in the order of [`VARIABLES`] and what stands around the place.
#[derive(Debug, Clone)]
struct Vars(Vec<String>);

impl Vars {
    /// Those that every expression may read.
    fn all() -> Self {
        Self(VARIABLES.map(str::to_owned).to_vec())
    }

    /// None: of what looks at an event by itself.
    fn none() -> Self {
        Self(Vec::new())
    }

    /// With further ones inside; an outer one of the same name is hidden, under a name that nobody can write.
    fn with(&self, inner: &[String]) -> Self {
        let hidden = |name: &String| if inner.contains(name) { format!("{name}'") } else { name.clone() };
        Self(self.0.iter().map(hidden).chain(inner.iter().cloned()).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// What the tasks of a workflow may refer to, and what is found in them.
struct Scope<'a> {
    project: &'a Project,
    capabilities: &'a Capabilities,
    schemas: &'a SchemaSet,
    owners: Option<&'a Owners>,
    sites: Option<&'a Known>,
    open: bool,
    follow: bool,
    uses: Option<&'a UseFile>,
    triggers: BTreeSet<String>,
    calls: Vec<Call>,
    subflows: Vec<Subflow>,
    hosts: Vec<Host>,
    exprs: Vec<Expr>,
    /// Where tasks stand, by their pointers.
    spots: BTreeMap<String, Spot>,
    /// Where the workflow says where it runs.
    placed: Option<Spot>,
    /// The functions around the place.
    functions: Vec<String>,
    /// Tasks read so far.
    count: usize,
    /// The task whose `run` returns nothing.
    silent: Option<String>,
}

impl<'a> Scope<'a> {
    fn new(beside: Beside<'a>, uses: Option<&'a UseFile>) -> Self {
        Self {
            project: beside.project,
            capabilities: beside.capabilities,
            schemas: beside.schemas,
            owners: beside.owners,
            sites: beside.sites,
            open: beside.open,
            follow: beside.follow,
            uses,
            triggers: BTreeSet::new(),
            calls: Vec::new(),
            subflows: Vec::new(),
            hosts: Vec::new(),
            exprs: Vec::new(),
            spots: BTreeMap::new(),
            placed: None,
            functions: Vec::new(),
            count: 0,
            silent: None,
        }
    }

    fn workflow(
        &mut self,
        doc: &Doc<(Raw, Option<WorkflowFile>)>,
        raw: Raw,
        file: &WorkflowFile,
    ) -> Result<Definition, Told> {
        let project = self.project;
        head(project, doc, file);
        self.misplaced(file.document.metadata);
        let document = project.findings.tree(raw.spot.file).ok_or(Told)?.json(raw.spot.node);
        let schedule = file.schedule.as_ref().map(|schedule| self.schedule(schedule)).transpose();
        if let Ok(Some(Schedule::On(consumption))) = &schedule {
            self.triggers = events::kinds(consumption).into_iter().map(str::to_owned).collect();
        }
        let metadata = file.metadata.map(|raw| self.beside::<MetadataFile>(raw, &METADATA)).transpose();
        if let Ok(Some(metadata)) = &metadata {
            self.placed = metadata.placement.as_ref().map(|word| word.spot);
        }
        let settings = metadata.map(|metadata| {
            metadata.map_or_else(Settings::default, |metadata| Settings {
                catchup: self.catchup(&metadata, file.schedule.as_ref().map(|schedule| &schedule.value)),
                ..self.settings(&metadata)
            })
        });
        if let Some(uses) = &file.uses {
            self.declared(uses);
        }
        let vars = Vars::all();
        let input = self.input_of(file.input.clone(), &vars);
        let output = self.output_of(file.output.clone(), &vars);
        let timeout = self.timeout(file.timeout, &vars);
        let tasks = self.list(file.tasks, "/do", &vars);
        if let Some(uses) = &file.uses {
            self.unused(uses, &document);
        }
        let (input, output) = (input?, output?);
        let definition = Definition {
            name: file.document.name.value.clone(),
            version: file.document.version.value.clone(),
            hash: version(&["workflow", &canonical(&document)]),
            document,
            schedule: schedule?,
            input: input.0,
            output: output.0,
            schemas: Schemas { input: input.1, output: output.1, export: None },
            timeout: timeout?,
            settings: settings?,
            tasks: tasks?,
        };
        if self.follow {
            infer::walk(self, &definition);
        }
        Ok(definition)
    }
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
