//! What was set aside of objects is told again, by the read as it is now.

use super::{Objects, Teller, weigh};
use andon_model::{
    SiteName, Time,
    object::{Item, Unfit, type_of},
};
use andon_store::{ObjectName, ObjectRow, StoreError, rows::Write};
use std::{collections::BTreeMap, sync::PoisonError};

/// Objects of which it is remembered what was told again; of more, it is forgotten for all of them.
const RETOLD_MAX: usize = 10_000;

/// The version of an object that was told again last, and when that had come: what came later is newer than it.
pub(super) type Retold = BTreeMap<String, (u64, Time)>;

/// What became of an item that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It is a version of its object now, and set aside no longer.
    Changed,
    /// It tells what is known; it is set aside no longer.
    Same,
    /// Something newer is known of its object meanwhile: nothing is told back, and it is set aside no longer.
    Overtaken,
    /// It still tells of no object, and stays where it is.
    Wrong(String),
}

impl Objects {
    /// Tells an item again that was set aside under a number, at the time at which it came. What comes of it and the
    /// end of its being set aside are one commit. `sites`: those that are served. `dry_run` says what would come of it
    /// and changes nothing.
    ///
    /// # Errors
    /// Those of the store; the same can be told again.
    pub fn again(
        &self,
        (teller, sites): (&Teller, &[SiteName]),
        (number, received): (u64, Time),
        item: Item,
        dry_run: bool,
        now: Time,
    ) -> Result<Again, StoreError> {
        let mut retold = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match &item.told {
            Ok(told) => told,
            Err(unfit) => return Ok(Again::Wrong(said(unfit))),
        };
        let Some(site) = sites.iter().find(|site| site.as_str() == told.site) else {
            return Ok(Again::Wrong(format!("site: the read does not serve {:?}", told.site)));
        };
        let kind = type_of(&told.object).to_owned();
        let name = ObjectName { kind, site: site.clone(), number: told.number.clone() };
        let known = self.store.object(&name)?;
        let since = |row: &ObjectRow| match retold.get(&name.to_string()) {
            Some((revision, came)) if *revision == row.revision => *came,
            _ => row.known,
        };
        let becomes = match &known {
            Some(row) if since(row) > received => Again::Overtaken,
            _ => match weigh(&self.contract, told, known.as_ref(), &teller.of, now) {
                Ok(Some(_)) => Again::Changed,
                Ok(None) => Again::Same,
                Err(unfit) => return Ok(Again::Wrong(said(&unfit))),
            },
        };
        if dry_run {
            return Ok(becomes);
        }
        let done = Write::QuarantineRemove(number);
        if becomes == Again::Changed {
            let taken = self.in_turn(teller, vec![item], false, now, |_| vec![done])?;
            if retold.len() >= RETOLD_MAX {
                retold.clear();
            }
            retold.insert(name.to_string(), (taken.revision, received));
        } else {
            self.store.commit(vec![done])?;
        }
        Ok(becomes)
    }
}

fn said(unfit: &Unfit) -> String {
    format!("at {}: {}: {}", unfit.place, unfit.cause, unfit.found)
}
