//! Who answers for what goes wrong, until when, and how the team is told.

use super::{Address, Contract, Secret, UserPassword};
use crate::hours::Hours;
use andon_model::{Name, OutcomeClass, SiteName, Time, span::Span};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Who answers for what.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    /// The teams.
    pub teams: BTreeMap<Name, Team>,
    /// First match wins; the last line matches everything.
    pub lines: Vec<OwnershipLine>,
    /// How teams are told.
    pub notify: Notify,
}

/// A team that can own exceptions.
#[derive(Debug, Clone, Default)]
pub struct Team {
    /// Its mail address.
    pub mail: Option<String>,
    /// Its webhook.
    pub webhook: Option<Hook>,
    /// When it is there: times to answer are counted in these hours.
    pub hours: Hours,
}

/// Where a team's notices are posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// The address.
    pub url: Address,
    /// What they are signed with, by Standard Webhooks; `None`: they are not signed, as the project says by name.
    pub secret: Option<Secret>,
    /// File of the authorities that are believed, PEM; `None`: those of the operating system.
    pub authority: Option<String>,
}

/// One line of the ownership policy; what is not set matches everything.
#[derive(Debug, Clone)]
pub struct OwnershipLine {
    /// The domain of the capability, or `ingest` for messages.
    pub domain: Option<String>,
    /// The site.
    pub site: Option<SiteName>,
    /// The kind of exception: input, output, decision, drift, objective.
    pub kind: Option<String>,
    /// The outcome of the call, one of these; empty: any, and none.
    pub outcomes: Vec<OutcomeClass>,
    /// What stands at these places of what the exception is about: one of the values at each.
    pub content: Vec<(Vec<String>, Vec<String>)>,
    /// Who owns it.
    pub owner: Name,
    /// In how much of the team's hours it is to be dealt with; `None`: it is never due.
    pub within: Option<Span>,
    /// Whom it passes to when nobody has dealt with it.
    pub escalate: Option<Escalate>,
}

impl OwnershipLine {
    /// In how much of the team's hours an exception is to be dealt with unless the project says otherwise.
    pub const WITHIN: Span = Span::from_secs(8 * 3_600);

    /// A line that matches everything.
    pub fn everything(owner: Name) -> Self {
        Self {
            domain: None,
            site: None,
            kind: None,
            outcomes: Vec::new(),
            content: Vec::new(),
            owner,
            within: Some(Self::WITHIN),
            escalate: None,
        }
    }

    fn matches(&self, about: &About<'_>) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == about.kind)
            && self.domain.as_deref().is_none_or(|domain| Some(domain) == about.domain)
            && self.site.as_ref().is_none_or(|site| Some(site) == about.site)
            && (self.outcomes.is_empty() || about.outcome.is_some_and(|outcome| self.outcomes.contains(&outcome)))
            && self.content.iter().all(|(path, values)| is_at(about.content, path, values))
    }
}

/// That an exception passes to another team when nobody has dealt with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalate {
    /// So long after it was due, in the hours of the team that had it.
    pub after: Span,
    /// The team.
    pub to: Name,
}

/// How teams are told.
#[derive(Debug, Clone)]
pub struct Notify {
    /// The mail server; `None`: no mail is sent.
    pub smtp: Option<Smtp>,
    /// A team gets at most one mail in this time. Default 10 min.
    pub every: Span,
    /// Where a person finds this instance's API; notices link to it.
    pub link: Option<Address>,
}

impl Notify {
    /// A team gets at most one mail in this time, unless the project says otherwise.
    pub const EVERY: Span = Span::from_secs(600);
}

impl Default for Notify {
    fn default() -> Self {
        Self { smtp: None, every: Self::EVERY, link: None }
    }
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// `HOST:PORT`.
    pub address: Address,
    /// Whom mails come from.
    pub from: String,
    /// How TLS is spoken.
    pub tls: MailTls,
    /// File of the authorities that are believed, PEM; `None`: those of the operating system.
    pub authority: Option<String>,
    /// User and password, where the server wants them.
    pub credentials: Option<UserPassword>,
}

/// How TLS is spoken with a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// The server is asked for it; one that does not offer it gets no mail. Usually port 587.
    Starttls,
    /// From the first byte. Usually port 465.
    Tls,
    /// Not at all.
    None,
}

/// What is known of an exception when its owner is looked for.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The kind: input, output, decision, drift, objective.
    pub kind: &'a str,
    /// The domain of the capability, or `ingest` for messages.
    pub domain: Option<&'a str>,
    /// The site.
    pub site: Option<&'a SiteName>,
    /// The outcome of the call.
    pub outcome: Option<OutcomeClass>,
    /// What it is about, made by [`matter`]; null where nothing more is known.
    pub content: &'a Json,
}

