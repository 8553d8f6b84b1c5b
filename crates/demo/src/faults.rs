//! Commands that make an office misbehave, for tests: which request fails next, and how.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Commands that wait at once; more are refused.
pub const FAULTS_MAX: usize = 100;
/// The longest delay of an answer: one hour.
pub const DELAY_MAX_MS: u64 = 3_600_000;

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum FaultKind {
    /// This status from 400 to 599 at once, without effect: `fail-503`; with `Retry-After` where `ms` is given (rounded
    /// up to seconds).
    Fail(u16),
    /// No effect and never an answer; the connection stays open: `hang`.
    Hang,
    /// The effect at once, the answer `ms` milliseconds later: `late`.
    Late,
    /// The effect, durable; then the connection is cut before the answer: `lose-answer`.
    LoseAnswer,
    /// The connection is cut without effect: `drop-connection`.
    DropConnection,
    /// The effect, and an answer that nobody can read: `garbage`.
    Garbage,
}

impl From<FaultKind> for String {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Fail(status) => format!("fail-{status}"),
            FaultKind::Hang => "hang".into(),
            FaultKind::Late => "late".into(),
            FaultKind::LoseAnswer => "lose-answer".into(),
            FaultKind::DropConnection => "drop-connection".into(),
            FaultKind::Garbage => "garbage".into(),
        }
    }
}

impl TryFrom<String> for FaultKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "hang" => Self::Hang,
            "late" => Self::Late,
            "lose-answer" => Self::LoseAnswer,
            "drop-connection" => Self::DropConnection,
            "garbage" => Self::Garbage,
            other => {
                let status = other.strip_prefix("fail-").and_then(|status| status.parse().ok());
                let status = status.filter(|status| (400..600).contains(status));
                Self::Fail(status.ok_or_else(|| {
                    format!(
                        "{text:?} is no fault; there is fail-400 to fail-599, hang, late, lose-answer, \
                         drop-connection, garbage"
                    )
                })?)
            }
        })
    }
}

/// The next requests fail in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How many requests; at least 1.
    pub next: u32,
    /// How they fail.
    pub kind: FaultKind,
    /// Milliseconds, for kinds that take time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// Only requests of this HTTP method; without it, of every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// The commands that wait, and how many requests failed by command so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// In the order they were given.
    pub waiting: VecDeque<Fault>,
    /// Requests that failed by command since the office opened.
    pub met: u64,
}

impl Faults {
    /// Adds a command; `Err` says what is wrong with it.
    pub fn add(&mut self, fault: Fault) -> Result<(), String> {
        if fault.next == 0 {
            return Err("next must be at least 1".into());
        }
        if fault.kind == FaultKind::Late && fault.ms.is_none() {
            return Err("late needs ms, the delay in milliseconds".into());
        }
        if fault.ms.is_some_and(|ms| ms > DELAY_MAX_MS) {
            return Err(format!("ms is at most {DELAY_MAX_MS}"));
        }
        if self.waiting.len() >= FAULTS_MAX {
            return Err(format!("{FAULTS_MAX} commands wait already; DELETE /office/faults forgets them"));
        }
        self.waiting.push_back(fault);
        Ok(())
    }

    /// The fault that a request of this method meets, where one waits for it.
    pub fn take(&mut self, method: &str) -> Option<(FaultKind, Option<u64>)> {
        let at =
            self.waiting.iter().position(|f| f.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method)))?;
        let fault = self.waiting.get_mut(at)?;
        let met = (fault.kind, fault.ms);
        fault.next = fault.next.saturating_sub(1);
        if fault.next == 0 {
            self.waiting.remove(at);
        }
        self.met += 1;
        Some(met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn faults_are_met_in_order_and_then_used_up() {
        let mut faults = Faults::default();
        faults.add(fault(r#"{"next":2,"kind":"fail-503"}"#)).unwrap();
        faults.add(fault(r#"{"next":1,"kind":"late","ms":5}"#)).unwrap();
        let met: Vec<_> = std::iter::from_fn(|| faults.take("POST")).collect();
        assert_eq!(met, [(FaultKind::Fail(503), None), (FaultKind::Fail(503), None), (FaultKind::Late, Some(5))]);
        assert_eq!((faults.met, faults.waiting.len()), (3, 0));
    }

    #[test]
    fn a_fault_of_one_method_lets_others_pass() {
        let mut faults = Faults::default();
        faults.add(fault(r#"{"next":1,"kind":"lose-answer","method":"POST"}"#)).unwrap();
        assert_eq!(faults.take("GET"), None);
        assert_eq!(faults.take("POST"), Some((FaultKind::LoseAnswer, None)));
    }

    #[test]
    fn senseless_commands_are_refused() {
        let mut faults = Faults::default();
        for wrong in
            [r#"{"next":0,"kind":"hang"}"#, r#"{"next":1,"kind":"late"}"#, r#"{"next":1,"kind":"late","ms":3600001}"#]
        {
            assert!(faults.add(fault(wrong)).is_err(), "{wrong}");
        }
        for kind in ["explode", "fail-200", "fail-600", "fail-x"] {
            assert!(serde_json::from_str::<Fault>(&format!(r#"{{"next":1,"kind":"{kind}"}}"#)).is_err(), "{kind}");
        }
        for _ in 0..FAULTS_MAX {
            faults.add(fault(r#"{"next":1,"kind":"hang"}"#)).unwrap();
        }
        assert!(faults.add(fault(r#"{"next":1,"kind":"hang"}"#)).unwrap_err().contains("wait already"));
    }
}
