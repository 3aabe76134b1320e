//! How much memory this process may use: what its cgroup says, else what the machine has.

use std::fs;

/// Bytes in flight when nothing is configured, at most: a quarter of the memory, and no more than this, since what is
/// bulky has other places to wait.
const MOST: u64 = 64 * 1024 * 1024;
/// When neither cgroup nor kernel can be asked.
const UNKNOWN: u64 = 512 * 1024 * 1024;

/// The default of `limits.bytesInFlight`, in bytes: a quarter of the memory that this process may use, at most 64 MiB.
pub(crate) fn bytes_in_flight() -> u64 {
    (memory_bytes().unwrap_or(UNKNOWN) / 4).min(MOST)
}

fn memory_bytes() -> Option<u64> {
    let cgroup = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limits = cgroup
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    limits.chain(machine_bytes()).min()
}

fn machine_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    total
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}
