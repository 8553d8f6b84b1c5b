//! The figures of the bench beside their targets, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::figure::{Figure, Kind};

/// The longest time from a signal to its event, for 99 of 100, in milliseconds.
pub(super) const P99_MS_MAX: f64 = 500.0;

/// The most CPU time for a message, in microseconds.
const CPU_US_MAX: f64 = 8.0;

/// The most memory under load, in MiB.
const RSS_MIB_MAX: f64 = 100.0;

/// The most memory when idle, in MiB.
const IDLE_RSS_MIB_MAX: f64 = 60.0;

/// The longest time from the start of the process until it is ready, in seconds.
const READY_S_MAX: f64 = 1.0;

/// The part of the broker's highest rate that is measured.
pub(super) const SHARE: f64 = 0.9;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// How the runs were made: number, length, cores, load of the machine before.
    pub(super) setting: Setting,
    /// A freshly started instance.
    pub(super) fresh: Fresh,
    /// One entry per quality of service.
    pub(super) signals: Vec<Signals>,
    /// Calls that make data durable, counted in a run of their own.
    pub(super) durable: Durable,
}

/// How the runs were made.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) runs: usize,
    pub(super) seconds: u32,
    pub(super) cores: usize,
    pub(super) load_before: f64,
}

/// A freshly started instance; medians.
#[derive(Debug, Serialize)]
pub(super) struct Fresh {
    pub(super) ready_s: f64,
    pub(super) idle_rss_mib: f64,
}

/// What was measured at one quality of service.
#[derive(Debug, Serialize)]
pub(super) struct Signals {
    pub(super) qos: u8,
    /// The broker's own highest rate, messages a second.
    pub(super) broker_max: u32,
    /// The rate that was offered.
    pub(super) offered: u32,
    /// The broker alone.
    pub(super) raw: Figures,
    /// Andon.
    pub(super) andon: Figures,
}

/// Medians of the runs; lost and disordered messages are sums.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) rate: f64,
    pub(super) expected: u64,
    pub(super) lost: i64,
    pub(super) bad_order: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Of the subject; 0 for the broker.
    pub(super) cpu_us: f64,
    /// Of the subject; 0 for the broker.
    pub(super) peak_rss_mib: f64,
}

/// Calls that make data durable.
#[derive(Debug, Serialize)]
pub(super) struct Durable {
    pub(super) fdatasync: u64,
    pub(super) fsync: u64,
    pub(super) messages: u64,
}

impl Report {
    /// The figures as a person reads them.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for signals in &self.signals {
            let _ = writeln!(text, "{}", signals.table(&self.setting));
        }
        let _ = writeln!(text, "A fresh instance");
        line(&mut text, "time to ready, s", "", &two(self.fresh.ready_s), below(self.fresh.ready_s, READY_S_MAX));
        let idle = self.fresh.idle_rss_mib;
        line(&mut text, "idle RSS, MiB", "", &one(idle), below(idle, IDLE_RSS_MIB_MAX));
        text.push('\n');
        text.push_str(&self.durable.told());
        text
    }

    /// The figures beside those of the other measurements.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for Signals { qos, broker_max, raw, andon, .. } in &self.signals {
            let of = |name: &str| format!("{name}, QoS {qos}");
            let highest = f64::from(*broker_max);
            figures.extend([
                Figure::more("signal", &of("messages/s"), andon.rate).held_to(highest * SHARE * 0.99).beside(
                    Kind::Rival,
                    "the broker alone",
                    highest,
                ),
                Figure::less("signal", &of("from signal to event, p99 ms"), andon.p99_ms).held_to(P99_MS_MAX).beside(
                    Kind::Rival,
                    "the broker alone, to its subscriber",
                    raw.p99_ms,
                ),
                Figure::less("signal", &of("CPU per message, us"), andon.cpu_us).held_to(CPU_US_MAX),
                Figure::less("signal", &of("peak RSS, MiB"), andon.peak_rss_mib).held_to(RSS_MIB_MAX),
            ]);
        }
        figures.push(Figure::less("signal", "a fresh instance is ready, s", self.fresh.ready_s).held_to(READY_S_MAX));
        figures
    }

    /// The figures in one line.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl Signals {
    /// The offered rate that was reached, beside the broker's own highest.
    fn ratio(&self) -> f64 {
        if self.broker_max == 0 { 0.0 } else { self.andon.rate / f64::from(self.broker_max) }
    }

    fn table(&self, setting: &Setting) -> String {
        let (raw, andon) = (&self.raw, &self.andon);
        let mut text = format!(
            "QoS {}: the broker alone holds {}/s; offered {}/s; medians of {} runs of {} s, {} cores, fsync on\n",
            self.qos, self.broker_max, self.offered, setting.runs, setting.seconds, setting.cores
        );
        line(&mut text, "", "broker alone", "andon", ("target".to_owned(), ""));
        line(&mut text, "messages/s", &whole(raw.rate), &whole(andon.rate), (String::new(), ""));
        let ratio = self.ratio();
        // A rate that falls short by less than a hundredth is the rounding of the run's length.
        let held = ratio >= SHARE * 0.99 && andon.lost == 0 && andon.p99_ms <= P99_MS_MAX;
        let verdict = (format!(">= {SHARE}"), if held { "met" } else { "MISSED" });
        line(&mut text, "ratio to its highest rate", "", &two(ratio), verdict);
        let none = |count: i64| if count == 0 { "met" } else { "MISSED" };
        let of = |figures: &Figures| format!("{} of {}", figures.lost, figures.expected);
        line(&mut text, "lost, all runs", &of(raw), &of(andon), ("0".to_owned(), none(andon.lost)));
        let order = i64::try_from(andon.bad_order).unwrap_or(i64::MAX);
        line(&mut text, "out of order, all runs", "", &andon.bad_order.to_string(), ("0".to_owned(), none(order)));
        line(&mut text, "p50, ms", &one(raw.p50_ms), &one(andon.p50_ms), (String::new(), ""));
        line(&mut text, "p99, ms", &one(raw.p99_ms), &one(andon.p99_ms), at_most(andon.p99_ms, P99_MS_MAX));
        line(&mut text, "CPU per message, us", "", &two(andon.cpu_us), at_most(andon.cpu_us, CPU_US_MAX));
        line(&mut text, "peak RSS, MiB", "", &one(andon.peak_rss_mib), below(andon.peak_rss_mib, RSS_MIB_MAX));
        text
    }
}

