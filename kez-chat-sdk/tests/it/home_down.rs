//! What goes on while the home is down, between people who are connected already.

use std::fs;

use kez_chat_sdk::{Agreement, Client, ConnectionState, Event, MessageState, sigchain::Op};
use kez_testbed::Testbed;

use crate::{
    chains::publish,
    people::{PATIENCE, Person, next, online, two_friends},
};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_chats_looks_at_chains_adds_people_and_fetches_files_while_the_home_is_down() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    for client in [&a, &b, &c] {
        online(client).await;
    }
    testbed.stop_chat_server().await;

    say(&a, &b, "still there?").await;
    say(&b, &a, "of course").await;

    let claim = Op::AddClaim { claim: "dns:bob.example".parse().unwrap(), at: None, sig: None };
    publish(&testbed, &bob.key(), claim).await;
    let contact = a.contacts().refresh(b.primary()).await.unwrap();
    assert_eq!(contact.claims.iter().map(|listed| listed.claim.as_str()).collect::<Vec<_>>(), ["dns:bob.example"]);
    assert_eq!(contact.agreement, Agreement::Agreed, "what the home said before still counts");

    let added = a.contacts().add_uri(&c.account().contact_uri().to_string()).await.unwrap();
    assert_eq!(added.primary, c.primary());
    c.contacts().add_uri(&a.account().contact_uri().to_string()).await.unwrap();
    say(&a, &c, "hello Carol").await;

    let (source, content) = (alice.folder.path().join("report.pdf"), vec![7; 300_000]);
    fs::write(&source, &content).unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let share_id = loop {
        if let Event::FileShared { share_id, .. } = next(&b).await {
            break share_id;
        }
    };
    let paths = b.files().fetch(share_id, bob.folder.path()).await.unwrap();
    assert!(fs::read(&paths[0]).unwrap() == content);

    for client in [a, b, c] {
        assert_eq!(client.connection().current(), ConnectionState::Online);
        client.shutdown().await;
    }
    testbed.shutdown().await.unwrap();
}

/// Sends a text, and waits until it arrived.
async fn say(from: &Client, to: &Client, text: &str) {
    let id = from.conversation(to.primary()).send_text(text).await.unwrap();
    assert_eq!(
        from.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(),
        MessageState::Delivered,
        "{text}"
    );
}
