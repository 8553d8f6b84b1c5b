//! Spectra: features of waveforms whose answers are known, blocks that are none, zones and the alarms they make.

use crate::{
    common::{SECOND, apply, contract, engine, limit},
    properties::{cuts, neither_cut_nor_crash},
};
use andon_contract::contract::{Band, Clock, Feature, RuleKind, SpectrumSettings, Waveform, WaveformFormat};
use andon_events::rules::spectrum::{
    block::{Refusal, decode},
    feature::{Plan, feature},
};
use andon_model::{Entry, Event, Mark, Quality, Sample, SignalNo, Time, Value, sample::Origin, value::BYTES_MAX};
use andon_store::rows::Evidence;
use proptest::prelude::*;
use std::{f64::consts::TAU, sync::Arc};

const RATE: f64 = 10_240.0;
const VELOCITY: Feature = Feature::VelocityRms(Band { from: 10.0, to: 1_000.0 });

/// A sine of an amplitude and a frequency in Hz, with so many samples.
fn sine(amplitude: f64, frequency: f64, count: u32) -> Vec<f64> {
    (0..count).map(|i| amplitude * (TAU * frequency * f64::from(i) / RATE).sin()).collect()
}

fn of(what: Feature, samples: &[f64]) -> f64 {
    feature(what, RATE, samples.to_vec(), &mut Plan::default()).unwrap()
}

#[track_caller]
fn near(found: f64, expected: f64, relative: f64) {
    assert!((found - expected).abs() <= relative * expected.abs(), "{found} is not {expected}");
}

#[test]
fn a_sine_has_the_features_of_the_textbook() {
    // 10 m/s2 at 80 Hz: v = a / (2 pi f), its root mean square over sqrt(2).
    let block = sine(10.0, 80.0, 10_240);
    near(of(VELOCITY, &block), 10.0 / (TAU * 80.0) * 1e3 / 2.0_f64.sqrt(), 1e-3);
    near(of(Feature::Rms, &block), 10.0 / 2.0_f64.sqrt(), 1e-9);
    near(of(Feature::Peak, &block), 10.0, 1e-3);
    near(of(Feature::CrestFactor, &block), 2.0_f64.sqrt(), 1e-3);
    near(of(Feature::Kurtosis, &block), 1.5, 1e-6);
    near(of(Feature::Band(Band { from: 60.0, to: 100.0 }), &block), 10.0 / 2.0_f64.sqrt(), 1e-6);
    near(1.0 + of(Feature::Band(Band { from: 200.0, to: 1_000.0 }), &block), 1.0, 1e-6);
    // The mean is no vibration.
    let lifted: Vec<f64> = block.iter().map(|x| x + 9.81).collect();
    near(of(VELOCITY, &lifted), of(VELOCITY, &block), 1e-6);
    near(of(Feature::Rms, &lifted), 10.0 / 2.0_f64.sqrt(), 1e-9);
}

#[test]
fn the_window_keeps_frequencies_between_the_lines_and_lengths_of_any_kind() {
    for count in [4_096, 5_000, 8_191, 10_241] {
        for frequency in [25.3, 50.0, 333.3, 987.6] {
            let block = sine(3.0, frequency, count);
            near(of(VELOCITY, &block), 3e3 / (TAU * frequency) / 2.0_f64.sqrt(), 0.02);
        }
    }
}

#[test]
fn two_sines_add_by_their_squares_and_bands_part_them() {
    let low = sine(4.0, 50.0, 10_240);
    let both: Vec<f64> = low.iter().zip(sine(3.0, 1_500.0, 10_240)).map(|(a, b)| a + b).collect();
    near(of(Feature::Rms, &both), (8.0_f64 + 4.5).sqrt(), 1e-9);
    near(of(Feature::Band(Band { from: 500.0, to: 2_000.0 }), &both), 4.5_f64.sqrt(), 1e-6);
    near(of(Feature::Band(Band { from: 10.0, to: 200.0 }), &both), 8.0_f64.sqrt(), 1e-6);
    near(of(VELOCITY, &both), of(VELOCITY, &low), 1e-6);
}

