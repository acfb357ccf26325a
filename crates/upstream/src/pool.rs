use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_snapshot::{Keepalive, Target};

use crate::connection::Connection;

/// Idle connections of one thread, by target. The one used last is taken first, so that the surplus grows old.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Arc<Target>, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
    limit: Duration,
}

impl Idle {
    fn is_usable(&self) -> bool {
        self.since.elapsed() < self.limit && self.connection.is_quiet()
    }
}

impl Pool {
    /// A connection that is still good.
    pub(crate) fn take(&self, target: &Target) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(target)?;
        while let Some(candidate) = list.pop() {
            if candidate.is_usable() {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request; the oldest goes where there are too many.
    pub(crate) fn give(&self, target: &Arc<Target>, keepalive: Keepalive, mut connection: Connection) {
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

    /// Closes what is too old or was closed by the upstream.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(Idle::is_usable);
            !list.is_empty()
        });
    }
}
