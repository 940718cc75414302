//! What strangers may leave here.

use bytes::Bytes;
use kez_core::{
    identity::SecretKey,
    payload::{Content, MessageId, Payload},
    sigchain::Install,
};

use super::*;
use crate::store::{Frame, Incoming, Store, Stored};

fn stranger(number: u64) -> PrimaryKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed).primary()
}

/// Has a message of an author's come in, and tells what became of it.
async fn receive(store: &Store, author: u64, now_ms: u64) -> Stored {
    let payload = Payload {
        id: MessageId(rand::random()),
        install: Install::from_bytes([0; 8]),
        seq: 1,
        sent_at_ms: now_ms,
        from: None,
        to: None,
        content: Content::Text("let me in".into()),
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    let bytes = payload.encode().unwrap();
    let author = stranger(author);
    let message = Incoming { author, payload, bytes, wire: Bytes::new(), misaddressed: false };
    let own = SecretKey::from_seed([0xff; 32]).primary();
    store.receive(own, vec![Frame::Message(message.into())], now_ms).await.unwrap()[0]
}

async fn count(store: &Store, table: &'static str) -> u32 {
    store
        .read(move |tx| Ok(tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?))
        .await
        .unwrap()
}

#[tokio::test]
async fn strangers_fill_neither_the_disk_nor_each_others_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([0xff; 32])).await.unwrap();
    for number in 0..60 {
        let kept = receive(&store, 1, 1).await;
        assert_eq!(kept, if number < 50 { Stored::Kept } else { Stored::Dropped }, "{number}");
    }
    assert_eq!(count(&store, "events").await, 1, "one stranger is one request");
    for author in 2..=20 {
        for _ in 0..50 {
            receive(&store, author, 1).await;
        }
    }
    assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
    assert_eq!(receive(&store, 1, 1).await, Stored::Dropped, "who has enough takes no one's place");
    assert_eq!(receive(&store, 99, 1).await, Stored::Kept, "a new one still gets in");
    assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
    store.block(stranger(2), 1).await.unwrap();
    assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS - 50);
    assert_eq!(receive(&store, 2, 1).await, Stored::Dropped, "who is blocked takes no place at all");
    receive(&store, 100, STRANGERS_WAIT_MS + 2).await;
    assert_eq!(count(&store, "messages").await, 1, "what nobody asked for goes in the end");
}

#[tokio::test]
async fn a_flood_of_new_keys_pushes_out_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([0xff; 32])).await.unwrap();
    for author in 1..=u64::from(MAX_FROM_STRANGERS) + 20 {
        assert_eq!(receive(&store, author, 1).await, Stored::Kept);
    }
    assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
    assert_eq!(count(&store, "strangers").await, MAX_FROM_STRANGERS);
    for author in 1..20 {
        assert!(store.request(stranger(author)).await.unwrap().is_some(), "who asked before still waits");
    }
    assert!(store.request(stranger(u64::from(MAX_FROM_STRANGERS) + 20)).await.unwrap().is_some());
}
