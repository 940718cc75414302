//! Sigchain servers that lie: two histories, withheld events, old chains, empty pages, and things that no chain says.

use kez_chat_sdk::{
    ContactError, Event, MessageState, NetError, Notice, Trouble,
    handle::Policy,
    sigchain::{Chain, ForkProof, Head, Op, Timestamp},
};
use kez_testbed::Testbed;
use serde_json::json;

use crate::{
    chains::{path, publish, published},
    liar::{Liars, event_of_a_later_version, events_of},
    people::{PATIENCE, next, online, text_of, two_friends},
    trust::{is_stopped, nothing_more, notice, write_offline},
};

/// The first events of a chain again.
fn beginning(chain: &Chain, length: usize) -> Chain {
    let mut begun = Chain::new(*chain.primary(), Policy::Development);
    for event in &chain.events()[..length] {
        begun.push(event.jws()).unwrap();
    }
    begun
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_stop_sending_until_the_person_says_which_one_counts() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let (contacts, peer) = (a.contacts(), b.primary());
    contacts.set_verified(peer, true).await.unwrap();
    let id = write_offline(&a, &peer, "kept").await;
    let mut other = beginning(&published(&testbed, &peer).await, 2);
    other.sign_next(&bob.key(), Op::Retire, &Timestamp::from_unix_ms(0)).unwrap();
    liars.show(&peer, events_of(&other));
    for _ in 0..2 {
        assert_eq!(contacts.refresh(peer).await.unwrap_err().code(), "Fork");
    }
    let contact = contacts.find("bob").await.unwrap();
    assert_eq!((&contact.trouble, contact.verified, contact.retired), (&Some(Trouble::Forked), false, false));
    // Anybody can check the proof, by its text alone.
    let proof = contacts.evidence(peer).await.unwrap().unwrap().to_string();
    let proof: ForkProof = proof.parse().unwrap();
    assert_eq!((proof.primary(), proof.seq()), (&peer, 3));

    a.resume();
    online(&a).await;
    is_stopped(&a, &peer, id).await;
    assert_eq!(notice(&a).await, (peer, Notice::Stopped { trouble: Trouble::Forked }));
    // Receiving goes on with a flag, and nothing was told twice.
    nothing_more(&a, &b).await;
    let is_doubted = async || a.conversation(peer).history(None, 1).await.unwrap()[0].in_doubt;
    assert!(is_doubted().await);

    liars.sig.tell_the_truth();
    assert_eq!(contacts.refresh(peer).await.unwrap().trouble, Some(Trouble::Forked), "the truth alone ends nothing");
    let wrong = contacts.accept_history(peer, &Head::from_bytes([7; 32])).await.unwrap_err();
    assert!(matches!(wrong, ContactError::OtherHistory { .. }), "{wrong:?}");
    is_stopped(&a, &peer, id).await;
    let contact = contacts.accept_history(peer, &b.account().head().await.unwrap()).await.unwrap();
    assert_eq!((contact.trouble, contact.events_walked, contact.verified), (None, 3, false));
    assert_eq!(notice(&a).await, (peer, Notice::SoundAgain));
    assert_eq!(text_of(&next(&b).await), "kept");
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    b.conversation(a.primary()).send_text("it was me").await.unwrap();
    let sound = loop {
        if let event @ Event::Message { .. } = next(&a).await {
            break event;
        }
    };
    assert!(matches!(&sound, Event::Message { text, in_doubt: false, .. } if text == "it was me"), "{sound:?}");
    assert!(!is_doubted().await);
    let again = contacts.accept_history(peer, &contact.head).await.unwrap_err();
    assert!(matches!(again, ContactError::NotForked(_)), "{again:?}");
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// The server of the first history is gone; the other one is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_history_can_be_the_one_that_counts() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let peer = b.primary();
    let mut other = beginning(&published(&testbed, &peer).await, 2);
    let claim = Op::AddClaim { claim: "dns:bob.example".parse().unwrap(), at: None, sig: None };
    for op in [claim, Op::SetHandle(Some(b.handle().clone()))] {
        other.sign_next(&bob.key(), op, &Timestamp::from_unix_ms(0)).unwrap();
    }
    liars.show(&peer, events_of(&other));
    assert_eq!(a.contacts().refresh(peer).await.unwrap_err().code(), "Fork");
    let contact = a.contacts().accept_history(peer, &other.events()[2].head()).await.unwrap();
    assert_eq!((contact.events_walked, Some(contact.head), contact.claims.len()), (4, other.tip().head(), 1));
    // What follows is judged against the history that was accepted.
    a.contacts().refresh(peer).await.unwrap();
    liars.sig.tell_the_truth();
    assert_eq!(a.contacts().refresh(peer).await.unwrap_err().code(), "Rollback");
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_chain_ends_when_it_is_shown_right_and_loses_no_message() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let (contacts, peer) = (a.contacts(), b.primary());
    contacts.set_verified(peer, true).await.unwrap();
    let sound = published(&testbed, &peer).await;
    let foreign = published(&testbed, &alice.key().primary()).await;
    let with = |jws: String| [events_of(&sound), vec![jws]].concat();
    let unsound = Trouble::ChainUnsound { code: "BadSignature".into() };
    let cases: [(&str, Vec<String>, Trouble); 3] = [
        // An old chain, shown again.
        ("Rollback", events_of(&beginning(&sound, 2)), Trouble::RolledBack),
        // An event of somebody else's.
        ("BadSignature", with(foreign.events()[2].jws().to_owned()), unsound),
        ("UnknownOp", with(event_of_a_later_version(&bob.key(), &sound)), Trouble::NeedsUpgrade),
    ];
    for (code, events, expected) in cases {
        let id = write_offline(&a, &peer, code).await;
        liars.show(&peer, events);
        for _ in 0..2 {
            assert_eq!(contacts.refresh(peer).await.unwrap_err().code(), code);
        }
        a.resume();
        online(&a).await;
        is_stopped(&a, &peer, id).await;
        assert_eq!(notice(&a).await, (peer, Notice::Stopped { trouble: expected }));
        nothing_more(&a, &b).await;
        liars.sig.tell_the_truth();
        let contact = contacts.refresh(peer).await.unwrap();
        assert_eq!((contact.trouble, contact.verified), (None, true), "{code}");
        assert_eq!(notice(&a).await, (peer, Notice::SoundAgain));
        assert_eq!(text_of(&next(&b).await), code);
        assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
        forget_states(&a, &b).await;
    }
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Handles what tells of messages' states.
async fn forget_states(one: &kez_chat_sdk::Client, other: &kez_chat_sdk::Client) {
    for client in [one, other] {
        let event = next(client).await;
        assert!(matches!(event, Event::MessageState { .. }), "{event:?}");
    }
}

/// A server that keeps to itself what is new can't be told from one that has nothing new; it costs nothing but that.
#[tokio::test(flavor = "multi_thread")]
async fn withheld_events_and_empty_pages_stop_nothing_and_are_made_good_later() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let (contacts, peer) = (a.contacts(), b.primary());
    let old = events_of(&published(&testbed, &peer).await);
    let claim = Op::AddClaim { claim: "dns:bob.example".parse().unwrap(), at: None, sig: None };
    publish(&testbed, &bob.key(), claim).await;
    liars.show(&peer, old);
    assert!(contacts.refresh(peer).await.unwrap().claims.is_empty());
    liars.sig.say(format!("GET {}?", path(&peer)), |_| (200, json!({ "events": [], "seq": 4, "head": "" })));
    let empty = contacts.refresh(peer).await.unwrap_err();
    assert!(matches!(empty, ContactError::Net(NetError::BadAnswer { .. })), "{empty:?}");
    a.conversation(peer).send_text("still here").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "still here");
    liars.sig.tell_the_truth();
    assert_eq!(contacts.refresh(peer).await.unwrap().claims.len(), 1);
    assert_eq!(contacts.find(&peer.to_string()).await.unwrap().trouble, None);
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}
