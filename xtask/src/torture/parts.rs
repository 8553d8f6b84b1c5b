//! What is started: a broker, the offices, the product; each is killed and started again at its port.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

use super::http;
use crate::clock::Stopwatch;
use crate::command;

/// How long a broker or the offices may take until they listen.
const START_MAX: Duration = Duration::from_secs(20);

/// How often the rest of a disk is taken when it is filled.
const FILLED_AT_MOST: u32 = 5;

/// Where Debian keeps what lets a program believe in another time.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// A program that can be killed and started again; it ends with this value.
pub(super) struct Part {
    child: Option<Child>,
}

impl Part {
    /// Not started yet.
    pub(super) fn new() -> Self {
        Self { child: None }
    }

    /// Starts it, with what it says at the end of a file.
    pub(super) fn start(&mut self, mut command: Command, log: &Path) -> Result<()> {
        self.kill();
        let log = OpenOptions::new().create(true).append(true).open(log).context("opening a log")?;
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("starting {name}"))?);
        Ok(())
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to stop and waits until it has.
    pub(super) fn stop(&mut self, within: Duration) -> Result<()> {
        let Some(child) = self.child.as_mut() else { return Ok(()) };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let stopwatch = Stopwatch::start();
        while self.ended().is_none() {
            if stopwatch.elapsed() > within {
                bail!("it has not stopped {} s after it was asked to", within.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.child = None;
        Ok(())
    }

    /// How it ended, when it did by itself.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        Some(status.to_string())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where everything of a run lies, and how its parts are started.
pub(super) struct Place {
    /// The folder of the run.
    pub(super) folder: PathBuf,
    /// The program under test.
    pub(super) andon: PathBuf,
    /// What makes it believe in another time, where that is installed.
    pub(super) faketime: Option<PathBuf>,
}

impl Place {
    pub(super) fn new(folder: PathBuf, andon: PathBuf) -> Self {
        let faketime = FAKETIME.iter().map(PathBuf::from).find(|path| path.exists());
        Self { folder, andon, faketime }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn offices(&self) -> PathBuf {
        self.folder.join("offices")
    }

    /// The database of the broker, which it writes at its stop and every second.
    pub(super) fn kept_by_broker(&self) -> PathBuf {
        self.folder.join("broker/mosquitto.db")
    }

    /// A broker that forgets nothing it has acknowledged while it is stopped and started.
    pub(super) fn start_broker(&self, part: &mut Part, at: u16) -> Result<()> {
        let folder = self.folder.join("broker");
        fs::create_dir_all(&folder)?;
        let settings = format!(
            "listener {at} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n\
             persistence_location {}/\nautosave_interval 1\nmax_queued_messages 0\nmax_queued_bytes 0\n\
             max_inflight_messages 200\nlog_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\n",
            folder.display()
        );
        let file = folder.join("mosquitto.conf");
        fs::write(&file, settings).context("writing the broker's configuration")?;
        let mut command = Command::new(command::find("mosquitto").context("mosquitto is missing: cargo xtask setup")?);
        command.arg("-c").arg(&file);
        part.start(command, &self.folder.join("broker.log"))?;
        listens(part, at, "the broker")
    }

    /// All offices, each with its own file.
    pub(super) fn start_offices(&self, part: &mut Part, at: u16) -> Result<()> {
        let mut command = Command::new(&self.andon);
        command.args(["office", "--all", "--listen", &format!("127.0.0.1:{at}"), "--dir"]).arg(self.offices());
        part.start(command, &self.folder.join("offices.log"))?;
        listens(part, at, "the office")
    }

    /// The product, without waiting until it is ready.
    pub(super) fn start_andon(&self, part: &mut Part, all: &Ports) -> Result<()> {
        let mut command = Command::new(&self.andon);
        command.arg("run").arg(self.folder.join("project")).arg("--data").arg(self.data());
        command.args(["--api", &format!("127.0.0.1:{}", all.api)]);
        command.env("ANDON_LISTENER", format!("127.0.0.1:{}", all.listener));
        command.env("ANDON_MONTERREY_MQTT", format!("mqtt://127.0.0.1:{}", all.broker_link));
        for office in super::effects::OFFICES {
            let name = office.to_uppercase().replace('-', "_");
            command.env(format!("ANDON_{name}"), format!("http://127.0.0.1:{}/{office}", all.offices_link));
        }
        command.envs([("MAXIMO_APIKEY", "demo-maximo-apikey"), ("CRM_CLIENT_SECRET", "demo-crm-secret")]);
        command.envs([("LAB_HOOK", "whsec_YW5kb24tZGVtby1sYWItaG9vay1zZWNyZXQ="), ("NO_COLOR", "1")]);
        command.env_remove("ANDON_DATA").env_remove("ANDON_API");
        if let Some(library) = &self.faketime {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.clock());
            command.envs([("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_CACHE_DURATION", "1")]);
            command.env("NO_FAKE_STAT", "1");
        }
        part.start(command, &self.folder.join("andon.log"))
    }

    /// The product's clock goes wrong by so many seconds from now on.
    pub(super) fn set_clock(&self, seconds: i64) -> Result<()> {
        let new = self.folder.join("clock.new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(&new, self.clock()).context("setting the clock")
    }

    fn clock(&self) -> PathBuf {
        self.folder.join("clock")
    }

    /// A command of the program about the data folder, with its lines of JSON.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Vec<serde_json::Value>> {
        let mut command = Command::new(&self.andon);
        command.args(arguments).arg("--data").arg(self.data()).arg("--json");
        command.env("NO_COLOR", "1").env_remove("ANDON_DATA").env_remove("ANDON_API");
        let done = command.output().context("starting andon")?;
        let text = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() && text.trim().is_empty() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("andon {} ended with {}: {}", arguments.join(" "), done.status, said.trim());
        }
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("reading {line}"))).collect()
    }
}

