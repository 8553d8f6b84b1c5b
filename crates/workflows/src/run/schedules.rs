//! What starts runs by itself: an event, the first of several, several together, and planned instants.
//!
//! An instant is planned from the one before, which is a row: a clock that is set back repeats none, one that jumps
//! ahead misses some, and those are made up for as the workflow says. A run's id derives from the workflow's name, the
//! site and the instant; its row and that of the schedule go in one commit.

use super::events::Origin;
use super::{CALLS_UNFINISHED_MAX, Loop};
use crate::exceptions;
use crate::filter::{Bound, Fixed, Seen, passes, token};
use andon_contract::cron::Cron;
use andon_contract::workflow::{Catchup, Consumption, Definition, EventFilter, Schedule};
use andon_model::id::derive;
use andon_model::{EventId, Name, RunId, SiteName, Time, span::Span, time::Zone};
use andon_store::rows::{StoredEvent, Write};
use andon_store::{GatherKey, ScheduleRow, StoreError};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// Planned runs of one workflow at one site that begin in one step at most; then others get their turn.
const PLANNED_STEP_MAX: usize = 64;
/// Events that wait for others looked at in one step at most, after a contract came into force.
const GATHERED_STEP_MAX: usize = 1_000;
/// An instant that is later than this was missed.
const MISSED_AFTER: Span = Span::from_secs(60);
/// How far back the last instant is looked for first.
const BACK: [Span; 4] =
    [Span::from_secs(3_600), Span::from_secs(86_400), Span::from_secs(32 * 86_400), Span::from_secs(366 * 86_400)];

/// The schedules of the contract in force.
#[derive(Default)]
pub(super) struct Schedules {
    all: BTreeMap<(Name, SiteName), Planned>,
    /// The runs that must end before their workflow is planned again.
    awaited: BTreeMap<RunId, (Name, SiteName)>,
    /// Whether nothing is begun by itself any more.
    resting: bool,
    looked: Looked,
}

/// How far the events that wait for others were looked through since the contract came into force.
enum Looked {
    /// Up to this one; `None`: not at all.
    To(Option<(GatherKey, u32, u64)>),
    Everywhere,
}

impl Default for Looked {
    fn default() -> Self {
        Self::To(None)
    }
}

/// A workflow at a site.
struct Planned {
    row: ScheduleRow,
    definition: Arc<Definition>,
    when: When,
    next: Option<Time>,
}

/// Which instants are planned.
enum When {
    Every(Span),
    After(Span),
    Cron(Box<Cron>, Zone),
}

impl Schedules {
    /// The next planned instant.
    pub(super) fn wake(&self) -> Option<Time> {
        self.all.values().filter_map(|planned| planned.next).min().filter(|_| !self.resting)
    }
}

impl When {
    fn of(definition: &Definition, zone: &Zone) -> Option<(Self, String)> {
        match definition.schedule.as_ref()? {
            Schedule::On(_) => None,
            Schedule::Every(span) => Some((Self::Every(*span), format!("every {span}"))),
            Schedule::After(span) => Some((Self::After(*span), format!("after {span}"))),
            Schedule::Cron(text) => {
                let cron = Cron::parse(text).ok()?;
                Some((Self::Cron(Box::new(cron), zone.clone()), format!("cron {text}")))
            }
        }
    }

    /// The first instant behind another.
    fn next(&self, after: Time) -> Option<Time> {
        match self {
            Self::Every(span) | Self::After(span) => Some(after.plus(*span)),
            Self::Cron(cron, zone) => cron.next(after, zone),
        }
    }

    /// The last instant behind one and not behind `now`.
    fn last(&self, after: Time, now: Time) -> Option<Time> {
        match self {
            Self::Every(span) => {
                let times = now.since(after).nanos().checked_div(span.nanos()).filter(|times| *times > 0)?;
                Some(after.plus(Span::from_nanos(span.nanos().saturating_mul(times))))
            }
            Self::After(_) => self.next(after).filter(|next| *next <= now),
            Self::Cron(..) => {
                let starts = BACK.iter().map(|back| Time(now.0.saturating_sub(back.nanos())).max(after));
                for start in starts.chain([after]) {
                    let mut last = None;
                    let mut at = start;
                    while let Some(next) = self.next(at).filter(|next| *next <= now) {
                        (at, last) = (next, Some(next));
                    }
                    if last.is_some() || start == after {
                        return last;
                    }
                }
                None
            }
        }
    }
}

