//! `add`, `remove` and `contacts`.

use kez_chat_sdk::Client;

use crate::{context::Context, failure::Failure, view};

/// Looks a person up, walks their sigchain and keeps them.
pub(crate) async fn add(context: &Context, client: &Client, who: &str) -> Result<(), Failure> {
    let contact = client.contacts().add(who).await?;
    context.output.show(&view::Contact::new(&contact, client.handle().home()))
}

/// Forgets a contact.
pub(crate) async fn remove(context: &Context, client: &Client, who: &str) -> Result<(), Failure> {
    let contact = client.contacts().find(who).await?;
    client.contacts().remove(contact.primary).await?;
    context.output.show(&view::Removed {
        handle: contact.handle.as_ref(),
        primary: contact.primary,
        own: client.handle().home(),
    })
}

/// Lists the contacts.
pub(crate) async fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    let contacts = client.contacts().list().await?;
    if contacts.is_empty() {
        context.output.note("No contacts yet: add one with kez-chat add @NAME");
    }
    let own = client.handle().home();
    contacts.iter().try_for_each(|contact| context.output.show(&view::Contact::listed(contact, own)))
}
