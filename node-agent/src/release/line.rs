//! The connection to the operator, and its short life.
//!
//! It is given up after seconds, for two reasons. Its buffers keep the last keys that came through
//! them, until they are freed and wiped. And a connection through a Service stays with one replica,
//! also with one that has fallen behind and is not ready any more.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, interval};
use tonic::transport::Channel;

use super::{Address, connect};

/// At most one connection that new calls use. Calls that run keep the one that they have.
#[derive(Debug)]
pub(super) struct Line {
    address: Address,
    ca_file: PathBuf,
    current: Mutex<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    channel: Channel,
    since: Instant,
}

impl Line {
    pub(super) fn new(address: Address, ca_file: PathBuf) -> Self {
        Self {
            address,
            ca_file,
            current: Mutex::new(None),
        }
    }

    /// The connection for the next call.
    pub(super) fn channel(&self) -> Channel {
        let mut current = self.current();
        if current.as_ref().is_some_and(Connection::is_old) {
            *current = None;
        }
        let connection = current.get_or_insert_with(|| Connection {
            channel: connect::channel(&self.address, &self.ca_file),
            since: Instant::now(),
        });
        connection.channel.clone()
    }

    /// Makes the next call use another connection.
    pub(super) fn hang_up(&self) {
        *self.current() = None;
    }

    /// Ends connections that nobody uses any more. Never returns.
    pub(super) async fn tend(&self) {
        let mut tick = interval(LOOK);
        loop {
            tick.tick().await;
            let mut current = self.current();
            if current.as_ref().is_some_and(Connection::is_old) {
                *current = None;
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn is_old(&self) -> bool {
        self.since.elapsed() >= LIFE
    }
}

/// A node that starts with a hundred pods shares one; a quiet node keeps none.
const LIFE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(1);
