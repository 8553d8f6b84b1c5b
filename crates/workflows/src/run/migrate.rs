//! A run goes over to the definition in force, where that fits what it has done and where it stands.

use super::advance::to_json;
use super::{Act, Acted, Loop, Open};
use crate::machine::fits;
use crate::machine::memory::Memory;
use andon_model::{RunId, Time};
use andon_store::StoreError;
use andon_store::rows::{RunRow, RunState};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;

impl Loop {
    /// Takes a run to the definition in force; with `dry_run` says only whether it can.
    pub(super) fn migrate(&mut self, act: &Act, id: RunId, dry_run: bool, now: Time) -> Result<Acted, StoreError> {
        let Some(row) = self.find_run(id)? else { return Ok(Acted::Unknown) };
        match row.state {
            RunState::Completed | RunState::Cancelled => return Ok(Acted::Ended(row.state)),
            RunState::Queued => {
                return Ok(Acted::Refused("it has not begun, and will begin with the definition in force".to_owned()));
            }
            RunState::Faulted | RunState::Running | RunState::Waiting | RunState::Held => {}
        }
        let Some(new) = self.contract.workflows.get(row.workflow.as_str()).cloned() else {
            return Ok(Acted::Refused(format!("there is no workflow {} in force", row.workflow)));
        };
        if row.definition == new.hash && row.revision == self.contract.revision {
            return Ok(Acted::Refused("it has the definition in force already".to_owned()));
        }
        let mut open = match self.standing_run(row)? {
            Ok(open) => open,
            Err(why) => return Ok(Acted::Refused(why)),
        };
        let tasks = self.store.tasks(id)?;
        let completed = tasks.iter().map(|task| task.pointer.as_str());
        if let Err(why) = fits(&open.definition, &new, &open.memory, completed) {
            return Ok(Acted::Refused(format!("the definition in force does not fit: {why}")));
        }
        if dry_run {
            return Ok(Acted::run(id, open.row.state));
        }
        let detail = json!({
            "reason": act.reason, "from": open.row.revision, "to": self.contract.revision,
            "version": {"from": open.definition.version, "to": new.version},
        });
        self.audit(&act.by, "run.migrate", id.to_string(), detail, now);
        open.row.revision.clone_from(&self.contract.revision);
        open.row.definition.clone_from(&new.hash);
        open.pinned = Arc::clone(&self.contract);
        open.definition = new;
        self.open.remove(&id);
        if open.row.state == RunState::Faulted {
            open.memory.ledger.migrated = true;
            open.row.memory = to_json(&open.memory);
            self.batch.run(open.row, false);
            return Ok(Acted::run(id, RunState::Faulted));
        }
        // What a `listen` hears is found by what its definition says.
        open.memory.deaf = true;
        self.listen_again(&open);
        self.advance(open, Vec::new(), now)?;
        Ok(Acted::run(id, self.find_run(id)?.map_or(RunState::Waiting, |row| row.state)))
    }

    /// A run as it stands with what is pinned to it, without anything being changed; or why it cannot be read.
    fn standing_run(&mut self, row: RunRow) -> Result<Result<Open, String>, StoreError> {
        if let Some(open) = self.open.get(&row.id) {
            let (row, memory) = (open.row.clone(), open.memory.clone());
            let (pinned, definition) = (Arc::clone(&open.pinned), Arc::clone(&open.definition));
            let told = open.told.clone();
            return Ok(Ok(Open { row, memory, pinned, definition, is_new: open.is_new, told }));
        }
        let (pinned, definition) = match self.pinned_of(&row)?.0 {
            Ok(found) => found,
            Err(why) => return Ok(Err(format!("the contract that it began with cannot be read: {why}"))),
        };
        let Ok(memory) = serde_json::from_value::<Memory>(row.memory.clone()) else {
            return Ok(Err("its stored memory cannot be read".to_owned()));
        };
        Ok(Ok(Open { row, memory, pinned, definition, is_new: false, told: VecDeque::new() }))
    }
}
