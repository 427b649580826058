//! The memory that this server may use.

use rustix::system::sysinfo;
use std::fs::read_to_string;
use std::path::Path;

/// The folder of the control groups.
const GROUPS: &str = "/sys/fs/cgroup";
/// The memory that is assumed where the system does not tell it, in bytes.
const ASSUMED: u64 = 1 << 30;

/// The machine's memory, or the smallest limit of the control groups that this process is in, in bytes.
#[must_use]
pub fn available() -> u64 {
    let info = sysinfo();
    let machine = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    let machine = if machine == 0 { ASSUMED } else { machine };
    limits().into_iter().fold(machine, u64::min)
}

/// The limits of this process's control groups: version 2's of its own group and of those above it, and version 1's.
fn limits() -> Vec<u64> {
    let own = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let root = Path::new(GROUPS);
    let groups = Path::new(group).ancestors().map(|group| root.join(group).join("memory.max"));
    let older = root.join("memory/memory.limit_in_bytes");
    groups.chain([older]).filter_map(|file| read_to_string(file).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_some_memory() {
        assert!(super::available() >= 16 << 20);
    }
}
