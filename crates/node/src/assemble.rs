//! How the product fits together, from top to bottom.

use crate::{
    backend::{Running, StoreBackend},
    calls::Sender,
    clock::{self, Real},
    drive::{Reads, Turn, Worker},
    fares::{Board, Written},
    given::{self, chance, env},
    history::{Counted, stored},
    ingest::Posts,
    keep, notify,
    part::Part,
    posted::Hooks,
    reads::{self, Stand, Standing},
    served,
    starts::Starts,
    watch::Watch,
};
use andon_api::{
    Problem,
    posts::{Admission, Post, Taken},
};
use andon_contract::{
    Contract, Problem as ProjectProblem,
    contract::{Instance, Role, SourceKind},
};
use andon_edge::{
    files::start_file,
    listener,
    run::start_mqtt,
    shdr::start_shdr,
    subscriber::{Hubs, start_subscriber},
};
use andon_events::{
    engine::Costs,
    objects::{Given, Objects},
};
use andon_model::{Name, Position, span::Span};
use andon_observe::health::Live;
use andon_store::{
    Store, StoreError,
    historian::SealNow,
    rows::{ContractRow, Write},
};
use andon_systems::Connectors;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Threads of the shell that serves HTTP and sends calls.
const SHELL_THREADS: usize = 2;
/// How long a clean stop waits for the answers of attempts under way; what has not come by then is unknown.
const ANSWERS_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// So often the loop of rules adds up what they cost.
const COSTS_EVERY: Span = Span::from_secs(1);
/// How often it is looked whether the store goes on.
const STOPPED_ASKED_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

/// What an instance is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the project.
    pub project: PathBuf,
    /// The data folder; made where there is none.
    pub data: PathBuf,
    /// Address of the API instead of the project's.
    pub api: Option<String>,
    /// Which instance of the project, where it has several.
    pub instance: Option<String>,
}

