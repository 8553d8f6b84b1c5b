//! What people are told: cause, particulars and what to do next.

use crate::fault::Fault;
use crate::machine::Ask;
use crate::machine::Undo;
use andon_contract::Contract;
use andon_model::{EventId, ExceptionId, Name, SiteName, Time};
use andon_store::Decision;
use andon_store::rows::{Action, CallRow, ExceptionKind, ExceptionRow, RunRow};

/// The most characters of a detail that an exception shows.
const DETAIL_MAX: usize = 2_000;

/// The parts that differ from exception to exception.
struct Told<'a> {
    kind: ExceptionKind,
    owner: Name,
    site: Option<&'a SiteName>,
    fingerprint: String,
    cause: String,
    detail: String,
    remedy: String,
}

impl Told<'_> {
    fn at(self, now: Time) -> ExceptionRow {
        let id = ExceptionId::derived(&[self.fingerprint.as_bytes()]);
        ExceptionRow {
            site: self.site.cloned(),
            cause: self.cause,
            detail: self.detail.chars().take(DETAIL_MAX).collect(),
            remedy: self.remedy,
            ..ExceptionRow::new(id, self.kind, self.owner, self.fingerprint, now)
        }
    }
}

/// The owner by the policy; a capability's own team where the policy has no line.
fn owner(contract: &Contract, kind: ExceptionKind, capability: Option<&str>, site: Option<&SiteName>) -> Name {
    let capability = capability.and_then(|name| contract.capabilities.get(name));
    contract
        .owner(kind.word(), capability.map(|c| c.domain.as_str()), site)
        .or(capability.map(|c| &c.owner))
        .or_else(|| contract.ownership.teams.keys().next())
        .cloned()
        .unwrap_or_else(|| Name::new("nobody").expect("lower-case letters are a name"))
}

/// The words of a detail without what differs from case to case: numbers, quoted text, references.
fn shape(detail: &str) -> String {
    let mut shape = String::new();
    let mut quote = None;
    for char in detail.chars().take(200) {
        match (quote, char) {
            (Some(open), _) => {
                if char == open {
                    quote = None;
                    shape.push(char);
                }
            }
            (None, '"' | '`') => {
                quote = Some(char);
                shape.push(char);
            }
            (None, '0'..='9') => {
                if !shape.ends_with('#') {
                    shape.push('#');
                }
            }
            (None, other) => shape.push(other),
        }
    }
    shape
}

fn of_call(mut row: ExceptionRow, call: &CallRow) -> ExceptionRow {
    row.run = Some(call.run);
    row.call = Some(call.id);
    row
}

fn asked(call: &CallRow) -> String {
    call.system.as_ref().map_or_else(|| "nobody".to_owned(), Name::to_string)
}

/// A call was refused for good and nothing in its run caught the error.
pub(crate) fn refused(contract: &Contract, call: &CallRow, fault: &Fault, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Output;
    let class = call.class.map_or("validation", andon_model::OutcomeClass::word);
    let detail = call.detail.clone().or_else(|| fault.detail.clone()).unwrap_or_default();
    let system = asked(call);
    let remedy = match class {
        "auth" => format!("renew the credentials of {system}; the call surely had no effect"),
        "permission" => format!("let the user of {system} do this; the call surely had no effect"),
        "validation" => format!(
            "correct what {} sends, in the workflow or in the request of the operation; the call surely had no effect",
            call.capability
        ),
        "conflict" | "not-found" => {
            format!("look at what the call names at {system} and correct it there; the call surely had no effect")
        }
        _ => format!("bring {system} back; the call was repeated until its time was up and surely had no effect"),
    };
    let cause = match &call.system {
        Some(system) => format!("{} was refused by {system} ({class}), and its run has ended", call.capability),
        None => format!("{} was not called: its input is wrong, and its run has ended", call.capability),
    };
    let told = Told {
        kind,
        owner: owner(contract, kind, Some(&call.capability), Some(&call.site)),
        site: Some(&call.site),
        fingerprint: format!("refused/{}/{}/{system}/{class}/{}", call.site, call.capability, shape(&detail)),
        cause,
        detail: format!("{detail}; reference {}, task {}", call.reference, call.pointer),
        remedy,
    };
    of_call(told.at(now), call)
}

