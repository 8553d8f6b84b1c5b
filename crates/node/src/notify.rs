//! Tells teams: finds what they are to be told, keeps each notice as a row before it is sent, passes on what nobody has
//! dealt with, and sends what waits. A mail server or a webhook that does not answer holds up nothing but its notices.

use crate::{
    clock,
    drive::{Reads, Turn, Worker},
    given,
    hidden::Hidden,
};
use andon_contract::Contract;
use andon_model::{ExceptionId, Name, Time, span::Span};
use andon_observe::notices::{
    Digest, MAIL, Occasion, SENT, Teller, Try, What, digest, hour, id as notice_id, late, notice, pass, passes, pause,
    tried, ways,
};
use andon_store::{
    Query, Store, StoreError,
    rows::{ExceptionRow, GroupRow, NoticeRow, Write},
};
use andon_systems::notify::{Mail, Notifier, Post, Told};
use serde_json::Value as Json;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::runtime::Handle;

/// Looks are at least so far apart.
const LOOK: Span = Span::from_millis(500);
/// A look at very many groups is followed by a rest of so many times its length.
const REST: i64 = 20;
/// Rows of one read transaction.
const PAGE: usize = 500;
/// Notices that wait are looked at, and go into one mail, at most.
const NOTICES_MAX: usize = 1_000;
/// Ids of notices that are known to be kept, so that the store is not asked at each look.
const KNOWN_MAX: usize = 200_000;
/// Overdue exceptions of which is known when they pass to another team.
const PASSING_MAX: usize = 100_000;
/// Exceptions that pass to another team in one commit.
const PASS_AT_ONCE: usize = 200;
/// Notices of a team that are looked at to know when it had its last mail.
const LAST_LOOKED_AT: usize = 50;
/// So long a clean stop waits for what is under way.
const LANDING_MAX: Duration = Duration::from_secs(2);

/// A team and a way to tell it.
type Road = (Name, String);
/// A place in the order of due times.
type Place = (Time, u64);

/// Notices under way together, and what became of them.
struct Landed {
    road: Road,
    rows: Vec<NoticeRow>,
    told: Told,
}

/// Carries notices to the systems and what became of them back.
#[derive(Clone)]
struct Courier {
    notifier: Notifier,
    runtime: Handle,
    store: Store,
    landed: Arc<Mutex<Vec<Landed>>>,
}

impl Courier {
    fn send(&self, contract: Arc<Contract>, road: Road, rows: Vec<NoticeRow>, what: Cargo) {
        let this = self.clone();
        self.runtime.spawn(async move {
            let team = contract.ownership.teams.get(&road.0);
            let told = match (&what, &contract.ownership.notify.smtp, team.and_then(|team| team.webhook.as_ref())) {
                (Cargo::Mail(mail), Some(smtp), _) => this.notifier.mail(smtp, mail).await,
                (Cargo::Post(post), _, Some(hook)) => this.notifier.post(&road.0, hook, post).await,
                _ => Told::Failed { what: "the project has no way to tell this team any more".into(), for_good: true },
            };
            this.landed.lock().unwrap_or_else(PoisonError::into_inner).push(Landed { road, rows, told });
            this.store.wake();
        });
    }
}

/// What is sent.
enum Cargo {
    Mail(Mail),
    Post(Post),
}

/// The loop.
struct Notices {
    store: Store,
    contract: Arc<Contract>,
    courier: Courier,
    /// Where people find this instance.
    link: Option<String>,
    /// Whether lines of the policy ask what a call or a run was given.
    reads_input: bool,
    /// When the next look begins.
    next_look: Time,
    /// Where a look at the groups goes on, and how long it has taken so far.
    look: Option<(u64, Span)>,
    /// Up to where it is known what is due soon, and what is overdue.
    soon: Place,
    over: Place,
    /// Ids of notices that are kept already.
    known: BTreeSet<String>,
    /// When overdue exceptions pass to another team.
    passing: BinaryHeap<Reverse<(Time, ExceptionId)>>,
    /// Before which time nothing is sent on a road.
    gates: BTreeMap<Road, Time>,
    /// Roads on which something is under way.
    under_way: BTreeSet<Road>,
}

