//! `cargo xtask fuzz`: cargo-fuzz over the targets in `fuzz/`.
//!
//! What a run finds and learns is kept in a cache outside the tree: inputs that reach new code in `fuzz/corpus`, faults
//! in `fuzz/artifacts`, libFuzzer's own words in `fuzz/logs`. The tree's `fuzz/corpus` is read and never written.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    cargo::{Workspace, cache_folder, without_own_package},
    guard::Guarded,
};

const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// What an input may hold of memory and time. The targets' inputs are small, and a parser that needs more is at fault.
const MEMORY_MIB: u32 = 1024;
const INPUT_SECONDS: u32 = 30;
/// The longest input in bytes. Long ones only repeat what short ones say, and are slow.
const MAX_INPUT_BYTES: u32 = 4096;
/// The longest event, and so much more that it is refused for its length.
const MAX_EVENT_INPUT_BYTES: u32 = 20_000;

/// What is fuzzed, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// For how long each target runs.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Fuzzes nothing: writes the seeds that the targets make into `fuzz/corpus`.
    #[arg(long, conflicts_with_all = ["seconds", "targets"])]
    write_seeds: bool,
    /// The targets; all of them if none is named.
    targets: Vec<String>,
}

/// Runs the targets one after the other, also if one finds a fault.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.write_seeds {
        return workspace.run_cargo(|command| {
            command.args(["test", "--package", "kez-core", "--test", "it", "--", "corpus::every_seed"]);
            command.env("KEZ_SEEDS_WRITE", "1");
        });
    }
    let targets = choose(all_targets(workspace)?, &options.targets)?;
    let cache = cache_folder()?;
    let programs = build(workspace, &cargo_fuzz(workspace, &cache)?)?;

    let mut outcomes = Vec::new();
    for target in &targets {
        note(&format!("{target} for {} s", options.seconds));
        outcomes.push((target, fuzz(workspace, &programs, &cache.join("fuzz"), target, options.seconds)?));
    }
    let mut faults = Vec::new();
    for (target, outcome) in outcomes {
        match outcome {
            Outcome::Sound(figures) => drop(writeln!(std::io::stdout(), "fuzz {target}: {figures}")),
            Outcome::Fault(about) => {
                let _ = writeln!(std::io::stdout(), "fuzz {target}: FAULT, {about}");
                faults.push(target.as_str());
            }
        }
    }
    ensure!(faults.is_empty(), "faults were found by {}", faults.join(", "));
    Ok(())
}

/// Lists the targets: each is a program in `fuzz/fuzz_targets`.
fn all_targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("{} can't be read", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        targets.extend(name.to_str().and_then(|name| name.strip_suffix(".rs")).map(str::to_owned));
    }
    targets.sort_unstable();
    Ok(targets)
}

/// Narrows the targets to those named, if any are.
fn choose(all: Vec<String>, named: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if named.is_empty() { all } else { named.to_vec() })
}

/// Finds cargo-fuzz, or installs it into the cache.
fn cargo_fuzz(workspace: &Workspace, cache: &Path) -> Result<OsString> {
    let is_it = |program: &OsString| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.stdout.trim_ascii_end().ends_with(CARGO_FUZZ_VERSION.as_bytes()))
    };
    let root = cache.join(format!("cargo-fuzz-{CARGO_FUZZ_VERSION}"));
    let own = root.join("bin/cargo-fuzz").into_os_string();
    if let Some(found) = ["cargo-fuzz".into(), own.clone()].into_iter().find(is_it) {
        return Ok(found);
    }
    note(&format!("installing cargo-fuzz {CARGO_FUZZ_VERSION} into {}", root.display()));
    workspace.run_cargo(|command| {
        command.args(["install", "--quiet", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ_VERSION, "--root"]);
        command.arg(&root).env_remove("CARGO_TARGET_DIR");
    })?;
    Ok(own)
}

/// Builds every target at once, and returns the folder of the programs.
fn build(workspace: &Workspace, cargo_fuzz: &OsString) -> Result<PathBuf> {
    let target_dir = workspace.programs.parent().context("this program lies in no target folder")?.join("fuzz");
    let host = host()?;
    // The lock file is part of the tree: a change of the core's dependencies has to be in it.
    workspace
        .run_cargo(|command| {
            command.args(["metadata", "--locked", "--format-version", "1", "--manifest-path", "fuzz/Cargo.toml"]);
            command.stdout(Stdio::null());
        })
        .context("fuzz/Cargo.lock is not up to date: run `cargo update --workspace --manifest-path fuzz/Cargo.toml`")?;
    let built = Guarded::spawn(cargo_fuzz, |command| {
        without_own_package(command).current_dir(&workspace.root).args([
            "build",
            "--fuzz-dir",
            "fuzz",
            "--target",
            &host,
            "--target-dir",
        ]);
        command.arg(&target_dir);
        // Without a sanitizer it builds on a stable compiler and runs at twice the speed. The core has no unsafe code
        // that one would watch; checks of arithmetic and assertions are on.
        command.args(["--sanitizer", "none"]);
        // What is fuzzed is what is shipped, not what a library becomes for its own fuzzing.
        command.arg("--no-cfg-fuzzing");
        // They would take the place of the flags that cargo-fuzz sets.
        command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    });
    let status = built.context("cargo-fuzz can't be started")?.wait(None)?;
    ensure!(status.is_some_and(|status| status.success()), "the targets can't be built, see above");
    Ok(target_dir.join(host).join("release"))
}

