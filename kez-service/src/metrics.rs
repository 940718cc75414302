//! What a server counts, for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::problem::Problem;

/// Upper bounds of the histogram of times, in seconds.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Counts requests by route, method and status. Clones count together.
///
/// Labels come from the server's own tables, never from a caller: a flood of made-up paths makes no new series.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Arc<str>,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Arc<str>,
}

impl HttpMetrics {
    /// Counts from zero, under `http_requests_total` and `http_request_seconds` of `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics =
            Self { requests: Family::default(), seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)) };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "http_request_seconds",
            "Time from a request's head to the head of its answer",
            metrics.seconds.clone(),
        );
        metrics
    }

    /// Counts a request and its answer.
    pub(crate) fn count(&self, route: Arc<str>, method: &'static str, status: u16, time: Duration) {
        self.requests.get_or_create(&Answered { route: Arc::clone(&route), method, status }).inc();
        self.seconds.get_or_create(&Route { route }).observe(time.as_secs_f64());
    }
}

/// Tells which of the router's routes a request took, as the router writes it.
pub(crate) fn route_of(request: &Request) -> Arc<str> {
    request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).into()
}

/// Names a method, or not, if it is one that a caller made up.
pub(crate) fn name_of(method: &Method) -> &'static str {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS, Method::PUT, Method::DELETE, Method::PATCH];
    match known.iter().position(|known| known == method) {
        Some(index) => ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"][index],
        None => "other",
    }
}

/// Answers with all of a registry, in the OpenMetrics text format.
pub fn exposition(registry: &Registry) -> Response {
    let mut body = String::new();
    if let Err(error) = text::encode(&mut body, registry) {
        return Problem::internal(&error).into_response();
    }
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
