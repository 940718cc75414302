//! Registering an account, step by step. Every step is durable: an interrupted attempt goes on where it was.

use std::fmt;

use kez_core::{
    handle::Handle,
    identity::{PrimaryKey, SecretKey},
    sigchain::{Op, State},
};

use super::{
    AccountError,
    chain::OwnChain,
    new_account::{BackedUpAccount, Draft},
};
use crate::net::{HomeClient, HomeUrl, Http, Info, RegisterOutcome, SigchainClient, check_broker_url};

/// A step of registration that is done, for a person who watches.
///
/// ```
/// use kez_chat_sdk::RegistrationStep;
///
/// let step = RegistrationStep::ChainPublished { sigchain_url: "https://sig.kez.lat/…".into() };
/// assert_eq!(step.to_string(), "your sigchain is published at https://sig.kez.lat/…");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationStep {
    /// The home server has given us the handle.
    HandleRegistered(Handle),
    /// Endpoints and handle are on the published sigchain.
    ChainPublished {
        /// The chain's full URL.
        sigchain_url: String,
    },
}

impl fmt::Display for RegistrationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandleRegistered(handle) => write!(f, "{handle} is registered"),
            Self::ChainPublished { sigchain_url } => write!(f, "your sigchain is published at {sigchain_url}"),
        }
    }
}

/// A complete account.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The account's key.
    pub primary: PrimaryKey,
    /// Its handle.
    pub handle: Handle,
    /// The full URL of its sigchain.
    pub sigchain_url: String,
}

impl BackedUpAccount {
    /// Registers the handle at its home and publishes endpoints and handle on the sigchain.
    ///
    /// It may be interrupted anywhere: [begin](crate::NewAccount::begin) again and it goes on. When it returns, the home
    /// directory is free for [`Client::open`](crate::Client::open).
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn register(
        self,
        handle: &Handle,
        mut progress: impl FnMut(&RegistrationStep),
    ) -> Result<Registered, AccountError> {
        let draft = *self.0;
        let policy = HomeUrl::of(handle.home().clone()).policy();
        let http = Http::new(policy, &draft.roots);
        let home = HomeClient::new(handle.home(), http.clone());
        // Its answer is checked to be of the home that was asked for before anything is signed.
        let info = home.info().await?;
        draft.store.set_born(info.now_ms).await?;
        register_handle(&draft, &home, handle).await?;
        progress(&RegistrationStep::HandleRegistered(handle.clone()));

        let server = SigchainClient::new(http, &info.sigchain_url);
        let stored = draft.store.own_chain(draft.key.primary(), policy).await?;
        let chain = OwnChain::fetch(&draft.key, &draft.store, server, stored, info.now_ms).await?;
        let registered = publish(&draft, chain, handle, &info).await?;
        progress(&RegistrationStep::ChainPublished { sigchain_url: registered.sigchain_url.clone() });
        Ok(registered)
    }
}

/// Publishes where this installation listens and who it is, whatever of that the chain does not say yet. Then the
/// account is complete.
pub(super) async fn publish(
    draft: &Draft,
    mut chain: OwnChain<'_>,
    handle: &Handle,
    info: &Info,
) -> Result<Registered, AccountError> {
    let url = info.nats.urls.first().map_or("", String::as_str);
    check_broker_url(url, HomeUrl::of(handle.home().clone()).policy()).await?;
    chain.upload_kept().await?;
    chain.ensure_broker(handle.home(), url).await?;
    chain.ensure_install(draft.row.install).await?;
    let names_it = |state: &State| state.handle() == Some(handle);
    chain.ensure(Op::SetHandle(Some(handle.clone())), names_it).await?;
    draft.store.set_published(&info.sigchain_url).await?;
    let primary = draft.key.primary();
    let sigchain_url = SigchainClient::chain_url(&info.sigchain_url, &primary);
    Ok(Registered { primary, handle: handle.clone(), sigchain_url })
}

async fn register_handle(draft: &Draft, home: &HomeClient, handle: &Handle) -> Result<(), AccountError> {
    match &draft.row.handle {
        Some(registered) if registered == handle => return Ok(()),
        Some(registered) => return Err(AccountError::RegisteredAs { handle: registered.clone() }),
        None => {}
    }
    let asked = ask_for(home, &draft.key, handle).await;
    if let Err(AccountError::RegisteredAs { handle: registered }) = &asked {
        draft.store.set_registered(registered).await?;
    }
    asked?;
    Ok(draft.store.set_registered(handle).await?)
}

/// Asks a home for a handle.
pub(super) async fn ask_for(home: &HomeClient, key: &SecretKey, handle: &Handle) -> Result<(), AccountError> {
    match home.register(key, handle).await {
        Ok(RegisterOutcome::Ours) => Ok(()),
        Ok(RegisterOutcome::OursIs(registered)) => Err(AccountError::RegisteredAs { handle: registered }),
        Ok(RegisterOutcome::Taken) => Err(AccountError::HandleTaken { handle: handle.clone() }),
        Ok(RegisterOutcome::Reserved) => Err(AccountError::ReservedHandle { handle: handle.clone() }),
        Err(error) if error.is_gone() => Err(AccountError::Retired { primary: Box::new(key.primary()) }),
        Err(error) => Err(error.into()),
    }
}
