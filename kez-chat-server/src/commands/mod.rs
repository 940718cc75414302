//! The commands: each reads its arguments, has the library do the work, and writes what came of it.

mod backup;
mod check;
mod common;
mod handles;
mod keygen;
mod nats_conf;
mod people;
mod serve;

use std::error::Error;

use clap::{Parser, Subcommand};

/// Whatever ends a command early.
pub(crate) type Failure = Box<dyn Error>;

/// The home server of kez-chat.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the server until Ctrl-C or SIGTERM.
    Serve(Box<serve::Serve>),
    /// Makes the secret file that every key of the server is derived from, and rotates it.
    Keygen(keygen::Keygen),
    /// Prints the broker's configuration with the public keys of a secret file.
    NatsConf(nats_conf::Conf),
    /// Says what is missing in a deployment, without changing anything.
    Check(check::Check),
    /// Shows who has which handle, and keeps, frees or takes away names.
    #[command(subcommand)]
    Handles(handles::Handles),
    /// Shuts somebody out of the broker: connections end, and no login is let in.
    Block(people::Block),
    /// Lets somebody in again who was blocked.
    Unblock(people::Unblock),
    /// Writes a consistent copy of the registry to a new file, while the server runs.
    Backup(backup::Backup),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Keygen(keygen) => keygen.run(),
            Self::NatsConf(conf) => conf.run(),
            Self::Check(check) => check.run(),
            Self::Handles(handles) => handles.run(),
            Self::Block(block) => block.run(),
            Self::Unblock(unblock) => unblock.run(),
            Self::Backup(backup) => backup.run(),
        }
    }
}
