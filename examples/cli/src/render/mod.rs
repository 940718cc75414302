//! Lines for people. Whatever came from others is made [`safe`] here, and handles of the own home are bare.

mod account;
mod event;
mod files;
mod paint;
mod people;
mod talk;

use crate::{
    api::{
        BlockChanged, CommandError, ContactLine, FetchedPath, Forgotten, Line, Object, Peer, TakenBack, Unpublished,
        Unshared, account::SetVisibility,
    },
    safe,
};

/// Further lines of a message are set in, so that none of them looks like a line of ours.
const INDENT: &str = "      ";

/// Writes a line for people of a home, without a line break at its end.
pub(crate) fn text(line: &Line, own: &str) -> String {
    let object = match line {
        Line::Event(event) => return event::text(event, own),
        Line::Object(object) => object,
    };
    match object {
        Object::Registered(account) => format!("You are {}", account::text(account)),
        Object::Account(account) => account::text(account),
        Object::Moved(account) => format!("You are now {}", account::text(account)),
        Object::Retired(account) => format!("@{} has left for good", safe::line(&account.handle)),
        Object::Running(owner) => account::running(owner),
        Object::Visibility(SetVisibility { visibility }) => account::visibility(*visibility).to_owned(),
        Object::MovePlan(plan) => account::plan(plan, own),
        Object::Backup(backup) => account::backup(backup),
        Object::Export(export) => account::export(export),
        Object::Finding(finding) => account::finding(finding),
        Object::Contact(ContactLine { contact, is_in_list: false }) => people::contact(contact, own),
        Object::Contact(ContactLine { contact, .. }) => people::listed(contact, own),
        Object::Removed(contact) => people::removed(contact, own),
        Object::SafetyNumber(contact) => people::safety_number(contact, own),
        Object::BlockChanged(BlockChanged { who, blocked: true }) => format!("{} is blocked", name(who, own)),
        Object::BlockChanged(BlockChanged { who, .. }) => format!("{} is not blocked any more", name(who, own)),
        Object::Blocked(blocked) => people::blocked(blocked, own),
        Object::StrangerRequest(request) => people::request(request, own),
        Object::RequestMessage(message) => people::request_message(message),
        Object::Declined(peer) => format!("what {} wrote is forgotten", name(peer, own)),
        Object::Presence(presence) => people::presence(presence, own),
        Object::Connection(connection) => account::connection(connection),
        Object::Sent(sent) => talk::sent(sent, own),
        Object::TakenBack(TakenBack { with }) => format!("taken back from {}", safe::line(with)),
        Object::ConversationMessage(message) => talk::message(message, own),
        Object::Conversation(conversation) => talk::conversation(conversation, own),
        Object::Hit(hit) => talk::hit(hit, own),
        Object::Serving(serving) => files::serving(serving, own),
        Object::Share(share) => files::share(share, own),
        Object::Unshared(Unshared { share }) => format!("share {share} is ended"),
        Object::Offer(offer) => files::offer(offer, own),
        Object::Fetched(FetchedPath { path }) => format!("fetched {}", files::from_here(path)),
        Object::Download(download) => files::download(download, own),
        Object::Forgotten(Forgotten { download }) => format!("transfer {download} is forgotten"),
        Object::Published(entry) => files::published(entry),
        Object::Unpublished(Unpublished { id }) => format!("{} is not published any more", safe::line(id)),
        Object::Listed(entry) => files::listed_entry(entry),
        Object::Usage(usage) => files::usage(usage),
        Object::CheckedFile(checked) => files::checked(checked),
        Object::Error(CommandError { code, message, .. }) => format!("{}: {}", safe::line(code), safe::line(message)),
    }
}

/// Writes somebody's handle, bare if it is of the own home, or their key.
pub(crate) fn name(peer: &Peer, own: &str) -> String {
    peer.handle.as_ref().map_or_else(|| safe::line(&peer.primary), |handle| shown_handle(handle, own))
}

/// Writes a handle, bare if it is of the own home.
pub(crate) fn shown_handle(handle: &str, own: &str) -> String {
    match handle.split_once('@') {
        Some((name, home)) if home == own => format!("@{}", safe::line(name)),
        _ => format!("@{}", safe::line(handle)),
    }
}

fn names(peers: &[Peer], own: &str) -> String {
    peers.iter().map(|peer| name(peer, own)).collect::<Vec<_>>().join(", ")
}
