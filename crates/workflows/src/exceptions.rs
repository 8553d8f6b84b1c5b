//! What people are told: cause, particulars and what to do next.

use crate::fault::Fault;
use crate::machine::Ask;
use crate::machine::Undo;
use andon_contract::Contract;
use andon_contract::contract::{About, Matter, matter};
use andon_model::{EventId, ExceptionId, Key, Name, OutcomeClass, RunId, SiteName, Time};
use andon_store::Decision;
use andon_store::rows::{Action, CallRow, ExceptionKind, ExceptionRow, RunRow};
use serde_json::Value as Json;

/// The most characters of a detail that an exception shows.
const DETAIL_MAX: usize = 2_000;

/// The exception about a call: each call has its own, and an edited one that of the call it stands for.
pub(crate) fn of_call_id(run: RunId, pointer: &str, iteration: &str) -> ExceptionId {
    let call = Key::of_task(run, pointer, iteration, 0).call_id();
    ExceptionId::derived(&[b"call", call.to_string().as_bytes()])
}

/// The exception about a run that has faulted, and no call is to blame for it.
pub(crate) fn of_run_id(run: RunId) -> ExceptionId {
    ExceptionId::derived(&[b"faulted", run.to_string().as_bytes()])
}

/// The parts that differ from exception to exception.
struct Told<'a> {
    kind: ExceptionKind,
    site: Option<&'a SiteName>,
    fingerprint: String,
    cause: String,
    detail: String,
    remedy: String,
    action: Action,
}

impl Told<'_> {
    /// With an id that derives from the fingerprint: one exception for all of the group.
    fn at(self, contract: &Contract, now: Time) -> ExceptionRow {
        let id = ExceptionId::derived(&[self.fingerprint.as_bytes()]);
        self.with(contract, id, &Matter::default(), None, now)
    }

    /// About a run; with an id of its own where one is given.
    fn of_run(self, contract: &Contract, id: Option<ExceptionId>, run: &RunRow, now: Time) -> ExceptionRow {
        let id = id.unwrap_or_else(|| ExceptionId::derived(&[self.fingerprint.as_bytes()]));
        let key = run.input.get(0).and_then(|event| event.get("partitionkey")).and_then(Json::as_str);
        let of = Matter { input: Some(&run.input), key, ..Matter::default() };
        ExceptionRow { run: Some(run.id), ..self.with(contract, id, &of, None, now) }
    }

    /// About a call; with an id of its own where one is given.
    fn of_call(self, contract: &Contract, id: Option<ExceptionId>, call: &CallRow, now: Time) -> ExceptionRow {
        let id = id.unwrap_or_else(|| ExceptionId::derived(&[self.fingerprint.as_bytes()]));
        let domain = contract.capabilities.get(&call.capability).map(|capability| capability.domain.as_str());
        let key = call.memory.get("lane").and_then(Json::as_str).filter(|key| !key.is_empty());
        let of = Matter {
            input: Some(&call.input),
            site: Some(&call.site),
            capability: Some(&call.capability),
            system: call.system.as_ref(),
            outcome: call.class,
            key,
            detail: None,
        };
        ExceptionRow {
            run: Some(call.run),
            call: Some(call.id),
            system: call.system.clone(),
            capability: Some(call.capability.clone()),
            domain: domain.map(str::to_owned),
            outcome: call.class,
            ..self.with(contract, id, &of, domain, now)
        }
    }

    fn with(
        self,
        contract: &Contract,
        id: ExceptionId,
        of: &Matter<'_>,
        domain: Option<&str>,
        now: Time,
    ) -> ExceptionRow {
        let content = matter(&Matter { site: self.site, detail: Some(&self.detail), ..*of });
        let about = About { kind: self.kind.word(), domain, site: self.site, outcome: of.outcome, content: &content };
        let answerable = contract.answerable(&about, now);
        ExceptionRow {
            site: self.site.cloned(),
            cause: self.cause,
            detail: self.detail.chars().take(DETAIL_MAX).collect(),
            remedy: self.remedy,
            key: of.key.map(str::to_owned),
            action: Some(self.action),
            due: answerable.due,
            ..ExceptionRow::new(id, self.kind, answerable.owner, self.fingerprint, now)
        }
    }
}

/// What a person is advised to do about a call that was refused for good.
fn advice(class: Option<OutcomeClass>) -> Action {
    match class {
        Some(OutcomeClass::Validation | OutcomeClass::Conflict | OutcomeClass::NotFound) | None => Action::Edit,
        Some(OutcomeClass::Unknown) => Action::Look,
        _ => Action::Retry,
    }
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
        site: Some(&call.site),
        fingerprint: format!("refused/{}/{}/{system}/{class}/{}", call.site, call.capability, shape(&detail)),
        cause,
        detail: format!("{detail}; reference {}, task {}", call.reference, call.pointer),
        remedy,
        action: advice(call.class),
    };
    told.of_call(contract, Some(of_call_id(call.run, &call.pointer, &call.iteration)), call, now)
}

/// Nobody knows whether a call had its effect; each such call is told by itself.
pub(crate) fn unknown(contract: &Contract, call: &CallRow, what: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Output;
    let system = asked(call);
    let told = Told {
        kind,
        site: Some(&call.site),
        fingerprint: format!("unknown/{}/{}/{system}", call.site, call.capability),
        cause: format!("{} at {system} may or may not have been done", call.capability),
        detail: format!("{what}; reference {}, key {}", call.reference, call.key.as_str()),
        remedy: format!(
            "look at {system} for the reference {}; the run waits and nothing is sent again until somebody decides",
            call.reference
        ),
        action: Action::Look,
    };
    told.of_call(contract, Some(of_call_id(call.run, &call.pointer, &call.iteration)), call, now)
}

