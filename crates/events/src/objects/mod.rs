//! Business objects as they become known: what is told is compared with what was known, and what is another becomes a
//! version, an event and a revision of the context, at once or not at all.

mod again;
pub mod given;
pub mod poll;
pub mod posted;
mod weigh;

pub use again::Again;
pub use given::{Given, of_body};
pub use weigh::{Changed, weigh};

use andon_contract::{
    Contract,
    contract::{About, Answerable, Matter, matter},
};
use andon_model::{
    ExceptionId, Name, SiteName, Time,
    object::{Item, Told, Unfit, type_of},
    span::Span,
};
use andon_store::{
    ObjectName, ObjectRow, RevisionRow, Store, StoreError,
    rows::{Action, ExceptionKind, ExceptionRow, QuarantineRow, Write},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Who tells of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teller {
    /// `reads/erp/orders/hamburg`, `api`, `sources/posted`: who told it, as versions and revisions name him.
    pub of: String,
    /// Silent for longer than this, what he told is stale; `None`: never by itself.
    pub max_age: Option<Span>,
    /// The site under which the log names his revisions.
    pub home: SiteName,
}

/// What became of what was told.
#[derive(Debug, Default)]
pub struct Taken {
    /// The revision of the context.
    pub revision: u64,
    /// What is another than it was.
    pub changed: Vec<Changed>,
    /// What told of no object, with its bytes.
    pub unfit: Vec<(Unfit, Vec<u8>)>,
}

/// The one place where objects change: of two who tell of the same one, one waits for the other.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Store,
    contract: Arc<Contract>,
    turn: Arc<Mutex<again::Retold>>,
}

/// What names an object: type, site and number, as they were told.
type ObjectKey = (String, String, String);

impl Objects {
    /// The objects of a store. All parts of an instance share one; clones are the same.
    pub fn new(store: Store, contract: Arc<Contract>) -> Self {
        Self { store, contract, turn: Arc::default() }
    }

