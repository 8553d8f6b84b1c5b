//! Counts what an evaluation does, and stops it when it does too much.
//!
//! The operators of jq reach values through traits that carry no context, so the count belongs to the thread.
//! Going over a limit is remembered: operators answer with an error that a `try` may swallow, but the next
//! [`tick`] ends the evaluation with an exception that no expression can catch.

use super::val::{R, Val};
use jaq_core::{Error, Exn};
use std::cell::Cell;

/// Steps that one evaluation may take.
pub const MAX_STEPS: usize = 1_000_000;
/// Bytes of texts, arrays and objects that one evaluation may build, all of them added up.
pub const MAX_GROWTH: usize = 1 << 20;
/// Arrays and objects nested in each other, in an input or a variable.
pub const MAX_INPUT_DEPTH: usize = 64;
/// Arrays and objects nested in each other, in any value an evaluation builds.
pub const MAX_VALUE_DEPTH: usize = 128;
/// Steps of a path, such as `getpath` takes it.
pub const MAX_PATH: usize = 256;
/// Alternatives that `recurse`, `repeat` and `while` may leave open.
pub const MAX_PENDING: usize = 10_000;
/// The stack of the thread on which an expression runs that needs more than its caller has.
pub const BIG_STACK: usize = 16 << 20;

/// Of the big stack an evaluation may use so much; the rest is for cleaning up what hangs on it.
pub(super) const BIG_ROOM: usize = 8 << 20;
/// Of the stack of the caller an evaluation may use so much before it moves to the big one. With what an expression
/// that is not nested deep uses until the next look at it, that is less than 1 MiB, also in builds for tests.
pub(super) const SMALL_ROOM: usize = 192 << 10;
/// What an element of an array counts, in bytes.
pub(super) const ELEMENT: usize = 16;
/// What an entry of an object counts beside its key, in bytes.
pub(super) const ENTRY: usize = 32;

/// A limit of evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// More than [`MAX_STEPS`] steps.
    Steps,
    /// More than [`MAX_GROWTH`] bytes built.
    Bytes,
    /// A value nested deeper than [`MAX_VALUE_DEPTH`].
    Depth,
    /// A path longer than [`MAX_PATH`], or more than [`MAX_PENDING`] open alternatives.
    Path,
    /// Functions nested in each other so deep that the stack ends.
    Stack,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Steps => write!(
                f,
                "the expression took more than {MAX_STEPS} steps; give it less to go through, or bound its loops"
            ),
            Self::Bytes => write!(
                f,
                "the expression built more than {MAX_GROWTH} bytes of texts, arrays and objects; let it build less"
            ),
            Self::Depth => write!(f, "the expression built a value nested deeper than {MAX_VALUE_DEPTH} levels"),
            Self::Path => write!(
                f,
                "the expression followed a path longer than {MAX_PATH} steps or left more than {MAX_PENDING} ways open"
            ),
            Self::Stack => write!(f, "the functions of the expression are nested too deep in each other"),
        }
    }
}

struct Meter {
    max: Cell<usize>,
    steps: Cell<usize>,
    bytes: Cell<usize>,
    over: Cell<Option<Limit>>,
    base: Cell<usize>,
    room: Cell<usize>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            max: Cell::new(MAX_STEPS),
            steps: Cell::new(0),
            bytes: Cell::new(0),
            over: Cell::new(None),
            base: Cell::new(0),
            room: Cell::new(0),
        }
    };
}

/// One evaluation on this thread; an evaluation inside another, as a lookup may start one, has its own count.
pub(super) struct Running {
    steps: usize,
    bytes: usize,
    over: Option<Limit>,
    base: usize,
    room: usize,
}

impl Running {
    /// Starts to count, with so many bytes of the stack to use from here on.
    pub(super) fn start(room: usize) -> Self {
        METER.with(|m| Self {
            steps: m.steps.replace(0),
            bytes: m.bytes.replace(0),
            over: m.over.replace(None),
            base: m.base.replace(here()),
            room: m.room.replace(room),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        METER.with(|m| {
            m.steps.set(self.steps);
            m.bytes.set(self.bytes);
            m.over.set(self.over);
            m.base.set(self.base);
            m.room.set(self.room);
        });
    }
}

/// About where the stack ends now. The number is only ever compared.
#[inline(never)]
fn here() -> usize {
    let mark = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&mark)).addr()
}

/// Counts steps; false when there are no more.
pub(super) fn step(n: usize) -> bool {
    METER.with(|m| {
        let steps = m.steps.get().saturating_add(n);
        m.steps.set(steps);
        if steps > m.max.get() {
            remember(m, Limit::Steps);
        }
        m.over.get().is_none()
    })
}

/// Counts bytes built, and the steps of building them; false when there are no more.
pub(super) fn grow(n: usize) -> bool {
    METER.with(|m| {
        let bytes = m.bytes.get().saturating_add(n);
        m.bytes.set(bytes);
        if bytes > MAX_GROWTH {
            remember(m, Limit::Bytes);
        }
    });
    step(1 + n / 64)
}

/// Bytes that may still be built.
pub(super) fn left() -> usize {
    METER.with(|m| MAX_GROWTH.saturating_sub(m.bytes.get()))
}

/// Lets evaluations on this thread take fewer steps, so that tests of many limits end sooner.
#[cfg(test)]
pub(super) fn limit_steps_to(max: usize) {
    METER.with(|m| m.max.set(max));
}

/// Stops the evaluation for this reason, unless it stops for another already.
pub(super) fn stop(limit: Limit) {
    METER.with(|m| remember(m, limit));
}

fn remember(m: &Meter, limit: Limit) {
    if m.over.get().is_none() {
        m.over.set(Some(limit));
    }
}

/// The limit that was passed.
pub(super) fn over() -> Option<Limit> {
    METER.with(|m| m.over.get())
}

/// The error of an operator whose limit is passed; [`tick`] makes it final.
pub(super) fn spent() -> Error<Val> {
    Error::new(Val::Null)
}

/// Counts so many bytes, or fails.
pub(super) fn try_grow(n: usize) -> Result<(), Error<Val>> {
    if grow(n) { Ok(()) } else { Err(spent()) }
}

/// Counts a step before an operator, or fails.
pub(super) fn try_step(n: usize) -> Result<(), Error<Val>> {
    if step(n) { Ok(()) } else { Err(spent()) }
}

/// A checked result: the value, unless a limit was passed on the way to it.
pub(super) fn checked(v: Val) -> R {
    if over().is_none() { Ok(v) } else { Err(spent()) }
}

/// Counts a step and looks at the stack; the exception it fails with ends the evaluation whatever stands around it.
pub(super) fn tick<'a>() -> Result<(), Exn<'a, Val>> {
    if !step(1) {
        return Err(Exn::halt(1));
    }
    let used = METER.with(|m| m.base.get().saturating_sub(here()).checked_sub(m.room.get()));
    if used.is_some() {
        stop(Limit::Stack);
        return Err(Exn::halt(1));
    }
    Ok(())
}
