//! Reads of systems, each driven by a thread of its own, and how they stand.

use crate::{
    backend::StoreBackend,
    clock,
    drive::{Reads, Turn, Worker},
    given::chance,
};
use andon_api::{objects::Read as Row, types::Finding};
use andon_contract::contract::Read;
use andon_events::objects::{
    Objects,
    poll::{Kept, Poll, Went, kept, teller_of},
    posted::{Tally, tally},
};
use andon_model::{Name, OutcomeClass, SiteName, Time, span::Span};
use andon_observe::metrics::ReadMeasured;
use andon_store::StoreError;
use andon_systems::Connectors;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// So long it is told that a read began anew.
const ANEW_TOLD: Span = Span::from_secs(86_400);

/// How the reads stand, by who tells.
pub(crate) type Standing = Arc<Mutex<BTreeMap<String, Stand>>>;

/// How a read stands.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    kept: Kept,
    went: Went,
    /// When it is asked again; `None`: it is being asked.
    next: Option<Time>,
}

/// What all reads share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) objects: Objects,
    pub(crate) connectors: Arc<Connectors>,
    pub(crate) runtime: Handle,
    /// Ends a request under way when the instance stops.
    pub(crate) closing: CancellationToken,
    pub(crate) standing: Standing,
}

/// Starts a thread for each read and site; the first poll begins at once.
pub(crate) fn start(desk: &Desk) -> Result<Vec<Worker>, ReadsError> {
    let polls = Poll::all(&desk.objects).map_err(ReadsError::Store)?;
    let start = |mut poll: Poll| {
        let desk = desk.clone();
        desk.tell(&poll, None);
        let store = desk.objects.store().clone();
        Worker::start("reads", (store, Reads::Rows), move || desk.step(&mut poll), || {}).map_err(ReadsError::Thread)
    };
    polls.into_iter().map(start).collect()
}

/// Why reads do not start.
pub(crate) enum ReadsError {
    Store(StoreError),
    Thread(std::io::Error),
}

impl Desk {
    /// One page, where one is due.
    fn step(&self, poll: &mut Poll) -> Result<Turn, StoreError> {
        let due = poll.due(clock::monotonic());
        if due > Span::ZERO {
            return Ok(Turn::Idle(Some(due)));
        }
        self.tell(poll, None);
        let ask = poll.ask(clock::now());
        let asked = self.runtime.block_on(async {
            tokio::select! {
                answer = self.connectors.read(&poll.system, &poll.name, &ask) => Some(answer),
                () = self.closing.cancelled() => None,
            }
        });
        match asked {
            // The instance stops; the next start asks again.
            None => return Ok(Turn::Idle(None)),
            Some(Err(outcome)) if poll.expired(&outcome, clock::now(), clock::monotonic()) => {
                let read = shown(&poll.system, &poll.name);
                tracing::warn!(%read, "the system does not know the delta any more, all is read again: {}",
                outcome.detail);
            }
            Some(Err(outcome)) => {
                if !matches!(poll.went(), Went::Badly(..)) {
                    let read = shown(&poll.system, &poll.name);
                    tracing::warn!(%read, class = %outcome.class, "{}", outcome.detail);
                }
                poll.failed(*outcome, clock::monotonic(), drawn());
            }
            Some(Ok(page)) => {
                let was_bad = matches!(poll.went(), Went::Badly(..));
                if let Err(error) = poll.page(&self.objects, &ask, page, clock::now(), clock::monotonic()) {
                    poll.again(&self.objects)?;
                    return Err(error);
                }
                if was_bad {
                    tracing::info!(read = %shown(&poll.system, &poll.name), "answers again");
                }
            }
        }
        let due = poll.due(clock::monotonic());
        self.tell(poll, Some(clock::now().plus(due)));
        Ok(Turn::Worked)
    }

    fn tell(&self, poll: &Poll, next: Option<Time>) {
        let stand = Stand { kept: poll.kept().clone(), went: poll.went().clone(), next };
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).insert(poll.of().to_owned(), stand);
    }
}

fn shown(system: &Name, read: &Name) -> String {
    format!("{system}.{read}")
}

