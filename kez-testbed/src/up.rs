//! `kez-testbed up`: the stack, kept running.

use std::{io, path::Path, process::ExitCode};

use anyhow::Result;
use kez_testbed::Testbed;
use serde_json::json;

use crate::print;

/// Runs the stack until it is asked to stop.
pub(crate) async fn run(cli: &Path, as_json: bool, stop: impl Future<Output = io::Result<()>>) -> Result<ExitCode> {
    let mut stop = std::pin::pin!(stop);
    let testbed = tokio::select! {
        testbed = Testbed::start() => testbed?,
        stopped = &mut stop => return stopped.map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    if as_json {
        print(&addresses(&testbed));
    } else {
        print(&invitation(&testbed, cli));
    }
    let stopped = stop.await;
    testbed.shutdown().await?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

fn addresses(testbed: &Testbed) -> String {
    json!({
        "home_url": testbed.home_url(),
        "domain": testbed.domain().to_string(),
        "sig_url": testbed.sig_url(),
        "nats_url": testbed.nats_url(),
        "folder": testbed.folder(),
        "process_ids": testbed.process_ids(),
    })
    .to_string()
}

fn invitation(testbed: &Testbed, cli: &Path) -> String {
    format!(
        "\
broker       {nats}
sigchains    {sig}
home server  {home}
everything is in {folder} and goes when this ends

Try it in another terminal:

    export KEZ_SERVER={home}
    {cli} --home {folder}/alice register alice

Ctrl-C ends it.",
        nats = testbed.nats_url(),
        sig = testbed.sig_url(),
        home = testbed.home_url(),
        folder = testbed.folder().display(),
        cli = cli.display(),
    )
}
