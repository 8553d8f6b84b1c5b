//! The states of a machine as `PackML` names and numbers them (ISA-TR88.00.02), and how one follows another.

use andon_model::span::Span;

/// A state, with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Stands still, to be reset before it runs.
    Stopped = 2,
    /// Comes up to speed.
    Starting = 3,
    /// Reset, and may start.
    Idle = 4,
    /// Stands because a machine beside it does: starved or blocked.
    Suspended = 5,
    /// Works.
    Execute = 6,
    /// Comes to a stop.
    Stopping = 7,
    /// Comes to stand because nothing comes in or nothing goes out.
    Suspending = 13,
    /// Goes on after that.
    Unsuspending = 14,
    /// Is made ready.
    Resetting = 15,
}

/// The mode that the people at the machine have chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Makes what is ordered.
    Produce = 1,
    /// Is worked on.
    Maintenance = 2,
}

/// What a machine is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Stop,
}

impl State {
    /// The number in its messages.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// What follows after so long in this state. `free`: something comes in and something can go out.
    pub(super) fn next(self, wish: Wish, free: bool, since: Span) -> Self {
        let after = |secs, then| if since >= Span::from_secs(secs) { then } else { self };
        match (self, wish) {
            (Self::Stopped, Wish::Run) => Self::Resetting,
            (Self::Stopped, Wish::Stop) => self,
            (Self::Stopping, _) => after(15, Self::Stopped),
            (_, Wish::Stop) => Self::Stopping,
            (Self::Resetting, _) => after(15, Self::Idle),
            (Self::Idle, _) => after(5, Self::Starting),
            (Self::Starting, _) => after(15, Self::Execute),
            (Self::Execute, _) => {
                if free {
                    self
                } else {
                    Self::Suspending
                }
            }
            (Self::Suspending, _) => after(5, Self::Suspended),
            (Self::Suspended, _) => {
                if free {
                    Self::Unsuspending
                } else {
                    self
                }
            }
            (Self::Unsuspending, _) => after(5, Self::Execute),
        }
    }
}

impl Mode {
    /// The number in its messages.
    pub fn number(self) -> i64 {
        self as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(mut state: State, wish: Wish, free: bool) -> Vec<i64> {
        let mut seen = vec![state.number()];
        let mut since = 0;
        for _ in 0..40 {
            let next = state.next(wish, free, Span::from_secs(since));
            since = if next == state { since + 5 } else { 0 };
            state = next;
            if seen.last() != Some(&state.number()) {
                seen.push(state.number());
            }
        }
        seen
    }

    #[test]
    fn a_machine_starts_stops_and_waits_for_its_neighbours() {
        assert_eq!(way(State::Stopped, Wish::Run, true), [2, 15, 4, 3, 6]);
        assert_eq!(way(State::Execute, Wish::Stop, true), [6, 7, 2]);
        assert_eq!(way(State::Execute, Wish::Run, false), [6, 13, 5]);
        assert_eq!(way(State::Suspended, Wish::Run, true), [5, 14, 6]);
        assert_eq!(way(State::Suspended, Wish::Stop, true), [5, 7, 2]);
        assert_eq!(way(State::Starting, Wish::Stop, false), [3, 7, 2]);
    }
}
