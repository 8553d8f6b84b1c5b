//! Errors of a run in the form of the workflow DSL: a problem with type, status, title, detail and its task.

use andon_contract::workflow::ErrorFilter;
use andon_model::{Outcome, OutcomeClass};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Where the standard types of errors stand; the conformance scenarios use the older address below.
const STANDARD: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";
/// The other address of the same types.
const OTHER: &str = "https://serverlessworkflow.io/dsl/errors/types/";

/// A standard kind of error with its usual status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// The credentials of a call are not accepted: 401.
    Authentication,
    /// The credentials of a call may not do this: 403.
    Authorization,
    /// A call failed: the status of the answer, otherwise 500.
    Communication,
    /// An expression failed: 400.
    Expression,
    /// Something in the run itself: 500.
    Runtime,
    /// Time is used up: 408.
    Timeout,
    /// A value does not fit its schema: 400.
    Validation,
}

impl Standard {
    fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Authentication => ("authentication", 401, "The credentials are not accepted"),
            Self::Authorization => ("authorization", 403, "The credentials may not do this"),
            Self::Communication => ("communication", 500, "The call failed"),
            Self::Expression => ("expression", 400, "The expression failed"),
            Self::Runtime => ("runtime", 500, "The run cannot go on"),
            Self::Timeout => ("timeout", 408, "Time is used up"),
            Self::Validation => ("validation", 400, "The value does not fit its schema"),
        }
    }
}

/// An error of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The type's address.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status, as in HTTP.
    pub status: u16,
    /// What it is, the same for all of its type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    /// What happened here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The pointer of the task it came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance: Option<String>,
}

impl Fault {
    /// A standard error with its usual status.
    pub fn of(standard: Standard, detail: impl Into<String>) -> Self {
        let (name, status, title) = standard.parts();
        Self {
            kind: format!("{STANDARD}{name}"),
            status,
            title: Some(title.to_owned()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// The error of a call that was refused for good.
    pub fn of_outcome(outcome: &Outcome) -> Self {
        let (standard, status) = match outcome.class {
            OutcomeClass::Auth => (Standard::Authentication, 401),
            OutcomeClass::Permission => (Standard::Authorization, 403),
            OutcomeClass::Validation => (Standard::Validation, 400),
            OutcomeClass::Limit => (Standard::Communication, 429),
            OutcomeClass::Conflict => (Standard::Communication, 409),
            OutcomeClass::NotFound => (Standard::Communication, 404),
            OutcomeClass::Transient | OutcomeClass::Unknown | OutcomeClass::Ok => (Standard::Communication, 503),
        };
        let mut fault = Self::of(standard, outcome.detail.clone());
        fault.status = outcome.status.unwrap_or(status);
        fault
    }

    /// The same error at the task with this pointer, unless it says already where it came from.
    #[must_use]
    pub fn at(mut self, pointer: &str) -> Self {
        self.instance.get_or_insert_with(|| pointer.to_owned());
        self
    }

    /// The error as the variable of a `catch` shows it.
    pub fn to_json(&self) -> Json {
        serde_json::to_value(self).expect("texts and a number are JSON")
    }

    /// Whether a filter of a `catch` lets it in: every field that is set is equal. Both addresses
    /// of a standard type are the same type.
    pub fn passes(&self, filter: &ErrorFilter) -> bool {
        fn same(filter: Option<&String>, own: Option<&String>) -> bool {
            filter.is_none_or(|text| own == Some(text))
        }
        filter.kind.as_deref().is_none_or(|kind| plain(kind) == plain(&self.kind))
            && filter.status.is_none_or(|status| status == self.status)
            && same(filter.title.as_ref(), self.title.as_ref())
            && same(filter.detail.as_ref(), self.detail.as_ref())
            && same(filter.instance.as_ref(), self.instance.as_ref())
    }
}

/// The name behind the standard addresses; any other type as it is.
fn plain(kind: &str) -> &str {
    kind.strip_prefix(STANDARD).or_else(|| kind.strip_prefix(OTHER)).unwrap_or(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_a_standard_type_are_the_same_type() {
        let fault = Fault::of_outcome(&Outcome {
            status: Some(404),
            ..Outcome::not_sent(OutcomeClass::NotFound, "no such request")
        })
        .at("/do/0/a");
        for kind in [format!("{STANDARD}communication"), format!("{OTHER}communication")] {
            assert!(fault.passes(&ErrorFilter { kind: Some(kind), status: Some(404), ..ErrorFilter::default() }));
        }
        assert!(!fault.passes(&ErrorFilter { status: Some(503), ..ErrorFilter::default() }));
        assert!(!fault.passes(&ErrorFilter { instance: Some("/do/1/b".into()), ..ErrorFilter::default() }));
        assert!(!fault.passes(&ErrorFilter { kind: Some("communication.".into()), ..ErrorFilter::default() }));
        assert_eq!(fault.clone().at("/do/9/z"), fault, "the first place stays");
    }
}
