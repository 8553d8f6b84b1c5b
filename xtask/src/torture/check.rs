//! The full check: everything is mended, nothing moves any more, and then all that is known is held against all that
//! is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::effects::{self, Document};
use super::machines::SITES;
use super::report::Report;
use super::samples::{self, Kept, Stored};
use super::time::{micros, rfc3339};
use super::world::World;
use super::{http, people, rule, subscriber};
use crate::clock::Stopwatch;

/// How long what was held up may take until it is done.
const SETTLED_WITHIN: Duration = Duration::from_mins(5);

/// How long an answer of the API may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// How long nothing must have come before it counts as quiet.
const QUIET: Duration = Duration::from_secs(2);

/// What an activation leads to while an order runs; a missing part is reserved or reported.
const EFFECTS: [&[&str]; 6] = [
    &["maintenance.request-work"],
    &["production.find-order"],
    &["production.flag-order"],
    &["inventory.reserve-parts", "inventory.report-shortage"],
    &["quality.open-incident"],
    &["planning.tell-disruption"],
];

/// Mends everything, waits until it is quiet, and checks; then the product is stopped and its folder looked at.
pub(super) fn all(world: &mut World, report: &mut Report) -> Result<()> {
    world.book.pause(true);
    world.mend()?;
    settle(world, report)?;
    let documents = effects::read(&world.place.offices())?;
    report.violations.extend(effects::doubled(&documents));
    let stored = samples::stored(&world.place, world.book.begin_us)?;
    of_samples(world, &stored, report)?;
    let ids = of_events(world, &stored, report)?;
    of_effects(world, &documents, &ids, report)?;
    of_explanations(world, &documents, &stored, report)?;
    world.explained = documents.into_keys().collect();
    of_exceptions(world, report)?;
    world.stop()?;
    of_folder(world, report)
}

/// A row's text.
fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn status(world: &World) -> Result<Value> {
    let stopwatch = Stopwatch::start();
    loop {
        let answer = http::ask(world.ports.api, "GET", "/v1/status", &[], b"", ANSWERED_WITHIN)?;
        if answer.status == 200 {
            return serde_json::from_slice(&answer.body).context("reading the status");
        }
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(stopwatch.elapsed() < SETTLED_WITHIN, "the status is answered with {}: {said}", answer.status);
        thread::sleep(Duration::from_millis(250));
    }
}

/// What waits, by the seams of a status; and what was received altogether.
fn waiting(status: &Value) -> (BTreeMap<String, u64>, u64) {
    let (mut waiting, mut received) = (BTreeMap::new(), 0);
    for seam in status.get("seams").and_then(Value::as_array).into_iter().flatten() {
        for term in seam.get("terms").and_then(Value::as_array).into_iter().flatten() {
            let count = term.get("count").and_then(Value::as_u64).unwrap_or(0);
            match text(term, "name") {
                "received" => received += count,
                "waiting" | "in-flight" if count > 0 => {
                    waiting.insert(format!("{}: {}", text(seam, "seam"), text(term, "name")), count);
                }
                _ => {}
            }
        }
    }
    (waiting, received)
}

fn settle(world: &World, report: &mut Report) -> Result<()> {
    let stopwatch = Stopwatch::start();
    let (mut before, mut quiet) = (0, Stopwatch::start());
    loop {
        let status = status(world)?;
        let (waiting, received) = waiting(&status);
        let documents = effects::read(&world.place.offices())?;
        let acted = people::act(&world.place, &documents)?;
        *report.found.entry("exceptions that people acted on").or_default() += acted;
        if received != before || !waiting.is_empty() || acted > 0 || !world.book.is_quiet() {
            (before, quiet) = (received, Stopwatch::start());
        }
        if quiet.elapsed() > QUIET {
            return Ok(());
        }
        if stopwatch.elapsed() > SETTLED_WITHIN {
            let under_way = world.book.waiting();
            report.violations.push(format!(
                "after {} s without a fault it still waits: {waiting:?}, {acted} exceptions are open, machines wait \
                 for {under_way} acknowledgements",
                SETTLED_WITHIN.as_secs()
            ));
            return Ok(());
        }
        thread::sleep(Duration::from_millis(250));
    }
}

