use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use a6_snapshot::{Client, Plugin};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wire::{Link, Patience, Wire};
use crate::worker::Worker;
use crate::{http1, http2};

const BACKLOG: i32 = 4096;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One data thread's share of every listening address.
#[derive(Debug)]
pub struct Sockets(Vec<TcpListener>);

impl Sockets {
    /// The addresses, with the ports that the system chose where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// For the runtime that is entered.
    pub(crate) fn into_listeners(self) -> io::Result<Vec<tokio::net::TcpListener>> {
        self.0.into_iter().map(tokio::net::TcpListener::from_std).collect()
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
    listeners: Vec<tokio::net::TcpListener>,
    mut draining: watch::Receiver<bool>,
    drain_limit: Duration,
) {
    // Every connection looks at the flag whenever it is woken; one of its own keeps the threads apart.
    let (local_flag, local_draining) = watch::channel(false);
    tokio::task::spawn_local(async move {
        // Where the sender is gone, the process ends.
        let _ = draining.wait_for(|draining| *draining).await;
        let _ = local_flag.send(true);
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn_local(accept(worker.clone(), listener, local_draining.clone(), drain_limit));
    }
    while accepting.join_next().await.is_some() {}
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
        worker.cutting.set(true);
    }
}

/// Whether the client speaks HTTP/2 with prior knowledge. Nothing is taken from the socket.
/// `None` if the client does not say in time.
async fn begins_with_http2_preface(socket: &TcpStream, limit: Duration) -> Option<bool> {
    let mut start = [0u8; HTTP2_PREFACE.len()];
    let peek = async {
        loop {
            match socket.peek(&mut start).await {
                Ok(0) | Err(_) => return false,
                Ok(count) if !HTTP2_PREFACE.starts_with(&start[..count]) => return false,
                Ok(count) if count == HTTP2_PREFACE.len() => return true,
                // A piece of the preface: peeking again would find the same bytes at once.
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(limit, peek).await.ok()
}

async fn connection<P: Plugin>(
    worker: Rc<Worker<P>>,
    socket: TcpStream,
    peer: SocketAddr,
    mut draining: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    let speaks_http2 = tokio::select! {
        speaks_http2 = begins_with_http2_preface(&socket, worker.config.header_timeout) => speaks_http2,
        // It has asked for nothing yet.
        _ = draining.wait_for(|draining| *draining) => return,
    };
    let Some(speaks_http2) = speaks_http2 else { return };
    let link = Rc::new(Link {
        client: Rc::new(Client { peer, local, scheme: "http" }),
        wire: Wire::new(worker.cutting.clone(), worker.metrics.traffic().clone()),
    });
    let patience = Patience {
        keepalive: worker.config.keepalive_timeout,
        head: worker.config.header_timeout,
        send: worker.config.send_timeout,
    };
    if speaks_http2 {
        // Boxed, since every connection keeps a future like this, and few speak it.
        Box::pin(http2::serve(worker, socket, link, patience, draining)).await;
    } else {
        http1::serve(worker, socket, link, patience, draining).await;
    }
}
