//! Retirement: a handle given up for good.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kez_core::identity::Statement;
use kez_service::extract::Checked;
use kez_service::problem::Problem;
use serde::{Deserialize, Serialize};

use super::signed::Signed;
use super::{App, handle_taken, not_found, registry_failed};
use crate::clock::now_ms;
use crate::registry::Retirement;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retiring {
    handle: String,
    primary: String,
    retire_sig: String,
}

/// The handle that is nobody's any more.
#[derive(Serialize)]
pub(super) struct Retired {
    handle: String,
}

/// Makes a registration a tombstone. The broker need not be within reach: what it has of the person is taken away as
/// soon as it is.
pub(super) async fn retire(
    State(app): State<Arc<App>>,
    Checked(Json(retiring)): Checked<Json<Retiring>>,
) -> Result<Json<Retired>, Problem> {
    let signed = Signed::parse(&app, &retiring.handle, &retiring.primary, &retiring.retire_sig)?;
    signed.verify(|handle, primary| Statement::Retire { handle, primary })?;

    let Signed { handle, primary, .. } = signed;
    match app.registry.retire(&handle, &primary, now_ms()).await.map_err(registry_failed)? {
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
