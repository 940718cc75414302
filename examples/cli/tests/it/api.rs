//! `kez-chat api`: calls and their answers.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Bot, stage};

/// Takes long enough to be sealed that other calls are answered meanwhile; it has no blocks on the disk.
const LARGE: u64 = 256 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_refused_by_name_and_harms_no_other_line() {
    let mut bot = Bot::start(&stage::registered("alice").await);
    let too_long = vec![b'x'; 2 << 20];
    let params = json!({ "with": "@al", "text": "x".repeat(900_000), "to": 1 });
    let long = json!({ "jsonrpc": "2.0", "id": 12, "method": "set_draft", "params": params }).to_string();
    let cases: [(&[u8], Value, &str); 13] = [
        (b"nonsense", Value::Null, "BadLine"),
        (b"\xff\xfe", Value::Null, "BadLine"),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"whoami\",\"params\":{\"a\":\"\xff\"}}", Value::Null, "BadLine"),
        (b"[]", Value::Null, "BadLine"),
        (br#"{"id":1,"method":"whoami"}"#, Value::Null, "BadLine"),
        (br#"{"jsonrpc":"2.0","id":1}"#, Value::Null, "BadLine"),
        (&too_long, Value::Null, "TooLarge"),
        (br#"{"jsonrpc":"2.0","id":7,"method":"sendd"}"#, 7.into(), "NoSuchMethod"),
        (br#"{"jsonrpc":"2.0","id":"eight","method":"send","params":{"to":"@bob"}}"#, "eight".into(), "BadParams"),
        (br#"{"jsonrpc":"2.0","id":9,"method":"send","params":["@bob","hi"]}"#, 9.into(), "BadParams"),
        (br#"{"jsonrpc":"2.0","id":10,"method":"whoami","params":{"who":"me"}}"#, 10.into(), "BadParams"),
        (br#"{"jsonrpc":"2.0","id":11,"method":"history","params":{"with":"@al","limit":-1}}"#, 11.into(), "BadParams"),
        (long.as_bytes(), 12.into(), "BadParams"),
    ];
    for (line, id, name) in cases {
        // Nobody waits for an answer to this one, and none comes.
        bot.write(br#"{"jsonrpc":"2.0","method":"nonsense"}"#).await;
        bot.write(line).await;
        let answer = bot.read().await.unwrap();
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
        assert_eq!((&answer["id"], &answer["error"]["data"]["name"]), (&id, &name.into()), "{shown}: {answer}");
        assert_eq!(answer["error"]["code"], 2, "{shown}");
        assert!(
            answer.as_object().unwrap().contains_key("id"),
            "JSON-RPC 2.0, section 5: it is null if it is not known"
        );
    }
    bot.ok("whoami", json!({})).await;
    assert_eq!(bot.end().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_64_kib_is_too_large_and_one_that_fits_arrives() {
    let (alice, bob) = stage::pair().await;
    let (mut sender, mut receiver) = (Bot::start(&alice), Bot::listening(&bob).await);
    let send = |text: String| json!({ "to": bob.at(), "text": text, "wait_s": 10 });
    assert_eq!(sender.fails("send", send("a".repeat(64 << 10))).await, "TooLarge");
    assert_eq!(sender.fails("send", send(String::new())).await, "BadPayload");
    // Each of its characters is escaped on the way.
    let longest = "\u{202e}".repeat((48 << 10) / 3);
    sender.ok("send", send(longest.clone())).await;
    assert!(receiver.take_message().await == longest);
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_calls_are_answered_before_slow_ones_which_tell_how_far_they_are_and_can_be_cancelled() {
    let (alice, bob) = stage::pair().await;
    let large = alice.folder.join("large");
    fs::File::create(&large).unwrap().set_len(LARGE).unwrap();
    let mut bot = Bot::start(&alice);
    let share = json!({ "with": [bob.at()], "path": large, "name": "0a".repeat(16) });
    let slow = bot.begin("share", share.clone()).await;
    bot.notification(|told| told["method"] == "progress" && told["params"]["call"] == slow).await;
    bot.ok("whoami", json!({})).await;
    bot.write(json!({ "jsonrpc": "2.0", "id": slow, "method": "whoami" }).to_string()).await;
    let twice = bot.read_answer().await;
    assert_eq!((&twice["id"], &twice["error"]["data"]["name"]), (&slow.into(), &"TooManyCalls".into()), "{twice}");

    let slow = bot.begin("share", json!({ "with": [bob.at()], "path": large })).await;
    bot.notification(|told| told["method"] == "progress" && told["params"]["call"] == slow).await;
    bot.write(json!({ "jsonrpc": "2.0", "method": "cancel", "params": { "call": slow } }).to_string()).await;
    assert_eq!(bot.answer(slow).await.unwrap_err()["data"]["name"], "Cancelled");
    bot.ok("whoami", json!({})).await;
    assert_eq!(bot.ok("shares", json!({})).await["shares"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_and_a_fetch_tell_how_far_they_are_until_they_are_done() {
    let (alice, bob) = stage::pair().await;
    let content: Vec<u8> = rand::random_iter().take(8 << 20).collect();
    let file = alice.folder.join("song.ogg");
    fs::write(&file, &content).unwrap();
    let (mut sharer, mut fetcher) = (Bot::start(&alice), Bot::listening(&bob).await);
    let share = sharer.ok("share", json!({ "with": [bob.at()], "path": file })).await;
    assert_eq!((&share["total_bytes"], &share["file_count"]), (&content.len().into(), &1.into()));
    goes_up_to(&sharer.heard(), content.len());
    let offer = fetcher.event("file_shared").await;
    let fetch = json!({ "share_id": offer["event"]["share_id"], "to": bob.folder.join("downloads") });
    let fetched = fetcher.ok("fetch", fetch).await;
    let path = fetched["paths"][0].as_str().unwrap();
    assert!(path.ends_with("/downloads/song.ogg") && fs::read(path).unwrap() == content, "{path}");
    goes_up_to(&fetcher.heard(), content.len());
}

/// Checks that progress was told, went up only, and came to its end.
fn goes_up_to(told: &[Value], bytes: usize) {
    let progress: Vec<&Value> = told.iter().filter(|told| told["method"] == "progress").collect();
    let done: Vec<u64> = progress.iter().map(|told| told["params"]["done_bytes"].as_u64().unwrap()).collect();
    assert!(done.is_sorted() && done.last() == Some(&(bytes as u64)), "{progress:?}");
    assert!(progress.iter().all(|told| told["params"]["total_bytes"] == bytes), "{progress:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_the_end_of_the_input_is_answered() {
    let (alice, bob) = stage::pair().await;
    let file = alice.folder.join("file");
    fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
    let mut bot = Bot::start(&alice);
    bot.begin("share", json!({ "with": [bob.at()], "path": file })).await;
    bot.begin("send", json!({ "to": bob.at(), "text": "bye", "wait_s": 10 })).await;
    bot.begin("add", json!({ "who": "@nobody-of-that-name" })).await;
    let last = bot.begin("history", json!({ "with": bob.at() })).await;
    let (code, answers) = bot.end().await;
    assert_eq!(code, Some(0));
    let failed: Vec<i64> = answers.iter().filter(|(_, answer)| answer.is_err()).map(|(call, _)| *call).collect();
    assert_eq!((answers.len(), failed.as_slice()), (4, [3].as_slice()), "{answers:?}");
    // They were begun in their order, though not answered so.
    let messages = answers[&last].as_ref().unwrap()["messages"].as_array().unwrap().clone();
    assert!(messages.iter().any(|message| message["content"]["text"] == "bye"), "{messages:?}");

    // A line that ends with the input is one.
    let line = br#"{"jsonrpc":"2.0","id":1,"method":"whoami"}"#;
    let stdout = alice.run_with_input(&["api"], line).await.ok();
    assert!(stdout.starts_with(r#"{"jsonrpc":"2.0","id":1,"result":{"#), "{stdout}");
    // And half of one is none.
    let stdout = alice.run_with_input(&["api"], &line[..line.len() - 1]).await.ok();
    assert!(stdout.starts_with(r#"{"jsonrpc":"2.0","id":null,"error""#), "{stdout}");
}
