//! `cargo xtask ci`: stages, their times, and what came of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result, anyhow};

use crate::{
    artifacts::TestBinary,
    cargo::{Workspace, build_programs},
    guard::Guarded,
    tally::Tally,
};

/// What a stage may take, in minutes. One that takes more than twice that is ended.
#[derive(Clone, Copy)]
struct Caps {
    cold: u64,
    warm: u64,
}

const FORMAT: Caps = Caps { cold: 1, warm: 1 };
const CLIPPY: Caps = Caps { cold: 8, warm: 2 };
const DOCS: Caps = Caps { cold: 3, warm: 1 };
const BUILD: Caps = Caps { cold: 18, warm: 4 };
const FETCH: Caps = Caps { cold: 3, warm: 3 };
const CORE_AWS_LC: Caps = Caps { cold: 5, warm: 2 };
const EXAMPLES: Caps = Caps { cold: 4, warm: 4 };
const READER: Caps = Caps { cold: 2, warm: 2 };
const HTTP: Caps = Caps { cold: 2, warm: 2 };
const TORTURE: Caps = Caps { cold: 2, warm: 2 };
const FUZZ: Caps = Caps { cold: 6, warm: 5 };

/// Tests that run as one stage.
struct Suite {
    name: &'static str,
    cap: u64,
    /// Folders of the packages whose tests these are.
    packages: &'static [&'static str],
    /// Arguments for the test binaries.
    filter: &'static [&'static str],
}

/// Every test binary of the workspace belongs to at least one of these; the last takes what no other names.
const SUITES: &[Suite] = &[
    Suite { name: "core", cap: 3, packages: &["kez-core"], filter: &[] },
    Suite { name: "servers", cap: 5, packages: &["kez-service", "kez-sig-server", "kez-chat-server"], filter: &[] },
    // One binary, told apart by the module: what is about files says so in its name, and what sends them over networks.
    Suite {
        name: "messaging",
        cap: 4,
        packages: &["kez-chat-sdk", "torture"],
        filter: &[
            "--skip",
            "files",
            "--skip",
            "fetching",
            "--skip",
            "networks::",
            "--skip",
            "local_network::",
            "--skip",
            "transfers::",
            "--skip",
            "sharing::",
            "--skip",
            "browsing::",
        ],
    },
    Suite {
        name: "files",
        cap: 7,
        packages: &["kez-chat-sdk"],
        filter: &["files", "fetching", "networks::", "local_network::", "transfers::", "sharing::", "browsing::"],
    },
    Suite { name: "people and CLI", cap: 12, packages: &[], filter: &[] },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    OutOfTime,
}

struct Row {
    name: &'static str,
    took: Duration,
    cap: u64,
    outcome: Outcome,
}

/// Runs every stage, prints the table, and ends with the sum of the test runners' counts.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut ci = Ci::new(workspace)?;
    ci.cargo("fmt", FORMAT, |c| {
        c.args(["fmt", "--all", "--check"]);
    })?;
    ci.cargo("clippy", CLIPPY, |c| {
        c.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    })?;
    ci.cargo("docs", DOCS, |c| {
        c.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    })?;
    if let Some(binaries) = ci.build()? {
        for (index, suite) in SUITES.iter().enumerate() {
            ci.suite(suite, binaries.iter().filter(|binary| suite_of(workspace, binary, index)))?;
            match suite.name {
                "core" => ci.own("python reader", READER, &["vectors", "--reader"])?,
                "servers" => ci.own("http", HTTP, &["http"])?,
                "messaging" => ci.own("torture", TORTURE, &["torture", "--seconds", "60"])?,
                _ => {}
            }
        }
        ci.cargo("doc examples", EXAMPLES, |c| {
            c.args(["test", "--workspace", "--doc"]);
        })?;
        ci.own("fuzz smoke", FUZZ, &["fuzz", "--seconds", "10"])?;
        // The workspace's own build never has this feature, see `tests/it/arrows.rs`.
        ci.cargo("core with AWS-LC", CORE_AWS_LC, |c| {
            c.args(["test", "--package", "kez-core", "--lib", "--test", "it", "--features", "aws-lc-rs"]);
        })?;
    }
    Ok(ci.finish())
}

/// Starts fetching nats-server, which says on the terminal what it does.
pub(crate) fn start_fetch(workspace: &Workspace) -> Result<Guarded> {
    let program = workspace.program("kez-testbed");
    Guarded::spawn(&program, |command| {
        command.arg("fetch");
    })
    .with_context(|| format!("{} can't be started", program.display()))
}

/// Tells whether a binary's tests run in the suite of that index.
fn suite_of(workspace: &Workspace, binary: &TestBinary, index: usize) -> bool {
    let named = |suite: &Suite| suite.packages.iter().any(|package| workspace.root.join(package) == binary.package);
    match SUITES.get(index) {
        Some(suite) if suite.packages.is_empty() => !SUITES.iter().any(named),
        Some(suite) => named(suite),
        None => false,
    }
}

struct Ci<'a> {
    workspace: &'a Workspace,
    /// Whether the dependencies are the ones that were built before.
    warm: bool,
    rows: Vec<Row>,
    tally: Tally,
}

