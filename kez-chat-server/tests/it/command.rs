//! The command: `keygen`, `nats-conf`, and wrong settings by name.

use std::process::{Command, Output};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kez-chat-server"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
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
