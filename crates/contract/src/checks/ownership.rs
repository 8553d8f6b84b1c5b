//! Ownership: teams exist and can be reached; every exception has an owner, because the last line matches everything.

use super::{Known, assets::Assets, capabilities::Capabilities};
use crate::{
    codes,
    contract::{Ownership, OwnershipLine, Team},
    files::ownership::OwnershipFile,
    load::Project,
    problem::{Finding, Where},
    read::At,
};
use andon_model::SiteName;

/// The policy and the names of its teams.
pub(crate) struct Owners {
    pub(crate) all: Ownership,
    pub(crate) teams: Known,
    /// Whether the file could be read; else nobody is told that a team is missing.
    pub(crate) whole: bool,
}

impl Owners {
    /// Whether a team is declared; tells where it is not.
    pub(crate) fn expect(&self, project: &Project, team: &At<crate::files::words::Named>) {
        if self.whole {
            self.teams.expect(project, codes::UNKNOWN_TEAM, team.spot, "team", team.as_str());
        }
    }
}

pub(crate) fn resolve(project: &Project) -> Owners {
    let mut owners = Owners { all: Ownership::default(), teams: Known::default(), whole: false };
    let Some(doc) = &project.ownership else {
        let finding = Finding::error(
            codes::NO_OWNER,
            Where::Path("policies/ownership.yaml".to_owned()),
            "there is no `policies/ownership.yaml`, so nobody answers for what goes wrong",
        );
        project.push(finding.help("add it with `teams: { <team>: { mail: ... } }` and `rules: [{ owner: <team> }]`"));
        return owners;
    };
    let Some(file) = &doc.body else { return owners };
    owners.whole = true;
    teams(project, file, &mut owners);
    lines(project, file, doc.file, &mut owners);
    owners
}

fn teams(project: &Project, file: &OwnershipFile, owners: &mut Owners) {
    owners.teams.0.extend(file.teams.spoilt.iter().map(ToString::to_string));
    for (name, team) in &file.teams.good {
        owners.teams.0.insert(name.to_string());
        if team.mail.is_none() && team.webhook.is_none() {
            let message = format!("the team `{name}` has no mail address and no webhook");
            let finding = Finding::warning(codes::TEAM_UNREACHABLE, name.spot, message);
            project
                .push(finding.help("add `mail: ...` or `webhook: ...`; exceptions of the team are told nobody else"));
        }
        if let Some(mail) = team.mail.as_ref().filter(|mail| !mail.contains('@') || mail.contains(' ')) {
            let finding =
                Finding::error(codes::TEAM_UNREACHABLE, mail.spot, format!("`{}` is no mail address", mail.value));
            project.push(finding.expected("an address like maintenance@plant.example").help("correct the address"));
        }
        if let Some(hook) = team.webhook.as_ref().filter(|h| !h.starts_with("http://") && !h.starts_with("https://")) {
            let finding = Finding::error(codes::TEAM_UNREACHABLE, hook.spot, format!("`{}` is no webhook", hook.value));
            project.push(finding.expected("an address that begins with https://").help("correct the address"));
        }
        let resolved = Team {
            mail: team.mail.as_ref().map(|mail| mail.value.clone()),
            webhook: team.webhook.as_ref().map(|hook| hook.value.clone()),
            hours: team.hours.clone(),
        };
        owners.all.teams.insert(name.0.clone(), resolved);
    }
}

fn lines(project: &Project, file: &OwnershipFile, number: u32, owners: &mut Owners) {
    let mut rest = None;
    for line in file.rules.iter() {
        owners.expect(project, &line.owner);
        if rest.is_some() {
            let finding = Finding::error(codes::OWNERSHIP_ORDER, line.spot, "this line is never reached");
            project.push(finding.help("an earlier line matches everything; move that one to the end"));
        }
        let matches_all = line.domain.is_none() && line.site.is_none() && line.kind.is_none();
        rest = rest.or(matches_all.then_some(line.spot));
        owners.all.lines.push(OwnershipLine {
            domain: line.domain.as_ref().map(ToString::to_string),
            site: line.site.as_ref().and_then(|site| SiteName::new(site.as_str()).ok()),
            kind: line.kind.as_ref().map(|kind| kind.word().to_owned()),
            owner: line.owner.0.clone(),
        });
    }
    if rest.is_none() {
        let at = file.rules.iter().last().map_or(Where::File(number), |line| line.spot.into());
        let finding =
            Finding::error(codes::OWNERSHIP_ORDER, at, "the last line of the rules does not match everything");
        project.push(finding.expected("`- { owner: <team> }`").help("add a last line with nothing but an owner"));
    }
}

/// What the lines name exists; told once the rest is known.
pub(crate) fn check(project: &Project, owners: &Owners, assets: &Assets, capabilities: &Capabilities) {
    let Some(file) = project.ownership.as_ref().and_then(|doc| doc.body.as_ref()) else { return };
    if !owners.whole {
        return;
    }
    let mut domains = capabilities.domains.clone();
    domains.0.insert("ingest".to_owned());
    for line in file.rules.iter() {
        if let Some(site) = &line.site {
            assets.known_sites.expect(project, codes::UNKNOWN_SITE, site.spot, "site", site.as_str());
        }
        if let Some(domain) = line.domain.as_ref().filter(|domain| !domains.has(domain.as_str())) {
            let message = format!("no capability has the domain `{}`, so this line matches nothing", domain.value);
            let finding = Finding::warning(codes::UNKNOWN_DOMAIN, domain.spot, message);
            let known = finding.known(domain.as_str(), domains.0.iter().map(String::as_str));
            project.push(known.help("correct the domain, or keep the line for a capability to come"));
        }
    }
}
