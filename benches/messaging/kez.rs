//! Our client, and an application that is told everything and handles it.

use std::sync::OnceLock;

use kez_chat_sdk::{Client, ConnectionState, Event, MessageState, identity::PrimaryKey};

use crate::{
    agent::{Arrival, Teller},
    control::now_ns,
    person::Person,
};

/// How many events the application takes together at most.
const TOGETHER: usize = 256;

pub(crate) struct Kez {
    client: Client,
    peer: OnceLock<PrimaryKey>,
}

impl Kez {
    /// Opens the account, and returns when it is online.
    pub(crate) async fn open(person: &Person, teller: Teller) -> Self {
        let client = Client::open(person.home(), person.key_store()).await.unwrap();
        tokio::spawn(handle_events(client.clone(), teller));
        client.connection().until(|state| *state == ConnectionState::Online).await.unwrap();
        Self { client, peer: OnceLock::new() }
    }

    pub(crate) async fn meet(&self, handle: &str) {
        let contact = self.client.contacts().add(handle).await.unwrap();
        self.peer.get_or_init(|| contact.primary);
    }

    pub(crate) async fn send(&self, text: &str) {
        self.client.conversation(*self.peer.get().unwrap()).send_text(text).await.unwrap();
    }

    pub(crate) async fn close(self) {
        self.client.shutdown().await;
    }
}

/// Is the application, until the client closes.
async fn handle_events(client: Client, teller: Teller) {
    while let Ok(events) = client.next_events(TOGETHER).await {
        let given_ns = now_ns();
        let ids: Vec<_> = events.iter().map(|pending| pending.id).collect();
        if client.handled_all(&ids).await.is_err() {
            return;
        }
        for pending in events {
            match pending.event {
                Event::Message { text, .. } => {
                    let _ = teller.arrivals.send(Arrival { text, given_ns });
                }
                Event::MessageState { state: MessageState::Delivered, .. } => {
                    teller.confirmed.send_modify(|confirmed| *confirmed += 1);
                }
                // On its way: the inbox was full for a while.
                Event::MessageState { .. } => {}
                other => panic!("an event that nobody expects: {other:?}"),
            }
        }
    }
}
