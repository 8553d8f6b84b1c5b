//! After a restore of the data folder: what the time that is lost may have done already is not done a second time.
//!
//! Events and runs that the backup held are taken up again, with the same ids and keys. Before a call of theirs is
//! attempted for the first time since the restore its outcome counts as unknown, and the class of its operation says
//! what follows. What began later and could not have begun before the restore is made as ever.

use super::{Held, Loop};
use crate::calls::{CallMemory, Decision, doubt_restored};
use andon_model::schema::changed_event;
use andon_model::{EventId, Time};
use andon_store::rows::{CallRow, Evidence, RestoreRow, RunRow, StoredEvent};
use andon_store::{ObjectName, StoreError};
use serde_json::Value as Json;

impl Loop {
    /// Leaves in doubt what a restore has left in doubt of a call that is about to be attempted; why it is parked,
    /// where it is.
    pub(super) fn doubt_lost_time(&mut self, held: &mut Held, now: Time) -> Result<Option<String>, StoreError> {
        let Some(restored) = self.restored.filter(|restored| held.memory.restored < restored.epoch) else {
            return Ok(None);
        };
        let Decision::Attempt { target, .. } = self.decide(held, now) else { return Ok(None) };
        if !self.is_suspect(&held.row, &held.memory)? {
            held.memory.restored = restored.epoch;
            return Ok(None);
        }
        // What the lost time has sent it has sent before this process began.
        let begun = self.setting.begun.unwrap_or(now);
        Ok(doubt_restored(&self.contract, &held.row, &mut held.memory, &target, &restored, (begun, now)).err())
    }

    /// Whether a call may have been made in the time that a restore has lost, and nobody has looked since.
    pub(super) fn is_suspect(&self, call: &CallRow, memory: &CallMemory) -> Result<bool, StoreError> {
        let Some(restored) = self.restored.filter(|restored| memory.restored < restored.epoch) else {
            return Ok(false);
        };
        let Some(mut run) = self.find_run(call.run)? else { return Ok(false) };
        // A child was started where its parent was.
        while let Some(parent) = &run.parent {
            if run.started <= restored.at {
                return Ok(true);
            }
            let Some(above) = self.find_run(parent.run)? else { break };
            run = above;
        }
        self.may_have_begun(&run, &restored)
    }

    /// Whether a run may have begun before the restore.
    fn may_have_begun(&self, run: &RunRow, restored: &RestoreRow) -> Result<bool, StoreError> {
        let planned = run.input.get("planned").filter(|_| run.event.is_none()).and_then(Json::as_str);
        let planned = planned.and_then(|text| Time::parse(text).ok());
        if run.started <= restored.at || planned.is_some_and(|planned| planned <= restored.at) {
            return Ok(true);
        }
        let Some(event) = run.event else { return Ok(false) };
        let Some((stored, evidence)) = self.store.event(event)? else { return Ok(false) };
        // What belongs to a story is as old as its beginning: events of runs have no other origin.
        Ok(self.may_have_been(&stored, evidence.as_ref(), restored)?
            || (stored.event.correlation != event && self.story_is_old(stored.event.correlation, restored)?))
    }

    fn story_is_old(&self, first: EventId, restored: &RestoreRow) -> Result<bool, StoreError> {
        match self.store.event(first)? {
            Some((stored, evidence)) => self.may_have_been(&stored, evidence.as_ref(), restored),
            None => Ok(false),
        }
    }

