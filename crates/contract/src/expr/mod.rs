//! Expressions: jq for workflows and mappings, whose every evaluation ends and means the same tomorrow.
//!
//! A [`Program`] is compiled once and evaluated often. It sees its input, the variables it was compiled with and the
//! names of other systems that a [`Lookup`] gives it, and nothing else: no environment, no clock, no files. Functions
//! that call themselves are refused, loops are counted, and what is built is bounded; the limits stand in [`limits`].
//! An evaluation runs on the stack of its caller, of which 1 MiB must be left, and moves to a thread with a stack of
//! its own where the expression is nested deep; neither changes what it gives.
//!
//! Where it differs from the program `jq`: there are no regular expressions; whole numbers up to 64 bits are exact;
//! dividing by zero, and a result that JSON has no number for, are errors; of several outputs on the right of `|=`,
//! in the arguments of `until` and in the condition of `while`, the first counts.

mod check;
mod compile;
mod forms;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod known;
mod meter;
mod natives;
mod needs;
mod num;
mod ops;
mod reads;
mod rewrite;
mod route;
mod run;
#[cfg(test)]
mod tests;
mod val;

pub use compile::CompileError;
pub(crate) use forms::Form;
pub use meter::Limit;
pub use reads::{PathRead, Step};

use natives::Kind;
use needs::Need;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// The limits of expressions.
pub mod limits {
    pub use super::compile::{MAX_NESTING, MAX_NODES, MAX_SOURCE};
    pub use super::meter::{BIG_STACK, MAX_GROWTH, MAX_INPUT_DEPTH, MAX_PATH, MAX_PENDING, MAX_STEPS, MAX_VALUE_DEPTH};
}

/// A compiled expression; clones are cheap.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    source: String,
    /// What it needs of its input.
    input: Need,
    /// The names of the variables, and what it needs of them.
    vars: Vec<(String, Need)>,
    filter: jaq_core::Filter<Kind>,
    /// Whether it is nested so little that the stack of any caller is enough for it.
    shallow: bool,
    reads: Vec<PathRead>,
    /// Whether it is the one path of `reads` and nothing else.
    is_path: bool,
    form: Form,
}

/// The names of other systems, as they stand when an expression is evaluated.
pub trait Lookup: Sync {
    /// What a system calls something of ours; `None` when it has no name for it.
    fn id(&self, system: &str, name: &str) -> Option<String>;

    /// What a system says for a value of ours, by one of its value maps; `None` when the map has no entry for it.
    fn value(&self, system: &str, map: &str, value: &Value) -> Option<Value>;

    /// What we call something of a kind (`asset`, `site`, `material`, `location`, `party`) that a system calls so;
    /// `None` when nothing of ours, or more than one thing, has that name there.
    fn name(&self, system: &str, kind: &str, theirs: &str) -> Option<String>;

    /// What we say for a value of a system, by one of its value maps; `None` when the map has no entry for it.
    fn our_value(&self, system: &str, map: &str, value: &Value) -> Option<Value>;
}

/// A lookup without any name.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

impl Lookup for NoNames {
    fn id(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn value(&self, _: &str, _: &str, _: &Value) -> Option<Value> {
        None
    }

    fn name(&self, _: &str, _: &str, _: &str) -> Option<String> {
        None
    }

    fn our_value(&self, _: &str, _: &str, _: &Value) -> Option<Value> {
        None
    }
}

/// A name that a lookup did not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The system whose name was asked for.
    pub system: String,
    /// The value map, where one was asked; of `name` the kind of thing.
    pub map: Option<String>,
    /// What it was asked for.
    pub name: String,
    /// All of it in a sentence, with the remedy.
    pub message: String,
}

/// Why an evaluation gave nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// There was no output where one is needed.
    #[error("the expression gave no value, and exactly one is needed; add a default, as in `... // null`")]
    Empty,
    /// There were more outputs than wanted.
    #[error("the expression gave more than {0}; collect them with `[...]` or take one with `first(...)`")]
    Many(Count),
    /// The expression failed, by `error` or by doing what cannot be done.
    #[error("{0}")]
    Raised(String),
    /// A system has no name for something, and the expression did not handle that.
    #[error("{}", .0.message)]
    Missing(Missing),
    /// A limit was passed.
    #[error("{0}")]
    Limit(Limit),
    /// The input or a variable is nested too deep.
    #[error("{what} is nested deeper than {} levels", limits::MAX_INPUT_DEPTH)]
    TooDeep {
        /// Which it is.
        what: String,
    },
    /// The result contains a number that is infinite or none at all.
    #[error("the expression gave a number that JSON cannot write (infinite, or not a number)")]
    NotJson,
    /// Not so many variables as the expression was compiled with.
    #[error("the expression has {expected} variables, and {given} values were given")]
    Variables {
        /// How many it was compiled with.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// There was no thread to run on, or a defect of ours.
    #[error("the expression could not be run: {0}")]
    Internal(&'static str),
}

/// A number of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("one value"),
            n => write!(f, "{n} values"),
        }
    }
}

impl Program {
    /// Compiles an expression that may use these variables, named without `$`.
    pub fn compile(source: &str, vars: &[&str]) -> Result<Self, CompileError> {
        compile::compile(source, vars).map(|inner| Self(Arc::new(inner)))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it gives, as far as its text says so.
    pub(crate) fn form(&self) -> &Form {
        &self.0.form
    }

    /// A number that is the same for its clones and differs from that of every other program that is still there.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The names of its variables in their order, without `$`.
    pub fn vars(&self) -> impl Iterator<Item = &str> {
        self.0.vars.iter().map(|(name, _)| name.as_str())
    }

    /// The variable and the steps from it, when the expression is one path from a variable and nothing else.
    pub fn path(&self) -> Option<(&str, &[Step])> {
        let path = self.0.reads.first().filter(|_| self.0.is_path)?;
        Some((path.of.as_deref()?, &path.path))
    }

    /// The one output; none and several are errors.
    pub fn eval(&self, input: &Value, vars: &[Value], lookup: &dyn Lookup) -> Result<Value, EvalError> {
        self.eval_opt(input, vars, lookup)?.ok_or(EvalError::Empty)
    }

    /// The one output, or none; several are an error.
    pub fn eval_opt(&self, input: &Value, vars: &[Value], lookup: &dyn Lookup) -> Result<Option<Value>, EvalError> {
        Ok(self.eval_all(input, vars, lookup, 1)?.pop())
    }

    /// All outputs, in their order; more than `max` are an error.
    pub fn eval_all(
        &self,
        input: &Value,
        vars: &[Value],
        lookup: &dyn Lookup,
        max: usize,
    ) -> Result<Vec<Value>, EvalError> {
        run::run(&self.0, input, vars, lookup, max)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.0.source).finish()
    }
}

/// Two expressions are equal when they are written the same.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.vars == other.0.vars
    }
}

/// The paths that an expression reads of its input and its variables, as far as they stand in it.
///
/// What is found is read whenever that part of the expression runs; what is not found may be read as well.
pub fn paths_read(program: &Program) -> &[PathRead] {
    &program.0.reads
}

/// What steps of a [`Program::path`] lead to; `None`: into what has no fields, which the program says in its words.
pub fn follow(root: &Value, steps: &[Step]) -> Option<Value> {
    route::take(root, steps)
}

/// Whether jq takes a value for true: all but `null` and `false`.
pub fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// The expression inside of `${ ... }`, the form in which workflows write one; `None` for any other text.
pub fn embedded(text: &str) -> Option<&str> {
    Some(text.trim().strip_prefix("${")?.strip_suffix('}')?.trim())
}