impl<'a> Ci<'a> {
    fn new(workspace: &'a Workspace) -> Result<Self> {
        let lock = fs::read(workspace.root.join("Cargo.lock")).context("there is no Cargo.lock")?;
        let warm = fs::read(built_lock(workspace)).is_ok_and(|built| built == lock);
        say(if warm { "warm: these dependencies were built before" } else { "cold: the dependencies are built first" });
        Ok(Self { workspace, warm, rows: Vec::new(), tally: Tally::default() })
    }

    /// Runs one cargo command as a stage.
    fn cargo(&mut self, name: &'static str, caps: Caps, configure: impl FnOnce(&mut Command)) -> Result<()> {
        let stage = self.begin(name, caps);
        let child = self.workspace.cargo(|command| {
            configure(command);
            command.stdout(Stdio::piped());
        })?;
        let outcome = self.watch(child, &stage)?;
        self.end(stage, outcome);
        Ok(())
    }

    /// Runs another task of this program as a stage.
    fn own(&mut self, name: &'static str, caps: Caps, arguments: &[&str]) -> Result<()> {
        let stage = self.begin(name, caps);
        // By its place and not as this process' own file: the build may have put a new one there.
        let program = self.workspace.program("xtask");
        let child = Guarded::spawn(&program, |command| {
            command.args(arguments).stdout(Stdio::piped());
        })
        .with_context(|| format!("{} can't be started", program.display()))?;
        let outcome = self.watch(child, &stage)?;
        self.end(stage, outcome);
        Ok(())
    }

    /// Builds all programs and tests, and gets a nats-server meanwhile; `None` if that did not work out.
    fn build(&mut self) -> Result<Option<Vec<TestBinary>>> {
        let stage = self.begin("build", BUILD);
        let programs = self.workspace.cargo(build_programs)?;
        let outcome = self.watch(programs, &stage)?;
        if outcome != Outcome::Passed {
            self.end(stage, outcome);
            return Ok(None);
        }
        let downloads = self.begin("downloads, beside the build", FETCH);
        let fetch = start_fetch(self.workspace)?;
        let tests = self.workspace.cargo(|command| {
            command.args(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
            command.stdout(Stdio::piped());
        })?;
        let mut binaries = Vec::new();
        let (built, fetched) = thread::scope(|scope| {
            let fetching =
                scope.spawn(|| Ok::<_, Error>((wait(fetch, &downloads, |_| ())?, downloads.start.elapsed())));
            let built = wait(tests, &stage, |line| binaries.extend(TestBinary::from_message(line)));
            (built, fetching.join())
        });
        let built = built?;
        let (fetched, fetched_in) = fetched.map_err(|_| anyhow!("the fetch could not be waited for"))??;
        self.end(stage, built);
        self.end_after(downloads, fetched, fetched_in);
        if built == Outcome::Passed {
            fs::copy(self.workspace.root.join("Cargo.lock"), built_lock(self.workspace))?;
        }
        Ok((built == Outcome::Passed && fetched == Outcome::Passed).then_some(binaries))
    }

    /// Runs the test binaries of one suite, all of them even if one fails.
    fn suite<'b>(&mut self, suite: &Suite, binaries: impl Iterator<Item = &'b TestBinary>) -> Result<()> {
        let stage = self.begin(suite.name, Caps { cold: suite.cap, warm: suite.cap });
        let mut binaries = binaries.peekable();
        // A suite without tests would look as if they had passed.
        let mut worst = if binaries.peek().is_some() { Outcome::Passed } else { Outcome::Failed };
        for binary in binaries {
            say(&format!("{} in {}", binary.program.display(), binary.package.display()));
            // As `cargo test` runs them: in the package's folder, which the environment names too.
            let child = Guarded::spawn(&binary.program, |command| {
                command.args(suite.filter).current_dir(&binary.package);
                command.env("CARGO_MANIFEST_DIR", &binary.package).stdout(Stdio::piped());
            })
            .with_context(|| format!("{} can't be started", binary.program.display()))?;
            match self.watch(child, &stage)? {
                Outcome::Passed => {}
                Outcome::Failed => worst = Outcome::Failed,
                Outcome::OutOfTime => {
                    worst = Outcome::OutOfTime;
                    break;
                }
            }
        }
        self.end(stage, worst);
        Ok(())
    }

    /// Waits for a stage's child, shows what it prints, and adds its test results up.
    fn watch(&mut self, child: Guarded, stage: &Stage) -> Result<Outcome> {
        let mut tally = Tally::default();
        let outcome = wait(child, stage, |line| {
            // A reader that went away is no reason to stop testing.
            let _ = writeln!(std::io::stdout(), "{line}");
            if let Some(more) = Tally::from_line(line) {
                tally += more;
            }
        });
        self.tally += tally;
        outcome
    }

    fn begin(&self, name: &'static str, caps: Caps) -> Stage {
        say(name);
        let cap = if self.warm { caps.warm } else { caps.cold };
        let start = Instant::now();
        Stage { name, cap, start, deadline: start + Duration::from_secs(2 * 60 * cap) }
    }

