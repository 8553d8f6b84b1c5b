//! Reads a project and answers with a checked contract, or with every problem found.

pub mod contract;
pub mod expr;
pub mod workflow;

pub use contract::Contract;
