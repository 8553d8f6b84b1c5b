//! The states of a machine as a table beside its code, and as the diagram that its page shows.

use std::{collections::BTreeSet, fmt::Write as _};

/// The states of a kind of rule for one asset, and what leads from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diagram {
    /// The word of the key `kind`; the page is `docs/rules/<kind>.md`.
    pub kind: &'static str,
    /// The state of a rule that has seen nothing.
    pub begins: &'static str,
    /// From which state, to which, and on what.
    pub steps: &'static [Step],
}

/// From which state, to which, and on what.
pub type Step = (&'static str, &'static str, &'static str);

impl Diagram {
    /// As a state diagram of Mermaid.
    pub fn mermaid(&self) -> String {
        let mut text = format!("stateDiagram-v2\n    [*] --> {}\n", self.begins);
        for (from, to, on) in self.steps {
            let _ = writeln!(text, "    {from} --> {to}: {on}");
        }
        text
    }

    /// Whether a step leads from one state to the other; every state may also stay as it is.
    pub fn allows(&self, from: &str, to: &str) -> bool {
        from == to || self.steps.iter().any(|(a, b, _)| (*a, *b) == (from, to))
    }

    /// What is wrong with it: a state that nothing leads to, a word that Mermaid reads as something else.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut reached = BTreeSet::from([self.begins]);
        while let Some((_, to, _)) =
            self.steps.iter().find(|(from, to, _)| reached.contains(from) && !reached.contains(to))
        {
            reached.insert(to);
        }
        for (from, to, on) in self.steps {
            if !reached.contains(from) {
                faults.push(format!("nothing leads to {from}"));
            }
            if on.is_empty() || on.contains([':', ';', '\n', '#']) {
                faults.push(format!("{from} --> {to} says {on:?}"));
            }
            for state in [from, to] {
                if state.is_empty() || !state.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    faults.push(format!("{state:?} is no name of a state"));
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_as_it_stands() {
        let two = Diagram {
            kind: "two",
            begins: "Off",
            steps: &[("Off", "On", "a value above"), ("On", "Off", "a value below")],
        };
        assert_eq!(
            two.mermaid(),
            "stateDiagram-v2\n    [*] --> Off\n    Off --> On: a value above\n    On --> Off: a value below\n"
        );
        assert!(two.faults().is_empty());
        assert!(two.allows("Off", "On") && two.allows("On", "On") && !two.allows("On", "Other"));
    }

    #[test]
    fn what_cannot_be_drawn_is_told() {
        let odd = Diagram {
            kind: "odd",
            begins: "Off",
            steps: &[("Off", "Off", "a: b"), ("Lost", "Off", "x"), ("Off", "two words", "x")],
        };
        assert_eq!(odd.faults().len(), 3);
    }
}
