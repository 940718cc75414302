//! What is seen and typed at a terminal.

use std::{fs, os::unix::fs::PermissionsExt as _};

use kez_testbed::Testbed;

use crate::{
    shown::Shown,
    support::{Person, stage},
};

/// Writes a program that stands for an editor.
fn editor(person: &Person, name: &str, script: &str) -> String {
    let file = person.folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_are_shown_on_a_screen_of_their_own_and_hidden() {
    let alice = stage::registered("alice").await;
    let words = fs::read_to_string(alice.folder.join("words")).unwrap();
    let words: Vec<&str> = words.split_whitespace().collect();
    let row =
        |shown: &str| shown.contains(&format!(" 1. {}", words[0])) && shown.contains(&format!("24. {}", words[23]));

    let mut terminal = Shown::large(&alice, &["backup"]);
    let shown = terminal.until("Press Enter to hide them");
    assert!(row(&shown) && terminal.is_private(), "{shown}");
    terminal.types("\n");
    let left = terminal.ended(0);
    assert!(!row(&left), "{left}");

    let mut terminal = Shown::large(&alice, &["backup"]);
    terminal.until("Press Enter to hide them");
    terminal.types("\x03");
    let left = terminal.ended(130);
    assert!(!row(&left), "{left}");

    // One that has but one screen says that they are still there.
    let alice = alice.with("TERM", "dumb");
    let mut terminal = Shown::large(&alice, &["backup"]);
    terminal.until("Press Enter to hide them");
    terminal.types("\n");
    let left = terminal.ended(0);
    assert!(row(&left) && left.contains("still on this screen"), "{left}");
    alice.run(&["backup"]).await.failed(2, "at a terminal only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safety_number_and_a_qr_code_are_shown_to_be_compared() {
    let (alice, bob) = stage::pair().await;
    let mut numbers = Vec::new();
    for (who, other) in [(&alice, &bob), (&bob, &alice)] {
        let shown = Shown::large(who, &["verify", &other.at()]).ended(0);
        assert!(shown.contains(&format!("Your safety number with {}", other.at())), "{shown}");
        let digits: String = shown.lines().filter(|line| line.starts_with("  ")).collect();
        numbers.push(digits.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(numbers[0], numbers[1]);
    assert!(numbers[0].len() == 12 && numbers[0].iter().all(|number| number.len() == 5), "{numbers:?}");
    let shown = Shown::large(&alice, &["verify", &bob.at(), "--same"]).ended(0);
    assert!(shown.contains("sees the same."), "{shown}");
    assert!(alice.run(&["contacts", "show", &bob.at()]).await.ok().contains("verified  yes"));

    let mut terminal = Shown::large(&alice, &["whoami", "--qr"]);
    let shown = terminal.ended(0);
    assert!(shown.lines().filter(|line| line.contains('█')).count() > 15, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_and_leaving_are_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let old = Testbed::start().await.unwrap();
    let (here, there) = (format!("@mover@{}", old.domain()), format!("@mover@{}", stage::domain()));
    let alice = stage::elsewhere(folder.path(), "mover", &old);
    alice.register("mover").await;
    // One that is there is listened to for a minute before it is left.
    old.shutdown().await.unwrap();
    let to_move = ["move", &there, "--without-old-home"];
    alice.run(&to_move).await.failed(2, "nobody at a terminal to ask");
    let mut terminal = Shown::large(&alice, &to_move);
    let shown = terminal.until("Move? Type yes:");
    assert!(shown.contains(" becomes @") && shown.contains("conversations stay"), "{shown}");
    terminal.types("y\n");
    let shown = terminal.ended(2);
    assert!(shown.contains("nothing was done"), "{shown}");
    assert!(alice.run(&["whoami"]).await.ok().starts_with(&format!("{here}\n")));

    let mut terminal = Shown::large(&alice, &to_move);
    terminal.until("Move? Type yes:");
    terminal.types("yes\n");
    let shown = terminal.ended(0);
    assert!(shown.contains(&format!("You are now {there}\n")), "{shown}");
    assert!(shown.contains(&format!("?h={}&", &there[1..])), "what others add them by is the new one: {shown}");
    assert!(alice.run(&["whoami"]).await.ok().starts_with(&format!("{there}\n")));

    alice.run(&["retire"]).await.failed(2, "nobody at a terminal to ask");
    alice.run(&["retire", "--confirm", &alice.at()]).await.failed(2, "is not the handle of this account");
    let mut terminal = Shown::large(&alice, &["retire"]);
    terminal.until("Type it to leave for good:");
    terminal.types("\x03");
    terminal.ended(130);
    let mut terminal = Shown::large(&alice, &["retire"]);
    terminal.until("Type it to leave for good:");
    terminal.types(&format!("{there}\n"));
    let shown = terminal.ended(0);
    assert!(shown.contains("has left for good"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_be_written_in_an_editor() {
    let (alice, bob) = stage::pair().await;
    let good = editor(&alice, "good", "stat -c %a \"$1\" >mode; printf 'one\\ntwo\\n\\n' >\"$1\"");
    let alice = alice.with("EDITOR", &good);
    let shown = Shown::large(&alice, &["send", &bob.at()]).ended(0);
    assert!(shown.contains("to @bob-"), "{shown}");
    assert_eq!(fs::read_to_string(alice.folder.join("mode")).unwrap(), "600\n");
    let heard = bob.hears().await;
    assert!(heard.ends_with(": one\n      two\n"), "{heard:?}");

    let empty = editor(&alice, "empty", ":");
    let alice = alice.with("VISUAL", &empty);
    let shown = Shown::large(&alice, &["send", &bob.at()]).ended(2);
    assert!(shown.contains("the text is empty, and nothing was sent"), "{shown}");
    let alice = alice.with("VISUAL", "false");
    let shown = Shown::large(&alice, &["send", &bob.at()]).ended(2);
    assert!(shown.contains("the editor has ended with exit status: 1"), "{shown}");
    assert_eq!(alice.json(&["history", &bob.at()]).await.len(), 1);
    let left: Vec<_> = fs::read_dir(&alice.folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".txt")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_shows_how_far_it_is_and_leaves_a_line() {
    let (alice, bob) = stage::pair().await;
    fs::File::create(alice.folder.join("film.mkv")).unwrap().set_len(64 << 20).unwrap();
    let mut sharing = alice.start(&["share", &bob.at(), "film.mkv"]);
    sharing.line_with("until Ctrl-C").await;
    bob.hears().await;
    let mut terminal = Shown::large(&bob, &["fetch", "1"]);
    let shown = terminal.until("film.mkv ");
    assert!(shown.contains(" of 67.1 MB"), "{shown}");
    assert_eq!(terminal.ended(0).trim_end(), "fetched film.mkv");
    // Nothing of the kind where nobody sees it.
    let ended = bob.run(&["fetch", "1", "--rename"]).await;
    assert_eq!((ended.stderr.as_str(), ended.stdout.as_str()), ("", "fetched film (1).mkv\n"));
    sharing.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_whatever_takes_long_and_gives_the_terminal_back() {
    let (alice, bob) = stage::pair().await;
    fs::File::create(alice.folder.join("large")).unwrap().set_len(1 << 30).unwrap();
    fs::write(alice.folder.join("small"), "small").unwrap();
    let (at, recover) = (bob.at(), stage::newcomer("new"));
    let cases: [(&Person, &[&str], &str); 7] = [
        (&alice, &["listen"], "Listening as @"),
        (&alice, &["run"], "Running as @"),
        (&alice, &["share", &at, "small"], "until Ctrl-C"),
        (&alice, &["share", &at, "large"], " of 1.1 GB"),
        (&alice, &["send", &at, "-"], "Type the message"),
        (&recover, &["recover"], "Words:"),
        (&recover, &["register", &recover.name], "on the paper:"),
    ];
    for (who, arguments, sign) in cases {
        let mut terminal = Shown::large(who, arguments);
        terminal.until(sign);
        terminal.types("\x03");
        let shown = terminal.ended(130);
        assert!(!shown.contains("kez-chat: "), "{arguments:?}: {shown}");
    }
    assert_eq!(alice.json(&["files", "--shared"]).await.len(), 1);
    assert!(alice.json(&["history", &at]).await.iter().all(|message| message["content"]["type"] == "files"));
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_that_want_them() {
    let al = stage::newcomer("al");
    let colours = |person: &Person, argument: &str, last: &str| {
        let mut terminal = Shown::large(person, &[argument]);
        terminal.until(last);
        terminal.written().contains("\x1b[")
    };
    assert!(colours(&al, "--help", "VISUAL, EDITOR"));
    let al = al.with("NO_COLOR", "1");
    assert!(!colours(&al, "--help", "VISUAL, EDITOR") && !colours(&al, "nonsense", "try '--help'"));
    let al = al.without("NO_COLOR");
    assert!(!al.run(&["--help"]).await.ok().contains('\x1b'));
    assert!(!al.run(&["nonsense"]).await.stderr.contains('\x1b'));
}
