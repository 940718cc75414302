//! What every command writes with `--json` is as the schema says.

use std::{collections::BTreeSet, fs};

use kez_testbed::Testbed;
use serde_json::Value;

use crate::support::{Person, schema, stage};

/// They write no lines of ours: `api` has a language of its own, the others write files or nothing.
const WITHOUT_LINES: [&str; 4] = ["api", "chat", "completions", "man"];
/// What a home in good order does not show: a broken file, a connection that breaks, an error.
const KINDS_ELSEWHERE: [&str; 3] = ["checked_file", "connection", "error"];

/// What was played, and what was seen.
#[derive(Default)]
struct Play {
    commands: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Play {
    /// Runs a command, and checks its lines.
    async fn run(&mut self, who: &Person, arguments: &[&str]) -> Vec<Value> {
        let lines = who.json(arguments).await;
        self.saw(arguments[0], &lines);
        lines
    }

    fn saw(&mut self, command: &str, lines: &[Value]) {
        self.commands.insert(command.to_owned());
        self.kinds.extend(lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_every_command_is_as_the_schema_says() {
    let mut play = Play::default();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(stage::newcomer);
    for person in [&alice, &bob, &carol, &dave] {
        play.run(person, &["register", &person.name, "--backup-file", "words"]).await;
    }
    // Those who stay own their homes from here on.
    let mut running = alice.start(&["run", "--json"]);
    play.saw("run", &[schema::line(&running.line().await)]);
    let mut serving = bob.start(&["run"]);
    serving.line_with("Running as @").await;
    account(&mut play, &alice).await;
    people(&mut play, &alice, &bob).await;
    strangers(&mut play, &alice, &carol, &dave).await;
    messages(&mut play, &alice, &bob).await;
    files(&mut play, &alice, &bob).await;
    assert_eq!((running.interrupt().await.code, serving.interrupt().await.code), (Some(130), Some(130)));
    comings_and_goings(&mut play, &dave).await;

    let all = commands(&alice).await;
    let without: BTreeSet<String> = WITHOUT_LINES.map(ToOwned::to_owned).into();
    let missing: Vec<_> = all.difference(&play.commands).filter(|name| !without.contains(*name)).collect();
    assert!(missing.is_empty(), "these commands are not played: {missing:?}");
    let elsewhere: BTreeSet<String> = KINDS_ELSEWHERE.map(ToOwned::to_owned).into();
    let missing: Vec<_> = kinds().into_iter().filter(|kind| !play.kinds.contains(kind)).collect();
    let missing: Vec<_> = missing.into_iter().filter(|kind| !elsewhere.contains(kind)).collect();
    assert!(missing.is_empty(), "no command showed these kinds: {missing:?}");
}

async fn account(play: &mut Play, alice: &Person) {
    let account = play.run(alice, &["whoami"]).await.remove(0);
    assert_eq!(account["handle"], format!("{}@{}", alice.name, stage::domain()));
    assert_eq!(account["home_dir"], alice.home.display().to_string());
    play.run(alice, &["backup", "--to", "alice.kez"]).await;
    play.run(alice, &["export", "--to", "alice.jsonl"]).await;
    assert!(!play.run(alice, &["doctor"]).await.is_empty());
}

async fn people(play: &mut Play, alice: &Person, bob: &Person) {
    let handle = format!("{}@{}", bob.name, stage::domain());
    assert_eq!(play.run(alice, &["add", &bob.at()]).await[0]["handle"], handle);
    play.run(bob, &["add", &alice.at()]).await;
    assert_eq!(play.run(alice, &["contacts", "list"]).await.len(), 1);
    assert_eq!(play.run(alice, &["contacts", "show", &bob.at(), "--refresh"]).await[0]["handle"], handle);
    assert_eq!(play.run(alice, &["verify", &bob.at(), "--same"]).await[0]["verified"], true);
    assert_eq!(play.run(alice, &["nickname", &bob.at(), "brother"]).await[0]["nickname"], "brother");
    assert_eq!(play.run(alice, &["trust", "brother", "--one-sided"]).await[0]["agreement"], "agreed");
    assert_eq!(play.run(alice, &["block", "brother"]).await[0]["blocked"], true);
    assert_eq!(play.run(alice, &["block"]).await.len(), 1);
    assert_eq!(play.run(alice, &["unblock", "brother"]).await[0]["blocked"], false);
    assert_eq!(play.run(alice, &["presence"]).await[0]["who"]["handle"], handle);
    assert_eq!(play.run(alice, &["presence", "--set", "away"]).await[0]["visibility"], "away");
}

async fn strangers(play: &mut Play, alice: &Person, carol: &Person, dave: &Person) {
    for stranger in [carol, dave] {
        play.run(stranger, &["add", &alice.at()]).await;
        play.run(stranger, &["send", &alice.at(), "you don't know me"]).await;
    }
    // Two requests are told, and no message.
    let told = play.run(alice, &["listen", "--count", "2", "--timeout", "60"]).await;
    assert_eq!(told.iter().filter(|line| line["kind"] == "request").count(), 2, "{told:?}");
    assert_eq!(play.run(alice, &["requests"]).await.len(), 2);
    let read = play.run(alice, &["requests", &carol.at()]).await;
    assert_eq!(read[0]["content"]["text"], "you don't know me");
    play.run(alice, &["accept", &carol.at()]).await;
    play.run(alice, &["decline", &dave.at()]).await;
    assert!(play.run(alice, &["requests"]).await.is_empty());
    play.run(alice, &["listen", "--count", "1", "--timeout", "60"]).await;
    play.run(alice, &["remove", &carol.at()]).await;
}

async fn messages(play: &mut Play, alice: &Person, bob: &Person) {
    let sent = play.run(alice, &["send", &bob.at(), "see you at the harbour"]).await.remove(0);
    let heard = play.run(bob, &["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!(heard.last().unwrap()["id"], sent["id"]);
    play.run(bob, &["send", &alice.at(), "at eight", "--reply-to", sent["id"].as_str().unwrap()]).await;
    play.run(alice, &["listen", "--count", "1", "--timeout", "60"]).await;
    let history = play.run(alice, &["history", &bob.at()]).await;
    assert_eq!(history.len(), 2, "{history:?}");
    let places: Vec<String> = history.iter().map(|message| message["place"].to_string()).collect();
    assert_eq!(history[1]["reply_to"]["id"], sent["id"]);
    play.run(alice, &["react", &bob.at(), &places[1], "👍"]).await;
    play.run(alice, &["edit", &bob.at(), &places[0], "see you at the lighthouse"]).await;
    play.run(bob, &["listen", "--count", "2", "--timeout", "60"]).await;
    assert_eq!(play.run(bob, &["search", "lightho", "--with", &alice.at()]).await.len(), 1);
    assert_eq!(play.run(bob, &["conversations"]).await.len(), 1);
    play.run(alice, &["delete", &bob.at(), &places[0]]).await;
    assert_eq!(play.run(alice, &["history", &bob.at()]).await[0]["content"]["type"], "deleted");
}

async fn files(play: &mut Play, alice: &Person, bob: &Person) {
    fs::write(alice.folder.join("report.txt"), "all is well").unwrap();
    let serving = play.run(alice, &["share", &bob.at(), "report.txt", "--publish"]).await.remove(0);
    assert_eq!((&serving["kind"], &serving["is_here"]), (&"serving".into(), &false.into()));
    play.run(bob, &["listen", "--count", "2", "--timeout", "60"]).await;
    let offer = play.run(bob, &["files", "--offers"]).await.remove(0)["share_id"].to_string();
    let fetched = play.run(bob, &["fetch", &offer, "--to", "downloads"]).await.remove(0);
    assert_eq!(fs::read_to_string(fetched["path"].as_str().unwrap()).unwrap(), "all is well");
    let download = play.run(bob, &["transfers"]).await.remove(0)["download"].to_string();
    play.run(bob, &["transfers", "--cancel", &download]).await;

    fs::write(alice.folder.join("song.txt"), "la la la").unwrap();
    let published = play.run(alice, &["publish", "song.txt", "--public"]).await.remove(0);
    // It is on the sigchain some seconds later.
    let listed = loop {
        let listed = play.run(bob, &["browse", &alice.at()]).await;
        if listed.iter().any(|entry| entry["id"] == published["id"]) {
            break listed;
        }
    };
    assert_eq!(listed.len(), 2, "{listed:?}");
    play.run(bob, &["fetch", &alice.at(), published["id"].as_str().unwrap(), "--to", "downloads"]).await;
    play.run(alice, &["unpublish", published["id"].as_str().unwrap()]).await;
    play.run(alice, &["files"]).await;
    play.run(alice, &["files", "--usage"]).await;
    assert!(play.run(alice, &["files", "--check"]).await.is_empty());
    play.run(alice, &["unshare", &serving["share"].to_string()]).await;
}

/// Recovers, moves and leaves.
async fn comings_and_goings(play: &mut Play, dave: &Person) {
    let words = fs::read(dave.folder.join("words")).unwrap();
    let new = stage::newcomer("dave");
    let recovered = new.run_with_input(&["recover", "--json"], &words).await.ok();
    play.saw("recover", &recovered.lines().map(schema::line).collect::<Vec<_>>());

    // From a home that is gone, since one that is there is listened to for a minute before it is left.
    let folder = tempfile::tempdir().unwrap();
    let old = Testbed::start().await.unwrap();
    let erin = stage::elsewhere(folder.path(), "erin", &old);
    erin.register("erin").await;
    old.shutdown().await.unwrap();
    let there = format!("@erin@{}", stage::domain());
    assert_eq!(play.run(&erin, &["move", &there, "--plan"]).await.len(), 1);
    assert_eq!(play.run(&erin, &["move", &there, "--yes", "--without-old-home"]).await.len(), 2);
    play.run(&erin, &["retire", "--confirm", &there]).await;
}

/// Lists all commands, as the help does.
async fn commands(who: &Person) -> BTreeSet<String> {
    let help = who.run(&["--help"]).await.ok();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names: BTreeSet<String> = names.filter(|name| *name != "help").map(ToOwned::to_owned).collect();
    assert!(names.len() > 30, "{names:?}");
    names
}

/// Lists all kinds of lines that commands show, apart from events.
fn kinds() -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(&schema::text()).unwrap();
    let kinds = schema["$defs"]["Object"]["oneOf"].as_array().unwrap().iter();
    kinds.map(|kind| kind["properties"]["kind"]["const"].as_str().unwrap().to_owned()).collect()
}
