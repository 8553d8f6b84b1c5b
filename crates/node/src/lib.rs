//! Joins the parts of a contract to a running instance.
//!
//! ## What comes in
//! The folder of a project, a data folder, an address.
//!
//! ## What goes out
//! A [`Node`] at work: sources, rules, workflows, calls, subscribers and the API over one store.
//!
//! ## What never happens here
//! Deciding: the layers decide. Here they get threads, a clock and chance, and what one leaves in
//! the store wakes the next.
//!
//! ## Where to start reading
//! [`assemble`], from top to bottom.
//!
//! ## How it is tested
//! As users use it, through the binary; see the tests of the package `andon`.

mod acts;
mod again;
mod alarms;
mod answers;
pub mod assemble;
mod audit;
pub mod backend;
pub mod backup;
mod calls;
pub mod clock;
mod cost;
mod decisions;
mod desk;
pub mod doctor;
mod drive;
mod edits;
mod fares;
#[doc(hidden)]
pub mod fuzz;
pub mod given;
mod hidden;
mod history;
mod ingest;
mod keep;
mod notify;
mod objects;
mod oee;
mod page;
mod part;
mod posted;
mod reads;
pub mod scenario;
mod served;
mod show;
mod starts;
mod stuck;
mod watch;
mod why;

pub use answers::answers;
pub use assemble::{Node, Options, StartError};
pub use backend::look;

use std::path::Path;

/// The API's address of the instance that holds a data folder; `None` when nobody does.
pub fn announced(dir: &Path) -> Option<String> {
    andon_store::announced(dir)
}

/// A client for the API on loopback: no proxy, the time of a question limited.
pub fn http_client() -> reqwest::Client {
    andon_systems::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("a client without proxy and certificates can be made")
}

/// Waits for the process to be asked to stop: SIGTERM or Ctrl-C.
pub struct StopSignal {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// From here on such a request is kept, also while nobody waits for it. Needs a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Returns when the request has come.
    pub async fn wait(mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
