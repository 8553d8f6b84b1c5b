//! What a source knows of its session at the broker, and records of its connection.

use super::steps::Loop;
use crate::{
    given::End,
    mqtt::{Ended, codes::Explained, transport::Wire},
    source::{self, Before},
};
use andon_model::{Entry, Mark, Time, sample::Part};
use andon_store::{
    StoreError,
    rows::{SourceRow, Write},
};
use std::{mem, sync::PoisonError};

impl<W: Wire> Loop<W> {
    pub(super) fn mark_connected(&mut self) {
        if !self.marked {
            self.marked = true;
            self.core.mark(Mark::Connected);
        }
    }

    fn wants(&self, filter: &str) -> bool {
        self.filters.iter().any(|(wanted, _)| wanted == filter)
    }

    /// The condition as it was recorded last. Where a process has ended without a word while it was connected, it has
    /// been disconnected since the newest receipt in the log.
    pub(super) fn before(&self, last_received: Option<Time>) -> Result<Option<SourceRow>, StoreError> {
        let row = self.store.source_rows()?.into_iter().find(|row| row.source == self.name);
        let Some(row) = row.clone().filter(|row| row.connected) else { return Ok(row) };
        let since = last_received.map_or(row.since, |last| last.max(row.since)).min(self.now.utc);
        let reason = "the process ended while it was connected".to_owned();
        let row = SourceRow { connected: false, since, reason, ..row };
        self.store.commit(vec![Write::Source(row.clone())])?;
        Ok(Some(row))
    }

    /// From its connect on the broker has a session for us, also where it had none: that is durable before it is asked,
    /// for whoever asks next hears only that there is one.
    pub(super) fn doubt(&mut self) -> Result<(), StoreError> {
        self.asking = true;
        self.subscribed = false;
        self.doubted = self.row.as_ref().is_some_and(|row| row.in_doubt);
        let Some(row) = self.row.as_ref().filter(|row| !row.in_doubt) else { return Ok(()) };
        let row = SourceRow { in_doubt: true, ..row.clone() };
        self.store.commit(vec![Write::Source(row.clone())])?;
        self.row = Some(row);
        Ok(())
    }

    /// The broker has answered: what is known of our session now.
    pub(super) fn answered(&mut self, is_kept: bool) {
        self.asking = false;
        if let Some(row) = &mut self.row {
            row.in_doubt = self.doubted || !is_kept;
        }
    }

    /// The filters that the session has from an earlier edit of the project. What the broker is going to hold is
    /// durable before it is asked for, so that a crash in between forgets nothing.
    pub(super) fn unwanted(&mut self, now: Time) -> Result<Vec<String>, StoreError> {
        let stored = mem::take(&mut self.held);
        if self.session_present {
            self.held.clone_from(&stored);
        }
        for (filter, _) in &self.filters {
            if !self.held.contains(filter) {
                self.held.push(filter.clone());
            }
        }
        if !self.held.iter().all(|filter| stored.contains(filter)) {
            let row = self.row.clone().unwrap_or_else(|| self.row(false, now, "subscribing".into()));
            self.store.commit(vec![Write::Source(SourceRow { filters: self.held.clone(), ..row })])?;
            self.asked.get_or_insert(now);
        }
        Ok(self.held.iter().filter(|filter| !self.wants(filter)).cloned().collect())
    }

    pub(super) fn unsubscribed(&mut self, refused: &[(String, u8, Explained)]) {
        let mut held = mem::take(&mut self.held);
        held.retain(|filter| self.wants(filter) || refused.iter().any(|(kept, ..)| kept == filter));
        self.held = held;
        let said = refused.iter().map(|(filter, code, why)| {
            format!(
                "the broker goes on to send {filter}, which the source names no more: {} (0x{code:02X}); {}",
                why.cause, why.remedy
            )
        });
        self.kept = said.collect::<Vec<_>>().join("; ");
    }

    fn row(&self, connected: bool, since: Time, reason: String) -> SourceRow {
        let (source, filters) = (self.name.clone(), self.held.clone());
        let in_doubt = self.row.as_ref().is_some_and(|row| row.in_doubt);
        SourceRow { source, connected, since, reason, code: None, in_doubt, filters }
    }

    pub(super) fn subscribed(
        &mut self,
        refused: &[(String, u8, Explained)],
        lowered: &[(String, u8)],
        now: Time,
    ) -> Result<(), End> {
        let reasons: Vec<String> = refused
            .iter()
            .map(|(filter, code, why)| {
                format!("the broker refused {filter}: {} (0x{code:02X}); {}", why.cause, why.remedy)
            })
            .collect();
        let lower = lowered.iter().map(|(filter, qos)| {
            format!("the broker grants only QoS {qos} for {filter}: allow more there, or ask for less in the source")
        });
        let kept = Some(self.kept.clone()).filter(|kept| !kept.is_empty());
        let reason = reasons.into_iter().chain(lower).chain(kept).collect::<Vec<_>>().join("; ");
        if refused.len() == self.filters.len() {
            return Err(End::Ended(Ended::new(reason, "the subscription is tried again")));
        }
        self.mark_connected();
        let at_most_once = self.filters.iter().chain(lowered).any(|(_, qos)| *qos == 0);
        let before = Before { row: self.row.as_ref(), last_received: None };
        let gap = source::gap(&self.name, before, now, self.session_present, at_most_once);
        let row = SourceRow { in_doubt: false, ..self.row(true, now, reason.clone()) };
        self.store.commit(gap.map(Write::Gap).into_iter().chain([Write::Source(row.clone())]).collect())?;
        self.row = Some(row);
        self.intact = now;
        self.subscribed = true;
        self.tell(true, reason);
        Ok(())
    }

    pub(super) fn record_disconnected(&mut self, reason: &str, code: Option<u8>) -> Result<(), StoreError> {
        let now = self.now.utc;
        if self.asking && code.is_some() {
            // It refused us, and that changes no session.
            self.answered(true);
        }
        if self.marked {
            let mut part = Part::new(self.core.home(), self.name.clone());
            part.entries.push(Entry::Mark(Mark::Disconnected(reason.to_owned())));
            self.store.append(vec![part])?;
            self.marked = false;
        }
        // What came after the last that is durable, and what was on its way, may be lost: from there on it was not
        // connected, whenever it was noticed.
        let since = match &self.row {
            Some(row) if row.connected => self.intact.max(row.since).min(now),
            Some(row) => row.since,
            // The broker may have taken the first subscription, though we did not hear of it.
            None => self.asked.unwrap_or(now),
        };
        let row = SourceRow { code, ..self.row(false, since, reason.to_owned()) };
        if self.row.as_ref() != Some(&row) {
            self.store.commit(vec![Write::Source(row.clone())])?;
            self.row = Some(row);
        }
        Ok(())
    }

    pub(super) fn tell(&self, connected: bool, reason: String) {
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.connected != connected || status.reason != reason {
            if connected {
                tracing::info!(source = %self.name, %reason, "connected and subscribed");
            } else {
                tracing::warn!(source = %self.name, %reason, "not connected");
            }
        }
        if status.connected != connected {
            status.since = self.now.utc;
        }
        status.connected = connected;
        status.reason = reason;
    }
}