/// Why an instance does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The project is refused.
    #[error("the project is refused: {} problems", .0.len())]
    Project(Vec<ProjectProblem>),
    /// Which instance is not clear.
    #[error("{0}")]
    Instance(String),
    /// The data folder cannot be used.
    #[error("the data folder {}: {cause}", dir.display())]
    Store {
        /// The folder.
        dir: PathBuf,
        /// What the store said.
        cause: StoreError,
    },
    /// Rules cannot be taken up.
    #[error("rules cannot be taken up: {0}")]
    Rules(andon_events::run::StartError),
    /// The API cannot listen.
    #[error("the API cannot listen at {address}: {cause}")]
    Api {
        /// The address.
        address: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A listener cannot listen.
    #[error("the listener {name} cannot listen at {address}: {cause}")]
    Listener {
        /// Its name.
        name: Name,
        /// Its address.
        address: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl StartError {
    /// 1: the answer is no; 2: usage.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Instance(_)) { 2 } else { 1 }
    }

    /// What to do next.
    pub fn remedy(&self) -> String {
        match self {
            Self::Project(_) => "andon check".to_owned(),
            Self::Instance(_) => "name one with --instance".to_owned(),
            Self::Store { cause: StoreError::Locked { .. }, .. } => {
                "stop the instance that holds it, or name another folder with --data".to_owned()
            }
            Self::Api { .. } => "name a free loopback address with --api, for example --api 127.0.0.1:0".to_owned(),
            Self::Listener { .. } => {
                "correct the listener in andon.yaml, or let the environment name another address: \
                 `address: env:NAME else ...`"
                    .to_owned()
            }
            Self::Thread(_) => "free memory, or raise the limit of threads (ulimit -u)".to_owned(),
            // The store's errors say it themselves.
            Self::Store { .. } | Self::Rules(_) => String::new(),
        }
    }
}

/// A running instance. It goes on until [`Node::stop`].
pub struct Node {
    api: SocketAddr,
    store: Store,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    closing: CancellationToken,
}

/// What the API asks while the instance runs.
struct Shared {
    posts: Posts,
    store: Store,
    /// In the order of their start.
    parts: Mutex<Vec<Part>>,
    /// How far the rules had come after their last step; to look at it holds no step up.
    rules: Arc<Mutex<RulesRead>>,
    /// What they have not read; a long backlog is counted once, however often is asked.
    unread: Counted,
    /// What they cost, as it was looked at last.
    costs: Arc<Mutex<Option<Costs>>>,
    watch: Arc<Mutex<Watch>>,
    objects: Objects,
    standing: Standing,
    fares: Board,
    starts: Arc<Starts>,
    seal_now: OnceLock<SealNow>,
    started: OnceLock<()>,
}

impl Node {
    /// Starts an instance: everything below in this order, each part only when what it needs is there.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        // 1. The contract. What exists is valid.
        let loaded = andon_contract::load(&options.project).map_err(StartError::Project)?;
        for warning in &loaded.warnings {
            tracing::warn!(code = %warning.code, file = %warning.file, line = warning.line, "{}", warning.message);
        }
        let contract = Arc::new(loaded.contract);
        let (name, instance) = choose(&contract, options.instance.as_deref())?;
        // The one instance there is runs everything.
        let role = if contract.instances.len() == 1 { Role::Both } else { instance.role };

        // 2. The store.
        let on_store = |cause| StartError::Store { dir: options.data.clone(), cause };
        let on_reads = |error| match error {
            reads::ReadsError::Store(cause) => on_store(cause),
            reads::ReadsError::Thread(cause) => StartError::Thread(cause),
        };
        let store = Store::open(&options.data, &mut chance).map_err(on_store)?;
        for suspect in store.take_up(clock::now()).map_err(on_store)? {
            let (part, item, ends) = (&suspect.part, &suspect.item, suspect.ends);
            tracing::warn!(%part, %item, ends, "the process before ended with this at hand: it is taken up alone");
        }

        // 3. The shell: HTTP in and out. An address that is taken ends the start before the contract is activated.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SHELL_THREADS)
            .thread_name("shell")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let address = options.api.as_deref().unwrap_or(&instance.api);
        let (listener, api) = served::bind(&runtime, address)?;
        activate(&store, &contract).map_err(on_store)?;
        let loop_of_rules = andon_events::run::Loop::new(store.clone(), contract.clone(), clock::now());
        let loop_of_rules = loop_of_rules.map_err(StartError::Rules)?;
        let objects = Objects::new(store.clone(), contract.clone());
        let connectors = Arc::new(Connectors::new(contract.clone(), given::variable));
        let hooks = Hooks::new(&contract, &objects, &connectors, &env()).map_err(on_store)?;
        let shared = Arc::new(Shared {
            store: store.clone(),
            rules: Arc::new(Mutex::new(RulesRead::of(&loop_of_rules))),
            unread: Counted::default(),
            costs: Arc::default(),
            posts: Posts::new(&contract, &store, &env(), hooks).map_err(on_store)?,
            parts: Mutex::default(),
            watch: Arc::new(Mutex::new(Watch::new(clock::now()))),
            objects,
            standing: Standing::default(),
            fares: Board::default(),
            starts: Arc::new(Starts::new(contract.clone(), (name.clone(), role), store.clone())),
            seal_now: OnceLock::new(),
            started: OnceLock::new(),
        });

        // 4. Against the way of a sample, from its end to its source: whoever is to be fed is there before the food.
        let hubs = Hubs::default();
        for subscriber in contract.subscribers.keys() {
            let (real, chance) = (Arc::new(Real), Box::new(chance));
            let handle = start_subscriber(contract.clone(), subscriber, &hubs, store.clone(), env(), real, chance);
            shared.add(Part::Subscriber(handle.map_err(StartError::Thread)?));
        }
        let sender = Sender::new(connectors.clone(), runtime.handle().clone(), store.clone());
        shared.add(Part::Worker(workflows(&store, (&contract, role), connectors.clone(), sender, &shared)?));
        let closing = CancellationToken::new();
        let objects = shared.objects.clone();
        shared.add(Part::Worker(given_objects(&objects).map_err(on_reads)?));
        let (runtime_of, standing) = (runtime.handle().clone(), shared.standing.clone());
        let desk = reads::Desk { objects, connectors, runtime: runtime_of, closing: closing.clone(), standing };
        reads::start(&desk).map_err(on_reads)?.into_iter().map(Part::Worker).for_each(|part| shared.add(part));
        let (keeper, seal_now) = keep::keep(&store, &contract).map_err(StartError::Thread)?;
        shared.add(Part::Worker(keeper));
        let _ = shared.seal_now.set(seal_now);
        shared.add(Part::Worker(watch(&store, shared.watch.clone())?));
        let notices = notify::start(&store, &contract, runtime.handle());
        shared.add(Part::Worker(notices.map_err(StartError::Thread)?));
        shared.add(Part::Worker(rules(&store, loop_of_rules, &shared)?));
        andon_edge::replay::recover(&store).map_err(on_store)?;
        sources(&shared, &contract, instance, &hubs)?;

        // 5. Layer 4 over layer 5: the API, announced in the data folder for the commands.
        let backend = StoreBackend::running(store.clone(), contract.clone(), shared.clone());
        served::serve(&runtime, listener, Arc::new(backend), closing.clone());
        store.announce(&api.to_string()).map_err(on_store)?;
        let _ = shared.started.set(());
        tracing::info!(
            project = %contract.name, instance = %name, data = %options.data.display(), revision = %contract.revision,
            "started"
        );
        let node = Self { api, store, shared, runtime, closing };
        node.tell_when_ready();
        Ok(node)
    }

    /// Address of the API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Returns where the instance cannot go on: the log has stopped, and only another process can tell what of it is on
    /// the disk. Gives the reason; nothing was acknowledged since.
    pub async fn stopped_by_itself(&self) -> String {
        loop {
            if let Some(why) = self.store.stopped() {
                return why;
            }
            tokio::time::sleep(STOPPED_ASKED_EVERY).await;
        }
    }

    /// Stops cleanly: nothing new is taken, what is under way is written down, states are saved.
    pub fn stop(self) {
        tracing::info!("stopping");
        self.closing.cancel();
        // No loop begins anything new. Then along the way of a sample, against the order of the start: what feeds
        // another ends before it.
        let parts: Vec<Part> = lock(&self.shared.parts).drain(..).collect();
        parts.iter().for_each(Part::ask_to_stop);
        self.store.wake();
        let mut whole = true;
        for part in parts.into_iter().rev() {
            whole &= part.stop();
        }
        if whole && let Err(error) = self.store.end_cleanly() {
            tracing::warn!(%error, "the next start takes this end for an unclean one");
        }
        self.runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        tracing::info!("stopped");
    }

    /// One log line when all sources are subscribed; those who wait for it need not ask.
    fn tell_when_ready(&self) {
        let shared = self.shared.clone();
        let api = self.api;
        let closing = self.closing.clone();
        self.runtime.spawn(async move {
            let mut told = Vec::new();
            loop {
                let missing = shared.waiting_for();
                if missing.is_empty() {
                    tracing::info!(api = %api, "ready");
                    return;
                }
                if missing != told {
                    tracing::info!(waiting_for = %missing.join("; "), "not ready yet");
                    told = missing;
                }
                tokio::select! {
                    () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
                    () = closing.cancelled() => return,
                }
            }
        });
    }
}

