//! The project of the simulation: three presses, two systems of record, one workflow for limits and
//! one for silences, so that each activation starts exactly one run.

use andon_contract::{Contract, from_files};
use andon_model::AssetName;
use std::{collections::BTreeMap, sync::Arc};

/// The presses.
pub const ASSETS: [&str; 3] = ["press-01", "press-02", "press-03"];

macro_rules! files {
    ($($path:literal,)*) => { &[$(($path, include_str!(concat!("../project/", $path)))),*] };
}

const FILES: &[(&str, &str)] = files![
    "andon.yaml",
    "assets/home.yaml",
    "capabilities/maintenance.note.yaml",
    "capabilities/maintenance.request-work.yaml",
    "classes/press.yaml",
    "policies/ownership.yaml",
    "routes.yaml",
    "rules/fast.yaml",
    "rules/hot.yaml",
    "rules/silent.yaml",
    "sources/plc.yaml",
    "systems/cmms.yaml",
    "systems/eam.yaml",
    "workflows/on-limit.yaml",
    "workflows/on-silence.yaml",
];

/// The contract of the simulation; the text says what is wrong where the project is refused.
pub fn contract() -> Result<Arc<Contract>, String> {
    let files: BTreeMap<String, String> =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let render = |problems: Vec<andon_contract::Problem>| {
        problems.iter().map(|problem| problem.render(false)).collect::<Vec<_>>().join("\n")
    };
    from_files(files).map(|loaded| Arc::new(loaded.contract)).map_err(render)
}

/// The names of the presses.
pub fn assets() -> Vec<AssetName> {
    ASSETS.iter().map(|name| AssetName::new(name).expect("it is a name")).collect()
}
