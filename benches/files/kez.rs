//! Our client, and an application that handles every event at once.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use kez_chat_sdk::{Client, ConnectionState, Event, ShareId, identity::PrimaryKey};
use tokio::sync::mpsc;

use crate::{agent::Order, person::Person};

pub(crate) struct Kez {
    client: Client,
    handle: String,
    readers: Vec<PrimaryKey>,
    offers: mpsc::UnboundedReceiver<ShareId>,
}

impl Kez {
    /// Opens the account in a folder, which is registered if it was not there, and returns when it is online.
    pub(crate) async fn open(folder: &Path, name: &str, home_url: &str) -> Self {
        let person = Person::find_or_register(folder, name, home_url).await;
        let client = Client::open(person.home(), person.key_store()).await.unwrap();
        let (tell, offers) = mpsc::unbounded_channel();
        tokio::spawn(handle_events(client.clone(), tell));
        client.connection().until(|state| *state == ConnectionState::Online).await.unwrap();
        Self { client, handle: person.handle.to_string(), readers: Vec::new(), offers }
    }

    pub(crate) fn handle(&self) -> String {
        self.handle.clone()
    }

    pub(crate) async fn obey(&mut self, order: Order) -> (Duration, String) {
        let files = self.client.files();
        let begun = match order {
            Order::Meet { who } => {
                let begun = Instant::now();
                self.readers.push(self.client.contacts().add(&who).await.unwrap().primary);
                begun
            }
            Order::Share { path } => {
                let begun = Instant::now();
                files.share(&path, &self.readers).await.unwrap();
                begun
            }
            Order::Fetch { folder, .. } => {
                // Until the announcement is here there is nothing that could be fetched.
                let share_id = self.offers.recv().await.unwrap();
                let begun = Instant::now();
                files.fetch(share_id, folder).await.unwrap();
                begun
            }
            Order::Clear => {
                let begun = Instant::now();
                for share in files.shares().await.unwrap() {
                    files.unshare(share.id, None).await.unwrap();
                }
                files.clean_up().await.unwrap();
                begun
            }
        };
        (begun.elapsed(), String::new())
    }

    pub(crate) async fn close(self) {
        self.client.shutdown().await;
    }
}

/// Is the application, until the client closes.
async fn handle_events(client: Client, offers: mpsc::UnboundedSender<ShareId>) {
    while let Ok(pending) = client.next_event().await {
        if client.handled(pending.id).await.is_err() {
            return;
        }
        if let Event::FileShared { share_id, .. } = pending.event {
            let _ = offers.send(share_id);
        }
    }
}
