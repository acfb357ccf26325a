use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use a6_upstream::google::{Fetcher, Tokens};
use a6_upstream::{Resolver, TlsRoots, Upstream};
use tokio::time::{sleep, timeout};

use crate::Secrets;
use crate::cache::Job;
use crate::client::Client;
use crate::manager::{Content, Tools, fetch};

/// A manager may take this long, from the first name to be looked up to the last byte.
const LIMIT: Duration = Duration::from_secs(5);
/// So many secrets are fetched at the same time.
const MAX_IN_FLIGHT: usize = 64;

/// Fetches what is wanted, and again what has become old. It lives on the control thread and is not `Send`.
pub struct Keeper {
    secrets: Arc<Secrets>,
    tools: Tools,
    /// Fetches Google's tokens, and how.
    fetcher: Cell<Option<(Fetcher, Upstream)>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.secrets.set_kept(false);
    }
}

type Flight<'k> = Pin<Box<dyn Future<Output = (Job, Result<Content, String>)> + 'k>>;

impl Keeper {
    /// Make it on the thread that runs it. Until it is dropped, writes wait a moment for secrets that are new: see
    /// [`crate::Resolving`].
    pub fn new(secrets: Arc<Secrets>, resolver: Arc<Resolver>, roots: Arc<TlsRoots>) -> Self {
        let clock = secrets.clock().clone();
        let (tokens, fetcher) = Tokens::with_fetcher(clock.clone());
        let fetcher = Cell::new(Some((fetcher, Upstream::new(resolver.clone(), roots.clone()))));
        let tools = Tools {
            client: Client::new(Upstream::new(resolver, roots)),
            tokens,
            clock,
            environment: secrets.environment().clone(),
        };
        secrets.set_kept(true);
        Self { secrets, tools, fetcher }
    }

    /// Works until it is dropped.
    pub async fn run(self) {
        let fetching = async {
            if let Some((fetcher, upstream)) = self.fetcher.take() {
                fetcher.run(upstream).await;
            }
        };
        tokio::join!(fetching, self.keep());
    }

    async fn keep(&self) {
        let mut in_flight: Vec<Flight<'_>> = Vec::new();
        loop {
            let (jobs, pause) = self.secrets.take_due(MAX_IN_FLIGHT - in_flight.len());
            for job in jobs {
                in_flight.push(Box::pin(self.ask(job)));
            }
            // Where there is no room, the next answer makes some.
            let pause = pause.filter(|_| in_flight.len() < MAX_IN_FLIGHT);
            tokio::select! {
                (job, result) = first(&mut in_flight) => self.secrets.finish(&job, result),
                () = self.secrets.woken() => {}
                () = sleep(Duration::from_millis(pause.unwrap_or_default())), if pause.is_some() => {}
            }
        }
    }

    async fn ask(&self, job: Job) -> (Job, Result<Content, String>) {
        let result = timeout(LIMIT, fetch(&job, &self.tools)).await;
        let result = result.unwrap_or_else(|_| {
            let (manager, path, limit) = (&job.id.manager, &job.id.path, LIMIT.as_millis());
            Err(format!("secrets/{manager}: {path}: it took longer than {limit} ms to answer"))
        });
        (job, result)
    }
}

/// The first of several futures to be ready; it is taken out. Pending where there are none.
async fn first<T>(futures: &mut Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> T {
    poll_fn(|cx| {
        let ready =
            futures.iter_mut().enumerate().find_map(|(index, future)| match future.as_mut().poll(cx) {
                Poll::Ready(output) => Some((index, output)),
                Poll::Pending => None,
            });
        match ready {
            Some((index, output)) => {
                drop(futures.swap_remove(index));
                Poll::Ready(output)
            }
            None => Poll::Pending,
        }
    })
    .await
}
