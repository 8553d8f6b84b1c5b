//! Follows values through a workflow before it runs: every expression reads what can be there, and what is handed to
//! capabilities and events can fit. It is sure of what it tells; what it does not know it passes over.

use super::{
    ATTRIBUTES, Scope, events,
    types::{Lost, Type},
};
use crate::{
    checks::expressions::Expr,
    codes,
    contract::Capability,
    expr::{Program, Step, paths_read},
    problem::Finding,
    workflow::{
        Case, Consumption, Definition, Delay, Emit, ErrorMapping, For, Listen, Mapping, ReadAs, Schedule, Task,
        TaskKind, Then, Try, Until,
    },
};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Passes over a list whose flow comes back; if what flows has not settled by then, it may be anything.
const PASSES_MAX: usize = 6;
/// Tasks looked at in one workflow at most, those of loops several times; what lies behind may be anything.
const VISITS_MAX: usize = 50_000;

/// What flows into a task, or out of it: the value and the context.
#[derive(Debug, Clone, PartialEq)]
struct Flow {
    value: Type,
    context: Type,
}

impl Flow {
    fn never() -> Self {
        Self { value: Type::never(), context: Type::never() }
    }

    fn is_never(&self) -> bool {
        self.value == Type::never()
    }

    fn or(self, other: Self) -> Self {
        if other.is_never() {
            return self;
        }
        Self { value: Type::either([self.value, other.value]), context: Type::either([self.context, other.context]) }
    }
}

/// The variables in scope beside `$context`, `$input` and `$output`.
type Vars = Vec<(String, Type)>;

/// What an expression sees beside its input.
struct Seen<'v> {
    context: Type,
    input: Type,
    output: Type,
    vars: &'v Vars,
}

impl Seen<'_> {
    fn var(&self, name: &str) -> Type {
        match name {
            "context" => self.context.clone(),
            "input" => self.input.clone(),
            "output" => self.output.clone(),
            name => self.vars.iter().rev().find(|(known, _)| known == name).map_or(Type::Any, |(_, of)| of.clone()),
        }
    }
}

/// The walk through one workflow.
pub(super) struct Walk<'w, 'a> {
    pub(super) scope: &'w Scope<'a>,
    pub(super) exprs: HashMap<usize, &'w Expr>,
    schemas: BTreeMap<String, Arc<Json>>,
    /// Whether what is wrong is told: not while a loop has not settled.
    pub(super) telling: bool,
    /// What flows to the end of the workflow from within.
    ended: Flow,
    /// Tasks looked at so far.
    visits: usize,
}

/// Walks through a workflow.
pub(super) fn walk(scope: &Scope, definition: &Definition) {
    let exprs = scope.exprs.iter().map(|expr| (expr.program.identity(), expr)).collect();
    let mut walk = Walk { scope, exprs, schemas: BTreeMap::new(), telling: true, ended: Flow::never(), visits: 0 };
    walk.workflow(definition);
}

impl Walk<'_, '_> {
    fn workflow(&mut self, definition: &Definition) {
        let mut raw = self.started_by(definition.schedule.as_ref());
        if let (Type::Any, Some(schema)) = (&raw, &definition.schemas.input) {
            raw = Type::schema(&Arc::new(schema.document.clone()), "the workflow's input");
        }
        let workflow = Type::object(
            "`$workflow`",
            vec![
                ("id".into(), Type::Kind("string")),
                ("definition".into(), Type::Any),
                ("input".into(), raw.clone()),
                ("startedAt".into(), Type::Any),
            ],
        );
        let vars: Vars = vec![("workflow".to_owned(), workflow)];
        let null = || Type::Kind("null");
        let seen = Seen { context: null(), input: Type::Any, output: null(), vars: &vars };
        let value = definition.input.as_ref().map_or(raw.clone(), |from| self.map(from, &raw, &seen));
        let out = self.list(&definition.tasks, Flow { value, context: null() }, &vars);
        let ended = std::mem::replace(&mut self.ended, Flow::never());
        let out = out.or(ended);
        if let Some(of) = &definition.output
            && !out.is_never()
        {
            let seen = Seen { context: out.context, input: Type::Any, output: out.value.clone(), vars: &vars };
            self.map(of, &out.value, &seen);
        }
    }

