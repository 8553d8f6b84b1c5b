//! Expressions of a run: which values they see.

use super::{
    Given,
    memory::{Frame, Memory},
};
use crate::fault::{Fault, Standard};
use andon_contract::expr::{Program, Step, follow, truthy};
use andon_contract::workflow::{Delay, Mapping, Task};
use andon_model::Time;
use andon_model::span::Span;
use serde_json::{Map, Value as Json, json};

/// What the variables of an expression stand for at its place.
pub(super) struct Scene<'a> {
    given: &'a Given<'a>,
    memory: &'a Memory,
    /// The strand and the frame whose current task is meant; `None`: the workflow itself.
    place: Option<(usize, usize)>,
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
        Self { given, memory, place: None, output: None, raw_output: None, caught: None }
    }

    /// The place of the task that the frame at `depth` of a strand has come to.
    pub(super) fn task(given: &'a Given<'a>, memory: &'a Memory, strand: usize, depth: usize) -> Self {
        Self { given, memory, place: Some((strand, depth)), output: None, raw_output: None, caught: None }
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
        // Most expressions are one path into the input of the run: then nothing is made that it does not read.
        if let Some(("workflow", [Step::Key(field), rest @ ..])) = program.path()
            && field == "input"
            && let Some(found) = follow(&self.given.run.input, rest)
        {
            return Ok(found);
        }
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
        let frame = self.frame();
        let mut vars = vec![
            when("$context", &|| self.memory.context.clone()),
            when("$input", &|| frame.map_or(Json::Null, |frame| frame.input().clone())),
            when("$output", &|| self.output.cloned().unwrap_or(Json::Null)),
            when("$task", &|| self.task_json()),
            when("$workflow", &|| self.workflow_json()),
            when("$runtime", &|| json!({"name": "andon", "version": env!("CARGO_PKG_VERSION"), "metadata": {}})),
        ];
        if let Some((strand, depth)) = self.place {
            vars.extend(self.memory.scoped(strand, depth).into_iter().map(std::borrow::Cow::into_owned));
        }
        vars.extend(self.caught.clone());
        vars
    }

    /// The frame whose current task is meant.
    fn frame(&self) -> Option<&'a Frame> {
        let (strand, depth) = self.place?;
        self.memory.strands.get(strand)?.frames.get(depth)
    }

    /// A length of time.
    pub(super) fn span(&self, delay: &Delay, input: &Json) -> Result<Span, Fault> {
        match delay {
            Delay::Fixed(span) => Ok(*span),
            Delay::Expression(program) => {
                let value = self.eval(program, input)?;
                length(&value).ok_or_else(|| {
                    let text =
                        format!("a duration like PT30S or {{\"seconds\": 30}} is needed, it is {}", short(&value));
                    Fault::of(Standard::Expression, text)
                })
            }
        }
    }

    fn task_json(&self) -> Json {
        let definition = self.given.definition;
        let task = self.place.and_then(|(strand, depth)| self.memory.task_of(definition, strand, depth));
        let (Some(Task { name, pointer, .. }), Some(frame)) = (task, self.frame()) else { return Json::Null };
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

/// A duration of the DSL: a text, or an object of days, hours, minutes, seconds and milliseconds.
fn length(value: &Json) -> Option<Span> {
    if let Some(text) = value.as_str() {
        return Span::parse(text).ok().filter(|span| *span >= Span::ZERO);
    }
    let mut millis = 0_i64;
    for (part, number) in value.as_object()? {
        let unit = match part.as_str() {
            "days" => 86_400_000,
            "hours" => 3_600_000,
            "minutes" => 60_000,
            "seconds" => 1_000,
            "milliseconds" => 1,
            _ => return None,
        };
        millis = millis.saturating_add(i64::from(u32::try_from(number.as_u64()?).ok()?).saturating_mul(unit));
    }
    Some(Span::from_millis(millis))
}

/// A value as far as a message can show it.
pub(super) fn short(value: &Json) -> String {
    shown(&value.to_string())
}
