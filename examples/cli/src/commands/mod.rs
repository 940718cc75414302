//! The commands: each parses, makes a call, and renders.

mod account;
mod files;
mod people;
mod programs;
mod talk;

use crate::{args::Command, chat, context::Context, failure::Failure};

/// Runs a command.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Register(typed) => context.stop.or(account::register(context, typed)).await,
        Command::Recover(typed) => context.stop.or(account::recover(context, typed)).await,
        Command::Whoami(typed) => context.with_link(async |link| account::whoami(context, link, &typed).await).await,
        Command::Backup(typed) => account::backup(context, typed).await,
        Command::Export(typed) => context.with_link(async |link| account::export(context, link, typed).await).await,
        Command::Move(typed) => context.with_link(async |link| account::move_to(context, link, typed).await).await,
        Command::Retire(typed) => context.with_link(async |link| account::retire(context, link, typed).await).await,
        Command::Doctor(typed) => account::doctor(context, typed).await,

        Command::Add(typed) => context.with_link(async |link| people::add(context, link, typed).await).await,
        Command::Contacts(typed) => context.with_link(async |link| people::contacts(context, link, typed).await).await,
        Command::Remove(typed) => context.with_link(async |link| people::remove(context, link, typed).await).await,
        Command::Verify(typed) => context.with_link(async |link| people::verify(context, link, typed).await).await,
        Command::Trust(typed) => context.with_link(async |link| people::trust(context, link, typed).await).await,
        Command::Nickname(typed) => context.with_link(async |link| people::nickname(context, link, typed).await).await,
        Command::Block(typed) => context.with_link(async |link| people::block(context, link, typed).await).await,
        Command::Unblock(typed) => context.with_link(async |link| people::unblock(context, link, typed).await).await,
        Command::Requests(typed) => context.with_link(async |link| people::requests(context, link, typed).await).await,
        Command::Accept(typed) => context.with_link(async |link| people::accept(context, link, typed).await).await,
        Command::Decline(typed) => context.with_link(async |link| people::decline(context, link, typed).await).await,
        Command::Presence(typed) => context.with_link(async |link| people::presence(context, link, typed).await).await,

        Command::Chat(typed) => context.with_link(async |link| chat::run(context, link, typed).await).await,
        Command::Send(typed) => talk::send(context, typed).await,
        Command::Listen(typed) => context.with_link(async |link| talk::listen(context, link, &typed).await).await,
        Command::Conversations(_) => context.with_link(async |link| talk::conversations(context, link).await).await,
        Command::History(typed) => context.with_link(async |link| talk::history(context, link, typed).await).await,
        Command::Search(typed) => context.with_link(async |link| talk::search(context, link, typed).await).await,
        Command::React(typed) => context.with_link(async |link| talk::react(context, link, typed).await).await,
        Command::Edit(typed) => talk::edit(context, typed).await,
        Command::Delete(typed) => context.with_link(async |link| talk::delete(context, link, typed).await).await,

        Command::Share(typed) => context.with_link(async |link| files::share(context, link, typed).await).await,
        Command::Unshare(typed) => context.with_link(async |link| files::unshare(context, link, typed).await).await,
        Command::Fetch(typed) => context.with_link(async |link| files::fetch(context, link, typed).await).await,
        Command::Transfers(typed) => context.with_link(async |link| files::transfers(context, link, typed).await).await,
        Command::Files(typed) => context.with_link(async |link| files::list(context, link, &typed).await).await,
        Command::Publish(typed) => context.with_link(async |link| files::publish(context, link, typed).await).await,
        Command::Unpublish(typed) => context.with_link(async |link| files::unpublish(context, link, typed).await).await,
        Command::Browse(typed) => context.with_link(async |link| files::browse(context, link, typed).await).await,

        Command::Run(typed) => programs::run(context, &typed).await,
        Command::Api(typed) => programs::api(context, &typed).await,
        Command::Completions(typed) => programs::completions(&typed),
        Command::Man(typed) => programs::man(&typed),
    }
}
