//! Who floods inboxes is found, named, shut out and purged; who does not is left alone, and so are everybody's messages
//! meanwhile.

use std::io::Write as _;
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind};
use data_encoding::BASE64URL_NOPAD;
use futures::StreamExt as _;
use kez_core::broker::Route;
use kez_core::identity::PrimaryKey;
use kez_testbed::Testbed;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::sync::CancellationToken;

use crate::inbox_keeping::{operator, waiting};
use crate::program::done;
use crate::support::{Connected, Person, next, try_login, until};
use crate::sweep::{metric, swept};

/// Stored with a payload of 500 bytes, and a subject of 107.
const SMALL: u64 = 637;

/// Logs in by the bare protocol.
async fn raw(testbed: &Testbed, person: &Person) -> (BufReader<OwnedReadHalf>, tokio::net::tcp::OwnedWriteHalf) {
    let address = testbed.nats_url().replace("nats://", "");
    let (read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    read.read_line(&mut line).await.unwrap();
    let info: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
    let auth = person.login(testbed.domain(), info["nonce"].as_str().unwrap().as_bytes());
    let signature = BASE64URL_NOPAD.encode(&auth.signature.unwrap());
    let connect = json!({ "verbose": false, "pedantic": false, "headers": true, "lang": "raw", "version": "1",
        "protocol": 1, "nkey": auth.nkey.unwrap(), "sig": signature });
    write.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await.unwrap();
    loop {
        line.clear();
        read.read_line(&mut line).await.unwrap();
        match line.trim() {
            "PONG" => return (read, write),
            other => assert!(other.starts_with("INFO"), "{other}"),
        }
    }
}

/// Sends as fast as the line takes it until it is cut, to these and twice as often to nobody; returns how many went out.
async fn flood(testbed: &Testbed, flooder: &Person, route: Route, to: Vec<PrimaryKey>, bytes: usize) -> u64 {
    let (mut read, mut write) = raw(testbed, flooder).await;
    let payload = vec![b'x'; bytes];
    let mut sent = 0_u64;
    let sending = async {
        loop {
            let recipient = if sent.is_multiple_of(3) && sent / 3 < 900 * to.len() as u64 {
                to[(sent / 3) as usize % to.len()].to_hex()
            } else {
                data_encoding::HEXLOWER.encode(&rand::random::<[u8; 32]>())
            };
            let head = format!("PUB kez.inbox.{recipient}.{route} {bytes}\r\n");
            let frame = [head.as_bytes(), &payload, b"\r\n"].concat();
            if write.write_all(&frame).await.is_err() {
                return;
            }
            sent += 1;
        }
    };
    let reading = async {
        let mut line = String::new();
        while read.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            assert!(!line.contains("Permissions Violation"), "{line}");
            line.clear();
        }
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
    sent
}

async fn stored_bytes(operator: &Client) -> u64 {
    let answer = operator.request("$JS.API.STREAM.INFO.KEZ_INBOX", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&answer.payload).unwrap();
    info["state"]["bytes"].as_u64().unwrap()
}

/// Counts what waits by a route.
async fn by_route(operator: &Client, route: &Route) -> u64 {
    let filter = json!({ "subjects_filter": format!("kez.inbox.*.{route}") });
    let answer = operator.request("$JS.API.STREAM.INFO.KEZ_INBOX", filter.to_string().into()).await.unwrap();
    let info: Value = serde_json::from_slice(&answer.payload).unwrap();
    let subjects = info["state"]["subjects"].as_object();
    subjects.map_or(0, |subjects| subjects.values().filter_map(Value::as_u64).sum())
}

async fn is_shut_out(testbed: &Testbed, person: &Person) -> bool {
    let (person, domain) = (Person { key: person.key.clone(), primary: person.primary }, testbed.domain().clone());
    match try_login(testbed, move |nonce| person.login(&domain, &nonce)).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{error}");
            true
        }
    }
}

/// Sends messages of 500 bytes and waits for each to be stored; no more than 900 to one.
async fn send_small(sender: &Connected, route: &Route, to: &[PrimaryKey], messages: usize) {
    let text = "y".repeat(500);
    let sending = (0..messages).map(|n| sender.send(&to[n % to.len()], route, &text));
    let acks = futures::stream::iter(sending).buffer_unordered(64).collect::<Vec<_>>().await;
    assert!(acks.iter().all(|ack| ack["error"].is_null()), "{acks:?}");
}

