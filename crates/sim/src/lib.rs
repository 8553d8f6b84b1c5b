//! The real loops in one thread, over a store that crashes, from one seed.
//!
//! ## What comes in
//! A seed. Everything else follows from it by a [`Plan`]: what the machines say, what the offices do with each
//! request, when the process ends, which writes fail, how time passes, what people do.
//!
//! ## What goes out
//! How much happened, or the first promise that was broken, with the shortest story that breaks it and the seed.
//!
//! ## What never happens here
//! Threads within a world, sockets, files, the present time. This crate is never shipped.
//!
//! ## Where to start reading
//! [`plan`] says what happens, [`world`] is the simulation, [`check`] what must hold at its end; [`floor`] and
//! [`office`] are the two sides the loops stand between. [`lives`] lives many worlds and shortens the plan of one that
//! fails.
//!
//! ## How it is tested
//! By running it over many seeds (`cargo xtask sim`), by broken worlds whose mistakes the checks must find, and by
//! the seeds of everything it has found so far.

pub mod chance;
pub mod check;
pub mod floor;
pub mod lives;
pub mod office;
pub mod plan;
pub mod project;
pub mod seen;
pub mod shrink;
pub mod trace;
pub mod world;

pub use lives::{Failed, Lived, live, run, run_all, run_many, run_plan};
pub use plan::Plan;
pub use seen::Seen;
pub use world::{Broken, World};
