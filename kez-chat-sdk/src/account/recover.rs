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
    new_install,
    register::publish,
};
use crate::{
    backup::{self, BackupError},
    home_dir::HomeDir,
    key_store::{KeyStore, KeyStoreError},
    net::{EndpointHint, HomeClient, HomeUrl, Http, Roots, SigchainClient},
    store,
};

/// Gets an account back from its 24 words, into a home directory that holds none: asks the home server which handle the
/// key has, takes over the published sigchain, and publishes that the account lives in this installation now. An older
/// installation that finds that stops.
///
/// It may be interrupted anywhere: call it again and it goes on. When it returns, the home directory is free for
/// [`Client::open`](crate::Client::open). What was sent before is marked as earlier when it arrives here; contacts and
/// conversations were on the lost device, unless there is a backup to [recover from](recover_account_from).
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
    recover(home_dir.into(), key_store, words, server, roots, None).await
}

/// Gets an account back from its words, as [`recover_account`] does, and its contacts, verified marks, blocks,
/// conversations and choices from a [backup](crate::Client::backup_to).
///
/// What had been read stays read, and what is in the backup makes no event when it arrives again. Events that were not
/// handled come as *earlier*. What was not known to have arrived when the backup was made is `Unconfirmed`: it may have
/// been sent meanwhile, so it goes again by hand only. Messages that arrived at the lost device after the backup are gone;
/// the next one of their sender tells how many.
///
/// ```
/// use std::sync::Arc;
/// use kez_chat_sdk::{
///     Client, HomeUrl, Passphrase, PassphraseFile, Roots, mnemonic::Mnemonic, recover_account_from,
/// };
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let home_url = stage.home_url();
/// # stage.register("bob").await;
/// # let typed = stage.register("alice").await;
/// # let lost = Client::open("alice", key_store("alice")).await?;
/// # lost.contacts().add("@bob").await?;
/// # lost.backup_to("alice.kez").await?;
/// # lost.shutdown().await;
/// let key_store = Arc::new(PassphraseFile::new("new-phone/seed.age", Passphrase::new("correct horse".into())));
/// let words = Mnemonic::parse(&typed)?;
/// let server = HomeUrl::parse(&home_url)?;
/// recover_account_from("new-phone", key_store.clone(), &words, &server, &Roots::system(), "alice.kez").await?;
/// let client = Client::open("new-phone", key_store).await?;
/// assert_eq!(client.contacts().list().await?.len(), 1);
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`recover_account`], and [`AccountError::Backup`]: then neither a key nor an account was kept.
pub async fn recover_account_from(
    home_dir: impl Into<PathBuf>,
    key_store: Arc<dyn KeyStore>,
    words: &Mnemonic,
    server: &HomeUrl,
    roots: &Roots,
    backup: impl Into<PathBuf>,
) -> Result<Registered, AccountError> {
    recover(home_dir.into(), key_store, words, server, roots, Some(backup.into())).await
}

async fn recover(
    home_dir: PathBuf,
    key_store: Arc<dyn KeyStore>,
    words: &Mnemonic,
    server: &HomeUrl,
    roots: &Roots,
    backup: Option<PathBuf>,
) -> Result<Registered, AccountError> {
    let key = words.secret_key();
    let primary = key.primary();
    let home_dir = HomeDir::own(home_dir)?;
    let kept = load_key(Arc::clone(&key_store)).await?;
    if kept.as_ref().is_some_and(|kept| kept.primary() != primary) {
        return Err(KeyStoreError::Occupied.into());
    }
    let mark = match &backup {
        Some(file) => Some(backup::look_at(file.clone(), key.clone()).await?),
        None => None,
    };
    let http = Http::new(server.policy(), roots);
    let home = HomeClient::new(server.home(), http.clone());
    let info = home.info().await?;
    // Nothing is kept for a key that nobody knows: it may be the wrong words, or the wrong home.
    let (handle, hints) = home.person(&primary).await.map_err(|error| match error {
        error if error.is_not_found() => AccountError::NobodyHere { primary: primary.into(), server: server.base() },
        error if error.is_gone() => AccountError::Retired { primary: primary.into() },
        error => error.into(),
    })?;

    let database = home_dir.database();
    // Nor for a file that turns out not to be whole.
    let to_restore = backup.filter(|_| !database.exists());
    if let Some(file) = &to_restore {
        backup::prepare(file.clone(), key.clone(), database.clone(), new_install()).await?;
    }
    if kept.is_none() {
        save_key(key_store, &key).await?;
    }
    if to_restore.is_some() {
        store::put_in_place(&database)?;
    }
    let draft = Draft::open(home_dir, key).await?;
    if mark.is_some() && draft.store.restored_from().await? != mark {
        return Err(BackupError::OtherAttempt.into());
    }
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
