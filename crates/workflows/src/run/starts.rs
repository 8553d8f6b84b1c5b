//! Runs that are started by hand: by the name of the workflow and a key, once for each key.
//!
//! A start becomes a run in the commit of its step, together with the first tasks and attempts of the run. What became
//! of it is told only after that commit; a step that fails leaves its starts to the next one.

use super::events::Origin;
use super::{CALLS_UNFINISHED_MAX, Loop};
use andon_model::{RunId, SiteName, Time};
use andon_store::StoreError;
use andon_store::rows::{RunRow, RunState};
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::sync::Arc;

/// Starts taken in one step at most.
const STARTS_STEP_MAX: usize = 512;

/// A start that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// By this number its answer is found; who asks gives each another.
    pub token: u64,
    /// The workflow.
    pub workflow: String,
    /// The key: one run for each of a workflow.
    pub key: String,
    /// The site of the run.
    pub site: SiteName,
    /// The input of the run.
    pub input: Json,
    /// Who asks, where they say so.
    pub by: Option<String>,
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq)]
pub enum Started {
    /// The run has begun, at this moment, and is durable.
    Begun(RunId, Time),
    /// There is a run of this workflow and key already.
    Exists(RunId),
    /// The contract in force has no such workflow.
    Unknown,
    /// As many calls are unfinished as may be: nothing was begun.
    Busy,
}

/// The end of a run that was started by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// Completed or faulted.
    pub state: RunState,
    /// When it ended.
    pub at: Time,
    /// Its output, once completed.
    pub output: Option<Json>,
    /// The error it faulted with.
    pub error: Option<Json>,
}

/// The id of the run of a workflow and a key.
pub fn run_of_key(workflow: &str, key: &str) -> RunId {
    RunId::of_key(workflow, key)
}

/// Starts on their way through a step.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Asked for; those before `tried` were part of a step that failed.
    asked: VecDeque<Start>,
    tried: usize,
    /// Taken by this step, with what became of them.
    taken: Vec<(Start, Started)>,
    ended: Vec<Ended>,
    /// Told once they are durable.
    told: Vec<(u64, Started)>,
    told_ended: Vec<Ended>,
}

impl Starts {
    /// After a failed step nobody knows what of it is durable: its starts are asked for again.
    pub(super) fn again(&mut self) {
        self.ended.clear();
        self.tried += self.taken.len();
        for (start, _) in self.taken.drain(..).rev() {
            self.asked.push_front(start);
        }
    }

    /// Looks at the runs that are about to be written.
    pub(super) fn see<'r>(&mut self, rows: impl Iterator<Item = &'r RunRow>) {
        let ended = rows.filter(|row| row.state.has_ended());
        self.ended.extend(ended.map(|row| Ended {
            run: row.id,
            state: row.state,
            at: row.updated,
            output: row.output.clone(),
            error: row.error.clone(),
        }));
    }

    /// The step is durable.
    pub(super) fn durable(&mut self) {
        self.told.extend(self.taken.drain(..).map(|(start, started)| (start.token, started)));
        self.told_ended.append(&mut self.ended);
    }
}

impl Loop {
    /// Asks for a run; what becomes of it is told by [`Loop::take_started`] after one of the next steps.
    pub fn start(&mut self, start: Start) {
        self.starts.asked.push_back(start);
    }

    /// What became of starts since the last call, each durable.
    pub fn take_started(&mut self) -> Vec<(u64, Started)> {
        std::mem::take(&mut self.starts.told)
    }

