//! People, their homes, and the program at work.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kez_testbed::guard::{Guarded, Signal};
use rexpect::{
    reader::Options,
    session::{PtySession, spawn_with_options},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{ChildStderr, ChildStdout},
    time::timeout,
};

/// No step of a test takes nearly as long, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a home and a passphrase file.
pub(crate) struct Person {
    pub(crate) home: PathBuf,
    pub(crate) folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Takes the standard output of a good end.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Checks that it failed as it should: the code, two lines for people, nothing else.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, what: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{self:#?}");
        assert!(lines[0].starts_with("kez-chat: ") && lines[0].contains(what), "{self:#?}");
        assert!(lines[1].starts_with("  ") && lines[1].len() > 10, "{self:#?}");
    }
}

impl Person {
    /// Prepares somebody in a folder; nothing of theirs is there yet.
    pub(crate) fn new(folder: &Path, name: &str, server: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        let passphrase = folder.join("passphrase");
        fs::write(&passphrase, format!("{name}'s passphrase\n")).unwrap();
        let environment = vec![
            ("KEZ_PASSPHRASE_FILE", passphrase.display().to_string()),
            ("KEZ_SERVER", server.to_owned()),
            // No keyring of whoever runs the tests.
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent".to_owned()),
            ("XDG_RUNTIME_DIR", folder.display().to_string()),
            ("TERM", "xterm".to_owned()),
        ];
        Self { home: folder.join("home"), folder, environment }
    }

    /// Takes the passphrase file away: a passphrase has to be typed.
    pub(crate) fn without_passphrase_file(mut self) -> Self {
        self.environment.retain(|(name, _)| *name != "KEZ_PASSPHRASE_FILE");
        self
    }

    /// Replaces a variable of the environment.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    fn prepare(&self, command: &mut tokio::process::Command, arguments: &[&str]) {
        command.env_remove("KEZ_PASSPHRASE_FILE").env_remove("KEZ_LOG").envs(self.environment.iter().cloned());
        command.current_dir(&self.folder).arg("--home").arg(&self.home).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Runs a command to its end, without a terminal.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end().await
    }

    /// Runs a command to its end, with a text on its standard input.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let file = self.folder.join("input");
        fs::write(&file, input).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kez-chat"));
        self.prepare(&mut command, arguments);
        command.stdin(fs::File::open(&file).unwrap()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a command without a terminal, and lets it go on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut guarded =
            Guarded::spawn(env!("CARGO_BIN_EXE_kez-chat"), |command| self.prepare(command, arguments)).unwrap();
        let lines = BufReader::new(guarded.take_stdout().unwrap()).lines();
        let stderr = guarded.take_stderr().unwrap();
        Running { guarded, lines, stderr }
    }

    /// Starts a command at a terminal of its own, which shows what is typed.
    pub(crate) fn at_terminal(&self, arguments: &[&str]) -> PtySession {
        let command = self.in_shell("stty echo && exec \"$0\" \"$@\"", arguments);
        let millis = u64::try_from(PATIENCE.as_millis()).ok();
        spawn_with_options(command, Options::new().timeout_ms(millis)).unwrap()
    }

    /// Prepares a shell's script at a terminal, in which `"$0" "$@"` is a command.
    pub(crate) fn in_shell(&self, script: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_kez-chat")]);
        command.env_remove("KEZ_PASSPHRASE_FILE").env_remove("KEZ_LOG").envs(self.environment.iter().cloned());
        command.current_dir(&self.folder).arg("--home").arg(&self.home).args(arguments);
        command
    }

    /// Registers without a terminal.
    pub(crate) async fn register(&self, name: &str) {
        self.run(&["register", name, "--backup-file", "words"]).await.ok();
    }

    /// Runs a command with `--json`, and reads its lines.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let stdout = self.run(&[arguments, &["--json"]].concat()).await.ok();
        stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }
}

/// A command at work.
pub(crate) struct Running {
    guarded: Guarded,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
}

impl Running {
    /// Waits for the next line.
    pub(crate) async fn line(&mut self) -> String {
        match timeout(PATIENCE, self.lines.next_line()).await.expect("no line comes").unwrap() {
            Some(line) => line,
            None => {
                let mut stderr = String::new();
                self.stderr.read_to_string(&mut stderr).await.unwrap();
                panic!("it ended: {stderr}");
            }
        }
    }

    pub(crate) async fn signal(&mut self, signal: Signal) {
        self.guarded.signal(signal).await.unwrap();
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(self) {
        self.guarded.kill().await.unwrap();
    }

    /// Closes the reading end of its standard output.
    pub(crate) fn hang_up(self) -> (Guarded, ChildStderr) {
        (self.guarded, self.stderr)
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        let ended = async {
            let mut stdout = String::new();
            let mut stderr = String::new();
            let out = self.lines.get_mut().read_to_string(&mut stdout);
            let (out, err) = tokio::join!(out, self.stderr.read_to_string(&mut stderr));
            out.and(err).unwrap();
            Ended { code: self.guarded.wait().await.unwrap().code(), stdout, stderr }
        };
        timeout(PATIENCE, ended).await.expect("it does not end")
    }
}

/// Reads the numbered words off the screen, and the number of the word that is asked for.
pub(crate) fn read_words(terminal: &mut PtySession) -> (BTreeMap<usize, String>, usize) {
    let screen = terminal.exp_string("on the paper: ").unwrap();
    terminal.send_line("").unwrap();
    let (_, question) = terminal.exp_regex(r"Word [0-9]+: ").unwrap();
    let pieces: Vec<&str> = screen.split_whitespace().collect();
    let words: BTreeMap<usize, String> = pieces
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_suffix('.')?.parse().ok()?, pair[1].to_owned())))
        .collect();
    assert_eq!(words.keys().copied().collect::<Vec<_>>(), (1..=24).collect::<Vec<_>>(), "{screen}");
    (words, number_in(&question))
}

/// Answers the three questions of a quiz, of which the first has been asked.
pub(crate) fn answer(terminal: &mut PtySession, words: &BTreeMap<usize, String>, first: usize) {
    terminal.send_line(&words[&first]).unwrap();
    for _ in 0..2 {
        let (_, question) = terminal.exp_regex(r"Word [0-9]+: ").unwrap();
        terminal.send_line(&words[&number_in(&question)]).unwrap();
    }
}

pub(crate) fn number_in(question: &str) -> usize {
    question.trim_start_matches("Word ").trim_end_matches(": ").parse().unwrap()
}

/// Adds up the sizes of the files below a folder.
pub(crate) fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { bytes_in(&entry.path()) } else { metadata.len() }
        })
        .sum()
}
