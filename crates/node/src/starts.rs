//! Starts of runs on their way from the API to the loop of workflows, and the waits for the ends of runs.
//!
//! Nothing here is durable: who asked is told only what the loop has made durable, and asks again after a crash; the
//! key keeps that from starting anything twice.

use crate::{acts::Acts, clock, history::fault};
use andon_api::{
    Problem,
    runs::{Pending, RunStart, StartedRun, link},
};
use andon_contract::{
    Contract,
    contract::{Instance, Role},
    workflow::{Definition, Placement},
};
use andon_model::{Name, RunId, SiteName};
use andon_store::{
    Store,
    rows::{RunRow, RunState},
};
use andon_workflows::run::{Ended, Start, Started, placed};
use serde_json::Value as Json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// Requests that wait for a start, or for the end of a run, at once; further ones are refused.
pub(crate) const WAITING_MAX: usize = 4_096;
/// A start that is not durable after this long is told as such; it may still become so.
const DURABLE_WAIT: Duration = Duration::from_secs(30);
/// When a refused start may be tried again, in seconds.
const AGAIN_SECS: &str = "1";

/// The desk between the API and the loop.
pub(crate) struct Starts {
    contract: Arc<Contract>,
    /// This instance, and the role in which it runs workflows.
    instance: (Name, Role),
    store: Store,
    desk: Mutex<Desk>,
    /// What people do with runs that are there.
    pub(crate) acts: Acts,
}

#[derive(Default)]
struct Desk {
    closed: bool,
    /// Requests at the desk.
    waiting: usize,
    next: u64,
    /// Not yet fetched by the loop.
    asked: Vec<Start>,
    /// Who waits for what becomes of a start, by its number.
    starts: HashMap<u64, Asker>,
    /// Who waits for the end of a run.
    ends: HashMap<RunId, oneshot::Sender<Ended>>,
}

struct Asker {
    started: oneshot::Sender<Started>,
    ended: Option<oneshot::Sender<Ended>>,
}

/// A place at the desk; nobody waits there any more once this is gone.
struct Place {
    starts: Arc<Starts>,
    token: u64,
    run: Option<RunId>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desk = self.starts.desk();
        desk.waiting -= 1;
        desk.starts.remove(&self.token);
        if let Some(run) = self.run {
            desk.ends.remove(&run);
        }
    }
}

