//! Historian, event log, journal and read models: everything an instance must not forget.
//!
//! Business state is one SQL database, telemetry is one log. A [`Store`] joins both behind one
//! interface; layers meet in it and nowhere else.
//!
//! What *durable* means:
//!
//! - **embedded** ([`Store::open`]): [`Store::commit`] returns after `SQLite` has synced its write-ahead log
//!   (`synchronous=FULL`), [`Store::append`] after `fdatasync` of the segment. Both survive `kill -9` and the loss
//!   of power, as far as the disk keeps what it has confirmed. One machine, one disk: it does not survive its loss.
//! - **simulated** ([`Store::simulated`]): as embedded, on a disk in memory ([`SimDisk`]) that crashes and fails when
//!   it is told to, and loses then what a real one may lose. Without threads, for simulations and tests.
//! - **memory** ([`Store::memory`]): nothing survives the process. What is returned is kept, in order and whole, for
//!   every user of the same store, so that a layer can be stopped at any point and taken up again in a test.
//!
//! ## What comes in
//! [`Write`]s, committed all or nothing, and [`Part`](andon_model::sample::Part)s of samples and marks, appended in
//! order.
//!
//! ## What goes out
//! The same rows, as they were written, by key, by state or as a [`Page`] for people; the same entries as
//! [`Batch`](andon_model::sample::Batch)es with their places. Events have order numbers without holes, in the order of
//! their commits.
//!
//! ## What never happens here
//! Knowing why something is stored; the present time; loss of anything that was acknowledged; silence about damage.
//!
//! ## Where to start reading
//! [`rows`] for what is stored, [`Store`] for what can be asked, then the database in `db` and the log in `log`.
//!
//! ## How it is tested
//! One suite of behaviours ([`conformance`]) against every provider. On a simulated disk besides: kills, the loss of
//! power, errors and no room in every operation. Embedded besides: every torn tail, flipped bits, `kill -9` of a
//! writing process, two processes, and a folder written by every earlier version.

pub mod backup;
pub mod conformance;
pub mod historian;
pub mod rows;

mod change;
mod confirmations;
mod db;
mod disk;
mod doctor;
mod error;
mod fault;
mod folder;
mod hand;
mod log;
mod objects;
mod states;
mod store;
mod waits;

pub use confirmations::{BACK, CONFIRMATIONS_MAX, ConfirmationRow, Differs};
pub use db::{Committed, Page, Query, READERS_MAX};
pub use disk::{SimDisk, Trouble};
pub use doctor::{Ailment, Examination, Gravity, Looked, Passed, examine, repair};
pub use error::StoreError;
pub use fault::Fault;
pub use folder::{announced, fuzz as fuzz_folder};
pub use hand::{ENDS_MAX, Gate, HAND_BYTES, HANDS_MAX, Hand, Inside, Suspects};
pub use log::{PART_BYTES_MAX, fuzz};
pub use objects::{ObjectName, ObjectRow, RevisionRow};
pub use rows::*;
pub use states::{KeptState, StatesFile, fuzz as fuzz_states};
pub use store::{Limits, Store};
pub use waits::{ANY_TYPE, Decision, GatherKey, ListenRow, ScheduleRow};
