//! Adapters of `MTConnect`.

use super::Address;
use andon_model::{AssetName, SignalName};
use std::collections::BTreeMap;

/// An adapter that speaks SHDR (`MTConnect` Part 5, the adapter protocol) over TCP.
#[derive(Debug, Clone)]
pub struct ShdrSource {
    /// `shdr://host:port`.
    pub adapter: Address,
    /// The asset whose data items stand without a device before them.
    pub asset: AssetName,
    /// Data items by their name in the stream, each with its signal.
    pub items: BTreeMap<String, SignalName>,
}
