//! What is known about what an asset was doing at a time: orders, batches, shifts, maintenance.
//!
//! A revision of the context holds from its mark in the log on. What is asked is always the time of
//! an event, and what is answered is what is known at the place of the log that was read.

use crate::corrections::{Correction, corrections};
use ahash::AHashMap;
use andon_contract::{
    Contract,
    contract::{Guard, What, WhenStale},
};
use andon_model::{AssetName, SiteName, Time, object::CONTEXT, span::Span};
use andon_store::{ObjectRow, RevisionRow};
use serde_json::{Map, Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Objects that are known for an asset under a name at most. Of more, the lowest by their rank are forgotten here for
/// good: those that have ended before those that have not, and of them those that began first.
pub const KEPT_MAX: usize = 512;

/// An object that is valid for an asset from a time on, and until another.
#[derive(Debug, Clone, PartialEq)]
pub struct Valid {
    /// `<Type>/<site>/<number>`.
    pub object: String,
    /// From this time on; [`Time::MIN`] where it is open.
    pub from: Time,
    /// Before this time; [`Time::MAX`] where it is open.
    pub to: Time,
    /// The object's data.
    pub data: Arc<Json>,
    /// Who told it.
    pub origin: Arc<str>,
    /// The assets it is valid for, those of its line among them.
    assets: Box<[AssetName]>,
}

/// What decides which objects are forgotten: whether it has no end, its beginning, its name.
pub(crate) type Rank = (bool, Time, String);

/// The highest rank that was forgotten of an asset, under the name of this number.
pub(crate) type Floor = (AssetName, u8, Rank);

/// What is valid for an asset under each name, in the order in which it began.
type Lists = [Vec<Arc<Valid>>; CONTEXT.len()];

/// When somebody told something last.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Time,
    max_age: Option<Span>,
}

/// A revision that was fetched, and that the log has not reached.
#[derive(Debug, Clone, Default)]
struct Fetched {
    row: Option<RevisionRow>,
    objects: Vec<ObjectRow>,
}

/// The context as it is known at a place of the log.
#[derive(Debug, Clone, Default)]
pub struct Context {
    revision: u64,
    /// When the last revision was told.
    at: Time,
    assets: AHashMap<AssetName, Box<Lists>>,
    /// The versions that are in the lists, by name.
    objects: AHashMap<String, Arc<Valid>>,
    /// What was forgotten of an asset under a name: nothing of this rank or below is known any more. It stands in the
    /// saved states, so that a start forgets the same.
    floors: BTreeMap<(AssetName, u8), Rank>,
    tellers: AHashMap<Arc<str>, Told>,
    fetched: BTreeMap<u64, Fetched>,
    /// Up to this revision everything was fetched.
    fetched_to: u64,
    /// Where the assets of the contract stand.
    sites: AHashMap<AssetName, SiteName>,
    lines: AHashMap<SiteName, BTreeMap<String, Vec<AssetName>>>,
}

impl Context {
    /// One in which nothing is known, for the assets of a contract.
    pub fn of(contract: &Contract) -> Self {
        let mut this = Self::default();
        for (name, asset) in &contract.assets {
            this.sites.insert(name.clone(), asset.site.clone());
            if let Some(line) = &asset.line {
                let lines = this.lines.entry(asset.site.clone()).or_default();
                lines.entry(line.clone()).or_default().push(name.clone());
            }
        }
        this
    }

    /// Forgets what the states say was forgotten.
    pub(crate) fn forget(&mut self, floors: &[Floor]) {
        self.floors.extend(floors.iter().map(|(asset, name, rank)| ((asset.clone(), *name), rank.clone())));
    }

    /// What was forgotten.
    pub(crate) fn floors(&self) -> Vec<Floor> {
        self.floors.iter().map(|((asset, name), rank)| (asset.clone(), *name, rank.clone())).collect()
    }

    /// Takes in what was known at a revision: who had told something last, and the objects as they were.
    pub fn load(&mut self, revision: u64, tellers: Vec<RevisionRow>, objects: impl IntoIterator<Item = ObjectRow>) {
        for row in tellers {
            self.told(&row);
        }
        for row in objects {
            if let Some((name, valid)) = self.resolve(row) {
                self.insert(name, valid);
            }
        }
        for (asset, lists) in &mut self.assets {
            for (number, list) in (0..).zip(lists.iter_mut()) {
                bound((asset, number), list, &mut self.objects, &mut self.floors);
            }
        }
        self.revision = self.revision.max(revision);
    }

    /// Its revision; 0 where nothing is known yet.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When its revision was told, UTC.
    pub fn told_at(&self) -> Time {
        self.at
    }

