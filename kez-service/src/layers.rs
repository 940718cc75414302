//! The layers around every router: limits, request ids, traces, and refusals as problems.

use std::any::Any;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{self, CorsLayer};
use tracing::Instrument as _;

use crate::metrics::{self, HttpMetrics};
use crate::problem::{Problem, code};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest request body, in bytes; a longer one is a 413.
    pub body_bytes: usize,
    /// The longest time from a request's head to the head of its answer; then it is a 503.
    pub time: Duration,
}

impl Default for Limits {
    /// 64 KiB and 10 seconds.
    fn default() -> Self {
        Self { body_bytes: 65_536, time: Duration::from_secs(10) }
    }
}

/// Puts the shared layers around a finished router: unknown routes and methods, panics and time-outs
/// are answered with problems, bodies are limited, requests are counted, and every request has an
/// `X-Request-Id` (its own if it brings a short plain one) in its answer and in the log.
///
/// The log has methods, routes, statuses and times; never paths, queries, headers or bodies: who looks
/// whom up is nobody's business.
pub fn around(router: Router, limits: Limits, metrics: HttpMetrics) -> Router {
    let watch = Arc::new(Watch { time: limits.time, metrics, ids: Ids::new() });
    // One layer of three, the outermost first: each layer of a router costs every request some allocations.
    let layers = (
        middleware::from_fn_with_state(watch, watched),
        CatchPanicLayer::custom(panicked),
        DefaultBodyLimit::max(limits.body_bytes),
    );
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(layers)
}

/// Lets pages of any origin ask, as RFC 7033 §5 wants of WebFinger: a listener with this answers everybody alike, so
/// there is nothing that a foreign page could borrow.
pub fn for_browsers() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_hours(24))
}

/// Compresses answers for who takes it, quickly rather than well.
pub fn compressed() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, "there is no such route")
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        code::METHOD_NOT_ALLOWED,
        "the route takes the methods that `Allow` names",
    )
}

/// What is kept of all requests, and allowed to each.
struct Watch {
    time: Duration,
    metrics: HttpMetrics,
    ids: Ids,
}

/// Gives a request its id, span and time, and counts it.
async fn watched(State(watch): State<Arc<Watch>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = plain_id(request.headers()).unwrap_or_else(|| watch.ids.next());
    let method = metrics::name_of(request.method());
    let route = metrics::route_of(&request);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), method, route = &*route);
    let mut response = async {
        let answer = tokio::time::timeout(watch.time, next.run(request)).await;
        let response = answer.unwrap_or_else(|_| late(watch.time));
        let (status, time) = (response.status().as_u16(), begun.elapsed());
        tracing::debug!(status, time_us = time.as_micros(), "answered");
        watch.metrics.count(route, method, status, time);
        response
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn late(limit: Duration) -> Response {
    tracing::warn!(limit_ms = limit.as_millis(), "a request ran out of time");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        code::UNAVAILABLE,
        "the request took too long to arrive or to be answered; ask again",
    )
    .retry_after(1)
    .into_response()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    // The panic's own words are with the panic hook; here they could carry a caller's data.
    drop(panic);
    tracing::error!("a handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        code::INTERNAL,
        "the server failed; its log has the cause under this answer's X-Request-Id",
    )
    .into_response()
}

/// Returns a caller's request id if it is short and plain, so that it can neither flood nor forge the log.
fn plain_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let is_plain = (1..=64).contains(&id.len())
        && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_plain.then(|| id.clone())
}

/// Request ids that no other run of a server has given. They are no secrets, and may be guessed.
struct Ids {
    run: u64,
    given: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        // The standard library's way to a random number.
        Self { run: RandomState::new().build_hasher().finish(), given: AtomicU64::new(0) }
    }

    fn next(&self) -> HeaderValue {
        let id = format!("{:016x}-{:08x}", self.run, self.given.fetch_add(1, Ordering::Relaxed));
        // Digits and a dash are always a header's value.
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}
