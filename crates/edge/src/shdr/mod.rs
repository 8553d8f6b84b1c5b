//! SHDR, the adapter protocol of `MTConnect`: lines of text with pipes over TCP, from an adapter beside the machine.
//!
//! An adapter sends all current values when we connect, then what changes, and nothing twice: what it says while we
//! are not connected is lost and recorded as a gap. Nothing is acknowledged; when the store takes nothing, nothing
//! more is read, and the adapter waits.
//!
//! Limits: a line of 1 MiB (a multi-line asset document too), 4,096 fields a line, 100,000 remembered items, 1,000
//! active conditions an item, 100,000 values of a time series.

pub mod codec;
pub mod config;
mod read;
mod run;
pub mod session;

pub use read::ShdrCore;
pub use run::start_shdr;
