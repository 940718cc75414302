//! Messages, when something is in their way.

use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::support::{PATIENCE, stage};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_in_words() {
    let (alice, bob) = stage::pair().await;
    let send = ["send", &bob.at(), "-"];
    alice.run_with_input(&send, b"\xff\xfe").await.failed(2, "standard input");
    alice.run_with_input(&send, &[b'a'; 65_536]).await.failed(2, "too large");
    alice.run_with_input(&send, &[b'a'; 3 << 20]).await.failed(2, "too large");
    alice.run_with_input(&send, b"\n").await.failed(2, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_the_broker() {
    let (_folder, mut testbed, alice, bob) = stage::two_contacts().await;
    testbed.kill_nats().await.unwrap();
    let sent = alice.json(&["send", "@bob", "patience"]).await;
    assert_eq!(sent[0]["state"], "queued");
    testbed.start_nats().await.unwrap();
    // Whatever Alice runs next that stays a moment takes it along.
    let alice_listens = alice.start(&["listen"]);
    let shown = bob.hears().await;
    assert!(shown.ends_with(" @alice: patience\n"), "{shown}");
    assert_eq!(alice_listens.interrupt().await.code, Some(130));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_could_see_comes_again() {
    let (alice, bob) = stage::pair().await;
    let (mut guarded, mut stderr) = bob.start(&["listen"]).hang_up();
    alice.run(&["send", &bob.at(), "did you see this?"]).await.ok();
    let status = timeout(PATIENCE, guarded.wait()).await.expect("it goes on without a reader").unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).await.unwrap();
    assert_eq!(status.code(), Some(141));
    assert!(!said.contains("kez-chat: ") && !said.contains("panicked"), "{said}");
    let shown = bob.hears().await;
    assert!(shown.ends_with(&format!(" {}: did you see this?\n", alice.at())), "{shown}");
    // And what was seen does not come again.
    let ended = bob.run(&["listen", "--count", "1", "--timeout", "2"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), ""));
}
