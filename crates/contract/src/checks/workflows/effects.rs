//! What a workflow does outside, and where: nothing is done twice that must not be, undone that cannot be, waited for
//! without an end, or placed where it cannot run.

use super::Workflows;
use crate::{
    checks::{routes::Routes, systems::Systems},
    codes,
    contract::{Idempotency, OperationRef, Target},
    http::Repeats,
    load::Project,
    problem::{Finding, Spot},
    workflow::{Consumption, Definition, HttpCall, Listen, Placement, Schedule, Task, TaskKind, Until},
};
use andon_model::Name;
use std::collections::BTreeMap;

/// Looks at all workflows, once it is known who answers their calls.
pub(crate) fn check(project: &Project, workflows: &Workflows, routes: &Routes, systems: &Systems) {
    let nowhere = BTreeMap::new();
    for (name, definition) in &workflows.good {
        let walk = Walk { project, routes, systems, spots: workflows.spots.get(name).unwrap_or(&nowhere) };
        let around = Around { ends: definition.timeout.is_some(), ..Around::default() };
        walk.tasks(&definition.tasks, around);
        placed(project, workflows, name, definition);
    }
}

/// `placement: edge` needs an event that starts the workflow, and whatever it runs at the edge too.
fn placed(project: &Project, workflows: &Workflows, name: &Name, definition: &Definition) {
    if definition.settings.placement != Placement::Edge {
        return;
    }
    let Some(spot) = workflows.placed.get(name) else { return };
    if !matches!(definition.schedule, Some(Schedule::On(_))) && !workflows.is_run(name.as_str()) {
        let message = "no event starts this workflow, so no asset says at which edge it would run";
        let finding = Finding::error(codes::PLACEMENT, *spot, message);
        project.push(finding.expected("a workflow with `schedule.on`").help("leave it out: it runs on the hub"));
    }
    for other in workflows.runs.get(name).into_iter().flatten() {
        let target = Name::new(other.as_str()).ok().and_then(|other| workflows.good.get(&other));
        if target.is_some_and(|target| target.settings.placement != Placement::Edge) {
            let message = format!("it runs the workflow `{other}`, which runs on the hub");
            let finding = Finding::error(codes::PLACEMENT, *spot, message);
            project.push(finding.help("let both run at the edge, or both on the hub"));
        }
    }
}

/// What stands around a task.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that may stand around a task")]
struct Around {
    /// It is repeated by a `retry`.
    repeated: bool,
    /// It is in a branch that may be given up.
    competing: bool,
    /// It undoes something.
    undoing: bool,
    /// A timeout ends it.
    ends: bool,
    /// A task around it says what undoes it.
    undone: bool,
}

struct Walk<'a> {
    project: &'a Project,
    routes: &'a Routes,
    systems: &'a Systems,
    spots: &'a BTreeMap<String, Spot>,
}

/// What repeats of a call do, at the worst of the places that may answer it.
struct Worst {
    repeats: Repeats,
    /// Who answers so.
    by: String,
}

