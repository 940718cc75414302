//! `sigchain.json`: what an event says of itself. Operations are in [`super::ops`], chains in [`super::walks`].

use kez_core::Code;
use serde_json::{Value, json};

use super::super::{
    case::File,
    check,
    forge::{
        chain::{HEADER, event, input, jws, payload},
        keys::{ALICE, BOB, Odd, base64, primary, sign, sign_again, sign_oddly},
    },
};

pub(in super::super) fn make() -> File {
    let mut file = File::new("Sigchains (PROTOCOL.md 4).", check::sigchain::run);
    super::walks::make(&mut file);
    super::resumes::make(&mut file);
    wire(&mut file);
    json_form(&mut file);
    canonical_form(&mut file);
    members(&mut file);
    super::ops::make(&mut file);
    file
}

/// Returns what a chain without events says.
pub(super) fn nothing() -> Value {
    json!({"seq": 0, "head": "", "state": state(json!({}))})
}

/// Returns a state that says nothing but what is given.
pub(super) fn state(said: Value) -> Value {
    let mut state = json!({
        "nats": null, "iroh": null, "handle": null, "past_handles": [], "claims": [], "shared_files": null,
        "retired": false,
    });
    for (name, value) in said.as_object().unwrap() {
        state[name] = value.clone();
    }
    state
}

pub(super) fn walk(events: &[String], policy: &str) -> Value {
    json!({"key": primary(ALICE), "policy": policy, "events": events})
}

/// Adds the case of a first event that is refused.
pub(super) fn first_refused(file: &mut File, name: &str, event: String, code: Code) {
    file.marked(name, "chain.walk", walk(&[event], "production"), code, nothing());
}

/// Returns an operation that is as good as any.
fn op() -> Value {
    json!({"type": "set_handle", "handle": null})
}

