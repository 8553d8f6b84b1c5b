//! Puts the question to the contract in force, to the stored events, and to the rule replayed alone.

use super::{
    Finding, Look, Reason, around,
    replay::{self, Of, Replayed},
    story::{Story, story},
};
use crate::{run, saw::delays_of, states::Clocks};
use andon_contract::{
    Contract,
    contract::{RuleKind, RuleSettings},
};
use andon_model::{AssetName, EventId, Name, SignalName, Time, span::Span};
use andon_store::{Query, Store, StoreError};
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::Arc;

/// The first replay begins so long before the time, and its delays.
const FIRST: Span = Span::from_secs(600);
/// No replay begins earlier than so long before the time.
const FARTHEST: Span = Span::from_secs(30 * 86_400);
/// Each begins so many times farther back than the one before.
const FARTHER: i64 = 6;
/// Contracts that are looked through for the one in force.
const CONTRACTS: usize = 100;

/// Why a rule had not fired for an asset at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The rule.
    pub rule: Name,
    /// The asset.
    pub asset: AssetName,
    /// The time that was asked about.
    pub at: Time,
    /// The event, where it had fired.
    pub fired: Option<EventId>,
    /// The revision of the contract that was in force.
    pub contract: String,
    /// The version of the rule.
    pub version: Option<String>,
    /// From where it was replayed.
    pub from: Option<Time>,
    /// Samples that were replayed.
    pub samples: usize,
    /// Whether the marks of the log were there; else connections and ticks are not known.
    pub marks: bool,
    /// The signals it reads, `<asset>/<signal>`.
    pub signals: Vec<String>,
    /// The answers, the most decisive first.
    pub findings: Vec<Finding>,
}

/// Asks. The rule and the asset are those of the contract that is active now, or of the one that was in force then.
pub fn why_not(
    store: &Store,
    contract: &Arc<Contract>,
    rule: &Name,
    asset: &AssetName,
    at: Time,
) -> Result<Answer, StoreError> {
    let mut answer = Answer {
        rule: rule.clone(),
        asset: asset.clone(),
        at,
        fired: None,
        contract: contract.revision.clone(),
        version: None,
        from: None,
        samples: 0,
        marks: false,
        signals: Vec::new(),
        findings: Vec::new(),
    };
    // What persons did and what was told has the time of a clock on the wall: when the newest sample had come.
    let signal = contract.rules.get(rule).map(|of| &of.signal);
    let received = signal.map(|signal| replay::newest(store, asset, signal, at)).transpose()?.flatten();
    let utc = received.map_or(at, |stored| stored.received.max(at));
    let force = in_force(store, contract, utc)?;
    let contract = &force.contract;
    answer.contract.clone_from(&contract.revision);
    let site = contract.assets.get(asset).map(|asset| asset.site.clone());
    let settings = contract.rules.get(rule).and_then(|of| Some((of.signal.clone(), of.assets.get(asset)?.clone())));
    let (Some(site), Some((signal, settings))) = (site, settings) else {
        answer.findings.push(missing(&force, rule, asset, at));
        return Ok(answer);
    };
    answer.version = Some(settings.version.clone());
    let inputs: Vec<SignalName> = std::iter::once(&signal).chain(&settings.inputs).cloned().collect();
    let mut signals = inputs;
    // A condition may read what the machine reads; each number is one input of the rule.
    signals.extend(settings.guard.signals());
    answer.signals = signals.iter().map(|signal| format!("{asset}/{signal}")).collect();
    let told = story(store, &site, rule, asset, (at, utc))?;
    answer.findings = around::gate(&told);
    let of = Of { store, contract, rule, asset, site: &site, signals: &signals, at, utc };
    if let Some((replayed, findings)) = settled(&of, &settings, &told)? {
        answer.from = Some(replayed.from);
        answer.samples = replayed.samples.iter().map(Vec::len).sum();
        answer.marks = replayed.with_marks;
        answer.findings.extend(findings);
    }
    tidy(&mut answer, &told, store)?;
    Ok(answer)
}

