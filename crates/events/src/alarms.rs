//! The alarms of all rules as their stored states tell them: what stands, and what keeps it from being raised.

use crate::{
    gate::{Gate, Standing},
    identity::level_word,
    run::StartError,
    states::{Saved, decode},
};
use andon_model::{AssetName, EventId, Name, SiteName, Time};
use andon_store::Store;

/// A rule for an asset that has an alarm, or whose alarms are shelved, suppressed or not looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRow {
    /// The rule.
    pub rule: Name,
    /// The asset.
    pub asset: AssetName,
    /// The asset's site.
    pub site: SiteName,
    /// The alarm that stands; `None`: none does.
    pub alarm: Option<StandingAlarm>,
    /// What keeps alarms from being raised.
    pub gate: GateState,
    /// Who shelved or disabled it.
    pub actor: Option<String>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// When a shelving ends at the latest.
    pub until: Option<Time>,
    /// Whether a shelving ends with the next return.
    pub once: bool,
}

/// An alarm that began and has not returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingAlarm {
    /// The event of its beginning.
    pub event: EventId,
    /// Whether it was raised; otherwise it is only recorded.
    pub raised: bool,
    /// The kind of rule.
    pub condition: &'static str,
    /// The level of a limit.
    pub limit: Option<&'static str>,
    /// What else tells alarms of one rule apart.
    pub outcome: Option<String>,
    /// 1 to 1000.
    pub severity: u16,
    /// When the condition began.
    pub since: Time,
}

/// What keeps the alarms of a rule for an asset from being raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// Nothing.
    Open,
    /// A person, for a time.
    Shelved,
    /// The conditions of the rule.
    Suppressed,
    /// The rule is not evaluated.
    Disabled,
}

impl GateState {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Shelved => "shelved",
            Self::Suppressed => "suppressed",
            Self::Disabled => "disabled",
        }
    }
}

/// All of them, by rule, asset and beginning. A state that cannot be read has none; the start of an instance tells.
pub fn alarms(store: &Store) -> Result<Vec<AlarmRow>, StartError> {
    let saved =
        Saved::merge(store.kept_states()?, store.rule_states()?, store.log_start()).map_err(StartError::States)?;
    let mut all = Vec::new();
    let rests = saved.rests;
    for ((rule, asset), row) in saved.rows {
        // Most states have none, and need not be read for that.
        if !row.state.windows(6).any(|text| text == b"\"gate\"") {
            continue;
        }
        let Ok(saved) = decode(&row, &rests) else { continue };
        let Some(gate) = saved.gate else { continue };
        let bare = bare(rule, asset, saved.site, &gate);
        if gate.standing.is_empty() {
            if bare.gate != GateState::Open {
                all.push(bare);
            }
            continue;
        }
        all.extend(gate.standing.iter().map(|standing| AlarmRow { alarm: Some(alarm(standing)), ..bare.clone() }));
    }
    Ok(all)
}

fn bare(rule: Name, asset: AssetName, site: SiteName, gate: &Gate) -> AlarmRow {
    let (state, by) = match (&gate.disabled, &gate.shelved) {
        (Some(by), _) => (GateState::Disabled, Some(by)),
        (None, Some(shelved)) => (GateState::Shelved, Some(&shelved.by)),
        (None, None) if gate.suppressed => (GateState::Suppressed, None),
        (None, None) => (GateState::Open, None),
    };
    let shelved = gate.shelved.as_ref().filter(|_| state == GateState::Shelved);
    AlarmRow {
        rule,
        asset,
        site,
        alarm: None,
        gate: state,
        actor: by.map(|by| by.actor.clone()),
        reason: by.map(|by| by.reason.clone()),
        until: shelved.map(|shelved| shelved.until),
        once: shelved.is_some_and(|shelved| shelved.once),
    }
}

fn alarm(standing: &Standing) -> StandingAlarm {
    StandingAlarm {
        event: standing.story,
        raised: standing.withheld.is_none(),
        condition: standing.condition.word(),
        limit: standing.level.map(level_word),
        outcome: standing.outcome.clone(),
        severity: standing.severity,
        since: standing.since,
    }
}
