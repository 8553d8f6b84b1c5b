//! What is done about exceptions by themselves: names that exist, outcomes that may be retried, times that make sense.

use super::{Known, assets::Assets, capabilities::Capabilities, ownership::one_or_many, systems::Systems};
use crate::{
    codes,
    contract::{Agree, Exceptions, Replay, ReplayWhen},
    files::{
        exceptions::{AgreeWord, EveryFile, ReplayFile, WhenWord},
        ownership::OutcomeWord,
    },
    load::Project,
    problem::Finding,
    read::{At, Raw, read},
};
use andon_model::{OutcomeClass, SiteName};

pub(crate) fn resolve(
    project: &Project,
    assets: &Assets,
    capabilities: &Capabilities,
    systems: &Systems,
) -> Exceptions {
    let mut all = Exceptions::default();
    let Some(file) = project.exceptions.as_ref().and_then(|doc| doc.body.as_ref()) else { return all };
    let site = |site: &Option<At<crate::files::words::Named>>| {
        let site = site.as_ref()?;
        assets.known_sites.expect(project, codes::UNKNOWN_SITE, site.spot, "site", site.as_str());
        SiteName::new(site.as_str()).ok()
    };
    for rule in file.replay.iter() {
        if let Some(capability) = &rule.capability {
            let known: &Known = &capabilities.known;
            known.expect(project, codes::UNKNOWN_CAPABILITY, capability.spot, "capability", capability);
        }
        let Some(when) = when(project, rule, systems) else { continue };
        all.replay.push(Replay {
            system: rule.system.as_ref().map(|system| system.0.clone()),
            capability: rule.capability.as_ref().map(|capability| capability.value.clone()),
            site: site(&rule.site),
            outcomes: outcomes(project, rule.outcome),
            when,
        });
    }
    for rule in file.agree.iter() {
        let AgreeWord::Edit = rule.action.value;
        if let Some(domain) = rule.domain.as_ref().filter(|domain| !capabilities.domains.has(domain.as_str())) {
            let message = format!("no capability has the domain `{}`, so this line matches nothing", domain.value);
            let finding = Finding::warning(codes::UNKNOWN_DOMAIN, domain.spot, message);
            let known = finding.known(domain.as_str(), capabilities.domains.0.iter().map(String::as_str));
            project.push(known.help("correct the domain, or keep the line for a capability to come"));
        }
        let domain = rule.domain.as_ref().map(|domain| domain.value.clone());
        all.agree.push(Agree { domain, site: site(&rule.site) });
    }
    all
}

fn outcomes(project: &Project, raw: Option<Raw>) -> Vec<OutcomeClass> {
    let Some(raw) = raw else { return Exceptions::OUTCOMES.to_vec() };
    let found: Vec<At<OutcomeWord>> = one_or_many(project, raw);
    for word in found.iter().filter(|word| word.value == OutcomeWord::Unknown) {
        let message = "what may have been done is never done again by itself: somebody must look";
        let finding = Finding::error(codes::EXCEPTIONS, word.spot, message);
        project.push(finding.help("leave `unknown` out"));
    }
    found.iter().map(|word| word.class()).collect()
}

fn when(project: &Project, rule: &ReplayFile, systems: &Systems) -> Option<ReplayWhen> {
    if let Some(system) = &rule.system {
        systems.known.expect(project, codes::UNKNOWN_SYSTEM, system.spot, "system", system.as_str());
    }
    let is_word = project.findings.tree(rule.when.spot.file)?.scalar(rule.when.spot.node).is_some();
    if is_word {
        let WhenWord::BreakerCloses = read::<WhenWord>(&project.findings, rule.when.spot)?;
        let never = rule
            .system
            .as_ref()
            .filter(|name| systems.good.get(&name.0).is_some_and(|system| system.breaker.is_none()));
        if let Some(system) = never {
            let message = format!("the system `{}` has no breaker that could close", system.value);
            let finding = Finding::error(codes::EXCEPTIONS, system.spot, message);
            project.push(finding.help("write `when: { every: 10 min, times: 3 }`, or leave `breaker: off` out there"));
        }
        return Some(ReplayWhen::BreakerCloses);
    }
    let every: EveryFile = read(&project.findings, rule.when.spot)?;
    let (shortest, longest) = Exceptions::EVERY;
    let span = every.every.value.0;
    if span < shortest || span > longest {
        let finding = Finding::error(codes::EXCEPTIONS, every.every.spot, format!("it would be retried every {span}"));
        project.push(finding.expected("10 s to 7 d").help("correct the time"));
    }
    if every.times.value == 0 || every.times.value > Exceptions::TIMES_MAX {
        let message = format!("it would be retried {} times", every.times.value);
        let finding = Finding::error(codes::EXCEPTIONS, every.times.spot, message);
        project.push(finding.expected("1 to 100").help("correct the number; after them it waits for a person"));
    }
    Some(ReplayWhen::Every(span, every.times.value))
}
