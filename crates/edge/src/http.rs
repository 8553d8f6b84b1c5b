//! Samples posted to the API: a body of JSON becomes samples as a whole, or every problem in it is told and
//! nothing is stored.

use crate::{
    duplicates::Duplicates,
    given::{self, Chance, Env, draw_key},
    history,
    mapping::{Numbers, Read},
    mqtt::Ended,
    payload::{self, Leaf, PAYLOAD_MAX},
    problem::quote,
    value::{self, Wrong},
};
use andon_contract::contract::{Contract, HttpSource, Source, SourceKind, TimeForm};
use andon_model::{
    AssetName, Entry, Name, Sample, SiteName, Time,
    sample::{Counts, Part},
};
use andon_store::{Store, StoreError};
use serde_json::{Map, Value as Json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// Samples of one request.
pub const SAMPLES_MAX: usize = 1_000;
/// The largest body.
pub const BODY_MAX: usize = PAYLOAD_MAX;
/// Problems told of one body.
pub const PROBLEMS_MAX: usize = 20;
/// The keys of a sample.
const KEYS: [&str; 5] = ["asset", "signal", "value", "time", "quality"];

/// A problem of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyProblem {
    /// The number of the sample in the body, from 0.
    pub index: Option<usize>,
    /// JSON pointer into the body.
    pub pointer: String,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

/// A body that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status that says so: 400, 413, 415 or 422.
    pub status: u16,
    /// Every problem, at most [`PROBLEMS_MAX`].
    pub problems: Vec<BodyProblem>,
    /// Samples that are refused with it, at least one.
    pub samples: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// All of it is durable: answer 202.
    Accepted(Counts),
    /// Nothing of it is stored.
    Refused(Refusal),
}

/// The HTTP source of a name.
pub fn http_source<'a>(contract: &'a Contract, name: &Name) -> Option<(&'a Source, &'a HttpSource)> {
    let source = contract.sources.get(name)?;
    match &source.kind {
        SourceKind::Http(http) => Some((source, http)),
        SourceKind::Mqtt(_) | SourceKind::Listener(_) | SourceKind::Shdr(_) | SourceKind::File(_) => None,
    }
}

/// Takes the requests of one HTTP source.
pub struct HttpIngest {
    contract: Arc<Contract>,
    name: Name,
    /// Assets by what the source calls them.
    assets: HashMap<String, AssetName>,
    store: Store,
    window: Mutex<Duplicates>,
}

impl HttpIngest {
    /// For the HTTP source of a name; `None` where the contract has none. Reads the window of duplicates from
    /// the log.
    pub fn new(
        contract: Arc<Contract>,
        name: &Name,
        store: Store,
        chance: &mut Chance,
    ) -> Result<Option<Self>, StoreError> {
        if http_source(&contract, name).is_none() {
            return Ok(None);
        }
        let (window, _) = history::read(&store, name, draw_key(chance))?;
        let assets = assets(&contract, name);
        Ok(Some(Self { contract, name: name.clone(), assets, store, window: Mutex::new(window) }))
    }

