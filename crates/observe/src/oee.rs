//! Overall equipment effectiveness of an asset from its events, with every part of the formula (ISO 22400-2).
//!
//! - Times are those of `asset.state`: each state counts, until the next one, as what its class says. What the source
//!   was away of it counts as unknown.
//!   Of a state that an interval cuts, what was away counts in proportion.
//! - Counts are those of `asset.count`; where only two of produced, good and rejected are counted, the third follows.
//! - Planned busy time (PBT) = all times that are known, without planned downtime.
//! - Availability = APT / PBT. Effectiveness = planned run time of what was produced (PRI x PQ) / APT; it may exceed 1.
//!   Quality ratio = GQ / PQ. OEE is their product. NEE takes the time of setups as used: (APT + AUST) / PBT.
//!
//! What cannot be known is absent, and the remedy is told; nothing is guessed.

use andon_model::{AssetName, SiteName, Time, object::CONTEXT, span::Span};
use andon_store::{ObjectRow, Store, StoreError, rows::StoredEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Events of one answer at most.
pub const EVENTS_MAX: usize = 200_000;
/// Parts of one answer at most: orders, batches or shifts.
pub const SLICES_MAX: usize = 1_000;
/// Rows read at once.
const PAGE: usize = 1_000;

/// By what an answer is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One answer for all of it.
    All,
    /// Production orders.
    Order,
    /// Batches.
    Batch,
    /// Shifts.
    Shift,
}

impl By {
    /// Reads the word.
    pub fn of(word: &str) -> Option<Self> {
        [("all", Self::All), ("order", Self::Order), ("batch", Self::Batch), ("shift", Self::Shift)]
            .into_iter()
            .find_map(|(known, by)| (known == word).then_some(by))
    }

    /// The type of the objects that divide it.
    fn object(self) -> Option<&'static str> {
        let name = match self {
            Self::All => return None,
            Self::Order => "order",
            Self::Batch => "batch",
            Self::Shift => "shift",
        };
        CONTEXT.iter().find_map(|(known, kind)| (*known == name).then_some(*kind))
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The asset.
    pub asset: AssetName,
    /// Its site.
    pub site: SiteName,
    /// Its line: objects of the line are valid for it too.
    pub line: Option<String>,
    /// From this time on.
    pub from: Time,
    /// Before this time.
    pub to: Time,
    /// By what the answer is divided.
    pub by: By,
    /// The rule whose states count, where several tell states of the asset.
    pub rule: Option<String>,
    /// Which of `produced`, `good` and `reject` rules of the project count: where nothing came of one, it is 0.
    pub kinds: Vec<String>,
}

/// Times by what they count as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Times {
    /// Actual production time (APT).
    pub production: Span,
    /// Actual unit setup time (AUST).
    pub setup: Span,
    /// Actual unit delay time (ADET).
    pub delay: Span,
    /// Actual unit down time without work (ADOT).
    pub idle: Span,
    /// Planned downtime (PDOT).
    pub planned_down: Span,
    /// Nobody knows: no state yet, or the source was away.
    pub unknown: Span,
}

impl Times {
    fn add(&mut self, class: Option<&str>, nanos: i64) {
        let of = match class {
            Some("production") => &mut self.production,
            Some("setup") => &mut self.setup,
            Some("delay") => &mut self.delay,
            Some("idle") => &mut self.idle,
            Some("planned-down") => &mut self.planned_down,
            _ => &mut self.unknown,
        };
        *of = Span::from_nanos(of.nanos().saturating_add(nanos));
    }

