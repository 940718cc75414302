//! Registration: a handle for a key, first come, first served.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kez_core::error::Code;
use kez_core::handle::Handle;
use kez_core::identity::{KeyError, PrimaryKey, Signature, SignatureError, Statement};
use kez_service::extract::Checked;
use kez_service::problem::Problem;
use serde::Deserialize;

use super::profile::Profile;
use super::{App, broker_away, gone, malformed, registry_failed};
use crate::clock::now_ms;
use crate::registry::{Claim, Standing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    handle: String,
    primary: String,
    registration_sig: String,
}

/// Registers a handle. The inbox is made first: a handle that resolves can be written to.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Checked(Json(registration)): Checked<Json<Registration>>,
) -> Result<(StatusCode, Json<Profile>), Problem> {
    let (handle, primary) = verify(&app, &registration)?;

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
            app.registry.claim(&handle, &primary, now_ms()).await.map_err(registry_failed)?
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
            let detail = "this home keeps the name for itself; choose another one";
            return Err(Problem::new(StatusCode::FORBIDDEN, Code::ReservedHandle.as_str(), detail));
        }
        Claim::HandleTaken => {
            let detail = "somebody else has this handle; choose another one";
            return Err(Problem::new(StatusCode::CONFLICT, "HandleTaken", detail));
        }
        Claim::KeyTaken => {
            let detail = "this key has another handle here; a key has one";
            return Err(Problem::new(StatusCode::CONFLICT, "KeyTaken", detail));
        }
    };
    Ok((status, Json(app.profile(&handle, primary))))
}

fn verify(app: &App, registration: &Registration) -> Result<(Handle, PrimaryKey), Problem> {
    let handle =
        Handle::from_qualified(&registration.handle, app.policy).map_err(|error| malformed(error.code(), error))?;
    if *handle.home() != app.domain {
        let detail = format!("this home is {}; register there, or ask {}", app.domain, handle.home());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "ForeignHome", detail));
    }
    let primary: PrimaryKey = registration.primary.parse().map_err(|error: KeyError| malformed(error.code(), error))?;
    let signature = Signature::from_base64(&registration.registration_sig).map_err(refused)?;
    handle
        .check_free()
        .map_err(|error| Problem::new(StatusCode::FORBIDDEN, error.code().as_str(), error.to_string()))?;
    let statement = Statement::Register { handle: &handle, primary: &primary };
    primary.verify(&statement, &signature).map_err(refused)?;
    Ok((handle, primary))
}

/// A text that is no base64url is malformed; anything that is, but does not verify, is a wrong signature.
fn refused(error: SignatureError) -> Problem {
    let status = match error.code() {
        Code::BadBase64 => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.code().as_str(), error.to_string())
}
