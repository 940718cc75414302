//! The HTTP of `docs/PROTOCOL.md` §4.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use kez_core::error::Code;
use kez_core::handle::Policy;
use kez_core::identity::PrimaryKey;
use kez_core::sigchain::{ChainError, Event, Head, MAX_EVENT_CHARS};
use kez_service::extract::Checked;
use kez_service::problem::{Problem, Refusal, RefusalForNow, code};
use kez_service::rate::{self, Limiter};
use kez_service::{layers, openapi};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::metrics::Metrics;
use crate::store::{Appended, Standing, Store};

/// The media type of a compact JWS (RFC 7515 §9.2.1).
const JOSE: &str = "application/jose";

const MAX_PAGE: u64 = 1_000;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) policy: Policy,
    pub(crate) metrics: Metrics,
}

/// Who may ask how often.
#[derive(Clone, Debug)]
pub(crate) struct Limiters {
    pub(crate) appends: Limiter,
    pub(crate) reads: Limiter,
}

/// Routes of the public listener.
pub(crate) fn public(app: App, limiters: Limiters) -> Router {
    let limited = |limiter| from_fn_with_state(limiter, rate::limit);
    let router = OpenApiRouter::new()
        .merge(OpenApiRouter::new().routes(routes!(append)).route_layer(limited(limiters.appends)))
        .merge(
            OpenApiRouter::new().routes(routes!(read)).layer(layers::compressed()).route_layer(limited(limiters.reads)),
        )
        .routes(routes!(healthz))
        .with_state(app);
    openapi::described(
        router,
        "kez sigchain server",
        env!("CARGO_PKG_VERSION"),
        "Keeps signed, append-only identity chains and hands them out (docs/PROTOCOL.md §4).",
    )
}

/// Routes of the internal listener.
pub(crate) fn internal(app: App) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(app)
}

/// What an append answers: where the event stands.
#[derive(Serialize, ToSchema)]
struct Place {
    #[schema(minimum = 1, maximum = 100_000)]
    seq: u64,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    head: String,
}

/// Appends an event.
///
/// The body is a compact JWS as `docs/PROTOCOL.md` §4 describes it. An event that does not follow the chain's last one
/// is refused with the event in its place, or the last one, in `seq`, `head` and `event`.
#[utoipa::path(
    post,
    path = "/v1/sigchains/ed25519/{hex}/events",
    params(("hex" = String, Path, description = "the owner's ed25519 key", pattern = "^[0-9a-f]{64}$")),
    request_body(content = String, content_type = "application/jose", description = "the event"),
    responses(
        (status = 201, description = "The event is the chain's last one", body = Place),
        (status = 200, description = "The event stands in its place already", body = Place),
        (status = 400, response = Refusal),
        (status = 409, response = Refusal),
        (status = 413, response = Refusal),
        (status = 415, response = Refusal),
        (status = 422, response = Refusal),
        (status = 429, response = RefusalForNow),
        (status = 503, response = RefusalForNow),
    ),
)]
async fn append(
    State(app): State<App>,
    Checked(Path(hex)): Checked<Path<String>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Place>), Problem> {
    let owner = owner_of(&hex)?;
    if !is_jose(&headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::UNSUPPORTED_MEDIA_TYPE,
            "an event is a compact JWS of type application/jose",
        ));
    }
    let body = body.map_err(unread)?;
    let jws = std::str::from_utf8(&body).map_err(|_| invalid(&ChainError::BadJws))?;
    let event = Event::parse(jws, &owner, app.policy).map_err(|error| invalid(&error))?;
    let place = Place { seq: event.seq(), head: event.head().to_string() };
    let appended = app.store.append(event, since_1970()).await?;
    app.metrics.count(&appended);
    match appended {
        Appended::New => Ok((StatusCode::CREATED, Json(place))),
        Appended::Already => Ok((StatusCode::OK, Json(place))),
        Appended::Conflict { why, standing } => Err(conflict(&why, standing)),
        Appended::Invalid(error) => Err(invalid(&error)),
        Appended::TooSoon { wait } => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            code::TOO_MANY,
            "this chain's shared files changed a short while ago; send the same event again later",
        )
        .retry_after(wait.as_millis().div_ceil(1_000) as u64)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    #[serde(default)]
    after: u64,
    #[serde(default = "max_page")]
    limit: u64,
}

fn max_page() -> u64 {
    MAX_PAGE
}

/// A part of a chain: `seq` and `head` are those of the chain's last event.
#[derive(Serialize, ToSchema)]
struct Page {
    events: Vec<String>,
    seq: u64,
    head: String,
}

