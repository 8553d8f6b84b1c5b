//! The loop of an MQTT source: connects, reads, makes durable, acknowledges, and begins again when the connection or
//! the disk fails. It is a sequence of steps ([`Loop`]); here is the thread that drives it over a socket.

mod flight;
mod handle;
mod session;
mod steps;

pub use flight::COALESCE;
pub use handle::{SourceHandle, SourceStatus};
pub use steps::{Loop, Next};

pub(crate) use handle::Shared;

use crate::{
    given::{Chance, Clock, Env},
    mqtt::{Link, Waker, transport::PACE},
};
use andon_contract::contract::Contract;
use andon_model::Name;
use andon_store::Store;
use std::{io, sync::Arc, thread, time::Duration};

/// Starts the loop of an MQTT source. Errors are those of the operating system (threads, files), and a name
/// that is no MQTT source of the contract.
pub fn start_mqtt(
    contract: &Arc<Contract>,
    name: &Name,
    store: Store,
    env: Env,
    clock: Arc<dyn Clock>,
    chance: Chance,
) -> io::Result<SourceHandle> {
    let no_source = || io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is no MQTT source of the project"));
    let waker = Waker::new()?;
    let shared = Arc::new(Shared::new(Some(waker.clone()), clock.now()));
    let source_loop = Loop::sharing(contract, name, store, env, chance, Arc::clone(&shared)).ok_or_else(no_source)?;
    let with = Arc::clone(&shared);
    let thread = thread::Builder::new()
        .name(format!("source {name}"))
        .spawn(move || drive(source_loop, &*clock, &with, &waker))?;
    Ok(SourceHandle { shared, thread: Some(thread) })
}

/// Steps the loop and waits as it says, until it is over.
fn drive(mut source_loop: Loop<Link>, clock: &dyn Clock, shared: &Shared, waker: &Waker) {
    let left = |until: Duration| until.saturating_sub(clock.monotonic());
    loop {
        match source_loop.step(clock.now(), clock.monotonic()) {
            Next::Again => {}
            Next::Connect(address, tls) => {
                let link = Link::connect(&address, tls.as_ref(), waker, &|| shared.stopped());
                source_loop.connected(link);
            }
            Next::Pace => thread::sleep(PACE),
            Next::Wire { to_write, until } => {
                if let Some(link) = source_loop.wire() {
                    shared.block(|| {
                        link.wait(waker, to_write, until.map(left));
                    });
                }
            }
            Next::Durable(until) => shared.block(|| waker.wait(Some(left(until)))),
            Next::Pause(until) => waker.wait(Some(left(until))),
            Next::Over => return,
        }
    }
}
