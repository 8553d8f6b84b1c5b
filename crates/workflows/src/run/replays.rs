//! Exceptions that a policy retries by itself: once the breaker of their system closes, or some time after they failed.
//!
//! A breaker that closes leaves a mark in the commit in which it does, so that no end of the process loses its replay.
//! Exceptions are taken in the order in which they were told, which for one key is that of its calls.

use super::{Act, Acted, Loop, What};
use andon_contract::contract::{Exceptions, Failing, Replay, ReplayWhen};
use andon_model::span::Span;
use andon_model::{Name, Time};
use andon_store::rows::{ExceptionKind, ExceptionRow, ExceptionState, GroupRow, Write};
use andon_store::{Query, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// Exceptions looked at in one step at most.
const REPLAYS_STEP_MAX: usize = 256;
/// Groups looked at in one go; of more there are several pages.
const GROUPS_PAGE: usize = 1_000;
/// Pages of groups at most.
const GROUP_PAGES_MAX: usize = 100;
/// The shortest pause between two looks at what is retried by time.
const PAUSE_MIN: Span = Span::from_secs(10);
/// Who retries.
const POLICY: &str = "policy";

/// What is still to be retried.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// By system, after its breaker has closed.
    closing: BTreeMap<Name, Scan>,
    /// Up to which row number the look at what is retried by time has come; `None`: it rests.
    timed: Option<u64>,
    /// When the next look begins; `None`: nothing waits for one.
    next: Option<Time>,
    /// When a breaker for which no call waits any more is tried by a replay.
    tries: Option<Time>,
    /// Systems for which nothing was found that could try them; until something else is told.
    untried: BTreeSet<Name>,
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy)]
struct Scan {
    /// The row number of the last exception.
    after: u64,
    /// What failed later is not part of it.
    since: Time,
}

/// Exceptions in the order of their row numbers.
struct Candidates {
    rows: Vec<(u64, ExceptionRow)>,
    /// There are no more behind them.
    is_last: bool,
}

impl Replays {
    /// When there is something to do by itself.
    pub(super) fn wake(&self) -> Option<Time> {
        self.next.into_iter().chain(self.tries).min()
    }
}

/// The name of the mark that a replay is not yet done: the row number of the last exception and one; 0: it is.
fn mark(system: &Name) -> String {
    format!("replay/{system}")
}

fn of_group(group: &GroupRow) -> Failing<'_> {
    Failing {
        system: group.system.as_ref(),
        capability: group.capability.as_deref(),
        site: group.site.as_ref(),
        outcome: group.outcome,
    }
}

/// Whether an exception is about a call that is not on its way, and whose input nobody is about to edit.
fn waits_for_somebody(row: &ExceptionRow) -> bool {
    let waits = matches!(row.state, ExceptionState::Open | ExceptionState::Assigned);
    waits && row.call.is_some() && row.proposal.is_none()
}

/// Whether a policy retries anything once the breaker of a system closes.
fn is_replayed(policy: &Exceptions, system: &Name) -> bool {
    let is_meant =
        |rule: &Replay| rule.when == ReplayWhen::BreakerCloses && rule.system.as_ref().is_none_or(|of| of == system);
    policy.replay.iter().any(is_meant)
}

/// How often a look at what is retried by time is worth it.
fn pause(policy: &Exceptions) -> Option<Span> {
    let every = policy.replay.iter().filter_map(|rule| match rule.when {
        ReplayWhen::Every(every, _) => Some(every),
        ReplayWhen::BreakerCloses => None,
    });
    every.min().map(|every| Span::from_nanos(every.nanos() / 10).max(PAUSE_MIN))
}

impl Loop {
    /// What was still to be retried when the process ended.
    pub(super) fn read_replays(&mut self, now: Time) -> Result<(), StoreError> {
        self.replays = Replays::default();
        let policy = &self.contract.exceptions;
        if policy.replay.iter().any(|rule| rule.when == ReplayWhen::BreakerCloses) {
            for system in self.contract.systems.keys() {
                if let Some(after) = self.store.cursor(&mark(system))?.and_then(|place| place.checked_sub(1)) {
                    self.replays.closing.insert(system.clone(), Scan { after, since: now });
                }
            }
        }
        self.replays.timed = pause(policy).map(|_| 0);
        Ok(())
    }

    /// Before the commit: breakers that close by it leave their mark, and what it tells is retried some time.
    pub(super) fn note_replays(&mut self, now: Time) {
        let policy = &self.contract.exceptions;
        if policy.replay.is_empty() {
            return;
        }
        for system in self.closed.drain(..) {
            if is_replayed(policy, &system) {
                self.batch.also(Write::Cursor(mark(&system), 1));
                self.replays.closing.insert(system, Scan { after: 0, since: now });
            }
        }
        if self.batch.tells() {
            self.replays.next = self.replays.next.or(pause(policy).map(|pause| now.plus(pause)));
            self.replays.untried.clear();
        }
    }

    /// Retries what is due to be retried by itself; whether there is more.
    pub(super) fn take_replays(&mut self, now: Time) -> Result<bool, StoreError> {
        self.try_by_replay(now)?;
        let mut more = false;
        if let Some((system, mut scan)) =
            self.replays.closing.iter().next().map(|(system, scan)| (system.clone(), *scan))
        {
            let meant = |rule: &Replay, group: &GroupRow| {
                rule.when == ReplayWhen::BreakerCloses && group.system.as_ref() == Some(&system)
            };
            let page = self.candidates(&meant, scan.after)?;
            for (number, row) in page.rows {
                scan.after = number;
                if row.last <= scan.since {
                    self.replay(&row, format!("the breaker of {system} has closed"), now)?;
                }
            }
            more = true;
            if page.is_last {
                self.batch.also(Write::Cursor(mark(&system), 0));
                self.replays.closing.remove(&system);
            } else {
                self.batch.also(Write::Cursor(mark(&system), scan.after.saturating_add(1)));
                self.replays.closing.insert(system, scan);
            }
        }
        if self.replays.timed.is_none() && self.replays.next.is_some_and(|next| next <= now) {
            (self.replays.timed, self.replays.next) = (Some(0), None);
        }
        if let Some(after) = self.replays.timed {
            more |= self.take_timed(after, now)?;
        }
        Ok(more)
    }

