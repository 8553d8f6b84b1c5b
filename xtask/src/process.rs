//! What the kernel says about a process: its CPU time and its memory.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Microseconds in a tick of `/proc/PID/stat`; Linux shows user space 100 a second on every machine.
const TICK_US: u64 = 10_000;

/// User and system time of all threads so far, in microseconds.
pub(super) fn cpu_us(pid: Pid) -> Result<u64> {
    let stat = read(pid, "stat")?;
    cpu_ticks(&stat).map(|ticks| ticks * TICK_US).context("/proc/PID/stat has no CPU time")
}

/// Memory in use now, in MiB.
pub(super) fn rss_mib(pid: Pid) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most memory that was in use, in MiB.
pub(super) fn peak_rss_mib(pid: Pid) -> Result<f64> {
    memory(pid, "VmHWM:")
}

/// The first process that a process has started.
pub(super) fn child(pid: Pid) -> Result<Pid> {
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

/// The sum of the 14th and 15th field; the second one, the name, may hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
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
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("4711 (andon) S 1"), None);
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
