//! Business objects as they become known: what is told is compared with what was known, and what is another becomes a
//! version, an event and a revision of the context, at once or not at all.

pub mod given;
pub mod poll;
mod weigh;

pub use given::{Given, of_body};
pub use weigh::{Changed, weigh};

use andon_contract::Contract;
use andon_model::{
    ExceptionId, Name, SiteName, Time,
    object::{Item, Told, Unfit, type_of},
    span::Span,
};
use andon_store::{
    ObjectName, RevisionRow, Store, StoreError,
    rows::{ExceptionKind, ExceptionRow, ExceptionState, QuarantineRow, Write},
};
use std::{
    collections::BTreeMap,
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
    turn: Arc<Mutex<()>>,
}

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
    /// the log says from where on they are known. Of several items about one object the last one counts. `silent`: no
    /// events, because an event told it. An error leaves nothing half done; the same can be told again.
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
        let mut last: BTreeMap<(String, String, String), (Told, Vec<u8>)> = BTreeMap::new();
        for Item { bytes, told } in items {
            match told {
                Ok(told) => {
                    let key = (type_of(&told.object).to_owned(), told.site.clone(), told.number.clone());
                    last.insert(key, (told, bytes));
                }
                Err(unfit) => taken.unfit.push((unfit, bytes)),
            }
        }
        for (told, bytes) in last.into_values() {
            let known = match SiteName::new(&told.site) {
                Ok(site) => {
                    let kind = type_of(&told.object).to_owned();
                    self.store.object(&ObjectName { kind, site, number: told.number.clone() })?
                }
                Err(_) => None,
            };
            match weigh(&self.contract, &told, known.as_ref(), &teller.of, now) {
                Ok(None) => {}
                Ok(Some(changed)) => taken.changed.push(changed),
                Err(unfit) => taken.unfit.push((unfit, bytes)),
            }
        }
        let rows = taken.changed.iter().map(|changed| changed.row.clone()).collect();
        let events = taken.changed.iter().filter(|_| !silent);
        let mut writes: Vec<Write> =
            events.map(|changed| Write::Event(Box::new(changed.event.clone()), None)).collect();
        writes.extend(others(&taken));
        // Whoever is never late need not say that he has nothing new.
        if taken.changed.is_empty() && teller.max_age.is_none() {
            if !writes.is_empty() {
                self.store.commit(writes)?;
            }
            taken.revision = self.store.context_revision()?;
            return Ok(taken);
        }
        let revision = RevisionRow::new(now, &teller.of, teller.max_age);
        taken.revision = self.store.tell_context(&teller.home, revision, rows, writes)?;
        Ok(taken)
    }
}

/// Sets aside what told of no object. `place` is who told it, as the fingerprint and the topic name him.
pub fn aside(contract: &Contract, place: &str, source: &Name, unfit: &Unfit, bytes: &[u8], now: Time) -> [Write; 2] {
    let fingerprint = format!("{place}:{}:{}", unfit.code, unfit.place);
    let id = ExceptionId::derived(&[b"exception", fingerprint.as_bytes()]);
    let owner = contract.owner(ExceptionKind::Input.word(), None, None).cloned();
    let detail = format!("at {}: {}", unfit.place, unfit.found);
    let exception = ExceptionRow {
        id,
        site: None,
        kind: ExceptionKind::Input,
        owner: owner.unwrap_or_else(|| Name::new("nobody").expect("it is a name")),
        fingerprint,
        cause: unfit.cause.clone(),
        detail: detail.clone(),
        remedy: unfit.remedy.clone(),
        count: 1,
        first: now,
        last: now,
        state: ExceptionState::Open,
        source: None,
        run: None,
        call: None,
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