    /// The input of a run that is started so.
    fn started_by(&mut self, schedule: Option<&Schedule>) -> Type {
        let Some(Schedule::On(consumption)) = schedule else { return Type::Any };
        let kinds = events::kinds(consumption).into_iter().map(|kind| self.event(kind)).collect::<Vec<_>>();
        Type::list(Type::either(kinds))
    }

    /// An event of a type.
    fn event(&mut self, kind: &str) -> Type {
        let data = self.data(kind);
        let name = format!("an event `{kind}`");
        let of = |attribute: &&str| match *attribute {
            "data" => ("data".to_owned(), data.clone()),
            name => (name.to_owned(), Type::Kind("string")),
        };
        Type::object(&name, ATTRIBUTES.iter().map(of).collect())
    }

    /// The data of an event of a type.
    fn data(&mut self, kind: &str) -> Type {
        self.described(kind).map_or(Type::Any, |schema| Type::schema(&schema, &format!("an event `{kind}`")))
    }

    pub(super) fn described(&mut self, reference: &str) -> Option<Arc<Json>> {
        if let Some(known) = self.schemas.get(reference) {
            return Some(Arc::clone(known));
        }
        let schema = Arc::new(self.scope.schemas.json(reference)?.clone());
        self.schemas.insert(reference.to_owned(), Arc::clone(&schema));
        Some(schema)
    }

    /// What flows out of a list of tasks behind its end or by `exit`.
    fn list(&mut self, tasks: &[Task], into: Flow, vars: &Vars) -> Flow {
        let mut inputs: Vec<Flow> = vec![Flow::never(); tasks.len()];
        if let Some(first) = inputs.first_mut() {
            *first = into;
        }
        if !comes_back(tasks) {
            return self.pass(tasks, &mut inputs, vars);
        }
        let telling = std::mem::replace(&mut self.telling, false);
        let ended = self.ended.clone();
        for pass in 0.. {
            let before = inputs.clone();
            if pass >= PASSES_MAX {
                let any = || Flow { value: Type::Any, context: Type::Any };
                inputs = inputs.iter().map(|flow| if flow.is_never() { Flow::never() } else { any() }).collect();
                break;
            }
            self.pass(tasks, &mut inputs, vars);
            if inputs == before {
                break;
            }
        }
        self.telling = telling;
        self.ended = ended;
        self.pass(tasks, &mut inputs, vars)
    }

    /// One pass over a list; what flows out of it.
    fn pass(&mut self, tasks: &[Task], inputs: &mut [Flow], vars: &Vars) -> Flow {
        let mut out = Flow::never();
        for (at, task) in tasks.iter().enumerate() {
            let Some(into) = inputs.get(at).filter(|flow| !flow.is_never()).cloned() else { continue };
            for (then, flow) in self.task(task, into, vars) {
                let target = match then {
                    Then::Continue => at + 1,
                    Then::Task(name) => tasks.iter().position(|task| task.name == name).unwrap_or(tasks.len()),
                    Then::Exit => tasks.len(),
                    Then::End => {
                        self.ended = self.ended.clone().or(flow.clone());
                        tasks.len()
                    }
                };
                match inputs.get_mut(target) {
                    Some(known) => *known = known.clone().or(flow),
                    None => out = out.or(flow),
                }
            }
        }
        out
    }

