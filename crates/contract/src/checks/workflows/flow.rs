//! The flow through a list of tasks: every target exists, and every task can be reached.

use super::Scope;
use crate::{
    codes,
    problem::Finding,
    read::At,
    workflow::{Task, TaskKind, Then},
};

/// Names that `then` understands itself.
pub(super) const DIRECTIVES: [&str; 3] = ["continue", "exit", "end"];

impl Scope<'_> {
    /// Where `then` leads; tells where there is no task of that name in the list.
    pub(super) fn then(&self, then: Option<&At<String>>, names: &[String]) -> Option<Then> {
        let Some(then) = then else { return Some(Then::Continue) };
        Some(match then.as_str() {
            "continue" => Then::Continue,
            "exit" => Then::Exit,
            "end" => Then::End,
            name if names.iter().any(|known| known == name) => Then::Task(name.to_owned()),
            name => {
                let known = DIRECTIVES.iter().copied().chain(names.iter().map(String::as_str));
                let finding =
                    Finding::error(codes::UNKNOWN_TASK, then.spot, format!("there is no task `{name}` in this list"));
                self.project
                    .push(finding.known(name, known).help("name a task of the same list, or `exit` to leave it"));
                return None;
            }
        })
    }

    /// Tells of tasks that no flow reaches.
    pub(super) fn reachable(&self, tasks: &[Task]) {
        let mut reached = vec![false; tasks.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            match reached.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let Some(task) = tasks.get(at) else { continue };
            let mut go = |then: &Then| match then {
                Then::Continue => open.push(at + 1),
                Then::Task(name) => open.extend(tasks.iter().position(|task| task.name == *name)),
                Then::Exit | Then::End => {}
            };
            if task.condition.is_some() {
                go(&Then::Continue);
            }
            match &task.kind {
                TaskKind::Raise(_) => {}
                TaskKind::Switch(cases) => {
                    for case in cases {
                        go(&case.then);
                    }
                    if cases.iter().all(|case| case.when.is_some()) {
                        go(&task.then);
                    }
                }
                _ => go(&task.then),
            }
        }
        for (task, _) in tasks.iter().zip(&reached).filter(|(_, reached)| !**reached) {
            let Some(spot) = self.spots.get(&task.pointer) else { continue };
            let finding =
                Finding::error(codes::UNREACHABLE, *spot, format!("the task `{}` is never reached", task.name));
            self.project.push(finding.help("let a `then` lead to it, or remove it"));
        }
    }
}
