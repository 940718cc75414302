//! Applications that are put into the background, and visit their home from time to time.

use std::time::{Duration, Instant};

use kez_chat_sdk::{Client, ConnectionState, Event, MessageState, OfflineCause, SyncOutcome, identity::PrimaryKey};
use kez_chat_server::Server;
use kez_testbed::Testbed;
use tokio::runtime::{Builder, Handle};

use crate::{
    front::home_with,
    people::{PATIENCE, Person, next, online, text_of, two_friends, until},
    wire::{Mode, Wire},
};

/// Longer than any visit here should take.
const LONG: Duration = Duration::from_secs(50);

/// Two friends, the first of whom is closed and reaches her broker by the wire.
struct Scene {
    testbed: Testbed,
    home: Server,
    wire: Wire,
    alice: Person,
    to_alice: PrimaryKey,
    _bob: Person,
    b: Client,
}

impl Scene {
    async fn start() -> Self {
        let mut testbed = Testbed::start().await.unwrap();
        let ((alice, a), (bob, b)) = two_friends(&testbed).await;
        online(&b).await;
        let to_alice = a.primary();
        a.shutdown().await;
        let wire = Wire::to(&testbed.nats_url()).await;
        let urls = vec![wire.url()];
        let home = home_with(&mut testbed, |settings| settings.nats_public_urls = urls).await;
        Self { testbed, home, wire, alice, to_alice, _bob: bob, b }
    }

    async fn end(self) {
        self.home.shutdown().await;
        self.testbed.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_client_keeps_what_it_is_told_and_leaves_nothing_running() {
    let scene = Scene::start().await;
    let (builder, to_bob) = (scene.alice.builder(), scene.b.primary());
    // In a runtime of its own, so that what runs for the client can be counted.
    let (opened, mut on_device) = tokio::sync::mpsc::channel(1);
    let device = tokio::task::spawn_blocking(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let a = builder.suspended().open().await.unwrap();
            let tasks = Handle::current().metrics().num_alive_tasks();
            a.resume();
            online(&a).await;
            a.suspend().await;
            assert_eq!(a.connection().current(), ConnectionState::Suspended);
            assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "something is left");
            // Nor does it try by itself.
            a.reconnect_now();
            let id = a.conversation(to_bob).send_text("when I am back").await.unwrap();
            opened.send((a.clone(), id)).await.unwrap();
            a.connection().until(|state| *state == ConnectionState::Closed).await;
        });
    });
    let (a, id) = on_device.recv().await.unwrap();
    scene.wire.until(|carried| carried.open == 0).await;
    scene.b.conversation(scene.to_alice).send_text("where are you?").await.unwrap();
    assert_eq!(a.wait_until(id, MessageState::Sent, Duration::ZERO).await.unwrap(), MessageState::Queued);
    assert_eq!(scene.wire.carried().dialled, 1);

    a.resume();
    assert_eq!(text_of(&next(&scene.b).await), "when I am back");
    assert_eq!(text_of(&next(&a).await), "where are you?");
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    a.shutdown().await;
    device.await.unwrap();
    scene.end().await;
}

/// More than the broker gives out before something is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_visit_brings_all_that_waits_and_sends_all_that_waits() {
    const WAITING: usize = 300;
    let scene = Scene::start().await;
    let conversation = scene.b.conversation(scene.to_alice);
    let mut last = None;
    for number in 0..WAITING {
        last = Some(conversation.send_text(&number.to_string()).await.unwrap());
    }
    let last = last.unwrap();
    assert_eq!(scene.b.wait_until(last, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);

    let a = scene.alice.builder().suspended().open().await.unwrap();
    let id = a.conversation(scene.b.primary()).send_text("from the background").await.unwrap();
    let report = a.sync_once(LONG).await.unwrap();
    assert_eq!(report.outcome, SyncOutcome::Complete);
    assert!(report.received >= 300, "{report:?}");
    assert!(report.sent >= 2, "the message and receipts: {report:?}");
    assert_eq!(report.queued, 0, "{report:?}");
    assert_eq!(a.connection().current(), ConnectionState::Suspended);
    scene.wire.until(|carried| carried.open == 0).await;
    for number in 0..WAITING {
        assert_eq!(text_of(&next(&a).await), number.to_string());
    }
    // Her receipts are out, so he knows.
    assert_eq!(scene.b.wait_until(last, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    loop {
        if let event @ Event::Message { .. } = next(&scene.b).await {
            assert_eq!(text_of(&event), "from the background");
            break;
        }
    }
    // His receipt came at the end of this visit, or waits for the next.
    let report = a.sync_once(LONG).await.unwrap();
    assert_eq!((report.outcome, report.queued), (SyncOutcome::Complete, 0));
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    a.shutdown().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_ends_in_time_whatever_the_network_does() {
    let scene = Scene::start().await;
    let a = scene.alice.builder().suspended().open().await.unwrap();
    a.conversation(scene.b.primary()).send_text("not today").await.unwrap();
    let within = Duration::from_secs(4);
    scene.wire.set(Mode::Stuck);
    let begun = Instant::now();
    let report = a.sync_once(within).await.unwrap();
    assert!(begun.elapsed() < within + Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!((report.outcome, report.queued), (SyncOutcome::OutOfTime, 1));
    until(&a, |state| *state == ConnectionState::Suspended).await;

    scene.wire.set(Mode::Cut);
    let report = a.sync_once(within).await.unwrap();
    assert!(
        matches!(report.outcome, SyncOutcome::Offline(OfflineCause::BrokerUnreachable { .. })),
        "{:?}",
        report.outcome
    );
    assert_eq!(report.queued, 1);

    // One that nobody waits for any more leaves at once.
    scene.wire.set(Mode::Open);
    {
        let visit = a.sync_once(LONG);
        tokio::pin!(visit);
        tokio::select! {
            report = &mut visit => panic!("too early: {report:?}"),
            () = online(&a) => {}
        }
    }
    until(&a, |state| *state == ConnectionState::Suspended).await;
    assert_eq!(a.sync_once(LONG).await.unwrap().outcome, SyncOutcome::Complete);
    assert_eq!(text_of(&next(&scene.b).await), "not today");
    a.shutdown().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_to_an_open_client_waits_and_leaves_it_open() {
    let scene = Scene::start().await;
    let a = scene.alice.open().await;
    let id = a.conversation(scene.b.primary()).send_text("hello").await.unwrap();
    let report = a.sync_once(LONG).await.unwrap();
    assert_eq!((report.outcome, report.queued), (SyncOutcome::Complete, 0));
    assert!(a.wait_until(id, MessageState::Sent, Duration::ZERO).await.unwrap() >= MessageState::Sent);
    assert_eq!(a.connection().current(), ConnectionState::Online);
    assert_eq!(scene.wire.carried().dialled, 1);
    a.shutdown().await;
    scene.end().await;
}
