//! The loop of an SHDR source, in a thread of its own: connects, reads, makes durable, and begins again when the
//! connection ends. While the store takes nothing, nothing is read.

use super::{config::host_and_port, read::ShdrCore, read::shdr_source, session::Session};
use crate::{
    duplicates::Duplicates,
    given::{Backoff, Chance, Clock, Env, draw, draw_key},
    history,
    mqtt::{Ended, Waker},
    run::{Shared, SourceHandle},
};
use andon_contract::contract::{Contract, ShdrSource};
use andon_model::{Mark, Name, Time};
use andon_store::{
    Store, StoreError,
    rows::{GapRow, SourceRow, Write},
};
use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

/// Bytes read at once.
const READ_BUFFER: usize = 64 << 10;
/// How long a read waits for bytes; so long a stop, a sign of life or durability may be late.
const READ_WAIT: Duration = Duration::from_millis(20);
/// What was read is made durable at the latest after this long, however much more comes.
const COALESCE: Duration = Duration::from_millis(100);
/// An adapter that does not take a connection for this long is not there.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// An adapter that does not take a sign of life for this long is gone.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How often a full disk is looked at again.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// Starts the loop of an SHDR source. Errors are those of the operating system (threads, files), and a name that is no
/// SHDR source of the contract.
pub fn start_shdr(
    contract: &Arc<Contract>,
    name: &Name,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    mut chance: Chance,
) -> io::Result<SourceHandle> {
    let no_source = || io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is no SHDR source of the project"));
    let core = ShdrCore::new(contract, name, Duplicates::new(draw_key(&mut chance))).ok_or_else(no_source)?;
    let (_, shdr) = shdr_source(contract, name).ok_or_else(no_source)?;
    let shared = Arc::new(Shared::new(Some(Waker::new()?), clock.now()));
    let source_loop = Loop {
        name: name.clone(),
        shdr: shdr.clone(),
        store,
        env,
        clock,
        chance,
        shared: Arc::clone(&shared),
        core,
        row: None,
        last_received: None,
        connected: false,
    };
    let thread = thread::Builder::new().name(format!("source {name}")).spawn(move || source_loop.run())?;
    Ok(SourceHandle { shared, thread: Some(thread) })
}

struct Loop {
    name: Name,
    shdr: ShdrSource,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
    shared: Arc<Shared>,
    core: ShdrCore,
    /// The condition of the source as it is stored.
    row: Option<SourceRow>,
    /// The newest receive time of the source in the log when the loop began.
    last_received: Option<Time>,
    /// The log says that we are connected.
    connected: bool,
}

impl Loop {
    fn run(mut self) {
        self.remember();
        let mut backoff = Backoff::default();
        while !self.shared.stopped() {
            let began = self.clock.monotonic();
            let reason = match self.conversation() {
                Ok(()) => "stopped".to_owned(),
                Err(ended) => ended.to_string(),
            };
            self.tell(false, &reason);
            self.disconnected(&reason);
            if self.shared.stopped() {
                break;
            }
            let pause = backoff.pause(self.clock.monotonic().saturating_sub(began), draw(&mut self.chance));
            self.shared.wait(pause);
        }
    }

    /// Reads from the log what is known of the source, until that succeeds.
    fn remember(&mut self) {
        loop {
            let key = draw_key(&mut self.chance);
            let read = history::read(&self.store, &self.name, key).and_then(|history| {
                let row = self.store.source_rows()?.into_iter().find(|row| row.source == self.name);
                Ok((history, row))
            });
            match read {
                Ok(((window, last_received), row)) => {
                    self.core.intake.set_window(window);
                    self.last_received = last_received;
                    self.row = row;
                    return;
                }
                Err(error) => self.tell(false, &error.to_string()),
            }
            if self.shared.stopped() {
                return;
            }
            self.shared.wait(RETRY_STORE);
        }
    }

    fn connect(&self) -> Result<TcpStream, Ended> {
        let address = self.shdr.adapter.resolve(&|name| (self.env)(name));
        let (host, port) = host_and_port(&address)
            .map_err(|reason| Ended::new(reason, "correct `adapter` of the source, or the variable it names"))?;
        let unreachable = |e: &dyn std::fmt::Display| {
            let remedy = "check the address, the network, and that the adapter runs";
            Ended::new(format!("shdr://{host}:{port} cannot be reached: {e}"), remedy)
        };
        let mut last = unreachable(&"the name has no address");
        for socket in (host.as_str(), port).to_socket_addrs().map_err(|e| unreachable(&e))? {
            match TcpStream::connect_timeout(&socket, CONNECT_MAX) {
                Ok(stream) => {
                    let set = stream
                        .set_nodelay(true)
                        .and_then(|()| stream.set_read_timeout(Some(READ_WAIT)))
                        .and_then(|()| stream.set_write_timeout(Some(WRITE_MAX)));
                    return set.map(|()| stream).map_err(|e| unreachable(&e));
                }
                Err(error) => last = unreachable(&error),
            }
            if self.shared.stopped() {
                break;
            }
        }
        Err(last)
    }