/// Replays from ever farther back until the answer stays the same.
fn settled(of: &Of, settings: &RuleSettings, story: &Story) -> Result<Option<(Replayed, Vec<Finding>)>, StoreError> {
    let (on, off, _) = delays_of(&settings.kind);
    let mut back = FIRST.nanos().saturating_add(on.nanos().saturating_add(off.nanos()).saturating_mul(2));
    back = back.saturating_add(match &settings.kind {
        RuleKind::Window(set) => set.over.nanos().saturating_add(set.lateness.nanos()).saturating_mul(3),
        RuleKind::RateOfChange(set) => set.over.map_or(0, |over| over.nanos().saturating_mul(3)),
        RuleKind::Stale(set) => set.after.nanos().saturating_mul(2),
        _ => 0,
    });
    let mut last: Option<(Replayed, Vec<Finding>)> = None;
    loop {
        let back_span = Span::from_nanos(back.min(FARTHEST.nanos()));
        // After its last return nothing stood.
        let earliest = story.returned.as_ref().filter(|_| settings_forget(settings)).map(|event| event.time);
        let from = of.at.minus(back_span).max(earliest.unwrap_or(Time::MIN));
        let context = context(of, of.utc)?;
        let Some(mut replayed) = of.replay(from, context)? else { return Ok(None) };
        pass(of, &mut replayed);
        let findings = findings(of, settings, &replayed);
        let same = last.as_ref().is_some_and(|(_, before)| *before == findings);
        let done = same || replayed.at_limit || back >= FARTHEST.nanos() || Some(from) == earliest;
        if done {
            return Ok(Some((replayed, findings)));
        }
        last = Some((replayed, findings));
        back = back.saturating_mul(FARTHER);
    }
}

/// Whether nothing of before a return counts for what comes after it.
fn settings_forget(settings: &RuleSettings) -> bool {
    matches!(settings.kind, RuleKind::Limit(_) | RuleKind::Deviation(_) | RuleKind::Stale(_) | RuleKind::Spectrum(_))
}

/// Lets the clock pass the time where it surely has.
fn pass(of: &Of, replayed: &mut Replayed) {
    let Some((source, connected, _)) = replayed.engine.only_source() else { return };
    let live =
        of.contract.sources.get(source).is_some_and(|source| source.clock == andon_contract::contract::Clock::Live);
    let plant =
        if replayed.next.is_some() || (live && connected) { of.at.plus(Span::from_nanos(1)) } else { Time::MIN };
    let utc = of.at.max(replayed.received).plus(Span::from_nanos(1));
    let utc = replayed.next.as_ref().map_or(utc, |next| utc.min(next.received));
    replayed.engine.pass(of.site, of.asset, plant, utc);
}

/// What is known of the context at a time, UTC.
fn context(of: &Of, utc: Time) -> Result<crate::context::Context, StoreError> {
    let last = of.store.context_revision()?;
    let mut after = 0;
    let mut known = 0;
    'all: loop {
        let some = of.store.context_revisions(after, last, 5_000)?;
        for row in &some {
            if row.at > utc {
                break 'all;
            }
            known = row.revision;
        }
        let Some(row) = some.last() else { break };
        after = row.revision;
    }
    let clocks = Clocks { context: known, ..Clocks::default() };
    Ok(run::known(of.store, of.contract, &clocks)?.unwrap_or_default())
}

fn findings(of: &Of, settings: &RuleSettings, replayed: &Replayed) -> Vec<Finding> {
    let names: Vec<String> = of.signals.iter().map(|signal| format!("{}/{signal}", of.asset)).collect();
    let mut all = around::samples(replayed, &names, of.at);
    let Some(slot) = replayed.engine.only() else { return all };
    let unit = if settings.unit == "1" { String::new() } else { format!(" {}", settings.unit) };
    let utc = of.at.max(replayed.received);
    let known = replayed.engine.known(utc);
    let look = Look {
        at: of.at,
        utc,
        unit,
        signals: &names,
        samples: replayed.samples.first().map_or(&[][..], Vec::as_slice),
    };
    all.extend(slot.machine.why(&look));
    let looked = slot.looked(of.at, known);
    let suppressed = slot.gate.as_ref().is_some_and(|gate| gate.suppressed);
    all.extend(around::conditions(&looked, suppressed, of.asset, of.at, &settings.guard, known));
    if slot.waits() {
        all.push(Finding::new(Reason::Waits, "an event of it waits for newer context".to_owned()));
    }
    all
}

