//! One person at a terminal.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use kez_testbed::guard::{Guarded, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    process::ChildStdout,
    task::{JoinHandle, spawn_blocking},
};

use super::{pty, remark};

/// A person, the folder that is all they have, and the `kez-chat` program.
#[derive(Debug)]
pub(crate) struct Person {
    name: &'static str,
    cli: PathBuf,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Person {
    /// Gives a person a new folder, and a passphrase file in place of the passphrase that a person would type.
    pub(crate) fn new(name: &'static str, people: &Path, cli: &Path, server: &str) -> Result<Self> {
        let folder = people.join(name);
        fs::create_dir(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        let passphrase_file = people.join(format!("{name}.passphrase"));
        write_private(&passphrase_file, &format!("{name}'s passphrase, {:032x}\n", rand::random::<u128>()))
            .with_context(|| format!("{} can't be written", passphrase_file.display()))?;
        let environment = vec![
            ("KEZ_HOME", folder.join("account").display().to_string()),
            ("KEZ_SERVER", server.to_owned()),
            ("KEZ_PASSPHRASE_FILE", passphrase_file.display().to_string()),
        ];
        Ok(Self { name, cli: cli.to_owned(), folder, environment })
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Returns the folder that the account is in, and in which the person's commands run.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Registers at a pseudo-terminal, with the quiz answered from the words that were shown.
    pub(super) async fn register(&self) -> Result<()> {
        let arguments = ["register", self.name];
        self.show(&arguments);
        let command = self.command(&arguments);
        spawn_blocking(move || pty::register(command)).await?
    }

    /// Prepares a command for a terminal.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.cli);
        command.args(arguments).envs(self.environment.clone()).current_dir(&self.folder);
        command
    }

    /// Runs a command to its end, which has to be a good one, and returns the lines it has printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Vec<String>> {
        self.start(arguments)?.finish().await
    }

    /// Starts a command that goes on while others act.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Running> {
        self.show(arguments);
        let mut guarded = Guarded::spawn(&self.cli, |command| {
            command.args(arguments).envs(self.environment.clone()).current_dir(&self.folder);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        })
        .with_context(|| format!("{} can't be started", self.cli.display()))?;
        let stdout = guarded.take_stdout().context("there is no standard output")?;
        let stderr = guarded.take_stderr().context("there is no standard error")?;
        Ok(Running { guarded, lines: BufReader::new(stdout).lines(), errors: tokio::spawn(echo(stderr)) })
    }

    /// Shows a command as the person would have typed it.
    fn show(&self, arguments: &[&str]) {
        let typed: Vec<String> = arguments
            .iter()
            .map(|text| if text.contains(char::is_whitespace) { format!("'{text}'") } else { (*text).to_owned() })
            .collect();
        remark(&format!("{}$ kez-chat {}", self.name, typed.join(" ")));
    }
}

/// A command at work, whose lines are shown as they come.
pub(super) struct Running {
    guarded: Guarded,
    lines: Lines<BufReader<ChildStdout>>,
    errors: JoinHandle<()>,
}

impl Running {
    /// Shows lines up to the first that passes, and returns that one.
    pub(super) async fn line(&mut self, passes: impl Fn(&str) -> bool) -> Result<String> {
        while let Some(line) = self.lines.next_line().await? {
            remark(&format!("  {line}"));
            if passes(&line) {
                return Ok(line);
            }
        }
        let status = self.guarded.wait().await?;
        bail!("it ended ({status}) without the line that was waited for")
    }

    /// Ends the command as Ctrl-C does.
    pub(super) async fn interrupt(mut self) -> Result<()> {
        self.guarded.signal(Signal::Interrupt).await.context("it has ended by itself")?;
        self.end().await?;
        Ok(())
    }

    /// Waits for a good end, and returns the lines since the last one that was read.
    pub(super) async fn finish(self) -> Result<Vec<String>> {
        let (lines, status) = self.end().await?;
        ensure!(status.success(), "the command failed ({status})");
        Ok(lines)
    }

    async fn end(mut self) -> Result<(Vec<String>, ExitStatus)> {
        let mut lines = Vec::new();
        while let Some(line) = self.lines.next_line().await? {
            remark(&format!("  {line}"));
            lines.push(line);
        }
        let status = self.guarded.wait().await?;
        self.errors.await?;
        Ok((lines, status))
    }
}

/// Shows what a child writes, line by line.
async fn echo(stream: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        remark(&format!("  {line}"));
    }
}

/// Writes a new file that only its owner may read.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::{fs::File, io::Write as _, os::unix::fs::OpenOptionsExt as _};
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
