//! `serve`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use kez_chat_server::{Server, Settings};
use kez_service::client::TrustedProxies;
use kez_service::process::{self, AddressOrOff, LogFormat};
use kez_service::rate::Rate;

use super::Failure;
use super::common::{Surroundings, filled};

const PORT: u16 = 8080;

const EXAMPLES: &str = "\
Examples:
  kez-chat-server serve --domain kez.lat \\
      --nats-url nats://127.0.0.1:4222 --nats-public-urls tls://nats.kez.lat:4222 \\
      --sig-server-url http://127.0.0.1:7878 --sig-public-url https://sig.kez.lat \\
      --auth-callout-nkey-path /etc/kez/secret --db-path /var/lib/kez/handles.db

  On one's own machine, beside a kez-sig-server on its usual port:
  kez-chat-server nats-conf --dev > nats.conf
  nats-server -c nats.conf
  kez-chat-server serve --dev";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    surroundings: Surroundings,
    /// The broker as clients dial it, separated by commas; default: NATS_URL.
    #[arg(long, env = "NATS_PUBLIC_URLS", value_delimiter = ',')]
    nats_public_urls: Vec<String>,
    /// The sigchain server as clients dial it; default: SIG_SERVER_URL.
    #[arg(long, env = "SIG_PUBLIC_URL")]
    sig_public_url: Option<String>,
    /// Iroh relays that the home offers, separated by commas.
    #[arg(long, env = "RELAY_URLS", value_delimiter = ',')]
    relay_urls: Vec<String>,
    /// The public listener; default: 0.0.0.0:8080, with --dev 127.0.0.1:8080.
    #[arg(long, env = "BIND")]
    bind: Option<SocketAddr>,
    /// The internal listener: keep it from the public. `off` for none.
    #[arg(long, env = "INTERNAL_BIND", default_value = "127.0.0.1:8081")]
    internal_bind: AddressOrOff,
    /// Copies that the broker keeps of each stream: 1, or 3 on a cluster.
    #[arg(long, env = "STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    stream_replicas: u8,
    /// How many registrations and retirements one address may ask for, such as 20/h, 5/m or `off`; default: 20/h, with
    /// --dev off.
    #[arg(long, env = "REGISTER_RATE")]
    register_rate: Option<Rate>,
    /// How many other requests one address may make.
    #[arg(long, env = "LOOKUP_RATE", default_value = "1200/m")]
    lookup_rate: Rate,
    /// Addresses and networks of reverse proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: TrustedProxies,
    /// How long a profile's hint of endpoints is told before the sigchain server is asked again, in seconds.
    #[arg(long, env = "ENDPOINTS_FRESH_FOR_S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400))]
    endpoints_fresh_for_s: u64,
    /// How many bytes may wait that one person sent on one day, before they are taken for a flooder: blocked,
    /// disconnected, and what they sent is purged. 0: nobody is.
    #[arg(long, env = "FLOOD_LIMIT_BYTES", default_value_t = 64 << 20)]
    flood_limit_bytes: u64,
    /// What is logged, such as `info` or `info,kez_chat_server=debug`. (async-nats repeats what this server reports.)
    #[arg(long, env = "KEZ_LOG", default_value = "info,async_nats=off")]
    log: String,
    /// The shape of log lines: `pretty` or `json`.
    #[arg(long, env = "KEZ_LOG_FORMAT", default_value_t)]
    log_format: LogFormat,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        process::init_logging(self.log_format, &self.log)?;
        let settings = self.settings()?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
            if let Some(server) = process::run_until_stopped(Server::bind(settings)).await? {
                server.shutdown().await;
            }
            Ok(())
        })
    }

    fn settings(self) -> Result<Settings, Failure> {
        let surroundings = self.surroundings;
        let everywhere = if surroundings.secret.dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let mut settings = Settings::new(
            self.bind.unwrap_or((everywhere, PORT).into()),
            surroundings.nats_url()?,
            surroundings.sig_server_url()?,
            &surroundings.registry.db_path,
            surroundings.secret.load()?,
        );
        settings.internal_bind = self.internal_bind.0;
        settings.domain = surroundings.domain()?;
        settings.nats_public_urls = self.nats_public_urls.into_iter().filter(|url| filled(url)).collect();
        settings.sig_public_url = self.sig_public_url.filter(|url| filled(url));
        settings.relay_urls = self.relay_urls.into_iter().filter(|url| filled(url)).collect();
        settings.policy = surroundings.secret.policy();
        settings.stream_replicas = self.stream_replicas;
        if let Some(rate) = self.register_rate.or(surroundings.secret.dev.then_some(Rate::OFF)) {
            settings.register_rate = rate;
        }
        settings.lookup_rate = self.lookup_rate;
        settings.trusted_proxies = self.trusted_proxies;
        settings.endpoints_fresh_for = Duration::from_secs(self.endpoints_fresh_for_s);
        settings.flood_limit_bytes = self.flood_limit_bytes;
        Ok(settings)
    }
}
