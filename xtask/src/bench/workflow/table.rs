//! The figures beside their targets, beside rivals and beside the limits of the machine.

use std::fmt::Write as _;

use super::super::figure::{Figure, Kind};
use super::{Figures, Report};

/// Runs a second at 64 in flight that must be reached, and the aim.
const RATE_MIN: f64 = 1_500.0;
const RATE_AIM: f64 = 4_400.0;
/// The longest run at 1 in flight, half of all, in milliseconds.
const P50_MS_MAX: f64 = 5.0;
/// The most memory with 100,000 waiting runs, in MiB.
const WAITING_RSS_MIB_MAX: f64 = 150.0;
/// The longest time from the start after a kill until a system gets a call, in seconds.
const PROGRESS_S_MAX: f64 = 1.0;
/// The longest time of a mapping of the examples, in microseconds.
const EXPRESSION_US_MAX: f64 = 10.0;

/// What rivals reached with the same stub, the same `wrk` and two such cores, measured earlier (`field/peers.md`,
/// section 5b) and not in this run: name, runs in flight, runs a second, p50 and p99 in milliseconds, CPU in
/// milliseconds a run.
const RIVALS: [(&str, &str, &str, &str, &str, &str); 6] = [
    ("Restate 1.7.12, Node SDK", "1", "44-68", "13-23", "31-43", "15-21"),
    ("Restate 1.7.12, Node SDK", "16", "173-213", "74-90", "120-154", "8-10"),
    ("Restate 1.7.12, Node SDK", "64", "268-353", "177-230", "266-355", "5.3-6.5"),
    ("Restate 1.7.12, Node SDK", "128", "336-439", "284-368", "394-531", "4.2-5.3"),
    ("DBOS TypeScript 5.3.0, PostgreSQL", "64", "141-152", "416", "503", "11"),
    ("DBOS Python 3.4.0, SQLite", "16", "28-29", "365", "3100", "27-34"),
];

/// The table.
pub(super) fn of(report: &Report) -> String {
    let mut text = format!(
        "Runs of four journaled HTTP tasks, closed loop, fsync on; medians of {} runs of {} s, {} cores, load before \
         {:.1}\n",
        report.runs, report.secs, report.cores, report.load_before
    );
    let head = ["in flight", "runs/s", "p50 ms", "p99 ms", "CPU ms/run", "RSS MiB", "errors", "repeated"];
    row(&mut text, "", &head.map(str::to_owned));
    for figures in &report.load {
        row(&mut text, "andon", &cells(figures));
    }
    for (name, flight, rate, p50, p99, cpu) in RIVALS {
        row(&mut text, name, &[flight, rate, p50, p99, cpu, "", "", ""].map(str::to_owned));
    }
    text.push_str("  (rivals: measured earlier on such a machine, not in this run)\n\n");
    let at = |flight: u32| report.load.iter().find(|figures| figures.concurrency == flight);
    if let Some(figures) = at(64) {
        target(
            &mut text,
            "runs/s at 64 in flight",
            figures.runs_per_s,
            &format!(">= {RATE_MIN}"),
            figures.runs_per_s >= RATE_MIN,
        );
        target(
            &mut text,
            "the same, aim",
            figures.runs_per_s,
            &format!(">= {RATE_AIM}"),
            figures.runs_per_s >= RATE_AIM,
        );
    }
    if let Some(figures) = at(1) {
        target(
            &mut text,
            "p50 at 1 in flight, ms",
            figures.p50_ms,
            &format!("< {P50_MS_MAX}"),
            figures.p50_ms < P50_MS_MAX,
        );
    }
    rest(&mut text, report);
    let limits = &report.limits;
    let _ = write!(
        text,
        "\n  This machine alone: {:.0} commits/s of one row and {:.0} rows/s in commits of 100 (SQLite, WAL, FULL); \
         the stub answers {:.0} requests/s",
        limits.commits_per_s, limits.rows_per_s, limits.requests_per_s
    );
    text
}

