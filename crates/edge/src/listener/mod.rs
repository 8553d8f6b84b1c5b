//! MQTT without a broker: machines publish to the instance itself, and clients subscribe to what was published and to
//! events. A listener, not a broker: it keeps no sessions for those who are away.
//!
//! ## What it is
//! One thread per listener ([`server`]) with non-blocking sockets, with TLS or without. What a client says is read by
//! a state machine without I/O ([`session`]); what is decided about it ([`core`]) goes through the same cores as the
//! messages of brokers ([`crate::source`]). A message is acknowledged once its group is durable, in order; several
//! groups are on their way at once.
//!
//! ## Its limits
//! Constants beside the queues: [`session`] for packets and what waits for a subscriber, [`intake`] for groups,
//! [`retained`], [`subscriptions`], [`handle`] for messages of the instance, [`server`] for deadlines.

mod connection;
mod core;
pub mod events;
pub mod filter;
#[doc(hidden)]
pub mod fuzz;
pub mod handle;
pub mod intake;
pub mod packets;
mod poll;
pub mod retained;
pub mod rights;
pub mod server;
pub mod session;
mod socket;
pub mod subscriptions;
pub mod wire;

pub use handle::{Delivery, ListenerHandle, ListenerHub, ListenerStatus};

use self::{
    core::{Core, CoreParts},
    handle::Shared,
    intake::Intake,
    poll::Poller,
    rights::Clients,
    server::{Parts, Server},
    session::Limits,
};
use crate::{
    given::{Chance, Clock, Env},
    run::SourceStatus,
    tls,
};
use andon_contract::contract::{Contract, Listener};
use andon_model::Name;
use andon_store::Store;
use std::{io, net::TcpListener, sync::Arc, thread};

/// A listener that has its address and takes nobody in yet.
pub struct Bound {
    name: Name,
    server: Server,
    handle: ListenerHandle,
    store: Store,
    clock: Arc<dyn Clock>,
}

/// Starts a listener with the sources of the contract that name it: [`bind`] and [`Bound::start`] in one.
pub fn start(
    contract: &Arc<Contract>,
    name: &Name,
    settings: &Listener,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
) -> io::Result<ListenerHandle> {
    bind(contract, name, settings, store, env, clock, chance)?.start()
}

/// Takes the address of a listener and reads what the store holds for it. Errors are those of the operating system (an
/// address that is taken), of the store, and of the files of TLS.
pub fn bind(
    contract: &Arc<Contract>,
    name: &Name,
    settings: &Listener,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    mut chance: Chance,
) -> io::Result<Bound> {
    let tls = match &settings.tls {
        None => None,
        Some(tls) => {
            let config = tls::server(tls, &env).map_err(|ended| io::Error::other(ended.to_string()))?;
            Some((config, clock.monotonic()))
        }
    };
    let address = settings.address.resolve(&|name| env(name));
    let listener = TcpListener::bind(&address)?;
    let address = listener.local_addr()?;
    if settings.clients.is_empty() && !address.ip().is_loopback() {
        // The environment may name another address than the one that was checked.
        let why = format!("{address} is open to the network, and no clients are declared that may come in");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let intake = Intake::open(contract, name, &store, &mut chance).map_err(io::Error::other)?;
    let retained = store.retained(name).map_err(io::Error::other)?;
    let since = SourceStatus { connected: true, since: clock.now(), ..SourceStatus::default() };
    let sources = intake.names().map(|name| (name.clone(), since.clone())).collect();
    let poller = Poller::new()?;
    let shared = Arc::new(Shared::new(poller.bell(), sources));
    let keep_alive = u16::try_from(settings.keep_alive.std().as_secs()).unwrap_or(u16::MAX);
    let core = Core::new(CoreParts {
        clients: Clients::new(&settings.clients, intake.sites()),
        intake,
        env: Arc::clone(&env),
        limits: Limits { receive_max: settings.receive_max, keep_alive },
        connections_max: settings.connections,
        retained,
        prefix: format!("andon-{name}"),
    });
    let server = Server::new(Parts {
        settings: settings.clone(),
        listener,
        poller,
        core,
        clock: Arc::clone(&clock),
        env,
        shared: Arc::clone(&shared),
        tls,
    })?;
    let waking = store.clone();
    let wake_store = Box::new(move || waking.wake());
    let handle = ListenerHandle { address, shared, threads: Vec::new(), wake_store };
    Ok(Bound { name: name.clone(), server, handle, store, clock })
}

impl Bound {
    /// The way for messages of the instance to its subscribers.
    pub fn hub(&self) -> ListenerHub {
        self.handle.hub()
    }

    /// Takes clients in from now on. Errors are those of the operating system and of the store.
    pub fn start(self) -> io::Result<ListenerHandle> {
        let Self { name, mut server, mut handle, store, clock } = self;
        server.core.intake.connected(clock.now()).map_err(io::Error::other)?;
        let (hub, shared, address) = (handle.hub(), Arc::clone(&handle.shared), handle.address);
        handle.threads.push(thread::Builder::new().name(format!("listener {name}")).spawn(move || server.run())?);
        let follower = move || events::follow(&store, &hub, &shared, &*clock);
        handle.threads.push(thread::Builder::new().name(format!("events {name}")).spawn(follower)?);
        tracing::info!(listener = %name, %address, "listening");
        Ok(handle)
    }
}
