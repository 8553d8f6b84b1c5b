//! All events of the instance for the subscribers of a listener: `andon/v1/<site>/events/<type>/<subject>`. There are
//! no offline sessions, so that a client is given the events since it subscribed.

use super::handle::{Delivery, ListenerHub, Shared};
use crate::{given::Clock, render::MESSAGE_MAX};
use andon_store::{Store, StoreError, rows::StoredEvent};
use std::{sync::Arc, thread, time::Duration};

/// Events that are read at once.
const READ_AT_ONCE: usize = 500;
/// How long the thread waits before it looks whether it is to stop.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Between two looks at the store while it changes all the time, and while the listener has enough to do.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The topic of an event. What cannot stand in a topic is replaced by `_`.
pub fn topic(stored: &StoredEvent) -> String {
    let event = &stored.event;
    let clean = |text: &str| text.replace(['+', '#', '\0'], "_");
    format!("andon/v1/{}/events/{}/{}", event.site, clean(&event.kind), clean(&event.subject))
}

/// Follows the events until the listener stops.
pub(super) fn follow(store: &Store, hub: &ListenerHub, shared: &Arc<Shared>, clock: &dyn Clock) {
    let mut cursor = None;
    let mut seen = store.change_of_rows();
    while !shared.stopped() {
        if let Err(error) = step(store, hub, shared, clock, &mut cursor) {
            tracing::warn!(%error, "events cannot be read for the subscribers of a listener");
            thread::sleep(WAIT_MAX);
            continue;
        }
        seen = store.wait_rows(seen, WAIT_MAX);
        thread::sleep(LOOK_EVERY);
    }
}

fn step(
    store: &Store,
    hub: &ListenerHub,
    shared: &Shared,
    clock: &dyn Clock,
    cursor: &mut Option<u64>,
) -> Result<(), StoreError> {
    // In this order: who subscribes is told so only once `has_subscribers` says it, and nothing after that is missed.
    let last = store.last_sequence()?;
    let mut after = match *cursor {
        Some(after) if hub.has_subscribers() => after,
        // Nobody listens: who comes later is given what happens then.
        _ => last,
    };
    *cursor = Some(after);
    loop {
        let events = store.events_after(after, READ_AT_ONCE)?;
        let is_last = events.len() < READ_AT_ONCE;
        for stored in events {
            let payload = serde_json::to_vec(&stored.event.to_json(Some(stored.sequence))).unwrap_or_default();
            after = stored.sequence;
            if payload.len() > MESSAGE_MAX {
                tracing::warn!(event = %stored.event.id, "an event is too large for the subscribers of a listener");
                continue;
            }
            let topic = topic(&stored);
            loop {
                let site = Some(&stored.event.site);
                match hub.publish(&topic, payload.clone(), 1, false, site, clock.now()) {
                    Delivery::Full if !shared.stopped() => thread::sleep(LOOK_EVERY),
                    Delivery::Taken | Delivery::Full | Delivery::Stopped => break,
                }
            }
            *cursor = Some(after);
        }
        if is_last || shared.stopped() {
            return Ok(());
        }
    }
}
