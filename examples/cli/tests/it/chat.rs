//! Conversations in terminals.

use std::fs;

use tokio::task::spawn_blocking;

use crate::{shown::Shown, support::stage::two_contacts};

/// Does what a person does at a terminal, which blocks.
async fn at_terminals<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_and_one_fetches_what_the_other_offers() {
    let (_folder, testbed, alice, bob) = two_contacts().await;
    fs::write(bob.folder.join("report.txt"), "all is well").unwrap();
    let (alice, _bob) = at_terminals(move || {
        let (mut alices, mut bobs) = (Shown::run(&alice, &["chat", "@bob"]), Shown::run(&bob, &["chat", "@alice"]));
        alices.until_line(" @bob · online");
        bobs.until_line(" @alice · online");

        alices.types("Hello, Bob\r");
        bobs.until(" @alice: Hello, Bob");
        // He looks at it.
        alices.until(" you: Hello, Bob · read");

        // What is pasted waits for Enter.
        bobs.types("\x1b[200~one\rtwo\r\x1b[201~");
        bobs.until_line("  two");
        bobs.types("\r");
        alices.until_line("      two");
        bobs.until("      two · read");
        assert_eq!(alices.lines().iter().filter(|line| line.contains(" @bob: ")).count(), 1, "{:#?}", alices.lines());

        // Up changes the last text, and what is said about it shows at the other one.
        bobs.types("\x1b[A");
        bobs.until("changing your message");
        bobs.types(", three\r");
        alices.until_line("      two, three · edited");
        alices.types("/react 👍\r");
        bobs.until_line("    + @alice: 👍");
        alices.types("/reply");
        alices.until("[1] you: Hello, Bob");
        alices.types(" 2 Four\r");
        bobs.until("    > you: one two, three");
        alices.types("/delete\r");
        bobs.until(" @alice took this back");

        bobs.types("/share report.txt\r");
        bobs.until(" you shared report.txt (11 B)");
        alices.until("shared report.txt (11 B): /fetch 1");
        alices.types("/fetch 1 here\r");
        alices.until_line("-- fetched here/report.txt");
        (alice, bob)
    })
    .await;
    assert_eq!(fs::read_to_string(alice.folder.join("here/report.txt")).unwrap(), "all is well");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_as_before_however_it_ends_and_a_draft_is_kept() {
    let (_folder, testbed, alice, bob) = two_contacts().await;
    // The longest messages that there are, as JSON.
    for _ in 0..4 {
        alice.run_with_input(&["send", "@bob", "-"], &[1; 48_000]).await.ok();
    }
    let (alice, bob) = at_terminals(move || {
        let mut alices = Shown::run(&alice, &["chat", "@bob"]);
        alices.until("Enter sends");
        assert!(alices.is_taken());
        // It is drawn for whatever size there is.
        alices.resize(30, 100);
        alices.until_line(" @bob · not there");
        assert_eq!(alices.lines().len(), 30);
        alices.resize(4, 20);
        alices.until_line("small");
        alices.resize(24, 80);
        alices.until("Enter sends");
        alices.types("See you at");
        alices.until_line("> See you at");
        alices.types("\x03");
        alices.ended(0);

        let mut alices = Shown::run(&alice, &["chat", "@bob"]);
        alices.until_line("> See you at");
        alices.types(" nine\r");
        alices.until(" you: See you at nine · sent");
        alices.types("and bring");
        alices.until_line("> and bring");
        alices.signal("TERM");
        alices.ended(143);

        let mut bobs = Shown::run(&bob, &["chat", "@alice"]);
        bobs.until(" @alice: See you at nine");
        // What he had not read begins far above.
        bobs.types("\x1b[H");
        bobs.until_line("── new ─────────────────────────────────────────────────────────────────────────");
        bobs.types("\x1b[F");
        bobs.until(" @alice: See you at nine");
        // What is too long for a message is not lost by that.
        bobs.types(&format!("\x1b[200~{}\x1b[201~\r", "long ".repeat(10_000)));
        bobs.until("too large");
        bobs.until("  long long");
        bobs.types("\x15/delete\r");
        bobs.until("there is no message of yours");
        bobs.types("\x15");
        bobs.until_line(">");
        bobs.types("\x04");
        bobs.ended(0);
        (alice, bob)
    })
    .await;
    // Without a terminal it says what to do.
    alice.run(&["chat", "@bob"]).await.failed(2, "needs a terminal");
    bob.run(&["chat", "@alice", "--json"]).await.failed(2, "has no JSON");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_the_owner_of_the_home_is_killed() {
    let (_folder, testbed, alice, bob) = two_contacts().await;
    let mut owner = bob.start(&["listen"]);
    alice.run(&["send", "@bob", "zero"]).await.ok();
    while !owner.line().await.ends_with(" @alice: zero") {}
    let bobs = at_terminals(move || {
        let mut bobs = Shown::run(&bob, &["chat", "@alice"]);
        bobs.until("Enter sends");
        bobs
    })
    .await;
    alice.run(&["send", "@bob", "one"]).await.ok();
    let bobs = at_terminals(move || {
        let mut bobs = bobs;
        bobs.until(" @alice: one");
        bobs
    })
    .await;
    owner.kill().await;
    alice.run(&["send", "@bob", "two"]).await.ok();
    at_terminals(move || {
        let mut bobs = bobs;
        bobs.until(" @alice: two");
        bobs.types("three\r");
        bobs.until(" you: three · sent");
        bobs.types("\x03");
        bobs.ended(0);
    })
    .await;
    alice.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok();
    testbed.shutdown().await.unwrap();
}