    fn end(&mut self, stage: Stage, outcome: Outcome) {
        let took = stage.start.elapsed();
        self.end_after(stage, outcome, took);
    }

    fn end_after(&mut self, Stage { name, cap, .. }: Stage, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Passed => say(&format!("{name}: ok in {}", minutes(took))),
            Outcome::Failed => say(&format!("{name}: FAILED after {}", minutes(took))),
            Outcome::OutOfTime => say(&format!("{name}: ENDED, it ran past twice its {cap} minutes")),
        }
        self.rows.push(Row { name, took, cap, outcome });
    }

    /// Prints the table and, as the last line, what the tests added up to.
    fn finish(self) -> ExitCode {
        let mut table = String::from("\nstage                         took    cap\n");
        let mut bad = false;
        for Row { name, took, cap, outcome } in &self.rows {
            let remark = match outcome {
                Outcome::Passed if took.as_secs() > 60 * cap => "  over its cap",
                Outcome::Passed => "",
                Outcome::Failed => "  FAILED",
                Outcome::OutOfTime => "  ENDED, out of time",
            };
            bad |= *outcome != Outcome::Passed;
            table += &format!("{name:<28} {:>5}  {cap:>2}:00{remark}\n", minutes(*took));
        }
        let _ = writeln!(std::io::stdout(), "{table}\n{}", self.tally);
        if bad || self.tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

struct Stage {
    name: &'static str,
    cap: u64,
    start: Instant,
    deadline: Instant,
}

/// Waits for a child until the stage's deadline, at which it is killed, and hands its lines on.
fn wait(mut child: Guarded, stage: &Stage, mut on_line: impl FnMut(&str) + Send) -> Result<Outcome> {
    let stdout = child.take_stdout();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok) {
                on_line(&line);
            }
        });
        let status = child.wait(Some(stage.deadline));
        // Whatever the child has left running holds the pipe open, and goes with it.
        drop(child);
        let read = reader.join();
        Ok(match status? {
            Some(status) if status.success() && read.is_ok() => Outcome::Passed,
            Some(_) => Outcome::Failed,
            None => Outcome::OutOfTime,
        })
    })
}

/// Where the `Cargo.lock` lies whose dependencies were built last.
fn built_lock(workspace: &Workspace) -> impl AsRef<Path> {
    workspace.programs.join("ci-built.lock")
}

fn minutes(took: Duration) -> String {
    let seconds = took.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "ci: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Guarded {
        Guarded::spawn("sh", |command| {
            command.args(["-c", script]).stdout(Stdio::piped());
        })
        .unwrap()
    }

    fn stage(time: Duration) -> Stage {
        let start = Instant::now();
        Stage { name: "test", cap: 1, start, deadline: start + time }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_child_is_judged_by_its_end_and_all_its_lines_are_read() {
        for (script, passes) in [("echo one; echo two", true), ("echo one; echo two; exit 1", false)] {
            let mut lines = Vec::new();
            let outcome = wait(shell(script), &stage(LONG), |line| lines.push(line.to_owned())).unwrap();
            assert_eq!(outcome, if passes { Outcome::Passed } else { Outcome::Failed });
            assert_eq!(lines, ["one", "two"]);
        }
    }

    #[test]
    fn what_runs_too_long_is_ended_with_all_that_it_started() {
        let start = Instant::now();
        let child = shell("trap '' TERM; sleep 1000 & echo started; wait");
        let outcome = wait(child, &stage(Duration::from_millis(300)), |line| assert_eq!(line, "started")).unwrap();
        // The reader came to the end of the pipe, so nobody holds it any more.
        assert_eq!(outcome, Outcome::OutOfTime);
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn all_stages_at_their_caps_leave_time_for_the_bindings() {
        let stages = [FORMAT, CLIPPY, DOCS, BUILD, EXAMPLES, READER, HTTP, TORTURE, FUZZ, CORE_AWS_LC];
        let cold: u64 = stages.iter().map(|caps| caps.cold).sum();
        let suites: u64 = SUITES.iter().map(|suite| suite.cap).sum();
        assert!(cold + suites <= 90 - 8, "{cold} + {suites} minutes");
    }

    #[test]
    fn every_test_binary_runs_in_some_suite() {
        let workspace = Workspace { root: "/w".into(), programs: "/w/target/debug".into() };
        let suites = |package: &str| -> Vec<&str> {
            let binary = TestBinary { package: workspace.root.join(package), program: "/w/test".into() };
            let taken = SUITES.iter().enumerate().filter(|(index, _)| suite_of(&workspace, &binary, *index));
            taken.map(|(_, suite)| suite.name).collect()
        };
        assert_eq!(suites("kez-core"), ["core"]);
        assert_eq!(suites("kez-chat-server"), ["servers"]);
        assert_eq!(suites("kez-chat-sdk"), ["messaging", "files"]);
        assert_eq!(suites("torture"), ["messaging"]);
        assert_eq!(suites("examples/cli"), ["people and CLI"]);
        assert_eq!(suites("a-crate-of-tomorrow"), ["people and CLI"]);
    }
}
