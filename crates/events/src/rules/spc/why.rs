//! What a chart says of itself.

use super::{Settings, State, told};
use serde_json::{Map, Value as Json};

impl State {
    /// The lines in force, and how far their learning is.
    pub(crate) fn shown(&self, set: &Settings) -> Map<String, Json> {
        let mut all = Map::new();
        if let Some(lines) = self.lines(set) {
            all.insert("lines".to_owned(), told(lines, &set.unit));
        }
        all
    }
}
