//! Calls about messages.

use std::time::Duration;

use kez_chat_sdk::{Client, Conversation, MessageRef, MessageState, Place, Query, new_message_id, payload::MessageId};

use super::{Step, key_of, partner};
use crate::{
    api::{
        self, Done, Peer,
        talk::{
            Conversations, Delete, Edit, History, Hit, Hits, MarkRead, React, ReadHistory, Search, Send, Sent,
            SetDraft, Which,
        },
    },
    failure::{Failure, Kind},
};

/// How many messages a page has if nothing is said.
const PAGE: usize = 50;

/// A message that was accepted for sending.
type Accepted = (Peer, MessageId);

/// Accepts a text in the order of calls; only then it is waited for.
pub(super) async fn send(client: Client, call: Send) -> Step {
    let wait_s = call.wait_s;
    wait_for(accept_text(&client, call).await, client, wait_s)
}

async fn accept_text(client: &Client, call: Send) -> Result<Accepted, Failure> {
    let to = partner(client, &call.to).await?;
    let conversation = client.conversation(key_of(&to)?);
    let id = match call.id {
        Some(id) => super::name_of(&id)?,
        None => new_message_id(),
    };
    match call.reply_to {
        Some(which) => {
            let answered = resolve(client, &conversation, &to, &which).await?;
            conversation.reply_as(id, answered, &call.text).await?;
        }
        None => conversation.send_text_as(id, &call.text).await?,
    }
    Ok((to, id))
}

/// Waits for the broker to have what was accepted.
fn wait_for(accepted: Result<Accepted, Failure>, client: Client, wait_s: u64) -> Step {
    match accepted {
        Ok((to, id)) => Step::later(async move {
            let state = client.wait_until(id, MessageState::Sent, Duration::from_secs(wait_s)).await?;
            Ok(Sent { to, id: id.to_string(), state: api::mirrored(&state)? })
        }),
        Err(failure) => Step::Done(Err(failure)),
    }
}

pub(super) async fn history(client: Client, call: ReadHistory) -> Result<History, Failure> {
    let with = partner(&client, &call.with).await?;
    let conversation = client.conversation(key_of(&with)?);
    let messages = conversation.history(call.before.map(Place::new), call.limit.unwrap_or(PAGE)).await?;
    Ok(History { with, messages: api::mirrored(&messages)? })
}

pub(super) async fn conversations(client: Client) -> Result<Conversations, Failure> {
    Ok(Conversations { conversations: api::mirrored(&client.conversations().list().await?)? })
}

pub(super) async fn search(client: Client, call: Search) -> Result<Hits, Failure> {
    let mut query = Query::new(call.text).limit(call.limit.unwrap_or(PAGE));
    if let Some(with) = &call.with {
        query = query.conversation(key_of(&partner(&client, with).await?)?);
    }
    let mut hits = Vec::new();
    for hit in client.search(&query).await? {
        let with = match partner(&client, &hit.with.to_string()).await {
            Ok(with) => with,
            // They are no contact any more.
            Err(_) => Peer { primary: hit.with.to_string(), handle: None },
        };
        hits.push(Hit { with, message: api::mirrored(&hit.message)?, snippet: hit.snippet.text });
    }
    Ok(Hits { hits })
}

pub(super) async fn react(client: Client, call: React) -> Step {
    let accepted = async {
        let with = partner(&client, &call.with).await?;
        let conversation = client.conversation(key_of(&with)?);
        let to = resolve(&client, &conversation, &with, &call.message).await?;
        let id = conversation.react(to, call.emoji.as_deref()).await?;
        Ok((with, id))
    };
    wait_for(accepted.await, client.clone(), call.wait_s)
}

pub(super) async fn edit(client: Client, call: Edit) -> Step {
    let accepted = async {
        let with = partner(&client, &call.with).await?;
        let conversation = client.conversation(key_of(&with)?);
        let message = resolve(&client, &conversation, &with, &call.message).await?;
        let id = conversation.edit(message.id, &call.text).await?;
        Ok((with, id))
    };
    wait_for(accepted.await, client.clone(), call.wait_s)
}

pub(super) async fn delete(client: Client, call: Delete) -> Result<Done, Failure> {
    let with = partner(&client, &call.with).await?;
    let conversation = client.conversation(key_of(&with)?);
    let message = resolve(&client, &conversation, &with, &call.message).await?;
    conversation.delete(message.id).await?;
    Ok(Done {})
}

pub(super) async fn mark_read(client: Client, call: MarkRead) -> Result<Done, Failure> {
    let with = partner(&client, &call.with).await?;
    client.conversation(key_of(&with)?).mark_read(Place::new(call.up_to)).await?;
    Ok(Done {})
}

pub(super) async fn set_draft(client: Client, call: SetDraft) -> Result<Done, Failure> {
    let with = partner(&client, &call.with).await?;
    client.conversation(key_of(&with)?).set_draft(call.text.as_deref()).await?;
    Ok(Done {})
}

/// Finds a message of a conversation: by its place, or by its name, whoever of the two wrote it.
async fn resolve(
    client: &Client,
    conversation: &Conversation<'_>,
    with: &Peer,
    which: &Which,
) -> Result<MessageRef, Failure> {
    let none = |named: &dyn std::fmt::Display| {
        let what = format!("the conversation shows no message {named}");
        Failure::new(Kind::Usage, "NoSuchMessage", what, "kez-chat history shows them with their places")
    };
    match which {
        Which::Place(place) => {
            let before = Place::new(place.saturating_add(1));
            let last = conversation.history(Some(before), 1).await?.pop();
            last.filter(|message| message.place.number() == *place)
                .map(|message| message.name)
                .ok_or_else(|| none(place))
        }
        Which::Id(text) => {
            let id: MessageId = text.parse().map_err(|_| none(text))?;
            for author in [client.primary(), key_of(with)?] {
                let name = MessageRef { author, id };
                if conversation.message(name).await?.is_some() {
                    return Ok(name);
                }
            }
            Err(none(text))
        }
    }
}
