//! One's own sigchain: what its server loses comes back, and no place ever gets two events of ours.

use futures::FutureExt;
use kez_chat_sdk::{
    AccountError, Client, ConnectionState, Event, NetError, OwnChainNotice,
    handle::Policy,
    sigchain::{Chain, ForkProof, Op, Timestamp},
};
use kez_testbed::Testbed;

use crate::{
    chains::{publish, published},
    front::{Front, home_with},
    gate::{Gate, Moment},
    people::{Person, handle_at, next, online, until},
    two_faces::TwoFaces,
};

/// The requests of a registration: info, registration, walk, and three events.
const FIRST_EVENT: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sigchain_server_has_lost_it_gets_again() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::new();
    let a = alice.register(&testbed, "alice").await;
    online(&a).await;
    let whole = published(&testbed, &a.primary()).await;
    testbed.stop_sig_server().await;
    let database = rusqlite::Connection::open(testbed.folder().join("sigchains.db")).unwrap();
    database.execute_batch("DELETE FROM events WHERE seq > 1").unwrap();
    database
        .execute_batch("UPDATE chains SET seq = 1, head = (SELECT head FROM events WHERE chain = chains.id)")
        .unwrap();
    drop(database);
    testbed.start_sig_server().await.unwrap();
    assert_eq!(published(&testbed, &a.primary()).await.events().len(), 1);
    a.account().sync().await.unwrap();
    assert_eq!(published(&testbed, &a.primary()).await.tip(), whole.tip());
    testbed.shutdown().await.unwrap();
}

/// Another event takes the place while ours is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_place_was_taken_is_discarded_and_signed_anew_at_the_next() {
    let mut testbed = Testbed::start().await.unwrap();
    let gate = Gate::before(&mut testbed).await;
    let alice = Person::new();
    let account = alice.backed_up().await;
    let handle = handle_at(&testbed, "alice");
    gate.stop_at(FIRST_EVENT, Moment::Held);
    let registering = tokio::spawn(async move { account.register(&handle, |_| {}).await });
    gate.reached().await;
    publish(&testbed, &alice.key(), Op::SetHandle(None)).await;
    gate.lift();
    registering.await.unwrap().unwrap();
    let chain = published(&testbed, &alice.key().primary()).await;
    assert_eq!(chain.events().len(), 4);
    assert_eq!(chain.events()[0].op(), Ok(&Op::SetHandle(None)));
    assert_eq!(next(&alice.open().await).await, Event::OwnChain { notice: OwnChainNotice::Overtaken { seq: 1 } });
    assert_eq!(chain.state().handle(), Some(&handle_at(&testbed, "alice")));
    gate.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// The request is lost on its way, and before it is made again another event takes the place.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waited_here_gives_way_to_one_that_was_published() {
    let mut testbed = Testbed::start().await.unwrap();
    let gate = Gate::before(&mut testbed).await;
    let alice = Person::new();
    let account = alice.backed_up().await;
    let handle = handle_at(&testbed, "alice");
    gate.stop_at(FIRST_EVENT, Moment::Before);
    let registering = tokio::spawn(async move { account.register(&handle, |_| {}).await.map(drop) });
    gate.reached().await;
    registering.abort();
    let _ = registering.await;
    gate.lift();
    publish(&testbed, &alice.key(), Op::SetHandle(None)).await;
    let registered = alice.backed_up().await.register(&handle_at(&testbed, "alice"), |_| {}).await.unwrap();
    let chain = published(&testbed, &registered.primary).await;
    assert_eq!((chain.events().len(), chain.state().handle()), (4, Some(&registered.handle)));
    assert_eq!(next(&alice.open().await).await, Event::OwnChain { notice: OwnChainNotice::Overtaken { seq: 1 } });
    gate.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_moved_is_published_and_the_old_one_taken_back() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::new();
    alice.register(&testbed, "alice").await.shutdown().await;
    let moved = testbed.nats_url().replace("127.0.0.1", "localhost");
    let url = moved.clone();
    let front = Front::before(&mut testbed, move |_, info| info["nats"]["urls"] = serde_json::json!([url])).await;
    let a = alice.open().await;
    online(&a).await;
    let chain = published(&testbed, &a.primary()).await;
    let brokers: Vec<_> = chain.state().nats_endpoints().map(|nats| nats.url.clone()).collect();
    assert_eq!(brokers, [moved]);
    a.account().sync().await.unwrap();
    assert_eq!(published(&testbed, &a.primary()).await.tip(), chain.tip(), "it is said once");
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_sigchain_server_the_client_goes_online_all_the_same() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::new();
    alice.register(&testbed, "alice").await.shutdown().await;
    testbed.stop_sig_server().await;
    let a = alice.open().await;
    until(&a, |state| *state == ConnectionState::Online).await;
    let asked = a.account().sync().await;
    assert!(matches!(asked, Err(AccountError::Net(NetError::Unreachable { .. }))), "{asked:?}");
    testbed.shutdown().await.unwrap();
}

