//! `kez-testbed demo`: two people, one machine, every part real.

mod person;
mod pty;
mod story;

use std::{
    fs, io,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

pub(crate) use self::person::Person;
use anyhow::{Context as _, Result, bail};
use kez_testbed::Testbed;
use tokio::time::timeout;

use crate::{INTERRUPTED, print};

/// No step takes nearly as long, also on a machine that compiles at the same time.
const STEP_BOUND: Duration = Duration::from_secs(60);

/// Shows the story, unless it is stopped, and takes everything down.
pub(crate) async fn run(cli: &Path, stop: impl Future<Output = io::Result<()>>) -> Result<ExitCode> {
    // The commands run in other folders, where a relative path would name something else.
    let cli = &fs::canonicalize(cli)
        .with_context(|| format!("{} is not there: let --cli name the kez-chat program", cli.display()))?;
    let mut stage = Stage { steps: 0, started: Instant::now() };
    let testbed = tokio::select! {
        told = play(cli, &mut stage) => told?,
        // What ends in the middle is left to the guards: somebody at a terminal may still be writing.
        stopped = stop => return stopped.map(|()| ExitCode::from(INTERRUPTED)).map_err(Into::into),
    };
    testbed.shutdown().await?;
    print(&format!("\ndemo: {} steps ok in {} s", stage.steps, stage.started.elapsed().as_secs()));
    Ok(ExitCode::SUCCESS)
}

async fn play(cli: &Path, stage: &mut Stage) -> Result<Testbed> {
    print("A broker and two servers on this machine; alice and bob get temporary homes.");
    let testbed = Testbed::start().await?;
    story::tell(stage, &testbed, cli).await?;
    Ok(testbed)
}

/// Counts and announces the steps.
struct Stage {
    steps: usize,
    started: Instant,
}

impl Stage {
    /// Plays one step; its failure, or its lasting too long, carries the step's name.
    async fn step<T>(&mut self, title: &str, action: impl Future<Output = Result<T>>) -> Result<T> {
        self.steps += 1;
        print(&format!("\n{}. {title}", self.steps));
        let failed = || format!("demo: step {} failed: {title}", self.steps);
        match timeout(STEP_BOUND, action).await {
            Ok(result) => result.with_context(failed),
            Err(_) => bail!("{}: it did not end within {} s", failed(), STEP_BOUND.as_secs()),
        }
    }
}

/// Shows what the demo itself has to say about what is seen.
fn remark(text: &str) {
    print(&format!("   {text}"));
}
