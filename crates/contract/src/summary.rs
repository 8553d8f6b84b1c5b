//! What a contract says in short: how much of everything, and the real guarantee of each source and operation.

use crate::{
    Contract,
    contract::{
        After, Breaker, HttpSource, Idempotency, Keep, Listener, Maturity, MqttSource, MqttVersion, Operation,
        PublishTo, RateSettings, Read, ReduceBy, RuleKind, RuleSettings, Setting, Source, SourceKind, Subscriber,
        System, TopicMapping, WindowSettings,
    },
};
use andon_model::span::Span;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// A contract in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The project's name.
    pub name: String,
    /// The contract's revision.
    pub revision: String,
    /// How many there are of everything that has a count, by its word; none that is zero.
    pub counts: Vec<(&'static str, usize)>,
    /// What each source really guarantees.
    pub sources: BTreeMap<String, Guarantee>,
    /// What each listener really guarantees, and whom it lets in.
    pub listeners: BTreeMap<String, Guarantee>,
    /// How far the files of systems have come that say it.
    pub systems: BTreeMap<String, Guarantee>,
    /// What each operation really guarantees, as `system.operation`.
    pub operations: BTreeMap<String, Guarantee>,
    /// What is read from each system, as `system.read`.
    pub reads: BTreeMap<String, Guarantee>,
    /// What each subscriber really gets.
    pub subscribers: BTreeMap<String, Guarantee>,
    /// What is kept of samples: `samples`, each site that is told of by itself, `minutes`; and of signals that are
    /// reduced.
    pub kept: BTreeMap<String, String>,
}

/// What can be relied on, in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guarantee {
    /// In a word: `at least once`, `may lose`, `lookup`, ...
    pub word: &'static str,
    /// In a sentence.
    pub text: String,
}

/// A parameter of an asset, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resolved {
    /// The asset.
    pub asset: String,
    /// `<signal>.<key>`, `<signal>.<kind>.<key>` or `<signal>.<rule>.<key>`.
    pub parameter: String,
    /// As it is written: a number, or a duration.
    pub value: String,
    /// The unit of the number in UCUM, where it is the signal's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Where it was set: the file and the line.
    pub from: String,
}

/// The parameters of all assets as they hold, by asset and name.
pub fn parameters(contract: &Contract) -> Vec<Resolved> {
    let mut all = Vec::new();
    for (name, asset) in &contract.assets {
        let signals = contract.classes.get(&asset.class).map(|class| &class.signals);
        for (parameter, is) in &asset.parameters {
            // Keys of limits are in the unit of their signal.
            let signal = parameter.rsplit_once('.').and_then(|(signal, _)| signals?.get(signal));
            let (value, unit) = match is.value {
                Setting::Number(number) => (number.to_string(), signal.map(|signal| signal.unit.clone())),
                Setting::Span(span) => (span.to_string(), None),
            };
            let (asset, parameter, from) = (name.to_string(), parameter.clone(), is.from.clone());
            all.push(Resolved { asset, parameter, value, unit: unit.filter(|unit| unit != "1"), from });
        }
    }
    all
}