    /// Whether a caller with this bearer token may post; an error when the secret cannot be read.
    pub fn may_post(&self, bearer: Option<&str>, env: &Env) -> Result<bool, Ended> {
        let Some((_, HttpSource { token: Some(token) })) = http_source(&self.contract, &self.name) else {
            return Ok(true);
        };
        let token = given::secret(token, env)?;
        let shown = bearer.unwrap_or_default();
        // Compares all bytes, so that the time tells nothing about them.
        let differ = token.bytes().zip(shown.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        Ok(!token.is_empty() && token.len() == shown.len() && differ == 0)
    }

    /// Takes a request; returns when what it brought is durable. One request of a source at a time.
    pub fn post(&self, content_type: Option<&str>, body: &[u8], now: Time) -> Result<Posted, StoreError> {
        let store = &self.store;
        let mut numbers = |asset: &AssetName, signal: &andon_model::SignalName| store.signal(asset, signal);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match ingest(&self.contract, &self.name, &self.assets, content_type, body, now, &mut numbers)? {
            Err(refusal) => {
                let site = self.contract.sites.keys().next();
                if let Some(site) = site {
                    let mut part = Part::new(site.clone(), self.name.clone());
                    part.counts = Counts { received: refusal.samples, refused: refusal.samples, ..Counts::default() };
                    store.append(vec![part])?;
                }
                Ok(Posted::Refused(refusal))
            }
            Ok(read) => {
                let mut fresh = 0;
                let mut parts: BTreeMap<SiteName, Part> = BTreeMap::new();
                for (site, Read { sample, claimed }) in read {
                    let part = parts.entry(site.clone()).or_insert_with(|| Part::new(site, self.name.clone()));
                    part.counts.received += 1;
                    if let Some(time) = claimed {
                        if !window.is_new(sample.signal, time, sample.quality, &sample.value) {
                            part.counts.duplicate += 1;
                            continue;
                        }
                        fresh += 1;
                    }
                    part.counts.stored += 1;
                    part.entries.push(Entry::Sample(sample));
                }
                let mut counts = Counts::default();
                for part in parts.values() {
                    counts.add(&part.counts);
                }
                if let Err(error) = store.append(parts.into_values().collect()) {
                    window.forget_newest(fresh);
                    return Err(error);
                }
                Ok(Posted::Accepted(counts))
            }
        }
    }
}

/// What a source calls the assets.
fn assets(contract: &Contract, source: &Name) -> HashMap<String, AssetName> {
    let called = |(name, asset): (&AssetName, &andon_contract::contract::Asset)| {
        (asset.addresses.get(source).cloned().unwrap_or_else(|| name.to_string()), name.clone())
    };
    contract.assets.iter().map(called).collect()
}

/// The samples of a body with their sites, or every problem in it.
fn ingest(
    contract: &Contract,
    name: &Name,
    assets: &HashMap<String, AssetName>,
    content_type: Option<&str>,
    body: &[u8],
    now: Time,
    numbers: &mut Numbers<'_>,
) -> Result<Result<Vec<(SiteName, Read)>, Refusal>, StoreError> {
    let list = match samples_of(content_type, body) {
        Ok(list) => list,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some((source, _)) = http_source(contract, name) else { return Ok(Ok(Vec::new())) };
    let reader = BodyReader { contract, source, assets, received: Time::from_millis(now.millis()) };
    let mut read = Vec::with_capacity(list.samples.len());
    let mut problems = Vec::new();
    for (index, json) in list.samples.iter().enumerate() {
        let at = if list.is_array { format!("/{index}") } else { String::new() };
        let mut problem = |key: &str, wrong: Wrong| {
            problems.push(BodyProblem {
                index: Some(index),
                pointer: if key.is_empty() { at.clone() } else { format!("{at}/{key}") },
                cause: format!("{}: found {}", wrong.cause, wrong.found),
                remedy: wrong.remedy,
            });
        };
        if let Some(sample) = reader.sample(json, numbers, &mut problem)? {
            read.push(sample);
        }
    }
    if problems.is_empty() {
        return Ok(Ok(read));
    }
    problems.truncate(PROBLEMS_MAX);
    Ok(Err(Refusal { status: 422, problems, samples: list.samples.len() as u64 }))
}

struct List {
    samples: Vec<Json>,
    is_array: bool,
}

fn samples_of(content_type: Option<&str>, body: &[u8]) -> Result<List, Refusal> {
    let refuse = |status, cause: String, remedy: &str, samples| {
        let problem = BodyProblem { index: None, pointer: String::new(), cause, remedy: remedy.into() };
        Err(Refusal { status, problems: vec![problem], samples })
    };
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let cause = format!("the content type is {:?}", quote(media));
        return refuse(415, cause, "send `Content-Type: application/json`", 1);
    }
    if body.len() > BODY_MAX {
        return refuse(413, format!("the body has {} bytes", body.len()), "send at most 1 MiB at once", 1);
    }
    let tree = match payload::parse(body) {
        Ok(tree) => tree,
        Err(not) => {
            return refuse(400, format!("{}: {}", not.cause, not.detail), "send a JSON object or an array of them", 1);
        }
    };
    let (samples, is_array) = match tree {
        Json::Array(samples) => (samples, true),
        object @ Json::Object(_) => (vec![object], false),
        _ => {
            return refuse(
                422,
                "the body is neither an object nor an array".into(),
                "send {asset, signal, value, time} or an array of them",
                1,
            );
        }
    };
    if samples.is_empty() {
        return refuse(422, "the array is empty".into(), "send at least one sample", 1);
    }
    if samples.len() > SAMPLES_MAX {
        let count = samples.len() as u64;
        return refuse(413, format!("the array has {count} samples"), "send at most 1,000 at once", count);
    }
    Ok(List { samples, is_array })
}

struct BodyReader<'a> {
    contract: &'a Contract,
    source: &'a Source,
    assets: &'a HashMap<String, AssetName>,
    received: Time,
}

