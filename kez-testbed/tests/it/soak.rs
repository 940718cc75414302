//! The servers under `kill -9`, in short; `cargo xtask soak servers` is the long version.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use crate::scene::{Scene, lines_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kez-testbed");

/// Returns the path of a server's program, which lies beside the testbed's.
pub(crate) fn server(name: &str) -> PathBuf {
    let program = Path::new(PROGRAM).with_file_name(name);
    assert!(program.is_file(), "{} is not built: cargo build -p {name}", program.display());
    program
}

fn soak(scene: &Scene, kills: &str, chat_server: &Path, sig_server: &Path) -> (ExitStatus, Vec<String>) {
    let programs = ["--chat-server", chat_server.to_str().unwrap(), "--sig-server", sig_server.to_str().unwrap()];
    lines_of(scene.start(PROGRAM, &[&["soak-servers", "--kills", kills], &programs[..]].concat()))
}

/// Reads `soak servers: K kills, R registrations and E events acknowledged, L lost`.
fn numbers(line: &str) -> [u64; 4] {
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [kills, registrations, events, lost] = numbers[..] else { panic!("{line}") };
    let shown = format!(
        "soak servers: {kills} kills, {registrations} registrations and {events} events acknowledged, {lost} lost"
    );
    assert_eq!(line, shown);
    [kills, registrations, events, lost]
}

#[test]
fn nothing_acknowledged_is_lost_in_25_kills() {
    let scene = Scene::new("soak");
    let (status, lines) = soak(&scene, "25", &server("kez-chat-server"), &server("kez-sig-server"));
    let [kills, registrations, events, lost] = numbers(lines.last().unwrap());
    assert!(status.success(), "{lines:#?}");
    assert_eq!((kills, lost), (25, 0));
    // Less than one for each kill, and there would have been nothing to lose.
    assert!(registrations >= 25 && events >= 25, "{lines:#?}");
    let restored = lines.iter().filter(|line| line.starts_with("restored from a backup")).count();
    assert_eq!(restored, 2, "{lines:#?}");
    assert_eq!(scene.cast(), Vec::<String>::new());
    assert!(scene.props().is_empty());
}

/// Runs the soak on a server that does `first` before its real work, in place of each of the two, and expects it caught: in
/// one of three runs, for in a short one the fault may find nothing to lose.
fn is_caught(name: &str, kills: u64, first: &str) {
    for (program, database) in [("kez-chat-server", "DB_PATH"), ("kez-sig-server", "KEZ_DB")] {
        let scene = Scene::new(&format!("soak-{name}-{program}"));
        let programs = Scene::new(&format!("soak-{name}-{program}-programs"));
        let faulty = programs.add("faulty");
        let script = format!("#!/bin/sh\ndb=\"${database}\"\n{first}\nexec {} \"$@\"\n", server(program).display());
        fs::write(&faulty, script).unwrap();
        fs::set_permissions(&faulty, fs::Permissions::from_mode(0o700)).unwrap();
        let [chat_server, sig_server] =
            ["kez-chat-server", "kez-sig-server"].map(|it| if it == program { faulty.clone() } else { server(it) });
        let caught = (0..3).any(|_| {
            let (status, lines) = soak(&scene, &kills.to_string(), &chat_server, &sig_server);
            let [_, _, _, lost] = numbers(lines.last().unwrap());
            let is_said = lines.iter().any(|line| line.starts_with("lost: "));
            assert_eq!((status.code() == Some(1), is_said), (lost > 0, lost > 0), "{lines:#?}");
            lost > 0
        });
        assert!(caught, "{program} lost nothing in three runs");
    }
}

#[test]
fn a_server_that_forgets_when_it_is_killed_is_caught() {
    is_caught("forgets", 10, r#"rm -f "$db"*"#);
}

/// What is written last lies in the log beside the database.
#[test]
fn a_backup_without_what_was_written_last_is_caught() {
    is_caught("backup", 2, r#"[ "$1" = backup ] && exec cp "$db" "$2""#);
}
