//! The checks: each module looks at one subject, tells what is wrong with it and gives the part of the contract that
//! is right. They stand in the order in which they need each other.

mod assets;
mod capabilities;
mod classes;
mod connect;
mod coverage;
mod days;
mod exceptions;
mod expressions;
mod file;
mod http;
mod identifiers;
mod instances;
mod listeners;
mod mappings;
mod notify;
mod ownership;
mod paging;
mod parameters;
mod policy;
mod reach;
mod reads;
mod reduction;
mod requests;
mod retention;
mod routes;
mod rules;
mod scenarios;
mod schemas;
mod shapes;
mod shdr;
mod shelving;
mod sources;
mod states;
mod subscribers;
mod systems;
mod tls;
mod topics;
mod units;
mod workflows;

pub(crate) use parameters::Key;
pub(crate) use workflows::alone;

use crate::{
    codes,
    contract::Contract,
    load::{Doc, Project},
    problem::{Finding, Spot, Where},
};
use andon_model::Name;
use std::collections::{BTreeMap, BTreeSet};

/// All checks. `None` where a part could not be read at all; the findings say why. The files and their revision are
/// added by the caller.
pub(crate) fn resolve(project: &Project) -> Option<Contract> {
    let ownership = ownership::resolve(project);
    let classes = classes::resolve(project);
    let sources_known = Known::stems(&project.sources);
    let assets = assets::resolve(project, &classes, &sources_known);
    let schemas = schemas::resolve(project);
    let sources = sources::resolve(project, &classes, &assets, &schemas);
    coverage::check(project, &sources, &assets, &classes);
    let rules = rules::resolve(project, &classes, &assets, &schemas.all);
    let capabilities = capabilities::resolve(project, &ownership, &schemas);
    let identifiers = identifiers::resolve(project, &assets);
    let systems = systems::resolve(project, &capabilities, &schemas, &assets, &identifiers);
    let beside = workflows::Beside {
        project,
        capabilities: &capabilities,
        schemas: &schemas,
        owners: Some(&ownership),
        sites: Some(&assets.known_sites),
        open: false,
        follow: true,
    };
    let workflows = workflows::resolve(beside);
    let routes = routes::resolve(project, &assets, &capabilities, &systems);
    let subscribers = subscribers::resolve(project, &schemas);
    let retention = retention::resolve(project, &assets);
    let shelving = shelving::resolve(project);
    let exceptions = exceptions::resolve(project, &assets, &capabilities, &systems);
    let instances = instances::resolve(project, &assets);
    ownership::check(project, &ownership, &assets, &capabilities);
    workflows::check_hosts(project, &workflows.hosts, &systems);
    workflows::check_effects(project, &workflows, &routes, &systems);
    routes::check_calls(project, &workflows, &routes, &assets, &capabilities);
    let beside = identifiers::Beside {
        systems: &systems,
        routes: &routes,
        assets: &assets,
        capabilities: &capabilities,
        schemas: &schemas,
    };
    identifiers::check_uses(project, &identifiers, &beside);
    let (name, instances) = instances?;
    subscribers::check(project);
    let parts = scenarios::Parts {
        classes: &classes,
        assets: &assets,
        sources: &sources,
        systems: &systems,
        schemas: &schemas,
        capabilities: &capabilities.known,
        rules: &rules,
        shelving: &shelving,
    };
    let scenarios = scenarios::resolve(project, &parts);
    listeners::check(project, &sources);
    Some(Contract {
        revision: String::new(),
        files: BTreeMap::new(),
        name,
        instances,
        sites: assets.sites.into_iter().map(|(name, site)| (name, site.site)).collect(),
        assets: assets.assets.into_iter().map(|(name, asset)| (name, asset.asset)).collect(),
        classes: classes.good.into_iter().map(|(name, class)| (name, class.class)).collect(),
        sources,
        rules,
        schemas: schemas.all,
        identifiers: identifiers.all,
        workflows: workflows.good,
        capabilities: capabilities.good,
        systems: systems.good,
        routes: routes.all,
        ownership: ownership.all,
        exceptions,
        subscribers,
        retention,
        shelving,
        scenarios,
    })
}

/// Names that are declared, also those whose declaration is wrong: nobody is told twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(pub(crate) BTreeSet<String>);

impl Known {
    /// The names of files.
    pub(crate) fn stems<T>(docs: &[Doc<T>]) -> Self {
        Self(docs.iter().map(|doc| doc.stem.clone()).collect())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Whether a name is declared; tells where it is not.
    pub(crate) fn expect(&self, project: &Project, code: &'static str, spot: Spot, what: &str, name: &str) -> bool {
        if !self.has(name) {
            project.push(self.unknown(code, spot, what, name));
        }
        self.has(name)
    }

    pub(crate) fn unknown(&self, code: &'static str, spot: impl Into<Where>, what: &str, name: &str) -> Finding {
        self.lacking(code, spot, name, format!("there is no {what} `{name}`"))
    }

    /// The same, in words of the caller.
    pub(crate) fn lacking(&self, code: &'static str, spot: impl Into<Where>, name: &str, message: String) -> Finding {
        Finding::error(code, spot, message)
            .known(name, self.0.iter().map(String::as_str))
            .help("correct the name, or declare it")
    }
}

/// The name that a file's name is; tells where it is none.
pub(crate) fn stem<T>(project: &Project, doc: &Doc<T>) -> Option<Name> {
    match Name::new(&doc.stem) {
        Ok(name) => Some(name),
        Err(error) => {
            let finding = Finding::error(
                codes::FILE_NAME,
                Where::File(doc.file),
                format!("the file's name is not a name: `{}`", doc.stem),
            );
            project.push(finding.expected(error.expected).help("rename the file; its name is what others refer to"));
            None
        }
    }
}
