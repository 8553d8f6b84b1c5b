//! `andon demo`: the machine-temperature example from the broker to the explained work request.

use crate::{
    args::{Demo, Where},
    output::{self, NO, failure},
    target::Target,
};
use andon_api::{Kind, Query};
use andon_demo::broker::Mosquitto;
use andon_observe::{Lineage, narrate::narrate};
use anyhow::Context;
use serde_json::{Value as Json, json};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

/// The example, as it is checked in.
const PROJECT: &[(&str, &str)] = &[
    ("andon.yaml", include_str!("../../../../examples/machine-temperature/andon.yaml")),
    ("assets/foundry.yaml", include_str!("../../../../examples/machine-temperature/assets/foundry.yaml")),
    ("classes/machine.yaml", include_str!("../../../../examples/machine-temperature/classes/machine.yaml")),
    ("sources/machines.yaml", include_str!("../../../../examples/machine-temperature/sources/machines.yaml")),
    (
        "rules/machine-temperature.yaml",
        include_str!("../../../../examples/machine-temperature/rules/machine-temperature.yaml"),
    ),
    ("tests/a-short-peak.yaml", include_str!("../../../../examples/machine-temperature/tests/a-short-peak.yaml")),
    ("tests/office-down.yaml", include_str!("../../../../examples/machine-temperature/tests/office-down.yaml")),
    ("tests/too-hot.yaml", include_str!("../../../../examples/machine-temperature/tests/too-hot.yaml")),
    (
        "workflows/request-maintenance.yaml",
        include_str!("../../../../examples/machine-temperature/workflows/request-maintenance.yaml"),
    ),
    (
        "capabilities/maintenance.request-work.yaml",
        include_str!("../../../../examples/machine-temperature/capabilities/maintenance.request-work.yaml"),
    ),
    ("systems/eam.yaml", include_str!("../../../../examples/machine-temperature/systems/eam.yaml")),
    ("routes.yaml", include_str!("../../../../examples/machine-temperature/routes.yaml")),
    ("identifiers/eam.yaml", include_str!("../../../../examples/machine-temperature/identifiers/eam.yaml")),
    ("policies/ownership.yaml", include_str!("../../../../examples/machine-temperature/policies/ownership.yaml")),
    ("subscribers/alarms.yaml", include_str!("../../../../examples/machine-temperature/subscribers/alarms.yaml")),
    (
        "data/machine_temperature_synthetic.csv",
        include_str!("../../../../examples/machine-temperature/data/machine_temperature_synthetic.csv"),
    ),
];

/// The recording in the project.
const RECORDING: &str = "data/machine_temperature_synthetic.csv";
/// Activations the recording gives.
const ACTIVATIONS: usize = 2;
/// How often the demo looks whether something has come, and how many times at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: u32 = 900;

/// A child that ends with the demo.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where everything of the demo lives; a temporary folder goes with it.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

