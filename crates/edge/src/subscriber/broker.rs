//! A subscriber at a broker: one connection from its beginning to its end.

use super::{Loop, STOP_MAX, WINDOW};
use crate::{
    given::{self, End, draw},
    mqtt::{
        Client, Ended, Happened, Link, Settings,
        client::NotSent,
        codes::Explained,
        transport::{Bytes, PACE, PACED_FOR},
    },
    render::Unpublished,
};
use andon_contract::contract::{MqttVersion, PublishTo};
use std::{mem, sync::atomic::Ordering, thread, time::Duration};

/// With so many events under way the socket is looked at once a while instead of at each acknowledgement.
const PACED_FROM: usize = 32;
/// Looks at the socket in a turn: a broker that talks without end does not keep us from everything else.
const READS_AT_ONCE: usize = 16;
/// Refusals that pass: no reason given, a reason of the broker's own, a quota that is used up.
const FOR_NOW: [u8; 3] = [0x80, 0x83, 0x97];
/// Refusals that stay: not authorized, the topic, the size, the form of the payload.
const FOR_GOOD: [u8; 4] = [0x87, 0x90, 0x95, 0x99];

impl Loop {
    fn connect(&self) -> Result<(Link, Client), Ended> {
        let PublishTo::Broker(broker) = &self.subscriber.to else {
            return Err(Ended::new("the subscriber has no broker", "name a broker"));
        };
        let (address, tls) = given::address(broker, &self.env, "subscriber")?;
        let settings = Settings {
            client_id: format!("andon-{}-subscriber-{}", self.store.instance(), self.name),
            version: broker.version,
            clean_start: true,
            session_expiry: 0,
            keep_alive: given::keep_alive(broker),
            credentials: given::credentials(broker, &self.env)?,
            window: WINDOW,
        };
        let shared = &self.shared;
        let link = Link::connect(&address, tls.as_ref(), &shared.waker, &|| shared.stopped())?;
        let mut client = Client::new(settings, []);
        client.connect(self.clock.monotonic())?;
        Ok((link, client))
    }

    /// Whether the broker may refuse an event for now, which MQTT 3.1.1 and QoS 0 have no words for.
    fn is_refusable(&self) -> bool {
        let PublishTo::Broker(broker) = &self.subscriber.to else { return false };
        broker.version == MqttVersion::V5 && self.subscriber.qos > 0
    }

    pub(super) fn conversation(&mut self) -> End {
        let (mut link, mut client) = match self.connect() {
            Ok(both) => both,
            Err(_) if self.shared.stopped() => return End::Stopped,
            Err(ended) => return End::Ended(ended),
        };
        self.outbox.again(self.is_refusable());
        self.shared.changed.store(true, Ordering::Release);
        let mut stop_by = None;
        let end = loop {
            let now = self.clock.monotonic();
            if self.shared.stopped() {
                let by = *stop_by.get_or_insert(now + STOP_MAX);
                if self.outbox.is_quiet() || now >= by {
                    break End::Stopped;
                }
            }
            if let Err(end) = self.turn(&mut link, &mut client, now) {
                break end;
            }
        };
        client.disconnect(self.clock.monotonic());
        link.close(mem::take(client.output()));
        end
    }