    /// One connection from its beginning to its end; `Ok`: the handle asked for it.
    fn conversation(&mut self) -> Result<(), Ended> {
        let mut stream = self.connect()?;
        let mut session = Session::new(self.shdr.heartbeat.std(), self.clock.monotonic());
        self.core.begin();
        self.connected();
        let mut buffer = vec![0; READ_BUFFER];
        let mut stored = self.clock.monotonic();
        let end = loop {
            if self.shared.stopped() {
                break Ok(());
            }
            let idle = match self.turn(&mut stream, &mut session, &mut buffer) {
                Ok(idle) => idle,
                Err(ended) => break Err(ended),
            };
            let now = self.clock.monotonic();
            let due = idle || self.core.intake.is_full() || now.saturating_sub(stored) >= COALESCE;
            if due && !self.core.intake.is_empty() {
                self.make_durable();
                stored = self.clock.monotonic();
            }
        };
        if let Some(rest) = session.end() {
            self.core.cut_off(&rest, self.clock.now());
        }
        // The adapter sees us close only when all that it said is durable.
        self.make_durable();
        end
    }

    /// Reads what is there and sends what is due; whether there was nothing.
    fn turn(&mut self, stream: &mut TcpStream, session: &mut Session, buffer: &mut [u8]) -> Result<bool, Ended> {
        let lost =
            |e: &io::Error| Ended::new(format!("the connection was lost: {e}"), "check the network and the adapter");
        let read = match stream.read(buffer) {
            Ok(0) => {
                return Err(Ended::new("the adapter closed the connection", "look whether the adapter still runs"));
            }
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => 0,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            Err(e) => return Err(lost(&e)),
        };
        let now = self.clock.monotonic();
        if read > 0 {
            let received = self.clock.now();
            let Self { core, store, shared, clock, name, .. } = self;
            // Without its number nothing can be stored of a signal; so nothing more is read until the store gives it.
            let mut numbers = |asset: &_, signal: &_| loop {
                match store.signal(asset, signal) {
                    Err(error) if !shared.stopped() => {
                        tell(name, shared, clock.now(), true, &error.to_string());
                        shared.wait(RETRY_STORE);
                    }
                    outcome => return outcome,
                }
            };
            let mut failed: Option<StoreError> = None;
            session.receive(buffer.get(..read).unwrap_or(&[]), now, &mut |heard| {
                if let Err(error) = core.heard(heard, received, &mut numbers) {
                    failed = Some(error);
                }
            });
            if let Some(error) = failed {
                return Err(Ended::new(error.to_string(), "the source was stopped while the store took nothing"));
            }
        }
        if let Some(bytes) = session.tick(now)? {
            stream.write_all(bytes).map_err(|e| lost(&e))?;
        }
        Ok(read == 0)
    }

    /// Makes durable what was read; returns only when it is, or the handle asks for the end.
    fn make_durable(&mut self) {
        let mut told = false;
        loop {
            match self.core.intake.store(&self.store) {
                Ok(counts) => {
                    let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
                    status.counts.add(&counts);
                    status.messages = self.core.lines;
                    drop(status);
                    if told {
                        self.tell(self.connected, "");
                    }
                    return;
                }
                Err(error) => {
                    told = true;
                    self.tell(self.connected, &error.to_string());
                }
            }
            if self.shared.stopped() {
                return;
            }
            self.shared.wait(RETRY_STORE);
        }
    }

    /// Records a new connection, and the gap since the last one: an adapter sends nothing twice.
    fn connected(&mut self) {
        let now = self.clock.now();
        if let Some(gap) = gap(&self.name, self.row.as_ref(), self.last_received, now) {
            self.core.intake.write(Write::Gap(gap));
        }
        self.record(true, now, String::new());
        self.core.intake.mark(Mark::Connected);
        self.connected = true;
        self.make_durable();
        self.tell(true, "");
    }

    fn disconnected(&mut self, reason: &str) {
        let since = self.row.as_ref().filter(|row| !row.connected).map_or(self.clock.now(), |row| row.since);
        if std::mem::take(&mut self.connected) {
            self.core.intake.mark(Mark::Disconnected(reason.to_owned()));
        }
        self.record(false, since, reason.to_owned());
        self.make_durable();
    }

    fn record(&mut self, connected: bool, since: Time, reason: String) {
        let source = self.name.clone();
        let row = SourceRow { source, connected, since, reason, code: None, in_doubt: false, filters: Vec::new() };
        if self.row.as_ref() != Some(&row) {
            self.core.intake.write(Write::Source(row.clone()));
            self.row = Some(row);
        }
    }

    fn tell(&self, connected: bool, reason: &str) {
        tell(&self.name, &self.shared, self.clock.now(), connected, reason);
    }
}

/// Says of a source in its handle and in the log of the program how it is.
fn tell(name: &Name, shared: &Shared, now: Time, connected: bool, reason: &str) {
    let mut status = shared.status.lock().unwrap_or_else(PoisonError::into_inner);
    if status.connected != connected || status.reason != reason {
        if connected && reason.is_empty() {
            tracing::info!(source = %name, "connected");
        } else {
            tracing::warn!(source = %name, %reason, connected, "not as it should be");
        }
    }
    if status.connected != connected {
        status.since = now;
    }
    status.connected = connected;
    reason.clone_into(&mut status.reason);
}

/// The interval in which the adapter may have said something that nobody heard.
fn gap(source: &Name, row: Option<&SourceRow>, last_received: Option<Time>, now: Time) -> Option<GapRow> {
    let row = row?;
    // After a crash the row still says connected: then the newest receipt tells how far we came.
    let from = if row.connected { last_received.map_or(row.since, |last| last.max(row.since)) } else { row.since };
    let reason = "an adapter sends nothing twice: what it said while the source was not connected is lost";
    Some(GapRow { source: source.clone(), from: from.min(now), to: now, reason: reason.into() })
}