/// Nobody knows whether a call had its effect; each such call is told by itself.
pub(crate) fn unknown(contract: &Contract, call: &CallRow, what: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Output;
    let system = asked(call);
    let told = Told {
        kind,
        owner: owner(contract, kind, Some(&call.capability), Some(&call.site)),
        site: Some(&call.site),
        fingerprint: format!("unknown/{}", call.id),
        cause: format!("{} at {system} may or may not have been done", call.capability),
        detail: format!("{what}; reference {}, key {}", call.reference, call.key.as_str()),
        remedy: format!(
            "look at {system} for the reference {}; the run waits and nothing is sent again until somebody decides",
            call.reference
        ),
    };
    of_call(told.at(now), call)
}

/// A call waits because the contract names nobody who could answer.
pub(crate) fn nobody(contract: &Contract, call: &CallRow, why: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Output;
    let told = Told {
        kind,
        owner: owner(contract, kind, Some(&call.capability), Some(&call.site)),
        site: Some(&call.site),
        fingerprint: format!("nobody/{}/{}", call.site, call.capability),
        cause: format!("nobody answers for {} at {}; its calls wait", call.capability, call.site),
        detail: format!("{why}; reference {}", call.reference),
        remedy: format!(
            "add a route for {} at {} to routes.yaml, or `use: none` with a reason",
            call.capability, call.site
        ),
    };
    of_call(told.at(now), call)
}

/// A call was delivered and its output is not what the capability declares.
pub(crate) fn drifted(contract: &Contract, call: &CallRow, what: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Drift;
    let system = asked(call);
    let told = Told {
        kind,
        owner: owner(contract, kind, Some(&call.capability), Some(&call.site)),
        site: Some(&call.site),
        fingerprint: format!("drift/{}/{}/{system}/{}", call.site, call.capability, shape(what)),
        cause: format!("the answer of {system} is not what {} declares; the call is delivered", call.capability),
        detail: format!("{what}; reference {}", call.reference),
        remedy: format!("correct the `response` of the operation at {system}, or the output of {}", call.capability),
    };
    of_call(told.at(now), call)
}

/// A run ended with an error that nothing caught and that no call is to blame for.
pub(crate) fn faulted(contract: &Contract, run: &RunRow, fault: &Fault, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    let detail = fault.detail.clone().or_else(|| fault.title.clone()).unwrap_or_default();
    let place = fault.instance.as_deref().unwrap_or("/do");
    let mut row = Told {
        kind,
        owner: owner(contract, kind, None, Some(&run.site)),
        site: Some(&run.site),
        fingerprint: format!("faulted/{}/{}/{place}/{}/{}", run.site, run.workflow, fault.kind, shape(&detail)),
        cause: format!("the workflow {} ended with an error that nothing caught, at {place}", run.workflow),
        detail: format!("{} {}: {detail}", fault.kind, fault.status),
        remedy: "correct the workflow or what it was given, or catch the error with `try`".to_owned(),
    }
    .at(now);
    row.run = Some(run.id);
    row
}

/// A workflow's filter failed on an event, so that nobody knows whether the event was meant for it.
pub(crate) fn filter(
    contract: &Contract,
    workflow: &str,
    event: &andon_model::Event,
    error: &str,
    now: Time,
) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    Told {
        kind,
        owner: owner(contract, kind, None, Some(&event.site)),
        site: Some(&event.site),
        fingerprint: format!("filter/{}/{workflow}/{}/{}", event.site, event.kind, shape(error)),
        cause: format!(
            "the workflow {workflow} cannot tell whether an event of the type {} is meant for it",
            event.kind
        ),
        detail: format!("{error}; event {}", event.id),
        remedy:
            "correct `schedule.on.one.with.data`, for example by a default as in `.severity // 0`; no run was started"
                .to_owned(),
    }
    .at(now)
}

