//! The condition of a source: what it is like, why, since when, and what to do next, from rows and data alone.

use andon_contract::{
    Contract,
    contract::{Source, SourceKind},
};
use andon_model::{AssetName, Name, Time, span::Span};
use andon_store::{
    historian::Activity,
    rows::{GapRow, SourceRow},
};

/// What happened longer ago than this does not make a source degraded any more.
pub const RECENT: Span = Span::from_secs(15 * 60);
/// So many interruptions within [`RECENT`] make a source one that flaps.
pub const FLAPS: u32 = 3;
/// Assets that fell silent and are named; more are told as a number.
pub const ASSETS_TOLD_MAX: usize = 20;

/// What a source is like; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing can come.
    Disconnected,
    /// It could speak and does not.
    Silent,
    /// It speaks, and not everything it says arrives as it should.
    Degraded,
    /// All is well.
    Connected,
}

impl State {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Silent => "silent",
            Self::Degraded => "degraded",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Why a source is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All is well.
    Ok,
    /// The instance does not run.
    InstanceStopped,
    /// It has never been connected since the data folder exists.
    NeverConnected,
    /// Its other side cannot be reached, or ended the connection.
    NotConnected,
    /// Its other side does not accept user, password or rights.
    RefusedCredentials,
    /// The disk of the instance is full: nothing can be taken.
    StoreFull,
    /// It has been heard, and is not any more.
    Silent,
    /// It is connected and was never heard.
    NeverHeard,
    /// Some of its assets fell silent while others speak.
    AssetsSilent,
    /// Messages of it are set aside.
    Quarantining,
    /// Messages of it are refused towards their sender.
    Refusing,
    /// It was away, and samples may be missing.
    Gaps,
    /// It comes and goes.
    Flapping,
    /// Its clock is ahead of ours.
    ClockAhead,
    /// It is connected, but not in all it was asked for.
    Partly,
}

/// Every reason with its word, the state it belongs to and its meaning, as the page on operations shows them.
pub const REASONS: [(Reason, &str, State, &str); 15] = [
    (Reason::Ok, "ok", State::Connected, "samples arrive, and nothing was set aside, refused or missing lately"),
    (Reason::InstanceStopped, "instance-stopped", State::Disconnected, "the instance does not run"),
    (Reason::NeverConnected, "never-connected", State::Disconnected, "it has never been connected"),
    (Reason::NotConnected, "not-connected", State::Disconnected, "its other side cannot be reached, or went away"),
    (
        Reason::RefusedCredentials,
        "refused-credentials",
        State::Disconnected,
        "its other side does not accept our user, password or rights",
    ),
    (Reason::StoreFull, "store-full", State::Disconnected, "our disk is full, and nothing more is acknowledged"),
    (Reason::Silent, "silent", State::Silent, "it is connected, and no sample came for longer than its `silence`"),
    (Reason::NeverHeard, "never-heard", State::Silent, "it is connected, and no sample has ever come"),
    (Reason::AssetsSilent, "assets-silent", State::Degraded, "some of its assets fell silent while others speak"),
    (Reason::Quarantining, "quarantining", State::Degraded, "messages were set aside lately"),
    (Reason::Refusing, "refusing", State::Degraded, "messages were refused towards their sender lately"),
    (Reason::Gaps, "gaps", State::Degraded, "samples may be missing since it was away lately"),
    (Reason::Flapping, "flapping", State::Degraded, "it came and went several times lately"),
    (Reason::ClockAhead, "clock-ahead", State::Degraded, "its times are further ahead of ours than is believed"),
    (Reason::Partly, "partly", State::Degraded, "it is connected, but not in all it was asked for"),
];

impl Reason {
    /// Its word.
    pub fn word(self) -> &'static str {
        REASONS.iter().find(|(reason, ..)| *reason == self).map_or("", |(_, word, ..)| word)
    }

    /// What a source with this reason is like.
    pub fn state(self) -> State {
        REASONS.iter().find(|(reason, ..)| *reason == self).map_or(State::Degraded, |(.., state, _)| *state)
    }
}

