//! The bots of `examples/api-bot`, on `kez-chat api`.

use std::{env, path::Path, process::Stdio};

use kez_testbed::{Testbed, guard::Guarded};

use crate::support::Person;

/// Starts the bot in Python with somebody's account.
fn start(bot: &Person) -> Guarded {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../api-bot/bot.py");
    let programs = Path::new(env!("CARGO_BIN_EXE_kez-chat")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap());
    let started = Guarded::spawn("python3", |command| {
        command.env("PATH", path).env("KEZ_PASSPHRASE_FILE", bot.folder.join("passphrase")).env_remove("KEZ_LOG");
        command.arg(program).arg("--home").arg(&bot.home).stdout(Stdio::null());
    });
    started.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_in_python_answers_once_though_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::new(folder.path(), "alice", &testbed.home_url());
    let bot = Person::new(folder.path(), "parrot", &testbed.home_url());
    tokio::join!(alice.register("alice"), bot.register("parrot"));
    // What owns her home is asked by her commands.
    let _owner = alice.start(&["run"]);
    alice.run(&["add", "@parrot"]).await.ok();
    let hear = async |text: &str| {
        let heard = alice.run(&["listen", "--count", "1", "--timeout", "50"]).await.ok();
        assert!(heard.ends_with(&format!(" @parrot: {text}\n")), "{heard}");
    };

    // Alice is a stranger to it first.
    let running = start(&bot);
    alice.run(&["send", "@parrot", "one"]).await.ok();
    hear("one").await;
    // Whether it has said that this is handled is as it comes.
    running.kill().await.unwrap();
    alice.run(&["send", "@parrot", "two"]).await.ok();
    let running = start(&bot);
    hear("two").await;
    alice.run(&["send", "@parrot", "three"]).await.ok();
    hear("three").await;
    let history = alice.run(&["history", "@parrot", "--json"]).await.ok();
    for text in ["one", "two", "three"] {
        assert_eq!(history.matches(&format!(r#""text":"{text}""#)).count(), 2, "{history}");
    }
    running.kill().await.unwrap();
    testbed.shutdown().await.unwrap();
}
