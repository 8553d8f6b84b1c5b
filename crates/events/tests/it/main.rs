//! Everything that is tested from outside, in one program.

#[cfg(test)]
mod cnc;
#[cfg(test)]
mod common;
#[cfg(test)]
mod context;
#[cfg(test)]
mod context_random;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod counter;
#[cfg(test)]
mod deviation;
#[cfg(test)]
mod diagrams;
#[cfg(test)]
mod floor;
#[cfg(test)]
mod floor_random;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod gate_random;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod limit;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod many;
#[cfg(test)]
mod measures;
#[cfg(test)]
mod nab;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rate;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod spc;
#[cfg(test)]
mod spectrum;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod state;
#[cfg(test)]
mod table;
#[cfg(test)]
mod why;
#[cfg(test)]
mod window;
