//! `chat`: a live conversation in one terminal.
//!
//! [`screen`] is what is shown and [`keys`] what is typed, both without any I/O; here is what goes on between them and the
//! owner of the home.

mod command;
mod composer;
mod draw;
mod full_screen;
mod keys;
mod live;
mod palette;
mod rows;
mod screen;
mod scrollback;
#[cfg(test)]
mod tests;
mod wrap;

use std::env;

use chrono::{Local, NaiveDateTime, TimeZone as _};

use self::{full_screen::FullScreen, live::Live, palette::Palette, rows::Setting, screen::Screen};
use crate::{
    api::{Peer, event::Subscribe, people::FindContact, talk::ListConversations},
    args::Chat,
    context::Context,
    failure::{Failure, Kind},
    link::Link,
    render,
    terminal::Terminal,
};

/// Speaks with a contact until the person ends it.
pub(crate) async fn run(context: &Context, link: &mut Link, typed: Chat) -> Result<(), Failure> {
    check_terminal(context.output.json)?;
    link.stay();
    let contact = link.call(FindContact { who: typed.who, refresh: false }).await?;
    let conversations = link.call(ListConversations {}).await?.conversations;
    link.call(Subscribe { with: Some(contact.primary.clone()) }).await?;

    let peer = Peer { primary: contact.primary.clone(), handle: contact.handle.clone() };
    let mut screen = Screen::new(Setting {
        own: link.owner.account.primary.clone(),
        peer: render::name(&peer, link.own_home()),
        palette: Palette::of_environment(),
        local,
    });
    let conversation = conversations.into_iter().find(|conversation| conversation.with.primary == contact.primary);
    screen.begin_at(conversation.as_ref().map_or(0, |conversation| conversation.read_place));
    let draft = conversation.and_then(|conversation| conversation.draft).unwrap_or_default();
    let mut live = Live::new(link, screen, &contact, draft);
    let full_screen = FullScreen::begin()?;
    live.run(full_screen).await
}

/// Checks that there is a terminal to have a conversation on.
fn check_terminal(wants_json: bool) -> Result<(), Failure> {
    let is_able = env::var_os("TERM").is_some_and(|name| name != "dumb" && !name.is_empty());
    if !wants_json && is_able && Terminal::for_dialogue().is_some() {
        return Ok(());
    }
    let what = if wants_json { "chat is for people, and has no JSON" } else { "chat needs a terminal to itself" };
    Err(Failure::new(Kind::Usage, "NoTerminal", what, "use kez-chat send and kez-chat listen, or kez-chat api"))
}

/// Returns which time of the reader's a moment is.
fn local(unix_ms: u64) -> Option<NaiveDateTime> {
    let unix_ms = i64::try_from(unix_ms).ok()?;
    Local.timestamp_millis_opt(unix_ms).single().map(|moment| moment.naive_local())
}
