//! A disk that gets full under a running instance, and has room again: acknowledgements stop, everything says why, what
//! people do is still written, and then all of it goes on by itself with every sample stored once. And one that fails.

use crate::support::*;
use serde_json::Value as Json;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The small file system: the reserve and a segment of the log of 64 MiB each, the database, and little more.
const DISK_MIB: u64 = 224;
/// What is left for samples when the disk begins to fill: it is taken by a file of somebody else.
const LEFT_MIB: u64 = 24;
/// Bytes of the text in a sample, near its limit, so that few messages fill a segment.
const TEXT_BYTES: u64 = 60_000;
/// Messages: more than the first segment of the log holds, and less than two.
const MESSAGES: u64 = 1_800;

/// A small file system of one's own; it goes with this value.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one, or says what is missing and how to get it.
    fn mount(at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(at.to_owned())),
            Ok(output) => Err(format!(
                "a small file system cannot be mounted here ({}): run this test as root, or in a namespace of one's \
                 own with `unshare --map-root-user --mount cargo test -p andon --test product disk`",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => Err(format!("the program `mount` is missing ({error}); on Debian: apt-get install mount")),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still holds a file of it is killed by now, or about to be.
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

/// The example with machines that also say long texts.
fn project(to: &Path) {
    copy_project(&example(), to);
    let class = to.join("classes/machine.yaml");
    let text = fs::read_to_string(&class).unwrap();
    fs::write(&class, with_signal(&text)).unwrap();
    let source = to.join("sources/machines.yaml");
    let text = fs::read_to_string(&source).unwrap();
    let more = "  - topic: machines/{asset}/report\n    qos: 1\n    signals:\n      report:\n        value: /text\n\
                \x20       time: { at: /timestamp, form: text }\n";
    fs::write(&source, format!("{}\n{more}", text.trim_end())).unwrap();
}

/// Adds a signal of texts to the class.
fn with_signal(class: &str) -> String {
    let place = class.find("signals:\n").expect("the class has signals") + "signals:\n".len();
    format!("{}  report: {{ kind: text }}\n{}", &class[..place], &class[place..])
}

/// One message a line, each of a second of its own.
fn publish(port: u16, numbers: std::ops::Range<u64>) {
    let topic = "machines/machine-01/report";
    let mut child = Command::new("mosquitto_pub")
        .args(["-p", &port.to_string(), "-q", "1", "-t", topic, "-l", "-i", "machine"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub is installed; on Debian: apt-get install mosquitto-clients");
    let mut lines = child.stdin.take().unwrap();
    for number in numbers {
        let (hour, minute, second) = (number / 3_600, number / 60 % 60, number % 60);
        // What differs from message to message is packed badly on purpose.
        let text = (0..TEXT_BYTES / 16).fold(String::new(), |text, at| text + &format!("{:016x}", mixed(number, at)));
        let at = format!("2026-03-02 {hour:02}:{minute:02}:{second:02}");
        writeln!(lines, "{{\"text\":\"{number} {text}\",\"timestamp\":\"{at}\"}}").unwrap();
    }
    drop(lines);
    assert!(child.wait().unwrap().success(), "the broker took all of them");
}

fn mixed(number: u64, at: u64) -> u64 {
    let seed = number << 20 | at;
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn get(api: &str, path: &str) -> (u16, Json) {
    let output = Command::new("curl")
        .args(["-s", "-m", "20", "-w", "\n%{http_code}", &format!("http://{api}{path}")])
        .output()
        .expect("curl is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').expect("the instance answers");
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Json::Null))
}

/// PUBACKs that the broker had from the instance.
fn acknowledged(log: &Path) -> u64 {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter(|line| line.contains("Received PUBACK from andon-")).map(|_| 1).sum()
}

#[test]
fn a_full_disk_stops_acknowledgements_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("disk");
    let disk = match Disk::mount(&data) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("NOT RUN: {why}"),
    };
    // The broker keeps what is not acknowledged, on another disk, and writes down each acknowledgement.
    let log = dir.path().join("broker.log");
    let settings = format!(
        "max_queued_messages 0\nmax_queued_bytes 0\npersistence false\nlog_dest file {}\nlog_type all\n",
        log.display()
    );
    let broker = Mosquitto::start(&dir.path().join("broker"), &settings).unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:1".into() };
    let folder = dir.path().join("project");
    project(&folder);
    let mut instance = start_instance(&world, &folder, &data);
    let api = api_of(&instance);
    publish(broker.port(), 0..20);
    let source = || world.list("sources", &data, &[]).remove(0);
    let stored = || source()["stored"].as_u64().unwrap();
    wait_until("the first are stored", || stored() == 20);
    let wrong = ["-p", &broker.port().to_string(), "-q", "1", "-t", "machines/machine-01/report", "-m", "broken"];
    assert!(Command::new("mosquitto_pub").args(wrong).status().unwrap().success());
    wait_until("a broken one is set aside", || world.list("exceptions", &data, &[]).len() == 1);
    let exception = world.list("exceptions", &data, &[])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(get(&api, "/readyz").0, 200);

    // Somebody else takes the disk, all but a little.
    let ballast = data.join("ballast");
    let taken = fs::File::create(&ballast).unwrap();
    let free = free_mib(&data);
    fallocate(&ballast, free - LEFT_MIB);
    drop(taken);
    publish(broker.port(), 20..MESSAGES);
    wait_until("the disk is full", || get(&api, "/readyz").1.to_string().contains("the disk is full"));
    let (code, ready) = get(&api, "/readyz");
    assert_eq!(code, 503, "{ready}");

    // Acknowledgements have stopped: what was acknowledged is stored, and the broker keeps the others.
    let (at_first, kept) = (acknowledged(&log), stored());
    assert!(kept < MESSAGES, "not all of it found room: {kept}");
    assert!(at_first <= kept + 1, "acknowledged is stored, or set aside: {at_first} and {kept}");
    let status = get(&api, "/v1/status").1;
    let finding = status["findings"].as_array().unwrap().iter().find(|f| f["subject"] == "the disk").cloned();
    let finding = finding.unwrap_or_else(|| panic!("{status:#}"));
    assert_eq!((&finding["level"], &status["health"]), (&Json::from("error"), &Json::from("down")), "{finding}");
    assert!(finding["since"].is_string() && finding["remedy"].as_str().unwrap().contains("128 MiB"), "{finding}");
    let page = world.run(&["status", "--data", data.to_str().unwrap()]);
    assert_eq!(page.status.code(), Some(3));
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("error: the disk:") && page.contains("next: free at least 128 MiB"), "{page}");
    assert!(page.contains("store-full"), "the source says why it takes nothing: {page}");

    // What people do is still written, and questions are answered: the reserve is there for that.
    assert!(!data.join("reserve").exists(), "it was released");
    let metrics = Command::new("curl").args(["-s", &format!("http://{api}/metrics")]).output().unwrap();
    assert!(String::from_utf8_lossy(&metrics.stdout).contains("andon_disk_full 1\n"));
    let at = ["--data", data.to_str().unwrap()];
    for person in ["mia", "jonas", "mia"] {
        world
            .ok(&[["exceptions", "assign", &exception, "--to", person, "--reason", "the disk"].as_slice(), &at]
                .concat());
    }
    // What has its place in the log is refused with the reason, and not half done.
    let act = [
        "alarms",
        "disable",
        "--rule",
        "machine-temperature",
        "--asset",
        "machine-01",
        "--reason",
        "a test",
        "--actor",
        "eva",
    ];
    let said = String::from_utf8(world.run(&[act.as_slice(), &at].concat()).stderr).unwrap();
    assert!(said.contains("is full"), "{said}");
    assert!(acknowledged(&log) <= kept + 1, "only what is stored, and the one that was set aside");
    assert_eq!(stored(), kept, "nothing more was taken meanwhile");

    // Room again: all of it goes on by itself.
    fs::remove_file(&ballast).unwrap();
    wait_until("all are stored", || stored() == MESSAGES);
    wait_until("the instance is ready again", || get(&api, "/readyz").0 == 200);
    assert!(data.join("reserve").exists(), "the reserve is taken again");
    wait_until("all are acknowledged", || acknowledged(&log) > MESSAGES);
    assert_eq!(source()["quarantined"], 1);
    let audited = world.list("audit", &data, &["subject=".to_owned() + &exception].each_ref().map(String::as_str));
    assert_eq!(audited.len(), 3, "what people did on the full disk is kept: {audited:#?}");
    let count = world.ok(&[["list", "samples", "--count", "--json"].as_slice(), &at].concat());
    assert!(count.contains(&MESSAGES.to_string()), "{count}");
    // Each once: a message that came again was known.
    let seams = get(&api, "/v1/status").1["seams"].clone();
    assert!(seams.as_array().unwrap().iter().all(|seam| seam["holds"] == true), "{seams:#}");
    let mut numbers: Vec<u64> = texts(&world, &data);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "every sample is there, and once");
    instance.stop();
    let doctor = world.run(&[["doctor"].as_slice(), &at].concat());
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    eprintln!("{kept} of {MESSAGES} were stored when the disk was full, {at_first} acknowledged");
    drop(disk);
}

