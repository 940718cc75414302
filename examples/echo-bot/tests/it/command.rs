//! Somebody who uses the `kez-chat` command.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kez_testbed::guard::Guarded;
use tokio::time::timeout;

/// No step takes nearly as long, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a home, which a process in the background owns.
pub(crate) struct Command {
    home: PathBuf,
    passphrase: PathBuf,
    _owner: Option<Guarded>,
}

impl Command {
    /// Makes their account.
    pub(crate) async fn register(folder: &Path, server: &str, name: &str) -> Self {
        let passphrase = folder.join(format!("{name}'s passphrase"));
        fs::write(&passphrase, "battery staple\n").unwrap();
        let mut command = Self { home: folder.join(name), passphrase, _owner: None };
        let words = folder.join(format!("{name}'s words"));
        command.run(&["register", name, "--server", server, "--backup-file", words.to_str().unwrap()]).await;
        let owner = Guarded::spawn(program(), |owner| {
            command.prepare(owner, &["run"]);
            owner.stdout(Stdio::null()).stderr(Stdio::null());
        });
        command._owner = Some(owner.unwrap());
        command
    }

    fn prepare(&self, command: &mut tokio::process::Command, arguments: &[&str]) {
        command.env("KEZ_PASSPHRASE_FILE", &self.passphrase).env_remove("KEZ_LOG").arg("--home").arg(&self.home);
        command.args(arguments);
    }

    /// Runs a command to its good end, and returns what it shows.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new(program());
        self.prepare(&mut command, arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
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

/// Returns where the command is: beside the programs of all tests of the workspace.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("kez-chat")
}
