//! `sigchain.json`: whole chains, as readers walk them, servers keep them and owners sign them.

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        bytes::plain,
        case::File,
        forge::{
            chain::{event, events, head, input, payload},
            keys::{ALICE, BOB, base64, primary, sign_again},
        },
    },
    ops::{iroh, nats},
    sigchain::{state, walk},
};

const ONE: &str = "0011223344556677";
const TWO: &str = "8899aabbccddeeff";
/// The heads of PROTOCOL.md's example.
const HEADS: [&str; 3] = [
    "2c694c65e91f984fb8f2c115777623c913121cffdd25eb5a63faa278788255da",
    "13425b4e26ae7d41d8355d7cab4f81c151349c2d904584d57686a1dd1b20ea11",
    "a07b7fd9df4f15644f4b7b49979f8029ce0cd4144cc486e670113b259480ff1c",
];

pub(super) fn make(file: &mut File) {
    let account = account();
    account_example(file, &account);
    states(file);
    places(file);
    retired(file);
    appended(file);
    signed(file, &account);
}

fn handle(handle: Option<&str>) -> Value {
    json!({"type": "set_handle", "handle": handle})
}

fn shared(version: u64) -> Value {
    json!({"type": "set_shared_files", "manifest": "0a".repeat(32), "version": version})
}

/// Returns the three events of a new account: PROTOCOL.md's example.
pub(super) fn account() -> Vec<String> {
    events([nats("tls://nats.kez.lat"), iroh(ONE), handle(Some("alice@kez.lat"))])
}

/// Returns what a new account's first events say.
fn account_says(count: usize) -> Value {
    let said = [
        ("nats", json!({"home": "kez.lat", "url": "tls://nats.kez.lat"})),
        ("iroh", json!({"install": ONE, "relay_url": null})),
        ("handle", json!("alice@kez.lat")),
    ];
    let mut says: Value = said.into_iter().take(count).collect();
    if count == 3 {
        says["past_handles"] = json!(["alice@kez.lat"]);
    }
    json!({"seq": count, "head": count.checked_sub(1).map_or("", |last| HEADS[last]), "state": state(says)})
}

fn account_example(file: &mut File, account: &[String]) {
    file.gives("no events", "chain.walk", walk(&[], "production"), account_says(0));
    for count in 1..=3 {
        let name = format!("the first {count} events of an account");
        file.gives(&name, "chain.walk", walk(&account[..count], "production"), account_says(count));
    }
    let input = json!({"key": "ed25519:00", "policy": "production", "events": []});
    file.refused("a chain of no key", "chain.walk", input, Code::BadKeyText);
}

