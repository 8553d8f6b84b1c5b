//! `andon office`: one simulated system of the examples with its own file, or all of them.

use crate::{
    args::Office,
    output::{self, failure},
};
use andon_demo::{Desk, OfficeKind, offices, serve};
use andon_model::Time;
use std::process::ExitCode;

pub(super) fn run(args: &Office) -> anyhow::Result<ExitCode> {
    if args.name.as_deref() == Some("list") {
        for office in offices() {
            output::line(format!("{}  {}", office.name(), office.about()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Without a story, orders begin at full hours of the clock.
    let start = if args.story { andon_node::clock::now() } else { Time(0) };
    let (desk, who, files) = match &args.name {
        None => (Desk::all(&args.dir, start)?, "each office, under its name,", args.dir.display()),
        Some(name) => {
            let Some(office) = OfficeKind::named(name) else {
                return Err(failure(2, format!("there is no office {name:?}"), "`andon office list` names them"));
            };
            (Desk::one(office, &args.file, start)?, office.name(), args.file.display())
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = andon_node::StopSignal::listen()?;
        let listener = tokio::net::TcpListener::bind(&args.listen).await.map_err(|e| {
            failure(1, format!("cannot listen at {}: {e}", args.listen), "name a free address with --listen")
        })?;
        let what = if args.all { "folder" } else { "file" };
        output::hint(format!("{who} listens at http://{}, its {what} is {files}", listener.local_addr()?));
        tokio::select! {
            served = serve(listener, desk.clone(), andon_node::clock::now) => served?,
            passed = passing(desk) => passed?,
            () = stop.wait() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Lets the offices do by themselves what is due, until writing fails.
async fn passing(desk: Desk) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        every.tick().await;
        let desk = desk.clone();
        tokio::task::spawn_blocking(move || desk.pass(andon_node::clock::now())).await??;
    }
}
