use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::tls::Tls;

/// A request's head must be here within this time, and before it a handshake.
const HEAD: Duration = Duration::from_secs(30);
/// Requests in flight may take this long to finish at the end.
const GRACE: Duration = Duration::from_secs(2);

/// Serves a router of this room, in TLS where it is given, until `shutdown` is ready, then lets requests in flight finish for
/// two seconds.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let (tls, router, stopped) = (tls.clone(), router.clone(), stopped.clone());
                    connections.spawn(connection(socket, peer, tls, router, stopped));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    // Every connection holds a receiver; without any, there is nobody to tell.
    let _ = stop.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        tracing::warn!("a control connection did not end in time and is cut");
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    stopped: watch::Receiver<bool>,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let Some(Tls(acceptor)) = tls else { return speak(socket, peer, router, stopped).await };
    match tokio::time::timeout(HEAD, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => speak(stream, peer, router, stopped).await,
        Ok(Err(error)) => tracing::info!(%peer, %error, "a TLS handshake with the Admin API failed"),
        Err(_) => tracing::info!(%peer, "a TLS handshake with the Admin API took too long"),
    }
}

/// Serves the requests of a connection.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { let _ = stopped.wait_for(|stopped| *stopped).await; } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a control connection ended early");
    }
}
