//! The shortest useful program: `kez-embed FOLDER HANDLE SERVER CONTACT TEXT` sends a text and waits until it arrives. The
//! account is in the folder, and is made at the first time. An application would ask for the passphrase, and show the words.
#![allow(clippy::print_stdout, reason = "it says what it does")]

use std::{env, error::Error, path::Path, sync::Arc, time::Duration};

use kez_chat_sdk::{
    Client, ClientError, HomeUrl, KeyStore, MessageState, NewAccount, Passphrase, PassphraseFile, resolve_handle,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, handle, server, contact, text] = arguments.as_slice() else {
        return Err("say FOLDER HANDLE SERVER CONTACT TEXT".into());
    };
    let folder = Path::new(folder);
    let passphrase = Passphrase::new(env::var("PASSPHRASE")?);
    let key_store: Arc<dyn KeyStore> = Arc::new(PassphraseFile::new(folder.join("seed.age"), passphrase));

    let client = match Client::open(folder, Arc::clone(&key_store)).await {
        Err(ClientError::NotRegistered) => {
            let begun = NewAccount::begin(folder, Arc::clone(&key_store)).await?;
            let account = begun.with_backup_file(&folder.with_extension("words")).await?;
            account.register(&resolve_handle(handle, Some(&HomeUrl::parse(server)?))?, |_| {}).await?;
            Client::open(folder, key_store).await?
        }
        opened => opened?,
    };

    let contact = client.contacts().add(contact).await?;
    let id = client.conversation(contact.primary).send_text(text).await?;
    let state = client.wait_until(id, MessageState::Delivered, Duration::from_secs(30)).await?;
    println!("{state:?}: {text}");
    // Whatever was not sent waits for the next time.
    client.shutdown().await;
    Ok(())
}