    /// A breaker is tried by the calls that wait for it. Where none waits any more, since the time of each was up, the
    /// oldest of those that are retried once it closes tries it: else nobody would learn that the system is back.
    fn try_by_replay(&mut self, now: Time) -> Result<(), StoreError> {
        self.replays.tries = None;
        if self.contract.exceptions.replay.is_empty() {
            return Ok(());
        }
        let is_tried = |system: &Name| {
            is_replayed(&self.contract.exceptions, system)
                && !self.replays.untried.contains(system)
                && !self.lines.is_awaited(system)
        };
        let shut: Vec<(Name, Time)> = self
            .guards
            .shut()
            .filter(|(system, _)| is_tried(system))
            .map(|(system, at)| (system.clone(), at))
            .collect();
        for (system, at) in shut {
            if at > now {
                self.replays.tries = self.replays.tries.into_iter().chain([at]).min();
                continue;
            }
            let meant = |rule: &Replay, group: &GroupRow| {
                rule.when == ReplayWhen::BreakerCloses && group.system.as_ref() == Some(&system)
            };
            let mut tried = false;
            for (_, row) in self.candidates(&meant, 0)?.rows {
                if self.replay(&row, format!("it tries whether {system} is back, for which no call waits"), now)? {
                    tried = true;
                    break;
                }
            }
            if !tried {
                self.replays.untried.insert(system);
            }
        }
        Ok(())
    }

    fn take_timed(&mut self, after: u64, now: Time) -> Result<bool, StoreError> {
        let meant = |rule: &Replay, _: &GroupRow| matches!(rule.when, ReplayWhen::Every(..));
        let page = self.candidates(&meant, after)?;
        let contract = std::sync::Arc::clone(&self.contract);
        let pause = pause(&contract.exceptions);
        let mut last = after;
        for (number, row) in page.rows {
            last = number;
            let failing = Failing {
                system: row.system.as_ref(),
                capability: row.capability.as_deref(),
                site: row.site.as_ref(),
                outcome: row.outcome,
            };
            let Some(ReplayWhen::Every(every, times)) = contract.exceptions.replay_of(&failing).map(|rule| rule.when)
            else {
                continue;
            };
            if row.count > u64::from(times) || !waits_for_somebody(&row) {
                continue;
            }
            // It, or what follows if it fails again, is looked at again.
            self.replays.next = self.replays.next.or(pause.map(|pause| now.plus(pause)));
            if row.last.plus(every) <= now {
                let reason = format!("{every} after it failed, the {} of {times} times", nth(row.count));
                self.replay(&row, reason, now)?;
            }
        }
        self.replays.timed = (!page.is_last).then_some(last);
        Ok(!page.is_last)
    }

    /// Whether it was taken up again.
    fn replay(&mut self, row: &ExceptionRow, reason: String, now: Time) -> Result<bool, StoreError> {
        if !waits_for_somebody(row) {
            return Ok(false);
        }
        let what = What::Retry { exception: row.id, not_there: false };
        let act = Act { token: 0, by: POLICY.to_owned(), reason, what };
        let acted = self.remedy(&act, row.id, false, now)?;
        if let Acted::Refused(why) = &acted {
            tracing::debug!(exception = %row.id, why, "an exception is not retried by itself");
        }
        Ok(matches!(acted, Acted::Done(_)))
    }

    /// The unfinished exceptions about calls behind a row number for which the rule that stands for them is meant.
    fn candidates(&self, meant: &dyn Fn(&Replay, &GroupRow) -> bool, after: u64) -> Result<Candidates, StoreError> {
        let (mut rows, mut to) = (Vec::new(), u64::MAX);
        let open = vec![("state".to_owned(), "open".to_owned())];
        let mut query = Query { where_: open, after: None, limit: GROUPS_PAGE, ascending: true };
        for _ in 0..GROUP_PAGES_MAX {
            let page = self.store.list("exception-groups", &query)?;
            let groups = page.rows.into_iter().filter_map(|row| serde_json::from_value::<GroupRow>(row).ok());
            for group in groups.filter(|group| group.kind == ExceptionKind::Output) {
                let rule = self.contract.exceptions.replay_of(&of_group(&group));
                if !rule.is_some_and(|rule| meant(rule, &group)) {
                    continue;
                }
                let found = self.store.exceptions_of_group(&group.fingerprint, after, REPLAYS_STEP_MAX)?;
                if found.len() == REPLAYS_STEP_MAX
                    && let Some((last, _)) = found.last()
                {
                    to = to.min(*last);
                }
                rows.extend(found);
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        rows.sort_by_key(|(number, _)| *number);
        rows.retain(|(number, _)| *number <= to);
        let is_last = to == u64::MAX && rows.len() <= REPLAYS_STEP_MAX;
        rows.truncate(REPLAYS_STEP_MAX);
        Ok(Candidates { rows, is_last })
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
fn nth(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (1, of) if of != 11 => "st",
        (2, of) if of != 12 => "nd",
        (3, of) if of != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