fn states(file: &mut File) {
    let mut says = |name: &str, ops: Vec<Value>, said: Value| {
        let events = events(ops);
        let out = json!({"seq": events.len(), "head": head(events.last().unwrap()), "state": state(said)});
        file.gives(name, "chain.walk", walk(&events, "production"), out);
    };
    let remove_nats = |url: &str| json!({"type": "remove_endpoint", "protocol": "nats", "url": url});
    let remove_iroh = |install: &str| json!({"type": "remove_endpoint", "protocol": "iroh", "install": install});
    let (a, b) = ("tls://a.kez.lat", "wss://b.kez.lat");
    let at = |url: &str| json!({"nats": {"home": "kez.lat", "url": url}});
    says("the last endpoint counts", vec![nats(a), nats(b)], at(b));
    says("an endpoint added again is the last", vec![nats(a), nats(b), nats(a)], at(a));
    says("without the last, the one before counts", vec![nats(a), nats(b), remove_nats(b)], at(a));
    says("a removal takes every match", vec![nats(b), nats(a), nats(a), remove_nats(a)], at(b));
    says("a removal without a match", vec![nats(a), remove_nats("tls://a.kez.lat/")], at(a));
    says("an endpoint removed and added", vec![nats(a), remove_nats(a), nats(a)], at(a));
    says("no endpoint left", vec![nats(a), remove_nats(a)], json!({}));
    let relayed = json!({
        "type": "add_endpoint", "protocol": "iroh", "node_id": primary(ALICE).to_hex(), "install": ONE,
        "relay_url": "https://relay.example",
    });
    let with_relay = json!({"iroh": {"install": ONE, "relay_url": "https://relay.example"}});
    says("the last install counts", vec![iroh(TWO), relayed.clone()], with_relay.clone());
    says("without the last install", vec![relayed, iroh(TWO), remove_iroh(TWO)], with_relay);
    says(
        "past handles",
        vec![handle(Some("zoe@kez.lat")), handle(Some("al@b.example")), handle(None)],
        json!({"past_handles": ["al@b.example", "zoe@kez.lat"]}),
    );
    let claim = |claim: &str, at: Option<&str>| match at {
        Some(at) => json!({"type": "add_claim", "claim": claim, "at": at}),
        None => json!({"type": "add_claim", "claim": claim}),
    };
    let listed = |claim: &str, at: Option<&str>| json!({"claim": claim, "at": at, "sig": null});
    let gist = Some("https://gist.github.com/al/0a");
    says(
        "claims are replaced and sorted",
        vec![claim("github:al", None), claim("dns:al.example", None), claim("github:al", gist)],
        json!({"claims": [listed("dns:al.example", None), listed("github:al", gist)]}),
    );
    let remove_claim = |claim: &str| json!({"type": "remove_claim", "claim": claim});
    says(
        "claims are taken back",
        vec![claim("dns:al.example", None), remove_claim("dns:al.example"), remove_claim("dns:b.example")],
        json!({}),
    );
    let version = |version: u64| json!({"shared_files": {"manifest": "0a".repeat(32), "version": version}});
    says("a version that rises", vec![shared(0), shared(1), shared(1 << 52)], version(1 << 52));
    let skipped = json!({"type": "later", "ignorable": true});
    says("an op that is skipped between others", vec![nats(a), skipped, handle(None)], at(a));
    says(
        "a retirement",
        vec![
            nats(a),
            iroh(ONE),
            handle(Some("alice@kez.lat")),
            claim("dns:al.example", None),
            shared(1),
            json!({"type": "retire"}),
        ],
        json!({"retired": true, "past_handles": ["alice@kez.lat"]}),
    );
}

/// Adds a chain that stops before its last event, for this reason.
fn stops(file: &mut File, name: &str, good: &[String], last: &str, code: Code) {
    let out = file.outputs(name, "chain.walk", &walk(good, "production"));
    let events = [good, &[last.to_owned()]].concat();
    file.marked(name, "chain.walk", walk(&events, "production"), code, out);
}

/// Returns a chain of three short events.
pub(super) fn three() -> Vec<String> {
    events([handle(None), handle(Some("al@a.a")), handle(None)])
}

