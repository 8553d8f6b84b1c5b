//! What teams are told of which groups, and when.

use super::*;
use andon_contract::{
    contract::{Escalate, MailTls, Notify, Ownership, OwnershipLine, Smtp},
    hours::Window,
};
use andon_model::{ExceptionId, OutcomeClass, SiteName, time::Zone};
use andon_store::rows::{ExceptionKind, Write};

const MINUTE: Span = Span::from_secs(60);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn contract() -> Contract {
    let address = |text: &str| andon_contract::contract::Address { env: None, default: text.into() };
    let zone = Zone::named("Europe/Berlin").unwrap();
    let hours = Hours::Windows(Window::parse("Mon-Fri 06:00 to 22:00").unwrap().unwrap(), zone);
    let hook = andon_contract::contract::Hook { url: address("http://127.0.0.1:1"), secret: None, authority: None };
    let teams = [
        (name("planning"), Team { mail: Some("planning@plant.example".into()), hours, ..Team::default() }),
        (name("management"), Team { webhook: Some(hook), ..Team::default() }),
        (name("silent"), Team::default()),
    ];
    let smtp = Smtp {
        address: address("127.0.0.1:25"),
        from: "andon@plant.example".into(),
        tls: MailTls::None,
        authority: None,
        credentials: None,
    };
    let lines = vec![
        OwnershipLine {
            content: vec![(vec!["input".into(), "material".into()], vec!["4711".into()])],
            escalate: Some(Escalate { after: Span::from_secs(3_600), to: name("management") }),
            ..OwnershipLine::everything(name("planning"))
        },
        OwnershipLine::everything(name("planning")),
    ];
    let ownership = Ownership { teams: teams.into(), lines, notify: Notify { smtp: Some(smtp), ..Notify::default() } };
    Contract { name: "packaging-line".into(), ownership, ..Contract::empty() }
}

fn exception(number: u32, group: &str, first: Time, due: Option<Time>) -> ExceptionRow {
    let id = ExceptionId::derived(&[group.as_bytes(), &number.to_le_bytes()]);
    ExceptionRow {
        due,
        system: Some(name("maximo")),
        site: Some(SiteName::new("hamburg").unwrap()),
        outcome: Some(OutcomeClass::Auth),
        cause: format!("{group} was refused by maximo (auth)"),
        remedy: "renew the credentials of maximo".into(),
        ..ExceptionRow::new(id, ExceptionKind::Output, name("planning"), group.into(), first)
    }
}

/// The groups of these exceptions, as the store counts them.
fn groups(rows: &[ExceptionRow]) -> BTreeMap<String, GroupRow> {
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    store.commit(rows.iter().map(|row| Write::Exception(Box::new(row.clone()))).collect()).unwrap();
    let of = |row: &ExceptionRow| (row.fingerprint.clone(), store.exception_group(&row.fingerprint).unwrap().unwrap());
    rows.iter().map(of).collect()
}

#[test]
fn a_notice_is_the_same_however_often_it_is_found_and_another_on_another_occasion() {
    let contract = contract();
    let teller = Teller { contract: &contract, link: Some("https://andon.plant.example/") };
    let now = at("2026-11-26T12:00:00Z");
    let groups = groups(&[exception(1, "work", now, None)]);
    let team = name("planning");
    let group = &groups["work"];
    let occasion = Occasion { what: What::Assigned, team: &team, group, mark: now, due: None, from: None };
    let one = notice(teller, &occasion, MAIL, now);
    assert_eq!(one.id, notice(teller, &occasion, MAIL, now.plus(MINUTE)).id);
    assert_eq!((one.due, one.state.as_str()), (Some(now.plus(GATHER)), WAITING));
    assert_eq!(one.body["data"]["link"], format!("https://andon.plant.example/v1/show/{}", group.newest));
    let others = [
        id(&occasion, WEBHOOK),
        id(&Occasion { what: What::Overdue, ..occasion }, MAIL),
        id(&Occasion { mark: now.plus(MINUTE), ..occasion }, MAIL),
        id(&Occasion { team: &name("management"), ..occasion }, MAIL),
    ];
    assert!(others.iter().all(|other| *other != one.id));
    let ways = |team: &str| ways(&contract, &name(team));
    assert_eq!((ways("planning"), ways("management")), (vec![MAIL], vec![WEBHOOK]));
    assert!(ways("silent").is_empty() && ways("gone").is_empty());
}