/// Puts the answers in order, and lets the stored events have the last word.
fn tidy(answer: &mut Answer, told: &Story, store: &Store) -> Result<(), StoreError> {
    let by_rows = told.standing.as_ref().filter(|event| event.kind == "asset.alarm").map(|event| event.id);
    let mut kept = Vec::new();
    for mut finding in std::mem::take(&mut answer.findings) {
        if finding.reason == Reason::Fired
            && let Some(event) = finding.event
        {
            let stored = by_rows == Some(event) || store.event(event)?.is_some();
            // Told once: by the rows, where they have it.
            if told.standing.is_some() && by_rows != Some(event) {
                continue;
            }
            if !stored {
                finding.reason = Reason::NotBeyond;
                finding.event = None;
                finding.text =
                    format!("replayed now, {}; it did not then: the rule was another, or began later", finding.text);
            }
        }
        kept.push(finding);
    }
    kept.sort_by_key(|finding| finding.reason);
    kept.dedup_by(|a, b| a.text == b.text);
    answer.fired = kept.iter().find(|finding| finding.reason == Reason::Fired).and_then(|finding| finding.event);
    answer.findings = kept;
    Ok(())
}

/// The contract in force at a time.
struct Force {
    contract: Arc<Contract>,
    /// The one that is active now, and since when, where it is another.
    now: Option<(Arc<Contract>, Time)>,
}

fn in_force(store: &Store, contract: &Arc<Contract>, at: Time) -> Result<Force, StoreError> {
    let page = store.list("contracts", &Query { limit: CONTRACTS, ..Query::default() })?;
    let told = |row: &Json| {
        let text = |name: &str| row.get(name).and_then(Json::as_str).map(str::to_owned);
        Some((Time::parse(&text("activated")?).ok()?, text("revision")?))
    };
    let mut rows: Vec<(Time, String)> = page.rows.iter().filter_map(told).collect();
    rows.sort_by_key(|(activated, _)| std::cmp::Reverse(*activated));
    let now = rows.first().map_or(Time::MIN, |(activated, _)| *activated);
    let revision = rows.into_iter().find(|(activated, _)| *activated <= at).map(|(_, revision)| revision);
    let row = match revision {
        Some(revision) => store.contract(&revision)?,
        None => None,
    };
    let Some(row) = row else { return Ok(Force { contract: contract.clone(), now: None }) };
    if row.revision == contract.revision {
        return Ok(Force { contract: contract.clone(), now: None });
    }
    match andon_contract::from_files(row.files) {
        Ok(loaded) => Ok(Force { contract: Arc::new(loaded.contract), now: Some((contract.clone(), now)) }),
        // A contract that this version does not understand is answered by the one it does.
        Err(_) => Ok(Force { contract: contract.clone(), now: None }),
    }
}

/// Why there is nothing to replay.
fn missing(force: &Force, rule: &Name, asset: &AssetName, at: Time) -> Finding {
    let there = force.contract.rules.contains_key(rule);
    let what =
        if there { format!("the rule {rule} did not hold for {asset}") } else { format!("there was no rule {rule}") };
    let revision = force.contract.revision.get(..8).unwrap_or(&force.contract.revision);
    let since =
        force.now.as_ref().filter(|(now, _)| now.rules.get(rule).is_some_and(|of| of.assets.contains_key(asset)));
    let since = since
        .map_or_else(String::new, |(_, since)| format!("; it does since the contract that was activated at {since}"));
    Finding::new(Reason::NoRule, format!("{what} under the contract {revision}, which was in force at {at}{since}"))
}
