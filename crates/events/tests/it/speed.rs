//! What a sample costs: `cargo test --release -p andon-events -- --ignored --nocapture speed`.

use crate::common::{SECOND, asset, contract, instance, limit, part, sample, signal, stale};
use andon_contract::contract::{Clock, RuleKind};
use andon_events::{Engine, Saved, engine::Moment};
use andon_model::{Entry, Position, Quality, SignalNo, Time, sample::Batch, span::Span};
use std::{sync::Arc, time::Instant};

/// Assets, each with a signal under two rules and one under none.
const ASSETS: u32 = 500;
const BATCHES: u64 = 2_000;
const BATCH: u32 = 1_000;

#[test]
#[ignore = "it measures; only a release build on a quiet machine says something"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn a_sample_is_cheap() {
    let names: Vec<String> = (0..ASSETS).map(|i| format!("m-{i:03}")).collect();
    let assets: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = [
        ("hot", RuleKind::Limit(limit("HighHigh 120, High 100, Low 10, Deadband 5, OnDelay 60 s"))),
        ("silent", RuleKind::Stale(stale("60 s"))),
    ];
    let contract = Arc::new(contract(&assets, &rules, Clock::Live));
    let signals: Vec<_> = (0..ASSETS)
        .flat_map(|i| {
            let name = asset(&names[i as usize]);
            [(SignalNo(2 * i), name.clone(), signal("t")), (SignalNo(2 * i + 1), name, signal("other"))]
        })
        .collect();
    let mut out = Vec::new();
    let mut engine = Engine::new(contract, instance(), &signals, Saved::default(), Time(0), &mut out);
    let mut spent = 0.0;
    for round in 0..BATCHES {
        let first = Position { epoch: 0, offset: round * u64::from(BATCH) };
        let seconds = i64::try_from(round).unwrap();
        let of = |i: u32| {
            let value = f64::from((i * 7 + 13) % 80) + 15.0;
            Entry::Sample(sample(i % (2 * ASSETS), seconds * SECOND, seconds * SECOND, Quality::GOOD, value))
        };
        let batch = Batch { first, part: part((0..BATCH).map(of).collect()) };
        let moment = Moment { now: Time(seconds * SECOND), monotonic: Some(Span::from_secs(seconds)) };
        let start = Instant::now();
        assert!(engine.knows(&batch));
        engine.apply(&batch, moment, &mut out);
        spent += start.elapsed().as_secs_f64();
    }
    assert!(out.is_empty());
    let samples = BATCHES * u64::from(BATCH);
    #[expect(clippy::cast_precision_loss, reason = "a few millions")]
    let each = spent * 1e9 / samples as f64;
    println!("{samples} samples, half of them under two rules: {each:.0} ns each");
}