impl Walk<'_> {
    fn tasks(&self, tasks: &[Task], around: Around) {
        for task in tasks {
            self.task(task, around);
        }
    }

    fn task(&self, task: &Task, around: Around) {
        let around = Around {
            ends: around.ends || task.timeout.is_some(),
            undone: around.undone || !task.compensate.is_empty(),
            ..around
        };
        self.tasks(&task.compensate, Around { undoing: true, ends: around.ends, ..Around::default() });
        match &task.kind {
            TaskKind::Do(tasks) | TaskKind::Function { tasks, .. } => self.tasks(tasks, around),
            TaskKind::For(of) => self.tasks(&of.tasks, around),
            TaskKind::Fork { branches, compete } => {
                self.tasks(branches, Around { competing: around.competing || *compete, undone: false, ..around });
            }
            TaskKind::Listen(listen) => {
                self.listen(task, listen, around);
                if let Some(foreach) = &listen.foreach {
                    self.tasks(&foreach.tasks, around);
                }
            }
            TaskKind::Try(guard) => {
                self.tasks(&guard.tasks, Around { repeated: around.repeated || guard.retry.is_some(), ..around });
                self.tasks(&guard.handler, around);
            }
            TaskKind::Call { capability, .. } => {
                if let Some(worst) = self.worst(capability) {
                    self.effect(task, &worst, around);
                }
            }
            TaskKind::Http(call) => self.effect(task, &of_http(call), around),
            TaskKind::Openapi(call) => {
                if let Some(repeats) = call.idempotency.as_deref().map(of_word) {
                    self.effect(task, &Worst { repeats, by: format!("`{}`", call.operation) }, around);
                }
            }
            _ => {}
        }
    }

    /// The worst that repeats of a call do; `None` where nobody is known to answer.
    fn worst(&self, capability: &str) -> Option<Worst> {
        let of = |operation: &OperationRef| {
            let found = self.systems.good.get(&operation.system)?.operations.get(&operation.operation)?;
            let repeats = match &found.idempotency {
                Idempotency::Read => Repeats::Read,
                Idempotency::Key => Repeats::Key,
                Idempotency::Upsert => Repeats::Upsert,
                // Searched for and found: done once, but not by itself.
                Idempotency::Lookup(_) => return Some(Worst { repeats: Repeats::None, by: String::new() }),
                Idempotency::None => Repeats::None,
            };
            Some(Worst { repeats, by: format!("`{}.{}`", operation.system, operation.operation) })
        };
        let routes = self.routes.all.iter().filter(|route| route.capability == capability);
        let operations = routes.flat_map(|route| {
            let target = match &route.target {
                Target::Operation(target) => Some(target),
                Target::None { .. } => None,
            };
            target.into_iter().chain(&route.fallback)
        });
        operations.filter_map(of).max_by_key(|worst| match worst.repeats {
            Repeats::Read => 0,
            Repeats::Key | Repeats::Upsert => 1,
            Repeats::None if worst.by.is_empty() => 2,
            Repeats::None => 3,
        })
    }

    /// An effect, and whether it may be done where it stands.
    fn effect(&self, task: &Task, worst: &Worst, around: Around) {
        let Some(spot) = self.spots.get(&task.pointer).copied() else { return };
        let is_none = worst.repeats == Repeats::None;
        // A search tells whether it was done, so a repeat is none.
        let is_searched = is_none && worst.by.is_empty();
        if around.repeated && is_none && !is_searched {
            let message = format!("`retry` would call {} again, whose repeats do it again", worst.by);
            self.project.push(Finding::error(codes::REPEATED_EFFECT, spot, message).help(
                "put the call outside of the `try`, or give the operation another class: `key`, `upsert` or `lookup`; \
                 the system repeats what surely failed by itself",
            ));
        }
        if around.undoing && is_none && !is_searched {
            let message = format!("what undoes a task may be repeated, and repeats of {} do it again", worst.by);
            let finding = Finding::error(codes::COMPENSATION, spot, message);
            self.project.push(finding.help("give the operation another class: `key`, `upsert` or `lookup`"));
        }
        let is_safe = match worst.repeats {
            Repeats::Read => true,
            Repeats::Key | Repeats::Upsert => around.undone,
            Repeats::None => false,
        };
        if around.competing && !is_safe {
            let message = "a branch that loses is given up, and what this call did would stay";
            let finding = Finding::error(codes::REPEATED_EFFECT, spot, message)
                .expected("a read, or a call of the class `key` or `upsert` with `metadata.compensate`");
            self.project.push(finding.help("say what undoes it, or call behind the `fork`, once the winner is known"));
        }
    }

    /// A listener that nothing ends.
    fn listen(&self, task: &Task, listen: &Listen, around: Around) {
        let for_ever = matches!(&listen.to, Consumption::Any { until: Some(Until::Never), .. });
        if let (true, false, Some(spot)) = (for_ever, around.ends, self.spots.get(&task.pointer)) {
            let message = format!("the task `{}` waits for ever: nothing ends it", task.name);
            let finding = Finding::warning(codes::ENDLESS, *spot, message);
            self.project.push(finding.help("give it a `timeout`, or say when it has enough by `until`"));
        }
    }
}

fn of_word(word: &str) -> Repeats {
    match word {
        "read" => Repeats::Read,
        "key" => Repeats::Key,
        "upsert" => Repeats::Upsert,
        _ => Repeats::None,
    }
}

fn of_http(call: &HttpCall) -> Worst {
    let repeats = call.idempotency.as_deref().map_or_else(|| Repeats::of_method(&call.method), of_word);
    Worst { repeats, by: format!("`{}`", call.method) }
}
