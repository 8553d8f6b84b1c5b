//! Business objects as they were known, and the revisions in which they became known: the rows of the context.

use crate::{Store, StoreError, db, rows::StoredEvent, rows::Write};
use andon_model::{AssetName, Entry, Mark, Name, Position, SiteName, Time, sample::Part, span::Span};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fmt;

/// A version of a business object, valid for its assets in `[from, to)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// Its site.
    pub site: SiteName,
    /// Its type, the name of a canonical schema: `ProductionOrder`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its number in the system of record.
    pub number: String,
    /// The revision of the context that brought this version; given when it is written.
    #[serde(default)]
    pub revision: u64,
    /// When this version became known, UTC; given when it is written.
    #[serde(default)]
    pub known: Time,
    /// Valid from this time on; `None`: always before `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// Valid before this time; `None`: without an end. At or before `from` it is valid never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// The assets it is valid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<AssetName>,
    /// The line for whose assets it is valid besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Who told it: the same as [`RevisionRow::of`].
    pub origin: String,
    /// Its fields, as its schema names them.
    pub data: Json,
}

impl ObjectRow {
    /// Its name: `<Type>/<site>/<number>`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.kind, self.site, self.number)
    }

    /// Whether another version says the same, whoever told it and whenever.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.from == other.from
            && self.to == other.to
            && self.assets == other.assets
            && self.line == other.line
            && self.data == other.data
    }

    /// The places it is valid at, as the database keeps them.
    pub(crate) fn places(&self) -> impl Iterator<Item = String> + '_ {
        let assets = self.assets.iter().map(place_of_asset);
        assets.chain(self.line.as_deref().map(place_of_line))
    }
}

pub(crate) fn place_of_asset(asset: &AssetName) -> String {
    format!("asset/{asset}")
}

pub(crate) fn place_of_line(line: &str) -> String {
    format!("line/{line}")
}

/// What names an object: its type, site and number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its type.
    pub kind: String,
    /// Its site.
    pub site: SiteName,
    /// Its number in the system of record; it may hold slashes.
    pub number: String,
}

impl ObjectName {
    /// Reads `<Type>/<site>/<number>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        let (site, number) = rest.split_once('/')?;
        let whole = !kind.is_empty() && !number.is_empty();
        let site = SiteName::new(site).ok().filter(|_| whole)?;
        Some(Self { kind: kind.to_owned(), site, number: number.to_owned() })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.site, self.number)
    }
}

/// A revision of the context: somebody told what they know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRow {
    /// Its number, from 1; given when it is written.
    #[serde(default)]
    pub revision: u64,
    /// When, UTC.
    pub at: Time,
    /// Who: a read of a system (`system/read`), `api`, an event's source.
    pub of: String,
    /// Silent for longer than this, what it told is stale; `None`: never by itself. Of a read two of its polls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// Whether it was anything new; found when it is written.
    #[serde(default)]
    pub changed: bool,
}

impl RevisionRow {
    /// One that is to be written.
    pub fn new(at: Time, of: &str, max_age: Option<Span>) -> Self {
        Self { revision: 0, at, of: of.to_owned(), max_age, changed: false }
    }
}

/// The source under which marks of the instance itself stand.
const INSTANCE: &str = "andon";

impl Store {
    /// Makes a revision of the context of what somebody told, commits it together with `others`, and lets the log say
    /// from where on it holds. The revision. Where the log refuses, the rows are there and the next revision tells of
    /// them too; the mark stands under `site`, since every batch of the log names one.
    pub fn tell_context(
        &self,
        site: &SiteName,
        revision: RevisionRow,
        objects: Vec<ObjectRow>,
        others: Vec<Write>,
    ) -> Result<u64, StoreError> {
        let mut writes = vec![Write::ContextRevision(revision)];
        writes.extend(objects.into_iter().map(|row| Write::Object(Box::new(row))));
        writes.extend(others);
        let told = self.commit(writes)?.context.expect("a commit with a revision says which");
        self.mark_context(site, told)?;
        Ok(told)
    }

    /// Lets the log say that a revision of the context holds from here on. The same mark twice does no harm.
    pub fn mark_context(&self, site: &SiteName, revision: u64) -> Result<(), StoreError> {
        let mut part = Part::new(site.clone(), Name::new(INSTANCE).expect("it is a name"));
        part.entries.push(Entry::Mark(Mark::Context(revision)));
        self.append(vec![part]).map(|_| ())
    }

