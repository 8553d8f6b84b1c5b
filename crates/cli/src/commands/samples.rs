//! `andon list samples | last | series`: what machines said, over the log and the historian as one.

use crate::{
    args::List,
    chart,
    output::{self, failure},
    target::Target,
};
use andon_api::{
    Problem,
    samples::{
        CountQuery, LAST_MAX, LastQuery, Moment, POINTS_DEFAULT, RangeQuery, SAMPLES_MAX, SampleCount, Series,
        SeriesQuery,
    },
};
use andon_model::Time;
use serde_json::json;
use std::process::ExitCode;

/// Samples shown to a person where nothing else is asked for.
const SHOWN: usize = 50;

/// What is listed here; `None`: it is a list of rows like others.
pub(super) fn run(args: &List) -> Option<anyhow::Result<ExitCode>> {
    let asked: fn(&List) -> anyhow::Result<ExitCode> = match args.kind.as_str() {
        "samples" if args.count => count,
        "samples" if args.asset.is_some() => range,
        "last" => last,
        "series" => series,
        _ => return None,
    };
    Some(asked(args))
}

/// Refuses what belongs to other lists: a question is never answered as if half of it had not been asked.
pub(super) fn misplaced(args: &List) -> anyhow::Result<()> {
    let kind = args.kind.as_str();
    let of_asset = ["samples", "last", "series"];
    let given = [
        ("--asset", args.asset.is_some(), &of_asset[..]),
        ("--signal", args.signal.is_some(), &["samples", "series"]),
        ("--site", args.site.is_some(), &["last"]),
        ("--from", args.from.is_some(), &["samples", "series"]),
        ("--to", args.to.is_some(), &["samples", "series"]),
        ("--points", args.points.is_some(), &["series"]),
        ("--count", args.count, &["samples"]),
    ];
    for (option, given, kinds) in given {
        if given && !kinds.contains(&kind) {
            let where_ = kinds.iter().map(|kind| format!("andon list {kind}")).collect::<Vec<_>>().join(", ");
            return Err(failure(
                2,
                format!("{option} says nothing for a list of {kind}"),
                format!("it belongs to: {where_}"),
            ));
        }
    }
    if kind == "samples" && args.asset.is_none() && !args.count {
        for (option, given) in
            [("--signal", args.signal.is_some()), ("--from", args.from.is_some()), ("--to", args.to.is_some())]
        {
            if given {
                return Err(failure(
                    2,
                    format!("{option} needs --asset"),
                    "name the asset whose samples are asked for",
                ));
            }
        }
    }
    let filtered = !args.filters.is_empty() || args.oldest;
    if filtered && (matches!(kind, "last" | "series") || args.asset.is_some() || args.count) {
        let help = "a range is in the order of time, from --from to --to";
        return Err(failure(2, "--where and --oldest are for lists of rows", help));
    }
    Ok(())
}

pub(super) fn moment(option: &str, text: Option<&String>, default: Moment) -> anyhow::Result<Moment> {
    let read = |problem: Problem| failure(2, problem.detail, problem.remedy.unwrap_or_default());
    text.map_or(Ok(default), |text| Moment::parse(option, text).map_err(read))
}