impl Starts {
    pub(crate) fn new(contract: Arc<Contract>, instance: (Name, Role), store: Store) -> Self {
        Self { contract, instance, store, desk: Mutex::default(), acts: Acts::default() }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a run. The answer comes once its start is durable, or at its end where that is waited for.
    pub(crate) fn start(self: &Arc<Self>, start: RunStart) -> Pending<StartedRun> {
        let this = self.clone();
        Box::pin(async move { this.answer(start).await })
    }

    async fn answer(self: Arc<Self>, start: RunStart) -> Result<StartedRun, Problem> {
        let RunStart { workflow, key, site, input, by, wait } = start;
        let definition = self.definition(&workflow)?;
        check(&definition, &input)?;
        let site = self.site(site.as_deref())?;
        let (begun_at, (told, begun), (told_end, ended)) = (clock::monotonic(), oneshot::channel(), oneshot::channel());
        let asker = Asker { started: told, ended: wait.map(|_| told_end) };
        let start = Start { token: 0, workflow: workflow.clone(), key: key.clone(), site: site.clone(), input, by };
        let mut place = self.ask(start, asker)?;
        let started = tokio::time::timeout(DURABLE_WAIT, begun).await.map_err(|_| {
            Problem::unavailable(format!("the start was not durable within {} s", DURABLE_WAIT.as_secs()))
                .remedy("ask again with the same key: 409 says that it was started after all")
        })?;
        let (run, at) = begun_run(&started.map_err(|_| stopping())?, &workflow, &key)?;
        place.run = Some(run);
        let mut answer = StartedRun {
            id: run.to_string(),
            workflow,
            key,
            site: site.to_string(),
            state: RunState::Running.word().to_owned(),
            started: at.to_string(),
            updated: at.to_string(),
            output: Json::Null,
            error: Json::Null,
        };
        let Some(wait) = wait else {
            // Where runs are counted it may have no place yet.
            return if definition.settings.runs.is_some() { self.as_it_stands(answer, run).await } else { Ok(answer) };
        };
        let left = wait.saturating_sub(clock::monotonic().std().saturating_sub(begun_at.std()));
        if let Ok(ended) = tokio::time::timeout(left, ended).await {
            let Ended { state, at, output, error, .. } = ended.map_err(|_| stopping())?;
            state.word().clone_into(&mut answer.state);
            answer.updated = at.to_string();
            answer.output = output.unwrap_or_default();
            answer.error = error.unwrap_or_default();
            return Ok(answer);
        }
        drop(place);
        self.as_it_stands(answer, run).await
    }

    async fn as_it_stands(&self, answer: StartedRun, run: RunId) -> Result<StartedRun, Problem> {
        let store = self.store.clone();
        let row = tokio::task::spawn_blocking(move || store.run(run)).await;
        let row = row.map_err(|e| Problem::fault(e.to_string()))?.map_err(|e| fault(&e))?;
        Ok(row.map_or(answer.clone(), |row| as_it_stands(answer, row)))
    }

    /// The workflow, where it may be started here.
    fn definition(&self, workflow: &str) -> Result<Arc<Definition>, Problem> {
        let Some(definition) = self.contract.workflows.get(workflow) else {
            let known: Vec<&str> = self.contract.workflows.keys().map(andon_model::Name::as_str).collect();
            let remedy = match known.as_slice() {
                [] => "the project has no workflow at all".to_owned(),
                known => format!("workflows of the project: {}", known.join(", ")),
            };
            return Err(Problem::not_found(format!("there is no workflow {workflow:?}")).remedy(remedy));
        };
        if let Some(why) = &definition.settings.revoked {
            return Err(Problem::conflict(format!("the workflow {workflow} is revoked: {why}"))
                .remedy("take `revoked` out of its metadata, or start another workflow"));
        }
        if placed(self.instance.1, definition) { Ok(Arc::clone(definition)) } else { Err(self.elsewhere(definition)) }
    }

    /// The workflow runs on other instances: which, and where they listen.
    fn elsewhere(&self, definition: &Definition) -> Problem {
        let (name, role) = (&definition.name, word(self.instance.1));
        let (key, place) = match definition.settings.placement {
            Placement::Hub => ("hub", "the hub"),
            Placement::Edge => ("edge", "the edge"),
        };
        let there = self.contract.instances.iter().filter(|(_, instance)| placed(instance.role, definition));
        let listening = |(name, instance): (&Name, &Instance)| format!("{name} (http://{})", instance.api);
        let there = there.map(listening).collect::<Vec<_>>().join(", ");
        let detail = format!(
            "the workflow {name} runs at {place} (`metadata.placement: {key}`), and this instance, {}, is of the role \
             {role}",
            self.instance.0
        );
        Problem::misdirected(detail).remedy(match there.as_str() {
            "" => format!("the project has no such instance: add one, or change `placement` in workflows/{name}.yaml"),
            there => format!("start it there: {there}"),
        })
    }

    fn site(&self, asked: Option<&str>) -> Result<SiteName, Problem> {
        let sites = &self.contract.sites;
        let named = || {
            let known: Vec<&str> = sites.keys().map(SiteName::as_str).collect();
            format!("say site=NAME; sites of the project: {}", known.join(", "))
        };
        match asked {
            Some(asked) => sites
                .get_key_value(asked)
                .map(|(name, _)| name.clone())
                .ok_or_else(|| Problem::request(format!("there is no site {asked:?}")).remedy(named())),
            None => match sites.first_key_value() {
                Some((only, _)) if sites.len() == 1 => Ok(only.clone()),
                _ => Err(Problem::request("the project has not one site, so that the run needs one").remedy(named())),
            },
        }
    }

    fn ask(self: &Arc<Self>, start: Start, asker: Asker) -> Result<Place, Problem> {
        let mut desk = self.desk();
        if desk.closed {
            return Err(stopping());
        }
        if desk.waiting >= WAITING_MAX {
            return Err(Problem::busy(format!("{WAITING_MAX} requests wait for runs"))
                .remedy("ask again later, or without `wait`")
                .header("retry-after", AGAIN_SECS));
        }
        let token = desk.next;
        desk.next += 1;
        desk.waiting += 1;
        desk.asked.push(Start { token, ..start });
        desk.starts.insert(token, asker);
        drop(desk);
        self.store.wake_runs();
        Ok(Place { starts: self.clone(), token, run: None })
    }

    /// What was asked for since; for the loop.
    pub(crate) fn take_asked(&self) -> Vec<Start> {
        std::mem::take(&mut self.desk().asked)
    }

    /// Tells who asked what became of it: starts first, since a run may end in the step that begins it.
    pub(crate) fn tell(&self, started: Vec<(u64, Started)>, ended: Vec<Ended>) {
        if started.is_empty() && ended.is_empty() {
            return;
        }
        let mut desk = self.desk();
        for (token, started) in started {
            let Some(asker) = desk.starts.remove(&token) else { continue };
            if let (Started::Begun(run, _), Some(end)) = (&started, asker.ended) {
                desk.ends.insert(*run, end);
            }
            // Who no longer waits has no use for the answer.
            let _ = asker.started.send(started);
        }
        for ended in ended {
            if let Some(end) = desk.ends.remove(&ended.run) {
                let _ = end.send(ended);
            }
        }
    }

    /// Nothing is taken any more; who waits is told that the instance stops.
    pub(crate) fn close(&self) {
        let mut desk = self.desk();
        self.acts.close();
        desk.closed = true;
        desk.asked.clear();
        desk.starts.clear();
        desk.ends.clear();
    }
}

/// The word of a role in `andon.yaml`.
fn word(role: Role) -> &'static str {
    match role {
        Role::Edge => "edge",
        Role::Hub => "hub",
        Role::Both => "both",
    }
}

