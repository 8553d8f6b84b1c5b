//! What happens in a world, in its order: drawn from the seed, and each action with chance of its own, so that any of
//! them can be left out and the others stay what they are.

use crate::chance::Chance;
use std::fmt;

/// Actions of one world, without what happens besides.
pub const ACTIONS: usize = 900;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The machines speak.
    Speak,
    /// Bytes travel, and the source does what it can.
    Source,
    /// Something goes wrong between the machines and the source.
    Mishap,
    /// The rules do a step.
    Rules,
    /// The workflows do a step.
    Runs,
    /// Answers that are due reach who asked.
    Answers,
    /// A short time passes.
    Pass,
    /// A long time passes.
    PassLong,
    /// The clock of the machine is set: UTC jumps, monotonic time goes on.
    SetClock,
    /// The process is killed and starts again.
    Kill,
    /// The process stops cleanly and starts again.
    Stop,
    /// The power fails, and the process starts again.
    PowerCut,
    /// Something befalls one of the next operations of the disk.
    Fault,
    /// The disk becomes full, or has room again.
    Full,
    /// The keeper of the historian does a step.
    Keep,
    /// The project is edited, and taken up with a restart.
    Edit,
    /// A person deals with an exception.
    Person,
    /// A system of record goes down, or comes back.
    Outage,
    /// A system of record changes what it refuses.
    Mood,
    /// The folder is backed up while everything goes on.
    BackUp,
    /// The machine is lost, and a backup is put back on another one.
    Restore,
    /// The broker is restarted and has lost all sessions.
    Forget,
    /// The project says anew how long samples are kept.
    Retain,
    /// Somebody asks for all samples to be sealed at once.
    Seal,
    /// For a moment bytes travel back and forth between the broker and the source, undisturbed.
    Flow,
}

impl Action {
    /// All of them with their usual share of a thousand.
    const SHARES: [(Self, u64); 19] = [
        (Self::Speak, 230),
        (Self::Source, 150),
        (Self::Mishap, 10),
        (Self::Rules, 180),
        (Self::Runs, 180),
        (Self::Answers, 130),
        (Self::Pass, 190),
        (Self::PassLong, 12),
        (Self::SetClock, 6),
        (Self::Kill, 10),
        (Self::PowerCut, 6),
        (Self::Full, 3),
        (Self::Keep, 20),
        (Self::Stop, 10),
        (Self::Fault, 20),
        (Self::Edit, 6),
        (Self::Person, 20),
        (Self::Outage, 6),
        (Self::Mood, 6),
    ];

    /// What happens besides, with its usual share of a thousand: drawn apart, so that what a seed stands for without
    /// it stays what it was.
    const BESIDES: [(Self, u64); 6] = [
        (Self::BackUp, 4),
        (Self::Restore, 3),
        (Self::Forget, 3),
        (Self::Retain, 2),
        (Self::Seal, 12),
        (Self::Flow, 60),
    ];

    /// Whether a world may be without it: what is no mishap always happens.
    fn is_mishap(self) -> bool {
        !matches!(
            self,
            Self::Speak
                | Self::Source
                | Self::Rules
                | Self::Runs
                | Self::Answers
                | Self::Pass
                | Self::Keep
                | Self::Seal
                | Self::Flow
        )
    }

    /// The word of the trace.
    pub fn word(self) -> &'static str {
        match self {
            Self::Speak => "speak",
            Self::Source => "source",
            Self::Mishap => "mishap",
            Self::Rules => "rules",
            Self::Runs => "runs",
            Self::Answers => "answers",
            Self::Pass => "pass",
            Self::PassLong => "pass-long",
            Self::SetClock => "set-clock",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::PowerCut => "power-cut",
            Self::Fault => "fault",
            Self::Full => "full",
            Self::Keep => "keep",
            Self::Edit => "edit",
            Self::Person => "person",
            Self::Outage => "outage",
            Self::Mood => "mood",
            Self::BackUp => "back-up",
            Self::Restore => "restore",
            Self::Forget => "forget",
            Self::Retain => "retain",
            Self::Seal => "seal",
            Self::Flow => "flow",
        }
    }
}

