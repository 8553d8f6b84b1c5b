//! What is told of an object against what is known of it: a new version and the event that tells of it, or nothing.

use andon_contract::Contract;
use andon_model::{
    AssetName, Event, EventId, SiteName, Time,
    object::{Since, Told, Unfit, is_number, type_of},
    schema::changed_event,
};
use andon_store::ObjectRow;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

/// What is shown of a foreign value, in characters.
const SHOWN_MAX_CHARS: usize = 200;

/// An object that is another than it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Its new version.
    pub row: ObjectRow,
    /// The event that tells of it.
    pub event: Event,
}

/// Compares. `None`: nothing is new. The event's id derives from the version before and from what is told, so that the
/// same told twice is one event, and what returns to an earlier state is another.
pub fn weigh(
    contract: &Contract,
    told: &Told,
    known: Option<&ObjectRow>,
    origin: &str,
    now: Time,
) -> Result<Option<Changed>, Unfit> {
    let site = check(contract, told)?;
    let row = if told.gone {
        // Of what was never known, or has ended already, an end is nothing new.
        let Some(known) = known.filter(|known| known.to.is_none_or(|to| to > now)) else { return Ok(None) };
        ObjectRow { to: Some(now), origin: origin.to_owned(), revision: 0, known: Time::default(), ..known.clone() }
    } else {
        let fits = contract.schemas.check(&told.object, &told.data);
        fits.map_err(|mismatch| {
            let (at, message) = mismatch.problems.first().cloned().unwrap_or_default();
            let cause = format!("the object does not fit {}", mismatch.schema);
            unfit("object-data", &format!("/object{at}"), &cause, &message, "correct what is told, or its mapping")
        })?;
        let (from, is_valid) = match told.from {
            Since::NotYet => (None, false),
            Since::Always => (None, true),
            Since::Time(time) => (Some(time), true),
        };
        ObjectRow {
            site: site.clone(),
            kind: type_of(&told.object).to_owned(),
            number: told.number.clone(),
            revision: 0,
            known: Time::default(),
            from,
            to: told.to,
            assets: if is_valid {
                assets(contract, told, &site)?
            } else {
                assets(contract, told, &site).map(|_| Vec::new())?
            },
            line: told.line.clone().filter(|_| is_valid),
            origin: origin.to_owned(),
            data: told.data.clone(),
        }
    };
    if known.is_some_and(|known| known.says_the_same(&row)) {
        return Ok(None);
    }
    let event = event(contract, told, known, &row, now);
    contract.schemas.check_event(&event).map_err(|mismatch| {
        let remedy = "this is an error of Andon: report it with the particulars";
        unfit("event-data", "/", "the event of the object does not fit its schema", &mismatch.to_string(), remedy)
    })?;
    Ok(Some(Changed { row, event }))
}

fn unfit(code: &'static str, place: &str, cause: &str, found: &str, remedy: &str) -> Unfit {
    let shown = found.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_MAX_CHARS).collect();
    Unfit { code, place: place.to_owned(), cause: cause.to_owned(), found: shown, remedy: remedy.to_owned() }
}

/// The names of an object are names of ours.
fn check(contract: &Contract, told: &Told) -> Result<SiteName, Unfit> {
    if told.object.contains('.') || contract.schemas.json(&told.object).is_none() {
        let known: Vec<String> = contract.schemas.names().filter(|name| !name.contains("changed/")).collect();
        let objects = known.iter().filter_map(|name| name.split('/').next()).filter(|name| !name.contains('.'));
        let remedy = format!("name one of {}", objects.collect::<Vec<_>>().join(", "));
        return Err(unfit("unknown-type", "/type", "there is no such type of objects", &told.object, &remedy));
    }
    if !is_number(&told.number) {
        let remedy = "give one line of 1 to 200 characters, without blanks around it";
        return Err(unfit("object-number", "/number", "this is no number of an object", &told.number, remedy));
    }
    let site = contract.sites.keys().find(|site| site.as_str() == told.site);
    let site = site.cloned().ok_or_else(|| {
        let known: Vec<&str> = contract.sites.keys().map(SiteName::as_str).collect();
        let remedy = format!("name one of {}", known.join(", "));
        unfit("unknown-site", "/site", "the project has no such site", &told.site, &remedy)
    })?;
    for (field, expected) in [("number", &told.number), ("site", &told.site)] {
        if let Some(Json::String(other)) = told.data.get(field)
            && other != expected
        {
            let cause = format!("the object's own `{field}` is another one");
            let remedy = "let both be the same, or leave it out of the object";
            return Err(unfit("object-name", &format!("/object/{field}"), &cause, other, remedy));
        }
    }
    Ok(site)
}

