//! Subscribers: brokers, event types that exist, topics over known places, payloads that compile.

use super::{
    Known,
    connect::{BrokerParts, broker},
    expressions::expression,
    schemas::SchemaSet,
    sources::qos,
    stem,
    topics::template,
};
use crate::{
    codes,
    contract::{Piece, PublishTo, Subscriber},
    files::subscribers::SubscriberFile,
    load::Project,
    problem::Finding,
};
use andon_model::Name;
use std::collections::BTreeMap;

/// The places a topic may have.
const PLACES: [&str; 5] = ["site", "area", "line", "asset", "type"];

pub(crate) fn resolve(project: &Project, schemas: &SchemaSet) -> BTreeMap<Name, Subscriber> {
    let mut subscribers = BTreeMap::new();
    for doc in &project.subscribers {
        let (Some(name), Some(file)) = (stem(project, doc), &doc.body) else { continue };
        if let Some(subscriber) = subscriber(project, file, schemas) {
            subscribers.insert(name, subscriber);
        }
    }
    subscribers
}

fn subscriber(project: &Project, file: &SubscriberFile, schemas: &SchemaSet) -> Option<Subscriber> {
    let parts = BrokerParts {
        broker: &file.broker,
        version: file.version.as_ref(),
        credentials: file.credentials.as_ref(),
        keep_alive: file.keep_alive.as_ref(),
    };
    let broker = broker(project, &parts);
    for kind in file.types.iter() {
        schemas.events.expect(project, codes::UNKNOWN_EVENT, kind.spot, "type of event", kind);
    }
    let places = Known(PLACES.iter().map(|place| (*place).to_owned()).collect());
    let topic = template(project, &file.topic, &places);
    if let Some(topic) = &topic {
        let text: String = topic
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Place(_) => "x",
            })
            .collect();
        if text.is_empty() || text.contains(['+', '#', '\0']) || text.starts_with('$') {
            let finding = Finding::error(codes::TOPIC, file.topic.spot, "nothing can be published to this topic");
            project.push(
                finding
                    .expected("a topic like `andon/v1/{site}/events/{type}/{asset}`")
                    .help("leave out `+`, `#` and a `$` at the beginning"),
            );
        }
    }
    let payload = file.payload.as_ref().map(|text| expression(project, text, &[]));
    Some(Subscriber {
        to: PublishTo::Broker(broker?),
        types: file.types.iter().map(|kind| kind.value.clone()).collect(),
        qos: qos(project, file.qos.as_ref(), 1),
        topic: topic?,
        payload: match payload {
            None => None,
            Some(payload) => Some(payload?.program),
        },
    })
}
