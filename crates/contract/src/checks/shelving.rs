//! How long alarms may be shelved: rules that exist, and times that pass.

use super::Known;
use crate::{codes, contract::Shelving, files::words::Duration, load::Project, problem::Finding, read::At};
use andon_model::{Name, span::Span};
use std::collections::BTreeMap;

pub(crate) fn resolve(project: &Project) -> Shelving {
    let Some(file) = project.shelving.as_ref().and_then(|doc| doc.body.as_ref()) else { return Shelving::default() };
    let known = Known::stems(&project.rules);
    let mut rules = BTreeMap::new();
    for (name, rule) in &file.rules.good {
        if !known.expect(project, codes::SHELVING, name.spot, "rule", name.as_str()) {
            continue;
        }
        let max = time(project, &rule.max);
        if let Ok(name) = Name::new(name.as_str()) {
            rules.insert(name, max);
        }
    }
    Shelving { max: file.max.as_ref().map_or(Shelving::MAX, |max| time(project, max)), rules }
}

fn time(project: &Project, max: &At<Duration>) -> Span {
    if max.value.0 <= Span::ZERO {
        let finding =
            Finding::error(codes::SHELVING, max.spot, "a shelving of no time ends before it begins".to_owned());
        project.push(finding.expected("a duration like 8 h").help("give a time, or leave the key out for 24 h"));
    }
    max.value.0
}
