//! `andon backup` and `andon restore`: a copy of the data folder that was looked through, and back again.

use super::{exceptions::by, status::size};
use crate::{
    args,
    output::{self, NO, NO_INSTANCE, failure},
    target::Remote,
};
use andon_api::backups::{BackUp, Backup};
use andon_node::backup::{self, Progress};
use andon_store::backup::BackupError;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// How often a running instance is asked how far it has come.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(super) fn back_up(args: &args::Backup) -> anyhow::Result<ExitCode> {
    let bar = bar();
    let done = match running(&args.instance)? {
        Some(remote) => of_running(&remote, args, &bar),
        None => of_folder(args, &bar),
    };
    bar.finish_and_clear();
    let made = done?;
    if args.instance.json {
        output::line(serde_json::to_string(&made)?);
    } else {
        output::line(format!("{}: {} files, {}, checked", made.to, made.files, size(made.bytes)));
        output::line(format!("  instance {}, epoch {}, taken {}", made.instance, made.epoch, made.taken));
        output::line(format!("  events up to {}, the log up to {}", made.events, made.end));
    }
    Ok(ExitCode::SUCCESS)
}

/// The instance that is asked, where one runs.
fn running(place: &args::Where) -> anyhow::Result<Option<Remote>> {
    if let Some(api) = &place.api {
        return Remote::new(api).map(Some);
    }
    andon_node::announced(&folder(place)).map(|api| Remote::new(api.trim())).transpose()
}

fn folder(place: &args::Where) -> PathBuf {
    place.data.clone().unwrap_or_else(|| PathBuf::from(".andon"))
}

fn of_running(remote: &Remote, args: &args::Backup, bar: &ProgressBar) -> anyhow::Result<Backup> {
    let to = std::path::absolute(&args.to)?.display().to_string();
    let mut stand = remote.back_up(&BackUp { to, by: by(args.by.as_ref()) })?;
    while stand.state == "running" {
        std::thread::sleep(ASK_AGAIN);
        stand = remote.backup()?;
        shown(bar, &stand.step, stand.done, stand.total);
    }
    let problem = stand.problem.unwrap_or_else(|| "the instance knows of no backup: it was started anew".to_owned());
    stand.backup.ok_or_else(|| failure(NO, problem, stand.remedy.unwrap_or_default()))
}

fn of_folder(args: &args::Backup, bar: &ProgressBar) -> anyhow::Result<Backup> {
    let dir = folder(&args.instance);
    if !dir.join("format").is_file() {
        return Err(failure(
            NO_INSTANCE,
            format!("{} is no data folder", dir.display()),
            "name the folder that `andon run --data` was given, or a running instance with --api",
        ));
    }
    backup::back_up_stopped(&dir, &args.to, &|progress| tell(bar, progress)).map_err(refused)
}

pub(super) fn restore(args: &args::Restore) -> anyhow::Result<ExitCode> {
    let bar = bar();
    let actor = by(args.by.as_ref()).unwrap_or_else(|| "somebody".to_owned());
    let told = |progress| tell(&bar, progress);
    let done = backup::restore(&args.from, &args.data, args.replace, &actor, &told);
    bar.finish_and_clear();
    let done = done.map_err(refused)?;
    let (row, manifest) = (done.row, done.manifest);
    if args.json {
        output::line(json!({
            "data": args.data, "instance": manifest.instance, "epoch": row.epoch, "before": manifest.epoch,
            "taken": row.taken, "restored": row.at, "events": row.sequence, "end": row.end.to_string(),
            "files": manifest.files.len(), "bytes": manifest.bytes(), "replaced": done.replaced,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let files = manifest.files.len();
    output::line(format!("{}: {files} files, {}, checked", args.data.display(), size(manifest.bytes())));
    output::line(format!("  instance {}, epoch {} instead of {}", manifest.instance, row.epoch, manifest.epoch));
    output::line(format!("  what came after {} is not in it: each source has a gap up to {}", row.taken, row.at));
    if let Some(replaced) = &done.replaced {
        output::line(format!("  what was there lies in {}", replaced.display()));
    }
    output::hint("andon run starts on it; calls that may have been made since the backup are looked for first");
    Ok(ExitCode::SUCCESS)
}

fn refused(error: BackupError) -> anyhow::Error {
    let remedy = error.remedy();
    failure(NO, error, remedy)
}

fn bar() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{msg:9} {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

fn tell(bar: &ProgressBar, Progress { step, done, total }: Progress) {
    shown(bar, step, done, total);
}

fn shown(bar: &ProgressBar, step: &str, done: u64, total: u64) {
    if bar.message() != step {
        bar.set_message(step.to_owned());
        bar.reset_eta();
    }
    bar.set_length(total);
    bar.set_position(done);
}