fn of_samples(world: &World, stored: &[Stored], report: &mut Report) -> Result<()> {
    let mut kept = Kept::default();
    for row in world.place.ask(&["list", "quarantine"])? {
        let size = row.get("size").and_then(Value::as_u64).unwrap_or(0);
        kept.listed.insert((text(&row, "topic").to_owned(), size));
    }
    // An exception shows the bytes of its newest messages.
    for exception in world.place.ask(&["list", "exceptions", "--where", "kind=input"])? {
        for row in world.place.ask(&["show", text(&exception, "id")])? {
            let shown = row.get("quarantine").and_then(Value::as_array).into_iter().flatten();
            kept.shown.extend(shown.map(|message| text(message, "text").to_owned()));
        }
    }
    let messages = world.book.messages().clone();
    let compared = samples::compare(&messages, stored, &kept, &world.forgotten);
    report.violations.extend(compared.violations);
    report.found.insert("messages published", messages.len() as u64);
    report.found.insert("messages acknowledged", compared.acknowledged);
    report.found.insert("messages that nobody can read", compared.garbage);
    report.found.insert("samples that the killed broker forgot", compared.forgotten);
    report.found.insert("samples stored", compared.stored);
    let refused = world.book.refused.load(std::sync::atomic::Ordering::SeqCst);
    if refused != 0 {
        report.violations.push(format!("a good post was refused with {refused}"));
    }
    Ok(())
}

/// The activations that must be there, held against those that are; their ids.
fn of_events(world: &World, stored: &[Stored], report: &mut Report) -> Result<BTreeMap<String, Value>> {
    let listed = world.place.ask(&["list", "events", "--where", "type=asset.alarm", "--oldest"])?;
    let mut ids = BTreeMap::new();
    for site in &SITES {
        let [_, cartoner, ..] = site.assets;
        let of_asset = stored.iter().filter(|sample| sample.signal.split_once('/').is_some_and(|(a, _)| a == cartoner));
        let samples: Vec<(i64, Option<f64>)> = of_asset
            .map(|sample| (sample.time_us, sample.value.as_f64().filter(|_| sample.signal.ends_with("/vibration"))))
            .collect();
        let expected = rule::activations(&samples);
        let mut there = BTreeSet::new();
        let data = |event: &Value, name: &str| event.get("data").map_or("", |data| text(data, name)).to_owned();
        for event in listed.iter().filter(|event| text(event, "subject") == cartoner) {
            if data(event, "change") != "activated" || data(event, "signal") != "vibration" {
                continue;
            }
            let time = micros(text(event, "time")).context("an event has a time")?;
            if !there.insert(time) {
                report.violations.push(format!("{cartoner} was activated twice at {}", rfc3339(time)));
            }
            ids.insert(text(event, "id").to_owned(), event.clone());
        }
        for time in expected.difference(&there) {
            report.violations.push(format!("{cartoner} was not activated at {}", rfc3339(*time)));
        }
        for time in there.difference(&expected) {
            report.violations.push(format!("{cartoner} was activated at {} for no reason", rfc3339(*time)));
        }
    }
    report.found.insert("activations", ids.len() as u64);
    let told: Vec<(String, String, u64)> = listed
        .iter()
        .map(|event| {
            let sequence = text(event, "sequence").parse().unwrap_or(0);
            (text(event, "id").to_owned(), text(event, "subject").to_owned(), sequence)
        })
        .collect();
    let came = world.subscriber.came();
    let (violations, lost) = subscriber::compare(&told, &came, &world.forgotten);
    report.violations.extend(violations);
    report.found.insert("events to a subscriber", told.len() as u64);
    report.found.insert("events to it that came more than once", came.len().saturating_sub(told.len()) as u64);
    report.found.insert("events that the killed broker forgot", lost);
    Ok(ids)
}

