//! `sources/<source>.yaml` of kind `shdr`: adapters of `MTConnect`.

use super::words::{Duration, Silence};
use crate::{
    contract::{Clock, ItemForm, Others},
    read::{At, Entries},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// An adapter of `MTConnect` that speaks SHDR over TCP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShdrSourceFile {
    /// `shdr`.
    #[expect(dead_code, reason = "the key decides which shape the file has and is looked at before")]
    pub(crate) kind: ShdrWord,
    /// The adapter: `shdr://host:7878`, or `env:NAME else shdr://host:7878`.
    pub(crate) adapter: At<String>,
    /// The asset whose data items stand without a device before them. A device before an item is the address of an
    /// asset in this source.
    #[serde(default)]
    pub(crate) asset: Option<At<String>>,
    /// Data items (`item` or `DEVICE:item`) and their signals. An item that is not named here belongs to the signal
    /// that is called like it, exactly or in lower case with hyphens.
    #[serde(default)]
    pub(crate) items: Entries<String, At<String>>,
    /// How the values of data items are written that are no plain values.
    #[serde(default)]
    pub(crate) forms: Entries<String, At<ItemForm>>,
    /// What becomes of data items that no signal takes: `quarantine` (default) or `ignore`.
    #[serde(default)]
    pub(crate) others: Option<Others>,
    /// How often a sign of life is asked for, 1 s to 30 min; default 10 s. An adapter may ask for another pace.
    #[serde(default)]
    pub(crate) heartbeat: Option<At<Duration>>,
    /// `live` (default), or `recorded` for a replay: no time passes between its samples.
    #[serde(default)]
    pub(crate) clock: Option<Clock>,
    /// The zone of times that name none, such as `Europe/Berlin`; default UTC.
    #[serde(default)]
    pub(crate) zone: Option<At<String>>,
    /// A time this much later than the receive time is not believed; default 5 min.
    #[serde(default)]
    pub(crate) ahead: Option<At<Duration>>,
    /// Connected and without a sample for so long, the source is silent; `never`: it may say nothing for ever. Default
    /// 10 min, and `never` with a recorded clock.
    #[serde(default)]
    pub(crate) silence: Option<At<Silence>>,
}

/// The word `shdr`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum ShdrWord {
    /// SHDR.
    Shdr,
}
