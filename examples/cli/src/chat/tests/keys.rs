use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::*;
use crate::chat::{
    composer::Purpose,
    keys::{Action, take},
};

fn press(screen: &mut Screen, code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
    take(screen, Event::Key(KeyEvent::new(code, modifiers)))
}

fn key(screen: &mut Screen, code: KeyCode) -> Option<Action> {
    press(screen, code, KeyModifiers::NONE)
}

fn control(screen: &mut Screen, letter: char) -> Option<Action> {
    press(screen, KeyCode::Char(letter), KeyModifiers::CONTROL)
}

fn write(screen: &mut Screen, text: &str) {
    for letter in text.chars() {
        assert_eq!(key(screen, KeyCode::Char(letter)), None);
    }
}

/// Writes a line and sends it.
fn enter(screen: &mut Screen, text: &str) -> Option<Action> {
    write(screen, text);
    key(screen, KeyCode::Enter)
}

fn said(screen: &Screen) -> &str {
    screen.status.as_deref().unwrap_or_default()
}

/// Makes a screen with something of both.
fn talked() -> Screen {
    let mut screen = screen();
    screen.latest(
        vec![
            ours(1, "Hello", MessageState::Read),
            theirs(2, "Hello"),
            ours(3, "two\nlines", MessageState::Delivered),
            theirs(4, "Well?"),
            offer(5, 3, &[("report.pdf", 9)]),
        ],
        true,
    );
    screen
}

fn send(text: &str) -> Option<Action> {
    Some(Action::Send { text: text.to_owned(), answers: None })
}

#[test]
fn enter_sends_what_is_written() {
    let mut screen = talked();
    assert_eq!(enter(&mut screen, "Hi, 世界"), send("Hi, 世界"));
    assert!(screen.composer.is_empty());
    assert_eq!(enter(&mut screen, ""), None);
    assert_eq!(enter(&mut screen, "  "), None);
    assert_eq!(screen.composer.text(), "  ", "and what is not sent stays");
    assert_eq!(enter(&mut screen, "/etc/hosts  "), send("  /etc/hosts"), "a blank makes it a text");
    assert_eq!(enter(&mut screen, "// a comment"), send("// a comment"));
}

#[test]
fn a_line_can_be_begun_without_sending() {
    let mut screen = talked();
    write(&mut screen, "one");
    assert_eq!(press(&mut screen, KeyCode::Enter, KeyModifiers::ALT), None);
    write(&mut screen, "two");
    assert_eq!(control(&mut screen, 'j'), None);
    write(&mut screen, "three");
    assert_eq!(press(&mut screen, KeyCode::Enter, KeyModifiers::SHIFT), None);
    assert_eq!(enter(&mut screen, "four"), send("one\ntwo\nthree\nfour"));
}

#[test]
fn what_is_pasted_is_never_sent_by_itself_and_is_what_is_seen() {
    let mut screen = talked();
    assert_eq!(take(&mut screen, Event::Paste("one\r\ntwo\rthree\n\tfour\x1b[2J\u{202e}".into())), None);
    assert_eq!(screen.composer.text(), "one\ntwo\nthree\n\tfour␛[2J\u{fffd}");
    assert_eq!(key(&mut screen, KeyCode::Enter), send("one\ntwo\nthree\n\tfour␛[2J\u{fffd}"));
    assert_eq!(take(&mut screen, Event::Paste("x".repeat(100_000))), None);
    assert!(screen.composer.is_empty());
    assert!(said(&screen).contains("too long"));
    assert_eq!(take(&mut screen, Event::Paste("/quit\n".into())), None);
    assert_eq!(key(&mut screen, KeyCode::Enter), Some(Action::Quit), "Enter was pressed after it was seen");
}

#[test]
fn up_on_an_empty_line_changes_the_last_text() {
    let mut screen = talked();
    assert_eq!(key(&mut screen, KeyCode::Up), None);
    assert_eq!((screen.composer.text().as_str(), screen.composer.purpose), ("two\nlines", Purpose::Edit(3)));
    assert!(drawn(&mut screen, 80, 12).iter().any(|line| line.starts_with("changing your message")));
    key(&mut screen, KeyCode::Up);
    assert_eq!(screen.composer.area().cursor().0, 0, "then it moves");
    control(&mut screen, 'u');
    key(&mut screen, KeyCode::Esc);
    assert_eq!((screen.composer.text().as_str(), screen.composer.purpose), ("", Purpose::New));

    key(&mut screen, KeyCode::Up);
    assert_eq!(enter(&mut screen, "!"), Some(Action::Edit { place: 3, text: "two\nlines!".into() }));
    assert_eq!(enter(&mut screen, "new"), send("new"), "the next one is new again");

    key(&mut screen, KeyCode::Up);
    for _ in 0.."two\nlines".len() {
        key(&mut screen, KeyCode::Backspace);
    }
    assert_eq!(key(&mut screen, KeyCode::Enter), None);
    assert!(said(&screen).contains("/delete"));
    key(&mut screen, KeyCode::Esc);

    assert_eq!(enter(&mut screen, "/edit so"), Some(Action::Edit { place: 3, text: "so".into() }));
    assert_eq!(enter(&mut screen, "/edit"), None);
    assert_eq!(screen.composer.purpose, Purpose::Edit(3));
}

