//! Folders, files and crashes: every row once.

use super::*;
use andon_model::{AssetName, Entry, SignalName};
use std::time::Instant;

struct Machine(Instant);

impl Clock for Machine {
    #[expect(clippy::disallowed_methods, reason = "a test is a shell of its own")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Time(i64::try_from(since.as_nanos()).unwrap())
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn chance(seed: u8) -> Chance {
    let mut next = seed;
    Box::new(move |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(41).wrapping_add(17);
            *byte = next;
        }
    })
}

/// A project with a drop folder, and a store in a folder of its own.
struct Plant {
    dir: tempfile::TempDir,
    contract: Arc<Contract>,
    store: Option<Store>,
    running: Option<SourceHandle>,
}

const CSV: &str = "format: csv\ncsv: { delimiter: ';' }\ndecimal: ','\n";
const TIME: &str = "  time: { columns: [Zeit], form: '%d.%m.%Y %H:%M:%S' }\n";

impl Plant {
    fn new(settings: &str, rows: &str) -> Self {
        Self::marked(&format!("settle: 20 ms\n{settings}"), rows)
    }

    fn marked(settings: &str, rows: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("drop")).unwrap();
        let source = format!(
            "kind: file\nfolder: {}\nevery: 100 ms\nzone: Europe/Berlin\n{settings}rows:\n{rows}",
            dir.path().join("drop").display()
        );
        let files = [
            (
                "andon.yaml",
                "name: t\nformat: 1\ninstances: { p: { role: both, zone: plant, api: '127.0.0.1:8730' } }\n",
            ),
            (
                "classes/oven.yaml",
                "signals:\n  temperature: { kind: f64, unit: Cel }\n  count: { kind: i64 }\n  note: { kind: text }\n",
            ),
            ("assets/a.yaml", "site: a\nzone: plant\nassets:\n  oven-1: { class: oven, addresses: { drop: Ofen1 } }\n"),
            ("assets/b.yaml", "site: b\nzone: plant\nassets:\n  oven-2: { class: oven }\n"),
            ("policies/ownership.yaml", "teams: { all: { mail: a@b.example } }\nrules: [{ owner: all }]\n"),
            ("sources/drop.yaml", source.as_str()),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into_iter().collect();
        let contract = match andon_contract::from_files(files) {
            Ok(loaded) => Arc::new(loaded.contract),
            Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        };
        Self { dir, contract, store: None, running: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("drop").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn store(&mut self) -> Store {
        let path = self.dir.path().join("data");
        self.store.get_or_insert_with(|| Store::open(&path, &mut *chance(9)).unwrap()).clone()
    }

    fn start(&mut self) {
        let store = self.store();
        let clock = Arc::new(Machine(started()));
        let env: Env = Arc::new(|_| None);
        let name = Name::new("drop").unwrap();
        self.running = Some(start_file(&self.contract, &name, store, env, clock, chance(3)).unwrap());
    }

    /// Ends the source without what a file still needs, and everything that is only in memory.
    fn stop(&mut self) {
        self.running = None;
        self.store = None;
    }

    fn status(&self) -> crate::run::SourceStatus {
        self.running.as_ref().unwrap().status()
    }

    fn counts(&mut self) -> Counts {
        let store = self.store();
        store.source_counts().get("drop").copied().unwrap_or_default()
    }

    /// `asset/signal value quality time` of every sample in the order of the log, and the marks of rows.
    fn log(&mut self) -> Vec<String> {
        let store = self.store();
        let names: HashMap<_, (AssetName, SignalName)> =
            store.signals().unwrap().into_iter().map(|(no, asset, signal)| (no, (asset, signal))).collect();
        let mut all = Vec::new();
        let mut at = store.log_start();
        while let Some(batch) = store.read(at).unwrap() {
            for entry in &batch.part.entries {
                match entry {
                    Entry::Sample(sample) => {
                        let (asset, signal) = &names[&sample.signal];
                        all.push(format!("{asset}/{signal} {} {} {}", sample.value, sample.quality, sample.time));
                    }
                    Entry::Mark(Mark::Rows { of, from, to }) => {
                        all.push(format!("{} {from}..{to} at {}", of.split('#').next().unwrap(), batch.part.site));
                    }
                    Entry::Mark(_) => {}
                }
            }
            at = batch.end();
        }
        all
    }

    fn samples(&mut self) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains('/')).collect()
    }

