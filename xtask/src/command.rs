//! Runs other programs: with their output shown as it comes and handed on line by line.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};

use crate::clock::{Stopwatch, spoken};
use crate::{process, root};

/// How long output may still come after its program has ended; longer means that a left-over child holds the pipe.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where Debian keeps servers; the PATH of an ordinary user often lacks it.
const SERVERS: &str = "/usr/sbin";

/// Cargo, the one that started us, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root::root());
    command
}

/// `always` on a terminal, so that output which passes through us keeps its colours.
pub(crate) fn colour() -> &'static str {
    if io::stdout().is_terminal() { "always" } else { "never" }
}

/// Where a program is: on PATH, or among the servers.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from(SERVERS)])
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

/// Runs a program to its end, shows every line of its output and hands it on without colours.
pub(crate) fn stream(command: Command, on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    stream_awake(command, Duration::MAX, on_line)
}

/// The same; when nothing is said for `quiet_max`, what the program has started and waits for is killed, so that the
/// program says that it failed and goes on.
pub(crate) fn stream_awake(
    mut command: Command,
    quiet_max: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("making a pipe")?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    // The command holds our ends of the pipe; only without them does the output end with the program.
    drop(command);
    let (lines, received) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(io::Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut status = None;
    let mut heard = Stopwatch::start();
    loop {
        match received.recv_timeout(LAST_WORDS.min(quiet_max)) {
            Ok(line) => {
                heard = Stopwatch::start();
                println!("{line}");
                on_line(&without_colours(&line));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if status.is_some() {
                    println!("note: {name} has ended, but a process it started still holds its output");
                    break;
                }
                status = child.try_wait().with_context(|| format!("waiting for {name}"))?;
                if status.is_none() && heard.elapsed() >= quiet_max {
                    println!("note: {name} has said nothing for {}; what it waits for is killed", spoken(quiet_max));
                    for id in Pid::from_raw(child.id().cast_signed()).map(process::children).unwrap_or_default() {
                        // It may have ended meanwhile.
                        let _ = rustix::process::kill_process(id, Signal::KILL);
                    }
                    heard = Stopwatch::start();
                }
            }
        }
    }
    match status {
        Some(status) => Ok(status),
        None => child.wait().with_context(|| format!("waiting for {name}")),
    }
}

/// Runs a program quietly and returns its standard output; an error carries what it said.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    if done.status.success() {
        return String::from_utf8(done.stdout).with_context(|| format!("{name} did not answer with text"));
    }
    anyhow::bail!("{name} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim())
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// A line without the escape sequences that colour it.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A sequence ends with its first letter.
            let _ = characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[92m     Running\u{1b}[0m x"), "     Running x");
        assert_eq!(without_colours("plain"), "plain");
    }

    #[test]
    fn both_outputs_arrive_in_order_with_the_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 4"]);
        let mut lines = Vec::new();
        let status = stream(command, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(4));
    }

    #[test]
    fn a_child_that_hangs_is_killed_and_the_program_goes_on() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000; echo $?; exit 5"]);
        let mut lines = Vec::new();
        let status = stream_awake(command, Duration::from_millis(50), |line| lines.push(line.to_owned())).unwrap();
        // Some shells tell of the kill as well.
        assert_eq!((lines.last().map(String::as_str), status.code()), (Some("137"), Some(5)));
    }

    #[test]
    fn a_failed_program_tells_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo because >&2; exit 1"]);
        assert!(output(command).unwrap_err().to_string().contains("because"));
    }

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
