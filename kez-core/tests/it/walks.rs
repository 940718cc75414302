//! Walks over a server's pages, pins, and proofs of a fork (`docs/PROTOCOL.md` §4).

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use kez_core::{
    Code,
    handle::{Handle, Home, Policy},
    identity::SecretKey,
    sigchain::{Chain, ChainError, ForkProof, Install, Op, Pin, Progress, Stopped, Timestamp},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn chain() -> Chain {
    Chain::new(key().primary(), Policy::Production)
}

fn handle(name: &str) -> Handle {
    Handle::from_qualified(&format!("{name}@kez.lat"), Policy::Production).unwrap()
}

fn sign(chain: &mut Chain, op: Op) -> String {
    chain.sign_next(&key(), op, &Timestamp::from_unix_ms(0)).unwrap().jws().to_owned()
}

/// Signs so many events that each change the handle.
fn renamings(chain: &mut Chain, count: usize) -> Vec<String> {
    (0..count).map(|i| sign(chain, Op::SetHandle(Some(handle(&format!("al-{i}")))))).collect()
}

fn code(outcome: Result<Progress, Stopped>) -> Code {
    outcome.unwrap_err().error.code()
}

#[test]
fn pages_of_any_size_lead_to_the_same_chain() {
    let mut own = chain();
    let events = renamings(&mut own, 200);
    for size in [1, 7, 64, 200] {
        let mut seen = chain();
        let mut walk = seen.walk();
        let mut pages = events.chunks(size).peekable();
        while let Some(page) = pages.next() {
            let expected = if pages.peek().is_some() { Progress::More } else { Progress::Done };
            assert_eq!(walk.take(page, 200).unwrap(), expected);
        }
        assert_eq!(walk.after(), 200);
        assert_eq!(seen.tip(), own.tip(), "{size}");
        assert_eq!(seen.events().len(), 200);
    }
}

#[test]
fn a_walk_keeps_what_was_sound_and_names_what_was_not() {
    let mut own = chain();
    let mut events = renamings(&mut own, 100);
    events[70] = events[71].clone();
    let mut seen = chain();
    let stopped = seen.walk().take(&events, 100).unwrap_err();
    assert_eq!(stopped.error, ChainError::Gap { expected: 71, found: 72 });
    assert_eq!(stopped.refused.as_deref(), Some(events[70].as_str()));
    let too_long = seen.walk().take(&[&events[69], &"x".repeat(20_000)], 100).unwrap_err();
    assert_eq!((too_long.error, too_long.refused), (ChainError::TooLong, None), "junk is not kept");
    assert_eq!(seen.tip().seq(), 70);
    assert_eq!(seen.state().handle(), Some(&handle("al-69")));
}

#[test]
fn an_unknown_or_empty_chain_is_done_and_a_page_without_promised_events_is_not() {
    let nothing: [&str; 0] = [];
    let mut seen = chain();
    assert_eq!(seen.walk().take(&nothing, 0).unwrap(), Progress::Done);
    assert_eq!(seen.walk().take(&nothing, 3).unwrap(), Progress::Stalled);

    // A page that promises more is followed by an empty one.
    let events = renamings(&mut chain(), 3);
    for end in [1, 3, 4] {
        let mut seen = chain();
        let mut walk = seen.walk();
        assert_eq!(walk.take(&events, 10).unwrap(), Progress::More);
        assert_eq!(walk.take(&nothing, end).unwrap(), Progress::Stalled);
    }
    let mut seen = chain();
    assert_eq!(seen.walk().take(&events, 3).unwrap(), Progress::Done);
    let mut walk = seen.walk();
    assert_eq!(walk.take(&events[2..], 10).unwrap(), Progress::More);
    assert_eq!(code(walk.take(&nothing, 2)), Code::Rollback);
    assert_eq!(walk.take(&nothing, 3).unwrap(), Progress::Stalled);
}

#[test]
fn a_pin_goes_on_where_it_was_made() {
    let home = Home::parse("kez.lat", Policy::Production).unwrap();
    let mut own = chain();
    let mut events = renamings(&mut own, 2);
    for op in [
        Op::AddNatsEndpoint { home: home.clone(), url: "tls://b.kez.lat".into() },
        Op::AddNatsEndpoint { home, url: "tls://a.kez.lat".into() },
        Op::AddIrohEndpoint { install: Install::from_bytes([1; 8]), relay_url: Some("https://r.example/".into()) },
        Op::AddIrohEndpoint { install: Install::from_bytes([2; 8]), relay_url: None },
        Op::SetHandle(None),
        Op::SetSharedFiles { manifest: None, version: 4 },
    ] {
        events.push(sign(&mut own, op));
    }
    let bytes = own.pin().unwrap().to_bytes();
    let pin = Pin::from_bytes(&bytes, Policy::Production).unwrap();
    assert_eq!(pin.to_bytes(), bytes);
    let mut resumed = Chain::resume(pin);
    assert_eq!(resumed.tip(), own.tip());
    assert_eq!((resumed.events().len(), resumed.walk().after()), (1, 7));
    assert!(resumed.at(7).is_none() && resumed.at(8).is_some() && resumed.at(9).is_none());

    // What was there before is still in force, and can be taken away.
    let more = [
        sign(&mut own, Op::RemoveNatsEndpoint { url: "tls://a.kez.lat".into() }),
        sign(&mut own, Op::RemoveIrohEndpoint { install: Install::from_bytes([2; 8]) }),
    ];
    let page = [&events[7], &more[0], &more[1]];
    assert_eq!(resumed.walk().take(&page, 10).unwrap(), Progress::Done);
    assert_eq!(resumed.tip(), own.tip());
    let state = resumed.state();
    assert_eq!(state.nats().unwrap().url, "tls://b.kez.lat");
    assert_eq!(state.iroh().unwrap().relay_url.as_deref(), Some("https://r.example/"));
    assert!(state.handle().is_none() && state.has_had_handle(&handle("al-0")) && state.has_had_handle(&handle("al-1")));
    let stale = Op::SetSharedFiles { manifest: None, version: 4 };
    assert!(resumed.sign_next(&key(), stale, &Timestamp::from_unix_ms(0)).is_err(), "versions still only rise");

    sign(&mut own, Op::Retire);
    let retired = Pin::from_bytes(&own.pin().unwrap().to_bytes(), Policy::Production).unwrap();
    let mut retired = Chain::resume(retired);
    assert!(retired.state().is_retired() && retired.state().has_had_handle(&handle("al-0")));
    let after = retired.sign_next(&key(), Op::SetHandle(None), &Timestamp::from_unix_ms(0));
    assert_eq!(after.unwrap_err(), ChainError::Retired);
}

#[test]
fn damaged_pins_are_refused() {
    let mut own = chain();
    renamings(&mut own, 1);
    assert!(chain().pin().is_none());
    let good = own.pin().unwrap().to_bytes();
    let text = String::from_utf8(good.clone()).unwrap();
    let fault = |text: &str| Pin::from_bytes(text.as_bytes(), Policy::Production).unwrap_err().code();
    let other = SecretKey::from_seed([8; 32]).primary().to_string();
    assert_eq!(fault(""), Code::BadJson);
    assert_eq!(fault("[]"), Code::BadEvent);
    assert_eq!(fault(&text.replacen("\"ops\"", "\"opz\"", 1)), Code::UnknownMember);
    assert_eq!(fault(&text.replacen("\"v\":1}", "\"v\":2}", 1)), Code::BadEvent);
    assert_eq!(fault(&text.replacen("\"v\":1}", "\"v\":1,\"w\":1}", 1)), Code::UnknownMember);
    assert_eq!(fault(&text.replacen("set_handle", "set_nothing", 1)), Code::BadEvent);
    assert_eq!(fault(&text.replacen("al-0@", "al-0", 1)), Code::BadEvent);
    assert_eq!(fault(&text.replacen(&key().primary().to_string(), &other, 1)), Code::BadSignature);
    assert!(Pin::from_bytes(&good[..good.len() - 1], Policy::Production).is_err());
}

#[test]
fn a_changed_or_cut_history_is_noticed_at_the_pin() {
    let mut own = chain();
    let events = renamings(&mut own, 3);
    let mut other = chain();
    let others: Vec<String> = (0..4).map(|_| sign(&mut other, Op::SetHandle(None))).collect();
    let resumed = || Chain::resume(own.pin().unwrap());
    let nothing: [&str; 0] = [];

    let mut seen = resumed();
    let forked = seen.walk().take(&others[2..], 4).unwrap_err();
    assert_eq!(forked.error, ChainError::Fork { seq: 3 });
    let proof = forked.fork.unwrap();
    assert_eq!((proof.primary(), proof.seq()), (&key().primary(), 3));
    assert_eq!(proof.events().map(|event| event.jws().to_owned()), [events[2].clone(), others[2].clone()]);
    assert_eq!(proof.to_string().parse::<ForkProof>().unwrap().to_string(), proof.to_string());

    assert_eq!(seen.walk().take(&nothing, 2).unwrap_err().error, ChainError::Rollback { pinned: 3, found: 2 });
    assert_eq!(seen.walk().take(&nothing, 3).unwrap(), Progress::Stalled, "it did not show the pinned event");
    assert_eq!(code(seen.walk().take(&events[1..], 3)), Code::Gap, "the page begins too early");
    let next = sign(&mut own.clone(), Op::SetHandle(None));
    assert_eq!(code(seen.walk().take(&[next], 4)), Code::Gap, "the page begins too late");
    assert_eq!(seen.tip(), own.tip(), "the pinned chain stays");
    assert_eq!(seen.walk().take(&events[2..], 3).unwrap(), Progress::Done);
}

#[test]
fn a_fork_after_the_pin_is_proved_too() {
    let mut own = chain();
    renamings(&mut own, 2);
    let mut seen = Chain::resume(own.pin().unwrap());
    let mut other = seen.clone();
    let (one, two) = (sign(&mut seen, Op::SetHandle(None)), sign(&mut other, Op::Retire));
    let pinned = own.events()[1].jws().to_owned();
    let stopped = Chain::resume(own.pin().unwrap()).walk().take(&[&pinned, &one, &two], 3).unwrap_err();
    assert_eq!(stopped.fork.unwrap().seq(), 3);
}

#[test]
fn only_two_sound_events_at_one_place_prove_a_fork() {
    let mut own = chain();
    let events = renamings(&mut own, 2);
    let mut other = chain();
    let contrary = sign(&mut other, Op::Retire);
    assert!(ForkProof::check(&events[0], &contrary).is_ok());
    let fault = |one: &str, two: &str| ForkProof::check(one, two).unwrap_err().code();
    assert_eq!(fault(&events[0], &events[0]), Code::Gap, "the same event");
    assert_eq!(fault(&events[1], &contrary), Code::Gap, "other places");
    let damaged = format!("{}A", &contrary[..contrary.len() - 1]);
    assert_eq!(fault(&events[0], &damaged), Code::BadSignature);
    let stranger = SecretKey::from_seed([8; 32]);
    let mut theirs = Chain::new(stranger.primary(), Policy::Production);
    let theirs = theirs.sign_next(&stranger, Op::Retire, &Timestamp::from_unix_ms(0)).unwrap();
    assert_eq!(fault(&events[0], theirs.jws()), Code::BadSignature, "another key");
    let [header, payload, _] = *contrary.split('.').collect::<Vec<_>>() else { panic!() };
    for (first, expected) in [
        ("", Code::BadJws),
        ("a.b!.c.d", Code::BadJws),
        ("x.e30.AA", Code::BadJwsHeader),
        (&format!("{header}.ew.!"), Code::BadBase64),
        (&format!("{header}.{payload}.AA"), Code::BadSignature),
    ] {
        assert_eq!(fault(first, &contrary), expected, "{first}");
    }
    assert_eq!("no line feed".parse::<ForkProof>().unwrap_err().code(), Code::BadJws);
}

/// Signs so many events of nearly the greatest length, each an operation of a later version that may be stepped over.
fn long_events(count: usize) -> Vec<String> {
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"Ed25519","typ":"kez-event+jws"}"#);
    let (key, pad) = (SigningKey::from_bytes(key().expose_seed()), "a".repeat(11_900));
    let mut prev = Value::Null;
    let sign = |seq: usize| {
        let op = json!({"ignorable": true, "pad": pad, "type": "later"});
        let primary = SecretKey::from_seed([7; 32]).primary().to_string();
        let event =
            json!({"op": op, "prev": prev, "primary": primary, "seq": seq, "ts": "2026-11-23T00:00:00Z", "v": 1});
        let input = format!("{header}.{}", BASE64URL_NOPAD.encode(event.to_string().as_bytes()));
        prev = HEXLOWER.encode(&Sha256::digest(&input)).into();
        format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign(input.as_bytes()).to_bytes()))
    };
    (1..=count).map(sign).collect()
}

