//! The program as it is run, against a real broker and servers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../../echo-bot/tests/it/command.rs"]
mod command;

use kez_testbed::Testbed;

use self::command::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_text_arrives_from_an_account_that_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let bob = Command::register(folder.path(), &testbed.home_url(), "bob").await;
    for text in ["hello", "hello again"] {
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_kez-embed"));
        let arguments = ["al", "al", &testbed.home_url(), "@bob", text];
        program.current_dir(folder.path()).args(arguments).env("PASSPHRASE", "correct horse").kill_on_drop(true);
        let hears = async {
            if text == "hello" {
                // A stranger's message waits, and nobody says that it has arrived.
                bob.run(&["listen", "--count", "1", "--timeout", "50"]).await;
                bob.run(&["accept", "@al"]).await;
            }
            bob.hear().await
        };
        let (ended, heard) = tokio::join!(program.output(), hears);
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!((String::from_utf8(ended.stdout).unwrap(), heard.as_str()), (format!("Delivered: {text}\n"), text));
    }
    testbed.shutdown().await.unwrap();
}