/// The summary of a contract.
pub fn summary(contract: &Contract) -> Summary {
    let counts = [
        ("instances", contract.instances.len()),
        ("sites", contract.sites.len()),
        ("assets", contract.assets.len()),
        ("classes", contract.classes.len()),
        ("signals", signals(contract)),
        ("sources", contract.sources.len()),
        ("rules", contract.rules.len()),
        ("alarms", alarms(contract)),
        ("workflows", contract.workflows.len()),
        ("capabilities", contract.capabilities.len()),
        ("systems", contract.systems.len()),
        ("operations", contract.systems.values().map(|system| system.operations.len()).sum()),
        ("routes", contract.routes.len()),
        ("teams", contract.ownership.teams.len()),
        ("subscribers", contract.subscribers.len()),
    ];
    let of_source = |(name, source): (&_, &Source)| (ToString::to_string(name), source_guarantee(source));
    let listeners = contract.instances.values().flat_map(|instance| &instance.listeners);
    let of_subscriber = |(name, to): (&_, &Subscriber)| (ToString::to_string(name), subscriber_guarantee(to));
    let operations = contract.systems.iter().flat_map(|(name, system)| {
        let of =
            move |(operation, o): (&_, &Operation)| (format!("{name}.{operation}"), operation_guarantee(system, o));
        system.operations.iter().map(of)
    });
    let systems = contract
        .systems
        .iter()
        .filter_map(|(name, system)| Some((name.to_string(), maturity_guarantee(system.maturity?))));
    let reads = contract.systems.iter().flat_map(|(name, system)| {
        system.reads.iter().map(move |(read, settings)| (format!("{name}.{read}"), read_guarantee(settings)))
    });
    Summary {
        name: contract.name.clone(),
        revision: contract.revision.clone(),
        counts: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
        sources: contract.sources.iter().map(of_source).collect(),
        listeners: listeners.map(|(name, listener)| (name.to_string(), listener_guarantee(listener))).collect(),
        systems: systems.collect(),
        operations: operations.collect(),
        reads: reads.collect(),
        subscribers: contract.subscribers.iter().map(of_subscriber).collect(),
        kept: kept(contract),
    }
}

/// What is kept of samples, in words.
fn kept(contract: &Contract) -> BTreeMap<String, String> {
    let told = |keep: &Keep| match (keep.age, keep.bytes) {
        (None, None) => "for ever".to_owned(),
        (Some(age), None) => format!("for {age} after receipt"),
        (None, Some(bytes)) => format!("the newest, on {bytes} bytes"),
        (Some(age), Some(bytes)) => format!("for {age} after receipt, at most on {bytes} bytes"),
    };
    let retention = &contract.retention;
    let mut kept: BTreeMap<String, String> =
        retention.sites.iter().map(|(site, keep)| (format!("samples of {site}"), told(keep))).collect();
    let sealed = format!("{}; put into files every {}", told(&retention.samples), retention.seal);
    kept.insert("samples".to_owned(), sealed);
    kept.insert("one-minute summaries".to_owned(), told(&retention.minutes));
    for (class, is) in &contract.classes {
        for (signal, reduction) in is.signals.iter().filter_map(|(name, signal)| Some((name, signal.reduce?))) {
            let unit = is.signals.get(signal).map_or("1", |signal| &signal.unit);
            let by = match reduction.by {
                ReduceBy::Deadband(by) => format!("those that differ by more than {by} {unit}"),
                ReduceBy::SwingingDoor(by) => format!("those that tell the line to within {by} {unit}"),
            };
            let beat = reduction.heartbeat.map_or_else(String::new, |every| format!(", and one each {every}"));
            kept.insert(format!("{class}.{signal}"), format!("{by}{beat}; rules see all"));
        }
    }
    kept
}

/// The signals of all assets.
fn signals(contract: &Contract) -> usize {
    contract
        .assets
        .values()
        .filter_map(|asset| contract.classes.get(&asset.class))
        .map(|class| class.signals.len())
        .sum()
}

/// Conditions that are watched: rule x asset, each limit counted.
fn alarms(contract: &Contract) -> usize {
    let of = |settings: &RuleSettings| match &settings.kind {
        RuleKind::Limit(limit) => limit.limits.len(),
        RuleKind::Deviation(levels)
        | RuleKind::RateOfChange(RateSettings { levels, .. })
        | RuleKind::Window(WindowSettings { levels, .. }) => levels.limits.len(),
        RuleKind::Stale(_) => 1,
        RuleKind::Spc(chart) => chart.rules.len(),
        RuleKind::Spectrum(spectrum) => spectrum.limit.limits.len(),
        RuleKind::Table(table) => table.outcomes().len(),
        // These tell what happened and make no alarm.
        RuleKind::State(_) | RuleKind::Counter(_) => 0,
    };
    contract.rules.values().flat_map(|rule| rule.assets.values()).map(|settings| of(settings)).sum()
}