/// A chance from 0 to 1.
fn drawn() -> f64 {
    let mut bytes = [0; 2];
    chance(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

impl StoreBackend {
    /// How each read stands: of a running instance as it says, of a stopped one as it was left.
    pub(crate) fn reads(&self) -> Result<Vec<Row>, StoreError> {
        let standing = self.standing();
        let mut rows = Vec::new();
        for (system, of) in &self.contract.systems {
            for (name, read) in &of.reads {
                if read.webhook.is_some() {
                    let tally = tally(&self.store, system, name)?.unwrap_or_default();
                    rows.push(posted(&shown(system, name), read, &tally, standing.is_some()));
                }
                let sites: Vec<Option<&SiteName>> =
                    if read.site.is_some() { vec![None] } else { read.sites.iter().map(Some).collect() };
                for site in sites.into_iter().filter(|_| read.request.is_some()) {
                    let told = teller_of(system, name, site);
                    let stand = match standing.as_ref().and_then(|all| all.get(&told)) {
                        Some(stand) => stand.clone(),
                        None => Stand {
                            kept: kept(&self.store, system, &told)?.unwrap_or_default(),
                            went: Went::NotYet,
                            next: None,
                        },
                    };
                    rows.push(row(&shown(system, name), site, read, &stand, standing.is_some()));
                }
            }
        }
        Ok(rows)
    }
}

fn row(name: &str, site: Option<&SiteName>, read: &Read, stand: &Stand, running: bool) -> Row {
    let now = clock::now();
    let seconds = |span: Span| u64::try_from(span.millis() / 1_000).unwrap_or(0);
    let age = stand.kept.answered.map(|answered| now.since(answered));
    let max_age = read.max_age.unwrap_or(read.every);
    let is_old = read.max_age.is_some() && age.is_some_and(|age| age > max_age);
    let (state, detail, remedy) = match (&stand.went, age) {
        (Went::Badly(times, outcome), _) => {
            let state = if age.is_none() || is_old { "stale" } else { "failing" };
            let times = if *times == 1 { "once".to_owned() } else { format!("{times} times in a row") };
            (state, format!("not answered {times}: {} ({})", outcome.detail, outcome.class), remedy(outcome.class))
        }
        (_, _) if !running => {
            ("stale", "the instance is stopped, so nothing is read".to_owned(), "start it with `andon run`")
        }
        (_, None) => ("waiting", "it waits for its first answer".to_owned(), ""),
        (_, Some(_)) if is_old => ("stale", format!("no answer for longer than {max_age}"), "look at the system"),
        (_, Some(_)) => ("ok", anew(stand, now), ""),
    };
    Row {
        read: name.to_owned(),
        site: site.map(ToString::to_string),
        object: read.object.clone(),
        by: "poll".to_owned(),
        state: state.to_owned(),
        detail,
        remedy: remedy.to_owned(),
        answered: stand.kept.answered.map(|time| time.to_string()),
        age_seconds: age.map(seconds),
        changed: stand.kept.changed,
        aside: stand.kept.aside,
        posts: None,
        duplicates: None,
        next_seconds: stand.next.map(|next| seconds(next.since(now))),
        cursor: stand.kept.cursor.clone(),
    }
}

/// For a day it is said that all was read again, because the system had forgotten its delta.
fn anew(stand: &Stand, now: Time) -> String {
    let recent = stand.kept.anew.as_ref().filter(|anew| now.since(anew.at) <= ANEW_TOLD);
    recent.map_or_else(String::new, |anew| {
        format!("everything was read again at {}: the system did not know its delta any more ({})", anew.at, anew.why)
    })
}

/// A read as the system posts to it.
fn posted(name: &str, read: &Read, tally: &Tally, running: bool) -> Row {
    let now = clock::now();
    let age = tally.last.map(|last| now.since(last));
    // Beside a poll it may be silent for as long as it likes.
    let max_age = read.max_age.filter(|_| read.request.is_none());
    let is_old = age.zip(max_age).is_some_and(|(age, max)| age > max);
    let (state, detail, remedy) = match age {
        _ if !running => {
            ("stale", "the instance is stopped, so nothing is taken".to_owned(), "start it with `andon run`")
        }
        None => ("waiting", "it waits for its first post".to_owned(), "let the system post to it"),
        Some(_) if is_old => {
            let age = max_age.map_or_else(String::new, |age| age.to_string());
            ("stale", format!("no post for longer than {age}"), "look at the system, whether it still posts")
        }
        Some(_) => ("ok", String::new(), ""),
    };
    Row {
        read: name.to_owned(),
        site: None,
        object: read.object.clone(),
        by: "webhook".to_owned(),
        state: state.to_owned(),
        detail,
        remedy: remedy.to_owned(),
        answered: tally.last.map(|last| last.to_string()),
        age_seconds: age.map(|age| u64::try_from(age.millis() / 1_000).unwrap_or(0)),
        changed: tally.changed,
        aside: tally.aside,
        posts: Some(tally.posts),
        duplicates: Some(tally.duplicates),
        next_seconds: None,
        cursor: serde_json::Value::Null,
    }
}

fn remedy(class: OutcomeClass) -> &'static str {
    match class {
        OutcomeClass::Auth | OutcomeClass::Permission => "check the credentials of the system, and what they may do",
        OutcomeClass::Validation | OutcomeClass::NotFound => "correct the request of the read in systems/",
        OutcomeClass::Limit => "let `every` of the read be longer",
        _ => "look at the system; it is asked again by itself",
    }
}

/// Reads as `/metrics` tells them.
pub(crate) fn measured(rows: Vec<Row>) -> Vec<ReadMeasured> {
    let one = |row: Row| ReadMeasured {
        is_ok: row.state == "ok",
        site: row.site.unwrap_or_default(),
        read: row.read,
        answered_seconds: row.age_seconds,
        aside: row.aside,
    };
    rows.into_iter().map(one).collect()
}

/// What is wrong with reads.
pub(crate) fn findings(rows: &[Row]) -> Vec<Finding> {
    let wrong = rows.iter().filter(|row| matches!(row.state.as_str(), "failing" | "stale"));
    let finding = |row: &Row| Finding {
        level: "warning".to_owned(),
        subject: subject(row),
        detail: format!("{}: {}", row.state, row.detail),
        since: row.answered.clone(),
        remedy: row.remedy.clone(),
    };
    wrong.map(finding).collect()
}

/// `read erp.orders (hamburg)`
fn subject(row: &Row) -> String {
    match &row.site {
        None if row.by == "webhook" => format!("webhook {}", row.read),
        Some(site) => format!("read {} ({site})", row.read),
        None => format!("read {}", row.read),
    }
}
