//! Sources: brokers, topics that can match, signals and assets that exist, pointers, times; and what a source cannot
//! promise.

use super::{
    Known,
    assets::{Assets, zone},
    classes::Classes,
    connect::{BrokerParts, broker},
    file::file,
    http::http,
    listeners::is_of_listener,
    schemas::SchemaSet,
    shdr::shdr,
    stem,
    topics::{constant, covers, levels, pointer, template},
    units,
};
use crate::{
    codes,
    contract::{
        Asset, Clock, Level, ListenerSource, MqttSource, MqttVersion, Piece, Pointer, SignalMapping, Source,
        SourceKind, Template, TimeForm, TimeMapping, TopicMapping,
    },
    files::{
        file::FileSourceFile,
        listeners::ListenerSourceFile,
        not_built,
        shdr::ShdrSourceFile,
        sources::{FormWord, KINDS, MqttSourceFile, SignalMappingFile, TopicFile},
        words::{Duration, Silence},
    },
    load::{Project, RawDoc},
    problem::{Finding, Spot, Where},
    read::{At, Items, Raw, read},
};
use andon_model::{
    Name, SignalName,
    span::Span,
    time::{Unit, Zone},
};
use std::collections::BTreeMap;

/// How much later than the receive time a time may be unless told.
const AHEAD: Span = Span::from_secs(300);
/// How long a connected source may say nothing unless told.
const SILENCE: Span = Span::from_secs(600);
/// The shortest silence that is looked for.
const SILENCE_MIN: Span = Span::from_secs(1);
/// How long a broker keeps our session unless told.
const SESSION: Span = Span::from_secs(7 * 86_400);
/// Seconds that fit the session expiry of MQTT 5; the highest stands for ever.
const SESSION_MAX: Span = Span::from_secs(u32::MAX as i64 - 1);
/// The place of an asset in a topic unless told.
const ASSET: &str = "asset";

pub(crate) fn resolve(
    project: &Project,
    classes: &Classes,
    assets: &Assets,
    schemas: &SchemaSet,
) -> BTreeMap<Name, Source> {
    let mut sources = BTreeMap::new();
    let signals = all_signals(classes);
    for doc in &project.sources {
        let (Some(name), Some(raw)) = (stem(project, doc), doc.body) else { continue };
        let source = match kind(project, doc, raw, "source", &KINDS, not_built::source_kind) {
            Some("mqtt") if is_of_listener(project, raw.spot) => {
                let scope = Scope { signals: &signals, classes, assets };
                read(&project.findings, raw.spot).and_then(|file| published(project, &file, &name, &scope))
            }
            Some("mqtt") => read(&project.findings, raw.spot)
                .and_then(|file| mqtt(project, &file, &name, &Scope { signals: &signals, classes, assets })),
            Some("http") => read(&project.findings, raw.spot).and_then(|file| http(project, &file, raw.spot, schemas)),
            Some("shdr") => {
                let scope = Scope { signals: &signals, classes, assets };
                read(&project.findings, raw.spot).and_then(|file| adapter(project, &file, &name, &scope))
            }
            Some("file") => {
                let scope = Scope { signals: &signals, classes, assets };
                read(&project.findings, raw.spot).and_then(|file| folder(project, &file, &scope))
            }
            _ => None,
        };
        if let Some(source) = source {
            sources.insert(name, source);
        }
    }
    sources
}

/// What `kind` a file says it is, where that is built.
pub(crate) fn kind<'k>(
    project: &Project,
    doc: &RawDoc,
    raw: Raw,
    what: &str,
    kinds: &[&'k str],
    not_built: fn(&str) -> Option<&'static str>,
) -> Option<&'k str> {
    let tree = project.findings.tree(raw.spot.file)?;
    let Some(node) = tree.get(raw.spot.node, "kind") else {
        let finding = Finding::error(codes::MISSING_KEY, Where::File(doc.file), "the key `kind` is missing");
        project.push(finding.known("", kinds.iter().copied()).help(format!("say which kind of {what} this is")));
        return None;
    };
    let word = tree.text(node).unwrap_or_default();
    if let Some(kind) = kinds.iter().find(|kind| **kind == word) {
        return Some(kind);
    }
    let spot = Spot { node, ..raw.spot };
    project.push(match not_built(word) {
        Some(help) => {
            Finding::error(codes::NOT_BUILT, spot, format!("the kind `{word}` of {what} is not built yet")).help(help)
        }
        None => Finding::error(codes::WRONG_FORM, spot, format!("there is no kind `{word}` of {what}"))
            .known(word, kinds.iter().copied())
            .help("correct the kind"),
    });
    None
}

