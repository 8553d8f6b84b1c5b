//! What is known about what an asset was doing at a time: orders, batches, shifts, maintenance.
//!
//! A revision of the context holds from its mark in the log on. What is asked is always the time of
//! an event, and what is answered is what is known at the place of the log that was read.

use andon_model::{AssetName, Time};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};

/// The context as it is known at a place of the log.
#[derive(Debug, Clone, Default)]
pub struct Context {
    revision: u64,
    assets: BTreeMap<AssetName, BTreeMap<String, Vec<Valid>>>,
}

/// An object that is valid for an asset from a time on, and until another.
#[derive(Debug, Clone, PartialEq)]
pub struct Valid {
    /// `<Type>/<site>/<number>`.
    pub object: String,
    /// From this time on.
    pub from: Time,
    /// Before this time; [`Time::MAX`] where it is open.
    pub to: Time,
    /// The object's data.
    pub data: Arc<Json>,
}

impl Context {
    /// Its revision; 0 where nothing is known yet.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What is valid under a name (`order`, `batch`, `shift`, `maintenance`) for an asset at a time: of several the
    /// one that began last.
    pub fn at(&self, asset: &AssetName, name: &str, time: Time) -> Option<&Valid> {
        let all = self.assets.get(asset)?.get(name)?;
        all.iter().filter(|valid| valid.from <= time && time < valid.to).max_by_key(|valid| valid.from)
    }
}