impl Durable {
    fn told(&self) -> String {
        if self.fdatasync + self.fsync == 0 {
            return format!(
                "NOTHING WAS MADE DURABLE: neither fdatasync nor fsync was called for {} messages; \
                 the figures above do not count",
                self.messages
            );
        }
        format!(
            "Durable: {} fdatasync and {} fsync for {} messages (strace, a run of its own)",
            self.fdatasync, self.fsync, self.messages
        )
    }
}

/// The middle of the values; of an even number the upper one of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A row of a table.
pub(super) fn line(text: &mut String, name: &str, raw: &str, andon: &str, (target, verdict): (String, &str)) {
    let row = format!("  {name:<26}{raw:>16}{andon:>16}  {target:<8}{verdict}");
    let _ = writeln!(text, "{}", row.trim_end());
}

fn below(value: f64, limit: f64) -> (String, &'static str) {
    (format!("< {limit}"), if value < limit { "met" } else { "MISSED" })
}

fn at_most(value: f64, limit: f64) -> (String, &'static str) {
    (format!("<= {limit}"), if value <= limit { "met" } else { "MISSED" })
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let raw = Figures { rate: 49_500.0, expected: 396_000, p50_ms: 1.0, p99_ms: 20.0, ..Figures::default() };
        let andon = Figures {
            rate: 49_480.0,
            expected: 15_840,
            p50_ms: 4.0,
            p99_ms: 80.0,
            cpu_us: 9.5,
            peak_rss_mib: 31.2,
            ..Figures::default()
        };
        Report {
            setting: Setting { runs: 5, seconds: 8, cores: 2, load_before: 0.1 },
            fresh: Fresh { ready_s: 0.2, idle_rss_mib: 61.0 },
            signals: vec![Signals { qos: 0, broker_max: 55_000, offered: 49_500, raw, andon }],
            durable: Durable { fdatasync: 300, fsync: 2, messages: 6_000 },
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0]) - 4.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn every_figure_stands_beside_its_target() {
        let table = report().table();
        let verdict = |name: &str| table.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(verdict("ratio to its").ends_with("0.90  >= 0.9  met"), "{table}");
        assert!(verdict("lost, all runs").ends_with("met"), "{table}");
        assert!(verdict("p99, ms").ends_with("80.0  <= 500  met"), "{table}");
        assert!(verdict("CPU per message").ends_with("9.50  <= 8    MISSED"), "{table}");
        assert!(verdict("idle RSS").ends_with("MISSED"), "{table}");
        assert!(table.contains("300 fdatasync"), "{table}");
    }

    #[test]
    fn a_rate_counts_only_without_loss() {
        let mut report = report();
        report.signals[0].andon.lost = 1;
        let table = report.table();
        assert!(table.lines().any(|line| line.contains("ratio to its") && line.ends_with("MISSED")), "{table}");
    }

    #[test]
    fn a_run_that_made_nothing_durable_is_told_loudly() {
        let told = Durable { fdatasync: 0, fsync: 0, messages: 5 }.told();
        assert!(told.starts_with("NOTHING WAS MADE DURABLE"), "{told}");
    }

    #[test]
    fn json_is_one_line() {
        let json = report().json().unwrap();
        assert!(!json.contains('\n') && json.contains("\"broker_max\":55000"), "{json}");
    }
}
