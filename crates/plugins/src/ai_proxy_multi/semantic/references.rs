use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use a6_snapshot::Services;
use tokio::sync::Mutex;

use super::Failure;
use super::embeddings::Embeddings;
use super::similarity::Vector;

/// The vectors of all examples. They are fetched by the first request that needs them, in one go, and kept as long as
/// the configuration is. A failure is not kept: the next request tries again.
#[derive(Debug, Default)]
pub(super) struct References {
    vectors: OnceLock<Vec<Vector>>,
    /// Whoever has it fetches; the others wait.
    turn: Mutex<()>,
    failures: AtomicU64,
}

impl References {
    /// The vectors of these texts. However many requests ask at a time, one fetches, and all that have waited share what
    /// became of it; where its client goes away, the next one fetches.
    pub(super) async fn get(
        &self,
        embeddings: &Embeddings,
        services: &Rc<dyn Services>,
        texts: &[String],
    ) -> Result<&[Vector], Failure> {
        if let Some(vectors) = self.vectors.get() {
            return Ok(vectors);
        }
        let failures = self.failures.load(Ordering::Acquire);
        let turn = tokio::time::timeout(embeddings.limit, self.turn.lock()).await;
        let _turn = turn.map_err(|_| Failure::Elsewhere)?;
        if let Some(vectors) = self.vectors.get() {
            return Ok(vectors);
        }
        if self.failures.load(Ordering::Acquire) != failures {
            return Err(Failure::Elsewhere);
        }
        match embeddings.embed(services, texts).await {
            Ok(vectors) => Ok(self.vectors.get_or_init(|| vectors)),
            Err(cause) => {
                self.failures.fetch_add(1, Ordering::AcqRel);
                Err(Failure::Told(cause))
            }
        }
    }
}
