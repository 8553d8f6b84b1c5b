//! Samples and context become canonical events.
//!
//! ## What comes in
//! The log of the store, entry by entry: samples and marks, and nothing else; the rules of a
//! contract; the present moment, as an argument and only for timers that no sample fires.
//!
//! ## What goes out
//! Events of type `asset.alarm` with their evidence, committed in one transaction with the rule
//! states that made them; tick marks where plant time has passed a deadline without a sample.
//!
//! ## What never happens here
//! The network, the present time (it is an argument), chance. The same log gives the same events
//! with the same ids, however it is cut into batches and however often evaluation starts again.
//!
//! ## Where to start reading
//! [`rules::limit`] is what people think of as a rule, [`engine`] leads samples to rules,
//! [`run`] is the loop around both.
//!
//! ## How it is tested
//! Tables of a text timeline and the events it gives; properties (any split into batches, any
//! restart, a naive reference on random series); the recorded temperature of a real machine; and
//! the whole loop under crashes in `andon-sim`.

pub mod alarms;
mod birth;
pub mod clock;
pub mod context;
pub mod corrections;
pub mod cost;
pub mod diagram;
pub mod engine;
pub mod evidence;
mod gate;
mod guard;
pub mod identity;
pub mod objects;
mod rotation;
pub mod rules;
pub mod run;
mod saw;
mod slot;
mod states;
mod waiting;
pub mod why;

pub use engine::{Counts, Engine, Output};
pub use run::{Loop, Progress, StartError};
pub use states::fuzz;
pub use states::{Clocks, Saved};