fn wire(file: &mut File) {
    let body = payload(&[], op()).to_string();
    let good = event(&body);
    assert_eq!(base64(HEADER), "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoia2V6LWV2ZW50K2p3cyJ9", "the header that §4 gives");
    let [header, encoded, signature] = *good.split('.').collect::<Vec<_>>() else { panic!() };
    let mut bad = |name: &str, event: String, code| first_refused(file, name, event, code);

    for (name, event) in [
        ("an empty event", String::new()),
        ("one part", encoded.to_owned()),
        ("two parts", input(&good).to_owned()),
        ("four parts", format!("{good}.")),
        (
            "a JWS in its JSON form",
            format!(r#"{{"protected":"{header}","payload":"{encoded}","signature":"{signature}"}}"#),
        ),
    ] {
        bad(name, event, Code::BadJws);
    }
    for (name, header) in [
        ("the header none", r#"{"alg":"none","typ":"kez-event+jws"}"#),
        ("the header HS256", r#"{"alg":"HS256","typ":"kez-event+jws"}"#),
        ("the header EdDSA", r#"{"alg":"EdDSA","typ":"kez-event+jws"}"#),
        ("a header of another typ", r#"{"alg":"Ed25519","typ":"JWT"}"#),
        ("a header without typ", r#"{"alg":"Ed25519"}"#),
        ("a header in another order", r#"{"typ":"kez-event+jws","alg":"Ed25519"}"#),
        ("a header with a blank", r#"{"alg":"Ed25519", "typ":"kez-event+jws"}"#),
        ("a header with a member more", r#"{"alg":"Ed25519","kid":"a","typ":"kez-event+jws"}"#),
        ("an empty header", ""),
    ] {
        bad(name, jws(header, body.as_bytes()), Code::BadJwsHeader);
    }
    bad("a padded header", good.replacen('.', "==.", 1), Code::BadJwsHeader);
    bad("an unsigned event", format!("{}.{encoded}.", base64(r#"{"alg":"none"}"#)), Code::BadJwsHeader);

    // Each is canonical base64url still: six bits of the payload, or of R or S, changed places.
    for (name, at) in [
        ("flipped bits of the payload", header.len() + 10),
        ("flipped bits at the payload's end", header.len() + encoded.len() - 4),
        ("flipped bits of R", good.len() - 80),
        ("flipped bits of S", good.len() - 20),
    ] {
        let flipped = format!("{}{}{}", &good[..at], next(&good[..=at]), &good[at + 1..]);
        bad(name, flipped, Code::BadSignature);
    }
    for (name, event) in [
        ("a padded payload", format!("{header}.{encoded}=.{signature}")),
        ("a blank in the payload", format!("{header}.{encoded} .{signature}")),
        ("the payload in the other alphabet", format!("{header}.+{}.{signature}", &encoded[1..])),
        (
            "a payload of an impossible length",
            format!("{header}.{encoded}{}.{signature}", "A".repeat((5 - encoded.len() % 4) % 4)),
        ),
        ("a padded signature", format!("{good}==")),
        ("unused bits of the signature set", format!("{}{}", &good[..good.len() - 1], next(&good))),
        ("a newline after the event", format!("{good}\n")),
    ] {
        bad(name, event, Code::BadBase64);
    }
    // One byte of padding is left over in this payload, so that its last character has unused bits.
    let padded = format!("{body}{}", " ".repeat(3 - (body.len() + 2) % 3));
    let twisted = event(&padded);
    let (start, _) = twisted.rsplit_once('.').unwrap();
    let twisted = format!("{}{}", &start[..start.len() - 1], next(start));
    bad(
        "unused bits of the payload set",
        format!("{twisted}.{}", base64(sign(ALICE, twisted.as_bytes()))),
        Code::BadBase64,
    );

    let signed = |signature: &[u8]| format!("{}.{}", input(&good), base64(signature));
    bad("another's signature on an event", signed(&sign(BOB, input(&good).as_bytes())), Code::BadSignature);
    bad("a signature over the payload alone", signed(&sign(ALICE, body.as_bytes())), Code::BadSignature);
    bad("a signature of 63 bytes", signed(&sign(ALICE, input(&good).as_bytes())[..63]), Code::BadSignature);
    bad("no signature", signed(&[]), Code::BadSignature);
    for (odd, name) in Odd::ALL {
        bad(
            &format!("an event's {name}"),
            signed(&sign_oddly(ALICE, input(&good).as_bytes(), odd)),
            Code::BadSignature,
        );
    }
    let other = payload(&[], json!({"type": "retire"})).to_string();
    bad("the signature of another payload", format!("{header}.{}.{signature}", base64(&other)), Code::BadSignature);
    bad("no JSON, and a wrong signature", format!("{header}.{}.{signature}", base64("{")), Code::BadSignature);

    let again = format!("{}.{}", input(&good), base64(sign_again(ALICE, input(&good).as_bytes())));
    let out = file.outputs("the event itself", "chain.walk", &walk(&[good], "production"));
    file.gives("a second sound signature", "chain.walk", walk(&[again], "production"), out);
    lengths(file);
}

/// Returns the base64url character after the last one of a text, which differs in its lowest bit.
fn next(text: &str) -> char {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = DIGITS.find(text.chars().last().unwrap()).unwrap();
    DIGITS.chars().nth(last ^ 1).unwrap()
}

fn lengths(file: &mut File) {
    // Of an event, 140 characters are not its payload.
    let sized = |bytes: usize| {
        let event = |filler: usize| {
            payload(&[], json!({"type": "later", "ignorable": true, "x": "x".repeat(filler)})).to_string()
        };
        super::super::forge::chain::event(event(bytes - event(0).len()))
    };
    let largest = sized((16_384 - 140) / 4 * 3);
    assert_eq!(largest.len(), 16_384);
    file.ok("an event of 16,384 characters", "chain.walk", walk(&[largest], "production"));
    first_refused(file, "an event of 16,386 characters", sized((16_384 - 140) / 4 * 3 + 1), Code::TooLong);
}

fn json_form(file: &mut File) {
    let body = payload(&[], op()).to_string();
    let with = |value: &str| {
        let op = format!(r#"{{"ignorable":true,"type":"later","x":{value}}}"#);
        body.replacen(r#"{"handle":null,"type":"set_handle"}"#, &op, 1)
    };
    let nested = |levels: usize| with(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let mut bad = |name: &str, body: &[u8]| first_refused(file, name, event(body), Code::BadJson);
    bad("an empty payload", b"");
    bad("half an object", &body.as_bytes()[..body.len() - 1]);
    bad("something after the value", format!("{body}{{}}").as_bytes());
    bad("a byte order mark", format!("\u{feff}{body}").as_bytes());
    bad("a zero byte after the value", format!("{body}\0").as_bytes());
    let mut latin = with("\"?\"").into_bytes();
    *latin.iter_mut().find(|byte| **byte == b'?').unwrap() = 0xe9;
    bad("a text that is not UTF-8", &latin);
    for (name, value) in [
        ("a fraction", "1.5"),
        ("a fraction that is whole", "1.0"),
        ("an exponent", "1e2"),
        ("a negative number", "-1"),
        ("minus zero", "-0"),
        ("a leading zero", "01"),
        ("a plus sign", "+1"),
        ("2^53", "9007199254740992"),
        ("2^64", "18446744073709551616"),
        ("a number beyond all doubles", "1e400"),
        ("not a number", "NaN"),
        ("a lone high surrogate", r#""\ud800""#),
        ("a lone low surrogate", r#""\udc00""#),
        ("surrogates in the wrong order", r#""\ude00\ud83d""#),
        ("a control character as itself", "\"\u{1}\""),
        ("a newline in a text", "\"\n\""),
        ("an unknown escape", r#""\x41""#),
        ("a text without an end", "\""),
        ("single quotes", "'a'"),
        ("a comma too many", "[1,]"),
        ("a comment", "1/**/"),
        ("a literal cut short", "nul"),
        ("a key twice", r#"{"a":1,"a":1}"#),
        ("a key twice, once escaped", r#"{"a":1,"\u0061":1}"#),
        ("a key that is not ASCII", "{\"\u{e9}\":1}"),
        ("a key that is not ASCII, escaped", r#"{"\u00e9":1}"#),
        ("a fraction beside a blank", "[ 1.5]"),
    ] {
        bad(name, with(value).as_bytes());
    }
    // The payload and its op are the first two levels.
    bad("17 levels", nested(15).as_bytes());
    bad("a top-level member twice", body.replacen('{', r#"{"op":{},"#, 1).as_bytes());
    file.ok("16 levels", "chain.walk", walk(&[event(nested(14))], "production"));
    let all =
        "[null,true,false,0,9007199254740991,\"\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\u{e9}\u{7f}\u{2028}\u{1f600}\",{}]";
    file.ok("every kind of value in canonical form", "chain.walk", walk(&[event(with(all))], "production"));
}

fn canonical_form(file: &mut File) {
    let body = payload(&[], op()).to_string();
    let with = |text: &str| body.replacen("null,\"type\"", &format!("{text},\"type\""), 1);
    for (name, body) in [
        ("a blank at the beginning", format!(" {body}")),
        ("a newline at the end", format!("{body}\n")),
        ("a blank after a colon", body.replacen("\"seq\":", "\"seq\": ", 1)),
        ("a blank after a comma", body.replacen(",\"ts\"", ", \"ts\"", 1)),
        (
            "top-level keys out of order",
            body.replacen(r#""seq":1,"ts":"2026-11-23T00:00:00Z""#, r#""ts":"2026-11-23T00:00:00Z","seq":1"#, 1),
        ),
        (
            "an op's keys out of order",
            body.replacen(r#""handle":null,"type":"set_handle""#, r#""type":"set_handle","handle":null"#, 1),
        ),
        ("an escaped letter", with(r#""\u0061lice@kez.lat""#)),
        ("an escaped slash", with(r#""\/""#)),
        ("an escape in capitals", with(r#""\u001F""#)),
        ("a long escape for a tab", with(r#""\u0009""#)),
        ("an escaped letter beyond ASCII", with(r#""\u00e9""#)),
        ("an escaped pair of surrogates", with(r#""\ud83d\ude00""#)),
        ("an escaped delete", with(r#""\u007f""#)),
        ("an escaped key", body.replacen("\"op\"", r#""\u006fp""#, 1)),
    ] {
        first_refused(file, name, event(body), Code::NotCanonicalJson);
    }
}

fn members(file: &mut File) {
    for (name, body) in [("an array", "[]"), ("a text", "\"\""), ("null", "null"), ("a number", "1")] {
        first_refused(file, &format!("the payload is {name}"), event(body), Code::BadEvent);
    }
    let good = payload(&[], op());
    let mut bad = |name: &str, changes: &[(&str, Value)], code| {
        let mut body = good.clone();
        for (member, value) in changes {
            body[*member] = value.clone();
        }
        first_refused(file, name, event(body.to_string()), code);
    };
    let unsound = format!("ed25519:{}", "00".repeat(32));
    for (name, member, value) in [
        ("op is null", "op", json!(null)),
        ("op is a text", "op", json!("retire")),
        ("op is an array", "op", json!([op()])),
        ("op has no type", "op", json!({"handle": null})),
        ("op has a type that is no text", "op", json!({"handle": null, "type": 1})),
        ("prev is a number", "prev", json!(0)),
        ("prev is empty", "prev", json!("")),
        ("prev is given at the first place", "prev", json!("00".repeat(32))),
        ("prev has 63 digits", "prev", json!("0".repeat(63))),
        ("prev is in capitals", "prev", json!("AA".repeat(32))),
        ("primary is null", "primary", json!(null)),
        ("primary is hex alone", "primary", json!(primary(ALICE).to_hex())),
        ("primary is in capitals", "primary", json!(primary(ALICE).to_string().to_uppercase())),
        ("primary is not sound", "primary", json!(unsound)),
        ("seq is 0", "seq", json!(0)),
        ("seq is a text", "seq", json!("1")),
        ("seq is null", "seq", json!(null)),
        ("prev is missing at the second place", "seq", json!(2)),
        ("ts is a number", "ts", json!(0)),
        ("ts has a blank", "ts", json!("2026-11-23 00:00:00Z")),
        ("ts has a fraction", "ts", json!("2026-11-23T00:00:00.0Z")),
        ("ts has an offset", "ts", json!("2026-11-23T00:00:00+00:00")),
        ("ts ends in a small z", "ts", json!("2026-11-23T00:00:00z")),
        ("ts has a digit that is not ASCII", "ts", json!("2026-11-23T00:00:0\u{663}Z")),
        ("v is a text", "v", json!("1")),
        ("v is null", "v", json!(null)),
    ] {
        bad(name, &[(member, value)], Code::BadEvent);
    }
    let text = "00".repeat(32);
    bad("a member more", &[("x", json!(null))], Code::UnknownMember);
    bad("ignorable beside the op", &[("ignorable", json!(true))], Code::UnknownMember);
    bad("a member more, and no op", &[("x", json!(1)), ("op", json!(null))], Code::UnknownMember);
    bad("a seq of 100,001", &[("seq", json!(100_001)), ("prev", json!(text))], Code::TooLong);
    bad("a seq of 100,001 without prev", &[("seq", json!(100_001))], Code::TooLong);
    bad("a seq of 2^53 − 1 and a bad ts", &[("seq", json!((1_u64 << 53) - 1)), ("ts", json!(0))], Code::TooLong);
    bad("a seq of 100,001 and a bad primary", &[("seq", json!(100_001)), ("primary", json!(0))], Code::BadEvent);
    bad("a seq of 100,000", &[("seq", json!(100_000)), ("prev", json!(text))], Code::Gap);
    bad("another's primary", &[("primary", json!(primary(BOB)))], Code::WrongPrimary);
    bad("another's primary and a bad v", &[("primary", json!(primary(BOB))), ("v", json!(null))], Code::BadEvent);
    bad(
        "another's primary, and an op without its members",
        &[("primary", json!(primary(BOB))), ("op", json!({"type": "set_handle"}))],
        Code::WrongPrimary,
    );
    for member in ["op", "prev", "primary", "seq", "ts", "v"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(member);
        first_refused(file, &format!("{member} is missing"), event(body.to_string()), Code::BadEvent);
    }
    let odd = payload(&[], op()).to_string().replacen("2026-11-23T00:00:00Z", "9999-99-99T99:99:99Z", 1);
    file.ok("a ts that is no date but has its shape", "chain.walk", walk(&[event(odd)], "production"));
}
