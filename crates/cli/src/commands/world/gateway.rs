//! The gateway of a site: carries what its machines say to whoever takes it, in order, and again after a lost
//! connection.

use andon_contract::contract::MqttVersion;
use andon_demo::world::World;
use andon_edge::{
    mqtt::{BrokerAddress, Ended, Settings},
    publish::Publisher,
};
use andon_node::{clock::Real, given::chance};
use std::{sync::Arc, time::Duration};

/// Publishes without acknowledgement at most.
const WINDOW: u16 = 100;
/// Between two looks at what the machines said.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Seconds between two signs of life.
const KEEP_ALIVE: u16 = 30;

/// Carries until `ended` says so. `address` tells where to, `mqtt://host:port`, where it is known.
pub(super) fn carry(world: &World, site: &str, address: &dyn Fn() -> Option<String>, ended: &dyn Fn() -> bool) {
    while !ended() {
        let Some(to) = address() else {
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        if let Some(mut outbox) = world.outbox(site) {
            outbox.again();
        }
        let gone = || ended() || address().as_ref() != Some(&to);
        if let Err(error) = publish(world, site, &to, &gone) {
            tracing::warn!(site, %to, reason = error.reason, "the machines cannot publish");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Publishes to one address until `gone` says that this is over.
fn publish(world: &World, site: &str, to: &str, gone: &dyn Fn() -> bool) -> Result<(), Ended> {
    let wrong = |cause: String| Ended::new(cause, "name it as mqtt://host:port");
    let address = BrokerAddress::parse(to).map_err(wrong)?;
    let settings = Settings {
        client_id: format!("gateway-{site}"),
        version: MqttVersion::V5,
        clean_start: true,
        session_expiry: 0,
        keep_alive: KEEP_ALIVE,
        credentials: None,
        window: WINDOW,
    };
    let publisher = Publisher::new(address, None, settings, Arc::new(Real), Box::new(chance));
    let mut publisher = publisher.map_err(|error| Ended::new(error.to_string(), "close other programs"))?;
    let mut acknowledged = 0;
    while !gone() {
        while let Some(message) = world.outbox(site).and_then(|mut outbox| outbox.send()) {
            publisher.publish(&message.topic, message.payload.as_bytes(), &mut |_| gone())?;
            acknowledged = settle(world, site, &publisher, acknowledged);
            if gone() {
                return Ok(());
            }
        }
        publisher.wait(LOOK_EVERY, &mut |_| gone())?;
        acknowledged = settle(world, site, &publisher, acknowledged);
        for refused in publisher.take_refused() {
            tracing::warn!(site, topic = refused.topic, reason = refused.why.cause, "a message was refused for good");
        }
    }
    Ok(())
}

/// Tells the outbox what was acknowledged since.
fn settle(world: &World, site: &str, publisher: &Publisher, before: u64) -> u64 {
    let now = publisher.acknowledged();
    if let Some(mut outbox) = world.outbox(site).filter(|_| now > before) {
        outbox.acknowledged(now - before);
    }
    now
}
