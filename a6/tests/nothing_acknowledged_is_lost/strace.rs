//! The gateway under strace: killed at a chosen system call, failed by one, or written down.

use std::path::Path;

use crate::process::have;

/// The wrapper for `Process::start_under`, with strace's own options; its log goes to `log`. `None`, and said, where
/// there is no strace.
pub(crate) fn strace(log: &Path, options: &[String]) -> Option<Vec<String>> {
    if !have("strace") {
        return None;
    }
    let log = log.display().to_string();
    let fixed = ["strace", "-f", "-q", "-y", "-o", &log].map(str::to_string);
    Some(fixed.into_iter().chain(options.iter().cloned()).collect())
}

/// Options that do something (`signal=KILL`, `error=EROFS`) at certain calls (`5`, `5..9`) of a thread to one system
/// call on these files, and write down those calls alone.
pub(crate) fn at(calls: &[&str], files: &[&Path], what: &str, when: &str) -> Vec<String> {
    let calls = calls.join(",");
    let mut options = vec!["-e".to_string(), format!("trace={calls}")];
    options.extend(["-e".to_string(), format!("inject={calls}:{what}:when={when}")]);
    for file in files {
        options.extend(["-P".to_string(), file.display().to_string()]);
    }
    options
}
