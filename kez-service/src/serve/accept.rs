//! The accept loop, which knows all connections.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ConnectionLimits;
use super::connection::attend;
use super::progress::{Order, Progress};

/// How often room is looked for while there is none.
const BREATH: Duration = Duration::from_millis(100);

/// How often the log tells that there is no room: whoever floods the server does not flood the log.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Takes connections until `drain`, then waits for them to end, at the latest by `cut`.
pub(super) async fn serve(
    socket: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    drain: CancellationToken,
    cut: CancellationToken,
) {
    // Builds the routes' services once, not for every request.
    let mut crowd = Crowd::new(router.with_state(()), limits);
    loop {
        let wait_until = crowd.make_room();
        tokio::select! {
            biased;
            () = drain.cancelled() => break,
            Some(ended) = crowd.tasks.join_next_with_id() => crowd.forget(ended),
            accepted = socket.accept(), if wait_until.is_none() => crowd.take(accepted),
            () = sleep_until(wait_until.unwrap_or_else(Instant::now)), if wait_until.is_some() => {}
        }
    }
    drop(socket);
    crowd.end(&cut).await;
}

/// All connections of one listener.
struct Crowd {
    router: Router,
    limits: ConnectionLimits,
    tasks: JoinSet<()>,
    members: HashMap<Id, Arc<Progress>>,
    /// Until when nothing is accepted, since the operating system would not let a connection in.
    barred_until: Option<Instant>,
    warned: Option<Instant>,
}

impl Crowd {
    fn new(router: Router, limits: ConnectionLimits) -> Self {
        let (tasks, members) = (JoinSet::new(), HashMap::new());
        Self { router, limits, tasks, members, barred_until: None, warned: None }
    }

    fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.bar(&error),
        };
        let progress = Arc::new(Progress::new(self.limits));
        let attending = attend(stream, peer, self.router.clone(), self.limits, Arc::clone(&progress));
        let id = self.tasks.spawn(attending).id();
        self.members.insert(id, progress);
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        // A panic has been reported by the panic hook; it ends one connection.
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.members.remove(&id);
    }

    /// Accepts nothing for a breath after a failure that the next attempt would meet again: mostly, being out of file
    /// descriptors.
    fn bar(&mut self, error: &io::Error) {
        use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        self.warn(&format!("a connection could not be accepted: {error}"));
        self.barred_until = Some(Instant::now() + BREATH);
        self.close_longest_waiting();
    }

    /// Makes room for a new connection if there is none. Returns until when to wait for it.
    fn make_room(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.barred_until = self.barred_until.filter(|until| *until > now);
        if self.members.len() < self.limits.connections {
            return self.barred_until;
        }
        self.warn("all connections are taken; those who keep the server waiting longest are closed for new ones");
        self.close_longest_waiting();
        Some(now + BREATH)
    }

    /// Tells some of those who have kept the server waiting for longer than its patience to go; more than one at a
    /// time, since all have to be looked at to find them.
    fn close_longest_waiting(&self) {
        let now = Instant::now();
        let since = |progress: &Arc<Progress>| Some((progress.waits_since()?, Arc::clone(progress)));
        let mut waiting: Vec<_> = self.members.values().filter_map(since).collect();
        waiting.retain(|(since, _)| now.duration_since(*since) >= self.limits.patience);
        waiting.sort_unstable_by_key(|(since, _)| *since);
        for (_, progress) in waiting.iter().take(self.members.len() / 16 + 1) {
            progress.order(Order::MakeRoom);
        }
    }

    fn warn(&mut self, what: &str) {
        let now = Instant::now();
        if self.warned.is_none_or(|warned| now.duration_since(warned) >= WARN_EVERY) {
            self.warned = Some(now);
            tracing::warn!(connections = self.members.len(), "{what}");
        }
    }

    async fn end(mut self, cut: &CancellationToken) {
        for progress in self.members.values() {
            progress.order(Order::Drain);
        }
        tokio::select! {
            () = cut.cancelled() => self.tasks.shutdown().await,
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
        }
    }
}
