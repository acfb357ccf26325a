//! `a6 debug logs`: a file's lines, a container's, or the records that the Control API keeps of the last requests.

use std::io::Write;

use super::records::Wanted;
use super::stop::Stop;
use super::web::{Control, Place};
use super::{docker, lines, records};
use crate::contexts;
use crate::errors::{Failure, Result};
use crate::output::{self, Format};
use crate::session::Session;

/// The flags of `debug logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what is logged from now on; Ctrl-C ends it
    #[arg(short, long)]
    pub(super) follow: bool,
    /// How many of the last lines come first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, allow_negative_numbers = true)]
    pub(super) tail: i64,
    /// Only what is younger, such as 10m; of a container and of records
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// access and error: a container's stdout and stderr; requests: the records of the Control API
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "all",
        value_parser = ["all", "access", "error", "requests"])]
    pub(super) kind: String,
    /// The container; by default the one whose name has apisix in it
    #[arg(short, long, value_name = "NAME")]
    pub(super) container: Option<String>,
    /// Read this file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "container")]
    pub(super) file: Option<String>,
    /// Only lines that have this text
    #[arg(long, value_name = "TEXT")]
    pub(super) grep: Option<String>,
    /// Only records of this route
    #[arg(long, value_name = "ID")]
    pub(super) route: Option<String>,
    /// Only records of this consumer
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: Option<String>,
    /// Only records with this status, such as 502 or 5xx
    #[arg(long, value_name = "STATUS")]
    pub(super) status: Option<String>,
    /// Only records of requests that ended so
    #[arg(long, value_name = "WORD",
        value_parser = ["complete", "failed", "client_gone", "upstream_error", "upstream_truncated", "aborted"])]
    pub(super) outcome: Option<String>,
    /// Only records with this error, such as upstream_timeout
    #[arg(long, value_name = "WORD")]
    pub(super) error: Option<String>,
    /// Control API; default port 9090 of the Admin API's host
    #[arg(long, value_name = "URL")]
    pub(super) control_url: Option<String>,
}

impl Args {
    /// Whether something is asked that only records can tell.
    fn asks_for_records(&self) -> bool {
        let filters = [&self.route, &self.consumer, &self.status, &self.outcome, &self.error];
        self.kind == "requests" || filters.iter().any(|filter| filter.is_some())
    }

    /// How many lines come first; nothing below one.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.tail).unwrap_or_default()
    }
}

/// Shows the logs.
pub(crate) fn run(session: &mut Session<'_>, args: &Args) -> Result<()> {
    let file = args.file.as_deref().filter(|file| !file.is_empty());
    let container = args.container.as_deref().filter(|container| !container.is_empty());
    let stop = || if args.follow { Stop::on_signals() } else { Ok(Stop::default()) };
    match (file, container) {
        (None, None) if args.asks_for_records() => {
            let format = match output::list_format(session)? {
                Format::Yaml => return Err(Failure::new("unsupported output format: yaml")),
                format => format,
            };
            let wanted = Wanted::of(args)?;
            let control = control(session, args)?;
            let stop = stop()?;
            let mut give = |text: &str| put(session.output, text);
            records::show(&control, &wanted, args, format == Format::Json, &stop, &mut give)
        }
        _ if args.asks_for_records() => Err(Failure::new(
            "--route, --consumer, --status, --outcome, --error and --type requests ask the Control API",
        )
        .with_hint("leave --file and --container out; --grep finds a text in lines")),
        (Some(_), _) if args.since.is_some() => {
            Err(Failure::new("--since does not work with --file: its lines need not have a time")
                .with_hint("use --tail and --grep"))
        }
        (Some(file), _) => {
            let stop = stop()?;
            lines::show(file, args, &stop, &mut |line| put_if(session.output, line, args))
        }
        (None, container) => {
            let path = (session.env)("PATH");
            let stop = stop()?;
            docker::show(container, path.as_deref(), args, &stop, &mut |line| {
                put_if(session.output, line, args)
            })
        }
    }
}

fn control(session: &Session<'_>, args: &Args) -> Result<Control> {
    let server = match &args.control_url {
        Some(_) => String::new(),
        None => contexts::target(session.flags, session.env)?.server,
    };
    Control::new(Place::of_control(args.control_url.as_deref(), &server)?, session.env)
}

fn put_if(output: &mut dyn Write, line: &[u8], args: &Args) -> Result<()> {
    if has(line, args.grep.as_deref()) { put(output, &String::from_utf8_lossy(line)) } else { Ok(()) }
}

/// Each line at once: somebody is waiting for it.
fn put(output: &mut dyn Write, line: &str) -> Result<()> {
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// Whether a line has the text that is looked for.
pub(super) fn has(line: &[u8], text: Option<&str>) -> bool {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return true };
    line.windows(text.len()).any(|window| window == text.as_bytes())
}
