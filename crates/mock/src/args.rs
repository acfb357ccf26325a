//! The flags of `a6 mock` and the function that serves until Ctrl-C.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::aws::AwsKey;
use crate::knobs::Knobs;
use crate::server::{Options, Shared, accept, listen};

/// The flags of `a6 mock`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 4010)]
    pub port: u16,
    /// Host name or address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Answer 401 unless the request carries this key (`Authorization: Bearer KEY`, `x-api-key` or `api-key`).
    #[arg(long, value_name = "KEY")]
    pub require_key: Option<Key>,
    /// Answer 403 below `/model/` unless the request is signed with this key of AWS.
    #[arg(long, value_name = "REGION:ID:SECRET[:SESSION]")]
    pub require_aws_key: Option<AwsKey>,
    /// Give tokens to the service account in this file (JSON, as Google gives it out) at `/token`, and answer 401 to requests with
    /// `/projects/` in their path unless they carry one.
    #[arg(long, value_name = "FILE")]
    pub require_google_account: Option<PathBuf>,
    /// Answer from the recorded exchanges (go-vcr YAML) in this folder, and from nothing else.
    #[arg(long, value_name = "FOLDER")]
    pub replay: Option<PathBuf>,
    /// The faults and shapes of every reply.
    #[command(flatten)]
    pub knobs: Knobs,
}

/// A key that does not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl FromStr for Key {
    type Err = Infallible;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        Ok(Self(key.to_owned()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl From<Args> for Options {
    fn from(args: Args) -> Self {
        Self {
            host: args.host,
            port: args.port,
            api_key: args.require_key.map(|key| key.0),
            knobs: args.knobs,
            replay: args.replay,
            aws_key: args.require_aws_key,
            ..Self::default()
        }
    }
}

/// Serves a mock until Ctrl-C, inside whatever tokio runtime calls it. Prints where it listens and what to try.
///
/// # Errors
/// When the address cannot be listened on, the recordings or the service account cannot be read or Ctrl-C cannot be listened for.
pub async fn run(args: Args) -> io::Result<()> {
    let google_account = args.require_google_account.as_ref().map(std::fs::read_to_string).transpose()?;
    let options = Options { google_account, ..Options::from(args) };
    let shared = Arc::new(Shared::of(&options)?);
    let listener = listen(&options).map_err(hint)?;
    print_start(&format!("http://{}", listener.local_addr()?), options.api_key.is_some());
    tokio::select! {
        () = accept(listener, shared) => Ok(()),
        stop = tokio::signal::ctrl_c() => stop,
    }
}

/// Says what to do where the port is taken.
fn hint(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error;
    }
    io::Error::new(
        error.kind(),
        format!("{error}; choose another with --port, or any free one with --port 0"),
    )
}

#[allow(clippy::print_stdout, reason = "`a6 mock` talks to the person who started it")]
fn print_start(url: &str, needs_key: bool) {
    let key = if needs_key { " -H 'Authorization: Bearer YOUR_KEY'" } else { "" };
    println!("a6 mock answers as OpenAI and as Anthropic do, at {url}");
    println!("Try, from another terminal (the second shows what the mock saw and wrote):");
    println!(
        "  curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' \
         -d '{{\"model\":\"mock-model\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
    );
    println!("  curl {url}/__ledger");
    println!("Ctrl-C stops it. `a6 mock --help` lists the faults it can play.");
}
