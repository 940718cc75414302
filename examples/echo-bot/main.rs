//! An echo bot: it accepts whoever writes to it, and says back what they write.
//!
//! `kez-echo-bot FOLDER HANDLE SERVER` opens the account in the folder, or makes it. A file FOLDER.passphrase has the
//! passphrase of its key; the account's 24 words go into FOLDER.words: keep them somewhere else.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to whoever runs it")]

use std::{env, error::Error, fs, path::Path, sync::Arc};

use kez_chat_sdk::{
    Client, ClientError, Event, HomeUrl, KeyStore, NewAccount, Passphrase, PassphraseFile, RequestError, SendError,
    identity::PrimaryKey, payload::MessageId, resolve_handle,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, handle, server] = arguments.as_slice() else { return Err("say FOLDER HANDLE SERVER".into()) };
    let client = open(Path::new(folder), handle, server).await?;
    println!("this is @{}", client.handle());
    loop {
        let pending = client.next_event().await?;
        if answer(&client, &pending.event).await? {
            // Only now: an event that is not handled comes again, however this process ends.
            client.handled(pending.id).await?;
        }
    }
}

/// Opens the account, and makes it before that if there is none.
async fn open(folder: &Path, handle: &str, server: &str) -> Outcome<Client> {
    let passphrase = fs::read_to_string(folder.with_extension("passphrase"))?;
    let passphrase = Passphrase::new(passphrase.trim_end().to_owned());
    let key_store: Arc<dyn KeyStore> = Arc::new(PassphraseFile::new(folder.join("seed.age"), passphrase));
    match Client::open(folder, Arc::clone(&key_store)).await {
        Err(ClientError::NotRegistered) => {}
        opened => return Ok(opened?),
    }
    // What was begun and cut off goes on from where it was.
    let begun = NewAccount::begin(folder, Arc::clone(&key_store)).await?;
    let account = begun.with_backup_file(&folder.with_extension("words")).await?;
    let handle = resolve_handle(handle, Some(&HomeUrl::parse(server)?))?;
    account.register(&handle, |step| println!("{step}")).await?;
    Ok(Client::open(folder, key_store).await?)
}

/// Answers what happened, and tells whether that is done.
async fn answer(client: &Client, event: &Event) -> Outcome<bool> {
    match event {
        Event::Message { from, id, text, .. } => {
            // An event that comes again after a crash gets the same answer under the same name: it is sent once.
            let name = answer_to(&from.primary, id);
            match client.conversation(from.primary).send_text_as(name, text).await {
                Ok(()) => println!("answered {from}"),
                Err(SendError::Store(error)) => return Err(error.into()),
                Err(error) => eprintln!("no answer to {from}: {error}"),
            }
        }
        Event::Request { from, .. } => match client.requests().accept(from.primary).await {
            Ok(_) => println!("accepted {from}"),
            // It comes again at the next start.
            Err(RequestError::Net(error)) => {
                eprintln!("{from} can't be looked up now: {error}");
                return Ok(false);
            }
            Err(error) => eprintln!("{from} is not accepted: {error}"),
        },
        _ => {}
    }
    Ok(true)
}

/// Names the answer to a message. Two people may give a message of theirs the same name.
fn answer_to(author: &PrimaryKey, id: &MessageId) -> MessageId {
    let hash = blake3::Hasher::new_derive_key("kez-echo-bot: the name of an answer")
        .update(author.as_bytes())
        .update(&id.0)
        .finalize();
    let mut name = [0; 16];
    name.copy_from_slice(&hash.as_bytes()[..16]);
    MessageId(name)
}
