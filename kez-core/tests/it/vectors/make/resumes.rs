//! `sigchain.json`: walks that go on from a pin, and proofs of a fork.

use std::slice::from_ref;

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        case::File,
        forge::{
            chain::{event, events, input, jws, payload},
            keys::{ALICE, BOB, base64, primary, sign, sign_again},
        },
    },
    sigchain::walk,
    walks::three,
};

fn handle(handle: Option<&str>) -> Value {
    json!({"type": "set_handle", "handle": handle})
}

pub(super) fn make(file: &mut File) {
    resumed(file);
    forks(file);
}

fn resume(pinned: &[String], page: &[String], seq: usize) -> Value {
    json!({"key": primary(ALICE), "policy": "production", "pinned": pinned, "events": page, "seq": seq})
}

fn resumed(file: &mut File) {
    let account = three();
    let says = |file: &File, events: &[String]| file.outputs("a chain", "chain.walk", &walk(events, "production"));
    let two = says(file, &account[..2]);
    let three = says(file, &account);
    for pinned in 1..=3 {
        let name = format!("a walk goes on from event {pinned}");
        let input = resume(&account[..pinned], &account[pinned - 1..], 3);
        file.gives(&name, "chain.resume", input, three.clone());
    }
    file.gives("a page before the last", "chain.resume", resume(&account[..1], &account[..2], 3), two.clone());
    file.gives("an empty page, and the server has the pin", "chain.resume", resume(&account, &[], 3), three.clone());
    file.gives("an empty page, and the server has more", "chain.resume", resume(&account[..2], &[], 3), two.clone());
    let again = format!("{}.{}", input(&account[1]), base64(sign_again(ALICE, input(&account[1]).as_bytes())));
    let page = [again, account[2].clone()];
    file.gives("the pin under another signature", "chain.resume", resume(&account[..2], &page, 3), three.clone());
    let moved = events([handle(Some("al@a.example")), handle(Some("al@b.example")), handle(Some("al@c.example"))]);
    let out = says(file, &moved);
    file.gives("past handles from before the pin", "chain.resume", resume(&moved[..2], &moved[1..], 3), out);
    let claim = |claim: &str| json!({"type": "add_claim", "claim": claim});
    let shared = |version: u64| json!({"type": "set_shared_files", "manifest": null, "version": version});
    let remove = json!({"type": "remove_claim", "claim": "dns:a"});
    let claims = events([claim("dns:b"), claim("dns:a"), shared(7), remove, shared(8)]);
    let out = says(file, &claims);
    file.gives("claims and files from before the pin", "chain.resume", resume(&claims[..3], &claims[2..], 5), out);

    let mut stops = |name: &str, pinned: &[String], page: &[String], seq: usize, code, out: Value| {
        file.marked(name, "chain.resume", resume(pinned, page, seq), code, out);
    };
    let next = |good: &[String], op: Value| event(payload(good, op).to_string());
    let other = next(&account[..1], handle(None));
    let fork = Code::Fork;
    stops("another event at the pin", &account[..2], from_ref(&other), 2, fork, two.clone());
    stops(
        "another event at the pin, and more",
        &account[..2],
        &[other.clone(), account[2].clone()],
        3,
        fork,
        two.clone(),
    );
    let malformed = next(&account[..1], json!({"type": "set_handle"}));
    stops("a malformed event at the pin", &account[..2], &[malformed], 2, fork, two.clone());
    stops(
        "an unknown event at the pin",
        &account[..2],
        &[next(&account[..1], json!({"type": "x"}))],
        2,
        fork,
        two.clone(),
    );
    let forked = [account[2].clone(), next(&account[..2], json!({"type": "retire"}))];
    stops("a fork behind the pin", &account[..2], &[&account[1..2], &forked].concat(), 3, fork, three.clone());
    stops("the server has lost everything", &account, &[], 0, Code::Rollback, three.clone());
    stops("the server has lost the last event", &account, &[], 2, Code::Rollback, three.clone());
    stops("the event behind the pin", &account[..1], &account[1..], 3, Code::Gap, file_says(&account[..1]));
    stops("the event before the pin", &account[..2], &account[..1], 3, Code::Gap, two.clone());
    stops("the pin twice", &account[..2], &[account[1].clone(), account[1].clone()], 3, Code::Gap, two.clone());
    let bad = [account[1].clone(), next(&account[..2], json!({"type": "set_handle"}))];
    stops("a malformed event behind the pin", &account[..2], &bad, 3, Code::BadEvent, two.clone());
    let low = [claims[2].clone(), next(&claims[..3], shared(7))];
    let out = file_says(&claims[..3]);
    stops("a version that stays, behind the pin", &claims[..3], &low, 4, Code::BadEvent, out);
    let left = events([json!({"type": "retire"})]);
    let page = [left[0].clone(), next(&left, handle(None))];
    stops("an op after a pinned retirement", &left, &page, 2, Code::Retired, file_says(&left));
    let changed = account[1].replacen("eyJvcCI6", "eyJvcCI7", 1);
    stops("the pin changed on its way", &account[..2], &[changed], 2, Code::BadSignature, two);
}