    /// What flows out of a task, and where.
    fn task(&mut self, task: &Task, into: Flow, vars: &Vars) -> Vec<(Then, Flow)> {
        self.visits += 1;
        if self.visits > VISITS_MAX {
            let any = || Flow { value: Type::Any, context: Type::Any };
            return targets(task).into_iter().map(|then| (then, any())).collect();
        }
        let mut raw = into.value.clone();
        if let (Type::Any, Some(schema)) = (&raw, &task.schemas.input) {
            raw = Type::schema(&Arc::new(schema.document.clone()), "the task's input");
        }
        let null = || Type::Kind("null");
        let seen = Seen { context: into.context.clone(), input: raw.clone(), output: null(), vars };
        let input = task.input.as_ref().map_or_else(|| raw.clone(), |from| self.map(from, &raw, &seen));
        let seen = Seen { context: into.context.clone(), input: input.clone(), output: null(), vars };
        let mut out = Vec::new();
        if let Some(condition) = &task.condition {
            self.eval(condition, &input, &seen);
            out.push((Then::Continue, into.clone()));
        }
        if let Some(Delay::Expression(timeout)) = &task.timeout {
            self.eval(timeout, &input, &seen);
        }
        let inner = self.body(task, &input, &into.context, &seen);
        self.undo(task, &input, &inner.value);
        if inner.is_never() {
            return out;
        }
        let seen = Seen { output: inner.value.clone(), context: inner.context.clone(), input: input.clone(), vars };
        let value = task.output.as_ref().map_or_else(|| inner.value.clone(), |of| self.map(of, &inner.value, &seen));
        let seen = Seen { output: value.clone(), context: inner.context.clone(), input: input.clone(), vars };
        let context = task.export.as_ref().map_or(inner.context, |of| self.map(of, &value, &seen));
        let flow = Flow { value, context };
        let seen = Seen { context: into.context, input: input.clone(), output: null(), vars };
        match &task.kind {
            TaskKind::Switch(cases) => {
                let is_whole = cases.iter().any(|case| case.when.is_none());
                out.extend(self.cases(cases, &input, &seen).into_iter().map(|then| (then, flow.clone())));
                if !is_whole {
                    out.push((task.then.clone(), flow));
                }
            }
            _ => out.push((task.then.clone(), flow)),
        }
        out
    }

    fn cases(&mut self, cases: &[Case], input: &Type, seen: &Seen) -> Vec<Then> {
        for when in cases.iter().filter_map(|case| case.when.as_ref()) {
            self.eval(when, input, seen);
        }
        cases.iter().map(|case| case.then.clone()).collect()
    }

    /// What undoes a task sees its input and output, and nothing of what stands around it.
    fn undo(&mut self, task: &Task, input: &Type, output: &Type) {
        if task.compensate.is_empty() {
            return;
        }
        let both = vec![("input".to_owned(), input.clone()), ("output".to_owned(), output.clone())];
        let value = Type::object("what is undone", both);
        let ended = self.ended.clone();
        self.list(&task.compensate, Flow { value, context: Type::Any }, &Vec::new());
        self.ended = ended;
    }

    /// What a task gives, before `output.as`.
    fn body(&mut self, task: &Task, input: &Type, context: &Type, seen: &Seen) -> Flow {
        let vars = seen.vars;
        let flow = |value: Type| Flow { value, context: context.clone() };
        match &task.kind {
            TaskKind::Do(tasks) => self.list(tasks, flow(input.clone()), vars),
            TaskKind::Set(mapping) => {
                let made = self.map(mapping, input, seen);
                flow(made)
            }
            TaskKind::Switch(_) => flow(input.clone()),
            TaskKind::Call { capability, with } => flow(self.call(task, capability, with.as_ref(), input, seen)),
            TaskKind::Function { with, tasks } => {
                let given = with.as_ref().map_or_else(|| input.clone(), |with| self.map(with, input, seen));
                self.list(tasks, flow(given), vars)
            }
            TaskKind::Http(call) => {
                self.each(&[&call.headers, &call.query, &call.body], input, seen);
                self.map(&call.endpoint, input, seen);
                flow(Type::Any)
            }
            TaskKind::Openapi(call) => {
                self.each(&[&call.parameters], input, seen);
                flow(Type::Any)
            }
            TaskKind::Emit(emit) => flow(self.emit(emit, input, seen)),
            TaskKind::For(of) => self.for_each(of, input, context, seen),
            TaskKind::Fork { branches, compete } => self.fork(branches, *compete, input, context, vars),
            TaskKind::Listen(listen) => self.listen(listen, input, context, seen),
            TaskKind::Run(run) => {
                self.each(&[&run.input], input, seen);
                // A run that nobody waits for leaves the input as it is.
                flow(if run.wait { Type::Any } else { input.clone() })
            }
            TaskKind::Wait(delay) => {
                if let Delay::Expression(delay) = delay {
                    self.eval(delay, input, seen);
                }
                flow(input.clone())
            }
            TaskKind::Raise(ErrorMapping { kind, status, title, detail }) => {
                self.map(kind, input, seen);
                self.map(status, input, seen);
                self.each(&[title, detail], input, seen);
                Flow::never()
            }
            TaskKind::Try(guard) => self.guarded(guard, input, context, seen),
        }
    }

