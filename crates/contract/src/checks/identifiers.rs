//! Identifiers: they belong to a declared system and to things that exist, one name at a time; what operations will
//! ask for is there.

use super::{
    Known,
    assets::Assets,
    capabilities::Capabilities,
    days::{Days, days, is_day},
    routes::Routes,
    schemas::SchemaSet,
    shapes::at,
    stem,
    systems::{Asking, NameUse, Systems},
};
use crate::{
    codes,
    contract::{Identifiers, NameHeld, NameTable, ValueMap, value_key},
    csv::{Cell, Rows},
    expr::Step,
    files::identifiers::{IdentifiersFile, NameFile},
    load::Project,
    problem::{Finding, Spot, Where},
    read::{At, Entries, Raw, read},
    tree::Kind,
};
use andon_model::{AssetName, SiteName, time::Zone};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// The kinds of things that systems have names for.
const KINDS: [&str; 5] = ["asset", "site", "material", "location", "party"];
/// The columns of a table of names; the last two may be missing.
const COLUMNS: [&str; 5] = ["kind", "ours", "theirs", "from", "until"];
/// The key of a value map that stands for all other values.
const ELSE: &str = "else";
/// Values told that a map lacks at most.
const LACKING_MAX: usize = 8;

/// All identifiers.
pub(crate) struct Names {
    pub(crate) all: Identifiers,
    /// Systems whose file cannot be read; nobody is told that something is missing there.
    spoilt: Known,
}

pub(crate) fn resolve(project: &Project, assets: &Assets) -> Names {
    let mut names = Names { all: Identifiers::default(), spoilt: Known::default() };
    let systems = Known::stems(&project.systems);
    for doc in &project.identifiers {
        let Some(file) = &doc.body else {
            names.spoilt.0.insert(doc.stem.clone());
            continue;
        };
        stem(project, doc);
        systems.expect(project, codes::UNKNOWN_SYSTEM, file.system.spot, "system", file.system.as_str());
        if file.system.as_str() != doc.stem {
            let message = format!("the names of `{}` stand in a file of another name", file.system.value);
            let finding = Finding::error(codes::FILE_NAME, file.system.spot, message);
            project.push(
                finding.expected(format!("`{}`, the file's name", doc.stem)).help("rename the file or the system"),
            );
        }
        let system = file.system.0.clone();
        let mut into = Into { project, assets, kinds: names.all.names.entry(system.clone()).or_default() };
        into.file(file);
        names.all.values.insert(system, values(project, file));
    }
    for doc in &project.tables {
        let Some(system) = stem(project, doc) else { continue };
        let at = Where::File(doc.file);
        if !systems.has(system.as_str()) {
            project.push(systems.unknown(codes::UNKNOWN_SYSTEM, at, "system", system.as_str()));
        }
        let mut into = Into { project, assets, kinds: names.all.names.entry(system.clone()).or_default() };
        if !into.table(doc.file) {
            names.spoilt.0.insert(system.to_string());
        }
    }
    names
}

/// A name, the days from which and until which it holds, and where it stands.
type Held = (String, Option<(String, String)>, Where);

/// Where the names of a system go to.
struct Into<'a> {
    project: &'a Project,
    assets: &'a Assets,
    kinds: &'a mut BTreeMap<String, NameTable>,
}

