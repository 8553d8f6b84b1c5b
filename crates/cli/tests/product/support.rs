//! What the tests of the product share: a broker, an office, an instance, and commands, each as users start them.

use serde_json::Value as Json;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

pub(crate) use andon_demo::broker::Mosquitto;

/// A condition that does not come within this time is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

pub(crate) fn example() -> PathBuf {
    root().join("examples/machine-temperature")
}

/// The recorded series where it is at hand, else `None`: the test says which of the two it used.
pub(crate) fn recorded() -> Option<PathBuf> {
    let data = std::env::var_os("ANDON_TESTDATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let file = data.join("nab-machine-temperature/machine_temperature_system_failure.csv");
    file.is_file().then_some(file)
}

pub(crate) fn synthetic() -> PathBuf {
    example().join("data/machine_temperature_synthetic.csv")
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock to give up")]
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Copies a project, so that a test can change it.
pub(crate) fn copy_project(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_project(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The program with the variables of this world.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) mqtt: String,
    pub(crate) eam: String,
}

impl World {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_andon"));
        command
            .args(args)
            .env("ANDON_MQTT", &self.mqtt)
            .env("ANDON_EAM", &self.eam)
            .env_remove("ANDON_DATA")
            .env_remove("ANDON_API")
            .env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// Runs a command that must succeed and gives its stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "andon {args:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Rows of a list.
    pub(crate) fn list(&self, kind: &str, data: &Path, filters: &[&str]) -> Vec<Json> {
        let data = data.to_str().unwrap();
        let mut args = vec!["list", kind, "--data", data, "--json", "--oldest"];
        for filter in filters {
            args.extend(["--where", filter]);
        }
        self.ok(&args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The times of activated alarms.
    pub(crate) fn activations(&self, data: &Path) -> Vec<String> {
        self.list("events", data, &["type=asset.alarm", "data.change=activated"])
            .iter()
            .map(|e| e["time"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A child whose stderr is kept; killed with this value.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = log.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    pub(crate) fn text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// As a power cut would: no handler runs.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As an operator would: SIGTERM, and it ends by itself.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let mut status = None;
        wait_until("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "it ended with {status:?}\n{}", self.text());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- its log\n{}", self.text());
        }
    }
}

/// Starts an instance and waits until it is ready. The API takes a free port.
pub(crate) fn start_instance(world: &World, project: &Path, data: &Path) -> Running {
    let running = Running::start(world.command(&[
        "run",
        project.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--api",
        "127.0.0.1:0",
    ]));
    wait_ready(&running);
    running
}

pub(crate) fn wait_ready(running: &Running) {
    wait_until("the instance is ready", || {
        let text = running.text();
        assert!(!text.contains("error:"), "the instance does not start:\n{text}");
        text.contains("\"ready\"")
    });
}

/// The API's address in the log line that says the instance is ready.
pub(crate) fn api_of(running: &Running) -> String {
    let text = running.text();
    let line = text.lines().find(|l| l.contains("\"ready\"")).expect("a line says ready");
    let json: Json = serde_json::from_str(line).expect("a JSON line");
    json["api"].as_str().expect("with the address").to_owned()
}

/// Starts the maintenance office at a port.
pub(crate) fn start_office(world: &World, port: u16, file: &Path) -> Running {
    let listen = format!("127.0.0.1:{port}");
    let running =
        Running::start(world.command(&["office", "eam", "--listen", &listen, "--file", file.to_str().unwrap()]));
    wait_until("the office listens", || std::net::TcpStream::connect(&listen).is_ok());
    running
}

/// The requests in the office's own file.
pub(crate) fn office_requests(file: &Path) -> Vec<Json> {
    fs::read_to_string(file).unwrap_or_default().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
