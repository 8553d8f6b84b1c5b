//! What questions of the historian cost; run by hand in release: `cargo test -p andon-store --release --test
//! historian_speed -- --ignored --nocapture --test-threads=1`.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement reads the clock, divides and tells"
)]

use andon_model::{
    AssetName, Entry, Name, Quality, Sample, SignalName, SiteName, Time, Value,
    sample::{Counts, Origin, Part},
    span::Span,
};
use andon_store::{
    Store,
    historian::{Keeper, Kept, Policy, Progress, Range},
};
use std::{path::Path, sync::Arc, time::Instant};

const SECOND: i64 = 1_000_000_000;
const DAYS: i64 = 30;
/// Midnight, 30 days before the present of this measurement.
const BEGIN: Time = Time(1_764_115_200 * SECOND);

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

/// Makes the system forget what it has read of the files, as after a start.
fn forget(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            forget(&path);
            continue;
        }
        let file = std::fs::File::open(&path).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

/// The median of five runs, in milliseconds.
fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[2]
}

/// Thirty days of one signal at 1 Hz, among nine others that speak every ten seconds; sealed and merged by day.
fn filled(dir: &Path) -> (AssetName, SignalName) {
    let store = Store::open(dir, &mut chance).unwrap();
    let asset = AssetName::new("cartoner-07").unwrap();
    let name = |n: i64| SignalName::new(&format!("signal-{n}")).unwrap();
    let signals: Vec<_> = (0..10).map(|n| store.signal(&asset, &name(n)).unwrap()).collect();
    let policy = Policy {
        seal_after: Span::from_secs(3_600),
        samples: Arc::new(|_| Kept::default()),
        minutes: Kept::default(),
        reduce: Arc::new(|_, _| None),
    };
    let mut keeper = Keeper::new(store.clone(), policy);
    let begun = Instant::now();
    let mut samples = 0;
    for hour in 0..DAYS * 24 {
        let mut part = Part::new(SiteName::new("hamburg").unwrap(), Name::new("line-1").unwrap());
        for second in hour * 3_600..(hour + 1) * 3_600 {
            let time = BEGIN.0 + second * SECOND + second * 7_919 % 3_000_000;
            let mut sample = |signal, value| {
                part.entries.push(Entry::Sample(Sample {
                    signal,
                    time: Time(time),
                    received: Time(time / 1_000_000 * 1_000_000 + 4_000_000),
                    quality: Quality::GOOD,
                    value: Value::F64(value),
                    origin: Origin::Live,
                }));
            };
            sample(signals[3], (second as f64 / 900.0).sin() * 20.0 + (second * 7_919 % 1_000) as f64 / 1_000.0);
            if second % 10 == 0 {
                signals.iter().enumerate().filter(|(n, _)| *n != 3).for_each(|(n, signal)| sample(*signal, n as f64));
            }
        }
        let count = part.entries.len() as u64;
        samples += count;
        part.counts = Counts { received: count, stored: count, ..Counts::default() };
        store.append(vec![part]).unwrap();
        if hour % 24 == 23 {
            keeper.seal_now().ask();
            let now = Time(BEGIN.0 + (hour + 1) * 3_600 * SECOND);
            while keeper.step(now).unwrap() == (Progress::Worked {}) {}
        }
    }
    let now = Time(BEGIN.0 + (DAYS + 2) * 86_400 * SECOND);
    while keeper.step(now).unwrap() == (Progress::Worked {}) {}
    let holdings = store.holdings().unwrap();
    let bytes = holdings.bytes as f64 / holdings.samples as f64;
    let nanos = begun.elapsed().as_nanos() as f64 / samples as f64;
    println!("{samples} samples in {} files, {bytes:.2} bytes each with minutes, {nanos:.0} ns each", holdings.files);
    told("bytes a sample on disk, with minutes", bytes);
    assert_eq!(holdings.samples, samples);
    (asset, name(3))
}

/// A figure for whoever puts them beside others.
fn told(figure: &str, value: f64) {
    println!("{{\"figure\":\"{figure}\",\"value\":{value}}}");
}

#[test]
#[ignore = "a measurement"]
fn thirty_days_of_one_signal() {
    let dir = tempfile::tempdir().unwrap();
    let (asset, signal) = filled(dir.path());
    let end = Time(BEGIN.0 + DAYS * 86_400 * SECOND);
    // Not whole minutes, so that both ends are read from samples.
    let (from, to) = (Time(BEGIN.0 + 7 * SECOND), Time(end.0 - 11 * SECOND));
    let cold = median(|| {
        forget(dir.path());
        let store = Store::look(dir.path()).unwrap();
        let buckets = store.downsample(&asset, &signal, from, to, 1_000).unwrap();
        let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        assert_eq!(i64::try_from(count).unwrap(), DAYS * 86_400 - 7 - 11);
        assert!(buckets.len() > 900 && buckets.len() <= 1_000, "{}", buckets.len());
    });
    let store = Store::look(dir.path()).unwrap();
    let warm = median(|| assert!(store.downsample(&asset, &signal, from, to, 1_000).unwrap().len() > 900));
    let hour = Time(BEGIN.0 + 86_400 * SECOND * 10 + 3_600 * SECOND);
    let fine = median(|| {
        let buckets = store.downsample(&asset, &signal, Time(hour.0 - 3_600 * SECOND), hour, 1_000).unwrap();
        assert!(buckets.len() > 800, "{}", buckets.len());
    });
    let range = |from: Time, to: Time, limit| {
        let (asset, signal) = (asset.clone(), signal.clone());
        store.range(&Range { asset, signal, from, to, after: None, limit }).unwrap().0.len()
    };
    let page = median(|| assert_eq!(range(from, to, 1_000), 1_000));
    let day = median(|| assert_eq!(range(BEGIN, Time(BEGIN.0 + 86_400 * SECOND), 100_000), 86_400));
    let place =
        store.range(&Range { asset: asset.clone(), signal: signal.clone(), from: hour, to, after: None, limit: 1 });
    let place = place.unwrap().0[0].position;
    let lineage = median(|| assert!(store.sample_at(place).unwrap().is_some()));
    let last = median(|| assert!(Store::look(dir.path()).unwrap().last(&asset, &signal).unwrap().is_some()));
    println!(
        "30 days in 1,000 points {cold:.1} ms cold, {warm:.1} ms warm; an hour in 1,000 points {fine:.1} ms; a page of \
         1,000 samples {page:.1} ms; a day of 86,400 samples {day:.1} ms; a sample at a place {lineage:.1} ms; the \
         first last value {last:.1} ms"
    );
    told("30 days of a signal in 1,000 points, cold, ms", cold);
    told("the same, warm, ms", warm);
    told("a day of 86,400 samples, ms", day);
}