pub(super) fn run(args: &Demo) -> anyhow::Result<ExitCode> {
    let folder = match &args.data {
        Some(dir) => Folder { path: dir.clone(), temporary: false },
        None => {
            Folder { path: std::env::temp_dir().join(format!("andon-demo-{}", std::process::id())), temporary: true }
        }
    };
    let say = |text: String| {
        if !args.json {
            output::line(text);
        }
    };
    let project = folder.path.join("project");
    write_project(&project)?;
    let data = folder.path.join("data");
    let (mqtt, _broker) = broker(&folder.path.join("broker"))?;
    let office_address = free_address()?;
    let requests = folder.path.join("requests.jsonl");
    let world = [("ANDON_MQTT", mqtt.clone()), ("ANDON_EAM", format!("http://{office_address}"))];

    say(format!("the broker of the plant is {mqtt}"));
    let requests_text = requests.display().to_string();
    let _office =
        part(&world, &["office", "eam", "--listen", &office_address, "--file", &requests_text], &folder.path)?;
    say(format!("the maintenance system is http://{office_address}, its file is {requests_text}"));
    let (project_text, data_text) = (project.display().to_string(), data.display().to_string());
    let api = if TcpStream::connect("127.0.0.1:8730").is_ok() { "127.0.0.1:0" } else { "127.0.0.1:8730" };
    let _instance = part(&world, &["run", &project_text, "--data", &data_text, "--api", api], &folder.path)?;
    let place = Where { data: Some(data.clone()), api: None, json: false };
    let target = wait_for("the instance starts", || ready(&place))?;
    say(format!("andon runs, its API is http://{}", andon_node::announced(&data).unwrap_or_default()));

    say(String::new());
    say("the machine publishes ten days of its temperature".to_owned());
    let recording = project.join(RECORDING).display().to_string();
    let args_of_feed = ["feed", &recording, "--project", &project_text, "--data", &data_text];
    let published = command(&world, &args_of_feed)?.stdout(Stdio::null()).stderr(feed_output(args.json)).status()?;
    if !published.success() {
        return Err(failure(
            NO,
            "the recording could not be published",
            "run it again with --data DIR and look at run.log",
        ));
    }
    let delivered = wait_for("the work requests are made", || {
        let calls = rows(&target, Kind::Calls, ("state", "delivered"))?;
        Ok((calls.len() >= ACTIVATIONS).then_some(calls))
    })?;
    let events = rows(&target, Kind::Events, ("type", "asset.alarm"))?;
    for event in &events {
        say(format!(
            "{}  {} {} {} {}",
            text(event, "/time"),
            text(event, "/subject"),
            text(event, "/data/change"),
            text(event, "/data/limit"),
            text(event, "/id")
        ));
    }
    for call in &delivered {
        say(format!("work request {} (reference {})", text(call, "/document"), text(call, "/reference")));
    }
    let document = text(delivered.first().unwrap_or(&Json::Null), "/document").to_owned();
    let explained = target.explain(&document)?;
    if args.json {
        let line = json!({
            "events": events.len(), "calls": { "eam": delivered.len() }, "document": document, "explained": explained
        });
        output::line(line);
    } else {
        output::line(format!("\n$ andon explain {document}"));
        let lineage: Lineage = serde_json::from_value(explained)?;
        output::line(narrate(&lineage).trim_end());
    }
    if args.stay {
        output::hint(format!("\nlook at it with: andon status --data {data_text}\nCtrl-C ends it"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            andon_node::StopSignal::listen()?.wait().await;
            std::io::Result::Ok(())
        })?;
    } else if !folder.temporary {
        output::hint(format!("kept in {data_text}: andon list events --data {data_text}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

fn write_project(dir: &Path) -> anyhow::Result<()> {
    for (path, text) in PROJECT {
        let file = dir.join(path);
        fs::create_dir_all(file.parent().unwrap_or(dir)).with_context(|| dir.display().to_string())?;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// A broker of our own where Mosquitto is installed, else the one of the machine.
fn broker(dir: &Path) -> anyhow::Result<(String, Option<Mosquitto>)> {
    match Mosquitto::start(dir, "") {
        Ok(broker) => Ok((broker.address(), Some(broker))),
        Err(_) if TcpStream::connect("127.0.0.1:1883").is_ok() => Ok(("mqtt://127.0.0.1:1883".to_owned(), None)),
        Err(error) => Err(failure(NO, error, "install Mosquitto, or start a broker at 127.0.0.1:1883")),
    }
}

fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn command(world: &[(&str, String)], args: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).envs(world.iter().map(|(name, value)| (*name, value))).env_remove("ANDON_DATA");
    Ok(command)
}

/// Starts a part of the demo as a process of its own; its log is kept in the folder of the demo.
fn part(world: &[(&str, String)], args: &[&str], dir: &Path) -> anyhow::Result<Part> {
    let name = args.first().copied().unwrap_or("part");
    let log = fs::File::create(dir.join(format!("{name}.log")))?;
    let child = command(world, args)?.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    Ok(Part(child))
}

/// The progress of the feed is shown to people and not to programs.
fn feed_output(json: bool) -> Stdio {
    if json { Stdio::null() } else { Stdio::inherit() }
}

fn ready(place: &Where) -> anyhow::Result<Option<Target>> {
    let Some(dir) = &place.data else { return Ok(None) };
    if andon_node::announced(dir).is_none() {
        return Ok(None);
    }
    let target = Target::find(place)?;
    let connected = target.status().is_ok_and(|s| s.running && s.sources.iter().all(|source| source.connected));
    Ok(connected.then_some(target))
}

fn rows(target: &Target, kind: Kind, (field, value): (&str, &str)) -> anyhow::Result<Vec<Json>> {
    let query = Query {
        filters: vec![(field.to_owned(), value.to_owned())],
        after: None,
        limit: andon_api::backend::LIMIT_MAX,
        ascending: true,
    };
    Ok(target.list(kind, &query)?.rows)
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look()? {
            return Ok(found);
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(failure(NO, format!("waited in vain until {what}"), "run it again with --data DIR and look at run.log there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn files(dir: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn the_whole_example_is_carried_along() {
        let mut found = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/machine-temperature"), "", &mut found);
        let carried: BTreeSet<String> = PROJECT.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(found, carried);
    }
}
