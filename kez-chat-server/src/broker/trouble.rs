//! What keeps the work behind the scenes from being done, and saying so once.

use std::error::Error;

use super::jetstream::JsError;
use super::kick::KickError;
use crate::registry::RegistryError;

/// Why something behind the scenes was not done. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    JetStream(#[from] JsError),
    #[error(transparent)]
    Kick(#[from] KickError),
    #[error("the server is stopping")]
    Stopping,
}

impl WorkError {
    /// Names the part that failed. The errors' own texts differ from time to time.
    fn part(&self) -> &'static str {
        match self {
            Self::Registry(_) => "registry",
            Self::JetStream(_) => "JetStream",
            Self::Kick(_) => "kick",
            Self::Stopping => "stopping",
        }
    }
}

/// What was last logged as failing, so that it is logged once.
#[derive(Default)]
pub(crate) struct Trouble(Option<&'static str>);

impl Trouble {
    /// Logs what changed; `what` is done again and again.
    pub(crate) fn report(&mut self, outcome: Result<(), WorkError>, what: &'static str) {
        match outcome {
            Err(error) if self.0 != Some(error.part()) => {
                self.0 = Some(error.part());
                let error = &error as &dyn Error;
                tracing::warn!(error, "{what} failed; it is tried again");
            }
            Ok(()) if self.0.take().is_some() => tracing::info!("{what} works again"),
            _ => {}
        }
    }
}