impl Shared {
    fn add(&self, part: Part) {
        lock(&self.parts).push(part);
    }
}

impl Running for Shared {
    fn waiting_for(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.started.get().is_none() {
            missing.push("the instance is starting".to_owned());
        }
        if self.store.is_full() {
            let disk = andon_observe::health::DISK;
            missing.push(format!(
                "{disk} is full: nothing more is acknowledged until 128 MiB are free at the data folder"
            ));
        }
        missing.extend(lock(&self.parts).iter().filter_map(Part::waits_for));
        missing
    }

    fn rules(&self) -> Option<[u64; 4]> {
        let RulesRead { counts, position } = *lock(&self.rules);
        let (stored, end) = stored(&self.store)?;
        // Where very much came since, it is told once it is counted.
        let (unread, is_whole) = self.unread.count(&self.store, (position, end)).ok()?;
        is_whole.then_some([stored, counts.evaluated, counts.late, unread])
    }

    fn costs(&self) -> Option<Costs> {
        lock(&self.costs).clone()
    }

    fn live(&self) -> Result<Live, StoreError> {
        let away = lock(&self.parts).iter().filter_map(Part::away).collect();
        Ok(Live { away, ..lock(&self.watch).live(&self.store)? })
    }

    fn connections(&self) -> Vec<(String, u64)> {
        let of = |part: &Part| match part {
            Part::Listener(of) => Some((of.address().to_string(), of.status().connections as u64)),
            _ => None,
        };
        lock(&self.parts).iter().filter_map(of).collect()
    }

