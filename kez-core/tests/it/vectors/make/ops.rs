//! `sigchain.json`: every operation, good and bad.

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        case::File,
        forge::{
            chain::{event, events, head, payload},
            keys::{ALICE, BOB, base64, primary, sign},
        },
    },
    sigchain::{first_refused, state, walk},
};

pub(super) fn nats(url: &str) -> Value {
    let inbox = format!("kez.inbox.{}", primary(ALICE).to_hex());
    json!({"type": "add_endpoint", "protocol": "nats", "home": "kez.lat", "url": url, "inbox": inbox})
}

pub(super) fn iroh(install: &str) -> Value {
    json!({"type": "add_endpoint", "protocol": "iroh", "node_id": primary(ALICE).to_hex(), "install": install})
}

pub(super) fn make(file: &mut File) {
    for (name, op, says) in good() {
        let events = events([op.clone()]);
        let out = json!({"seq": 1, "head": head(&events[0]), "state": state(says)});
        file.gives(&format!("{name}: good"), "chain.walk", walk(&events, "production"), out);
        variations(file, name, &op);
    }
    malformed(file);
    unknown(file);
    development(file);
}

/// Lists every operation with its optional members, and what it says.
fn good() -> Vec<(&'static str, Value, Value)> {
    let with = |mut op: Value, member: &str, value: &str| {
        op[member] = json!(value);
        op
    };
    let sig = base64(sign(ALICE, b""));
    let (install, relay, at) = ("0011223344556677", "https://relay.example/", "https://chris.example/proof");
    vec![
        (
            "add a nats endpoint",
            nats("tls://nats.kez.lat"),
            json!({"nats": {"home": "kez.lat", "url": "tls://nats.kez.lat"}}),
        ),
        (
            "add an iroh endpoint",
            with(iroh(install), "relay_url", relay),
            json!({"iroh": {"install": install, "relay_url": relay}}),
        ),
        (
            "remove a nats endpoint",
            json!({"type": "remove_endpoint", "protocol": "nats", "url": "wss://nats.kez.lat/x"}),
            json!({}),
        ),
        (
            "remove an iroh endpoint",
            json!({"type": "remove_endpoint", "protocol": "iroh", "install": install}),
            json!({}),
        ),
        (
            "set the handle",
            json!({"type": "set_handle", "handle": "alice@kez.lat"}),
            json!({"handle": "alice@kez.lat", "past_handles": ["alice@kez.lat"]}),
        ),
        (
            "set the shared files",
            json!({"type": "set_shared_files", "manifest": "0a".repeat(32), "version": 7}),
            json!({"shared_files": {"manifest": "0a".repeat(32), "version": 7}}),
        ),
        (
            "add a claim",
            json!({"type": "add_claim", "claim": "dns:chris.example", "at": at, "sig": sig}),
            json!({"claims": [{"claim": "dns:chris.example", "at": at, "sig": sig}]}),
        ),
        ("remove a claim", json!({"type": "remove_claim", "claim": "dns:chris.example"}), json!({})),
        ("retire", json!({"type": "retire"}), json!({"retired": true})),
    ]
}

/// Leaves out each member, or gives it another type, adds one, and says that a known operation could be skipped.
fn variations(file: &mut File, name: &str, op: &Value) {
    let mut bad = |what: String, op: &Value, code| {
        first_refused(file, &format!("{name}: {what}"), event(payload(&[], op.clone()).to_string()), code);
    };
    let changed = |member: &str, value: Value| {
        let mut op = op.clone();
        op[member] = value;
        op
    };
    bad("a member more".into(), &changed("x", json!(null)), Code::UnknownMember);
    bad("ignorable".into(), &changed("ignorable", json!(true)), Code::UnknownMember);
    for member in op.as_object().unwrap().keys().filter(|member| *member != "type") {
        if !["relay_url", "at", "sig"].contains(&member.as_str()) {
            let mut less = op.clone();
            less.as_object_mut().unwrap().remove(member);
            bad(format!("no {member}"), &less, Code::BadEvent);
        }
        let value = match member.as_str() {
            "handle" | "manifest" => json!(7),
            "relay_url" | "at" | "sig" | "version" => json!(null),
            _ => continue,
        };
        bad(format!("{member} is {value}"), &changed(member, value), Code::BadEvent);
    }
}

