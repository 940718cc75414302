//! `register`, `recover`, `backup` and `whoami`.

use std::path::Path;

use kez_chat_sdk::{
    BegunAccount, Client, HomeUrl, NewAccount, Registered, Roots, mnemonic::Mnemonic, recover_account,
    recover_account_from, resolve_handle,
};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::{
    args::{Recover, Register},
    context::Context,
    failure::{Failure, Kind},
    quiz, safe, seed,
    terminal::Terminal,
    view::{self, AccountKind},
};

/// Far more than 24 words take.
const MOST_INPUT: u64 = 4096;
const TYPE_THEM: &str = "Type the 24 words of your backup in their order, on one line.\n";

/// Makes an account, backed up on paper or in a file, and registers it.
pub(crate) async fn register(context: &Context, arguments: Register) -> Result<(), Failure> {
    let server = arguments.server.as_deref().map(HomeUrl::parse).transpose()?;
    let handle = resolve_handle(&arguments.handle, server.as_ref())?;
    let terminal = Terminal::for_dialogue();
    if terminal.is_none() && arguments.backup_file.is_none() {
        return Err(no_backup());
    }
    let key_store = seed::key_store(&context.home, true).await?;
    let begun = NewAccount::begin(&context.home, key_store).await?;
    let account = match (begun, &terminal, &arguments.backup_file) {
        (BegunAccount::BackedUp(account), ..) => account,
        (BegunAccount::New(account), Some(terminal), _) => quiz::hold(account, terminal).await?,
        (BegunAccount::New(account), None, Some(path)) => account.confirm_backup_file(path).await?,
        (BegunAccount::New(_), None, None) => return Err(no_backup()),
    };
    if let Some(path) = &arguments.backup_file {
        account.write_backup_file(path)?;
    }
    let registered = account.register(&handle, |step| context.output.note(&step.to_string())).await?;
    welcome(context, &registered)
}

/// Gets an account back from its words.
pub(crate) async fn recover(context: &Context, arguments: Recover) -> Result<(), Failure> {
    let server = HomeUrl::parse(&arguments.server)?;
    let words = match Terminal::for_dialogue() {
        Some(terminal) => ask_for_words(&terminal).await?,
        None => read_words().await?,
    };
    let key_store = seed::key_store(&context.home, true).await?;
    let (home, roots) = (&context.home, Roots::system());
    let account = match arguments.from {
        Some(file) => recover_account_from(home, key_store, &words, &server, &roots, file).await?,
        None => recover_account(home, key_store, &words, &server, &roots).await?,
    };
    welcome(context, &account)
}

/// Asks until they are 24 words that belong together.
async fn ask_for_words(terminal: &Terminal) -> Result<Mnemonic, Failure> {
    let screen = terminal.private_screen()?;
    terminal.write(TYPE_THEM)?;
    loop {
        let typed = terminal.ask("Words: ").await?;
        match Mnemonic::parse(&typed) {
            Ok(words) => return Ok(words),
            Err(error) => {
                screen.clear()?;
                terminal.write(&format!("{}.\n{TYPE_THEM}", safe::line(&error.to_string())))?;
            }
        }
    }
}

async fn read_words() -> Result<Mnemonic, Failure> {
    let mut typed = Zeroizing::new(String::with_capacity(MOST_INPUT as usize));
    tokio::io::stdin().take(MOST_INPUT).read_to_string(&mut typed).await?;
    Mnemonic::parse(&typed).map_err(|error| {
        let advice = "give the 24 words on standard input, as the backup file holds them";
        Failure::new(Kind::Usage, error.code().as_str(), error.to_string(), advice)
    })
}

fn welcome(context: &Context, account: &Registered) -> Result<(), Failure> {
    context.output.show(&view::Account {
        kind: AccountKind::Registered,
        handle: &account.handle,
        primary: account.primary,
        sigchain_url: &account.sigchain_url,
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

/// Writes a backup.
pub(crate) async fn backup(context: &Context, client: &Client, to: &Path) -> Result<(), Failure> {
    let backup = client.backup_to(to).await?;
    context.output.show(&view::Backup::new(&backup, to))
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
