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
    ("RouteFile", "to", "write `until`: the first day it holds no more"),
    ("TeamFile", "calendar", "write the hours as text: `hours: Mon-Fri 06:00 to 22:00`"),
    ("WorkflowFile", "evaluate", "leave it out; expressions are jq and stand in `${ }`"),
    ("AuthenticationFile", "digest", "declare the credentials in the file of the system; they hold for its calls"),
    ("AuthenticationFile", "oauth2", "declare the credentials in the file of the system; they hold for its calls"),
    ("AuthenticationFile", "oidc", "declare the credentials in the file of the system; they hold for its calls"),
    ("AuthenticationFile", "certificate", "declare the credentials in the file of the system; they hold for its calls"),
    ("BasicFile", "use", "write `username: NAME` and `password: env:NAME`"),
    ("UseFile", "extensions", "write the tasks before and after those they extend, or make a function of them"),
    ("UseFile", "catalogs", "declare the functions under `use.functions`, or put them behind a capability"),
    ("ErrorFile", "instance", "leave it out; it is the pointer of the task that raises"),
    ("EventAttributesFile", "datacontenttype", "leave it out; every event is JSON"),
    ("RetryFile", "limit", "use `within`"),
    ("EmittedFile", "id", "leave it out; it is derived from the run and the task"),
    ("EmittedFile", "dataschema", "leave it out; it belongs to the type"),
    ("EmittedFile", "datacontenttype", "leave it out; it is JSON"),
];

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

/// What `run` of the workflow DSL could run, with what to do instead.
const RUNS: &[(&str, &str)] = &[
    ("container", "put the work behind a capability whose system runs it, and call that"),
    ("script", "write it as expressions, or put the work behind a capability and call that"),
    ("shell", "put the work behind a capability whose system runs it, and call that"),
];

/// Functions of `call` of the workflow DSL, with what to do instead.
const CALLS: &[(&str, &str)] = &[
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
    KEYS.iter().find(|(name, known, _)| *name == of && *known == key).map(|(_, _, help)| *help)
}

/// What to do with a file or folder, by its path without ending.
pub(crate) fn path(path: &str) -> Option<&'static str> {
    find(PATHS, path)
}

/// What to do instead of a kind of source.
pub(crate) fn source_kind(word: &str) -> Option<&'static str> {
    find(SOURCE_KINDS, word)
}

/// What to do instead of a function of `call`.
pub(crate) fn call(word: &str) -> Option<&'static str> {
    find(CALLS, word)
}

/// What to do instead of something that `run` cannot run.
pub(crate) fn run(word: &str) -> Option<&'static str> {
    find(RUNS, word)
}
