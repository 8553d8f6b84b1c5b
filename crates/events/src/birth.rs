//! Dresses a change as an event and sees that it fits its schema, where it is born.

use crate::{
    engine::Output,
    identity::{ChangeKind, Identity, level_word},
    rules::{Alarm, Change, Fact},
};
use andon_contract::{
    Contract,
    contract::{About, Answerable, Matter, matter},
};
use andon_model::{
    AssetName, Event, ExceptionId, InstanceId, Position, Quantity, SignalName, SiteName, Time, Value, quantity::decimal,
};
use andon_store::{
    KeptState,
    rows::{Evidence, ExceptionKind, ExceptionRow},
};
use serde_json::{Map, Value as Json, json};

/// What an event of a state says besides its change.
#[derive(Debug, Clone)]
pub(crate) struct Dress {
    pub(crate) site: SiteName,
    pub(crate) signal: SignalName,
    /// `<asset>/<signal>` of all inputs; the first is the one the rule stands on.
    pub(crate) signals: Box<[String]>,
    pub(crate) unit: String,
}

impl Dress {
    /// `<asset>/<signal>` of the signal the rule stands on.
    pub(crate) fn signal(&self) -> &str {
        self.signals.first().map_or("", String::as_str)
    }

    pub(crate) fn new(site: &SiteName, asset: &AssetName, inputs: &[SignalName], unit: &str) -> Self {
        Self {
            site: site.clone(),
            signal: inputs.first().cloned().expect("a rule stands on a signal"),
            signals: inputs.iter().map(|signal| format!("{asset}/{signal}")).collect(),
            unit: unit.to_owned(),
        }
    }
}

/// The event of a change, without its context.
pub(crate) fn dress(
    contract: &Contract,
    identity: &Identity,
    dress: &Dress,
    change: Change,
    now: Time,
) -> (Event, Evidence) {
    let data = data(identity, dress, &change);
    let causation = (change.id != change.story).then(|| change.story.to_string());
    let kind = change.fact.event_type().word();
    let event = Event {
        id: change.id,
        kind: kind.to_owned(),
        source: format!("/{}/rules/{}", dress.site, identity.rule),
        time: change.time,
        subject: identity.asset.to_string(),
        schema: contract.schemas.full_name(kind).unwrap_or_else(|| format!("andon:{kind}/1.0")),
        site: dress.site.clone(),
        key: identity.asset.to_string(),
        correlation: change.story,
        causation,
        recorded: now,
        data,
    };
    (event, change.evidence)
}

/// The event with what is known of its context; an exception when it does not fit its schema, which is an error of ours
/// and never a reason to say nothing.
pub(crate) fn bear(
    contract: &Contract,
    identity: &Identity,
    (mut event, evidence): (Event, Evidence),
    context: Option<Json>,
    now: Time,
) -> Output {
    event.recorded = now;
    if let (Some(context), Some(data)) = (context, event.data.as_object_mut()) {
        data.insert("context".to_owned(), context);
    }
    match contract.schemas.check_event(&event) {
        Ok(()) => Output::Event(Box::new(event), Box::new(evidence)),
        Err(mismatch) => {
            let fingerprint = format!("rules/{}/{}/schema", identity.rule, identity.asset);
            let detail = format!("{}: {mismatch}", event.to_json(None));
            let cause = format!("an event of the rule {} does not fit its schema", identity.rule);
            let remedy = "This is an error of Andon, not of the project: report it with the particulars.";
            exception(contract, fingerprint, Some(&event.site), now, cause, detail, remedy)
        }
    }
}

/// A stored state that cannot be read: its rule starts empty, and a person must know.
pub(crate) fn unreadable(
    contract: &Contract,
    row: &KeptState,
    cause: &str,
    site: Option<&SiteName>,
    now: Time,
) -> Output {
    let fingerprint = format!("rules/{}/{}/state", row.rule, row.asset);
    let detail = format!("up to {}: {cause}", row.position);
    let cause = format!("the stored state of the rule {} for {} cannot be read", row.rule, row.asset);
    let remedy =
        "Its rule goes on without it. Look whether an alarm of this asset was active, and end it where it is shown.";
    exception(contract, fingerprint, site, now, cause, detail, remedy)
}

fn exception(
    contract: &Contract,
    fingerprint: String,
    site: Option<&SiteName>,
    now: Time,
    cause: String,
    detail: String,
    remedy: &str,
) -> Output {
    let known = matter(&Matter { site, detail: Some(&detail), ..Matter::default() });
    let about = About { content: &known, ..About::of(ExceptionKind::Drift.word(), None, site) };
    let Answerable { owner, due } = contract.answerable(&about, now);
    let id = ExceptionId::derived(&[fingerprint.as_bytes()]);
    Output::Exception(Box::new(ExceptionRow {
        site: site.cloned(),
        cause,
        detail,
        remedy: remedy.to_owned(),
        due,
        ..ExceptionRow::new(id, ExceptionKind::Drift, owner, fingerprint, now)
    }))
}

fn data(identity: &Identity, dress: &Dress, change: &Change) -> Json {
    let mut data = match &change.fact {
        Fact::Alarm(alarm) => self::alarm(dress, change.kind, alarm),
        Fact::Suppressed(alarm, suppression) => {
            let mut data = self::alarm(dress, change.kind, alarm);
            data.insert("suppression".to_owned(), json!(suppression));
            data
        }
        Fact::Other(_, fields) => fields.clone(),
    };
    let mut put = |name: &str, value: Json| data.insert(name.to_owned(), value);
    put("change", change.kind.word().into());
    let evidence = &change.evidence;
    put(
        "evidence",
        json!({
            "rule": identity.rule,
            "version": identity.version,
            "samples": {
                "from": place(identity.instance, evidence.from),
                "to": place(identity.instance, evidence.to),
                "count": evidence.count,
                "hash": evidence.hash,
            },
        }),
    );
    Json::Object(data)
}

fn alarm(dress: &Dress, kind: ChangeKind, alarm: &Alarm) -> Map<String, Json> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Json| data.insert(name.to_owned(), value);
    let active = kind != ChangeKind::Returned;
    put("state", if active { "active" } else { "inactive" }.into());
    put("condition", alarm.condition.word().into());
    if let Some(level) = alarm.level {
        put("limit", level_word(level).into());
    }
    if let Some(outcome) = &alarm.outcome {
        put("outcome", outcome.as_str().into());
    }
    put("signal", dress.signal.as_str().into());
    put("severity", alarm.severity.into());
    if let Some(priority) = &alarm.priority {
        put("priority", priority.as_str().into());
    }
    if let Some(value) = alarm.value.as_ref().and_then(amount) {
        put("value", json!(Quantity { value, unit: dress.unit.clone() }));
    }
    if let Some(setting) = alarm.setting.filter(|x| x.is_finite()) {
        put("setting", json!(Quantity::from_f64(setting, &dress.unit)));
    }
    put("since", json!(alarm.since));
    if let Some(reason) = &alarm.reason {
        put("reason", reason.as_str().into());
    }
    data
}

/// A whole number keeps all its digits; floats are printed as few as read back the same.
fn amount(value: &Value) -> Option<String> {
    match value {
        Value::I64(n) => Some(n.to_string()),
        other => other.number().filter(|x| x.is_finite()).map(decimal),
    }
}

fn place(instance: InstanceId, at: Position) -> String {
    format!("{instance}/{at}")
}
