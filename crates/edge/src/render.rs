//! The message of an event for a subscriber: its topic and its payload. Pure.

use andon_contract::{
    contract::{About, Answerable, Contract, Matter, Subscriber, matter},
    expr::{EvalError, NoNames},
};
use andon_model::{ExceptionId, Name, Time};
use andon_store::rows::{ExceptionKind, ExceptionRow, StoredEvent};

/// The largest payload that is published.
pub const MESSAGE_MAX: usize = 1 << 20;

/// A message for a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Why an event cannot be published; it is set aside as an exception and the next one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// The cause in one word.
    pub code: String,
    /// What is wrong, in one line.
    pub cause: String,
    /// The particulars.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

/// Whether a subscriber wants an event.
pub fn wants(subscriber: &Subscriber, event: &StoredEvent) -> bool {
    subscriber.types.is_empty() || subscriber.types.contains(&event.event.kind)
}

/// The message of an event.
pub fn render(contract: &Contract, subscriber: &Subscriber, stored: &StoredEvent) -> Result<Rendered, Unpublished> {
    let event = &stored.event;
    let asset = contract.assets.get(event.subject.as_str());
    let known = |place: &str| match place {
        "site" => Some(event.site.as_str()),
        "type" => Some(event.kind.as_str()),
        "asset" => Some(event.subject.as_str()),
        "area" => asset.and_then(|asset| asset.area.as_deref()),
        "line" => asset.and_then(|asset| asset.line.as_deref()),
        _ => None,
    };
    let unpublished = |code: &str, cause: String, remedy: &str| Unpublished {
        code: code.into(),
        cause,
        detail: format!("event {} about {}", event.id, event.subject),
        remedy: remedy.into(),
    };
    let topic = subscriber.topic.fill(&known).map_err(|place| {
        let cause = format!("`{{{place}}}` of the topic is not known of this event");
        unpublished("topic", cause, "give the asset what the topic names, or name something else in `topic`")
    })?;
    let json = event.to_json(Some(stored.sequence));
    let json = match &subscriber.payload {
        None => json,
        Some(program) => program.eval(&json, &[], &NoNames).map_err(|error: EvalError| {
            let mut problem = unpublished(
                "payload",
                "the payload's expression fails on an event".into(),
                "correct `payload` of the subscriber; the event stands in the event log",
            );
            problem.detail = format!("{}: {error}", problem.detail);
            problem
        })?,
    };
    let payload = serde_json::to_vec(&json).map_err(|e| unpublished("payload", e.to_string(), "correct `payload`"))?;
    if payload.len() > MESSAGE_MAX {
        let cause = format!("the payload has {} bytes; 1 MiB is the most", payload.len());
        return Err(unpublished("payload-size", cause, "let `payload` of the subscriber pick what is needed"));
    }
    Ok(Rendered { topic, payload })
}

impl Unpublished {
    /// The exception that stands for it.
    pub fn exception(&self, contract: &Contract, subscriber: &Name, stored: &StoredEvent, now: Time) -> ExceptionRow {
        let site = &stored.event.site;
        let fingerprint = format!("output:subscriber:{subscriber}:{}:{}:{site}", self.code, stored.event.kind);
        let id = ExceptionId::derived(&[b"exception", fingerprint.as_bytes()]);
        let known = matter(&Matter {
            input: Some(&stored.event.data),
            site: Some(site),
            key: Some(&stored.event.key),
            detail: Some(&self.detail),
            ..Matter::default()
        });
        let about = About { content: &known, ..About::of("output", None, Some(site)) };
        let Answerable { owner, due } = contract.answerable(&about, now);
        ExceptionRow {
            site: Some(site.clone()),
            key: Some(stored.event.key.clone()),
            cause: format!("subscriber {subscriber}: {}", self.cause),
            detail: self.detail.clone(),
            remedy: self.remedy.clone(),
            due,
            ..ExceptionRow::new(id, ExceptionKind::Output, owner, fingerprint, now)
        }
    }
}
