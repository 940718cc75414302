//! Messages, when something is in their way.

use kez_testbed::{Testbed, guard::Signal};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::support::{PATIENCE, Person};

/// Makes two people who know each other.
pub(crate) async fn two_contacts() -> (TempDir, Testbed, Person, Person) {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::new(folder.path(), "alice", &testbed.home_url());
    let bob = Person::new(folder.path(), "bob", &testbed.home_url());
    tokio::join!(alice.register("alice"), bob.register("bob"));
    alice.run(&["add", "@bob"]).await.ok();
    bob.run(&["add", "@alice"]).await.ok();
    (folder, testbed, alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_writes_cannot_act_on_the_terminal() {
    let (_folder, testbed, alice, bob) = two_contacts().await;
    let evil = "\x1b[2J\x1b]0;owned\x07\u{9b}31m \u{202e}txt.exe\n23:59 @carol: I owe you\r\x08\n";
    alice.run_with_input(&["send", "@bob", "-"], evil.as_bytes()).await.ok();
    let shown = bob.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok();
    assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    assert!(shown.contains(" @alice: ␛[2J␛]0;owned␇"), "{shown}");
    assert!(shown.lines().nth(1).unwrap().starts_with("      23:59 @carol"), "{shown}");

    alice.run_with_input(&["send", "@bob", "-"], evil.as_bytes()).await.ok();
    let line = bob.run(&["listen", "--count", "1", "--timeout", "60", "--json"]).await.ok();
    assert!(!line.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
    let message: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(message["text"], evil.trim_end_matches(['\r', '\n']));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_in_words() {
    let (_folder, testbed, alice, _bob) = two_contacts().await;
    alice.run_with_input(&["send", "@bob", "-"], b"\xff\xfe").await.failed(2, "standard input");
    alice.run_with_input(&["send", "@bob", "-"], &[b'a'; 65_536]).await.failed(2, "too large");
    alice.run_with_input(&["send", "@bob", "-"], &[b'a'; 3 << 20]).await.failed(2, "too large");
    alice.run_with_input(&["send", "@bob", "-"], b"\n").await.failed(2, "");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_the_broker() {
    let (_folder, mut testbed, alice, bob) = two_contacts().await;
    testbed.kill_nats().await.unwrap();
    let sent = alice.json(&["send", "@bob", "patience"]).await;
    assert_eq!(sent[0]["state"], "queued");
    testbed.start_nats().await.unwrap();
    // Whatever Alice runs next that stays a moment takes it along.
    let mut alice_listens = alice.start(&["listen"]);
    let shown = bob.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok();
    assert!(shown.ends_with(" @alice: patience\n"), "{shown}");
    alice_listens.signal(Signal::Interrupt).await;
    assert_eq!(alice_listens.end().await.code, Some(130));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_could_see_comes_again() {
    let (_folder, testbed, alice, bob) = two_contacts().await;
    let (mut guarded, mut stderr) = bob.start(&["listen"]).hang_up();
    alice.run(&["send", "@bob", "did you see this?"]).await.ok();
    let status = timeout(PATIENCE, guarded.wait()).await.expect("it goes on without a reader").unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).await.unwrap();
    assert_eq!(status.code(), Some(141));
    assert!(!said.contains("kez-chat: ") && !said.contains("panicked"), "{said}");
    let shown = bob.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok();
    assert!(shown.ends_with(" @alice: did you see this?\n"), "{shown}");
    // And what was seen does not come again.
    let ended = bob.run(&["listen", "--count", "1", "--timeout", "2"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), ""));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_has_one_owner_at_a_time() {
    let (_folder, testbed, alice, bob) = two_contacts().await;
    let mut listening = bob.start(&["listen"]);
    alice.run(&["send", "@bob", "are you there?"]).await.ok();
    assert!(listening.line().await.contains("are you there?"));
    bob.run(&["whoami"]).await.failed(3, "in use by process");
    listening.kill().await;
    bob.run(&["whoami"]).await.ok();
    testbed.shutdown().await.unwrap();
}