impl Planned {
    fn plan(&mut self) {
        self.next = if self.row.run.is_some() { None } else { self.when.next(self.row.planned) };
    }

    /// The instants that are due now, and the last one that is done with.
    fn due(&self, now: Time) -> (Vec<Time>, Option<Time>) {
        let catchup =
            if matches!(self.when, When::After(_)) { Catchup::Last } else { self.definition.settings.catchup };
        match catchup {
            Catchup::All => {
                let mut due = Vec::new();
                let mut at = self.row.planned;
                while due.len() < PLANNED_STEP_MAX
                    && let Some(next) = self.when.next(at).filter(|next| *next <= now)
                {
                    due.push(next);
                    at = next;
                }
                let last = due.last().copied();
                (due, last)
            }
            Catchup::Last | Catchup::None => {
                let last = self.when.last(self.row.planned, now);
                let runs = last.filter(|last| catchup == Catchup::Last || now.since(*last) <= MISSED_AFTER);
                (runs.into_iter().collect(), last)
            }
        }
    }
}

impl Loop {
    /// From now on no run begins at a planned instant: a world that is simulated comes to rest.
    pub fn plan_no_more(&mut self) {
        self.schedules.resting = true;
    }

    /// Reads how far the schedules are done. One that is new, or that was changed, begins at `now`.
    pub(super) fn read_schedules(&mut self, now: Time) -> Result<(), StoreError> {
        self.schedules = Schedules { resting: self.schedules.resting, ..Schedules::default() };
        let mut rows: BTreeMap<(Name, SiteName), ScheduleRow> = BTreeMap::new();
        for row in self.store.schedules()? {
            rows.insert((row.workflow.clone(), row.site.clone()), row);
        }
        let contract = Arc::clone(&self.contract);
        for definition in super::places::here(&contract, self.role) {
            let Ok(name) = Name::new(&definition.name) else { continue };
            for (site, of) in &contract.sites {
                let sites = &definition.settings.sites;
                let Some((when, schedule)) = When::of(definition, &of.timezone) else { continue };
                if !sites.is_empty() && !sites.contains(site) {
                    continue;
                }
                let known = rows.remove(&(name.clone(), site.clone())).filter(|row| row.schedule == schedule);
                let is_new = known.is_none();
                let row = known.unwrap_or_else(|| ScheduleRow {
                    site: site.clone(),
                    workflow: name.clone(),
                    schedule,
                    planned: now,
                    run: None,
                });
                let mut planned = Planned { row, definition: Arc::clone(definition), when, next: None };
                self.await_run(&mut planned, is_new)?;
                self.schedules.all.insert((name.clone(), site.clone()), planned);
            }
        }
        for (name, site) in rows.into_keys() {
            self.batch.also(Write::ScheduleRemove(site, name));
        }
        Ok(())
    }

    /// A schedule goes on behind its run, where it waits for one.
    fn await_run(&mut self, planned: &mut Planned, is_new: bool) -> Result<(), StoreError> {
        let mut is_new = is_new;
        if let Some(run) = planned.row.run {
            if self.store.run(run)?.is_some_and(|row| !row.state.has_ended()) {
                let place = (planned.row.workflow.clone(), planned.row.site.clone());
                self.schedules.awaited.insert(run, place);
            } else {
                planned.row.run = None;
                is_new = true;
            }
        }
        planned.plan();
        if is_new {
            self.batch.also(Write::Schedule(Box::new(planned.row.clone())));
        }
        Ok(())
    }

