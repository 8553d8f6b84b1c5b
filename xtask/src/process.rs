//! What the kernel says about a process: its parent, its CPU time and its memory.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Microseconds in a tick of `/proc/PID/stat`; Linux shows user space 100 a second on every machine.
const TICK_US: u64 = 10_000;

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: String,
    parent: i32,
    ticks: u64,
}

/// User and system time of all threads so far, in microseconds.
pub(crate) fn cpu_us(pid: Pid) -> Result<u64> {
    let stat = read(pid, "stat")?;
    Stat::parse(&stat).map(|stat| stat.ticks * TICK_US).context("/proc/PID/stat has no CPU time")
}

/// The same; `None` once the process has ended, also where nobody has waited for it yet.
pub(crate) fn cpu_us_until_end(pid: Pid) -> Option<u64> {
    let stat = Stat::parse(&read(pid, "stat").ok()?)?;
    (stat.state != "Z").then_some(stat.ticks * TICK_US)
}

/// The processes that a process has started and that have not ended.
pub(crate) fn children(of: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.flatten().filter_map(|process| process.file_name().to_str()?.parse().ok());
    let is_child = |id: &Pid| {
        let stat = read(*id, "stat").ok().and_then(|stat| Stat::parse(&stat));
        stat.is_some_and(|stat| stat.parent == of.as_raw_nonzero().get())
    };
    ids.filter_map(Pid::from_raw).filter(is_child).collect()
}

/// Memory in use now, in MiB.
pub(crate) fn rss_mib(pid: Pid) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most memory that was in use, in MiB.
pub(crate) fn peak_rss_mib(pid: Pid) -> Result<f64> {
    memory(pid, "VmHWM:")
}

/// The first process that a process has started.
pub(crate) fn child(pid: Pid) -> Result<Pid> {
    let children = read(pid, &format!("task/{}/children", pid.as_raw_nonzero()))?;
    let first = children.split_whitespace().next().and_then(|number| number.parse().ok());
    first.and_then(Pid::from_raw).context("the process has started no other")
}

fn memory(pid: Pid, key: &str) -> Result<f64> {
    let status = read(pid, "status")?;
    let kib = memory_kib(&status, key).with_context(|| format!("/proc/PID/status has no {key}"))?;
    Ok(f64::from(kib) / 1024.0)
}

fn read(pid: Pid, file: &str) -> Result<String> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

impl Stat {
    /// proc(5): behind the name, which may hold spaces and brackets, come the state and the parent; user and system
    /// time are the 12th and the 13th field behind it.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let (state, parent) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
        let mut times = fields.skip(9).take(2).map(str::parse::<u64>);
        Some(Self { state, parent, ticks: times.next()?.ok()? + times.next()?.ok()? })
    }
}

fn memory_kib(status: &str, key: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "4711 (an) don (x) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 12345";
        assert_eq!(Stat::parse(stat), Some(Stat { state: "S".into(), parent: 1, ticks: 300 }));
        assert_eq!(Stat::parse("4711 (andon) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_kib() {
        let status = "Name:\tandon\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(memory_kib(status, "VmRSS:"), Some(10_240));
        assert_eq!(memory_kib(status, "VmHWM:"), Some(20_480));
        assert_eq!(memory_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_both() {
        let me = rustix::process::getpid();
        assert!(cpu_us(me).is_ok());
        assert!(rss_mib(me).unwrap() > 0.0);
        assert!(peak_rss_mib(me).unwrap() >= 1.0);
    }
}
