//! The machines and offices of the example projects.
//!
//! An *office* is a simulated system of record with a file of its own. It does what a real one does, the
//! inconvenient things included: it takes the same reference twice, and on command it fails, hangs or loses an answer.
//!
//! ## What comes in
//! HTTP requests to an office, and the commands that make it misbehave ([`faults`]); where Andon is.
//!
//! ## What goes out
//! Answers; and in the office's file one line for each document, durable before the answer is sent. Of the machines:
//! what they say, as topics and payloads ([`line`]), and a synthetic recording of a temperature ([`machine`]).
//!
//! ## What never happens here
//! Andon itself: an office knows nothing of runs, calls and keys, so that it can bear witness for or against them.
//! No clock and no chance: the present time and the seed are arguments.
//!
//! ## Where to start reading
//! [`offices`], the systems of record as pure state machines; then [`serve`], their HTTP shell. [`line`], the machines;
//! [`world`], which joins both under one [`clock`]. [`machine`] stands alone.
//!
//! ## How it is tested
//! The state machines by calling them; the shell by a real HTTP client on a free port; the files by reading them, and
//! by tearing them as a crash would; the recording by comparing it with the one that is checked in.

pub mod broker;
pub mod clock;
pub mod faults;
pub mod line;
pub mod machine;
pub mod offices;
pub mod world;

mod http;

pub use http::{BODY_MAX_BYTES, serve};
pub use offices::{Desk, OfficeKind, offices};

use std::path::PathBuf;

/// Why an office cannot open or go on.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The file cannot be read or written.
    #[error("the office's file {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// Another office has the file open.
    #[error("the office's file {} is open in another office; stop that one or name another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line of the file is none of ours.
    #[error("{}:{line}: {cause}; repair the line or name another file", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// The listener failed.
    #[error("the office's listener: {0}")]
    Listener(#[from] std::io::Error),
}
