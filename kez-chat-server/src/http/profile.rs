//! Looking people up, by handle and by key.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use kez_core::handle::Handle;
use kez_core::identity::{KeyError, PrimaryKey};
use kez_service::extract::Checked;
use kez_service::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, LookUpRefusals, gone, malformed, not_found, registry_failed};
use crate::endpoints::EndpointOp;
use crate::registry::{Entry, Standing, StoredKey};

/// What a home says about a person.
#[derive(Serialize, ToSchema)]
pub(super) struct Profile {
    /// The handle, qualified.
    handle: String,
    /// The key in its text form.
    #[schema(value_type = String, pattern = "^ed25519:[0-9a-f]{64}$")]
    primary: StoredKey,
    /// The person's chain.
    sigchain_url: String,
    /// A hint of where the person listens. It may be empty at any time: clients believe the chain that they walked.
    endpoints: Vec<EndpointOp>,
}

impl App {
    pub(super) fn profile(&self, handle: &Handle, primary: StoredKey, endpoints: Vec<EndpointOp>) -> Profile {
        Profile { handle: handle.to_string(), primary, sigchain_url: self.sigchain_url(&primary), endpoints }
    }

    pub(super) fn sigchain_url(&self, primary: &StoredKey) -> String {
        format!("{}/v1/sigchains/ed25519/{}", self.sig_url, primary.to_hex())
    }

    /// Finds a handle of this home, written bare or qualified, in its one spelling.
    pub(super) async fn find_handle(&self, text: &str) -> Result<Entry, Problem> {
        let unknown = || not_found("nobody has this handle here");
        let handle = Handle::parse(text, Some(&self.domain), self.policy)
            .ok()
            .filter(|handle| *handle.home() == self.domain)
            .filter(|handle| handle.name() == text || handle.to_string() == text)
            .ok_or_else(unknown)?;
        present(self.registry.by_handle(&handle).await.map_err(registry_failed)?.ok_or_else(unknown)?)
    }
}

/// Looks a person up by handle.
#[utoipa::path(
    get,
    path = "/v1/u/{handle}",
    params(("handle" = String, Path, description = "bare, or qualified with this home")),
    responses(
        (status = 200, description = "The person", body = Profile),
        LookUpRefusals,
    ),
)]
pub(super) async fn by_handle(
    State(app): State<Arc<App>>,
    Checked(Path(handle)): Checked<Path<String>>,
) -> Result<Json<Profile>, Problem> {
    let entry = app.find_handle(&handle).await?;
    let endpoints = app.endpoints.of(&entry.primary).await;
    Ok(Json(app.profile(&entry.handle, entry.primary, endpoints)))
}

/// Looks a person up by key.
#[utoipa::path(
    get,
    path = "/v1/p/{primary}",
    params(("primary" = String, Path, description = "the key in its text form", pattern = "^ed25519:[0-9a-f]{64}$")),
    responses(
        (status = 200, description = "The person", body = Profile),
        LookUpRefusals,
    ),
)]
pub(super) async fn by_primary(
    State(app): State<Arc<App>>,
    Checked(Path(primary)): Checked<Path<String>>,
) -> Result<Json<Profile>, Problem> {
    let primary: PrimaryKey = primary.parse().map_err(|error: KeyError| malformed(error.code(), error))?;
    let entry = app.registry.by_primary(&primary).await.map_err(registry_failed)?;
    let entry = present(entry.ok_or_else(|| not_found("nobody registered this key here"))?)?;
    let endpoints = app.endpoints.of(&entry.primary).await;
    Ok(Json(app.profile(&entry.handle, entry.primary, endpoints)))
}

fn present(entry: Entry) -> Result<Entry, Problem> {
    if entry.standing == Standing::Retired { Err(gone()) } else { Ok(entry) }
}