    /// When somebody told something last, UTC.
    pub(crate) fn told_by(&self, origin: &Arc<str>) -> Option<Time> {
        self.tellers.get(origin).map(|told| told.at)
    }

    /// What is valid under a name (`order`, `batch`, `shift`, `maintenance`) for an asset at a time: of several the
    /// one that began last.
    pub fn at(&self, asset: &AssetName, name: &str, time: Time) -> Option<&Valid> {
        let number = CONTEXT.iter().position(|(known, _)| *known == name)?;
        latest(self.assets.get(asset)?.get(number)?, time)
    }

    /// Keeps what was read of the revisions behind this one and up to `to` until the log reaches them; what was kept
    /// before goes.
    pub fn bring(&mut self, to: u64, revisions: Vec<RevisionRow>, objects: Vec<ObjectRow>) {
        self.fetched_to = to;
        self.fetched.clear();
        for row in revisions {
            let revision = row.revision;
            self.fetched.entry(revision).or_default().row = Some(row);
        }
        for row in objects {
            self.fetched.entry(row.revision).or_default().objects.push(row);
        }
    }

    /// The log has reached this revision: from here on it is known. What it corrects of what was known before. Where
    /// its rows were not brought nothing is known of it, and the next one that is brought has them.
    pub(crate) fn reach(&mut self, revision: u64) -> Vec<Correction> {
        let mut all = Vec::new();
        if revision > self.fetched_to {
            return all;
        }
        while let Some(entry) = self.fetched.first_entry().filter(|entry| *entry.key() <= revision) {
            let (number, fetched) = entry.remove_entry();
            if number > self.revision {
                self.step(number, fetched, &mut all);
            }
        }
        self.revision = self.revision.max(revision);
        all
    }

    fn step(&mut self, revision: u64, fetched: Fetched, all: &mut Vec<Correction>) {
        self.revision = revision;
        if let Some(row) = &fetched.row {
            self.told(row);
        }
        // The lists as they were, of every asset and name that the revision says something about.
        let mut before: BTreeMap<(AssetName, usize), Vec<Arc<Valid>>> = BTreeMap::new();
        let mut changed = BTreeSet::new();
        for row in fetched.objects {
            let object = row.name();
            let resolved = self.resolve(row);
            let old = self.objects.get(&object).cloned();
            let Some(name) = resolved.as_ref().map(|(name, _)| *name).or_else(|| name_of(&object)) else { continue };
            let assets = [&old, &resolved.as_ref().map(|(_, valid)| Arc::clone(valid))];
            for asset in assets.into_iter().flatten().flat_map(|valid| valid.assets.iter()) {
                let list = || self.assets.get(asset).and_then(|lists| lists.get(name)).cloned().unwrap_or_default();
                before.entry((asset.clone(), name)).or_insert_with(list);
            }
            self.remove(name, &object);
            if let Some((name, valid)) = resolved {
                self.insert(name, valid);
            }
            changed.insert(object);
        }
        for ((asset, name), was) in &before {
            let list = self.assets.get(asset).and_then(|lists| lists.get(*name)).map_or(&[][..], Vec::as_slice);
            corrections(asset, *name, (revision, self.at), was, list, &changed, all);
        }
        // Nothing but the lists must hold an object when they are bounded.
        for (asset, name) in before.into_keys() {
            if let Some(list) = self.assets.get_mut(&asset).and_then(|lists| lists.get_mut(name)) {
                bound((&asset, number(name)), list, &mut self.objects, &mut self.floors);
            }
        }
    }

    fn told(&mut self, row: &RevisionRow) {
        self.at = row.at;
        self.tellers.insert(row.of.as_str().into(), Told { at: row.at, max_age: row.max_age });
    }

    /// The number of an object's name, and the object for the assets of the contract; `None` where it is valid never
    /// or nowhere, or where no rule asks for its type.
    fn resolve(&self, row: ObjectRow) -> Option<(usize, Arc<Valid>)> {
        let number = CONTEXT.iter().position(|(_, kind)| *kind == row.kind)?;
        let of_line = row.line.as_ref().and_then(|line| self.lines.get(&row.site)?.get(line));
        let mut assets: BTreeSet<AssetName> = of_line.into_iter().flatten().cloned().collect();
        assets.extend(row.assets.iter().filter(|asset| self.sites.get(*asset) == Some(&row.site)).cloned());
        let (from, to) = (row.from.unwrap_or(Time::MIN), row.to.unwrap_or(Time::MAX));
        let known = self.tellers.get_key_value(row.origin.as_str()).map(|(origin, _)| Arc::clone(origin));
        let origin = known.unwrap_or_else(|| row.origin.as_str().into());
        let valid = Valid {
            object: row.name(),
            from,
            to,
            data: Arc::new(row.data),
            origin,
            assets: assets.into_iter().collect(),
        };
        (from < to && !valid.assets.is_empty()).then(|| (number, Arc::new(valid)))
    }