/// What is known of a source at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// Since when the instance runs; `None`: it is stopped.
    pub running: Option<Time>,
    /// Whether the disk is full.
    pub full: bool,
    /// The condition it recorded last.
    pub row: Option<&'a SourceRow>,
    /// What keeps it from being connected now, whatever it recorded before a crash; `None`: nothing does.
    pub away: Option<&'a str>,
    /// When it was heard.
    pub activity: Option<&'a Activity>,
    /// When a message of it was set aside last, and why.
    pub quarantined: Option<(Time, &'a str)>,
    /// Messages that were refused towards their sender within [`RECENT`].
    pub refused: u64,
    /// Its gaps that ended within [`RECENT`], newest first.
    pub gaps: &'a [GapRow],
    /// How often it was connected anew within [`RECENT`].
    pub reconnects: u32,
    /// Samples whose time was not believed within [`RECENT`], and the furthest that one was ahead.
    pub ahead: Option<(u64, Span)>,
}

/// The condition of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is like.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Since when, where it is known.
    pub since: Option<Time>,
    /// The particulars; empty where all is well.
    pub detail: String,
    /// What to do next; empty where there is nothing.
    pub remedy: String,
    /// Assets that fell silent while others speak, with the time they were last heard, at most [`ASSETS_TOLD_MAX`].
    pub silent: Vec<(AssetName, Option<Time>)>,
}

impl Condition {
    fn of(reason: Reason, since: Option<Time>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (detail, remedy) = (detail.into(), remedy.into());
        Self { state: reason.state(), reason, since, detail, remedy, silent: Vec::new() }
    }
}

/// The condition of a source at `now`. The worst that is wrong is told; what comes first here is worse.
pub fn condition(contract: &Contract, name: &Name, source: &Source, seen: &Seen<'_>, now: Time) -> Condition {
    let Some(running) = seen.running else {
        return Condition::of(Reason::InstanceStopped, None, "the instance is stopped", "start it with `andon run`");
    };
    if seen.full {
        let remedy = "free space on the disk of the data folder; what waits is then taken by itself";
        return Condition::of(Reason::StoreFull, None, "the disk of the data folder is full", remedy);
    }
    if let Some(condition) = disconnected(source, seen) {
        return condition;
    }
    let connected = seen.row.map_or(running, |row| row.since.max(running));
    silent(name, source, seen, connected, now).unwrap_or_else(|| {
        degraded(name, source, seen, now)
            .or_else(|| assets_silent(contract, name, source, seen, connected, now))
            .unwrap_or_else(|| Condition::of(Reason::Ok, Some(connected), "", ""))
    })
}

/// A source that the instance itself serves, or reads where it lies, is there when the instance is.
fn is_ours(source: &Source) -> bool {
    matches!(source.kind, SourceKind::Http(_) | SourceKind::Listener(_) | SourceKind::File(_))
}

fn disconnected(source: &Source, seen: &Seen<'_>) -> Option<Condition> {
    if is_ours(source) && seen.row.is_none() {
        return None;
    }
    let Some(row) = seen.row else {
        let remedy = format!("look whether {} is there", other_side(source));
        return Some(Condition::of(Reason::NeverConnected, None, "it has not been connected yet", remedy));
    };
    if row.connected {
        // The row is from before the crash, or the end of the connection is about to be recorded.
        let detail = match seen.away? {
            "" => "it has not been connected again",
            why => why,
        };
        let remedy = format!("look at {} and its log", other_side(source));
        return Some(Condition::of(Reason::NotConnected, None, detail, remedy));
    }
    let (reason, remedy) = if row.code.is_some_and(refuses_us) {
        (Reason::RefusedCredentials, format!("check the user, the secret and the rights at {}", other_side(source)))
    } else {
        (Reason::NotConnected, format!("look at {} and its log", other_side(source)))
    };
    Some(Condition::of(reason, Some(row.since), row.reason.clone(), remedy))
}

