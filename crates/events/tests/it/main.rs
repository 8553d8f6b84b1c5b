//! Everything that is tested from outside, in one program.

#[cfg(test)]
mod common;
#[cfg(test)]
mod diagrams;
#[cfg(test)]
mod limit;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod nab;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod stale;
