//! From topics and payloads to samples: the compiled table of a source's topics, with a cache of what
//! each topic means.

use crate::{
    payload::{DEPTH_MAX, Leaf, PAYLOAD_MAX, Places},
    problem::{Problem, quote},
    value::{self, Moment, Wrong},
};
use andon_contract::contract::{Contract, Level, Source, Template, TimeForm, TopicMapping};
use andon_contract::units::{Conversion, conversion};
use andon_model::span::Span;
use andon_model::{
    AssetName, Name, Quality, Sample, SignalName, SignalNo, SiteName, Time, Value, time::Zone, value::Kind,
};
use andon_store::StoreError;
use std::collections::HashMap;

/// Topics whose meaning is remembered; one more, and all are looked up anew.
pub const TOPICS_MAX: usize = 100_000;
/// Topics without meaning that are remembered; one more, and all are looked up anew.
pub const UNKNOWN_TOPICS_MAX: usize = 10_000;
/// Bytes of the topics that are remembered, with meaning or without; one topic more, and all are looked up anew.
pub const TOPIC_BYTES_MAX: usize = 16 << 20;
/// The code of a message whose topic no topic of the source matches.
pub(crate) const UNKNOWN_TOPIC: &str = "unknown-topic";
/// Places of a payload that are read without asking for memory.
const LEAVES_INLINE: usize = 8;

/// Gives a signal its number in the data folder.
pub type Numbers<'a> = dyn FnMut(&AssetName, &SignalName) -> Result<SignalNo, StoreError> + 'a;

/// The topics of one source.
pub struct TopicTable {
    mappings: Vec<Mapping>,
    /// Assets by what the source calls them.
    assets: HashMap<String, AssetName>,
    sites: Vec<SiteName>,
    home: usize,
    known: Remembered<usize>,
    bindings: Vec<Binding>,
    unknown: Remembered<Problem>,
    zone: Zone,
    ahead: Span,
}

struct Mapping {
    levels: Vec<Level>,
    filter: String,
    asset: Template,
    signals: Vec<SignalPlan>,
    places: Places,
    /// The payload itself is the value of every signal.
    plain: bool,
}

struct SignalPlan {
    signal: Template,
    value: usize,
    time: Option<(usize, TimeForm)>,
    quality: Option<usize>,
    unit: Option<String>,
}

/// What one topic means.
struct Binding {
    mapping: usize,
    site: usize,
    signals: Vec<BoundSignal>,
}

struct BoundSignal {
    no: SignalNo,
    name: SignalName,
    kind: Kind,
    range: Option<(f64, f64)>,
    /// From the unit of the message into that of the signal, where they differ.
    conversion: Option<Conversion>,
}

/// A sample that was read, before it is compared with the window.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The sample.
    pub sample: Sample,
    /// The time by which a repeat is known; `None`: its source gives none.
    pub claimed: Option<Time>,
}

/// What a topic is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// No topic of the source matches.
    Nothing,
    /// A topic of the source matches, and no asset or signal is found by it: messages are set aside.
    Unclear,
    /// An asset of this site.
    Site(usize),
}

/// What came with a message.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether the broker had kept it.
    pub retained: bool,
    /// When it came.
    pub received: Time,
}

impl TopicTable {
    /// The table of a source of a contract that speaks MQTT, with its topics.
    pub fn new(contract: &Contract, name: &Name, source: &Source, topics: &[TopicMapping]) -> Self {
        let mut assets = HashMap::new();
        for (asset, is) in &contract.assets {
            let called = is.addresses.get(name).map_or(asset.as_str(), String::as_str);
            assets.insert(called.to_owned(), asset.clone());
        }
        let sites: Vec<SiteName> = contract.sites.keys().cloned().collect();
        let first = contract.assets.values().find(|asset| asset.addresses.contains_key(name));
        let home_site = first.or_else(|| contract.assets.values().next()).map(|asset| &asset.site);
        let home = home_site.and_then(|site| sites.iter().position(|s| s == site)).unwrap_or(0);
        Self {
            mappings: topics.iter().map(Mapping::new).collect(),
            assets,
            sites,
            home,
            known: Remembered::new(TOPICS_MAX),
            bindings: Vec::new(),
            unknown: Remembered::new(UNKNOWN_TOPICS_MAX),
            zone: source.zone.clone(),
            ahead: source.ahead,
        }
    }