/// Starts the loop.
pub(crate) fn start(store: &Store, contract: &Arc<Contract>, runtime: &Handle) -> std::io::Result<Worker> {
    let notices = Arc::new(Mutex::new(Notices::new(store.clone(), contract.clone(), runtime.clone())));
    let ending = notices.clone();
    let step = move || notices.lock().unwrap_or_else(PoisonError::into_inner).step(clock::now());
    let end = move || ending.lock().unwrap_or_else(PoisonError::into_inner).end();
    Worker::start("notices", (store.clone(), Reads::Rows), step, end)
}

impl Notices {
    fn new(store: Store, contract: Arc<Contract>, runtime: Handle) -> Self {
        let notifier = Notifier::new(given::variable);
        let courier = Courier { notifier, runtime, store: store.clone(), landed: Arc::default() };
        let link = contract.ownership.notify.link.as_ref().map(|link| link.resolve(&given::variable));
        let is_input = |(path, _): &(Vec<String>, Vec<String>)| path.first().is_some_and(|first| first == "input");
        let reads_input = contract.ownership.lines.iter().any(|line| line.content.iter().any(is_input));
        Self {
            store,
            contract,
            courier,
            link,
            reads_input,
            next_look: Time::MIN,
            look: None,
            soon: (Time::MIN, 0),
            over: (Time::MIN, 0),
            known: BTreeSet::new(),
            passing: BinaryHeap::new(),
            gates: BTreeMap::new(),
            under_way: BTreeSet::new(),
        }
    }

    fn step(&mut self, now: Time) -> Result<Turn, StoreError> {
        let landed = self.land(now)?;
        // A clock that was put back would let the next look wait for long.
        let is_time = now >= self.next_look || self.next_look.since(now) > Span::from_secs(60);
        if !is_time && !landed {
            return Ok(Turn::Idle(Some(self.next_look.since(now))));
        }
        let begun = clock::monotonic();
        let more = self.look_at_groups(now)? | self.look_at_due(now)? | self.pass_on(now)?;
        self.send(now)?;
        let took = Span::from_nanos(clock::monotonic().nanos() - begun.nanos());
        if more {
            if let Some((_, so_far)) = &mut self.look {
                *so_far = Span::from_nanos(so_far.nanos() + took.nanos());
            }
            return Ok(Turn::Worked);
        }
        let all = self.look.take().map_or(took, |(_, so_far)| Span::from_nanos(so_far.nanos() + took.nanos()));
        let rest = LOOK.max(Span::from_nanos(all.nanos().saturating_mul(REST)));
        self.next_look = now.plus(rest);
        Ok(Turn::Idle(Some(rest)))
    }

