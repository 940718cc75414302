//! The whole path, as two people walk it.

use std::fs;

use kez_testbed::Testbed;
use tokio::task::spawn_blocking;

use crate::support::{Person, Running, answer, bytes_in, read_words};

const FILE_BYTES: usize = 3 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_people_chat_and_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::new(folder.path(), "alice", &testbed.home_url());
    let bob = Person::new(folder.path(), "bob", &testbed.home_url());

    // Alice at a terminal, which can't do much; Bob without one.
    let alice = alice.with("TERM", "dumb");
    let alice = spawn_blocking(move || {
        let mut terminal = alice.at_terminal(&["register", "alice"]);
        let (words, asked) = read_words(&mut terminal);
        answer(&mut terminal, &words, asked);
        let said = terminal.exp_string("You are @alice@").unwrap();
        assert!(said.contains("still on this screen") && !said.contains('\x1b'), "{said:?}");
        terminal.exp_eof().unwrap();
        alice
    });
    let alice = alice.await.unwrap();
    let registered = bob.json(&["register", "bob", "--backup-file", "words"]).await;
    assert_eq!(registered[0]["kind"], "registered");

    // Contacts.
    alice.run(&["send", "@bob", "hello"]).await.failed(5, "is not a contact");
    let added = alice.run(&["add", "@bob"]).await.ok();
    assert!(added.starts_with("@bob\n") && added.contains("3 events walked") && added.contains("agreed"), "{added}");
    bob.run(&["add", &format!("alice@{}", testbed.domain())]).await.ok();
    let contacts = bob.json(&["contacts"]).await;
    assert_eq!(contacts.len(), 1);
    assert_eq!(bob.run(&["contacts"]).await.ok().lines().count(), 1);
    assert_eq!(contacts[0]["handle"], format!("alice@{}", testbed.domain()));
    let alices_key = contacts[0]["primary"].as_str().unwrap();
    assert!(alice.run(&["whoami"]).await.ok().contains(alices_key));
    alice.run(&["add", "@nobody-here"]).await.failed(5, "there is no nobody-here@");

    // A message each way, the first to somebody who listens, the second to somebody who does not.
    let mut listening = bob.start(&["listen", "--count", "1", "--timeout", "60"]);
    // He is there, so that his receipt may be as quick as the broker's acknowledgement.
    let sent = alice.run(&["send", "@bob", "hello bob"]).await.ok();
    assert!(matches!(sent.as_str(), "sent to @bob\n" | "delivered to @bob\n"), "{sent}");
    assert!(listening.line().await.ends_with(" @alice: hello bob"));
    assert_eq!(listening.end().await.code, Some(0));
    let sent = bob.json(&["send", "alice", "read this later"]).await;
    assert_eq!((&sent[0]["kind"], &sent[0]["state"]), (&"sent".into(), &"sent".into()));
    // That Bob has the first message is told too, but it is no message.
    let heard = alice.json(&["listen", "--count", "1", "--timeout", "60"]).await;
    let message = heard.last().unwrap();
    assert_eq!((&message["kind"], &message["text"]), (&"message".into(), &"read this later".into()));
    assert_eq!(message["id"], sent[0]["id"]);
    assert!(message["from"]["handle"].as_str().unwrap().starts_with("bob@"));

    share_a_file(&alice, &bob).await;
    // Somebody whose key is no longer trusted is forgotten.
    assert!(bob.run(&["remove", "@alice"]).await.ok().contains("is forgotten"));
    assert_eq!(bob.json(&["contacts"]).await.len(), 0);
    bob.run(&["remove", "@alice"]).await.failed(5, "is not a contact");
    testbed.shutdown().await.unwrap();
}

async fn share_a_file(alice: &Person, bob: &Person) {
    let content: Vec<u8> = rand::random_iter().take(FILE_BYTES).collect();
    fs::write(alice.folder.join("holiday.raw"), &content).unwrap();
    let before = bytes_in(&bob.folder);
    alice.run(&["share", "@bob", "no-such-file"]).await.failed(6, "no-such-file");

    let mut sharing = alice.start(&["share", "@bob", "holiday.raw"]);
    assert_eq!(sharing.line().await, "serving holiday.raw (3.1 MB) to @bob until Ctrl-C");
    let offer = bob.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok();
    assert!(offer.ends_with(" @alice shared holiday.raw (3.1 MB): kez-chat fetch 1\n"), "{offer}");
    let offers = bob.json(&["files", "--offers"]).await;
    assert_eq!((&offers[0]["share_id"], &offers[0]["fetched"]), (&1.into(), &false.into()));
    // A database that tidies up makes the folder smaller.
    let grown = bytes_in(&bob.folder).saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes came before anybody asked for them");

    let fetched = bob.run(&["fetch", "1", "--to", "downloads"]).await.ok();
    assert_eq!(fetched, "fetched downloads/holiday.raw\n");
    assert!(fs::read(bob.folder.join("downloads/holiday.raw")).unwrap() == content, "the bytes differ");
    bob.run(&["fetch", "1", "--to", "downloads"]).await.failed(6, "exists already");
    bob.run(&["fetch", "9"]).await.failed(6, "no offer 9");
    assert_eq!(bob.json(&["files", "--offers"]).await[0]["fetched"], true);

    end(sharing).await;

    // What is offered by somebody who has left can't be had now.
    let mut sharing = alice.start(&["share", "@bob", "passphrase"]);
    assert!(sharing.line().await.starts_with("serving passphrase ("));
    bob.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok();
    end(sharing).await;
    bob.run(&["fetch", "2", "--to", "downloads"]).await.failed(7, "@alice@localhost");
    assert!(!bob.folder.join("downloads/passphrase").exists());
}

/// Ends a command as Ctrl-C does.
async fn end(running: Running) {
    let ended = running.interrupt().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(130), ""));
}
