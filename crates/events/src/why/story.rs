//! What the stored events say of a rule for an asset: whether it had fired, what it told last, what persons did.

use andon_model::{AssetName, Event, EventId, Name, SiteName, Time};
use andon_store::{Query, Store, StoreError};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Events of the rule that are looked at, the newest first.
const LOOKED_MAX: usize = 1_000;
const PAGE: usize = 200;

/// The events that matter, each the newest up to the time.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Of an alarm that had not returned.
    pub(super) standing: Option<Event>,
    /// The last return of an alarm.
    pub(super) returned: Option<Event>,
    /// The last that was told of anything but alarms and what persons do.
    pub(super) told: Option<Event>,
    /// That its alarms were shelved, and nothing had ended that.
    pub(super) shelved: Option<Event>,
    /// That it was disabled, and nothing had ended that.
    pub(super) disabled: Option<Event>,
}

/// Reads them, up to a time in plant time and by receive time.
pub(super) fn story(
    store: &Store,
    site: &SiteName,
    rule: &Name,
    asset: &AssetName,
    (at, utc): (Time, Time),
) -> Result<Story, StoreError> {
    let mut found = Story::default();
    let mut ended: BTreeSet<EventId> = BTreeSet::new();
    let of_rule =
        vec![("subject".to_owned(), asset.to_string()), ("source".to_owned(), format!("/{site}/rules/{rule}"))];
    each(store, of_rule.clone(), at, |event| {
        match event.kind.as_str() {
            "asset.alarm" | "asset.alarm.suppressed" => {
                let returned = word(&event, "change") == "returned";
                if returned {
                    ended.insert(event.correlation);
                    found.returned.get_or_insert(event);
                } else if !ended.contains(&event.correlation) {
                    found.standing.get_or_insert(event);
                } else {
                    // Of alarms that are told apart by an outcome another one may stand.
                    return event.data.get("outcome").is_some();
                }
                found.standing.is_none()
            }
            "asset.alarm.control" => true,
            _ => {
                found.told.get_or_insert(event);
                false
            }
        }
    })?;
    let (mut shelving, mut disabling) = (false, false);
    let mut of_control = of_rule;
    of_control.push(("type".to_owned(), "asset.alarm.control".to_owned()));
    each(store, of_control, utc, |event| {
        match word(&event, "change").as_str() {
            "shelved" if !shelving => {
                shelving = true;
                let until = event.data.get("until").and_then(Json::as_str).and_then(|text| Time::parse(text).ok());
                found.shelved = Some(event).filter(|_| until.is_none_or(|until| until > utc));
            }
            "unshelved" => shelving = true,
            "disabled" if !disabling => {
                disabling = true;
                found.disabled = Some(event);
            }
            "enabled" => disabling = true,
            _ => {}
        }
        !(shelving && disabling)
    })?;
    Ok(found)
}

/// A text of an event's data.
pub(super) fn word(event: &Event, name: &str) -> String {
    event.data.get(name).and_then(Json::as_str).unwrap_or("").to_owned()
}

/// The events up to a time, the newest first, as long as more are wanted.
fn each(
    store: &Store,
    where_: Vec<(String, String)>,
    at: Time,
    mut wants: impl FnMut(Event) -> bool,
) -> Result<(), StoreError> {
    let mut query = Query { where_, limit: PAGE, ..Query::default() };
    let mut looked = 0;
    loop {
        let page = store.list("events", &query)?;
        for row in &page.rows {
            looked += 1;
            // What is stored reads back; what does not is no reason to answer nothing.
            let Ok(event) = Event::from_json(row) else { continue };
            if event.time <= at && !wants(event) {
                return Ok(());
            }
        }
        match page.next {
            Some(next) if looked < LOOKED_MAX => query.after = Some(next),
            _ => return Ok(()),
        }
    }
}