    /// The sites of the contract; a message belongs to one of them by its number.
    pub fn sites(&self) -> &[SiteName] {
        &self.sites
    }

    /// The site that marks and messages without a known asset are counted for.
    pub fn home(&self) -> usize {
        self.home
    }

    /// What a topic is about, without a look at a message.
    pub fn about(&mut self, contract: &Contract, topic: &str, numbers: &mut Numbers<'_>) -> Result<About, StoreError> {
        let index = match self.known.by_topic.get(topic) {
            Some(index) => *index,
            None => match self.look_up(contract, topic, numbers)? {
                Ok(index) => index,
                Err(problem) if problem.code == UNKNOWN_TOPIC => return Ok(About::Nothing),
                Err(_) => return Ok(About::Unclear),
            },
        };
        Ok(self.bindings.get(index).map_or(About::Unclear, |binding| About::Site(binding.site)))
    }

    /// Reads a message: `sample` is called with the site and each sample, `problem` with the site, where it is
    /// known, and each problem. A message that is set aside as a whole is one problem.
    pub fn read(
        &mut self,
        contract: &Contract,
        message: Incoming<'_>,
        numbers: &mut Numbers<'_>,
        sample: &mut dyn FnMut(usize, Read),
        problem: &mut dyn FnMut(Option<usize>, Problem),
    ) -> Result<(), StoreError> {
        let index = match self.known.by_topic.get(message.topic) {
            Some(index) => *index,
            None => match self.look_up(contract, message.topic, numbers)? {
                Ok(index) => index,
                Err(unknown) => {
                    problem(None, unknown);
                    return Ok(());
                }
            },
        };
        let Some(binding) = self.bindings.get(index) else { return Ok(()) };
        let Some(mapping) = self.mappings.get(binding.mapping) else { return Ok(()) };
        let reader = Reader { mapping, binding, message, zone: &self.zone, ahead: self.ahead };
        let mut inline: [Leaf<'_>; LEAVES_INLINE] = std::array::from_fn(|_| Leaf::Absent);
        let mut many = Vec::new();
        let leaves = if let Some(leaves) = inline.get_mut(..mapping.places.len()) {
            leaves
        } else {
            many.resize(mapping.places.len(), Leaf::Absent);
            many.as_mut_slice()
        };
        reader.read(leaves, sample, problem);
        Ok(())
    }

    fn look_up(
        &mut self,
        contract: &Contract,
        topic: &str,
        numbers: &mut Numbers<'_>,
    ) -> Result<Result<usize, Problem>, StoreError> {
        if let Some(problem) = self.unknown.by_topic.get(topic) {
            return Ok(Err(problem.clone()));
        }
        match self.bind(contract, topic, numbers)? {
            Ok(binding) => {
                if self.known.make_room(topic) {
                    self.bindings.clear();
                }
                self.bindings.push(binding);
                self.known.insert(topic, self.bindings.len() - 1);
                Ok(Ok(self.bindings.len() - 1))
            }
            Err(problem) => {
                self.unknown.make_room(topic);
                self.unknown.insert(topic, problem.clone());
                Ok(Err(problem))
            }
        }
    }

    fn bind(
        &self,
        contract: &Contract,
        topic: &str,
        numbers: &mut Numbers<'_>,
    ) -> Result<Result<Binding, Problem>, StoreError> {
        let found = self.mappings.iter().enumerate().find_map(|(at, m)| Some((at, m, captures(&m.levels, topic)?)));
        let Some((at, mapping, captured)) = found else {
            return Ok(Err(Problem {
                code: UNKNOWN_TOPIC,
                place: String::new(),
                cause: "no topic of the source matches".into(),
                detail: format!("topic {}", quote(topic)),
                remedy:
                    "add the topic to the source; where an edit removed it, these waited at the broker from before, \
                         and none come after them"
                        .into(),
            }));
        };
        let known = |place: &str| captured.iter().find(|(name, _)| *name == place).map(|(_, text)| *text);
        let unknown = |code, cause: String, remedy: &str| {
            let detail = format!("topic {}", quote(topic));
            Problem { code, place: mapping.filter.clone(), cause, detail, remedy: remedy.into() }
        };
        let no_place = |place| {
            unknown("unknown-place", format!("`{{{place}}}` is no level of the topic"), "name a capture of the topic")
        };
        let called = match mapping.asset.fill(&known) {
            Ok(called) => called,
            Err(place) => return Ok(Err(no_place(place))),
        };
        let asset = self.assets.get(&called).and_then(|name| contract.assets.get(name).map(|asset| (name, asset)));
        let Some((name, asset)) = asset else {
            let cause = "no asset has this name in the source";
            let mut problem = unknown(
                "unknown-asset",
                cause.into(),
                "declare the asset, or give an asset this address in the source",
            );
            problem.detail = format!("{}, asset {}", problem.detail, quote(&called));
            return Ok(Err(problem));
        };
        let class = contract.classes.get(&asset.class);
        let mut signals = Vec::with_capacity(mapping.signals.len());
        for plan in &mapping.signals {
            let text = match plan.signal.fill(&known) {
                Ok(text) => text,
                Err(place) => return Ok(Err(no_place(place))),
            };
            let signal = class.and_then(|class| class.signals.get_key_value(text.as_str()));
            let Some((signal_name, signal)) = signal else {
                let cause = format!("the class `{}` has no such signal", asset.class);
                let mut problem = unknown("unknown-signal", cause, "add the signal to the class, or correct the topic");
                problem.detail = format!("{}, signal {}", problem.detail, quote(&text));
                return Ok(Err(problem));
            };
            let conversion = match plan.unit.as_deref().map(|unit| conversion(unit, &signal.unit)) {
                // Texts and truth values that a capture names are taken as they are.
                Some(Ok(conversion)) if matches!(signal.kind, Kind::F64 | Kind::I64) => conversion,
                Some(Err(error)) if matches!(signal.kind, Kind::F64 | Kind::I64) => {
                    return Ok(Err(unknown("no-conversion", error.to_string(), "correct the unit, see `andon check`")));
                }
                _ => None,
            };
            let no = numbers(name, signal_name)?;
            let (name, kind, range) = (signal_name.clone(), signal.kind, signal.range);
            signals.push(BoundSignal { no, name, kind, range, conversion });
        }
        let site = self.sites.iter().position(|s| *s == asset.site).unwrap_or(self.home);
        Ok(Ok(Binding { mapping: at, site, signals }))
    }
}

/// What was found out about topics. Whoever publishes chooses them, so both their number and their bytes are limited.
struct Remembered<T> {
    by_topic: HashMap<Box<str>, T, ahash::RandomState>,
    bytes: usize,
    most: usize,
}

impl<T> Remembered<T> {
    fn new(most: usize) -> Self {
        Self { by_topic: HashMap::default(), bytes: 0, most }
    }