#[test]
fn ten_thousand_that_are_late_are_one_notice_an_hour() {
    let first = at("2026-11-26T06:00:00Z");
    let due = at("2026-11-26T14:00:00Z");
    let mut rows: Vec<ExceptionRow> = (0..10_000).map(|n| exception(n, "work", first, Some(due))).collect();
    rows.push(exception(1, "other", first, Some(due.plus(MINUTE))));
    rows.push(exception(2, "none", first, None));
    rows.push(ExceptionRow { state: ExceptionState::Resolved, ..exception(3, "done", first, Some(due)) });
    // Raised shortly before: the first notice has said it.
    rows.push(exception(4, "short", due.minus(MINUTE), Some(due.plus(MINUTE))));
    let found = |now: Time| -> Vec<(What, String)> {
        late(&rows, now).into_iter().map(|late| (late.what, late.fingerprint)).collect()
    };
    assert_eq!(found(due.minus(SOON).minus(MINUTE)), []);
    assert_eq!(found(due.minus(SOON)), [(What::Due, "work".into())]);
    assert_eq!(found(due), [(What::Overdue, "work".into()), (What::Due, "other".into())]);
    let all = found(due.plus(MINUTE));
    assert_eq!(all.iter().map(|(_, group)| group.as_str()).collect::<Vec<_>>(), ["other", "short", "work"]);
    assert_eq!(late(&rows, due)[0].hour, at("2026-11-26T14:00:00Z"));
}

#[test]
fn what_nobody_deals_with_passes_to_another_team_once() {
    let contract = contract();
    let due = at("2026-11-27T20:30:00Z");
    let row = exception(1, "work", at("2026-11-27T12:00:00Z"), Some(due));
    let input = json!({ "material": 4711 });
    // An hour of the team's time: half of it on Friday, half on Monday.
    let (when, to) = passes(&contract, &row, Some(&input)).unwrap();
    assert_eq!((when.to_string(), to.as_str()), ("2026-11-30T05:30:00Z".into(), "management"));
    assert_eq!(passes(&contract, &row, None), None);
    let (change, audit) = pass(&contract, &row, &to, Some(&input), when);
    assert_eq!((change.owner, change.due), (Some(to.clone()), Some(Some(at("2026-11-30T13:30:00Z")))));
    assert_eq!((audit.actor.as_str(), audit.act.as_str()), ("policy", "exception.escalate"));
    assert_eq!(passes(&contract, &ExceptionRow { escalated: Some(when), ..row.clone() }, Some(&input)), None);
    assert_eq!(passes(&contract, &ExceptionRow { owner: to, ..row.clone() }, Some(&input)), None);
    assert_eq!(passes(&contract, &ExceptionRow { due: None, ..row }, Some(&input)), None);
}

#[test]
fn a_mail_tells_groups_with_their_counts() {
    let contract = contract();
    let teller = Teller { contract: &contract, link: Some("https://andon.plant.example") };
    let (first, now) = (at("2026-11-26T06:00:00Z"), at("2026-11-26T14:00:00Z"));
    let mut rows: Vec<ExceptionRow> = (0..100).map(|n| exception(n, "work", first, Some(now))).collect();
    rows.push(exception(0, "other", now, None));
    rows.push(ExceptionRow { state: ExceptionState::Resolved, ..exception(0, "done", first, None) });
    let groups = groups(&rows);
    let team = name("planning");
    let other = name("night");
    let notice = |what, group: &str, due, from| {
        let occasion = Occasion { what, team: &team, group: &groups[group], mark: first, due, from };
        super::notice(teller, &occasion, MAIL, now)
    };
    let told = [
        notice(What::Assigned, "other", None, Some(&other)),
        notice(What::Overdue, "work", Some(now), None),
        notice(What::Overdue, "done", Some(now), None),
    ];
    let digest = digest(teller, &team, &told, &groups, now).unwrap();
    insta::assert_snapshot!(format!("{}\n\n{}", digest.subject, digest.text));
    let backwards: Vec<NoticeRow> = told.iter().rev().cloned().collect();
    assert_eq!(super::digest(teller, &team, &backwards, &groups, now).unwrap().id, digest.id);
    assert_eq!(super::digest(teller, &team, &told[2..], &groups, now), None);
}

