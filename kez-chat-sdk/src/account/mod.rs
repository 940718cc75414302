//! From nothing, or from 24 words, to an account; and what becomes of it.

mod backup;
mod chain;
mod error;
mod move_plan;
pub(crate) mod moving;
mod new_account;
mod notice;
mod open_account;
pub(crate) mod own_chain;
mod recover;
mod register;

use std::sync::Arc;

use kez_core::{
    handle::{Handle, Policy},
    identity::SecretKey,
    sigchain::Install,
};

use crate::{
    key_store::{KeyStore, KeyStoreError},
    net::HomeUrl,
};

pub use error::AccountError;
pub use move_plan::{MovePlan, OldHandle};
pub use new_account::{BackedUpAccount, BegunAccount, NewAccount, Unconfirmed};
pub use notice::OwnChainNotice;
pub use open_account::Account;
pub use recover::{recover_account, recover_account_from};
pub use register::{Registered, RegistrationStep};

/// Completes what a person typed into a handle. A bare name gets the home of `server`; where both name a home, they
/// must agree.
///
/// ```
/// use kez_chat_sdk::{HomeUrl, resolve_handle};
///
/// let server = HomeUrl::parse("kez.lat")?;
/// assert_eq!(resolve_handle("@Alice", Some(&server))?.to_string(), "alice@kez.lat");
/// assert_eq!(resolve_handle("bob@kez.lat", None)?.to_string(), "bob@kez.lat");
/// assert!(resolve_handle("bob@other.example", Some(&server)).is_err(), "two homes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`AccountError::BadHandle`], or [`AccountError::TwoHomes`].
pub fn resolve_handle(input: &str, server: Option<&HomeUrl>) -> Result<Handle, AccountError> {
    let handle = Handle::parse(input, server.map(HomeUrl::home), Policy::Production)?;
    match server {
        Some(server) if server.home() != handle.home() => {
            Err(AccountError::TwoHomes { handle, server: server.home().to_string() })
        }
        _ => Ok(handle),
    }
}

/// Loads the key off the async threads: a passphrase file is slow on purpose.
pub(crate) async fn load_key(key_store: Arc<dyn KeyStore>) -> Result<Option<SecretKey>, KeyStoreError> {
    blocking(move || key_store.load()).await
}

fn new_install() -> Install {
    Install::from_bytes(rand::random())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyStoreError> + Send + 'static,
) -> Result<T, KeyStoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(KeyStoreError::Unavailable(Box::new(error))),
    }
}
