//! `handles`: the registry shown and changed.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use clap::{Args, Subcommand};
use kez_chat_server::operator::{Entry, Operator, OperatorError, Outcome, RegistryError, Standing};
use kez_core::handle::{Handle, RESERVED_NAMES};
use kez_core::sigchain::Timestamp;
use serde_json::{Value, json};

use super::Failure;
use super::common::{Registry, block_on};

/// Entries that are in memory at a time.
const PAGE: u32 = 500;

#[derive(Subcommand)]
pub(crate) enum Handles {
    /// Lists every registration, or the names that can't be registered.
    List(List),
    /// Shows one registration.
    Show(Show),
    /// Keeps names from being registered; who has one already keeps it.
    Reserve(Names),
    /// Lets reserved names be registered again.
    Release(Names),
    /// Takes a registration away, for good.
    Remove(Remove),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  kez-chat-server handles list
  kez-chat-server handles list --json | jq -r 'select(.standing == \"blocked\").handle'
  kez-chat-server handles list --reserved")]
pub(crate) struct List {
    #[command(flatten)]
    registry: Registry,
    /// Lists reserved names instead: those of this home, and those that are reserved at every home.
    #[arg(long)]
    reserved: bool,
    /// Writes one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  kez-chat-server handles show alice
  kez-chat-server handles show alice@kez.lat --json
  kez-chat-server handles show UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4   (as the broker's log shows it)")]
pub(crate) struct Show {
    #[command(flatten)]
    registry: Registry,
    /// The handle, bare or qualified, or the key, as ed25519:… or as an nkey U….
    handle_or_key: String,
    /// Writes one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  kez-chat-server handles reserve ceo press
  kez-chat-server handles release press")]
pub(crate) struct Names {
    #[command(flatten)]
    registry: Registry,
    /// The names, bare or qualified.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  kez-chat-server handles remove squatter
  kez-chat-server handles remove squatter --yes

To keep somebody out and their handle taken, use `block` instead.")]
pub(crate) struct Remove {
    #[command(flatten)]
    registry: Registry,
    /// The handle, bare or qualified, or the key.
    handle: String,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
enum NotRemoved {
    #[error("nobody can be asked here, since this is no terminal; give --yes to remove {0}")]
    NoTerminal(Handle),
    #[error("{0} was not removed")]
    Declined(Handle),
}

impl Handles {
    pub(super) fn run(self) -> Result<(), Failure> {
        block_on(async {
            let mut out = BufWriter::new(io::stdout().lock());
            match self {
                Self::List(list) => list.run(&mut out).await?,
                Self::Show(show) => show.run(&mut out).await?,
                Self::Reserve(names) => names.reserve(&mut out).await?,
                Self::Release(names) => names.release(&mut out).await?,
                Self::Remove(remove) => remove.run(&mut out).await?,
            }
            out.flush()?;
            Ok(())
        })
    }
}

impl List {
    async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let operator = self.registry.open().await?;
        if self.reserved {
            self.reserved_names(&operator, out).await?
        } else {
            self.entries(&operator, out).await?
        }
        operator.close().await;
        Ok(())
    }

    async fn entries(&self, operator: &Operator, out: &mut impl Write) -> Result<(), Failure> {
        // The one column without a fixed width is the last, so that nothing has to be known in advance.
        if !self.json {
            writeln!(out, "{:<20}  {:<8}  {:<72}  handle", "registered", "standing", "key")?;
        }
        let mut last: Option<Handle> = None;
        loop {
            let page = operator.list(last.as_ref(), PAGE).await?;
            for entry in &page {
                if self.json {
                    writeln!(out, "{}", json_of(entry))?;
                } else {
                    let Entry { handle, primary, .. } = entry;
                    writeln!(out, "{}  {:<8}  {primary}  {handle}", registered(entry), word(entry.standing))?;
                }
            }
            match page.into_iter().next_back() {
                Some(entry) => last = Some(entry.handle),
                None => return Ok(()),
            }
        }
    }

    async fn reserved_names(&self, operator: &Operator, out: &mut impl Write) -> Result<(), Failure> {
        let own = operator.reserved().await?;
        let everywhere = RESERVED_NAMES.iter().map(|name| (*name, "every home"));
        let mut names: Vec<_> = own.iter().map(|name| (name.as_str(), "this home")).chain(everywhere).collect();
        names.sort_unstable();
        if !self.json {
            writeln!(out, "{:<10}  name", "at")?;
        }
        for (name, at) in names {
            if self.json {
                writeln!(out, "{}", json!({ "name": name, "at": at }))?;
            } else {
                writeln!(out, "{at:<10}  {name}")?;
            }
        }
        Ok(())
    }
}

impl Show {
    async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let operator = self.registry.open().await?;
        let entry = operator.find(&self.handle_or_key).await?;
        operator.close().await;
        let primary = entry.primary.to_primary().map_err(RegistryError::BadKey)?;
        if self.json {
            writeln!(out, "{}", json_of(&entry))?;
        } else {
            writeln!(out, "handle      {}", entry.handle)?;
            writeln!(out, "key         {}", entry.primary)?;
            writeln!(out, "nkey        {}", primary.to_nkey())?;
            writeln!(out, "registered  {}", registered(&entry))?;
            writeln!(out, "standing    {}", word(entry.standing))?;
        }
        Ok(())
    }
}

impl Names {
    async fn reserve(&self, out: &mut impl Write) -> Result<(), Failure> {
        let operator = self.registry.open().await?;
        for handle in self.handles(&operator)? {
            let name = handle.name();
            let reserved = operator.reserve(&handle).await?;
            match reserved.outcome {
                Outcome::Changed => write!(out, "{name} is reserved now")?,
                Outcome::Unchanged => write!(out, "{name} was reserved already")?,
            }
            match reserved.holder {
                Some(holder) => writeln!(out, "; {holder} is somebody's and stays theirs")?,
                None => writeln!(out)?,
            }
        }
        operator.close().await;
        Ok(())
    }

    async fn release(&self, out: &mut impl Write) -> Result<(), Failure> {
        let operator = self.registry.open().await?;
        for handle in self.handles(&operator)? {
            operator.release(&handle).await?;
            writeln!(out, "{} can be registered again", handle.name())?;
        }
        operator.close().await;
        Ok(())
    }

    /// Reads all names before anything is done with one.
    fn handles(&self, operator: &Operator) -> Result<Vec<Handle>, OperatorError> {
        self.names.iter().map(|name| operator.handle(name)).collect()
    }
}

impl Remove {
    async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let operator = self.registry.open().await?;
        let handle = operator.find(&self.handle).await?.handle;
        if !self.yes {
            ask(&handle)?;
        }
        operator.remove(&handle).await?;
        operator.close().await;
        writeln!(
            out,
            "{handle} is removed and free again; the server ends their connections and clears their inbox while it runs"
        )?;
        Ok(())
    }
}

/// Asks on standard error: standard output may lead elsewhere, and a question that nobody saw is not answered.
fn ask(handle: &Handle) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(NotRemoved::NoTerminal(handle.clone()).into());
    }
    let asked = write!(
        io::stderr(),
        "\
Removing {handle} can't be undone:
  - the handle is free, and whoever registers it next gets what is sent to it,
  - contacts are warned of a changed key then,
  - whoever has it now is disconnected, and messages that wait in their inbox are deleted.
Type yes to remove it: "
    );
    if asked.is_err() {
        return Err(NotRemoved::NoTerminal(handle.clone()).into());
    }
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(NotRemoved::Declined(handle.clone()).into()) }
}

fn json_of(entry: &Entry) -> Value {
    json!({
        "handle": entry.handle.to_string(),
        "primary": entry.primary.to_string(),
        "registered_at": registered(entry).as_str(),
        "standing": word(entry.standing),
    })
}

fn registered(entry: &Entry) -> Timestamp {
    Timestamp::from_unix_ms(entry.registered_at_ms)
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Blocked => "blocked",
        Standing::Retired => "retired",
    }
}
