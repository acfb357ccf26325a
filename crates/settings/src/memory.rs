//! How much memory this process may use: the smallest of its cgroups' limits and the machine's memory.

use std::fs;
use std::path::Path;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Bytes, or None where neither a cgroup nor the machine says.
pub(crate) fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_total(&text));
    let version_1 = limit(&Path::new(CGROUPS).join("memory/memory.limit_in_bytes"));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let version_2 = own.lines().find_map(|line| line.strip_prefix("0::/")).and_then(|group| {
        // A limit of any group above ours binds us too.
        let group = Path::new(CGROUPS).join(group);
        group
            .ancestors()
            .take_while(|folder| folder.starts_with(CGROUPS))
            .filter_map(|folder| limit(&folder.join("memory.max")))
            .min()
    });
    [machine, version_1, version_2].into_iter().flatten().min()
}

/// A file of one number; `max` means no limit.
fn limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn machine_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::machine_total;

    #[test]
    fn meminfo() {
        for (text, bytes) in [
            ("MemTotal:       16303244 kB\nMemFree:         1000 kB\n", Some(16_303_244 * 1024)),
            ("MemFree: 1 kB\n", None),
            ("MemTotal: many kB\n", None),
        ] {
            assert_eq!(machine_total(text), bytes, "{text}");
        }
    }
}
