//! Somebody who uses the `kez-chat` command.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::time::timeout;

/// No step takes nearly as long, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a home.
pub(crate) struct Command {
    home: PathBuf,
    passphrase: PathBuf,
}

impl Command {
    /// Makes their account.
    pub(crate) async fn register(folder: &Path, server: &str, name: &str) -> Self {
        let passphrase = folder.join(format!("{name}'s passphrase"));
        fs::write(&passphrase, "battery staple\n").unwrap();
        let command = Self { home: folder.join(name), passphrase };
        let words = folder.join(format!("{name}'s words"));
        command.run(&["register", name, "--server", server, "--backup-file", words.to_str().unwrap()]).await;
        command
    }

    /// Runs a command to its good end, and returns what it shows.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        // It lies beside the programs of all tests of the workspace.
        let tests = env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("kez-chat");
        let mut command = tokio::process::Command::new(program);
        command.env("KEZ_PASSPHRASE_FILE", &self.passphrase).env_remove("KEZ_LOG").arg("--home").arg(&self.home);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits for the next message, and returns its text.
    pub(crate) async fn hear(&self) -> String {
        let heard = self.run(&["listen", "--count", "1", "--timeout", "50"]).await;
        heard.trim_end().rsplit_once(": ").expect("somebody writes").1.to_owned()
    }
}
