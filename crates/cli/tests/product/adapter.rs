//! A machine tool's adapter: its recording through `andon feed` and a source that speaks SHDR, counted independently.

use crate::support::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

/// The recording where it is at hand, else the synthetic one: the test says which of the two it used.
fn recording() -> PathBuf {
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let file = data.join("mtconnect-okuma-imts2022/okuma.shdr.txt");
    if file.is_file() {
        eprintln!("data: recorded, {}", file.display());
        return file;
    }
    eprintln!("data: synthetic");
    root().join("examples/cnc-cell/data/lathe_synthetic.shdr")
}

/// What a recording must give, computed without the program: by item the distinct times and values, how many values
/// there are, and how many documents about tools.
struct Expected {
    distinct: BTreeMap<String, BTreeSet<(String, String)>>,
    values: u64,
    documents: u64,
}

impl Expected {
    /// The times and values of an item as the program shows them.
    fn shown(&self, item: &str) -> BTreeSet<(String, String)> {
        self.distinct[item].iter().map(|(time, value)| (written(time), as_shown(value))).collect()
    }

    fn stored(&self) -> u64 {
        self.distinct.values().map(|set| set.len() as u64).sum()
    }
}

fn expected(text: &str) -> Expected {
    let mut all = Expected { distinct: BTreeMap::new(), values: 0, documents: 0 };
    let mut document: Option<String> = None;
    for line in text.lines() {
        if document.as_deref() == Some(line) {
            document = None;
            continue;
        }
        if document.is_some() || line.starts_with('*') {
            continue;
        }
        if let Some(at) = line.find("--multiline--") {
            document = Some(line[at..].to_owned());
        }
        let unescaped = line.replace("\\|", "\u{1}");
        let fields: Vec<String> =
            unescaped.split('|').map(|f| f.trim().trim_matches('"').replace('\u{1}', "|")).collect();
        if fields[1].starts_with('@') {
            all.documents += 1;
            continue;
        }
        let is_condition = fields.len() == 7 && ["NORMAL", "WARNING", "FAULT"].contains(&fields[2].as_str());
        let pairs = if is_condition { &fields[1..3] } else { &fields[1..] };
        for pair in pairs.chunks(2) {
            // Numbers are compared as numbers, a condition by its level.
            let value = match pair[1].as_str() {
                "NORMAL" if is_condition => "0".to_owned(),
                "FAULT" if is_condition => "2".to_owned(),
                text => text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string()),
            };
            all.values += 1;
            all.distinct.entry(pair[0].clone()).or_default().insert((fields[0].clone(), value));
        }
    }
    all
}

struct Lathe {
    _dir: tempfile::TempDir,
    world: World,
    port: u16,
    project: PathBuf,
    data: PathBuf,
}

fn lathe() -> Lathe {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("project");
    copy_project(&root().join("examples/cnc-cell"), &project);
    let port = free_port();
    let address = format!("shdr://127.0.0.1:{port}");
    let source = project.join("sources/lathe.yaml");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("shdr://127.0.0.1:7878", &address)).unwrap();
    let world = World { mqtt: String::new(), eam: String::new() };
    Lathe { world, port, project, data: dir.path().join("data"), _dir: dir }
}

impl Lathe {
    fn start(&self) -> Running {
        let mut command = self.world.command(&[
            "run",
            self.project.to_str().unwrap(),
            "--data",
            self.data.to_str().unwrap(),
            "--api",
            "127.0.0.1:0",
        ]);
        command.env_remove("ANDON_SHDR");
        Running::start(command)
    }

    /// What the folder holds so far; nothing while there is none.
    fn stored(&self) -> u64 {
        let listed = self.world.run(&["list", "sources", "--data", self.data.to_str().unwrap(), "--json"]);
        let first = serde_json::from_slice::<serde_json::Value>(&listed.stdout).ok();
        first.and_then(|source| source["stored"].as_u64()).unwrap_or(0)
    }

    fn feed(&self, file: &Path) -> std::process::Command {
        let mut command = self.world.command(&[
            "feed",
            file.to_str().unwrap(),
            "--project",
            self.project.to_str().unwrap(),
            "--data",
            self.data.to_str().unwrap(),
            "--json",
        ]);
        command.env_remove("ANDON_SHDR");
        command
    }

