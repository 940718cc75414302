//! Help, and errors that need no server, word for word: `tests/cmd`.
//!
//! `TRYCMD=overwrite` writes the files anew; look at what has changed.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::support::KEZ_CHAT;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cmd");

#[test]
fn help_and_errors_are_as_they_were() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".config/kez-chat")).unwrap();
    fs::write(home.path().join(".config/kez-chat/config.toml"), "sever = \"https://kez.lat\"\n").unwrap();
    let cases = trycmd::TestCases::new();
    cases.register_bin("kez-chat", Path::new(KEZ_CHAT));
    cases.env("HOME", home.path().display().to_string()).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    cases.env("XDG_DATA_HOME", "").env("XDG_CONFIG_HOME", "").env("KEZ_LOG", "off");
    cases.insert_var("[HOME]", home.path().display().to_string()).unwrap();
    cases.case(format!("{CASES}/*.trycmd")).case(format!("{CASES}/help/*.trycmd")).run();
}

#[test]
fn no_command_is_without_its_help() {
    let script = Command::new(KEZ_CHAT).args(["completions", "bash"]).output().unwrap();
    let script = String::from_utf8(script.stdout).unwrap();
    // Each command has a case of this form in the script.
    let named = script.lines().filter_map(|line| line.trim().strip_prefix("kez__chat,")?.strip_suffix(')'));
    let commands: BTreeSet<String> = named.filter(|name| *name != "help").map(ToOwned::to_owned).collect();
    assert!(commands.len() > 30, "{commands:?}");
    let shown: BTreeSet<String> = fs::read_dir(format!("{CASES}/help"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(commands, shown, "tests/cmd/help has a file for each command");
}