/// Whether a reason code of MQTT 5 is about who we are: bad user name or password, not authorized, banned, bad
/// authentication method.
fn refuses_us(code: u8) -> bool {
    matches!(code, 0x86 | 0x87 | 0x8A | 0x8C)
}

/// What is at the other end, in words that lead there.
fn other_side(source: &Source) -> String {
    match &source.kind {
        SourceKind::Mqtt(mqtt) => format!("the broker {}", mqtt.broker.address.default),
        SourceKind::Listener(listener) => format!("the clients of the listener {}", listener.listener),
        SourceKind::Http(_) => "whoever posts to it".to_owned(),
        SourceKind::Shdr(shdr) => format!("the adapter {}", shdr.adapter.default),
        SourceKind::File(file) => format!("the folder {}", file.folder),
    }
}

/// Connected, and nothing comes: found from the data, whatever the connection says.
fn silent(name: &Name, source: &Source, seen: &Seen<'_>, connected: Time, now: Time) -> Option<Condition> {
    let silence = source.silence?;
    let heard = seen.activity.and_then(|a| a.received);
    if now.since(heard.map_or(connected, |heard| heard.max(connected))) <= silence {
        return None;
    }
    let what = match &source.kind {
        SourceKind::Mqtt(mqtt) => {
            let topics: Vec<String> =
                mqtt.topics.iter().take(3).map(andon_contract::contract::TopicMapping::filter).collect();
            format!(
                "look whether the machine publishes: `mosquitto_sub -t '{}' -v` at {}; topics and rights may have \
                 changed",
                topics.join("' -t '"),
                mqtt.broker.address.default
            )
        }
        SourceKind::Listener(_) => "look whether its clients are connected and publish to its topics".to_owned(),
        SourceKind::Http(_) => "look at the log of whoever posts to it, for its address and its answers".to_owned(),
        SourceKind::Shdr(_) => format!("look whether {} says more than PONG", other_side(source)),
        SourceKind::File(_) => format!("look whether files still arrive in {}", other_side(source)),
    };
    let remedy = format!("{what}; if it may be silent for longer, set `silence` in sources/{name}.yaml");
    Some(match heard {
        Some(heard) => {
            let detail = format!("connected, and no sample came for {}", ago(now, heard));
            Condition::of(Reason::Silent, Some(heard), detail, remedy)
        }
        None => Condition::of(Reason::NeverHeard, Some(connected), "connected, and no sample has ever come", remedy),
    })
}

fn degraded(name: &Name, source: &Source, seen: &Seen<'_>, now: Time) -> Option<Condition> {
    if seen.reconnects >= FLAPS {
        let detail = format!("connected anew {} times within {RECENT}", seen.reconnects);
        let remedy = format!("look at the network and at {}: the log says why each time", other_side(source));
        return Some(Condition::of(Reason::Flapping, seen.row.map(|row| row.since), detail, remedy));
    }
    if let Some((last, cause)) = seen.quarantined.filter(|(last, _)| now.since(*last) <= RECENT) {
        let remedy = format!(
            "andon list exceptions --where source={name} --where state=open; mend the mapping or the message, \
             then andon exceptions replay --source {name}"
        );
        return Some(Condition::of(
            Reason::Quarantining,
            Some(last),
            format!("messages are set aside: {cause}"),
            remedy,
        ));
    }
    if seen.refused > 0 {
        let detail = format!("{} messages were refused within {RECENT}", seen.refused);
        let remedy = "the sender was told why; look at its log, or at the warnings in ours";
        return Some(Condition::of(Reason::Refusing, None, detail, remedy));
    }
    if let Some(gap) = seen.gaps.first() {
        let detail = format!("samples may be missing from {} to {}: {}", gap.from, gap.to, gap.reason);
        let remedy =
            format!("andon list gaps --where source={name}; feed what is missing from the machine's own records");
        return Some(Condition::of(Reason::Gaps, Some(gap.from), detail, remedy));
    }
    if let Some((samples, most)) = seen.ahead {
        let detail = format!("{samples} samples were up to {} ahead of our clock", rounded(most));
        let remedy = format!(
            "set the clocks (NTP) of {} and of this machine; `ahead` says how much is believed",
            other_side(source)
        );
        return Some(Condition::of(Reason::ClockAhead, None, detail, remedy));
    }
    let odd = seen.row.map_or("", |row| row.reason.as_str());
    if !odd.is_empty() {
        let remedy = format!("look at the rights at {}", other_side(source));
        return Some(Condition::of(Reason::Partly, seen.row.map(|row| row.since), odd, remedy));
    }
    None
}

