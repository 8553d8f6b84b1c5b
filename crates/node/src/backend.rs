//! The API's questions, answered from the store: for a running instance and for a stopped folder.

use crate::{
    answers::answers,
    backup::Backups,
    clock,
    fares::{self, Seen},
    given,
    hidden::{self, Hidden},
    history::{Counted, fault},
    page,
    reads::Stand,
    show::show,
    starts::Starts,
};
use andon_api::{
    Backend, Kind, Page, Problem, Query,
    alarms::{Control, ControlQuery},
    backups::{BackUp, BackupStand},
    cancel::{CancelRun, CancelledRun},
    decisions::{Decide, Decided},
    exceptions::{Asked, BulkAsked, BulkDone, ExceptionDone},
    migrate::{MigrateRun, MigratedRun},
    objects::{ObjectGiven, ObjectHistory, ObjectPut, ObjectRef},
    oee::{OeePage, OeeQuery},
    posts::{Admission, Post, Taken},
    runs::{Pending, RunStart, StartedRun},
    samples::{
        CountQuery, Historian, LastPage, LastQuery, RangeQuery, Replay, ReplayQuery, SampleCount, SamplePage, Series,
        SeriesQuery,
    },
    types::{Finding, Readiness, Seam, Source, Status, Term},
    why::{WhyNot, WhyQuery},
};
use andon_contract::Contract;
use andon_edge::replay::{Ask, replay};
use andon_events::{engine::Costs, objects::Objects};
use andon_model::{ExceptionId, Name};
use andon_observe::{
    health::{self, Live, Observed},
    metrics::{Measured, metrics},
    notices, seams,
};
use andon_store::{ObjectName, Store, StoreError, rows::ExceptionKind};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How often the samples of rules are counted at most until none came in between.
const COUNTED_MAX: u32 = 3;

/// What a running instance adds to the rows.
pub(crate) trait Running: Send + Sync + 'static {
    /// What is missing until it does its work, one sentence each.
    fn waiting_for(&self) -> Vec<String>;
    /// Samples that are stored, that rules evaluated, that came late for them, and that wait, all at one moment.
    fn rules(&self) -> Option<[u64; 4]>;
    /// What rules cost since the start.
    fn costs(&self) -> Option<Costs>;
    /// What happened lately, beside what rows say.
    fn live(&self) -> Result<Live, StoreError>;
    /// Connections that stand, by listener.
    fn connections(&self) -> Vec<(String, u64)>;
    /// Writes everything that is in the log to files of the historian.
    fn seal(&self) -> Result<(), Problem>;
    /// How the reads of systems stand, by who tells.
    fn reads(&self) -> BTreeMap<String, Stand>;
    /// How the systems that calls go to fare.
    fn fares(&self) -> BTreeMap<Name, andon_workflows::resilience::Fares>;
    /// The objects that are given.
    fn objects(&self) -> Objects;
    /// Where runs are started by hand.
    fn starts(&self) -> Arc<Starts>;
    /// Lets a post in before its body is read.
    fn admit(&self, post: &Post) -> Result<Admission, Problem>;
    /// Takes what was posted.
    fn take(&self, post: &Post, admission: Admission, body: &[u8]) -> Result<Taken, Problem>;
}

/// Answers from the store.
pub struct StoreBackend {
    pub(crate) store: Store,
    pub(crate) contract: Arc<Contract>,
    running: Option<Arc<dyn Running>>,
    /// The folder, where it is stopped.
    stopped: Option<PathBuf>,
    pub(crate) counted: Counted,
    pub(crate) backups: Backups,
}

/// Why a stopped folder cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The store cannot be read.
    #[error("the data folder cannot be read: {0}")]
    Store(#[from] StoreError),
    /// No contract was ever activated.
    #[error("no contract was ever activated in this data folder")]
    Empty,
    /// The kept contract is not understood by this version.
    #[error("the contract that is kept in this data folder is refused by this version ({0} problems)")]
    Contract(usize),
}

impl LookError {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            // The store's own words say what to do.
            Self::Store(_) => "",
            Self::Empty => "start an instance over it with `andon run DIR --data`, and look again",
            Self::Contract(_) => "`andon check` on the project says what to change; then start it with `andon run`",
        }
    }
}

