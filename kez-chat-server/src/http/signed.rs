//! What a key signs about its handle at this home: the form and the signature, checked once for every such request.

use axum::http::StatusCode;
use kez_core::error::Code;
use kez_core::handle::Handle;
use kez_core::identity::{KeyError, PrimaryKey, Signature, SignatureError, Statement};
use kez_service::problem::Problem;

use super::{App, malformed};

/// A well-formed handle of this home, a key and a signature, which is not verified yet.
pub(super) struct Signed {
    pub(super) handle: Handle,
    pub(super) primary: PrimaryKey,
    signature: Signature,
}

impl Signed {
    /// Reads the three texts; the first that is not of its form decides the refusal (§3's order).
    pub(super) fn parse(app: &App, handle: &str, primary: &str, signature: &str) -> Result<Self, Problem> {
        let handle = Handle::from_qualified(handle, app.policy).map_err(|error| malformed(error.code(), error))?;
        if *handle.home() != app.domain {
            let detail = format!("this home is {}; ask {} about its handles", app.domain, handle.home());
            return Err(Problem::new(StatusCode::BAD_REQUEST, "ForeignHome", detail));
        }
        let primary = primary.parse().map_err(|error: KeyError| malformed(error.code(), error))?;
        let signature = Signature::from_base64(signature).map_err(refused)?;
        Ok(Self { handle, primary, signature })
    }

    /// Checks that the key signed this statement about the handle.
    pub(super) fn verify(
        &self,
        statement: impl for<'a> FnOnce(&'a Handle, &'a PrimaryKey) -> Statement<'a>,
    ) -> Result<(), Problem> {
        self.primary.verify(&statement(&self.handle, &self.primary), &self.signature).map_err(refused)
    }
}

/// A text that is no base64url is malformed; anything that is, but does not verify, is a wrong signature.
fn refused(error: SignatureError) -> Problem {
    let status = match error.code() {
        Code::BadBase64 => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.code().as_str(), error.to_string())
}
