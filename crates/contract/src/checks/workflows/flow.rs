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
        let next: Vec<Vec<usize>> = (0..tasks.len()).map(|at| targets(tasks, at)).collect();
        let mut reached = vec![false; tasks.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            match reached.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            open.extend(next.get(at).into_iter().flatten());
        }
        for (task, _) in tasks.iter().zip(&reached).filter(|(_, reached)| !**reached) {
            let Some(spot) = self.spots.get(&task.pointer) else { continue };
            let finding =
                Finding::error(codes::UNREACHABLE, *spot, format!("the task `{}` is never reached", task.name));
            self.project.push(finding.help("let a `then` lead to it, or remove it"));
        }
        if self.follow {
            self.endless(tasks, &next, &reached);
        }
    }

    /// Tells of tasks that are reached, and from which no flow leaves the list.
    fn endless(&self, tasks: &[Task], next: &[Vec<usize>], reached: &[bool]) {
        // What ends leads out of the list, or to what ends.
        let mut ends = vec![false; tasks.len()];
        loop {
            let leads_out = |at: usize| {
                next.get(at)
                    .is_some_and(|next| next.is_empty() || next.iter().any(|to| ends.get(*to).copied().unwrap_or(true)))
            };
            let now: Vec<bool> = (0..tasks.len()).map(leads_out).collect();
            if now == ends {
                break;
            }
            ends = now;
        }
        let endless = tasks
            .iter()
            .enumerate()
            .find(|(at, _)| reached.get(*at).copied().unwrap_or(false) && !ends.get(*at).copied().unwrap_or(true));
        if let Some(spot) = endless.and_then(|(_, task)| self.spots.get(&task.pointer)) {
            let message = "the flow goes in a circle from here, and nothing leads out of it";
            let finding = Finding::error(codes::ENDLESS, *spot, message);
            self.project
                .push(finding.help("let a `switch` leave it, by `then: exit`, `then: end` or a task behind it"));
        }
    }
}

/// The tasks that may follow one; the number behind the last stands for what is outside of the list.
fn targets(tasks: &[Task], at: usize) -> Vec<usize> {
    let outside = tasks.len();
    let place = |then: &Then| match then {
        Then::Continue => at + 1,
        Then::Task(name) => tasks.iter().position(|task| task.name == *name).unwrap_or(outside),
        Then::Exit | Then::End => outside,
    };
    let Some(task) = tasks.get(at) else { return Vec::new() };
    let mut all = Vec::new();
    if task.condition.is_some() {
        all.push(place(&Then::Continue));
    }
    match &task.kind {
        TaskKind::Raise(_) => {}
        TaskKind::Switch(cases) => {
            all.extend(cases.iter().map(|case| place(&case.then)));
            if cases.iter().all(|case| case.when.is_some()) {
                all.push(place(&task.then));
            }
        }
        _ => all.push(place(&task.then)),
    }
    all
}