    /// Whether an event may have been there before the restore, under the same id.
    fn may_have_been(
        &self,
        stored: &StoredEvent,
        evidence: Option<&Evidence>,
        restored: &RestoreRow,
    ) -> Result<bool, StoreError> {
        if stored.sequence <= restored.sequence {
            return Ok(true);
        }
        // Samples that the backup held are evaluated again, and give the same events; later ones have other places.
        if let Some(evidence) = evidence {
            return Ok(evidence.from.epoch < restored.epoch);
        }
        let event = &stored.event;
        if let Some(name) = ObjectName::parse(&event.subject)
            && event.kind.starts_with(&changed_event(&name.kind))
        {
            // The first change of an object since the restore is the one that somebody may have told before.
            let versions = self.store.object_versions(&name, restored.revision, 1)?;
            return Ok(versions.first().is_none_or(|first| event.time <= first.known));
        }
        Ok(event.time <= restored.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{World, no_load};
    use super::super::{Act, Loop, What};
    use crate::testing::plant::{contract, route};
    use andon_contract::Contract;
    use andon_model::{EventId, Time, span::Span};
    use andon_store::backup::{Progress, Target, restore};
    use andon_store::rows::{CallState, ExceptionState, RunState};
    use andon_store::{Query, Store};
    use serde_json::{Value as Json, json};
    use std::path::Path;
    use std::sync::Arc;

    fn nobody(_: Progress) {}

    fn ask(class: &str, n: &str) -> Json {
        json!({"call": format!("work.{class}"), "with": {"n": n, "asset": "m-1"}, "output": {"as": "{ n: $input.n }"}})
    }

    fn plant(tasks: &Json) -> Contract {
        let story = json!({
            "schedule": {"on": {"one": {"with": {"type": "asset.alarm"}}}},
            "input": {"from": "{ n: .[0].data.n }"},
            "do": tasks,
        });
        contract(&[("story", story)])
    }

    /// A world over a data folder.
    fn over(dir: &Path, contract: Contract, now: Time) -> World {
        let mut world = World::new(contract);
        world.store = Store::open(dir, &mut |bytes| bytes.fill(7)).unwrap();
        let (store, contract) = (world.store.clone(), Arc::clone(&world.contract));
        world.runner = Loop::new(store, contract, world.dialect.clone(), no_load());
        world.now = now;
        world
    }

    /// Lives to its end; a backup is made before the first step, or after so many rounds of answers, where there are as
    /// many, with requests under way. What came of it is lost: the world goes on from the backup, with the same office.
    fn restored(
        make: &dyn Fn() -> Contract,
        rounds: Option<usize>,
        live: &dyn Fn(&mut World),
    ) -> Option<(tempfile::TempDir, World)> {
        let dir = tempfile::tempdir().unwrap();
        let begin = Time::parse("2026-11-22T08:00:00Z").unwrap();
        let mut world = over(&dir.path().join("data"), make(), begin);
        for n in 1..=3 {
            world.event(n, &format!("m-{n}"), json!({"n": n * 10}));
        }
        for _ in 0..rounds.unwrap_or(0) {
            let requests = world.settle();
            if requests.is_empty() {
                let wake = world.runner.step(world.now).unwrap().wake?;
                world.now = wake.max(world.now);
            }
            world.serve(&requests);
        }
        let requests = if rounds.is_some() { world.settle() } else { Vec::new() };
        let (backup, back) = (dir.path().join("backup"), dir.path().join("back"));
        let now = world.now;
        world.store.back_up(&backup, &|| now, &nobody).unwrap();
        world.serve(&requests);
        live(&mut world);
        let at = world.now.plus(Span::from_secs(10));
        let World { office, runner, store, .. } = world;
        drop((runner, store));
        restore(&backup, &Target { dir: &back, replace: false, at, actor: "eva" }, &nobody).unwrap();
        let mut again = over(&back, make(), at.plus(Span::from_secs(1)));
        again.office = office;
        Some((dir, again))
    }

    #[test]
    fn every_document_is_made_once_although_a_backup_was_restored() {
        let stories = [
            json!([{"a": ask("key", "${ .n }")}, {"b": ask("lookup", "${ .n + 1 }")},
                {"c": ask("upsert", "${ .n + 2 }")}]),
            json!([{"side": {"fork": {"branches": [
                {"x": {"do": [{"a": ask("lookup", "${ .n }")}, {"pause": {"wait": "1 s"}},
                    {"b": ask("key", "${ .n + 1 }")}]}},
                {"y": {"do": [{"c": ask("lookup", "${ .n + 2 }")}]}}]}}}]),
        ];
        for tasks in stories {
            let mut tried = 0;
            for rounds in std::iter::once(None).chain((0..12).map(Some)) {
                let Some((_dir, mut world)) = restored(&|| plant(&tasks), rounds, &World::finish) else { break };
                world.finish();
                world.assert_exactly_once(3, 9, &format!("a backup after {rounds:?} rounds"));
                tried += 1;
            }
            assert!(tried > 2, "there were several moments: {tried}");
        }
    }

    #[test]
    fn what_was_not_done_is_found_out_and_done_after_a_restore() {
        let tasks = json!([{"a": ask("lookup", "${ .n }")}, {"b": ask("key", "${ .n + 1 }")}]);
        let (_dir, mut world) = restored(&|| plant(&tasks), None, &|_| {}).unwrap();
        // The requests that were under way are lost with their time.
        world.office.effects.clear();
        let requests = world.settle();
        assert!(requests.is_empty(), "nothing is sent or searched before `settle` has passed: {requests:?}");
        world.finish();
        world.assert_exactly_once(3, 6, "nothing of it was there");
    }

    #[test]
    fn a_search_after_a_restore_waits_from_the_start_whatever_the_clock_showed_before() {
        let tasks = json!([{"a": ask("lookup", "${ .n }")}]);
        for before in [-3_600, 0, 3_600] {
            for since in [-3_600, 0, 3_600] {
                let (_dir, mut world) = restored(&|| plant(&tasks), None, &World::finish).unwrap();
                world.pass(Span::from_secs(before));
                assert!(world.settle().is_empty(), "{before} {since}");
                world.set_clock(Span::from_secs(since));
                world.pass(Span::from_secs(59));
                assert!(world.settle().is_empty(), "{before} {since}: what was sent may still come about");
                world.pass(Span::from_secs(1));
                assert_eq!(world.settle().len(), 3, "{before} {since}: all are searched");
            }
        }
    }

    #[test]
    fn what_cannot_be_searched_is_parked_after_a_restore_and_told() {
        let tasks = json!([{"a": ask("none", "${ .n }")}]);
        let (_dir, mut world) = restored(&|| plant(&tasks), None, &World::finish).unwrap();
        world.finish();
        assert!(world.office.effects.values().all(|count| *count == 1), "nothing was done twice");
        let told = world.exceptions();
        assert_eq!(told.len(), 3);
        assert!(
            told.iter().all(|row| row.detail.contains("restored from a backup of 2026-11-22T08:00:00Z")),
            "{told:?}"
        );
        assert!(world.calls().iter().all(|call| call.state == CallState::Parked));
        // Somebody looks: one of them is there, another is not.
        let act = |world: &mut World, what: What| {
            world.runner.act(Act { token: 1, by: "eva".into(), reason: "looked".into(), what });
            let requests = world.settle();
            world.serve(&requests);
            world.finish();
        };
        let (there, gone) = (told[0].clone(), told[1].clone());
        act(
            &mut world,
            What::Skip { exception: there.id, output: json!({"document": "D1"}), document: Some("D1".into()) },
        );
        let call = world.calls().into_iter().find(|call| Some(call.id) == gone.call).unwrap();
        world.office.effects.remove(&call.reference);
        act(&mut world, What::Retry { exception: gone.id, not_there: true });
        assert_eq!(world.office.effects[&call.reference], 1);
        let open = world.exceptions().into_iter().filter(|row| row.state == ExceptionState::Open).count();
        assert_eq!((open, world.runs().iter().filter(|run| run.state == RunState::Completed).count()), (1, 2));
        // What comes later is made as ever.
        world.event(9, "m-9", json!({"n": 90}));
        world.finish();
        assert_eq!(world.exceptions().len(), 3, "{:?}", world.exceptions().last());
        assert_eq!(world.calls().last().unwrap().state, CallState::Delivered);
    }

    #[test]
    fn all_that_a_route_leads_to_is_searched_after_a_restore() {
        let with = |fallback: &'static str| {
            move || {
                let mut contract = plant(&json!([{"a": ask("lookup", "${ .n }")}]));
                contract.routes = vec![route("work.lookup", "eam.lookup", &[fallback])];
                contract
            }
        };
        // In the lost time it went to the second one.
        let (_dir, mut world) = restored(&with("second.lookup"), None, &World::finish).unwrap();
        world.finish();
        world.assert_exactly_once(3, 3, "found somewhere");
        let attempts: Vec<_> = world.calls().iter().flat_map(|call| world.attempts(call.id)).collect();
        assert!(attempts.iter().any(|attempt| attempt.system.as_str() == "second"), "{attempts:?}");
        for moment in [None, Some(0)] {
            let (_dir, mut world) = restored(&with("second.key"), moment, &World::finish).unwrap();
            world.finish();
            assert!(world.office.effects.values().all(|count| *count == 1));
            let told = world.exceptions();
            assert!(told.iter().all(|row| row.detail.contains("second.key, which cannot be searched")), "{told:?}");
            assert_eq!(told.len(), 3);
        }
    }

    #[test]
    fn a_restored_folder_is_doubted_once_and_goes_on_as_ever() {
        let tasks = json!([{"a": ask("lookup", "${ .n }")}]);
        let (_dir, mut world) = restored(&|| plant(&tasks), None, &World::finish).unwrap();
        world.finish();
        let before = world.office.seen.len();
        world.event(40, "m-4", json!({"n": 40}));
        world.finish();
        assert_eq!(world.office.seen.len(), before + 1, "one request, and no search");
        let gone = EventId::derived(&[&40_u64.to_le_bytes()]);
        assert!(world.store.event(gone).unwrap().is_some());
        let audit = world.store.list("audit", &Query::default()).unwrap().rows;
        assert_eq!(audit[0]["act"], "folder.restore");
    }
}
