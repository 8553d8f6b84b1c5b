//! The project of the simulation: three presses, three systems of record, an alarm for each class of operation.

use andon_contract::{Contract, from_files};
use andon_model::AssetName;
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

/// The presses.
pub const ASSETS: [&str; 3] = ["press-01", "press-02", "press-03"];

const FILES: &[(&str, &str)] = &[
    (
        "andon.yaml",
        "name: simulation\nformat: 1\ninstances:\n  plant: { role: both, zone: plant, api: '127.0.0.1:8730' }\n",
    ),
    (
        "assets/home.yaml",
        "site: home\nzone: plant\ntimezone: UTC\nassets:\n  press-01: { class: press }\n  press-02: { class: press }\n  \
         press-03: { class: press }\n",
    ),
    (
        "classes/press.yaml",
        "signals:\n  temperature: { kind: f64, unit: Cel }\n  speed: { kind: f64, unit: 1/min }\nparameters:\n  \
         temperature.HighHigh: 120\n  temperature.High: 100\n  temperature.Low: 10\n  temperature.Deadband: 5\n  \
         temperature.OnDelay: 20 s\n  temperature.OffDelay: 10 s\n  temperature.ReAlarmTime: 5 min\n",
    ),
    (
        "sources/plc.yaml",
        "kind: mqtt\nbroker: mqtt://127.0.0.1:1883\nversion: 5\nclock: live\ntopics:\n  - topic: plant/{asset}/{signal}\n    \
         qos: 1\n    signals:\n      '{signal}': { value: /value, time: { at: /time, form: ns } }\n",
    ),
    ("rules/hot.yaml", "kind: limit\non: press.temperature\nseverity: { HighHigh: 900, High: 700, Low: 500 }\n"),
    ("rules/fast.yaml", "kind: limit\non: press.speed\nHigh: 60\nDeadband: 10\nseverity: 400\n"),
    ("rules/silent.yaml", "kind: stale\non: press.temperature\nafter: 2 min\nseverity: 200\n"),
    (
        "policies/ownership.yaml",
        "teams:\n  planning: { mail: planning@home.example }\nrules:\n  - { owner: planning }\n",
    ),
    (
        "systems/eam.yaml",
        "protocol: rest\nbase: http://eam.example\nzone: plant\ntimeout: 10 s\nretry: { first: 500 ms, factor: 2, max: 5 s, \
         within: 24 h }\noperations:\n  create-request:\n    implements: maintenance.request-work\n    idempotency:\n      \
         lookup:\n        by: reference\n        settle: 2 s\n        request: { method: GET, path: /requests, query: { \
         reference: '${ $reference }' } }\n        found: ${ .requests[0] }\n    request: { method: POST, path: /requests, \
         body: { reference: '${ $reference }' } }\n    response: { document: '${ .number }', output: { document: '${ \
         .number }' } }\n",
    ),
    (
        "systems/cmms.yaml",
        "protocol: rest\nbase: http://cmms.example\nzone: plant\ntimeout: 10 s\nretry: { first: 500 ms, factor: 2, max: 5 \
         s, within: 24 h }\noperations:\n  create-order:\n    implements: maintenance.request-work\n    idempotency: key\n    \
         request: { method: POST, path: /orders, headers: { idempotency-key: '${ $key }' }, body: { reference: '${ \
         $reference }' } }\n    response: { document: '${ .number }', output: { document: '${ .number }' } }\n  note:\n    \
         implements: maintenance.note\n    idempotency: key\n    request: { method: POST, path: /notes, headers: { \
         idempotency-key: '${ $key }' }, body: { reference: '${ $reference }' } }\n    response: { document: '${ .number \
         }', output: { document: '${ .number }' } }\n",
    ),
    ("capabilities/maintenance.request-work.yaml", CAPABILITY),
    ("capabilities/maintenance.note.yaml", CAPABILITY),
    (
        "routes.yaml",
        "- { capability: maintenance.request-work, site: '*', use: eam.create-request, fallback: [cmms.create-order] }\n- \
         { capability: maintenance.note, site: '*', use: cmms.note }\n",
    ),
];

const CAPABILITY: &str = "version: 1\ndomain: maintenance\nowner: planning\neffect: creates MaintenanceRequest\ninput: { \
                          schema: MaintenanceRequest/1 }\noutput: { document: string }\n";

/// One workflow for limits and one for silences: each activation starts exactly one run.
fn workflow(name: &str, condition: &str, capability: &str) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "document: {{ dsl: 1.0.3, namespace: home, name: {name}, version: 1.0.0 }}\nschedule:\n  on:\n    one:\n      \
         with:\n        type: asset.alarm\n        data: '${{ .change == \"activated\" and .condition == \"{condition}\" \
         }}'\ninput: {{ from: '${{ .[0] }}' }}\ndo:\n  - request:\n      call: {capability}\n      with:\n        title: \
         '${{ \"Look at \" + .subject }}'\n        asset: ${{ .subject }}\n        site: ${{ .site }}\n        priority: \
         2\n        event: ${{ .id }}\n"
    );
    text
}

/// The contract of the simulation; the text says what is wrong where the project is refused.
pub fn contract() -> Result<Arc<Contract>, String> {
    let mut files: BTreeMap<String, String> =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let limits = workflow("on-limit", "limit", "maintenance.request-work");
    files.insert("workflows/on-limit.yaml".to_owned(), limits);
    files.insert("workflows/on-silence.yaml".to_owned(), workflow("on-silence", "stale", "maintenance.note"));
    let render = |problems: Vec<andon_contract::Problem>| {
        problems.iter().map(|problem| problem.render(false)).collect::<Vec<_>>().join("\n")
    };
    from_files(files).map(|loaded| Arc::new(loaded.contract)).map_err(render)
}

/// The names of the presses.
pub fn assets() -> Vec<AssetName> {
    ASSETS.iter().map(|name| AssetName::new(name).expect("it is a name")).collect()
}
