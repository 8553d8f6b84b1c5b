//! Groups of what was received on their way to the disk: one at a time, acknowledged once all of it is durable.

use super::steps::Loop;
use crate::{
    given::End,
    mqtt::{Ack, Client, transport::Wire},
    source::Group,
};
use andon_model::{Time, sample::Counts};
use andon_store::StoreError;
use std::{
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// At QoS 0 nobody waits for durability: groups are collected at least this long.
pub const COALESCE: Duration = Duration::from_millis(10);

/// A group on its way to the disk.
pub(super) struct Flight {
    number: u64,
    /// Parts that are not over.
    parts: usize,
    pub(super) acks: Vec<Ack>,
    messages: u64,
    counts: Counts,
    /// When the last bytes came that may be in it or before it, in UTC.
    heard_at: Time,
    /// Why it will never be durable as a whole: nobody waits for the rest of it.
    failed: Option<StoreError>,
}

impl Flight {
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.failed = Some(error.clone());
        error
    }
}

impl<W: Wire> Loop<W> {
    /// Sends the group on its way, when the last one is durable and somebody waits for it, or long enough has passed.
    pub(super) fn send_group(&mut self) -> Result<(), StoreError> {
        let group = self.core.group();
        let now = self.now.monotonic;
        let early = group.acks.is_empty() && !group.is_full() && now < self.submitted + COALESCE;
        if self.flight.is_some() || group.is_empty() || early {
            return Ok(());
        }
        self.submit()
    }

    pub(super) fn submit(&mut self) -> Result<(), StoreError> {
        let group = self.core.take_group();
        let counts = group.counts();
        let Group { parts, quarantine, acks, messages, .. } = group;
        self.submitted = self.now.monotonic;
        self.flights += 1;
        let number = self.flights;
        self.flight =
            Some(Flight { number, parts: parts.len(), acks, messages, counts, heard_at: self.heard_at, failed: None });
        if !quarantine.is_empty() {
            let kept = self.store.commit(quarantine.into_writes());
            kept.map_err(|error| self.flight.as_mut().map_or(error.clone(), |flight| flight.fail(error)))?;
        }
        for part in parts {
            let shared = Arc::clone(&self.shared);
            self.store.submit(part, Box::new(move |result| shared.part_done(number, result)));
        }
        Ok(())
    }

    /// Acknowledges the group on its way once all of it is durable.
    pub(super) fn landed(&mut self, client: &mut Client) -> Result<(), End> {
        let done = mem::take(&mut *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(flight) = &mut self.flight else { return Ok(()) };
        if let Some(error) = &flight.failed {
            return Err(End::Store(error.clone()));
        }
        for (number, result) in done {
            if number == flight.number {
                result.map_err(|error| flight.fail(error))?;
                flight.parts = flight.parts.saturating_sub(1);
            }
        }
        if flight.parts > 0 {
            return Ok(());
        }
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let now = self.now.monotonic;
        if self.subscribed {
            self.intact = flight.heard_at;
        }
        {
            let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.messages += flight.messages;
            status.counts.add(&flight.counts);
        }
        for ack in flight.acks {
            client.acknowledge(ack, now)?;
        }
        Ok(())
    }
}
