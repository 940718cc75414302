//! `cargo xtask http`: both servers held against their own descriptions by Schemathesis, which makes requests up.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::{
    cargo::{Workspace, build_programs},
    guard::Guarded,
    python,
};

/// How much is tried.
#[derive(Args)]
pub(crate) struct Options {
    /// Requests made up for each route and kind.
    #[arg(long, default_value_t = 200)]
    examples: u32,
    /// What the making-up begins with; the same seed makes the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Starts the stack and tries every route that the two servers describe: no 5xx that is not described, no status,
/// header, media type or body that is not as described, nothing malformed accepted.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    // With the features that everything else is built with, so that nothing is built twice.
    workspace.run_cargo(build_programs)?;
    let folder = workspace.root.join("xtask/schemathesis");
    let python = python::environment("schemathesis", &folder.join("requirements.txt"))?.join("python3");
    let program = workspace.program("kez-testbed");
    let mut stack = Guarded::spawn(&program, |command| {
        command.args(["up", "--json"]).stdout(Stdio::piped());
    })
    .with_context(|| format!("{} can't be started", program.display()))?;
    let mut addresses = String::new();
    let said = stack.take_stdout().context("the stack has no output")?;
    BufReader::new(said).read_line(&mut addresses)?;
    let addresses: Value = serde_json::from_str(&addresses).context("the stack did not start, see above")?;
    for server in ["home_url", "sig_url"] {
        let url = addresses[server].as_str().with_context(|| format!("the stack does not tell its {server}"))?;
        python::run(&python, |command| {
            command.args(["-B", "-m", "schemathesis.cli", "--config-file"]).arg(folder.join("schemathesis.toml"));
            command.args(["run", &format!("{url}/v1/openapi.json"), "--no-color"]);
            command.args(["--max-examples", &options.examples.to_string(), "--seed", &options.seed.to_string()]);
            // Its database of failures would make one run depend on those before it.
            command.args(["--generation-database", "none"]);
            // What it writes goes beside what else is built.
            command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &folder).current_dir(&workspace.programs);
        })
        .with_context(|| format!("the server at {url} does not answer as it describes itself"))?;
    }
    writeln!(std::io::stdout(), "http: both servers answer as they describe themselves")?;
    Ok(())
}
