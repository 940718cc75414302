//! The command itself: settings, signals, and what a `kill -9` may not lose.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::Client;
use crate::author::{Author, claim};

/// The server as a process of its own; it is killed when a test ends early.
struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
}

impl Process {
    async fn start(db: &Path) -> Self {
        let mut child = command(db).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = log.next_line().await.unwrap().expect("the server ended before it listened");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["fields"]["message"] == "listening" {
                let address = line["fields"]["address"].as_str().unwrap().parse().unwrap();
                return Self { child, log, address };
            }
        }
    }

    fn id(&self) -> String {
        self.child.id().unwrap().to_string()
    }
}

fn command(db: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kez-sig-server"));
    command
        .env_clear()
        .env("KEZ_DB", db)
        .env("BIND", "127.0.0.1:0")
        .env("INTERNAL_BIND", "127.0.0.1:0")
        .env("KEZ_LOG_FORMAT", "json");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn an_acknowledged_event_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("sigchains.db");
    let author = Author::new(1);
    let chain = author.chain((1..=10).map(claim));
    for (count, event) in chain.iter().enumerate() {
        let mut server = Process::start(&db).await;
        let client = Client::new(server.address);
        assert_eq!(client.read(&author, "").await["events"], json!(chain[..count]));
        client.append(&author, event).await;
        // tokio's kill is SIGKILL to this one process.
        server.child.kill().await.unwrap();
    }
    let server = Process::start(&db).await;
    assert_eq!(Client::new(server.address).read(&author, "").await["events"], json!(chain));
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_and_ctrl_c_end_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::start(&folder.path().join("sigchains.db")).await;
        let author = Author::new(1);
        Client::new(server.address).append(&author, &author.event(1, None, claim(1))).await;
        assert!(Command::new("kill").args(["-s", signal, &server.id()]).status().await.unwrap().success());
        let status = server.child.wait().await.unwrap();
        assert!(status.success(), "{status}");
        while let Some(line) = server.log.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert!(line["level"] != "ERROR" && line["level"] != "WARN", "{line}");
        }
        // The log was folded back into the one file.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn backup_copies_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let (db, copy) = (folder.path().join("sigchains.db"), folder.path().join("copy.db"));
    let missing = command(&db).arg("backup").arg(&copy).output().await.unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("there is no database"));

    let server = Process::start(&db).await;
    let (client, author) = (Client::new(server.address), Author::new(1));
    let chain = author.chain((1..=3).map(claim));
    for event in &chain {
        client.append(&author, event).await;
    }
    let made = command(&db).arg("backup").arg(&copy).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(String::from_utf8(made.stdout).unwrap(), format!("wrote {}\n", copy.display()));
    let again = command(&db).arg("backup").arg(&copy).output().await.unwrap();
    assert_eq!(again.status.code(), Some(1));

    let other = Process::start(&copy).await;
    assert_eq!(Client::new(other.address).read(&author, "").await["events"], json!(chain));
}

#[tokio::test]
async fn wrong_settings_are_named_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("sigchains.db");
    for (name, value, says) in [
        ("BIND", "here", "--bind"),
        ("KEZ_LOG", "kez_service=loudly", "KEZ_LOG"),
        ("KEZ_LOG_FORMAT", "xml", "pretty"),
        ("KEZ_DEV", "perhaps", "--dev"),
        ("INTERNAL_BIND", "inside", "`off`"),
        ("APPEND_RATE", "many", "`20/h`"),
        ("READ_RATE", "5/w", "`20/h`"),
        ("SHARED_FILES_INTERVAL_S", "-1", "--shared-files-interval-s"),
        ("TRUSTED_PROXIES", "proxy", "10.0.0.0/8"),
    ] {
        let output = command(&db).env(name, value).output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(value) && text.contains(says), "{text}");
        assert!(!db.exists());
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_with_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path()).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&folder.path().join("sigchains.db")).env("BIND", &address).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address), "{text}");
}
