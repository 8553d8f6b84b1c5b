//! Ownership: teams exist and can be reached; every exception has an owner, because the last line matches everything.

use super::{
    Known,
    assets::{Assets, zone},
    capabilities::Capabilities,
    notify,
};
use crate::{
    codes,
    contract::{CONTENT, Escalate, Ownership, OwnershipLine, Team},
    files::{
        ownership::{ExceptionWord, OutcomeWord, OwnerFile, OwnershipFile, TeamFile},
        words::Comparand,
    },
    hours::{Hours, Window},
    load::Project,
    problem::{Finding, Where},
    read::{At, Items, Raw, read},
};
use andon_model::{OutcomeClass, SiteName, span::Span};
use serde::de::DeserializeOwned;

/// The longest time to answer, in hours of the team.
const WITHIN_MAX: Span = Span::from_secs(30 * 86_400);

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
    owners.all.notify = notify::resolve(project, file.notify.as_ref());
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
        let resolved = Team {
            mail: team.mail.as_ref().filter(|mail| notify::mail(project, mail)).map(|mail| mail.value.clone()),
            webhook: team.webhook.and_then(|raw| notify::hook(project, raw)),
            hours: hours(project, team),
        };
        owners.all.teams.insert(name.0.clone(), resolved);
    }
}

/// The hours of a team; always where they are wrong.
fn hours(project: &Project, team: &TeamFile) -> Hours {
    let zone = team.zone.as_ref().map(|named| (zone(project, named), named.spot));
    let windows = match &team.hours {
        None => None,
        Some(text) => match Window::parse(text) {
            Ok(windows) => windows.map(|windows| (windows, text.spot)),
            Err(wrong) => {
                let finding = Finding::error(codes::HOURS, text.spot, wrong.message);
                let expected = "`always`, `06:00 to 22:00`, or `Mon-Fri 06:00 to 22:00`";
                project.push(finding.expected(expected).help("write the hours so; several with commas between"));
                return Hours::Always;
            }
        },
    };
    match (windows, zone) {
        (Some((windows, _)), Some((zone, _))) => zone.map_or(Hours::Always, |zone| Hours::Windows(windows, zone)),
        (Some((_, spot)), None) => {
            let finding = Finding::error(codes::HOURS, spot, "hours without a zone are of no clock");
            project
                .push(finding.expected("`zone: Europe/Berlin` beside them").help("add the zone of the team's clock"));
            Hours::Always
        }
        (None, Some((_, spot))) => {
            let finding = Finding::error(codes::HOURS, spot, "a zone without hours: the team is always there");
            project.push(finding.help("add `hours`, or leave the zone out"));
            Hours::Always
        }
        (None, None) => Hours::Always,
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
        let (outcomes, content) = (outcomes(project, line), content(project, line));
        let matches_all = line.domain.is_none()
            && line.site.is_none()
            && line.kind.is_none()
            && line.outcome.is_none()
            && line.content.good.is_empty()
            && line.content.spoilt.is_empty();
        rest = rest.or(matches_all.then_some(line.spot));
        owners.all.lines.push(OwnershipLine {
            domain: line.domain.as_ref().map(ToString::to_string),
            site: line.site.as_ref().and_then(|site| SiteName::new(site.as_str()).ok()),
            kind: line.kind.as_ref().map(|kind| kind.word().to_owned()),
            outcomes,
            content,
            owner: line.owner.0.clone(),
            within: within(project, line),
            escalate: escalate(project, line, owners),
        });
    }
    if rest.is_none() {
        let at = file.rules.iter().last().map_or(Where::File(number), |line| line.spot.into());
        let finding =
            Finding::error(codes::OWNERSHIP_ORDER, at, "the last line of the rules does not match everything");
        project.push(finding.expected("`- { owner: <team> }`").help("add a last line with nothing but an owner"));
    }
}

