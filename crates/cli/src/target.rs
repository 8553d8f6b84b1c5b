//! Who is asked: a running instance through its API, or a stopped data folder.

use crate::{
    args::Where,
    output::{NO, NO_INSTANCE, failure},
};
use andon_api::{
    Backend, Kind, Page, Problem, Query,
    alarms::{ACTOR, Act, Control, ControlQuery},
    backups::{BackUp, BackupStand},
    cancel::{CancelRun, CancelledRun},
    decisions::{Decide, Decided},
    exceptions::{Asked, BulkAsked, BulkDone, ExceptionDone},
    migrate::{MigrateRun, MigratedRun},
    objects::{ObjectGiven, ObjectPut, ObjectRef},
    oee::{OeePage, OeeQuery},
    samples::{
        CountQuery, Historian, LastPage, LastQuery, RangeQuery, Replay, ReplayQuery, SampleCount, SamplePage, Series,
        SeriesQuery,
    },
    types::Status,
    why::{WhyNot, WhyQuery},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value as Json;
use std::{fmt::Write as _, path::PathBuf};

/// The API's address where nothing else is said.
const API_DEFAULT: &str = "127.0.0.1:8730";

/// So long may something take that is not only looked up.
const POST_PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);

/// Who answers.
pub(crate) enum Target {
    /// A running instance.
    Running(Remote),
    /// A stopped data folder.
    Stopped(Box<dyn Backend>),
}

