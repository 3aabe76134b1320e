//! What the kernel says of a process: CPU time and memory, from /proc.

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// CPU seconds (user and system, all threads) that a process has used so far; exact to a tick, mostly 10 ms.
///
/// # Errors
/// The process is gone, or this is not Linux.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = cpu_ticks(&text).with_context(|| format!("{path} has no CPU times"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes of memory that a process holds now (VmRSS).
///
/// # Errors
/// As [`cpu_seconds`].
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// Most bytes of memory that a process has held since its start or the last [`reset_peak`] (VmHWM).
///
/// # Errors
/// As [`cpu_seconds`].
pub(crate) fn peak_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Makes the kernel measure the peak anew; says whether it is permitted here. Where it is not, the peak is
/// that since the process started, which is the larger.
pub(crate) fn reset_peak(pid: u32) -> bool {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
}

/// CPU seconds that all processes of this machine together have used since it started, and what a hypervisor took.
///
/// # Errors
/// This is not Linux.
pub(crate) fn machine_cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let ticks = machine_ticks(&text).context("/proc/stat has no CPU times")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// CPU seconds so far of the machine, and of this process with all children that it has waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuSeconds {
    machine: f64,
    ours: f64,
}

impl CpuSeconds {
    /// What others took in between: other processes, and the kernel's own threads, such as those that write to disk.
    pub(crate) fn others_since(self, before: Self) -> f64 {
        (self.machine - before.machine) - (self.ours - before.ours)
    }
}

/// Both at this moment. Children that still run are counted with the machine only.
///
/// # Errors
/// This is not Linux.
pub(crate) fn all_cpu_seconds() -> Result<CpuSeconds> {
    let path = "/proc/self/stat";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let ticks = family_ticks(&text).with_context(|| format!("{path} has no CPU times"))?;
    Ok(CpuSeconds {
        machine: machine_cpu_seconds()?,
        ours: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    })
}

/// These CPU seconds as a share of what the machine had in this time, 0 to 1.
///
/// # Errors
/// The number of cores is not known.
pub(crate) fn share(cpu_seconds: f64, elapsed: Duration) -> Result<f64> {
    let cores = std::thread::available_parallelism()?.get() as f64;
    Ok((cpu_seconds / (elapsed.as_secs_f64() * cores)).clamp(0.0, 1.0))
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    status_field(&text, field).with_context(|| format!("{path} has no {field}"))
}

/// Fields 14 and 15, counted after the command name, which may itself hold blanks and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    sum_of_ticks(stat, 2)
}

/// The same and fields 16 and 17, which are of the children that were waited for.
fn family_ticks(stat: &str) -> Option<u64> {
    sum_of_ticks(stat, 4)
}

fn sum_of_ticks(stat: &str, count: usize) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = fields
        .map_while(|field| field.parse::<u64>().ok())
        .take(count);
    let ticks: Vec<u64> = ticks.collect();
    (ticks.len() == count).then(|| ticks.into_iter().fold(0, u64::saturating_add))
}

/// The first line's fields but idle and waiting for disks; guests are counted in user time already.
fn machine_ticks(stat: &str) -> Option<u64> {
    let fields = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace();
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    [user, nice, system, irq, softirq, steal]
        .into_iter()
        .copied()
        .reduce(u64::saturating_add)
}

fn status_field(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{cpu_ticks, family_ticks, machine_ticks, status_field};

    #[test]
    fn cpu_ticks_are_user_and_system_whatever_the_name() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 90 0 0 0 250 31 4 2 20 0 2 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(family_ticks(stat), Some(287));
        assert_eq!(cpu_ticks("12 (a) S 1"), None);
    }

    #[test]
    fn machine_ticks_leave_out_idle_and_guests() {
        let stat = "cpu  100 10 50 9000 900 1 2 3 70 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine_ticks(stat), Some(166));
        assert_eq!(machine_ticks("cpu  1 2 3\n"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(status_field(status, "VmHWM:"), Some(2048 * 1024));
        assert_eq!(status_field(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_both() {
        let pid = std::process::id();
        assert!(super::cpu_seconds(pid).unwrap() >= 0.0);
        assert!(super::peak_bytes(pid).unwrap() >= super::resident_bytes(pid).unwrap() / 2);
    }
}