fn outcomes(project: &Project, line: &OwnerFile) -> Vec<OutcomeClass> {
    let found: Vec<At<OutcomeWord>> = line.outcome.map(|raw| one_or_many(project, raw)).unwrap_or_default();
    let without =
        line.kind.as_ref().filter(|kind| !matches!(kind.value, ExceptionWord::Output | ExceptionWord::Decision));
    if let Some((kind, first)) = without.zip(found.first()) {
        let message = format!("an exception of kind `{}` has no outcome, so this line matches nothing", kind.word());
        let finding = Finding::error(codes::OWNERSHIP_CONTENT, first.spot, message);
        project.push(finding.expected("`kind: output`, or no kind").help("correct the kind, or leave `outcome` out"));
    }
    found.iter().map(|word| word.class()).collect()
}

fn content(project: &Project, line: &OwnerFile) -> Vec<(Vec<String>, Vec<String>)> {
    let mut all = Vec::new();
    for (path, raw) in &line.content.good {
        let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
        let first = parts.first().map_or("", String::as_str);
        if !CONTENT.contains(&first) || parts.iter().any(String::is_empty) {
            let finding =
                Finding::error(codes::OWNERSHIP_CONTENT, path.spot, format!("no exception has `{}`", path.value));
            let known = finding.known(first, CONTENT);
            project.push(known.help("begin the path with one of these, such as `input.material`"));
            continue;
        }
        let values: Vec<Comparand> = one_or_many(project, *raw);
        if values.is_empty() {
            let finding = Finding::error(codes::OWNERSHIP_CONTENT, path.spot, "no value is wanted here");
            project.push(finding.expected("a value, or a list of values").help("add one, or leave the path out"));
        }
        all.push((parts, values.into_iter().map(|value| value.0).collect()));
    }
    all
}

/// A value or a list of values.
pub(super) fn one_or_many<T: DeserializeOwned>(project: &Project, raw: Raw) -> Vec<T> {
    let is_one = project.findings.tree(raw.spot.file).is_some_and(|tree| tree.scalar(raw.spot.node).is_some());
    if is_one {
        read(&project.findings, raw.spot).into_iter().collect()
    } else {
        let items = read::<Items<T>>(&project.findings, raw.spot).unwrap_or_default();
        items.good.into_iter().map(|(_, item)| item).collect()
    }
}

/// In how much of the team's hours an exception is to be dealt with.
fn within(project: &Project, line: &OwnerFile) -> Option<Span> {
    let Some(within) = &line.within else { return Some(OwnershipLine::WITHIN) };
    let span = within.value.0?;
    if span <= Span::ZERO || span > WITHIN_MAX {
        let finding = Finding::error(codes::WITHIN, within.spot, format!("nobody can answer within {span}"));
        let expected = "longer than no time, at most 30 d of the team's hours, or `never`";
        project.push(finding.expected(expected).help("correct the duration; without it 8 h of the team's hours"));
    }
    Some(span)
}

fn escalate(project: &Project, line: &OwnerFile, owners: &Owners) -> Option<Escalate> {
    let file = line.escalate.as_ref()?;
    owners.expect(project, &file.to);
    let after = file.after.as_ref().map_or(Span::ZERO, |after| after.value.0);
    if let Some(at) = file.after.as_ref().filter(|_| after > WITHIN_MAX) {
        let finding = Finding::error(codes::WITHIN, at.spot, format!("it would pass on after {after}"));
        project.push(finding.expected("at most 30 d of the team's hours").help("correct the duration"));
    }
    if file.to.value == line.owner.value {
        let finding = Finding::error(codes::ESCALATION, file.to.spot, format!("`{}` has it already", file.to.value));
        project.push(finding.expected("another team").help("name another team, or leave `escalate` out"));
    }
    if let Some(never) = line.within.as_ref().filter(|within| within.value.0.is_none()) {
        let finding = Finding::error(codes::ESCALATION, never.spot, "what is never due passes to nobody");
        project.push(finding.help("give a duration, or leave `escalate` out"));
    }
    Some(Escalate { after, to: file.to.0.clone() })
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