/// Somebody else has the key, and the server shows what they signed. Whether their history is as long as ours or shorter,
/// it is told once, and nothing is added to ours any more, also when the server shows it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_the_own_chain_is_told_with_its_proof_and_ends_writing() {
    for (number, length) in [3, 2].into_iter().enumerate() {
        let mut testbed = Testbed::start().await.unwrap();
        let faces = TwoFaces::before(&testbed).await;
        let home = home_with(&mut testbed, |settings| settings.sig_public_url = Some(faces.url())).await;
        let alice = Person::new();
        let a = alice.register(&testbed, "alice").await;
        online(&a).await;
        let ours = published(&testbed, &a.primary()).await;
        let mut theirs = Chain::new(a.primary(), Policy::Development);
        for event in &ours.events()[..length - 1] {
            theirs.push(event.jws()).unwrap();
        }
        let at = Timestamp::from_unix_ms(1_000 + number as u64);
        theirs.sign_next(&alice.key(), Op::SetHandle(None), &at).unwrap();
        faces.show(&theirs);
        for _ in 0..2 {
            assert_eq!(a.account().sync().await.unwrap_err().code(), "Fork", "{length}");
        }
        let (seq, proof) = match next(&a).await {
            Event::OwnChain { notice: OwnChainNotice::Forked { seq, proof } } => (seq, proof),
            other => panic!("{other:?}"),
        };
        let proof: ForkProof = proof.parse().unwrap();
        assert_eq!((proof.primary(), proof.seq(), seq), (&a.primary(), length as u64, length as u64));
        assert_eq!(told(&a).await, [], "once");

        // The home has moved its broker, which is not published any more.
        faces.show_the_truth();
        a.shutdown().await;
        home.shutdown().await;
        let moved = testbed.nats_url().replace("127.0.0.1", "localhost");
        let home = home_with(&mut testbed, |settings| {
            settings.sig_public_url = Some(faces.url());
            settings.nats_public_urls = vec![moved];
        })
        .await;
        let a = alice.open().await;
        online(&a).await;
        assert_eq!(a.account().sync().await.unwrap_err().code(), "Fork");
        assert_eq!(published(&testbed, &a.primary()).await.tip(), ours.tip());
        assert_eq!(told(&a).await, [], "nor is it told again");
        a.account().retire().await.unwrap();
        assert!(published(&testbed, &a.primary()).await.state().is_retired(), "leaving is possible");
        a.shutdown().await;
        home.shutdown().await;
        testbed.shutdown().await.unwrap();
    }
}

/// Takes what waits for the application now.
async fn told(client: &Client) -> Vec<Event> {
    let pending = client.next_events(100).now_or_never().map_or_else(Vec::new, Result::unwrap);
    pending.into_iter().map(|pending| pending.event).collect()
}