/// Runs the flood; returns the most bytes that were stored and the time to the cut.
async fn cut_a_flood(testbed: &Testbed, bytes: usize) -> (u64, Duration) {
    let mallory = Person::registered(testbed, "mallory").await;
    let (alice, bob) = (Person::registered(testbed, "alice").await, Person::registered(testbed, "bob").await);
    let operator = operator(testbed).await;
    let route = mallory.route(testbed).await;
    let bob_route = bob.route(testbed).await;
    let (alice_on, bob_on) = (alice.connect(testbed).await, bob.connect(testbed).await);
    let mut inbox = alice_on.inbox().await;

    let stop = CancellationToken::new();
    let talking = async {
        let (mut rounds, mut slowest) = (0_u32, Duration::ZERO);
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let text = format!("{rounds}");
            assert!(bob_on.send(&alice.primary, &bob_route, &text).await["error"].is_null());
            // Mallory writes to her too. She disposes of it all.
            loop {
                let frame = next(&mut inbox).await;
                alice_on.client.publish(frame.reply.unwrap(), "+ACK".into()).await.unwrap();
                if frame.payload == text {
                    break;
                }
            }
            slowest = slowest.max(begun.elapsed());
            rounds += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (rounds, slowest)
    };
    let watching = async {
        let mut most = 0;
        while !stop.is_cancelled() {
            most = most.max(stored_bytes(&operator).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        most
    };
    let flooding = async {
        let begun = Instant::now();
        let to = vec![alice.primary, bob.primary, mallory.primary];
        let sent = flood(testbed, &mallory, route, to, bytes).await;
        let took = begun.elapsed();
        until(async || (by_route(&operator, &route).await == 0).then_some(())).await;
        // What had been taken but not stored yet goes as well.
        swept(testbed, &operator).await;
        stop.cancel();
        (sent, took)
    };
    let ((rounds, slowest), most, (sent, took)) = tokio::join!(talking, watching, flooding);
    let mut out = std::io::stdout();
    writeln!(out, "flood: {} MiB stored, cut after {:.1} s", most >> 20, took.as_secs_f64()).unwrap();
    writeln!(out, "flood: {sent} messages sent; {rounds} of others' came through, the slowest in {slowest:?}").unwrap();
    assert!(rounds > 1, "others' messages go on");

    assert!(is_shut_out(testbed, &mallory).await);
    let listed = done(testbed, &["handles", "list"]).await;
    let line = listed.lines().find(|line| line.contains("mallory@")).unwrap();
    assert!(line.contains("blocked"), "{listed}");
    assert_eq!(listed.matches("blocked").count(), 1, "{listed}");
    until(async || (by_route(&operator, &route).await == 0).then_some(())).await;
    assert_eq!(metric(testbed, "kez_chat_floods_total").await, 1.0);
    assert!(metric(testbed, "kez_chat_flood_purged_total").await > 0.0);

    done(testbed, &["unblock", "mallory"]).await;
    assert!(!is_shut_out(testbed, &mallory).await);
    (most, took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_at_line_rate_is_cut_while_others_messages_go_on() {
    let limited = Testbed::builder().chat_settings(|settings| {
        settings.flood_limit_bytes = 8 << 20;
        settings.sweep_every = Duration::from_secs(2);
    });
    let testbed = limited.start().await.unwrap();
    cut_a_flood(&testbed, 65_000).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes up to a gigabyte; run by `cargo xtask soak flood`"]
async fn a_flood_under_the_default_settings() {
    let testbed = Testbed::start().await.unwrap();
    cut_a_flood(&testbed, 65_000).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by `cargo xtask soak flood`"]
async fn a_flood_of_small_messages_under_the_default_settings() {
    let testbed = Testbed::start().await.unwrap();
    cut_a_flood(&testbed, 500).await;
    testbed.shutdown().await.unwrap();
}

/// A limit of 1 MiB: small messages add up to it in a moment.
async fn start_small() -> Testbed {
    let limited = Testbed::builder().chat_settings(|settings| {
        settings.flood_limit_bytes = 1 << 20;
        settings.sweep_every = Duration::from_millis(500);
    });
    limited.start().await.unwrap()
}

#[tokio::test]
async fn who_stays_below_the_limit_is_left_alone_and_small_messages_add_up() {
    let testbed = start_small().await;
    let bob = Person::registered(&testbed, "bob").await;
    let (alice, carol) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "carol").await);
    let operator = operator(&testbed).await;
    let (route, carols) = (bob.route(&testbed).await, carol.route(&testbed).await);
    let mut bob_on = bob.connect(&testbed).await;
    let carol_on = carol.connect(&testbed).await;
    let to = [alice.primary, bob.primary, carol.primary];
    let below = ((1 << 20) / SMALL) as usize;
    send_small(&carol_on, &carols, &to, below).await;
    // In pieces, as somebody does who is not in a hurry, with a sweep after each.
    for part in [below / 2, below - below / 2] {
        send_small(&bob_on, &route, &to, part).await;
        swept(&testbed, &operator).await;
    }
    swept(&testbed, &operator).await;
    assert_eq!(by_route(&operator, &route).await, below as u64);
    assert!(!is_shut_out(&testbed, &bob).await);
    assert_eq!(metric(&testbed, "kez_chat_floods_total").await, 0.0);

    send_small(&bob_on, &route, &to, 1).await;
    bob_on.cut_off().await;
    until(async || (by_route(&operator, &route).await == 0).then_some(())).await;
    assert_eq!(metric(&testbed, "kez_chat_floods_total").await, 1.0);
    assert_eq!(by_route(&operator, &carols).await, below as u64, "somebody else's messages stay");
    assert!(is_shut_out(&testbed, &bob).await);
    let refused = async || metric(&testbed, r#"kez_chat_logins_total{outcome="Blocked"}"#).await;
    assert!(refused().await >= 1.0);
    assert!(!is_shut_out(&testbed, &carol).await);
    done(&testbed, &["unblock", "bob"]).await;
    assert!(!is_shut_out(&testbed, &bob).await);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_read_counts_no_more() {
    let testbed = start_small().await;
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let operator = operator(&testbed).await;
    let route = bob.route(&testbed).await;
    let (alice_on, bob_on) = (alice.connect(&testbed).await, bob.connect(&testbed).await);
    let mut inbox = alice_on.inbox().await;
    // Three times the limit in all.
    for _ in 0..6 {
        send_small(&bob_on, &route, &[alice.primary], 800).await;
        swept(&testbed, &operator).await;
        for _ in 0..800 {
            let frame = next(&mut inbox).await;
            alice_on.client.publish(frame.reply.unwrap(), "+ACK".into()).await.unwrap();
        }
        until(async || (waiting(&operator, &alice.primary).await == 0).then_some(())).await;
    }
    assert!(!is_shut_out(&testbed, &bob).await);
    assert_eq!(metric(&testbed, "kez_chat_floods_total").await, 0.0);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_flooded_and_left_is_named_all_the_same() {
    let mut testbed = start_small().await;
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let carol = Person::registered(&testbed, "carol").await;
    let operator = operator(&testbed).await;
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    testbed.stop_chat_server().await;
    send_small(&bob_on, &route, &[alice.primary, carol.primary], 1_700).await;
    // Nobody of those who are connected has sent it.
    drop(bob_on);
    testbed.start_chat_server().await.unwrap();
    until(async || (by_route(&operator, &route).await == 0).then_some(())).await;
    assert_eq!(metric(&testbed, "kez_chat_floods_total").await, 1.0);
    assert!(is_shut_out(&testbed, &bob).await);
    for person in [&alice, &carol] {
        assert!(!is_shut_out(&testbed, person).await);
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_flood_is_purged_of_who_was_blocked_or_removed_before_it_was() {
    for command in [&["block", "bob"][..], &["handles", "remove", "bob", "--yes"]] {
        let mut testbed = start_small().await;
        let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
        let carol = Person::registered(&testbed, "carol").await;
        let operator = operator(&testbed).await;
        let (route, carols) = (bob.route(&testbed).await, carol.route(&testbed).await);
        let (bob_on, carol_on) = (bob.connect(&testbed).await, carol.connect(&testbed).await);
        // As if the server had died after it blocked somebody, or somebody else had been faster.
        testbed.stop_chat_server().await;
        send_small(&bob_on, &route, &[alice.primary, carol.primary], 1_700).await;
        send_small(&carol_on, &carols, &[alice.primary], 10).await;
        done(&testbed, command).await;
        testbed.start_chat_server().await.unwrap();
        until(async || (by_route(&operator, &route).await == 0).then_some(())).await;
        assert_eq!(by_route(&operator, &carols).await, 10, "{command:?}");
        assert!(is_shut_out(&testbed, &bob).await);
        assert_eq!(metric(&testbed, "kez_chat_floods_total").await, 0.0, "nobody was blocked for it now");
        testbed.shutdown().await.unwrap();
    }
}
