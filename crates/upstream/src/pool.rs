use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_snapshot::{Keepalive, Target};
use foldhash::fast::RandomState;

use crate::connection::Connection;
use crate::dial::Identity;

/// Idle connections of one thread, by target. The one used last is taken first, so that the surplus grows old.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Targets come from the configuration, so that a fast hash is safe.
    idle: RefCell<HashMap<Arc<Target>, Vec<Idle>, RandomState>>,
}

#[derive(Debug)]
struct Idle {
    /// Boxed, so that it is moved from request to request as a pointer.
    connection: Box<Connection>,
    since: Instant,
    limit: Duration,
}

impl Idle {
    fn is_usable(&self) -> bool {
        self.since.elapsed() < self.limit && self.connection.is_quiet()
    }
}

impl Pool {
    /// A connection that is still good, and was dialled for the same identity.
    pub(crate) fn take(&self, target: &Target, identity: Option<&Identity>) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(target)?;
        for place in (0..list.len()).rev() {
            if list[place].connection.identity.as_deref() == identity {
                let candidate = list.remove(place);
                if candidate.is_usable() {
                    return Some(candidate.connection);
                }
            }
        }
        None
    }

    /// Keeps a connection for the next request; the oldest goes where there are too many.
    pub(crate) fn give(&self, target: &Arc<Target>, keepalive: Keepalive, mut connection: Box<Connection>) {
        connection.rest();
        let mut idle = self.idle.borrow_mut();
        let entry = Idle { connection, since: Instant::now(), limit: keepalive.idle };
        match idle.get_mut(&**target) {
            Some(list) => {
                if list.len() >= keepalive.size {
                    list.remove(0);
                }
                list.push(entry);
            }
            None => {
                idle.insert(target.clone(), vec![entry]);
            }
        }
    }

    /// Closes what is too old, was closed by the upstream or leads to an address that its name has left.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(Idle::is_usable);
            !list.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use a6_protocols::Scheme;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::io::Io;

    #[tokio::test]
    async fn only_requests_that_agree_on_the_identity_share_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = address.ip().to_string().into();
        let target = Arc::new(Target { scheme: Scheme::Https, host, port: address.port(), verify: false });
        let keepalive = Keepalive { size: 4, idle: Duration::from_secs(60) };
        let named = |name: &str| Some(Arc::new(Identity { server_name: name.into(), certificate: None }));
        let pool = Pool::default();
        let mut ends = Vec::new();
        for identity in [named("a.test"), None, named("b.test")] {
            let io = Io::Plain(TcpStream::connect(address).await.unwrap());
            ends.push(listener.accept().await.unwrap());
            pool.give(&target, keepalive, Box::new(Connection::new(io, None, identity)));
        }
        let takes = |identity: Option<Arc<Identity>>| pool.take(&target, identity.as_deref()).is_some();
        assert!(!takes(named("c.test")), "nobody has dialled for it");
        assert!(takes(named("a.test")) && takes(None) && takes(named("b.test")));
        assert!(!takes(None), "all are taken");
    }
}