    /// Planned busy time: what is known, without planned downtime.
    pub fn busy(&self) -> Span {
        let all = [self.production, self.setup, self.delay, self.idle];
        Span::from_nanos(all.iter().map(|span| span.nanos()).sum())
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counted {
    /// Produced quantity (PQ).
    pub produced: Option<u64>,
    /// Good quantity (GQ).
    pub good: Option<u64>,
    /// Rejected.
    pub reject: Option<u64>,
    /// How many of all of them were counted over a gap, so that their time is not known.
    pub over_gaps: u64,
}

/// Overall equipment effectiveness of an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Oee {
    /// The object of this part: `ProductionOrder/hamburg/1000123`; absent where nothing divides.
    pub of: Option<String>,
    /// From this time on.
    pub from: Time,
    /// Before this time.
    pub to: Time,
    /// Times by what they count as; together they are the whole interval.
    pub times: Times,
    /// Planned busy time (PBT).
    pub planned_busy: Span,
    /// What was counted.
    pub counted: Counted,
    /// Planned run time of what was produced (PRI x PQ).
    pub planned_run: Option<Span>,
    /// APT / PBT.
    pub availability: Option<f64>,
    /// PRI x PQ / APT.
    pub effectiveness: Option<f64>,
    /// GQ / PQ.
    pub quality: Option<f64>,
    /// Availability x effectiveness x quality.
    pub oee: Option<f64>,
    /// (APT + AUST) / PBT x effectiveness x quality.
    pub nee: Option<f64>,
    /// Why something is absent, and what to do.
    pub missing: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OeeError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Several rules tell states of the asset.
    #[error("several rules tell states of {asset}: {}", .rules.join(", "))]
    Rules {
        /// The asset.
        asset: AssetName,
        /// The rules.
        rules: Vec<String>,
    },
    /// There is too much.
    #[error("{0}")]
    TooMuch(String),
}

/// Answers a question from the events and objects of a store, part by part, in the order of time.
pub fn ask(store: &Store, question: &Question) -> Result<Vec<Oee>, OeeError> {
    let events = events(store, question, question.from, question.to)?;
    let states: Vec<State> = chosen(question, &events)?;
    let before = before(store, question, &states)?;
    let counts: Vec<Count> = events.iter().filter_map(Count::read).collect();
    let slices = slices(store, question)?;
    Ok(slices.into_iter().map(|slice| judge(&slice, before.as_ref(), &states, &counts, &question.kinds)).collect())
}

/// An interval to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The object it belongs to.
    pub of: Option<String>,
    /// From this time on.
    pub from: Time,
    /// Before this time.
    pub to: Time,
    /// The planned run time per item, of an order that tells one.
    pub run_time: Option<Span>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// When.
    pub time: Time,
    /// What its time counts as from then on.
    pub class: String,
    /// What the time before counted as, where the event tells.
    pub previous: Option<String>,
    /// When the state before began, where the event tells.
    pub since: Option<Time>,
    /// How long of the state before the source was away.
    pub gap: Span,
    rule: String,
}

/// A step of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// When.
    pub time: Time,
    /// `produced`, `good` or `reject`.
    pub kind: String,
    /// How many more.
    pub delta: u64,
    /// Whether it was seen as it happened.
    pub live: bool,
    /// The planned run time of one item, where the rule tells it.
    pub run_time: Option<Span>,
}

impl State {
    fn read(stored: &StoredEvent) -> Option<Self> {
        let event = &stored.event;
        let data = &event.data;
        let text = |name: &str| data.get(name).and_then(Json::as_str).map(str::to_owned);
        (event.kind == "asset.state").then(|| Self {
            time: event.time,
            class: text("class").unwrap_or_default(),
            previous: text("previousclass"),
            since: text("since").and_then(|since| Time::parse(&since).ok()),
            gap: data.get("gap").and_then(seconds).unwrap_or(Span::ZERO),
            rule: event.source.rsplit('/').next().unwrap_or_default().to_owned(),
        })
    }
}

impl Count {
    fn read(stored: &StoredEvent) -> Option<Self> {
        let event = &stored.event;
        let data = &event.data;
        (event.kind == "asset.count").then(|| Self {
            time: event.time,
            kind: data.get("kind").and_then(Json::as_str).unwrap_or_default().to_owned(),
            delta: data.get("delta").and_then(Json::as_u64).unwrap_or(0),
            live: data.get("live").and_then(Json::as_bool).unwrap_or(true),
            run_time: data.get("runtime").and_then(seconds),
        })
    }
}