    fn teller(&self) -> Teller<'_> {
        Teller { contract: &self.contract, link: self.link.as_deref() }
    }

    /// Whether the notice of an occasion is not kept yet.
    fn is_new(&mut self, id: &str) -> Result<bool, StoreError> {
        if self.known.contains(id) {
            return Ok(false);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(id.to_owned());
        Ok(self.store.notice(id)?.is_none())
    }

    /// Adds the notices of an occasion that are not kept yet.
    fn add(&mut self, occasion: &Occasion<'_>, now: Time, writes: &mut Vec<Write>) -> Result<(), StoreError> {
        for by in ways(&self.contract, occasion.team) {
            if self.is_new(&notice_id(occasion, by))? {
                writes.push(Write::Notice(Box::new(notice(self.teller(), occasion, by, now))));
            }
        }
        Ok(())
    }

    /// Looks at a page of the groups that are open; whether there is another.
    fn look_at_groups(&mut self, now: Time) -> Result<bool, StoreError> {
        let after = self.look.map(|(after, _)| after);
        let where_ = vec![("state".to_owned(), "open".to_owned())];
        let page = self.store.list("exception-groups", &Query { where_, after, limit: PAGE, ascending: true })?;
        let mut writes = Vec::new();
        for row in page.rows {
            // What does not read back is told by who reads it.
            let Ok(group) = serde_json::from_value::<GroupRow>(row) else { continue };
            // What is under way again needs nobody.
            if group.unfinished == group.resubmitted || ways(&self.contract, &group.owner).is_empty() {
                continue;
            }
            let mark = group.opened.unwrap_or(group.first);
            let team = group.owner.clone();
            let what = What::Assigned;
            let occasion = Occasion { what, team: &team, group: &group, mark, due: None, from: None };
            let kept = ways(&self.contract, &team).iter().all(|by| self.known.contains(&notice_id(&occasion, by)));
            if !kept {
                let newest = self.store.exception(group.newest)?;
                // That it has passed to the team was told as such.
                if newest.as_ref().is_some_and(|newest| newest.escalated.is_some() && newest.owner == team) {
                    let ways = ways(&self.contract, &team);
                    self.known.extend(ways.into_iter().map(|by| notice_id(&occasion, by)));
                    continue;
                }
                let due = newest.and_then(|newest| newest.due);
                let group = self.shown(group.clone())?;
                self.add(&Occasion { due, group: &group, ..occasion }, now, &mut writes)?;
            }
        }
        self.commit(writes)?;
        self.look = page.next.map(|next| (next, self.look.map_or(Span::ZERO, |(_, took)| took)));
        Ok(page.next.is_some())
    }

    /// Looks at exceptions that have become due soon or overdue; whether there are more.
    fn look_at_due(&mut self, now: Time) -> Result<bool, StoreError> {
        let soon = self.store.exceptions_due_behind(self.soon, now.plus(andon_observe::notices::SOON), PAGE)?;
        let room = PASSING_MAX.saturating_sub(self.passing.len());
        let over = self.store.exceptions_due_behind(self.over, now, PAGE.min(room))?;
        let mut writes = Vec::new();
        for (rows, wanted) in [(&soon, What::Due), (&over, What::Overdue)] {
            for late in late(rows.iter().map(|(_, row)| row), now).into_iter().filter(|late| late.what == wanted) {
                let Some(group) = self.group(&late.fingerprint)? else { continue };
                let (what, team) = (late.what, &late.team);
                let occasion = Occasion { what, team, group: &group, mark: late.hour, due: Some(late.due), from: None };
                self.add(&occasion, now, &mut writes)?;
            }
        }
        for (_, row) in &over {
            let input = self.input(row)?;
            if let Some((at, _)) = passes(&self.contract, row, input.as_ref()) {
                self.passing.push(Reverse((at, row.id)));
            }
        }
        self.commit(writes)?;
        let end = |rows: &[(u64, ExceptionRow)]| rows.last().and_then(|(no, row)| Some((row.due?, *no)));
        self.soon = end(&soon).unwrap_or(self.soon);
        self.over = end(&over).unwrap_or(self.over);
        Ok(soon.len() == PAGE || (over.len() == PAGE && room > PAGE))
    }

    /// What the call or the run of an exception was given, where a line of the policy asks for it.
    fn input(&self, row: &ExceptionRow) -> Result<Option<Json>, StoreError> {
        if !self.reads_input {
            return Ok(None);
        }
        if let Some(call) = row.call {
            return Ok(self.store.call(call)?.map(|call| call.input));
        }
        let Some(run) = row.run else { return Ok(None) };
        Ok(self.store.run(run)?.map(|run| run.input))
    }

    /// Passes on what nobody has dealt with; whether there is more.
    fn pass_on(&mut self, now: Time) -> Result<bool, StoreError> {
        let mut writes = Vec::new();
        let mut passed = 0;
        while let Some(Reverse((at, id))) = self.passing.peek().copied() {
            if at > now || passed >= PASS_AT_ONCE {
                break;
            }
            self.passing.pop();
            let Some(row) = self.store.exception(id)? else { continue };
            let input = self.input(&row)?;
            // Somebody may have dealt with it meanwhile, or handed it over.
            let Some((at, to)) = passes(&self.contract, &row, input.as_ref()) else { continue };
            if at > now {
                self.passing.push(Reverse((at, id)));
                continue;
            }
            passed += 1;
            let (change, audit) = pass(&self.contract, &row, &to, input.as_ref(), now);
            if let Some(group) = self.group(&row.fingerprint)? {
                let (what, mark, from) = (What::Escalated, hour(now), Some(&row.owner));
                let due = change.due.flatten();
                let occasion = Occasion { what, team: &to, group: &group, mark, due, from };
                self.add(&occasion, now, &mut writes)?;
            }
            writes.push(Write::ExceptionChange(Box::new(change)));
            writes.push(Write::Audit(Box::new(audit)));
        }
        self.commit(writes)?;
        Ok(passed >= PASS_AT_ONCE)
    }

    /// A group as it may leave the house: without what its run hides.
    fn shown(&self, group: GroupRow) -> Result<GroupRow, StoreError> {
        let run = self.store.exception(group.newest)?.and_then(|newest| newest.run);
        let Some(run) = run else { return Ok(group) };
        let mut hidden = Hidden::new(&self.store);
        let mut text = |text: &str| -> Result<String, StoreError> {
            let told = hidden.told(run, &Json::String(text.to_owned()))?;
            Ok(told.as_str().unwrap_or_default().to_owned())
        };
        let (cause, remedy) = (text(&group.cause)?, text(&group.remedy)?);
        Ok(GroupRow { cause, remedy, ..group })
    }

    /// A group by its name, as it may leave the house.
    fn group(&self, fingerprint: &str) -> Result<Option<GroupRow>, StoreError> {
        self.store.exception_group(fingerprint)?.map(|group| self.shown(group)).transpose()
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        if !writes.is_empty() {
            self.store.commit(writes)?;
        }
        Ok(())
    }

    /// Sends what waits, on each road one thing at a time.
    fn send(&mut self, now: Time) -> Result<(), StoreError> {
        let mut roads: BTreeMap<Road, Vec<NoticeRow>> = BTreeMap::new();
        for row in self.store.notices_due(now, NOTICES_MAX)? {
            let road = (row.team.clone(), row.by.clone());
            if !self.under_way.contains(&road) {
                roads.entry(road).or_default().push(row);
            }
        }
        for (road, mut rows) in roads {
            let gate = self.gate(&road)?;
            if gate > now {
                let later = |row| Write::Notice(Box::new(NoticeRow { due: Some(gate), ..row }));
                self.commit(rows.into_iter().map(later).collect())?;
                continue;
            }
            // One that is refused again and again holds up no other.
            rows.sort_by_key(|row| (row.attempts, row.created));
            let mut groups: BTreeMap<String, GroupRow> = BTreeMap::new();
            for name in rows.iter().filter_map(group_of) {
                if !groups.contains_key(name)
                    && let Some(group) = self.group(name)?
                {
                    groups.insert(name.to_owned(), group);
                }
            }
            let cargo = if road.1 == MAIL {
                self.mail(&road.0, &rows, &groups, now).map(|mail| (Cargo::Mail(mail), rows.len()))
            } else {
                let is_open = |row: &NoticeRow| {
                    group_of(row).and_then(|name| groups.get(name)).is_some_and(|group| group.unfinished > 0)
                };
                let ended: Vec<NoticeRow> = rows.extract_if(.., |row| !is_open(row)).collect();
                self.settle(ended, &Try::Needless, now)?;
                rows.first().map(|row| (Cargo::Post(post(row, now)), 1))
            };
            match cargo {
                Some((cargo, count)) => {
                    rows.truncate(count);
                    self.under_way.insert(road.clone());
                    self.courier.send(self.contract.clone(), road, rows, cargo);
                }
                None => self.settle(rows, &Try::Needless, now)?,
            }
        }
        Ok(())
    }

    fn mail(&self, team: &Name, rows: &[NoticeRow], groups: &BTreeMap<String, GroupRow>, now: Time) -> Option<Mail> {
        let Digest { id, subject, text } = digest(self.teller(), team, rows, groups, now)?;
        let to = self.contract.ownership.teams.get(team).and_then(|team| team.mail.clone()).unwrap_or_default();
        Some(Mail { id, at: now, to, subject, text })
    }

    /// Before which time nothing is sent on a road; after a start as the rows say.
    fn gate(&mut self, road: &Road) -> Result<Time, StoreError> {
        if let Some(gate) = self.gates.get(road) {
            return Ok(*gate);
        }
        let mut gate = Time::MIN;
        if road.1 == MAIL {
            let where_ = vec![("team".to_owned(), road.0.to_string()), ("state".to_owned(), SENT.to_owned())];
            let query = Query { where_, after: None, limit: LAST_LOOKED_AT, ascending: false };
            let rows = self.store.list("notices", &query)?.rows;
            let rows = rows.into_iter().filter_map(|row| serde_json::from_value::<NoticeRow>(row).ok());
            let last = rows.filter(|row| row.by == MAIL).filter_map(|row| row.sent).max();
            gate = last.map_or(Time::MIN, |last| last.plus(self.contract.ownership.notify.every));
        }
        self.gates.insert(road.clone(), gate);
        Ok(gate)
    }

    /// Writes down what became of what was under way; whether there was any.
    fn land(&mut self, now: Time) -> Result<bool, StoreError> {
        let landed = std::mem::take(&mut *self.courier.landed.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !landed.is_empty();
        for Landed { road, rows, told } in landed {
            let (how, gate) = match told {
                Told::Taken if road.1 == MAIL => (Try::Taken, now.plus(self.contract.ownership.notify.every)),
                Told::Taken => (Try::Taken, Time::MIN),
                Told::Failed { what, for_good } => {
                    tracing::warn!(team = %road.0, by = %road.1, "a notice was not taken: {what}");
                    let tries = rows.iter().map(|row| row.attempts).max().unwrap_or(0).saturating_add(1);
                    let gate = if for_good { Time::MIN } else { now.plus(pause(tries)) };
                    (Try::Failed(what, for_good), gate)
                }
            };
            self.settle(rows, &how, now)?;
            self.under_way.remove(&road);
            self.gates.insert(road, gate);
        }
        Ok(any)
    }

    fn settle(&self, rows: Vec<NoticeRow>, how: &Try, now: Time) -> Result<(), StoreError> {
        self.commit(rows.into_iter().map(|row| Write::Notice(Box::new(tried(row, how, now)))).collect())
    }

    /// Waits a moment for what is under way, so that it is not sent twice.
    fn end(&mut self) {
        let end = clock::monotonic().std() + LANDING_MAX;
        loop {
            let seen = self.store.change_of_rows();
            if let Err(error) = self.land(clock::now()) {
                tracing::warn!(%error, "notices that were taken at the end are told again after the next start");
                return;
            }
            let left = end.saturating_sub(clock::monotonic().std());
            if self.under_way.is_empty() || left.is_zero() {
                return;
            }
            self.store.wait_rows(seen, left);
        }
    }
}

fn group_of(row: &NoticeRow) -> Option<&str> {
    row.body.pointer("/data/group").and_then(Json::as_str)
}

fn post(row: &NoticeRow, now: Time) -> Post {
    Post { id: row.id.clone(), at: now, body: row.body.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::{Address, Escalate, Hook, Ownership, OwnershipLine, Team};
    use andon_store::rows::{ExceptionChange, ExceptionKind, ExceptionState};

    const HOUR: Span = Span::from_secs(3_600);

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// Teams with webhooks at which nobody is.
    fn contract() -> Arc<Contract> {
        let url = Address { env: None, default: "http://127.0.0.1:9/".into() };
        let hook = Some(Hook { url, secret: None, authority: None });
        let team = || Team { webhook: hook.clone(), ..Team::default() };
        let line = OwnershipLine {
            escalate: Some(Escalate { after: HOUR, to: name("management") }),
            ..OwnershipLine::everything(name("planning"))
        };
        let teams = [(name("planning"), team()), (name("management"), team()), (name("silent"), Team::default())];
        let ownership = Ownership { teams: teams.into(), lines: vec![line], ..Ownership::default() };
        Arc::new(Contract { ownership, ..Contract::empty() })
    }

    struct Desk {
        store: Store,
        notices: Notices,
        now: Time,
        _runtime: tokio::runtime::Runtime,
    }

    impl Desk {
        fn new() -> Self {
            let store = Store::memory(&mut |bytes| bytes.fill(1));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // Nothing is ever driven: what is sent stays under way.
            let notices = Notices::new(store.clone(), contract(), runtime.handle().clone());
            Self { store, notices, now: Time::parse("2026-11-26T12:00:00Z").unwrap(), _runtime: runtime }
        }

        /// A process that begins with what the store holds.
        fn again(&mut self) {
            self.notices = Notices::new(self.store.clone(), contract(), self.notices.courier.runtime.clone());
        }

        fn row(&self, group: &str, number: u32) -> ExceptionRow {
            let id = ExceptionId::derived(&[group.as_bytes(), &number.to_le_bytes()]);
            let due = Some(self.now.plus(Span::from_secs(8 * 3_600)));
            let kind = ExceptionKind::Output;
            ExceptionRow { due, ..ExceptionRow::new(id, kind, name("planning"), group.into(), self.now) }
        }

        fn write(&self, rows: impl IntoIterator<Item = ExceptionRow>) {
            self.store.commit(rows.into_iter().map(|row| Write::Exception(Box::new(row))).collect()).unwrap();
        }

        fn change(&self, id: ExceptionId, state: ExceptionState) {
            let change = ExceptionChange::of(id, self.now).to(state);
            self.store.commit(vec![Write::ExceptionChange(Box::new(change))]).unwrap();
        }

        /// Steps until there is nothing to do, after a while.
        fn pass(&mut self, span: Span) {
            self.now = self.now.plus(span);
            self.notices.next_look = Time::MIN;
            while matches!(self.notices.step(self.now).unwrap(), Turn::Worked) {}
        }

        /// What is kept for whom: what and how often.
        fn told(&self) -> BTreeMap<(String, String), usize> {
            let query = Query { where_: Vec::new(), after: None, limit: 10_000, ascending: true };
            let rows = self.store.list("notices", &query).unwrap().rows;
            let mut told = BTreeMap::new();
            for row in rows {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                *told.entry((text("team"), text("what"))).or_default() += 1;
            }
            told
        }

        fn count(&self, team: &str, what: &str) -> usize {
            self.told().get(&(team.to_owned(), what.to_owned())).copied().unwrap_or(0)
        }
    }

    #[test]
    fn ten_thousand_of_one_cause_are_told_once_also_by_the_next_process() {
        let mut desk = Desk::new();
        desk.write((0..10_000).map(|n| desk.row("down", n)));
        desk.write([ExceptionRow { owner: name("silent"), ..desk.row("silent", 1) }]);
        desk.pass(Span::ZERO);
        desk.again();
        desk.pass(Span::from_secs(1));
        assert_eq!(desk.told().into_values().sum::<usize>(), 1);
        // While some of it are open, more of it are no news; once all have ended, they are.
        desk.write([desk.row("down", 20_000)]);
        desk.pass(Span::from_secs(1));
        assert_eq!(desk.count("planning", "assigned"), 1);
        for n in (0..10_000).chain([20_000]) {
            let id = desk.row("down", n).id;
            desk.change(id, ExceptionState::Resolved);
        }
        desk.pass(Span::from_secs(1));
        desk.write([ExceptionRow { last: desk.now, ..desk.row("down", 7) }]);
        desk.pass(Span::from_secs(1));
        assert_eq!(desk.count("planning", "assigned"), 2);
        // Another team that it is handed over to is told.
        let id = desk.row("down", 7).id;
        let change = ExceptionChange { owner: Some(name("management")), ..ExceptionChange::of(id, desk.now) };
        desk.store.commit(vec![Write::ExceptionChange(Box::new(change))]).unwrap();
        desk.pass(Span::from_secs(1));
        assert_eq!((desk.count("management", "assigned"), desk.count("planning", "assigned")), (1, 2));
    }

    #[test]
    fn what_is_under_way_again_needs_nobody() {
        let mut desk = Desk::new();
        desk.write([ExceptionRow { state: ExceptionState::Resubmitted, ..desk.row("down", 1) }]);
        desk.pass(Span::ZERO);
        assert!(desk.told().is_empty());
        desk.change(desk.row("down", 1).id, ExceptionState::Open);
        desk.pass(Span::ZERO);
        assert_eq!(desk.count("planning", "assigned"), 1);
    }

    #[test]
    fn thousands_that_nobody_deals_with_pass_on_once_with_an_act_each() {
        let mut desk = Desk::new();
        desk.write((0..3_000).map(|n| desk.row("down", n)));
        let dealt = desk.row("down", 0).id;
        desk.pass(Span::from_secs(27_000));
        assert_eq!(desk.count("planning", "due"), 1);
        desk.pass(Span::from_secs(1_800));
        assert_eq!(desk.count("planning", "overdue"), 1);
        desk.again();
        desk.change(dealt, ExceptionState::Resolved);
        desk.pass(Span::from_secs(1_800));
        assert_eq!(desk.count("management", "escalated"), 0);
        desk.pass(Span::from_secs(1_800));
        assert_eq!((desk.count("management", "escalated"), desk.count("management", "assigned")), (1, 0));
        assert_eq!(desk.store.audit_head().unwrap().unwrap().number, 2_999);
        let row = desk.store.exception(desk.row("down", 1).id).unwrap().unwrap();
        assert_eq!((row.owner, row.escalated), (name("management"), Some(desk.now)));
        assert_eq!(row.due, Some(desk.now.plus(Span::from_secs(8 * 3_600))));
        assert_eq!(desk.store.exception(dealt).unwrap().unwrap().owner, name("planning"));
        // It passes once; the other team's time runs anew.
        desk.again();
        desk.pass(Span::from_secs(30 * 3_600));
        assert_eq!((desk.count("management", "escalated"), desk.count("management", "overdue")), (1, 1));
        assert_eq!(desk.count("management", "assigned"), 0);
        assert_eq!(desk.store.audit_head().unwrap().unwrap().number, 2_999);
    }

    #[test]
    fn one_that_is_refused_holds_up_no_other_and_its_road_rests() {
        let mut desk = Desk::new();
        desk.write([desk.row("one", 1), desk.row("two", 1)]);
        desk.pass(Span::ZERO);
        let road = (name("planning"), "webhook".to_owned());
        assert!(desk.notices.under_way.contains(&road));
        let query = Query { where_: Vec::new(), after: None, limit: 9, ascending: true };
        let rows = |desk: &Desk| -> Vec<NoticeRow> {
            let rows = desk.store.list("notices", &query).unwrap().rows;
            rows.into_iter().map(|row| serde_json::from_value(row).unwrap()).collect()
        };
        let land = |desk: &mut Desk, row: NoticeRow, told: Told| {
            let landed = Landed { road: road.clone(), rows: vec![row], told };
            desk.notices.courier.landed.lock().unwrap().push(landed);
            desk.pass(Span::from_secs(1));
        };
        let first = rows(&desk).remove(0);
        land(&mut desk, first.clone(), Told::Failed { what: "answered 500".into(), for_good: false });
        assert!(!desk.notices.under_way.contains(&road), "the road rests");
        let waits = rows(&desk);
        assert_eq!((waits[0].attempts, waits[0].detail.as_deref()), (1, Some("answered 500")));
        assert!(waits.iter().all(|row| row.due.unwrap() > desk.now));
        desk.pass(Span::from_secs(10));
        assert!(desk.notices.under_way.contains(&road));
        let second = rows(&desk).remove(1);
        land(&mut desk, second, Told::Taken);
        let all = rows(&desk);
        assert_eq!((all[0].state.as_str(), all[1].state.as_str()), ("waiting", "sent"));
        // What has ended before it was told is told no more.
        desk.change(desk.row("one", 1).id, ExceptionState::Resolved);
        land(&mut desk, first, Told::Failed { what: "answered 500".into(), for_good: false });
        desk.pass(Span::from_secs(60));
        assert_eq!(rows(&desk)[0].detail.as_deref(), Some("had ended before it was told"));
    }
}
