//! Chains: what is walked, and what every fault is called (`docs/PROTOCOL.md` §§4, 13).

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use kez_core::{
    Code,
    handle::{Handle, Home, Policy},
    identity::SecretKey,
    sigchain::{Chain, ChainError, Event, Head, Install, Op, Timestamp},
};
use serde_json::{Value, json};

const HEADER: &str = r#"{"alg":"Ed25519","typ":"kez-event+jws"}"#;
const SEED: [u8; 32] = [7; 32];

fn key() -> SecretKey {
    SecretKey::from_seed(SEED)
}

fn chain() -> Chain {
    Chain::new(key().primary(), Policy::Production)
}

/// Signs any bytes as a JWS, sound or not: the core itself refuses to.
fn jws_of(header: &str, payload: &[u8]) -> String {
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(payload));
    let signature = SigningKey::from_bytes(&SEED).sign(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn event(op: Value, seq: u64, prev: Option<Head>) -> Value {
    let prev = prev.map_or(Value::Null, |head| head.to_string().into());
    json!({"op": op, "prev": prev, "primary": key().primary().to_string(), "seq": seq, "ts": "2026-11-23T00:00:00Z", "v": 1})
}

fn signed(event: &Value) -> String {
    // serde_json sorts the members of its objects, so this is RFC 8785's form.
    jws_of(HEADER, event.to_string().as_bytes())
}

/// What walking an event as the first of a chain says.
fn first(event: &Value) -> Result<(), Code> {
    chain().push(&signed(event)).map(drop).map_err(|error| error.code())
}

fn first_op(op: Value) -> Result<(), Code> {
    first(&event(op, 1, None))
}

fn code(jws: &str) -> Code {
    chain().push(jws).unwrap_err().code()
}

fn add(chain: &mut Chain, op: Op) -> Result<String, ChainError> {
    chain.sign_next(&key(), op, &Timestamp::from_unix_ms(0)).map(|event| event.jws().to_owned())
}

#[test]
fn a_chain_says_what_its_last_events_say() {
    let mut own = chain();
    let home = Home::parse("kez.lat", Policy::Production).unwrap();
    let handle = |text| Handle::from_qualified(text, Policy::Production).unwrap();
    let nats = |url: &str| Op::AddNatsEndpoint { home: home.clone(), url: url.into() };
    let claim =
        |at: Option<&str>| Op::AddClaim { claim: "dns:chris.com".parse().unwrap(), at: at.map(Into::into), sig: None };
    let install = |byte| Install::from_bytes([byte; 8]);
    let relay_url = Some("https://relay.example/".to_owned());
    let ops = [
        nats("tls://a.kez.lat"),
        nats("tls://b.kez.lat"),
        Op::RemoveNatsEndpoint { url: "tls://b.kez.lat".into() },
        Op::RemoveNatsEndpoint { url: "tls://never-added".into() },
        Op::AddIrohEndpoint { install: install(1), relay_url: None },
        Op::AddIrohEndpoint { install: install(2), relay_url },
        Op::SetHandle(Some(handle("al@kez.lat"))),
        Op::SetHandle(Some(handle("alice@kez.lat"))),
        claim(None),
        claim(Some("https://chris.com/proof")),
        Op::SetSharedFiles { manifest: Some([5; 32]), version: 3 },
    ];
    let mut seen = chain();
    for op in ops {
        let jws = add(&mut own, op).unwrap();
        seen.push(&jws).unwrap();
    }
    let state = seen.state();
    assert_eq!(state.nats().unwrap().url, "tls://a.kez.lat");
    assert_eq!(state.iroh().unwrap().install, install(2));
    assert_eq!(state.handle(), Some(&handle("alice@kez.lat")));
    assert!(state.has_had_handle(&handle("al@kez.lat")));
    assert_eq!(state.claims().len(), 1);
    assert_eq!(state.claims().next().unwrap().at.as_deref(), Some("https://chris.com/proof"));
    assert_eq!(state.shared_files().unwrap().version, 3);
    assert_eq!(seen.tip(), own.tip());

    let jws = add(&mut own, Op::Retire).unwrap();
    seen.push(&jws).unwrap();
    assert!(seen.state().is_retired() && seen.state().nats().is_none() && seen.state().handle().is_none());
    assert!(seen.state().has_had_handle(&handle("al@kez.lat")), "old messages are still addressed to it");
    assert_eq!(add(&mut own, Op::SetHandle(None)).unwrap_err(), ChainError::Retired);
}

#[test]
fn the_form_of_an_event_is_checked_in_order() {
    let good = signed(&event(json!({"type": "set_handle", "handle": null}), 1, None));
    assert!(chain().push(&good).is_ok());
    let [header, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!() };

    assert_eq!(code(&"x".repeat(16_385)), Code::TooLong);
    for text in ["", "a.b", "a.b.c.d"] {
        assert_eq!(code(text), Code::BadJws, "{text}");
    }
    for other in [
        r#"{"alg":"none","typ":"kez-event+jws"}"#,
        r#"{"alg":"HS256","typ":"kez-event+jws"}"#,
        r#"{"alg":"EdDSA","typ":"kez-event+jws"}"#,
        r#"{"typ":"kez-event+jws","alg":"Ed25519"}"#,
        r#"{"alg":"Ed25519","kid":"1","typ":"kez-event+jws"}"#,
        r#"{"alg":"Ed25519", "typ":"kez-event+jws"}"#,
    ] {
        assert_eq!(code(&jws_of(other, b"{}")), Code::BadJwsHeader, "{other}");
    }
    assert_eq!(code(&format!("{header}.{payload}=.{signature}")), Code::BadBase64);
    assert_eq!(code(&format!("{header}.{payload}.{}!", &signature[1..])), Code::BadBase64);
    assert_eq!(code(&format!("{header}.{payload}.{}", &signature[..84])), Code::BadSignature);
    let other = SecretKey::from_seed([8; 32]).primary();
    assert_eq!(Event::parse(&good, &other, Policy::Production).unwrap_err().code(), Code::BadSignature);
    assert_eq!(code(&jws_of(HEADER, b"{")), Code::BadJson);
    assert_eq!(code(&jws_of(HEADER, b"{\"v\":1.0}")), Code::BadJson);
    assert_eq!(code(&jws_of(HEADER, b"{ }")), Code::NotCanonicalJson);
    assert_eq!(code(&jws_of(HEADER, b"[]")), Code::BadEvent);
}

#[test]
fn any_change_of_one_character_is_noticed() {
    let good = signed(&event(json!({"type": "set_handle", "handle": null}), 1, None));
    for index in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        assert!(chain().push(std::str::from_utf8(&bytes).unwrap()).is_err(), "{index}");
    }
}

