//! Somebody with a home, and what they run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kez_testbed::guard::Guarded;
use rexpect::{
    reader::Options,
    session::{PtySession, spawn_with_options},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{Ended, KEZ_CHAT, PATIENCE, Running, schema};

/// What of the environment of whoever runs the tests would be heard.
const FOREIGN: [&str; 11] = [
    "KEZ_PASSPHRASE_FILE",
    "KEZ_LOG",
    "KEZ_HOME",
    "KEZ_SERVER",
    "NO_COLOR",
    "EDITOR",
    "VISUAL",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DISPLAY",
    "WAYLAND_DISPLAY",
];

/// Somebody with a home of their own.
pub(crate) struct Person {
    /// The name of their handle.
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    /// Where their commands run; their `HOME`.
    pub(crate) folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Person {
    /// Prepares somebody with a passphrase file in a folder; nothing of theirs is there yet.
    pub(crate) fn new(folder: &Path, name: &str, server: &str) -> Self {
        // No keyring of whoever runs the tests.
        let person = Self::with_bus(folder, name, server, "unix:path=/nonexistent");
        let passphrase = person.folder.join("passphrase");
        fs::write(&passphrase, format!("{name}'s passphrase\n")).unwrap();
        person.with("KEZ_PASSPHRASE_FILE", &passphrase.display().to_string())
    }

    /// Prepares somebody whose key a keyring has that is reached by a bus.
    pub(crate) fn with_bus(folder: &Path, name: &str, server: &str, bus: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        let environment = vec![
            ("HOME", folder.display().to_string()),
            ("KEZ_SERVER", server.to_owned()),
            ("DBUS_SESSION_BUS_ADDRESS", bus.to_owned()),
            ("XDG_RUNTIME_DIR", folder.display().to_string()),
            ("TERM", "xterm".to_owned()),
        ];
        Self { name: name.to_owned(), home: folder.join("home"), folder, environment }
    }

    /// Takes the passphrase file away: a passphrase has to be typed.
    pub(crate) fn without_passphrase_file(self) -> Self {
        self.without("KEZ_PASSPHRASE_FILE")
    }

    /// Takes a variable out of the environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(other, _)| *other != name);
        self
    }

    /// Replaces a variable of the environment.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self = self.without(name);
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Writes their handle as people of their home do.
    pub(crate) fn at(&self) -> String {
        format!("@{}", self.name)
    }

    /// Has a command run as theirs, wherever its home is.
    pub(crate) fn dress(&self, command: &mut Command) {
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned()).current_dir(&self.folder);
    }

    fn prepare(&self, command: &mut Command, arguments: &[&str]) {
        self.dress(command);
        command.arg("--home").arg(&self.home).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Makes a command of theirs that is not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(KEZ_CHAT);
        self.prepare(command.as_std_mut(), arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end, without a terminal.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments)).await
    }

    /// Runs a command to its end, with a text on its standard input.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut file = tempfile::tempfile_in(&self.folder).unwrap();
        std::io::Write::write_all(&mut file, input).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut command = self.command(arguments);
        command.stdin(file);
        Ended::of(command).await
    }

    /// Starts a command without a terminal, and lets it go on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let prepare = |command: &mut tokio::process::Command| self.prepare(command.as_std_mut(), arguments);
        Running::new(Guarded::spawn(KEZ_CHAT, prepare).unwrap())
    }

    /// Starts a command at a terminal of its own, which shows what is typed.
    pub(crate) fn at_terminal(&self, arguments: &[&str]) -> PtySession {
        let command = self.in_shell("stty echo && exec \"$0\" \"$@\"", arguments);
        let millis = u64::try_from(PATIENCE.as_millis()).ok();
        spawn_with_options(command, Options::new().timeout_ms(millis)).unwrap()
    }

    /// Prepares a shell's script at a terminal, in which `"$0" "$@"` is a command.
    pub(crate) fn in_shell(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, KEZ_CHAT]);
        self.dress(&mut command);
        command.arg("--home").arg(&self.home).args(arguments);
        command
    }

    /// Registers without a terminal.
    pub(crate) async fn register(&self, name: &str) {
        self.run(&["register", name, "--backup-file", "words"]).await.ok();
    }

    /// Runs a command with `--json`, and reads its lines, which are as the schema says.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let stdout = self.run(&[arguments, &["--json"]].concat()).await.ok();
        stdout.lines().map(schema::line).collect()
    }

    /// Runs a command with `--json` that fails, and reads its last line.
    pub(crate) async fn json_error(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        let error = schema::line(ended.stdout.lines().last().unwrap_or_else(|| panic!("no line: {ended:#?}")));
        assert_eq!((&error["kind"], error["exit_code"].as_i64()), (&"error".into(), ended.code.map(i64::from)));
        error
    }

    /// Waits for one line of `listen`, as people see it.
    pub(crate) async fn hears(&self) -> String {
        self.run(&["listen", "--count", "1", "--timeout", "60"]).await.ok()
    }
}

impl Ended {
    async fn of(mut command: tokio::process::Command) -> Self {
        let output = timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
