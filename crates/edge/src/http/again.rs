//! Posts that were set aside are read again.

use super::{
    body::Form,
    events::{Born, Element, Maker, Trouble, compare, problem, topic, unreadable},
    http_source,
    reader::Place,
    table::Table,
};
use crate::{mapping::Incoming, payload, source::Quarantine};
use andon_contract::contract::{Contract, HttpSource, Source};
use andon_model::{Event, EventId, Name, Time};
use andon_store::{
    Store, StoreError,
    rows::{QuarantineRow, Write},
};
use std::{collections::HashMap, sync::Arc};

/// Posts that were set aside, read again by the mappings as they are now.
pub(crate) struct PostsAgain {
    contract: Arc<Contract>,
    name: Name,
    source: Source,
    http: HttpSource,
    table: Table,
    born: HashMap<EventId, Event>,
}

impl PostsAgain {
    /// For the HTTP source of a name; `None` where the contract has none.
    pub(crate) fn new(contract: &Arc<Contract>, name: &Name) -> Option<Self> {
        let (source, http) = http_source(contract, name)?;
        Some(Self {
            contract: Arc::clone(contract),
            name: name.clone(),
            source: source.clone(),
            http: http.clone(),
            table: Table::new(contract, name),
            born: HashMap::new(),
        })
    }

    /// What a post becomes now: an event to be written, nothing, or what is wrong with it. Its time of receipt stays
    /// that of the post; the event is recorded now. One that is there already is not written again.
    pub(crate) fn read(
        &mut self,
        store: &Store,
        row: &QuarantineRow,
        recorded: Time,
    ) -> Result<(Vec<Write>, Quarantine), StoreError> {
        let Self { contract, name, source, http, table, born } = self;
        let maker = Maker { contract, name, source, http, table, recorded };
        let element = payload::parse(&row.bytes).map(|json| Element {
            place: Place::default(),
            json,
            bytes: row.bytes.as_slice().into(),
        });
        let becomes = match element {
            Ok(element) => maker.becomes(Form::Json, &element, row.received),
            Err(not) => Err(unreadable(format!("{}: {}", not.cause, not.detail)).into()),
        };
        let mut quarantine = Quarantine::default();
        match becomes.and_then(|becomes| compare(store, becomes, born)) {
            Ok(Born::Ignored | Born::Known(_)) => Ok((Vec::new(), quarantine)),
            Ok(Born::New(event)) => {
                let fact = contract.schemas.interval(&event.schema, &event.data);
                Ok((vec![Write::event(event, None, fact)], quarantine))
            }
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Unfit(unfit, site)) => {
                let topic = topic(name);
                let message = Incoming { topic: &topic, payload: &row.bytes, retained: false, received: row.received };
                quarantine.add(contract, name, site.as_ref(), &problem(&unfit), message);
                Ok((Vec::new(), quarantine))
            }
        }
    }
}