/// Each activation has its runs and these their effects, or an exception says why not; and each document a call.
fn of_effects(
    world: &World,
    documents: &BTreeMap<String, Vec<Document>>,
    activations: &BTreeMap<String, Value>,
    report: &mut Report,
) -> Result<()> {
    let runs = world.place.ask(&["list", "runs"])?;
    let calls = world.place.ask(&["list", "calls"])?;
    let exceptions = world.place.ask(&["list", "exceptions", "--where", "unfinished=yes"])?;
    let owned = |name: &str, id: &str| {
        exceptions.iter().any(|exception| text(exception, name) == id && !text(exception, "owner").is_empty())
    };
    let mut of_run: HashMap<&str, Vec<&Value>> = HashMap::new();
    let mut of_reference: HashMap<&str, &Value> = HashMap::new();
    for call in &calls {
        of_run.entry(text(call, "run")).or_default().push(call);
        of_reference.insert(text(call, "reference"), call);
        let (id, state) = (text(call, "id"), text(call, "state"));
        if !matches!(state, "delivered" | "skipped" | "refused")
            && !owned("call", id)
            && !owned("run", text(call, "run"))
        {
            report.violations.push(format!("the call {id} is {state}, and nobody is told"));
        }
    }
    for (event, row) in activations {
        let with_order = row.pointer("/data/context/order").is_some_and(Value::is_string);
        for workflow in ["line-at-risk", "tell-clerk"] {
            let of: Vec<&Value> =
                runs.iter().filter(|run| text(run, "event") == event && text(run, "workflow") == workflow).collect();
            let [run] = of.as_slice() else {
                report.violations.push(format!("{event} has {} runs of {workflow}", of.len()));
                continue;
            };
            let (id, state) = (text(run, "id"), text(run, "state"));
            if !matches!(state, "completed" | "waiting") && !owned("run", id) {
                report.violations.push(format!("the run {id} of {event} is {state}, and nobody is told"));
            }
            let made = of_run.get(id).map_or(&[][..], Vec::as_slice);
            let is_made = |any: &[&str]| made.iter().any(|call| any.contains(&text(call, "capability")));
            let wanted = match (workflow, with_order) {
                ("line-at-risk", true) => &EFFECTS[..],
                ("line-at-risk", false) => EFFECTS.get(..1).unwrap_or_default(),
                _ if text(row, "site") == "hamburg" => &[&["maintenance.tell-clerk"][..]],
                _ => &[],
            };
            for any in wanted.iter().filter(|any| !is_made(any) && !owned("run", id)) {
                report.violations.push(format!("{event} has no {} by its run {id}, {state}", any.join(" or ")));
            }
        }
    }
    // What is delivered is there under its number, and what is there was called for.
    for call in &calls {
        let (number, reference) = (text(call, "document"), text(call, "reference"));
        let there = documents.get(reference).is_some_and(|of| of.iter().any(|document| document.number == number));
        if !number.is_empty() && !there {
            let (capability, state) = (text(call, "capability"), text(call, "state"));
            report.violations.push(format!("{capability} {reference} is {state} as {number}, and no office has that"));
        }
    }
    for (reference, of) in documents {
        if !of_reference.contains_key(reference.as_str()) {
            report.violations.push(format!("nobody called for {of:?}"));
        }
    }
    of_content(documents, report);
    report.found.insert("runs", runs.len() as u64);
    report.found.insert("calls", calls.len() as u64);
    report.found.insert("documents", documents.values().map(|of| of.len() as u64).sum());
    Ok(())
}

/// What offices wrote down names the event: of each at most one incident, one request, one report of the clerk.
fn of_content(documents: &BTreeMap<String, Vec<Document>>, report: &mut Report) {
    let mut seen: HashMap<String, Vec<&str>> = HashMap::new();
    for document in documents.values().flatten() {
        let line = document.line.to_string();
        let ids = line.split("ev_").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect());
        let mut named: Vec<String> = ids.collect();
        named.dedup();
        for name in named {
            let clerk = if line.contains("\"event ev_") { "clerk" } else { document.office };
            seen.entry(format!("{clerk} {} ev_{name}", document.kind)).or_default().push(&document.number);
        }
    }
    for (what, numbers) in seen.iter().filter(|(_, numbers)| numbers.len() > 1) {
        report.violations.push(format!("{what} is there {} times: {}", numbers.len(), numbers.join(", ")));
    }
}