    /// Forgets everything where one topic more is too much; whether it did.
    fn make_room(&mut self, topic: &str) -> bool {
        let full = self.by_topic.len() >= self.most || self.bytes + topic.len() > TOPIC_BYTES_MAX;
        if full {
            self.by_topic.clear();
            self.bytes = 0;
        }
        full
    }

    fn insert(&mut self, topic: &str, what: T) {
        self.bytes += topic.len();
        self.by_topic.insert(topic.into(), what);
    }
}

impl Mapping {
    fn new(topic: &TopicMapping) -> Self {
        let mut places = Places::default();
        let signals = topic
            .signals
            .iter()
            .map(|signal| SignalPlan {
                signal: signal.signal.clone(),
                value: places.add(&signal.value),
                time: signal.time.as_ref().map(|time| (places.add(&time.at), time.form)),
                quality: signal.quality.as_ref().map(|quality| places.add(quality)),
                unit: signal.unit.clone(),
            })
            .collect();
        let plain = topic.signals.iter().all(|s| s.value.tokens.is_empty() && s.time.is_none() && s.quality.is_none());
        Self {
            levels: topic.levels.clone(),
            filter: topic.filter(),
            asset: topic.asset.clone(),
            signals,
            places,
            plain,
        }
    }
}

/// The captures of a topic that matches, by name.
fn captures<'a>(levels: &'a [Level], topic: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut captured = Vec::new();
    let mut parts = topic.split('/');
    for level in levels {
        let part = parts.next()?;
        match level {
            Level::Text(text) if text == part => {}
            Level::Text(_) => return None,
            Level::Capture(name) => captured.push((name.as_str(), part)),
        }
    }
    parts.next().is_none().then_some(captured)
}

