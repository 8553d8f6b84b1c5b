//! What names in bodies stand for, and how an element becomes a sample.

use super::{
    BodyProblem, PROBLEMS_MAX, SAMPLES_MAX,
    reader::{Place, Raw},
    time,
};
use crate::{
    mapping::Read,
    payload::Leaf,
    problem::quote,
    value::{self, Wrong},
};
use ahash::AHashMap;
use andon_contract::{
    contract::{Asset, Contract, Source, TimeForm},
    units::{Conversion, conversion},
};
use andon_model::{
    AssetName, Name, Sample, SignalName, SignalNo, SiteName, Time,
    object::{is_number, type_of},
    schema::changed_event,
    value::Kind,
};
use andon_store::{ObjectName, StoreError};
use std::sync::OnceLock;

/// The names of a contract as one source uses them.
pub(super) struct Table {
    assets: AHashMap<String, Known>,
    classes: Vec<AHashMap<String, Signal>>,
    sites: Vec<SiteName>,
}

struct Known {
    name: AssetName,
    site: usize,
    class: usize,
    class_name: Name,
    /// By the place of the signal in its class: its number in the data folder, once it was asked for.
    numbers: Vec<OnceLock<SignalNo>>,
}

struct Signal {
    at: usize,
    name: SignalName,
    kind: Kind,
    range: Option<(f64, f64)>,
    unit: String,
}

impl Table {
    /// The names of a contract as a source uses them.
    pub(super) fn new(contract: &Contract, source: &Name) -> Self {
        let sites: Vec<SiteName> = contract.sites.keys().cloned().collect();
        let names: Vec<&Name> = contract.classes.keys().collect();
        let classes: Vec<AHashMap<String, Signal>> = contract
            .classes
            .values()
            .map(|class| {
                let signals = class.signals.iter().enumerate().map(|(at, (name, signal))| {
                    let (kind, range, unit) = (signal.kind, signal.range, signal.unit.clone());
                    (name.to_string(), Signal { at, name: name.clone(), kind, range, unit })
                });
                signals.collect()
            })
            .collect();
        let mut assets = AHashMap::new();
        for (name, asset) in &contract.assets {
            let Asset { site, class: class_name, addresses, .. } = asset;
            let (Ok(site), Ok(class)) = (sites.binary_search(site), names.binary_search(&class_name)) else { continue };
            let count = classes.get(class).map_or(0, |signals| signals.len());
            let numbers = std::iter::repeat_with(OnceLock::new).take(count).collect();
            let called = addresses.get(source).cloned().unwrap_or_else(|| name.to_string());
            assets.insert(called, Known { name: name.clone(), site, class, class_name: class_name.clone(), numbers });
        }
        Self { assets, classes, sites }
    }

    /// The sites, in order.
    pub(super) fn sites(&self) -> &[SiteName] {
        &self.sites
    }

    /// The asset of a name, with its site.
    pub(super) fn asset(&self, called: &str) -> Option<(&AssetName, &SiteName)> {
        let known = self.assets.get(called)?;
        Some((&known.name, self.sites.get(known.site)?))
    }
}

/// The object that an event of its changes is about; `None` where the type of the event is that of no object, and
/// `Some(None)` where the subject is the name of none.
#[expect(clippy::option_option, reason = "the outer says what kind of event it is, the inner whether its subject fits")]
pub(super) fn object_of(contract: &Contract, kind: &str, subject: &str) -> Option<Option<ObjectName>> {
    let is_its = |name: &str| !name.contains('.') && changed_event(name) == kind;
    if !kind.ends_with(".changed") || !contract.schemas.names().any(|name| is_its(type_of(&name))) {
        return None;
    }
    let fits =
        |name: &ObjectName| is_its(&name.kind) && is_number(&name.number) && contract.sites.contains_key(&name.site);
    Some(ObjectName::parse(subject).filter(fits))
}

/// The number of a signal; `None`: it has none yet, and the samples will be read again.
pub(super) type GivenNumbers<'a> = dyn FnMut(&AssetName, &SignalName) -> Result<Option<SignalNo>, StoreError> + 'a;

/// Stands in a sample that is only looked at.
const NO_NUMBER: SignalNo = SignalNo(u32::MAX);

/// Collects the samples of one body, or what is wrong with it.
pub(super) struct Collector<'t, 'n> {
    table: &'t Table,
    source: &'t Source,
    numbers: &'t mut GivenNumbers<'n>,
    received: Time,
    /// Conversions of this body by class, signal and the unit that a sample has; `None`: it cannot be converted.
    units: AHashMap<(usize, usize, String), Result<Option<Conversion>, String>>,
    /// By site: the samples in their order.
    pub(super) parts: Vec<Vec<Read>>,
    /// The first problems.
    pub(super) problems: Vec<BodyProblem>,
    /// Elements so far.
    pub(super) count: usize,
    /// What the store said when it did not give a number.
    pub(super) failed: Option<StoreError>,
}

impl<'t, 'n> Collector<'t, 'n> {
    /// For a body that was received now.
    pub(super) fn new(table: &'t Table, source: &'t Source, numbers: &'t mut GivenNumbers<'n>, now: Time) -> Self {
        Self {
            parts: table.sites.iter().map(|_| Vec::new()).collect(),
            table,
            source,
            numbers,
            received: Time::from_millis(now.millis()),
            units: AHashMap::new(),
            problems: Vec::new(),
            count: 0,
            failed: None,
        }
    }

