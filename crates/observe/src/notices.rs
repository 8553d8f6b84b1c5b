//! What teams are told: which notices are due, what stands in them, and when one is tried again.
//!
//! A notice is about a group of exceptions, never about one of ten thousand. A team is told of a group when it begins
//! or is handed over, once in each hour in which some of it become due or overdue, and when it passes to another team.
//! The ids of notices derive from that, so that nobody is told twice because a process ended. Mails to a team are
//! gathered: one holds everything that waits for it.

use crate::health::{Finding, Level};
use andon_contract::{
    Contract,
    contract::{About, Matter, Team, matter},
    hours::Hours,
};
use andon_model::{Name, Time, id::derive, span::Span};
use andon_store::{
    Query, Store, StoreError,
    rows::{AuditRow, ExceptionChange, ExceptionRow, ExceptionState, GroupRow, NoticeRow},
};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, fmt::Write as _};

/// The way of a mail.
pub const MAIL: &str = "mail";
/// The way of a webhook.
pub const WEBHOOK: &str = "webhook";
/// The state of a notice that was not taken yet.
pub const WAITING: &str = "waiting";
/// The state of one that was taken, or about which there was nothing left to tell.
pub const SENT: &str = "sent";
/// The state of one that is not tried any more.
pub const FAILED: &str = "failed";
/// So long before it is due a team is told that an exception will be.
pub const SOON: Span = Span::from_secs(1_800);
/// So long a first mail waits for others that belong into it.
pub const GATHER: Span = Span::from_secs(2);
/// A failed try is repeated after this, then after twice as long, and so on.
const AGAIN: Span = Span::from_secs(10);
/// The longest pause between two tries.
const AGAIN_MAX: Span = Span::from_secs(900);
/// A notice that nobody has taken for so long is given up.
const GIVE_UP: Span = Span::from_secs(3 * 86_400);
/// A notice that was given up is told by `andon status` for so long after it was made.
const TOLD_FOR: Span = Span::from_secs(7 * 86_400);
/// Groups that a mail tells one by one; of more it tells the number.
const GROUPS_MAX: usize = 50;
/// Notices that are looked at to find what is in the way of them.
const LOOKED_AT: usize = 1_000;
/// The longest line that is taken over into a mail or a webhook, in characters.
const LINE_MAX: usize = 500;

/// What a notice says of a group; the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It has passed to the team, because another has not dealt with it.
    Escalated,
    /// Some of it are overdue.
    Overdue,
    /// Some of it are due soon.
    Due,
    /// The team has got it: it has begun, or was handed over.
    Assigned,
}

impl What {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Escalated, Self::Overdue, Self::Due, Self::Assigned];

    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Escalated => "escalated",
            Self::Overdue => "overdue",
            Self::Due => "due",
            Self::Assigned => "assigned",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Escalated => "Passed to you, because nobody has dealt with it",
            Self::Overdue => "Overdue",
            Self::Due => "Due soon",
            Self::Assigned => "New for you",
        }
    }
}

/// Why a team is told of a group.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// What is said.
    pub what: What,
    /// The team.
    pub team: &'a Name,
    /// The group as it is now.
    pub group: &'a GroupRow,
    /// What makes this occasion another one than the last of the same group: since when it is open, or the hour.
    pub mark: Time,
    /// When the first of it is due.
    pub due: Option<Time>,
    /// The team that had it before.
    pub from: Option<&'a Name>,
}

/// Who tells: the contract in force, and where people find its instance.
#[derive(Debug, Clone, Copy)]
pub struct Teller<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// `https://host`, where the project names it.
    pub link: Option<&'a str>,
}

/// The ways in which a team can be told.
pub fn ways(contract: &Contract, team: &Name) -> Vec<&'static str> {
    let Some(found) = contract.ownership.teams.get(team) else { return Vec::new() };
    let mail = (found.mail.is_some() && contract.ownership.notify.smtp.is_some()).then_some(MAIL);
    let webhook = found.webhook.is_some().then_some(WEBHOOK);
    mail.into_iter().chain(webhook).collect()
}

/// The id of a notice.
pub fn id(occasion: &Occasion<'_>, by: &str) -> String {
    let mark = occasion.mark.0.to_le_bytes();
    let (team, group) = (occasion.team.as_str().as_bytes(), occasion.group.fingerprint.as_bytes());
    named(&[b"notice", by.as_bytes(), occasion.what.word().as_bytes(), team, group, &mark])
}

