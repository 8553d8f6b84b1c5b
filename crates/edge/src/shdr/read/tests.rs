//! What lines of adapters become.

use super::*;
use andon_model::{AssetName, Entry, SignalName, SignalNo};
use andon_store::Store;

const PROJECT: [(&str, &str); 5] = [
    ("andon.yaml", "name: t\nformat: 1\ninstances: { p: { role: both, zone: plant, api: '127.0.0.1:8730' } }\n"),
    (
        "classes/lathe.yaml",
        "signals:\n  S1load: { kind: f64, unit: '%', range: [0, 200] }\n  exec: { kind: text }\n  \
         parts: { kind: i64 }\n  \
         door-open: { kind: bool }\n  system: { kind: i64 }\n  coolant: { kind: text }\n  note: { kind: text }\n  \
         vibration: { kind: f64 }\n  vars: { kind: text }\n",
    ),
    (
        "assets/works.yaml",
        "site: works\nzone: plant\nassets:\n  lathe-1: { class: lathe }\n  lathe-2: { class: lathe, addresses: { \
         lathe: MULTUS } }\n",
    ),
    ("policies/ownership.yaml", "teams: { all: { mail: a@b.example } }\nrules: [{ owner: all }]\n"),
    (
        "sources/lathe.yaml",
        "kind: shdr\nadapter: shdr://127.0.0.1:7878\nasset: lathe-1\nzone: Europe/Berlin\nitems: { pc: parts }\nforms: { \
         note: message, vibration: time-series, vars: data-set }\n",
    ),
];