    fn insert(&mut self, name: usize, valid: Arc<Valid>) {
        self.remove(name, &valid.object);
        let mut is_known = false;
        for asset in &valid.assets {
            let floor = if self.floors.is_empty() { None } else { self.floors.get(&(asset.clone(), number(name))) };
            if floor.is_some_and(|floor| rank(&valid) <= *floor) {
                continue;
            }
            let lists = self.assets.entry(asset.clone()).or_default();
            let Some(list) = lists.get_mut(name) else { continue };
            let at = list.partition_point(|other| (other.from, &other.object) < (valid.from, &valid.object));
            list.insert(at, Arc::clone(&valid));
            is_known = true;
        }
        if is_known {
            self.objects.insert(valid.object.clone(), valid);
        }
    }

    fn remove(&mut self, name: usize, object: &str) {
        let Some(old) = self.objects.remove(object) else { return };
        for asset in &old.assets {
            if let Some(list) = self.assets.get_mut(asset).and_then(|lists| lists.get_mut(name)) {
                list.retain(|valid| valid.object != object);
            }
        }
    }
}

/// The number of the name of an object, by its type.
fn name_of(object: &str) -> Option<usize> {
    let kind = object.split('/').next()?;
    CONTEXT.iter().position(|(_, known)| *known == kind)
}

/// Of what is valid at a time the one that began last.
pub(crate) fn latest(list: &[Arc<Valid>], time: Time) -> Option<&Valid> {
    let end = list.partition_point(|valid| valid.from <= time);
    list.get(..end)?.iter().rev().find(|valid| time < valid.to).map(|valid| &**valid)
}

fn rank(valid: &Valid) -> Rank {
    (valid.to == Time::MAX, valid.from, valid.object.clone())
}

/// The number of a name as it is saved.
fn number(name: usize) -> u8 {
    u8::try_from(name).unwrap_or(u8::MAX)
}

/// Forgets of a list what is too much.
fn bound(
    (asset, name): (&AssetName, u8),
    list: &mut Vec<Arc<Valid>>,
    objects: &mut AHashMap<String, Arc<Valid>>,
    floors: &mut BTreeMap<(AssetName, u8), Rank>,
) {
    while list.len() > KEPT_MAX {
        let ended = list.iter().position(|valid| valid.to != Time::MAX);
        let gone = list.remove(ended.unwrap_or(0));
        let floor = floors.entry((asset.clone(), name)).or_insert_with(|| rank(&gone));
        if *floor < rank(&gone) {
            *floor = rank(&gone);
        }
        // One here and one by name: it is in no other list.
        if Arc::strong_count(&gone) <= 2 {
            objects.remove(&gone.object);
        }
    }
}

/// What is known at a place of the log, and when that place was reached, UTC: by it the silence of those who tell
/// something is measured.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What is known.
    pub context: &'a Context,
    /// The receive time of the sample, or the tick's UTC; [`Time::MIN`] where no age counts.
    pub utc: Time,
}

/// What an event says of its context.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Refs {
    /// `data.context`; `None` where nothing was ever told.
    pub(crate) data: Option<Json>,
    /// How long the one who is silent longest has been, where that is too long.
    pub(crate) stale: Option<Span>,
}

