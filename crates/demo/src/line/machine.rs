//! One machine of a line: its state, its speed, what it has made.

use super::{
    noise::Noise,
    packml::{Mode, State, Wish},
};
use andon_model::{Time, span::Span};

/// Cases a minute that a line makes.
pub(super) const CASES_A_MINUTE: f64 = 5.0;
/// Cases that a conveyor between two machines holds: two minutes of work.
pub(super) const CONVEYOR: f64 = 10.0;
/// A machine that waited goes on when this share of its conveyor has come in, or has become free.
const GOES_ON: f64 = 0.3;
/// A machine never runs faster or slower than this for the sake of its neighbours.
const SLOWEST: f64 = 0.85;
const FASTEST: f64 = 1.15;

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Fills bottles.
    Filler,
    /// Puts bottles into cartons; sets the pace of the line.
    Cartoner,
    /// Puts cartons into cases.
    CasePacker,
    /// Puts cases onto pallets.
    Palletiser,
}

impl Class {
    /// In the order of the line.
    pub(super) const ALL: [Self; 4] = [Self::Filler, Self::Cartoner, Self::CasePacker, Self::Palletiser];

    /// Its word in the names of assets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filler => "filler",
            Self::Cartoner => "cartoner",
            Self::CasePacker => "case-packer",
            Self::Palletiser => "palletiser",
        }
    }

    /// How many of what it counts go into a case.
    fn in_a_case(self) -> f64 {
        match self {
            Self::Filler => 24.0,
            Self::Cartoner => 4.0,
            Self::CasePacker | Self::Palletiser => 1.0,
        }
    }

    /// The share that it rejects while all is well.
    fn rejects(self) -> f64 {
        match self {
            Self::Filler => 0.002,
            Self::Cartoner => 0.005,
            Self::CasePacker => 0.001,
            Self::Palletiser => 0.0,
        }
    }
}

/// What stands before and behind a machine, in cases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) before: f64,
    pub(super) free_behind: f64,
}

/// A machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) asset: String,
    pub(super) class: Class,
    pub(super) state: State,
    pub(super) mode: Mode,
    /// Against the speed it is meant to run at; 0: it stands.
    pub(super) pace: f64,
    since: Time,
    good: f64,
    rejects: f64,
    noise: Noise,
}

impl Machine {
    /// One that works.
    pub(super) fn new(class: Class, number: &str, seed: u64, now: Time) -> Self {
        let asset = format!("{}-{number}", class.name());
        let noise = Noise::new(seed, &asset);
        Self {
            asset,
            class,
            state: State::Execute,
            mode: Mode::Produce,
            pace: 1.0,
            since: now,
            good: 0.0,
            rejects: 0.0,
            noise,
        }
    }

    /// Goes into the state that follows.
    pub(super) fn turn(&mut self, now: Time, wish: Wish, around: Around) {
        let needed = match self.state {
            State::Suspending | State::Suspended => CONVEYOR * GOES_ON,
            _ => CASES_A_MINUTE * FASTEST / 12.0,
        };
        // A machine that is worked on runs empty.
        let free = self.mode == Mode::Maintenance || (around.before >= needed && around.free_behind >= needed);
        let next = self.state.next(wish, free, now.since(self.since));
        if next != self.state {
            self.state = next;
            self.since = now;
        }
    }

    /// Works for a while: how many cases it takes from before and puts behind. `rough`: how much more it rejects than
    /// usual.
    pub(super) fn work(&mut self, span: Span, pace: f64, around: Around, rough: f64) -> (f64, f64) {
        self.pace = match self.state {
            State::Execute => (pace * (1.0 + 0.004 * self.noise.around())).clamp(SLOWEST, FASTEST),
            State::Starting => 0.5,
            State::Suspending | State::Stopping | State::Unsuspending => 0.3,
            State::Stopped | State::Idle | State::Suspended | State::Resetting => 0.0,
        };
        if self.state != State::Execute || self.mode == Mode::Maintenance {
            return (0.0, 0.0);
        }
        let minutes = span.std().as_secs_f64() / 60.0;
        let taken = (self.pace * CASES_A_MINUTE * minutes).min(around.before).min(around.free_behind);
        let share = self.class.rejects() * (1.0 + rough) * 2.0 * self.noise.share();
        let rejected = (taken * share).min(taken);
        self.rejects += rejected * self.class.in_a_case();
        self.good += (taken - rejected) * self.class.in_a_case();
        (taken, taken - rejected)
    }

    /// What it counts in a minute.
    pub(super) fn speed(&self) -> f64 {
        self.pace * CASES_A_MINUTE * self.class.in_a_case()
    }

    /// Good ones since the beginning.
    #[expect(clippy::cast_possible_truncation, reason = "a count of a line in a year is far below 2^53")]
    pub(super) fn good(&self) -> i64 {
        self.good as i64
    }

    /// Rejected ones since the beginning.
    #[expect(clippy::cast_possible_truncation, reason = "a count of a line in a year is far below 2^53")]
    pub(super) fn rejects(&self) -> i64 {
        self.rejects as i64
    }
}
