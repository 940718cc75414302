//! Contact URIs, and what works while the home is down.

use kez_chat_sdk::{Agreement, Event, MessageState, Notice, contact_uri::ContactUri, handle::Policy, sigchain::Op};
use kez_testbed::Testbed;

use crate::{
    chains::publish,
    liar::Liars,
    people::{PATIENCE, Person, next, online, two_friends},
};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_added_by_uri_and_their_chain_refreshed_while_their_home_is_down() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(&testbed, "alice"), bob.register(&testbed, "bob"));
    online(&a).await;
    online(&b).await;
    let uri = b.account().contact_uri();
    assert_eq!(ContactUri::parse(&uri.to_string(), Policy::Development).unwrap(), uri);
    testbed.stop_chat_server().await;

    let contacts = a.contacts();
    assert_eq!(contacts.add("@bob").await.unwrap_err().code(), "Unreachable");
    let contact = contacts.add_uri(&uri.to_string()).await.unwrap();
    assert_eq!((contact.primary, &contact.handle), (b.primary(), &Some(b.handle().clone())));
    assert_eq!((contact.agreement, contact.accepted), (Agreement::OneSided, true), "his home could not be asked");
    assert_eq!(contact.contact_uri(), uri);
    // Who scanned the key has nothing more to accept; the broker is still there.
    let id = a.conversation(b.primary()).send_text("hello").await.unwrap();
    b.contacts().add_uri(&a.account().contact_uri().to_string()).await.unwrap();
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);

    let claim = Op::AddClaim { claim: "dns:bob.example".parse().unwrap(), at: None, sig: None };
    publish(&testbed, &bob.key(), claim).await;
    let contact = contacts.refresh(b.primary()).await.unwrap();
    assert_eq!(contact.claims.iter().map(|listed| listed.claim.as_str()).collect::<Vec<_>>(), ["dns:bob.example"]);
    assert_eq!((contact.events_walked, contact.agreement), (4, Agreement::OneSided));

    testbed.start_chat_server().await.unwrap();
    assert_eq!(contacts.refresh(b.primary()).await.unwrap().agreement, Agreement::Agreed);
    let told = loop {
        if let Event::Contact { notice, .. } = next(&a).await {
            break notice;
        }
    };
    let handle = Some(b.handle().clone());
    assert_eq!(told, Notice::HandleChanged { from: handle.clone(), to: handle, agreement: Agreement::Agreed });
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uri_that_is_none_is_refused_and_so_is_the_own() {
    let testbed = Testbed::start().await.unwrap();
    let a = Person::new().register(&testbed, "alice").await;
    let own = a.account().contact_uri().to_string();
    assert_eq!(a.contacts().add_uri(&own).await.unwrap_err().code(), "Yourself");
    assert_eq!(a.contacts().add_uri("@bob").await.unwrap_err().code(), "BadUri");
    let unsound = own.replace(&a.primary().to_string(), &format!("ed25519:{}", "00".repeat(32)));
    assert_eq!(a.contacts().add_uri(&unsound).await.unwrap_err().code(), "BadKey");
    assert!(a.contacts().list().await.unwrap().is_empty());
    testbed.shutdown().await.unwrap();
}

/// What has not changed is not sent again, and what was walked is not walked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_asks_for_what_is_new_alone() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let chain = format!("GET {}?", crate::chains::path(&b.primary()));
    // Bob looks at his own chain as well; only what Alice asks names what she has.
    let conditional = || {
        let seen = liars.sig.seen(&chain).into_iter();
        seen.filter(|(request, _)| request.contains("if-none-match: \"")).collect::<Vec<_>>()
    };
    let walked = a.contacts().find("bob").await.unwrap();
    a.contacts().refresh(b.primary()).await.unwrap();
    let [(request, status)] = &conditional()[..] else { panic!("{:?}", conditional()) };
    assert!(request.contains("after=2&") && request.contains(&walked.head.to_string()), "{request}");
    assert_eq!(*status, 304);

    publish(&testbed, &bob.key(), Op::SetHandle(Some(b.handle().clone()))).await;
    let contact = a.contacts().refresh(b.primary()).await.unwrap();
    assert_eq!(contact.events_walked, 4);
    let (request, status) = &conditional()[1];
    assert!(request.contains("after=2&") && *status == 200, "from the event that is pinned on: {request}");
    a.contacts().refresh(b.primary()).await.unwrap();
    let (request, status) = &conditional()[2];
    assert!(request.contains("after=3&") && *status == 304, "{request}");
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}
