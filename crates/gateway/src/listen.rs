use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use a6_snapshot::{Client, Plugin};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::road;
use crate::worker::Worker;

const BACKLOG: i32 = 4096;

/// One data thread's share of every listening address.
#[derive(Debug)]
pub struct Sockets(Vec<TcpListener>);

impl Sockets {
    /// The addresses, with the ports that the system chose where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }
}

/// Binds every address once per data thread; the kernel spreads connections over them.
///
/// # Errors
/// An address is in use or not allowed; it is named.
pub fn bind(addresses: &[SocketAddr], workers: usize) -> io::Result<Vec<Sockets>> {
    let mut shares: Vec<_> = (0..workers).map(|_| Sockets(Vec::new())).collect();
    for address in addresses {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        // Sockets that share a port would also share it with another process of ours. A plain one fails then.
        let chosen = TcpListener::bind(address).and_then(|probe| probe.local_addr()).map_err(named)?;
        for share in &mut shares {
            share.0.push(listener(chosen).map_err(named)?);
        }
    }
    Ok(shares)
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until `draining`, then waits for what is open, at most `drain_limit`.
pub(crate) async fn serve<P: Plugin>(
    worker: Rc<Worker<P>>,
    sockets: Sockets,
    draining: watch::Receiver<bool>,
    drain_limit: Duration,
) -> io::Result<()> {
    let mut accepting = JoinSet::new();
    for socket in sockets.0 {
        let listener = tokio::net::TcpListener::from_std(socket)?;
        accepting.spawn_local(accept(worker.clone(), listener, draining.clone(), drain_limit));
    }
    while accepting.join_next().await.is_some() {}
    Ok(())
}

async fn accept<P: Plugin>(
    worker: Rc<Worker<P>>,
    listener: tokio::net::TcpListener,
    mut draining: watch::Receiver<bool>,
    drain_limit: Duration,
) {
    let mut connections = JoinSet::new();
    let for_connections = draining.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    connections.spawn_local(connection(worker.clone(), socket, peer, for_connections.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those in use have to come back first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = draining.wait_for(|draining| *draining) => break,
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_limit, all_ended).await.is_err() {
        tracing::warn!("the drain timeout passed with connections open; they are cut");
    }
}

async fn connection<P: Plugin>(
    worker: Rc<Worker<P>>,
    socket: TcpStream,
    peer: SocketAddr,
    mut draining: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    let client = Rc::new(Client { peer, local, scheme: "http" });
    let header_timeout = worker.config.header_timeout;
    let service = service_fn(move |request| {
        let (worker, client) = (worker.clone(), client.clone());
        async move { Ok::<_, Infallible>(road::travel(worker, client, request).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .serve_connection(TokioIo::new(socket), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = draining.wait_for(|draining| *draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a client connection ended early");
    }
}
