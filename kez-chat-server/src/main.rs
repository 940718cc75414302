//! The `kez-chat-server` command.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kez_chat_server::nats_conf::NatsConf;
use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::handle::{Home, Policy};
use kez_service::client::TrustedProxies;
use kez_service::process::{self, LogFormat, WrongSetting};
use kez_service::rate::Rate;

type Failure = Box<dyn std::error::Error>;

/// The home server of kez-chat.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server until Ctrl-C or SIGTERM.
    Serve(Box<Serve>),
    /// Writes a new secret file (mode 0600); an existing file is never overwritten.
    Keygen {
        /// The file to write.
        path: PathBuf,
    },
    /// Prints the broker's configuration with the public keys of a secret file.
    NatsConf(Conf),
}

#[derive(Args)]
struct Serve {
    /// The broker as this server dials it, such as nats://127.0.0.1:4222; a cluster's nodes separated by commas.
    #[arg(long, env = "NATS_URL")]
    nats_url: String,
    /// The broker as clients dial it, separated by commas; default: NATS_URL.
    #[arg(long, env = "NATS_PUBLIC_URLS", value_delimiter = ',')]
    nats_public_urls: Vec<String>,
    /// The sigchain server as this server dials it, such as http://127.0.0.1:7878.
    #[arg(long, env = "SIG_SERVER_URL")]
    sig_server_url: String,
    /// The sigchain server as clients dial it; default: SIG_SERVER_URL.
    #[arg(long, env = "SIG_PUBLIC_URL")]
    sig_public_url: Option<String>,
    /// The registry's SQLite file.
    #[arg(long, env = "DB_PATH", default_value = "handles.db")]
    db_path: PathBuf,
    /// The secret file that `keygen` wrote.
    #[arg(long, env = "AUTH_CALLOUT_NKEY_PATH")]
    auth_callout_nkey_path: PathBuf,
    /// The home's name, such as kez.lat; may be left out when BIND is loopback.
    #[arg(long, env = "KEZ_DOMAIN")]
    domain: Option<String>,
    /// Iroh relays that the home offers, separated by commas.
    #[arg(long, env = "RELAY_URLS", value_delimiter = ',')]
    relay_urls: Vec<String>,
    /// The public listener.
    #[arg(long, env = "BIND", default_value = "0.0.0.0:8080")]
    bind: SocketAddr,
    /// The internal listener: keep it from the public. `off` for none.
    #[arg(long, env = "INTERNAL_BIND", default_value = "127.0.0.1:8081", value_parser = address_or_off)]
    internal_bind: AddressOrOff,
    /// Copies that the broker keeps of each stream: 1, or 3 on a cluster.
    #[arg(long, env = "STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    stream_replicas: u8,
    /// How many registrations and retirements one address may ask for, such as 20/h, 5/m or `off`.
    #[arg(long, env = "REGISTER_RATE", default_value = "20/h")]
    register_rate: Rate,
    /// How many other requests one address may make.
    #[arg(long, env = "LOOKUP_RATE", default_value = "1200/m")]
    lookup_rate: Rate,
    /// Addresses and networks of reverse proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: TrustedProxies,
    /// Development: plain transports and ports after any host.
    #[arg(long, env = "KEZ_DEV", value_parser = clap::builder::BoolishValueParser::new())]
    dev: bool,
    /// What is logged, such as `info` or `info,kez_chat_server=debug`. (async-nats repeats what this server reports.)
    #[arg(long, env = "KEZ_LOG", default_value = "info,async_nats=off")]
    log: String,
    /// The shape of log lines: `pretty` or `json`.
    #[arg(long, env = "KEZ_LOG_FORMAT", default_value_t)]
    log_format: LogFormat,
}

