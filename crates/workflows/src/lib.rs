//! Durable runs and calls: one pure step, everything else feeds it.
//!
//! ## What comes in
//! Stored events, a checked contract, the outcomes of attempts, and the present time.
//!
//! ## What goes out
//! Rows: runs, completed tasks, calls, attempts, emitted events and exceptions, each step in as few commits as it
//! can; and the requests whose attempts are durable, for somebody else to send.
//!
//! ## What never happens here
//! HTTP, sockets, clocks, chance. An unknown outcome becoming an error, a request without a durable attempt,
//! a completed task evaluated again.
//!
//! ## Where to start reading
//! [`machine`] (what a run does next), [`calls`] (what an outcome means), then [`run::Loop`], which feeds both.
//!
//! ## How it is tested
//! The scenarios of the DSL as unit tests, the machine of calls by tables, and whole stories over the store in memory
//! with an office that counts effects, the loop being dropped and built anew after every commit.

pub mod calls;
pub mod fault;
mod fuzz;
pub mod machine;
pub mod resilience;
pub mod run;

mod clocks;
mod exceptions;
mod filter;
mod http;
#[cfg(test)]
mod testing;

pub use exceptions::parked;
#[doc(hidden)]
pub use fuzz::{fuzz, fuzz_definition};
pub use run::{Loop, Progress, Ready};
