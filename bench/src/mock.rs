//! The provider, in a process of its own: the bench starts its own binary again with a hidden subcommand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use a6_mock::{Mock, Options};
use anyhow::{Context, Result, bail};

/// Name of the hidden subcommand that turns this binary into the mock.
pub(crate) const SUBCOMMAND: &str = "mock-server";

/// Serves the mock on a free port, says where on stdout, and ends when stdin does: so it never outlives the
/// bench, however that ends.
pub(crate) fn serve() -> Result<()> {
    let mock = Mock::start(Options { port: 0, ledger: false, ..Options::default() })
        .context("cannot start the mock provider")?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", mock.addr)?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The running mock; its process ends with this value.
#[derive(Debug)]
pub(crate) struct MockProcess {
    child: Child,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl MockProcess {
    /// Starts the mock and waits for its address.
    pub(crate) fn start() -> Result<MockProcess> {
        let own = std::env::current_exe().context("cannot find the bench's own binary")?;
        let mut child = Command::new(own)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the mock process")?;
        let Some(out) = child.stdout.take() else { bail!("the mock process has no stdout") };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).context("cannot read the mock's address")?;
        let addr = line.trim().parse().with_context(|| format!("the mock said {line:?}, not its address"))?;
        Ok(MockProcess { child, addr })
    }
}

impl Drop for MockProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
