//! The commands: each parses, makes one call of the SDK, and renders.

mod account;
mod files;
mod people;
mod talk;

use crate::{args::Command, context::Context, failure::Failure};

/// Runs a command.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Register(register) => context.stop.or(account::register(context, register)).await,
        Command::Recover(recover) => context.stop.or(account::recover(context, recover)).await,
        Command::Backup { to } => context.with_client(async |client| account::backup(context, client, &to).await).await,
        Command::Whoami => context.with_client(async |client| account::whoami(context, client)).await,
        Command::Add { who } => context.with_client(async |client| people::add(context, client, &who).await).await,
        Command::Remove { who } => {
            context.with_client(async |client| people::remove(context, client, &who).await).await
        }
        Command::Contacts => context.with_client(async |client| people::list(context, client).await).await,
        Command::Send { who, text } => {
            let text = talk::text(context, text).await?;
            context.with_client(async |client| talk::send(context, client, &who, &text).await).await
        }
        Command::Listen(listen) => {
            context.with_client(async |client| talk::listen(context, client, &listen).await).await
        }
        Command::Share { who, file } => {
            context.with_client(async |client| files::share(context, client, &who, &file).await).await
        }
        Command::Offers => context.with_client(async |client| files::offers(context, client).await).await,
        Command::Fetch { share_id, to } => {
            context.with_client(async |client| files::fetch(context, client, share_id, &to).await).await
        }
    }
}