impl<'a> Known<'a> {
    /// What is valid for an asset at a time, as a rule's conditions read it: with `when-stale: ignore` nothing where
    /// its teller has been silent for too long.
    pub fn at(self, asset: &AssetName, name: &str, time: Time, guard: &Guard) -> Option<&'a Valid> {
        let found = self.context.at(asset, name, time)?;
        let ignored = guard.when_stale == WhenStale::Ignore && self.silence(found, guard.max_age).is_some();
        (!ignored).then_some(found)
    }

    /// What an event of a rule says, about an asset and the event's time.
    pub(crate) fn refs(self, asset: &AssetName, time: Time, guard: &Guard) -> Refs {
        let context = self.context;
        if context.revision == 0 {
            return Refs::default();
        }
        let mut data = Map::new();
        let mut stale: Option<Span> = None;
        let lists = context.assets.get(asset).into_iter().flat_map(|lists| lists.iter());
        for (list, (name, _)) in lists.zip(CONTEXT) {
            let found = latest(list, time);
            // Where nothing is valid, the one who told the last of its kind may have more to tell.
            let Some(of) = found.or(list.last().map(|valid| &**valid)) else { continue };
            let silence = self.silence(of, guard.max_age.filter(|_| counts(guard, name)));
            stale = stale.max(silence);
            if let Some(found) = found.filter(|_| silence.is_none() || guard.when_stale != WhenStale::Ignore) {
                data.insert(name.to_owned(), found.object.as_str().into());
            }
        }
        data.insert("revision".to_owned(), context.revision.into());
        if let Some(age) = stale {
            data.insert("stale".to_owned(), true.into());
            data.insert("age".to_owned(), whole_seconds(age).to_string().into());
        }
        Refs { data: Some(Json::Object(data)), stale }
    }

    /// What is known for an asset about a time, object by object, with who told it and how long ago; `None` where
    /// nothing was ever told.
    pub(crate) fn shown(self, asset: &AssetName, time: Time, guard: &Guard) -> Option<Json> {
        let context = self.context;
        if context.revision == 0 {
            return None;
        }
        let lists = context.assets.get(asset).into_iter().flat_map(|lists| lists.iter());
        let found = lists.zip(CONTEXT).filter_map(|(list, (name, _))| Some((name, latest(list, time)?)));
        let objects = found.map(|(name, valid)| {
            let mut row = Map::new();
            let mut put = |key: &str, value: Json| row.insert(key.to_owned(), value);
            put("name", name.into());
            put("object", valid.object.as_str().into());
            for (key, end) in [("from", valid.from), ("to", valid.to)] {
                if end != Time::MIN && end != Time::MAX {
                    put(key, json!(end));
                }
            }
            put("origin", (&*valid.origin).into());
            if let Some(told) = context.tellers.get(&valid.origin) {
                put("told", json!(told.at));
                if self.utc != Time::MIN {
                    put("age", whole_seconds(self.utc.since(told.at).max(Span::ZERO)).to_string().into());
                }
                if let Some(most) = guard.max_age.filter(|_| counts(guard, name)).or(told.max_age) {
                    put("max-age", most.to_string().into());
                }
            }
            put("stale", self.silence(valid, guard.max_age.filter(|_| counts(guard, name))).is_some().into());
            Json::Object(row)
        });
        let objects: Vec<Json> = objects.collect();
        Some(json!({ "revision": context.revision, "told": context.at, "objects": objects }))
    }

    /// How long the one who told an object has been silent, where that is too long.
    fn silence(self, valid: &Valid, max_age: Option<Span>) -> Option<Span> {
        let told = self.context.tellers.get(&valid.origin)?;
        let most = max_age.or(told.max_age)?;
        Some(self.utc.since(told.at)).filter(|age| *age > most)
    }
}

/// Whether a rule's own `max-age` is about this: what its conditions read, or everything where they read nothing.
fn counts(guard: &Guard, name: &str) -> bool {
    let of = |what: &What| matches!(what, What::Context { name: read, .. } if read == name);
    !guard.reads_context() || guard.when.iter().chain(&guard.suppress).any(|condition| of(&condition.what))
}

