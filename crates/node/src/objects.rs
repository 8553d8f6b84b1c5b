//! Business objects: what is asked of them, and what is given.

use crate::{
    audit::{NOBODY, audited},
    backend::StoreBackend,
    clock,
    history::fault,
    show::public,
};
use andon_api::{
    Kind, Page, Problem, Query,
    objects::{ObjectGiven, ObjectHistory, ObjectPut, ObjectRef},
    problem::Placed,
};
use andon_events::objects::{Objects, Teller, of_body};
use andon_model::{
    SiteName,
    object::{Item, Unfit},
};
use andon_store::{ObjectName, StoreError};
use serde_json::{Value as Json, json};

/// Versions of an object that are shown.
const VERSIONS_MAX: usize = 1_000;
/// Objects that are looked through at once for those of an asset.
const SCAN: usize = 1_000;

impl StoreBackend {
    /// An object with its versions.
    pub(crate) fn object_of(&self, of: &ObjectRef) -> Result<ObjectHistory, Problem> {
        let name = self.name_of(of)?;
        self.history_of(&name).map_err(|e| fault(&e))?.ok_or_else(|| {
            Problem::not_found(format!("there is no object {name}"))
                .remedy("andon list objects --where type=... names those that are known")
        })
    }

    /// The versions of an object; `None` where there is no such object.
    pub(crate) fn history_of(&self, name: &ObjectName) -> Result<Option<ObjectHistory>, StoreError> {
        let Some(newest) = self.store.object(name)? else { return Ok(None) };
        let versions = self.store.object_versions(name, 0, VERSIONS_MAX)?;
        let versions = versions.iter().map(|row| json!(row)).collect();
        Ok(Some(ObjectHistory { name: name.to_string(), object: json!(newest), versions }))
    }

    fn name_of(&self, of: &ObjectRef) -> Result<ObjectName, Problem> {
        let site = self.contract.sites.keys().find(|site| site.as_str() == of.site).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.contract.sites.keys().map(SiteName::as_str).collect();
            Problem::not_found(format!("there is no site {:?}", of.site))
                .remedy(format!("name one of {}", known.join(", ")))
        })?;
        Ok(ObjectName { kind: of.kind.clone(), site, number: of.number.clone() })
    }

    /// Takes an object that is given.
    pub(crate) fn give_object(&self, objects: &Objects, put: &ObjectPut) -> Result<ObjectGiven, Problem> {
        let name = self.name_of(&put.of)?;
        let told = of_body(&name, &self.schema_of(&name.kind), &put.body).map_err(refused)?;
        let teller = Teller { of: "api".to_owned(), max_age: None, home: name.site.clone() };
        let item = Item { bytes: Vec::new(), told: Ok(told) };
        let given = objects.give(&teller, (&name, item), put.expected, clock::now()).map_err(|e| match e {
            full if full.is_full() => Problem::unavailable(full.to_string()).remedy("free space, and send it again"),
            other => fault(&other),
        })?;
        let taken = given.map_err(|found| {
            let detail = match (put.expected, found) {
                (Some(0), _) => format!("{name} is there already, with the revision {found}"),
                (_, 0) => format!("there is no {name}"),
                _ => format!("{name} has the revision {found}"),
            };
            Problem::precondition(detail).remedy("read it again, and decide again")
        })?;
        if let Some((unfit, _)) = taken.unfit.into_iter().next() {
            return Err(refused(unfit));
        }
        let newest = self.store.object(&name).map_err(|e| fault(&e))?;
        let revision = newest.map_or(taken.revision, |row| row.revision);
        // The same given once more is no act.
        if let Some(changed) = taken.changed.first() {
            let detail = json!({ "revision": revision, "event": changed.event.id });
            audited(&self.store, put.actor.as_deref().unwrap_or(NOBODY), "object.put", name.to_string(), detail)?;
        }
        Ok(ObjectGiven {
            name: name.to_string(),
            revision,
            changed: !taken.changed.is_empty(),
            event: taken.changed.first().map(|changed| changed.event.id.to_string()),
        })
    }

    /// The newest major of a type's schema.
    fn schema_of(&self, kind: &str) -> String {
        let prefix = format!("{kind}/");
        let of = |name: &String| name.strip_prefix(&prefix)?.split('.').next()?.parse::<u32>().ok();
        let newest = self.contract.schemas.names().filter_map(|name| of(&name)).max();
        format!("{kind}/{}", newest.unwrap_or(1))
    }

    /// A page of objects; `asset` finds those that are valid for an asset.
    pub(crate) fn list_objects(&self, query: &Query) -> Result<Page, StoreError> {
        let mut filters = query.filters.clone();
        let asset = filters.iter().position(|(field, _)| field == "asset").map(|at| filters.remove(at).1);
        let limit = if asset.is_some() { SCAN } else { query.limit };
        let mut asked = andon_store::Query { where_: filters, after: query.after, limit, ascending: query.ascending };
        let mut rows = Vec::new();
        loop {
            let page = self.store.list(Kind::Objects.word(), &asked)?;
            let Some(asset) = &asset else {
                let rows = page.rows.into_iter().map(|row| public(Kind::Objects, row)).collect();
                return Ok(Page { rows, next: page.next });
            };
            let is_its = |row: &Json| {
                let assets = row.get("assets").and_then(Json::as_array);
                assets.is_some_and(|all| all.iter().any(|name| name.as_str() == Some(asset)))
            };
            rows.extend(page.rows.into_iter().filter(is_its));
            match page.next {
                Some(next) if rows.len() < query.limit => asked.after = Some(next),
                next => return Ok(Page { rows, next }),
            }
        }
    }
}

fn refused(unfit: Unfit) -> Problem {
    let Unfit { place, cause, found, remedy, .. } = unfit;
    Problem::content(cause.clone())
        .placed(vec![Placed { at: place, detail: format!("{cause}: {found}") }])
        .remedy(remedy)
}