#[test]
fn members_are_all_there_and_nothing_else_is() {
    let base = event(json!({"type": "set_handle", "handle": null}), 1, None);
    let with = |member: &str, value: Value| {
        let mut event = base.clone();
        event[member] = value;
        first(&event)
    };
    assert_eq!(with("extra", json!(1)), Err(Code::UnknownMember));
    for member in ["op", "prev", "primary", "seq", "ts", "v"] {
        let mut event = base.clone();
        event.as_object_mut().unwrap().remove(member);
        assert_eq!(first(&event), Err(Code::BadEvent), "{member}");
    }
    assert_eq!(with("seq", json!(0)), Err(Code::BadEvent));
    assert_eq!(with("seq", json!("1")), Err(Code::BadEvent));
    assert_eq!(with("seq", json!(2)), Err(Code::BadEvent), "a null prev at the wrong place");
    assert_eq!(with("seq", json!(100_001)), Err(Code::TooLong));
    assert_eq!(with("prev", json!("00".repeat(32))), Err(Code::BadEvent), "the first event has no predecessor");
    assert_eq!(with("ts", json!("yesterday")), Err(Code::BadEvent));
    assert_eq!(with("primary", json!("ed25519:00")), Err(Code::BadEvent));
    assert_eq!(with("primary", json!(SecretKey::from_seed([8; 32]).primary().to_string())), Err(Code::WrongPrimary));
    assert_eq!(with("op", json!({"handle": null})), Err(Code::BadEvent));
    assert_eq!(with("v", json!(2)), Err(Code::UnknownOp), "a later version is an operation of unknown type");
}