    fn each(&mut self, all: &[&Option<Mapping>], input: &Type, seen: &Seen) {
        for mapping in all.iter().filter_map(|mapping| mapping.as_ref()) {
            self.map(mapping, input, seen);
        }
    }

    fn call(&mut self, task: &Task, name: &str, with: Option<&Mapping>, input: &Type, seen: &Seen) -> Type {
        let given = with.map_or_else(|| input.clone(), |with| self.map(with, input, seen));
        let Some(capability) = self.scope.capabilities.good.get(name) else { return Type::Any };
        let (reference, output) = (capability.input.clone(), self.output(name, capability));
        match with {
            Some(with) => self.handed(with, &given, &reference),
            None => {
                if let Some(spot) = self.scope.spots.get(&task.pointer) {
                    self.fits(&given, &reference, *spot);
                }
            }
        }
        output
    }

    /// What a capability gives; nothing is known where a route may skip it.
    fn output(&mut self, name: &str, capability: &Capability) -> Type {
        let named = format!("the output of `{name}`");
        if let Some(schema) = capability.output_schema.as_ref().and_then(|reference| self.described(reference)) {
            return Type::schema(&schema, &named);
        }
        if capability.output.is_empty() {
            return Type::Any;
        }
        let kind = |word: &str| match word {
            "string" => Type::Kind("string"),
            "number" | "integer" => Type::Kind("number"),
            "boolean" => Type::Kind("boolean"),
            "array" => Type::Kind("array"),
            "object" => Type::Kind("object"),
            _ => Type::Any,
        };
        Type::object(&named, capability.output.iter().map(|(name, word)| (name.clone(), kind(word))).collect())
    }

    fn emit(&mut self, emit: &Emit, input: &Type, seen: &Seen) -> Type {
        self.each(&[&emit.source, &emit.time, &emit.subject], input, seen);
        if let Some(data) = &emit.data {
            let given = self.map(data, input, seen);
            self.handed(data, &given, &emit.kind);
        }
        self.event(&emit.kind)
    }

    fn for_each(&mut self, of: &For, input: &Type, context: &Type, seen: &Seen) -> Flow {
        let list = self.eval(&of.list, input, seen);
        if let Some(kinds) = list.kinds()
            && !kinds.contains("array")
            && !kinds.contains("null")
        {
            let of_kind = kinds.into_iter().collect::<Vec<_>>().join(" or ");
            self.tell(&of.list, codes::INPUT, format!("`in` gives {of_kind}, and needs a list"), "name a list");
        }
        let item = list.follow(&[Step::Each]).unwrap_or(Type::Any);
        let mut vars = seen.vars.clone();
        vars.extend([(of.each.clone(), item), (of.at.clone(), Type::Kind("number"))]);
        let mut flow = Flow { value: input.clone(), context: context.clone() };
        let telling = std::mem::replace(&mut self.telling, false);
        for pass in 0.. {
            let out = self.list(&of.tasks, flow.clone(), &vars);
            let joined = flow.clone().or(out);
            if joined == flow {
                break;
            }
            flow = joined;
            if pass >= PASSES_MAX {
                flow = Flow { value: Type::Any, context: Type::Any };
                break;
            }
        }
        self.telling = telling;
        if let Some(condition) = &of.condition {
            let seen = Seen {
                context: flow.context.clone(),
                input: flow.value.clone(),
                output: Type::Kind("null"),
                vars: &vars,
            };
            self.eval(condition, &flow.value, &seen);
        }
        let out = self.list(&of.tasks, flow.clone(), &vars);
        flow.or(out)
    }

