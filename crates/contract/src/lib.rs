//! Reads a project and answers with a checked contract, or with every problem found.
//!
//! ## What comes in
//! A folder of text files ([`load`]), or the files themselves by path ([`from_files`]).
//!
//! ## What goes out
//! A [`Contract`] in which everything is resolved and fits together, so that nobody checks again; or all [`Problem`]s
//! of one run, each with its place, what was expected and what helps.
//!
//! ## What never happens here
//! Nothing runs: no network, no clock, no secrets are read. A file is read, or refused with the reason; no key and no
//! file is ignored.
//!
//! ## Where to start reading
//! [`contract`] and [`workflow`] are what comes out. `load` goes from files to it: `tree` reads YAML with places,
//! `files` has the types of the files, `read` brings the two together, `checks` does the rest, one subject per module.
//! [`expr`] is the expression language.
//!
//! ## How it is tested
//! The examples and a new project pass; each folder of `testdata/refused` is refused, with everything that is printed
//! as a snapshot; mutated files never panic.

mod checks;
pub mod codes;
pub mod contract;
pub mod cron;
mod csv;
pub mod expr;
mod files;
#[doc(hidden)]
pub mod fuzz;
pub mod hours;
pub mod http;
mod init;
mod load;
mod mosquitto;
pub mod openapi;
mod problem;
mod read;
mod schemas;
mod summary;
mod tree;
pub mod units;
pub mod workflow;

pub use contract::Contract;
pub use init::init_files;
pub use load::{FILES_MAX, Loaded, PROJECT_MAX_BYTES, from_files, load};
pub use openapi::yaml;
pub use problem::{PROBLEMS_MAX, Problem, Severity};
pub use schemas::json_schemas;
pub use summary::{Guarantee, Resolved, Summary, operation_guarantee, parameters, summary};
pub use tree::{DEPTH_MAX, FILE_MAX_BYTES};
