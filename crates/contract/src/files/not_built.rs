//! What the design has a place for and no code yet: refused by name, with what to do instead.

/// Keys by the type of the file that would have them, with what to do instead.
const KEYS: &[(&str, &str, &str)] = &[
    ("InstanceFile", "storage", "leave it out; an instance stores everything in its data folder (`--data DIR`)"),
    ("InstanceFile", "hub", "leave it out; one instance of role `both` serves all sites"),
    ("SignalFile", "writable", "leave it out; Andon never writes to a machine"),
    ("TopicFile", "payload", "leave it out; messages are JSON"),
    ("LimitRuleFile", "lateness", "leave it out; late samples are stored and not evaluated"),
    ("SystemFile", "breaker", "leave it out; attempts are repeated as `retry` says"),
    ("LimitsFile", "rate", "leave it out; `concurrent` bounds what is under way"),
    ("CredentialsFile", "oauth2", "leave it out; use `bearer` with a token that another program renews (`file:PATH`)"),
    ("CredentialsFile", "certificate", "leave it out; use `bearer`, `basic` or `api-key`"),
    ("RouteFile", "shadow", "leave it out; one operation answers"),
    ("RouteFile", "to", "leave it out and let the newer route stand above with `from`"),
    ("TeamFile", "calendar", "write the hours as text: `hours: Mon-Fri 6-22`"),
    ("WorkflowFile", "use", "write each thing where it is used"),
    ("WorkflowFile", "timeout", "leave it out; the time of attempts is bounded by their system"),
    ("WorkflowFile", "evaluate", "leave it out; expressions are jq and stand in `${ }`"),
    ("ScheduleFile", "every", "leave it out; an event starts a run: `on: { one: { with: { type: ... } } }`"),
    ("ScheduleFile", "cron", "leave it out; an event starts a run: `on: { one: { with: { type: ... } } }`"),
    ("ScheduleFile", "after", "leave it out; an event starts a run: `on: { one: { with: { type: ... } } }`"),
    ("OnFile", "all", "write one workflow for each event: `one`"),
    ("OnFile", "any", "write one workflow for each event: `one`"),
    ("OneFile", "correlate", "leave it out; each event starts a run of its own"),
    ("EventFilterFile", "source", "filter over the event's data: `data: ${ ... }`, or use `switch` in the workflow"),
    ("EventFilterFile", "subject", "use `switch` in the workflow"),
    ("EventFilterFile", "id", "use `switch` in the workflow"),
    ("EventFilterFile", "time", "use `switch` in the workflow"),
    (
        "FilterFile",
        "schema",
        "leave it out; the inputs of capabilities and the data of events are checked by their schemas",
    ),
    (
        "OutputFile",
        "schema",
        "leave it out; the inputs of capabilities and the data of events are checked by their schemas",
    ),
    (
        "ExportFile",
        "schema",
        "leave it out; the inputs of capabilities and the data of events are checked by their schemas",
    ),
    ("RetryFile", "limit", "use `within`"),
    ("AttemptFile", "duration", "leave it out; the time of an attempt is bounded by the system's `timeout`"),
    ("RetryPolicyFile", "jitter", "leave it out; pauses between attempts at a system have jitter of their own"),
    ("EmittedFile", "source", "leave it out; it is the workflow"),
    ("EmittedFile", "id", "leave it out; it is derived from the run and the task"),
    ("EmittedFile", "time", "leave it out; it is the moment of the task"),
    ("EmittedFile", "dataschema", "leave it out; it belongs to the type"),
    ("EmittedFile", "datacontenttype", "leave it out; it is JSON"),
];

/// Keys that every task could have.
const TASK_KEYS: &[(&str, &str)] =
    &[("timeout", "leave it out; the time of attempts is bounded by the system's `timeout` and `retry`")];

/// Folders and files of a project that nothing reads yet.
const PATHS: &[(&str, &str)] = &[
    ("apis", "remove it; the API of an instance is always there"),
    ("policies/residency", "remove it; data stay on the instance"),
    ("policies/segmentation", "remove it; nothing is enforced between sites"),
    ("policies/safety", "remove it; Andon never writes to a machine"),
];

/// Kinds of sources, with what to do instead.
const SOURCE_KINDS: &[(&str, &str)] = &[
    ("sparkplug", "publish plain JSON by MQTT and use `kind: mqtt`"),
    ("opcua", "bring the values to MQTT with a gateway and use `kind: mqtt`, or post them to `kind: http`"),
    ("opc-ua", "bring the values to MQTT with a gateway and use `kind: mqtt`, or post them to `kind: http`"),
    ("modbus", "bring the values to MQTT with a gateway and use `kind: mqtt`, or post them to `kind: http`"),
    ("sql", "post the rows to `kind: http`"),
];

/// Kinds of tasks of the workflow DSL, with what to do instead.
const TASKS: &[(&str, &str)] = &[
    ("for", "write the tasks one by one, or let the capability take the list"),
    ("fork", "write the tasks one after the other"),
    ("listen", "end the workflow and let the awaited event start another one (`schedule.on.one`)"),
    ("run", "put the work behind a capability and call it"),
];

/// Functions of `call` of the workflow DSL, with what to do instead.
const CALLS: &[(&str, &str)] = &[
    ("http", "declare the host in `systems/`, the function in `capabilities/`, and call the capability"),
    ("openapi", "declare the host in `systems/`, the function in `capabilities/`, and call the capability"),
    ("grpc", "declare a system that speaks REST in `systems/` and call a capability"),
    ("asyncapi", "emit an event and publish it with `subscribers/`"),
    ("a2a", "declare a system that speaks REST in `systems/` and call a capability"),
    ("mcp", "declare a system that speaks REST in `systems/` and call a capability"),
];

fn find(list: &[(&'static str, &'static str)], word: &str) -> Option<&'static str> {
    list.iter().find(|(known, _)| *known == word).map(|(_, help)| *help)
}

/// What to do instead of a key of a type.
pub(crate) fn key(of: &str, key: &str) -> Option<&'static str> {
    let found = KEYS.iter().find(|(name, known, _)| *name == of && *known == key).map(|(_, _, help)| *help);
    found.or_else(|| if of.ends_with("Task") { find(TASK_KEYS, key) } else { None })
}

/// What to do with a file or folder, by its path without ending.
pub(crate) fn path(path: &str) -> Option<&'static str> {
    find(PATHS, path)
}

/// What to do instead of a kind of source.
pub(crate) fn source_kind(word: &str) -> Option<&'static str> {
    find(SOURCE_KINDS, word)
}

/// What to do instead of a kind of task.
pub(crate) fn task(word: &str) -> Option<&'static str> {
    find(TASKS, word)
}

/// What to do instead of a function of `call`.
pub(crate) fn call(word: &str) -> Option<&'static str> {
    find(CALLS, word)
}