/// The assets exist, at this site.
fn assets(contract: &Contract, told: &Told, site: &SiteName) -> Result<Vec<AssetName>, Unfit> {
    let mut assets = Vec::new();
    for name in &told.assets {
        let known = contract.assets.get_key_value(name.as_str()).filter(|(_, asset)| asset.site == *site);
        let Some((asset, _)) = known else {
            let cause = format!("the site {site} has no such asset");
            let remedy = "name an asset of the project; what a system calls it becomes our name with `name(...)`";
            return Err(unfit("unknown-asset", "/assets", &cause, name, remedy));
        };
        if !assets.contains(asset) {
            assets.push(asset.clone());
        }
    }
    Ok(assets)
}

fn event(contract: &Contract, told: &Told, known: Option<&ObjectRow>, row: &ObjectRow, now: Time) -> Event {
    let name = row.name();
    let mut hash = Sha256::new();
    for part in [json!(row.from), json!(row.to), json!(row.assets), json!(row.line), row.data.clone()] {
        hash.update(part.to_string());
        hash.update([0]);
    }
    let before = known.map_or(0, |known| known.revision);
    let id = EventId::derived(&[b"object", name.as_bytes(), &before.to_le_bytes(), &hash.finalize()]);
    let change = match known {
        None => "created",
        Some(known) if row.to.is_some() && known.to.is_none() => "closed",
        Some(_) => "changed",
    };
    let mut data = Map::new();
    data.insert("change".into(), change.into());
    data.insert("changes".into(), Json::Array(changes(known, row)));
    data.insert("object".into(), row.data.clone());
    for (field, time) in [("from", row.from), ("to", row.to)] {
        if let Some(time) = time {
            data.insert(field.into(), json!(time));
        }
    }
    data.insert("assets".into(), json!(row.assets));
    if let Some(line) = &row.line {
        data.insert("line".into(), line.as_str().into());
    }
    data.insert("origin".into(), row.origin.as_str().into());
    let kind = changed_event(&row.kind);
    let major = told.object.split_once('/').map_or("1", |(_, version)| version);
    let schema = contract.schemas.full_name(&format!("{kind}/{major}")).unwrap_or_default();
    Event {
        id,
        kind: if major.split('.').next() == Some("1") { kind } else { format!("{kind}.v{major}") },
        source: format!("/{}/{}", row.site, row.origin),
        time: now,
        subject: name.clone(),
        schema,
        site: row.site.clone(),
        key: name,
        correlation: id,
        causation: None,
        recorded: now,
        data: Json::Object(data),
    }
}

/// The fields that are others now, in the order of their names; those of the validity have the names of the event.
fn changes(known: Option<&ObjectRow>, row: &ObjectRow) -> Vec<Json> {
    let Some(known) = known else { return Vec::new() };
    let fields = |row: &ObjectRow| {
        let mut fields: Map<String, Json> = Map::new();
        for (name, value) in [
            ("from", row.from.map(|time| json!(time))),
            ("to", row.to.map(|time| json!(time))),
            ("line", row.line.as_deref().map(Json::from)),
            ("assets", Some(json!(row.assets))),
        ] {
            fields.extend(value.map(|value| (name.to_owned(), value)));
        }
        fields.extend(row.data.as_object().cloned().unwrap_or_default());
        fields
    };
    let (before, after) = (fields(known), fields(row));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let change = |name: &String| {
        let mut change = Map::new();
        change.insert("field".into(), name.as_str().into());
        change.extend(before.get(name).map(|value| ("from".to_owned(), value.clone())));
        change.extend(after.get(name).map(|value| ("to".to_owned(), value.clone())));
        Json::Object(change)
    };
    differing.map(change).collect()
}
