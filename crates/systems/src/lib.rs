//! Turns a call into the dialect of a system of record and its answer into an outcome.
//!
//! ## What comes in
//! A [`CallRequest`](andon_model::call::CallRequest): which operation of which system, with which input and key.
//!
//! ## What goes out
//! First a [`Prepared`](andon_model::call::Prepared) request, so that its hash is durable before a byte is sent; then,
//! from [`Connectors::send`], an [`Outcome`](andon_model::Outcome). Whatever a system does, there is one.
//!
//! ## What never happens here
//! Retries, breakers and decisions: they belong to the layer that owns the call. A second sending of a request that
//! could have a second effect, by a redirect, a pool or a library. A credential outside of the request it belongs to:
//! not in a prepared request, not in an outcome.
//!
//! ## Where to start reading
//! [`Connectors`], then [`rest`]: `codec` is the whole translation, `status` the table of what a status code means.
//!
//! ## How it is tested
//! The codec by tables and by random answers, the session against real HTTP servers and against one that does
//! everything a server must not do.

mod connectors;
mod names;
pub mod notify;
pub mod rest;

pub use connectors::{Connectors, Env};
pub use rest::{MARK, Shown, fuzz, fuzz_around, fuzz_project};

/// Installs the one crypto provider of the process, ring, unless it is there already. Whoever makes an HTTP client
/// calls it before; the connectors do so themselves.
pub fn install_crypto() {
    // `Err` says that somebody was faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
