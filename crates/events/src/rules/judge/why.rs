//! What a judge says of itself: which limit was not passed, which delay runs, which alarm stands.

use super::{Phase, Settings, is_high};
use crate::{
    identity::level_word,
    why::{Finding, Look, Reason},
};
use andon_contract::contract::LimitLevel;
use andon_model::{Time, quantity::decimal};

const LEVELS: [LimitLevel; 4] = [LimitLevel::HighHigh, LimitLevel::High, LimitLevel::Low, LimitLevel::LowLow];

impl Phase {
    /// Why it has not fired; `what` names the number that is judged, the newest of which is given.
    pub(crate) fn why(&self, set: &Settings, look: &Look, what: &str, newest: Option<(f64, Time)>) -> Vec<Finding> {
        let unit = &look.unit;
        let limits = || {
            let all = LEVELS.iter().filter(|level| set.limit(**level).is_finite());
            let words = all.map(|level| format!("{} {}", level_word(*level), decimal(set.limit(*level))));
            words.collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Active(active) => {
                let text = format!(
                    "the alarm stands since {}, at {} {}{unit}",
                    active.since,
                    level_word(active.level),
                    decimal(active.setting)
                );
                let mut finding = Finding::new(Reason::Fired, text).at(active.since);
                finding.event = Some(active.activation);
                vec![finding]
            }
            Self::Pending(pending) => {
                let value = newest.map_or_else(String::new, |(number, _)| format!(" {}{unit}", decimal(number)));
                let side = if is_high(pending.level) { "above" } else { "below" };
                let (level, limit) = (level_word(pending.level), decimal(set.limit(pending.level)));
                let beyond = format!("{what}{value} was {side} {level} {limit}{unit}");
                let to = pending.since.plus(set.on_delay);
                vec![look.runs("OnDelay", &beyond, pending.since, to).with("value", newest.map(|(number, _)| number))]
            }
            Self::Normal => {
                let Some((number, time)) = newest else { return Vec::new() };
                let value = decimal(number);
                let text = match set.level(number) {
                    // Something else kept it from beginning, and is told by itself.
                    Some(level) => format!(
                        "{what} {value}{unit} at {time} is beyond {} {}, and nothing began by it",
                        level_word(level),
                        decimal(set.limit(level))
                    ),
                    None => format!("{what} was {value}{unit} at {time}: not beyond {}", limits()),
                };
                let mut finding = Finding::new(Reason::NotBeyond, text).at(time).with("value", number);
                for level in LEVELS.iter().filter(|level| set.limit(**level).is_finite()) {
                    finding = finding.with(level_word(*level), set.limit(*level));
                }
                vec![finding]
            }
        }
    }
}