fn range(args: &List) -> anyhow::Result<ExitCode> {
    let json = args.instance.json;
    let wanted = args.limit.unwrap_or(if json { usize::MAX } else { SHOWN });
    let default = RangeQuery::default();
    let mut query = RangeQuery {
        asset: args.asset.clone().unwrap_or_default(),
        signal: args.signal.clone(),
        from: moment("--from", args.from.as_ref(), default.from)?,
        to: moment("--to", args.to.as_ref(), default.to)?,
        after: None,
        limit: SAMPLES_MAX.min(wanted).max(1),
    };
    let target = Target::find(&args.instance)?;
    let head = ["time", "signal", "value", "quality", "received", "position"];
    let shown = pages(
        (json, wanted, &head),
        |after| {
            if let Some(after) = after {
                query.after = Some(andon_api::samples::Cursor::parse(&after).map_err(|p| anyhow::anyhow!(p))?);
            }
            let page = target.range(&query)?;
            Ok((page.rows, page.next))
        },
        |row| vec![row.time, row.signal, told(&row.value), row.quality, row.received, row.position],
    )?;
    if shown == 0 && !json {
        nothing(&target, args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a range is empty, says where there is something.
fn nothing(target: &Target, args: &List) -> anyhow::Result<()> {
    let query = LastQuery { asset: args.asset.clone(), limit: LAST_MAX, ..LastQuery::default() };
    let rows = target.last(&query)?.rows;
    let of = |signal: &str| {
        args.signal.as_ref().is_none_or(|wanted| signal.split_once('/').is_some_and(|(_, s)| s == wanted))
    };
    let newest = rows.iter().filter(|row| of(&row.signal)).map(|row| row.time.as_str()).max();
    output::hint(match newest {
        Some(time) => format!("no sample in this range; the newest is of {time}: name --from and --to around it"),
        None => "no sample of it was ever stored; `andon list sources` says what arrives".to_owned(),
    });
    Ok(())
}

fn last(args: &List) -> anyhow::Result<ExitCode> {
    let json = args.instance.json;
    let wanted = args.limit.unwrap_or(if json { usize::MAX } else { SHOWN });
    let mut query = LastQuery {
        asset: args.asset.clone(),
        site: args.site.clone(),
        after: None,
        limit: LAST_MAX.min(wanted).max(1),
    };
    let target = Target::find(&args.instance)?;
    let head = ["signal", "value", "unit", "quality", "time", "site"];
    pages(
        (json, wanted, &head),
        |after| {
            query.after = after.or(query.after.take());
            let page = target.last(&query)?;
            Ok((page.rows, page.next))
        },
        |row| vec![row.signal, told(&row.value), row.unit.unwrap_or_default(), row.quality, row.time, row.site],
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Asks for page after page, behind what the one before named, until as many rows as wanted are shown: as JSON lines,
/// or as a table with its head. The rows shown.
fn pages<R: serde::Serialize>(
    (json, wanted, head): (bool, usize, &[&str]),
    mut ask: impl FnMut(Option<String>) -> anyhow::Result<(Vec<R>, Option<String>)>,
    cells_of: impl Fn(R) -> Vec<String>,
) -> anyhow::Result<usize> {
    let (mut cells, mut shown, mut after) = (Vec::new(), 0, None);
    let more = loop {
        let (rows, next) = ask(after)?;
        for row in rows.into_iter().take(wanted - shown) {
            shown += 1;
            if json {
                output::line(serde_json::to_string(&row)?);
            } else {
                cells.push(cells_of(row));
            }
        }
        match next {
            Some(next) if shown < wanted => after = Some(next),
            next => break next.is_some(),
        }
    };
    if !json {
        output::table(head, &cells);
        if more {
            output::hint(format!("{shown} shown; --limit N shows more, --json all"));
        }
    }
    Ok(shown)
}

/// A value as a cell of a table.
fn told(value: &serde_json::Value) -> String {
    super::list::cut(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn series(args: &List) -> anyhow::Result<ExitCode> {
    let (Some(asset), Some(signal)) = (args.asset.clone(), args.signal.clone()) else {
        return Err(failure(2, "a series is of one signal of one asset", "name --asset and --signal"));
    };
    let default = SeriesQuery::default();
    let query = SeriesQuery {
        asset,
        signal,
        from: moment("--from", args.from.as_ref(), default.from)?,
        to: moment("--to", args.to.as_ref(), default.to)?,
        points: args.points.unwrap_or(if args.instance.json { POINTS_DEFAULT } else { chart::WIDTH * 2 }),
    };
    let target = Target::find(&args.instance)?;
    let mut series = target.series(&query)?;
    if args.instance.json {
        for bucket in &series.buckets {
            output::line(serde_json::to_string(bucket)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if series.buckets.is_empty() {
        nothing(&target, args)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(narrow) = narrowed(&series, &query) {
        series = target.series(&narrow)?;
    }
    output::line(head(&series));
    output::line(chart::chart(&series, chart::WIDTH, chart::HEIGHT));
    Ok(ExitCode::SUCCESS)
}

/// The same question about the stretch in which there is something, where that is less than half of what was asked for.
fn narrowed(series: &Series, query: &SeriesQuery) -> Option<SeriesQuery> {
    let [from, to] = [Time::parse(&series.from).ok()?, Time::parse(&series.to).ok()?];
    let first = Time::parse(&series.buckets.first()?.from).ok()?;
    let last = Time::parse(&series.buckets.last()?.from).ok()?;
    let asked = to.since(from).nanos();
    // A bucket may be a minute wider than its share of the range: the last one ends there at the latest.
    let width = asked / i64::try_from(query.points).ok()? + 60_000_000_000;
    let end = Time(last.0.saturating_add(width)).min(to);
    let narrow = SeriesQuery { from: Moment::At(first.max(from)), to: Moment::At(end), ..query.clone() };
    (end.since(first).nanos() < asked / 2).then_some(narrow)
}

/// What stands above a chart: the signal, how many samples, their extremes and mean.
fn head(series: &Series) -> String {
    let count: u64 = series.buckets.iter().map(|b| b.count).sum();
    let low = series.buckets.iter().map(|b| b.min).fold(f64::INFINITY, f64::min);
    let high = series.buckets.iter().map(|b| b.max).fold(f64::NEG_INFINITY, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a mean is shown in five digits")]
    let mean = series.buckets.iter().map(|b| b.mean * b.count as f64).sum::<f64>() / count.max(1) as f64;
    let unit = series.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let [low, high, mean] = [low, high, mean].map(chart::number);
    format!("{}: {count} samples, {low} to {high}{unit}, mean {mean}", series.signal)
}

fn count(args: &List) -> anyhow::Result<ExitCode> {
    let target = Target::find(&args.instance)?;
    let query = CountQuery { asset: args.asset.clone(), signal: args.signal.clone(), by_signal: args.instance.json };
    let SampleCount { samples, cold, hot, signals } = target.count(&query)?;
    if args.instance.json {
        for (signal, samples) in signals {
            output::line(json!({ "signal": signal, "samples": samples }));
        }
        return Ok(ExitCode::SUCCESS);
    }
    output::line(samples);
    if let (Some(cold), Some(hot)) = (cold, hot) {
        output::hint(format!(
            "{cold} in files of the historian, {hot} in the log only; `andon historian seal` writes those too"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
