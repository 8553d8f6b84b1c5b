//! A new project: small, commented, and accepted as it is.

/// The files of a new project: path and text.
pub fn init_files() -> Vec<(&'static str, &'static str)> {
    macro_rules! files {
        ($($path:literal),+ $(,)?) => {
            vec![$(($path, include_str!(concat!("init/", $path)))),+]
        };
    }
    files![
        "andon.yaml",
        "assets/plant-1.yaml",
        "classes/machine.yaml",
        "sources/machines.yaml",
        "rules/temperature.yaml",
        "workflows/request-maintenance.yaml",
        "capabilities/maintenance.request-work.yaml",
        "systems/maintenance.yaml",
        "identifiers/maintenance.yaml",
        "routes.yaml",
        "policies/ownership.yaml",
        "tests/overheated.yaml",
    ]
}
