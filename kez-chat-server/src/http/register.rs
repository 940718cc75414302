//! Registration: a handle for a key, first come, first served.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kez_core::error::Code;
use kez_core::identity::Statement;
use kez_service::extract::Checked;
use kez_service::problem::{Problem, Refusal, RefusalForNow};
use serde::Deserialize;
use utoipa::ToSchema;

use super::profile::Profile;
use super::signed::Signed;
use super::{App, broker_away, gone, handle_taken, registry_failed};
use crate::registry::{Claim, Standing};

/// A handle that a key asks for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    /// The handle, qualified with this home.
    #[schema(example = "alice@kez.lat")]
    handle: String,
    /// The key in its text form.
    #[schema(pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: String,
    /// The key's signature over the statement of docs/PROTOCOL.md §3, in base64url.
    #[schema(pattern = "^[A-Za-z0-9_-]{86}$")]
    registration_sig: String,
}

/// Registers a handle.
///
/// First come, first served; a key has one handle. The inbox is made first: a handle that resolves can be written to.
#[utoipa::path(
    post,
    path = "/v1/register",
    request_body = Registration,
    responses(
        (status = 201, description = "The handle is the key's", body = Profile),
        (status = 200, description = "It was the key's already", body = Profile),
        (status = 400, response = Refusal),
        (status = 403, response = Refusal),
        (status = 409, response = Refusal),
        (status = 410, response = Refusal),
        (status = 413, response = Refusal),
        (status = 415, response = Refusal),
        (status = 422, response = Refusal),
        (status = 429, response = RefusalForNow),
        (status = 503, response = RefusalForNow),
    ),
)]
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Checked(Json(registration)): Checked<Json<Registration>>,
) -> Result<(StatusCode, Json<Profile>), Problem> {
    let signed = Signed::parse(&app, &registration.handle, &registration.primary, &registration.registration_sig)?;
    signed.handle.check_free().map_err(|error| reserved(error.code(), error))?;
    signed.verify(|handle, primary| Statement::Register { handle, primary })?;

    let Signed { handle, primary, .. } = signed;

    let preview = app.registry.preview(&handle, &primary).await.map_err(registry_failed)?;
    let claim = match preview {
        Claim::New => {
            let link = app.link()?;
            link.js.provision(&primary).await.map_err(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a registration was put off, because its inbox could not be made"
                );
                broker_away()
            })?;
            app.registry.claim(&handle, &primary, app.clock.now_ms()).await.map_err(registry_failed)?
        }
        decided => decided,
    };
    app.metrics.registration(match claim {
        Claim::New => "New",
        Claim::Same(_) => "Same",
        Claim::HandleTaken => "HandleTaken",
        Claim::KeyTaken => "KeyTaken",
        Claim::Reserved => "Reserved",
    });
    let status = match claim {
        Claim::New => {
            tracing::info!(%handle, "registered");
            StatusCode::CREATED
        }
        Claim::Same(Standing::Retired) => return Err(gone()),
        Claim::Same(_) => StatusCode::OK,
        Claim::Reserved => {
            return Err(reserved(Code::ReservedHandle, "this home keeps the name for itself; choose another one"));
        }
        Claim::HandleTaken => return Err(handle_taken("somebody else has this handle; choose another one")),
        Claim::KeyTaken => {
            let detail = "this key has another handle here; a key has one";
            return Err(Problem::new(StatusCode::CONFLICT, "KeyTaken", detail));
        }
    };
    // Who registers knows their own endpoints, and waits for nobody.
    let primary = primary.into();
    let endpoints = app.endpoints.known(&primary);
    Ok((status, Json(app.profile(&handle, primary, endpoints))))
}

fn reserved(code: Code, detail: impl ToString) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code.as_str(), detail.to_string())
}