/// An action and the chance of all that is left open in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Its place in the whole plan: it keeps it when others are left out.
    pub number: usize,
    /// What happens.
    pub action: Action,
    /// The seed of its chance.
    pub seed: u64,
}

/// All that happens in a world before it is healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed of the world.
    pub seed: u64,
    /// In this order.
    pub actions: Vec<Planned>,
}

impl Plan {
    /// The plan of a seed. Worlds differ in what happens often: each mishap is left out, usual or frequent.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let shares = Action::SHARES.map(|(action, share)| {
            let often = *chance.one(&[0, 1, 1, 3]);
            (action, if action.is_mishap() { share * often } else { share })
        });
        let all: u64 = shares.iter().map(|(_, share)| share).sum();
        let planned = |number| {
            let mut left = chance.below(all);
            let found = shares.iter().find(|(_, share)| {
                let here = left < *share;
                left = left.saturating_sub(*share);
                here
            });
            let action = found.map_or(Action::Pass, |(action, _)| *action);
            Planned { number, action, seed: chance.draw() }
        };
        let mut actions: Vec<Planned> = (0..ACTIONS).map(planned).collect();
        Self::besides(seed, &mut actions);
        Self { seed, actions }
    }

    /// Puts in between what happens besides.
    fn besides(seed: u64, actions: &mut Vec<Planned>) {
        let mut chance = Chance::new(seed.rotate_left(31) ^ 0x0BE5_1DE5);
        for (action, share) in Action::BESIDES {
            let often = *chance.one(&[0, 1, 1, 3]);
            let share = if action.is_mishap() { share * often } else { share };
            let most = ACTIONS as u64 * share * 2 / 1_000;
            for _ in 0..chance.below(most + 1) {
                let at = usize::try_from(chance.below(actions.len() as u64)).unwrap_or(0);
                let number = actions.len();
                actions.insert(at, Planned { number, action, seed: chance.draw() });
            }
        }
    }

    /// The same plan without what happens besides the first kinds of actions: what older seeds stand for.
    #[must_use]
    pub fn without_besides(mut self) -> Self {
        self.actions.retain(|planned| planned.number < ACTIONS);
        self
    }

    /// The same plan in which of all mishaps only these happen.
    #[must_use]
    pub fn with_only(mut self, mishaps: &[Action]) -> Self {
        self.actions.retain(|planned| !planned.action.is_mishap() || mishaps.contains(&planned.action));
        self
    }

    /// The chance of what is drawn once for a world.
    pub fn chance(&self) -> Chance {
        Chance::new(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x77)
    }

    /// The chance of what happens after everything was healed.
    pub fn end(&self) -> Chance {
        Chance::new(self.seed.rotate_left(17) ^ 0x00E4_D0FA)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_another_seed_another() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7), Plan::of(8));
        assert!(Plan::of(7).actions.len() >= ACTIONS);
    }

    #[test]
    fn what_happens_besides_changes_nothing_of_the_others() {
        let is_besides = |planned: &Planned| planned.number >= ACTIONS;
        for seed in 0..20 {
            let (with, without): (Vec<_>, Vec<_>) = Plan::of(seed).actions.into_iter().partition(is_besides);
            assert!(without.iter().map(|planned| planned.number).eq(0..ACTIONS));
            assert!(with.iter().all(|planned| Action::BESIDES.iter().any(|(besides, _)| *besides == planned.action)));
        }
    }

    #[test]
    fn of_mishaps_only_some_may_happen_and_each_is_what_it_was() {
        let whole: Vec<Planned> = (0..9).flat_map(|seed| Plan::of(seed).actions).collect();
        let some: Vec<Planned> = (0..9).flat_map(|seed| Plan::of(seed).with_only(&[Action::Kill]).actions).collect();
        assert!(some.iter().all(|planned| whole.contains(planned)));
        assert!(some.iter().any(|planned| planned.action == Action::Kill));
        assert!(!some.iter().any(|planned| planned.action == Action::Fault));
    }

    #[test]
    fn every_action_is_planned_somewhere() {
        for (action, _) in Action::SHARES.into_iter().chain(Action::BESIDES) {
            assert!((0..20).any(|seed| Plan::of(seed).actions.iter().any(|at| at.action == action)), "{action}");
        }
    }
}
