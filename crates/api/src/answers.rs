//! What the contract in force says about calls: who answers, what is promised, what operations can do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who would answer for a capability at a site now, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The capability; its plain name is its first major.
    pub capability: String,
    /// The site.
    pub site: String,
    /// The operation that answers, `none` where a route says that nobody does, `nobody` where no route holds now.
    pub answers: String,
    /// Why nobody answers.
    pub reason: Option<String>,
    /// Who is asked when certainly nothing happened at the first, in order.
    pub fallback: Vec<String>,
    /// Who is sent the same to be compared.
    pub shadow: Vec<String>,
    /// The line that says so: `routes.yaml:3`.
    pub line: Option<String>,
    /// The idempotency class of the operation.
    pub idempotency: Option<String>,
    /// What can be relied on, with what is assumed.
    pub guarantee: Option<String>,
    /// When another line answers.
    pub changes: Option<String>,
    /// Who answers from then on: an operation, `none` or `nobody`.
    pub then: Option<String>,
    /// The line that says that.
    pub then_line: Option<String>,
}

/// A capability, one major of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapabilityRow {
    /// Its name as it is called.
    pub capability: String,
    /// Its major version.
    pub version: u32,
    /// Who answers for its kind.
    pub domain: String,
    /// The team that answers for it.
    pub owner: String,
    /// `reads`, or what it changes.
    pub effect: String,
    /// The schema of its input.
    pub input: String,
    /// The schema of its output, or its fields with their types.
    pub output: String,
    /// How quickly it is to be done: `30 s for 99 %`.
    pub objective: Option<String>,
    /// Since when it should not be called, and what is called instead.
    pub deprecated: Option<String>,
    /// The operations that implement it.
    pub operations: Vec<String>,
}

/// An operation of a system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationRow {
    /// The system.
    pub system: String,
    /// Its operation; null of a system that has none.
    pub operation: Option<String>,
    /// The capability it implements.
    pub implements: Option<String>,
    /// Its idempotency class.
    pub idempotency: Option<String>,
    /// What can be relied on, with what is assumed.
    pub guarantee: Option<String>,
    /// Where the system stands.
    pub zone: String,
    /// Whether it is a test system.
    pub test: bool,
    /// How far its file has come: `simulated`, `tested`, `proven`; null: nobody says.
    pub maturity: Option<String>,
    /// Attempts and reads under way there at once, at most.
    pub concurrent: u32,
    /// How long an attempt may take.
    pub timeout: String,
    /// The breaker that its calls pass, which is the operation's own where it has one: `closed`, `open`, `half-open`,
    /// or `off`.
    pub breaker: String,
    /// Since when the breaker stands there.
    pub since: Option<String>,
    /// Attempts that failed, of those made in the breaker's window.
    pub failed: u64,
    /// Attempts made in the breaker's window.
    pub attempts: u64,
    /// What the last failure said.
    pub failure: Option<String>,
    /// When a call tries the system, where the breaker is open.
    pub probe: Option<String>,
    /// How the system fares at this moment; null where the instance is stopped.
    pub now: Option<Fares>,
}

/// How a system fares at this moment, all its operations together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fares {
    /// Attempts under way.
    pub under_way: u32,
    /// How many may be: `concurrent`, or fewer while the system is slow or refuses for load.
    pub places: u32,
    /// Calls that wait for a place.
    pub queued: u64,
    /// Calls that wait for a breaker.
    pub held: u64,
    /// How long the last requests waited until they went, for a place and for their attempt to be durable, in the
    /// middle, in milliseconds; null: there were none.
    pub wait_ms: Option<u64>,
}