#[test]
fn a_mail_of_very_many_groups_tells_the_first_of_them() {
    let contract = contract();
    let teller = Teller { contract: &contract, link: None };
    let now = at("2026-11-26T14:00:00Z");
    let rows: Vec<ExceptionRow> = (0..300).map(|n| exception(n, &format!("group-{n}"), now, None)).collect();
    let groups = groups(&rows);
    let team = name("planning");
    let told: Vec<NoticeRow> = groups
        .values()
        .map(|group| {
            let occasion = Occasion { what: What::Assigned, team: &team, group, mark: now, due: None, from: None };
            notice(teller, &occasion, MAIL, now)
        })
        .collect();
    let text = digest(teller, &team, &told, &groups, now).unwrap().text;
    assert!(text.ends_with("And 250 more: andon exceptions groups --where owner=planning\n"), "{text}");
    assert_eq!(text.matches("    what     ").count(), GROUPS_MAX);
}

#[test]
fn a_try_that_fails_is_repeated_ever_more_rarely_and_given_up_in_the_end() {
    let contract = contract();
    let teller = Teller { contract: &contract, link: None };
    let mut now = at("2026-11-26T14:00:00Z");
    let groups = groups(&[exception(1, "work", now, None)]);
    let team = name("planning");
    let occasion =
        Occasion { what: What::Assigned, team: &team, group: &groups["work"], mark: now, due: None, from: None };
    let mut row = notice(teller, &occasion, MAIL, now);
    let failed = Try::Failed("no answer".into(), false);
    let mut pauses = Vec::new();
    while row.state == WAITING && pauses.len() < 1_000 {
        row = tried(row, &failed, now);
        let Some(due) = row.due else { break };
        pauses.push(due.since(now));
        now = due;
    }
    assert_eq!(pauses[..3], [10, 20, 40].map(Span::from_secs));
    assert!(pauses.iter().all(|pause| *pause <= AGAIN_MAX) && row.state == FAILED && row.due.is_none());
    assert_eq!(row.attempts as usize, pauses.len() + 1);
    let taken = tried(NoticeRow { state: WAITING.into(), ..row.clone() }, &Try::Taken, now);
    assert_eq!((taken.state.as_str(), taken.due, taken.sent, taken.detail), (SENT, None, Some(now), None));
    assert_eq!(tried(row.clone(), &Try::Failed("gone".into(), true), now).state, FAILED);
    assert_eq!(tried(row, &Try::Needless, now).state, SENT);
}

#[test]
fn what_is_in_the_way_of_notices_is_a_finding() {
    let contract = contract();
    let teller = Teller { contract: &contract, link: None };
    let now = at("2026-11-26T14:00:00Z");
    let groups = groups(&[exception(1, "work", now, None), exception(2, "more", now, None)]);
    let team = name("planning");
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    let failed = Try::Failed("the mail server 127.0.0.1:25 cannot be spoken with".into(), false);
    for group in groups.values() {
        let occasion = Occasion { what: What::Assigned, team: &team, group, mark: now, due: None, from: None };
        let row = notice(teller, &occasion, MAIL, now);
        store.commit(vec![Write::Notice(Box::new(row.clone()))]).unwrap();
        assert!(findings(&store, now).unwrap().len() <= 1, "one that was not tried yet is none");
        store.commit(vec![Write::Notice(Box::new(tried(row, &failed, now)))]).unwrap();
    }
    let found = findings(&store, now).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].detail.starts_with("2 were not taken and are tried again: the mail server"), "{found:?}");
}