/// The assets that have an address for a source.
fn assets_of<'a>(contract: &'a Contract, name: &'a Name) -> impl Iterator<Item = &'a AssetName> {
    contract.assets.iter().filter(|(_, asset)| asset.addresses.contains_key(name)).map(|(name, _)| name)
}

/// Others speak, these do not: an asset counts once it was heard, or is bound to the source by an address.
fn assets_silent(
    contract: &Contract,
    name: &Name,
    source: &Source,
    seen: &Seen<'_>,
    connected: Time,
    now: Time,
) -> Option<Condition> {
    let silence = source.silence?;
    let activity = seen.activity?;
    let heard = activity.assets.iter().filter(|(asset, _)| contract.assets.contains_key(*asset));
    let mut quiet: Vec<(AssetName, Option<Time>)> = heard
        .filter(|(_, last)| now.since((**last).max(connected)) > silence)
        .map(|(asset, last)| (asset.clone(), Some(*last)))
        .collect();
    if now.since(connected) > silence {
        let never = assets_of(contract, name).filter(|asset| !activity.assets.contains_key(*asset));
        quiet.extend(never.map(|asset| (asset.clone(), None)));
    }
    if quiet.is_empty() {
        return None;
    }
    quiet.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let told: Vec<String> = quiet
        .iter()
        .take(3)
        .map(|(asset, last)| match last {
            Some(last) => format!("{asset} for {}", ago(now, *last)),
            None => format!("{asset} was never heard"),
        })
        .collect();
    let more = quiet.len().saturating_sub(told.len());
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let since = quiet.iter().filter_map(|(_, last)| *last).min();
    let detail = format!("silent while others speak: {}{more}", told.join(", "));
    let remedy = "look whether these machines are on and still send; an asset that is gone is taken out of the project";
    let mut condition = Condition::of(Reason::AssetsSilent, since, detail, remedy);
    quiet.truncate(ASSETS_TOLD_MAX);
    condition.silent = quiet;
    Some(condition)
}

/// How long ago, as people say it.
fn ago(now: Time, then: Time) -> String {
    rounded(now.since(then))
}

