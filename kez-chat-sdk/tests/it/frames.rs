//! Frames that others aim at somebody's delivery subject, and headers that they put on true ones.

use async_nats::Message;
use futures::{FutureExt, StreamExt, stream};
use kez_chat_sdk::{
    broker::{Day, Route, subject},
    envelope::{self, Peer},
    identity::SecretKey,
    payload::{Content, MessageId, Payload},
    sigchain::Install,
};
use kez_testbed::{Testbed, TestbedError};

use crate::{
    front::now_ms,
    operator::operator,
    people::{PATIENCE, Person, next, offline, online, text_of, two_friends},
    raw::{Frame, Op, Raw},
};

/// Mallory has an account, and has the broker's answers to what she does sent to where Alice listens.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_aimed_at_somebody_are_ignored_and_not_acknowledged() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let mallory = Person::new();
    mallory.register(&testbed, "mallory").await.shutdown().await;
    online(&a).await;
    let mut connection = a.connection();
    let mut acks = acks_of(&testbed, &alice).await;
    // What reaches Alice's client reaches this connection of hers as well.
    let target = subject::deliver(&a.primary());
    let mut canary = Raw::login(&testbed, &alice.key()).await;
    canary.send(format!("SUB {target} 1\r\n").as_bytes()).await;
    assert!(canary.fence().await.is_empty());

    let mut raw = Raw::login(&testbed, &mallory.key()).await;
    let route = route_of(&testbed, &mallory.key());
    let own_inbox = subject::inbox_publish(&mallory.key().primary(), &route);
    let alices_presence = subject::presence_publish(&a.primary(), &route);
    // A message of hers to herself, to acknowledge.
    raw.send(format!("SUB {} 1\r\n", subject::deliver(&mallory.key().primary())).as_bytes()).await;
    raw.publish(&own_inbox, "", "", b"x").await;
    let own_ack = raw.frame().await.reply.unwrap();
    raw.send(b"UNSUB 1\r\n").await;
    let large = vec![b'x'; 70_000];
    let with = |header: &str| format!("NATS/1.0\r\n{header}\r\n");
    let attacks: [(&str, &str, String, &[u8], &str); 9] = [
        ("a PubAck", &own_inbox, String::new(), b"x", "\"stream\":\"KEZ_INBOX\""),
        ("a PubAck of presence", &alices_presence, String::new(), b"x", "\"stream\":\"KEZ_PRESENCE\""),
        ("a PubAck of a named message", &own_inbox, with("Nats-Msg-Id: m"), b"x", "\"seq\""),
        ("a duplicate's PubAck", &own_inbox, with("Nats-Msg-Id: m"), b"x", "\"duplicate\""),
        ("a wrong sequence", &own_inbox, with("Nats-Expected-Last-Sequence: 9999"), b"x", "10071"),
        ("a wrong stream", &own_inbox, with("Nats-Expected-Stream: NOPE"), b"x", "10060"),
        ("too large a message", &own_inbox, String::new(), &large, "10054"),
        ("a pull on a push consumer", &own_ack, String::new(), b"+NXT", "409 Consumer is push based"),
        ("the answer to an acknowledgement", &own_ack, String::new(), b"+ACK", ""),
    ];
    for (name, subject, headers, payload, answer) in attacks {
        raw.publish(subject, &target, &headers, payload).await;
        assert!(raw.fence().await.is_empty(), "{name} was not sent");
        let Frame { subject, reply, headers, payload } = canary.frame().await;
        assert_eq!((subject, reply), (target.clone(), None), "{name}");
        let said = headers + std::str::from_utf8(&payload).unwrap();
        assert!(said.contains(answer), "{name}: {said}");
    }
    // Nor can she send a frame of her own there.
    raw.publish(&target, "", "", b"x").await;
    assert!(matches!(raw.fence().await.as_slice(), [Op::Error(why)] if why.contains(&target)));

    b.conversation(a.primary()).send_text("true").await.unwrap();
    assert_eq!(text_of(&next(&a).await), "true");
    // Acknowledgements come in the order in which frames were taken: had one of the others been acknowledged, that ack
    // would be the first.
    let delivered = canary.frame().await;
    assert_eq!(acks.next().await.subject.as_str(), delivered.reply.unwrap());
    assert_eq!(connection.changed().now_or_never(), None, "the session went on");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_true_delivery_are_not_believed() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let (to, from) = (a.handle().clone(), b.handle().clone());
    b.shutdown().await;
    let mut acks = acks_of(&testbed, &alice).await;
    let mut raw = Raw::login(&testbed, &bob.key()).await;
    let inbox = subject::inbox_publish(&a.primary(), &route_of(&testbed, &bob.key()));
    for (number, headers) in [
        "NATS/1.0 503\r\n",
        "NATS/1.0 503 No Responders\r\n",
        "NATS/1.0 409 Consumer Deleted\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 9\r\n",
        "NATS/1.0 100 FlowControl Request\r\n",
        "NATS/1.0\r\nStatus: 503\r\nDescription: No Responders\r\n",
        "NATS/1.0\r\nNats-Subject: kez.inbox.nobody\r\nNats-Stream: OTHER\r\nNats-Sequence: 1\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("number {number}");
        let payload = Payload {
            id: MessageId(rand::random()),
            install: Install::from_bytes([7; 8]),
            seq: u64::try_from(number).unwrap() + 1,
            sent_at_ms: now_ms(),
            from: Some(from.clone()),
            to: Some(to.clone()),
            content: Content::Text(text.clone()),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let key = bob.key();
        let wire = envelope::seal(&key, &Peer::new(&key, a.primary()), &payload.encode().unwrap(), &rand::random());
        raw.publish(&inbox, "", headers, &wire.unwrap()).await;
        assert!(raw.fence().await.is_empty());
        assert_eq!(text_of(&next(&a).await), text, "{headers}");
        acks.next().await;
    }
    testbed.shutdown().await.unwrap();
}

