//! `backup`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::common::{Registry, block_on};

const EXAMPLES: &str = "\
Example:
  kez-chat-server backup --db-path /var/lib/kez/handles.db /backup/handles-$(date +%F).db

To restore, stop the server, put the copy in the place of the database, remove the files that end in -wal and -shm
beside it, and start the server.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Backup {
    #[command(flatten)]
    registry: Registry,
    /// The new file. An existing one is never overwritten.
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(self) -> Result<(), Failure> {
        block_on(async {
            let operator = self.registry.open().await?;
            operator.backup(&self.file).await?;
            operator.close().await;
            writeln!(io::stdout(), "wrote a copy of the registry to {}", self.file.display())?;
            Ok(())
        })
    }
}