#[test]
fn a_sync_that_fails_ends_the_instance_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (data, folder) = (dir.path().join("data"), dir.path().join("project"));
    let broker = Mosquitto::start(&dir.path().join("broker"), "").unwrap();
    let world = World { mqtt: broker.address(), eam: "http://127.0.0.1:1".into() };
    project(&folder);
    let mut instance = start_instance(&world, &folder, &data);
    publish(broker.port(), 0..20);
    let stored = || world.list("sources", &data, &[])[0]["stored"].as_u64().unwrap();
    wait_until("the first are stored", || stored() == 20);
    let pid = instance.child.id().to_string();
    let segment = fs::read_dir(data.join("log")).unwrap().next().expect("the log has a segment").unwrap().path();
    let mut disk = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p", &pid, "-P"])
        .arg(&segment)
        .arg("-o")
        .arg(dir.path().join("trace"))
        .spawn()
        .expect("strace is installed; on Debian: apt-get install strace");
    let is_traced = || {
        let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().map(status);
        threads.all(|status| !status.contains("TracerPid:\t0\n"))
    };
    wait_until("every sync of the segment fails", is_traced);
    publish(broker.port(), 20..21);
    let mut ended = None;
    wait_until("the instance ends", || {
        ended = instance.child.try_wait().unwrap();
        ended.is_some()
    });
    disk.wait().unwrap();
    assert_eq!(ended.unwrap().code(), Some(1), "{}", instance.text());
    let said = instance.text();
    assert!(said.contains("error: the log has stopped: cannot sync") && said.contains("start the instance"), "{said}");

    // The disk is well again.
    let mut instance = start_instance(&world, &folder, &data);
    wait_until("what was not acknowledged came again", || stored() == 21);
    let mut numbers = texts(&world, &data);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..21).collect::<Vec<_>>(), "every sample is there, and once");
    instance.stop();
}

/// The numbers at the beginning of the stored texts.
fn texts(world: &World, data: &Path) -> Vec<u64> {
    let args = [
        "list",
        "samples",
        "--asset",
        "machine-01",
        "--signal",
        "report",
        "--from",
        "2026-03-01T00:00:00Z",
        "--to",
        "2026-03-03T00:00:00Z",
        "--limit",
        "10000",
        "--json",
        "--data",
        data.to_str().unwrap(),
    ];
    let rows = world.ok(&args);
    let row = |line: &str| serde_json::from_str::<Json>(line).unwrap();
    let number = |row: Json| row["value"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
    rows.lines().map(row).map(number).collect()
}

fn free_mib(dir: &Path) -> u64 {
    let output = Command::new("df").args(["-B1M", "--output=avail"]).arg(dir).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().trim().parse().unwrap()
}

fn fallocate(path: &Path, mib: u64) {
    let done = Command::new("fallocate").args(["-l", &format!("{mib}MiB")]).arg(path).status().unwrap();
    assert!(done.success());
}
