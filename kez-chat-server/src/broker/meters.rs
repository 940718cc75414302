//! What is counted of the broker side.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::jetstream::Store;

/// The broker side's counts. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters {
    /// How often the broker was connected.
    pub(crate) sessions: Counter,
    /// Inboxes that the keeper purged, and messages that went.
    pub(crate) purges: Counter,
    pub(crate) purged: Counter,
    /// Inboxes that the keeper has yet to look at.
    pub(crate) hints: Gauge,
    pub(crate) consumers_made: Counter,
    pub(crate) sweep_rounds: Counter,
    pub(crate) sweep_seconds: Gauge<f64, AtomicU64>,
    pub(crate) sweep_pairs: Gauge,
    pub(crate) sweep_purged: Counter,
    pub(crate) floods: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) flood_purged: Counter,
    inbox_messages: Gauge,
    inbox_bytes: Gauge,
    inbox_limit: Gauge,
    store_used: Gauge,
    store_limit: Gauge,
}

impl Meters {
    /// Makes the counts and has them shown.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: &M) {
            registry.register(name, help, metric.clone());
        }
        fn add_bytes(registry: &mut Registry, name: &str, help: &str, metric: &Gauge) {
            registry.register_with_unit(name, help, Unit::Bytes, metric.clone());
        }
        let meters = Self::default();
        add(registry, "broker_sessions", "How often the broker came within reach", &meters.sessions);
        add(registry, "keeper_purges", "Inboxes purged of acknowledged messages", &meters.purges);
        add(registry, "keeper_purged", "Acknowledged messages purged", &meters.purged);
        add(registry, "keeper_hints", "Inboxes whose acknowledgements are yet to be looked at", &meters.hints);
        add(registry, "consumers_made", "Consumers that were missing and made again", &meters.consumers_made);
        add(registry, "sweep_rounds", "Rounds through what waits on the broker", &meters.sweep_rounds);
        let help = "How long the last full walk through what waits took, pauses between its rounds included";
        registry.register_with_unit("sweep_walk", help, Unit::Seconds, meters.sweep_seconds.clone());
        add(registry, "sweep_pairs", "Pairs of recipient and route in the last full walk", &meters.sweep_pairs);
        add(registry, "sweep_purged", "Messages purged because their recipient is nobody", &meters.sweep_purged);
        add(registry, "floods", "People blocked for flooding", &meters.floods);
        let help = "People blocked for messages that end the connection of their reader";
        add(registry, "unreadable", help, &meters.unreadable);
        add(registry, "flood_purged", "Messages purged as part of a flood", &meters.flood_purged);
        add(registry, "inbox_messages", "Messages that wait on the broker", &meters.inbox_messages);
        add_bytes(registry, "inbox", "Bytes that wait on the broker", &meters.inbox_bytes);
        add_bytes(registry, "inbox_limit", "Bytes that may wait on the broker; -1: no limit", &meters.inbox_limit);
        add_bytes(registry, "store_used", "Bytes that the broker stores for us", &meters.store_used);
        add_bytes(registry, "store_limit", "Bytes that the broker may store for us; -1: no limit", &meters.store_limit);
        meters
    }

    /// Shows how full the broker is.
    pub(crate) fn show(&self, store: &Store) {
        let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.inbox_messages.set(signed(store.inbox.messages));
        self.inbox_bytes.set(signed(store.inbox.bytes));
        self.inbox_limit.set(store.inbox_limit);
        self.store_used.set(signed(store.used));
        self.store_limit.set(store.limit);
    }
}
