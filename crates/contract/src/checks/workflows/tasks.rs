//! The tasks of a workflow, each read by itself.

use super::{Call, Scope, Subflow, Vars, flow::DIRECTIVES};
use crate::{
    checks::expressions::Told,
    codes,
    contract::capability_key,
    expr::embedded,
    files::{
        not_built,
        workflows::{
            CallTask, CaseFile, Common, DoTask, EmitTask, ErrorFile, ForTask, ForkTask, KINDS, ListenTask, OrName,
            RaiseTask, RunTask, SetTask, SubflowFile, SwitchTask, TASK_METADATA, TaskMetadataFile, Tasks, TryTask,
            WaitTask,
        },
    },
    http::{HTTP, OPENAPI},
    problem::{Finding, Spot},
    read::{At, Entries, Items, Raw},
    tree::{Kind, NodeId},
    workflow::{Case, Emit, ErrorMapping, Mapping, RunWorkflow, Schemas, Task, TaskKind},
};
use andon_model::Time;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What a case of a switch looks like.
const CASE: &str = "`- <name>: { when: ${ ... }, then: ... }`";

/// Tasks of a list at most.
const TASKS_MAX: usize = 1_000;

/// Tasks of a workflow at most, those of functions counted wherever they are called.
const ALL_TASKS_MAX: usize = 10_000;

/// Where a task stands: its name, its body, its pointer.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) key: Spot,
    pub(super) body: Spot,
    pub(super) pointer: String,
}

/// What the keys of a kind of task gave, beside those of every task.
type Body = (Common, Result<TaskKind, Told>);

