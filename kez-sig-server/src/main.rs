//! The command `kez-sig-server`: settings from flags and environment, one server, until it is told to stop.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::BoolishValueParser;
use kez_core::handle::Policy;
use kez_service::process::{self, LogFormat};
use kez_sig_server::{Server, Settings};

/// Keeps sigchains: everybody's signed, append-only identity histories.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The address and port to listen on.
    #[arg(long, env = "BIND", default_value = "0.0.0.0:7878")]
    bind: SocketAddr,
    /// The SQLite file with the chains.
    #[arg(long, env = "KEZ_DB", default_value = "sigchains.db")]
    db: PathBuf,
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
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed(error.as_ref()),
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    process::init_logging(arguments.log_format, &arguments.log)?;
    let mut settings = Settings::new(arguments.bind, arguments.db);
    if arguments.dev {
        settings.policy = Policy::Development;
    }
    let server = Server::bind(settings).await?;
    process::stop_requested().await?;
    server.shutdown().await;
    Ok(())
}
