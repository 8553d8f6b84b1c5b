//! Silences: a limit that is longer than a moment.

use super::{On, severity, version};
use crate::{
    checks::assets::Assets,
    codes,
    contract::{Rule, RuleKind, RuleSettings, StaleSettings},
    files::rules::StaleRuleFile,
    load::Project,
    problem::Finding,
};
use andon_model::{AssetName, span::Span};
use std::sync::Arc;

pub(super) fn stale(project: &Project, file: &StaleRuleFile, on: &On<'_>, assets: &Assets) -> Option<Rule> {
    if file.after.0 < Span::from_secs(1) {
        let finding =
            Finding::error(codes::DELAY, file.after.spot, format!("a silence of {} means nothing", file.after.0));
        project.push(finding.expected("at least 1 s").help("wait longer than the signal's usual pause"));
    }
    let severity = severity(project, file.severity.value, file.severity.spot)?;
    let settings = |name: &AssetName| {
        let version = version(&["stale", on.signal.as_str(), &file.after.nanos().to_string(), &severity.to_string()]);
        let kind = RuleKind::Stale(StaleSettings { after: file.after.0, severity });
        (name.clone(), Arc::new(RuleSettings::plain(kind, "1", &version)))
    };
    let assets = on.assets(project, assets).into_iter().map(|(name, _)| settings(name)).collect();
    Some(Rule { class: on.class.clone(), signal: on.signal.clone(), assets })
}