    /// The runs started by hand that have ended since the last call, each durable.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.starts.told_ended)
    }

    /// Begins the runs that are asked for; whether there are more.
    pub(super) fn take_starts(&mut self, now: Time) -> Result<bool, StoreError> {
        for _ in 0..STARTS_STEP_MAX {
            let Some(start) = self.starts.asked.pop_front() else { break };
            let tried = self.starts.tried > 0;
            self.starts.tried = self.starts.tried.saturating_sub(1);
            // It belongs to the step from here on, whatever comes.
            self.starts.taken.push((start.clone(), Started::Busy));
            let started = self.begin_by_hand(start, tried, now)?;
            if let Some((_, told)) = self.starts.taken.last_mut() {
                *told = started;
            }
        }
        Ok(!self.starts.asked.is_empty())
    }

    fn begin_by_hand(&mut self, start: Start, tried: bool, now: Time) -> Result<Started, StoreError> {
        let Start { workflow, key, site, input, by, .. } = start;
        let id = run_of_key(&workflow, &key);
        if self.batch.has_run(id) {
            return Ok(Started::Exists(id));
        }
        if let Some(row) = self.store.run(id)? {
            // A commit that seemed to fail may be durable after all: then the run is the one that is asked for.
            let ours = tried && row.input == input && row.site == site;
            return Ok(if ours { Started::Begun(id, row.started) } else { Started::Exists(id) });
        }
        let placed =
            self.contract.workflows.get(workflow.as_str()).filter(|definition| self.is_placed_here(definition));
        let Some(definition) = placed.cloned() else {
            return Ok(Started::Unknown);
        };
        if self.lines.len() >= CALLS_UNFINISHED_MAX {
            return Ok(Started::Busy);
        }
        let origin = Origin { event: None, correlation: None, key: Some(key), by };
        self.begin_run(&Arc::clone(&definition), (id, site), origin, input, now)?;
        Ok(Started::Begun(id, now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::End;
    use super::super::world::World;
    use super::*;
    use crate::testing::plant::contract;
    use serde_json::json;

    fn world() -> World {
        let input = json!({"n": "${ $workflow.input.n }", "asset": "${ $workflow.input.asset }"});
        let ask = json!({"do": [{"ask": {"call": "work.key", "with": input}}]});
        let only = json!({"do": [{"give": {"set": {"n": "${ $workflow.input.n }"}}}]});
        World::new(contract(&[("ask", ask), ("only", only)]))
    }

    fn start(token: u64, workflow: &str, key: &str) -> Start {
        let (workflow, key) = (workflow.to_owned(), key.to_owned());
        let site = SiteName::new("home").unwrap();
        Start { token, workflow, key, site, input: json!({"n": 7, "asset": "m-1"}), by: Some("ann".into()) }
    }

    #[test]
    fn a_key_starts_one_run_that_goes_on_and_tells_its_end() {
        let mut world = world();
        world.runner.start(start(1, "ask", "a"));
        world.runner.start(start(2, "ask", "a"));
        world.runner.start(start(3, "nothing", "a"));
        let requests = world.settle();
        let (run, now) = (run_of_key("ask", "a"), world.now);
        let told = [(1, Started::Begun(run, now)), (2, Started::Exists(run)), (3, Started::Unknown)];
        assert_eq!(world.runner.take_started(), told);
        assert!(world.runner.take_ended().is_empty());
        world.serve(&requests);
        world.finish();
        let [ended] = world.runner.take_ended().try_into().unwrap();
        assert_eq!((ended.run, ended.state), (run, RunState::Completed));
        world.runner.start(start(4, "ask", "a"));
        world.settle();
        assert_eq!(world.runner.take_started(), [(4, Started::Exists(run))], "also after its end");
        world.assert_exactly_once(1, 1, "one run");
        let row = &world.runs()[0];
        assert_eq!((row.key.as_deref(), row.by.as_deref()), (Some("a"), Some("ann")));
    }

    #[test]
    fn a_run_may_end_in_the_step_that_begins_it() {
        let mut world = world();
        world.runner.start(start(1, "only", "a"));
        world.settle();
        assert!(matches!(world.runner.take_started()[..], [(1, Started::Begun(..))]));
        assert_eq!(world.runner.take_ended()[0].output, Some(json!({"n": 7})));
    }

    #[test]
    fn a_start_whose_commit_fails_is_made_once_by_the_next_step() {
        for end in [End::Before, End::After] {
            let mut world = world();
            world.runner.ends = Some((1, end));
            world.runner.start(start(1, "ask", "a"));
            assert!(world.runner.step(world.now).is_err());
            assert!(world.runner.take_started().is_empty(), "nothing is told that may not be durable");
            world.runner.ends = None;
            let requests = world.settle();
            assert!(matches!(world.runner.take_started()[..], [(1, Started::Begun(..))]), "{end:?}");
            world.serve(&requests);
            world.finish();
            world.assert_exactly_once(1, 1, "whether the commit was durable or not");
        }
    }

    #[test]
    fn what_a_crash_leaves_of_a_start_goes_on_and_its_key_starts_nothing_more() {
        let mut world = world();
        world.runner.start(start(1, "ask", "a"));
        let in_hand = world.settle();
        world.crash(&in_hand);
        world.runner.start(start(1, "ask", "a"));
        let requests = world.settle();
        assert_eq!(world.runner.take_started(), [(1, Started::Exists(run_of_key("ask", "a")))]);
        world.serve(&requests);
        world.finish();
        world.assert_exactly_once(1, 1, "after the crash");
    }
}