fn malformed(file: &mut File) {
    let ops = good();
    let op = |index: usize| ops[index].1.clone();
    let (add_nats, add_iroh, set_handle, set_shared, add_claim) = (op(0), op(1), op(4), op(5), op(6));
    let long = |scheme: &str| format!("{scheme}://{}", "x".repeat(1025 - scheme.len() - 3));
    let bob = primary(BOB).to_hex();
    for (name, mut op, member, value) in [
        ("a home in capitals", add_nats.clone(), "home", json!("Kez.lat")),
        ("a home that is an address", add_nats.clone(), "home", json!("127.0.0.1")),
        ("a home with a port", add_nats.clone(), "home", json!("kez.lat:80")),
        ("a broker without TLS", add_nats.clone(), "url", json!("nats://nats.kez.lat")),
        ("a broker of another scheme", add_nats.clone(), "url", json!("https://nats.kez.lat")),
        ("a broker's scheme in capitals", add_nats.clone(), "url", json!("TLS://nats.kez.lat")),
        ("a broker's scheme alone", add_nats.clone(), "url", json!("tls://")),
        ("a blank in a URL", add_nats.clone(), "url", json!("tls://nats.kez.lat ")),
        ("a URL that is not ASCII", add_nats.clone(), "url", json!("tls://b\u{fc}cher.example")),
        ("a URL of 1,025 characters", add_nats.clone(), "url", json!(long("tls"))),
        ("another's inbox", add_nats.clone(), "inbox", json!(format!("kez.inbox.{bob}"))),
        ("an inbox that is a route", add_nats.clone(), "inbox", json!(format!("kez.inbox.{bob}.x"))),
        ("a protocol that is no text", add_nats.clone(), "protocol", json!(1)),
        ("another's node id", add_iroh.clone(), "node_id", json!(bob)),
        ("an install of 15 digits", add_iroh.clone(), "install", json!("001122334455667")),
        ("an install in capitals", add_iroh.clone(), "install", json!("00112233445566FF")),
        ("a relay over http", add_iroh.clone(), "relay_url", json!("http://relay.example/")),
        ("a bare handle", set_handle.clone(), "handle", json!("alice")),
        ("a handle in capitals", set_handle.clone(), "handle", json!("Alice@kez.lat")),
        ("an empty handle", set_handle, "handle", json!("")),
        ("a manifest of 62 digits", set_shared.clone(), "manifest", json!("0a".repeat(31))),
        ("a manifest in capitals", set_shared.clone(), "manifest", json!("0A".repeat(32))),
        ("a version that is a text", set_shared, "version", json!("7")),
        ("a claim without a scheme", add_claim.clone(), "claim", json!("chris.example")),
        ("a claim with an empty scheme", add_claim.clone(), "claim", json!(":chris.example")),
        ("a claim whose scheme begins with a digit", add_claim.clone(), "claim", json!("3d:x")),
        ("a claim whose scheme has a capital", add_claim.clone(), "claim", json!("dNs:x")),
        ("a claim whose scheme has a hyphen", add_claim.clone(), "claim", json!("d-ns:x")),
        ("a claim of nothing", add_claim.clone(), "claim", json!("dns:")),
        ("a claim with a blank", add_claim.clone(), "claim", json!("dns:a b")),
        ("a claim of 256 characters", add_claim.clone(), "claim", json!(format!("dns:{}", "x".repeat(256)))),
        ("a claim's place over http", add_claim.clone(), "at", json!("http://chris.example")),
        ("a claim's sig in padded base64", add_claim.clone(), "sig", json!(format!("{}==", "A".repeat(86)))),
        ("a claim's sig of 63 bytes", add_claim.clone(), "sig", json!("A".repeat(84))),
        ("an empty sig of a claim", add_claim, "sig", json!("")),
    ] {
        op[member] = value;
        first_refused(file, name, event(payload(&[], op).to_string()), Code::BadEvent);
    }
    // Which members are known depends on the protocol, so it is looked at first.
    let op = json!({"type": "add_endpoint", "x": 1});
    first_refused(file, "no protocol, and a member more", event(payload(&[], op).to_string()), Code::BadEvent);
    let op = json!({"type": "set_handle", "x": 1});
    first_refused(file, "no handle, and a member more", event(payload(&[], op).to_string()), Code::UnknownMember);

    let longest = format!("{}:{}", "a".repeat(300), "x".repeat(255));
    for (name, op, says) in [
        ("no handle any more", json!({"type": "set_handle", "handle": null}), json!({})),
        (
            "nothing shared",
            json!({"type": "set_shared_files", "manifest": null, "version": 0}),
            json!({"shared_files": {"manifest": null, "version": 0}}),
        ),
        (
            "a claim of a long scheme",
            json!({"type": "add_claim", "claim": longest}),
            json!({"claims": [{"claim": longest, "at": null, "sig": null}]}),
        ),
        (
            "a reserved name as a handle",
            json!({"type": "set_handle", "handle": "root@localhost:8080"}),
            json!({"handle": "root@localhost:8080", "past_handles": ["root@localhost:8080"]}),
        ),
        (
            "a URL of 1,024 characters",
            nats(&long("wss")[..1024]),
            json!({"nats": {"home": "kez.lat", "url": long("wss")[..1024]}}),
        ),
    ] {
        let events = events([op]);
        let out = json!({"seq": 1, "head": head(&events[0]), "state": state(says)});
        file.gives(name, "chain.walk", walk(&events, "production"), out);
    }
}