/// Reads a chain, a page at a time.
///
/// A chain that nobody has begun is an empty one. `ETag` is the chain's head.
#[utoipa::path(
    get,
    path = "/v1/sigchains/ed25519/{hex}",
    params(
        ("hex" = String, Path, description = "the owner's ed25519 key", pattern = "^[0-9a-f]{64}$"),
        (
            "after" = Option<u64>, Query, description = "the place of the last event that the caller has",
            minimum = 0, maximum = 9_223_372_036_854_775_807_i64,
        ),
        ("limit" = Option<u64>, Query, description = "how many events to return at most", minimum = 1, maximum = 1000),
        ("If-None-Match" = Option<String>, Header, description = "the head that the caller has, in quotes"),
    ),
    responses(
        (
            status = 200, description = "Events after `after`, and where the chain ends", body = Page,
            headers(("ETag" = String, description = "the chain's head, in quotes")),
        ),
        (status = 304, description = "The chain ends where the caller thinks"),
        (status = 400, response = Refusal),
        (status = 429, response = RefusalForNow),
        (status = 503, response = RefusalForNow),
    ),
)]
async fn read(
    State(app): State<App>,
    Checked(Path(hex)): Checked<Path<String>>,
    Checked(Query(paging)): Checked<Query<Paging>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let owner = owner_of(&hex)?;
    let Paging { after, limit } = paging;
    if !(1..=MAX_PAGE).contains(&limit) || after > i64::MAX.cast_unsigned() {
        let detail = "`limit` is 1 to 1000, and `after` the place of an event";
        return Err(Problem::new(StatusCode::BAD_REQUEST, code::MALFORMED, detail));
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        let tag = tag_of(app.store.end(owner).await?.head);
        if is_known(&headers, &tag) {
            return Ok((StatusCode::NOT_MODIFIED, validators(&tag)?).into_response());
        }
    }
    let (events, end) = app.store.page(owner, after, limit).await?;
    let tag = tag_of(end.head);
    Ok((validators(&tag)?, Json(Page { events, seq: end.seq, head: text_of(end.head) })).into_response())
}

/// Whether the server can do its work.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(pattern = "^ok$")]
    status: &'static str,
}

/// Tells whether the database answers.
#[utoipa::path(
    get,
    path = "/v1/healthz",
    responses((status = 200, description = "It does", body = Health), (status = 503, response = RefusalForNow)),
)]
async fn healthz(State(app): State<App>) -> Result<Json<Health>, Problem> {
    app.store.check().await?;
    Ok(Json(Health { status: "ok" }))
}

/// Answers with what the server counts, for Prometheus.
async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    Ok(app.metrics.exposition(app.store.counts().await?))
}

fn owner_of(hex: &str) -> Result<PrimaryKey, Problem> {
    PrimaryKey::from_hex(hex)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.code().as_str(), error.to_string()))
}

fn is_jose(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(JOSE)
}

/// A body over the limit is an event over its limit, and gets the core's code for that.
fn unread(rejection: BytesRejection) -> Problem {
    let problem = Problem::from(rejection);
    if problem.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return problem;
    }
    let detail = format!("an event has at most {MAX_EVENT_CHARS} characters");
    Problem::new(problem.status(), Code::TooLong.as_str(), detail)
}

fn invalid(error: &ChainError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code().as_str(), error.to_string())
}

fn conflict(why: &ChainError, standing: Option<Standing>) -> Problem {
    let problem = Problem::new(StatusCode::CONFLICT, why.code().as_str(), why.to_string());
    match standing {
        Some(Standing { seq, head, jws }) => problem.with("seq", seq).with("head", head.to_string()).with("event", jws),
        None => problem.with("seq", 0).with("head", ""),
    }
}

fn text_of(head: Option<Head>) -> String {
    head.map(|head| head.to_string()).unwrap_or_default()
}

fn tag_of(head: Option<Head>) -> String {
    format!("\"{}\"", text_of(head))
}

/// Tells whether the caller has what `tag` stands for (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',').map(str::trim));
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// A cache in between has to ask each time: an old chain is a rollback to its reader.
fn validators(tag: &str) -> Result<HeaderMap, Problem> {
    let tag = HeaderValue::from_str(tag).map_err(|error| Problem::internal(&error))?;
    let no_cache = HeaderValue::from_static("no-cache");
    Ok(HeaderMap::from_iter([(header::ETAG, tag), (header::CACHE_CONTROL, no_cache)]))
}

/// The server's own clock; one before 1970 counts as 1970.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
