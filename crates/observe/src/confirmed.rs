//! Who else told an event: its confirmations, one for each origin and fact, with all that it says.

use andon_model::{Event, EventId, Time};
use andon_store::{ConfirmationRow, Differs, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What another origin told of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Who: the `source` of its reports.
    pub origin: String,
    /// Its first report.
    pub report: EventId,
    /// When that was recorded here.
    pub recorded: Time,
    /// When it began, as this origin says.
    pub from: Time,
    /// When it ended, as this origin says; absent until it tells an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// How much later than the event it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<Differs>,
    /// The data of its reports as one: of each field what was told last.
    pub says: Json,
    /// Its reports in the order in which they came, whole.
    pub reports: Vec<ConfirmationRow>,
}

/// The confirmations of an event, or of the first event of its story, in the order in which they came.
pub fn of_event(store: &Store, event: &Event) -> Result<Vec<Confirmed>, StoreError> {
    let mut rows = store.confirmations(event.id)?;
    if rows.is_empty() && event.correlation != event.id {
        rows = store.confirmations(event.correlation)?;
        rows.retain(|row| row.kind == event.kind);
    }
    Ok(join(rows))
}

/// Joins what each origin told of one fact.
pub(crate) fn join(rows: Vec<ConfirmationRow>) -> Vec<Confirmed> {
    let mut all: Vec<Confirmed> = Vec::new();
    for row in rows {
        let known = all.iter().position(|known| known.report == row.report);
        let at = known.unwrap_or_else(|| {
            all.push(Confirmed {
                origin: row.origin.clone(),
                report: row.report,
                recorded: row.recorded,
                from: row.from,
                to: None,
                differs: None,
                says: Json::Object(Map::new()),
                reports: Vec::new(),
            });
            all.len() - 1
        });
        let Some(confirmed) = all.get_mut(at) else { continue };
        confirmed.to = row.to.or(confirmed.to);
        confirmed.differs.clone_from(&row.differs);
        if let (Some(says), Some(told)) =
            (confirmed.says.as_object_mut(), row.event.get("data").and_then(Json::as_object))
        {
            // What a rule saw stands with each report.
            let told = told.iter().filter(|(field, _)| *field != "evidence");
            says.extend(told.map(|(field, value)| (field.clone(), value.clone())));
        }
        confirmed.reports.push(row);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_model::Interval;
    use andon_store::Write;
    use serde_json::json;

    #[test]
    fn what_an_origin_tells_in_several_reports_is_one_confirmation() {
        let store = Store::memory(&mut |bytes| bytes.fill(7));
        let time = |second: i64| Time(1_700_000_000_000_000_000 + second * 1_000_000_000);
        let report = |number: u8, story: u8, origin: &str, to: Option<i64>, data: Json| {
            let of = |number: u8| EventId::derived(&[&[number]]);
            let event = Event {
                id: of(number),
                kind: "asset.downtime".into(),
                source: format!("/home/{origin}"),
                time: time(0),
                subject: "m-1".into(),
                schema: "andon:asset.downtime/1.0".into(),
                site: "home".parse().unwrap(),
                key: "m-1".into(),
                correlation: of(story),
                causation: None,
                recorded: time(i64::from(number)),
                data,
            };
            let interval = Interval { from: time(0), to: to.map(time) };
            store.commit(vec![Write::event(Box::new(event.clone()), None, Some(interval))]).unwrap();
            event
        };
        let first = report(1, 1, "sources/mes", None, json!({"change": "started"}));
        report(2, 2, "rules/press", None, json!({"change": "started", "state": "Held", "evidence": {}}));
        report(3, 2, "rules/press", None, json!({"change": "reason", "reason": {"code": "E17"}}));
        report(4, 4, "sources/shop", Some(9), json!({"change": "ended"}));
        let last = report(5, 2, "rules/press", Some(8), json!({"change": "ended", "state": "Stopped"}));
        assert_eq!(store.last_sequence().unwrap(), 1);

        let found = of_event(&store, &first).unwrap();
        assert_eq!(found.iter().map(|one| one.reports.len()).collect::<Vec<_>>(), [3, 1]);
        let press = &found[0];
        assert_eq!((press.origin.as_str(), press.recorded, press.to), ("/home/rules/press", time(2), Some(time(8))));
        assert_eq!(press.says, json!({"change": "ended", "state": "Stopped", "reason": {"code": "E17"}}));
        assert_eq!(press.reports[0].event["data"]["evidence"], json!({}));
        // A later event of the story of the confirmed one shows them too; a report itself has none.
        let later = Event { id: EventId::derived(&[b"later"]), correlation: first.id, ..first };
        assert_eq!(of_event(&store, &later).unwrap(), found);
        assert_eq!(of_event(&store, &last).unwrap(), []);
    }
}
