//! A short torture; `cargo xtask torture` is a longer one.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kez-torture");

/// Runs a torture that has `temporary` to itself.
fn torture(temporary: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("run").args(arguments).env("TMPDIR", temporary).output().unwrap()
}

/// Reads `torture: sent N delivered N lost 0 doubled 0 reordered 0 kills K wipes W`.
fn numbers(output: &Output) -> [u64; 7] {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [sent, delivered, lost, doubled, reordered, kills, wipes] = numbers[..] else { panic!("{output:?}") };
    let shown = format!(
        "torture: sent {sent} delivered {delivered} lost {lost} doubled {doubled} reordered {reordered} kills {kills} wipes {wipes}"
    );
    assert_eq!(line, shown);
    [sent, delivered, lost, doubled, reordered, kills, wipes]
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let temporary = tempfile::tempdir().unwrap();
    let output = torture(temporary.path(), &["--seconds", "15", "--messages", "120"]);
    if !output.status.success() {
        panic!("kept in {}: {output:#?}", temporary.keep().display());
    }
    let [sent, delivered, lost, doubled, reordered, kills, wipes] = numbers(&output);
    assert_eq!([sent, delivered, lost, doubled, reordered, wipes], [120, 120, 0, 0, 0, 1]);
    assert!(kills >= 3, "{output:?}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "something is left behind");
}

/// A sigchain server that forges a client's ledger each time it starts: a message is shown that had been handled.
#[test]
fn a_double_is_caught_and_everything_is_kept() {
    let (temporary, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (faulty, real) = (programs.path().join("faulty"), Path::new(PROGRAM).with_file_name("kez-sig-server"));
    let ledger = r#""${KEZ_DB%/sig/database/*}"/bob/ledger"#;
    let forge = format!("grep -q '^handled 1.1$' {ledger} && echo 'shown 1.1' >> {ledger}");
    fs::write(&faulty, format!("#!/bin/sh\n{forge}\nexec {} \"$@\"\n", real.display())).unwrap();
    fs::set_permissions(&faulty, fs::Permissions::from_mode(0o700)).unwrap();

    let sig_server = faulty.to_str().unwrap();
    let seed = ["--seed", "0"];
    let output = torture(
        temporary.path(),
        &[&["--seconds", "15", "--messages", "20", "--sig-server", sig_server], &seed[..]].concat(),
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let [_, _, lost, doubled, reordered, ..] = numbers(&output);
    assert!(lost == 0 && doubled > 0 && reordered == 0, "{output:?}");
    let kept: Vec<_> = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    for name in ["strikes", "alice/ledger", "alice/log", "bob/account", "chat/log", "sig/log", "nats/nats.log"] {
        assert!(kept[0].join(name).exists(), "{name} is not kept");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("doubled: alice 1.1") && text.contains("--seed 0") && text.contains(kept[0].to_str().unwrap()),
        "{text}"
    );
}
