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
fn server(name: &str) -> PathBuf {
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
    assert_eq!(scene.cast(), Vec::<String>::new());
    assert!(scene.props().is_empty());
}

/// A server that forgets what it acknowledged when it is started again, to show that the soak would notice.
#[test]
fn a_server_that_forgets_is_caught() {
    for (name, database) in [("kez-chat-server", "DB_PATH"), ("kez-sig-server", "KEZ_DB")] {
        let scene = Scene::new(&format!("soak-{name}"));
        let programs = Scene::new(&format!("soak-{name}-programs"));
        let forgetful = programs.add("forgetful");
        let script = format!("#!/bin/sh\nrm -f \"${database}\"*\nexec {} \"$@\"\n", server(name).display());
        fs::write(&forgetful, script).unwrap();
        fs::set_permissions(&forgetful, fs::Permissions::from_mode(0o700)).unwrap();
        let [chat_server, sig_server] = ["kez-chat-server", "kez-sig-server"]
            .map(|program| if program == name { forgetful.clone() } else { server(program) });
        let (status, lines) = soak(&scene, "1000", &chat_server, &sig_server);
        let [kills, _, _, lost] = numbers(lines.last().unwrap());
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        assert!(kills < 100 && lost > 0, "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("lost: ")), "{lines:#?}");
    }
}
