//! What becomes of keys.

use std::path::PathBuf;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::{
    command::{self, Command},
    composer::Purpose,
    screen::Screen,
};
use crate::api::talk::{Content, Message, MessageState};

/// What the person wants done that the screen can't do alone. Messages are named by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send { text: String, answers: Option<u64> },
    Edit { place: u64, text: String },
    Delete(u64),
    React { to: u64, emoji: Option<String> },
    Share(PathBuf),
    Fetch { share_id: i64, folder: PathBuf },
    Verify,
    DrawAnew,
    Quit,
}

/// Takes something that the terminal says.
pub(crate) fn take(screen: &mut Screen, event: Event) -> Option<Action> {
    let action = match event {
        Event::Key(key) if !key.is_release() => {
            screen.is_watched = true;
            screen.status = None;
            take_key(screen, key)
        }
        Event::Paste(text) => {
            screen.status = None;
            if !screen.composer.paste(&text) {
                screen.say("that is too long for a message: /share it as a file");
            }
            None
        }
        Event::FocusGained | Event::FocusLost => {
            screen.is_watched = event == Event::FocusGained;
            None
        }
        _ => None,
    };
    screen.scrollback.is_numbered =
        screen.composer.area().lines().first().is_some_and(|line| line.starts_with("/reply"));
    action
}

fn take_key(screen: &mut Screen, key: KeyEvent) -> Option<Action> {
    let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
    let is_empty = screen.composer.is_empty();
    match key.code {
        KeyCode::Char('c') if control => return Some(Action::Quit),
        KeyCode::Char('d') if control && is_empty => return Some(Action::Quit),
        KeyCode::Char('l') if control => return Some(Action::DrawAnew),
        KeyCode::Char('j') if control => screen.composer.area_mut().insert_newline(),
        KeyCode::Enter if !key.modifiers.is_empty() => screen.composer.area_mut().insert_newline(),
        KeyCode::Enter => return enter(screen),
        KeyCode::PageUp => scroll(screen, Screen::scroll_up),
        KeyCode::PageDown => scroll(screen, Screen::scroll_down),
        KeyCode::Home if is_empty || control => {
            screen.scrollback.try_again();
            screen.scroll_to_top();
        }
        KeyCode::End if is_empty || control => screen.scrollback.scroll_to_end(),
        KeyCode::Esc => {
            if screen.composer.purpose != Purpose::New {
                screen.composer.set("", Purpose::New);
            }
        }
        KeyCode::Up if is_empty => edit_last(screen),
        // As in a shell; the library would undo.
        KeyCode::Char('u') if control => {
            screen.composer.area_mut().delete_line_by_head();
        }
        KeyCode::Tab => complete(screen),
        // The library has its own shortcuts with Alt, and takes other letters for text.
        KeyCode::Char(_) if control && alt => {}
        _ => {
            screen.composer.area_mut().input(key);
        }
    }
    None
}

fn scroll(screen: &mut Screen, way: impl FnOnce(&mut Screen, usize)) {
    // What could not be loaded before may be there now.
    screen.scrollback.try_again();
    let lines = screen.page();
    way(screen, lines);
}

fn enter(screen: &mut Screen) -> Option<Action> {
    let text = screen.composer.text();
    // A new wording that begins with a slash is one.
    if command::is_command(&text) && !matches!(screen.composer.purpose, Purpose::Edit(_)) {
        return match command::parse(&text) {
            Ok(command) => run(screen, command),
            Err(what) => {
                screen.say(what);
                None
            }
        };
    }
    if text.trim().is_empty() {
        if matches!(screen.composer.purpose, Purpose::Edit(_)) {
            screen.say("a message can't be changed to nothing: Esc, then /delete takes it back");
        }
        return None;
    }
    let (text, purpose) = screen.composer.take();
    screen.wrote();
    let text = text.trim_end().to_owned();
    Some(match purpose {
        Purpose::New => Action::Send { text, answers: None },
        Purpose::Answer(to) => Action::Send { text, answers: Some(to) },
        Purpose::Edit(place) => Action::Edit { place, text },
    })
}

fn run(screen: &mut Screen, command: Command) -> Option<Action> {
    let done = |screen: &mut Screen| screen.composer.set("", Purpose::New);
    let action = match command {
        Command::Share(path) => Action::Share(path),
        Command::Fetch { share_id, folder } => Action::Fetch { share_id, folder },
        Command::Verify => Action::Verify,
        Command::Quit => Action::Quit,
        Command::Help => {
            screen.notice(&command::help());
            screen.scrollback.scroll_to_end();
            done(screen);
            return None;
        }
        Command::Reply { number, text } => {
            let Some(to) =
                screen.scrollback.at(number).filter(|message| is_there(message)).map(|message| message.place)
            else {
                screen.say(format!("there is no message {number} here to answer"));
                return None;
            };
            match text {
                Some(text) => Action::Send { text, answers: Some(to) },
                None => {
                    screen.composer.set("", Purpose::Answer(to));
                    return None;
                }
            }
        }
        Command::React(emoji) => {
            let is_one = |message: &Message| !message.is_own && is_there(message);
            Action::React { to: last(screen, "they have sent nothing to react to", is_one)?.place, emoji }
        }
        Command::Edit(text) => match text {
            Some(text) => Action::Edit { place: last_text(screen)?.place, text },
            None => {
                edit_last(screen);
                return None;
            }
        },
        Command::Delete => {
            let is_one = |message: &Message| message.is_own && is_there(message);
            Action::Delete(last(screen, "there is no message of yours to take back", is_one)?.place)
        }
    };
    done(screen);
    if matches!(action, Action::Send { .. }) {
        screen.wrote();
    }
    Some(action)
}

/// Puts the last text of ours where it can be changed.
fn edit_last(screen: &mut Screen) {
    if let Some(Message { place, content: Content::Text { text, .. }, .. }) = last_text(screen) {
        screen.composer.set(&text, Purpose::Edit(place));
    }
}

fn last_text(screen: &mut Screen) -> Option<Message> {
    let is_text = |message: &Message| matches!(message.content, Content::Text { .. });
    let is_one = |message: &Message| message.is_own && is_there(message) && is_text(message);
    last(screen, "there is no text of yours to change", is_one)
}

/// Finds the last message of a kind, or says why there is none.
fn last(screen: &mut Screen, none: &str, is_one: impl Fn(&Message) -> bool) -> Option<Message> {
    if !screen.scrollback.holds_end() {
        screen.scrollback.scroll_to_end();
        screen.say("here is the end of the conversation: do it again if you mean the last message");
        return None;
    }
    let found = screen.scrollback.last_first().find(|message| is_one(message)).cloned();
    if found.is_none() {
        screen.say(none);
    }
    found
}

fn is_there(message: &Message) -> bool {
    message.content != Content::Deleted && message.state != Some(MessageState::Withdrawn)
}

fn complete(screen: &mut Screen) {
    let text = screen.composer.text();
    if !command::is_command(&text) {
        screen.composer.area_mut().insert_tab();
        return;
    }
    let (line, several) = command::complete(&text);
    if line != text {
        let purpose = screen.composer.purpose;
        screen.composer.set(&line, purpose);
    }
    if !several.is_empty() {
        screen.say(several.join("  "));
    }
}
