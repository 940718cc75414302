//! Where the seed is kept: under a passphrase in the home, or in the operating system's keyring. Never in plain text.

use std::{env, fs, path::Path, sync::Arc};

use kez_chat_sdk::{KeyStore, OsKeyring, Passphrase, PassphraseFile};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, Kind},
    terminal::Terminal,
};

const PASSPHRASE_FILE: &str = "KEZ_PASSPHRASE_FILE";
/// Shorter ones can be tried out.
const SHORTEST_NEW_PASSPHRASE: usize = 8;

/// Finds the key store of an account, which is there or is about to be made. The home's absolute path names it.
pub(crate) async fn key_store(home: &Path, is_new: bool) -> Result<Arc<dyn KeyStore>, Failure> {
    let seed = home.join("seed.age");
    if let Some(file) = env::var_os(PASSPHRASE_FILE) {
        return Ok(Arc::new(PassphraseFile::new(seed, passphrase_in(Path::new(&file))?)));
    }
    let is_new = is_new && !seed.exists();
    if !seed.exists() && spawn_blocking(OsKeyring::is_available).await.unwrap_or_default() {
        return Ok(Arc::new(OsKeyring::new(&home.to_string_lossy())));
    }
    if !seed.exists() && !is_new {
        return Err(no_account(home)());
    }
    let Some(terminal) = Terminal::for_questions() else {
        let what = "the seed needs a passphrase, and there is no terminal to ask for it";
        let advice = format!("set {PASSPHRASE_FILE} to a file that holds the passphrase");
        return Err(Failure::new(Kind::Usage, "NoPassphrase", what, advice));
    };
    let text = if is_new { choose(&terminal).await? } else { terminal.ask_secret("Passphrase: ").await? };
    Ok(Arc::new(PassphraseFile::new(seed, Passphrase::new(text.to_string()))))
}

/// Says that there is no account in a home.
pub(crate) fn no_account(home: &Path) -> impl FnOnce() -> Failure {
    let what = format!("there is no account in {}", home.display());
    move || Failure::new(Kind::Account, "NotRegistered", what, "make one with kez-chat register, or say --home")
}

/// Reads the passphrase that a file holds, without the line break at its end.
fn passphrase_in(file: &Path) -> Result<Passphrase, Failure> {
    let text = fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
        let what = format!("the passphrase in {} can't be read: {error}", file.display());
        Failure::new(Kind::Usage, "NoPassphrase", what, format!("set {PASSPHRASE_FILE} to a file with the passphrase"))
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        let what = format!("{} holds no passphrase", file.display());
        return Err(Failure::new(Kind::Usage, "NoPassphrase", what, "write one into it"));
    }
    Ok(Passphrase::new(line.to_owned()))
}

/// Asks for a new passphrase until it is long enough and was typed twice alike.
async fn choose(terminal: &Terminal) -> Result<Zeroizing<String>, Failure> {
    terminal.write("There is no keyring here, so the account's key goes into a file that a passphrase opens.\n")?;
    loop {
        let text = terminal.ask_secret("New passphrase: ").await?;
        if text.chars().count() < SHORTEST_NEW_PASSPHRASE {
            terminal.write(&format!("That is too short: take {SHORTEST_NEW_PASSPHRASE} characters or more.\n"))?;
        } else if *terminal.ask_secret("Once more: ").await? == *text {
            return Ok(text);
        } else {
            terminal.write("These are two different ones. Try again.\n")?;
        }
    }
}
