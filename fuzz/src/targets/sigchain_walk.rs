//! A chain of Alice's, event by event, signed with her key however odd it is (`docs/PROTOCOL.md` §4).
//!
//! The input is lines. A line's first character says what it is: `=` an op as it stands, `~` an op in canonical form, `#`
//! a whole payload as it stands, `!` the event of that place once more; `%` as the first character of all chooses the
//! development policy. In them `$KEY`, `$HEX`, `$PREV` and `$SEQ` stand for Alice's key in both forms, the last head and the
//! place of the next event.

use kez_core::{
    Code,
    handle::Policy,
    sigchain::{Chain, Event, ForkProof, Op, Pin, Progress, Tip},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    input::{Seed, alice, fill_in},
    jose,
};

const HEADER: &[u8] = br#"{"alg":"Ed25519","typ":"kez-event+jws"}"#;
const MAX_LINES: usize = 24;

pub fn run(data: &[u8]) {
    let policy = if data.first() == Some(&b'%') { Policy::Development } else { Policy::Production };
    let mut chain = Chain::new(alice().primary(), policy);
    for line in data.split(|&byte| byte == b'\n').take(MAX_LINES) {
        if let Some(jws) = next_event(&chain, line) {
            step(&mut chain, &jws);
        }
    }
    walk_again(&chain, policy);
    fork(&chain);
}

