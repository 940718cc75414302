//! Disks that are full, and homes that can't be written to.

use std::{fs, path::Path, process::Stdio};

use crate::support::{Ended, KEZ_CHAT, Person, stage};

/// Mounts something in a namespace of its own, and runs a command of somebody's there. It takes root, or leave for it.
async fn run_where(person: &Person, mount: &str, place: &Path, arguments: &[&str]) -> Ended {
    let mut command = tokio::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--map-current-user", "--keep-caps"]);
    }
    command.args(["--mount", "sh", "-ec", &format!("{mount}\n{RUN}"), "kez-mount"]).arg(KEZ_CHAT);
    person.dress(command.as_std_mut());
    command.arg("--home").arg(&person.home).args(arguments).env("PLACE", place).env("owner", "");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the command, and ends who was started before it.
const RUN: &str = "code=0; \"$@\" || code=$?; [ -z \"$owner\" ] || kill \"$owner\"; exit $code";
/// Puts a copy of a home on a disk of a few blocks, and fills what is left of it once somebody has opened it.
const FULL: &str = "\
cp -a \"$PLACE\" \"$PLACE.copy\"
mount -t tmpfs -o size=$(($(du -sk \"$PLACE\" | cut -f1) + 1024))k tmpfs \"$PLACE\"
cp -a \"$PLACE.copy/.\" \"$PLACE\"
rm -r \"$PLACE.copy\"
timeout 60 \"$1\" --home \"$PLACE\" run >/dev/null 2>&1 & owner=$!
until [ -S \"$PLACE/socket\" ]; do sleep 0.05; done
cat /dev/zero >\"$PLACE/filler\" 2>/dev/null || true";
/// Puts a disk of a megabyte in a folder's place.
const SMALL: &str = "mkdir -p \"$PLACE\"; mount -t tmpfs -o size=1m tmpfs \"$PLACE\"";
const READ_ONLY: &str = "mount --bind \"$PLACE\" \"$PLACE\"; mount -o remount,ro,bind \"$PLACE\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_standard_output_is_said_and_no_success() {
    let alice = stage::registered("alice").await;
    for arguments in [&["whoami"][..], &["whoami", "--json"], &["api", "--schema"], &["completions", "zsh"]] {
        let mut command = alice.command(arguments);
        command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Ended { code: output.status.code(), stdout: String::new(), stderr }.failed(1, "No space left on device");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_disk_has_no_room_for_is_refused_in_words() {
    let (alice, bob) = stage::pair().await;
    let long = "a".repeat(40 << 10);
    let ended = run_where(&alice, FULL, &alice.home, &["send", &bob.at(), &long]).await;
    ended.failed(3, "full");
    // Nothing of it was sent, and with room again all is as before.
    alice.run(&["send", &bob.at(), "there is room"]).await.ok();
    assert!(bob.hears().await.ends_with(": there is room\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_to_a_full_disk_is_refused_in_words() {
    let (alice, bob) = stage::pair().await;
    fs::File::create(alice.folder.join("large")).unwrap().set_len(4 << 20).unwrap();
    let mut sharing = alice.start(&["share", &bob.at(), "large"]);
    sharing.line_with("until Ctrl-C").await;
    bob.hears().await;
    let place = bob.folder.join("downloads");
    let ended = run_where(&bob, SMALL, &place, &["fetch", "1", "--to", "downloads"]).await;
    ended.failed(6, "large");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    bob.run(&["fetch", "1", "--to", "downloads"]).await.ok();
    sharing.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_be_written_to_is_said() {
    let alice = stage::registered("alice").await;
    run_where(&alice, READ_ONLY, &alice.home, &["whoami"]).await.failed(6, "Read-only file system");
    run_where(&alice, READ_ONLY, &alice.home, &["listen"]).await.failed(6, "Read-only file system");
    let new = stage::newcomer("new");
    let register = ["register", &new.name, "--backup-file", "words"];
    run_where(&new, READ_ONLY, &new.folder, &register).await.failed(6, "Read-only file system");
    alice.run(&["whoami"]).await.ok();
}