/// Where everything listens.
pub(super) struct Ports {
    pub(super) api: u16,
    pub(super) listener: u16,
    pub(super) broker: u16,
    pub(super) offices: u16,
    /// Where the product reaches the broker.
    pub(super) broker_link: u16,
    /// Where the product reaches the offices.
    pub(super) offices_link: u16,
}

fn listens(part: &mut Part, at: u16, what: &str) -> Result<()> {
    let stopwatch = Stopwatch::start();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, at)).is_err() {
        if let Some(status) = part.ended() {
            bail!("{what} ended with {status} before it listened");
        }
        if stopwatch.elapsed() > START_MAX {
            bail!("{what} does not listen on port {at} after {} s", START_MAX.as_secs());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A port on loopback that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("looking for a free port")?.port())
}

/// Whether the product says that it is ready.
pub(super) fn is_ready(api: u16) -> bool {
    http::ask(api, "GET", "/readyz", &[], b"", Duration::from_millis(500)).is_ok_and(|answer| answer.status == 200)
}

/// A small file system of one's own for the data folder; it goes with this value.
pub(super) struct Disk {
    at: PathBuf,
    ballast: Option<File>,
}

impl Disk {
    /// Mounts one, or says why that cannot be.
    pub(super) fn mount(at: &Path, mib: u64) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let size = format!("size={mib}m");
        match Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output() {
            Ok(done) if done.status.success() => Ok(Self { at: at.to_owned(), ballast: None }),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Somebody else takes all but so many KiB.
    pub(super) fn fill(&mut self, but_kib: u64) -> Result<()> {
        let file = File::create(self.ballast_file()).context("making the ballast")?;
        // The product may take some of it meanwhile, and gives back its reserve: what is left is taken once more.
        for _ in 0..FILLED_AT_MOST {
            let state = rustix::fs::statvfs(&self.at).context("asking for the room")?;
            let free = (state.f_bavail * state.f_frsize).saturating_sub(but_kib << 10);
            if free == 0 {
                break;
            }
            let length = file.metadata()?.len();
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), length, free) {
                Ok(()) | Err(rustix::io::Errno::NOSPC) => {}
                Err(error) => return Err(error).context("taking the room"),
            }
        }
        self.ballast = Some(file);
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn free(&mut self) {
        if self.ballast.take().is_some() {
            let _ = fs::remove_file(self.ballast_file());
        }
    }

    fn ballast_file(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Moves what is on it into a folder beside it, for those who look at a run that failed.
    pub(super) fn keep(&self) -> Result<PathBuf> {
        let beside = self.at.with_file_name("data-kept");
        let status = Command::new("cp").arg("-a").arg(&self.at).arg(&beside).status().context("starting cp")?;
        if !status.success() {
            bail!("cp ended with {status}");
        }
        Ok(beside)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

/// Takes a file system away, where there is one.
pub(super) fn unmount(at: &Path) {
    let _ = Command::new("umount").arg("-l").arg(at).stderr(Stdio::null()).status();
}