/// Reads one message by its binding.
struct Reader<'a> {
    mapping: &'a Mapping,
    binding: &'a Binding,
    message: Incoming<'a>,
    zone: &'a Zone,
    ahead: Span,
}

impl<'a> Reader<'a> {
    fn read(
        &self,
        leaves: &mut [Leaf<'a>],
        sample: &mut dyn FnMut(usize, Read),
        problem: &mut dyn FnMut(Option<usize>, Problem),
    ) {
        let site = self.binding.site;
        let payload = self.message.payload;
        if payload.len() > PAYLOAD_MAX {
            let wrong = Wrong {
                code: "too-large",
                cause: "the payload is larger than 1 MiB".into(),
                found: format!("{} bytes", payload.len()),
                remedy: "send less at once".into(),
            };
            return problem(Some(site), self.problem(wrong, ""));
        }
        if self.mapping.plain {
            for bound in &self.binding.signals {
                match self.plain(bound) {
                    Ok(read) => sample(site, read),
                    Err(wrong) => problem(Some(site), self.problem(wrong, "")),
                }
            }
            return;
        }
        if let Err(not) = self.mapping.places.read(payload, leaves) {
            let remedy = match not.code {
                "not-finite" => "send null or leave the value out where there is none".to_owned(),
                "too-deep" => format!("send JSON of at most {DEPTH_MAX} levels"),
                "empty" => "clear no retained topic that the source reads".to_owned(),
                _ => "correct what the machine sends, or map the payload as a whole with an empty pointer".to_owned(),
            };
            let wrong = Wrong { code: not.code, cause: not.cause.into(), found: not.detail, remedy };
            return problem(Some(site), self.problem(wrong, ""));
        }
        let several = self.binding.signals.len() > 1;
        let mut absent = 0;
        for (plan, bound) in self.mapping.signals.iter().zip(&self.binding.signals) {
            if matches!(leaves.get(plan.value), Some(Leaf::Absent)) && several {
                // A message may bring only some of the signals of its topic, but not none.
                absent += 1;
                continue;
            }
            match self.json(plan, bound, leaves) {
                Ok(read) => sample(site, read),
                Err((wrong, at)) => problem(Some(site), self.problem(wrong, &self.mapping.places.text(at))),
            }
        }
        if absent > 0 && absent == self.binding.signals.len() {
            problem(Some(site), self.problem(nothing_there("any of the signals' pointers"), ""));
        }
    }

    fn plain(&self, bound: &BoundSignal) -> Result<Read, Wrong> {
        let value = value::value_of_payload_in(self.message.payload, bound.kind, bound.conversion.as_ref())?;
        let moment = value::moment(None, self.received(), self.ahead, self.message.retained)?;
        Ok(self.finish(bound, value, Quality::GOOD, moment))
    }

    fn json(&self, plan: &SignalPlan, bound: &BoundSignal, leaves: &mut [Leaf<'a>]) -> Result<Read, (Wrong, usize)> {
        let claimed = match plan.time {
            None => None,
            Some((at, form)) => {
                let leaf = leaves.get(at).unwrap_or(&Leaf::Absent);
                Some(value::time_of(leaf, form, self.zone).map_err(|wrong| (wrong, at))?)
            }
        };
        let time_at = plan.time.map_or(plan.value, |(at, _)| at);
        let moment = value::moment(claimed, self.received(), self.ahead, self.message.retained)
            .map_err(|wrong| (wrong, time_at))?;
        let quality = match plan.quality {
            None => Quality::GOOD,
            Some(at) => value::quality_of(leaves.get(at).unwrap_or(&Leaf::Absent)).map_err(|wrong| (wrong, at))?,
        };
        let leaf = leaves.get(plan.value).cloned().unwrap_or(Leaf::Absent);
        if leaf == Leaf::Absent {
            return Err((nothing_there("its pointer"), plan.value));
        }
        let value = value::value_in(leaf, bound.kind, bound.conversion.as_ref());
        let value = value.map_err(|wrong| (wrong, plan.value))?;
        Ok(self.finish(bound, value, quality, moment))
    }

    /// Receive times are whole milliseconds.
    fn received(&self) -> Time {
        Time::from_millis(self.message.received.millis())
    }

    fn finish(&self, bound: &BoundSignal, value: Value, quality: Quality, moment: Moment) -> Read {
        let quality = value::doubted(quality, &value, bound.range, moment.doubtful);
        let Moment { time, origin, claimed, .. } = moment;
        Read { sample: Sample { signal: bound.no, time, received: self.received(), quality, value, origin }, claimed }
    }

    fn problem(&self, wrong: Wrong, pointer: &str) -> Problem {
        let signals: Vec<&str> = self.binding.signals.iter().map(|s| s.name.as_str()).collect();
        let at = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
        Problem {
            code: wrong.code,
            place: format!("{}{pointer}", self.mapping.filter),
            cause: wrong.cause,
            detail: format!(
                "topic {}{at} (signal {}): found {}",
                quote(self.message.topic),
                signals.join(", "),
                wrong.found
            ),
            remedy: wrong.remedy,
        }
    }
}

fn nothing_there(what: &str) -> Wrong {
    Wrong {
        code: "no-value",
        cause: format!("nothing stands at {what}"),
        found: "nothing".into(),
        remedy: "correct the pointer of the signal, or what the machine sends".into(),
    }
}

impl TopicTable {
    /// Whether the payload of a topic is itself the value of all its signals.
    pub(crate) fn is_plain(&self, topic: &str) -> bool {
        let found = self.mappings.iter().find(|mapping| captures(&mapping.levels, topic).is_some());
        found.is_some_and(|mapping| mapping.plain)
    }

    /// The filter that a topic belongs to; empty where none matches.
    pub fn filter_of(&self, topic: &str) -> &str {
        let found = self.mappings.iter().find(|mapping| captures(&mapping.levels, topic).is_some());
        found.map_or("", |mapping| mapping.filter.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::SourceKind;
    use andon_contract::contract::{Asset, Class, Clock, ListenerSource, Piece, Pointer, Signal, SignalMapping, Site};
    use std::collections::BTreeMap;

    fn text(text: &str) -> Template {
        Template { pieces: vec![Piece::Text(text.into())] }
    }

    /// A press with a temperature in degrees Celsius, of which messages have degrees Fahrenheit.
    fn contract(kind: Kind, range: Option<(f64, f64)>, unit: &str) -> Contract {
        let mut contract = Contract::empty();
        let site = SiteName::new("home").unwrap();
        let zone = Name::new("plant").unwrap();
        contract.sites.insert(site.clone(), Site { zone, timezone: Zone::utc() });
        let class = Name::new("press").unwrap();
        let asset = Asset {
            site,
            class: class.clone(),
            area: None,
            line: None,
            unit: None,
            addresses: BTreeMap::new(),
            parameters: BTreeMap::new(),
        };
        contract.assets.insert(AssetName::new("press-01").unwrap(), asset);
        let signal = Signal { kind, unit: "Cel".into(), range, reduce: None, states: None };
        let signals = BTreeMap::from([(SignalName::new("temperature").unwrap(), signal)]);
        contract.classes.insert(class, Class { signals });
        let mapping = SignalMapping {
            signal: text("temperature"),
            value: Pointer { tokens: vec!["v".into()] },
            time: None,
            quality: None,
            unit: Some(unit.into()),
        };
        let levels = vec![Level::Text("t".into())];
        let topic = TopicMapping { levels, qos: 1, asset: text("press-01"), signals: vec![mapping] };
        let listener = ListenerSource { listener: Name::new("plant").unwrap(), topics: vec![topic] };
        let kind = SourceKind::Listener(listener);
        let (clock, zone, ahead) = (Clock::Live, Zone::utc(), Span::from_secs(300));
        contract.sources.insert(Name::new("plc").unwrap(), Source { kind, clock, zone, ahead, silence: None });
        contract
    }

    fn one(contract: &Contract, payload: &str) -> Result<Sample, Problem> {
        let name = Name::new("plc").unwrap();
        let source = contract.sources.get(&name).unwrap();
        let mut table = TopicTable::new(contract, &name, source, source.kind.topics().unwrap());
        let received = Time::from_millis(1_700_000_000_000);
        let message = Incoming { topic: "t", payload: payload.as_bytes(), retained: false, received };
        let (mut sample, mut problem) = (None, None);
        let numbers: &mut Numbers<'_> = &mut |_, _| Ok(SignalNo(1));
        let keep = &mut |_, read: Read| sample = Some(read.sample);
        table.read(contract, message, numbers, keep, &mut |_, wrong| problem = Some(wrong)).unwrap();
        sample.ok_or_else(|| problem.unwrap())
    }

    #[test]
    fn a_value_is_converted_into_the_unit_of_its_signal_before_it_is_doubted() {
        let contract = contract(Kind::F64, Some((0.0, 100.0)), "[degF]");
        let at = |payload: &str| one(&contract, payload).map(|sample| (sample.value, sample.quality));
        assert_eq!(at(r#"{"v": 212}"#).unwrap(), (Value::F64(100.0), Quality::GOOD));
        assert_eq!(at(r#"{"v": 213}"#).unwrap().1, Quality::UNCERTAIN);
        assert_eq!(at(r#"{"v": 31}"#).unwrap().1, Quality::UNCERTAIN);
    }

    #[test]
    fn whole_numbers_are_converted_too_and_fractions_set_aside() {
        let contract = contract(Kind::I64, None, "[degF]");
        assert_eq!(one(&contract, r#"{"v": 212}"#).unwrap().value, Value::I64(100));
        let fraction = one(&contract, r#"{"v": 213}"#).unwrap_err();
        assert_eq!((fraction.code, fraction.place.as_str()), ("fraction", "t/v"));
        assert!(fraction.detail.contains("found 213"), "{fraction:?}");
    }

    #[test]
    fn what_has_no_unit_or_no_way_into_it_is_no_value_of_it() {
        assert_eq!(
            one(&contract(Kind::Text, None, "[degF]"), r#"{"v": "hot"}"#).unwrap().value,
            Value::Text("hot".into())
        );
        assert_eq!(one(&contract(Kind::F64, None, "mm/s"), r#"{"v": 1}"#).unwrap_err().code, "no-conversion");
        let too_large = one(&contract(Kind::F64, None, "MK"), r#"{"v": 1.7e308}"#).unwrap_err();
        assert_eq!((too_large.code, too_large.place.as_str()), ("overflow", "t/v"));
    }

    #[test]
    fn topics_are_remembered_up_to_a_number_and_to_a_size() {
        for (length, most) in [(8, UNKNOWN_TOPICS_MAX), (60_000, TOPIC_BYTES_MAX / 60_000)] {
            let mut topics = Remembered::new(UNKNOWN_TOPICS_MAX);
            let mut put = |n: usize| {
                let topic = format!("{n:0length$}");
                let forgot = topics.make_room(&topic);
                topics.insert(&topic, n);
                (forgot, topics.by_topic.len())
            };
            for n in 0..most {
                assert_eq!(put(n), (false, n + 1));
            }
            assert_eq!(put(most), (true, 1));
            assert_eq!(put(most + 1), (false, 2));
        }
    }
}
