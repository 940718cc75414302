//! The command: `keygen`, `nats-conf`, wrong settings by name, and what every command has.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use kez_chat_server::ServerSecret;

use crate::program::command;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(arguments, environment).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn keygen_writes_what_nats_conf_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let path = path.to_str().unwrap();
    assert!(run(&["keygen", path], &[]).status.success());
    let again = run(&["keygen", path], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("does not exist yet"), "{again:?}");

    let conf = run(
        &["nats-conf", "--listen", "127.0.0.1:4333", "--store-dir", "/srv/nats"],
        &[("AUTH_CALLOUT_NKEY_PATH", path)],
    );
    assert!(conf.status.success(), "{conf:?}");
    let conf = text(&conf.stdout);
    for part in ["listen: \"127.0.0.1:4333\"", "store_dir: \"/srv/nats\"", "auth_callout", "xkey: X"] {
        assert!(conf.contains(part), "{part}\n{conf}");
    }
    let secret = std::fs::read_to_string(path).unwrap();
    assert!(!conf.contains(secret.trim().rsplit(':').next().unwrap()));
}

#[test]
fn a_wrong_setting_is_named_and_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    let secret = secret.to_str().unwrap();
    assert!(run(&["keygen", secret], &[]).status.success());
    let good = [
        ("NATS_URL", "nats://127.0.0.1:1"),
        ("NATS_PUBLIC_URLS", "tls://nats.kez.lat"),
        ("SIG_SERVER_URL", "http://127.0.0.1:1"),
        ("SIG_PUBLIC_URL", "https://sig.kez.lat"),
        ("AUTH_CALLOUT_NKEY_PATH", secret),
        ("KEZ_DOMAIN", "kez.lat"),
    ];
    for (name, value) in [
        ("NATS_URL", "nats://:x"),
        ("NATS_PUBLIC_URLS", "nats://nats.kez.lat"),
        ("SIG_SERVER_URL", "127.0.0.1"),
        ("SIG_PUBLIC_URL", "http://sig.kez.lat"),
        ("AUTH_CALLOUT_NKEY_PATH", "/nowhere/secret"),
        ("KEZ_DOMAIN", "10.0.0.1"),
        ("RELAY_URLS", "relay.kez.lat"),
        ("BIND", "8080"),
        ("INTERNAL_BIND", "none"),
        ("STREAM_REPLICAS", "9"),
        // Ten times that from now on is a moment that no clock has.
        ("ENDPOINTS_FRESH_FOR_S", "1844674407370955162"),
        ("KEZ_DEV", "perhaps"),
    ] {
        let mut environment: Vec<_> = good.into_iter().filter(|(other, _)| *other != name).collect();
        environment.push((name, value));
        let output = run(&["serve"], &environment);
        let flag = format!("--{}", name.to_lowercase().replace('_', "-").replace("kez-", ""));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(value) && (said.contains(name) || said.contains(&flag)), "{name}: {said}");
    }
}

#[test]
fn what_is_not_given_is_named_unless_it_is_development() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    let secret = secret.to_str().unwrap();
    assert!(run(&["keygen", secret], &[]).status.success());
    let all = [
        ("NATS_URL", "nats://127.0.0.1:1"),
        ("SIG_SERVER_URL", "http://127.0.0.1:1"),
        ("AUTH_CALLOUT_NKEY_PATH", secret),
    ];
    for (subcommand, needed) in [("serve", &all[..]), ("check", &all), ("nats-conf", &all[2..])] {
        for (name, _) in needed {
            let environment: Vec<_> = all.into_iter().filter(|(other, _)| other != name).collect();
            let output = run(&[subcommand], &environment);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{subcommand} without {name}: {said}");
            assert!(said.starts_with(&format!("error: {name} is \"\", but it has to be ")), "{said}");
            assert!(said.ends_with(", unless --dev is given\n"), "{said}");
        }
    }
}

#[test]
fn a_rotation_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let path = path.to_str().unwrap();
    let conf = || run(&["nats-conf"], &[("AUTH_CALLOUT_NKEY_PATH", path)]).stdout;
    assert!(run(&["keygen", path], &[]).status.success());
    let first = conf();

    let output = run(&["keygen", "--rotate", path], &[]);
    let expected = format!(
        "\
{path} holds a new secret now, and the previous one as its second line.

The broker knows the previous secret's keys until you do this, in this order:
  1. put what `kez-chat-server nats-conf --auth-callout-nkey-path {path}` prints into nats.conf (of each node),
  2. restart the broker, and right after it this server.
Issuer, users and curve key change at once: between the two restarts nobody can log in, and whoever was connected
comes back by themselves afterwards. Nothing is lost.
  3. A day later, when every login has been made anew: `kez-chat-server keygen --drop-previous {path}`,
     and restart this server. nats.conf stays as it is.
"
    );
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected.as_str()), "{output:?}");
    let second = conf();
    assert_ne!(first, second);

    let again = run(&["keygen", "--rotate", path], &[]);
    let expected = format!(
        "error: the secret file {path} is being rotated already; first end that with `kez-chat-server keygen \
         --drop-previous {path}`, a day after the server was restarted with it\n"
    );
    assert_eq!((again.status.code(), text(&again.stderr)), (Some(1), expected.as_str()));

    let output = run(&["keygen", "--drop-previous", path], &[]);
    let expected = format!("{path} holds one secret now; restart this server. nats.conf stays as it is.\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected.as_str()));
    assert_eq!(conf(), second);
    let again = run(&["keygen", "--drop-previous", path], &[]);
    let expected = format!("error: the secret file {path} holds no previous secret, so there is nothing to drop\n");
    assert_eq!((again.status.code(), text(&again.stderr)), (Some(1), expected.as_str()));
    assert_eq!(run(&["keygen", "--rotate", "--drop-previous", path], &[]).status.code(), Some(2));
}

#[test]
fn a_rotation_that_is_killed_leaves_a_whole_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let argument = path.to_str().unwrap();
    assert!(run(&["keygen", argument], &[]).status.success());
    let keys = |path: &Path| {
        let secret = ServerSecret::from_file(path).unwrap();
        secret.server_keys().iter().map(|key| key.primary()).collect::<Vec<_>>()
    };
    let (mut cut, mut done) = (0, 0);
    for round in 0..40 {
        let before = keys(&path);
        let mut rotating = command(&["keygen", "--rotate", argument], &[]).stdout(Stdio::null()).spawn().unwrap();
        // Spread over the time that it takes, whatever the machine.
        std::thread::sleep(Duration::from_micros(250 * round));
        rotating.kill().unwrap();
        rotating.wait().unwrap();
        match keys(&path).as_slice() {
            after if after == before => cut += 1,
            [_, previous] if [*previous] == before[..] => {
                done += 1;
                ServerSecret::drop_previous(&path).unwrap();
            }
            after => panic!("{before:?} became {after:?}"),
        }
    }
    assert!(cut > 0, "no kill came before the end: {done} rotations were done");
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(&["nats-conf", "--dev"], &[]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in [
        &["serve"][..],
        &["keygen"],
        &["nats-conf"],
        &["check"],
        &["handles", "list"],
        &["handles", "show"],
        &["handles", "reserve"],
        &["handles", "release"],
        &["handles", "remove"],
        &["block"],
        &["unblock"],
        &["backup"],
    ] {
        let output = run(&[command, &["--help"]].concat(), &[]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let example = format!("  kez-chat-server {}", command.join(" "));
        assert!(said.contains("\nExample") && said.contains(&example), "{command:?}: {said}");
    }
}
