//! `nats-conf`.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use kez_chat_server::nats_conf::NatsConf;
use kez_service::process::WrongSetting;

use super::Failure;
use super::common::Secret;

const PORT: u16 = 4222;
const STORE_DIR: &str = "/var/lib/nats";
const DEV_STORE_DIR: &str = "nats-store";
/// A developer's disk may have less room than a server's.
const DEV_MAX_FILE_STORE_BYTES: u64 = 1_000_000_000;

const EXAMPLES: &str = "\
Examples:
  kez-chat-server nats-conf --auth-callout-nkey-path /etc/kez/secret > /etc/nats/nats.conf
  kez-chat-server nats-conf --dev > nats.conf";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Conf {
    #[command(flatten)]
    secret: Secret,
    /// Where the broker listens for clients; default: 0.0.0.0:4222, with --dev 127.0.0.1:4222.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where the broker keeps messages; default: /var/lib/nats, with --dev the folder nats-store where it is started.
    #[arg(long)]
    store_dir: Option<PathBuf>,
    /// How much it keeps, in bytes; inboxes take at most 80 % of it.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000_000..=1_000_000_000_000_000))]
    max_file_store_bytes: Option<u64>,
}

impl Conf {
    pub(super) fn run(self) -> Result<(), Failure> {
        let dev = self.secret.dev;
        let everywhere = if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let listen = self.listen.unwrap_or((everywhere, PORT).into());
        let store_dir = self.store_dir.unwrap_or_else(|| if dev { DEV_STORE_DIR } else { STORE_DIR }.into());
        let mut conf = NatsConf::new(listen, store_dir, self.secret.load()?.public_keys());
        if conf.is_development() && !listen.ip().is_loopback() {
            let expected = "a loopback address, since the development secret is public knowledge; for anything else \
                            make a secret with `kez-chat-server keygen`"
                .to_owned();
            return Err(WrongSetting { name: "--listen", value: listen.to_string(), expected }.into());
        }
        if let Some(bytes) = self.max_file_store_bytes.or(dev.then_some(DEV_MAX_FILE_STORE_BYTES)) {
            conf.max_file_store_bytes = bytes;
        }
        io::stdout().write_all(conf.render().as_bytes())?;
        Ok(())
    }
}
