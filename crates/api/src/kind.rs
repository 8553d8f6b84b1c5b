//! The kinds of rows that are listed: one table for the API, the command line and their documents.

use serde::{Deserialize, Serialize};

/// A kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Canonical events.
    Events,
    /// Reports that confirm an event that another origin told before.
    Confirmations,
    /// Runs of workflows.
    Runs,
    /// Completed tasks of runs.
    Tasks,
    /// Calls to systems of record.
    Calls,
    /// Attempts of calls.
    Attempts,
    /// Exceptions: what needs a person.
    Exceptions,
    /// Exceptions of one cause, counted.
    ExceptionGroups,
    /// What people, and policies, have done.
    Audit,
    /// What teams are told.
    Notices,
    /// Messages that were set aside.
    Quarantine,
    /// Samples of the hot log.
    Samples,
    /// Intervals in which samples may be missing.
    Gaps,
    /// Sources with their condition and counts.
    Sources,
    /// Business objects, each as its newest version.
    Objects,
    /// What is read from systems, and how that stands.
    Reads,
    /// Activated contracts.
    Contracts,
    /// Files of the historian.
    Historian,
    /// Alarms that stand, and rules whose alarms are shelved, suppressed or not looked for.
    Alarms,
    /// What rules cost, and the sum of each class.
    Rules,
    /// Who answers for each capability at each site, and why.
    Routes,
    /// Canonical functions.
    Capabilities,
    /// Operations of systems of record.
    Systems,
}

/// A row of the table of kinds.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// The kind.
    pub kind: Kind,
    /// Its word in paths and commands.
    pub word: &'static str,
    /// The type of its rows in the `OpenAPI` document.
    pub schema: &'static str,
    /// What it lists, in one sentence.
    pub about: &'static str,
}

/// All kinds.
pub const KINDS: [Listed; 23] = [
    Listed { kind: Kind::Events, word: "events", schema: "Event", about: "Canonical events as CloudEvents." },
    Listed {
        kind: Kind::Confirmations,
        word: "confirmations",
        schema: "Confirmation",
        about: "Reports that confirm an event that another origin told before.",
    },
    Listed { kind: Kind::Runs, word: "runs", schema: "Run", about: "Runs of workflows and where they stand." },
    Listed { kind: Kind::Tasks, word: "tasks", schema: "Task", about: "Completed tasks of runs." },
    Listed {
        kind: Kind::Calls,
        word: "calls",
        schema: "Call",
        about: "Calls to systems of record and where they stand.",
    },
    Listed {
        kind: Kind::Attempts,
        word: "attempts",
        schema: "Attempt",
        about: "Attempts of calls with their outcomes.",
    },
    Listed {
        kind: Kind::Exceptions,
        word: "exceptions",
        schema: "Exception",
        about: "What needs a person, with its owner.",
    },
    Listed {
        kind: Kind::ExceptionGroups,
        word: "exception-groups",
        schema: "ExceptionGroup",
        about: "Exceptions of one cause at one place, counted by where they stand.",
    },
    Listed {
        kind: Kind::Audit,
        word: "audit",
        schema: "Audited",
        about: "What people and policies have done: a chain in which each row holds the hash of the one before.",
    },
    Listed {
        kind: Kind::Notices,
        word: "notices",
        schema: "Notice",
        about: "What teams are told, by mail or webhook, and whether it was taken.",
    },
    Listed {
        kind: Kind::Quarantine,
        word: "quarantine",
        schema: "Quarantine",
        about: "Messages that were set aside; `show` of their exception gives the bytes.",
    },
    Listed {
        kind: Kind::Samples,
        word: "samples",
        schema: "Sample",
        about: "Samples: without `asset` those of the log as they came, with it a range in the order of time.",
    },
    Listed {
        kind: Kind::Gaps,
        word: "gaps",
        schema: "Gap",
        about: "Intervals in which samples of a source may be missing.",
    },
    Listed {
        kind: Kind::Sources,
        word: "sources",
        schema: "Source",
        about: "Sources with their condition and counts.",
    },
    Listed {
        kind: Kind::Objects,
        word: "objects",
        schema: "ObjectVersion",
        about: "Business objects, each as its newest version; `asset` finds those of an asset.",
    },
    Listed {
        kind: Kind::Reads,
        word: "reads",
        schema: "Read",
        about: "What is read from systems, and how that stands.",
    },
    Listed {
        kind: Kind::Contracts,
        word: "contracts",
        schema: "ContractRevision",
        about: "Contracts that were activated.",
    },
    Listed {
        kind: Kind::Historian,
        word: "historian",
        schema: "HistorianFile",
        about: "Files of the historian with what is in them.",
    },
    Listed {
        kind: Kind::Alarms,
        word: "alarms",
        schema: "Alarm",
        about: "Alarms that stand, and rules whose alarms are shelved, suppressed or not looked for.",
    },
    Listed {
        kind: Kind::Rules,
        word: "rules",
        schema: "RuleCost",
        about: "What each rule costs, the dearest first, and behind them the sum of each class.",
    },
    Listed {
        kind: Kind::Routes,
        word: "routes",
        schema: "Answer",
        about: "Who would answer now for each capability at each site, which line says so, and when that changes.",
    },
    Listed {
        kind: Kind::Capabilities,
        word: "capabilities",
        schema: "CapabilityRow",
        about: "Canonical functions, each major by itself, and who implements them.",
    },
    Listed {
        kind: Kind::Systems,
        word: "systems",
        schema: "OperationRow",
        about: "Operations of systems of record, with what can be relied on and their limits.",
    },
];

impl Kind {
    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        KINDS.iter().find(|k| k.word == word).map(|k| k.kind)
    }

    /// The word of this kind.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|k| k.kind == self).map_or("", |k| k.word)
    }
}