/// A call waits because the contract names nobody who could answer.
pub(crate) fn nobody(contract: &Contract, call: &CallRow, why: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Output;
    let told = Told {
        kind,
        site: Some(&call.site),
        fingerprint: format!("nobody/{}/{}", call.site, call.capability),
        cause: format!("nobody answers for {} at {}; its calls wait", call.capability, call.site),
        detail: format!("{why}; reference {}", call.reference),
        remedy: format!(
            "add a route for {} at {} to routes.yaml, or `use: none` with a reason",
            call.capability, call.site
        ),
        action: Action::Reroute,
    };
    told.of_call(contract, Some(of_call_id(call.run, &call.pointer, &call.iteration)), call, now)
}

/// A parked call of which people were told, and are told no more: told again as at first.
pub fn parked(contract: &Contract, call: &CallRow, now: Time) -> ExceptionRow {
    let said = call.detail.clone().unwrap_or_else(|| "it is parked, and nobody was told of it any more".to_owned());
    if call.system.is_none() { nobody(contract, call, &said, now) } else { unknown(contract, call, &said, now) }
}

/// A call was delivered and its output is not what the capability declares.
pub(crate) fn drifted(contract: &Contract, call: &CallRow, what: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Drift;
    let system = asked(call);
    let told = Told {
        kind,
        site: Some(&call.site),
        fingerprint: format!("drift/{}/{}/{system}/{}", call.site, call.capability, shape(what)),
        cause: format!("the answer of {system} is not what {} declares; the call is delivered", call.capability),
        detail: format!("{what}; reference {}", call.reference),
        remedy: format!("correct the `response` of the operation at {system}, or the output of {}", call.capability),
        action: Action::Look,
    };
    told.of_call(contract, None, call, now)
}

/// A run ended with an error that nothing caught and that no call is to blame for.
pub(crate) fn faulted(contract: &Contract, run: &RunRow, fault: &Fault, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    let detail = fault.detail.clone().or_else(|| fault.title.clone()).unwrap_or_default();
    let place = fault.instance.as_deref().unwrap_or("/do");
    Told {
        kind,
        site: Some(&run.site),
        fingerprint: format!("faulted/{}/{}/{place}/{}/{}", run.site, run.workflow, fault.kind, shape(&detail)),
        cause: format!("the workflow {} ended with an error that nothing caught, at {place}", run.workflow),
        detail: format!("{} {}: {detail}", fault.kind, fault.status),
        remedy: "correct the workflow or what it was given, or catch the error with `try`".to_owned(),
        action: Action::Retry,
    }
    .of_run(contract, Some(of_run_id(run.id)), run, now)
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
        action: Action::Look,
    }
    .at(contract, now)
}

/// What a task has done could not be undone.
pub(crate) fn not_undone(contract: &Contract, run: &RunRow, undo: &Undo, fault: &Fault, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    let detail = fault.detail.clone().or_else(|| fault.title.clone()).unwrap_or_default();
    let id = ExceptionId::derived(&[
        b"not-undone",
        run.id.to_string().as_bytes(),
        undo.pointer.as_bytes(),
        undo.iteration.as_bytes(),
    ]);
    let times = if undo.iteration.is_empty() { String::new() } else { format!(" (iteration {})", undo.iteration) };
    Told {
        kind,
        site: Some(&run.site),
        fingerprint: format!("not-undone/{}/{}/{}/{}", run.site, run.workflow, undo.pointer, shape(&detail)),
        cause: format!("what the task {}{times} of {} has done is not undone", undo.pointer, run.workflow),
        detail: format!("{} {}: {detail}; run {}", fault.kind, fault.status, run.id),
        remedy: "undo by hand what the task has done; its row in the journal says with what and what it gave"
            .to_owned(),
        action: Action::Look,
    }
    .of_run(contract, Some(id), run, now)
}

/// Runs are held because their definition is revoked.
pub(crate) fn revoked(contract: &Contract, run: &RunRow, version: &str, reason: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    Told {
        kind,
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
        action: Action::Look,
    }
    .at(contract, now)
}

/// Runs wait because the contract they began with cannot be read any more.
pub(crate) fn unreadable(contract: &Contract, run: &RunRow, why: &str, now: Time) -> ExceptionRow {
    let kind = ExceptionKind::Decision;
    Told {
        kind,
        site: Some(&run.site),
        fingerprint: format!("unreadable/{}/{}", run.revision, run.workflow),
        cause: format!("runs of {} wait: the contract they began with cannot be read", run.workflow),
        detail: format!("revision {}: {why}", run.revision),
        remedy: "start the version of andon that activated this revision, or restore a backup that holds it".to_owned(),
        action: Action::Look,
    }
    .of_run(contract, None, run, now)
}

/// A run asks a person.
pub(crate) fn decision(run: &RunRow, ask: &Ask, now: Time) -> ExceptionRow {
    let fingerprint = format!("decision/{}/{}/{}", run.site, run.workflow, ask.pointer);
    let key = run.input.get(0).and_then(|event| event.get("partitionkey")).and_then(Json::as_str);
    ExceptionRow {
        key: key.map(str::to_owned),
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
    Told {
        kind: of,
        site: Some(&run.site),
        fingerprint: format!("listen/{}/{}/{kind}/{}", run.site, run.workflow, shape(error)),
        cause: format!("a run of {} cannot tell whether an event of the type {kind} is meant for it", run.workflow),
        detail: format!("{error}; event {event}"),
        remedy: "correct the filter of the `listen`, for example by a default as in `.severity // 0`; the event was \
                 passed over"
            .to_owned(),
        action: Action::Look,
    }
    .of_run(contract, None, run, now)
}
