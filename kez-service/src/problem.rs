//! Refusals as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{ToResponse, ToSchema};

use crate::database::DbError;

/// The media type of every refusal.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Codes of the refusals that any route can give; a route's own codes are its own, or the core's.
pub mod code {
    /// The request body, path or query is not of the documented form.
    pub const MALFORMED: &str = "Malformed";
    /// There is no such route or resource.
    pub const NOT_FOUND: &str = "NotFound";
    /// The route exists, under another method.
    pub const METHOD_NOT_ALLOWED: &str = "MethodNotAllowed";
    /// The request body is longer than the route takes.
    pub const TOO_LARGE: &str = "TooLarge";
    /// The request body is of another media type.
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "UnsupportedMediaType";
    /// Too many requests of this kind; `Retry-After` says when.
    pub const TOO_MANY: &str = "TooMany";
    /// Not now; `Retry-After` says when.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// A fault of the server, which its log explains under the request's id.
    pub const INTERNAL: &str = "Internal";
}

/// One refusal: a status, a stable `code`, and a sentence for the person who reads it.
///
/// ```
/// use kez_service::{axum::http::StatusCode, problem::Problem};
///
/// let taken = Problem::new(StatusCode::CONFLICT, "HandleTaken", "somebody else has @alice")
///     .with("handle", "alice@kez.lat");
/// assert_eq!(taken.status(), StatusCode::CONFLICT);
/// assert_eq!(taken.code(), "HandleTaken");
/// ```
// Boxed, because handlers return it as the error of every `Result`.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// Makes a refusal; `detail` says what happened and what the caller can do.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner { status, code, detail: detail.into(), members: Map::new(), retry_after_s: None }))
    }

    /// Makes the 500 that tells the caller nothing, after writing `cause` to the log.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(
            error = %crate::process::chain_of(cause),
            "a request failed for a fault of this server"
        );
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            code::INTERNAL,
            "the server failed; its log has the cause under this answer's X-Request-Id",
        )
    }

    /// Adds a member of its own to the body (RFC 9457 §3.2); the five standing ones keep their values.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Sets `Retry-After`, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }
}

/// The body of a refusal (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// Always `about:blank`: the status says it, and `code` says more.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong, as a stable word for programs.
    code: &'static str,
    /// What was wrong and what can be done, for people.
    detail: String,
    /// What the code brings along.
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// The request was refused; `code` says why.
#[derive(ToResponse)]
#[response(description = "The request was refused; `code` says why", content_type = "application/problem+json")]
pub struct Refusal(#[expect(dead_code, reason = "only describes")] ProblemBody);

/// The request was refused for now; `Retry-After` says when to ask again.
#[derive(ToResponse)]
#[response(
    description = "The request was refused for now; ask again after `Retry-After` seconds",
    content_type = "application/problem+json",
    headers(("Retry-After" = u64, description = "seconds")),
)]
pub struct RefusalForNow(#[expect(dead_code, reason = "only describes")] ProblemBody);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { status, code, detail, mut members, retry_after_s } = *self.0;
        for standing in ["type", "title", "status", "code", "detail"] {
            members.remove(standing);
        }
        let mut response = Json(ProblemBody {
            // RFC 9457 §4.2.1: with this type the title is the status's own phrase; `code` tells more.
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Unknown"),
            status: status.as_u16(),
            code,
            detail,
            members,
        })
        .into_response();
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        if error.is_passing() {
            tracing::warn!(%error, "the database could not take a call");
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE, "the database is busy; ask again")
                .retry_after(1);
        }
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body_of(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_the_standing_members_and_its_own() {
        let response = Problem::new(StatusCode::CONFLICT, "WrongPrev", "another event stands there")
            .with("seq", 7)
            .with("head", "ab")
            .into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(
            body_of(response).await,
            serde_json::json!({
                "type": "about:blank", "title": "Conflict", "status": 409, "code": "WrongPrev",
                "detail": "another event stands there", "seq": 7, "head": "ab",
            })
        );
    }

    #[tokio::test]
    async fn own_members_never_replace_the_standing_ones() {
        let response = Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, "nothing here")
            .with("status", 200)
            .with("code", "Fine")
            .into_response();
        let body = body_of(response).await;
        assert_eq!(body["status"], 404);
        assert_eq!(body["code"], "NotFound");
    }

    #[tokio::test]
    async fn retry_after_is_in_seconds() {
        let response =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, code::TOO_MANY, "later").retry_after(600).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "600");
    }

    #[tokio::test]
    async fn an_internal_problem_keeps_its_cause_to_the_log() {
        let cause = std::io::Error::other("disk on fire");
        let body = body_of(Problem::internal(&cause).into_response()).await;
        assert_eq!(body["status"], 500);
        assert!(!body.to_string().contains("fire"));
    }

    #[test]
    fn a_busy_database_is_a_passing_fault_and_a_broken_one_is_not() {
        let failure = |code| DbError::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        let busy = Problem::from(failure(rusqlite::ffi::SQLITE_BUSY));
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        let corrupt = Problem::from(failure(rusqlite::ffi::SQLITE_CORRUPT));
        assert_eq!(corrupt.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(Problem::from(DbError::Closed).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
