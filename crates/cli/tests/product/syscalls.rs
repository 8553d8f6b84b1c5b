//! What the kernel saw: the segment is synced before each PUBACK, the journal before each outgoing call.
//!
//! The running program is traced with strace. The judge reads the trace alone and knows nothing of the code, and it is
//! itself tried on traces from which the syncs were removed.

use crate::support::*;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// A system call that has returned.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    name: String,
    text: String,
}

/// Reads a trace of `strace -f -yy`: calls that were interrupted by others are joined at the place of their return.
fn read_trace(text: &str) -> Vec<Call> {
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.trim_start().split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            open.insert(pid.to_owned(), begin.to_owned());
            // What is written counts from its beginning: its bytes may be on the wire before it returns.
            if is_output(begin) {
                calls.push(call(begin));
            }
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let begin = open.remove(pid).unwrap_or_default();
            if !is_output(&begin) {
                let end = resumed.split_once("resumed>").map_or("", |(_, end)| end);
                calls.push(call(&format!("{begin}{end}")));
            }
            continue;
        }
        calls.push(call(rest));
    }
    calls
}

fn is_output(text: &str) -> bool {
    text.contains("<TCP:") && ["write", "sendto", "sendmsg"].iter().any(|name| text.starts_with(name))
}

fn call(text: &str) -> Call {
    let name = text.split('(').next().unwrap_or("").to_owned();
    Call { name, text: text.to_owned() }
}

fn is_sync_of(call: &Call, file: &str) -> bool {
    (call.name == "fdatasync" || call.name == "fsync")
        && call.text.contains(file)
        && call.text.trim_end().ends_with("= 0")
}

fn is_write_to(call: &Call, file: &str) -> bool {
    ["pwrite64", "write", "pwritev", "writev", "pwritev2"].contains(&call.name.as_str()) && call.text.contains(file)
}

/// A PUBACK begins with the bytes 0x40 0x02 (MQTT 5 without reason, MQTT 3.1.1) or 0x40 and a longer length.
fn pubacks(call: &Call, broker: u16) -> bool {
    is_output(&call.text) && call.text.contains(&format!(":{broker}]>")) && call.text.contains("\"@\\")
}

fn sends_request(call: &Call, office: u16) -> bool {
    is_output(&call.text) && call.text.contains(&format!(":{office}]>")) && call.text.contains("\"POST ")
}

/// Between each output and the one before it there must be a write to the file and, after it, a sync of it.
/// Gives the number of outputs, or the first that was not covered.
fn judge(calls: &[Call], file: &str, is_output: &dyn Fn(&Call) -> bool) -> Result<usize, String> {
    let (mut written, mut synced, mut outputs) = (false, false, 0);
    for call in calls {
        if is_write_to(call, file) {
            (written, synced) = (true, false);
        } else if is_sync_of(call, file) {
            synced = written;
        } else if is_output(call) {
            if !synced {
                return Err(format!("written {written}, synced {synced} before: {}", call.text));
            }
            outputs += 1;
            (written, synced) = (false, false);
        }
    }
    Ok(outputs)
}

