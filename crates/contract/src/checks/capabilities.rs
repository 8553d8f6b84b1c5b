//! Capabilities: named in two parts, owned by a team, with an input whose schema exists.

use super::{Known, ownership::Owners, schemas::SchemaSet};
use crate::{
    codes,
    contract::{Capability, Objective},
    load::Project,
    problem::{Finding, Where},
};
use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

/// All capabilities.
pub(crate) struct Capabilities {
    pub(crate) good: BTreeMap<String, Capability>,
    pub(crate) known: Known,
    pub(crate) domains: Known,
}

impl Capabilities {
    /// A capability by `name` or `name@major`; tells where there is none.
    pub(crate) fn find<'a>(
        &'a self,
        project: &Project,
        at: crate::problem::Spot,
        name: &'a str,
    ) -> Option<(&'a str, &'a Capability)> {
        let (plain, major) = name.split_once('@').map_or((name, None), |(name, major)| (name, Some(major)));
        if !self.known.expect(project, codes::UNKNOWN_CAPABILITY, at, "capability", plain) {
            return None;
        }
        let capability = self.good.get(plain)?;
        if let Some(major) = major.filter(|major| *major != capability.version.to_string()) {
            let message = format!("the capability `{plain}` has the version {}, not {major}", capability.version);
            let finding = Finding::error(codes::UNKNOWN_CAPABILITY, at, message);
            project.push(finding.help(format!("write `{plain}` or `{plain}@{}`", capability.version)));
            return None;
        }
        Some((plain, capability))
    }
}

pub(crate) fn resolve(project: &Project, owners: &Owners, schemas: &SchemaSet) -> Capabilities {
    let mut all =
        Capabilities { good: BTreeMap::new(), known: Known::stems(&project.capabilities), domains: Known::default() };
    for doc in &project.capabilities {
        let is_name = doc.stem.contains('.') && doc.stem.split('.').all(|part| Name::new(part).is_ok());
        if !is_name {
            let message = format!("the file's name is no capability: `{}`", doc.stem);
            let finding = Finding::error(codes::FILE_NAME, Where::File(doc.file), message);
            project.push(
                finding.expected("`<domain>.<verb>`, such as `maintenance.request-work`").help("rename the file"),
            );
        }
        let Some(file) = &doc.body else { continue };
        all.domains.0.insert(file.domain.to_string());
        owners.expect(project, &file.owner);
        if file.version.value == 0 {
            let finding = Finding::error(codes::CAPABILITY, file.version.spot, "there is no version 0");
            project.push(finding.expected("a whole number from 1").help("begin with 1"));
        }
        let effect = file.effect.trim();
        let is_read = effect == "reads" || effect.starts_with("reads ");
        if !is_read && !effect.contains(' ') {
            let finding = Finding::error(codes::CAPABILITY, file.effect.spot, format!("`{effect}` names no effect"));
            project.push(
                finding
                    .expected("`reads`, or a verb and its object: `creates MaintenanceRequest`")
                    .help("say what is changed: it decides what an unknown outcome means"),
            );
        }
        let schema = &file.input.schema;
        if !schemas.known.has(&with_major(schema)) {
            project.push(schemas.known.unknown(codes::UNKNOWN_SCHEMA, schema.spot, "schema", schema));
        }
        let objective = file.objective.as_ref().map(|o| Objective { within: o.within.0, percent: o.of.0 });
        if let Some(o) = file.objective.as_ref().filter(|o| o.within.0 <= Span::ZERO) {
            let finding = Finding::error(codes::CAPABILITY, o.within.spot, "nothing is done within no time");
            project.push(finding.expected("a duration longer than 0 s").help("correct the duration"));
        }
        let capability = Capability {
            version: file.version.value,
            domain: file.domain.to_string(),
            owner: file.owner.0.clone(),
            effect: (!is_read).then(|| effect.to_owned()),
            input: with_major(schema),
            output: file.output.good.iter().map(|(name, kind)| (name.value.clone(), kind.word().to_owned())).collect(),
            objective,
        };
        all.good.insert(doc.stem.clone(), capability);
    }
    all
}

/// A reference to a schema with its major; 1 where it names none.
fn with_major(reference: &str) -> String {
    if reference.contains('/') { reference.to_owned() } else { format!("{reference}/1") }
}
