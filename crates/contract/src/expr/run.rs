//! Runs compiled expressions: on the stack of the caller where that is enough, else on a bigger one.

use super::json::NoJson;
use super::meter::{self, BIG_ROOM, BIG_STACK, Limit, MAX_GROWTH, Running, SMALL_ROOM};
use super::natives::{Kind, Run};
use super::val::Val;
use super::{Count, EvalError, Inner, Lookup, Missing};
use jaq_core::{Ctx, Exn, Vars};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Characters of a message that an expression makes.
const MAX_MESSAGE: usize = 500;

pub(super) fn run(
    program: &Inner,
    input: &Value,
    vars: &[Value],
    lookup: &dyn Lookup,
    max: usize,
) -> Result<Vec<Value>, EvalError> {
    if program.vars.len() != vars.len() {
        return Err(EvalError::Variables { expected: program.vars.len(), given: vars.len() });
    }
    if max > 0
        && let Some(found) = super::route::run(program, input, vars)
    {
        return Ok(vec![found]);
    }
    let here = |room| {
        // Nothing of ours panics on input; should a library do, the thread of the caller must not end by it.
        catch_unwind(AssertUnwindSafe(|| run_here(program, input, vars, lookup, max, room)))
            .unwrap_or(Err(EvalError::Internal("a defect of the program")))
    };
    if program.shallow {
        match here(SMALL_ROOM) {
            Err(EvalError::Limit(Limit::Stack)) => {}
            done => return done,
        }
    }
    std::thread::scope(|scope| {
        let big = std::thread::Builder::new().name("expression".into()).stack_size(BIG_STACK);
        let thread = big.spawn_scoped(scope, || here(BIG_ROOM));
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(EvalError::Internal("a defect of the program")),
            Err(_) => Err(EvalError::Internal("the system has no more threads")),
        }
    })
}

fn run_here(
    program: &Inner,
    input: &Value,
    vars: &[Value],
    lookup: &dyn Lookup,
    max: usize,
    room: usize,
) -> Result<Vec<Value>, EvalError> {
    let _running = Running::start(room);
    let mut size = 0;
    let too_deep = |what: &str| EvalError::TooDeep { what: what.to_owned() };
    let input = Val::of_json(input, &program.input, &mut size).map_err(|_| too_deep("the input"))?;
    let values =
        program.vars.iter().zip(vars).map(|((name, need), value)| {
            Val::of_json(value, need, &mut size).map_err(|_| too_deep(&format!("${name}")))
        });
    let values = values.collect::<Result<Vec<_>, _>>()?;

    let missing = RefCell::default();
    let data = Run { lut: &program.filter.lut, lookup, missing: &missing };
    let outputs = program.filter.id.run((Ctx::<Kind>::new(data, Vars::new(values)), input));
    let (mut given, mut out) = (0, Vec::new());
    for output in outputs {
        let output: Val = output.map_err(|e| explain(e, &missing))?;
        if let Some(limit) = meter::over() {
            return Err(EvalError::Limit(limit));
        }
        if out.len() == max {
            return Err(EvalError::Many(Count(max)));
        }
        // What comes in may go out again, and no more than can be built beside it.
        let json = output.to_json(&mut given, size.saturating_add(MAX_GROWTH)).map_err(|e| match e {
            NoJson::Size => EvalError::Limit(Limit::Bytes),
            NoJson::Number => EvalError::NotJson,
        })?;
        out.push(json);
    }
    match meter::over() {
        Some(limit) => Err(EvalError::Limit(limit)),
        None => Ok(out),
    }
}

fn explain(e: Exn<'_, Val>, missing: &RefCell<VecDeque<Missing>>) -> EvalError {
    if let Some(limit) = meter::over() {
        return EvalError::Limit(limit);
    }
    let Ok(e) = e.get_err() else {
        return EvalError::Internal("it broke out of a label that is not around it");
    };
    match e.into_val() {
        Val::Str(message) => match missing.take().into_iter().find(|m| *m.message == *message) {
            Some(missing) => EvalError::Missing(missing),
            None => EvalError::Raised(message.chars().take(MAX_MESSAGE).collect()),
        },
        other => match other.to_json_text() {
            Ok(text) => EvalError::Raised(text.chars().take(MAX_MESSAGE).collect()),
            Err(_) => EvalError::Limit(meter::over().unwrap_or(Limit::Bytes)),
        },
    }
}
