//! Everybody who has an inbox has a consumer, and nobody else has.
//!
//! Whoever logs in is given theirs at once; this goes through all others behind the scenes: after a broker lost its disk,
//! or a node of a cluster was lost. What is there already is told by the broker, so a walk that was cut short goes on
//! where it was. What is left over is of people who began to register and did not end it; or the registry is not the one
//! that it was, such as an older copy, and then it is of people who will be back. So it stays for a day.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kez_core::identity::PrimaryKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::jetstream::{JetStream, JsError};
use super::meters::Meters;
use super::trouble::{Trouble, WorkError};
use crate::clock::Clock;
use crate::registry::{Registry, RegistryError, StoredKey};

/// How often the consumers are compared with the registry.
const EVERY: Duration = Duration::from_secs(600);
/// How often a cluster is asked for nodes that it lost, and when a walk that failed is tried again.
const OFTEN: Duration = Duration::from_secs(5);
/// People read from the registry at a time.
const PAGE: u32 = 1000;
/// Consumers made at the same time: few, so that logins do not wait for them.
const AT_ONCE: usize = 4;
/// Lost consumers made at the same time. Each waits for an answer that does not come.
const REMADE_AT_ONCE: usize = 64;
/// People whose leftovers are noted at a time.
const DEPARTURES: usize = 256;

/// Keeps consumers and registry alike.
pub(crate) struct Consumers {
    pub(crate) js: JetStream,
    pub(crate) registry: Registry,
    /// Whether a consumer that is nobody's may go: not in a stream that this registry does not know from its start.
    pub(crate) may_clear: bool,
    /// For how long a consumer that is nobody's stays.
    pub(crate) leftovers_stay: Duration,
    pub(crate) clock: Clock,
    /// Wakes who takes away what is left of people.
    pub(crate) departed: Arc<Notify>,
    pub(crate) meters: Meters,
}

/// Nodes of the broker's cluster, by their names.
#[derive(Default)]
struct Nodes {
    /// Those that were silent at the last look. Right after an election a sound one may look like that.
    silent: BTreeSet<String>,
    /// Those whose consumers have been made again.
    lost: BTreeSet<String>,
}

impl Consumers {
    /// Walks through everybody, again and again. It may be dropped at any point.
    pub(crate) async fn run(&self) {
        let mut due = Instant::now();
        let mut nodes = Nodes::default();
        let mut left_over = HashMap::new();
        let mut trouble = Trouble::default();
        loop {
            let outcome = self.look(&mut due, &mut nodes, &mut left_over).await;
            trouble.report(outcome, "making everybody's inbox ready");
            tokio::time::sleep(OFTEN).await;
        }
    }

    async fn look(
        &self,
        due: &mut Instant,
        nodes: &mut Nodes,
        left_over: &mut HashMap<String, Instant>,
    ) -> Result<(), WorkError> {
        let silent = self.js.silent_nodes().await?;
        if silent.intersection(&nodes.silent).any(|node| !nodes.lost.contains(node)) {
            self.make_what_was_lost().await?;
            nodes.lost = silent.intersection(&nodes.silent).cloned().collect();
        }
        nodes.lost.retain(|node| silent.contains(node));
        nodes.silent = silent;
        if *due <= Instant::now() {
            let nobodys = self.round().await?;
            let now = Instant::now();
            left_over.retain(|name, _| nobodys.contains(name));
            for name in nobodys {
                left_over.entry(name).or_insert(now);
            }
            let stay = self.leftovers_stay;
            self.clear(left_over.iter().filter(|(_, since)| since.elapsed() >= stay).map(|(name, _)| name)).await?;
            *due = Instant::now() + EVERY;
        }
        Ok(())
    }

    /// Makes the consumers again that lived on a node which is silent. Such a one neither delivers nor lets its owner log
    /// in. What it knew of acknowledgements is lost with it, so some messages are delivered twice.
    async fn make_what_was_lost(&self) -> Result<(), WorkError> {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let page = self.js.silent_consumers(offset).await?;
            names.extend(page.names);
            offset += page.seen;
            if offset >= page.total {
                break;
            }
        }
        let owners: Vec<_> = names.iter().filter_map(|name| PrimaryKey::from_hex(name).ok()).collect();
        tracing::warn!(
            consumers = owners.len(),
            "a node of the broker's cluster is silent; making its consumers again"
        );
        let making = owners.into_iter().map(async |owner| {
            match self.js.delete_consumer(&owner).await {
                // It is taken away all the same: who would say so is the node that is lost.
                Ok(()) | Err(JsError::Unreachable { .. }) => self.make(owner.into()).await,
                Err(error) => Err(error.into()),
            }
        });
        stream::iter(making).buffer_unordered(REMADE_AT_ONCE).try_collect::<()>().await
    }

    /// Makes what is missing; returns the names of consumers that are nobody's.
    async fn round(&self) -> Result<HashSet<String>, WorkError> {
        let mut left_over = self.names().await?;
        let mut made = 0;
        let mut after = None;
        loop {
            let page = self.registry.inbox_owners(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            let missing: Vec<_> = page.into_iter().filter(|owner| !left_over.remove(&owner.to_hex())).collect();
            made += missing.len();
            stream::iter(missing).map(|owner| self.make(owner)).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        if made > 0 {
            tracing::info!(made, "made consumers that were missing");
        }
        Ok(left_over)
    }

    /// Returns the names of all consumers. One that is made or goes meanwhile may be missed, and is seen the next time.
    async fn names(&self) -> Result<HashSet<String>, JsError> {
        let mut names = HashSet::new();
        let mut offset = 0;
        loop {
            let page = self.js.consumer_names(offset).await?;
            offset += page.consumers.len();
            let is_last = page.consumers.is_empty() || offset >= page.total;
            names.extend(page.consumers);
            if is_last {
                return Ok(names);
            }
        }
    }

    async fn make(&self, owner: StoredKey) -> Result<(), WorkError> {
        self.js.provision(&owner.to_primary().map_err(RegistryError::from)?).await?;
        self.meters.consumers_made.inc();
        Ok(())
    }

    /// Has what is left of people taken away who are not registered. An operator's own consumer has another kind of name.
    async fn clear<'a>(&self, left_over: impl Iterator<Item = &'a String>) -> Result<(), WorkError> {
        let people: Vec<_> =
            left_over.filter_map(|name| PrimaryKey::from_hex(name).ok()).map(StoredKey::from).collect();
        if people.is_empty() {
            return Ok(());
        }
        if !self.may_clear {
            tracing::warn!(
                consumers = people.len(),
                "consumers of people whom this registry does not know are left alone"
            );
            return Ok(());
        }
        for some in people.chunks(DEPARTURES) {
            // Who registered since the registry was read is left out.
            let departed = self.registry.depart_unless_registered(some.to_vec(), self.clock.now_ms()).await?;
            if departed > 0 {
                tracing::info!(departed, "people who are not registered have consumers, which are taken away");
            }
        }
        self.departed.notify_one();
        Ok(())
    }
}