/// What can be relied on of a source, with what is assumed.
fn source_guarantee(source: &Source) -> Guarantee {
    match &source.kind {
        SourceKind::Mqtt(mqtt) => mqtt_guarantee(mqtt),
        SourceKind::Listener(of) => Guarantee {
            word: "at least once",
            text: format!(
                "from clients of the listener {}, nothing lost after PUBACK, which is sent only when durable; a client \
                 that repeats until then loses nothing{}; what is published at QoS 0 may be lost on the network",
                of.listener,
                repeats(&of.topics)
            ),
        },
        SourceKind::Shdr(_) => Guarantee {
            word: "may lose",
            text: "from the adapter, which sends nothing twice: what it says while we are not connected is lost, and \
                   kept as a gap; what reached us is durable within 100 ms, and a crash before that is a gap too"
                .into(),
        },
        SourceKind::File(file) => Guarantee {
            word: "once",
            text: format!(
                "each file whole, continued after a crash at the row where it stood; {}",
                match &file.after {
                    After::Keep => "it stays where it is",
                    After::Move(_) => "it is moved away only when all of it is durable",
                    After::Delete => "it is deleted only when all of it is durable",
                }
            ),
        },
        SourceKind::Http(http) => Guarantee {
            word: "at least once",
            text: format!(
                "from callers, nothing lost after the answer 202, which is given only when durable; a caller that \
                 repeats until then loses nothing; {}; {}",
                "a repeat with its `Idempotency-Key` or its webhook's id is stored once within a day",
                callers(http)
            ),
        },
    }
}

/// What becomes of a message that comes again.
fn repeats(topics: &[TopicMapping]) -> &'static str {
    let mut signals = topics.iter().filter(|topic| topic.qos > 0).flat_map(|topic| &topic.signals);
    if signals.any(|signal| signal.time.is_none()) {
        "; a message redelivered without its own time is stored again"
    } else {
        "; a redelivered message is stored once"
    }
}

fn listener_guarantee(listener: &Listener) -> Guarantee {
    let (word, who) = match (&listener.tls, listener.clients.len()) {
        (_, 0) => ("open", "nobody is asked who he is"),
        (Some(tls), _) if tls.client_authority.is_some() => {
            ("known clients", "clients show a certificate, and a password where they have one")
        }
        (Some(_), _) => ("known clients", "clients show a password, which TLS protects"),
        (None, _) => ("known clients", "clients show a password, which crosses the network in the clear"),
    };
    let text = format!(
        "MQTT at {}: {who}; QoS 1 and 2 are acknowledged only when durable; nothing is kept for clients that are away, \
         but the last retained message of each topic",
        listener.address.default
    );
    Guarantee { word, text }
}

fn callers(http: &HttpSource) -> &'static str {
    match (http.token.is_some() || !http.keys.is_empty(), http.signature.is_some()) {
        (true, true) => "callers show a key, or sign what they post",
        (true, false) if http.keys.is_empty() => "callers show a token",
        (true, false) => "callers show a key",
        (false, true) => "callers sign what they post",
        (false, false) => "callers are not asked who they are",
    }
}