#[derive(Args)]
struct Conf {
    /// The secret file that `keygen` wrote.
    #[arg(long, env = "AUTH_CALLOUT_NKEY_PATH")]
    auth_callout_nkey_path: PathBuf,
    /// Where the broker listens for clients.
    #[arg(long, default_value = "0.0.0.0:4222")]
    listen: SocketAddr,
    /// Where the broker keeps messages.
    #[arg(long, default_value = "/var/lib/nats")]
    store_dir: PathBuf,
    /// How much it keeps, in bytes; inboxes take at most 80 % of it.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000_000..=1_000_000_000_000_000))]
    max_file_store_bytes: Option<u64>,
}

#[derive(Clone, Copy)]
struct AddressOrOff(Option<SocketAddr>);

fn address_or_off(text: &str) -> Result<AddressOrOff, String> {
    match text {
        "off" => Ok(AddressOrOff(None)),
        text => text
            .parse()
            .map(|address| AddressOrOff(Some(address)))
            .map_err(|_| "expected an address and a port such as 127.0.0.1:8081, or `off`".to_owned()),
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => run(*serve),
        Command::Keygen { path } => keygen(&path),
        Command::NatsConf(conf) => print_conf(conf),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed(error.as_ref()),
    }
}

fn run(serve: Serve) -> Result<(), Failure> {
    process::init_logging(serve.log_format, &serve.log)?;
    let settings = settings(serve)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let server = Server::bind(settings).await?;
        process::stop_requested().await?;
        server.shutdown().await;
        Ok(())
    })
}

fn settings(serve: Serve) -> Result<Settings, Failure> {
    let policy = if serve.dev { Policy::Development } else { Policy::Production };
    // Compose files pass unset variables on as empty ones.
    let filled = |text: &String| !text.is_empty();
    let domain = serve.domain.filter(filled).map(|domain| {
        Home::parse(&domain, policy).map_err(|error| WrongSetting {
            name: "KEZ_DOMAIN",
            value: domain,
            expected: format!("the home's name, such as kez.lat ({error})"),
        })
    });
    let secret = secret(&serve.auth_callout_nkey_path)?;
    let mut settings = Settings::new(serve.bind, serve.nats_url, serve.sig_server_url, serve.db_path, secret);
    settings.internal_bind = serve.internal_bind.0;
    settings.domain = domain.transpose()?;
    settings.nats_public_urls = serve.nats_public_urls.into_iter().filter(filled).collect();
    settings.sig_public_url = serve.sig_public_url.filter(filled);
    settings.relay_urls = serve.relay_urls.into_iter().filter(filled).collect();
    settings.policy = policy;
    settings.stream_replicas = serve.stream_replicas;
    settings.register_rate = serve.register_rate;
    settings.lookup_rate = serve.lookup_rate;
    settings.trusted_proxies = serve.trusted_proxies;
    Ok(settings)
}

fn secret(path: &Path) -> Result<ServerSecret, WrongSetting> {
    ServerSecret::from_file(path).map_err(|error| WrongSetting {
        name: "AUTH_CALLOUT_NKEY_PATH",
        value: path.display().to_string(),
        expected: match error.source() {
            Some(cause) => format!("a secret file that this server can use ({error}: {cause})"),
            None => format!("a secret file that this server can use ({error})"),
        },
    })
}

fn keygen(path: &Path) -> Result<(), Failure> {
    ServerSecret::generate(&mut rand::rng()).create_file(path)?;
    writeln!(
        io::stdout(),
        "wrote a new secret to {}; now put `kez-chat-server nats-conf` into nats.conf",
        path.display()
    )?;
    Ok(())
}

fn print_conf(args: Conf) -> Result<(), Failure> {
    let keys = secret(&args.auth_callout_nkey_path)?.public_keys();
    let mut conf = NatsConf::new(args.listen, args.store_dir, keys);
    if let Some(bytes) = args.max_file_store_bytes {
        conf.max_file_store_bytes = bytes;
    }
    io::stdout().write_all(conf.render().as_bytes())?;
    Ok(())
}
