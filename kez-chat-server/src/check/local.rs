//! What can be seen without the broker.

use std::path::Path;
use std::time::Duration;

use async_nats::ServerAddr;
use kez_core::handle::Home;
use kez_service::database::OpenError;
use kez_service::process::chain_of;

use super::Report;
use crate::registry::{Registry, RegistryError};
use crate::secret::ServerSecret;
use crate::settings::is_loopback;

const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the secret; `None` says that it can't be used.
pub(super) fn secret(path: Option<&Path>, servers: &[ServerAddr], report: &mut Report) -> Option<ServerSecret> {
    const PART: &str = "secret";
    let loaded = path.map_or_else(|| Ok(ServerSecret::development()), ServerSecret::from_file);
    let secret = match loaded {
        Ok(secret) => secret,
        Err(error) => {
            report.missing(PART, chain_of(&error));
            return None;
        }
    };
    if secret.is_development() {
        if let Some(server) = servers.iter().find(|server| !is_loopback(server.as_url_str())) {
            let text = format!(
                "the development secret is public knowledge, and {} is not on loopback; make one with `keygen`",
                server.as_url_str()
            );
            report.missing(PART, text);
            return None;
        }
        report.ok(PART, "the development secret, which is public knowledge: good on loopback only");
    } else if let Some(path) = path {
        let rotating = if secret.is_rotating() { "; it is being rotated" } else { "" };
        report.ok(PART, format!("{} is there and its owner's alone{rotating}", path.display()));
    }
    Some(secret)
}

/// Opens the registry beside a server and compares its home.
pub(super) async fn registry(path: &Path, domain: Option<&Home>, report: &mut Report) {
    const PART: &str = "registry";
    let shown = path.display();
    let registry = match Registry::open_beside(path.to_owned()).await {
        Ok(registry) => registry,
        Err(OpenError::Missing { .. }) => {
            return report.ok(PART, format!("{shown} is not there yet; the server makes it"));
        }
        Err(OpenError::Older { .. }) => {
            return report.ok(PART, format!("{shown} is of an earlier version; the server brings it up to date"));
        }
        Err(error) => return report.missing(PART, chain_of(&error)),
    };
    match (registry.home().await, domain) {
        (Err(RegistryError::NoHome), _) => report.ok(PART, format!("{shown} is new; the server makes it its own")),
        (Err(error), _) => report.missing(PART, chain_of(&error)),
        (Ok(home), Some(domain)) if home != *domain => {
            let text = format!("{shown} is the registry of {home}, and KEZ_DOMAIN is {domain}; correct one of them");
            report.missing(PART, text);
        }
        (Ok(home), _) => report.ok(PART, format!("{shown} is the registry of {home}")),
    }
    registry.close().await;
}

/// Asks the sigchain server whether it is well.
pub(super) async fn sigchains(base: &str, report: &mut Report) {
    const PART: &str = "sigchains";
    // Somebody in this process may have installed one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{base}/v1/healthz");
    let asked = async { reqwest::Client::builder().timeout(PATIENCE).build()?.get(&url).send().await };
    match asked.await {
        Ok(response) if response.status().is_success() => report.ok(PART, format!("{base} is well")),
        Ok(response) => report.missing(
            PART,
            format!(
                "{url} answers {}; look at the sigchain server's log, or correct SIG_SERVER_URL",
                response.status()
            ),
        ),
        Err(error) => report.missing(
            PART,
            format!(
                "{base} does not answer; start kez-sig-server, or correct SIG_SERVER_URL ({})",
                chain_of(&error.without_url())
            ),
        ),
    }
}