/// Returns what a sound chain says.
fn file_says(events: &[String]) -> Value {
    File::new("", super::super::check::sigchain::run).outputs("a chain", "chain.walk", &walk(events, "production"))
}

fn forks(file: &mut File) {
    let account = three();
    let input_of = |first: &str, second: &str| json!({"events": [first, second]});
    let next = |good: &[String], op: Value| event(payload(good, op).to_string());
    let other = next(&account[..2], json!({"type": "retire"}));
    let out = json!({"key": primary(ALICE), "seq": 3});
    file.gives("a fork", "fork.verify", input_of(&account[2], &other), out.clone());
    file.gives("a fork the other way round", "fork.verify", input_of(&other, &account[2]), out.clone());
    for (name, op) in [
        ("a fork with a malformed op", json!({"type": "set_handle"})),
        ("a fork with an unknown op", json!({"type": "later"})),
        ("a fork with a retirement", json!({"type": "retire"})),
    ] {
        file.gives(name, "fork.verify", input_of(&account[2], &next(&account[..2], op)), out.clone());
    }
    // What stands before does not matter.
    let elsewhere = next(&[account[0].clone(), next(&account[..1], handle(None))], handle(None));
    file.gives("a fork with another prev", "fork.verify", input_of(&account[2], &elsewhere), out);
    let out = json!({"key": primary(ALICE), "seq": 1});
    file.gives(
        "a proof of a fork at the first place",
        "fork.verify",
        input_of(&account[0], &next(&[], json!({"type": "retire"}))),
        out,
    );

    let again = format!("{}.{}", input(&account[2]), base64(sign_again(ALICE, input(&account[2]).as_bytes())));
    let mut body = payload(&account[..2], handle(None));
    body["primary"] = json!(primary(BOB));
    let bobs_input = format!("{}.{}", base64(super::super::forge::chain::HEADER), base64(body.to_string()));
    let bobs = format!("{bobs_input}.{}", base64(sign(BOB, bobs_input.as_bytes())));
    let mut versionless = payload(&account[..2], handle(None));
    versionless["v"] = json!(null);
    let mut nobodys = versionless.clone();
    nobodys["primary"] = json!(null);
    let unsigned = format!("{}.{}", input(&other), base64([0; 64]));
    for (name, first, second, code) in [
        ("one event twice", &account[2], &account[2], Code::Gap),
        ("one event under two signatures", &account[2], &again, Code::Gap),
        ("events of two places", &account[1], &account[2], Code::Gap),
        ("events of two keys", &account[2], &bobs, Code::BadSignature),
        ("an event that Alice signed for Bob", &account[2], &event(body.to_string()), Code::WrongPrimary),
        ("an unsigned second event", &account[2], &unsigned, Code::BadSignature),
        ("an unsigned first event", &unsigned, &account[2], Code::BadSignature),
        ("a second event without v", &account[2], &event(versionless.to_string()), Code::BadEvent),
        ("a second event that is none", &account[2], &"a.b".to_owned(), Code::BadJws),
        ("a first event that is none", &"a.b".to_owned(), &account[2], Code::BadJws),
        ("a first event of another header, and no JSON", &jws("{}", b"{"), &account[2], Code::BadJwsHeader),
        ("a first event that is no JSON", &event("{"), &account[2], Code::BadJson),
        ("a first event without primary", &event(nobodys.to_string()), &account[2], Code::BadEvent),
    ] {
        file.refused(name, "fork.verify", input_of(first, second), code);
    }
}