/// What a source may refer to.
pub(super) struct Scope<'a> {
    pub(super) signals: &'a Known,
    pub(super) classes: &'a Classes,
    pub(super) assets: &'a Assets,
}

fn all_signals(classes: &Classes) -> Known {
    Known(classes.good.values().flat_map(|class| class.signals.0.iter().cloned()).collect())
}

pub(super) fn common(
    project: &Project,
    clock: Option<Clock>,
    named: Option<&At<String>>,
    ahead: Option<&At<Duration>>,
    silence: Option<&At<Silence>>,
    kind: SourceKind,
) -> Option<Source> {
    let zone = match named {
        None => Zone::utc(),
        Some(named) => zone(project, named)?,
    };
    let ahead = ahead.map_or(AHEAD, |ahead| ahead.0);
    let clock = clock.unwrap_or(Clock::Live);
    let silence = match silence {
        None => (clock == Clock::Live).then_some(SILENCE),
        Some(silence) => told_silence(project, silence),
    };
    Some(Source { kind, clock, zone, ahead, silence })
}

/// How long a source may say nothing, where its file says so.
fn told_silence(project: &Project, silence: &At<Silence>) -> Option<Span> {
    let span = silence.value.0?;
    if span < SILENCE_MIN {
        let finding = Finding::error(codes::SILENCE, silence.spot, format!("every source is silent for {span}"));
        let help = "write how long it may say nothing while all is well, or `never` where that can be any time";
        project.push(finding.expected("1 s or more, or `never`").help(help));
    }
    Some(span)
}

fn adapter(project: &Project, file: &ShdrSourceFile, name: &Name, scope: &Scope<'_>) -> Option<Source> {
    let kind = SourceKind::Shdr(shdr(project, file, name, scope)?);
    common(project, file.clock, file.zone.as_ref(), file.ahead.as_ref(), file.silence.as_ref(), kind)
}

fn folder(project: &Project, of: &FileSourceFile, scope: &Scope<'_>) -> Option<Source> {
    let kind = SourceKind::File(file(project, of, scope)?);
    common(project, of.clock, of.zone.as_ref(), of.ahead.as_ref(), of.silence.as_ref(), kind)
}

fn mqtt(project: &Project, file: &MqttSourceFile, name: &Name, scope: &Scope<'_>) -> Option<Source> {
    let parts = BrokerParts {
        broker: &file.broker,
        tls: file.tls.as_ref(),
        version: file.version.as_ref(),
        credentials: file.credentials.as_ref(),
        keep_alive: file.keep_alive.as_ref(),
    };
    let broker = broker(project, &parts);
    let session = file.session.as_ref().map(|session| &session.expiry);
    let is_old = broker.as_ref().is_some_and(|broker| broker.version == MqttVersion::V3);
    if is_old {
        let at = file.version.as_ref().map_or(file.broker.spot, |version| version.spot);
        let message = "MQTT 3.1.1 has no session expiry: the broker decides how long it keeps messages for us";
        let finding = Finding::warning(codes::SESSION, at, message);
        project.push(finding.help("use `version: 5`, or set the broker's own limit longer than any downtime"));
    }
    if let Some(expiry) = session {
        if is_old {
            let finding = Finding::error(codes::SESSION, expiry.spot, "a session of MQTT 3.1.1 has no expiry");
            project.push(finding.help("leave it out, or use `version: 5`"));
        } else if expiry.0 > SESSION_MAX || (expiry.0 > Span::ZERO && expiry.0 < Span::from_secs(1)) {
            let finding =
                Finding::error(codes::SESSION, expiry.spot, format!("an expiry of {} cannot be sent", expiry.0));
            project.push(finding.expected("0 s, or 1 s to 136 years").help("correct the duration"));
        }
    }
    let topics = topics(project, &file.topics, file.broker.spot, name, scope);
    let kind = SourceKind::Mqtt(MqttSource {
        broker: broker?,
        session_expiry: session.map_or(SESSION, |expiry| expiry.0),
        topics,
        broker_settings: file.broker_settings.clone(),
    });
    common(project, file.clock, file.zone.as_ref(), file.ahead.as_ref(), file.silence.as_ref(), kind)
}