fn places(file: &mut File) {
    let account = &three()[..];
    let changed = |good: &[String], op: Value, changes: &[(&str, Value)]| {
        let mut body = payload(good, op);
        for (member, value) in changes {
            body[*member] = value.clone();
        }
        event(body.to_string())
    };
    let bad = json!({"type": "set_handle"});
    let (zeros, one) = (json!("00".repeat(32)), &account[..1]);
    stops(file, "an event is left out", one, &account[2], Code::Gap);
    stops(file, "an event twice", account, &account[2], Code::Gap);
    stops(file, "an earlier event again", account, &account[0], Code::Gap);
    stops(file, "the first event is the second", &[], &account[1], Code::Gap);
    stops(file, "another prev", one, &changed(one, handle(None), &[("prev", zeros.clone())]), Code::WrongPrev);
    stops(
        file,
        "the prev before",
        &account[..2],
        &changed(&account[..2], handle(None), &[("prev", json!(head(&account[0])))]),
        Code::WrongPrev,
    );
    stops(
        file,
        "another prev, and a bad op",
        one,
        &changed(one, bad.clone(), &[("prev", zeros.clone())]),
        Code::WrongPrev,
    );
    stops(
        file,
        "a gap, and another prev",
        one,
        &changed(one, handle(None), &[("seq", json!(3)), ("prev", zeros)]),
        Code::Gap,
    );
    stops(file, "a fork at the first place", account, &changed(&[], handle(Some("al@a.a")), &[]), Code::Fork);
    stops(
        file,
        "a fork at the last place",
        account,
        &changed(&account[..2], json!({"type": "retire"}), &[]),
        Code::Fork,
    );
    stops(
        file,
        "a fork by ts alone",
        one,
        &changed(&[], handle(None), &[("ts", json!("2026-11-23T00:00:01Z"))]),
        Code::Fork,
    );
    stops(file, "a fork whose op is malformed", account, &changed(&account[..1], bad.clone(), &[]), Code::Fork);
    stops(
        file,
        "a fork whose op is unknown",
        account,
        &changed(&account[..1], json!({"type": "later"}), &[]),
        Code::Fork,
    );
    stops(
        file,
        "a fork of another version",
        account,
        &changed(&account[..1], json!({"type": "later"}), &[("v", json!(2))]),
        Code::Fork,
    );
    stops(file, "a bad op after good ones", account, &changed(account, bad, &[]), Code::BadEvent);
    stops(
        file,
        "an unknown op after good ones",
        account,
        &changed(account, json!({"type": "later"}), &[]),
        Code::UnknownOp,
    );
    let published = events([shared(5)]);
    for (name, version) in [("a version that stays", 5), ("a version that falls", 4)] {
        stops(file, name, &published, &changed(&published, shared(version), &[]), Code::BadEvent);
    }
    let withdrawn = events([shared(5), json!({"type": "set_shared_files", "manifest": null, "version": 6})]);
    stops(file, "a version of before a withdrawal", &withdrawn, &changed(&withdrawn, shared(6), &[]), Code::BadEvent);
    // What stands behind an event that stops a walk is not looked at.
    let unknown = events([json!({"type": "later"}), handle(Some("alice@kez.lat"))]);
    let out = super::sigchain::nothing();
    file.marked("a chain behind an unknown op", "chain.walk", walk(&unknown, "production"), Code::UnknownOp, out);
    let bob = json!({"key": primary(BOB), "policy": "production", "events": account});
    file.marked("a chain under another key", "chain.walk", bob, Code::BadSignature, super::sigchain::nothing());
}

fn retired(file: &mut File) {
    let retired = events([handle(Some("alice@kez.lat")), json!({"type": "retire"})]);
    let next = |op: Value| event(payload(&retired, op).to_string());
    for (name, op) in [
        ("an op after retirement", handle(None)),
        ("a second retirement", json!({"type": "retire"})),
        ("a malformed op after retirement", json!({"type": "set_handle"})),
        ("an ignorable op after retirement", json!({"type": "later", "ignorable": true})),
        ("an unknown op after retirement", json!({"type": "later"})),
    ] {
        stops(file, name, &retired, &next(op), Code::Retired);
    }
    let mut gap = payload(&retired, handle(None));
    gap["seq"] = json!(4);
    stops(file, "a gap after retirement", &retired, &event(gap.to_string()), Code::Gap);
    stops(
        file,
        "a fork after retirement",
        &retired,
        &event(payload(&retired[..1], handle(None)).to_string()),
        Code::Fork,
    );
}