impl BodyReader<'_> {
    fn sample(
        &self,
        json: &Json,
        numbers: &mut Numbers<'_>,
        problem: &mut dyn FnMut(&str, Wrong),
    ) -> Result<Option<(SiteName, Read)>, StoreError> {
        let wrong = |cause: &str, found: String, remedy: &str| Wrong {
            code: "body",
            cause: cause.into(),
            found,
            remedy: remedy.into(),
        };
        let Json::Object(object) = json else {
            problem("", wrong("a sample is an object", quote(&json.to_string()), "send {asset, signal, value, time}"));
            return Ok(None);
        };
        let mut clean = true;
        let mut tell = |key: &str, wrong: Wrong| {
            clean = false;
            problem(key, wrong);
        };
        for key in object.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            tell(
                &key.replace('~', "~0").replace('/', "~1"),
                wrong("a sample has no such key", quote(key), "use asset, signal, value, time, quality"),
            );
        }
        let asset = text(object, "asset").and_then(|called| self.assets.get_key_value(called));
        let asset = asset.and_then(|(_, name)| Some((name, self.contract.assets.get(name)?)));
        let Some((name, asset)) = asset else {
            tell(
                "asset",
                wrong(
                    "no asset has this name in the source",
                    shown(object, "asset"),
                    "declare the asset, or give one this address",
                ),
            );
            return Ok(None);
        };
        let class = self.contract.classes.get(&asset.class);
        let signal = text(object, "signal").and_then(|signal| class?.signals.get_key_value(signal));
        let Some((signal_name, signal)) = signal else {
            let cause = format!("the class `{}` has no such signal", asset.class);
            tell("signal", wrong(&cause, shown(object, "signal"), "add the signal to the class, or correct the body"));
            return Ok(None);
        };
        let value = object.get("value").map_or(Leaf::Absent, payload::leaf_of);
        let value = value::value_of(value, signal.kind).map_err(|wrong| tell("value", wrong)).ok();
        let quality = value::quality_of(&object.get("quality").map_or(Leaf::Absent, payload::leaf_of));
        let quality = quality.map_err(|wrong| tell("quality", wrong)).ok();
        let claimed = match object.get("time") {
            None | Some(Json::Null) => Ok(None),
            Some(time) => value::time_of(&payload::leaf_of(time), TimeForm::Text, &self.source.zone).map(Some),
        };
        let moment = claimed.and_then(|claimed| value::moment(claimed, self.received, self.source.ahead, false));
        let moment = moment.map_err(|wrong| tell("time", wrong)).ok();
        let (Some(value), Some(quality), Some(moment), true) = (value, quality, moment, clean) else { return Ok(None) };
        let no = numbers(name, signal_name)?;
        let quality = value::doubted(quality, &value, signal.range, moment.doubtful);
        let sample =
            Sample { signal: no, time: moment.time, received: self.received, quality, value, origin: moment.origin };
        Ok(Some((asset.site.clone(), Read { sample, claimed: moment.claimed })))
    }
}

fn text<'a>(object: &'a Map<String, Json>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Json::as_str)
}

fn shown(object: &Map<String, Json>, key: &str) -> String {
    object.get(key).map_or_else(|| "nothing".into(), |json| quote(&json.to_string()))
}

/// Reads a body as far as that goes without a contract.
pub(crate) fn fuzz(body: &[u8]) {
    let _ = samples_of(Some("application/json"), body);
}
