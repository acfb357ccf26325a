use std::time::Duration;

use a6_core::Fault;
use a6_snapshot::{Account, Plugin};
use a6_upstream::sigv4;
use bytes::Bytes;
use http::header::AUTHORIZATION;

use crate::headers::write;
use crate::worker::Worker;

/// Completes a head by what shows who asks: a signature of head and body as they are sent, or a token, which is waited for
/// at most for `limit` where none is known.
///
/// # Errors
/// There is no token.
pub(crate) async fn sign<P: Plugin>(
    head: &mut Vec<u8>,
    body: &[Bytes],
    account: &Account,
    limit: Duration,
    worker: &Worker<P>,
) -> Result<(), Fault> {
    match account {
        Account::Aws(account) => {
            let hash = sigv4::hash(body).await;
            sigv4::sign(account, head, &hash, worker.config.clock.unix_seconds());
        }
        Account::Google(account) => {
            let token = worker.config.tokens.bearer(account, limit).await?;
            write(head, &AUTHORIZATION, format!("Bearer {}", token.expose()).as_bytes());
        }
    }
    Ok(())
}
