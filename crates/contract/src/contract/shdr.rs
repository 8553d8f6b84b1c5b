//! Adapters of `MTConnect`.

use super::Address;
use andon_model::{AssetName, SignalName, span::Span};
use std::collections::BTreeMap;

/// An adapter that speaks SHDR (the adapter protocol of `MTConnect`) over TCP.
#[derive(Debug, Clone)]
pub struct ShdrSource {
    /// `shdr://host:port`; the port is 7878 where none is named.
    pub adapter: Address,
    /// The asset whose data items stand without a device before them; `None`: every item names its device, which
    /// is the address of an asset in this source.
    pub asset: Option<AssetName>,
    /// Data items by their name in the stream (`item`, or `DEVICE:item`), each with its signal. An item that is not
    /// named here belongs to the signal of the asset's class that is called like it.
    pub items: BTreeMap<String, SignalName>,
    /// How the values of items are written that are no plain values; by item as in `items`.
    pub forms: BTreeMap<String, ItemForm>,
    /// What becomes of items that no signal takes.
    pub others: Others,
    /// How often a sign of life is asked for until the adapter says how often it wants that; default 10 s.
    pub heartbeat: Span,
}

/// How the value of a data item is written, by its category and representation in the device model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ItemForm {
    /// `item|level|code|severity|qualifier|text`: a CONDITION.
    Condition,
    /// `item|code|text`: a MESSAGE.
    Message,
    /// `item|count|rate|v v v`: a SAMPLE with the representation `TIME_SERIES`.
    TimeSeries,
    /// `item|key=value key=value`: the representation `DATA_SET` or `TABLE`.
    DataSet,
}

impl ItemForm {
    /// The word of files and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Message => "message",
            Self::TimeSeries => "time-series",
            Self::DataSet => "data-set",
        }
    }
}

/// What becomes of what no signal takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// It is set aside with its bytes, grouped by item, until the mapping is mended.
    #[default]
    Quarantine,
    /// It is counted as refused and not kept.
    Ignore,
}