    /// Begins the runs whose instants have come; whether there is more to do.
    pub(super) fn take_schedules(&mut self, now: Time) -> Result<bool, StoreError> {
        let more = self.forget_gathered()?;
        if self.schedules.wake().is_none_or(|wake| wake > now) || self.lines.len() >= CALLS_UNFINISHED_MAX {
            return Ok(more);
        }
        let due: Vec<(Name, SiteName)> = self
            .schedules
            .all
            .iter()
            .filter(|(_, planned)| planned.next.is_some_and(|next| next <= now))
            .map(|(place, _)| place.clone())
            .collect();
        for place in due {
            let Some(planned) = self.schedules.all.get_mut(&place) else { continue };
            let (instants, last) = planned.due(now);
            let definition = Arc::clone(&planned.definition);
            if let Some(last) = last {
                planned.row.planned = last;
            }
            let run = instants.last().map(|instant| run_of_instant(&place, *instant));
            if matches!(planned.when, When::After(_)) {
                planned.row.run = run;
                self.schedules.awaited.extend(run.map(|run| (run, place.clone())));
            }
            planned.plan();
            self.batch.also(Write::Schedule(Box::new(planned.row.clone())));
            for instant in instants {
                let id = run_of_instant(&place, instant);
                if self.store.run(id)?.is_some() {
                    continue;
                }
                let origin = Origin { event: None, correlation: None, key: None, by: None };
                self.begin_run(&definition, (id, place.1.clone()), origin, json!({ "planned": instant }), now)?;
            }
        }
        Ok(more || self.schedules.wake().is_some_and(|wake| wake <= now))
    }

    /// Events that wait for others are forgotten where the contract in force has nothing any more that they could
    /// begin together; whether there are more to look at.
    fn forget_gathered(&mut self) -> Result<bool, StoreError> {
        let Looked::To(after) = &self.schedules.looked else { return Ok(false) };
        let mut page = self.store.gathers_after(after.as_ref(), GATHERED_STEP_MAX)?;
        let shapes: BTreeMap<&str, String> = self
            .contract
            .workflows
            .values()
            .filter_map(|definition| match &definition.schedule {
                Some(Schedule::On(Consumption::All(filters))) => Some((definition.name.as_str(), shape(filters))),
                _ => None,
            })
            .collect();
        let waits = |key: &GatherKey| {
            shapes.get(key.workflow.as_str()).is_some_and(|shape| key.key.split(' ').next() == Some(shape.as_str()))
        };
        let mut forgotten = 0;
        for (key, slot, sequence) in page.iter().filter(|(key, ..)| !waits(key)) {
            self.batch.also(Write::Gather(key.clone(), *slot, *sequence, false));
            self.tally.now.forgotten += 1;
            forgotten += 1;
        }
        if forgotten > 0 {
            tracing::info!(forgotten, "events waited for others to begin a run that no workflow begins any more");
        }
        let more = page.len() == GATHERED_STEP_MAX;
        self.schedules.looked = if more { Looked::To(page.pop()) } else { Looked::Everywhere };
        Ok(more)
    }

    /// Plans workflows again whose run ends with this step.
    pub(super) fn plan_again(&mut self) {
        if self.schedules.awaited.is_empty() {
            return;
        }
        let ended: Vec<(RunId, Time)> =
            self.schedules.awaited.keys().filter_map(|run| Some((*run, self.batch.ended(*run)?))).collect();
        for (run, at) in ended {
            let planned = self.schedules.awaited.remove(&run).and_then(|place| self.schedules.all.get_mut(&place));
            let Some(planned) = planned.filter(|planned| planned.row.run == Some(run)) else { continue };
            planned.row.run = None;
            planned.row.planned = at;
            planned.plan();
            self.batch.also(Write::Schedule(Box::new(planned.row.clone())));
        }
    }

    /// Starts a run of a definition by an event, when the event is meant for it.
    pub(super) fn consider(
        &mut self,
        definition: &Arc<Definition>,
        stored: &StoredEvent,
        now: Time,
    ) -> Result<(), StoreError> {
        let Some(Schedule::On(consumption)) = &definition.schedule else { return Ok(()) };
        let seen = Seen::new(stored);
        let filters = match consumption {
            Consumption::One(filter) => std::slice::from_ref(filter),
            Consumption::Any { filters, .. } | Consumption::All(filters) => filters.as_slice(),
        };
        let mut passed = Vec::new();
        for (slot, filter) in (0..).zip(filters) {
            let lookup = self.contract.identifiers.at(stored.event.recorded);
            match passes(filter, &Fixed::written(filter), &Bound::new(), &seen, &lookup) {
                Ok(Some(common)) => passed.push((slot, common)),
                Ok(None) => {}
                Err(error) => {
                    let row = exceptions::filter(&self.contract, &definition.name, &stored.event, &error, now);
                    self.batch.exception(row);
                    self.tally.now.matched += 1;
                    self.tally.now.refused += 1;
                    return Ok(());
                }
            }
        }
        if passed.is_empty() {
            return Ok(());
        }
        self.tally.now.matched += 1;
        match consumption {
            Consumption::All(filters) => self.gather(definition, filters, &passed, stored, now),
            _ => self.begin_by_events(definition, stored, std::slice::from_ref(stored), now),
        }
    }