/// What clients publish to a listener of ours.
fn published(project: &Project, file: &ListenerSourceFile, name: &Name, scope: &Scope<'_>) -> Option<Source> {
    let topics = topics(project, &file.topics, file.listener.spot, name, scope);
    let kind = SourceKind::Listener(ListenerSource { listener: file.listener.value.0.clone(), topics });
    common(project, file.clock, file.zone.as_ref(), file.ahead.as_ref(), file.silence.as_ref(), kind)
}

/// The topics of a source; `named` is where it says who sends them.
fn topics(
    project: &Project,
    files: &Items<TopicFile>,
    named: Spot,
    name: &Name,
    scope: &Scope<'_>,
) -> Vec<TopicMapping> {
    let mut topics: Vec<(Spot, TopicMapping)> = Vec::new();
    for entry in files.iter() {
        let Some(mapping) = topic(project, entry, name, scope) else { continue };
        if let Some((spot, _)) = topics.iter().find(|(_, earlier)| covers(&earlier.levels, &mapping.levels)) {
            let line = project.findings.line_of(*spot);
            let message = format!("this topic never matches: every message of it belongs to the topic of {line}");
            let finding = Finding::error(codes::TOPIC_COVERED, entry.topic.spot, message);
            project.push(finding.help("move the narrower topic up, or join the two"));
        }
        topics.push((entry.topic.spot, mapping));
    }
    if files.good.is_empty() {
        let finding = Finding::error(codes::NO_TOPIC, named, "the source reads no topic");
        project.push(finding.help("add `topics: [{ topic: ..., signals: { ... } }]`"));
    }
    topics.into_iter().map(|(_, mapping)| mapping).collect()
}

fn topic(project: &Project, file: &TopicFile, source: &Name, scope: &Scope<'_>) -> Option<TopicMapping> {
    let levels = levels(project, &file.topic)?;
    let captures = Known(
        levels
            .iter()
            .filter_map(|level| match level {
                Level::Capture(name) => Some(name.clone()),
                Level::Text(_) => None,
            })
            .collect(),
    );
    let asset = match &file.asset {
        Some(text) => template(project, text, &captures)?,
        None if captures.has(ASSET) => Template { pieces: vec![Piece::Place(ASSET.to_owned())] },
        None => {
            let finding =
                Finding::error(codes::CAPTURE, file.topic.spot, "nothing says which asset these messages are of");
            project.push(finding.expected("a level `{asset}`, or the key `asset`").help("add one of the two"));
            return None;
        }
    };
    let qos = qos(project, file.qos.as_ref(), 2);
    if let (Some(address), Some(text)) = (constant(&asset), &file.asset) {
        fixed_asset(project, text, address, source, scope);
    }
    let only = asset_of(&asset, source, scope);
    let mut signals = Vec::new();
    let mut untimed = None;
    for (name, mapping) in &file.signals.good {
        if mapping.time.is_none() {
            untimed.get_or_insert(name.spot);
        }
        if let Some(mapping) = signal(project, name, mapping, &captures, only, scope) {
            signals.push(mapping);
        }
    }
    if file.signals.good.is_empty() && file.signals.spoilt.is_empty() {
        let finding = Finding::error(codes::NO_TOPIC, file.topic.spot, "no signal is read from this topic");
        project.push(finding.help("add `signals: { <signal>: { value: /value } }`"));
    }
    if let Some(spot) = untimed.filter(|_| qos > 0) {
        let message = format!("these samples carry no time, so a message redelivered at QoS {qos} is stored again");
        let finding = Finding::warning(codes::REDELIVERY, spot, message);
        project.push(finding.help("read the machine's own time with `time: { at: ..., form: ... }`, or use `qos: 0`"));
    }
    Some(TopicMapping { levels, qos, asset, signals })
}

