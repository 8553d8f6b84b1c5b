//! `andon world`: the machines and the offices of the demo, in a process of their own that outlives Andon.

mod broker;
mod gateway;

use crate::{args, commands::run::log_to_stderr, output::failure};
use andon_demo::{
    line::PLANS,
    offices::HOOK_SECRET,
    serve,
    world::{self, Found, Telling, World, control},
};
use andon_model::span::Span;
use andon_node::{StopSignal, clock, given::chance};
use broker::Broker;
use std::{
    fmt::Write as _,
    future::Future,
    io::Read,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::net::TcpListener;

/// Where the offices are.
const OFFICES: u16 = 8740;
/// Between two steps of machines and offices.
const STEP_EVERY: Duration = Duration::from_millis(50);
/// So many steps lie between two looks at what is to be written.
const WRITE_EVERY: u32 = 10;
/// Between two looks at what the lab has to post.
const POST_EVERY: Duration = Duration::from_millis(250);
/// A world to which nobody has spoken for so long ends: whoever started it is gone for good.
const ALONE_MAX: Span = Span::from_secs(900);

pub(super) fn run(args: &args::World) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let former = world::found(&args.dir).unwrap_or_default();
    let telling = Telling { length: Span::from_secs(i64::from(args.length)), speed: args.speed };
    let world = World::open(&args.dir, telling, nonce(), clock::now());
    let world = Arc::new(world.map_err(|error| failure(1, error, "end the other one, or name another folder"))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = Arc::new(AtomicBool::new(false));
    let result = runtime.block_on(live(args, &world, former.as_ref(), &ended));
    // It ends because somebody wants that: nobody need look for it.
    ended.store(true, Ordering::SeqCst);
    world.leave();
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.map(|()| ExitCode::SUCCESS)
}

/// What only this world knows.
fn nonce() -> String {
    let mut bytes = [0; 16];
    chance(&mut bytes);
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn live(
    args: &args::World,
    world: &world::Shared,
    former: Option<&Found>,
    ended: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let stop = StopSignal::listen()?;
    let of_former = former.and_then(|found| port_of(&found.offices));
    let offices = bind([of_former, args.usual.then_some(OFFICES)]).await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let broker = if args.no_broker { None } else { Broker::open(&args.dir.join("broker"), former, args.usual) };
    let found = Found {
        pid: std::process::id(),
        nonce: world.nonce().to_owned(),
        control: control.local_addr()?.to_string(),
        offices: format!("http://{}", offices.local_addr()?),
        broker: broker.as_ref().map(|broker| broker.known.clone()),
    };
    let of_world = world.clone();
    tokio::spawn(told("the offices", serve(offices, world.desk().clone(), move || of_world.now(clock::now()))));
    tokio::spawn(told("the control", control::serve(control, world.clone(), clock::now)));
    tokio::spawn(post(world.clone()));
    let threads = threads(args, world, found.broker.as_ref(), ended)?;
    world.announce(&found)?;
    tracing::info!(offices = found.offices, control = found.control, "the world goes on");
    tokio::select! {
        () = stop.wait() => {}
        () = over(world, ended) => {}
    }
    ended.store(true, Ordering::SeqCst);
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

/// Waits until somebody wants the world to end, or nobody is there any more.
async fn over(world: &World, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) && !world.is_to_stop() && world.alone(clock::now()) < ALONE_MAX {
        tokio::time::sleep(STEP_EVERY).await;
    }
}

/// Machines and offices step, and the gateways carry, each in a thread of its own.
fn threads(
    args: &args::World,
    world: &world::Shared,
    broker: Option<&world::Broker>,
    ended: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<thread::JoinHandle<()>>> {
    if args.attached {
        let ended = ended.clone();
        // Nobody writes to it: it ends with whoever holds its other side. No one waits for this thread.
        thread::Builder::new().name("attached".into()).spawn(move || {
            let mut nothing = [0; 64];
            while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
            ended.store(true, Ordering::SeqCst);
        })?;
    }
    let (stepping, over) = (world.clone(), ended.clone());
    let mut threads = vec![thread::Builder::new().name("steps".into()).spawn(move || {
        let mut steps = 0_u32;
        while !over.load(Ordering::SeqCst) {
            steps = steps.wrapping_add(1);
            let written = if steps.is_multiple_of(WRITE_EVERY) { stepping.write() } else { Ok(()) };
            if let Err(error) = stepping.step(clock::now()).and(written) {
                tracing::error!(%error, "the world ends");
                over.store(true, Ordering::SeqCst);
            }
            thread::sleep(STEP_EVERY);
        }
        if let Err(error) = stepping.write() {
            tracing::warn!(%error, "what was heard is not written; it will be said again");
        }
    })?];
    for plan in PLANS {
        let (world, ended) = (world.clone(), ended.clone());
        // The first site has no broker of its own.
        let own = broker.filter(|_| plan != PLANS[0]).map(|broker| broker.address.clone());
        threads.push(thread::Builder::new().name(format!("gateway-{}", plan.site)).spawn(move || {
            let address = || {
                // Nobody speaks before Andon is there: a broker that nobody has asked to listen keeps nothing.
                let andon = world.andon()?;
                Some(own.clone().unwrap_or_else(|| format!("mqtt://{}", andon.listener)))
            };
            gateway::carry(&world, plan.site, &address, &|| ended.load(Ordering::SeqCst));
        })?);
    }
    Ok(threads)
}

/// Posts what the lab has to post, again and again until Andon takes it.
async fn post(world: world::Shared) {
    let client = andon_node::http_client();
    loop {
        for post in world.posts(clock::now()) {
            let Some(andon) = world.andon() else { break };
            let mut request = client.post(format!("http://{}{}", andon.api, post.path)).body(post.body.clone());
            for (name, value) in post.headers(HOOK_SECRET, clock::now()) {
                request = request.header(name, value);
            }
            match request.send().await {
                Ok(answer) if answer.status().is_success() => world.desk().posted(&post.id),
                Ok(answer) => {
                    tracing::warn!(status = %answer.status(), id = post.id, "a post was not taken");
                    break;
                }
                // Andon is away.
                Err(_) => break,
            }
        }
        tokio::time::sleep(POST_EVERY).await;
    }
}

/// The port at the end of an address.
fn port_of(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok()
}

/// Listens at the first of these ports that is free, or anywhere.
async fn bind(ports: [Option<u16>; 2]) -> anyhow::Result<TcpListener> {
    for port in ports.into_iter().flatten() {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await {
            return Ok(listener);
        }
    }
    Ok(TcpListener::bind("127.0.0.1:0").await?)
}

/// Says of a server that it ended; nobody waits for it.
async fn told<E: std::fmt::Display>(what: &'static str, server: impl Future<Output = Result<(), E>>) {
    if let Err(error) = server.await {
        tracing::error!(%error, "{what} ended");
    }
}
