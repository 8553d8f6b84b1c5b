//! The load generator of the bench: a C program that knows how many events must come, and in which order.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::command;

/// How many connections publish.
const PUBLISHERS: &str = "4";

/// How many publishes of QoS 1 may be under way in a connection.
const WINDOW: &str = "500";

/// How long it waits for the last message once none comes any more, in seconds.
const DRAIN: &str = "4";

/// How much of the beginning is left out of the latencies of a run with a subject, in seconds.
const WARM: &str = "2";

/// The compiled load generator, towards one broker.
pub(super) struct Load {
    program: PathBuf,
    port: u16,
}

/// What a run is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The number in the topics: `plant<run>/...`.
    pub(super) run: u32,
    /// 0 or 1.
    pub(super) qos: u8,
    /// Messages a second.
    pub(super) rate: u32,
    /// How long it publishes.
    pub(super) seconds: u32,
}

/// What the load generator found; latencies count from the intended time of sending.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Found {
    /// Messages sent.
    pub(super) sent: u64,
    /// Messages a second.
    pub(super) achieved_rate: f64,
    /// Messages that had to come back.
    pub(super) expected: u64,
    /// Messages that did not.
    pub(super) lost: i64,
    /// Events against the order of their asset.
    #[serde(default)]
    pub(super) bad_order: u64,
    /// Milliseconds.
    pub(super) p50_ms: f64,
    /// Milliseconds.
    pub(super) p99_ms: f64,
}

impl Load {
    /// Compiles the load generator into a folder.
    pub(super) fn build(source: &Path, folder: &Path, port: u16) -> Result<Self> {
        let program = folder.join("mqload");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-pthread", "-o"]).arg(&program).arg(source).arg("-lm");
        command::output(gcc).context("compiling the load generator")?;
        Ok(Self { program, port })
    }

    /// The broker alone: what is published comes back as it is.
    pub(super) fn raw(&self, plan: Plan) -> Result<Found> {
        self.run(plan, &["--mode", "raw", "--nsub", "1"])
    }

    /// With a subject: telemetry is published, events come back.
    pub(super) fn signals(&self, plan: Plan) -> Result<Found> {
        self.run(plan, &["--mode", "joba", "--warm", WARM, "--drain", DRAIN])
    }

    /// Telemetry is published, and nobody of ours listens.
    pub(super) fn publish(&self, plan: Plan) -> Result<Found> {
        self.run(plan, &["--mode", "raw", "--nsub", "0", "--drain", "1"])
    }

    fn run(&self, plan: Plan, more: &[&str]) -> Result<Found> {
        let mut mqload = Command::new(&self.program);
        mqload.args(arguments(self.port, plan)).args(more);
        found(&command::output(mqload).context("running the load generator")?)
    }
}

fn arguments(port: u16, plan: Plan) -> Vec<String> {
    let numbers = [
        ("--port", port.to_string()),
        ("--run", plan.run.to_string()),
        ("--qos", plan.qos.to_string()),
        ("--rate", plan.rate.to_string()),
        ("--secs", plan.seconds.to_string()),
        ("--npub", PUBLISHERS.to_owned()),
        ("--window", WINDOW.to_owned()),
    ];
    numbers.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

fn found(output: &str) -> Result<Found> {
    let Some(line) = output.lines().rev().find(|line| line.starts_with('{')) else {
        bail!("the load generator printed no result");
    };
    serde_json::from_str(line).with_context(|| format!("reading the load generator's result: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read() {
        let line = r#"{"label":"","mode":"joba","qos":0,"target_rate":1000,"sent":2000,"achieved_rate":998,"acked":0,
            "expected":80,"received":79,"lost":1,"bad_order":0,"p50_ms":1.25,"p99_ms":9.50,"load1":0.5}"#;
        let found = found(&line.replace('\n', " ")).unwrap();
        assert_eq!((found.sent, found.expected, found.lost, found.bad_order), (2000, 80, 1, 0));
        assert!((found.p99_ms - 9.5).abs() < f64::EPSILON);
    }

    #[test]
    fn no_result_is_an_error() {
        assert!(found("connect: refused\n").is_err());
    }

    #[test]
    fn the_plan_becomes_arguments() {
        let plan = Plan { run: 7, qos: 1, rate: 25_000, seconds: 8 };
        let words = arguments(1884, plan).join(" ");
        assert!(words.starts_with("--port 1884 --run 7 --qos 1 --rate 25000 --secs 8 "), "{words}");
    }
}
