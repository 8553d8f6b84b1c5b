//! What the demo says of an event, a call, a line: a sentence and its colour.

use super::count::text;
use andon_demo::line::Chapter;
use serde_json::Value as Json;

/// Colours of the terminal.
pub(super) const RED: u8 = 31;
pub(super) const GREEN: u8 = 32;
pub(super) const YELLOW: u8 = 33;
pub(super) const BLUE: u8 = 34;
pub(super) const CYAN: u8 = 36;
pub(super) const GREY: u8 = 90;

/// A sentence in a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) colour: u8,
}

impl Said {
    fn new(colour: u8, text: impl Into<String>) -> Self {
        Self { text: text.into(), colour }
    }
}

/// What an event means; `None`: it is not worth a line.
pub(super) fn of_event(event: &Json) -> Option<Said> {
    let of = |pointer| text(event, pointer);
    let subject = of("/subject");
    let number = subject.rsplit('/').next().unwrap_or_default();
    let signal = of("/data/signal");
    let value = format!("{} {}", of("/data/value/value"), of("/data/value/unit"));
    let limit = of("/data/limit");
    Some(match (of("/type"), of("/data/change")) {
        ("asset.alarm", "activated") => {
            let setting = of("/data/setting/value");
            Said::new(RED, format!("{subject}: {signal} is {value}, beyond {limit} ({setting}) for too long: an alarm"))
        }
        ("asset.alarm", "level") => Said::new(RED, format!("{subject}: {signal} is {value}, now beyond {limit}")),
        ("asset.alarm", "returned") => Said::new(GREEN, format!("{subject}: {signal} is {value}, the alarm ends")),
        ("asset.alarm.suppressed", "activated") => Said::new(
            YELLOW,
            format!("{subject}: {signal} is {value}, but in maintenance: recorded, and nothing more happens"),
        ),
        // What lies between them is over within seconds.
        ("asset.state", _) if ["Execute", "Suspended", "Stopped"].contains(&of("/data/state")) => {
            let class = of("/data/class");
            Said::new(GREY, format!("{subject} is {} ({class})", of("/data/state")))
        }
        ("asset.count", "counted") => {
            let (delta, total) = (event.pointer("/data/delta")?, event.pointer("/data/total")?);
            Said::new(GREY, format!("{subject}: {delta} more {}, {total} in all", of("/data/kind")))
        }
        ("maintenance-request.changed", _) => {
            Said::new(BLUE, format!("maintenance says of {number}: {}", of("/data/object/state")))
        }
        ("inspection-result.changed", _) => {
            let (lot, verdict) = (of("/data/object/lot"), of("/data/object/verdict"));
            Said::new(BLUE, format!("the lab says of batch {lot}: {verdict}"))
        }
        _ => return None,
    })
}

/// What became of a call; `None`: nothing yet. `note` is why its task did nothing, where it did nothing.
pub(super) fn of_call(call: &Json, note: impl FnOnce() -> Option<String>) -> Option<Said> {
    let capability = text(call, "/capability");
    let system = text(call, "/system");
    let document = text(call, "/document");
    let what = match capability {
        "maintenance.request-work" => "maintenance is asked for work",
        "production.find-order" => "the order that runs is looked up",
        "production.flag-order" => "the order is marked as at risk",
        "production.reschedule-order" => "the order gets its new end",
        "inventory.find-parts" => "the store is asked for a bearing",
        "inventory.reserve-parts" => "a bearing is reserved",
        "inventory.report-shortage" => "there is no bearing: the shortage is reported",
        "inventory.book-parts" => "the bearing is booked out",
        "quality.open-incident" => "quality is warned about the batch, with the evidence",
        "quality.close-incident" => "the incident is closed with the lab's result",
        "planning.tell-disruption" => "planning hears of the disruption",
        "planning.reschedule" => "planning plans the order anew",
        "service.open-case" => "the delivery is at risk: the customer gets a case",
        "supply.tell-supplier" => "the supplier hears of the new end",
        other => other,
    };
    Some(match text(call, "/state") {
        "delivered" if document.is_empty() => Said::new(GREY, format!("{what}: {system} answers")),
        "delivered" => Said::new(CYAN, format!("{what}: {document} at {system}")),
        "skipped" => Said::new(YELLOW, note().unwrap_or_else(|| format!("{capability} is skipped"))),
        state @ ("refused" | "parked") => Said::new(RED, format!("{what}: {state}, {}", text(call, "/detail"))),
        _ => return None,
    })
}

/// What has become of a run; `None`: it goes on.
pub(super) fn of_run(run: &Json) -> Option<Said> {
    let workflow = text(run, "/workflow");
    Some(match text(run, "/state") {
        "completed" => Said::new(GREEN, format!("{workflow} is done")),
        "faulted" => Said::new(RED, format!("{workflow} ended with an error")),
        "cancelled" => Said::new(YELLOW, format!("{workflow} was cancelled")),
        _ => return None,
    })
}

/// What a line has come to; `None`: ordinary production.
pub(super) fn of_chapter(cartoner: &str, chapter: Chapter) -> Option<Said> {
    Some(match chapter {
        Chapter::Producing => return None,
        Chapter::Wearing => Said::new(YELLOW, format!("the bearing of {cartoner} begins to wear")),
        Chapter::WornOut => Said::new(YELLOW, format!("the bearing of {cartoner} is worn out, and nobody comes")),
        Chapter::Repairing => Said::new(BLUE, format!("a technician is at {cartoner}: it stops, in maintenance")),
        Chapter::Repaired => Said::new(GREEN, format!("{cartoner} has a new bearing and produces again")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_alarm_is_told_with_its_number_and_its_limit() {
        let event = json!({ "type": "asset.alarm", "subject": "cartoner-07", "data": {
            "change": "activated", "signal": "vibration", "limit": "High",
            "value": { "value": "5.61", "unit": "mm/s" }, "setting": { "value": "4.5", "unit": "mm/s" } } });
        let said = of_event(&event).unwrap();
        assert_eq!(said.text, "cartoner-07: vibration is 5.61 mm/s, beyond High (4.5) for too long: an alarm");
        assert_eq!(said.colour, RED);
        assert_eq!(of_event(&json!({ "type": "stock.changed", "subject": "Stock/x", "data": {} })), None);
    }

    #[test]
    fn a_call_is_told_once_something_became_of_it() {
        let mut call = json!({ "capability": "maintenance.request-work", "system": "maximo", "state": "waiting" });
        let of_call = |call: &Json| of_call(call, || Some("nobody answers for it: no CRM".to_owned()));
        assert_eq!(of_call(&call), None);
        call["state"] = "delivered".into();
        call["document"] = "SR1001".into();
        assert_eq!(of_call(&call).unwrap().text, "maintenance is asked for work: SR1001 at maximo");
        call["state"] = "skipped".into();
        assert_eq!(of_call(&call).unwrap().text, "nobody answers for it: no CRM");
    }
}