fn mqtt_guarantee(source: &MqttSource) -> Guarantee {
    let (lowest, highest) = source
        .topics
        .iter()
        .map(|topic| topic.qos)
        .fold((u8::MAX, 0), |(lowest, highest), qos| (lowest.min(qos), highest.max(qos)));
    if highest == 0 {
        let text = "from the broker at QoS 0: what it or the network drops, and all while disconnected, is lost, and \
                    nobody is told"
            .to_owned();
        return Guarantee { word: "may lose", text };
    }
    let session = match source.broker.version {
        MqttVersion::V3 => "the broker decides how long it keeps messages while we are away (MQTT 3.1.1)".to_owned(),
        MqttVersion::V5 if source.session_expiry == Span::ZERO => {
            "the broker keeps nothing while we are away: every interruption is a gap".to_owned()
        }
        MqttVersion::V5 => format!(
            "the broker keeps messages for {} while we are away, as many as its queue holds; after that there is a gap",
            source.session_expiry
        ),
    };
    let repeats = repeats(&source.topics);
    let holds = if source.broker_settings.is_some() {
        "; what it holds its settings decide, which `check` looked at"
    } else {
        "; a Mosquitto left at its defaults holds 1,000 of them (max_queued_messages), none across its restart \
         (persistence), and none that machines publish at QoS 0 (queue_qos0_messages)"
    };
    let holds = if source.session_expiry == Span::ZERO { "" } else { holds };
    let mixed = if lowest == 0 { format!("; {}", at_most_once(&source.topics)) } else { String::new() };
    let text = format!(
        "from the broker, nothing lost after {}, which is sent only when durable{mixed}; {session}{holds}{repeats}",
        acknowledgement(&source.topics),
    );
    Guarantee { word: if lowest == 0 { "at least once, in part" } else { "at least once" }, text }
}

/// By what a message is acknowledged once it is durable.
fn acknowledgement(topics: &[TopicMapping]) -> &'static str {
    let has = |qos| topics.iter().any(|topic| topic.qos == qos);
    match (has(1), has(2)) {
        (true, true) => "PUBACK or PUBREC",
        (false, true) => "PUBREC",
        (_, false) => "PUBACK",
    }
}

/// The topics of which messages may be lost, by name where they are few.
fn at_most_once(topics: &[TopicMapping]) -> String {
    const NAMED_MAX: usize = 3;
    let named: Vec<String> = topics.iter().filter(|topic| topic.qos == 0).map(TopicMapping::filter).collect();
    let more = named.len().saturating_sub(NAMED_MAX);
    let first = named.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match (named.len(), more) {
        (1, _) => format!("the QoS 0 topic {first} may lose while disconnected"),
        (_, 0) => format!("the QoS 0 topics {first} may lose while disconnected"),
        (_, more) => format!("the QoS 0 topics {first} and {more} more may lose while disconnected"),
    }
}

/// What can be relied on of an operation, with what is assumed.
pub fn operation_guarantee(system: &System, operation: &Operation) -> Guarantee {
    let text = match &operation.idempotency {
        Idempotency::Read => "only reads: repeats are free".to_owned(),
        Idempotency::Key => {
            "once: the system takes our key, and a repeat does nothing (as the system promises)".to_owned()
        }
        Idempotency::Upsert => {
            "once: a repeat writes the same under the same natural key (what others wrote there meanwhile is written \
             over)"
                .to_owned()
        }
        Idempotency::Lookup(lookup) => format!(
            "once, assuming that its search by `{}` sees what was sent after {}: an unknown outcome is searched, and \
             sent again only when nothing is found",
            lookup.by, lookup.settle
        ),
        Idempotency::None => {
            "at most once by itself: an unknown outcome is not repeated, it needs a person who looks".to_owned()
        }
    };
    let retry = system.retry_of(operation);
    let outage = if retry.outage.after < retry.within {
        format!(", every {} once it fails for {}", retry.outage.every, retry.outage.after)
    } else {
        String::new()
    };
    // The breaker of the system holds for all of its operations; one of its own stands beside it.
    let breakers: Vec<String> = system.breaker.iter().chain(&operation.narrow.breaker).map(breaker).collect();
    let breakers = if breakers.is_empty() { String::new() } else { format!("; {}", breakers.join(", and ")) };
    let text = format!(
        "{text}; an attempt takes at most {}, failed ones are repeated after {} to {}{outage}, for {} in \
         all{breakers}; what is given up is an exception with an owner",
        system.timeout_of(operation),
        retry.first,
        retry.max,
        retry.within
    );
    Guarantee { word: operation.idempotency.word(), text }
}