    /// By item the times and values that are stored.
    fn found(&self) -> BTreeMap<String, BTreeSet<(String, String)>> {
        let mut found: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for sample in self.world.list("samples", &self.data, &[]) {
            let item = sample["signal"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            let value = match &sample["value"] {
                serde_json::Value::String(text) => text.clone(),
                _ if sample["quality"] == "bad" => "UNAVAILABLE".to_owned(),
                number => number.as_f64().unwrap().to_string(),
            };
            let time = sample["time"].as_str().unwrap().to_owned();
            found.entry(item).or_default().insert((time, value));
        }
        found
    }

    /// Every data item of every line is stored once, with its time and value, and the sessions lie in order of time.
    fn check(&self, text: &str) {
        let expected = expected(text);
        let source = &self.world.list("sources", &self.data, &[])[0];
        let count = |key: &str| source[key].as_u64().unwrap();
        assert_eq!(count("stored"), expected.stored(), "{source}");
        assert!(count("refused") >= expected.documents, "{source}");
        assert_eq!(count("quarantined"), 0, "{source}");
        let found = self.found();
        // A line may be a moment older than the one before, a session is not.
        let times: Vec<String> = self.world.list("samples", &self.data, &[]).iter().map(time_of).collect();
        assert!(times.is_sorted_by_key(|time| minute(time).to_owned()), "the sessions are in order of time");
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.distinct.keys().collect::<Vec<_>>());
        for (item, found) in &found {
            assert_eq!(shown(found), expected.shown(item), "{item}");
        }
    }
}

fn shown(found: &BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
    found.iter().map(|(time, value)| (time.clone(), as_shown(value))).collect()
}

/// A number as a number, so that a signal of text and one of numbers compare alike.
fn as_shown(value: &str) -> String {
    value.parse::<f64>().map_or_else(|_| value.to_owned(), |number| number.to_string())
}

/// A time without the zeros at its end, as the program writes it.
fn written(time: &str) -> String {
    let time = time.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    // A whole minute or ten seconds end with zeros too.
    let whole = time.get(..19).map_or_else(|| format!("{time:0<19}"), str::to_owned);
    format!("{whole}{}Z", time.get(19..).unwrap_or_default())
}

fn time_of(sample: &serde_json::Value) -> String {
    sample["time"].as_str().unwrap().to_owned()
}

fn minute(time: &str) -> &str {
    time.get(..15).unwrap_or_default()
}

#[test]
fn every_data_item_of_the_recording_is_stored_once_and_the_sessions_in_order() {
    let lathe = lathe();
    let file = recording();
    let _instance = lathe.start();
    let output = lathe.feed(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&file).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["lines"], text.lines().count(), "{told}");
    let sessions = text.lines().filter(|line| line.contains("|avail|AVAILABLE|")).count();
    assert_eq!(told["sessions"], sessions, "{told}");
    lathe.check(&text);
    // Whoever was not connected may have missed something: one gap before each session but the first.
    assert!(lathe.world.list("gaps", &lathe.data, &[]).len() >= sessions - 1);
}

#[test]
fn a_killed_instance_doubles_nothing_and_tells_what_it_may_have_missed() {
    let lathe = lathe();
    let file = recording();
    let text = fs::read_to_string(&file).unwrap();
    let mut feed = lathe.feed(&file).stdout(std::process::Stdio::null()).spawn().unwrap();
    for _ in 0..3 {
        let before = lathe.stored();
        let mut instance = lathe.start();
        wait_until("more is stored, or all", || feed.try_wait().unwrap().is_some() || lathe.stored() > before);
        instance.kill();
    }
    let _instance = lathe.start();
    assert!(feed.wait().unwrap().success());
    // An adapter sends nothing twice: what was read and not durable when the instance was killed lies in a gap.
    let (expected, found) = (expected(&text), lathe.found());
    let distinct: u64 = found.values().map(|set| set.len() as u64).sum();
    assert_eq!(lathe.stored(), distinct, "nothing is stored twice");
    for (item, found) in &found {
        assert!(shown(found).is_subset(&expected.shown(item)), "{item}");
    }
    assert!(!lathe.world.list("gaps", &lathe.data, &[]).is_empty());
}

/// An adapter that is not ours: it sends a file to whoever connects, and answers nothing.
#[test]
fn an_adapter_without_signs_of_life_is_read() {
    let lathe = lathe();
    let text = fs::read_to_string(root().join("examples/cnc-cell/data/lathe_synthetic.shdr")).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", lathe.port)).unwrap();
    let sent = text.clone();
    let adapter = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut ping = [0; 7];
        stream.read_exact(&mut ping).unwrap();
        assert_eq!(&ping, b"* PING\n");
        stream
    });
    let _instance = lathe.start();
    let expected = expected(&text);
    let stream = adapter.join().unwrap();
    wait_until("everything is stored", || {
        let sources = lathe.world.list("sources", &lathe.data, &[]);
        sources.first().is_some_and(|s| s["stored"] == expected.stored() && s["connected"] == true)
    });
    drop(stream);
    wait_until("the end of the connection is seen", || {
        lathe.world.list("sources", &lathe.data, &[])[0]["connected"] == false
    });
}
