use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use a6_snapshot::{Client, Plugin};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::handshake::{self, Shaken};
use crate::secured::Secured;
use crate::wire::{ClientStream, Link, Patience, Wire};
use crate::worker::Worker;
use crate::{http1, http2};

const BACKLOG: i32 = 4096;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One data thread's share of every listening address.
#[derive(Debug, Default)]
pub struct Sockets {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

/// A listener of a running data thread.
pub(crate) struct Listener {
    socket: tokio::net::TcpListener,
    speaks_tls: bool,
}

impl Sockets {
    /// The addresses without TLS, with the ports that the system chose where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.plain)
    }

    /// The addresses that speak TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.tls)
    }

    /// For the runtime that is entered.
    pub(crate) fn into_listeners(self) -> io::Result<Vec<Listener>> {
        let listener = |socket, speaks_tls| {
            tokio::net::TcpListener::from_std(socket).map(|socket| Listener { socket, speaks_tls })
        };
        let plain = self.plain.into_iter().map(|socket| listener(socket, false));
        plain.chain(self.tls.into_iter().map(|socket| listener(socket, true))).collect()
    }
}

fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
    sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
}

/// Binds every address once per data thread; the kernel spreads connections over them.
///
/// # Errors
/// An address is in use or not allowed; it is named.
pub fn bind(addresses: &[SocketAddr], workers: usize) -> io::Result<Vec<Sockets>> {
    let mut shares: Vec<_> = (0..workers).map(|_| Sockets::default()).collect();
    for address in addresses {
        for (share, socket) in shares.iter_mut().zip(bind_one(*address, workers)?) {
            share.plain.push(socket);
        }
    }
    Ok(shares)
}

/// Adds listeners that speak TLS to the shares: all of them or, where one address cannot be had, none.
///
/// # Errors
/// As [`bind`].
pub fn bind_tls(shares: &mut [Sockets], addresses: &[SocketAddr]) -> io::Result<()> {
    let workers = shares.len();
    let bound = addresses.iter().map(|address| bind_one(*address, workers));
    for sockets in bound.collect::<io::Result<Vec<_>>>()? {
        for (share, socket) in shares.iter_mut().zip(sockets) {
            share.tls.push(socket);
        }
    }
    Ok(())
}

fn bind_one(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    // Sockets that share a port would also share it with another process of ours. A plain one fails then.
    let chosen = TcpListener::bind(address).and_then(|probe| probe.local_addr()).map_err(named)?;
    (0..workers).map(|_| listener(chosen).map_err(named)).collect()
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
    listeners: Vec<Listener>,
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
    listener: Listener,
    mut draining: watch::Receiver<bool>,
    drain_limit: Duration,
) {
    let mut connections = JoinSet::new();
    let for_connections = draining.clone();
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((socket, peer)) => {
                    let (worker, draining) = (worker.clone(), for_connections.clone());
                    connections.spawn_local(connection(worker, socket, peer, listener.speaks_tls, draining));
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

/// A connection that is about to carry requests.
struct Begun {
    stream: ClientStream,
    tls: Option<Secured>,
    speaks_http2: bool,
}

/// Finds out what the client speaks. None where it speaks nothing in time, or nothing that is understood.
async fn begin<P: Plugin>(worker: &Worker<P>, socket: TcpStream, speaks_tls: bool) -> Option<Begun> {
    if speaks_tls {
        // Boxed, since every connection keeps a future like this, and a handshake is soon over.
        let Shaken { stream, secured, speaks_http2 } = Box::pin(handshake::accept(worker, socket)).await?;
        let stream = ClientStream::Tls(Box::new(stream));
        return Some(Begun { stream, tls: Some(secured), speaks_http2 });
    }
    let speaks_http2 = begins_with_http2_preface(&socket, worker.config.header_timeout).await?;
    Some(Begun { stream: socket.into(), tls: None, speaks_http2 })
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
    speaks_tls: bool,
    mut draining: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    let begun = tokio::select! {
        begun = begin(&worker, socket, speaks_tls) => begun,
        // It has asked for nothing yet.
        _ = draining.wait_for(|draining| *draining) => return,
    };
    let Some(Begun { stream, tls, speaks_http2 }) = begun else { return };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let link = Rc::new(Link {
        client: Rc::new(Client { peer, local, scheme }),
        wire: Wire::new(worker.cutting.clone(), worker.metrics.traffic().clone()),
        tls,
    });
    let patience = Patience {
        keepalive: worker.config.keepalive_timeout,
        head: worker.config.header_timeout,
        send: worker.config.send_timeout,
    };
    if speaks_http2 {
        // Boxed, since every connection keeps a future like this, and few speak it.
        Box::pin(http2::serve(worker, stream, link, patience, draining)).await;
    } else {
        http1::serve(worker, stream, link, patience, draining).await;
    }
}
