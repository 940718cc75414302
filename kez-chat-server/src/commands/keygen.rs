//! `keygen`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use kez_chat_server::ServerSecret;

use super::Failure;

const EXAMPLES: &str = "\
Examples:
  kez-chat-server keygen /etc/kez/secret
  kez-chat-server keygen --rotate /etc/kez/secret
  kez-chat-server keygen --drop-previous /etc/kez/secret";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Keygen {
    /// The secret file (mode 0600). An existing one is only ever replaced by --rotate and --drop-previous.
    path: PathBuf,
    /// Puts a new secret before the one in the file. Broker and server have to be restarted then; it says how.
    #[arg(long)]
    rotate: bool,
    /// Ends a rotation: takes the previous secret out of the file.
    #[arg(long, conflicts_with = "rotate")]
    drop_previous: bool,
}

impl Keygen {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = self.path.display();
        let said = if self.rotate {
            ServerSecret::rotate(&self.path, &mut rand::rng())?;
            format!(
                "\
{path} holds a new secret now, and the previous one as its second line.

The broker knows the previous secret's keys until you do this, in this order:
  1. put what `kez-chat-server nats-conf --auth-callout-nkey-path {path}` prints into nats.conf (of each node),
  2. restart the broker, and right after it this server.
Issuer, users and curve key change at once: between the two restarts nobody can log in, and whoever was connected
comes back by themselves afterwards. Nothing is lost.
  3. A day later, when every login has been made anew: `kez-chat-server keygen --drop-previous {path}`,
     and restart this server. nats.conf stays as it is."
            )
        } else if self.drop_previous {
            ServerSecret::drop_previous(&self.path)?;
            format!("{path} holds one secret now; restart this server. nats.conf stays as it is.")
        } else {
            ServerSecret::generate(&mut rand::rng()).create_file(&self.path)?;
            format!("wrote a new secret to {path}; now put `kez-chat-server nats-conf` into nats.conf")
        };
        writeln!(io::stdout(), "{said}")?;
        Ok(())
    }
}