/// A span in its largest two units.
fn rounded(span: Span) -> String {
    let secs = (span.millis() / 1000).max(0);
    match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, secs) => format!("{secs} s"),
        (0, 0, mins, _) => format!("{mins} min"),
        (0, hours, 0, _) => format!("{hours} h"),
        (0, hours, mins, _) => format!("{hours} h {mins} min"),
        (days, 0, ..) => format!("{days} d"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::Clock;

    const MINUTE: i64 = 60_000_000_000;

    fn at(minute: i64) -> Time {
        Time(1_700_000_000_000_000_000 + minute * MINUTE)
    }

    /// The example with a live clock: machine-01 and machine-02 are addressed by the source, machine-03 is not.
    fn project() -> (Contract, Name, Source) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/machine-temperature");
        let mut contract = andon_contract::load(std::path::Path::new(path)).expect("the example").contract;
        let name = Name::new("machines").unwrap();
        let mut source = contract.sources.get(&name).expect("its source").clone();
        source.clock = Clock::Live;
        source.silence = Some(Span::from_secs(600));
        let machine = contract.assets.values().next().expect("its machine").clone();
        for (number, addressed) in [(1, true), (2, true), (3, false)] {
            let mut machine = machine.clone();
            if addressed {
                machine.addresses.insert(name.clone(), format!("m{number}"));
            }
            contract.assets.insert(asset(number), machine);
        }
        (contract, name, source)
    }

    fn asset(number: u32) -> AssetName {
        AssetName::new(&format!("machine-0{number}")).unwrap()
    }

    fn row(connected: bool, minute: i64, reason: &str) -> SourceRow {
        let source = Name::new("machines").unwrap();
        SourceRow {
            source,
            connected,
            since: at(minute),
            reason: reason.into(),
            code: None,
            in_doubt: false,
            filters: Vec::new(),
        }
    }

    /// Assets by number with the minute at which they were heard.
    fn heard(assets: &[(u32, i64)]) -> Activity {
        Activity {
            received: assets.iter().map(|(_, minute)| at(*minute)).max(),
            assets: assets.iter().map(|(number, minute)| (asset(*number), at(*minute))).collect(),
        }
    }

    fn judged(seen: &Seen<'_>, minute: i64) -> (String, Condition) {
        let (contract, name, source) = project();
        let condition = condition(&contract, &name, &source, seen, at(minute));
        (format!("{} {}", condition.state.word(), condition.reason.word()), condition)
    }

    #[test]
    fn the_worst_that_is_wrong_is_told() {
        let (connected, refused) = (row(true, 1, ""), row(false, 5, "not authorized"));
        let refused = SourceRow { code: Some(0x87), ..refused };
        let (gone, partly) = (row(false, 5, "the connection was closed"), row(true, 1, "the broker refuses `a/b`"));
        let (fresh, old) = (heard(&[(1, 59), (2, 58)]), heard(&[(1, 40), (2, 30)]));
        let one = heard(&[(1, 59), (2, 40)]);
        let gap = GapRow {
            source: Name::new("machines").unwrap(),
            from: at(50),
            to: at(52),
            reason: "the broker kept nothing".into(),
        };
        let gaps = [gap];
        let well = Seen { running: Some(at(0)), row: Some(&connected), activity: Some(&fresh), ..Seen::default() };
        let ahead = Some((3, Span::from_secs(400)));
        let cases = [
            (Seen { running: None, ..well }, "disconnected instance-stopped"),
            (Seen { full: true, row: Some(&gone), ..well }, "disconnected store-full"),
            (Seen { row: None, ..well }, "disconnected never-connected"),
            (Seen { row: Some(&refused), ..well }, "disconnected refused-credentials"),
            (Seen { row: Some(&gone), ..well }, "disconnected not-connected"),
            (Seen { away: Some(""), ..well }, "disconnected not-connected"),
            (Seen { away: Some("it is about to connect"), gaps: &gaps, ..well }, "disconnected not-connected"),
            (Seen { row: Some(&refused), away: Some("not authorized"), ..well }, "disconnected refused-credentials"),
            (Seen { activity: Some(&old), gaps: &gaps, ..well }, "silent silent"),
            (Seen { activity: None, ..well }, "silent never-heard"),
            (Seen { reconnects: 3, gaps: &gaps, ..well }, "degraded flapping"),
            (Seen { quarantined: Some((at(55), "no number")), gaps: &gaps, ..well }, "degraded quarantining"),
            (Seen { quarantined: Some((at(20), "no number")), ..well }, "connected ok"),
            (Seen { refused: 2, ..well }, "degraded refusing"),
            (Seen { gaps: &gaps, ahead, ..well }, "degraded gaps"),
            (Seen { ahead, ..well }, "degraded clock-ahead"),
            (Seen { row: Some(&partly), ..well }, "degraded partly"),
            (Seen { activity: Some(&one), ..well }, "degraded assets-silent"),
            (well, "connected ok"),
        ];
        for (seen, wanted) in cases {
            let (got, condition) = judged(&seen, 60);
            assert_eq!(got, wanted, "{condition:?}");
            assert_eq!(condition.state == State::Connected, condition.remedy.is_empty(), "{condition:?}");
            assert_eq!(condition.state == State::Connected, condition.detail.is_empty(), "{condition:?}");
        }
    }

    #[test]
    fn silence_is_counted_from_the_connection_the_start_and_the_data_whichever_is_last() {
        let connected = row(true, 20, "");
        let heard = heard(&[(1, 10), (2, 10)]);
        let seen = Seen { running: Some(at(0)), row: Some(&connected), activity: Some(&heard), ..Seen::default() };
        assert_eq!(judged(&seen, 30).0, "connected ok");
        let (word, condition) = judged(&seen, 31);
        assert_eq!((word.as_str(), condition.since), ("silent silent", Some(at(10))));
        assert_eq!(condition.detail, "connected, and no sample came for 21 min");
        assert!(condition.remedy.contains("mosquitto_sub -t 'machines/+/temperature'"), "{}", condition.remedy);
        let restarted = Seen { running: Some(at(25)), ..seen };
        assert_eq!(judged(&restarted, 31).0, "connected ok");
        let (contract, name, mut source) = project();
        source.silence = None;
        assert_eq!(condition_of(&contract, &name, &source, &seen), State::Connected);
    }

    fn condition_of(contract: &Contract, name: &Name, source: &Source, seen: &Seen<'_>) -> State {
        condition(contract, name, source, seen, at(10_000)).state
    }

    #[test]
    fn assets_that_fell_silent_are_named_and_not_too_many() {
        let connected = row(true, 0, "");
        let some = heard(&[(3, 10), (1, 60)]);
        let seen = Seen { running: Some(at(0)), row: Some(&connected), activity: Some(&some), ..Seen::default() };
        let (word, condition) = judged(&seen, 61);
        assert_eq!(word, "degraded assets-silent");
        assert_eq!(condition.silent, [(asset(2), None), (asset(3), Some(at(10)))]);
        assert_eq!(condition.detail, "silent while others speak: machine-02 was never heard, machine-03 for 51 min");
        // An asset that the project has no more is nobody's concern.
        let mut many = heard(&[(1, 60)]);
        many.assets.insert(AssetName::new("gone").unwrap(), at(1));
        assert_eq!(judged(&Seen { activity: Some(&many), ..seen }, 61).1.silent, [(asset(2), None)]);
        let (mut contract, name, source) = project();
        for number in 0..50 {
            let extra = AssetName::new(&format!("extra-{number}")).unwrap();
            let machine = contract.assets[&asset(1)].clone();
            contract.assets.insert(extra, machine);
        }
        let condition = super::condition(&contract, &name, &source, &seen, at(61));
        assert_eq!(condition.silent.len(), ASSETS_TOLD_MAX);
        assert!(condition.detail.ends_with("and 49 more"), "{}", condition.detail);
    }

    #[test]
    fn every_reason_has_one_word_and_is_in_the_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let page = std::fs::read_to_string(path).expect("the page on operations");
        for (reason, word, state, about) in REASONS {
            assert_eq!((reason.word(), reason.state()), (word, state));
            assert!(page.contains(&format!("| {} | `{word}` | {about}", state.word())), "{word} is not in the page");
        }
    }

    #[test]
    fn spans_are_told_in_two_units() {
        for (secs, told) in [(5, "5 s"), (61, "1 min"), (3_600, "1 h"), (3_700, "1 h 1 min"), (180_000, "2 d 2 h")] {
            assert_eq!(rounded(Span::from_secs(secs)), told);
        }
    }
}
