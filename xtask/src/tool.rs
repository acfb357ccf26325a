use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Instructions in user space, by valgrind's callgrind.
    Callgrind,
    /// System calls, by strace.
    Strace,
}

impl Tool {
    /// A command that runs the program under this tool and leaves the tool's report in the file.
    ///
    /// The process started is, or becomes, the program itself, so that a signal sent to it reaches the program.
    pub(crate) fn command(self, program: &Path, report: &Path) -> Command {
        let mut command;
        match self {
            Self::Callgrind => {
                command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--quiet", "--demangle=no"]);
                command.arg(format!("--callgrind-out-file={}", report.display()));
            }
            Self::Strace => {
                command = Command::new("strace");
                // -D: the tracer is a grandchild, our child is the program.
                command.args(["-D", "-f", "-c", "-o"]).arg(report);
            }
        }
        command.arg(program);
        command
    }

    /// The total in a report; none where the report is not whole yet.
    pub(crate) fn total(self, report: &str) -> Result<Option<u64>> {
        let word = match self {
            // "totals: 126559"
            Self::Callgrind => report.lines().find_map(|line| line.strip_prefix("totals:")).map(str::trim),
            // "100.00    0.000000           0        29         1 total"; the column of errors may be empty
            Self::Strace => report
                .lines()
                .find(|line| line.trim_end().ends_with(" total"))
                .map(|line| line.split_whitespace().nth(3).unwrap_or_default()),
        };
        word.map(|word| word.parse().with_context(|| format!("{self:?} reports a total of {word:?}")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_totals_in_reports() {
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n  \
                      0.00    0.000000           0         2           close\n";
        let cases = [
            (Tool::Callgrind, "events: Ir\nsummary: 126560\ntotals: 126559\n".to_owned(), Some(126_559)),
            (Tool::Callgrind, "events: Ir\n".to_owned(), None),
            (
                Tool::Strace,
                format!("{strace}100.00    0.000000           0        29         1 total\n"),
                Some(29),
            ),
            (
                Tool::Strace,
                format!("{strace}100.00    0.000000           0        29           total\n"),
                Some(29),
            ),
            (Tool::Strace, strace.to_owned(), None),
        ];
        for (tool, report, total) in cases {
            assert_eq!(tool.total(&report).unwrap(), total, "{report}");
        }
        assert!(Tool::Callgrind.total("totals: many").is_err());
    }
}
