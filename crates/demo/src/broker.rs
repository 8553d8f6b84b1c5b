//! A Mosquitto of one's own on a free port, for the demo and for tests.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How often a broker that starts is asked whether it listens, and how long between.
const ASKED_MAX: u32 = 200;
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// Where Debian puts the program, which is not on everybody's path.
const PLACES: [&str; 3] = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

/// A running broker; it ends with this value.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    port: u16,
    config: PathBuf,
}

impl Mosquitto {
    /// Starts a broker on a free port with its files in `dir`. `settings` are lines of its configuration beside the
    /// listener; none gives Debian's defaults.
    pub fn start(dir: &Path, settings: &str) -> io::Result<Self> {
        // A port that is free now may be taken a moment later by somebody else: then the next one is tried.
        let mut last = io::Error::other("no free port was found");
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match Self::start_at(dir, settings, port) {
                Ok(broker) => return Ok(broker),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts a broker at a port.
    pub fn start_at(dir: &Path, settings: &str, port: u16) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let config = dir.join("mosquitto.conf");
        let access = if settings.contains("password_file") { "" } else { "allow_anonymous true\n" };
        let user = "user root\n";
        fs::write(&config, format!("listener {port} 127.0.0.1\n{access}{user}{settings}\n"))?;
        let child = Self::spawn(&config)?;
        let mut broker = Self { child, port, config };
        broker.wait()?;
        Ok(broker)
    }

    fn spawn(config: &Path) -> io::Result<Child> {
        for place in PLACES {
            match Command::new(place).arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                started => return started,
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "mosquitto is not installed; on Debian: apt-get install mosquitto"))
    }

    fn wait(&mut self) -> io::Result<()> {
        for _ in 0..ASKED_MAX {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("mosquitto ended with {status}")));
            }
            thread::sleep(ASKED_EVERY);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "mosquitto does not listen"))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address: `mqtt://127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again at the same port with the same configuration.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        self.child = Self::spawn(&self.config)?;
        self.wait()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