    /// A problem of the body.
    pub(super) fn wrong(&mut self, problem: BodyProblem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// An element.
    pub(super) fn take(&mut self, place: Place, raw: Raw<'_>) {
        self.count += 1;
        if self.count > SAMPLES_MAX || self.failed.is_some() {
            return;
        }
        let mut problems = Vec::new();
        match self.sample(raw, &mut problems) {
            Ok(Some((site, read))) if problems.is_empty() => {
                if self.problems.is_empty()
                    && self.count <= SAMPLES_MAX
                    && let Some(part) = self.parts.get_mut(site)
                {
                    part.push(read);
                }
            }
            Ok(_) => {}
            Err(error) => self.failed = Some(error),
        }
        for (key, wrong) in problems {
            self.wrong(BodyProblem {
                pointer: place.pointer(&key),
                cause: format!("{}: found {}", wrong.cause, wrong.found),
                remedy: wrong.remedy,
            });
        }
    }

    /// The conversion from the unit that a sample names to that of its signal; `None`: as it is.
    fn unit_of(&mut self, class: usize, signal: &Signal, unit: &Leaf<'_>) -> Result<Option<Conversion>, Wrong> {
        let unit = match unit {
            Leaf::Absent | Leaf::Null => return Ok(None),
            Leaf::Text(unit) => unit,
            other => return Err(wrong("the unit is no text", shown(other), "send UCUM, such as `mm/s`")),
        };
        if !matches!(signal.kind, Kind::I64 | Kind::F64) {
            return Err(wrong("only a number has a unit", quote(unit), "leave `unit` out"));
        }
        let find = || conversion(unit, &signal.unit).map_err(|not| not.to_string());
        let found = self.units.entry((class, signal.at, unit.to_string())).or_insert_with(find);
        found.clone().map_err(|cause| {
            let found = format!("{:?} for the unit {:?}", quote(unit), signal.unit);
            wrong(&cause, found, "send UCUM, in a unit that the signal's can be converted from")
        })
    }

    fn sample(
        &mut self,
        raw: Raw<'_>,
        problems: &mut Vec<(String, Wrong)>,
    ) -> Result<Option<(usize, Read)>, StoreError> {
        if let Some(instead) = &raw.instead {
            problems.push((
                String::new(),
                wrong("a sample is an object", shown(instead), "send {asset, signal, value, time}"),
            ));
            return Ok(None);
        }
        for key in &raw.unknown {
            let remedy = "use asset, signal, value, time, quality, unit";
            problems.push((key.to_string(), wrong("a sample has no such key", quote(key), remedy)));
        }
        let mut tell = |key: &str, wrong: Wrong| problems.push((key.to_owned(), wrong));
        let known = text(&raw.asset).and_then(|called| self.table.assets.get(called));
        let Some(known) = known else {
            let cause = "no asset has this name in the source";
            tell("asset", wrong(cause, shown(&raw.asset), "declare the asset, or give one this address"));
            return Ok(None);
        };
        let class = self.table.classes.get(known.class);
        let Some(signal) = text(&raw.signal).and_then(|name| class?.get(name)) else {
            let cause = format!("the class `{}` has no such signal", known.class_name);
            tell("signal", wrong(&cause, shown(&raw.signal), "add the signal to the class, or correct the body"));
            return Ok(None);
        };
        let value = match self.unit_of(known.class, signal, &raw.unit) {
            Ok(by) => value::value_in(raw.value, signal.kind, by.as_ref()).map_err(|wrong| tell("value", wrong)).ok(),
            Err(wrong) => {
                tell("unit", wrong);
                None
            }
        };
        let quality = value::quality_of(&raw.quality).map_err(|wrong| tell("quality", wrong)).ok();
        let claimed = match &raw.time {
            Leaf::Absent | Leaf::Null => Ok(None),
            leaf => match text(leaf).and_then(time::quick) {
                Some(time) => Ok(Some(time)),
                None => value::time_of(leaf, TimeForm::Text, &self.source.zone).map(Some),
            },
        };
        let moment = claimed.and_then(|claimed| value::moment(claimed, self.received, self.source.ahead, false));
        let moment = moment.map_err(|wrong| tell("time", wrong)).ok();
        let (Some(value), Some(quality), Some(moment)) = (value, quality, moment) else { return Ok(None) };
        let Some(slot) = known.numbers.get(signal.at) else { return Ok(None) };
        let number = if let Some(number) = slot.get() {
            *number
        } else {
            match (self.numbers)(&known.name, &signal.name)? {
                Some(number) => *slot.get_or_init(|| number),
                None => NO_NUMBER,
            }
        };
        let quality = value::doubted(quality, &value, signal.range, moment.doubtful);
        let (time, origin) = (moment.time, moment.origin);
        let sample = Sample { signal: number, time, received: self.received, quality, value, origin };
        Ok(Some((known.site, Read { sample, claimed: moment.claimed })))
    }
}

fn wrong(cause: &str, found: String, remedy: &str) -> Wrong {
    Wrong { code: "body", cause: cause.into(), found, remedy: remedy.into() }
}

fn text<'a>(leaf: &'a Leaf<'_>) -> Option<&'a str> {
    match leaf {
        Leaf::Text(text) => Some(text),
        _ => None,
    }
}

fn shown(leaf: &Leaf<'_>) -> String {
    match leaf {
        Leaf::Absent => "nothing".into(),
        Leaf::Null => "null".into(),
        Leaf::Bool(b) => b.to_string(),
        Leaf::Int(n) => n.to_string(),
        Leaf::Float(x) => x.to_string(),
        Leaf::Text(text) => format!("{:?}", quote(text)),
        Leaf::Other(what) => (*what).into(),
    }
}
