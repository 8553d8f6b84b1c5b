//! A subscriber at a listener of the instance: its events go to the clients that have subscribed them at the moment. A
//! listener keeps no sessions for those who are away, so an event is delivered once the listener has taken it.

use super::{COMMIT_AFTER, LOOK_EVERY, Loop};
use crate::{given::End, listener::Delivery, mqtt::Ended};
use andon_contract::contract::PublishTo;
use std::sync::{PoisonError, atomic::Ordering};

impl Loop {
    /// Hands events to the listener until it, or the subscriber, stops.
    pub(super) fn deliver_to_clients(&mut self) -> End {
        let PublishTo::Listener(name) = &self.subscriber.to else { return End::Stopped };
        let hub = self.hubs.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let Some(hub) = hub else {
            let reason = format!("the listener {name} does not run in this instance");
            return End::Ended(Ended::new(
                reason,
                "give the instance the listener in `andon.yaml`, or name one it has",
            ));
        };
        self.outbox.again(false);
        self.shared.changed.store(true, Ordering::Release);
        self.connected();
        while !self.shared.stopped() {
            let now = self.clock.monotonic();
            let full = loop {
                let Some(message) = self.render_next(now) else {
                    match self.look() {
                        Ok(true) => continue,
                        Ok(false) => break false,
                        Err(error) => return End::Store(error),
                    }
                };
                let site = self.outbox.next(now).map(|event| event.event.site.clone());
                let at = self.clock.now();
                let qos = self.subscriber.qos.min(1);
                match hub.publish(&message.topic, message.payload, qos, false, site.as_ref(), at) {
                    Delivery::Taken => self.outbox.sent(None),
                    Delivery::Full => break true,
                    Delivery::Stopped => {
                        return End::Ended(Ended::new("the listener has stopped", "start the instance again"));
                    }
                }
                if self.outbox.room() == 0 {
                    break false;
                }
            };
            self.outbox.written();
            self.outbox.advance();
            if let Err(error) = self.commit_when_due(now) {
                return End::Store(error);
            }
            let wait = if full { Some(LOOK_EVERY) } else { self.acked_at.map(|_| COMMIT_AFTER) };
            if full || !self.shared.changed.load(Ordering::Acquire) {
                self.shared.waker.wait(wait);
            }
        }
        End::Stopped
    }
}
