//! Retirement: a handle given up for good.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kez_core::identity::Statement;
use kez_service::extract::Checked;
use kez_service::problem::{Problem, Refusal, RefusalForNow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::signed::Signed;
use super::{App, handle_taken, not_found, registry_failed};
use crate::registry::Retirement;

/// A handle that its key gives up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retiring {
    /// The handle, qualified with this home.
    #[schema(example = "alice@kez.lat")]
    handle: String,
    /// The key in its text form.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: String,
    /// The key's signature over the statement of docs/PROTOCOL.md §3, in base64url.
    #[schema(pattern = "^[A-Za-z0-9_-]{86}$")]
    retire_sig: String,
}

/// The handle that is nobody's any more.
#[derive(Serialize, ToSchema)]
pub(super) struct Retired {
    handle: String,
}

/// Gives up a handle for good.
///
/// Makes the registration a tombstone. The broker need not be within reach: what it has of the person is taken away as
/// soon as it is.
#[utoipa::path(
    post,
    path = "/v1/retire",
    request_body = Retiring,
    responses(
        (status = 200, description = "The handle answers 410 from now on", body = Retired),
        (status = 400, response = Refusal),
        (status = 404, response = Refusal),
        (status = 409, response = Refusal),
        (status = 413, response = Refusal),
        (status = 415, response = Refusal),
        (status = 422, response = Refusal),
        (status = 429, response = RefusalForNow),
        (status = 503, response = RefusalForNow),
    ),
)]
pub(super) async fn retire(
    State(app): State<Arc<App>>,
    Checked(Json(retiring)): Checked<Json<Retiring>>,
) -> Result<Json<Retired>, Problem> {
    let signed = Signed::parse(&app, &retiring.handle, &retiring.primary, &retiring.retire_sig)?;
    signed.verify(|handle, primary| Statement::Retire { handle, primary })?;

    let Signed { handle, primary, .. } = signed;
    match app.registry.retire(&handle, &primary, app.clock.now_ms()).await.map_err(registry_failed)? {
        Retirement::Done => {
            tracing::info!(%handle, "retired");
            app.departed.notify_one();
        }
        Retirement::Already => {}
        Retirement::Unknown => return Err(not_found("nobody has this handle here")),
        Retirement::OtherKey => {
            return Err(handle_taken("somebody else has this handle; only its own key gives it up"));
        }
    }
    Ok(Json(Retired { handle: handle.to_string() }))
}
