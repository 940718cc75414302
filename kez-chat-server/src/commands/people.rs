//! `block` and `unblock`.

use std::io::{self, Write as _};

use clap::Args;
use kez_chat_server::operator::Outcome;

use super::Failure;
use super::common::{Registry, block_on};

const BLOCK_EXAMPLES: &str = "\
Examples:
  kez-chat-server block mallory
  kez-chat-server block UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4   (as the broker's log shows it)";

const UNBLOCK_EXAMPLES: &str = "\
Example:
  kez-chat-server unblock mallory";

#[derive(Args)]
#[command(after_help = BLOCK_EXAMPLES)]
pub(crate) struct Block {
    #[command(flatten)]
    registry: Registry,
    /// The handle, bare or qualified, or the key.
    #[arg(value_name = "HANDLE")]
    whom: String,
}

#[derive(Args)]
#[command(after_help = UNBLOCK_EXAMPLES)]
pub(crate) struct Unblock {
    #[command(flatten)]
    registry: Registry,
    /// The handle, bare or qualified, or the key.
    #[arg(value_name = "HANDLE")]
    whom: String,
}

impl Block {
    pub(super) fn run(self) -> Result<(), Failure> {
        set_blocked(&self.registry, &self.whom, true)
    }
}

impl Unblock {
    pub(super) fn run(self) -> Result<(), Failure> {
        set_blocked(&self.registry, &self.whom, false)
    }
}

fn set_blocked(registry: &Registry, whom: &str, blocked: bool) -> Result<(), Failure> {
    block_on(async {
        let operator = registry.open().await?;
        let handle = operator.find(whom).await?.handle;
        let outcome = operator.set_blocked(&handle, blocked).await?;
        operator.close().await;
        let said = match (blocked, outcome) {
            (true, Outcome::Changed) => "is blocked now; the server ends their connections while it runs",
            (true, Outcome::Unchanged) => "was blocked already",
            (false, Outcome::Changed) => "is not blocked any more, and can log in",
            (false, Outcome::Unchanged) => "was not blocked",
        };
        writeln!(io::stdout(), "{handle} {said}")?;
        Ok(())
    })
}