/// Whether a workflow takes an input.
fn check(definition: &Definition, input: &Json) -> Result<(), Problem> {
    let name = &definition.name;
    let size = input.to_string().len() as u64;
    if let Some(most) = definition.settings.payload.filter(|most| size > *most) {
        let detail = format!(
            "the input has {size} bytes as JSON, and `metadata.limits.payload` of the workflow {name} allows {most}"
        );
        return Err(Problem::too_large(detail).remedy("put what is large elsewhere, and name it in the input"));
    }
    let Some(schema) = &definition.schemas.input else { return Ok(()) };
    schema.check(input).map_err(|why| {
        Problem::content(format!("the input does not fit `input.schema` of the workflow {name}: {why}"))
            .remedy(format!("workflows/{name}.yaml says what it takes"))
    })
}

fn begun_run(started: &Started, workflow: &str, key: &str) -> Result<(RunId, andon_model::Time), Problem> {
    match started {
        Started::Begun(run, at) => Ok((*run, *at)),
        Started::Exists(run) => {
            let link = link(&run.to_string());
            Err(Problem::conflict(format!("the workflow {workflow} has a run with the key {key:?} already: {run}"))
                .remedy(format!("GET {link} shows it; another key starts another run"))
                .header("location", link))
        }
        Started::Unknown => Err(Problem::not_found(format!("there is no workflow {workflow:?} any more"))),
        Started::Busy => Err(Problem::busy("as many calls are unfinished as may be; nothing was started")
            .remedy("ask again when systems answer: `andon status` says which do not")
            .header("retry-after", AGAIN_SECS)),
    }
}

fn stopping() -> Problem {
    Problem::unavailable("the instance is stopping")
        .remedy("ask again with the same key once it runs: 409 says that the run was started before")
}

fn as_it_stands(answer: StartedRun, row: RunRow) -> StartedRun {
    StartedRun {
        state: row.state.word().to_owned(),
        updated: row.updated.to_string(),
        output: row.output.unwrap_or_default(),
        error: row.error.unwrap_or_default(),
        ..answer
    }
}