    fn turn(&mut self, link: &mut Link, client: &mut Client, now: Duration) -> Result<(), End> {
        client.tick(now)?;
        for _ in 0..READS_AT_ONCE {
            let Bytes::Some(bytes, more) = link.read()? else { break };
            self.heard = now;
            let mut happened = Vec::new();
            let result = client.receive(bytes, now, &mut happened);
            for what in happened {
                self.happened(&what, now)?;
            }
            result?;
            if !more {
                break;
            }
        }
        if client.is_connected() && !self.shared.stopped() {
            self.fill(client, now)?;
        }
        link.write(client.output())?;
        if client.output().is_empty() && link.is_flushed() {
            self.outbox.written();
        }
        self.outbox.advance();
        self.commit_when_due(now)?;
        let any = self.outbox.is_ready() || (self.outbox.room() > 0 && self.shared.changed.load(Ordering::Acquire));
        if any && client.has_room() {
            return Ok(());
        }
        if self.outbox.under_way() >= PACED_FROM && now.saturating_sub(self.heard) < PACED_FOR {
            // Acknowledgements come in numbers: it is cheaper not to be woken for each.
            thread::sleep(PACE);
        } else {
            let commit = self.acked_at.map(|at| at + super::COMMIT_AFTER);
            let stop = self.shared.stopped().then(|| now + Duration::from_millis(20));
            let due = self.outbox.due().filter(|_| client.is_connected());
            let timeout = [commit, client.deadline(), stop, due].into_iter().flatten().min();
            link.wait(&self.shared.waker, !client.output().is_empty(), timeout.map(|at| at.saturating_sub(now)));
        }
        Ok(())
    }

    fn happened(&mut self, what: &Happened, now: Duration) -> Result<(), End> {
        match *what {
            Happened::Connected { .. } => self.connected(),
            Happened::Published { id, refused: None } => self.outbox.acknowledged(id),
            Happened::Published { id, refused: Some((code, why)) } => self.refused(id, code, why, now)?,
            Happened::Subscribed { .. }
            | Happened::Unsubscribed { .. }
            | Happened::Message(_)
            | Happened::TooLarge { .. } => {}
        }
        Ok(())
    }

    /// A refusal that stays sets the event aside; one that passes lets it be tried again after a pause; any other is a
    /// disagreement about the protocol, which ends the connection.
    fn refused(&mut self, id: u16, code: u8, why: Explained, now: Duration) -> Result<(), End> {
        if !FOR_NOW.contains(&code) && !FOR_GOOD.contains(&code) {
            let reason = format!("the broker did not take an event: {} (0x{code:02X})", why.cause);
            return Err(End::Ended(Ended::new(reason, why.remedy)));
        }
        let chance = draw(&mut self.chance);
        if FOR_NOW.contains(&code) && self.outbox.refused_for_now(id, now, chance) {
            let reason = format!(
                "{} events are refused for now and tried again: {} (0x{code:02X}); {}",
                self.outbox.refused_now(),
                why.cause,
                why.remedy
            );
            self.refusing = true;
            self.shared.status(|s| s.reason = reason);
            return Ok(());
        }
        let at = self.clock.now();
        let Some(event) = self.outbox.event(id) else { return Ok(()) };
        let why = Unpublished {
            code: format!("0x{code:02X}"),
            cause: format!("the broker refuses the event: {} (0x{code:02X})", why.cause),
            detail: format!("event {} about {}", event.event.id, event.event.subject),
            remedy: why.remedy.into(),
        };
        let row = why.exception(&self.contract, &self.name, event, at);
        self.outbox.refused(id, andon_store::rows::Write::Exception(Box::new(row)));
        Ok(())
    }

    /// Sends as much as there is and fits.
    fn fill(&mut self, client: &mut Client, now: Duration) -> Result<(), End> {
        while client.has_room() {
            let Some(message) = self.render_next(now) else {
                if self.look()? {
                    continue;
                }
                break;
            };
            match client.publish(&message.topic, &message.payload, self.subscriber.qos.min(1), now) {
                Ok(id) => self.outbox.sent(id),
                Err(NotSent::Full | NotSent::NotConnected) => break,
                Err(NotSent::Impossible(cause)) => {
                    let detail = format!("topic {}", crate::problem::quote(&message.topic));
                    let remedy = "correct `topic` or `payload` of the subscriber".into();
                    self.unsendable(now, &Unpublished { code: "impossible".into(), cause, detail, remedy });
                }
            }
        }
        if self.refusing && self.outbox.refused_now() == 0 {
            self.refusing = false;
            self.shared.status(|s| s.reason.clear());
        }
        Ok(())
    }
}
