//! The auth callout's decision for bridges and tests, and metrics: on the internal listener only.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::Response;
use kez_core::broker::callout::CalloutRequest;
use kez_service::extract::Checked;
use kez_service::problem::Problem;

use super::{App, malformed, registry_failed};

/// Takes a request JWT and gives the response JWT, which may be a refusal.
pub(super) async fn auth(
    State(app): State<Arc<App>>,
    Checked(request): Checked<Bytes>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    // What is not UTF-8 is no JWT either.
    let request = str::from_utf8(&request).unwrap_or_default().trim();
    let link = app.link()?;
    let request = CalloutRequest::parse(request).map_err(|error| malformed(error.code(), error))?;
    let answer = app.callout.answer(&request, &link.js).await;
    Ok(([(header::CONTENT_TYPE, "application/jwt")], answer.jwt))
}

/// Answers with what the server counts, for Prometheus.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let stored = app.registry.counts().await.map_err(registry_failed)?;
    let broker_up = app.link.borrow().is_some();
    Ok(app.metrics.exposition(stored, broker_up))
}
