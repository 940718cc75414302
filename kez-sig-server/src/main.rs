//! The command `kez-sig-server`: settings from flags and environment, one server, until it is told to stop.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use kez_core::handle::Policy;
use kez_service::client::TrustedProxies;
use kez_service::process::{self, AddressOrOff, LogFormat};
use kez_service::rate::Rate;
use kez_sig_server::{Server, Settings};

/// Keeps sigchains: everybody's signed, append-only identity histories.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  kez-sig-server                                  serves sigchains.db on port 7878
  kez-sig-server --db /data/sigchains.db --trusted-proxies 127.0.0.1
  kez-sig-server backup /backup/sigchains.db      copies the database of a running server"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a consistent copy of the database to a new file, while a server goes on.
    Backup {
        #[command(flatten)]
        database: DatabaseFile,
        /// The file to write; an existing one is never overwritten.
        to: PathBuf,
    },
}

#[derive(Args)]
struct DatabaseFile {
    /// The SQLite file with the chains.
    #[arg(long, env = "KEZ_DB", default_value = "sigchains.db")]
    db: PathBuf,
}

#[derive(Args)]
struct Serve {
    /// The address and port of the public listener.
    #[arg(long, env = "BIND", default_value = "0.0.0.0:7878")]
    bind: SocketAddr,
    /// The internal listener, which has /metrics: keep it from the public. `off` for none.
    #[arg(long, env = "INTERNAL_BIND", default_value = "127.0.0.1:7879")]
    internal_bind: AddressOrOff,
    #[command(flatten)]
    database: DatabaseFile,
    /// How many events one address may send, such as 300/h, 20/m or `off`.
    #[arg(long, env = "APPEND_RATE", default_value = "300/h")]
    append_rate: Rate,
    /// How many pages one address may read.
    #[arg(long, env = "READ_RATE", default_value = "1200/m")]
    read_rate: Rate,
    /// The least time between two changes of a person's shared files, in seconds.
    #[arg(long, env = "SHARED_FILES_INTERVAL_S", default_value_t = 600)]
    shared_files_interval_s: u64,
    /// Addresses and networks of reverse proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: TrustedProxies,
    /// Takes events that name loopback hosts, ports and unencrypted URLs. For a developer's machine.
    #[arg(long, env = "KEZ_DEV", value_parser = BoolishValueParser::new())]
    dev: bool,
    /// What is logged, such as `info` or `info,kez_service=debug`.
    #[arg(long, env = "KEZ_LOG", default_value = "info")]
    log: String,
    /// The shape of log lines: pretty or json.
    #[arg(long, env = "KEZ_LOG_FORMAT", default_value_t = LogFormat::Pretty)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command, serve } = Arguments::parse();
    let done = match command {
        None => run(serve).await,
        Some(Command::Backup { database, to }) => backup(database.db, to).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed(error.as_ref()),
    }
}

async fn run(arguments: Serve) -> Result<(), Box<dyn Error>> {
    process::init_logging(arguments.log_format, &arguments.log)?;
    let mut settings = Settings::new(arguments.bind, arguments.database.db);
    settings.internal_bind = arguments.internal_bind.0;
    settings.append_rate = arguments.append_rate;
    settings.read_rate = arguments.read_rate;
    settings.shared_files_interval = Duration::from_secs(arguments.shared_files_interval_s);
    settings.trusted_proxies = arguments.trusted_proxies;
    if arguments.dev {
        settings.policy = Policy::Development;
    }
    if let Some(server) = process::run_until_stopped(Server::bind(settings)).await? {
        server.shutdown().await;
    }
    Ok(())
}

async fn backup(from: PathBuf, to: PathBuf) -> Result<(), Box<dyn Error>> {
    let shown = to.display().to_string();
    kez_sig_server::backup(from, to).await?;
    writeln!(io::stdout(), "wrote {shown}")?;
    Ok(())
}
