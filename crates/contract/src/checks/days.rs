//! Days from which and until which something holds: they are days, in their order, and begin at a site's midnight.

use crate::{codes, contract::Validity, load::Project, problem::Finding, read::At};
use andon_model::{Time, time::Zone};

/// Two days as they are written; each may be missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days<'a> {
    from: Option<&'a str>,
    until: Option<&'a str>,
}

/// Whether a text is a day: `2026-01-31`.
pub(crate) fn is_day(text: &str) -> bool {
    text.len() == 10 && Time::parse(&format!("{text}T00:00:00Z")).is_ok()
}

/// Tells where a text is no day.
pub(crate) fn day<'a>(project: &Project, text: &'a At<String>) -> Option<&'a str> {
    if !is_day(text) {
        let finding = Finding::error(codes::ROUTE_DATE, text.spot, format!("`{}` is no day", text.value));
        project.push(finding.expected("a day like 2026-01-31").help("correct the day"));
    }
    is_day(text).then_some(text.value.as_str())
}

/// The days of two keys; `None` where one of them was told.
pub(crate) fn days<'a>(
    project: &Project,
    from: Option<&'a At<String>>,
    until: Option<&'a At<String>>,
) -> Option<Days<'a>> {
    let (start, end) = (from.map(|text| day(project, text)), until.map(|text| day(project, text)));
    if start == Some(None) || end == Some(None) {
        return None;
    }
    let days = Days { from: start.flatten(), until: end.flatten() };
    if let (true, Some(until)) = (days.is_reversed(), until) {
        let finding = Finding::error(codes::ROUTE_DATE, until.spot, "it ends before it begins");
        project.push(
            finding.expected("a day behind `from`; it is the first day it holds no more").help("correct the days"),
        );
        return None;
    }
    Some(days)
}

impl<'a> Days<'a> {
    /// Two texts that are days, or empty.
    pub(crate) fn new(from: &'a str, until: &'a str) -> Self {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Self { from: some(from), until: some(until) }
    }

    /// Whether the last is not behind the first.
    pub(crate) fn is_reversed(self) -> bool {
        self.from.zip(self.until).is_some_and(|(from, until)| until <= from)
    }

    /// Whether there is no day at all.
    pub(crate) fn is_empty(self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// From midnight to midnight in a zone; a midnight that the clock skips is the moment behind it.
    pub(crate) fn valid(self, zone: &Zone) -> Validity {
        let midnight = |day: &str| Time::parse_in(&format!("{day} 00:00:00"), zone).ok();
        Validity { from: self.from.and_then(midnight), until: self.until.and_then(midnight) }
    }
}
