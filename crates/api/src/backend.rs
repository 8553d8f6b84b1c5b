//! What the surface asks of the product.

use crate::{
    kind::Kind,
    problem::Problem,
    types::{Readiness, Status},
};
use bytes::Bytes;
use serde_json::Value as Json;

/// Rows of a page where nothing else is asked for.
pub const LIMIT_DEFAULT: usize = 100;
/// Rows of a page at most.
pub const LIMIT_MAX: usize = 1_000;

/// Answers for the surface. Every method may block; it is asked on a thread of its own.
pub trait Backend: Send + Sync + 'static {
    /// Whether the instance does its work: contract active, loops running, sources subscribed.
    fn readiness(&self) -> Readiness;
    /// Rows of a kind.
    fn list(&self, kind: Kind, query: &Query) -> Result<Page, Problem>;
    /// One thing, whole, by its id, reference or document number.
    fn show(&self, id: &str) -> Result<Json, Problem>;
    /// The lineage of a thing, backwards to the samples and forwards to every effect.
    fn explain(&self, id: &str) -> Result<Json, Problem>;
    /// Health with reasons and what to do next.
    fn status(&self) -> Result<Status, Problem>;
    /// Metrics in the text format of Prometheus.
    fn metrics(&self) -> Result<String, Problem>;
    /// Takes samples; returns once they are durable.
    fn ingest(&self, ingest: Ingest) -> Result<Accepted, Problem>;
}

/// Which rows are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Fields and the values they must have; a path into an object is written with dots.
    pub filters: Vec<(String, String)>,
    /// Only rows behind this one; `next` of the page before.
    pub after: Option<u64>,
    /// Rows at most, up to [`LIMIT_MAX`].
    pub limit: usize,
    /// Oldest first; otherwise newest first.
    pub ascending: bool,
}

/// Some rows, and where the next page begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Json>,
    /// `after` of the next page; `None`: there is none.
    pub next: Option<u64>,
}

/// Samples that somebody posts.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The source they are for.
    pub source: String,
    /// The header `content-type`.
    pub content_type: Option<String>,
    /// The header `authorization`.
    pub authorization: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// What became of posted samples; all of them are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Accepted {
    /// Samples stored.
    pub stored: u64,
    /// Samples that were there already.
    pub duplicate: u64,
}