#[test]
fn a_walk_reads_64_mib_and_the_next_goes_on() {
    let mut events = long_events(4200);
    let mut bytes = 0;
    let affordable =
        events.iter().take_while(|jws| (bytes + jws.len() <= 64 << 20).then(|| bytes += jws.len()).is_some());
    let affordable = affordable.count();
    assert!((4100..4200).contains(&affordable), "{affordable}");
    // Whatever else is wrong with the event that goes beyond, it is not looked at.
    let beyond = std::mem::replace(&mut events[affordable], "x".repeat(16_000));

    let mut seen = chain();
    let mut walk = seen.walk();
    let (first, rest) = events.split_at(3000);
    assert_eq!(walk.take(first, 4200).unwrap(), Progress::More);
    let stopped = walk.take(rest, 4200).unwrap_err();
    assert_eq!((stopped.error, stopped.refused), (ChainError::WalkTooLong, None));
    assert_eq!(code(walk.take(&[&beyond], 4200)), Code::TooLong, "this walk is over");
    assert_eq!(seen.tip().seq(), affordable as u64);

    events[affordable] = beyond;
    assert_eq!(seen.walk().take(&events[affordable - 1..], 4200).unwrap(), Progress::Done, "the next goes on");
    assert_eq!(seen.tip().seq(), 4200);
}