/// Looks at a stopped data folder.
pub fn look(dir: &Path) -> Result<StoreBackend, LookError> {
    let store = Store::look(dir)?;
    let row = store.active_contract()?.ok_or(LookError::Empty)?;
    let loaded = andon_contract::from_files(row.files).map_err(|problems| LookError::Contract(problems.len()))?;
    Ok(StoreBackend {
        store,
        contract: Arc::new(loaded.contract),
        running: None,
        stopped: Some(dir.to_owned()),
        counted: Counted::default(),
        backups: Backups::default(),
    })
}

impl StoreBackend {
    /// Answers for a running instance.
    pub(crate) fn running(store: Store, contract: Arc<Contract>, running: Arc<dyn Running>) -> Self {
        let (counted, backups) = (Counted::default(), Backups::default());
        Self { store, contract, running: Some(running), stopped: None, counted, backups }
    }

    /// Answers for an instance that is stopped, from a store that is open.
    pub(crate) fn resting(store: Store, contract: Arc<Contract>) -> Self {
        let (counted, backups) = (Counted::default(), Backups::default());
        Self { store, contract, running: None, stopped: None, counted, backups }
    }

    /// How the reads of a running instance stand; `None`: it is stopped.
    pub(crate) fn standing(&self) -> Option<BTreeMap<String, Stand>> {
        self.running.as_ref().map(|running| running.reads())
    }

    /// What rules cost, where they run.
    pub(crate) fn costs(&self) -> Option<Costs> {
        self.running.as_ref()?.costs()
    }

    /// What is known of the systems that calls go to.
    fn systems(&self) -> Result<Seen, StoreError> {
        Seen::of(&self.store, self.running.as_ref().map(|running| running.fares()))
    }

    /// Only an instance at work changes anything.
    pub(crate) fn at_work(&self) -> Result<&dyn Running, Problem> {
        let stopped = || Problem::unavailable("the instance is stopped").remedy("start it with `andon run`");
        self.running.as_deref().ok_or_else(stopped)
    }

    /// The seams in the order of the way of a sample.
    pub(crate) fn seams(&self) -> Result<Vec<seams::Seam>, StoreError> {
        let mut seams = seams::seams(&self.store, &self.contract)?;
        if let Some(rules) = self.rules_seam() {
            let place = seams.iter().take_while(|s| s.seam.starts_with("source")).count();
            seams.insert(place, rules);
        }
        if let Some(historian) = self.historian_seam() {
            let place = seams.iter().take_while(|s| s.seam.starts_with("source")).count();
            seams.insert(place, historian);
        }
        Ok(seams)
    }

    /// The seam between the log and the rules.
    fn rules_seam(&self) -> Option<seams::Seam> {
        if let Some(running) = &self.running {
            let [stored, evaluated, late, waiting] = running.rules()?;
            return Some(seams::rules(stored, evaluated, late, waiting));
        }
        // Beside an instance at work samples go on coming: only a count during which none came is told.
        let stored = || self.store.source_counts().values().map(|counts| counts.stored).sum::<u64>();
        (0..COUNTED_MAX).find_map(|_| {
            let before = stored();
            let (counts, waiting) = andon_events::run::conservation(&self.store).ok()?;
            (stored() == before).then(|| seams::rules(before, counts.evaluated, counts.late, waiting))
        })
    }

    /// The seam between the log and the files, counted like that of the rules.
    fn historian_seam(&self) -> Option<seams::Seam> {
        let stored = || self.store.source_counts().values().map(|c| c.stored).sum::<u64>();
        (0..COUNTED_MAX).find_map(|_| {
            let before = (stored(), self.store.holdings().ok()?);
            let (hot, is_whole) = self.hot(before.1.sealed).ok()?;
            let after = (stored(), self.store.holdings().ok()?);
            (is_whole && after == before).then(|| seams::historian(before.0, &before.1, hot))
        })
    }

    /// What a running instance knows besides rows.
    fn live(&self) -> Result<Live, StoreError> {
        self.running.as_ref().map_or_else(|| Ok(Live::default()), |running| running.live())
    }

    /// The condition of every source.
    fn observed(&self) -> Result<Vec<Observed>, StoreError> {
        self.observed_by(&self.live()?)
    }

    fn observed_by(&self, live: &Live) -> Result<Vec<Observed>, StoreError> {
        health::sources(&self.store, &self.contract, &self.store.activity()?, live, clock::now())
    }

