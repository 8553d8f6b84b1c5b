//! The newest batches in memory, bounded by their size.

use andon_model::{
    Entry, Name, Offset, Value,
    sample::{Batch, Mark},
};
use std::{collections::VecDeque, sync::Arc};

/// The newest batches that hold entries, oldest first.
pub(crate) struct Ring {
    batches: VecDeque<(Arc<Batch>, usize)>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    /// A ring that forgets its oldest batches beyond `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, limit }
    }

    /// Adds the newest batch. One without entries has no place and is left out.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        if batch.part.entries.is_empty() {
            return;
        }
        let bytes = size(&batch);
        self.bytes = self.bytes.saturating_add(bytes);
        self.batches.push_back((batch, bytes));
        while self.bytes > self.limit
            && let Some((_, bytes)) = self.batches.pop_front()
        {
            self.bytes -= bytes;
        }
    }

    /// Whether every entry from `offset` on that exists is here.
    pub(crate) fn reaches(&self, offset: Offset) -> bool {
        self.batches.front().is_some_and(|(oldest, _)| oldest.first.offset <= offset)
    }

    /// The newest batches of a source that hold at least so many samples, oldest first.
    pub(crate) fn newest(&self, source: &Name, samples: u64) -> Vec<Arc<Batch>> {
        let mut missing = samples;
        let mut found: Vec<_> = self
            .batches
            .iter()
            .rev()
            .filter(|(batch, _)| batch.part.source == *source)
            .take_while(|(batch, _)| {
                let wanted = missing > 0;
                missing = missing.saturating_sub(batch.part.counts.stored);
                wanted
            })
            .map(|(batch, _)| Arc::clone(batch))
            .collect();
        found.reverse();
        found
    }

    /// The batch that holds the entry at `offset`, or the first one behind it.
    pub(crate) fn find(&self, offset: Offset) -> Option<Arc<Batch>> {
        let at = self.batches.partition_point(|(batch, _)| batch.end().offset <= offset);
        self.batches.get(at).map(|(batch, _)| Arc::clone(batch))
    }
}

/// The bytes of a batch in memory, nearly.
fn size(batch: &Batch) -> usize {
    let heap = |entry: &Entry| match entry {
        Entry::Sample(sample) => match &sample.value {
            Value::Text(text) => text.len() + 16,
            Value::Bytes(bytes) => bytes.len() + 16,
            Value::Bool(_) | Value::I64(_) | Value::F64(_) => 0,
        },
        Entry::Mark(Mark::Disconnected(text) | Mark::Contract(text)) => text.len(),
        Entry::Mark(Mark::Control(control)) => size_of_val(&**control) + control.actor.len() + control.reason.len(),
        Entry::Mark(_) => 0,
    };
    let entries = &batch.part.entries;
    size_of::<Batch>() + size_of_val(entries.as_slice()) + entries.iter().map(heap).sum::<usize>()
}
