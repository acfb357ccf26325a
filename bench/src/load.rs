//! The load generator: requests rendered before, keep-alive connections, every reply checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::answer::Expected;
use crate::http::Reply;

/// How long a gateway gets to finish what it does after its last reply (logs, pools) before CPU is read.
const SETTLE: Duration = Duration::from_millis(20);
/// A measurement that takes longer than this hangs.
const TOO_LONG: Duration = Duration::from_secs(180);

/// What is sent, to whom, and how the replies must look.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The gateway.
    pub(crate) addr: SocketAddr,
    /// A whole request.
    pub(crate) request: Arc<[u8]>,
    /// What each reply must show.
    pub(crate) expected: Expected,
}

/// A keep-alive connection to the gateway.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(addr: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(addr).await.with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; 32 * 1024], start: 0, end: 0 })
    }

    /// Sends one whole request.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await.context("cannot send a request")
    }

    /// Reads once, adds it to `reply` and says whether that is whole now.
    pub(crate) async fn receive(&mut self, reply: &mut Reply) -> Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            bail!("a head or a chunk line of a reply is over {} bytes", self.buffer.len());
        }
        let count = self.stream.read(&mut self.buffer[self.end..]).await.context("cannot read a reply")?;
        if count == 0 {
            bail!("the connection was closed after {} body bytes of a reply", reply.bytes);
        }
        self.end += count;
        self.start += reply.advance(&self.buffer[self.start..self.end])?;
        if !reply.is_whole() {
            return Ok(false);
        }
        if self.start < self.end {
            bail!("{} bytes came after the end of a reply", self.end - self.start);
        }
        Ok(true)
    }

    async fn exchange(&mut self, load: &Load) -> Result<()> {
        self.send(&load.request).await?;
        let mut reply = Reply::new();
        while !self.receive(&mut reply).await? {}
        load.expected.check(&reply)
    }
}

/// CPU time per request in nanoseconds: `warm` requests that do not count, then `count` that do, over
/// `connections`. `cpu` reads the gateway's CPU time so far.
pub(crate) fn cpu_per_request(
    load: &Load,
    connections: u32,
    warm: u32,
    count: u32,
    cpu: impl Fn() -> Result<u64>,
) -> Result<f64> {
    run(async {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(load.addr).await?);
        }
        let open = round(open, load, warm.max(connections)).await?;
        let before = settled(&cpu).await?;
        let open = round(open, load, count).await?;
        let after = settled(&cpu).await?;
        drop(open);
        Ok(after.saturating_sub(before) as f64 / f64::from(count.max(1)))
    })
}

/// Reads the CPU time once the gateway is quiet.
pub(crate) async fn settled(cpu: &impl Fn() -> Result<u64>) -> Result<u64> {
    tokio::time::sleep(SETTLE).await;
    cpu()
}

/// Runs `work` on a runtime of its own on this thread, with an end to its patience.
pub(crate) fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match tokio::time::timeout(TOO_LONG, work).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("no end after {} s: a reply is missing", TOO_LONG.as_secs()),
        }
    })
}

/// Sends `count` requests over all connections at once, an equal share on each, and gives the connections back.
async fn round(connections: Vec<Connection>, load: &Load, count: u32) -> Result<Vec<Connection>> {
    let lanes = connections.len().max(1) as u32;
    let mut tasks = JoinSet::new();
    for (number, mut connection) in (0..).zip(connections) {
        let share = count / lanes + u32::from(number < count % lanes);
        let load = load.clone();
        tasks.spawn(async move {
            for _ in 0..share {
                connection.exchange(&load).await?;
            }
            anyhow::Ok(connection)
        });
    }
    let mut back = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        back.push(ended??);
    }
    Ok(back)
}
