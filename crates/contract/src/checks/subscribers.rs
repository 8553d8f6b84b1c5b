//! Subscribers: brokers, event types that exist, topics over known places, payloads that compile.

use super::{
    Known,
    connect::{BrokerParts, broker},
    expressions::expression,
    listeners,
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

/// Where the events go: to one broker, or to the clients of one listener.
fn publish_to(project: &Project, file: &SubscriberFile) -> Option<PublishTo> {
    let refuse = |spot, message: &str, help: &str| {
        let finding = Finding::error(codes::PUBLISH_TO, spot, message);
        project.push(finding.expected("`broker: mqtt://host:1883` or `listener: NAME`").help(help));
    };
    match (&file.broker, &file.listener) {
        (Some(address), None) => {
            let parts = BrokerParts {
                broker: address,
                tls: file.tls.as_ref(),
                version: file.version.as_ref(),
                credentials: file.credentials.as_ref(),
                keep_alive: file.keep_alive.as_ref(),
            };
            broker(project, &parts).map(PublishTo::Broker)
        }
        (None, Some(listener)) => {
            let tls = file.tls.as_ref().map(|tls| [&tls.authority, &tls.certificate, &tls.key]);
            let of_tls = tls.into_iter().flatten().flatten().map(|text| text.spot);
            let of_broker = file.version.as_ref().map(|version| version.spot).into_iter();
            let of_broker = of_broker.chain(file.credentials.as_ref().map(|user| user.password.spot));
            let of_broker = of_broker.chain(file.keep_alive.as_ref().map(|span| span.spot)).chain(of_tls);
            for spot in of_broker {
                refuse(spot, "this says how a broker is spoken with, and there is none", "leave it out");
            }
            Some(PublishTo::Listener(listener.value.0.clone()))
        }
        (Some(_), Some(listener)) => {
            refuse(listener.spot, "both a broker and a listener are named", "write two subscribers, one for each");
            None
        }
        (None, None) => {
            refuse(file.topic.spot, "nothing says where the events go", "add `broker` or `listener`");
            None
        }
    }
}

/// The listeners that subscribers publish to exist.
pub(crate) fn check(project: &Project) {
    let known = listeners::declared(project);
    for doc in &project.subscribers {
        let Some(listener) = doc.body.as_ref().and_then(|file| file.listener.as_ref()) else { continue };
        if !known.has(listener.value.as_str()) {
            let message = format!("no instance has a listener `{}`", listener.value.0);
            let finding = known.lacking(codes::PUBLISH_LISTENER, listener.spot, listener.value.as_str(), message);
            project.push(
                finding.help("correct the name, or add it to the instance in `andon.yaml`: `listeners: { ... }`"),
            );
        }
    }
}

fn subscriber(project: &Project, file: &SubscriberFile, schemas: &SchemaSet) -> Option<Subscriber> {
    let to = publish_to(project, file);
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
        to: to?,
        types: file.types.iter().map(|kind| kind.value.clone()).collect(),
        qos: qos(project, file.qos.as_ref(), 1),
        topic: topic?,
        payload: match payload {
            None => None,
            Some(payload) => Some(payload?.program),
        },
    })
}