fn contract(others: &str) -> Arc<Contract> {
    let files = PROJECT.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let mut files: BTreeMap<String, String> = files.into_iter().collect();
    files.get_mut("sources/lathe.yaml").unwrap().push_str(others);
    match andon_contract::from_files(files) {
        Ok(loaded) => Arc::new(loaded.contract),
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

const RECEIVED: &str = "2026-03-02T12:00:00Z";

/// What lines become: `asset/signal value quality time`, then what was set aside as `code place`, then the counts.
fn read(others: &str, lines: &[&str]) -> Vec<String> {
    let contract = contract(others);
    let name = Name::new("lathe").unwrap();
    let store = Store::memory(&mut |bytes| bytes.fill(7));
    let mut core = ShdrCore::new(&contract, &name, Duplicates::new([1, 2, 3, 4])).unwrap();
    core.begin();
    let mut known: Vec<(AssetName, SignalName)> = Vec::new();
    for line in lines {
        let mut numbers = |asset: &AssetName, signal: &SignalName| {
            let pair = (asset.clone(), signal.clone());
            let at = known.iter().position(|k| *k == pair).unwrap_or_else(|| {
                known.push(pair);
                known.len() - 1
            });
            Ok(SignalNo(u32::try_from(at).unwrap()))
        };
        core.heard(Heard::Line(line), Time::parse(RECEIVED).unwrap(), &mut numbers).unwrap();
    }
    let counts = core.intake.store(&store).unwrap();
    assert!(counts.is_whole(), "{counts:?}");
    let mut shown = Vec::new();
    let mut at = store.log_start();
    while let Some(batch) = store.read(at).unwrap() {
        for entry in &batch.part.entries {
            let Entry::Sample(sample) = entry else { continue };
            let (asset, signal) = &known[sample.signal.0 as usize];
            let quality = sample.quality;
            let time = sample.time;
            shown.push(format!("{asset}/{signal} {} {quality} {time}", sample.value));
        }
        at = batch.end();
    }
    let query = andon_store::Query { limit: 100, ascending: true, ..andon_store::Query::default() };
    for row in store.list("quarantine", &query).unwrap().rows {
        shown.push(format!("aside: {}", row["detail"].as_str().unwrap()));
    }
    shown.push(format!(
        "{} received, {} duplicate, {} aside, {} refused",
        counts.received, counts.duplicate, counts.quarantined, counts.refused
    ));
    shown
}

#[test]
fn pairs_become_samples_by_the_kind_of_their_signals() {
    let lines = [
        "2026-03-02T11:00:00.5Z|S1load|12.5|exec|ACTIVE|pc|3|door-open|OFF",
        "2026-03-02T12:00:01|S1load|250|MULTUS:exec|READY",
        "2026-03-02T11:00:02Z|S1load|UNAVAILABLE|exec|UNAVAILABLE|pc||exec|",
        "2026-03-02T11:00:03Z|pc|0:MANUAL|DoorOpen|ON",
        "2026-03-02T11:00:00.5Z|S1load|12.5",
        "|exec|STOPPED|",
    ];
    assert_eq!(
        read("", &lines),
        [
            "lathe-1/S1load 12.5 good 2026-03-02T11:00:00.5Z",
            "lathe-1/exec ACTIVE good 2026-03-02T11:00:00.5Z",
            "lathe-1/parts 3 good 2026-03-02T11:00:00.5Z",
            "lathe-1/door-open false good 2026-03-02T11:00:00.5Z",
            "lathe-1/S1load 250 uncertain 2026-03-02T11:00:01Z",
            "lathe-2/exec READY good 2026-03-02T11:00:01Z",
            "lathe-1/S1load 0 bad 2026-03-02T11:00:02Z",
            "lathe-1/exec UNAVAILABLE bad 2026-03-02T11:00:02Z",
            "lathe-1/parts 0 bad 2026-03-02T11:00:02Z",
            "lathe-1/exec  good 2026-03-02T11:00:02Z",
            "lathe-1/parts 0 good 2026-03-02T11:00:03Z",
            "lathe-1/door-open true good 2026-03-02T11:00:03Z",
            "lathe-1/exec STOPPED good 2026-03-02T12:00:00Z",
            "14 received, 1 duplicate, 0 aside, 0 refused",
        ]
    );
}

#[test]
fn a_condition_is_the_worst_of_what_is_active_or_all_that_is_said() {
    let lines = [
        "2026-03-02T11:00:01Z|system|WARNING|17|1|LOW|Filter",
        "2026-03-02T11:00:02Z|system|FAULT|18|9||Pump",
        "2026-03-02T11:00:03Z|system|NORMAL|18|||",
        "2026-03-02T11:00:04Z|system|normal||||",
        "2026-03-02T11:00:05Z|system|UNAVAILABLE||||",
        "2026-03-02T11:00:06Z|coolant|FAULT|4|2||\"Level \\| low\"",
        "2026-03-02T11:00:07Z|coolant|NORMAL||||",
        // Six fields that are three pairs.
        "2026-03-02T11:00:08Z|exec|NORMAL|S1load|5|pc|6",
    ];
    assert_eq!(
        read("", &lines),
        [
            "lathe-1/system 1 good 2026-03-02T11:00:01Z",
            "lathe-1/system 2 good 2026-03-02T11:00:02Z",
            "lathe-1/system 1 good 2026-03-02T11:00:03Z",
            "lathe-1/system 0 good 2026-03-02T11:00:04Z",
            "lathe-1/system 0 bad 2026-03-02T11:00:05Z",
            "lathe-1/coolant {\"level\":\"FAULT\",\"code\":\"4\",\"severity\":\"2\",\"text\":\"Level | low\"} good \
             2026-03-02T11:00:06Z",
            r#"lathe-1/coolant {"level":"NORMAL"} good 2026-03-02T11:00:07Z"#,
            "lathe-1/exec NORMAL good 2026-03-02T11:00:08Z",
            "lathe-1/S1load 5 good 2026-03-02T11:00:08Z",
            "lathe-1/parts 6 good 2026-03-02T11:00:08Z",
            "10 received, 0 duplicate, 0 aside, 0 refused",
        ]
    );
}

#[test]
fn messages_series_and_sets_are_read_as_declared() {
    let lines = [
        "2026-03-02T11:00:01Z|note|E7|Change the \"filter\"|exec|ACTIVE",
        "2026-03-02T11:00:02Z@3|vibration|3|2|1.5 2.5 3.5|exec|READY",
        "2026-03-02T11:00:03Z|vars|:MANUAL a=1 b=\"x y\" gone",
        "2026-03-02T11:00:04Z|vibration|4|2|1 2|exec|ACTIVE",
        "2026-03-02T11:00:05Z|vibration|1|0|1",
    ];
    assert_eq!(
        read("", &lines),
        [
            r#"lathe-1/note {"code":"E7","text":"Change the \"filter\""} good 2026-03-02T11:00:01Z"#,
            "lathe-1/exec ACTIVE good 2026-03-02T11:00:01Z",
            "lathe-1/vibration 1.5 good 2026-03-02T11:00:01Z",
            "lathe-1/vibration 2.5 good 2026-03-02T11:00:01.5Z",
            "lathe-1/vibration 3.5 good 2026-03-02T11:00:02Z",
            "lathe-1/exec READY good 2026-03-02T11:00:02Z",
            r#"lathe-1/vars {":reset":"MANUAL","a":"1","b":"x y","gone":null} good 2026-03-02T11:00:03Z"#,
            "lathe-1/exec ACTIVE good 2026-03-02T11:00:04Z",
            "aside: data item vibration: found 4",
            "aside: data item vibration: found 1",
            "10 received, 0 duplicate, 2 aside, 0 refused",
        ]
    );
}

#[test]
fn what_no_signal_takes_is_set_aside_by_item_with_a_line_of_its_own() {
    let lines = [
        "2026-03-02T11:00:01Z|S9load|7|exec|ACTIVE|other|\"a \\| b\"",
        "2026-03-02T11:00:02Z|Cond9|FAULT|17|1|LOW|Filter",
        "2026-03-02T10:00:00Z|@ASSET@|4711|CuttingTool|\n<Tool a=\"|\"/>",
        "yesterday|exec|ACTIVE",
        "1999-03-02T11:00:01Z|exec|ACTIVE",
        "2026-03-02T11:00:01Z|GHOST:exec|ACTIVE",
        "2026-03-02T11:00:03Z|exec|ACTIVE|S1load",
        "2026-03-02T11:00:04Z|S1load|much",
        "no pipe",
        "* device: MULTUS",
        "2026-03-02T11:00:05Z|exec|ACTIVE",
    ];
    let shown = read("", &lines);
    assert_eq!(
        shown,
        [
            "lathe-1/exec ACTIVE good 2026-03-02T11:00:01Z",
            "lathe-1/exec ACTIVE good 2026-03-02T11:00:03Z",
            "lathe-2/exec ACTIVE good 2026-03-02T11:00:05Z",
            "aside: data item S9load",
            "aside: data item other",
            "aside: data item Cond9",
            "aside: 4711|CuttingTool|\u{FFFD}<Tool a=\"|\"/>",
            "aside: yesterday|exec|ACTIVE; found yesterday",
            "aside: 1999-03-02T11:00:01Z|exec|ACTIVE; found 1999-03-02T11:00:01Z",
            "aside: data item GHOST:exec",
            "aside: data item S1load: found nothing",
            "aside: data item S1load: found the text \"much\"",
            "aside: no pipe",
            "13 received, 0 duplicate, 10 aside, 0 refused",
        ]
    );
    let ignored = read("others: ignore\n", lines.get(..3).unwrap());
    assert_eq!(ignored.last().unwrap(), "5 received, 0 duplicate, 0 aside, 4 refused");
}

#[test]
fn a_line_that_was_set_aside_reads_back_alone() {
    let at = At {
        stamp: "2026-03-02T11:00:01Z",
        moment: value::moment(None, Time(0), Span::from_secs(1), false).unwrap(),
        claimed: None,
        received: Time(0),
    };
    let own = ["a \\ | \"b\"".into(), "c".into()];
    let line = String::from_utf8(at.line(None, "x", &own)).unwrap();
    let Ok(Said::Data(data)) = parse(&line) else { panic!("{line}") };
    assert_eq!(data.fields, ["x", "a \\ | \"b\"", "c"]);
}

#[test]
fn relative_times_begin_when_they_first_come() {
    let lines = ["1000|exec|A", "1500.5|exec|B"];
    assert_eq!(
        read("", &lines)[..2],
        ["lathe-1/exec A good 2026-03-02T12:00:00Z", "lathe-1/exec B good 2026-03-02T12:00:00.5005Z"]
    );
}
