//! Messages.

use std::{
    future,
    io::{self, IsTerminal as _},
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, time::sleep};

use crate::{
    api::{
        ConversationMessage, Object, TakenBack,
        event::{Handled, Notification, Subscribe},
        talk as calls,
    },
    args::{Delete, Edit, History, Listen, React, Search, Send},
    context::Context,
    editor,
    failure::{Failure, Kind},
    link::Link,
    render,
};

/// How many seconds `send` waits for the broker; afterwards the message stays in the outbox.
const SEND_PATIENCE_S: u64 = 10;
/// Far more than a message holds; what is longer is refused as too long, whatever follows.
const MOST_INPUT: u64 = 128 << 10;

/// Sends a message, and tells how far it came.
pub(super) async fn send(context: &Context, typed: Send) -> Result<(), Failure> {
    let text = match typed.text {
        None if io::stdin().is_terminal() => context.stop.or(editor::write("")).await?,
        typed => text(context, typed.as_deref().unwrap_or("-")).await?,
    };
    let call = calls::Send { to: typed.who, text, reply_to: typed.reply_to, id: None, wait_s: SEND_PATIENCE_S };
    context
        .with_link(async |link| {
            let sent = link.call(call).await?;
            context.output.show(Object::Sent(sent), link.own_home())
        })
        .await
}

/// Returns the text of a message: what was typed, or standard input for `-`.
async fn text(context: &Context, typed: &str) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed.to_owned());
    }
    if io::stdin().is_terminal() {
        context.output.note("Type the message; Ctrl-D on a line of its own ends it");
    }
    let mut bytes = Vec::new();
    let bad = |what: String, advice: &str| {
        Failure::new(Kind::Usage, "BadInput", format!("standard input can't be read: {what}"), advice)
    };
    let read = async { Ok(tokio::io::stdin().take(MOST_INPUT).read_to_end(&mut bytes).await) };
    context.stop.or(read).await?.map_err(|error| bad(error.to_string(), "give the text as an argument"))?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        // What is longer may be cut in the middle of a character; it is refused as too long.
        Err(error) if error.error_len().is_none() && bytes.len() as u64 == MOST_INPUT => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) => return Err(bad(error.to_string(), "send text in UTF-8; anything else goes with kez-chat share")),
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Shows events as they come. Each is shown first and only then handled: one that nobody saw comes again.
pub(super) async fn listen(context: &Context, link: &mut Link, typed: &Listen) -> Result<(), Failure> {
    link.stay();
    link.call(Subscribe { with: None }).await?;
    let own = link.own_home().to_owned();
    let name = link.owner.account.handle.strip_suffix(&format!("@{own}")).map(ToOwned::to_owned);
    context.output.note(&format!("Listening as @{}; Ctrl-C ends it", name.unwrap_or_default()));
    tokio::select! {
        done = show_events(context, link, typed.count) => done,
        () = out_of_time(typed.timeout) => match typed.count {
            None => Ok(()),
            Some(count) => Err(too_few(count)),
        },
    }
}

async fn show_events(context: &Context, link: &mut Link, count: Option<u64>) -> Result<(), Failure> {
    let own = link.own_home().to_owned();
    let (mut left, mut was_offline) = (count, false);
    while left != Some(0) {
        match link.next().await {
            Some(Notification::Event(pending)) => {
                context.output.show(pending.event.clone(), &own)?;
                link.call(Handled { events: vec![pending.event_id] }).await?;
                if pending.event.is_from_others() {
                    left = left.map(|left| left - 1);
                }
            }
            Some(Notification::Presence(presence)) if count.is_none() => {
                context.output.show(Object::Presence(presence), &own)?;
            }
            Some(Notification::Connection(connection)) => {
                if let Some(end) = connection.end() {
                    return Err(end);
                }
                let is_offline = connection.state == "offline";
                if is_offline || (was_offline && connection.state == "online") {
                    was_offline = is_offline;
                    let line = Object::Connection(connection);
                    match context.output.json {
                        true => context.output.show(line, &own)?,
                        false => context.output.note(&render::text(&line.into(), &own)),
                    }
                }
            }
            Some(Notification::Presence(_) | Notification::Progress(_)) => {}
            // Why, any call says.
            None => return link.call(crate::api::account::Whoami {}).await.map(drop),
        }
    }
    Ok(())
}

async fn out_of_time(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => sleep(Duration::from_secs(seconds)).await,
        None => future::pending().await,
    }
}

fn too_few(count: u64) -> Failure {
    let what = format!("the time is up, and fewer than {count} came");
    Failure::new(Kind::NotNow, "NotInTime", what, "what comes later is kept: run kez-chat listen again")
}

/// Lists the conversations.
pub(super) async fn conversations(context: &Context, link: &Link) -> Result<(), Failure> {
    let conversations = link.call(calls::ListConversations {}).await?.conversations;
    if conversations.is_empty() {
        context.output.note("No conversations yet: begin one with kez-chat send @NAME");
    }
    context.show_all(link, conversations.into_iter().map(Object::Conversation))
}

/// Shows a conversation.
pub(super) async fn history(context: &Context, link: &Link, typed: History) -> Result<(), Failure> {
    let History { who, limit, before, peek } = typed;
    let call = calls::ReadHistory { with: who, before, limit: Some(limit.into()) };
    let calls::History { with, messages } = link.call(call).await?;
    let last = messages.last().map(|message| message.place);
    if messages.is_empty() {
        context.output.note("Nothing was said yet");
    }
    let line = |message| Object::ConversationMessage(ConversationMessage { with: with.clone(), message });
    context.show_all(link, messages.into_iter().map(line))?;
    match last {
        Some(up_to) if !peek => link.call(calls::MarkRead { with: with.primary, up_to }).await.map(drop),
        _ => Ok(()),
    }
}

/// Finds messages.
pub(super) async fn search(context: &Context, link: &Link, typed: Search) -> Result<(), Failure> {
    let call = calls::Search { text: typed.words.join(" "), with: typed.with, limit: Some(typed.limit.into()) };
    let hits = link.call(call).await?.hits;
    if hits.is_empty() {
        context.output.note("Nothing was found");
    }
    context.show_all(link, hits.into_iter().map(Object::Hit))
}

/// Puts an emoji on a message.
pub(super) async fn react(context: &Context, link: &Link, typed: React) -> Result<(), Failure> {
    let React { who: with, message, emoji } = typed;
    let sent = link.call(calls::React { with, message, emoji, wait_s: SEND_PATIENCE_S }).await?;
    context.output.show(Object::Sent(sent), link.own_home())
}

/// Gives a message another wording.
pub(super) async fn edit(context: &Context, typed: Edit) -> Result<(), Failure> {
    let Edit { who: with, message, text: wording } = typed;
    let text = text(context, &wording).await?;
    context
        .with_link(async |link| {
            let sent = link.call(calls::Edit { with, message, text, wait_s: SEND_PATIENCE_S }).await?;
            context.output.show(Object::Sent(sent), link.own_home())
        })
        .await
}

/// Takes a message back.
pub(super) async fn delete(context: &Context, link: &Link, typed: Delete) -> Result<(), Failure> {
    let Delete { who: with, message } = typed;
    link.call(calls::Delete { with: with.clone(), message }).await?;
    context.output.show(Object::TakenBack(TakenBack { with }), link.own_home())
}