impl Into<'_> {
    /// The names of a file.
    fn file(&mut self, file: &IdentifiersFile) {
        let names = &file.names;
        let all: [(&str, &Entries<String, Raw>); 5] = [
            ("asset", &names.asset),
            ("site", &names.site),
            ("material", &names.material),
            ("location", &names.location),
            ("party", &names.party),
        ];
        for (kind, entries) in all {
            for (ours, raw) in &entries.good {
                self.known(kind, ours, ours.spot.into());
                for (name, days, at) in self.held(*raw) {
                    self.add((kind, ours), name, days.as_ref(), at);
                }
            }
        }
    }

    /// The names of an entry with their days: a text, a mapping, or a list of them.
    fn held(&self, raw: Raw) -> Vec<Held> {
        let findings = &self.project.findings;
        let Some(tree) = findings.tree(raw.spot.file) else { return Vec::new() };
        let plain = |spot: Spot| tree.scalar(spot.node).is_some();
        let spots: Vec<Spot> = match &tree.node(raw.spot.node).kind {
            Kind::List(items) => items.iter().map(|node| Spot { node: *node, ..raw.spot }).collect(),
            Kind::Scalar { .. } | Kind::Map(_) => vec![raw.spot],
        };
        let mut held = Vec::new();
        for spot in spots {
            if plain(spot) {
                if let Some(name) = read::<At<crate::files::words::Word>>(findings, spot) {
                    held.push((name.value.0, None, spot.into()));
                }
                continue;
            }
            let Some(file) = read::<NameFile>(findings, spot) else { continue };
            if days(self.project, file.from.as_ref(), file.until.as_ref()).is_some() {
                let text = |at: Option<At<String>>| at.map(|text| text.value).unwrap_or_default();
                held.push((file.name.value.0, Some((text(file.from), text(file.until))), spot.into()));
            }
        }
        held
    }

    /// The rows of a table; false where a part of it could not be read.
    fn table(&mut self, file: u32) -> bool {
        let Some(text) = self.project.findings.files.get(file as usize).map(|file| file.text.as_str()) else {
            return false;
        };
        let before = self.project.findings.len();
        let refuse = |at: std::ops::Range<usize>, message: String, expected: &str| {
            let finding = Finding::error(codes::NAME_TABLE, Where::Bytes(file, at), message).expected(expected);
            self.project.push(finding.help("correct the table: a line of names, then one line for each name"));
        };
        let mut rows = Rows::new(text);
        let header = match rows.next() {
            Some(Ok(cells)) => cells,
            Some(Err(broken)) => {
                refuse(broken.at, broken.message.to_owned(), "a line of the names of the columns");
                return false;
            }
            None => {
                refuse(0..0, "the table is empty".to_owned(), "a line `kind,ours,theirs`, and one for each name");
                return false;
            }
        };
        let named: Vec<&str> = header.iter().map(|cell| &*cell.text).collect();
        if !COLUMNS.starts_with(&named) || named.len() < 3 {
            let wrong = header.iter().zip(COLUMNS).find(|(cell, name)| cell.text != *name).map(|(cell, _)| &cell.at);
            let at = wrong.or_else(|| header.last().map(|cell| &cell.at)).cloned().unwrap_or(0..0);
            refuse(
                at,
                format!("the columns are {}", named.join(",")),
                "`kind,ours,theirs`, or with `from,until` behind",
            );
            return false;
        }
        let columns = named.len();
        for row in rows {
            let cells = match row {
                Ok(cells) => cells,
                Err(broken) => {
                    refuse(broken.at, broken.message.to_owned(), "a cell, or one in double quotes");
                    continue;
                }
            };
            match self.row(file, &cells, columns) {
                Ok(()) => {}
                Err((at, message, expected)) => refuse(at, message, expected),
            }
        }
        self.project.findings.len() == before
    }

    fn row(
        &mut self,
        file: u32,
        cells: &[Cell<'_>],
        columns: usize,
    ) -> Result<(), (std::ops::Range<usize>, String, &'static str)> {
        let [kind, ours, theirs, days @ ..] = cells else {
            let at = cells.last().map_or(0..0, |cell| cell.at.clone());
            return Err((at, format!("this line has {} of {columns} cells", cells.len()), "as many cells as columns"));
        };
        if cells.len() > columns {
            let at = cells.get(columns).map_or(0..0, |cell| cell.at.clone());
            return Err((at, format!("this line has {} cells for {columns} columns", cells.len()), "no more cells"));
        }
        let Some(known) = KINDS.iter().find(|known| **known == kind.text) else {
            let message = format!("there are no names of the kind `{}`", kind.text);
            return Err((kind.at.clone(), message, "asset, site, material, location or party"));
        };
        for cell in [ours, theirs] {
            if cell.text.is_empty() {
                return Err((cell.at.clone(), "this name is empty".to_owned(), "a name"));
            }
        }
        if let Some(wrong) = days.iter().find(|cell| !cell.text.is_empty() && !is_day(&cell.text)) {
            return Err((wrong.at.clone(), format!("`{}` is no day", wrong.text), "a day like 2026-01-31, or nothing"));
        }
        let day = |number: usize| days.get(number).map(|cell| &*cell.text).unwrap_or_default();
        if let (true, Some(cell)) = (Days::new(day(0), day(1)).is_reversed(), days.get(1)) {
            return Err((cell.at.clone(), "it ends before it begins".to_owned(), "a day behind `from`"));
        }
        self.known(known, &ours.text, Where::Bytes(file, ours.at.clone()));
        let at = Where::Bytes(file, ours.at.start..theirs.at.end);
        self.add((known, &ours.text), theirs.text.clone().into_owned(), Some(&(day(0).into(), day(1).into())), at);
        Ok(())
    }

    /// Assets and sites exist in the project; of other things it knows nothing.
    fn known(&self, kind: &str, ours: &str, at: Where) {
        let (known, code) = match kind {
            "asset" => (&self.assets.known_assets, codes::UNKNOWN_ASSET),
            "site" => (&self.assets.known_sites, codes::UNKNOWN_SITE),
            _ => return,
        };
        if self.assets.whole && !known.has(ours) {
            self.project.push(known.unknown(code, at, kind, ours));
        }
    }

    fn add(&mut self, (kind, ours): (&str, &str), name: String, days: Option<&(String, String)>, at: Where) {
        let site = match kind {
            "asset" => {
                let asset = AssetName::new(ours).ok();
                asset.and_then(|asset| self.assets.assets.get(&asset)).map(|info| info.asset.site.clone())
            }
            "site" => SiteName::new(ours).ok(),
            _ => None,
        };
        let info = site.and_then(|site| self.assets.sites.get(&site));
        let zone = info.map_or_else(Zone::utc, |info| info.site.timezone.clone());
        let days = days.map_or(Days::new("", ""), |(from, until)| Days::new(from, until));
        let held = NameHeld { name, valid: days.valid(&zone) };
        if !self.kinds.contains_key(kind) {
            self.kinds.insert(kind.to_owned(), NameTable::default());
        }
        let Some(table) = self.kinds.get_mut(kind) else { return };
        if let Some(other) = table.held(ours).iter().find(|other| other.valid.overlaps(&held.valid)) {
            let message = format!("the {kind} `{ours}` is called `{}` at the same time", other.name);
            let finding = Finding::error(codes::NAME_OVERLAP, at, message);
            self.project
                .push(finding.expected("one name at a time").help("let one end with `until` where the other begins"));
            return;
        }
        table.add(ours, held);
    }
}