fn appended(file: &mut File) {
    let account = &three()[..];
    let input_of = |events: &[String], event: &str| json!({"key": primary(ALICE), "policy": "production", "events": events, "event": event});
    for place in 0..3 {
        let out = json!({"seq": place + 1, "head": head(&account[place])});
        let name = format!("event {} is stored", place + 1);
        file.gives(&name, "chain.append", input_of(&account[..place], &account[place]), out.clone());
        let name = format!("event {} is stored already", place + 1);
        file.gives(&name, "chain.append", input_of(account, &account[place]), out);
    }
    let signing_input = input(&account[0]);
    let again = format!("{signing_input}.{}", base64(sign_again(ALICE, signing_input.as_bytes())));
    let out = json!({"seq": 1, "head": head(&account[0])});
    file.gives("a stored event under another signature", "chain.append", input_of(account, &again), out.clone());
    let mut left = account[..1].to_vec();
    left.push(event(payload(&left, json!({"type": "retire"})).to_string()));
    file.gives("a stored event after retirement", "chain.append", input_of(&left, &account[0]), out);
    let next = |events: &[String], op: Value| event(payload(events, op).to_string());
    let later = next(account, json!({"type": "later"}));
    let out = json!({"seq": 4, "head": head(&later)});
    file.gives("a server stores an unknown op", "chain.append", input_of(account, &later), out);

    let mut bad = |name: &str, events: &[String], event: &str, code| {
        file.refused(name, "chain.append", input_of(events, event), code);
    };
    let malformed = json!({"type": "set_handle"});
    bad("a server sees a gap", &account[..1], &account[2], Code::Gap);
    bad("a server sees a fork", account, &next(&account[..1], handle(None)), Code::Fork);
    bad("a server sees a fork with a malformed op", account, &next(&account[..1], malformed.clone()), Code::Fork);
    bad(
        "a server sees another prev",
        &account[..1],
        &next(&[next(&[], json!({"type": "later"}))], handle(None)),
        Code::WrongPrev,
    );
    bad("a server sees an op after retirement", &left, &next(&left, handle(None)), Code::Retired);
    bad("a server sees a malformed op", account, &next(account, malformed), Code::BadEvent);
    bad(
        "a server sees an unknown member",
        account,
        &next(account, json!({"type": "retire", "x": 1})),
        Code::UnknownMember,
    );
    bad(
        "a server sees an ignorable retirement",
        account,
        &next(account, json!({"type": "retire", "ignorable": true})),
        Code::UnknownMember,
    );
    bad("a server sees two parts", account, signing_input, Code::BadJws);
    bad("a server sees a changed event", account, &account[2].replacen("eyJvcCI6", "eyJvcCI7", 1), Code::BadSignature);
}

fn signed(file: &mut File, account: &[String]) {
    let (unsigned, signature) = account[0].rsplit_once('.').unwrap();
    assert_eq!(
        signature, "S_ww4J8eUNueNcg49SZGVDL8HsWEl4URuZGibbehKnbzVlYTNDAkt1-dSlzcYl7QpUyaAaK8i3o5ltR82ud5Bg",
        "the example of §4, over {unsigned}"
    );
    let ts = "2026-11-23T00:00:00Z";
    let input_of = |events: &[String], op: &Value| json!({"seed": plain(ALICE), "policy": "production", "events": events, "op": op, "ts": ts});
    let ops = [nats("tls://nats.kez.lat"), iroh(ONE), handle(Some("alice@kez.lat"))];
    for (place, op) in ops.iter().enumerate() {
        let name = format!("event {} is signed", place + 1);
        file.gives(&name, "chain.sign", input_of(&account[..place], op), json!({"event": account[place]}));
    }
    let first = &account[..1];
    let mut relayed = iroh(TWO);
    relayed["relay_url"] = json!("https://relay.example");
    for (name, op) in [
        ("a relay is signed", relayed),
        ("a removal is signed", json!({"type": "remove_endpoint", "protocol": "iroh", "install": ONE})),
        ("no handle is signed", handle(None)),
        ("shared files are signed", shared(1)),
        (
            "a claim is signed",
            json!({"type": "add_claim", "claim": "github:al", "at": "https://gist.github.com/al/0a"}),
        ),
        ("a retirement is signed", json!({"type": "retire"})),
    ] {
        let event = event(payload(first, op.clone()).to_string());
        file.gives(name, "chain.sign", input_of(first, &op), json!({"event": event}));
    }
    let left = events([json!({"type": "retire"})]);
    let published = events([shared(5)]);
    for (name, events, op, code) in [
        ("signing after retirement", &left[..], handle(None), Code::Retired),
        ("signing a version that stays", &published, shared(5), Code::BadEvent),
        ("signing a URL without TLS", first, nats("nats://nats.kez.lat"), Code::BadEvent),
        (
            "signing a claim's place over http",
            first,
            json!({"type": "add_claim", "claim": "a:b", "at": "http://a"}),
            Code::BadEvent,
        ),
    ] {
        file.refused(name, "chain.sign", input_of(events, &op), code);
    }
    let mut bad_ts = input_of(first, &handle(None));
    bad_ts["ts"] = json!("2026-11-23");
    file.refused("signing a bad ts", "chain.sign", bad_ts, Code::BadEvent);
}