/// Chance that is always the same, evenly from -1 to 1.
fn noise(count: usize) -> Vec<f64> {
    let mut state: u64 = 42;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX) * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn the_whole_spectrum_holds_what_the_window_left() {
    // Parseval: the squares of all lines but the mean are those of the windowed samples.
    for count in [4_096_usize, 4_097, 5_001] {
        let mut block = noise(count);
        let mean = block.iter().sum::<f64>() / f64::from(u32::try_from(count).unwrap());
        for x in &mut block {
            *x -= mean;
        }
        let length = f64::from(u32::try_from(count).unwrap());
        let window = |i: usize| 0.5 - 0.5 * (TAU * f64::from(u32::try_from(i).unwrap()) / length).cos();
        let windowed: Vec<f64> = block.iter().enumerate().map(|(i, x)| x * window(i)).collect();
        let squares: f64 = (0..count).map(|i| window(i).powi(2)).sum();
        let zero = windowed.iter().sum::<f64>().powi(2) / length / squares;
        let first = {
            let (re, im) = windowed.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, x)| {
                let angle = TAU * f64::from(u32::try_from(i).unwrap()) / length;
                (re + x * angle.cos(), im - x * angle.sin())
            });
            2.0 * (re * re + im * im) / length / squares
        };
        let expected = windowed.iter().map(|x| x * x).sum::<f64>() / squares - zero - first;
        // From the second line on: two periods of the lowest frequency are the least.
        let band = Band { from: 2.0 * RATE / length, to: RATE / 2.0 };
        near(of(Feature::Band(band), &block).powi(2), expected, 1e-9);
    }
    near(of(Feature::Kurtosis, &noise(100_000)), 1.8, 0.02);
}

fn waveform(format: WaveformFormat, scale: f64) -> Waveform {
    Waveform { format, rate: RATE, scale }
}

fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.into())
}

#[test]
fn blocks_are_read_in_every_format() {
    let numbers: Vec<f64> = (-8_i16..9).map(f64::from).collect();
    let read = |format, value: &Value| decode(&waveform(format, 0.5), value).unwrap();
    let halves: Vec<f64> = numbers.iter().map(|x| x / 2.0).collect();
    let f32s: Vec<u8> = (-8_i16..9).flat_map(|x| f32::from(x).to_le_bytes()).collect();
    let f64s: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let i16s: Vec<u8> = (-8_i16..9).flat_map(i16::to_le_bytes).collect();
    assert_eq!(read(WaveformFormat::F32Le, &bytes(&f32s)), halves);
    assert_eq!(read(WaveformFormat::F64Le, &bytes(&f64s)), halves);
    assert_eq!(read(WaveformFormat::I16Le, &bytes(&i16s)), halves);
    let text = serde_json::to_string(&numbers).unwrap();
    assert_eq!(read(WaveformFormat::Json, &Value::Text(text.into())), halves);
}

