//! What each call does: one call of the SDK, and its answer in the types of the [`api`].

mod account;
mod files;
pub(crate) mod people;
mod talk;

use std::{pin::Pin, sync::Arc};

use kez_chat_sdk::{Client, Contact, identity::PrimaryKey, payload::MessageId};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::{self, Done, Request},
    failure::{Failure, Kind},
    owner::{Owner, Report},
};

type Outcome = Result<Value, Failure>;

/// How far a call has come when the next one may begin.
pub(crate) enum Step {
    /// It is done.
    Done(Outcome),
    /// All that has to be in order is done; the rest goes on beside other calls.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

impl Step {
    /// Takes a call that has to be done before the next one begins: it stays on this device, and is quick.
    async fn now<T: Serialize>(call: impl Future<Output = Result<T, Failure>>) -> Self {
        Self::Done(call.await.and_then(|answer| value(&answer)))
    }

    /// Takes a call that goes on beside others.
    fn later<T: Serialize>(call: impl Future<Output = Result<T, Failure>> + Send + 'static) -> Self {
        Self::Later(Box::pin(async move { call.await.and_then(|answer| value(&answer)) }))
    }
}

/// Begins a call.
pub(crate) async fn begin(owner: &Arc<Owner>, request: Request, report: Report) -> Step {
    let client = owner.client.clone();
    match request {
        Request::Hello(_) => Step::now(async { Ok(owner.describe()) }).await,
        Request::Whoami(_) => Step::now(async { Ok(owner.account()) }).await,
        Request::WriteBackup(call) => Step::later(account::backup(client, call)),
        Request::WriteExport(call) => Step::later(account::export(client, call)),
        Request::PlanMove(call) => Step::later(account::plan_move(client, call)),
        Request::Move(call) => Step::later(account::move_to(Arc::clone(owner), call)),
        Request::Retire(call) => Step::later(account::retire(Arc::clone(owner), call)),
        Request::Doctor(call) => Step::later(account::doctor(client, call)),
        Request::SetVisibility(call) => Step::now(account::set_visibility(client, call)).await,

        Request::Add(call) => Step::later(people::add(client, call)),
        Request::ListContacts(_) => Step::now(people::list(client)).await,
        Request::FindContact(call) => Step::later(people::find(client, call)),
        Request::Remove(call) => Step::now(people::remove(client, call)).await,
        Request::Verify(call) => Step::now(people::verify(client, call)).await,
        Request::Trust(call) => Step::later(people::trust(client, call)),
        Request::Nickname(call) => Step::now(people::nickname(client, call)).await,
        Request::Block(call) => Step::now(people::block(client, call)).await,
        Request::Unblock(call) => Step::now(people::unblock(client, call)).await,
        Request::ListBlocked(_) => Step::now(people::blocked(client)).await,
        Request::ListRequests(_) => Step::later(people::requests(client)),
        Request::ReadRequest(call) => Step::now(people::request(client, call)).await,
        Request::Accept(call) => Step::later(people::accept(client, call)),
        Request::Decline(call) => Step::now(people::decline(client, call)).await,
        Request::ListPresence(_) => Step::now(people::presences(client)).await,

        Request::Send(call) => talk::send(client, call).await,
        Request::ReadHistory(call) => Step::now(talk::history(client, call)).await,
        Request::ListConversations(_) => Step::now(talk::conversations(client)).await,
        Request::Search(call) => Step::later(talk::search(client, call)),
        Request::React(call) => talk::react(client, call).await,
        Request::Edit(call) => talk::edit(client, call).await,
        Request::Delete(call) => Step::now(talk::delete(client, call)).await,
        Request::MarkRead(call) => Step::now(talk::mark_read(client, call)).await,
        Request::SetDraft(call) => Step::now(talk::set_draft(client, call)).await,

        Request::ShareFiles(call) => Step::later(files::share(client, call, report)),
        Request::ListShares(_) => Step::now(files::shares(client)).await,
        Request::Unshare(call) => Step::now(files::unshare(client, call)).await,
        Request::ListOffers(_) => Step::now(files::offers(client)).await,
        Request::Fetch(call) => Step::later(files::fetch(client, call, report)),
        Request::ListDownloads(_) => Step::now(files::downloads(client)).await,
        Request::RetryDownload(call) => Step::later(files::retry_download(client, call, report)),
        Request::CancelDownload(call) => Step::now(files::cancel_download(client, call)).await,
        Request::Publish(call) => Step::later(files::publish(client, call, report)),
        Request::ListPublished(_) => Step::now(files::published(client)).await,
        Request::Unpublish(call) => Step::now(files::unpublish(client, call)).await,
        Request::Browse(call) => Step::later(files::browse(client, call)),
        Request::FetchPublished(call) => Step::later(files::fetch_published(client, call, report)),
        Request::ReadUsage(_) => Step::later(files::usage(client)),
        Request::CheckFiles(call) => Step::later(files::check(client, call, report)),

        // These belong to a session.
        Request::Subscribe(_) | Request::Handled(_) => Step::Done(value(&Done {})),
    }
}

/// Writes an answer.
pub(crate) fn value(answer: &impl Serialize) -> Outcome {
    serde_json::to_value(answer).map_err(|error| {
        let what = format!("the answer can't be written: {error}");
        Failure::new(Kind::Other, "Unshown", what, "look for an update of kez-chat")
    })
}

/// Finds a contact, or ourselves: with whom a conversation is.
async fn partner(client: &Client, who: &str) -> Result<api::Peer, Failure> {
    let own = client.handle();
    let bare = who.strip_prefix('@').unwrap_or(who);
    if bare == own.to_string() || bare == own.name() || who == client.primary().to_string() {
        return Ok(api::Peer { primary: client.primary().to_string(), handle: Some(own.to_string()) });
    }
    Ok((&client.contacts().find(who).await?).into())
}

/// Returns the keys of contacts.
async fn keys(client: &Client, who: &[String]) -> Result<Vec<PrimaryKey>, Failure> {
    let mut keys = Vec::with_capacity(who.len());
    for who in who {
        keys.push(find(client, who).await?.primary);
    }
    Ok(keys)
}

async fn find(client: &Client, who: &str) -> Result<Contact, Failure> {
    Ok(client.contacts().find(who).await?)
}

/// Reads the name that a caller gives.
fn name_of(text: &str) -> Result<MessageId, Failure> {
    text.parse().map_err(|_| {
        let what = format!("{text} is no name of a message or share");
        Failure::new(Kind::Usage, "BadName", what, "it has 32 hexadecimal digits")
    })
}

/// Reads a key that a [`Peer`](api::Peer) of ours carries.
fn key_of(peer: &api::Peer) -> Result<PrimaryKey, Failure> {
    peer.primary.parse().map_err(|_| {
        Failure::new(Kind::Usage, "BadKey", format!("{} is no key", peer.primary), "copy it as it was shown")
    })
}