/// A quantity of seconds.
fn seconds(quantity: &Json) -> Option<Span> {
    let unit = quantity.get("unit")?.as_str()?;
    let value: f64 = quantity.get("value")?.as_str()?.parse().ok()?;
    let factor = match unit {
        "s" => 1e9,
        "ms" => 1e6,
        "min" => 60e9,
        "h" => 3_600e9,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a float saturates, and a span of 292 years is enough"
    )]
    Some(Span::from_nanos((value * factor).round() as i64))
}

fn events(store: &Store, of: &Question, from: Time, to: Time) -> Result<Vec<StoredEvent>, OeeError> {
    let mut all: Vec<StoredEvent> = Vec::new();
    let mut after = None;
    loop {
        let page = store.events_about(&of.site, of.asset.as_str(), from, to, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some((last.event.time, last.sequence));
        all.extend(page.into_iter().filter(|e| matches!(e.event.kind.as_str(), "asset.state" | "asset.count")));
        if all.len() > EVENTS_MAX {
            return Err(OeeError::TooMuch(format!("there are more than {EVENTS_MAX} events in this time")));
        }
    }
}

/// The states of the one rule that counts.
fn chosen(question: &Question, events: &[StoredEvent]) -> Result<Vec<State>, OeeError> {
    let mut states: Vec<State> = events.iter().filter_map(State::read).collect();
    let rules = || states.iter().map(|state| state.rule.clone()).collect::<std::collections::BTreeSet<_>>();
    match &question.rule {
        Some(rule) => states.retain(|state| state.rule == *rule),
        None if rules().len() > 1 => {
            return Err(OeeError::Rules { asset: question.asset.clone(), rules: rules().into_iter().collect() });
        }
        None => {}
    }
    Ok(states)
}

/// The last state before the interval.
fn before(store: &Store, question: &Question, states: &[State]) -> Result<Option<State>, OeeError> {
    let rule = question.rule.clone().or_else(|| states.first().map(|state| state.rule.clone()));
    let source = rule.map(|rule| format!("/{}/rules/{rule}", question.site));
    let (site, asset) = (&question.site, question.asset.as_str());
    let last = store.last_event_about(site, asset, "asset.state", source.as_deref(), question.from)?;
    Ok(last.as_ref().and_then(State::read))
}

/// The intervals that divide the question: those of objects that are valid for the asset, as they are known now.
fn slices(store: &Store, question: &Question) -> Result<Vec<Slice>, OeeError> {
    let whole = Slice { of: None, from: question.from, to: question.to, run_time: None };
    let Some(kind) = question.by.object() else { return Ok(vec![whole]) };
    let mut slices = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.objects(&question.site, kind, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.number);
        slices.extend(page.iter().filter_map(|row| slice(question, row)));
        if slices.len() > SLICES_MAX {
            return Err(OeeError::TooMuch(format!("there are more than {SLICES_MAX} parts in this time")));
        }
    }
    slices.sort_by(|a, b| (a.from, &a.of).cmp(&(b.from, &b.of)));
    Ok(slices)
}

fn slice(question: &Question, row: &ObjectRow) -> Option<Slice> {
    let of_line = row.line.is_some() && row.line == question.line;
    if !of_line && !row.assets.contains(&question.asset) {
        return None;
    }
    let from = row.from.map_or(question.from, |from| from.max(question.from));
    let to = row.to.map_or(question.to, |to| to.min(question.to));
    (from < to).then(|| Slice { of: Some(row.name()), from, to, run_time: row.data.get("runTime").and_then(seconds) })
}

