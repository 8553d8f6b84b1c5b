//! The surface others rely on: one [`Backend`] trait, its types, its versions.
//!
//! ## What comes in
//! HTTP requests on loopback, and a [`Backend`] that knows the answers.
//!
//! ## What goes out
//! JSON, problems as in RFC 9457, and the `OpenAPI` document that describes both.
//!
//! ## What never happens here
//! Reading the store, deciding anything about a plant. A handler reads its arguments, asks the
//! backend on a thread that may block, and writes what it said.
//!
//! ## Where to start reading
//! [`backend`] is the contract with the rest of the product, [`routes`] the list of everything served.
//!
//! ## How it is tested
//! A backend of a few lines answers; the document is a snapshot, and answers are held against it.

pub mod alarms;
pub mod answers;
pub mod backend;
pub mod backups;
pub mod cancel;
pub mod cost;
pub mod decisions;
pub mod doors;
pub mod exceptions;
#[doc(hidden)]
pub mod fuzz;
pub mod kind;
pub mod lanes;
pub mod migrate;
pub mod notices;
pub mod objects;
pub mod oee;
pub mod openapi;
mod openapi_exceptions;
mod openapi_posts;
mod openapi_runs;
pub mod posts;
pub mod problem;
mod query;
pub mod routes;
pub mod runs;
pub mod samples;
pub mod types;
pub mod why;

pub use backend::{Backend, Page, Query};
pub use kind::Kind;
pub use problem::Problem;
