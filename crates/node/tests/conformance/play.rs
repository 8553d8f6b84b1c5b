//! Plays a workflow as an instance does: a project in a folder, its check, the real loop over a store in memory, the
//! real connectors.

use crate::hosts::Hosts;
use andon_contract::load;
use andon_model::SiteName;
use andon_node::clock;
use andon_store::{Store, rows::TaskRow};
use andon_systems::Connectors;
use andon_workflows::{
    Loop, Ready,
    run::{Start, run_of_key},
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// A run that has not ended after this long does not end.
const RUN_MAX: Duration = Duration::from_secs(30);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `completed` or `faulted`.
    pub(crate) state: String,
    /// Its output, or the error.
    pub(crate) given: Json,
    /// Its completed tasks, in the order of their completion.
    pub(crate) tasks: Vec<TaskRow>,
}

/// Checks the workflow in a project of its own and lets it run with this input; `Err` says why it cannot run.
pub(crate) async fn play(definition: &str, input: Json, hosts: Hosts) -> Result<Ran, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    write_project(folder.path(), definition, hosts).map_err(|e| e.to_string())?;
    let loaded = load(folder.path()).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(|problem| problem.render(false)).collect();
        format!("check refuses it:\n{}", told.join("\n"))
    })?;
    run(Arc::new(loaded.contract), input).await
}

async fn run(contract: Arc<andon_contract::Contract>, input: Json) -> Result<Ran, String> {
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let connectors = Arc::new(Connectors::new(contract.clone(), |_| None));
    let load = Box::new(|_: &BTreeMap<String, String>| Err("there is one contract".to_owned()));
    let mut workflows = Loop::new(store.clone(), contract.clone(), connectors.clone(), load);
    let workflow = contract.workflows.values().next().ok_or("the project has no workflow")?.name.clone();
    let (key, site) = ("conformance".to_owned(), SiteName::new("plant").map_err(|e| e.expected)?);
    let id = run_of_key(&workflow, &key);
    workflows.start(Start { token: 1, workflow, key, site, input, by: None });
    let (done, mut outcomes) = mpsc::unbounded_channel();
    let end = clock::monotonic().std() + RUN_MAX;
    while clock::monotonic().std() < end {
        let progress = workflows.step(clock::now()).map_err(|e| e.to_string())?;
        for Ready { request, prepared } in workflows.take_requests() {
            let (connectors, done) = (connectors.clone(), done.clone());
            tokio::spawn(async move {
                let outcome = connectors.send(&request, &prepared).await;
                // Whoever waited may have given up.
                let _ = done.send((request, outcome));
            });
        }
        let row = store.run(id).map_err(|e| e.to_string())?.ok_or("the run is not in the store")?;
        if matches!(row.state.word(), "completed" | "faulted") {
            let tasks = store.tasks(id).map_err(|e| e.to_string())?;
            let given = row.output.or(row.error).unwrap_or_default();
            return Ok(Ran { state: row.state.word().to_owned(), given, tasks });
        }
        if progress.worked {
            continue;
        }
        let left = end.saturating_sub(clock::monotonic().std());
        let until = progress.wake.map_or(left, |wake| wake.since(clock::now()).std().min(left));
        if let Ok(Some((request, outcome))) = tokio::time::timeout(until, outcomes.recv()).await {
            workflows.complete(request.call, request.attempt, outcome);
        }
    }
    let waits = store.run(id).map_err(|e| e.to_string())?.map(|row| row.state);
    Err(format!("the run has not ended within {RUN_MAX:?}; it is {waits:?}"))
}

fn write_project(folder: &Path, definition: &str, hosts: Hosts) -> std::io::Result<()> {
    let name = definition.lines().find_map(|line| line.trim().strip_prefix("name: ")).unwrap_or("workflow").trim();
    let system = |host: &str, at: std::net::SocketAddr| {
        format!("protocol: rest\nzone: plant\nbase: https://{host}\nconnect: {at}\ntls: {{ loopback: plain }}\n")
    };
    let files = [
        ("andon.yaml", "name: conformance\nformat: 1\ninstances: { plant: { role: both, zone: plant } }\n".to_owned()),
        ("assets/plant.yaml", "site: plant\nzone: plant\ntimezone: UTC\nassets: {}\n".to_owned()),
        ("policies/ownership.yaml", "teams: { integration: {} }\nrules:\n  - { owner: integration }\n".to_owned()),
        ("systems/petstore.yaml", system("petstore.swagger.io", hosts.petstore)),
        ("systems/httpbin.yaml", system("httpbin.org", hosts.httpbin)),
        ("schemas/com.fake-source.user.greeted.v1-1.0.json", r#"{ "type": "object" }"#.to_owned()),
        (&format!("workflows/{name}.yaml"), definition.to_owned()),
    ];
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, text)?;
    }
    Ok(())
}
