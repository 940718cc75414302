//! Peers who send something else than the blob, by will or by a bad disk.

use iroh::{Endpoint, RelayMode, endpoint::presets};
use iroh_blobs::ALPN;
use kez_core::payload::{Address, Addresses};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_reported_and_not_delivered() {
    // In the middle, and in the chunk that tells the length.
    for place in [3 * MIB, 5 * MIB] {
        let (mut alice, bob) = (Person::new().await, Person::new().await);
        let entry = alice.import(&content(5 * MIB)).await;
        alice.restart(|store| damage(store, &entry, place)).await;
        alice.node.allow(bob.key.primary(), entry.blob_hash);
        let refused = bob.fetch(&alice, &entry).await;
        assert!(matches!(refused, Err(NodeError::PeerFault { .. })), "{refused:?}");
        assert!(files_below(&bob.inbox()).is_empty());
        alice.shutdown().await;
        bob.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_own_disk_is_not_delivered() {
    let (alice, mut bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(&content(5 * MIB), &bob).await;
    let upstream = bob.node.connect(alice.key.primary(), &alice.node.addresses()).await.unwrap();
    bob.node.want(TAG, &entry).await.unwrap();
    bob.node.pull(&upstream, &entry, &Arrival::default(), &mut |_| {}).await.unwrap();
    drop(upstream);
    bob.restart(|store| damage(store, &entry, 3 * MIB)).await;
    let refused = bob.fetch(&alice, &entry).await;
    assert!(matches!(refused, Err(NodeError::Damaged { .. })), "{refused:?}");
    assert!(files_below(&bob.inbox()).is_empty());
    assert_eq!(bob.tags().await, 0);
    alice.shutdown().await;
    bob.shutdown().await;
}

/// Returns where the store has a blob that is not small.
pub(super) fn data_file(store: &Path, entry: &FileEntry) -> PathBuf {
    store.join(format!("data/{}.data", iroh_blobs::Hash::from_bytes(entry.blob_hash).to_hex()))
}

/// Flips a bit of a blob in a store that is closed.
pub(super) fn damage(store: &Path, entry: &FileEntry, place: usize) {
    let path = data_file(store, entry);
    let mut bytes = fs::read(&path).unwrap();
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_lies_is_found_out() {
    let bob = Person::new().await;
    let mallory = Person::new().await;
    let entry = mallory.import(&content(MIB)).await;
    let sealed_len = kez_core::filecrypt::blob_len(entry.plain_len).unwrap();
    for size in [0, 1, sealed_len, sealed_len + 1, 1 << 63, u64::MAX] {
        let (liar, key) = (SecretKey::generate(&mut rand::rng()), Vec::from(size.to_le_bytes()));
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(iroh::SecretKey::from_bytes(liar.expose_seed()))
            .relay_mode(RelayMode::Disabled)
            .alpns(vec![ALPN.to_vec()])
            .bind()
            .await
            .unwrap();
        let port = endpoint.bound_sockets().into_iter().find(|socket| socket.is_ipv4()).unwrap().port();
        let addresses = Addresses::new([Address::Ip(([127, 0, 0, 1], port).into())]);
        let answering = tokio::spawn({
            let endpoint = endpoint.clone();
            async move {
                let connection = endpoint.accept().await.unwrap().await.unwrap();
                while let Ok((mut answer, _question)) = connection.accept_bi().await {
                    let _ = answer.write_all(&[key.clone(), content(100_000)].concat()).await;
                    let _ = answer.finish();
                    let _ = answer.stopped().await;
                }
            }
        });
        let refused = bob.node.fetch(liar.primary(), &addresses, &entry, &bob.inbox(), |_| {}).await;
        assert!(matches!(refused, Err(NodeError::PeerFault { .. })), "{size}: {refused:?}");
        answering.await.unwrap();
        endpoint.close().await;
    }
    assert!(files_below(&bob.inbox()).is_empty());
    bob.shutdown().await;
    mallory.shutdown().await;
}