    fn reads(&self) -> BTreeMap<String, Stand> {
        lock(&self.standing).clone()
    }

    fn fares(&self) -> BTreeMap<Name, andon_workflows::resilience::Fares> {
        self.fares.read()
    }

    fn objects(&self) -> Objects {
        self.objects.clone()
    }

    fn starts(&self) -> Arc<Starts> {
        self.starts.clone()
    }

    fn seal(&self) -> Result<(), Problem> {
        let asked = self.seal_now.get().ok_or_else(|| Problem::unavailable("the instance is starting"))?;
        keep::seal(&self.store, asked, &|| lock(&self.parts).iter().all(Part::is_alive))
    }

    fn admit(&self, post: &Post) -> Result<Admission, Problem> {
        self.posts.admit(post)
    }

    fn take(&self, post: &Post, admission: Admission, body: &[u8]) -> Result<Taken, Problem> {
        self.posts.take(post, admission, body)
    }
}

/// Starts the sources and the listeners: from here on samples come.
fn sources(shared: &Shared, contract: &Arc<Contract>, instance: &Instance, hubs: &Hubs) -> Result<(), StartError> {
    for (source, settings) in &contract.sources {
        let start = match &settings.kind {
            SourceKind::Mqtt(_) => start_mqtt,
            SourceKind::Shdr(_) => start_shdr,
            SourceKind::File(_) => start_file,
            // They are posted to, or published to.
            SourceKind::Http(_) | SourceKind::Listener(_) => continue,
        };
        let handle = start(contract, source, shared.store.clone(), env(), Arc::new(Real), Box::new(chance));
        shared.add(Part::Source(source.clone(), handle.map_err(StartError::Thread)?));
    }
    for (of, settings) in &instance.listeners {
        let started =
            listener::start(contract, of, settings, shared.store.clone(), env(), Arc::new(Real), Box::new(chance));
        let handle = started.map_err(|cause| StartError::Listener {
            name: of.clone(),
            address: settings.address.resolve(&given::variable),
            cause,
        })?;
        lock(hubs).insert(of.clone(), handle.hub());
        shared.add(Part::Listener(handle));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn choose<'a>(contract: &'a Contract, wanted: Option<&str>) -> Result<(&'a Name, &'a Instance), StartError> {
    let names = || contract.instances.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
    match wanted {
        Some(wanted) => contract
            .instances
            .get_key_value(wanted)
            .ok_or_else(|| StartError::Instance(format!("the project has no instance {wanted:?}, only: {}", names()))),
        None if contract.instances.len() == 1 => Ok(contract.instances.first_key_value().expect("there is one")),
        None => Err(StartError::Instance(format!("the project has several instances: {}", names()))),
    }
}

/// Keeps the contract in the data folder, unless it is the active one already.
fn activate(store: &Store, contract: &Contract) -> Result<(), StoreError> {
    if store.active_contract()?.is_some_and(|row| row.revision == contract.revision) {
        return Ok(());
    }
    let before = store.active_contract()?.map(|row| row.revision);
    let row =
        ContractRow { revision: contract.revision.clone(), activated: clock::now(), files: contract.files.clone() };
    let act = crate::audit::activated(&row, before.as_deref());
    store.commit(vec![Write::Contract(Box::new(row)), act]).map(drop)
}

/// What became of the samples before a place of the log.
#[derive(Clone, Copy)]
struct RulesRead {
    counts: andon_events::engine::Counts,
    position: Position,
}

impl RulesRead {
    fn of(rules: &andon_events::run::Loop) -> Self {
        Self { counts: rules.counts(), position: rules.position() }
    }
}

/// Layer 5: remembers for a while what rows said.
fn watch(store: &Store, watch: Arc<Mutex<Watch>>) -> Result<Worker, StartError> {
    let looked_at = store.clone();
    let step = move || lock(&watch).step(&looked_at, clock::now()).map(|every| Turn::Idle(Some(every)));
    Worker::start("watch", (store.clone(), Reads::Rows), step, || {}).map_err(StartError::Thread)
}

/// Layer 2: reads the log, commits events.
fn rules(store: &Store, mut rules: andon_events::run::Loop, shared: &Shared) -> Result<Worker, StartError> {
    rules.measure(clock::monotonic);
    let (read, costs) = (shared.rules.clone(), shared.costs.clone());
    let mut looked = None;
    let rules = Arc::new(Mutex::new(rules));
    let ending = rules.clone();
    Worker::start(
        "rules",
        (store.clone(), Reads::Log),
        move || {
            let mut rules = lock(&rules);
            let progress = rules.step(clock::now(), clock::monotonic())?;
            *lock(&read) = RulesRead::of(&rules);
            let now = clock::monotonic();
            if looked.is_none_or(|looked: Span| now.nanos().saturating_sub(looked.nanos()) >= COSTS_EVERY.nanos()) {
                looked = Some(now);
                *lock(&costs) = rules.costs();
            }
            Ok(match progress {
                andon_events::run::Progress::Worked => Turn::Worked,
                andon_events::run::Progress::Idle { until } => Turn::Idle(until),
            })
        },
        move || {
            if let Err(error) = lock(&ending).stop() {
                tracing::warn!(%error, "the states of rules were not saved; the next start repeats some work");
            }
        },
    )
    .map_err(StartError::Thread)
}

/// Layer 2 as well: what others tell of objects by events becomes known.
fn given_objects(objects: &Objects) -> Result<Worker, reads::ReadsError> {
    let mut given = Given::new(objects.clone()).map_err(reads::ReadsError::Store)?;
    let step = move || given.step(clock::now()).map(|more| if more { Turn::Worked } else { Turn::Idle(None) });
    let store = objects.store().clone();
    Worker::start("objects", (store, Reads::Rows), step, || {}).map_err(reads::ReadsError::Thread)
}

/// Layer 3: reads events, drives runs and calls; attempts go out by the sender and come back.
fn workflows(
    store: &Store,
    (contract, role): (&Arc<Contract>, Role),
    connectors: Arc<Connectors>,
    sender: Sender,
    shared: &Shared,
) -> Result<Worker, StartError> {
    let pinned = Box::new(|files: &BTreeMap<String, String>| match andon_contract::from_files(files.clone()) {
        Ok(loaded) => Ok(loaded.contract),
        Err(problems) => Err(problems.first().map_or_else(String::new, ToString::to_string)),
    });
    let runs = andon_workflows::run::Loop::new(store.clone(), contract.clone(), connectors, pinned).in_role(role);
    let runs = Arc::new(Mutex::new(runs));
    let (ending, sent) = (runs.clone(), sender.clone());
    let (starts, closing, fares) = (shared.starts.clone(), shared.starts.clone(), shared.fares.clone());
    let mut written = Written::default();
    let mut watched = clock::Watched::new();
    Worker::start(
        "workflows",
        (store.clone(), Reads::Runs),
        move || {
            let mut runs = lock(&runs);
            for done in sender.take_done() {
                runs.complete(done.request.call, done.request.attempt, done.outcome);
            }
            starts.take_asked().into_iter().for_each(|start| runs.start(start));
            starts.acts.take_asked().into_iter().for_each(|act| runs.act(act));
            watched.was_set().into_iter().for_each(|by| runs.clock_was_set(by));
            let progress = runs.step(clock::now())?;
            starts.tell(runs.take_started(), runs.take_ended());
            starts.acts.tell(runs.take_acted());
            let requests = runs.take_requests();
            runs.let_go(&requests, clock::now());
            for ready in requests {
                sender.send(ready.request, ready.prepared);
            }
            let again = fares.write(&mut written, (progress.worked, clock::monotonic()), &runs);
            Ok(if progress.worked {
                Turn::Worked
            } else {
                let wake = progress.wake.map(|wake| wake.since(clock::now()));
                Turn::Idle([wake, again].into_iter().flatten().min())
            })
        },
        move || {
            closing.close();
            sent.wait(ANSWERS_WAIT);
            let mut runs = lock(&ending);
            for done in sent.take_done() {
                runs.complete(done.request.call, done.request.attempt, done.outcome);
            }
            if let Err(error) = runs.close(clock::now()) {
                tracing::warn!(%error, "answers that came at the end were not saved; the next start asks about them");
            }
        },
    )
    .map_err(StartError::Thread)
}
