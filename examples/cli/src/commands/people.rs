//! Contacts, strangers, and who is there.

use crate::{
    api::{BlockChanged, ContactLine, Object, account::SetVisibility, people as calls},
    args::{
        Accept, Add, Block, Contacts, ContactsCommand, Decline, Nickname, Presence, Remove, Requests, Trust, Unblock,
        Verify,
    },
    context::Context,
    failure::Failure,
    link::Link,
};

fn one(contact: calls::Contact) -> Object {
    Object::Contact(ContactLine { contact, is_in_list: false })
}

/// Looks a person up, walks their sigchain and keeps them.
pub(super) async fn add(context: &Context, link: &Link, typed: Add) -> Result<(), Failure> {
    let contact = link.call(calls::Add { who: typed.who }).await?;
    context.output.show(one(contact), link.own_home())
}

/// Lists the contacts, or shows one.
pub(super) async fn contacts(context: &Context, link: &Link, typed: Contacts) -> Result<(), Failure> {
    if let Some(ContactsCommand::Show { who, refresh }) = typed.command {
        let contact = link.call(calls::FindContact { who, refresh }).await?;
        return context.output.show(one(contact), link.own_home());
    }
    let contacts = link.call(calls::ListContacts {}).await?.contacts;
    if contacts.is_empty() {
        context.output.note("No contacts yet: add one with kez-chat add @NAME");
    }
    let lines = contacts.into_iter().map(|contact| Object::Contact(ContactLine { contact, is_in_list: true }));
    context.show_all(link, lines)
}

/// Forgets a contact.
pub(super) async fn remove(context: &Context, link: &Link, typed: Remove) -> Result<(), Failure> {
    let removed = link.call(calls::Remove { who: typed.who }).await?;
    context.output.show(Object::Removed(removed), link.own_home())
}

/// Shows a safety number, and keeps what the person says of it.
pub(super) async fn verify(context: &Context, link: &Link, typed: Verify) -> Result<(), Failure> {
    let who = typed.who;
    let contact = if typed.same || typed.undo {
        link.call(calls::Verify { who, verified: typed.same }).await?
    } else {
        link.call(calls::FindContact { who, refresh: false }).await?
    };
    context.output.show(Object::SafetyNumber(contact), link.own_home())
}

/// Keeps what a contact has said on another way.
pub(super) async fn trust(context: &Context, link: &Link, typed: Trust) -> Result<(), Failure> {
    let Trust { who, word } = typed;
    let call = calls::Trust { who, new_key: word.new_key, head: word.head, one_sided: word.one_sided };
    context.output.show(one(link.call(call).await?), link.own_home())
}

/// Names a contact.
pub(super) async fn nickname(context: &Context, link: &Link, typed: Nickname) -> Result<(), Failure> {
    let contact = link.call(calls::Nickname { who: typed.who, nickname: typed.nickname }).await?;
    context.output.show(one(contact), link.own_home())
}

/// Blocks somebody, or lists who is blocked.
pub(super) async fn block(context: &Context, link: &Link, typed: Block) -> Result<(), Failure> {
    let Some(who) = typed.who else {
        let blocked = link.call(calls::ListBlocked {}).await?.blocked;
        if blocked.is_empty() {
            context.output.note("Nobody is blocked");
        }
        return context.show_all(link, blocked.into_iter().map(Object::Blocked));
    };
    let who = link.call(calls::Block { who }).await?;
    context.output.show(Object::BlockChanged(BlockChanged { who, blocked: true }), link.own_home())
}

/// Ends a block.
pub(super) async fn unblock(context: &Context, link: &Link, typed: Unblock) -> Result<(), Failure> {
    let who = link.call(calls::Unblock { who: typed.who }).await?;
    context.output.show(Object::BlockChanged(BlockChanged { who, blocked: false }), link.own_home())
}

/// Lists the strangers who wrote, or shows what one of them wrote.
pub(super) async fn requests(context: &Context, link: &Link, typed: Requests) -> Result<(), Failure> {
    if let Some(who) = typed.who {
        let messages = link.call(calls::ReadRequest { who }).await?.messages;
        return context.show_all(link, messages.into_iter().map(Object::RequestMessage));
    }
    let requests = link.call(calls::ListRequests {}).await?.requests;
    if requests.is_empty() {
        context.output.note("No strangers have written");
    }
    context.show_all(link, requests.into_iter().map(Object::StrangerRequest))
}

/// Makes a stranger a contact.
pub(super) async fn accept(context: &Context, link: &Link, typed: Accept) -> Result<(), Failure> {
    let contact = link.call(calls::Accept { who: typed.who }).await?;
    context.output.show(one(contact), link.own_home())
}

/// Forgets what a stranger wrote.
pub(super) async fn decline(context: &Context, link: &Link, typed: Decline) -> Result<(), Failure> {
    let declined = link.call(calls::Decline { who: typed.who }).await?;
    context.output.show(Object::Declined(declined), link.own_home())
}

/// Shows who is there, or chooses how to be seen.
pub(super) async fn presence(context: &Context, link: &Link, typed: Presence) -> Result<(), Failure> {
    if let Some(visibility) = typed.set {
        link.call(SetVisibility { visibility }).await?;
        return context.output.show(Object::Visibility(SetVisibility { visibility }), link.own_home());
    }
    let presences = link.call(calls::ListPresence {}).await?.presences;
    context.show_all(link, presences.into_iter().map(Object::Presence))
}