fn whole_seconds(span: Span) -> Span {
    Span::from_secs(span.nanos() / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AssetName {
        AssetName::new(text).unwrap()
    }

    /// Two machines of line `one` and a third elsewhere.
    fn context() -> Context {
        let mut this = Context::default();
        let site = SiteName::new("hamburg").unwrap();
        let line = [name("a"), name("b")].to_vec();
        this.lines.entry(site.clone()).or_default().insert("one".into(), line);
        for asset in ["a", "b", "c"] {
            this.sites.insert(name(asset), site.clone());
        }
        this
    }

    fn order(number: u64, from: i64, to: Option<i64>, assets: &[&str], line: Option<&str>) -> ObjectRow {
        ObjectRow {
            site: SiteName::new("hamburg").unwrap(),
            kind: "ProductionOrder".into(),
            number: number.to_string(),
            revision: 0,
            known: Time(0),
            from: Some(Time(from)),
            to: to.map(Time),
            assets: assets.iter().map(|text| name(text)).collect(),
            line: line.map(str::to_owned),
            origin: "erp".into(),
            data: json!({ "number": number }),
        }
    }

    /// Lets a revision bring these.
    fn tell(context: &mut Context, objects: Vec<ObjectRow>) -> usize {
        let revision = context.revision + 1;
        let objects = objects.into_iter().map(|row| ObjectRow { revision, ..row }).collect();
        context.bring(revision, vec![RevisionRow { revision, ..RevisionRow::new(Time(0), "erp", None) }], objects);
        context.reach(revision).len()
    }

    fn at(context: &Context, asset: &str, time: i64) -> Option<String> {
        context.at(&name(asset), "order", Time(time)).map(|valid| valid.object.rsplit('/').next().unwrap().to_owned())
    }

    #[test]
    fn an_object_moves_from_asset_to_asset() {
        let mut context = context();
        assert_eq!(tell(&mut context, vec![order(1, 10, None, &["c", "nowhere"], Some("one"))]), 3);
        assert_eq!(
            ["a", "b", "c"].map(|of| at(&context, of, 10)),
            [const { Some(()) }; 3].map(|one| one.map(|()| "1".into()))
        );
        assert_eq!((at(&context, "a", 9), at(&context, "nowhere", 10)), (None, None));
        assert_eq!(tell(&mut context, vec![order(1, 10, Some(20), &["b"], None)]), 3, "two lose it, one at its end");
        assert_eq!(["a", "b", "c"].map(|of| at(&context, of, 10)), [None, Some("1".into()), None]);
        assert_eq!(at(&context, "b", 20), None);
        assert_eq!(tell(&mut context, vec![order(1, 10, Some(10), &["b"], None)]), 1, "it is valid no more");
        assert!(context.objects.is_empty());
    }

    #[test]
    fn what_was_not_brought_is_not_known() {
        let mut context = context();
        assert!(context.reach(1).is_empty());
        assert_eq!(context.revision(), 0);
        context.bring(2, Vec::new(), vec![ObjectRow { revision: 1, ..order(1, 0, None, &["a"], None) }]);
        context.reach(3);
        assert_eq!(context.revision(), 0, "not even a part of it");
        context.reach(2);
        assert_eq!((context.revision(), at(&context, "a", 1)), (2, Some("1".into())));
    }

    #[test]
    fn of_many_the_newest_are_kept_and_those_that_have_not_ended() {
        let mut context = context();
        let most = KEPT_MAX as u64;
        tell(&mut context, vec![order(0, 0, None, &["a", "b"], None)]);
        for n in 1..=most + 100 {
            let from = i64::try_from(n).unwrap() * 10;
            tell(&mut context, vec![order(n, from, Some(from + 5), &["a"], None)]);
        }
        let list = &context.assets[&name("a")][0];
        assert_eq!((list.len(), context.objects.len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!((at(&context, "a", 12), at(&context, "a", 6_101)), (Some("0".into()), Some("610".into())));
        // Another version of one that is forgotten changes nothing.
        assert_eq!(tell(&mut context, vec![order(1, 10, Some(16), &["a"], None)]), 0);
        assert_eq!(context.objects.len(), KEPT_MAX);
        // A start reads the same.
        let mut again = self::context();
        again.load(
            7,
            Vec::new(),
            (0..=most + 100).map(|n| {
                let from = i64::try_from(n).unwrap() * 10;
                if n == 0 { order(0, 0, None, &["a", "b"], None) } else { order(n, from, Some(from + 5), &["a"], None) }
            }),
        );
        let names =
            |of: &Context| of.assets[&name("a")][0].iter().map(|valid| valid.object.clone()).collect::<Vec<_>>();
        assert_eq!(names(&again), names(&context));
    }

    /// What was forgotten does not come back where another one is withdrawn: neither here nor after a start.
    #[test]
    fn what_is_forgotten_stays_forgotten_through_a_start() {
        let mut context = context();
        let all = KEPT_MAX as u64 + 10;
        let one = |n: u64| {
            let from = i64::try_from(n).unwrap() * 10;
            order(n, from, Some(from + 5), &["a", "b"], None)
        };
        for n in 1..=all {
            tell(&mut context, vec![one(n)]);
        }
        let withdrawn = || vec![order(100, 0, Some(0), &["a"], None), order(101, 1_010, Some(1_015), &["b"], None)];
        tell(&mut context, withdrawn());
        let mut again = self::context();
        again.forget(&context.floors());
        let rest = (1..=all).filter(|n| ![100, 101].contains(n)).map(one);
        again.load(context.revision, Vec::new(), rest.chain(withdrawn()));
        for asset in ["a", "b"] {
            let names =
                |of: &Context| of.assets[&name(asset)][0].iter().map(|valid| valid.object.clone()).collect::<Vec<_>>();
            assert_eq!(names(&again), names(&context), "{asset}");
        }
        assert_eq!((at(&context, "a", 100), at(&context, "a", 110)), (None, Some("11".into())));
        assert_eq!(context.assets[&name("a")][0].len(), KEPT_MAX - 2);
        assert_eq!(again.objects.len(), context.objects.len());
        assert_eq!(again.floors, context.floors);
    }
}
