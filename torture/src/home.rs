//! The home server as a process, under a clock that is ahead. It takes the environment of `kez-chat-server serve`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Error, Result};
use clap::Args;
use kez_chat_sdk::handle::Policy;
use kez_chat_server::{Clock, Server, ServerSecret, Settings};
use kez_service::{
    process::{self, LogFormat},
    rate::Rate,
};

/// The variable that says how far the home's clock is ahead.
pub(crate) const AHEAD_MS: &str = "KEZ_TORTURE_AHEAD_MS";

#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, env = "BIND")]
    bind: SocketAddr,
    #[arg(long, env = "NATS_URL")]
    nats_url: String,
    #[arg(long, env = "SIG_SERVER_URL")]
    sig_server_url: String,
    #[arg(long, env = "AUTH_CALLOUT_NKEY_PATH")]
    auth_callout_nkey_path: PathBuf,
    #[arg(long, env = "DB_PATH")]
    db_path: PathBuf,
    #[arg(long, env = "KEZ_LOG")]
    log: String,
    /// How far its clock is ahead of the machine's, in milliseconds.
    #[arg(long, env = AHEAD_MS)]
    ahead_ms: u64,
}

/// Serves until it is told to stop.
pub(crate) async fn serve(options: Options) -> Result<()> {
    process::init_logging(LogFormat::Json, &options.log)?;
    let secret = ServerSecret::from_file(&options.auth_callout_nkey_path)?;
    let Options { bind, nats_url, sig_server_url, db_path, ahead_ms, .. } = options;
    let mut settings = Settings::new(bind, nats_url, sig_server_url, db_path, secret);
    settings.policy = Policy::Development;
    settings.internal_bind = None;
    // Everybody in a torture has one address.
    settings.register_rate = Rate::OFF;
    settings.lookup_rate = Rate::OFF;
    settings.clock = Clock::from_fn(move || Clock::system().now_ms().saturating_add(ahead_ms));
    let server = process::run_until_stopped(Server::bind(settings))
        .await
        .map_err(|error| Error::msg(process::chain_of(error.as_ref())))?;
    if let Some(server) = server {
        server.shutdown().await;
    }
    Ok(())
}
