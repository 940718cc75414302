//! The own account.

use std::{env, path::absolute};

use kez_chat_sdk::{
    BegunAccount, Diagnosis, HomeUrl, NewAccount, Registered, Roots, mnemonic::Mnemonic, recover_account,
    recover_account_from, resolve_handle,
};
use tokio::{io::AsyncReadExt as _, task::spawn_blocking};
use zeroize::Zeroizing;

use crate::{
    api::{Object, account as calls},
    args::{Backup, Doctor, Export, Move, Recover, Register, Retire, Whoami},
    context::Context,
    failure::{Failure, Kind},
    link::Link,
    qr, quiz, safe, seed, settings,
    terminal::Terminal,
};

/// Far more than 24 words take.
const MOST_INPUT: u64 = 4096;
const TYPE_THEM: &str = "Type the 24 words of your backup in their order, on one line.\n";

/// Makes an account, backed up on paper or in a file, and registers it.
pub(crate) async fn register(context: &Context, arguments: Register) -> Result<(), Failure> {
    let names_home = arguments.handle.trim_start_matches('@').contains('@');
    let server = if names_home { arguments.server } else { settings::server(arguments.server)? };
    let server = server.as_deref().map(HomeUrl::parse).transpose()?;
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
    let server = settings::server(arguments.server)?.ok_or_else(|| {
        Failure::new(Kind::Usage, "NoServer", "it is not said at which home the account is", "say --server URL")
    })?;
    let server = HomeUrl::parse(&server)?;
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
    let registered = calls::Account::of(account, context.home.clone());
    context.output.show(Object::Registered(registered), "")
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
pub(super) async fn whoami(context: &Context, link: &Link, typed: &Whoami) -> Result<(), Failure> {
    let account = link.call(calls::Whoami {}).await?;
    let uri = account.contact_uri.clone();
    context.output.show(Object::Account(account), link.own_home())?;
    if typed.qr {
        context.output.note(&qr::code(&uri)?);
    }
    Ok(())
}

/// Writes a backup, or shows the words.
pub(super) async fn backup(context: &Context, typed: Backup) -> Result<(), Failure> {
    let Some(to) = typed.to else { return context.stop.or(show_words(context)).await };
    let file = absolute(to)?;
    context
        .with_link(async |link| {
            let backup = link.call(calls::WriteBackup { file }).await?;
            context.output.show(Object::Backup(backup), link.own_home())
        })
        .await
}

/// Shows the words on a screen of their own. They come from where the seed is kept, and never through another process.
async fn show_words(context: &Context) -> Result<(), Failure> {
    let Some(terminal) = Terminal::for_dialogue().filter(|_| !context.output.json) else {
        let what = "the words are shown at a terminal only";
        let advice = "run it at one; for contacts and conversations say --to FILE";
        return Err(Failure::new(Kind::Usage, "NoTerminal", what, advice));
    };
    let key_store = seed::key_store(&context.home, false).await?;
    let key = spawn_blocking(move || key_store.load()).await.map_err(std::io::Error::from)??;
    let key = key.ok_or_else(seed::no_account(&context.home))?;
    quiz::show(&Mnemonic::of(&key), &terminal).await
}

/// Writes all conversations to a file.
pub(super) async fn export(context: &Context, link: &Link, typed: Export) -> Result<(), Failure> {
    let export = link.call(calls::WriteExport { file: absolute(typed.to)? }).await?;
    context.output.show(Object::Export(export), link.own_home())
}

/// Moves to another home, once the person has seen what that brings.
pub(super) async fn move_to(context: &Context, link: &Link, typed: Move) -> Result<(), Failure> {
    let plan = link.call(calls::PlanMove { to: typed.to.clone() }).await?;
    let to = plan.to.clone();
    context.output.show(Object::MovePlan(plan), link.own_home())?;
    if typed.plan {
        return Ok(());
    }
    if !typed.yes {
        confirm("Move? Type yes: ", "yes", "--yes").await?;
    }
    let Move { give_up_old, without_old_home, .. } = typed;
    if !without_old_home {
        context.output.note("Moving; it takes a minute if kez-chat was not running before");
    }
    let moved = link.call(calls::Move { to, give_up_old, without_old_home }).await?;
    context.output.show(Object::Moved(moved), link.own_home())
}

/// Leaves for good, once the person has typed whom.
pub(super) async fn retire(context: &Context, link: &Link, typed: Retire) -> Result<(), Failure> {
    let handle = match typed.confirm {
        Some(handle) => handle,
        None => {
            let own = format!("@{}", link.owner.account.handle);
            let question = format!("{} will be nobody's for ever. Type it to leave for good: ", safe::line(&own));
            confirm(&question, &own, "--confirm").await?;
            own
        }
    };
    let retired = link.call(calls::Retire { handle }).await?;
    context.output.show(Object::Retired(retired), link.own_home())
}

/// Asks the person at the terminal, who has to type what is expected.
async fn confirm(question: &str, expected: &str, option: &str) -> Result<(), Failure> {
    let not_confirmed = |what: &str| {
        let advice = format!("type {expected} when asked, or say {option}");
        Failure::new(Kind::Usage, "NotConfirmed", what, advice)
    };
    let terminal = Terminal::for_questions().ok_or_else(|| not_confirmed("there is nobody at a terminal to ask"))?;
    let answer = terminal.ask(question).await?;
    if answer.trim() == expected { Ok(()) } else { Err(not_confirmed("nothing was done")) }
}

/// Looks at what works. Where the account can't be opened, that is what is found first, and then what is of use all the same:
/// whether the home server of the settings answers.
pub(super) async fn doctor(context: &Context, typed: Doctor) -> Result<(), Failure> {
    let (mut findings, mut own_home) = (Vec::new(), None);
    let looked = context.with_link(async |link| {
        own_home = Some(link.own_home().to_owned());
        findings = link.call(calls::Doctor { who: typed.who }).await?.findings;
        Ok(())
    });
    match looked.await {
        Err(failure) if own_home.is_none() && !failure.is_silent() => {
            findings = context.stop.or(look_from_outside(failure)).await?;
        }
        looked => looked?,
    }
    let broken = findings.iter().filter(|finding| !finding.works).count();
    let own_home = own_home.unwrap_or_default();
    findings.into_iter().try_for_each(|finding| context.output.show(Object::Finding(finding), &own_home))?;
    match broken {
        0 => Ok(()),
        broken => {
            let what = format!("{broken} of these do not work");
            Err(Failure::new(Kind::Network, "NotWell", what, "begin with the first of them"))
        }
    }
}

async fn look_from_outside(no_account: Failure) -> Result<Vec<calls::Finding>, Failure> {
    let mut findings = vec![calls::Finding::fault("account", no_account)];
    if let Some(server) = settings::server(env::var("KEZ_SERVER").ok())? {
        let seen = Diagnosis::of_home(&HomeUrl::parse(&server)?, &Roots::system()).await;
        findings.extend(calls::Diagnosis::from(seen).findings);
    }
    Ok(findings)
}