#[test]
fn what_is_no_block_is_refused_with_its_reason() {
    let refused = |format, value: &Value| decode(&waveform(format, 1.0), value).unwrap_err();
    let f32s = |values: &[f32]| bytes(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(refused(WaveformFormat::F32Le, &bytes(&[0; 70])), Refusal::Cut { bytes: 70, each: 4 });
    assert_eq!(refused(WaveformFormat::F64Le, &bytes(&[0; 70])), Refusal::Cut { bytes: 70, each: 8 });
    assert_eq!(refused(WaveformFormat::I16Le, &bytes(&[0; 71])), Refusal::Cut { bytes: 71, each: 2 });
    assert_eq!(refused(WaveformFormat::F32Le, &bytes(&[])), Refusal::TooFew(0));
    assert_eq!(refused(WaveformFormat::F32Le, &f32s(&[1.0; 15])), Refusal::TooFew(15));
    let mut holed = [1.0; 16];
    holed[9] = f32::NAN;
    assert_eq!(refused(WaveformFormat::F32Le, &f32s(&holed)), Refusal::NotFinite(9));
    let kind = refused(WaveformFormat::F32Le, &Value::F64(1.0));
    assert_eq!(kind.to_string(), "the value is a number, and the waveform is written as bytes");
    assert!(matches!(refused(WaveformFormat::Json, &Value::Text("[1, \"x\"]".into())), Refusal::Json(_)));
    assert!(matches!(refused(WaveformFormat::Json, &Value::Text("[1e999]".into())), Refusal::Json(_)));
    // A scale that leaves the range of numbers.
    let large = bytes(&f64::MAX.to_le_bytes().repeat(16));
    assert_eq!(decode(&waveform(WaveformFormat::F64Le, 10.0), &large).unwrap_err(), Refusal::NotFinite(0));
}

#[test]
fn a_block_without_the_feature_says_why() {
    let of = |what, samples: Vec<f64>| feature(what, RATE, samples, &mut Plan::default());
    assert_eq!(of(Feature::Kurtosis, vec![0.1; 100]), Err(Refusal::Flat));
    assert_eq!(of(Feature::CrestFactor, vec![0.1; 100]), Err(Refusal::Flat));
    assert_eq!(of(Feature::Peak, vec![0.25; 64]), Ok(0.0));
    let lasts = 1_024.0 / RATE;
    assert_eq!(of(VELOCITY, sine(1.0, 80.0, 1_024)), Err(Refusal::TooShort { lasts, from: 10.0, needed: 0.2 }));
    for what in [Feature::Rms, Feature::Peak, Feature::Kurtosis, Feature::CrestFactor, VELOCITY] {
        let huge: Vec<f64> = (0..4_096).map(|i| if i % 3 == 0 { f64::MAX } else { f64::MIN }).collect();
        assert_eq!(of(what, huge), Err(Refusal::TooLarge), "{what:?}");
    }
}

fn settings(limits: &str, feature: Feature) -> SpectrumSettings {
    SpectrumSettings { waveform: waveform(WaveformFormat::F32Le, 1.0), feature, limit: limit(limits), zones: false }
}

/// A block of a second whose velocity is this many mm/s.
fn vibration(velocity: f64) -> Value {
    let block = sine(velocity * 2.0_f64.sqrt() / 1e3 * TAU * 80.0, 80.0, 10_240);
    #[expect(clippy::cast_possible_truncation, reason = "as a sensor writes it")]
    let written = block.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect::<Vec<u8>>();
    bytes(&written)
}

fn sample_of(second: i64, quality: Quality, value: Value) -> Entry {
    let time = Time(second * SECOND);
    Entry::Sample(Sample { signal: SignalNo(1), time, received: time, quality, value, origin: Origin::Live })
}

/// `second change level zone value`, the value in whole hundredths.
fn lines(events: &[(Event, Evidence)]) -> Vec<String> {
    events
        .iter()
        .map(|(event, _)| {
            let text = |pointer: &str| event.data.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
            let value = text("/value/value").parse::<f64>().map_or("-".into(), |value| format!("{value:.2}"));
            let second = event.time.0 / SECOND;
            format!("{second} {} {} {} {value}", text("/change"), text("/limit"), text("/outcome"))
        })
        .collect()
}

#[test]
fn a_feature_is_judged_like_a_value_and_the_alarm_says_its_zone() {
    let mut set = settings("HighHigh 4.5, High 2.8", VELOCITY);
    set.zones = true;
    let mut engine = engine(RuleKind::Spectrum(set));
    let blocks = [1.0, 3.0, 5.0, 4.0, 2.0].into_iter().zip(0..);
    let events = apply(&mut engine, blocks.map(|(v, second)| sample_of(second, Quality::GOOD, vibration(v))).collect());
    assert_eq!(
        lines(&events),
        ["1 activated High C 3.00", "2 level HighHigh D 5.00", "3 level High C 4.00", "4 returned High C 2.00"]
    );
    let (first, evidence) = &events[0];
    assert_eq!(
        (first.data["condition"].as_str(), first.data["setting"]["value"].as_str()),
        (Some("spectrum"), Some("2.8"))
    );
    assert_eq!(first.data["value"]["unit"], "mm/s");
    // The evidence holds features and not blocks.
    let values: Vec<f64> = evidence.samples.iter().map(|s| s.value.as_f64().unwrap()).collect();
    assert_eq!((evidence.from.offset, evidence.to.offset, values.len()), (0, 1, 2));
    near(values[1], 3.0, 1e-2);
}

#[test]
fn blocks_that_cannot_be_read_change_nothing_and_are_told_once() {
    let mut engine = engine(RuleKind::Spectrum(settings("High 2.8, OnDelay 10 s", VELOCITY)));
    let torn = || bytes(&[0; 13]);
    let entries = vec![
        sample_of(0, Quality::GOOD, vibration(3.0)),
        sample_of(1, Quality::GOOD, torn()),
        sample_of(2, Quality::BAD, torn()),
        sample_of(3, Quality::GOOD, torn()),
        sample_of(4, Quality::UNCERTAIN, vibration(1.0)),
        // They neither stop nor delay the timer, and move the clock.
        sample_of(11, Quality::GOOD, torn()),
        sample_of(12, Quality::GOOD, vibration(1.0)),
    ];
    let events = apply(&mut engine, entries);
    let found = lines(&events);
    let expected = ["1 unreadable - - -", "10 activated High - 3.00", "12 readable - - -", "12 returned High - 1.00"];
    assert_eq!(found, expected);
    let (first, _) = &events[0];
    assert_eq!(first.kind, "asset.condition");
    assert_eq!((first.data["blocks"].as_u64(), first.data["signal"].as_str()), (Some(1), Some("t")));
    assert_eq!(first.data["reason"], "13 bytes are no whole number of samples of 4 bytes");
    assert_eq!(events[2].0.data["blocks"], 3);
    assert_eq!(events[2].0.correlation, first.id);
    // What could not be judged lies in the evidence with the reason.
    let reasons: Vec<String> = events[1].1.samples.iter().map(|s| s.value.to_string()).collect();
    assert!(reasons[1].contains("13 bytes") && reasons[2].contains("quality"), "{reasons:?}");
}

#[test]
fn late_blocks_are_skipped() {
    let mut engine = engine(RuleKind::Spectrum(settings("High 2.8", VELOCITY)));
    let entries = vec![
        sample_of(10, Quality::GOOD, vibration(1.0)),
        sample_of(9, Quality::GOOD, vibration(5.0)),
        sample_of(10, Quality::GOOD, vibration(3.0)),
    ];
    assert_eq!(lines(&apply(&mut engine, entries)), ["10 activated High - 3.00"]);
}

#[test]
fn the_largest_block_is_worked_out() {
    // A prime number of samples is the hardest for a transform.
    for count in [BYTES_MAX / 2, 524_287] {
        let block: Vec<u8> =
            noise(count).iter().flat_map(|x| (if *x > 0.0 { 100_i16 } else { -100 }).to_le_bytes()).collect();
        let samples = decode(&waveform(WaveformFormat::I16Le, 0.01), &bytes(&block)).unwrap();
        near(of(Feature::Band(Band { from: 1.0, to: RATE / 2.0 }), &samples), 1.0, 0.01);
    }
}

/// Small blocks: their feature is the peak, which a block may not have for many reasons.
fn blocks() -> impl Strategy<Value = Vec<Entry>> {
    let value = prop_oneof![
        6 => (0_u8..9).prop_map(|peak| {
            let wave = |i: u8| if i.is_multiple_of(2) { f32::from(peak) } else { -f32::from(peak) };
            bytes(&(0..16).flat_map(|i| wave(i).to_le_bytes()).collect::<Vec<_>>())
        }),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(|made| bytes(&made)),
        1 => Just(Value::F64(1.0)),
    ];
    let quality = prop_oneof![8 => Just(Quality::GOOD), 1 => Just(Quality::BAD), 1 => Just(Quality::UNCERTAIN)];
    let step = (0_i64..8, value, quality, 0_u8..12);
    prop::collection::vec(step, 1..80).prop_map(|steps| {
        let mut clock = 1_000;
        let entry = |(forward, value, quality, what)| {
            clock += forward;
            match what {
                0 => {
                    let time = Time(clock * SECOND);
                    Entry::Mark(Mark::Tick { asset: crate::common::asset("m"), plant: time, utc: time })
                }
                1 => sample_of(clock - 20, quality, value),
                _ => sample_of(clock, quality, value),
            }
        };
        steps.into_iter().map(entry).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_cut_nor_crash_changes_a_spectrum(blocks in blocks(), cuts in cuts(), zones in prop::bool::ANY) {
        let limits = "HighHigh 6, High 3, Deadband 1, OnDelay 5 s, OffDelay 5 s, ReAlarmTime 7 s";
        let set = SpectrumSettings { zones, ..settings(limits, Feature::Peak) };
        let contract = Arc::new(contract(&["m"], &[("hum", RuleKind::Spectrum(set))], Clock::Recorded));
        neither_cut_nor_crash(&contract, &blocks, &cuts)?;
    }

    #[test]
    fn no_block_makes_it_panic(made in prop::collection::vec(any::<u8>(), 0..2_000), which in 0_usize..4) {
        let (format, _) = WaveformFormat::ALL[which];
        let value = if format == WaveformFormat::Json {
            Value::Text(String::from_utf8_lossy(&made).into_owned().into())
        } else {
            bytes(&made)
        };
        if let Ok(samples) = decode(&waveform(format, 1.0), &value) {
            for what in [VELOCITY, Feature::Rms, Feature::Peak, Feature::CrestFactor, Feature::Kurtosis] {
                if let Ok(found) = feature(what, RATE, samples.clone(), &mut Plan::default()) {
                    prop_assert!(found.is_finite() && found >= 0.0);
                }
            }
        }
    }
}
