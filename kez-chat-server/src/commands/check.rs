//! `check`.

use std::io::{self, Write as _};

use clap::Args;
use kez_chat_server::check::{Deployment, Finding, Verdict};
use serde_json::json;

use super::Failure;
use super::common::{Surroundings, block_on};

const EXAMPLES: &str = "\
Examples:
  kez-chat-server check --nats-url nats://127.0.0.1:4222 --sig-server-url http://127.0.0.1:7878 \\
      --auth-callout-nkey-path /etc/kez/secret --db-path /var/lib/kez/handles.db --domain kez.lat
  kez-chat-server check --dev --json

It takes the variables that `serve` takes, changes nothing, and does not get in the way of a server that runs.
It ends with 0 if all is well, with 1 if something is missing.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    #[command(flatten)]
    surroundings: Surroundings,
    /// Writes one JSON object: `ok`, and `findings` with `part`, `verdict` (ok, missing, skipped) and `text`.
    #[arg(long)]
    json: bool,
}

/// How many parts are not as they have to be.
#[derive(Debug, thiserror::Error)]
#[error("not all is well; missing: {0}")]
struct Missing(usize);

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let deployment = Deployment {
            nats_url: self.surroundings.nats_url()?,
            sig_url: self.surroundings.sig_server_url()?,
            db_path: self.surroundings.registry.db_path.clone(),
            domain: self.surroundings.domain()?,
            secret_path: self.surroundings.secret.path()?.map(Into::into),
        };
        block_on(async {
            let findings = deployment.check().await?;
            let missing = findings.iter().filter(|finding| finding.verdict == Verdict::Missing).count();
            let mut out = io::stdout().lock();
            if self.json {
                writeln!(out, "{}", json!({ "ok": missing == 0, "findings": findings }))?;
            } else {
                for Finding { part, verdict, text, .. } in &findings {
                    writeln!(out, "{:<7}  {part:<9}  {text}", word(*verdict))?;
                }
            }
            if missing == 0 { Ok(()) } else { Err(Missing(missing).into()) }
        })
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Missing => "MISSING",
        Verdict::Skipped => "skipped",
    }
}