    fn sources(&self, observed: Vec<Observed>) -> Vec<Source> {
        let counts = self.store.source_counts();
        let of = |observed: Observed| {
            let counts = counts.get(&observed.source).copied().unwrap_or_default();
            let kind = self.contract.sources.get(&observed.source).map_or("", |source| source.kind.word());
            let condition = observed.condition;
            Source {
                source: observed.source.to_string(),
                kind: kind.to_owned(),
                state: condition.state.word().to_owned(),
                reason: condition.reason.word().to_owned(),
                since: condition.since.map(|since| since.to_string()),
                detail: condition.detail,
                remedy: condition.remedy,
                connected: observed.connected.is_some(),
                connected_since: observed.connected.map(|since| since.to_string()),
                last: observed.last.map(|last| last.to_string()),
                silent_assets: condition.silent.into_iter().map(|(asset, _)| asset.to_string()).collect(),
                received: counts.received,
                stored: counts.stored,
                duplicate: counts.duplicate,
                quarantined: counts.quarantined,
                refused: counts.refused,
            }
        };
        observed.into_iter().map(of).collect()
    }

    /// How the historian stands.
    fn historian(&self) -> Result<Historian, StoreError> {
        let holdings = self.store.holdings()?;
        let oldest = self.first_received(holdings.sealed)?;
        let lag = oldest.map_or(0, |received| clock::now().since(received).millis() / 1_000);
        Ok(Historian {
            files: holdings.files,
            bytes: holdings.bytes,
            samples: holdings.samples,
            hot: self.hot(holdings.sealed)?.0,
            sealed: holdings.sealed.to_string(),
            lag_seconds: u64::try_from(lag).unwrap_or(0),
            reduced: holdings.reduced.into_iter().map(|(source, count)| (source.to_string(), count)).collect(),
            expired: holdings.expired.into_iter().map(|(site, count)| (site.to_string(), count)).collect(),
            dropped: holdings.dropped.into_iter().map(|(source, count)| (source.to_string(), count)).collect(),
        })
    }
}

impl Backend for StoreBackend {
    fn readiness(&self) -> Readiness {
        let waiting_for = match &self.running {
            Some(running) => running.waiting_for(),
            None => vec!["the instance is stopped".to_owned()],
        };
        Readiness { ready: waiting_for.is_empty(), waiting_for }
    }

    fn list(&self, kind: Kind, query: &Query) -> Result<Page, Problem> {
        if kind == Kind::Systems {
            let seen = self.systems().map_err(|e| fault(&e))?;
            return Ok(fares::page(&self.contract, &seen, query, clock::now()));
        }
        if let Some(page) = answers(&self.contract, kind, query, clock::now()) {
            return Ok(page);
        }
        let page = match kind {
            Kind::Alarms => return self.alarms(query),
            Kind::Rules => return self.rule_costs(query),
            Kind::Samples => return page::samples(&self.store, query).map_err(|e| fault(&e)),
            Kind::Objects => return self.list_objects(query).map_err(|e| listed(&e)),
            Kind::Reads => {
                let all = self.reads().map_err(|e| fault(&e))?;
                return Ok(page::page_of(all.iter().map(|read| json!(read)), query));
            }
            Kind::Sources => {
                let all = self.sources(self.observed().map_err(|e| fault(&e))?);
                return Ok(page::page_of(all.iter().map(|source| json!(source)), query));
            }
            _ => self.store.list(
                kind.word(),
                &andon_store::Query {
                    where_: query.filters.clone(),
                    after: query.after,
                    limit: query.limit,
                    ascending: query.ascending,
                },
            ),
        };
        let page = page.map_err(|e| listed(&e))?;
        let mut hidden = Hidden::new(&self.store);
        let rows: Result<_, _> = page.rows.into_iter().map(|row| hidden.row(kind, row)).collect();
        Ok(Page { rows: rows.map_err(|e| fault(&e))?, next: page.next })
    }

    fn show(&self, id: &str) -> Result<Json, Problem> {
        if let Some(name) = ObjectName::parse(id.trim())
            && let Some(history) = self.history_of(&name).map_err(|e| fault(&e))?
        {
            return Ok(json!(history));
        }
        show(&self.store, &self.contract, id.trim()).map_err(|e| fault(&e))?.ok_or_else(|| unknown(id))
    }

