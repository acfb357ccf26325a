//! What the kernel says of a process tree: CPU time and memory. And where processes may run.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which cores the gateway has for itself, and which the load and the mock share.
#[derive(Debug)]
pub(crate) struct Cores {
    gateway: CpuSet,
    load: CpuSet,
    /// For the reader: `gateway on core 0, load and mock on 1`.
    pub(crate) text: String,
}

impl Cores {
    /// Gives the first core that this process may use to the gateways and moves the calling thread to the
    /// others. `None` with a single core: then nothing is pinned.
    pub(crate) fn divide() -> Result<Option<Cores>> {
        let allowed = sched_getaffinity(None).context("cannot read the cores this process may use")?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let Some((first, others)) = cores.split_first().filter(|(_, others)| !others.is_empty()) else {
            return Ok(None);
        };
        let (mut gateway, mut load) = (CpuSet::new(), CpuSet::new());
        gateway.set(*first);
        others.iter().for_each(|core| load.set(*core));
        sched_setaffinity(None, &load).context("cannot move the load to its cores")?;
        let text = format!("gateway on core {first}, load and mock on {others:?}");
        Ok(Some(Cores { gateway, load, text }))
    }

    /// Starts `command` on the gateway's core, where its threads and children stay: a new process inherits the
    /// cores of the thread that starts it.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        sched_setaffinity(None, &self.gateway).context("cannot move to the gateway's core")?;
        let child = command.spawn();
        sched_setaffinity(None, &self.load).context("cannot move back to the load's cores")?;
        Ok(child?)
    }
}

/// Raises the limit of open files as far as allowed and returns it; processes started later inherit it.
pub(crate) fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// `root` and all its descendants.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(pid) = tree.get(next).copied() {
        next += 1;
        for task in tasks(pid)? {
            let path = format!("/proc/{pid}/task/{task}/children");
            let Some(children) = read_living(&path)? else { continue };
            tree.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    Ok(tree)
}

/// CPU time of the tree since its start, in nanoseconds, user and system. From `schedstat` of each thread, which
/// is exact; where the kernel has none, from `stat`, in steps of a clock tick. A thread that ended is not in
/// the sum: no gateway ends threads between two readings.
pub(crate) fn cpu_ns(root: u32) -> Result<u64> {
    let exact = Path::new("/proc/self/schedstat").exists();
    let mut sum = 0;
    for pid in tree(root)? {
        for task in tasks(pid)? {
            let file = if exact { "schedstat" } else { "stat" };
            let path = format!("/proc/{pid}/task/{task}/{file}");
            let Some(text) = read_living(&path)? else { continue };
            let time = if exact { schedstat_ns(&text) } else { stat_ns(&text) };
            sum += time.with_context(|| format!("cannot find the CPU time in {path}: {text:?}"))?;
        }
    }
    Ok(sum)
}

/// Proportional set size of the tree, in KiB.
pub(crate) fn pss_kib(root: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in tree(root)? {
        let path = format!("/proc/{pid}/smaps_rollup");
        let Some(text) = read_living(&path)? else { continue };
        sum += pss_of(&text).with_context(|| format!("no Pss line in {path}"))?;
    }
    Ok(sum)
}

fn schedstat_ns(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn stat_ns(text: &str) -> Option<u64> {
    // The command's name may hold blanks and parentheses; the fields after it do not. utime and stime are
    // fields 14 and 15 of proc(5), the first after the name is field 3.
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

fn pss_of(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn tasks(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task");
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("process {pid} is gone"),
        Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The text of a file under /proc, or `None` if its thread ended meanwhile.
fn read_living(path: &str) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if error.kind() == ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_the_kernels_texts() {
        assert_eq!(schedstat_ns("772997 1233552 13\n"), Some(772_997));
        assert_eq!(schedstat_ns(""), None);
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        let stat = "7 (a (b) c) S 1 1 1 0 -1 4194304 126 0 1 0 30 12 0 0 20 0 1 0 50568 2990080 391";
        assert_eq!(stat_ns(stat), Some(42 * tick));
        assert_eq!(stat_ns("7 (a) S 1"), None);
        assert_eq!(pss_of("Rss:   1740 kB\nPss:                 325 kB\nPss_Dirty: 1 kB\n"), Some(325));
        assert_eq!(pss_of("Rss:   1740 kB\n"), None);
    }

    #[test]
    fn this_process_has_cpu_time_memory_and_a_child() {
        let own = std::process::id();
        assert!(cpu_ns(own).unwrap() > 0);
        assert!(pss_kib(own).unwrap() > 0);
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let tree = tree(own).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.contains(&own) && tree.contains(&child.id()), "{tree:?}");
    }
}
