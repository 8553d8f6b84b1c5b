//! `andon office`: one simulated system of the example, with its own file.

use crate::{
    args::Office,
    output::{self, failure},
};
use andon_demo::{Desk, OfficeKind, offices, serve};
use andon_model::Time;
use std::process::ExitCode;

pub(super) fn run(args: &Office) -> anyhow::Result<ExitCode> {
    if args.name == "list" {
        for office in offices() {
            output::line(format!("{}  {}", office.name(), office.about()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(office) = OfficeKind::named(&args.name) else {
        return Err(failure(2, format!("there is no office {:?}", args.name), "`andon office list` names them"));
    };
    let desk = Desk::one(office, &args.file, Time(0))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = andon_node::StopSignal::listen()?;
        let listener = tokio::net::TcpListener::bind(&args.listen).await.map_err(|e| {
            failure(1, format!("cannot listen at {}: {e}", args.listen), "name a free address with --listen")
        })?;
        output::hint(format!(
            "{} listens at http://{}, its file is {}",
            office.name(),
            listener.local_addr()?,
            args.file.display()
        ));
        tokio::select! {
            served = serve(listener, desk, andon_node::clock::now) => served?,
            () = stop.wait() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
