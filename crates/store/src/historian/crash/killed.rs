//! A process that is killed while it seals, merges and removes.

use super::*;
use std::io::{BufRead as _, BufReader, Write as _};

/// The part that is written as the `n`th.
fn killed_part(store: &Store, n: i64) -> Part {
    let site = SiteName::new(if n % 5 == 0 { "monterrey" } else { "hamburg" }).unwrap();
    let mut part = Part::new(site, Name::new("line-1").unwrap());
    for m in 0..20 {
        let received = BEGIN.plus(Span::from_secs(n * 60 + m));
        part.entries.push(Entry::Sample(Sample {
            signal: number(store, u32::try_from(m % 4).unwrap()),
            time: if m == 9 { received.minus(Span::from_secs(26 * 3_600)) } else { received },
            received,
            quality: Quality::GOOD,
            value: Value::I64(n * 20 + m),
            origin: Origin::Live,
        }));
    }
    part.counts = Counts { received: 20, stored: 20, ..Counts::default() };
    part
}

/// Every second run also removes what is old.
fn killed_policy(seed: u64) -> Policy {
    policy((seed % 2 == 1).then_some(Span::from_secs(12 * 3_600)), None)
}

fn killed_open(dir: &Path) -> Store {
    let limits = Limits { segment_bytes: 16 << 10, ring_bytes: 0 };
    Store::open_with(dir, &limits, &mut |bytes| bytes.fill(5)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn kill_9_while_files_are_written_merged_and_removed_loses_and_doubles_nothing() {
    for seed in 0..3_u64 {
        let dir = scratch();
        let mut acknowledged: Vec<(i64, u64)> = Vec::new();
        let mut worked = false;
        for round in 0..4_u64 {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "historian::crash::killed::child_keeps_until_it_is_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .env("STORE_TEST_DIR", dir.path())
                .env("STORE_TEST_SEED", seed.to_string())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let enough = 300 + seed * 41 + round * 97;
            let (mut lines, mut steps, mut killed) = (0, 0, false);
            for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                // The last line may be cut short: then nobody was told.
                let Ok(line) = line else { break };
                match line.split(' ').collect::<Vec<_>>()[..] {
                    ["part", n, first, "."] => acknowledged.push((n.parse().unwrap(), first.parse().unwrap())),
                    ["step", "."] => steps += 1,
                    _ => continue,
                }
                lines += 1;
                if lines >= enough && steps > 20 && !killed {
                    child.kill().unwrap();
                    killed = true;
                }
            }
            assert!(killed, "the other process ended by itself");
            child.wait().unwrap();

            let store = killed_open(dir.path());
            is_tidy(&store);
            let found = all(&store);
            let holdings = store.holdings().unwrap();
            assert_eq!(holdings.missing, Vec::<PathBuf>::new());
            let stored: u64 = store.source_counts().values().map(|counts| counts.stored).sum();
            let expired: u64 = holdings.expired.values().sum();
            assert_eq!(found.len() as u64 + expired, stored, "seed {seed}, round {round}");
            assert!(expired == 0 || seed % 2 == 1, "seed {seed}, round {round}");
            for (n, first) in &acknowledged {
                for m in 0..20 {
                    let place = Position { epoch: 1, offset: first + u64::try_from(m).unwrap() };
                    let value = found.get(&place).map(|(.., value)| value);
                    let gone = value.is_none() && expired > 0;
                    assert!(gone || value == Some(&Value::I64(n * 20 + m)), "seed {seed}: {place} is {value:?}");
                }
            }
            worked |= holdings.files > 0 && store.log_start().offset > 0;
        }
        assert!(worked, "files were written and segments went");
    }
}

#[test]
#[ignore = "the other process of the test above"]
fn child_keeps_until_it_is_killed() {
    let (Ok(dir), Ok(seed)) = (std::env::var("STORE_TEST_DIR"), std::env::var("STORE_TEST_SEED")) else { return };
    let store = killed_open(Path::new(&dir));
    let policy = killed_policy(seed.parse().unwrap());
    let say = |text: String| {
        // One write a line, so that a killed process cuts at most the last one.
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    let begin = i64::try_from(store.log_end().offset / 20).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in begin.. {
                let batches = store.append(vec![killed_part(&store, n)]).unwrap();
                say(format!("part {n} {} .\n", batches[0].first.offset));
            }
        });
        let mut keeper = Keeper::new(store.clone(), policy);
        keeper.set_chunk(400);
        loop {
            let end = store.log_end();
            read_to(&store, end);
            // The clock of the samples runs an hour a second or so; days close all the time.
            let now = BEGIN.plus(Span::from_secs(i64::try_from(end.offset / 20).unwrap() * 60));
            if keeper.step(now).unwrap() == Progress::Worked {
                say("step .\n".to_owned());
            }
        }
    });
}