/// The figures beside those of the other measurements.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let of = |name: &str, value: f64, most: f64| Figure::less("workflow", name, value).held_to(most);
    let mut found = Vec::new();
    for figures in &report.load {
        let (rate, p50) = (figures.runs_per_s, figures.p50_ms);
        let name = format!("runs/s of four journaled calls, {} in flight", figures.concurrency);
        let mut figure = Figure::more("workflow", &name, rate);
        for (rival, flight, reached, ..) in RIVALS {
            // Of a range the better end.
            if flight == figures.concurrency.to_string()
                && let Some(reached) = reached.rsplit('-').next().and_then(|text| text.parse().ok())
            {
                figure = figure.beside(Kind::Earlier, rival, reached);
            }
        }
        match figures.concurrency {
            1 => found.extend([figure, of("a run of them alone, p50 ms", p50, P50_MS_MAX)]),
            64 => found.push(figure.held_to(RATE_MIN)),
            _ => found.push(figure),
        }
    }
    if let Some(waiting) = &report.waiting {
        found.push(of(&format!("RSS with {} waiting runs, MiB", waiting.runs), waiting.rss_mib, WAITING_RSS_MIB_MAX));
    }
    if let Some(crash) = &report.crash {
        found.push(of("first progress after kill -9, s", crash.progress_s, PROGRESS_S_MAX));
    }
    if let Some((slowest, _)) = report.expression_us {
        found.push(of("slowest mapping of the examples, us", slowest, EXPRESSION_US_MAX));
    }
    found
}

fn rest(text: &mut String, report: &Report) {
    if let Some(waiting) = &report.waiting {
        let name = format!("RSS with {} waiting runs, MiB", waiting.runs);
        target(
            text,
            &name,
            waiting.rss_mib,
            &format!("< {WAITING_RSS_MIB_MAX}"),
            waiting.rss_mib < WAITING_RSS_MIB_MAX,
        );
        let _ = writeln!(
            text,
            "  ({:.0} MiB before them; {:.0} starts/s; ready {:.2} s after a kill with them)",
            waiting.idle_rss_mib, waiting.starts_per_s, waiting.ready_again_s
        );
    }
    if let Some(crash) = &report.crash {
        let name = "kill -9: first progress after the start, s";
        target(text, name, crash.progress_s, &format!("< {PROGRESS_S_MAX}"), crash.progress_s < PROGRESS_S_MAX);
        target(text, "kill -9: runs lost", as_f64(crash.lost), "0", crash.lost == 0);
        target(text, "kill -9: effects repeated", as_f64(crash.effects_repeated), "0", crash.effects_repeated == 0);
        let _ = writeln!(
            text,
            "  ({} runs had ended; {} calls were sent again under their key; ready after {:.2} s)",
            crash.ended_before, crash.resent, crash.ready_s
        );
    }
    if let Some((slowest, middle)) = report.expression_us {
        let met = slowest < EXPRESSION_US_MAX;
        target(text, "slowest mapping of the examples, us", slowest, &format!("< {EXPRESSION_US_MAX}"), met);
        let _ = writeln!(text, "  (the middle one: {middle:.2} us)");
    }
}

fn cells(figures: &Figures) -> [String; 8] {
    [
        figures.concurrency.to_string(),
        format!("{:.0}", figures.runs_per_s),
        format!("{:.2}", figures.p50_ms),
        format!("{:.2}", figures.p99_ms),
        format!("{:.2}", figures.cpu_ms),
        format!("{:.0}", figures.rss_mib),
        figures.errors.to_string(),
        figures.repeated.to_string(),
    ]
}

fn row(text: &mut String, name: &str, cells: &[String; 8]) {
    let mut line = format!("  {name:<36}");
    for cell in cells {
        let _ = write!(line, "{cell:>11}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

fn target(text: &mut String, name: &str, value: f64, wanted: &str, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    let _ = writeln!(text, "  {name:<48}{value:>12.2}  {wanted:<10}{verdict}");
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Waiting};
    use super::*;

    #[test]
    fn every_target_has_its_verdict() {
        let figures = |concurrency, runs_per_s| Figures { concurrency, runs_per_s, p50_ms: 2.0, ..Figures::default() };
        let report = Report {
            runs: 5,
            secs: 8,
            cores: 2,
            load_before: 0.1,
            load: vec![figures(1, 400.0), figures(64, 2_000.0)],
            waiting: Some(Waiting {
                runs: 100_000,
                rss_mib: 151.0,
                idle_rss_mib: 40.0,
                starts_per_s: 3_000.0,
                ready_again_s: 0.9,
            }),
            crash: None,
            expression_us: Some((8.0, 2.0)),
            limits: Limits::default(),
        };
        let table = of(&report);
        let verdict = |name: &str| table.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(verdict("runs/s at 64").ends_with("met"), "{table}");
        assert!(verdict("the same, aim").ends_with("MISSED"), "{table}");
        assert!(verdict("p50 at 1").ends_with("met"), "{table}");
        assert!(verdict("RSS with 100000").ends_with("MISSED"), "{table}");
        assert!(verdict("slowest mapping").ends_with("met"), "{table}");
        assert!(table.contains("measured earlier"), "{table}");
    }
}
