//! Development on one's own machine: three lines, and never further than loopback.

use std::net::TcpListener;
use std::process::Stdio;

use kez_chat_server::ServerSecret;
use kez_testbed::guard::{Guarded, Signal};

use crate::nats::Nats;
use crate::program::run;
use crate::support::{http, json_of, until};

#[tokio::test]
async fn three_lines_make_a_home() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let conf =
        run(&["nats-conf", "--dev", "--listen", "127.0.0.1:0", "--store-dir", store.to_str().unwrap()], &[]).await;
    assert_eq!(conf.code, Some(0), "{conf:?}");
    let nats = Nats::start(dir.path(), &conf.stdout).await;

    // Taken a moment later by the server; whoever takes it in between makes the test fail, not pass.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (bind, db_path) = (format!("127.0.0.1:{port}"), dir.path().join("handles.db"));
    let mut server = Guarded::spawn(env!("CARGO_BIN_EXE_kez-chat-server"), |command| {
        command.args(["serve", "--dev", "--nats-url", &nats.url, "--bind", &bind, "--internal-bind", "off"]);
        command.arg("--db-path").arg(db_path).stderr(Stdio::null());
    })
    .unwrap();
    let info = until(async || {
        let health = http().get(format!("http://{bind}/v1/healthz")).send().await.ok()?;
        (json_of(health).await["nats"] == "ok").then_some(())?;
        Some(json_of(http().get(format!("http://{bind}/v1/info")).send().await.ok()?).await)
    })
    .await;
    let key = ServerSecret::development().server_keys()[0].primary().to_string();
    assert_eq!(info["server_keys"][0], key);
    assert_eq!(info["domain"], format!("localhost:{port}"));
    assert_eq!(info["sigchain_url"], "http://127.0.0.1:7878");
    server.signal(Signal::Terminate).await.unwrap();
    assert!(server.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_server_refuses_the_development_secret_off_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (known, db_path) = (path("known"), path("handles.db"));
    ServerSecret::development().create_file(dir.path().join("known").as_path()).unwrap();
    // Rotated, the file still has it: as the previous one.
    let rotating = path("rotating");
    ServerSecret::development().create_file(dir.path().join("rotating").as_path()).unwrap();
    ServerSecret::rotate(dir.path().join("rotating").as_path(), &mut rand::rng()).unwrap();

    for secret in [None, Some(&known), Some(&rotating)] {
        for (name, value) in [
            ("BIND", "0.0.0.0:0"),
            ("INTERNAL_BIND", "[::]:0"),
            ("NATS_URL", "nats://192.0.2.1:4222"),
            ("NATS_PUBLIC_URLS", "tls://nats.kez.lat"),
        ] {
            let mut environment = vec![("DB_PATH", &*db_path), ("KEZ_DOMAIN", "kez.lat"), (name, value)];
            environment.extend(secret.map(|secret| ("AUTH_CALLOUT_NKEY_PATH", secret.as_str())));
            let ran = run(&["serve", "--dev"], &environment).await;
            let expected = format!(
                "error: the settings can't be used: {name} is {value:?}, but it has to be a loopback address while the \
                 development secret is used, which is public knowledge; for anything else make a secret with \
                 `kez-chat-server keygen`\n"
            );
            assert_eq!((ran.code, ran.stderr), (Some(2), expected), "{secret:?}");
        }
    }
    assert!(!dir.path().join("handles.db").exists(), "it was refused before anything began");
    let ran = run(&["check", "--dev"], &[("NATS_URL", "nats://0.0.0.0:1"), ("DB_PATH", &db_path)]).await;
    let said =
        "MISSING  secret     the development secret is public knowledge, and nats://0.0.0.0:1 is not on loopback;";
    assert!(ran.stdout.starts_with(said), "{ran:?}");
}

#[tokio::test]
async fn nats_conf_refuses_the_development_secret_off_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let known = dir.path().join("known");
    ServerSecret::development().create_file(&known).unwrap();
    let known = known.to_str().unwrap();
    let refused = "error: --listen is \"0.0.0.0:4222\", but it has to be a loopback address, since the development \
                   secret is public knowledge; for anything else make a secret with `kez-chat-server keygen`\n";
    for arguments in [
        &["nats-conf", "--dev", "--listen", "0.0.0.0:4222"][..],
        &["nats-conf", "--auth-callout-nkey-path", known, "--listen", "0.0.0.0:4222"],
        &["nats-conf", "--auth-callout-nkey-path", known],
    ] {
        let ran = run(arguments, &[]).await;
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", refused), "{arguments:?}");
    }
    let conf = run(&["nats-conf", "--dev"], &[]).await;
    assert_eq!(conf.code, Some(0));
    let keys = ServerSecret::development().public_keys();
    for part in [
        "# FOR DEVELOPMENT: everybody has the secret keys to these. Never let it listen off loopback.\nlisten: \"127.0.0.1:4222\"\n",
        "store_dir: \"nats-store\"\n",
        &format!("issuer: {}\n", keys.issuer),
    ] {
        assert!(conf.stdout.contains(part), "{part}\n{}", conf.stdout);
    }
}