/// Judges an interval: pure. `before` is the last state before all of them; both lists are in the order of time.
/// `kinds` are those that are counted also where nothing came of them.
pub fn judge(slice: &Slice, before: Option<&State>, states: &[State], counts: &[Count], kinds: &[String]) -> Oee {
    let times = times(slice, before, states);
    let (counted, planned_run) = counted(slice, counts, kinds);
    let planned_busy = times.busy();
    let mut missing = Vec::new();
    let availability = ratio(times.production, planned_busy);
    if availability.is_none() {
        missing.push("availability: no state is known in this time; a rule of kind `state` tells them".to_owned());
    }
    let effectiveness = planned_run.and_then(|run| ratio(run, times.production));
    if effectiveness.is_none() {
        missing.push(match (counted.produced, planned_run) {
            (None, _) => "effectiveness: nothing counts what is produced; a rule of kind `counter` does".to_owned(),
            (_, None) => "effectiveness: the planned run time of an item is not told; `run-time` of the counter rule, \
                          or `runTime` of the order, tells it"
                .to_owned(),
            _ => "effectiveness: there was no production time".to_owned(),
        });
    }
    let quality = match (counted.good, counted.produced) {
        #[expect(clippy::cast_precision_loss, reason = "counts of parts are far below 2^53")]
        (Some(good), Some(produced)) if produced > 0 => Some(good as f64 / produced as f64),
        _ => None,
    };
    if quality.is_none() {
        missing.push(match counted.produced {
            Some(0) => "quality: nothing was produced".to_owned(),
            _ => "quality: good or rejected parts are not counted; a rule of kind `counter` does".to_owned(),
        });
    }
    let used = Span::from_nanos(times.production.nanos().saturating_add(times.setup.nanos()));
    let product = |first: Option<f64>| Some(first? * effectiveness? * quality?);
    Oee {
        of: slice.of.clone(),
        from: slice.from,
        to: slice.to,
        times,
        planned_busy,
        counted,
        planned_run,
        availability,
        effectiveness,
        quality,
        oee: product(availability),
        nee: product(ratio(used, planned_busy)),
        missing,
    }
}

fn ratio(part: Span, whole: Span) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio of spans needs no more digits than a float has")]
    (whole > Span::ZERO).then(|| part.nanos() as f64 / whole.nanos() as f64)
}

fn times(slice: &Slice, before: Option<&State>, states: &[State]) -> Times {
    let mut times = Times::default();
    let mut at = slice.from;
    let (earlier, later) = states.split_at(states.partition_point(|state| state.time <= slice.from));
    // What held at the beginning: the last state before, or what the first one says of the time before it.
    let earlier = earlier.last().or(before);
    let told = || later.first().and_then(|next| next.previous.clone());
    let mut class = earlier.map(|state| state.class.clone()).or_else(told);
    let mut at_first = earlier.map(|state| state.time);
    for state in later {
        let end = state.time.min(slice.to);
        let length = end.since(at).nanos().max(0);
        let began = state.since.or(at_first).unwrap_or(slice.from);
        let gap = share(state.gap, (began, state.time), end).saturating_sub(share(state.gap, (began, state.time), at));
        let gap = gap.clamp(0, length);
        times.add(class.as_deref(), length - gap);
        times.add(None, gap);
        at = end;
        if state.time >= slice.to {
            return times;
        }
        class = Some(state.class.clone());
        at_first = Some(state.time);
    }
    times.add(class.as_deref(), slice.to.since(at).nanos().max(0));
    times
}

/// The share of a gap in ns that lies before a time, where it is spread over an interval.
fn share(gap: Span, (from, to): (Time, Time), at: Time) -> i64 {
    let (whole, part) = (i128::from(to.since(from).nanos()), i128::from(at.since(from).nanos()));
    if whole <= 0 {
        return gap.nanos();
    }
    let share = i128::from(gap.nanos()) * part.clamp(0, whole) / whole;
    i64::try_from(share).unwrap_or(i64::MAX)
}