/// Signs what a line asks for.
fn next_event(chain: &Chain, line: &[u8]) -> Option<String> {
    let (kind, text) = line.split_first()?;
    let text = std::str::from_utf8(text).ok()?;
    let prev = chain.tip().head().map_or("null".to_owned(), |head| format!("\"{head}\""));
    let key = alice().primary();
    let seq = (chain.tip().seq() + 1).to_string();
    let names = [("$KEY", &*key.to_string()), ("$HEX", &key.to_hex()), ("$PREV", &prev), ("$SEQ", &seq)];
    let text = fill_in(text, &names);
    let framed = |op: &str| {
        format!(r#"{{"op":{op},"prev":{prev},"primary":"{key}","seq":{seq},"ts":"2026-11-23T00:00:00Z","v":1}}"#)
    };
    let payload = match kind {
        b'=' => framed(&text),
        b'~' => framed(&serde_json::from_str::<Value>(&text).ok()?.to_string()),
        b'#' => text,
        b'!' => return Some(chain.at(text.parse().ok()?)?.jws().to_owned()),
        _ => return None,
    };
    Some(jose::sign(&[1; 32], HEADER, payload.as_bytes()))
}

/// Pushes an event, and holds what comes of it against what was there before.
fn step(chain: &mut Chain, jws: &str) {
    let before = chain.clone();
    match chain.push(jws).cloned() {
        Err(error) => {
            // A refusal changes nothing, and whoever signs with the right key never has a bad signature.
            assert_eq!(snapshot(chain), snapshot(&before));
            assert!(!matches!(error.code(), Code::BadSignature | Code::BadBase64 | Code::BadJws | Code::BadJwsHeader));
            assert!(!before.tip().retired() || error.code() != Code::UnknownOp);
        }
        Ok(event) => {
            assert_eq!(event.jws(), jws);
            assert_eq!((event.seq(), event.prev()), (before.tip().seq() + 1, before.tip().head()));
            let (input, _) = jws.rsplit_once('.').unwrap();
            assert_eq!(event.head().as_bytes()[..], Sha256::digest(input)[..]);
            assert_eq!((chain.tip().seq(), chain.tip().head()), (event.seq(), Some(event.head())));
            assert!(!before.tip().retired());
            let op = event.op().unwrap().clone();
            assert_eq!(chain.tip().retired(), op == Op::Retire);
            if !matches!(op, Op::Unknown { .. }) {
                // What was understood writes itself to the same bytes: ed25519 has no chance in it.
                let mut own = before;
                assert_eq!(own.sign_next(&alice(), op, event.ts()).unwrap().jws(), jws);
                assert_eq!(snapshot(&own), snapshot(chain));
            }
            // The same event again is not the next one.
            assert_eq!(chain.clone().push(jws).map(drop).unwrap_err().code(), Code::Gap);
            assert_eq!(
                Tip::from_parts(
                    chain.tip().seq(),
                    chain.tip().head(),
                    chain.tip().retired(),
                    chain.tip().shared_version(),
                ),
                *chain.tip()
            );
        }
    }
}

/// What was walked is walked again from its own text: by a server, in pages, and on from the middle.
fn walk_again(chain: &Chain, policy: Policy) {
    let jws: Vec<&str> = chain.events().iter().map(Event::jws).collect();
    let seq = chain.tip().seq();
    let tip = chain.events().iter().fold(Tip::empty(), |tip, event| tip.check_next(event).unwrap());
    assert_eq!(tip, *chain.tip());

    let mut paged = Chain::new(alice().primary(), policy);
    let mut walk = paged.walk();
    for (index, page) in jws.chunks(5).enumerate() {
        let last = (index + 1) * 5 >= jws.len();
        assert_eq!(walk.take(page, seq).unwrap(), if last { Progress::Done } else { Progress::More });
    }
    assert_eq!(snapshot(&paged), snapshot(chain));

    let mut part = Chain::new(alice().primary(), policy);
    let middle = jws.len() / 2;
    part.walk().take(&jws[..middle], middle as u64).unwrap();
    // The pin, kept and read back, goes on like the walk that it was taken from.
    let Some(pin) = part.pin() else { return };
    let kept = Pin::from_bytes(&pin.to_bytes(), policy).unwrap();
    assert_eq!(kept.to_bytes(), pin.to_bytes());
    let mut resumed = Chain::resume(kept);
    assert_eq!(said(&resumed), said(&part));
    let cut = resumed.walk().take::<&str>(&[], middle as u64 - 1).map(drop);
    assert_eq!(cut.unwrap_err().error.code(), Code::Rollback);
    assert_eq!(resumed.walk().after(), middle as u64 - 1);
    assert_eq!(resumed.walk().take(&jws[middle - 1..], seq).unwrap(), Progress::Done);
    assert_eq!(said(&resumed), said(chain));
}

/// Another event at the last one's place is a fork, and the two prove it.
fn fork(chain: &Chain) {
    let [.., last] = chain.events() else { return };
    let prev = last.prev().map_or("null".to_owned(), |head| format!("\"{head}\""));
    let payload = format!(
        r#"{{"op":{{"type":"no_such_op"}},"prev":{prev},"primary":"{}","seq":{},"ts":"2026-11-23T00:00:00Z","v":1}}"#,
        chain.primary(),
        last.seq()
    );
    let other = jose::sign(&[1; 32], HEADER, payload.as_bytes());
    let proof = ForkProof::check(last.jws(), &other).unwrap();
    assert_eq!((proof.seq(), proof.primary()), (last.seq(), chain.primary()));
    assert_eq!(proof.to_string().parse::<ForkProof>().unwrap().to_string(), proof.to_string());
    assert!(ForkProof::check(last.jws(), last.jws()).is_err());
    let mut chain = chain.clone();
    assert_eq!(chain.push(&other).map(drop).unwrap_err().code(), Code::Fork);
    let stopped = chain.walk().take(&[other], last.seq()).map(drop).unwrap_err();
    assert_eq!(stopped.error.code(), Code::Fork);
    assert_eq!(stopped.fork.unwrap().to_string(), proof.to_string());
}

/// Everything that is known of a chain.
fn snapshot(chain: &Chain) -> String {
    format!("{:?} {} {}", chain.tip(), chain.events().len(), said(chain))
}

/// What a chain says of its owner.
fn said(chain: &Chain) -> String {
    let state = chain.state();
    let claims: Vec<_> = state.claims().collect();
    assert!(!state.is_retired() || (state.handle().is_none() && state.nats().is_none() && claims.is_empty()));
    assert!(state.handle().is_none_or(|handle| state.has_had_handle(handle)));
    format!(
        "{:?} {:?} {:?} {:?} {:?} {claims:?}",
        (chain.tip().seq(), chain.tip().head(), state.is_retired()),
        state.nats(),
        state.iroh(),
        state.handle(),
        state.shared_files(),
    )
}

pub fn seeds() -> Vec<Seed> {
    const NATS: &str = r#"={"home":"kez.lat","inbox":"kez.inbox.$HEX","protocol":"nats","type":"add_endpoint","url":"tls://nats.kez.lat"}"#;
    const IROH: &str = r#"={"install":"0011223344556677","node_id":"$HEX","protocol":"iroh","type":"add_endpoint"}"#;
    const HANDLE: &str = r#"={"handle":"alice@kez.lat","type":"set_handle"}"#;
    const RETIRE: &str = r#"={"type":"retire"}"#;
    let frame = |members: &str| format!(r#"#{{{members}}}"#);
    let lines = |lines: &[&str]| lines.join("\n").into_bytes();
    vec![
        ("new-account", lines(&[NATS, IROH, HANDLE])),
        (
            "endpoints",
            lines(&[
                "%",
                NATS,
                r#"~{"type":"add_endpoint","protocol":"nats","home":"localhost:80","inbox":"kez.inbox.$HEX","url":"ws://localhost"}"#,
                r#"={"protocol":"nats","type":"remove_endpoint","url":"tls://nats.kez.lat"}"#,
                r#"~{"type":"add_endpoint","protocol":"iroh","node_id":"$HEX","install":"7766554433221100","relay_url":"https://r"}"#,
                r#"={"install":"0011223344556677","protocol":"iroh","type":"remove_endpoint"}"#,
                r#"~{"type":"add_endpoint","protocol":"pigeon","ignorable":true}"#,
            ]),
        ),
        (
            "claims",
            lines(&[
                r#"={"claim":"dns:alice.example","type":"add_claim"}"#,
                r#"={"at":"https://gist.github.com/alice/0123","claim":"github:alice","type":"add_claim"}"#,
                &format!(r#"~{{"type":"add_claim","claim":"nostr:npub1","sig":"{}"}}"#, "A".repeat(86)),
                r#"={"claim":"dns:alice.example","type":"remove_claim"}"#,
            ]),
        ),
        (
            "shared-files",
            lines(&[
                &format!(r#"~{{"type":"set_shared_files","manifest":"{}","version":1}}"#, "5a".repeat(32)),
                r#"={"manifest":null,"type":"set_shared_files","version":9007199254740991}"#,
                r#"={"manifest":null,"type":"set_shared_files","version":1}"#,
            ]),
        ),
        ("retire", lines(&[HANDLE, r#"={"handle":null,"type":"set_handle"}"#, RETIRE, HANDLE])),
        (
            "unknown",
            lines(&[
                r#"={"ignorable":true,"type":"add_device","x":[1,null,"é\n"]}"#,
                r#"={"type":"set_prekey"}"#,
                HANDLE,
            ]),
        ),
        ("again", lines(&[HANDLE, IROH, "!1", "!2"])),
        (
            "frames",
            lines(&[
                &frame(
                    r#""op":{"type":"retire"},"prev":null,"primary":"$KEY","seq":1,"ts":"2026-11-23T00:00:00Z","v":2"#,
                ),
                &frame(
                    r#""op":{"type":"retire","ignorable":true},"prev":null,"primary":"$KEY","seq":1,"ts":"2026-11-23T00:00:00Z","v":2"#,
                ),
                &frame(
                    r#""op":{"handle":null,"type":"set_handle"},"prev":$PREV,"primary":"$KEY","seq":$SEQ,"ts":"9999-99-99T99:99:99Z","v":1"#,
                ),
                &frame(
                    r#""op":{"type":"retire"},"prev":null,"primary":"$KEY","seq":1,"ts":"2026-11-23T00:00:00Z","v":1"#,
                ),
            ]),
        ),
        (
            "gap",
            lines(&[
                HANDLE,
                &frame(
                    r#""op":{"type":"retire"},"prev":$PREV,"primary":"$KEY","seq":100001,"ts":"2026-11-23T00:00:00Z","v":1"#,
                ),
            ]),
        ),
    ]
}