fn named(parts: &[&[u8]]) -> String {
    let code: String = derive(parts).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!("no_{code}")
}

/// The notice of an occasion, to be sent one way.
pub fn notice(teller: Teller<'_>, occasion: &Occasion<'_>, by: &'static str, now: Time) -> NoticeRow {
    let id = id(occasion, by);
    let due = if by == MAIL { now.plus(GATHER) } else { now };
    NoticeRow {
        team: occasion.team.clone(),
        by: by.to_owned(),
        what: occasion.what.word().to_owned(),
        state: WAITING.to_owned(),
        created: now,
        due: Some(due),
        attempts: 0,
        sent: None,
        detail: None,
        body: body(teller, &id, occasion, now),
        id,
    }
}

/// What a webhook gets: a type, a time and data, as Standard Webhooks advise.
fn body(teller: Teller<'_>, id: &str, occasion: &Occasion<'_>, now: Time) -> Json {
    let group = occasion.group;
    json!({
        "type": format!("exceptions.{}", occasion.what.word()),
        "timestamp": now,
        "data": {
            "id": id,
            "project": teller.contract.name,
            "team": occasion.team,
            "from": occasion.from,
            "group": group.fingerprint,
            "kind": group.kind,
            "site": group.site,
            "system": group.system,
            "capability": group.capability,
            "outcome": group.outcome,
            "cause": short(&group.cause),
            "remedy": short(&group.remedy),
            "action": group.action,
            "unfinished": group.unfinished,
            "count": group.count,
            "first": group.first,
            "last": group.last,
            "newest": group.newest,
            "due": occasion.due,
            "link": link(teller, group),
        }
    })
}

/// Where a person looks: the newest of the group.
fn link(teller: Teller<'_>, group: &GroupRow) -> Option<String> {
    teller.link.map(|at| format!("{}/v1/show/{}", at.trim_end_matches('/'), group.newest))
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_MAX).collect()
}

/// Exceptions of one group that are due in the same hour, for the same team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Due soon or overdue.
    pub what: What,
    /// The team.
    pub team: Name,
    /// The group.
    pub fingerprint: String,
    /// The hour.
    pub hour: Time,
    /// When the first of them is due.
    pub due: Time,
}

/// The beginning of the hour of a moment.
pub fn hour(at: Time) -> Time {
    const HOUR: i64 = 3_600 * 1_000_000_000;
    Time(at.0.div_euclid(HOUR).saturating_mul(HOUR))
}

/// What teams are told of exceptions with a due time, gathered by group and hour. Nothing of those that are due later
/// than [`SOON`], nor that something is due soon that was raised only shortly before.
pub fn late<'a>(rows: impl IntoIterator<Item = &'a ExceptionRow>, now: Time) -> Vec<Late> {
    let mut found: BTreeMap<(What, &Name, &str, Time), Time> = BTreeMap::new();
    for row in rows {
        let Some(due) = row.due.filter(|due| now >= due.minus(SOON) && !row.state.has_ended()) else { continue };
        let what = if now >= due { What::Overdue } else { What::Due };
        let raised = row.escalated.unwrap_or(row.first);
        if what == What::Due && due.minus(SOON).minus(SOON) < raised {
            continue;
        }
        let first = found.entry((what, &row.owner, &row.fingerprint, hour(due))).or_insert(due);
        *first = due.min(*first);
    }
    let late = |((what, team, fingerprint, hour), due): ((What, &Name, &str, Time), Time)| Late {
        what,
        team: team.clone(),
        fingerprint: fingerprint.to_owned(),
        hour,
        due,
    };
    found.into_iter().map(late).collect()
}

/// To whom an exception passes and when, if nobody deals with it; `None`: to nobody, or it has passed already. What the
/// run or the call was given helps to find the line of the policy.
pub fn passes(contract: &Contract, row: &ExceptionRow, input: Option<&Json>) -> Option<(Time, Name)> {
    let asks =
        row.decision.as_ref().is_some_and(|decision| decision.escalate.is_some() || decision.escalated.is_some());
    if row.escalated.is_some() || asks || row.state.has_ended() {
        return None;
    }
    let known = known(row, input);
    let (at, to) = contract.escalation(&about(row, &known), &row.owner, row.due?)?;
    Some((at, to.clone()))
}

fn known(row: &ExceptionRow, input: Option<&Json>) -> Json {
    matter(&Matter {
        input,
        site: row.site.as_ref(),
        capability: row.capability.as_deref(),
        system: row.system.as_ref(),
        outcome: row.outcome,
        key: row.key.as_deref(),
        detail: Some(&row.detail),
    })
}