fn values(project: &Project, file: &IdentifiersFile) -> BTreeMap<String, ValueMap> {
    let mut maps = BTreeMap::new();
    for (name, entries) in &file.values.good {
        let mut map = ValueMap::default();
        let is_both = entries.good.iter().any(|(key, raw)| {
            let tree = project.findings.tree(raw.spot.file);
            ["to", "from"].contains(&key.value.as_str())
                && tree.is_some_and(|tree| tree.scalar(raw.spot.node).is_none())
        });
        if is_both {
            for (way, raw) in &entries.good {
                let Some(found) = read::<Entries<String, Raw>>(&project.findings, raw.spot) else { continue };
                match way.value.as_str() {
                    "to" => (map.to, map.to_else) = one_way(project, &found),
                    "from" => (map.from, map.from_else) = one_way(project, &found),
                    other => {
                        let finding =
                            Finding::error(codes::UNKNOWN_KEY, way.spot, format!("nobody knows `{other}` here"));
                        project.push(
                            finding.known(other, ["to", "from"]).help("a map that tells both ways has these two"),
                        );
                    }
                }
            }
        } else {
            (map.to, map.to_else) = one_way(project, entries);
            map.from = reversed(project, entries);
        }
        maps.insert(name.value.clone(), map);
    }
    maps
}

