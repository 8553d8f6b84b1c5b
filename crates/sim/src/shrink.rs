//! Looks for a shorter plan that fails as well: parts are left out, first large ones, as long as it still fails.

use crate::plan::Plan;

/// Leaves out what need not happen for `fails` to stay true, with so many tries at most.
pub fn shrink(plan: &Plan, tries: u32, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut left = tries;
    // Nothing behind the last action that matters is needed: halves from the end first, then parts anywhere.
    let mut part = best.actions.len().div_ceil(2).max(1);
    loop {
        let mut at = best.actions.len();
        let before = best.actions.len();
        while at > 0 {
            if left == 0 {
                return best;
            }
            let from = at.saturating_sub(part);
            let mut shorter = best.clone();
            shorter.actions.drain(from..at);
            left -= 1;
            if fails(&shorter) {
                best = shorter;
            }
            at = from;
        }
        if part == 1 && best.actions.len() == before {
            return best;
        }
        part = part.div_ceil(2).clamp(1, best.actions.len().max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Action;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let plan = Plan::of(4);
        let needed: Vec<usize> = vec![17, 18, 444];
        let fails = |plan: &Plan| needed.iter().all(|number| plan.actions.iter().any(|at| at.number == *number));
        let short = shrink(&plan, 2_000, fails);
        assert_eq!(short.actions.iter().map(|at| at.number).collect::<Vec<_>>(), needed);
    }

    #[test]
    fn what_fails_whatever_happens_needs_nothing_and_the_effort_is_bounded() {
        assert!(shrink(&Plan::of(4), 2_000, |_| true).actions.is_empty());
        let mut tried = 0;
        let fails = |plan: &Plan| {
            tried += 1;
            plan.actions.iter().filter(|at| at.action == Action::Speak).count() > 50
        };
        shrink(&Plan::of(4), 30, fails);
        assert_eq!(tried, 30);
    }
}
