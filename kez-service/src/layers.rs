//! The layers around every router: limits, request ids, traces, and refusals as problems.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{self, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::Span;

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
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn_with_state(limits.time, in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(metrics, metrics::count))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span_of)
                // A 5xx that comes with its own log line needs no second one above `debug`.
                .on_failure(DefaultOnFailure::new().level(tracing::Level::DEBUG)),
        )
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(middleware::map_request(without_strange_id))
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

async fn in_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(limit_ms = time.as_millis(), "a request ran out of time");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNAVAILABLE,
            "the request took too long to arrive or to be answered; ask again",
        )
        .retry_after(1)
        .into_response()
    })
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

/// Drops a caller's request id that is not short and plain, so that it can neither flood nor forge the log.
async fn without_strange_id(mut request: Request) -> Request {
    let plain = request.headers().get(REQUEST_ID).is_none_or(|id| {
        let id = id.as_bytes();
        (1..=64).contains(&id.len())
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if !plain {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn span_of(request: &Request) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    tracing::info_span!("request", id, method = %request.method(), route = metrics::route_of(request))
}