#[test]
fn operations_have_their_form() {
    let hex = key().primary().to_hex();
    let inbox = format!("kez.inbox.{hex}");
    let nats =
        |url: &str| json!({"type": "add_endpoint", "protocol": "nats", "home": "kez.lat", "url": url, "inbox": inbox});
    let iroh = json!({"type": "add_endpoint", "protocol": "iroh", "node_id": hex, "install": "0011223344556677"});
    let with = |op: &Value, member: &str, value: Value| {
        let mut op = op.clone();
        op[member] = value;
        first_op(op)
    };
    assert_eq!(first_op(nats("wss://kez.lat/ws")), Ok(()));
    assert_eq!(first_op(iroh.clone()), Ok(()));
    for url in [
        "nats://kez.lat",
        "ws://kez.lat",
        "https://kez.lat",
        "tls://",
        "tls:kez.lat",
        "tls://a b",
        &format!("tls://{}", "a".repeat(1019)),
    ] {
        assert_eq!(first_op(nats(url)), Err(Code::BadEvent), "{url}");
    }
    let tls = nats("tls://kez.lat");
    for (member, value) in [
        ("home", json!("KEZ.lat")),
        ("home", json!("10.0.0.1")),
        ("home", json!("kez.lat:80")),
        ("inbox", json!("kez.inbox.00")),
        ("inbox", json!(format!("{inbox}."))),
        ("protocol", json!(1)),
    ] {
        assert_eq!(with(&tls, member, value), Err(Code::BadEvent), "{member}");
    }
    assert_eq!(with(&tls, "ignorable", json!(true)), Err(Code::UnknownMember));
    assert_eq!(with(&tls, "relay_url", json!("https://r")), Err(Code::UnknownMember));
    assert_eq!(with(&iroh, "node_id", json!("00".repeat(32))), Err(Code::BadEvent));
    assert_eq!(with(&iroh, "install", json!("0011")), Err(Code::BadEvent));
    assert_eq!(with(&iroh, "install", json!("001122334455667G")), Err(Code::BadEvent));
    assert_eq!(with(&iroh, "relay_url", json!(null)), Err(Code::BadEvent), "optional means absent, never null");
    assert_eq!(with(&iroh, "relay_url", json!("http://r")), Err(Code::BadEvent));
    assert_eq!(with(&iroh, "protocol", json!("carrier-pigeon")), Err(Code::UnknownOp));

    assert_eq!(first_op(json!({"type": "set_handle", "handle": "Al@kez.lat"})), Err(Code::BadEvent));
    assert_eq!(first_op(json!({"type": "set_handle"})), Err(Code::BadEvent));
    assert_eq!(first_op(json!({"type": "set_shared_files", "manifest": null, "version": 0})), Ok(()));
    assert_eq!(first_op(json!({"type": "set_shared_files", "manifest": "00", "version": 0})), Err(Code::BadEvent));
    assert_eq!(first_op(json!({"type": "retire", "why": "bored"})), Err(Code::UnknownMember));
    for claim in ["dns:chris.com", "x1:!", &format!("a:{}", "b".repeat(255))] {
        assert_eq!(first_op(json!({"type": "add_claim", "claim": claim})), Ok(()), "{claim}");
    }
    for claim in ["dns:", ":x", "1a:x", "DNS:x", "dns", "d-s:x", "dns:a b", &format!("a:{}", "b".repeat(256))] {
        assert_eq!(first_op(json!({"type": "add_claim", "claim": claim})), Err(Code::BadEvent), "{claim}");
    }
    assert_eq!(first_op(json!({"type": "add_claim", "claim": "dns:a", "sig": "short"})), Err(Code::BadEvent));
    assert_eq!(first_op(json!({"type": "add_claim", "claim": "dns:a", "at": "http://a"})), Err(Code::BadEvent));
}

#[test]
fn unknown_operations_stop_readers_unless_they_may_be_ignored() {
    assert_eq!(first_op(json!({"type": "add_device"})), Err(Code::UnknownOp));
    assert_eq!(first_op(json!({"type": "add_device", "ignorable": 1})), Err(Code::UnknownOp));
    let mut seen = chain();
    seen.push(&signed(&event(json!({"type": "add_device", "ignorable": true, "x": [1]}), 1, None))).unwrap();
    assert_eq!(seen.tip().seq(), 1);
}

#[test]
fn events_follow_each_other_or_not_at_all() {
    let op = json!({"type": "set_handle", "handle": null});
    let one = signed(&event(op.clone(), 1, None));
    let mut seen = chain();
    let head = seen.push(&one).unwrap().head();
    let push = |event: Value| seen.clone().push(&signed(&event)).map(drop).map_err(|error| error.code());
    assert_eq!(push(event(op.clone(), 2, Some(head))), Ok(()));
    assert_eq!(push(event(op.clone(), 3, Some(head))), Err(Code::Gap));
    assert_eq!(push(event(op.clone(), 2, Some(Head::from_bytes([1; 32])))), Err(Code::WrongPrev));
    assert_eq!(push(event(json!({"type": "retire"}), 1, None)), Err(Code::Fork));
    // A fork is proved by two signed events, whatever they do.
    assert_eq!(push(event(json!({"type": "add_device"}), 1, None)), Err(Code::Fork));
    assert_eq!(push(event(json!({"type": "retire", "x": 1}), 1, None)), Err(Code::Fork));
    // The link is judged before the operation.
    assert_eq!(push(event(json!({"type": "retire", "x": 1}), 3, Some(head))), Err(Code::Gap));
}

#[test]
fn versions_of_shared_files_rise() {
    let mut own = chain();
    let op = |version| Op::SetSharedFiles { manifest: None, version };
    add(&mut own, op(5)).unwrap();
    assert_eq!(add(&mut own, op(5)).unwrap_err().code(), Code::BadEvent);
    assert_eq!(add(&mut own, op(4)).unwrap_err().code(), Code::BadEvent);
    add(&mut own, op(6)).unwrap();
}

#[test]
fn nothing_is_signed_that_no_reader_would_take() {
    let home = Home::parse("kez.lat", Policy::Production).unwrap();
    let plain = Op::AddNatsEndpoint { home, url: "nats://kez.lat".into() };
    assert_eq!(add(&mut chain(), plain).unwrap_err().code(), Code::BadEvent);
    let unknown = |kind: &str, ignorable| Op::Unknown { kind: kind.into(), ignorable };
    assert_eq!(add(&mut chain(), unknown("later", false)).unwrap_err().code(), Code::UnknownOp);
    assert_eq!(add(&mut chain(), unknown("retire", false)).unwrap_err().code(), Code::BadEvent, "it would retire");
    assert!(add(&mut chain(), unknown("later", true)).is_ok());
    let mut others = Chain::new(SecretKey::from_seed([8; 32]).primary(), Policy::Production);
    assert_eq!(add(&mut others, Op::Retire).unwrap_err(), ChainError::WrongPrimary);
}
