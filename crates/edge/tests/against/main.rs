//! The edge against real and hostile brokers, each with a port and a folder of its own.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod common;
#[cfg(test)]
mod cores;
#[cfg(test)]
mod feeds;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod posts;
#[cfg(test)]
mod secure;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod subscribers;
#[cfg(test)]
mod throughput;