/// The reference in the body of a request.
fn reference(call: &Call) -> Option<&str> {
    let (_, rest) = call.text.split_once(r#"\"reference\":\""#)?;
    rest.split_once('\\').map(|(reference, _)| reference)
}

/// Before each request its attempt, with its body, must have been written to the journal and synced. Others write there
/// too, so that the attempt is told by what only its row holds. Gives the number of requests.
fn judge_requests(calls: &[Call], journal: &str, office: u16) -> Result<usize, String> {
    let (mut written, mut synced, mut requests) = (Vec::new(), String::new(), 0);
    for call in calls {
        if is_write_to(call, journal) && call.text.contains("longDescription") {
            written.push(call.text.as_str());
        } else if is_sync_of(call, journal) {
            written.drain(..).for_each(|text| synced.push_str(text));
        } else if sends_request(call, office) {
            let reference = reference(call).ok_or_else(|| format!("no reference in {}", call.text))?;
            if !synced.contains(reference) {
                return Err(format!("the attempt of {reference} was not durable before its request"));
            }
            requests += 1;
        }
    }
    Ok(requests)
}

#[test]
fn the_segment_is_synced_before_each_puback_and_the_journal_before_each_call() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let office_port = free_port();
    let world = World { mqtt: broker.address(), eam: format!("http://127.0.0.1:{office_port}") };
    let (data, project, trace) = (dir.path().join("data"), dir.path().join("project"), dir.path().join("trace"));
    copy_project(&example(), &project);
    // One message at a time, and every hot one opens a request: no sync can serve two of them.
    let class = project.join("classes/machine.yaml");
    let text = fs::read_to_string(&class).unwrap().replace("OnDelay: 60 min", "OnDelay: 0 s");
    fs::write(&class, text).unwrap();
    let _office = start_office(&world, office_port, &dir.path().join("requests.jsonl"));
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-yy",
        "-s",
        "16384",
        "-e",
        "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync",
        "-o",
    ]);
    command.arg(&trace).arg(env!("CARGO_BIN_EXE_andon"));
    command.args(["run", project.to_str().unwrap(), "--data", data.to_str().unwrap(), "--api", "127.0.0.1:0"]);
    command.env("ANDON_MQTT", &world.mqtt).env("ANDON_EAM", &world.eam);
    let instance = Running::start(command);
    wait_ready(&instance);
    let api = api_of(&instance);

    let messages = 12;
    for i in 0..messages {
        // 80, 120, 80, 120, ...: every second message activates, every other ends the alarm.
        let value = if i % 2 == 0 { 80 } else { 120 };
        let payload = format!(r#"{{"timestamp":"2026-03-02 08:{i:02}:00","value":{value}}}"#);
        let port = broker.port().to_string();
        let sent = Command::new("mosquitto_pub")
            .args(["-p", &port, "-q", "1", "-t", "machines/machine-01/temperature", "-m", &payload])
            .status()
            .expect("mosquitto_pub is installed with Mosquitto's clients");
        assert!(sent.success());
        wait_until("it has been stored", || {
            let text = world.ok(&["list", "sources", "--api", &api, "--json"]);
            let source: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
            source["stored"].as_u64() == Some(i + 1)
        });
        wait_until("its call was delivered", || {
            let text = world.ok(&["list", "calls", "--api", &api, "--json", "--where", "state=delivered"]);
            text.lines().count() as u64 == i.div_ceil(2)
        });
    }
    drop(instance);

    let text = fs::read_to_string(&trace).unwrap();
    let calls = read_trace(&text);
    let acks = judge(&calls, ".seg>", &|c| pubacks(c, broker.port())).unwrap();
    assert_eq!(acks as u64, messages, "each message has a PUBACK of its own");
    let requests = judge_requests(&calls, "andon.db-wal>", office_port).unwrap();
    assert_eq!(requests as u64, messages / 2, "each activation has a call of its own");
    the_judge_sees_what_is_missing(&calls, broker.port(), office_port);
}

/// The same trace without the syncs of one file is condemned.
fn the_judge_sees_what_is_missing(calls: &[Call], broker: u16, office: u16) {
    let without = |file: &str| -> Vec<Call> { calls.iter().filter(|c| !is_sync_of(c, file)).cloned().collect() };
    assert!(judge(&without(".seg>"), ".seg>", &|c| pubacks(c, broker)).is_err());
    assert!(judge_requests(&without("andon.db-wal>"), "andon.db-wal>", office).is_err());
}

#[test]
fn the_judge_reads_interrupted_calls() {
    let trace = "\
10 pwrite64(7</d/log/0.seg>, \"x\", 1, 0) = 1
11 fdatasync(7</d/log/0.seg> <unfinished ...>
10 write(9<TCP:[127.0.0.1:5->127.0.0.1:1883]>, \"@\\2\\0\\1\", 4 <unfinished ...>
11 <... fdatasync resumed>) = 0
10 <... write resumed>) = 4
";
    let calls = read_trace(trace);
    assert!(judge(&calls, ".seg>", &|c| pubacks(c, 1883)).is_err(), "the sync had not returned");
    let good = trace.replace("10 write(9", "11 <... fdatasync resumed>) = 0\n10 write(9");
    assert_eq!(judge(&read_trace(&good), ".seg>", &|c| pubacks(c, 1883)), Ok(1));
    assert!(Path::new("/usr/bin/strace").exists() || which("strace"), "strace is missing; apt-get install strace");
}

fn which(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).status().is_ok_and(|s| s.success())
}
