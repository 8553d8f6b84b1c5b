//! Dresses a change as an event and sees that it fits its schema, where it is born.

use crate::{
    engine::Output,
    identity::{ALARM, ChangeKind, Identity, level_word},
    rules::Change,
};
use andon_contract::Contract;
use andon_model::{
    AssetName, Event, ExceptionId, InstanceId, Name, Position, Quantity, Schemas, SignalName, SiteName, Time, Value,
    quantity::decimal,
};
use andon_store::rows::{ExceptionKind, ExceptionRow, ExceptionState, RuleStateRow};
use serde_json::{Map, Value as Json, json};

/// What an event of a state says besides its change.
#[derive(Debug, Clone)]
pub(crate) struct Dress {
    pub(crate) site: SiteName,
    pub(crate) signal: SignalName,
    /// `<asset>/<signal>`.
    pub(crate) full_signal: String,
    pub(crate) unit: String,
    /// `andon:asset.alarm/1.1`.
    schema: String,
}

impl Dress {
    pub(crate) fn new(schemas: &Schemas, site: &SiteName, asset: &AssetName, signal: &SignalName, unit: &str) -> Self {
        Self {
            site: site.clone(),
            signal: signal.clone(),
            full_signal: format!("{asset}/{signal}"),
            unit: unit.to_owned(),
            schema: schemas.full_name(ALARM).unwrap_or_else(|| format!("andon:{ALARM}/1.0")),
        }
    }
}

/// The event of a change; an exception when it does not fit its schema, which is an error of ours
/// and never a reason to say nothing.
pub(crate) fn dress(contract: &Contract, identity: &Identity, dress: &Dress, change: Change, now: Time) -> Output {
    let data = data(identity, dress, &change);
    let causation = (change.kind != ChangeKind::Activated).then(|| change.activation.to_string());
    let event = Event {
        id: change.id,
        kind: ALARM.to_owned(),
        source: format!("/{}/rules/{}", dress.site, identity.rule),
        time: change.time,
        subject: identity.asset.to_string(),
        schema: dress.schema.clone(),
        site: dress.site.clone(),
        key: identity.asset.to_string(),
        correlation: change.activation,
        causation,
        recorded: now,
        data,
    };
    match contract.schemas.check_event(&event) {
        Ok(()) => Output::Event(Box::new(event), Box::new(change.evidence)),
        Err(mismatch) => {
            let fingerprint = format!("rules/{}/{}/schema", identity.rule, identity.asset);
            let detail = format!("{}: {mismatch}", event.to_json(None));
            let cause = format!("an event of the rule {} does not fit its schema", identity.rule);
            let remedy = "This is an error of Andon, not of the project: report it with the particulars.";
            exception(contract, fingerprint, Some(&dress.site), now, cause, detail, remedy)
        }
    }
}

/// A stored state that cannot be read: its rule starts empty, and a person must know.
pub(crate) fn unreadable(
    contract: &Contract,
    row: &RuleStateRow,
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
    let owner = contract.owner(ExceptionKind::Drift.word(), None, site).cloned();
    Output::Exception(Box::new(ExceptionRow {
        id: ExceptionId::derived(&[fingerprint.as_bytes()]),
        site: site.cloned(),
        kind: ExceptionKind::Drift,
        owner: owner.unwrap_or_else(|| Name::new("nobody").expect("it is a name")),
        fingerprint,
        cause,
        detail,
        remedy: remedy.to_owned(),
        count: 1,
        first: now,
        last: now,
        state: ExceptionState::Open,
        source: None,
        run: None,
        call: None,
    }))
}

fn data(identity: &Identity, dress: &Dress, change: &Change) -> Json {
    let mut data = Map::new();
    let mut put = |name: &str, value: Json| data.insert(name.to_owned(), value);
    let active = change.kind != ChangeKind::Returned;
    put("change", change.kind.word().into());
    put("state", if active { "active" } else { "inactive" }.into());
    put("condition", if change.level.is_some() { "limit" } else { "stale" }.into());
    if let Some(level) = change.level {
        put("limit", level_word(level).into());
    }
    put("signal", dress.signal.as_str().into());
    put("severity", change.severity.into());
    if let Some(value) = change.value.as_ref().and_then(amount) {
        put("value", json!(Quantity { value, unit: dress.unit.clone() }));
    }
    if let Some(setting) = change.setting.filter(|x| x.is_finite()) {
        put("setting", json!(Quantity::from_f64(setting, &dress.unit)));
    }
    put("since", json!(change.since));
    if let Some(reason) = &change.reason {
        put("reason", reason.as_str().into());
    }
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
