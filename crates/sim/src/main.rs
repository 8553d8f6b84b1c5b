//! Lives worlds and tells of each in one line of JSON: what `cargo xtask sim` starts.
//!
//! `andon-sim FROM SEEDS THREADS [trace]`; with `trace` the whole trace of each world stands before its line.

use andon_sim::{Plan, live, run_many};
use serde_json::json;
use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(from), Some(seeds), Some(threads)) = (number(0), number(1), number(2)) else {
        let _ = writeln!(io::stderr(), "andon-sim FROM SEEDS THREADS [trace]");
        return ExitCode::from(2);
    };
    if arguments.get(3).is_some_and(|word| word == "trace") {
        for seed in from..from.saturating_add(seeds) {
            let _ = writeln!(io::stdout(), "{}", live(&Plan::of(seed)).1);
        }
    }
    let failed = std::sync::atomic::AtomicBool::new(false);
    run_many(from, seeds, usize::try_from(threads).unwrap_or(1), |seed, lived| {
        let line = match lived {
            Ok(lived) => json!({"seed": seed, "seen": lived.seen, "hash": lived.hash}),
            Err(broken) => {
                failed.store(true, std::sync::atomic::Ordering::Relaxed);
                json!({"seed": seed, "broken": broken.to_string()})
            }
        };
        let _ = writeln!(io::stdout(), "{line}");
    });
    ExitCode::from(u8::from(failed.load(std::sync::atomic::Ordering::Relaxed)))
}
