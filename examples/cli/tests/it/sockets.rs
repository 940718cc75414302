//! The socket by which processes of one home find each other.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixListener as StdListener,
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixListener,
};

use crate::support::{Bot, stage};

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_its_user_alone_and_goes_with_its_owner() {
    let alice = stage::registered("alice").await;
    let socket = alice.home.join("socket");
    let mut running = alice.start(&["run"]);
    running.line_with("Running as @").await;
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(running.interrupt().await.code, Some(130));
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_dead_owner_is_in_nobodys_way() {
    let alice = stage::registered("alice").await;
    let socket = alice.home.join("socket");
    let mut running = alice.start(&["run"]);
    running.line_with("Running as @").await;
    running.kill().await;
    assert!(socket.exists());
    alice.run(&["whoami"]).await.ok();

    // Nor is a socket that somebody else made and left, or a file.
    drop(StdListener::bind(&socket).unwrap());
    alice.run(&["whoami"]).await.ok();
    fs::write(&socket, "no socket").unwrap();
    alice.run(&["whoami"]).await.ok();
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_no_address_holds_is_no_hindrance() {
    let mut alice = stage::newcomer("alice");
    alice.home = alice.folder.join("a-folder-with-a-name-that-goes-on-for-quite-a-while".repeat(4)).join("home");
    assert!(alice.home.as_os_str().len() > 200);
    fs::create_dir_all(alice.home.parent().unwrap()).unwrap();
    alice.register(&alice.name).await;
    let mut running = alice.start(&["run"]);
    running.line_with("Running as @").await;
    let mut bot = Bot::start(&alice);
    assert_eq!(bot.ok("hello", json!({})).await["pid"], running.pid());
    running.kill().await;
    assert_eq!(bot.ok("hello", json!({})).await["pid"], bot.pid());
}

/// Answers whoever comes to a home's socket with what is given.
fn answer_with(listener: UnixListener, answer: impl Fn(Value) -> Option<String> + Send + 'static) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (reader, mut writer) = stream.split();
            let call = BufReader::new(reader).lines().next_line().await.unwrap().unwrap();
            match answer(serde_json::from_str(&call).unwrap()) {
                Some(line) => writer.write_all(format!("{line}\n").as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_of_another_version_is_named_and_not_spoken_to() {
    let alice = stage::registered("alice").await;
    let account = alice.json(&["whoami"]).await.remove(0);
    let answers = [
        json!({ "api_version": 2, "program_version": "9", "pid": 1, "stays": true, "account": account }),
        json!({ "api": "something else altogether" }),
    ];
    for answer in answers {
        let listener = UnixListener::bind(alice.home.join("socket")).unwrap();
        answer_with(listener, move |call| {
            assert_eq!(call["method"], "hello");
            Some(json!({ "jsonrpc": "2.0", "id": call["id"], "result": answer }).to_string())
        });
        alice.run(&["contacts"]).await.failed(3, "is another version of kez-chat");
        assert_eq!(alice.json_error(&["contacts"]).await["code"], "OtherVersion");
        fs::remove_file(alice.home.join("socket")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_says_nonsense_or_nothing_is_no_owner_to_wait_for() {
    let alice = stage::registered("alice").await;
    let listener = UnixListener::bind(alice.home.join("socket")).unwrap();
    answer_with(listener, |_| Some("\x1b]0;owned\x07".to_owned()));
    alice.run(&["contacts"]).await.failed(2, "no JSON-RPC line");
    fs::remove_file(alice.home.join("socket")).unwrap();
    // As one does that was stopped with Ctrl-Z.
    let listener = UnixListener::bind(alice.home.join("socket")).unwrap();
    answer_with(listener, |_| None);
    alice.run(&["contacts"]).await.failed(3, "does not answer");
}
