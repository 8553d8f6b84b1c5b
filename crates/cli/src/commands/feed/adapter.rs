//! `andon feed` of a recording of an MTConnect adapter: listens as the adapter would and plays it to the source.

use super::{Counted, refused};
use crate::{
    args::{Feed, Order},
    output,
};
use andon_contract::{Contract, contract::SourceKind};
use andon_edge::{
    feed::{
        FeedError, Speed,
        shdr::{Played, Recording, play, recording},
    },
    shdr::config::host_and_port,
};
use andon_model::{Name, time::Zone};
use andon_node::{clock::Real, given::env};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64},
};

/// Whether a file is what an adapter said.
pub(super) fn is_recording(file: &Path) -> bool {
    let is = |path: &Path, wanted: &str| path.extension().is_some_and(|of| of.eq_ignore_ascii_case(wanted));
    is(file, "shdr") || is(file, "txt") && file.file_stem().is_some_and(|stem| is(Path::new(stem), "shdr"))
}

pub(super) fn run(args: &Feed, contract: &Contract, source: Option<&Name>, speed: Speed) -> anyhow::Result<ExitCode> {
    let (address, zone) = adapter(args, contract, source).map_err(refused)?;
    let recording = read(args, &zone).map_err(refused)?;
    let listener = TcpListener::bind((address.0.as_str(), address.1)).map_err(|error| {
        refused(wrong(
            &format!("{}:{}", address.0, address.1),
            &format!("cannot be listened on: {error}"),
            "name an address of this machine with --listen, and let the source's adapter be that",
        ))
    })?;
    let at = listener.local_addr()?;
    let bar = bar(recording.bytes());
    let sessions = recording.sessions.len();
    let told = |played: &Played| {
        let time = played.time.map(|t| format!("  at {t}")).unwrap_or_default();
        if played.connected {
            format!("session {} of {sessions}, {} lines{time}", played.sessions + 1, played.lines)
        } else {
            format!("session {} of {sessions}, waiting at shdr://{at} for the source", played.sessions + 1)
        }
    };
    let mut progress = |played: Played| {
        bar.set_position(played.bytes);
        bar.set_message(told(&played));
    };
    let played = play(&recording, &listener, speed, &Real, &mut progress, &|| false);
    bar.finish_and_clear();
    let played = played.map_err(refused)?;
    if args.instance.json {
        output::line(serde_json::json!({ "sessions": played.sessions, "lines": played.lines, "bytes": played.bytes }));
    } else {
        let word = if played.sessions == 1 { "session" } else { "sessions" };
        output::line(format!("{} lines of {} {word} sent and read", played.lines, played.sessions));
    }
    Ok(ExitCode::SUCCESS)
}

fn wrong(place: &str, cause: &str, remedy: &str) -> FeedError {
    FeedError { place: place.to_owned(), cause: cause.to_owned(), remedy: remedy.to_owned() }
}

/// Where the source is waited for, and the zone of its times.
fn adapter(args: &Feed, contract: &Contract, source: Option<&Name>) -> Result<((String, u16), Zone), FeedError> {
    let mut found = contract.sources.iter().filter_map(|(name, of)| match &of.kind {
        SourceKind::Shdr(shdr) if source.is_none_or(|wanted| wanted == name) => Some((of, shdr)),
        _ => None,
    });
    let (of, shdr) = match (found.next(), found.next()) {
        (Some(one), None) => one,
        (None, _) => return Err(wrong("source", "the project has no such SHDR source", "look into `sources/`")),
        (Some(_), Some(_)) => {
            return Err(wrong("source", "the project has several: which SHDR source?", "say --source"));
        }
    };
    let env = env();
    let address = args.listen.as_ref().map_or_else(
        || shdr.adapter.resolve(&|name| env(name)),
        |listen| format!("shdr://{}", listen.trim_start_matches("shdr://")),
    );
    let address = host_and_port(&address).map_err(|cause| wrong("adapter", &cause, "correct it, or say --listen"))?;
    Ok((address, of.zone.clone()))
}

/// All files as one recording.
fn read(args: &Feed, zone: &Zone) -> Result<Recording, FeedError> {
    let mut all = Recording { sessions: Vec::new() };
    for file in &args.files {
        let name = file.display().to_string();
        if !is_recording(file) {
            let remedy = "feed recordings of adapters by themselves; they are called .shdr or .shdr.txt";
            return Err(wrong(&name, "is no recording of an adapter as the others are", remedy));
        }
        let opened = File::open(file)
            .map_err(|error| wrong(&name, &format!("cannot be opened: {error}"), "name a file of recorded data"))?;
        let read = recording(&name, Counted(opened, Arc::new(AtomicU64::new(0))), zone)?;
        all.sessions.extend(read.sessions);
    }
    if args.order == Order::Time {
        all.sessions.sort_by_key(|session| session.start);
    }
    Ok(all)
}

fn bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} left").expect("a template");
    ProgressBar::new(bytes).with_style(style)
}