    fn explain(&self, id: &str) -> Result<Json, Problem> {
        let lineage = andon_observe::explain(&self.store, &self.contract, id).map_err(|e| fault(&e))?;
        hidden::story(&lineage.ok_or_else(|| unknown(id))?).map_err(|e| Problem::fault(e.to_string()))
    }

    fn status(&self) -> Result<Status, Problem> {
        let seams = self.seams().map_err(|e| fault(&e))?;
        let running = self.running.is_some();
        let mut counts = self.store.counts().map_err(|e| fault(&e))?;
        self.count_alarms(&mut counts)?;
        let live = self.live().map_err(|e| fault(&e))?;
        let observed = self.observed_by(&live).map_err(|e| fault(&e))?;
        let mut findings: Vec<Finding> = health::disk(&self.store, live.full_since)
            .into_iter()
            .chain(health::findings(&self.store, &observed, &seams, running).map_err(|e| fault(&e))?)
            .chain(notices::findings(&self.store, clock::now()).map_err(|e| fault(&e))?)
            .map(|f| Finding {
                level: if f.level == health::Level::Error { "error" } else { "warning" }.to_owned(),
                subject: f.subject,
                detail: f.detail,
                since: f.since,
                remedy: f.remedy,
            })
            .collect();
        let reads = self.reads().map_err(|e| fault(&e))?;
        if running {
            findings.extend(crate::reads::findings(&reads));
        }
        if let Some(running) = &self.running {
            for missing in running.waiting_for() {
                if findings.iter().any(|f| missing.starts_with(&format!("{} ", f.subject))) {
                    continue;
                }
                findings.push(Finding {
                    level: "error".to_owned(),
                    subject: "instance".to_owned(),
                    detail: missing,
                    since: None,
                    remedy: "the log of the instance says more".to_owned(),
                });
            }
        }
        let health = if findings.iter().any(|f| f.level == "error") {
            "down"
        } else if findings.is_empty() {
            "ok"
        } else {
            "degraded"
        };
        Ok(Status {
            project: self.contract.name.clone(),
            revision: self.contract.revision.clone(),
            instance: self.store.instance().to_string(),
            running,
            health: health.to_owned(),
            findings,
            sources: self.sources(observed),
            reads,
            counts,
            historian: self.historian().map_err(|e| fault(&e))?,
            seams: seams
                .into_iter()
                .map(|s| Seam {
                    seam: s.seam,
                    terms: s.terms.into_iter().map(|t| Term { name: t.name.to_owned(), count: t.count }).collect(),
                    holds: s.holds,
                })
                .collect(),
        })
    }

    fn metrics(&self) -> Result<String, Problem> {
        let seams = self.seams().map_err(|e| fault(&e))?;
        let counts = self.store.counts().map_err(|e| fault(&e))?;
        let observed = self.observed().map_err(|e| fault(&e))?;
        let historian = self.historian().map_err(|e| fault(&e))?;
        Ok(metrics(&Measured {
            counts: &counts,
            seams: &seams,
            log: (self.store.log_start().offset, self.store.log_end().offset),
            ready: self.readiness().ready,
            sources: &observed,
            historian: [
                ("files", historian.files),
                ("bytes", historian.bytes),
                ("samples", historian.samples),
                ("lag_seconds", historian.lag_seconds),
            ],
            listeners: &self.running.as_ref().map_or_else(Vec::new, |running| running.connections()),
            reads: &crate::reads::measured(self.reads().map_err(|e| fault(&e))?),
            owners: &health::owners(&self.store).map_err(|e| fault(&e))?,
            disk: self.store.free_bytes().map(|free| (self.store.is_full(), free)),
            systems: &fares::measured(&self.contract, &self.systems().map_err(|e| fault(&e))?),
            now: clock::now(),
        }))
    }

    fn range(&self, query: &RangeQuery) -> Result<SamplePage, Problem> {
        self.range_of(query)
    }

    fn last(&self, query: &LastQuery) -> Result<LastPage, Problem> {
        self.last_of(query)
    }