    fn fork(&mut self, branches: &[Task], compete: bool, input: &Type, context: &Type, vars: &Vars) -> Flow {
        // The branches share the context, in an order nobody knows.
        let context = if branches.iter().any(exports) { Type::Any } else { context.clone() };
        let outs: Vec<Type> = branches
            .iter()
            .map(|branch| {
                let into = Flow { value: input.clone(), context: context.clone() };
                self.list(std::slice::from_ref(branch), into, vars).value
            })
            .collect();
        if outs.iter().all(|out| *out == Type::never()) {
            return Flow::never();
        }
        let value = Type::either(outs);
        Flow { value: if compete { value } else { Type::list(value) }, context }
    }

    fn listen(&mut self, listen: &Listen, input: &Type, context: &Type, seen: &Seen) -> Flow {
        self.consumption(&listen.to, input, seen);
        let kinds = events::kinds(&listen.to);
        let of_kind = |walk: &mut Self, kind: &str| match listen.read {
            ReadAs::Data => walk.data(kind),
            ReadAs::Envelope | ReadAs::Raw => walk.event(kind),
        };
        let item = if kinds.is_empty() {
            Type::Any
        } else {
            Type::either(kinds.into_iter().map(|kind| of_kind(self, kind)).collect::<Vec<_>>())
        };
        if let Consumption::Any { until: Some(Until::Condition(condition)), .. } = &listen.to {
            self.eval(condition, &item, seen);
        }
        let Some(foreach) = &listen.foreach else {
            return Flow { value: Type::list(item), context: context.clone() };
        };
        let mut vars = seen.vars.clone();
        vars.extend([(foreach.item.clone(), item.clone()), (foreach.at.clone(), Type::Kind("number"))]);
        let context =
            if foreach.export.is_some() || foreach.tasks.iter().any(exports) { Type::Any } else { context.clone() };
        let into = Flow { value: item, context: context.clone() };
        let out = if foreach.tasks.is_empty() { into } else { self.list(&foreach.tasks, into, &vars) };
        if out.is_never() {
            return Flow { value: Type::Any, context };
        }
        let seen = Seen { context: context.clone(), input: Type::Any, output: out.value.clone(), vars: &vars };
        let made = foreach.output.as_ref().map_or_else(|| out.value.clone(), |of| self.map(of, &out.value, &seen));
        if let Some(export) = &foreach.export {
            let seen = Seen { context: context.clone(), input: Type::Any, output: made.clone(), vars: &vars };
            self.map(export, &made, &seen);
        }
        Flow { value: Type::list(made), context }
    }

    fn consumption(&mut self, of: &Consumption, input: &Type, seen: &Seen) {
        let filters = match of {
            Consumption::One(filter) => std::slice::from_ref(filter),
            Consumption::Any { filters, .. } | Consumption::All(filters) => filters,
        };
        for filter in filters {
            for (_, value) in &filter.attributes {
                self.map(value, input, seen);
            }
            for expect in filter.correlate.iter().filter_map(|correlation| correlation.expect.as_ref()) {
                self.map(expect, input, seen);
            }
        }
    }

    fn guarded(&mut self, guard: &Try, input: &Type, context: &Type, seen: &Seen) -> Flow {
        let exporting = guard.tasks.iter().any(exports);
        // What the block exported before it failed stays, and a repeated block begins with it.
        let context = if exporting { Type::Any } else { context.clone() };
        let into = Flow { value: input.clone(), context: context.clone() };
        let out = self.list(&guard.tasks, into.clone(), seen.vars);
        let fields = ["type", "status", "title", "detail", "instance"];
        let of_field = |name: &str| if name == "status" { Type::Kind("number") } else { Type::Kind("string") };
        let error = Type::object("an error", fields.map(|name| (name.to_owned(), of_field(name))).to_vec());
        let mut vars = seen.vars.clone();
        vars.push((guard.variable.clone(), error));
        let inner = Seen { context: context.clone(), input: input.clone(), output: Type::Kind("null"), vars: &vars };
        let retry = guard.retry.as_ref();
        let conditions = [
            guard.when.as_ref(),
            guard.except_when.as_ref(),
            retry.and_then(|retry| retry.when.as_ref()),
            retry.and_then(|retry| retry.except_when.as_ref()),
        ];
        for condition in conditions.into_iter().flatten() {
            self.eval(condition, input, &inner);
        }
        if guard.handler.is_empty() {
            return if retry.is_some() { out } else { out.or(into) };
        }
        let handled = self.list(&guard.handler, into, &vars);
        out.or(handled)
    }

