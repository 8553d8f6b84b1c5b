//! What happens by itself when a time has come: waits end, passes begin, and tasks run out of time.

use super::memory::{Rings, Waiting};
use super::{Machine, STEP_TASKS_MAX, stranger};
use crate::fault::{Fault, Standard};
use serde_json::Value as Json;

impl Machine<'_> {
    /// Lets everything happen whose time has come, in the order of the times.
    pub(super) fn ring(&mut self) {
        for _ in 0..STEP_TASKS_MAX {
            if self.memory.has_ended() {
                return;
            }
            let Some(alarm) = self.memory.alarm().filter(|alarm| alarm.time <= self.given.now) else { return };
            self.strand = alarm.strand;
            match alarm.rings {
                Rings::Waited => self.waited(),
                Rings::Escalate => self.escalate(),
                Rings::Deadline => {
                    self.give_up_inside(alarm.depth);
                    if let Some(frame) = self.top() {
                        frame.deadline = None;
                    }
                    self.out_of_time();
                }
                Rings::Limit if alarm.strand == 0 && alarm.depth == 0 => {
                    self.give_up_branches();
                    let text = "the run has used up its `timeout`";
                    self.fault(Fault::of(Standard::Timeout, text).at("/timeout"));
                }
                Rings::Limit => {
                    self.give_up_inside(alarm.depth);
                    if let Some(frame) = self.top() {
                        frame.limit = None;
                    }
                    self.out_of_time();
                }
            }
        }
    }

    /// The current task has used up its time.
    fn out_of_time(&mut self) {
        let Some(task) = self.task() else { return self.fault(stranger()) };
        self.wake_up();
        self.raise(Fault::of(Standard::Timeout, format!("`{}` has used up its time", task.name)));
    }

    /// A `wait` is over, or the pause before a pass.
    fn waited(&mut self) {
        let waiting = self.memory.strands.get(self.strand).map(|strand| strand.waiting);
        self.wake_up();
        match waiting {
            Some(Waiting::Until(_)) => {
                let input = self.frames().last().map(|frame| frame.input().clone());
                self.finish(input.unwrap_or(Json::Null), None, None);
            }
            Some(Waiting::Retry(_)) => {
                if let Err(fault) = self.guard() {
                    self.raise(fault);
                }
            }
            _ => self.fault(stranger()),
        }
    }
}