/// When calls are held back.
fn breaker(breaker: &Breaker) -> String {
    format!(
        "calls wait while it fails ({} of a hundred, of at least {} within {}), and one tries it after {}",
        breaker.failures, breaker.calls, breaker.window, breaker.open
    )
}

fn maturity_guarantee(maturity: Maturity) -> Guarantee {
    let text = match maturity {
        Maturity::Simulated => "tried against a simulation only: the real system may want something else",
        Maturity::Tested => "tried against a system of its kind, and not in use yet",
        Maturity::Proven => "in use",
    };
    Guarantee { word: maturity.word(), text: text.to_owned() }
}

fn read_guarantee(read: &Read) -> Guarantee {
    let how = match (&read.cursor, &read.delta, read.close_absent) {
        (_, Some(_), false) => "what the system says has changed; all of it again when the system forgot where it was",
        (_, Some(_), true) => {
            "what the system says has changed; all of it again when the system forgot where it was, \
            and what is absent then is closed"
        }
        (Some(_), ..) => "what changed behind a durable cursor; what the system tells out of order may be missed",
        (None, None, true) => "all of it each time; what is absent is closed",
        (None, None, false) => "all of it each time; what is absent stays as it was",
    };
    let asked = read.request.as_ref().map(|_| format!("every {}: {how}", read.every));
    let posted = read.webhook.as_ref().map(|_| "as the system posts it, durable before it is answered".to_owned());
    let ways: Vec<String> = asked.into_iter().chain(posted).collect();
    let stale = read.max_age.map_or_else(String::new, |age| format!(", and what is older than {age} is stale"));
    let text = format!("{} {}; each change becomes one event{stale}", read.object, ways.join("; and "));
    let is_changes = read.cursor.is_some() || read.delta.is_some() || read.request.is_none();
    Guarantee { word: if is_changes { "changes" } else { "whole" }, text }
}

fn subscriber_guarantee(subscriber: &Subscriber) -> Guarantee {
    let what = if subscriber.types.is_empty() { "all events".to_owned() } else { subscriber.types.join(", ") };
    if subscriber.qos == 0 {
        let text = format!(
            "{what} at QoS 0: what the broker or the network drops is lost; what waits while disconnected is sent later"
        );
        return Guarantee { word: "may lose", text };
    }
    if let PublishTo::Listener(listener) = &subscriber.to {
        let text = format!(
            "{what}, in order per key, to clients of the listener {listener} that are connected; who is away does not \
             get them later"
        );
        return Guarantee { word: "while connected", text };
    }
    let text = format!(
        "{what}, in order per key, each until the broker acknowledges it, continued at the first that it has not; a \
         repeat after a crash has the same id; one that it refuses for good becomes an exception"
    );
    Guarantee { word: "at least once", text }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.revision.chars().take(12).collect();
        writeln!(f, "{}, revision {short}", self.name)?;
        let counts: Vec<String> =
            self.counts.iter().map(|(word, count)| format!("{count} {}", singular(word, *count))).collect();
        writeln!(f, "  {}", counts.join(", "))?;
        for (title, all) in [
            ("sources", &self.sources),
            ("listeners", &self.listeners),
            ("systems", &self.systems),
            ("operations", &self.operations),
            ("reads", &self.reads),
            ("subscribers", &self.subscribers),
        ] {
            if all.is_empty() {
                continue;
            }
            writeln!(f, "\n{title}")?;
            for (name, guarantee) in all {
                writeln!(f, "  {name}: {}", guarantee.word)?;
                writeln!(f, "      {}", guarantee.text)?;
            }
        }
        writeln!(f, "\nkept")?;
        for (what, how) in &self.kept {
            writeln!(f, "  {what}: {how}")?;
        }
        Ok(())
    }
}

/// The word for one of them, where there is one.
fn singular(word: &str, count: usize) -> String {
    match (count, word) {
        (1, "classes") => "class".to_owned(),
        (1, "capabilities") => "capability".to_owned(),
        (1, _) => word.trim_end_matches('s').to_owned(),
        _ => word.to_owned(),
    }
}
