//! The life of a maintenance request, and which asset a system's number means.

use super::{Documents, Line};
use andon_model::{Time, span::Span};

/// How long after it was taken a request is planned.
const QUEUED: Span = Span::from_secs(60);
/// How long after it was taken the technician is there.
const STARTED: Span = Span::from_secs(6 * 60);
/// How long after it was taken the work is done.
const DONE: Span = Span::from_secs(18 * 60);

/// How far a repair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// Nobody has asked for one.
    None,
    /// The last one is done, and no other was asked for since.
    Done,
    /// Asked for; nobody is there yet.
    Planned,
    /// The technician is there.
    InProgress,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    New,
    Queued,
    InProgress,
    Done,
}

impl Stage {
    /// Where a request stands that was taken at `taken`, and since when.
    pub(super) fn of(taken: Time, now: Time) -> (Self, Time) {
        let steps = [(Self::Done, DONE), (Self::InProgress, STARTED), (Self::Queued, QUEUED)];
        let reached = steps.into_iter().map(|(stage, after)| (stage, taken.plus(after))).find(|(_, at)| *at <= now);
        reached.unwrap_or((Self::New, taken))
    }

    /// When a request that was taken at `taken` reaches this stage, where it has.
    pub(super) fn reached(self, taken: Time, now: Time) -> Option<Time> {
        let after = match self {
            Self::New => Span::ZERO,
            Self::Queued => QUEUED,
            Self::InProgress => STARTED,
            Self::Done => DONE,
        };
        Some(taken.plus(after)).filter(|at| *at <= now)
    }
}

/// An asset of the example and what the maintenance systems call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    /// Its name in the project.
    pub(super) name: &'static str,
    /// Maximo: the site.
    pub(super) siteid: &'static str,
    /// Maximo: the asset.
    pub(super) assetnum: &'static str,
    /// The other maintenance system.
    pub(super) equipment: &'static str,
}

/// The assets that both maintenance systems know, whichever of them a site uses.
pub(super) const ASSETS: [Asset; 8] = [
    Asset { name: "filler-07", siteid: "HAM", assetnum: "11071", equipment: "EQ-100071" },
    Asset { name: "cartoner-07", siteid: "HAM", assetnum: "11072", equipment: "EQ-100072" },
    Asset { name: "case-packer-07", siteid: "HAM", assetnum: "11073", equipment: "EQ-100073" },
    Asset { name: "palletiser-07", siteid: "HAM", assetnum: "11074", equipment: "EQ-100074" },
    Asset { name: "filler-21", siteid: "MTY", assetnum: "21211", equipment: "EQ-200211" },
    Asset { name: "cartoner-21", siteid: "MTY", assetnum: "21212", equipment: "EQ-200212" },
    Asset { name: "case-packer-21", siteid: "MTY", assetnum: "21213", equipment: "EQ-200213" },
    Asset { name: "palletiser-21", siteid: "MTY", assetnum: "21214", equipment: "EQ-200214" },
];

/// How far the repair of an asset is, in whichever system it was asked for.
pub(super) fn repair(name: &str, maximo: &Documents, eam: &Documents, now: Time) -> Repair {
    let Some(asset) = ASSETS.into_iter().find(|asset| asset.name == name) else { return Repair::None };
    let there = maximo.lines().iter().filter(|line| line.text("assetnum") == asset.assetnum);
    let here = eam.lines().iter().filter(|line| line.text("equipment") == asset.equipment);
    let standing = |line: &Line| match Stage::of(line.at, now).0 {
        Stage::New | Stage::Queued => Repair::Planned,
        Stage::InProgress => Repair::InProgress,
        Stage::Done => Repair::Done,
    };
    // What was asked for later is not known yet.
    there.chain(here).filter(|line| line.at <= now).map(standing).max().unwrap_or(Repair::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(minute: i64) -> Time {
        Time::parse("2026-11-26T08:00:00Z").unwrap().plus(Span::from_secs(60 * minute))
    }

    #[test]
    fn a_request_lives_eighteen_minutes() {
        use Stage::{Done, InProgress, New, Queued};
        let stages = [0, 1, 5, 6, 17, 18, 500].map(|minute| Stage::of(at(0), at(minute)).0);
        assert_eq!(stages, [New, Queued, Queued, InProgress, InProgress, Done, Done]);
        assert_eq!(Stage::of(at(0), at(17)).1, at(6));
        assert_eq!(Stage::Done.reached(at(0), at(17)), None);
        assert_eq!(Stage::Done.reached(at(0), at(20)), Some(at(18)));
    }

    #[test]
    fn a_repair_is_seen_in_whichever_system_it_was_asked_for() {
        let keep = |documents: &mut Documents, at, document: &str, field: &str, number: &str| {
            let fields = json!({ field: number }).as_object().cloned().unwrap();
            documents.keep(Line::new(at, "request", document.into(), None, fields)).unwrap();
        };
        let (mut maximo, mut eam) = (Documents::default(), Documents::default());
        assert_eq!(repair("cartoner-07", &maximo, &eam, at(0)), Repair::None);
        keep(&mut maximo, at(0), "SR1001", "assetnum", "11072");
        let seen = [0, 7, 18].map(|minute| repair("cartoner-07", &maximo, &eam, at(minute)));
        assert_eq!(seen, [Repair::Planned, Repair::InProgress, Repair::Done]);
        keep(&mut eam, at(30), "MR-000001", "equipment", "EQ-100072");
        let seen = [30, 37, 48].map(|minute| repair("cartoner-07", &maximo, &eam, at(minute)));
        assert_eq!(seen, [Repair::Planned, Repair::InProgress, Repair::Done]);
        assert_eq!(repair("filler-07", &maximo, &eam, at(37)), Repair::None);
        assert_eq!(repair("oven", &maximo, &eam, at(37)), Repair::None);
    }
}
