//! `andon feed`: publishes recorded data as the plant would.

mod adapter;

use crate::{
    args::{Feed, Where},
    commands::check::problems,
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{Kind, Query};
use andon_contract::load;
use andon_edge::feed::{self, Caller, FeedError, Format, Progress, Row, Speed, Wanted, destination};
use andon_node::{
    clock::Real,
    given::{chance, env},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub(super) fn run(args: &Feed) -> anyhow::Result<ExitCode> {
    let speed = speed(&args.speed)?;
    let loaded = match load(&args.project) {
        Ok(loaded) => loaded,
        Err(found) => {
            problems(&found, false);
            return Err(failure(NO, "the project is refused", "mend the problems above"));
        }
    };
    let wanted = Wanted {
        source: args.source.as_deref().map(andon_model::Name::new).transpose()?,
        topic: args.topic.clone(),
        asset: None,
    };
    if args.files.iter().any(|file| adapter::is_recording(file)) {
        return adapter::run(args, &loaded.contract, wanted.source.as_ref(), speed);
    }
    let to = destination(&loaded.contract, &wanted).map_err(refused)?;
    let mut publisher = feed::publisher(&to, &env(), Arc::new(Real), Box::new(chance)).map_err(refused)?;
    let read = Arc::new(AtomicU64::new(0));
    let bar = bar(&args.files);
    let mut instance = Instance::new(place(args), to.source.to_string());
    let rows = args.files.iter().flat_map(|file| rows_of(file, &read));
    let mut last = Progress::default();
    let fed = feed::feed(
        rows,
        &to,
        speed,
        &mut publisher,
        &Real,
        Caller {
            received: &mut || instance.received(),
            progress: &mut |progress| {
                last = progress;
                bar.set_position(read.load(Ordering::Relaxed));
                bar.set_message(told(&progress));
            },
            stop: &|| false,
        },
    );
    bar.finish_and_clear();
    let progress = fed.map_err(refused)?;
    let publisher_refused = progress.published.saturating_sub(progress.acknowledged);
    if args.instance.json {
        let line = serde_json::json!({ "published": progress.published, "acknowledged": progress.acknowledged });
        output::line(line);
    } else {
        output::line(format!("{} rows published", progress.published));
    }
    Ok(if publisher_refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// Which instance is looked at: the one that was named, else the one of the project's own data folder, else the
/// default address.
fn place(args: &Feed) -> Where {
    let mut place = args.instance.clone();
    let own = args.project.join(".andon");
    if place.data.is_none() && place.api.is_none() && own.is_dir() {
        place.data = Some(own);
    }
    place
}

fn refused(error: FeedError) -> anyhow::Error {
    let place = if error.place.is_empty() { String::new() } else { format!("{}: ", error.place) };
    failure(NO, format!("{place}{}", error.cause), error.remedy)
}

fn speed(text: &str) -> anyhow::Result<Speed> {
    let times = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite() && *x > 0.0);
    match text {
        "max" => Ok(Speed::Max),
        "real" => Ok(Speed::Real),
        _ => times(text.strip_prefix('x').unwrap_or(text)).map(Speed::Times).ok_or_else(|| {
            failure(2, format!("--speed {text} is not understood"), "max, real, or x10 for ten times as fast")
        }),
    }
}

/// Counts the bytes that pass, for the bar.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn rows_of<'a>(file: &'a Path, read: &Arc<AtomicU64>) -> Box<dyn Iterator<Item = Result<Row, FeedError>> + 'a> {
    let name = file.display().to_string();
    let opened = Format::of_name(&name).and_then(|format| {
        let opened = File::open(file).map_err(|error| FeedError {
            place: name.clone(),
            cause: format!("cannot be opened: {error}"),
            remedy: "name a file of recorded data".to_owned(),
        })?;
        Ok((format, opened))
    });
    match opened {
        Ok((format, opened)) => feed::rows(&name, format, Counted(opened, read.clone())),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

fn bar(files: &[PathBuf]) -> ProgressBar {
    let bytes = files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} left").expect("a template");
    ProgressBar::new(bytes).with_style(style)
}

fn told(progress: &Progress) -> String {
    let time = progress.time.map(|t| format!("  at {t}")).unwrap_or_default();
    if progress.instance_away {
        return format!("{} published, waiting for the instance{time}", progress.published);
    }
    format!("{} published, {} received{time}", progress.published, progress.received)
}

/// The instance that is fed, found again after it was away.
struct Instance {
    place: Where,
    source: String,
    target: Option<Target>,
}

impl Instance {
    fn new(place: Where, source: String) -> Self {
        Self { place, source, target: None }
    }

    /// What it has received from the source; `None` while it is away or its source is not connected.
    fn received(&mut self) -> Option<u64> {
        if self.target.is_none() {
            self.target = Target::find(&self.place).ok().filter(Target::is_running);
        }
        let query = Query {
            filters: vec![("source".to_owned(), self.source.clone())],
            after: None,
            limit: 1,
            ascending: false,
        };
        let answer = self.target.as_ref()?.list(Kind::Sources, &query);
        let Ok(page) = answer else {
            self.target = None;
            return None;
        };
        let row = page.rows.first()?;
        row.get("connected")?.as_bool()?.then(|| row.get("received")?.as_u64())?
    }
}
