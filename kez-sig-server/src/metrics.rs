//! What the server counts.

use std::sync::Arc;

use axum::response::Response;
use kez_service::metrics::{self, HttpMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::store::{Appended, Counts};

/// The server's counts. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) http: HttpMetrics,
    appends: Family<Outcome, Counter>,
    chains: Gauge,
    events: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("kez_sig");
        let http = HttpMetrics::register(&mut registry);
        let (appends, chains, events) = (Family::default(), Gauge::default(), Gauge::default());
        registry.register("appends", "Events that came, by what became of them", appends.clone());
        registry.register("chains", "Chains stored", chains.clone());
        registry.register("events", "Events stored", events.clone());
        Self { registry: Arc::new(registry), http, appends, chains, events }
    }

    pub(crate) fn count(&self, appended: &Appended) {
        let outcome = match appended {
            Appended::New => "new",
            Appended::Already => "already",
            Appended::Conflict { .. } => "conflict",
            Appended::Invalid(_) => "invalid",
            Appended::TooSoon { .. } => "too_soon",
        };
        self.appends.get_or_create(&Outcome { outcome }).inc();
    }

    /// Answers a scrape.
    pub(crate) fn exposition(&self, stored: Counts) -> Response {
        self.chains.set(stored.chains);
        self.events.set(stored.events);
        metrics::exposition(&self.registry)
    }
}