/// A running instance.
pub(crate) struct Remote {
    base: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Target {
    /// Finds who is asked: `--api`, else the instance that holds the data folder, else the folder itself.
    pub(crate) fn find(place: &Where) -> anyhow::Result<Self> {
        if let Some(api) = &place.api {
            return Ok(Self::Running(Remote::new(api)?));
        }
        let named = place.data.clone();
        let dir = named.clone().unwrap_or_else(|| PathBuf::from(".andon"));
        if dir.join("format").is_file() {
            if let Some(api) = andon_node::announced(&dir) {
                return Ok(Self::Running(Remote::new(&api)?));
            }
            let backend = andon_node::look(&dir).map_err(|e| failure(NO_INSTANCE, &e, e.remedy()))?;
            return Ok(Self::Stopped(Box::new(backend)));
        }
        if named.is_some() {
            return Err(failure(
                NO_INSTANCE,
                format!("{} is no data folder", dir.display()),
                "name the folder that `andon run --data` was given",
            ));
        }
        Ok(Self::Running(Remote::new(API_DEFAULT)?))
    }

    /// Whether it is a running instance.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Rows of a kind.
    pub(crate) fn list(&self, kind: Kind, query: &Query) -> anyhow::Result<Page> {
        match self {
            Self::Stopped(backend) => backend.list(kind, query).map_err(refused),
            Self::Running(remote) => {
                let mut path = format!("/v1/{}?limit={}", kind.word(), query.limit);
                for (field, value) in &query.filters {
                    path.push_str("&where=");
                    let _ = write!(path, "{}", encode(&format!("{field}={value}")));
                }
                if let Some(after) = query.after {
                    let _ = write!(path, "&after={after}");
                }
                if query.ascending {
                    path.push_str("&order=asc");
                }
                let json = remote.get(&path)?;
                let rows = json.get("rows").and_then(Json::as_array).cloned().unwrap_or_default();
                Ok(Page { rows, next: json.get("next").and_then(Json::as_u64) })
            }
        }
    }

    /// Samples in the order of time.
    pub(crate) fn range(&self, query: &RangeQuery) -> anyhow::Result<SamplePage> {
        match self {
            Self::Stopped(backend) => backend.range(query).map_err(refused),
            Self::Running(remote) => remote.ask(
                &Path::new("/v1/samples")
                    .with("asset", Some(&query.asset))
                    .with("signal", query.signal.as_ref())
                    .with("from", Some(query.from))
                    .with("to", Some(query.to))
                    .with("after", query.after)
                    .with("limit", Some(query.limit)),
            ),
        }
    }

    /// The newest value of each signal.
    pub(crate) fn last(&self, query: &LastQuery) -> anyhow::Result<LastPage> {
        match self {
            Self::Stopped(backend) => backend.last(query).map_err(refused),
            Self::Running(remote) => remote.ask(
                &Path::new("/v1/samples/last")
                    .with("asset", query.asset.as_ref())
                    .with("site", query.site.as_ref())
                    .with("after", query.after.as_ref())
                    .with("limit", Some(query.limit)),
            ),
        }
    }

    /// A range of a signal as a chart shows it.
    pub(crate) fn series(&self, query: &SeriesQuery) -> anyhow::Result<Series> {
        match self {
            Self::Stopped(backend) => backend.series(query).map_err(refused),
            Self::Running(remote) => remote.ask(
                &Path::new("/v1/samples/series")
                    .with("asset", Some(&query.asset))
                    .with("signal", Some(&query.signal))
                    .with("from", Some(query.from))
                    .with("to", Some(query.to))
                    .with("points", Some(query.points)),
            ),
        }
    }

    /// Overall equipment effectiveness of an asset.
    pub(crate) fn oee(&self, query: &OeeQuery) -> anyhow::Result<OeePage> {
        match self {
            Self::Stopped(backend) => backend.oee(query).map_err(refused),
            Self::Running(remote) => remote.ask(
                &Path::new("/v1/oee")
                    .with("asset", Some(&query.asset))
                    .with("from", Some(query.from))
                    .with("to", Some(query.to))
                    .with("by", Some(&query.by))
                    .with("rule", query.rule.as_ref()),
            ),
        }
    }

    /// Why a rule had not fired for an asset at a time.
    pub(crate) fn why_not(&self, query: &WhyQuery) -> anyhow::Result<WhyNot> {
        match self {
            Self::Stopped(backend) => backend.why_not(query).map_err(refused),
            Self::Running(remote) => remote.ask(
                &Path::new("/v1/why-not")
                    .with("rule", Some(&query.rule))
                    .with("asset", Some(&query.asset))
                    .with("at", Some(query.at)),
            ),
        }
    }

    /// How many samples are kept.
    pub(crate) fn count(&self, query: &CountQuery) -> anyhow::Result<SampleCount> {
        match self {
            Self::Stopped(backend) => backend.count(query).map_err(refused),
            Self::Running(remote) => remote.ask(
                &Path::new("/v1/samples/count")
                    .with("asset", query.asset.as_ref())
                    .with("signal", query.signal.as_ref())
                    .with("by-signal", Some(query.by_signal)),
            ),
        }
    }

    /// Writes the log to files of the historian.
    pub(crate) fn seal(&self) -> anyhow::Result<Historian> {
        match self {
            Self::Stopped(backend) => backend.seal().map_err(refused),
            Self::Running(remote) => remote.post(&Path::new("/v1/historian/seal")),
        }
    }

    /// Tries messages again that were set aside.
    pub(crate) fn replay(&self, id: &str, query: &ReplayQuery) -> anyhow::Result<Replay> {
        match self {
            Self::Stopped(backend) => backend.replay(id, query).map_err(refused),
            Self::Running(remote) => remote.post(
                &Path::new(&format!("/v1/exceptions/{}/replay", encode(id)))
                    .with("dry-run", Some(query.dry_run))
                    .with("limit", Some(query.limit))
                    .with("after", query.after),
            ),
        }
    }

    /// Answers what an exception asks.
    pub(crate) fn decide(&self, id: &str, decide: &Decide) -> anyhow::Result<Decided> {
        match self {
            Self::Stopped(backend) => backend.decide(id, decide).map_err(refused),
            Self::Running(remote) => {
                let path = format!("/v1/exceptions/{}/decide", encode(id));
                let request = remote.client.post(format!("{}{path}", remote.base)).json(decide);
                Ok(serde_json::from_value(remote.answer(request)?)?)
            }
        }
    }

    /// Does something with an exception.
    pub(crate) fn act(&self, id: &str, asked: &Asked) -> anyhow::Result<ExceptionDone> {
        match self {
            Self::Stopped(backend) => backend.act(id, asked).map_err(refused),
            Self::Running(remote) => {
                let path = format!("/v1/exceptions/{}/{}", encode(id), asked.wanted.word());
                let request = remote.client.post(format!("{}{path}", remote.base)).json(&asked.body());
                Ok(serde_json::from_value(remote.answer(request.timeout(POST_PATIENCE))?)?)
            }
        }
    }

    /// Does something with a page of the exceptions that match.
    pub(crate) fn act_all(&self, asked: &BulkAsked) -> anyhow::Result<BulkDone> {
        match self {
            Self::Stopped(backend) => backend.act_all(asked).map_err(refused),
            Self::Running(remote) => {
                let path = format!("/v1/exceptions/{}", asked.asked.wanted.word());
                let request = remote.client.post(format!("{}{path}", remote.base)).json(&asked.body());
                Ok(serde_json::from_value(remote.answer(request.timeout(POST_PATIENCE))?)?)
            }
        }
    }

    /// Ends a run.
    pub(crate) fn cancel_run(&self, id: &str, cancel: &CancelRun) -> anyhow::Result<CancelledRun> {
        match self {
            Self::Stopped(backend) => backend.cancel_run(id, cancel).map_err(refused),
            Self::Running(remote) => {
                let path = format!("/v1/runs/{}/cancel", encode(id));
                let request = remote.client.post(format!("{}{path}", remote.base)).json(cancel);
                Ok(serde_json::from_value(remote.answer(request)?)?)
            }
        }
    }

    /// Takes a run to the definition in force.
    pub(crate) fn migrate_run(&self, id: &str, migrate: &MigrateRun) -> anyhow::Result<MigratedRun> {
        match self {
            Self::Stopped(backend) => backend.migrate_run(id, migrate).map_err(refused),
            Self::Running(remote) => {
                let path = format!("/v1/runs/{}/migrate", encode(id));
                let request = remote.client.post(format!("{}{path}", remote.base)).json(migrate);
                Ok(serde_json::from_value(remote.answer(request)?)?)
            }
        }
    }

    /// Gives an object.
    pub(crate) fn put_object(&self, put: &ObjectPut) -> anyhow::Result<ObjectGiven> {
        match self {
            Self::Stopped(backend) => backend.put_object(put).map_err(refused),
            Self::Running(remote) => {
                let ObjectRef { kind, site, number } = &put.of;
                let path = format!("/v1/objects/{}/{}/{}", encode(kind), encode(site), encode(number));
                let mut request = remote.client.put(format!("{}{path}", remote.base)).json(&put.body);
                if let Some(actor) = &put.actor {
                    request = request.header(ACTOR, encode(actor).to_string());
                }
                Ok(serde_json::from_value(remote.answer(request)?)?)
            }
        }
    }

    /// Does something to alarms.
    pub(crate) fn control(&self, query: &ControlQuery) -> anyhow::Result<Control> {
        match self {
            Self::Stopped(backend) => backend.control(query).map_err(refused),
            Self::Running(remote) => {
                let (rule, asset, act) = (encode(&query.rule), encode(&query.asset), query.act.word());
                let path = Path::new(&format!("/v1/alarms/{rule}/{asset}/{act}"));
                let mut path = path.with("reason", Some(&query.reason));
                if let Act::Shelve { within, once } = query.act {
                    path = path.with("for", within).with("once", Some(once));
                }
                let request = remote.client.post(format!("{}{}", remote.base, path.0));
                let request = request.header(ACTOR, encode(&query.actor).to_string());
                Ok(serde_json::from_value(remote.answer(request)?)?)
            }
        }
    }

    /// One thing.
    pub(crate) fn show(&self, id: &str) -> anyhow::Result<Json> {
        match self {
            Self::Stopped(backend) => backend.show(id).map_err(refused),
            Self::Running(remote) => remote.get(&format!("/v1/show/{}", encode(id))),
        }
    }

    /// The lineage of a thing.
    pub(crate) fn explain(&self, id: &str) -> anyhow::Result<Json> {
        match self {
            Self::Stopped(backend) => backend.explain(id).map_err(refused),
            Self::Running(remote) => remote.get(&format!("/v1/explain/{}", encode(id))),
        }
    }

    /// The health.
    pub(crate) fn status(&self) -> anyhow::Result<Status> {
        match self {
            Self::Stopped(backend) => backend.status().map_err(refused),
            Self::Running(remote) => Ok(serde_json::from_value(remote.get("/v1/status")?)?),
        }
    }
}

/// A problem as a failure of the command.
fn refused(problem: Problem) -> anyhow::Error {
    // One place says more than the sentence above it.
    let placed = match problem.problems.as_slice() {
        [one] => format!(" (at {}: {})", one.at, one.detail),
        _ => String::new(),
    };
    failure(NO, format!("{}: {}{placed}", problem.title, problem.detail), problem.remedy.unwrap_or_default())
}

impl Remote {
    /// A running instance at `host:port`.
    pub(crate) fn new(api: &str) -> anyhow::Result<Self> {
        let base = if api.contains("://") { api.trim_end_matches('/').to_owned() } else { format!("http://{api}") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { base, client: andon_node::http_client(), runtime })
    }

