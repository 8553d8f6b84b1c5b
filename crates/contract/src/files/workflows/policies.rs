//! What a workflow may name and use in several places: errors, repetitions, timeouts, functions, secrets.

use crate::read::{At, Entries, Items, Raw};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is used in several places of a workflow, by name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseFile {
    /// How calls over HTTP identify themselves.
    #[serde(default)]
    pub(crate) authentications: Entries<String, Raw>,
    /// Errors that `raise` names.
    #[serde(default)]
    pub(crate) errors: Entries<String, ErrorFile>,
    /// Tasks that `call` names.
    #[serde(default)]
    pub(crate) functions: Entries<String, Raw>,
    /// Repetitions that `catch.retry` names.
    #[serde(default)]
    pub(crate) retries: Entries<String, RetryPolicyFile>,
    /// Secrets that `authentication` refers to: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) secrets: Items<At<String>>,
    /// Timeouts that tasks name.
    #[serde(default)]
    pub(crate) timeouts: Entries<String, TimeoutFile>,
}

/// A time at most.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeoutFile {
    /// How long: `PT30S`, `30 s`, `{ seconds: 30 }` or an expression.
    pub(crate) after: Raw,
}

/// An error (RFC 9457).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFile {
    /// The address of its type, or an expression.
    #[serde(rename = "type")]
    pub(crate) kind: Raw,
    /// Its status, or an expression.
    pub(crate) status: Raw,
    /// Its title, or an expression.
    #[serde(default)]
    pub(crate) title: Option<Raw>,
    /// More about it, or an expression.
    #[serde(default)]
    pub(crate) detail: Option<Raw>,
}

/// Which errors are caught.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorsFile {
    /// Their fields; without it all errors.
    #[serde(default)]
    pub(crate) with: Option<ErrorFilterFile>,
}

/// Fields of an error; those that are set must be equal.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFilterFile {
    /// The address of its type.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    /// Its status.
    #[serde(default)]
    pub(crate) status: Option<At<u16>>,
    /// Its title.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// More about it.
    #[serde(default)]
    pub(crate) detail: Option<String>,
    /// More about it, as the DSL's schema spells it.
    #[serde(default)]
    pub(crate) details: Option<String>,
    /// The pointer of the task that raised it.
    #[serde(default)]
    pub(crate) instance: Option<String>,
}

/// How often and when tasks are repeated.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryPolicyFile {
    /// Repeated only when this expression is true.
    #[serde(default)]
    pub(crate) when: Option<At<String>>,
    /// Not repeated when this expression is true.
    #[serde(default, rename = "exceptWhen")]
    pub(crate) except_when: Option<At<String>>,
    /// The first pause: `30 s`, `PT30S`, `{ seconds: 30 }` or an expression; default none.
    #[serde(default)]
    pub(crate) delay: Option<Raw>,
    /// How the pause grows: `constant: {}` (default), `linear: {}` or `exponential: {}`.
    #[serde(default)]
    pub(crate) backoff: Option<At<BackoffFile>>,
    /// What chance adds to a pause.
    #[serde(default)]
    pub(crate) jitter: Option<JitterFile>,
    /// When it is given up.
    #[serde(default)]
    pub(crate) limit: Option<RetryLimitFile>,
}

/// What chance adds to a pause.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JitterFile {
    /// At least: `1 s`, `PT1S`, `{ seconds: 1 }` or an expression.
    pub(crate) from: Raw,
    /// At most: `3 s`, `PT3S`, `{ seconds: 3 }` or an expression.
    pub(crate) to: Raw,
}

/// How a pause grows: one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "which key it is decides; the check looks at the keys")]
pub(crate) struct BackoffFile {
    /// It stays.
    #[serde(default)]
    pub(crate) constant: Option<NoSettings>,
    /// By itself each time.
    #[serde(default)]
    pub(crate) linear: Option<NoSettings>,
    /// Twice as long each time.
    #[serde(default)]
    pub(crate) exponential: Option<NoSettings>,
}

/// `{}`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoSettings {}

/// When repeating is given up.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryLimitFile {
    /// Of each pass.
    #[serde(default)]
    pub(crate) attempt: Option<AttemptFile>,
    /// By the time of all together: `30 min`, `PT30M`, `{ minutes: 30 }` or an expression.
    #[serde(default)]
    pub(crate) duration: Option<Raw>,
}

/// A limit of each pass.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptFile {
    /// Passes at most, the first included.
    #[serde(default)]
    pub(crate) count: Option<At<u32>>,
    /// The time of one pass at most: `30 s`, `PT30S`, `{ seconds: 30 }` or an expression.
    #[serde(default)]
    pub(crate) duration: Option<Raw>,
}

/// A duration of the DSL as an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DurationFile {
    /// Days.
    #[serde(default)]
    pub(crate) days: Option<u32>,
    /// Hours.
    #[serde(default)]
    pub(crate) hours: Option<u32>,
    /// Minutes.
    #[serde(default)]
    pub(crate) minutes: Option<u32>,
    /// Seconds.
    #[serde(default)]
    pub(crate) seconds: Option<u32>,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) milliseconds: Option<u32>,
}
