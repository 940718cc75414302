//! The command as a process.

use std::process::{Command, Output, Stdio};

use kez_testbed::Testbed;

/// What a run of the command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Prepares the command, with nothing in its environment but this.
pub(crate) fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kez-chat-server"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs the command to its end, while the servers of this process go on.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    tokio::process::Command::from(command(arguments, environment)).output().await.unwrap().into()
}

/// Runs a command on a testbed's registry, beside its server; returns what it wrote.
pub(crate) async fn beside(testbed: &Testbed, arguments: &[&str]) -> Ran {
    let db_path = testbed.folder().join("registry.db");
    run(arguments, &[("DB_PATH", db_path.to_str().unwrap())]).await
}

/// The same, for what has to succeed; returns its output.
pub(crate) async fn done(testbed: &Testbed, arguments: &[&str]) -> String {
    let ran = beside(testbed, arguments).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    ran.stdout
}