/// Every document is explained back to samples that are stored.
fn of_explanations(
    world: &World,
    documents: &BTreeMap<String, Vec<Document>>,
    stored: &[Stored],
    report: &mut Report,
) -> Result<()> {
    let there: HashMap<(&str, i64), &Value> =
        stored.iter().map(|sample| ((sample.signal.as_str(), sample.time_us), &sample.value)).collect();
    // Each is explained once, at the first check after it was made.
    for (reference, of) in documents.iter().filter(|(reference, _)| !world.explained.contains(*reference)) {
        let Some(document) = of.first() else { continue };
        let path = format!("/v1/explain/{reference}");
        let answer = http::ask(world.ports.api, "GET", &path, &[], b"", ANSWERED_WITHIN)
            .with_context(|| format!("explaining {}", document.number))?;
        let story: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let events = story.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let samples: Vec<&Value> = events
            .iter()
            .filter_map(|event| event.pointer("/evidence/samples"))
            .filter_map(Value::as_array)
            .flatten()
            .collect();
        if samples.is_empty() {
            let (office, number) = (document.office, &document.number);
            report.violations.push(format!("{office} {number} is explained by no samples ({})", answer.status));
            continue;
        }
        for sample in samples {
            let time = micros(text(sample, "time")).unwrap_or(0);
            let value = sample.get("value").and_then(Value::as_f64);
            let found = there.get(&(text(sample, "signal"), time)).and_then(|value| value.as_f64());
            if found.is_none() || found != value {
                report.violations.push(format!("{reference} is explained by {sample}, which is {found:?}"));
            }
        }
    }
    report.found.insert("documents explained to their samples", documents.len() as u64);
    Ok(())
}

/// Nothing is open but what machines sent that nobody can read; each with an owner. No gap but with a reason.
fn of_exceptions(world: &World, report: &mut Report) -> Result<()> {
    let mut count = 0;
    for exception in world.place.ask(&["list", "exceptions"])? {
        count += 1;
        if text(&exception, "owner").is_empty() {
            report.violations.push(format!("nobody owns {exception}"));
        }
        let unfinished = matches!(text(&exception, "state"), "open" | "assigned" | "waiting" | "resubmitted");
        let garbage = text(&exception, "kind") == "input";
        if unfinished && !garbage {
            report.violations.push(format!("unexplained: {exception}"));
        }
    }
    report.found.insert("exceptions", count);
    let gaps = world.place.ask(&["list", "gaps"])?;
    report.found.insert("gaps", gaps.len() as u64);
    // A listener keeps nothing while it does not run, and cannot know that our machines send again what it has not
    // taken.
    let (listener, others): (Vec<_>, Vec<_>) = gaps.into_iter().partition(|gap| {
        text(gap, "source") == "hamburg" && text(gap, "reason").starts_with("the listener did not run")
    });
    // Where the answer to a connect was cut off nobody can know whether the broker had a session.
    let (doubts, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|gap| {
        text(gap, "source") == "monterrey" && text(gap, "reason").starts_with("it is not known whether the broker")
    });
    let harmed: u64 = world.counts.iter().filter(|(what, _)| what.starts_with("links ")).map(|(_, count)| count).sum();
    if doubts.len() as u64 > world.starts + harmed {
        report.violations.push(format!("{} doubts about the session, without a cause", doubts.len()));
    }
    report.violations.extend(others.iter().map(|gap| format!("a gap where nothing was lost: {gap}")));
    if listener.len() as u64 > world.starts {
        report.violations.push(format!(
            "{} gaps of a listener that was started {} times",
            listener.len(),
            world.starts
        ));
    }
    let status = status(world)?;
    for seam in status.get("seams").and_then(Value::as_array).into_iter().flatten() {
        if seam.get("holds") != Some(&Value::Bool(true)) {
            report.violations.push(format!("does not add up: {seam}"));
        }
    }
    Ok(())
}

/// The doctor finds nothing in the stopped folder.
fn of_folder(world: &World, report: &mut Report) -> Result<()> {
    let said = world.place.ask(&["doctor"])?;
    ensure!(said.len() == 1, "the doctor said {} lines", said.len());
    for said in said.iter().filter(|said| said.get("well") != Some(&Value::Bool(true))) {
        report.violations.push(format!("the doctor found {}", said.get("findings").unwrap_or(said)));
    }
    Ok(())
}