    fn begin_by_events(
        &mut self,
        definition: &Arc<Definition>,
        last: &StoredEvent,
        events: &[StoredEvent],
        now: Time,
    ) -> Result<(), StoreError> {
        let event = &last.event;
        let id = run_of_event(&definition.name, event.id);
        if self.store.run(id)?.is_some() {
            self.tally.now.already += 1;
            return Ok(());
        }
        let (first, direct) = (Some(event.correlation), Some(event.id));
        let origin = Origin { event: direct, correlation: first, key: None, by: None };
        let input = events.iter().map(|stored| stored.event.to_json(Some(stored.sequence))).collect();
        self.begin_run(definition, (id, event.site.clone()), origin, input, now)
    }

    /// An event that starts a run only together with others: it waits for them, or is the last.
    fn gather(
        &mut self,
        definition: &Arc<Definition>,
        filters: &[EventFilter],
        passed: &[(u32, Bound)],
        stored: &StoredEvent,
        now: Time,
    ) -> Result<(), StoreError> {
        let key = |common: &Bound| GatherKey {
            site: stored.event.site.clone(),
            workflow: definition.name.clone(),
            key: format!("{} {}", shape(filters), token(&json!(common))),
        };
        // The slot that lacks an event, where it passes several.
        let mut slots = Vec::new();
        for (slot, common) in passed {
            let key = key(common);
            let waiting = self.first_gathered(&key, *slot)?;
            slots.push((waiting.is_some(), *slot, key));
        }
        slots.sort();
        let Some((_, slot, key)) = slots.into_iter().next() else { return Ok(()) };
        let mut others = Vec::new();
        for other in (0..).take(filters.len()).filter(|other| *other != slot) {
            others.extend(self.first_gathered(&key, other)?.map(|number| (other, number)));
        }
        if others.len() + 1 < filters.len() || self.first_gathered(&key, slot)?.is_some() {
            self.batch.also(Write::Gather(key, slot, stored.sequence, true));
            return Ok(());
        }
        let mut events = vec![stored.clone()];
        for (other, number) in others {
            events.extend(self.store.events_of((&key.site, None), (number - 1, number), 1)?);
            self.batch.also(Write::Gather(key.clone(), other, number, false));
            self.tally.now.together += 1;
        }
        events.sort_by_key(|stored| stored.sequence);
        self.begin_by_events(definition, stored, &events, now)
    }

    /// The order number of the event that waits longest in a slot.
    fn first_gathered(&self, key: &GatherKey, slot: u32) -> Result<Option<u64>, StoreError> {
        let mut here = BTreeSet::new();
        let mut gone = BTreeSet::new();
        for write in self.batch.others() {
            match write {
                Write::Gather(other, at, number, waits) if other == key && *at == slot => {
                    if *waits {
                        here.insert(*number)
                    } else {
                        gone.insert(*number)
                    };
                }
                _ => {}
            }
        }
        let known = self.store.gathered(key, slot, gone.len() + 1)?;
        Ok(known.into_iter().chain(here).find(|number| !gone.contains(number)))
    }
}

/// The id of the run of a workflow and an event.
pub(super) fn run_of_event(workflow: &str, event: EventId) -> RunId {
    RunId::derived(&[b"run", workflow.as_bytes(), event.to_string().as_bytes()])
}

fn run_of_instant((workflow, site): &(Name, SiteName), instant: Time) -> RunId {
    let (workflow, site) = (workflow.as_str().as_bytes(), site.as_str().as_bytes());
    RunId::derived(&[b"planned", workflow, site, instant.to_string().as_bytes()])
}

/// What the filters of a workflow look at, in short: events that wait for others do so while that is the same.
fn shape(filters: &[EventFilter]) -> String {
    let told: Json = filters
        .iter()
        .map(|filter| {
            let names: Vec<_> = filter.correlate.iter().map(|of| (of.name.as_str(), of.from.source())).collect();
            json!([filter.kind, names, format!("{:?}", Fixed::written(filter))])
        })
        .collect();
    let mut text = String::new();
    for byte in derive(&[b"gather", told.to_string().as_bytes()]).iter().take(6) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
