//! MQTT 3.1.1 and 5 as a client: the conversation without I/O ([`client`]), what codes mean
//! ([`codes`]) and the socket it runs over ([`transport`]).

pub mod client;
pub mod codes;
mod frame;
mod message;
mod packets;
mod secure;
mod told;
pub mod transport;

pub use client::{Client, Ended, Happened, Settings};
pub use message::{Ack, Message};
pub use transport::{BrokerAddress, Link, Waker};