/// The entries of a map by the value they are for, and the value for all others.
fn one_way(project: &Project, entries: &Entries<String, Raw>) -> (BTreeMap<String, Json>, Option<Json>) {
    let mut map = BTreeMap::new();
    for (ours, raw) in &entries.good {
        let Some(tree) = project.findings.tree(raw.spot.file) else { continue };
        if tree.scalar(raw.spot.node).is_none() {
            let finding = Finding::error(codes::WRONG_TYPE, raw.spot, format!("found {}", tree.told(raw.spot.node)));
            project.push(finding.expected("one value").help("write the value itself"));
        }
        map.insert(ours.value.clone(), tree.json(raw.spot.node));
    }
    let other = map.remove(ELSE);
    (map, other)
}

/// The way back: what the system says for one of our values only.
fn reversed(project: &Project, entries: &Entries<String, Raw>) -> BTreeMap<String, Json> {
    let mut back: BTreeMap<String, Option<Json>> = BTreeMap::new();
    for (ours, raw) in entries.good.iter().filter(|(ours, _)| ours.value != ELSE) {
        let Some(tree) = project.findings.tree(raw.spot.file) else { continue };
        let Some(key) = value_key(&tree.json(raw.spot.node)) else { continue };
        let ours = tree.json(ours.spot.node);
        back.entry(key).and_modify(|several| *several = None).or_insert(Some(ours));
    }
    back.into_iter().filter_map(|(key, ours)| Some((key, ours?))).collect()
}

/// What stands beside identifiers when it is looked at who asks for them.
pub(crate) struct Beside<'a> {
    pub(crate) systems: &'a Systems,
    pub(crate) routes: &'a Routes,
    pub(crate) assets: &'a Assets,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) schemas: &'a SchemaSet,
}

/// What operations ask for by `id`, `value`, `name` and `our_value` is there for everything that can be routed to them.
pub(crate) fn check_uses(project: &Project, names: &Names, beside: &Beside<'_>) {
    let (systems, assets) = (beside.systems, beside.assets);
    for used in &systems.uses {
        let (call, at) = (&used.call, used.expr.place(project, &used.call.at));
        let system = call.system.as_str();
        if !systems.known.has(system) {
            project.push(systems.known.unknown(codes::UNKNOWN_SYSTEM, at, "system", system));
            continue;
        }
        if names.spoilt.has(system) {
            continue;
        }
        match (call.function, &call.map) {
            ("name", Some(kind)) => kind_of_names(project, names, (system, kind), at),
            (_, Some(map)) => value_map(project, names, beside, used, map, at),
            (_, None) => {
                let sites = match &used.by {
                    Asking::Operation(system, operation) => beside.routes.sites_of(system, operation, assets),
                    Asking::Read(sites) => sites.iter().collect(),
                };
                missing_names(project, names, (system, &call.argument), &sites, assets);
            }
        }
    }
}

