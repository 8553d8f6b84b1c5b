//! The project of the simulation: three presses, five systems of record, one workflow for each kind of alarm, so that
//! each activation starts exactly one run; and what it is after edits.

use andon_contract::{Contract, from_files};
use andon_model::AssetName;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The presses.
pub const ASSETS: [&str; 3] = ["press-01", "press-02", "press-03"];

macro_rules! files {
    ($($path:literal,)*) => { &[$(($path, include_str!(concat!("../project/", $path)))),*] };
}

const FILES: &[(&str, &str)] = files![
    "andon.yaml",
    "assets/home.yaml",
    "capabilities/maintenance.note.yaml",
    "capabilities/maintenance.page.yaml",
    "capabilities/maintenance.register.yaml",
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
    "systems/pager.yaml",
    "systems/registry.yaml",
    "workflows/on-limit.yaml",
    "workflows/on-silence.yaml",
    "workflows/on-speed.yaml",
];

/// An edit of the project, that is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Other thresholds and delays of the rule `hot`.
    Threshold,
    /// The rule `fast` is called `quick`.
    Renamed,
    /// The route of `maintenance.request-work` leads nowhere.
    NoRoute,
    /// A workflow says something else.
    Workflow,
    /// `cmms` takes no notes any more: `desk` does.
    Replaced,
}

impl Edit {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Threshold, Self::Renamed, Self::NoRoute, Self::Workflow, Self::Replaced];

    fn apply(self, files: &mut BTreeMap<String, String>) {
        let mut replace = |path: &str, from: &str, to: &str| {
            if let Some(text) = files.get_mut(path) {
                *text = text.replace(from, to);
            }
        };
        match self {
            Self::Threshold => {
                replace("classes/press.yaml", "temperature.High: 100", "temperature.High: 90");
                replace("classes/press.yaml", "temperature.OnDelay: 20 s", "temperature.OnDelay: 5 s");
            }
            Self::Renamed => {
                let file = files.remove("rules/fast.yaml").unwrap_or_default();
                files.insert("rules/quick.yaml".to_owned(), file);
            }
            Self::NoRoute => replace(
                "routes.yaml",
                "use: eam.create-request, fallback: [cmms.create-order]",
                "use: none, reason: nobody works here now",
            ),
            Self::Workflow => replace("workflows/on-limit.yaml", "Look at", "Look after"),
            Self::Replaced => {
                replace("routes.yaml", "cmms.note", "desk.note");
                let text = files.get("systems/cmms.yaml").cloned().unwrap_or_default();
                let (orders, note) = text.split_once("  note:\n").unwrap_or((&text, ""));
                let (head, _) = orders.split_once("  create-order:\n").unwrap_or((orders, ""));
                let desk = format!("{}  note:\n{note}", head.replace("cmms", "desk"));
                files.insert("systems/desk.yaml".to_owned(), desk);
                files.insert("systems/cmms.yaml".to_owned(), orders.to_owned());
            }
        }
    }
}

/// Which edits are in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant(u8);

impl Variant {
    /// With this edit taken back, or made.
    #[must_use]
    pub fn toggled(self, edit: Edit) -> Self {
        Self(self.0 ^ (1 << edit as u8))
    }

    /// Whether this edit is in force.
    pub fn has(self, edit: Edit) -> bool {
        self.0 & (1 << edit as u8) != 0
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edits: Vec<String> =
            Edit::ALL.iter().filter(|edit| self.has(**edit)).map(|edit| format!("{edit:?}")).collect();
        if edits.is_empty() { f.write_str("as it was") } else { f.write_str(&edits.join(", ")) }
    }
}

static READ: Mutex<BTreeMap<Variant, Arc<Contract>>> = Mutex::new(BTreeMap::new());

/// The contract of the simulation; the text says what is wrong where the project is refused. Each is read once in a
/// process.
pub fn contract(variant: Variant) -> Result<Arc<Contract>, String> {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(contract) = read.get(&variant) {
        return Ok(Arc::clone(contract));
    }
    let mut files: BTreeMap<String, String> =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Edit::ALL.iter().filter(|edit| variant.has(**edit)).for_each(|edit| edit.apply(&mut files));
    let render = |problems: Vec<andon_contract::Problem>| {
        problems.iter().map(|problem| problem.render(false)).collect::<Vec<_>>().join("\n")
    };
    let contract = from_files(files).map(|loaded| Arc::new(loaded.contract)).map_err(render)?;
    read.insert(variant, Arc::clone(&contract));
    Ok(contract)
}

/// A contract that was in force before, read back from its files as an instance does it.
pub fn of_files(files: &BTreeMap<String, String>) -> Result<Contract, String> {
    from_files(files.clone())
        .map(|loaded| loaded.contract)
        .map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))
}

/// The names of the presses.
pub fn assets() -> Vec<AssetName> {
    ASSETS.iter().map(|name| AssetName::new(name).expect("it is a name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_accepted_with_every_set_of_edits() {
        for bits in 0..1 << Edit::ALL.len() {
            contract(Variant(bits)).unwrap_or_else(|problems| panic!("{}:\n{problems}", Variant(bits)));
        }
    }

    #[test]
    fn each_edit_changes_the_contract() {
        for edit in Edit::ALL {
            let revision = |variant| contract(variant).unwrap().revision.clone();
            assert_ne!(revision(Variant::default()), revision(Variant::default().toggled(edit)), "{edit:?}");
        }
    }
}
