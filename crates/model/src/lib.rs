//! The nouns of a plant, values only.
//!
//! ## What comes in
//! Text and numbers from files, messages and rows.
//!
//! ## What goes out
//! Values that are what their type says: an [`AssetName`] is a valid name, a [`Time`] is UTC, an
//! [`Event`] has the shape of its schema once [`schema::Schemas::check_event`] has seen it.
//!
//! ## What never happens here
//! Files, network, databases, async, the present time. A type lives here only when at least two
//! layers speak of it.
//!
//! ## Where to start reading
//! [`id`], [`time`], [`value`], then [`sample`] and [`event`], the two things everything else is about.
//!
//! ## How it is tested
//! Examples and properties beside each type: whatever is printed reads back as the same value.

pub mod base32;
pub mod call;
pub mod event;
pub mod id;
pub mod matching;
pub mod name;
pub mod object;
pub mod quantity;
pub mod sample;
pub mod schema;
pub mod span;
pub mod time;
pub mod value;

pub use call::{Key, Outcome, OutcomeClass, Reference};
pub use event::Event;
pub use id::{CallId, EventId, ExceptionId, InstanceId, RunId};
pub use matching::Interval;
pub use name::{AssetName, Name, SignalName, SiteName};
pub use quantity::Quantity;
pub use sample::{Entry, Mark, Offset, Position, Sample, SignalNo};
pub use schema::Schemas;
pub use time::Time;
pub use value::{Quality, Value};