/// A value map that is asked for exists, tells that way, and has an entry for each value that there can be.
fn value_map(project: &Project, names: &Names, beside: &Beside<'_>, used: &NameUse, map: &str, at: Where) {
    let system = used.call.system.as_str();
    let maps = names.all.values.get(system);
    let Some(found) = maps.and_then(|maps| maps.get(map)) else {
        let known: Vec<&str> = maps.map(|m| m.keys().map(String::as_str).collect()).unwrap_or_default();
        let message = format!("the system `{system}` has no value map `{map}`");
        let finding = Finding::error(codes::VALUE_MAP, at, message).known(map, known);
        project.push(finding.help(format!("add it under `values` in identifiers/{system}.yaml")));
        return;
    };
    if used.call.function == "our_value" {
        let mut several = found.to.values().filter_map(value_key).filter(|key| !found.from.contains_key(key));
        if let Some(key) = several.next().filter(|_| found.from_else.is_none()) {
            let message = format!("the value map `{map}` of `{system}` says `{key}` for several values of ours");
            let finding = Finding::warning(codes::VALUE_GAP, at, message);
            project.push(finding.help("say both ways: `to: { ... }` and `from: { ... }`, or `else` there"));
        }
        return;
    }
    if found.to_else.is_some() {
        return;
    }
    let lacking: Vec<String> =
        values_of(beside, used).iter().filter_map(value_key).filter(|key| !found.to.contains_key(key)).collect();
    if lacking.is_empty() {
        return;
    }
    let told = lacking.iter().take(LACKING_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let message = format!("the value map `{map}` of `{system}` has no entry for {told}, which the input may hold");
    let finding = Finding::warning(codes::VALUE_GAP, at, message);
    project.push(finding.help("add the entries, or `else` for all others; such a call is refused as it is made"));
}

/// All values that the argument of a call may have by the schema of its input; none where that is not known.
fn values_of(beside: &Beside<'_>, used: &NameUse) -> Vec<Json> {
    let found = || {
        let Asking::Operation(system, operation) = &used.by else { return None };
        let operation = beside.systems.good.get(system)?.operations.get(operation)?;
        let input = &beside.capabilities.good.get(&operation.implements)?.input;
        let path = used.call.argument.strip_prefix('.')?;
        let plain = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let path: Option<Vec<Step>> =
            path.split('.').map(|key| plain(key).then(|| Step::Key(key.to_owned()))).collect();
        values_in(at(beside.schemas.json(input)?, &path?)?)
    };
    if used.expr.of_item { Vec::new() } else { found().unwrap_or_default() }
}

/// The values that a schema names, or the whole numbers of a short range.
fn values_in(schema: &Json) -> Option<Vec<Json>> {
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return Some(values.clone());
    }
    let (least, most) = (schema.get("minimum")?.as_i64()?, schema.get("maximum")?.as_i64()?);
    let is_whole = schema.get("type").and_then(Json::as_str) == Some("integer");
    (is_whole && (0..100).contains(&most.saturating_sub(least))).then(|| (least..=most).map(Json::from).collect())
}

/// What `name` asks for is a kind of thing that the system has names for.
fn kind_of_names(project: &Project, names: &Names, (system, kind): (&str, &str), at: Where) {
    if names.all.names.get(system).is_some_and(|kinds| kinds.contains_key(kind)) {
        return;
    }
    let finding = if KINDS.contains(&kind) {
        let message = format!("the system `{system}` has no name for anything of the kind `{kind}`, so none is found");
        Finding::error(codes::NAME_KIND, at, message)
    } else {
        Finding::error(codes::NAME_KIND, at, format!("there are no names of the kind `{kind}`")).known(kind, KINDS)
    };
    project.push(finding.help(format!("add what it calls them under `names` in identifiers/{system}.yaml")));
}

/// Names that a system lacks of assets and sites that can be routed to it.
fn missing_names(
    project: &Project,
    names: &Names,
    (system, argument): (&str, &str),
    sites: &BTreeSet<&SiteName>,
    assets: &Assets,
) {
    let kinds = names.all.names.get(system);
    let has = |name: &str| kinds.is_some_and(|kinds| kinds.values().any(|names| !names.held(name).is_empty()));
    let tell = |what: &str, name: &str, spot: Spot| {
        let message =
            format!("the system `{system}` has no name for the {what} `{name}`, and calls about it will ask for one");
        let finding = Finding::error(codes::NO_IDENTIFIER, spot, message);
        project
            .push(finding.help(format!("add `{what}: {{ {name}: ... }}` under `names` in identifiers/{system}.yaml")));
    };
    match argument {
        ".asset" => {
            for (name, info) in &assets.assets {
                if sites.contains(&info.asset.site) && !has(name.as_str()) {
                    tell("asset", name.as_str(), info.spot);
                }
            }
        }
        ".site" | "$site" => {
            for (name, info) in &assets.sites {
                if sites.contains(name) && !has(name.as_str()) {
                    tell("site", name.as_str(), info.spot);
                }
            }
        }
        _ => {}
    }
}