    /// The contract.
    pub fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes what somebody tells: versions, events and the writes that `others` makes of it are committed together, and
    /// the log says from where on they are known. Several items about one object are told one after the other.
    /// `silent`: no events, because an event told it. An error leaves nothing half done; the same can be told again.
    pub fn take(
        &self,
        teller: &Teller,
        items: Vec<Item>,
        silent: bool,
        now: Time,
        others: impl FnOnce(&Taken) -> Vec<Write>,
    ) -> Result<Taken, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_turn(teller, items, silent, now, others)
    }

    /// The same for one object whose newest version must be that of a revision (`Some(0)`: it must be new). `Err` is
    /// the revision of the version that is there instead; 0 where there is none.
    pub fn give(
        &self,
        teller: &Teller,
        (name, item): (&ObjectName, Item),
        expected: Option<u64>,
        now: Time,
    ) -> Result<Result<Taken, u64>, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.store.object(name)?.map_or(0, |row| row.revision);
        if expected.is_some_and(|expected| expected != found) {
            return Ok(Err(found));
        }
        self.in_turn(teller, vec![item], false, now, |_| Vec::new()).map(Ok)
    }

    fn in_turn(
        &self,
        teller: &Teller,
        items: Vec<Item>,
        silent: bool,
        now: Time,
        others: impl FnOnce(&Taken) -> Vec<Write>,
    ) -> Result<Taken, StoreError> {
        let mut taken = Taken::default();
        let told_of = items.len();
        let mut groups: BTreeMap<ObjectKey, Vec<(Told, Vec<u8>)>> = BTreeMap::new();
        for Item { bytes, told } in items {
            match told {
                Ok(told) => {
                    let key = (type_of(&told.object).to_owned(), told.site.clone(), told.number.clone());
                    groups.entry(key).or_default().push((told, bytes));
                }
                Err(unfit) => taken.unfit.push((unfit, bytes)),
            }
        }
        let next = self.store.context_revision()?.saturating_add(1);
        // What is the first change of its object, what the second: each has a revision of its own.
        let mut rounds: Vec<Vec<Changed>> = Vec::new();
        for group in groups.into_values() {
            for (round, changed) in self.steps(teller, group, next, now, &mut taken)?.into_iter().enumerate() {
                match rounds.get_mut(round) {
                    Some(all) => all.push(changed),
                    None => rounds.push(vec![changed]),
                }
            }
        }
        let mut rounds: VecDeque<Vec<Changed>> = rounds.into();
        let rows = |round: &[Changed]| round.iter().map(|changed| changed.row.clone()).collect::<Vec<_>>();
        let revision = RevisionRow::new(now, &teller.of, teller.max_age);
        let first = rounds.pop_front().unwrap_or_default();
        let first_rows = rows(&first);
        taken.changed = first;
        let mut writes = Vec::new();
        for round in rounds {
            writes.push(Write::ContextRevision(revision.clone()));
            writes.extend(rows(&round).into_iter().map(|row| Write::Object(Box::new(row))));
            taken.changed.extend(round);
        }
        let events = taken.changed.iter().filter(|_| !silent);
        writes.extend(events.map(|changed| Write::Event(Box::new(changed.event.clone()), None)));
        writes.extend(others(&taken));
        // The same told again is news too: it is still so. Of whoever told nothing that fits nothing was heard, but for
        // a read, whose answer alone says that its system is there.
        if taken.unfit.len() == told_of && teller.max_age.is_none() {
            if !writes.is_empty() {
                self.store.commit(writes)?;
            }
            taken.revision = self.store.context_revision()?;
            return Ok(taken);
        }
        taken.revision = self.store.tell_context(&teller.home, revision, first_rows, writes)?;
        Ok(taken)
    }

    /// The changes of one object that a group of items tells, one after the other. A group whose item says what is
    /// known was told before up to there, so that a page that comes twice changes nothing back and forth. `next` is the
    /// revision that the first of them will have.
    fn steps(
        &self,
        teller: &Teller,
        group: Vec<(Told, Vec<u8>)>,
        next: u64,
        now: Time,
        taken: &mut Taken,
    ) -> Result<Vec<Changed>, StoreError> {
        let mut known = None;
        if let Some((told, _)) = group.first()
            && let Ok(site) = SiteName::new(&told.site)
        {
            let (kind, number) = (type_of(&told.object).to_owned(), told.number.clone());
            known = self.store.object(&ObjectName { kind, site, number })?;
        }
        let weigh = |told: &Told, known: Option<&ObjectRow>| weigh(&self.contract, told, known, &teller.of, now);
        let is_known = |(told, _): &(Told, _)| known.is_some() && matches!(weigh(told, known.as_ref()), Ok(None));
        let before = if group.len() > 1 { group.iter().rposition(is_known) } else { None };
        let mut steps: Vec<Changed> = Vec::new();
        for (index, (told, bytes)) in group.into_iter().enumerate() {
            match weigh(&told, known.as_ref()) {
                Ok(Some(changed)) if before.is_none_or(|before| index > before) => {
                    let revision = next.saturating_add(steps.len() as u64);
                    known = Some(ObjectRow { revision, ..changed.row.clone() });
                    steps.push(changed);
                }
                Ok(_) => {}
                Err(unfit) => taken.unfit.push((unfit, bytes)),
            }
        }
        Ok(steps)
    }
}

/// Sets aside what told of no object. `place` is who told it, as the fingerprint and the topic name him.
pub fn aside(contract: &Contract, place: &str, source: &Name, unfit: &Unfit, bytes: &[u8], now: Time) -> [Write; 2] {
    let fingerprint = format!("{place}:{}:{}", unfit.code, unfit.place);
    let id = ExceptionId::derived(&[b"exception", fingerprint.as_bytes()]);
    let detail = format!("at {}: {}", unfit.place, unfit.found);
    let known = matter(&Matter { detail: Some(&detail), ..Matter::default() });
    let about = About { content: &known, ..About::of(ExceptionKind::Input.word(), None, None) };
    let Answerable { owner, due } = contract.answerable(&about, now);
    let exception = ExceptionRow {
        action: Some(Action::Replay),
        cause: unfit.cause.clone(),
        detail: detail.clone(),
        remedy: unfit.remedy.clone(),
        due,
        ..ExceptionRow::new(id, ExceptionKind::Input, owner, fingerprint, now)
    };
    let message = QuarantineRow {
        exception: id,
        received: now,
        source: source.clone(),
        topic: place.to_owned(),
        bytes: bytes.to_vec(),
        detail,
        retained: false,
    };
    [Write::Exception(Box::new(exception)), Write::Quarantine(Box::new(message))]
}
