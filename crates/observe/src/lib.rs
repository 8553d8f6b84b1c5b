//! Where a fact came from, what was done with it, what is stuck: computes findings, writes nothing.
//!
//! ## What comes in
//! Rows of the store, and the contract for the names of things.
//!
//! ## What goes out
//! A [`Lineage`] from samples, or from a start by hand, to documents, [`health::Finding`]s with what to do next, and
//! the conservation of every [`seams::Seam`].
//!
//! ## What never happens here
//! Writing. Counting in memory: every number is computed from stored rows and positions, so that
//! it survives a crash as the rows do.
//!
//! ## Where to start reading
//! [`lineage::explain`], then [`seams`] and [`health`].
//!
//! ## How it is tested
//! Stories are written to a store in memory and explained; what people read is a snapshot.

pub mod condition;
pub mod confirmed;
pub mod health;
pub mod lineage;
pub mod metrics;
pub mod narrate;
pub mod notices;
pub mod oee;
mod origin;
pub mod rows;
pub mod seams;
pub mod shadow;

pub use lineage::{Lineage, explain};
pub use origin::runs_of_key;