    /// Begins a backup.
    pub(crate) fn back_up(&self, asked: &BackUp) -> anyhow::Result<BackupStand> {
        let request = self.client.post(format!("{}/v1/backups", self.base)).json(asked);
        Ok(serde_json::from_value(self.answer(request)?)?)
    }

    /// How the backup stands.
    pub(crate) fn backup(&self) -> anyhow::Result<BackupStand> {
        Ok(serde_json::from_value(self.get("/v1/backups")?)?)
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, path: &Path) -> anyhow::Result<T> {
        Ok(serde_json::from_value(self.get(&path.0)?)?)
    }

    fn post<T: serde::de::DeserializeOwned>(&self, path: &Path) -> anyhow::Result<T> {
        // What is asked for may take longer than a question.
        let request = self.client.post(format!("{}{}", self.base, path.0)).timeout(POST_PATIENCE);
        Ok(serde_json::from_value(self.answer(request)?)?)
    }

    fn get(&self, path: &str) -> anyhow::Result<Json> {
        self.answer(self.client.get(format!("{}{path}", self.base)))
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Json> {
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|_| {
                failure(
                    NO_INSTANCE,
                    format!("no instance answers at {}", self.base),
                    "start one with `andon run`, or name its data folder with --data",
                )
            })?;
            let status = answer.status();
            let json: Json = answer.json().await?;
            if status.is_success() {
                return Ok(json);
            }
            Err(match serde_json::from_value::<Problem>(json) {
                Ok(problem) => refused(problem),
                Err(_) => failure(NO, format!("the instance answered {status}"), ""),
            })
        })
    }
}

/// A path with its query.
struct Path(String);

impl Path {
    fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    fn with(mut self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        if let Some(value) = value {
            let sign = if self.0.contains('?') { '&' } else { '?' };
            let _ = write!(self.0, "{sign}{name}={}", encode(&value.to_string()));
        }
        self
    }
}

/// What stands for itself in a path or a query (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a value of a path or a query.
fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, UNRESERVED)
}
