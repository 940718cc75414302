//! Getting an account back from its words. Every step is durable: an interrupted attempt goes on where it was.

use std::{path::PathBuf, sync::Arc};

use kez_core::{
    handle::Handle,
    identity::PrimaryKey,
    mnemonic::Mnemonic,
    sigchain::{Event, Op},
};

use super::{
    AccountError, Registered,
    chain::OwnChain,
    load_key,
    new_account::{Draft, save_key},
    register::publish,
};
use crate::{
    home_dir::HomeDir,
    key_store::{KeyStore, KeyStoreError},
    net::{EndpointHint, HomeClient, HomeUrl, Http, Roots, SigchainClient},
};

/// Gets an account back from its 24 words, into a home directory that holds none: asks the home server which handle the
/// key has, takes over the published sigchain, and publishes that the account lives in this installation now. An older
/// installation that finds that stops.
///
/// It may be interrupted anywhere: call it again and it goes on. When it returns, the home directory is free for
/// [`Client::open`](crate::Client::open). What was sent before is marked as earlier when it arrives here; contacts and
/// conversations were on the lost device.
///
/// ```
/// use std::sync::Arc;
/// use kez_chat_sdk::{HomeUrl, Passphrase, PassphraseFile, Roots, mnemonic::Mnemonic, recover_account};
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let home_url = stage.home_url();
/// # let typed = stage.register("alice").await;
/// let key_store = PassphraseFile::new("new-phone/seed.age", Passphrase::new("correct horse".into()));
/// let words = Mnemonic::parse(&typed)?;
/// // Such as https://kez.lat
/// let server = HomeUrl::parse(&home_url)?;
/// let account = recover_account("new-phone", Arc::new(key_store), &words, &server, &Roots::system()).await?;
/// println!("welcome back, {}", account.handle);
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`AccountError`]: `NobodyHere` if the home does not know the key, `Retired` if its account has left for good,
/// `OtherHandle` if home and sigchain disagree, `ChainBehind` if the sigchain server shows less than the home has seen.
pub async fn recover_account(
    home_dir: impl Into<PathBuf>,
    key_store: Arc<dyn KeyStore>,
    words: &Mnemonic,
    server: &HomeUrl,
    roots: &Roots,
) -> Result<Registered, AccountError> {
    let key = words.secret_key();
    let primary = key.primary();
    let home_dir = HomeDir::own(home_dir.into())?;
    let kept = load_key(Arc::clone(&key_store)).await?;
    if kept.as_ref().is_some_and(|kept| kept.primary() != primary) {
        return Err(KeyStoreError::Occupied.into());
    }
    let http = Http::new(server.policy(), roots);
    let home = HomeClient::new(server.home(), http.clone());
    let info = home.info().await?;
    // Nothing is kept for a key that nobody knows: it may be the wrong words, or the wrong home.
    let (handle, hints) = home.person(&primary).await.map_err(|error| match error {
        error if error.is_not_found() => AccountError::NobodyHere { primary: primary.into(), server: server.base() },
        error if error.is_gone() => AccountError::Retired { primary: primary.into() },
        error => error.into(),
    })?;

    if kept.is_none() {
        save_key(key_store, &key).await?;
    }
    let draft = Draft::open(home_dir, key).await?;
    // Who types the words has them.
    draft.store.set_backed_up().await?;
    draft.store.set_recovered().await?;
    draft.store.set_born(info.now_ms).await?;
    let sigchain_server = SigchainClient::new(http, &info.sigchain_url);
    // All of it, as far as it is here: the hints are held against every event.
    let stored = draft.store.chain(primary, server.policy()).await?;
    let chain = OwnChain::fetch(&draft.key, &draft.store, sigchain_server, stored, info.now_ms).await?;
    check(&chain, &handle, &hints, &primary)?;
    match &draft.row.handle {
        Some(other) if *other != handle => return Err(AccountError::RegisteredAs { handle: other.clone() }),
        _ => draft.store.set_registered(&handle).await?,
    }
    publish(&draft, chain, &handle, &info).await
}

/// Checks that the chain is this account's to go on with.
fn check(
    chain: &OwnChain<'_>,
    handle: &Handle,
    hints: &[EndpointHint],
    primary: &PrimaryKey,
) -> Result<(), AccountError> {
    if chain.state().is_retired() {
        return Err(AccountError::Retired { primary: (*primary).into() });
    }
    if let Some(named) = chain.state().handle().filter(|named| *named != handle) {
        return Err(AccountError::OtherHandle { home: handle.clone(), chain: named.clone() });
    }
    // The home is the second source of the head (§4): what it has seen on the chain must be there. It may have seen less.
    if hints.iter().all(|hint| chain.events().iter().any(|event| adds(event, hint))) {
        Ok(())
    } else {
        Err(AccountError::ChainBehind)
    }
}

fn adds(event: &Event, hint: &EndpointHint) -> bool {
    match (event.op(), hint) {
        (Ok(Op::AddNatsEndpoint { url, .. }), EndpointHint::Nats { url: seen }) => url == seen,
        (Ok(Op::AddIrohEndpoint { install, .. }), EndpointHint::Iroh { install: seen }) => install == seen,
        _ => false,
    }
}