fn counted(slice: &Slice, counts: &[Count], kinds: &[String]) -> (Counted, Option<Span>) {
    let from = counts.partition_point(|count| count.time < slice.from);
    let to = counts.partition_point(|count| count.time < slice.to);
    let inside = counts.get(from..to).unwrap_or_default();
    let sum = |kind: &str| {
        let mut of = inside.iter().filter(|count| count.kind == kind).map(|count| count.delta).peekable();
        (of.peek().is_some() || kinds.iter().any(|known| known == kind)).then(|| of.sum::<u64>())
    };
    let (produced, good, reject) = (sum("produced"), sum("good"), sum("reject"));
    let counted = Counted {
        produced: produced.or_else(|| Some(good? + reject?)),
        good: good.or_else(|| produced?.checked_sub(reject?)),
        reject: reject.or_else(|| produced?.checked_sub(good?)),
        over_gaps: inside.iter().filter(|count| !count.live).map(|count| count.delta).sum(),
    };
    // Good and rejected ones make the produced ones where nobody counts those.
    let of_run = |count: &&Count| if produced.is_some() { count.kind == "produced" } else { count.kind != "produced" };
    let mut run = (counted.produced == Some(0)).then_some(0_i64);
    for count in inside.iter().filter(of_run) {
        let Some(each) = slice.run_time.or(count.run_time) else { continue };
        let items = i64::try_from(count.delta).unwrap_or(i64::MAX);
        run = Some(run.unwrap_or(0).saturating_add(each.nanos().saturating_mul(items)));
    }
    (counted, run.filter(|_| counted.produced.is_some()).map(Span::from_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Time {
        Time(minutes * 60_000_000_000)
    }

    fn minutes(span: Span) -> i64 {
        span.nanos() / 60_000_000_000
    }

    fn state(minute: i64, class: &str, gap: i64) -> State {
        let gap = Span::from_secs(gap * 60);
        State { time: at(minute), class: class.into(), previous: None, since: None, gap, rule: "r".into() }
    }

    fn count(minute: i64, kind: &str, delta: u64) -> Count {
        let run_time = Some(Span::from_secs(30));
        Count { time: at(minute), kind: kind.into(), delta, live: true, run_time }
    }

    fn slice(from: i64, to: i64) -> Slice {
        Slice { of: None, from: at(from), to: at(to), run_time: None }
    }

    /// A shift of 480 minutes: 60 planned down, 40 of setup, 50 of delay, 330 of production; 600 parts at 30 s each, 30
    /// of them rejected. A = 330 / 420, E = 300 / 330, Q = 570 / 600.
    #[test]
    fn a_shift_by_hand() {
        let states = [
            state(0, "setup", 0),
            state(40, "production", 0),
            state(200, "planned-down", 0),
            state(260, "production", 0),
            state(400, "delay", 0),
            state(450, "production", 0),
        ];
        let counts = [count(100, "produced", 250), count(479, "produced", 350), count(300, "reject", 30)];
        let found = judge(&slice(0, 480), None, &states, &counts, &[]);
        let t = found.times;
        assert_eq!(
            [t.production, t.setup, t.delay, t.planned_down, t.idle, t.unknown].map(minutes),
            [330, 40, 50, 60, 0, 0]
        );
        assert_eq!(minutes(found.planned_busy), 420);
        assert_eq!(
            (found.counted.produced, found.counted.good, found.counted.reject),
            (Some(600), Some(570), Some(30))
        );
        let close = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-12;
        assert!(close(found.availability, 330.0 / 420.0));
        assert!(close(found.effectiveness, 300.0 / 330.0));
        assert!(close(found.quality, 0.95));
        assert!(close(found.oee, 330.0 / 420.0 * 300.0 / 330.0 * 0.95));
        assert!(close(found.nee, 370.0 / 420.0 * 300.0 / 330.0 * 0.95));
        assert!(found.missing.is_empty());
    }

    #[test]
    fn a_state_that_began_before_counts_from_the_beginning_on() {
        let before = state(-30, "production", 0);
        let found = judge(&slice(0, 60), Some(&before), &[state(45, "delay", 0)], &[], &[]);
        assert_eq!([found.times.production, found.times.delay].map(minutes), [45, 15]);
        let mut told = state(45, "delay", 0);
        told.previous = Some("idle".into());
        let found = judge(&slice(0, 60), None, &[told], &[], &[]);
        assert_eq!(minutes(found.times.idle), 45, "the first event says what was before it");
    }

    #[test]
    fn what_the_source_was_away_is_unknown_and_not_busy() {
        let states = [state(0, "production", 0), state(50, "delay", 20)];
        let found = judge(&slice(0, 60), None, &states, &[], &[]);
        assert_eq!([found.times.production, found.times.unknown, found.times.delay].map(minutes), [30, 20, 10]);
        assert_eq!(minutes(found.planned_busy), 40);
    }

    #[test]
    fn parts_of_the_whole_add_up() {
        let states: Vec<State> = ["production", "delay", "idle"]
            .into_iter()
            .cycle()
            .zip(0..200)
            .map(|(class, i)| state(i * 3 + i % 2, class, 0))
            .collect();
        let counts: Vec<Count> = (0..300).map(|i| count(i * 2, "good", 1)).collect();
        let whole = judge(&slice(0, 600), None, &states, &counts, &[]);
        let parts: Vec<Oee> = [(0, 7), (7, 120), (120, 599), (599, 600)]
            .map(|(from, to)| judge(&slice(from, to), None, &states, &counts, &[]))
            .into_iter()
            .collect();
        let sum = |of: fn(&Oee) -> i64| parts.iter().map(of).sum::<i64>();
        assert_eq!(sum(|o| o.times.production.nanos()), whole.times.production.nanos());
        assert_eq!(sum(|o| o.times.delay.nanos()), whole.times.delay.nanos());
        assert_eq!(sum(|o| o.times.idle.nanos()), whole.times.idle.nanos());
        assert_eq!(parts.iter().filter_map(|o| o.counted.good).sum::<u64>(), whole.counted.good.unwrap());
    }

    #[test]
    fn what_is_not_known_is_told_and_not_guessed() {
        let found = judge(&slice(0, 60), None, &[], &[], &[]);
        assert_eq!(minutes(found.times.unknown), 60);
        assert_eq!((found.oee, found.availability), (None, None));
        assert_eq!(found.missing.len(), 3, "{:?}", found.missing);
        let bare = Count { run_time: None, ..count(1, "produced", 5) };
        let found = judge(&slice(0, 60), None, &[state(0, "production", 0)], &[bare], &[]);
        assert!(found.missing[0].contains("run-time"), "{:?}", found.missing);
    }

    #[test]
    fn a_gap_that_an_interval_cuts_is_counted_once() {
        let states = [state(0, "production", 0), state(100, "delay", 20)];
        let unknown = |from, to| judge(&slice(from, to), None, &states, &[], &[]).times.unknown;
        assert_eq!(minutes(unknown(0, 100)), 20);
        assert_eq!([(0, 50), (50, 100), (25, 50)].map(|(from, to)| minutes(unknown(from, to))), [10, 10, 5]);
        let thirds = [(0, 33), (33, 66), (66, 100)].map(|(from, to)| unknown(from, to).nanos());
        assert_eq!(thirds.iter().sum::<i64>(), Span::from_secs(1_200).nanos());
    }

    #[test]
    fn what_is_counted_and_did_not_happen_is_none_and_what_nobody_counts_is_unknown() {
        let kinds = |of: &[&str]| of.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let counted = |counts: &[Count], of: &[&str]| {
            let found = judge(&slice(0, 60), None, &[state(0, "production", 0)], counts, &kinds(of));
            (found.counted.produced, found.counted.good, found.quality)
        };
        let all = [count(1, "produced", 5)];
        assert_eq!(counted(&all, &["produced", "reject"]), (Some(5), Some(5), Some(1.0)), "no rejected one came");
        assert_eq!(counted(&all, &["produced"]), (Some(5), None, None), "nobody counts rejected ones");
        let good = [count(1, "good", 5)];
        assert_eq!(counted(&good, &["good"]), (None, Some(5), None), "what was rejected is not known");
        assert_eq!(counted(&good, &["good", "reject"]), (Some(5), Some(5), Some(1.0)));
        assert_eq!(counted(&[], &["produced", "reject"]), (Some(0), Some(0), None));
    }
}