    fn rows(&mut self, kind: &str) -> Vec<serde_json::Value> {
        let query = andon_store::Query { limit: 1_000, ascending: true, ..andon_store::Query::default() };
        self.store().list(kind, &query).unwrap().rows
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is a shell of its own")]
fn started() -> Instant {
    Instant::now()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = Machine(started());
    while !condition() {
        assert!(clock.monotonic() < Duration::from_secs(30), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_file_in_latin_with_commas_quotes_and_units_becomes_samples() {
    let rows = format!(
        "  asset: '{{Anlage}}'\n{TIME}  signals:\n    temperature: {{ value: Größe, quality: Q, unit: '[degF]' }}\n    \
         note: {{ value: Notiz }}\n"
    );
    let mut plant =
        Plant::new(&format!("{CSV}encoding: windows-1252\nthousands: '.'\nafter: move\nmoved-to: done\n"), &rows);
    let text = "Zeit;Anlage;Gr\u{F6}\u{DF}e;Notiz;Q\n01.07.2026 10:00:00;Ofen1;1.212,0;\"zwei\nZeilen; \"\"so\"\"\";\n\
                01.07.2026 10:00:01;oven-2;32;;bad\n02.13.2026 10:00:00;Ofen1;1;;\n01.07.2026 10:00:02;Ofen9;1;;\n\
                01.07.2026 10:00:03;Ofen1;warm;ok;\n";
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    plant.write("a.csv", latin);
    plant.start();
    let done = plant.path("done/a.csv");
    until("the file is moved", || done.exists());
    assert_eq!(
        plant.samples(),
        [
            "oven-2/temperature 0 bad 2026-07-01T08:00:01Z",
            "oven-1/temperature 655.5555555555555 good 2026-07-01T08:00:00Z",
            "oven-1/note zwei\nZeilen; \"so\" good 2026-07-01T08:00:00Z",
            "oven-1/note ok good 2026-07-01T08:00:03Z",
        ]
    );
    let aside: Vec<String> = plant
        .rows("quarantine")
        .iter()
        .map(|row| format!("{} {}", row["topic"].as_str().unwrap(), row["detail"].as_str().unwrap()))
        .collect();
    assert_eq!(
        aside,
        [
            "a.csv:5 a.csv, row 3, line 5: column Zeit, found 02.13.2026 10:00:00",
            "a.csv:6 a.csv, row 4, line 6: asset Ofen9",
            "a.csv:7 a.csv, row 5, line 7: column Größe, found the text \"warm\"",
        ]
    );
    let counts = plant.counts();
    assert_eq!((counts.received, counts.stored, counts.quarantined), (7, 4, 3));
    assert!(counts.is_whole());
}

#[test]
fn every_form_and_a_byte_order_mark_are_read() {
    for (settings, name, bytes) in [
        ("format: csv\ncsv: { delimiter: tab }\n", "a.csv", {
            let text = "t\tv\n2026-07-01 10:00:00\t1.5\n";
            [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect::<Vec<u8>>()
        }),
        ("format: jsonl\n", "a.jsonl", b"{\"t\":\"2026-07-01T08:00:00Z\",\"v\":1.5}\n".to_vec()),
        (
            "format: xml\nxml: { row: /r/s }\n",
            "a.xml",
            b"<?xml version='1.0' encoding='iso-8859-1'?><r><s><t>2026-07-01 10:00:00</t><v>1.5</v><x>\xE4</x></s></r>"
                .to_vec(),
        ),
    ] {
        let rows = "  asset: Ofen1\n  time: { columns: [t], form: text }\n  signals: { temperature: { value: v } }\n";
        let mut plant = Plant::new(settings, rows);
        plant.write(name, bytes);
        plant.start();
        until("the row is there", || {
            plant.store().intakes(&Name::new("drop").unwrap()).unwrap().iter().any(|r| !r.open)
        });
        assert_eq!(plant.samples(), ["oven-1/temperature 1.5 good 2026-07-01T08:00:00Z"], "{name}");
    }
}

const SHORT: &str = "  asset: '{a}'\n  time: { columns: [t], form: ms }\n  signals: { '{s}': { value: v } }\n";

fn closed(plant: &mut Plant) -> usize {
    plant.store().intakes(&Name::new("drop").unwrap()).unwrap().iter().filter(|row| !row.open).count()
}

fn line(n: u64) -> String {
    let (asset, signal) = if n.is_multiple_of(3) { ("Ofen1", "temperature") } else { ("oven-2", "count") };
    format!("{},{asset},{signal},{n}\n", 1_767_225_600_000_u64 + n)
}

#[test]
fn a_file_is_taken_when_it_has_its_name_and_what_is_added_later_once() {
    let mut plant = Plant::new("format: csv\npattern: '*.csv'\n", SHORT);
    plant.write("a.csv.part", format!("t,a,s,v\n{}", line(0)));
    plant.write(".hidden.csv", format!("t,a,s,v\n{}", line(7)));
    plant.start();
    until("the folder is read", || plant.status().connected);
    assert_eq!(closed(&mut plant), 0);
    fs::rename(plant.path("a.csv.part"), plant.path("a.csv")).unwrap();
    until("the file is taken", || closed(&mut plant) == 1);
    // The last line had no end yet.
    plant.write("a.csv", format!("t,a,s,v\n{}{}{}", line(0), line(1), line(2).trim_end()));
    until("what was added is taken", || closed(&mut plant) == 2);
    plant.write("a.csv", format!("t,a,s,v\n{}{}{}{}", line(0), line(1), line(2), line(3)));
    until("what was added is taken", || closed(&mut plant) == 3);
    assert_eq!(plant.samples().len(), 4);
    // A copy under another name, also after a restart.
    plant.stop();
    fs::copy(plant.path("a.csv"), plant.path("b.csv")).unwrap();
    plant.start();
    until("the copy is known", || closed(&mut plant) == 4);
    assert_eq!(plant.samples().len(), 4);
    assert!(plant.rows("exceptions").is_empty());
    // What was taken is not what it was.
    plant.write("a.csv", format!("t,a,s,v\n{}", line(9)));
    until("the change is told", || !plant.rows("exceptions").is_empty());
    let told = plant.rows("exceptions");
    assert!(told[0]["cause"].as_str().unwrap().contains("changed after it was taken"), "{told:?}");
    assert_eq!(plant.samples().len(), 4);
    assert!(plant.counts().is_whole());
}

#[test]
fn a_file_that_cannot_be_read_is_one_exception_and_is_put_aside() {
    let mut plant = Plant::new("format: csv\nfailed-to: failed\nafter: delete\n", SHORT);
    plant.write("bad.csv", "x,y\n1,2\n3,4\n");
    plant.write("good.csv", format!("t,a,s,v\n{}", line(1)));
    plant.start();
    let (bad, good) = (plant.path("failed/bad.csv"), plant.path("good.csv"));
    until("both are over", || bad.exists() && !good.exists());
    assert_eq!(plant.samples().len(), 1);
    let told = plant.rows("exceptions");
    assert_eq!((told.len(), told[0]["count"].as_u64()), (1, Some(1)), "{told:?}");
    assert!(told[0]["cause"].as_str().unwrap().contains("no column `a`"), "{told:?}");
    // The name is free again.
    plant.write("good.csv", format!("t,a,s,v\n{}", line(2)));
    until("the next one is taken", || !good.exists());
    assert_eq!(plant.samples().len(), 2);
}

#[test]
fn a_file_waits_for_its_marker_and_both_go() {
    let mut plant = Plant::marked("format: csv\ndone-marker: '{name}.ok'\nafter: delete\n", SHORT);
    plant.write("a.csv", format!("t,a,s,v\n{}", line(1)));
    plant.start();
    until("the folder is read", || plant.status().connected);
    assert_eq!(closed(&mut plant), 0);
    plant.write("a.csv.ok", "");
    let (path, marker) = (plant.path("a.csv"), plant.path("a.csv.ok"));
    until("both are gone", || !path.exists() && !marker.exists());
    assert_eq!(plant.samples().len(), 1);
    assert!(plant.rows("exceptions").is_empty());
}

/// The source is stopped again and again while it reads, each time forgetting all but what is durable.
#[test]
fn a_source_that_is_stopped_anywhere_takes_every_row_once() {
    const ROWS: u64 = 60_000;
    let mut plant = Plant::new("format: csv\nafter: move\nmoved-to: done\n", SHORT);
    let mut text = "t,a,s,v\n".to_owned();
    for n in 0..ROWS {
        text.push_str(&line(n));
        if n % 10_000 == 5 {
            text.push_str("broken\n");
        }
    }
    plant.write("large.csv", &text);
    let done = plant.path("done/large.csv");
    let mut stops = 0;
    while !done.exists() {
        plant.start();
        let before = plant.counts().stored;
        until("more is stored, or all", || done.exists() || plant.counts().stored > before);
        plant.stop();
        stops += 1;
    }
    assert!(stops > 1, "it was stopped on the way");
    let counts = plant.counts();
    assert_eq!((counts.stored, counts.duplicate, counts.quarantined), (ROWS, 0, 6), "{counts:?}");
    let mut samples = plant.samples();
    assert_eq!(samples.len() as u64, ROWS);
    samples.sort();
    samples.dedup();
    assert_eq!(samples.len() as u64, ROWS);
    assert_eq!(plant.rows("quarantine").len(), 6);
}

#[test]
fn what_comes_after_a_file_was_moved_is_a_file_of_its_own_also_where_it_begins_alike() {
    // Rows without a time: equal rows of two files are two samples.
    let rows = "  asset: '{a}'\n  signals: { count: { value: v } }\n";
    let mut plant = Plant::new("format: csv\nafter: move\nmoved-to: done\n", rows);
    plant.write("a.csv", "a,v\noven-2,5\n");
    plant.start();
    let (first, second) = (plant.path("done/a.csv"), plant.path("done/a.2.csv"));
    until("the first is moved", || first.exists());
    plant.write("a.csv", "a,v\noven-2,5\noven-2,6\n");
    until("the second is moved", || second.exists());
    assert_eq!(plant.counts().stored, 3);
}

#[test]
fn a_last_row_without_an_end_is_whole_where_the_next_line_begins_behind_it() {
    let rows = "  asset: '{a}'\n  signals: { count: { value: v } }\n";
    let mut plant = Plant::new("format: csv\n", rows);
    plant.write("a.csv", "a,v\noven-2,5");
    plant.start();
    until("the first is taken", || closed(&mut plant) == 1);
    plant.write("a.csv", "a,v\noven-2,5\noven-2,6\n");
    until("the rest is taken", || closed(&mut plant) == 2);
    assert_eq!(plant.counts().stored, 2);
}

#[test]
fn a_file_that_was_changed_is_read_from_its_first_row_when_it_is_dropped_again() {
    let mut plant = Plant::new("format: csv\nfailed-to: failed\n", SHORT);
    plant.write("a.csv", format!("t,a,s,v\n{}{}", line(0), line(1)));
    plant.start();
    until("it is taken", || closed(&mut plant) == 1);
    let other = format!("t,a,s,v\n{}{}{}", line(5), line(6), line(7));
    plant.write("a.csv", &other);
    let failed = plant.path("failed/a.csv");
    until("it is put aside", || failed.exists());
    assert_eq!(plant.samples().len(), 2);
    plant.write("a.csv", &other);
    until("it is taken as it is now", || closed(&mut plant) == 2 && plant.samples().len() == 5);
}

/// A crash comes while a file is read, and its name is another one afterwards.
#[test]
fn a_file_that_is_renamed_behind_a_crash_goes_on_where_it_was() {
    const ROWS: u64 = 80_000;
    let mut plant = Plant::new("format: csv\nafter: move\nmoved-to: done\n", SHORT);
    plant.write("large.csv", format!("t,a,s,v\n{}", (0..ROWS).map(line).collect::<String>()));
    plant.start();
    until("some of it is stored", || plant.counts().stored > 0);
    plant.stop();
    assert!(plant.counts().stored < ROWS, "it was not stopped on the way");
    fs::rename(plant.path("large.csv"), plant.path("renamed.csv")).unwrap();
    plant.start();
    let done = plant.path("done/renamed.csv");
    until("it is over", || done.exists());
    let counts = plant.counts();
    assert_eq!((counts.stored, counts.duplicate), (ROWS, 0), "{counts:?}");
    // What was taken away is told, and what became of it is there.
    assert_eq!(plant.rows("exceptions").len(), 1);
}
