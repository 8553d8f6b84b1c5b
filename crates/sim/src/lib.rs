//! The real loops in one thread, over a store that crashes, from one seed.
//!
//! ## What comes in
//! A seed. Everything else follows from it: what the machines say, what the office does with each
//! request, when the process ends, which writes fail, how time passes.
//!
//! ## What goes out
//! Nothing, or the first promise that was broken, with the seed that breaks it again.
//!
//! ## What never happens here
//! Threads, sockets, files, the present time. This crate is never shipped.
//!
//! ## Where to start reading
//! [`world`] is the simulation, [`check`] what must hold at its end; [`plant`] and [`office`] are
//! the two sides the loops stand between.
//!
//! ## How it is tested
//! By running it over many seeds (`ANDON_SIM_SEEDS`, from `ANDON_SIM_FROM`), and by broken worlds
//! whose mistakes the checks must find.

pub mod chance;
pub mod check;
pub mod floor;
pub mod office;
pub mod plant;
pub mod project;
pub mod world;

pub use world::{Broken, World, run};
