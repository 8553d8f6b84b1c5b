//! Talks to machines and writes what they say to the historian.
//!
//! ## What comes in
//! Messages of MQTT brokers and bodies of HTTP requests, as bytes nobody has looked at; events of the
//! event log on their way to subscribers; recorded data on its way to a broker.
//!
//! ## What goes out
//! Samples and marks for the log with exact counts of what became of everything that was received,
//! quarantined messages with cause and remedy, gaps, and publishes.
//!
//! ## What never happens here
//! An acknowledgement before durability, a decision about what a value means for production, a look at
//! the clock or at chance that the caller did not hand in, a panic on foreign bytes.
//!
//! ## Where to start reading
//! [`source`], the pure core of a source; [`mapping`], how bytes become samples; [`run`], the loop around it.
//!
//! ## How it is tested
//! Properties and examples beside the cores; `tests/` runs them against a real mosquitto that is killed
//! and restarted, and against a hostile broker.

mod careful;
pub mod duplicates;
pub mod feed;
pub mod files;
#[doc(hidden)]
pub mod fuzz;
pub mod given;
pub mod http;
pub mod listener;
pub mod mapping;
pub mod mqtt;
pub mod payload;
pub mod problem;
pub mod publish;
pub mod render;
pub mod replay;
pub mod run;
pub mod shdr;
pub mod source;
pub mod subscriber;
pub mod tls;
pub mod value;

mod history;
mod intake;
