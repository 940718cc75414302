//! How long the `kez-chat` command takes from its start to its end: what `cargo xtask bench cli` runs.
//!
//! The cases take turns, beside a program that does nothing (`true`): what the system itself needs to start one. `figure`
//! lines are milliseconds.

#![expect(clippy::unwrap_used, reason = "a benchmark whose subject fails has nothing to report")]
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use kez_testbed::{Testbed, measure::percentile, secret_service::SecretService};
use tokio::runtime::Runtime;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// What cargo says to every benchmark.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Starts a home and a Secret Service, and measures beside them.
    Compare {
        /// The `kez-chat` program, in an optimised build.
        #[arg(long)]
        cli: PathBuf,
        /// How often each case has its turn.
        #[arg(long, default_value_t = 50)]
        rounds: u32,
    },
    /// Measures, with a Secret Service on the session bus.
    Measure {
        #[arg(long)]
        cli: PathBuf,
        #[arg(long)]
        rounds: u32,
        #[arg(long)]
        server: String,
        #[arg(long)]
        folder: PathBuf,
    },
}

fn main() {
    match Arguments::parse().task {
        Task::Compare { cli, rounds } => Runtime::new().unwrap().block_on(compare(&cli, rounds)),
        Task::Measure { cli, rounds, server, folder } => measure(&cli, rounds, &server, &folder),
    }
}

async fn compare(cli: &Path, rounds: u32) {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let service = SecretService::find().await.unwrap();
    let mut measuring = service
        .spawn(folder.path(), env::current_exe().unwrap(), |command| {
            command.arg("measure").args(["--rounds", &rounds.to_string(), "--server", &testbed.home_url()]);
            command.arg("--cli").arg(cli).arg("--folder").arg(folder.path());
        })
        .unwrap();
    let status = measuring.wait().await.unwrap();
    testbed.shutdown().await.unwrap();
    assert!(status.success(), "{status}");
}

/// Somebody with an account.
struct Person<'a> {
    cli: &'a Path,
    home: PathBuf,
    passphrase: Option<PathBuf>,
}

impl<'a> Person<'a> {
    fn register(cli: &'a Path, folder: &Path, name: &str, server: &str, has_passphrase: bool) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        let passphrase = has_passphrase.then(|| folder.join("passphrase"));
        if let Some(file) = &passphrase {
            fs::write(file, "correct horse battery\n").unwrap();
        }
        let person = Self { cli, home: folder.join("home"), passphrase };
        let words = folder.join("words");
        run(person.command(&["register", name, "--server", server]).arg("--backup-file").arg(words));
        person
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.cli);
        command.env_remove("KEZ_PASSPHRASE_FILE").args(arguments).arg("--home").arg(&self.home);
        if let Some(file) = &self.passphrase {
            command.env("KEZ_PASSPHRASE_FILE", file);
        }
        command
    }
}

fn run(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let took = start.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

fn measure(cli: &Path, rounds: u32, server: &str, folder: &Path) {
    // Beside what the Secret Service keeps.
    let folder = &folder.join("people");
    fs::create_dir(folder).unwrap();
    let owned = Person::register(cli, folder, "owned", server, true);
    let keyring = Person::register(cli, folder, "keyring", server, false);
    assert!(!keyring.home.join("seed.age").exists(), "there is no keyring");
    let passphrase = Person::register(cli, folder, "passphrase", server, true);
    let owner = Owner(owned.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    while !owned.home.join("socket").exists() {
        thread::sleep(Duration::from_millis(20));
    }
    let mut cases = [
        ("true", Command::new("true"), Vec::new()),
        ("help", Command::new(cli), Vec::new()),
        ("whoami_with_an_owner", owned.command(&["whoami"]), Vec::new()),
        ("whoami_with_the_keyring", keyring.command(&["whoami"]), Vec::new()),
        ("whoami_with_a_passphrase_file", passphrase.command(&["whoami"]), Vec::new()),
    ];
    cases[1].1.arg("--help");
    for _ in 0..rounds {
        for (_, command, took) in &mut cases {
            took.push(run(command));
        }
    }
    drop(owner);
    for (name, _, took) in &mut cases {
        let [p50, p95] = [50, 95].map(|percent| percentile(took, percent).unwrap().as_secs_f64() * 1000.0);
        println!("figure cli_{name}_ms p50 {p50:.1} p95 {p95:.1}");
    }
}

/// A process that is ended when this is dropped.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        // It has nothing to lose that the benchmark wants.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