    /// The highest revision that the log tells of from a place on; 0 where there is none.
    pub fn context_in_log(&self, from: Position) -> Result<u64, StoreError> {
        let (mut at, mut found) = (from, 0);
        while let Some(batch) = self.read(at)? {
            for entry in &batch.part.entries {
                if let Entry::Mark(Mark::Context(revision)) = entry {
                    found = found.max(*revision);
                }
            }
            at = batch.end();
        }
        Ok(found)
    }

    /// The last revision of the context; 0 before the first.
    pub fn context_revision(&self) -> Result<u64, StoreError> {
        self.ask(db::context_revision)
    }

    /// The revisions behind `after` and up to `to`, in order, at most `limit`. Those that changed nothing may be gone.
    pub fn context_revisions(&self, after: u64, to: u64, limit: usize) -> Result<Vec<RevisionRow>, StoreError> {
        self.ask(|c| db::context_revisions(c, after, to, limit))
    }

    /// The last revision up to `to` of everybody who told something.
    pub fn context_tellers(&self, to: u64) -> Result<Vec<RevisionRow>, StoreError> {
        self.ask(|c| db::context_tellers(c, to))
    }

    /// Whether there are revisions that [`Write::ForgetRevisions`] with these bounds removes.
    pub fn has_old_revisions(&self, before: u64, time: Time) -> Result<bool, StoreError> {
        self.ask(|c| db::has_old_revisions(c, before, time))
    }

    /// The newest version of an object.
    pub fn object(&self, name: &ObjectName) -> Result<Option<ObjectRow>, StoreError> {
        self.ask(|c| db::object(c, name))
    }

    /// The versions of an object, oldest first, at most `limit`; those behind the revision `after`.
    pub fn object_versions(&self, name: &ObjectName, after: u64, limit: usize) -> Result<Vec<ObjectRow>, StoreError> {
        self.ask(|c| db::object_versions(c, name, after, limit))
    }

    /// The newest versions of all objects of a type at a site, by number, behind the number `after`, at most `limit`.
    pub fn objects(
        &self,
        site: &SiteName,
        kind: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, StoreError> {
        self.ask(|c| db::objects(c, site, kind, after, limit))
    }

    /// The versions that revisions behind `after` and up to `to` brought, in order, at most `limit` and those of the
    /// last revision besides: the last one's revision is where to go on.
    pub fn objects_since(&self, after: u64, to: u64, limit: usize) -> Result<Vec<ObjectRow>, StoreError> {
        self.ask(|c| db::objects_since(c, after, to, limit))
    }

    /// Of every object the version that was known at a revision, in the order of their rows, with the number of the
    /// row; those behind the row `after`, at most `limit`.
    pub fn objects_known(&self, revision: u64, after: u64, limit: usize) -> Result<Vec<(u64, ObjectRow)>, StoreError> {
        self.ask(|c| db::objects_known(c, revision, after, limit))
    }

    /// The objects that are valid for an asset (or its line) at a time, as they were known at a revision; the one that
    /// began last comes last.
    pub fn objects_at(
        &self,
        site: &SiteName,
        asset: &AssetName,
        line: Option<&str>,
        time: Time,
        revision: u64,
    ) -> Result<Vec<ObjectRow>, StoreError> {
        self.ask(|c| db::objects_at(c, site, asset, line, time, revision))
    }

    /// The events about a thing whose time lies in `[from, to)`, by time and then by order number, at most `limit`;
    /// those behind the time and order number `after`.
    pub fn events_about(
        &self,
        site: &SiteName,
        subject: &str,
        from: Time,
        to: Time,
        after: Option<(Time, u64)>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.ask(|c| db::events_about(c, site, subject, (from, to), after, limit))
    }

    /// The last event of a type about a thing before a time; `source`: only of this one.
    pub fn last_event_about(
        &self,
        site: &SiteName,
        subject: &str,
        kind: &str,
        source: Option<&str>,
        before: Time,
    ) -> Result<Option<StoredEvent>, StoreError> {
        self.ask(|c| db::last_event_about(c, site, subject, (kind, source), before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_object_reads_back() {
        for text in ["ProductionOrder/hamburg/1000123", "MaterialLot/hamburg/A/7 b"] {
            assert_eq!(ObjectName::parse(text).unwrap().to_string(), text);
        }
        for text in ["ProductionOrder/hamburg", "/hamburg/1", "ProductionOrder/Ham burg/1", "ProductionOrder/hamburg/"]
        {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }
}