fn unknown(file: &mut File) {
    let mut case = |name: &str, op: Value, v: u64, skipped: bool| {
        let mut body = payload(&[], op);
        body["v"] = json!(v);
        let event = event(body.to_string());
        if skipped {
            let out = json!({"seq": 1, "head": head(&event), "state": state(json!({}))});
            file.gives(name, "chain.walk", walk(&[event], "production"), out);
        } else {
            first_refused(file, name, event, Code::UnknownOp);
        }
    };
    let handle = json!({"type": "set_handle", "handle": "alice@kez.lat"});
    case("an unknown op", json!({"type": "later"}), 1, false);
    case("an unknown op of an empty type", json!({"type": ""}), 1, false);
    case("an unknown op that is ignorable", json!({"type": "later", "ignorable": true, "x": [{}]}), 1, true);
    case("an op of a reserved type", json!({"type": "add_device", "ignorable": true}), 1, true);
    case("ignorable is false", json!({"type": "later", "ignorable": false}), 1, false);
    case("ignorable is a text", json!({"type": "later", "ignorable": "true"}), 1, false);
    case("ignorable is 1", json!({"type": "later", "ignorable": 1}), 1, false);
    case("another protocol", json!({"type": "add_endpoint", "protocol": "smtp"}), 1, false);
    case(
        "another protocol, ignorable",
        json!({"type": "add_endpoint", "protocol": "smtp", "ignorable": true}),
        1,
        true,
    );
    case("another protocol, taken back", json!({"type": "remove_endpoint", "protocol": "NATS"}), 1, false);
    case("a known type in capitals", json!({"type": "Retire"}), 1, false);
    case("a known op of version 2", handle.clone(), 2, false);
    case("a known op of version 0", handle, 0, false);
    case("a malformed op of version 2", json!({"type": "set_handle"}), 2, false);
    case("an ignorable op of version 2", json!({"type": "retire", "ignorable": true}), 2, true);
}

fn development(file: &mut File) {
    for url in ["nats://127.0.0.1:4222", "ws://localhost:8080"] {
        let mut op = nats(url);
        op["home"] = json!("kez.test:8080");
        let events = events([op]);
        let says = json!({"nats": {"home": "kez.test:8080", "url": url}});
        let out = json!({"seq": 1, "head": head(&events[0]), "state": state(says)});
        file.gives(&format!("{url} under development"), "chain.walk", walk(&events, "development"), out);
    }
}
