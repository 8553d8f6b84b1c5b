//! What the rules have at hand, and what becomes of an entry of the log that ends the process.
//!
//! Each piece of the log is named before it is read. After an unclean end the piece that was named is suspect, and its
//! entries are read one at a time, each named, with nothing else at hand in the whole instance. An entry that ends the
//! process so twice is poison: rules pass it over, and an exception holds what it says. Suspects are remembered until
//! the file of states lies behind them: until then a crash leads back to them.

use super::Loop;
use andon_contract::contract::About;
use andon_model::{Entry, ExceptionId, Mark, Position, SignalNo, sample::Batch};
use andon_store::{
    ENDS_MAX, StoreError,
    rows::{Action, ExceptionKind, ExceptionRow, Write},
};
use std::sync::Arc;

/// The name of this loop among those that have something at hand.
pub(super) const PART: &str = "rules";
/// So far ahead suspects are looked for: no step reads farther.
const NEAR_ENTRIES: u64 = 2 * super::STEP_ENTRIES_MAX as u64;
/// Characters of an entry that its exception holds.
const SHOWN_MAX_CHARS: usize = 2_000;

/// The item for a piece of the log, from its first entry to before its end.
fn item(from: Position, end: u64) -> String {
    if end <= from.offset + 1 {
        format!("log/{}/{}", from.epoch, from.offset)
    } else {
        format!("log/{}/{}-{}", from.epoch, from.offset, end - 1)
    }
}

/// The piece an item names: epoch, first and last offset.
fn piece(item: &str) -> Option<(u32, u64, u64)> {
    let mut parts = item.strip_prefix("log/")?.split('/');
    let epoch = parts.next()?.parse().ok()?;
    let offsets = parts.next()?;
    let (first, last) = offsets.split_once('-').unwrap_or((offsets, offsets));
    Some((epoch, first.parse().ok()?, last.parse().ok()?))
}

impl Loop {
    /// Whether a suspect lies in what the next step may read.
    pub(super) fn is_near_suspects(&self) -> bool {
        self.is_suspected(self.engine.position(), NEAR_ENTRIES)
    }

    fn is_suspected(&self, from: Position, entries: u64) -> bool {
        let end = from.offset.saturating_add(entries);
        let pieces = || self.suspects.items().filter_map(piece);
        pieces().any(|(epoch, first, last)| epoch == from.epoch && first < end && last >= from.offset)
    }

    /// Names what is read next: the rest of a batch, or of a suspected one a single entry. What is to be read of it,
    /// and how much may be done.
    pub(super) fn take_in_hand(
        &mut self,
        batch: Arc<Batch>,
        from: Position,
        most: u64,
    ) -> Result<(Arc<Batch>, u64), StoreError> {
        let from = from.max(batch.first);
        let end = batch.end().offset;
        if self.suspects.is_empty() || !self.is_suspected(from, end.saturating_sub(from.offset)) {
            self.hand.take(&item(from, end));
            return Ok((batch, most));
        }
        let single = item(from, from.offset + 1);
        if self.suspects.ends(&single).is_none_or(|ends| ends < ENDS_MAX) {
            self.hand.take(&single);
            return Ok((batch, 1));
        }
        let at = usize::try_from(from.offset - batch.first.offset).unwrap_or(usize::MAX);
        let mut without = Batch::clone(&batch);
        if let Some(entry) = without.part.entries.get_mut(at) {
            let row = self.poison(&batch, from, entry);
            // Met again after a crash it is told of already.
            if self.store.exception(row.id)?.is_none() {
                self.writes.push(Write::Exception(Box::new(row)));
            }
            *entry = match entry {
                // No rule reads a signal that has no name; it counts as evaluated.
                Entry::Sample(sample) => {
                    Entry::Sample(andon_model::Sample { signal: SignalNo(u32::MAX), ..sample.clone() })
                }
                Entry::Mark(_) => Entry::Mark(Mark::Rows { of: String::new(), from: 0, to: 0 }),
            };
        }
        Ok((Arc::new(without), 1))
    }

    fn poison(&self, batch: &Batch, at: Position, entry: &Entry) -> ExceptionRow {
        let (kind, contract) = (ExceptionKind::Input, self.engine.contract());
        let (source, site) = (&batch.part.source, &batch.part.site);
        let about = About::of(kind.word(), Some("ingest"), Some(site));
        let answerable = contract.answerable(&about, self.now);
        let said: String = format!("{entry:?}").chars().take(SHOWN_MAX_CHARS).collect();
        let id = ExceptionId::derived(&[b"poison", at.to_string().as_bytes()]);
        ExceptionRow {
            site: Some(site.clone()),
            domain: Some("ingest".to_owned()),
            due: answerable.due,
            action: Some(Action::Discard),
            source: Some(source.clone()),
            cause: format!("an entry of {source} ended the process each time rules read it; rules pass it over"),
            detail: format!("{at}, {ENDS_MAX} ends with it alone at hand: {said}"),
            remedy: "tell the makers of andon; the sample itself is stored, and its value can be asked for".to_owned(),
            ..ExceptionRow::new(id, kind, answerable.owner, format!("poison/rules/{source}"), self.now)
        }
    }

    /// Forgets suspects that lie before what a crash would lead back to.
    pub(super) fn acquit(&mut self) -> Result<(), StoreError> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        let safe = self.states_position;
        let is_behind = |(epoch, _, last): (u32, u64, u64)| epoch < safe.epoch || last < safe.offset;
        let over: Vec<String> =
            self.suspects.items().filter(|item| piece(item).is_none_or(is_behind)).map(str::to_owned).collect();
        if over.is_empty() {
            return Ok(());
        }
        for item in &over {
            self.suspects.meets(item);
        }
        self.store.commit(self.suspects.acquit()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_names_its_piece() {
        let at = |offset| Position { epoch: 3, offset };
        assert_eq!((item(at(7), 8).as_str(), piece("log/3/7")), ("log/3/7", Some((3, 7, 7))));
        assert_eq!((item(at(7), 20).as_str(), piece("log/3/7-19")), ("log/3/7-19", Some((3, 7, 19))));
        for other in ["", "log", "log/x/7", "log/3/7-", "log/3", "run/ru_1"] {
            assert_eq!(piece(other), None, "{other}");
        }
    }
}
