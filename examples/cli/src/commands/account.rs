//! `register` and `whoami`.

use kez_chat_sdk::{Client, HomeUrl, NewAccount, resolve_handle};

use crate::{
    args::Register,
    context::Context,
    failure::{Failure, Kind},
    quiz, seed,
    terminal::Terminal,
    view::{self, AccountKind},
};

/// Makes an account, backed up on paper or in a file, and registers it.
pub(crate) async fn register(context: &Context, arguments: Register) -> Result<(), Failure> {
    let server = arguments.server.as_deref().map(HomeUrl::parse).transpose()?;
    let handle = resolve_handle(&arguments.handle, server.as_ref())?;
    let terminal = Terminal::for_dialogue();
    if terminal.is_none() && arguments.backup_file.is_none() {
        return Err(no_backup());
    }
    let key_store = seed::key_store(&context.home, true).await?;
    let mut account = NewAccount::begin(&context.home, key_store).await?;
    if let Some(terminal) = &terminal
        && !account.is_backed_up()
    {
        quiz::hold(&mut account, terminal).await?;
    }
    if let Some(path) = &arguments.backup_file {
        account.confirm_backup_file(path).await?;
    }
    let registered = account.register(&handle, |step| context.output.note(&step.to_string())).await?;
    context.output.show(&view::Account {
        kind: AccountKind::Registered,
        handle: &registered.handle,
        primary: registered.primary,
        sigchain_url: &registered.sigchain_url,
        home_dir: &context.home,
    })
}

fn no_backup() -> Failure {
    Failure::new(
        Kind::Usage,
        "NoBackup",
        "without a terminal the account's words can't be shown, and an account without them can't be recovered",
        "say --backup-file PATH: a new file that the words go into",
    )
}

/// Shows whose home this is.
pub(crate) fn whoami(context: &Context, client: &Client) -> Result<(), Failure> {
    context.output.show(&view::Account {
        kind: AccountKind::Account,
        handle: client.handle(),
        primary: client.primary(),
        sigchain_url: client.sigchain_url(),
        home_dir: &context.home,
    })
}
