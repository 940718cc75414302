//! What several commands take alike.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use clap::Args;
use kez_chat_server::ServerSecret;
use kez_chat_server::operator::{Operator, OperatorError};
use kez_core::handle::{Home, Policy};
use kez_service::process::WrongSetting;

use super::Failure;

const DEV_NATS_URL: &str = "nats://127.0.0.1:4222";
const DEV_SIG_SERVER_URL: &str = "http://127.0.0.1:7878";

/// The registry's file.
#[derive(Args)]
pub(super) struct Registry {
    /// The registry's SQLite file.
    #[arg(long, env = "DB_PATH", default_value = "handles.db")]
    pub(super) db_path: PathBuf,
}

impl Registry {
    pub(super) async fn open(&self) -> Result<Operator, OperatorError> {
        Operator::open(&self.db_path).await
    }
}

/// The secret file.
#[derive(Args)]
pub(super) struct Secret {
    /// The secret file that `keygen` wrote; with --dev it may be left out.
    #[arg(long, env = "AUTH_CALLOUT_NKEY_PATH")]
    auth_callout_nkey_path: Option<PathBuf>,
    /// Development on one's own machine: plain transports, ports after any host, and defaults for everything, a secret
    /// included that is public knowledge and refused off loopback.
    #[arg(long, env = "KEZ_DEV", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) dev: bool,
}

impl Secret {
    /// Tells where the secret is; `None`: it is the development secret.
    pub(super) fn path(&self) -> Result<Option<&Path>, WrongSetting> {
        match &self.auth_callout_nkey_path {
            None if !self.dev => Err(missing("AUTH_CALLOUT_NKEY_PATH", "the secret file that `keygen` wrote")),
            path => Ok(path.as_deref()),
        }
    }

    pub(super) fn load(&self) -> Result<ServerSecret, WrongSetting> {
        let Some(path) = self.path()? else { return Ok(ServerSecret::development()) };
        ServerSecret::from_file(path).map_err(|error| WrongSetting {
            name: "AUTH_CALLOUT_NKEY_PATH",
            value: path.display().to_string(),
            expected: match error.source() {
                Some(cause) => format!("a secret file that this server can use ({error}: {cause})"),
                None => format!("a secret file that this server can use ({error})"),
            },
        })
    }

    pub(super) fn policy(&self) -> Policy {
        if self.dev { Policy::Development } else { Policy::Production }
    }
}

/// The server's surroundings.
#[derive(Args)]
pub(super) struct Surroundings {
    /// The broker as this server dials it, such as nats://127.0.0.1:4222 (the default with --dev); a cluster's nodes
    /// separated by commas.
    #[arg(long, env = "NATS_URL")]
    nats_url: Option<String>,
    /// The sigchain server as this server dials it, such as http://127.0.0.1:7878 (the default with --dev).
    #[arg(long, env = "SIG_SERVER_URL")]
    sig_server_url: Option<String>,
    /// The home's name, such as kez.lat; may be left out when BIND is loopback.
    #[arg(long, env = "KEZ_DOMAIN")]
    domain: Option<String>,
    #[command(flatten)]
    pub(super) registry: Registry,
    #[command(flatten)]
    pub(super) secret: Secret,
}

impl Surroundings {
    pub(super) fn nats_url(&self) -> Result<String, WrongSetting> {
        self.url("NATS_URL", self.nats_url.as_ref(), DEV_NATS_URL)
    }

    pub(super) fn sig_server_url(&self) -> Result<String, WrongSetting> {
        self.url("SIG_SERVER_URL", self.sig_server_url.as_ref(), DEV_SIG_SERVER_URL)
    }

    pub(super) fn domain(&self) -> Result<Option<Home>, WrongSetting> {
        let domain = self.domain.as_ref().filter(|text| filled(text));
        let parsed = domain.map(|domain| {
            Home::parse(domain, self.secret.policy()).map_err(|error| WrongSetting {
                name: "KEZ_DOMAIN",
                value: domain.clone(),
                expected: format!("the home's name, such as kez.lat ({error})"),
            })
        });
        parsed.transpose()
    }

    fn url(&self, name: &'static str, given: Option<&String>, dev: &str) -> Result<String, WrongSetting> {
        match given.filter(|url| filled(url)) {
            Some(url) => Ok(url.clone()),
            None if self.secret.dev => Ok(dev.to_owned()),
            None => Err(missing(name, &format!("a URL such as {dev}"))),
        }
    }
}

/// Tells whether a text was given: Compose files pass unset variables on as empty ones.
pub(super) fn filled(text: &str) -> bool {
    !text.is_empty()
}

fn missing(name: &'static str, expected: &str) -> WrongSetting {
    WrongSetting { name, value: String::new(), expected: format!("{expected}, unless --dev is given") }
}

/// Runs a command that is done soon.
pub(super) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