/// The client's library hangs up on it, each time that it is delivered. The home clears it away after the next login.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_ends_the_connection_delays_others_and_stops_none() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let mallory = Person::new();
    mallory.register(&testbed, "mallory").await.shutdown().await;
    online(&a).await;
    let mut raw = Raw::login(&testbed, &mallory.key()).await;
    let inbox = subject::inbox_publish(&a.primary(), &route_of(&testbed, &mallory.key()));
    raw.publish(&inbox, "", "NATS/1.0\r\nno colon\r\n", b"x").await;
    assert!(raw.fence().await.is_empty());
    offline(&a, "ConnectionLost").await;
    b.conversation(a.primary()).send_text("behind it").await.unwrap();
    assert_eq!(text_of(&next(&a).await), "behind it");
    online(&a).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_with_the_second_ack_shape_are_taken_and_acknowledged() {
    let testbed = match Testbed::builder().extra_nats_conf("feature_flags { js_ack_fc_v2: true }").start().await {
        // Before 2.15 there is the first shape only, and the flag is no known setting.
        Err(TestbedError::Broker { log }) if log.contains("unknown field \"feature_flags\"") => return,
        started => started.unwrap(),
    };
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    let mut acks = acks_of(&testbed, &bob).await;
    a.conversation(b.primary()).send_text("hello").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "hello");
    let ack = acks.next().await;
    assert_eq!(ack.payload, "+ACK");
    assert!(ack.subject.split('.').count() >= 11, "{}", ack.subject);
    testbed.shutdown().await.unwrap();
}

/// Sees somebody's acknowledgements as they reach the broker's streams.
struct Acks(stream::SelectAll<async_nats::Subscriber>);

async fn acks_of(testbed: &Testbed, reader: &Person) -> Acks {
    let nats = operator(testbed).await;
    let consumer = reader.key().primary().to_hex();
    let shapes = [format!("$JS.ACK.KEZ_INBOX.{consumer}.>"), format!("$JS.ACK.*.*.KEZ_INBOX.{consumer}.>")];
    let mut seen = stream::SelectAll::new();
    for shape in shapes {
        seen.push(nats.subscribe(shape).await.unwrap());
    }
    // The answer to a request that nobody serves comes after the subscriptions were taken.
    nats.request("kez.fence", "".into()).await.unwrap_err();
    Acks(seen)
}

impl Acks {
    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing was acknowledged").unwrap()
    }
}

/// Derives somebody's route of today to this home.
pub(crate) fn route_of(testbed: &Testbed, sender: &SecretKey) -> Route {
    let server = testbed.secret().server_keys().remove(0).primary();
    Route::derive(&sender.agree(&server), Day::from_unix_ms(now_ms()), &sender.primary(), &server)
}