/// What a task has done could not be undone.
pub(crate) fn not_undone(contract: &Contract, run: &RunRow, undo: &Undo, fault: &Fault, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    let detail = fault.detail.clone().or_else(|| fault.title.clone()).unwrap_or_default();
    let times = if undo.iteration.is_empty() { String::new() } else { format!(" (iteration {})", undo.iteration) };
    let mut row = Told {
        kind,
        owner: owner(contract, kind, None, Some(&run.site)),
        site: Some(&run.site),
        fingerprint: format!("not-undone/{}/{}/{}", run.id, undo.pointer, undo.iteration),
        cause: format!("what the task {}{times} of {} has done is not undone", undo.pointer, run.workflow),
        detail: format!("{} {}: {detail}; run {}", fault.kind, fault.status, run.id),
        remedy: "undo by hand what the task has done; its row in the journal says with what and what it gave"
            .to_owned(),
    }
    .at(now);
    row.run = Some(run.id);
    row
}

/// Runs are held because their definition is revoked.
pub(crate) fn revoked(contract: &Contract, run: &RunRow, version: &str, reason: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    Told {
        kind,
        owner: owner(contract, kind, None, Some(&run.site)),
        site: Some(&run.site),
        fingerprint: format!("revoked/{}/{}/{version}", run.site, run.workflow),
        cause: format!("runs of {} are held: its version {version} is revoked", run.workflow),
        detail: reason.to_owned(),
        remedy: format!(
            "remove `metadata.revoked` to let them go on, or cancel them: andon runs cancel --where workflow={} \
            --where \
             state=held --reason ...",
            run.workflow
        ),
    }
    .at(now)
}

/// Runs wait because the contract they began with cannot be read any more.
pub(crate) fn unreadable(contract: &Contract, run: &RunRow, why: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    let mut row = Told {
        kind,
        owner: owner(contract, kind, None, Some(&run.site)),
        site: Some(&run.site),
        fingerprint: format!("unreadable/{}/{}", run.revision, run.workflow),
        cause: format!("runs of {} wait: the contract they began with cannot be read", run.workflow),
        detail: format!("revision {}: {why}", run.revision),
        remedy: "start the version of andon that activated this revision, or restore a backup that holds it".to_owned(),
    }
    .at(now);
    row.run = Some(run.id);
    row
}

/// A run asks a person.
pub(crate) fn decision(run: &RunRow, ask: &Ask, now: Time) -> ExceptionRow {
    let fingerprint = format!("decision/{}", ask.exception);
    ExceptionRow {
        site: Some(run.site.clone()),
        cause: ask.question.chars().take(DETAIL_MAX).collect(),
        detail: format!("{} waits at {} for an answer", run.workflow, ask.pointer),
        remedy: format!("andon exceptions decide {} --answer JSON, or --field name=value", ask.exception),
        run: Some(run.id),
        action: Some(Action::Decide),
        due: ask.due,
        decision: Some(Box::new(Decision {
            task: ask.pointer.clone(),
            form: ask.form.clone(),
            escalate: ask.escalate.clone(),
            escalated: None,
            answer: None,
            by: None,
        })),
        ..ExceptionRow::new(ask.exception, ExceptionKind::Decision, ask.owner.clone(), fingerprint, now)
    }
}

/// Nobody has decided in time: another team owns the question.
pub(crate) fn pass_on(row: &mut ExceptionRow, to: Name, now: Time) {
    let before = std::mem::replace(&mut row.owner, to);
    row.detail = format!("{}; at {now} it passed from {before} to {}", row.detail, row.owner);
    if let Some(decision) = &mut row.decision {
        decision.escalate = None;
        decision.escalated = Some((now, before));
    }
}

/// A filter of a `listen` failed on an event.
pub(crate) fn doubt(
    contract: &Contract,
    run: &RunRow,
    (event, kind): (EventId, &str),
    error: &str,
    now: Time,
) -> ExceptionRow {
    let of = ExceptionKind::Decision;
    let mut row = Told {
        kind: of,
        owner: owner(contract, of, None, Some(&run.site)),
        site: Some(&run.site),
        fingerprint: format!("listen/{}/{}/{kind}/{}", run.site, run.workflow, shape(error)),
        cause: format!("a run of {} cannot tell whether an event of the type {kind} is meant for it", run.workflow),
        detail: format!("{error}; event {event}"),
        remedy: "correct the filter of the `listen`, for example by a default as in `.severity // 0`; the event was \
                 passed over"
            .to_owned(),
    }
    .at(now);
    row.run = Some(run.id);
    row
}
