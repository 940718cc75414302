//! The rules of the open network: names, public addresses, and TLS to all three servers.

use kez_chat_sdk::{Client, Roots};

use crate::{
    namespace,
    open_network::{BROKER_URL, OpenNetwork, register},
    people::{Person, next, offline, online, text_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_home_with_an_authority_of_its_own_is_used_by_who_trusts_it_and_by_nobody_else() {
    let name = "encrypted::a_home_with_an_authority_of_its_own_is_used_by_who_trusts_it_and_by_nobody_else";
    if !namespace::enter(name).await {
        return;
    }
    let network = OpenNetwork::start(None).await;
    let roots = || network.authority.roots();
    let stranger = Person::new();
    assert_eq!(register(&stranger, "mallory", Roots::system()).await.unwrap_err(), "Unreachable");
    let (alice, bob) = (Person::new(), Person::new());
    register(&alice, "alice", roots()).await.unwrap();
    register(&bob, "bob", roots()).await.unwrap();
    let a = alice.builder().roots(roots()).open().await.unwrap();
    let b = bob.builder().roots(roots()).open().await.unwrap();
    let contact = a.contacts().add("@bob").await.unwrap();
    assert_eq!(contact.broker_url.as_deref(), Some(BROKER_URL));
    b.contacts().add("@alice").await.unwrap();
    a.conversation(b.primary()).send_text("by name, and under TLS").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "by name, and under TLS");
    online(&a).await;
    a.shutdown().await;

    let a: Client = alice.open().await;
    offline(&a, "TlsFailed").await;
    network.shutdown().await;
}