impl<'a> About<'a> {
    /// An exception of which no more is known than where it belongs.
    pub fn of(kind: &'a str, domain: Option<&'a str>, site: Option<&'a SiteName>) -> Self {
        Self { kind, domain, site, outcome: None, content: &Json::Null }
    }
}

/// The places of the content that lines of the policy may name first.
pub const CONTENT: [&str; 7] = ["input", "site", "capability", "system", "outcome", "key", "detail"];

/// What the content of an exception is made of; what is not known is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Matter<'a> {
    /// The input of the call or of the run.
    pub input: Option<&'a Json>,
    /// The site.
    pub site: Option<&'a SiteName>,
    /// The capability that was called.
    pub capability: Option<&'a str>,
    /// The system that was asked.
    pub system: Option<&'a Name>,
    /// The outcome of the call.
    pub outcome: Option<OutcomeClass>,
    /// The business key: the partition key of the event.
    pub key: Option<&'a str>,
    /// What is known in particular.
    pub detail: Option<&'a str>,
}

/// The content of an exception, as lines of the policy name it.
pub fn matter(of: &Matter<'_>) -> Json {
    json!({
        "input": of.input,
        "site": of.site,
        "capability": of.capability,
        "system": of.system,
        "outcome": of.outcome.map(OutcomeClass::word),
        "key": of.key,
        "detail": of.detail,
    })
}

/// Who answers, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answerable {
    /// The team.
    pub owner: Name,
    /// Until when, counted in its hours; `None`: it is never due.
    pub due: Option<Time>,
}

impl Contract {
    /// Who answers for an exception that is raised now, and until when. The last line of the policy matches everything;
    /// a contract that is made by hand without lines has its first team answer, or `nobody`.
    pub fn answerable(&self, about: &About<'_>, now: Time) -> Answerable {
        match self.line(about) {
            Some(line) => {
                Answerable { owner: line.owner.clone(), due: line.within.and_then(|w| self.due(&line.owner, w, now)) }
            }
            None => Answerable { owner: self.ownership.teams.keys().next().cloned().unwrap_or_else(nobody), due: None },
        }
    }

    /// When an exception that a team gets now is due, by the line of the policy that stands for it.
    pub fn due_of(&self, about: &About<'_>, owner: &Name, now: Time) -> Option<Time> {
        let within = self.line(about).map_or(Some(OwnershipLine::WITHIN), |line| line.within)?;
        self.due(owner, within, now)
    }

    /// When so much of a team's time has passed; a team that is not declared is always there.
    pub fn due(&self, team: &Name, within: Span, now: Time) -> Option<Time> {
        match self.ownership.teams.get(team) {
            Some(team) => team.hours.after(now, within),
            None => Some(now.plus(within)),
        }
    }

    /// To whom an exception passes that its owner has not dealt with, and when; `None`: to nobody.
    pub fn escalation(&self, about: &About<'_>, owner: &Name, due: Time) -> Option<(Time, &Name)> {
        let escalate = self.line(about)?.escalate.as_ref()?;
        (escalate.to != *owner).then_some(())?;
        Some((self.due(owner, escalate.after, due)?, &escalate.to))
    }

    /// The owner of an exception of which no more is known; the last line of the policy matches everything.
    pub fn owner(&self, kind: &str, domain: Option<&str>, site: Option<&SiteName>) -> Option<&Name> {
        self.line(&About::of(kind, domain, site)).map(|line| &line.owner)
    }

    fn line(&self, about: &About<'_>) -> Option<&OwnershipLine> {
        self.ownership.lines.iter().find(|line| line.matches(about))
    }
}

fn nobody() -> Name {
    Name::new("nobody").expect("lower-case letters are a name")
}

/// Whether one of the values stands at a place; in a list at one of its entries.
fn is_at(content: &Json, path: &[String], values: &[String]) -> bool {
    match (content, path) {
        (Json::Array(entries), _) => entries.iter().any(|entry| is_at(entry, path, values)),
        (Json::Object(fields), [first, rest @ ..]) => fields.get(first).is_some_and(|inner| is_at(inner, rest, values)),
        (value, []) => values.iter().any(|wanted| is(value, wanted)),
        _ => false,
    }
}

