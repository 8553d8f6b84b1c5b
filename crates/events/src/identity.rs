//! What an event's id is derived from, so that it exists once however often it is made.

use andon_contract::contract::LimitLevel;
use andon_model::{AssetName, EventId, InstanceId, Name, Position, Time};

/// What a rule's states are about; the part of an id that every event of a state shares.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The instance whose log is read.
    pub instance: InstanceId,
    /// The rule.
    pub rule: Name,
    /// The hash of its resolved meaning for the asset.
    pub version: String,
    /// The asset.
    pub asset: AssetName,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It began.
    Activated,
    /// Its level is another one.
    Level,
    /// It is still active and told again.
    Realarmed,
    /// It ended.
    Returned,
    /// Something is known from here on, such as the lines of a chart.
    Learned,
    /// What it stands on cannot be read any more.
    Unreadable,
    /// That ended.
    Readable,
    /// A person shelved the alarms of a rule for an asset.
    Shelved,
    /// That ended.
    Unshelved,
    /// A person disabled a rule for an asset.
    Disabled,
    /// That ended.
    Enabled,
    /// It is in another state.
    Changed,
    /// A downtime began.
    Started,
    /// Its reason came.
    Reason,
    /// It ended.
    Ended,
    /// A cycle was completed.
    Completed,
    /// Steps of a counter.
    Counted,
    /// It went round.
    Rollover,
    /// It began again, or was set.
    Reset,
    /// A step over a gap.
    Gap,
}

impl ChangeKind {
    /// The word of `data.change`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Activated => "activated",
            Self::Level => "level",
            Self::Realarmed => "realarmed",
            Self::Returned => "returned",
            Self::Learned => "learned",
            Self::Unreadable => "unreadable",
            Self::Readable => "readable",
            Self::Shelved => "shelved",
            Self::Unshelved => "unshelved",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Changed => "changed",
            Self::Started => "started",
            Self::Reason => "reason",
            Self::Ended => "ended",
            Self::Completed => "completed",
            Self::Counted => "counted",
            Self::Rollover => "rollover",
            Self::Reset => "reset",
            Self::Gap => "gap",
        }
    }
}

/// What made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The sample at this place.
    Sample(Position),
    /// A timer that the sample at `start` started.
    Timer {
        /// The place of the sample that started it.
        start: Position,
        /// When it ran out; of `stale` by receive time.
        deadline: Time,
    },
    /// What a person did, by the mark at this place.
    Mark(Position),
    /// An edit of the rule, when the state had read the log up to here.
    Edit(Position),
}

/// The word of `data.limit`.
pub fn level_word(level: LimitLevel) -> &'static str {
    match level {
        LimitLevel::HighHigh => "HighHigh",
        LimitLevel::High => "High",
        LimitLevel::Low => "Low",
        LimitLevel::LowLow => "LowLow",
    }
}

/// The types of events that rules make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// An alarm of an asset.
    Alarm,
    /// An alarm that is recorded and not raised. It keeps the id it would have had as an alarm.
    Suppressed,
    /// What a rule found out about a signal, other than an alarm.
    Condition,
    /// What persons did to alarms, and the end of it.
    Control,
    /// A state of an asset.
    State,
    /// A downtime of an asset.
    Downtime,
    /// A cycle of an asset.
    Cycle,
    /// What an asset has counted.
    Count,
}

impl EventType {
    /// The word of `type`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alarm => "asset.alarm",
            Self::Suppressed => "asset.alarm.suppressed",
            Self::Condition => "asset.condition",
            Self::Control => "asset.alarm.control",
            Self::State => "asset.state",
            Self::Downtime => "asset.downtime",
            Self::Cycle => "asset.cycle",
            Self::Count => "asset.count",
        }
    }
}

impl Identity {
    /// The id of an event: from rule, version, asset, event type, change, level and cause. The level is the word of
    /// a limit's level, or whatever else tells apart what one cause may change at once; empty where nothing does.
    pub fn event_id(&self, of: EventType, change: ChangeKind, level: &str, cause: Cause) -> EventId {
        let (word, place, deadline) = match cause {
            Cause::Sample(at) => ("sample", at, Time::default()),
            Cause::Timer { start, deadline } => ("timer", start, deadline),
            Cause::Edit(at) => ("edit", at, Time::default()),
            Cause::Mark(at) => ("mark", at, Time::default()),
        };
        EventId::derived(&[
            self.rule.as_str().as_bytes(),
            self.version.as_bytes(),
            self.asset.as_str().as_bytes(),
            of.word().as_bytes(),
            change.word().as_bytes(),
            level.as_bytes(),
            word.as_bytes(),
            self.instance.code().as_bytes(),
            &place.epoch.to_le_bytes(),
            &place.offset.to_le_bytes(),
            &deadline.0.to_le_bytes(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_makes_another_id() {
        let identity = Identity {
            instance: InstanceId::derived(&[b"i"]),
            rule: Name::new("hot").unwrap(),
            version: "v".into(),
            asset: AssetName::new("m").unwrap(),
        };
        let at = |epoch, offset| Position { epoch, offset };
        let high = level_word(LimitLevel::High);
        let id = |i: &Identity, change, level, cause| i.event_id(EventType::Alarm, change, level, cause).to_string();
        let other = Identity { instance: InstanceId::derived(&[b"j"]), ..identity.clone() };
        let activated = ChangeKind::Activated;
        let all = [
            id(&identity, activated, high, Cause::Sample(at(0, 1))),
            id(&identity, activated, high, Cause::Sample(at(0, 2))),
            id(&identity, activated, high, Cause::Sample(at(1, 1))),
            id(&identity, activated, "", Cause::Sample(at(0, 1))),
            id(&identity, ChangeKind::Returned, high, Cause::Sample(at(0, 1))),
            id(&identity, activated, high, Cause::Edit(at(0, 1))),
            id(&identity, activated, high, Cause::Timer { start: at(0, 1), deadline: Time(0) }),
            id(&identity, activated, high, Cause::Timer { start: at(0, 1), deadline: Time(1) }),
            id(&other, activated, high, Cause::Sample(at(0, 1))),
        ];
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
}
