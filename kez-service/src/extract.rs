//! Extractors whose refusals are [`Problem`]s.

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::problem::{Problem, code};

/// Wraps one of axum's extractors, so that what it refuses is answered with a [`Problem`]: 400 for
/// anything malformed, 413 for a body over the limit, 415 for another media type.
///
/// Unknown members are refused where the type says so: every request type carries
/// `#[serde(deny_unknown_fields)]`.
///
/// ```
/// use kez_service::{axum::Json, extract::Checked};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Greeting { name: String }
///
/// async fn greet(Checked(Json(greeting)): Checked<Json<Greeting>>) -> String {
///     format!("hello {}", greeting.name)
/// }
/// # let _: kez_service::axum::Router =
/// #     kez_service::axum::Router::new().route("/", kez_service::axum::routing::post(greet));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Checked<E>(pub E);

impl<E, S> FromRequest<S> for Checked<E>
where
    E: FromRequest<S, Rejection: Into<Problem>>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        E::from_request(request, state).await.map(Self).map_err(Into::into)
    }
}

impl<E, S> FromRequestParts<S> for Checked<E>
where
    E: FromRequestParts<S, Rejection: Into<Problem>>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        E::from_request_parts(parts, state).await.map(Self).map_err(Into::into)
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        refusal(rejection.status(), rejection.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        // axum answers 422 for JSON of another shape; here 422 is kept for what was understood.
        let status = match &rejection {
            JsonRejection::JsonDataError(_) => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
        refusal(status, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        refusal(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        refusal(rejection.status(), rejection.body_text())
    }
}

fn refusal(status: StatusCode, detail: String) -> Problem {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => code::TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => code::UNSUPPORTED_MEDIA_TYPE,
        status if status.is_server_error() => code::INTERNAL,
        _ => code::MALFORMED,
    };
    Problem::new(status, code, detail)
}