    fn why_not(&self, query: &WhyQuery) -> Result<WhyNot, Problem> {
        self.why_not_of(query)
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, Problem> {
        self.series_of(query)
    }

    fn oee(&self, query: &OeeQuery) -> Result<OeePage, Problem> {
        self.oee_of(query)
    }

    fn count(&self, query: &CountQuery) -> Result<SampleCount, Problem> {
        self.count_of(query)
    }

    fn seal(&self) -> Result<Historian, Problem> {
        self.at_work()?.seal()?;
        self.historian().map_err(|e| fault(&e))
    }

    fn replay(&self, exception: &str, query: &ReplayQuery) -> Result<Replay, Problem> {
        self.at_work()?;
        let id = ExceptionId::parse(exception).map_err(|_| unknown(exception))?;
        let row = self.store.exception(id).map_err(|e| fault(&e))?.ok_or_else(|| unknown(exception))?;
        if row.kind != ExceptionKind::Input {
            return Err(Problem::content(format!("{id} holds no messages: it is of kind {}", row.kind.word()))
                .remedy("andon list exceptions --where kind=input names those that do"));
        }
        if row.fingerprint.starts_with("reads/") {
            return self.replay_items(&self.at_work()?.objects(), &row, query);
        }
        if row.fingerprint.starts_with("events/") {
            return Err(Problem::content(format!(
                "{id} holds events that told of no object, and no messages of a source"
            ))
            .remedy("let who sends them send them again, mended, or give the object with `andon objects put`"));
        }
        let ask = Ask {
            exception: id,
            after: query.after.unwrap_or(0),
            limit: query.limit,
            dry_run: query.dry_run,
            now: clock::now(),
        };
        let mut chance: andon_edge::given::Chance = Box::new(given::chance);
        let done = replay(&self.contract, &self.store, &ask, &mut chance).map_err(|e| match e {
            full if full.is_full() => Problem::unavailable(full.to_string()).remedy("free space, and replay again"),
            other => fault(&other),
        })?;
        Ok(Replay {
            dry_run: query.dry_run,
            messages: done.messages,
            mended: done.mended,
            stored: done.stored,
            duplicate: done.duplicate,
            wrong: done.wrong,
            problems: done.problems,
            resolved: done.resolved,
            next: done.next,
        })
    }

    fn control(&self, query: &ControlQuery) -> Result<Control, Problem> {
        self.control_alarm(query, self.stopped.as_deref())
    }

    fn decide(&self, exception: &str, decide: &Decide) -> Result<Decided, Problem> {
        self.decide_exception(exception, decide, self.stopped.as_deref())
    }

    fn act(&self, exception: &str, asked: &Asked) -> Result<ExceptionDone, Problem> {
        self.act_on(exception, asked)
    }

    fn act_all(&self, asked: &BulkAsked) -> Result<BulkDone, Problem> {
        self.act_on_all(asked)
    }

    fn cancel_run(&self, run: &str, cancel: &CancelRun) -> Result<CancelledRun, Problem> {
        self.at_work()?.starts().acts.cancel(&self.store, run, cancel)
    }

    fn migrate_run(&self, run: &str, migrate: &MigrateRun) -> Result<MigratedRun, Problem> {
        self.at_work()?.starts().acts.migrate(&self.store, run, migrate)
    }

    fn object(&self, of: &ObjectRef) -> Result<ObjectHistory, Problem> {
        self.object_of(of)
    }

    fn put_object(&self, put: &ObjectPut) -> Result<ObjectGiven, Problem> {
        self.give_object(&self.at_work()?.objects(), put)
    }

    fn admit(&self, post: &Post) -> Result<Admission, Problem> {
        self.at_work()?.admit(post)
    }

    fn take(&self, post: &Post, admission: Admission, body: axum::body::Bytes) -> Result<Taken, Problem> {
        self.at_work()?.take(post, admission, &body)
    }

    fn back_up(&self, asked: &BackUp) -> Result<BackupStand, Problem> {
        self.begin_backup(asked)
    }

    fn backup(&self) -> Result<BackupStand, Problem> {
        Ok(self.backup_stand())
    }

    fn start_run(&self, start: RunStart) -> Pending<StartedRun> {
        match self.at_work() {
            Ok(running) => running.starts().start(start),
            Err(problem) => Box::pin(std::future::ready(Err(problem))),
        }
    }
}

/// What a list is refused for is what was asked.
pub(crate) fn listed(error: &StoreError) -> Problem {
    match error {
        StoreError::Refused(cause) => Problem::request(cause.clone()),
        other => fault(other),
    }
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("nothing kept here is called {id:?}")).remedy(
        "an id (ev_, ru_, ca_, ex_), a call's reference, a document's number, the key of a run, or a sample's \
             epoch/offset",
    )
}