fn about<'a>(row: &'a ExceptionRow, content: &'a Json) -> About<'a> {
    About {
        kind: row.kind.word(),
        domain: row.domain.as_deref(),
        site: row.site.as_ref(),
        outcome: row.outcome,
        content,
    }
}

/// When an exception that a team gets now is due, in its hours; `None`: never.
pub fn due_for(contract: &Contract, row: &ExceptionRow, team: &Name, input: Option<&Json>, now: Time) -> Option<Time> {
    let known = known(row, input);
    contract.due_of(&about(row, &known), team, now)
}

/// What becomes of an exception that passes to another team, and who did it.
pub fn pass(
    contract: &Contract,
    row: &ExceptionRow,
    to: &Name,
    input: Option<&Json>,
    now: Time,
) -> (ExceptionChange, AuditRow) {
    let due = due_for(contract, row, to, input, now);
    let reason = match row.due {
        Some(due) => format!("nobody of {} has dealt with it until {due}", row.owner),
        None => format!("nobody of {} has dealt with it", row.owner),
    };
    let change = ExceptionChange {
        owner: Some(to.clone()),
        assignee: Some(None),
        due: Some(due),
        escalated: Some(now),
        reason: Some(reason.clone()),
        state: (row.state == ExceptionState::Assigned).then_some(ExceptionState::Open),
        ..ExceptionChange::of(row.id, now)
    };
    let audit = AuditRow {
        at: now,
        actor: "policy".to_owned(),
        act: "exception.escalate".to_owned(),
        subject: row.id.to_string(),
        detail: json!({ "from": row.owner, "to": to, "was-due": row.due, "due": due, "reason": reason }),
    };
    (change, audit)
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Try {
    /// It was taken.
    Taken,
    /// There was nothing left to tell.
    Needless,
    /// It was not taken, with what was said; `true`: it never will be.
    Failed(String, bool),
}

/// A notice after a try, or after several that went together.
pub fn tried(row: NoticeRow, how: &Try, now: Time) -> NoticeRow {
    let attempts = row.attempts.saturating_add(1);
    match how {
        Try::Taken => NoticeRow { state: SENT.to_owned(), due: None, attempts, sent: Some(now), detail: None, ..row },
        Try::Needless => {
            let detail = Some("had ended before it was told".to_owned());
            NoticeRow { state: SENT.to_owned(), due: None, detail, ..row }
        }
        Try::Failed(what, for_good) => {
            let given_up = *for_good || now.since(row.created) > GIVE_UP;
            NoticeRow {
                state: if given_up { FAILED } else { WAITING }.to_owned(),
                due: (!given_up).then(|| now.plus(pause(attempts))),
                attempts,
                detail: Some(what.clone()),
                ..row
            }
        }
    }
}

/// How long the next try waits after so many failed ones.
pub fn pause(attempts: u32) -> Span {
    let doubled = AGAIN.nanos().saturating_mul(1_i64 << attempts.saturating_sub(1).min(16));
    Span::from_nanos(doubled.min(AGAIN_MAX.nanos()))
}

/// A mail that holds everything that waits for a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Derived from the notices in it.
    pub id: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// The mail of these notices to a team, with the groups as they are now; `None`: all of them have ended.
pub fn digest(
    teller: Teller<'_>,
    team: &Name,
    rows: &[NoticeRow],
    groups: &BTreeMap<String, GroupRow>,
    now: Time,
) -> Option<Digest> {
    let (contract, unknown) = (teller.contract, Team::default());
    let hours = &contract.ownership.teams.get(team).unwrap_or(&unknown).hours;
    let mut parts: BTreeMap<What, BTreeMap<&str, (&GroupRow, &NoticeRow)>> = BTreeMap::new();
    for row in rows {
        let Some(what) = What::ALL.into_iter().find(|what| what.word() == row.what) else { continue };
        let group =
            row.body.pointer("/data/group").and_then(Json::as_str).and_then(|group| groups.get_key_value(group));
        let Some((name, group)) = group.filter(|(_, group)| group.unfinished > 0) else { continue };
        parts.entry(what).or_default().entry(name).or_insert((group, row));
    }
    let (first, ..) = parts.values().next()?.values().next()?;
    let counts: Vec<String> = parts.iter().map(|(what, groups)| format!("{} {}", groups.len(), what.word())).collect();
    let subject = format!("[Andon {}] {}: {}", contract.name, counts.join(", "), short(&first.cause));
    let mut text = format!("To {team}, from the project {}, at {}.\n", contract.name, hours.shown(now));
    let mut told = 0;
    let all: usize = parts.values().map(BTreeMap::len).sum();
    for (what, groups) in &parts {
        if told >= GROUPS_MAX {
            break;
        }
        let _ = write!(text, "\n{}\n", what.title());
        for (group, row) in groups.values().take(GROUPS_MAX - told) {
            told += 1;
            tell(&mut text, teller, hours, group, row);
        }
    }
    if all > told {
        let _ = write!(text, "\nAnd {} more: andon exceptions groups --where owner={team}\n", all - told);
    }
    let mut ids: Vec<&[u8]> = rows.iter().map(|row| row.id.as_bytes()).collect();
    ids.sort_unstable();
    Some(Digest { id: named(&ids), subject: subject.chars().take(200).collect(), text })
}

fn tell(text: &mut String, teller: Teller<'_>, hours: &Hours, group: &GroupRow, row: &NoticeRow) {
    text.push('\n');
    let moment = |name: &str| row.body.pointer(name).and_then(Json::as_str).and_then(|at| Time::parse(at).ok());
    let mut line = |label: &str, what: &str| {
        let _ = writeln!(text, "    {label:<9}{what}");
    };
    let stand = [
        (group.open, "open"),
        (group.assigned, "assigned"),
        (group.waiting, "waiting for the system"),
        (group.resubmitted, "under way again"),
    ];
    let stand: Vec<String> =
        stand.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    line("what", &short(&group.cause));
    let seen = if group.count > group.unfinished { format!(", seen {} times", group.count) } else { String::new() };
    line("how many", &format!("{}{seen}", stand.join(", ")));
    let place = [
        group.site.as_ref().map(|site| format!("site {site}")),
        group.system.as_ref().map(|system| format!("system {system}")),
        group.capability.clone(),
    ];
    let place: Vec<String> = place.into_iter().flatten().collect();
    if !place.is_empty() {
        line("where", &place.join(", "));
    }
    line("since", &hours.shown(group.opened.unwrap_or(group.first)));
    if let Some(due) = moment("/data/due") {
        line("due", &hours.shown(due));
    }
    if let Some(from) = row.body.pointer("/data/from").and_then(Json::as_str) {
        line("from", from);
    }
    line("do", &short(&group.remedy));
    line("look", &format!("andon show {}", group.newest));
    if let Some(link) = link(teller, group) {
        line("", &link);
    }
}

/// What is in the way of notices: a mail server or a webhook that does not take them.
pub fn findings(store: &Store, now: Time) -> Result<Vec<Finding>, StoreError> {
    let mut waiting: BTreeMap<(String, Name), (u64, NoticeRow)> = BTreeMap::new();
    for row in store.notices_due(Time::MAX, LOOKED_AT)?.into_iter().filter(|row| row.attempts > 0) {
        let entry = waiting.entry((row.by.clone(), row.team.clone())).or_insert((0, row.clone()));
        entry.0 += 1;
        if row.created < entry.1.created {
            entry.1 = row;
        }
    }
    let mut findings: Vec<Finding> = waiting
        .into_iter()
        .map(|((by, team), (count, oldest))| Finding {
            level: Level::Warning,
            subject: format!("notices of {team} by {by}"),
            detail: format!(
                "{count} were not taken and are tried again: {}",
                oldest.detail.unwrap_or_else(|| "no answer".to_owned())
            ),
            since: Some(oldest.created.to_string()),
            remedy: format!("andon list notices --where team={team} --where state={WAITING}"),
        })
        .collect();
    let query = Query { where_: vec![("state".into(), FAILED.into())], after: None, limit: 1, ascending: false };
    let given_up = store.list("notices", &query)?.rows.into_iter().next();
    let is_recent = |row: &Json| {
        let created = row.get("created").and_then(Json::as_str).and_then(|at| Time::parse(at).ok());
        created.is_some_and(|at| now.since(at) < TOLD_FOR)
    };
    if let Some(row) = given_up.filter(is_recent) {
        let text = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
        findings.push(Finding {
            level: Level::Warning,
            subject: format!("notices of {} by {}", text("team"), text("by")),
            detail: format!("one was given up: {}", text("detail")),
            since: Some(text("created")),
            remedy: format!("andon list notices --where state={FAILED}"),
        });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
