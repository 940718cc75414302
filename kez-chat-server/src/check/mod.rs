//! Looks at a deployment and says what is missing, without changing anything or getting in a running server's way.

mod accounts;
mod ask;
mod greeting;
mod local;
mod probe;
mod users;

use std::path::PathBuf;

use kez_core::handle::Home;
use kez_service::process::WrongSetting;
use serde::Serialize;

use crate::settings::{check_base, parse_nats};

/// What is looked at.
#[derive(Debug)]
pub struct Deployment {
    /// The broker as the server dials it; several nodes of a cluster are separated by commas.
    pub nats_url: String,
    /// The sigchain server as the server dials it.
    pub sig_url: String,
    /// The registry's SQLite file.
    pub db_path: PathBuf,
    /// The home's name, if it is set.
    pub domain: Option<Home>,
    /// Where the secret is; `None`: the development secret.
    pub secret_path: Option<PathBuf>,
}

/// What was seen of one part.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The part. These words stay the same.
    pub part: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen, and what to do about it if it is missing.
    pub text: String,
}

/// How a part is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it has to be.
    Ok,
    /// Not as it has to be.
    Missing,
    /// Not looked at, because of something else that is missing.
    Skipped,
}

/// The findings in the order in which they were made.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    /// The node that is looked at, where there are several.
    node: Option<String>,
}

impl Report {
    fn ok(&mut self, part: &'static str, text: impl Into<String>) {
        self.add(part, Verdict::Ok, text.into());
    }

    fn missing(&mut self, part: &'static str, text: impl Into<String>) {
        self.add(part, Verdict::Missing, text.into());
    }

    fn skipped(&mut self, parts: &[&'static str], why: &str) {
        for part in parts {
            self.add(part, Verdict::Skipped, format!("not looked at: {why}"));
        }
    }

    fn add(&mut self, part: &'static str, verdict: Verdict, text: String) {
        let text = match &self.node {
            Some(node) => format!("{node}: {text}"),
            None => text,
        };
        self.findings.push(Finding { part, verdict, text });
    }
}

impl Deployment {
    /// Looks at the secret, the registry, the sigchain server and the broker, and returns a finding for each part.
    ///
    /// At the broker it logs in as each of the server's own users, and once as somebody unknown, whose callout it
    /// answers by itself; a server that is running leaves that one login alone. Nothing is stored anywhere.
    ///
    /// # Errors
    /// If an address can't be read.
    pub async fn check(&self) -> Result<Vec<Finding>, WrongSetting> {
        let servers = parse_nats(&self.nats_url)?;
        let sig_url = check_base("SIG_SERVER_URL", &self.sig_url, &["https", "http"])?;
        let mut report = Report::default();
        let secret = local::secret(self.secret_path.as_deref(), &servers, &mut report);
        local::registry(&self.db_path, self.domain.as_ref(), &mut report).await;
        local::sigchains(&sig_url, &mut report).await;
        // Node by node: each has a configuration of its own.
        for server in &servers {
            report.node = (servers.len() > 1).then(|| server.as_url_str().to_owned());
            match (greeting::look(server, &mut report).await, &secret) {
                (true, Some(secret)) => users::look(server, secret, &mut report).await,
                (false, _) => report.skipped(&users::PARTS, "the broker is not one that can be logged in to"),
                (_, None) => report.skipped(&users::PARTS, "there is no secret to log in with"),
            }
        }
        Ok(report.findings)
    }
}