/// A quality of service up to `max`; 1 unless told.
pub(crate) fn qos(project: &Project, qos: Option<&At<u8>>, max: u8) -> u8 {
    let Some(qos) = qos else { return 1 };
    if qos.value > max {
        let finding =
            Finding::error(codes::QOS, qos.spot, format!("there is no quality of service {} here", qos.value));
        project.push(finding.expected(format!("0 to {max}")).help("1 is acknowledged after it is durable"));
    }
    qos.value.min(max)
}

/// A topic of one asset only: the source's name for it must lead to an asset.
fn fixed_asset(project: &Project, text: &At<String>, address: &str, source: &Name, scope: &Scope<'_>) {
    let assets = scope.assets;
    let found = assets
        .assets
        .iter()
        .any(|(name, info)| info.asset.addresses.get(source).map_or(name.as_str(), String::as_str) == address);
    if found || !assets.whole {
        return;
    }
    if !assets.known_assets.has(address) {
        project.push(assets.known_assets.unknown(codes::UNKNOWN_ASSET, text.spot, "asset", address));
    } else if let Some(called) = assets.assets.get(address).and_then(|info| info.asset.addresses.get(source)) {
        let message = format!("the source `{source}` has another name for the asset `{address}`");
        let finding = Finding::error(codes::UNKNOWN_ASSET, text.spot, message).expected(format!("`{called}`"));
        project.push(finding.help("write the source's own name here, or take that address from the asset"));
    }
}

/// The asset of a topic, where there is one only.
fn asset_of<'a>(asset: &Template, source: &Name, scope: &Scope<'a>) -> Option<&'a Asset> {
    let address = constant(asset)?;
    let mut assets = scope.assets.assets.iter();
    let found =
        assets.find(|(name, is)| is.asset.addresses.get(source).map_or(name.as_str(), String::as_str) == address);
    found.map(|(_, is)| &is.asset)
}

fn signal(
    project: &Project,
    name: &At<String>,
    file: &SignalMappingFile,
    captures: &Known,
    asset: Option<&Asset>,
    scope: &Scope<'_>,
) -> Option<SignalMapping> {
    let signal = template(project, name, captures)?;
    if let Some(text) = constant(&signal) {
        let is_whole = scope.classes.good.len() == scope.classes.known.0.len();
        if SignalName::new(text).is_err() || (is_whole && !scope.signals.has(text)) {
            project.push(scope.signals.unknown(codes::UNKNOWN_SIGNAL, name.spot, "signal", text));
            return None;
        }
    }
    let whole = Some(Pointer { tokens: Vec::new() });
    let value = file.value.as_ref().map_or(whole, |text| pointer(project, text));
    let time = match &file.time {
        None => None,
        Some(time) => Some(TimeMapping { at: pointer(project, &time.at)?, form: form(time.form.value) }),
    };
    let quality = match &file.quality {
        None => None,
        Some(text) => Some(pointer(project, text)?),
    };
    let unit = match &file.unit {
        None => None,
        Some(unit) => Some(units::mapped(project, unit, &signal, asset, scope.classes)?),
    };
    Some(SignalMapping { signal, value: value?, time, quality, unit })
}

fn form(word: FormWord) -> TimeForm {
    match word {
        FormWord::Text => TimeForm::Text,
        FormWord::S => TimeForm::Number(Unit::S),
        FormWord::Ms => TimeForm::Number(Unit::Ms),
        FormWord::Us => TimeForm::Number(Unit::Us),
        FormWord::Ns => TimeForm::Number(Unit::Ns),
    }
}
