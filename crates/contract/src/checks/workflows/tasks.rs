//! The tasks of a workflow, each read by itself.

use super::{Call, Scope, flow::DIRECTIVES};
use crate::{
    checks::{
        expressions::{Told, expression},
        mappings::mapping,
    },
    codes,
    expr::Program,
    files::{
        not_built,
        workflows::{
            CallTask, CaseFile, CatchFile, Common, DoTask, DurationFile, EmitTask, KINDS, RaiseTask, RetryPolicyFile,
            SetTask, SwitchTask, Tasks, TryTask, WaitTask,
        },
    },
    problem::{Finding, Spot},
    read::{At, Entries, Items, Raw, read},
    tree::{Kind, NodeId},
    workflow::{
        Backoff, Case, Delay, Emit, ErrorFilter, ErrorMapping, Mapping, RetryPolicy, Schemas, Task, TaskKind, Try,
        VARIABLES,
    },
};
use andon_model::span::Span;
use serde::de::DeserializeOwned;

/// Tasks of a list at most.
const TASKS_MAX: usize = 1_000;

/// Where a task stands: its name, its body, its pointer.
struct Entry {
    name: String,
    key: Spot,
    body: Spot,
    pointer: String,
}

impl Scope<'_> {
    /// The tasks of a list; `None` where one of them is wrong.
    pub(super) fn list(&mut self, tasks: Tasks, pointer: &str, vars: &[String]) -> Option<Vec<Task>> {
        let entries = self.entries(tasks.0, pointer)?;
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        let all: Vec<Option<(Task, Spot)>> =
            entries.iter().map(|entry| Some((self.task(entry, &names, vars)?, entry.key))).collect();
        let tasks: Vec<(Task, Spot)> = all.into_iter().collect::<Option<_>>()?;
        self.reachable(&tasks);
        Some(tasks.into_iter().map(|(task, _)| task).collect())
    }

    fn shape(&self, spot: Spot, message: impl Into<String>, help: &str) {
        let finding = Finding::error(codes::TASK, spot, message);
        self.project.push(finding.expected("a list of tasks, each `- <name>: { <kind>: ... }`").help(help));
    }

    /// Names and bodies of a list of tasks.
    fn entries(&self, raw: Raw, pointer: &str) -> Option<Vec<Entry>> {
        let tree = self.project.findings.tree(raw.spot.file)?;
        let at = |node: NodeId| Spot { file: raw.spot.file, node };
        let Kind::List(items) = &tree.node(raw.spot.node).kind else {
            self.shape(
                raw.spot,
                format!("found {} instead of tasks", tree.told(raw.spot.node)),
                "begin each task with `- `",
            );
            return None;
        };
        if items.is_empty() || items.len() > TASKS_MAX {
            self.shape(raw.spot, format!("the list has {} tasks", items.len()), "a list has 1 to 1000 tasks");
            return None;
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
            let escaped = name.replace('~', "~0").replace('/', "~1");
            entries.push(Entry {
                name,
                key: at(*key),
                body: at(*body),
                pointer: format!("{pointer}/{number}/{escaped}"),
            });
        }
        if !whole {
            // The bodies are looked at all the same, so that their problems are told too.
            return (!entries.is_empty()).then_some(entries);
        }
        Some(entries)
    }

    fn task(&mut self, entry: &Entry, names: &[String], vars: &[String]) -> Option<Task> {
        let (mut common, kind) = self.body(entry, names, vars)?;
        let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
        let condition = self.condition(common.condition.as_ref(), &vars);
        let input = self.filter(common.input.take().map(|filter| filter.from), &vars);
        let output = self.filter(common.output.take().map(|filter| filter.value), &vars);
        let export = self.filter(common.export.take().map(|filter| filter.value), &vars);
        let then = self.then(common.then.as_ref(), names);
        Some(Task {
            name: entry.name.clone(),
            pointer: entry.pointer.clone(),
            condition: condition.ok()?,
            input: input.ok()?,
            output: output.ok()?,
            export: export.ok()?,
            schemas: Schemas::default(),
            timeout: None,
            compensate: Vec::new(),
            then: then?,
            kind: kind?,
        })
    }

    /// An expression that may be missing.
    fn condition(&mut self, text: Option<&At<String>>, vars: &[&str]) -> Result<Option<Program>, Told> {
        let Some(text) = text else { return Ok(None) };
        let expr = expression(self.project, text, vars).ok_or(Told)?;
        self.exprs.push(expr.clone());
        Ok(Some(expr.program))
    }

    /// A mapping that may be missing.
    fn filter(&mut self, raw: Option<Raw>, vars: &[&str]) -> Result<Option<Mapping>, Told> {
        let Some(raw) = raw else { return Ok(None) };
        mapping(self.project, raw, vars, &mut self.exprs).map(Some).ok_or(Told)
    }

    /// What a task does, by the key that says so.
    fn body(&mut self, entry: &Entry, names: &[String], vars: &[String]) -> Option<(Common, Option<TaskKind>)> {
        let tree = self.project.findings.tree(entry.body.file)?;
        let keys: Vec<&str> = tree.entries(entry.body.node).iter().filter_map(|(key, _)| tree.text(*key)).collect();
        let told = |key: &str| {
            let node = tree.entries(entry.body.node).iter().find(|(k, _)| tree.text(*k) == Some(key)).map(|(k, _)| *k);
            Spot { file: entry.body.file, node: node.unwrap_or(entry.body.node) }
        };
        if let Some((key, help)) = keys.iter().find_map(|key| Some((*key, not_built::task(key)?))) {
            let finding = Finding::error(codes::NOT_SUPPORTED, told(key), format!("the task `{key}` is not supported"));
            self.project.push(finding.help(help));
            return None;
        }
        let Some(kind) = KINDS.iter().find(|kind| keys.contains(kind)) else {
            let known = format!("one of {}", KINDS.map(|kind| format!("`{kind}`")).join(", "));
            let message = format!("nothing says what the task `{}` does", entry.name);
            let finding = Finding::error(codes::TASK, entry.key, message).expected(known);
            self.project.push(finding.help("add the key that says what is done"));
            return None;
        };
        Some(match *kind {
            "call" => self.of(entry, |scope, mut task: CallTask| (task.common(), scope.call(&task, vars)))?,
            "do" => self.of(entry, |scope, mut task: DoTask| {
                let list = scope.list(task.tasks, &format!("{}/do", entry.pointer), vars);
                (task.common(), list.map(TaskKind::Do))
            })?,
            "emit" => self.of(entry, |scope, mut task: EmitTask| (task.common(), scope.emit(&task, vars)))?,
            "raise" => self.of(entry, |scope, mut task: RaiseTask| (task.common(), scope.raise(&task, vars)))?,
            "set" => self.of(entry, |scope, mut task: SetTask| (task.common(), scope.set(task.set, vars)))?,
            "switch" => self.of(entry, |scope, mut task: SwitchTask| {
                let cases = scope.switch(&task.switch, names, vars);
                (task.common(), cases.map(TaskKind::Switch))
            })?,
            "try" => self.of(entry, |scope, mut task: TryTask| {
                let common = task.common();
                (common, scope.guarded(&task, &entry.pointer, vars))
            })?,
            _ => self.of(entry, |scope, mut task: WaitTask| {
                (task.common(), scope.duration(task.wait).map(|span| TaskKind::Wait(Delay::Fixed(span))))
            })?,
        })
    }

    fn of<T: DeserializeOwned>(
        &mut self,
        entry: &Entry,
        resolve: impl FnOnce(&mut Self, T) -> (Common, Option<TaskKind>),
    ) -> Option<(Common, Option<TaskKind>)> {
        let task = read(&self.project.findings, entry.body)?;
        Some(resolve(self, task))
    }

    fn call(&mut self, task: &CallTask, vars: &[String]) -> Option<TaskKind> {
        let name = &task.call;
        if let Some(help) = not_built::call(name) {
            let finding =
                Finding::error(codes::NOT_SUPPORTED, name.spot, format!("`call: {}` is not supported", name.value));
            self.project.push(finding.help(help));
            return None;
        }
        let found = self.capabilities.called(self.project, name.spot, name);
        let with = match task.with {
            None => Some(None),
            Some(raw) => self.object(raw, vars).map(Some),
        };
        let (capability, declared) = found?;
        if let Some(raw) = task.with {
            self.input(raw, &declared.input);
        }
        let trigger = self.trigger.clone();
        self.calls.push(Call { capability: capability.to_owned(), spot: name.spot, trigger });
        Some(TaskKind::Call { capability: capability.to_owned(), with: with? })
    }

    /// An object whose texts may be expressions, or one expression.
    fn object(&mut self, raw: Raw, vars: &[String]) -> Option<Mapping> {
        let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
        let mapping = mapping(self.project, raw, &vars, &mut self.exprs)?;
        let is_object = match &mapping {
            Mapping::Constant(json) => json.is_object(),
            Mapping::List(_) => false,
            Mapping::Object(_) | Mapping::Expression(_) => true,
        };
        if !is_object {
            let tree = self.project.findings.tree(raw.spot.file)?;
            let message = format!("found {} where an object is made", tree.told(raw.spot.node));
            let finding = Finding::error(codes::WRONG_TYPE, raw.spot, message);
            self.project
                .push(finding.expected("a mapping, or an expression `${ ... }`").help("write `key: value` below it"));
            return None;
        }
        Some(mapping)
    }

    fn set(&mut self, raw: Raw, vars: &[String]) -> Option<TaskKind> {
        self.object(raw, vars).map(TaskKind::Set)
    }

    fn emit(&mut self, task: &EmitTask, vars: &[String]) -> Option<TaskKind> {
        let with = &task.emit.event.with;
        let events = &self.schemas.events;
        let is_known = events.expect(self.project, codes::UNKNOWN_EVENT, with.kind.spot, "type of event", &with.kind);
        let data = self.object(with.data, vars);
        if is_known {
            self.input(with.data, &with.kind);
        }
        let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
        let subject = self.filter(with.subject, &vars);
        let emit =
            Emit { kind: with.kind.value.clone(), source: None, time: None, subject: subject.ok()?, data: Some(data?) };
        is_known.then_some(TaskKind::Emit(emit))
    }

    fn raise(&mut self, task: &RaiseTask, vars: &[String]) -> Option<TaskKind> {
        let error = &task.raise.error;
        let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
        let mut read = |raw: Raw| mapping(self.project, raw, &vars, &mut self.exprs);
        let (kind, status) = (read(error.kind), read(error.status));
        let title = error.title.map(&mut read);
        let detail = error.detail.map(&mut read);
        let title = title.map_or(Some(None), |title| title.map(Some));
        let detail = detail.map_or(Some(None), |detail| detail.map(Some));
        Some(TaskKind::Raise(ErrorMapping { kind: kind?, status: status?, title: title?, detail: detail? }))
    }

    fn switch(
        &mut self,
        cases: &Items<At<Entries<String, CaseFile>>>,
        names: &[String],
        vars: &[String],
    ) -> Option<Vec<Case>> {
        let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
        let mut all = Vec::new();
        let mut whole = cases.spoilt == 0;
        let mut default = false;
        for case in cases.iter() {
            let [(name, body)] = case.good.as_slice() else {
                if case.spoilt.is_empty() {
                    let finding = Finding::error(codes::TASK, case.spot, "this is not one case with its name");
                    self.project
                        .push(finding.expected("`- <name>: { when: ${ ... }, then: ... }`").help("one case per `- `"));
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
            let when = self.condition(body.when.as_ref(), &vars);
            let then = self.then(Some(&body.then), names);
            match (when, then) {
                (Ok(when), Some(then)) => all.push(Case { name: name.value.clone(), when, then }),
                _ => whole = false,
            }
        }
        if cases.good.is_empty() && cases.spoilt == 0 {
            return None;
        }
        whole.then_some(all)
    }

    fn guarded(&mut self, task: &TryTask, pointer: &str, vars: &[String]) -> Option<TaskKind> {
        let catch = &task.catch;
        let tasks = self.list(task.tasks, &format!("{pointer}/try"), vars);
        let variable = self.variable(catch, vars);
        let mut inner = vars.to_vec();
        inner.push(variable.clone().unwrap_or_else(|| "error".to_owned()));
        let handler = match catch.handler {
            None => Some(Vec::new()),
            Some(tasks) => self.list(tasks, &format!("{pointer}/catch/do"), &inner),
        };
        let names: Vec<&str> = inner.iter().map(String::as_str).collect();
        let when = self.condition(catch.when.as_ref(), &names);
        let except_when = self.condition(catch.except_when.as_ref(), &names);
        let retry = match &catch.retry {
            None => Some(None),
            Some(retry) => self.retry(retry, &names).map(Some),
        };
        let with = catch.errors.as_ref().map(|errors| &errors.with);
        let errors = with.map_or_else(ErrorFilter::default, |with| ErrorFilter {
            kind: with.kind.clone(),
            status: with.status.as_ref().map(|status| status.value),
            title: with.title.clone(),
            detail: with.detail.clone(),
            instance: with.instance.clone(),
        });
        Some(TaskKind::Try(Box::new(Try {
            tasks: tasks?,
            errors,
            variable: variable?,
            when: when.ok()?,
            except_when: except_when.ok()?,
            retry: retry?,
            handler: handler?,
        })))
    }

    /// The name of the error's variable.
    fn variable(&self, catch: &CatchFile, vars: &[String]) -> Option<String> {
        let Some(name) = &catch.variable else {
            return Some("error".to_owned());
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name || VARIABLES.contains(&name.as_str()) || vars.contains(name) {
            let finding = Finding::error(
                codes::CATCH_VARIABLE,
                name.spot,
                format!("`{}` cannot be the error's name", name.value),
            );
            let taken = vars.join("`, `");
            self.project
                .push(finding.expected(format!("letters, digits and `_`, none of `{taken}`")).help("choose another"));
            return None;
        }
        Some(name.value.clone())
    }

    fn retry(&mut self, file: &RetryPolicyFile, vars: &[&str]) -> Option<RetryPolicy> {
        let when = self.condition(file.when.as_ref(), vars);
        let except_when = self.condition(file.except_when.as_ref(), vars);
        let delay = file.delay.map_or(Some(None), |raw| self.duration(raw).map(Some));
        let backoff = match &file.backoff {
            None => Some(Backoff::Constant),
            Some(backoff) => self.backoff(backoff.spot),
        };
        let limit = file.limit.as_ref();
        let count = limit.and_then(|limit| limit.attempt.as_ref()).map(|attempt| &attempt.count);
        if let Some(count) = count.filter(|count| count.value == 0) {
            let finding = Finding::error(codes::RETRY_POLICY, count.spot, "no pass at all is allowed");
            self.project
                .push(finding.expected("a whole number from 1, the first pass included").help("correct the number"));
        }
        let duration = match limit.and_then(|limit| limit.duration) {
            None => Some(None),
            Some(raw) => self.duration(raw).map(Some),
        };
        Some(RetryPolicy {
            when: when.ok()?,
            except_when: except_when.ok()?,
            delay: delay?.map(Delay::Fixed),
            backoff: backoff?,
            jitter: None,
            attempt: None,
            attempts: count.map(|count| count.value),
            duration: duration?.map(Delay::Fixed),
        })
    }

    fn backoff(&self, spot: Spot) -> Option<Backoff> {
        let tree = self.project.findings.tree(spot.file)?;
        let keys: Vec<&str> = tree.entries(spot.node).iter().filter_map(|(key, _)| tree.text(*key)).collect();
        match keys.as_slice() {
            ["constant"] => Some(Backoff::Constant),
            ["linear"] => Some(Backoff::Linear),
            ["exponential"] => Some(Backoff::Exponential),
            _ => {
                let finding = Finding::error(codes::RETRY_POLICY, spot, "the pause grows in no way, or in several");
                self.project
                    .push(finding.expected("one of `constant: {}`, `linear: {}`, `exponential: {}`").help("keep one"));
                None
            }
        }
    }

    /// A duration as text, or as an object of the DSL.
    fn duration(&self, raw: Raw) -> Option<Span> {
        let tree = self.project.findings.tree(raw.spot.file)?;
        let Some(text) = tree.text(raw.spot.node) else {
            let file: DurationFile = read(&self.project.findings, raw.spot)?;
            let part = |number: Option<u32>, millis: i64| i64::from(number.unwrap_or(0)).saturating_mul(millis);
            let millis = part(file.days, 86_400_000)
                .saturating_add(part(file.hours, 3_600_000))
                .saturating_add(part(file.minutes, 60_000))
                .saturating_add(part(file.seconds, 1_000))
                .saturating_add(part(file.milliseconds, 1));
            return Some(Span::from_millis(millis));
        };
        match Span::parse(text) {
            Ok(span) => Some(span),
            Err(error) => {
                let finding = Finding::error(codes::WRONG_FORM, raw.spot, format!("`{text}` is no duration"));
                self.project.push(finding.expected(error.expected).help("correct the duration"));
                None
            }
        }
    }
}