/// Asks the compiler what it builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc can't be started")?;
    let text = String::from_utf8(output.stdout).context("rustc does not say what it builds for")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.context("rustc does not say what it builds for")
}

enum Outcome {
    /// What was done, in figures.
    Sound(String),
    /// What went wrong, and where the input is.
    Fault(String),
}

/// Runs one target for its time, or to its first fault.
fn fuzz(workspace: &Workspace, programs: &Path, cache: &Path, target: &str, seconds: u64) -> Result<Outcome> {
    let (corpus, artifacts, logs) =
        (cache.join("corpus").join(target), cache.join("artifacts").join(target), cache.join("logs"));
    for folder in [&corpus, &artifacts, &logs] {
        fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    // Another run of the same target may be under way.
    let log_path = logs.join(format!("{target}-{}.log", process::id()));
    let log = File::create(&log_path).with_context(|| format!("{} can't be written", log_path.display()))?;
    let dictionary = workspace.root.join(format!("fuzz/dictionaries/{target}.dict"));
    let max_bytes = if target == "event_jws" { MAX_EVENT_INPUT_BYTES } else { MAX_INPUT_BYTES };

    let program = programs.join(target);
    let child = Guarded::spawn(&program, |command| {
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-max_len={max_bytes}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB}"));
        command.arg(format!("-timeout={INPUT_SECONDS}"));
        command.arg("-print_final_stats=1");
        command.arg(prefixed("-artifact_prefix=", &artifacts.join("")));
        if dictionary.is_file() {
            command.arg(prefixed("-dict=", &dictionary));
        }
        // It adds to the first and only reads the second.
        command.arg(&corpus).arg(workspace.root.join("fuzz/corpus").join(target));
        command.stdout(Stdio::null()).stderr(log);
    });
    let status = child.with_context(|| format!("{} can't be started", program.display()))?.wait(None)?;
    let said = String::from_utf8_lossy(&fs::read(&log_path)?).into_owned();
    match figures(&said) {
        Some(figures) if status.is_some_and(|status| status.success()) => Ok(Outcome::Sound(figures)),
        _ => {
            note(&format!(
                "{target} ended with a fault; the end of {}:\n{}",
                log_path.display(),
                last_lines(&said, 40)
            ));
            let input =
                said.lines().rev().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
            Ok(Outcome::Fault(input.unwrap_or("without an input").to_owned()))
        }
    }
}

/// Reads libFuzzer's last words; `None` if it did not come to its end.
fn figures(said: &str) -> Option<String> {
    let stat = |name: &str| {
        said.lines()
            .rev()
            .find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let (done, per_second) = (stat("number_of_executed_units")?, stat("average_exec_per_sec")?);
    let mut words = said.lines().rev().find(|line| line.contains("\tDONE "))?.split_ascii_whitespace();
    words.find(|word| *word == "cov:")?;
    let coverage = words.next()?;
    words.find(|word| *word == "ft:")?;
    let features = words.next()?;
    Some(format!("{done} executions, {per_second}/s, cov {coverage}, ft {features}"))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn prefixed(flag: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push(path);
    argument
}

fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "fuzz: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "\
#262144\tpulse  cov: 513 ft: 900 corp: 61/3Kb lim: 317 exec/s: 87381 rss: 110Mb
#531441\tDONE   cov: 517 ft: 931 corp: 64/3Kb lim: 580 exec/s: 88573 rss: 131Mb
Done 531441 runs in 6 second(s)
stat::number_of_executed_units: 531441
stat::average_exec_per_sec:     88573
stat::new_units_added:          12
";

    #[test]
    fn the_last_words_become_one_line() {
        assert_eq!(figures(END).unwrap(), "531441 executions, 88573/s, cov 517, ft 931");
        let (crashed, _) = END.split_once("#531441").unwrap();
        assert_eq!(figures(crashed), None);
        assert_eq!(figures(&END.replace("stat::number", "stat::other")), None);
    }

    #[test]
    fn only_targets_that_are_there_are_chosen() {
        let all = || ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(choose(all(), &[]).unwrap(), all());
        assert_eq!(choose(all(), &["b".to_owned()]).unwrap(), ["b"]);
        let error = choose(all(), &["b".to_owned(), "c".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "there is no target c; there are a, b");
    }

    #[test]
    fn every_program_is_a_target() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let programs = root.join("target/debug");
        let targets = all_targets(&Workspace { root: root.clone(), programs }).unwrap();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let named =
            manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""));
        let mut named: Vec<&str> = named.collect();
        named.sort_unstable();
        assert_eq!(named, targets);
    }
}
