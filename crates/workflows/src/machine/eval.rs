//! Expressions of a run: which values they see.

use super::{Given, memory::Memory};
use crate::fault::{Fault, Standard};
use andon_contract::expr::{Program, truthy};
use andon_contract::workflow::{Mapping, Task};
use andon_model::Time;
use serde_json::{Map, Value as Json, json};

/// What the variables of an expression stand for at its place.
pub(super) struct Scene<'a> {
    given: &'a Given<'a>,
    memory: &'a Memory,
    /// The frame whose current task is meant; `None`: the workflow itself.
    depth: Option<usize>,
    /// `$output`, once there is one.
    output: Option<&'a Json>,
    /// The raw output of the task, once there is one.
    raw_output: Option<&'a Json>,
    /// The error a `catch` is looking at.
    caught: Option<Json>,
}

impl<'a> Scene<'a> {
    /// The place of the workflow's own `input.from` and `output.as`.
    pub(super) fn workflow(given: &'a Given<'a>, memory: &'a Memory) -> Self {
        Self { given, memory, depth: None, output: None, raw_output: None, caught: None }
    }

    /// The place of the task that the frame at `depth` has come to.
    pub(super) fn task(given: &'a Given<'a>, memory: &'a Memory, depth: usize) -> Self {
        Self { given, memory, depth: Some(depth), output: None, raw_output: None, caught: None }
    }

    /// With the raw output of the task.
    pub(super) fn after(mut self, raw_output: &'a Json) -> Self {
        self.raw_output = Some(raw_output);
        self
    }

    /// With the transformed output of the task.
    pub(super) fn with_output(mut self, output: &'a Json) -> Self {
        self.output = Some(output);
        self
    }

    /// With the error a `catch` is looking at.
    pub(super) fn caught(mut self, error: &Fault) -> Self {
        self.caught = Some(error.to_json());
        self
    }

    /// The value of a mapping over `input`.
    pub(super) fn map(&self, mapping: &Mapping, input: &Json) -> Result<Json, Fault> {
        match mapping {
            Mapping::Constant(json) => Ok(json.clone()),
            Mapping::Expression(program) => self.eval(program, input),
            Mapping::List(items) => {
                items.iter().map(|item| self.map(item, input)).collect::<Result<Vec<_>, _>>().map(Json::Array)
            }
            Mapping::Object(fields) => {
                let mut object = Map::with_capacity(fields.len());
                for (name, value) in fields {
                    object.insert(name.clone(), self.map(value, input)?);
                }
                Ok(Json::Object(object))
            }
        }
    }

    /// The text a mapping gives; anything else is an error that names the field.
    pub(super) fn text(&self, mapping: &Mapping, input: &Json, field: &str) -> Result<String, Fault> {
        match self.map(mapping, input)? {
            Json::String(text) => Ok(text),
            other => {
                Err(Fault::of(Standard::Expression, format!("`{field}` must be a text, the expression gave {other}")))
            }
        }
    }

    /// Whether a condition holds over `input`: all but false and null do.
    pub(super) fn holds(&self, program: &Program, input: &Json) -> Result<bool, Fault> {
        self.eval(program, input).map(|value| truthy(&value))
    }

    /// The one value of an expression over `input`.
    pub(super) fn eval(&self, program: &Program, input: &Json) -> Result<Json, Fault> {
        let vars = self.variables(program);
        program
            .eval(input, &vars, self.given.lookup)
            .map_err(|e| Fault::of(Standard::Expression, format!("{e}; in the expression {}", shown(program.source()))))
    }

    /// The variables in the order of [`andon_contract::workflow::VARIABLES`]; what the expression
    /// does not name is not made.
    fn variables(&self, program: &Program) -> Vec<Json> {
        let source = program.source();
        let when = |name: &str, value: &dyn Fn() -> Json| if source.contains(name) { value() } else { Json::Null };
        let frame = self.depth.and_then(|depth| self.memory.frames.get(depth));
        let mut vars = vec![
            when("$context", &|| self.memory.context.clone()),
            when("$input", &|| frame.map_or(Json::Null, |frame| frame.input().clone())),
            when("$output", &|| self.output.cloned().unwrap_or(Json::Null)),
            when("$task", &|| self.task_json()),
            when("$workflow", &|| self.workflow_json()),
            when("$runtime", &|| json!({"name": "andon", "version": env!("CARGO_PKG_VERSION"), "metadata": {}})),
        ];
        let depth = self.depth.unwrap_or(0);
        for (frame, inner) in self.memory.frames.iter().zip(self.memory.frames.iter().skip(1)).take(depth) {
            if inner.block == super::memory::Block::Catch {
                vars.push(frame.error.as_ref().map_or(Json::Null, Fault::to_json));
            }
        }
        vars.extend(self.caught.clone());
        vars
    }

    fn task_json(&self) -> Json {
        let definition = self.given.definition;
        let found = self.depth.and_then(|depth| Some((self.memory.task_of(definition, depth)?, depth)));
        let Some((task, depth)) = found else { return Json::Null };
        let Task { name, pointer, .. } = task;
        let Some(frame) = self.memory.frames.get(depth) else { return Json::Null };
        json!({
            "name": name,
            "reference": pointer,
            "definition": definition.document.pointer(pointer),
            "input": frame.raw,
            "output": self.raw_output,
            "startedAt": moment(frame.started),
        })
    }

    fn workflow_json(&self) -> Json {
        json!({
            "id": self.given.run.id,
            "definition": self.given.definition.document,
            "input": self.given.run.input,
            "startedAt": moment(self.given.run.started),
        })
    }
}

/// A moment in the two forms of the DSL.
fn moment(time: Time) -> Json {
    json!({"iso8601": time, "epoch": {"seconds": time.millis().div_euclid(1000), "milliseconds": time.millis()}})
}

/// An expression as far as a message can show it.
fn shown(source: &str) -> String {
    const SHOWN_MAX: usize = 120;
    let one_line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= SHOWN_MAX {
        return format!("`{one_line}`");
    }
    format!("`{}...`", one_line.chars().take(SHOWN_MAX).collect::<String>())
}
