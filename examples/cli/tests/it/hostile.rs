//! What others write and name, wherever it is shown.

use std::fs;

use crate::{
    shown::Shown,
    support::{Bot, Person, stage},
};

/// Clears the screen, names the window, colours, turns the direction, and makes up a line.
const EVIL: &str = "\x1b[2J\x1b]0;owned\x07\u{9b}31m evil \u{202e}txt.exe\n23:59 @carol: I owe you\r\x08\n";
/// What of it is left in one line.
const SHOWN: &str = "␛[2J␛]0;owned␇";

/// Checks that nothing acts on a terminal.
#[track_caller]
fn is_harmless(text: &str) {
    let acts =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(acts), "{text:?}");
}

/// Runs a command for people and one for programs, checks both, and returns what people see.
async fn shown(who: &Person, arguments: &[&str]) -> String {
    let line = who.run(&[arguments, &["--json"]].concat()).await.ok();
    is_harmless(&line);
    let text = who.run(arguments).await.ok();
    is_harmless(&text);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_writes_cannot_act_on_the_terminal() {
    let (alice, bob) = stage::pair().await;
    let send = ["send", &bob.at(), "-"];
    alice.run_with_input(&send, EVIL.as_bytes()).await.ok();
    let heard = bob.hears().await;
    is_harmless(&heard);
    assert!(heard.contains(&format!(" {}: {SHOWN}", alice.at())), "{heard}");
    assert!(heard.lines().nth(1).unwrap().starts_with("      23:59 @carol"), "{heard}");

    alice.run_with_input(&send, EVIL.as_bytes()).await.ok();
    let heard = bob.json(&["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!(heard.last().unwrap()["text"], EVIL.trim_end_matches(['\r', '\n']));
    let history = shown(&bob, &["history", &alice.at()]).await;
    assert!(history.contains(SHOWN) && history.contains("\n      23:59 @carol"), "{history}");
    assert!(shown(&bob, &["search", "evil"]).await.contains("evil"));
    let conversations = shown(&bob, &["conversations"]).await;
    assert!(conversations.contains(SHOWN) && conversations.lines().count() == 1, "{conversations}");

    // Another wording comes as an event of its own.
    let edited = format!("{EVIL}again");
    alice.run_with_input(&["edit", &bob.at(), "1", "-"], edited.as_bytes()).await.ok();
    let heard = bob.hears().await;
    is_harmless(&heard);
    assert!(heard.contains(" changed a message: ␛[2J"), "{heard}");
    // And at a real terminal, with all of its bytes.
    let bob = bob.with("NO_COLOR", "1");
    let mut terminal = Shown::large(&bob, &["history", &alice.at()]);
    terminal.until("again");
    let raw = terminal.written().replace("\r\n", "\n");
    terminal.ended(0);
    is_harmless(&raw);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_writes_cannot_act_on_the_terminal() {
    let (alice, bob) = tokio::join!(stage::registered("alice"), stage::registered("bob"));
    alice.run(&["add", &bob.at()]).await.ok();
    alice.run_with_input(&["send", &bob.at(), "-"], EVIL.as_bytes()).await.ok();
    let heard = bob.hears().await;
    is_harmless(&heard);
    assert!(heard.contains("kez-chat requests shows it"), "{heard}");
    shown(&bob, &["requests"]).await;
    assert!(shown(&bob, &["requests", &alice.at()]).await.contains(SHOWN));
    // What they wrote comes as a message once they are accepted.
    bob.run(&["accept", &alice.at()]).await.ok();
    let heard = bob.hears().await;
    is_harmless(&heard);
    assert!(heard.contains(SHOWN), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_one_gives_oneself_cannot_act_on_the_terminal_either() {
    let (alice, bob) = stage::pair().await;
    // It is kept as it is, or refused; it is never shown as it is.
    let named = alice.run(&["nickname", &bob.at(), "evil\x1b[2J\u{202e}"]).await;
    is_harmless(&named.stdout);
    is_harmless(&named.stderr);
    shown(&alice, &["contacts"]).await;
    shown(&alice, &["contacts", "show", &bob.at()]).await;
    let reaction = alice.run(&["react", &bob.at(), "1", "\x1b[2J"]).await;
    is_harmless(&reaction.stderr);
    for arguments in [["add", "@evil\x1b[2J\u{202e}"], ["fetch", "evil\x1b[2J"], ["history", "evil\u{9b}2J"]] {
        let ended = alice.run(&arguments).await;
        assert_ne!(ended.code, Some(0));
        is_harmless(&ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_hostile_name_is_refused_or_fetched_as_it_is_and_never_more() {
    let (alice, bob) = stage::pair().await;
    for name in ["evil\x1b[2J", "evil\ntwo", "evil\u{202e}gpj.exe", "back\\slash"] {
        fs::write(alice.folder.join(name), "evil").unwrap();
        let ended = alice.run(&["share", &bob.at(), name]).await;
        is_harmless(&ended.stderr);
        ended.failed(6, "evil".strip_suffix("evil").unwrap());
        let ended = alice.run(&["publish", name, "--public"]).await;
        is_harmless(&ended.stderr);
        assert_eq!(ended.code, Some(6), "{ended:?}");
    }

    // What a shell, or our own command, would take for something else.
    let names = ["--rename", "; touch owned", "$(touch owned)", "'`touch owned`", "~", "-", "*"];
    fs::create_dir(alice.folder.join("names")).unwrap();
    for name in names {
        fs::write(alice.folder.join("names").join(name), name).unwrap();
    }
    let mut sharing = alice.start(&["share", &bob.at(), "names"]);
    sharing.line_with("until Ctrl-C").await;
    let heard = bob.hears().await;
    assert!(heard.contains("shared 7 files"), "{heard}");
    bob.run(&["fetch", "1", "--to", "downloads"]).await.ok();
    for name in names {
        // What some file system can't have is another sign everywhere.
        let here = bob.folder.join("downloads/names").join(name.replace('*', "_"));
        assert_eq!(fs::read_to_string(here).unwrap(), name);
    }
    shown(&bob, &["transfers"]).await;
    shown(&bob, &["files"]).await;
    assert!(!bob.folder.join("owned").exists() && !alice.folder.join("owned").exists());
    sharing.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_are_told_cannot_act_on_the_terminal() {
    let (alice, bob) = stage::pair().await;
    let mut bot = Bot::listening(&bob).await;
    alice.run_with_input(&["send", &bob.at(), "-"], EVIL.as_bytes()).await.ok();
    let text = bot.take_message().await;
    assert_eq!(text, EVIL.trim_end_matches(['\r', '\n']));
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"history","params":{"with":"PEER"}}"#;
    let call = String::from_utf8_lossy(call).replace("PEER", &alice.at());
    is_harmless(&bob.run_with_input(&["api"], call.as_bytes()).await.ok());
    bot.end().await;
}
