//! The bot as it is run, killed in the middle of an answer, against a real broker and servers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod command;

use std::{
    fs,
    io::{BufRead as _, BufReader, PipeReader, Write as _},
    process::Stdio,
    thread,
};

use kez_testbed::{Testbed, guard::Guarded};
use tokio::{task::spawn_blocking, time::timeout};

use self::command::{Command, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_answering_and_handling_it_answers_once() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    fs::write(folder.path().join("echo.passphrase"), "correct horse\n").unwrap();
    let start = || {
        let (reader, writer) = std::io::pipe().unwrap();
        let mine = writer.try_clone().unwrap();
        let bot = Guarded::spawn(env!("CARGO_BIN_EXE_kez-echo-bot"), |command| {
            let arguments = ["echo", "echo", &testbed.home_url()];
            command.current_dir(folder.path()).args(arguments).stdout(Stdio::from(writer));
        });
        (bot.unwrap(), BufReader::new(reader), mine)
    };
    let (bot, says, mut writer) = start();
    let says = until(says, "this is @echo@").await;
    let alice = Command::register(folder.path(), &testbed.home_url(), "alice").await;
    alice.run(&["add", "@echo"]).await;

    // Alice is a stranger to it first.
    alice.run(&["send", "@echo", "one"]).await;
    assert_eq!(alice.hear().await, "one");
    let says = until(says, "answered ").await;

    // From now on nobody reads what it says, so that it stands still between the answer and its being handled.
    let filling = thread::spawn(move || while writer.write_all(&[b'\n'; 4096]).is_ok() {});
    alice.run(&["send", "@echo", "two"]).await;
    assert_eq!(alice.hear().await, "two");
    bot.kill().await.unwrap();
    drop(says);
    filling.join().unwrap();

    let (bot, says, writer) = start();
    drop(writer);
    let _says = until(says, "answered ").await;
    alice.run(&["send", "@echo", "three"]).await;
    assert_eq!(alice.hear().await, "three", "the second answer does not come again");
    let history = alice.run(&["history", "@echo", "--json"]).await;
    let count = |text: &str| history.matches(&format!(r#""text":"{text}""#)).count();
    assert_eq!([count("one"), count("two"), count("three")], [2; 3], "{history}");
    bot.kill().await.unwrap();
    testbed.shutdown().await.unwrap();
}

/// Reads on to a line that begins so.
async fn until(mut says: BufReader<PipeReader>, begin: &'static str) -> BufReader<PipeReader> {
    let reading = spawn_blocking(move || {
        let mut line = String::new();
        while !line.starts_with(begin) {
            line.clear();
            assert_ne!(says.read_line(&mut line).unwrap(), 0, "it ended");
        }
        says
    });
    timeout(PATIENCE, reading).await.expect("it says nothing").unwrap()
}
