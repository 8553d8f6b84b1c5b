//! Tasks that hold tasks: loops, branches, listeners with something to do for each event, guarded blocks.

use super::{Scope, Vars, tasks::Entry};
use crate::{
    checks::expressions::Told,
    codes,
    files::workflows::{
        CatchFile, ErrorsFile, ForTask, ForeachFile, ForkTask, ListenTask, OrName, ReadWord, RetryPolicyFile, Tasks,
        TryTask,
    },
    problem::{Finding, Spot},
    read::{At, Raw},
    workflow::{Backoff, ErrorFilter, For, Foreach, Listen, ReadAs, RetryPolicy, Task, TaskKind, Try, VARIABLES},
};

/// Branches of one `fork` at most.
const BRANCHES_MAX: usize = 64;

impl Scope<'_> {
    pub(super) fn for_each(&mut self, task: &ForTask, pointer: &str, vars: &Vars) -> Result<TaskKind, Told> {
        let list = self.program(&task.list.list, task.list.list.spot, vars);
        let (each, at) = self.variables((task.list.each.as_ref(), "item"), (task.list.at.as_ref(), "index"), vars);
        let inner = vars.with(&[each.clone().unwrap_or("item".into()), at.clone().unwrap_or("index".into())]);
        let condition = self.condition(task.holds.as_ref(), &inner);
        let tasks = self.list(task.tasks, &format!("{pointer}/do"), &inner);
        Ok(TaskKind::For(Box::new(For { each: each?, at: at?, list: list?, condition: condition?, tasks: tasks? })))
    }

    pub(super) fn fork(&mut self, task: &ForkTask, pointer: &str, vars: &Vars) -> Result<TaskKind, Told> {
        let Tasks(raw) = task.fork.branches;
        let entries = self.entries(raw, &format!("{pointer}/fork/branches"))?;
        if entries.len() > BRANCHES_MAX {
            let message = format!("there are {} branches; {BRANCHES_MAX} are the limit", entries.len());
            let finding = Finding::error(codes::TASK, raw.spot, message);
            self.project.push(finding.help("let one capability take the whole list, or fork in several steps"));
            return Err(Told);
        }
        // A branch is a list of its own: nothing in it leads to another branch.
        let branches: Vec<Result<Task, Told>> = entries.iter().map(|entry| self.task(entry, &[], vars)).collect();
        let branches: Vec<Task> = branches.into_iter().collect::<Result<_, _>>()?;
        Ok(TaskKind::Fork { branches, compete: task.fork.compete })
    }

    pub(super) fn listen(
        &mut self,
        task: &ListenTask,
        entry: &Entry,
        metadata: Option<Raw>,
        vars: &Vars,
    ) -> Result<TaskKind, Told> {
        let to = self.strategy(&task.listen.to, Some(vars));
        let read = match task.listen.read {
            None | Some(ReadWord::Data) => ReadAs::Data,
            Some(ReadWord::Envelope) => ReadAs::Envelope,
            Some(ReadWord::Raw) => ReadAs::Raw,
        };
        let foreach = task.foreach.as_ref().map(|file| self.foreach(file, &entry.pointer, vars)).transpose();
        let to = to?;
        let decision = self.decision(&to, metadata, task.listen.to.spot, vars);
        Ok(TaskKind::Listen(Box::new(Listen { to, read, foreach: foreach?, decision: decision? })))
    }

    fn foreach(&mut self, file: &ForeachFile, pointer: &str, vars: &Vars) -> Result<Foreach, Told> {
        let (item, at) = self.variables((file.item.as_ref(), "item"), (file.at.as_ref(), "index"), vars);
        let inner = vars.with(&[item.clone().unwrap_or("item".into()), at.clone().unwrap_or("index".into())]);
        let tasks = file.tasks.map(|tasks| self.list(tasks, &format!("{pointer}/foreach/do"), &inner)).transpose();
        let output = self.filter(file.output.as_ref().and_then(|output| output.value), &inner);
        let export = self.filter(file.export.as_ref().and_then(|export| export.value), &inner);
        let schema = [
            file.output.as_ref().and_then(|output| output.schema.as_ref()),
            file.export.as_ref().and_then(|export| export.schema.as_ref()),
        ];
        if let Some(schema) = schema.into_iter().flatten().next() {
            let spot = schema.document.map(|raw| raw.spot).or(schema.resource.as_ref().map(|at| at.spot));
            if let Some(spot) = spot {
                let finding =
                    Finding::error(codes::NOT_SUPPORTED, spot, "a schema of each pass of `foreach` is not supported");
                self.project.push(finding.help("write it at a task of `foreach.do`, or at the `listen` itself"));
                return Err(Told);
            }
        }
        Ok(Foreach { item: item?, at: at?, tasks: tasks?.unwrap_or_default(), output: output?, export: export? })
    }

    pub(super) fn guarded(&mut self, task: &TryTask, pointer: &str, vars: &Vars) -> Result<TaskKind, Told> {
        let catch = &task.catch;
        let tasks = self.list(task.tasks, &format!("{pointer}/try"), vars);
        let variable = self.variable(catch.variable.as_ref(), "error", vars);
        let inner = vars.with(&[variable.clone().unwrap_or("error".into())]);
        let handler = catch.handler.map(|tasks| self.list(tasks, &format!("{pointer}/catch/do"), &inner)).transpose();
        let when = self.condition(catch.when.as_ref(), &inner);
        let except_when = self.condition(catch.except_when.as_ref(), &inner);
        let retry = catch.retry.map(|retry| self.retry_of(retry, &inner)).transpose();
        let errors = self.error_filter(catch);
        Ok(TaskKind::Try(Box::new(Try {
            tasks: tasks?,
            errors: errors?,
            variable: variable?,
            when: when?,
            except_when: except_when?,
            retry: retry?,
            handler: handler?.unwrap_or_default(),
        })))
    }

    fn error_filter(&self, catch: &CatchFile) -> Result<ErrorFilter, Told> {
        let Some(ErrorsFile { with: Some(with) }) = &catch.errors else { return Ok(ErrorFilter::default()) };
        if let (Some(_), Some(status)) = (&with.detail, &with.details) {
            let spot = with.status.as_ref().map(|status| status.spot);
            let finding = spot.map(|spot| {
                Finding::error(codes::WRONG_FORM, spot, format!("the detail stands twice, once as `{status}`"))
            });
            if let Some(finding) = finding {
                self.project.push(finding.help("keep `detail` or `details`; they are the same"));
            }
            return Err(Told);
        }
        Ok(ErrorFilter {
            kind: with.kind.clone(),
            status: with.status.as_ref().map(|status| status.value),
            title: with.title.clone(),
            detail: with.detail.clone().or_else(|| with.details.clone()),
            instance: with.instance.clone(),
        })
    }

    /// The names of two variables of one block.
    fn variables(
        &self,
        one: (Option<&At<String>>, &str),
        other: (Option<&At<String>>, &str),
        vars: &Vars,
    ) -> (Result<String, Told>, Result<String, Told>) {
        let first = self.variable(one.0, one.1, vars);
        let second = self.variable(other.0, other.1, vars);
        if let (Ok(a), Ok(b), Some(name)) = (&first, &second, other.0.or(one.0))
            && a == b
        {
            let message = format!("`{a}` would be two things at once");
            let finding = Finding::error(codes::CATCH_VARIABLE, name.spot, message);
            self.project.push(finding.expected("two names").help("rename one of the two"));
            return (first, Err(Told));
        }
        (first, second)
    }

    /// The name of a variable; without one the usual name, which hides an outer one.
    fn variable(&self, name: Option<&At<String>>, usual: &str, vars: &Vars) -> Result<String, Told> {
        let Some(name) = name else { return Ok(usual.to_owned()) };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_taken = VARIABLES.contains(&name.as_str()) || matches!(name.as_str(), "secrets" | "authorization");
        if !is_name || is_taken || vars.has(name) {
            let message = format!("`{}` cannot be the name of a variable here", name.value);
            let finding = Finding::error(codes::CATCH_VARIABLE, name.spot, message);
            let taken = vars.names().into_iter().filter(|name| !name.ends_with('\'')).collect::<Vec<_>>().join("`, `");
            self.project
                .push(finding.expected(format!("letters, digits and `_`, none of `{taken}`")).help("choose another"));
            return Err(Told);
        }
        Ok(name.value.clone())
    }

    /// A repetition, written out or by its name.
    fn retry_of(&mut self, retry: OrName<RetryPolicyFile>, vars: &Vars) -> Result<RetryPolicy, Told> {
        let OrName(raw, _) = retry;
        if let Some(name) = self.name_of(raw) {
            let file = self.used("repetition", &name, raw.spot, |uses| &uses.retries)?;
            return self.retry(file, vars);
        }
        let file: RetryPolicyFile = self.read(raw.spot)?;
        self.retry(&file, vars)
    }

    pub(super) fn retry(&mut self, file: &RetryPolicyFile, vars: &Vars) -> Result<RetryPolicy, Told> {
        let when = self.condition(file.when.as_ref(), vars);
        let except_when = self.condition(file.except_when.as_ref(), vars);
        let delay = self.delay_of(file.delay, vars);
        let backoff = match &file.backoff {
            None => Ok(Backoff::Constant),
            Some(backoff) => self.backoff(backoff.spot),
        };
        let jitter = file.jitter.map(|jitter| {
            let (from, to) = (self.delay(jitter.from, vars), self.delay(jitter.to, vars));
            self.jitter(from?, to?, jitter.to.spot)
        });
        let limit = file.limit.as_ref();
        let attempt = limit.and_then(|limit| limit.attempt.as_ref());
        let count = attempt.and_then(|attempt| attempt.count.as_ref());
        if let Some(count) = count.filter(|count| count.value == 0) {
            let finding = Finding::error(codes::RETRY_POLICY, count.spot, "no pass at all is allowed");
            self.project
                .push(finding.expected("a whole number from 1, the first pass included").help("correct the number"));
        }
        let pass = self.delay_of(attempt.and_then(|attempt| attempt.duration), vars);
        let duration = self.delay_of(limit.and_then(|limit| limit.duration), vars);
        Ok(RetryPolicy {
            when: when?,
            except_when: except_when?,
            delay: delay?,
            backoff: backoff?,
            jitter: jitter.transpose()?,
            attempts: count.map(|count| count.value),
            attempt: pass?,
            duration: duration?,
        })
    }

    fn jitter(
        &self,
        from: crate::workflow::Delay,
        to: crate::workflow::Delay,
        spot: Spot,
    ) -> Result<(crate::workflow::Delay, crate::workflow::Delay), Told> {
        use crate::workflow::Delay::Fixed;
        if let (Fixed(least), Fixed(most)) = (&from, &to)
            && least > most
        {
            let finding = Finding::error(codes::RETRY_POLICY, spot, "chance has no room between `from` and `to`");
            self.project.push(finding.expected("`to` not shorter than `from`").help("correct one of the two"));
            return Err(Told);
        }
        Ok((from, to))
    }

    fn backoff(&self, spot: Spot) -> Result<Backoff, Told> {
        let tree = self.project.findings.tree(spot.file).ok_or(Told)?;
        let keys: Vec<&str> = tree.entries(spot.node).iter().filter_map(|(key, _)| tree.text(*key)).collect();
        match keys.as_slice() {
            ["constant"] => Ok(Backoff::Constant),
            ["linear"] => Ok(Backoff::Linear),
            ["exponential"] => Ok(Backoff::Exponential),
            _ => {
                let finding = Finding::error(codes::RETRY_POLICY, spot, "the pause grows in no way, or in several");
                self.project
                    .push(finding.expected("one of `constant: {}`, `linear: {}`, `exponential: {}`").help("keep one"));
                Err(Told)
            }
        }
    }
}
