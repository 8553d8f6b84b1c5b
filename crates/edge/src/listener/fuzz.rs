//! The entry for fuzzing: what a client may say to a listener, and what is said to it meanwhile.

use super::{
    filter,
    session::{Asked, Limits, Message, Now, Session},
    subscriptions::{Match, Subscriptions},
};
use crate::mqtt::Ack;
use andon_model::Time;
use std::{sync::Arc, time::Duration};

/// A conversation in which a client says this; the first byte chooses how it is cut. Everything is answered.
pub fn fuzz(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let mut now = Now { utc: Time(0), monotonic: Duration::ZERO };
    let mut session = Session::new(Limits { receive_max: 4, keep_alive: 10 }, now);
    let mut subscriptions = Subscriptions::default();
    let mut pending = Vec::new();
    for piece in bytes.chunks(usize::from(first >> 1) + 1) {
        now.monotonic += Duration::from_secs(1);
        pending.extend_from_slice(piece);
        let mut rest = pending.as_slice();
        let mut acks = Vec::new();
        loop {
            match session.next(&mut rest, now) {
                Ok(None) => break,
                Ok(Some(asked)) => answer(&mut session, &mut subscriptions, asked, &mut acks, now),
                Err(fault) => {
                    session.end(fault.code, fault.why);
                    break;
                }
            }
        }
        let read = pending.len() - rest.len();
        pending.drain(..read);
        for (ack, code) in acks {
            session.acknowledge(ack, code);
        }
        session.pump(now);
        session.output().clear();
    }
    drop(session.take_will());
    session.end(0x8B, "the end");
}

fn answer(
    session: &mut Session,
    subscriptions: &mut Subscriptions,
    asked: Asked<'_>,
    acks: &mut Vec<(Ack, u8)>,
    now: Now,
) {
    match asked {
        Asked::Connect(hello) if hello.client_id.starts_with('x') => session.end(0x87, "no"),
        Asked::Connect(hello) => session.welcome(*hello, Some("given"), now),
        Asked::Publish(publish) => {
            let mut found: Vec<Match> = Vec::new();
            subscriptions.matches(publish.topic, 2, &mut found);
            assert_eq!(found.is_empty(), !subscriptions.is_wanted(publish.topic), "two answers to one question");
            let message = Arc::new(Message {
                topic: publish.topic.into(),
                payload: publish.payload.into(),
                properties: super::wire::forwarded(publish.properties).into(),
                received: now.utc,
                expires: publish.expiry.map(|seconds| Time(i64::from(seconds))),
            });
            for wanted in found {
                session.deliver(&message, publish.qos.min(wanted.qos), publish.retain, now);
            }
            if publish.qos > 0 {
                let code = if publish.topic.len() > 8 { 0x90 } else { 0 };
                acks.push((Ack { id: publish.id, exactly_once: publish.qos == 2 }, code));
            }
        }
        Asked::Subscribe(id, wishes) => {
            let codes: Vec<u8> = wishes
                .iter()
                .map(|wish| {
                    if !filter::is_filter(&wish.filter) {
                        return 0x8F;
                    }
                    subscriptions.add(1, &wish.filter, wish.options);
                    wish.options.qos
                })
                .collect();
            session.subscribed(id, &codes);
        }
        Asked::Unsubscribe(id, filters) => {
            let were: Vec<bool> = filters.iter().map(|filter| subscriptions.remove(1, filter)).collect();
            session.unsubscribed(id, &were);
        }
        Asked::Disconnect(_) => {}
    }
}