    /// What a mapping gives.
    fn map(&mut self, mapping: &Mapping, input: &Type, seen: &Seen) -> Type {
        match mapping {
            Mapping::Constant(json) => Type::of_json(json),
            Mapping::Expression(program) => self.eval(program, input, seen),
            Mapping::List(items) => {
                let items: Vec<Type> = items.iter().map(|item| self.map(item, input, seen)).collect();
                Type::list(Type::either(items))
            }
            Mapping::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), self.map(value, input, seen))).collect();
                Type::object("what is made before", fields)
            }
        }
    }

    /// What an expression gives; tells what it reads and cannot be there.
    fn eval(&mut self, program: &Program, input: &Type, seen: &Seen) -> Type {
        if self.telling {
            for read in paths_read(program).iter().filter(|read| !read.optional) {
                let from = read.of.as_deref().map_or_else(|| input.clone(), |name| seen.var(name));
                let Err(Lost { of, key, known }) = from.follow(&read.path) else { continue };
                let Some(expr) = self.exprs.get(&program.identity()) else { continue };
                let message = format!("`{read}` leads nowhere: {of} has no `{key}` there");
                let finding = Finding::error(codes::NO_SUCH_PATH, expr.place(self.scope.project, &read.at), message);
                let finding = match (of.as_str(), known.is_empty()) {
                    (_, false) => finding.known(&key, known.iter().map(String::as_str)),
                    ("a list", true) => finding.expected(format!("one of its items, such as `.[0].{key}`")),
                    _ => finding,
                };
                self.scope.project.push(finding.help(if of.starts_with("what is made") {
                    "correct the path, or let a task before make what is read here"
                } else {
                    "correct the path, or extend the schema"
                }));
            }
        }
        Type::of_form(program.form(), input, &|name| seen.var(name))
    }

    pub(super) fn tell(&self, program: &Program, code: &'static str, message: String, help: &str) {
        let Some(expr) = self.exprs.get(&program.identity()).filter(|_| self.telling) else { return };
        let whole = 0..program.source().len();
        self.scope.project.push(Finding::error(code, expr.place(self.scope.project, &whole), message).help(help));
    }
}

/// Where the flow may go on behind a task.
fn targets(task: &Task) -> Vec<Then> {
    let mut all = vec![Then::Continue, task.then.clone()];
    if let TaskKind::Switch(cases) = &task.kind {
        all.extend(cases.iter().map(|case| case.then.clone()));
    }
    all
}

/// Whether the flow of a list leads back.
fn comes_back(tasks: &[Task]) -> bool {
    let place = |then: &Then| match then {
        Then::Task(name) => tasks.iter().position(|task| task.name == *name),
        _ => None,
    };
    tasks.iter().enumerate().any(|(at, task)| targets(task).iter().filter_map(place).any(|target| target <= at))
}

/// Whether a task, or one inside of it, makes a new context.
fn exports(task: &Task) -> bool {
    let inner = |tasks: &[Task]| tasks.iter().any(exports);
    task.export.is_some()
        || match &task.kind {
            TaskKind::Do(tasks) | TaskKind::Function { tasks, .. } | TaskKind::Fork { branches: tasks, .. } => {
                inner(tasks)
            }
            TaskKind::For(of) => inner(&of.tasks),
            TaskKind::Listen(listen) => {
                listen.foreach.as_ref().is_some_and(|of| of.export.is_some() || inner(&of.tasks))
            }
            TaskKind::Try(guard) => inner(&guard.tasks) || inner(&guard.handler),
            _ => false,
        }
}
