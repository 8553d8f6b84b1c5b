//! What a workflow says of itself beside the DSL, and what it declares under `use`.

use super::{Scope, Vars, tasks::Entry};
use crate::{
    checks::expressions::Told,
    codes,
    files::workflows::{METADATA, MetadataFile, OnFaultWord, PlacementWord, UseFile},
    problem::{Finding, Spot, nearest},
    read::{At, Raw, Shared, read_shared},
    workflow::{Placement, Settings},
};
use andon_model::SiteName;
use serde::de::DeserializeOwned;

/// Kinds of references to secrets.
const SECRETS: [&str; 2] = ["env:", "file:"];

impl Scope<'_> {
    /// What stands under a `metadata` beside notes of the author; a key that is nearly one of ours is told.
    pub(super) fn beside<T: DeserializeOwned>(&self, raw: Raw, known: &[&'static str]) -> Result<T, Told> {
        let findings = &self.project.findings;
        let tree = findings.tree(raw.spot.file).ok_or(Told)?;
        for (key, _) in tree.entries(raw.spot.node) {
            let text = tree.text(*key).unwrap_or_default();
            if !known.contains(&text)
                && let Some(near) = nearest(text, known)
            {
                let spot = Spot { node: *key, ..raw.spot };
                let message = format!("nobody knows the key `{text}` here, which is nearly `{near}`");
                let finding = Finding::error(codes::UNKNOWN_KEY, spot, message).known(text, known.iter().copied());
                self.project.push(finding.help("correct the key; notes of yours need a name that is not so near"));
            }
        }
        read_shared(findings, raw.spot, Shared { others: &[], quiet: true, instead: &[] }).ok_or(Told)
    }

    /// The settings of a workflow.
    pub(super) fn settings(&self, file: &MetadataFile) -> Settings {
        let limits = file.limits.as_ref();
        let count = |number: Option<&At<u32>>| {
            let number = number?;
            if number.value == 0 {
                let finding =
                    Finding::error(codes::WRONG_FORM, number.spot, "with a limit of 0 nothing would ever run");
                self.project
                    .push(finding.expected("a whole number from 1").help("correct the number, or leave it out"));
            }
            Some(number.value)
        };
        if let (Some(owner), Some(owners)) = (&file.owner, self.owners) {
            owners.expect(self.project, owner);
        }
        if let Some(revoked) = file.revoked.as_ref().filter(|reason| reason.trim().is_empty()) {
            let finding = Finding::error(codes::WRONG_FORM, revoked.spot, "a workflow is revoked for a reason");
            self.project
                .push(finding.expected("the reason in a sentence").help("write it; its exceptions will say it"));
        }
        Settings {
            owner: file.owner.as_ref().map(|owner| owner.value.0.clone()),
            runs: count(limits.and_then(|limits| limits.runs.as_ref())),
            history: count(limits.and_then(|limits| limits.history.as_ref())),
            payload: limits.and_then(|limits| limits.payload.as_ref()).map(|size| size.value.0),
            placement: match file.placement.as_ref().map(|word| word.value) {
                Some(PlacementWord::Edge) => Placement::Edge,
                None | Some(PlacementWord::Hub) => Placement::Hub,
            },
            revoked: file.revoked.as_ref().map(|reason| reason.value.clone()),
            compensate: file.on_fault == Some(OnFaultWord::Compensate),
            sites: self.planned_at(file),
            ..Settings::default()
        }
    }

    /// The sites at which planned runs begin.
    fn planned_at(&self, file: &MetadataFile) -> Vec<SiteName> {
        let Some(sites) = &file.sites else { return Vec::new() };
        let mut named = Vec::new();
        for site in &sites.value {
            if let Some(known) = self.sites {
                known.expect(self.project, codes::UNKNOWN_SITE, site.spot, "site", site.as_str());
            }
            match SiteName::new(site.as_str()) {
                Ok(name) if !named.contains(&name) => named.push(name),
                _ => {}
            }
        }
        if named.is_empty() {
            let finding = Finding::error(codes::SCHEDULE, sites.spot, "there is no site at which a run could begin");
            self.project.push(finding.expected("names of sites").help("leave it out, for a run at each site"));
        }
        named
    }

    /// Keys of ours that stand under `document.metadata`, where nobody reads them.
    pub(super) fn misplaced(&self, metadata: Option<Raw>) {
        let Some(raw) = metadata else { return };
        let Some(tree) = self.project.findings.tree(raw.spot.file) else { return };
        for (key, _) in tree.entries(raw.spot.node) {
            let text = tree.text(*key).unwrap_or_default();
            if METADATA.contains(&text) {
                let spot = Spot { node: *key, ..raw.spot };
                let finding = Finding::error(codes::UNKNOWN_KEY, spot, format!("`{text}` is not read here"));
                self.project.push(
                    finding
                        .expected("notes of yours")
                        .help(format!("write `{text}` under the `metadata` that stands beside `document`")),
                );
            }
        }
    }

    /// Looks at what is declared and nobody uses, so that its problems are told all the same; and at secrets.
    pub(super) fn declared(&mut self, uses: &UseFile) {
        for secret in uses.secrets.iter() {
            if !SECRETS.iter().any(|kind| secret.starts_with(kind)) {
                let message = format!("`{}` does not say where the secret is", secret.value);
                let finding = Finding::error(codes::SECRET, secret.spot, message);
                self.project
                    .push(finding.expected("`env:NAME` or `file:PATH`").help("secrets never stand in a project"));
            }
        }
        let before = self.exprs.len();
        let vars = Vars::all();
        for (_, error) in &uses.errors.good {
            let _ = self.error(error, &vars);
        }
        for (_, timeout) in &uses.timeouts.good {
            let _ = self.delay(timeout.after, &vars);
        }
        self.exprs.truncate(before);
    }

    /// Reads functions and repetitions that nobody calls, so that their problems are told all the same. They see other
    /// variables wherever they are used, so those that are used are read there.
    pub(super) fn unused(&mut self, uses: &UseFile, document: &serde_json::Value) {
        let text = document.to_string();
        let is_used = |name: &str| text.contains(&format!(":{}", serde_json::Value::from(name)));
        let before = (self.exprs.len(), self.calls.len(), self.subflows.len());
        for (name, body) in uses.functions.good.iter().filter(|(name, _)| !is_used(name)) {
            let pointer = format!("/use/functions/{}", name.value);
            let entry = Entry { name: name.value.clone(), key: name.spot, body: body.spot, pointer };
            let _ = self.task(&entry, &[], &Vars::all());
        }
        for (_, retry) in uses.retries.good.iter().filter(|(name, _)| !is_used(name)) {
            let _ = self.retry(retry, &Vars::all().with(&["error".to_owned()]));
        }
        self.exprs.truncate(before.0);
        self.calls.truncate(before.1);
        self.subflows.truncate(before.2);
    }
}