impl Scope<'_> {
    /// The tasks of a list.
    pub(super) fn list(&mut self, tasks: Tasks, pointer: &str, vars: &Vars) -> Result<Vec<Task>, Told> {
        let entries = self.entries(tasks.0, pointer)?;
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        // All are looked at, so that all problems are told.
        let all: Vec<Result<Task, Told>> = entries.iter().map(|entry| self.task(entry, &names, vars)).collect();
        let tasks: Vec<Task> = all.into_iter().collect::<Result<_, _>>()?;
        self.reachable(&tasks);
        Ok(tasks)
    }

    fn shape(&self, spot: Spot, message: impl Into<String>, help: &str) {
        let finding = Finding::error(codes::TASK, spot, message);
        self.project.push(finding.expected("a list of tasks, each `- <name>: { <kind>: ... }`").help(help));
    }

    /// Names and bodies of a list of tasks.
    pub(super) fn entries(&self, raw: Raw, pointer: &str) -> Result<Vec<Entry>, Told> {
        let tree = self.project.findings.tree(raw.spot.file).ok_or(Told)?;
        let at = |node: NodeId| Spot { file: raw.spot.file, node };
        let Kind::List(items) = &tree.node(raw.spot.node).kind else {
            self.shape(
                raw.spot,
                format!("found {} instead of tasks", tree.told(raw.spot.node)),
                "begin each task with `- `",
            );
            return Err(Told);
        };
        if items.is_empty() || items.len() > TASKS_MAX {
            self.shape(raw.spot, format!("the list has {} tasks", items.len()), "a list has 1 to 1000 tasks");
            return Err(Told);
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut whole = true;
        for (number, item) in items.iter().enumerate() {
            let [(key, body)] = tree.entries(*item) else {
                let help = "indent the keys of the task below its name, or begin the next task with `- `";
                self.shape(at(*item), "this is not one task with its name", help);
                whole = false;
                continue;
            };
            let name = tree.text(*key).unwrap_or_default().to_owned();
            if DIRECTIVES.contains(&name.as_str()) {
                self.shape(
                    at(*key),
                    format!("`{name}` cannot be the name of a task"),
                    "`then` would not lead here; rename it",
                );
            }
            if let Some(other) = entries.iter().find(|entry| entry.name == name) {
                let line = self.project.findings.line_of(other.key);
                let message = format!("the task `{name}` already stands in {line}");
                let finding = Finding::error(codes::DUPLICATE_TASK, at(*key), message);
                self.project.push(finding.help("give one of the two another name"));
                whole = false;
            }
            let pointer = format!("{pointer}/{number}/{}", escaped(&name));
            entries.push(Entry { name, key: at(*key), body: at(*body), pointer });
        }
        if !whole {
            // The bodies are looked at all the same, so that their problems are told too.
            return if entries.is_empty() { Err(Told) } else { Ok(entries) };
        }
        Ok(entries)
    }

    pub(super) fn task(&mut self, entry: &Entry, names: &[String], vars: &Vars) -> Result<Task, Told> {
        self.count += 1;
        if self.count > ALL_TASKS_MAX {
            if self.count == ALL_TASKS_MAX + 1 {
                let message =
                    format!("the workflow has more than {ALL_TASKS_MAX} tasks, those of its functions included");
                self.shape(entry.key, message, "take it apart: run another workflow");
            }
            return Err(Told);
        }
        self.spots.insert(entry.pointer.clone(), entry.key);
        let (mut common, kind) = self.body(entry, names, vars)?;
        let condition = self.condition(common.condition.as_ref(), vars);
        let input = self.input_of(common.input.take(), vars);
        let output = self.output_of(common.output.take(), vars);
        let export = self.export_of(common.export.take(), vars);
        let timeout = self.timeout(common.timeout, vars);
        let then = self.then(common.then.as_ref(), names);
        let compensate = self.compensate(common.metadata, &entry.pointer);
        let (input, output, export) = (input?, output?, export?);
        let mut task = Task {
            name: entry.name.clone(),
            pointer: entry.pointer.clone(),
            condition: condition?,
            input: input.0,
            output: output.0,
            export: export.0,
            schemas: Schemas { input: input.1, output: output.1, export: export.1 },
            timeout: timeout?,
            compensate: compensate?,
            then: then.ok_or(Told)?,
            kind: kind?,
        };
        if self.silent.take_if(|pointer| *pointer == task.pointer).is_some() {
            task.output.get_or_insert(Mapping::Constant(Json::Null));
        }
        Ok(task)
    }

    /// What undoes a task.
    fn compensate(&mut self, metadata: Option<Raw>, pointer: &str) -> Result<Vec<Task>, Told> {
        let Some(tasks) = self.metadata_of(metadata)?.compensate else { return Ok(Vec::new()) };
        self.list(tasks, &format!("{pointer}/metadata/compensate"), &Vars::all())
    }

    /// What is said of a task beside the DSL.
    pub(super) fn metadata_of(&self, metadata: Option<Raw>) -> Result<TaskMetadataFile, Told> {
        let Some(raw) = metadata else { return Ok(TaskMetadataFile::default()) };
        self.beside(raw, &TASK_METADATA)
    }

    /// What a task does, by the key that says so.
    fn body(&mut self, entry: &Entry, names: &[String], vars: &Vars) -> Result<Body, Told> {
        let tree = self.project.findings.tree(entry.body.file).ok_or(Told)?;
        let keys: Vec<&str> = tree.entries(entry.body.node).iter().filter_map(|(key, _)| tree.text(*key)).collect();
        let Some(kind) = KINDS.iter().find(|kind| keys.contains(kind)) else {
            let known = format!("one of {}", KINDS.map(|kind| format!("`{kind}`")).join(", "));
            let message = format!("nothing says what the task `{}` does", entry.name);
            let finding = Finding::error(codes::TASK, entry.key, message).expected(known);
            self.project.push(finding.help("add the key that says what is done"));
            return Err(Told);
        };
        let kind = if keys.contains(&"for") { &"for" } else { kind };
        if *kind == "run" {
            self.runs_elsewhere(entry)?;
        }
        let pointer = &entry.pointer;
        match *kind {
            "call" => self.of(entry, |scope, mut task: CallTask| {
                let common = task.common();
                let kind = match task.call.as_str() {
                    HTTP | OPENAPI => scope.over_http(&task, common.metadata, vars),
                    _ => scope.call(&task, entry, vars),
                };
                (common, kind)
            }),
            "do" => self.of(entry, |scope, mut task: DoTask| {
                let list = scope.list(task.tasks, &format!("{pointer}/do"), vars);
                (task.common(), list.map(TaskKind::Do))
            }),
            "emit" => self.of(entry, |scope, mut task: EmitTask| (task.common(), scope.emit(&task, vars))),
            "for" => self.of(entry, |scope, mut task: ForTask| (task.common(), scope.for_each(&task, pointer, vars))),
            "fork" => self.of(entry, |scope, mut task: ForkTask| (task.common(), scope.fork(&task, pointer, vars))),
            "listen" => self.of(entry, |scope, mut task: ListenTask| {
                let common = task.common();
                let kind = scope.listen(&task, entry, common.metadata, vars);
                (common, kind)
            }),
            "raise" => self.of(entry, |scope, mut task: RaiseTask| (task.common(), scope.raise(&task, vars))),
            "run" => self.of(entry, |scope, mut task: RunTask| {
                let common = task.common();
                let kind = scope.run(&task, entry, common.output.is_some(), vars);
                (common, kind)
            }),
            "set" => self
                .of(entry, |scope, mut task: SetTask| (task.common(), scope.object(task.set, vars).map(TaskKind::Set))),
            "switch" => self.of(entry, |scope, mut task: SwitchTask| {
                let cases = scope.switch(&task.switch, entry.body, names, vars);
                (task.common(), cases.map(TaskKind::Switch))
            }),
            "try" => self.of(entry, |scope, mut task: TryTask| (task.common(), scope.guarded(&task, pointer, vars))),
            _ => self.of(entry, |scope, mut task: WaitTask| {
                (task.common(), scope.delay(task.wait, vars).map(TaskKind::Wait))
            }),
        }
    }

    /// Refuses what a `run` cannot run here.
    fn runs_elsewhere(&self, entry: &Entry) -> Result<(), Told> {
        let tree = self.project.findings.tree(entry.body.file).ok_or(Told)?;
        let Some(run) = tree.get(entry.body.node, "run") else { return Ok(()) };
        for (key, _) in tree.entries(run) {
            let Some(help) = tree.text(*key).and_then(not_built::run) else { continue };
            let spot = Spot { node: *key, ..entry.body };
            let message = format!("`run: {}` is not supported", tree.text(*key).unwrap_or_default());
            self.project.push(Finding::error(codes::NOT_SUPPORTED, spot, message).help(help));
            return Err(Told);
        }
        Ok(())
    }

    fn of<T: DeserializeOwned>(
        &mut self,
        entry: &Entry,
        resolve: impl FnOnce(&mut Self, T) -> Body,
    ) -> Result<Body, Told> {
        let task = self.read(entry.body)?;
        Ok(resolve(self, task))
    }

    /// A request that the workflow makes itself.
    fn over_http(&mut self, task: &CallTask, metadata: Option<Raw>, vars: &Vars) -> Result<TaskKind, Told> {
        let told = self.metadata_of(metadata)?.idempotency;
        if task.call.as_str() == HTTP {
            self.http(task.with, task.call.spot, told.as_ref(), vars)
        } else {
            self.openapi(task.with, task.call.spot, told.as_ref(), vars)
        }
    }

    fn call(&mut self, task: &CallTask, entry: &Entry, vars: &Vars) -> Result<TaskKind, Told> {
        let name = &task.call;
        if let Some(help) = not_built::call(name) {
            let finding =
                Finding::error(codes::NOT_SUPPORTED, name.spot, format!("`call: {}` is not supported", name.value));
            self.project.push(finding.help(help));
            return Err(Told);
        }
        if let Some(body) = self.function(name) {
            return self.call_function(task, body, entry, vars);
        }
        if self.open {
            let with = task.with.map(|raw| self.object(raw, vars)).transpose()?;
            return Ok(TaskKind::Call { capability: capability_key(name).to_owned(), with });
        }
        let capabilities = self.capabilities;
        let found = capabilities.called(self.project, name.spot, name);
        let with = task.with.map(|raw| self.object(raw, vars)).transpose();
        let (capability, declared) = found.ok_or(Told)?;
        if let Some(raw) = task.with {
            self.input(raw, &declared.input);
        }
        self.calls.push(Call { capability: capability.to_owned(), spot: name.spot });
        Ok(TaskKind::Call { capability: capability.to_owned(), with: with? })
    }

    /// The body of a function of `use.functions`.
    fn function(&self, name: &str) -> Option<Raw> {
        let functions = &self.uses?.functions;
        functions.good.iter().find(|(key, _)| key.value == name).map(|(_, body)| *body)
    }

    fn call_function(&mut self, task: &CallTask, body: Raw, entry: &Entry, vars: &Vars) -> Result<TaskKind, Told> {
        let name = &task.call;
        let with = task.with.map(|raw| self.object(raw, vars)).transpose();
        if self.functions.contains(&name.value) {
            let message = format!("the function `{}` calls itself", name.value);
            let finding = Finding::error(codes::ENDLESS, name.spot, message);
            self.project.push(finding.help("repeat with `for`, or run a workflow of its own"));
            return Err(Told);
        }
        let inner = Entry {
            name: name.value.clone(),
            key: name.spot,
            body: body.spot,
            pointer: format!("{}/call/{}", entry.pointer, escaped(name)),
        };
        self.functions.push(name.value.clone());
        let read = self.task(&inner, &[], vars);
        self.functions.pop();
        Ok(TaskKind::Function { with: with?, tasks: vec![read?] })
    }

    fn emit(&mut self, task: &EmitTask, vars: &Vars) -> Result<TaskKind, Told> {
        let with = &task.emit.event.with;
        let (kind, events) = (&with.kind, &self.schemas.events);
        let is_known = self.open || events.expect(self.project, codes::UNKNOWN_EVENT, kind.spot, "type of event", kind);
        let data = with.data.map(|raw| self.object(raw, vars)).transpose();
        match with.data {
            Some(raw) if is_known => self.input(raw, kind),
            None if is_known => self.demanded(kind, kind.spot, &[]),
            _ => {}
        }
        let mut text = |raw: Option<Raw>| raw.map(|raw| self.text(raw, vars)).transpose();
        let (source, time, subject) = (text(with.source), text(with.time), text(with.subject));
        let time = time?;
        if let (Some(Mapping::Constant(Json::String(text))), Some(raw)) = (&time, with.time)
            && let Err(error) = Time::parse(text)
        {
            let finding = Finding::error(codes::WRONG_FORM, raw.spot, format!("`{text}` is no time"));
            self.project.push(finding.expected(error.expected).help("correct the time, or leave it out: it is now"));
            return Err(Told);
        }
        let emit = Emit { kind: kind.value.clone(), source: source?, time, subject: subject?, data: data? };
        if is_known { Ok(TaskKind::Emit(emit)) } else { Err(Told) }
    }

    fn raise(&mut self, task: &RaiseTask, vars: &Vars) -> Result<TaskKind, Told> {
        let OrName(raw, _) = task.raise.error;
        let owned: ErrorFile;
        let error = match self.name_of(raw) {
            Some(text) if embedded(&text).is_some() => {
                let finding = Finding::error(codes::NOT_SUPPORTED, raw.spot, "an error as a whole is no expression");
                self.project.push(
                    finding
                        .expected("`{ type, status, title, detail }`, or a name of `use.errors`")
                        .help("write its parts; each of them may be an expression"),
                );
                return Err(Told);
            }
            Some(name) => self.used("error", &name, raw.spot, |uses| &uses.errors)?,
            None => {
                owned = self.read(raw.spot)?;
                &owned
            }
        };
        self.error(error, vars).map(TaskKind::Raise)
    }

    pub(super) fn error(&mut self, error: &ErrorFile, vars: &Vars) -> Result<ErrorMapping, Told> {
        let (kind, status) = (self.mapping(error.kind, vars), self.mapping(error.status, vars));
        let (title, detail) = (self.optional(error.title, vars), self.optional(error.detail, vars));
        let status = status?;
        if let Mapping::Constant(json) = &status
            && !json.as_u64().is_some_and(|status| (100..600).contains(&status))
        {
            let finding = Finding::error(codes::WRONG_FORM, error.status.spot, format!("{json} is no status"));
            self.project.push(finding.expected("a whole number from 100 to 599").help("correct the status"));
            return Err(Told);
        }
        Ok(ErrorMapping { kind: kind?, status, title: title?, detail: detail? })
    }

    fn run(&mut self, task: &RunTask, entry: &Entry, has_output: bool, vars: &Vars) -> Result<TaskKind, Told> {
        let file = &task.run.value;
        let Some(subflow) = &file.workflow else {
            let finding = Finding::error(codes::TASK, task.run.spot, "nothing is run");
            self.project.push(finding.expected("`workflow: { namespace, name, version }`").help("name a workflow"));
            return Err(Told);
        };
        let wait = file.wait.unwrap_or(true);
        let input = subflow.input.map(|raw| self.object(raw, vars)).transpose();
        if let Some(give) = &file.give {
            match give.as_str() {
                "none" if has_output => {
                    let finding =
                        Finding::error(codes::TASK, give.spot, "nothing is returned that `output` could look at");
                    self.project.push(finding.help("leave `return` or `output` out"));
                    return Err(Told);
                }
                "none" => self.silent = Some(entry.pointer.clone()),
                _ => {
                    let message = format!("a workflow returns no `{}`", give.value);
                    let finding = Finding::error(codes::NOT_SUPPORTED, give.spot, message);
                    self.project
                        .push(finding.expected("`none`").help("leave it out: the task gives the workflow's output"));
                    return Err(Told);
                }
            }
        }
        let run = RunWorkflow { name: subflow.name.value.clone(), version: version(subflow), input: input?, wait };
        self.subflows.push(Subflow {
            name: subflow.name.clone(),
            namespace: subflow.namespace.clone(),
            version: subflow.version.clone().filter(|version| version.value != "latest"),
        });
        Ok(TaskKind::Run(run))
    }

    fn switch(
        &mut self,
        cases: &Items<At<Entries<String, CaseFile>>>,
        at: Spot,
        names: &[String],
        vars: &Vars,
    ) -> Result<Vec<Case>, Told> {
        let mut all = Vec::new();
        let mut whole = cases.spoilt == 0;
        let mut default = false;
        for case in cases.iter() {
            let [(name, body)] = case.good.as_slice() else {
                if case.spoilt.is_empty() {
                    let finding = Finding::error(codes::TASK, case.spot, "this is not one case with its name");
                    self.project.push(finding.expected(CASE).help("one case per `- `"));
                }
                whole = false;
                continue;
            };
            if default {
                let finding = Finding::error(
                    codes::UNREACHABLE,
                    name.spot,
                    format!("the case `{}` is never reached", name.value),
                );
                self.project.push(finding.help("the case without `when` above always holds; move it to the end"));
            }
            default |= body.when.is_none();
            let when = self.condition(body.when.as_ref(), vars);
            let then = self.then(Some(&body.then), names);
            match (when, then) {
                (Ok(when), Some(then)) => all.push(Case { name: name.value.clone(), when, then }),
                _ => whole = false,
            }
        }
        if cases.good.is_empty() && cases.spoilt == 0 {
            let finding = Finding::error(codes::TASK, at, "a switch has at least one case");
            self.project.push(finding.expected(CASE).help("name the cases"));
            return Err(Told);
        }
        whole.then_some(all).ok_or(Told)
    }
}

/// The version a workflow must have; `None`: the one in force.
fn version(subflow: &SubflowFile) -> Option<String> {
    subflow.version.as_ref().map(|version| version.value.clone()).filter(|version| version != "latest")
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
