//! What the server counts.

use std::sync::Arc;

use axum::response::Response;
use kez_service::metrics::{self, HttpMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::broker::Meters;
use crate::endpoints::Counters;
use crate::registry::Counts;

/// The server's counts. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) http: HttpMetrics,
    pub(crate) endpoints: Counters,
    pub(crate) broker: Meters,
    logins: Family<Outcome, Counter>,
    registrations: Family<Outcome, Counter>,
    handles: Family<Standing, Gauge>,
    departures: Gauge,
    broker_up: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Standing {
    standing: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("kez_chat");
        let http = HttpMetrics::register(&mut registry);
        let (logins, registrations) = (Family::default(), Family::default());
        let (handles, departures, broker_up) = (Family::default(), Gauge::default(), Gauge::default());
        registry.register("logins", "Logins judged, by what became of them", logins.clone());
        registry.register("registrations", "Registrations asked for, by what became of them", registrations.clone());
        registry.register("handles", "Handles in the registry", handles.clone());
        registry.register("departures", "People of whom the broker has something that has to go", departures.clone());
        registry.register("broker_up", "1 while the broker is within reach", broker_up.clone());
        let endpoints = Counters::default();
        let Counters { hits, fetches, failures } = &endpoints;
        registry.register("endpoints_hits", "Look-ups answered with a fresh hint of endpoints", hits.clone());
        registry.register("endpoints_fetches", "Chains asked for, to hint at endpoints", fetches.clone());
        registry.register("endpoints_failures", "Chains asked for that brought nothing to tell", failures.clone());
        let broker = Meters::register(&mut registry);
        let registry = Arc::new(registry);
        Self { registry, http, endpoints, broker, logins, registrations, handles, departures, broker_up }
    }

    /// Counts a login; `outcome` is a word of a fixed set.
    pub(crate) fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a registration; `outcome` is a word of a fixed set.
    pub(crate) fn registration(&self, outcome: &'static str) {
        self.registrations.get_or_create(&Outcome { outcome }).inc();
    }

    /// Answers a scrape.
    pub(crate) fn exposition(&self, stored: Counts, broker_up: bool) -> Response {
        let Counts { active, blocked, retired, departures } = stored;
        for (standing, count) in [("active", active), ("blocked", blocked), ("retired", retired)] {
            self.handles.get_or_create(&Standing { standing }).set(count);
        }
        self.departures.set(departures);
        self.broker_up.set(broker_up.into());
        metrics::exposition(&self.registry)
    }
}