#[test]
fn nothing_is_changed_that_is_not_there() {
    let mut screen = screen();
    screen.latest(vec![ours(1, "x", MessageState::Withdrawn)], true);
    for (typed, says) in [
        ("/edit", "no text of yours"),
        ("/delete", "no message of yours"),
        ("/react 👍", "they have sent nothing"),
        ("/reply 2 so", "there is no message 2"),
        ("/reply 1 so", "there is no message 1"),
        ("/nonsense", "/nonsense is no command"),
    ] {
        assert_eq!(enter(&mut screen, typed), None, "{typed}");
        assert!(said(&screen).contains(says), "{typed}: {}", said(&screen));
        assert_eq!(screen.composer.text(), typed, "it can be mended");
        control(&mut screen, 'u');
        assert_eq!(said(&screen), "", "the answer goes with the next key");
    }
}

#[test]
fn commands_become_actions() {
    let mut screen = talked();
    let fetch = |folder: &str| Some(Action::Fetch { share_id: 3, folder: folder.into() });
    for (typed, action) in [
        ("/share my file", Some(Action::Share("my file".into()))),
        ("/fetch 3", fetch(".")),
        ("/fetch 3 some where", fetch("some where")),
        ("/react 👍", Some(Action::React { to: 5, emoji: Some("👍".into()) })),
        ("/react", Some(Action::React { to: 5, emoji: None })),
        ("/delete", Some(Action::Delete(3))),
        ("/verify", Some(Action::Verify)),
        ("/quit", Some(Action::Quit)),
    ] {
        assert_eq!(enter(&mut screen, typed), action, "{typed}");
        assert!(screen.composer.is_empty());
    }
    assert_eq!(enter(&mut screen, "/help"), None);
    assert!(view(&mut screen, 80, 40).iter().any(|line| line.contains("/fetch N [FOLDER]")));
}

#[test]
fn numbers_stand_beside_messages_while_one_is_chosen() {
    let mut screen = talked();
    write(&mut screen, "/reply");
    let lines = view(&mut screen, 60, 20);
    assert_eq!(lines[1..3], ["  [1] you: Hello · read", "  [2] @bob: Hello"]);
    assert_eq!(enter(&mut screen, " 4 Well"), Some(Action::Send { text: "Well".into(), answers: Some(4) }));
    assert_eq!(view(&mut screen, 60, 20)[2], "14:05 @bob: Hello");

    assert_eq!(enter(&mut screen, "/reply 2"), None);
    assert_eq!(screen.composer.purpose, Purpose::Answer(2));
    assert!(drawn(&mut screen, 80, 12).contains(&"answering (Esc leaves it) @bob: Hello".to_owned()));
    assert_eq!(enter(&mut screen, "two words"), Some(Action::Send { text: "two words".into(), answers: Some(2) }));
    enter(&mut screen, "/reply 2");
    key(&mut screen, KeyCode::Esc);
    assert_eq!(enter(&mut screen, "new"), send("new"));
}

#[test]
fn control_c_ends_and_control_d_on_an_empty_line() {
    let mut screen = talked();
    assert_eq!(control(&mut screen, 'd'), Some(Action::Quit));
    write(&mut screen, "x");
    assert_eq!(control(&mut screen, 'd'), None);
    assert_eq!(control(&mut screen, 'c'), Some(Action::Quit));
    assert_eq!(screen.composer.text(), "x", "it can be kept");
    assert_eq!(control(&mut screen, 'l'), Some(Action::DrawAnew));
    let released = KeyEvent::new_with_kind(KeyCode::Enter, KeyModifiers::NONE, KeyEventKind::Release);
    assert_eq!(take(&mut screen, Event::Key(released)), None);
}

#[test]
fn home_and_end_move_in_what_is_written() {
    let mut screen = talked();
    write(&mut screen, "bc");
    key(&mut screen, KeyCode::Home);
    write(&mut screen, "a");
    key(&mut screen, KeyCode::End);
    assert_eq!(enter(&mut screen, "d"), send("abcd"));
}

#[test]
fn tab_completes_commands() {
    let mut screen = talked();
    write(&mut screen, "/sh");
    key(&mut screen, KeyCode::Tab);
    assert_eq!(screen.composer.text(), "/share ");
    control(&mut screen, 'u');
    write(&mut screen, "/re");
    key(&mut screen, KeyCode::Tab);
    assert_eq!((screen.composer.text().as_str(), said(&screen)), ("/re", "/reply   /react "));
}

#[test]
fn what_could_not_be_sent_comes_back() {
    let mut screen = talked();
    screen.composer.give_back("one\ntwo", Purpose::New);
    assert_eq!(screen.composer.text(), "one\ntwo");
    screen.composer.give_back("zero", Purpose::Answer(2));
    assert_eq!((screen.composer.text().as_str(), screen.composer.purpose), ("zero\none\ntwo", Purpose::New));
}
