//! Many slow streams open at once: what one costs in CPU time and in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use crate::http::Reply;
use crate::load::{self, Connection, Load};

/// What one stream cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Nanoseconds of CPU from connect to the last byte.
    pub(crate) cpu_ns: f64,
    /// KiB of memory while it is open.
    pub(crate) pss_kib: f64,
}

#[derive(Debug, Default)]
struct Progress {
    opened: AtomicU32,
    ended: AtomicU32,
}

/// Opens `streams` streams, each on a connection of its own, reads the memory while all are open and the CPU time
/// after the last has ended. The gateway should be a fresh one: memory that earlier work left in its allocator
/// would hide what the streams take. `life` is about how long a stream lasts.
pub(crate) fn measure(
    load: &Load,
    streams: u32,
    life: Duration,
    cpu: impl Fn() -> Result<u64>,
    pss: impl Fn() -> Result<u64>,
) -> Result<Cost> {
    load::run(async {
        let memory_before = pss()?;
        let cpu_before = load::settled(&cpu).await?;
        let progress = Arc::new(Progress::default());
        let mut tasks = JoinSet::new();
        for number in 0..streams {
            tasks.spawn(stream(load.clone(), Arc::clone(&progress)));
            // Spread over one delay between events: streams in step would be served in one wake-up.
            if number % 10 == 9 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        while progress.opened.load(Ordering::Relaxed) < streams {
            if let Some(ended) = tasks.try_join_next() {
                ended??;
                bail!("a slow stream ended before all {streams} were open: this machine is too busy");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(life / 4).await;
        let memory_open = pss()?;
        if progress.ended.load(Ordering::Relaxed) > 0 {
            bail!("a slow stream ended before memory was read: this machine is too busy");
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let cpu_after = load::settled(&cpu).await?;
        Ok(Cost {
            cpu_ns: cpu_after.saturating_sub(cpu_before) as f64 / f64::from(streams),
            pss_kib: memory_open.saturating_sub(memory_before) as f64 / f64::from(streams),
        })
    })
}

async fn stream(load: Load, progress: Arc<Progress>) -> Result<()> {
    let mut connection = Connection::open(load.addr).await?;
    connection.send(&load.request).await?;
    let mut reply = Reply::new();
    let mut opened = false;
    loop {
        let whole = connection.receive(&mut reply).await?;
        if !opened && reply.events > 0 {
            opened = true;
            progress.opened.fetch_add(1, Ordering::Relaxed);
        }
        if whole {
            break;
        }
    }
    progress.ended.fetch_add(1, Ordering::Relaxed);
    load.expected.check(&reply)
}
