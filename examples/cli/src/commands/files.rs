//! `share`, `offers` and `fetch`.

use std::{future, path::Path};

use kez_chat_sdk::{Client, ShareId};

use crate::{context::Context, failure::Failure, view};

/// Encrypts a file or a folder, offers it to a contact, and serves it until Ctrl-C.
pub(crate) async fn share(context: &Context, client: &Client, who: &str, file: &Path) -> Result<(), Failure> {
    let contact = client.contacts().find(who).await?;
    let share = context.output.follow(client.files().share(file, &[contact.primary])).await?;
    context.output.show(&view::Serving {
        to: contact.handle.as_ref(),
        primary: contact.primary,
        files: &share.files,
        left_out: &share.left_out,
        own: client.handle().home(),
    })?;
    // Until Ctrl-C, which drops this future; the client is closed in order then.
    future::pending().await
}

/// Lists what others have shared.
pub(crate) async fn offers(context: &Context, client: &Client) -> Result<(), Failure> {
    let offers = client.files().offers().await?;
    if offers.is_empty() {
        context.output.note("Nobody has shared anything yet");
    }
    let own = client.handle().home();
    offers.iter().try_for_each(|offer| context.output.show(&view::Offer::new(offer, own)))
}

/// Fetches what somebody has shared.
pub(crate) async fn fetch(context: &Context, client: &Client, share: i64, to: &Path) -> Result<(), Failure> {
    let paths = context.output.follow(client.files().fetch(ShareId::new(share), to)).await?;
    paths.iter().try_for_each(|path| context.output.show(&view::Fetched { path }))
}