/// Whether a value is what is written: numbers by their value, everything else by its text.
fn is(value: &Json, wanted: &str) -> bool {
    match value {
        Json::String(text) => text == wanted,
        Json::Bool(truth) => (if *truth { "true" } else { "false" }) == wanted,
        Json::Number(number) => wanted.parse().is_ok_and(|wanted: f64| number.as_f64() == Some(wanted)),
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hours::Window;
    use andon_model::time::Zone;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn policy(lines: Vec<OwnershipLine>) -> Contract {
        let hours = Hours::Windows(
            Window::parse("Mon-Fri 06:00 to 22:00").unwrap().unwrap(),
            Zone::named("Europe/Berlin").unwrap(),
        );
        let teams = [
            (name("planning"), Team { hours, ..Team::default() }),
            (name("integration"), Team::default()),
            (name("management"), Team::default()),
        ];
        Contract { ownership: Ownership { teams: teams.into(), lines, ..Ownership::default() }, ..Contract::empty() }
    }

    #[test]
    fn the_first_line_that_matches_names_the_team_and_the_time() {
        let site = SiteName::new("hamburg").unwrap();
        let contract = policy(vec![
            OwnershipLine {
                outcomes: vec![OutcomeClass::Validation],
                content: vec![(
                    vec!["input".into(), "lines".into(), "material".into()],
                    vec!["4711".into(), "x".into()],
                )],
                ..OwnershipLine::everything(name("management"))
            },
            OwnershipLine {
                domain: Some("maintenance".into()),
                site: Some(site.clone()),
                within: Some(Span::from_secs(7_200)),
                escalate: Some(Escalate { after: Span::from_secs(3_600), to: name("management") }),
                ..OwnershipLine::everything(name("planning"))
            },
            OwnershipLine {
                kind: Some("drift".into()),
                within: None,
                ..OwnershipLine::everything(name("integration"))
            },
            OwnershipLine::everything(name("integration")),
        ]);
        // A Friday, 21:00 in Berlin.
        let now = Time::parse("2026-11-27T20:00:00Z").unwrap();
        let found = |about: &About<'_>| {
            let answerable = contract.answerable(about, now);
            (answerable.owner.to_string(), answerable.due.map(|due| due.to_string()))
        };
        let input = json!({ "lines": [{ "material": 5 }, { "material": 4711 }] });
        let content = matter(&Matter { input: Some(&input), ..Matter::default() });
        let of =
            |outcome| About { outcome, content: &content, ..About::of("output", Some("maintenance"), Some(&site)) };
        assert_eq!(
            found(&of(Some(OutcomeClass::Validation))),
            ("management".into(), Some("2026-11-28T04:00:00Z".into()))
        );
        let monday = ("planning".to_owned(), Some("2026-11-30T06:00:00Z".to_owned()));
        assert_eq!(found(&of(Some(OutcomeClass::Conflict))), monday);
        assert_eq!(found(&of(None)), monday);
        assert_eq!(found(&About::of("drift", None, Some(&site))), ("integration".into(), None));
        assert_eq!(found(&About::of("input", None, None)).0, "integration");
        // Escalation counts in the hours of the team that had it.
        let due = Time::parse("2026-11-30T21:00:00Z").unwrap();
        let (at, to) = contract.escalation(&of(None), &name("planning"), due).unwrap();
        assert_eq!((at.to_string(), to.as_str()), ("2026-12-01T06:00:00Z".to_owned(), "management"));
        assert_eq!(contract.escalation(&of(None), &name("management"), due), None);
        assert_eq!(contract.escalation(&About::of("input", None, None), &name("integration"), due), None);
        assert_eq!(contract.due_of(&About::of("drift", None, None), &name("planning"), now), None);
        assert_eq!(contract.due_of(&of(None), &name("integration"), now).unwrap().to_string(), "2026-11-27T22:00:00Z");
    }

    #[test]
    fn what_stands_at_a_place_is_compared_by_its_value() {
        let content = json!({ "input": { "n": 4711.0, "t": "4711", "b": true, "null": null, "o": {} }, "key": "a.b" });
        let is = |path: &str, value: &str| {
            is_at(&content, &path.split('.').map(str::to_owned).collect::<Vec<_>>(), &[value.to_owned()])
        };
        assert!(is("input.n", "4711") && is("input.t", "4711") && is("input.b", "true") && is("key", "a.b"));
        for (path, value) in
            [("input.t", "4711.0"), ("input.null", "null"), ("input.o", "{}"), ("input", "x"), ("n", "")]
        {
            assert!(!is(path, value), "{path} {value}");
        }
        assert!(!is("input.n.x", "4711") && !is("detail", ""));
    }

    #[test]
    fn a_contract_made_by_hand_has_somebody_who_answers() {
        assert_eq!(Contract::empty().answerable(&About::of("input", None, None), Time(0)).owner.as_str(), "nobody");
        let first = policy(Vec::new()).answerable(&About::of("input", None, None), Time(0));
        assert_eq!((first.owner.as_str(), first.due), ("integration", None));
    }
}
