//! Chains: walked by readers, appended to by servers, signed by their owners.

use kez_core::{
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, Signature},
    sigchain::{Chain, ChainError, Event, ForkProof, ListedClaim, Op, Pin, State, Tip},
};
use serde_json::{Value, json};

use super::{
    Outcome, Refusal, array, hex, key, list, members, number, optional, or_null, policy, seed, shown, text, unknown,
};

pub(in super::super) fn run(op: &str, input: &Value) -> Outcome {
    match op {
        "chain.walk" => {
            let [owner, rules, events] = members(input, ["key", "policy", "events"]);
            walk(Chain::new(key(owner)?, policy(rules)), events, list(events).len() as u64)
        }
        "chain.resume" => {
            let [owner, rules, pinned, events, seq] = members(input, ["key", "policy", "pinned", "events", "seq"]);
            let mut chain = Chain::new(key(owner)?, policy(rules));
            for event in list(pinned) {
                chain.push(text(event))?;
            }
            // What is kept between two walks is bytes.
            let pin = Pin::from_bytes(&chain.pin().unwrap().to_bytes(), policy(rules))?;
            walk(Chain::resume(pin), events, number(seq))
        }
        "fork.verify" => {
            let [events] = members(input, ["events"]);
            let [first, second] = list(events) else { panic!("a proof is two events") };
            let proof = ForkProof::check(text(first), text(second))?;
            Ok(json!({"key": proof.primary(), "seq": proof.seq()}))
        }
        "chain.append" => {
            let [owner, rules, events, event] = members(input, ["key", "policy", "events", "event"]);
            append(&key(owner)?, policy(rules), events, text(event))
        }
        "chain.sign" => {
            let [signer, rules, events, op, ts] = members(input, ["seed", "policy", "events", "op", "ts"]);
            let (signer, rules) = (seed(signer), policy(rules));
            let mut chain = Chain::new(signer.primary(), rules);
            for event in list(events) {
                chain.push(text(event))?;
            }
            let op = read_op(op, &signer.primary(), rules)?;
            Ok(json!({"event": chain.sign_next(&signer, op, &text(ts).parse()?)?.jws()}))
        }
        _ => unknown(op),
    }
}

/// Reads a page on from where the chain ends; the server's own chain ends at `seq`.
fn walk(mut chain: Chain, events: &Value, seq: u64) -> Outcome {
    let page: Vec<&str> = list(events).iter().map(text).collect();
    match chain.walk().take(&page, seq) {
        Ok(_) => Ok(seen(&chain)),
        Err(stopped) => Err(Refusal::with(stopped.error.code(), seen(&chain))),
    }
}

/// Does what a sigchain server does: everything that it holds was checked when it was stored.
fn append(owner: &PrimaryKey, rules: Policy, events: &Value, event: &str) -> Outcome {
    let mut tip = Tip::empty();
    let mut stored = Vec::new();
    for event in list(events) {
        let event = Event::parse(text(event), owner, rules)?;
        tip = tip.check_next(&event)?;
        stored.push(event);
    }
    let event = Event::parse(event, owner, rules)?;
    let place = json!({"seq": event.seq(), "head": event.head().to_string()});
    match stored.iter().find(|stored| stored.seq() == event.seq()) {
        Some(same) if same.head() == event.head() => Ok(place),
        Some(_) => Err(ChainError::Fork { seq: event.seq() }.into()),
        None => {
            tip.check_next(&event)?;
            Ok(place)
        }
    }
}

fn seen(chain: &Chain) -> Value {
    json!({
        "seq": chain.tip().seq(),
        "head": chain.tip().head().map(|head| head.to_string()).unwrap_or_default(),
        "state": state(chain.state()),
    })
}

fn state(state: &State) -> Value {
    let mut past_handles: Vec<String> = state.past_handles().map(Handle::to_string).collect();
    past_handles.sort_unstable();
    let claim = |ListedClaim { claim, at, sig }: &ListedClaim| json!({"claim": claim.as_str(), "at": at, "sig": sig.map(|sig| sig.to_base64())});
    json!({
        "nats": or_null(state.nats(), |nats| json!({"home": nats.home.to_string(), "url": nats.url})),
        "iroh": or_null(state.iroh(), |iroh| json!({"install": iroh.install.to_string(), "relay_url": iroh.relay_url})),
        "handle": or_null(state.handle(), shown),
        "past_handles": past_handles,
        "claims": state.claims().map(claim).collect::<Vec<_>>(),
        "shared_files": or_null(state.shared_files(), |shared| {
            json!({"manifest": shared.manifest.map(hex), "version": shared.version})
        }),
        "retired": state.is_retired(),
    })
}

/// Builds an operation out of its object, as the owner's own program would.
fn read_op(op: &Value, owner: &PrimaryKey, rules: Policy) -> Result<Op, Refusal> {
    let kind = text(&op["type"]);
    Ok(match (kind, op["protocol"].as_str()) {
        ("add_endpoint", Some("nats")) => {
            let [_, _, home, url, inbox] = members(op, ["type", "protocol", "home", "url", "inbox"]);
            assert_eq!(text(inbox), format!("kez.inbox.{}", owner.to_hex()));
            Op::AddNatsEndpoint { home: Home::parse(text(home), rules)?, url: text(url).to_owned() }
        }
        ("add_endpoint", Some("iroh")) => {
            let relay_url = op.get("relay_url").map(|url| text(url).to_owned());
            assert_eq!(text(&op["node_id"]), owner.to_hex());
            Op::AddIrohEndpoint { install: text(&op["install"]).parse()?, relay_url }
        }
        ("remove_endpoint", Some("nats")) => {
            let [_, _, url] = members(op, ["type", "protocol", "url"]);
            Op::RemoveNatsEndpoint { url: text(url).to_owned() }
        }
        ("remove_endpoint", Some("iroh")) => {
            let [_, _, install] = members(op, ["type", "protocol", "install"]);
            Op::RemoveIrohEndpoint { install: text(install).parse()? }
        }
        ("set_handle", None) => {
            let [_, handle] = members(op, ["type", "handle"]);
            Op::SetHandle(optional(handle, |handle| Handle::from_qualified(text(handle), rules)).transpose()?)
        }
        ("set_shared_files", None) => {
            let [_, manifest, version] = members(op, ["type", "manifest", "version"]);
            Op::SetSharedFiles { manifest: optional(manifest, array), version: number(version) }
        }
        ("add_claim", None) => Op::AddClaim {
            claim: text(&op["claim"]).parse()?,
            at: op.get("at").map(|at| text(at).to_owned()),
            sig: op.get("sig").map(|sig| Signature::from_base64(text(sig))).transpose()?,
        },
        ("remove_claim", None) => {
            let [_, claim] = members(op, ["type", "claim"]);
            Op::RemoveClaim { claim: text(claim).parse()? }
        }
        ("retire", None) => {
            let [_] = members(op, ["type"]);
            Op::Retire
        }
        _ => Op::Unknown { kind: kind.to_owned(), ignorable: op.get("ignorable") == Some(&Value::Bool(true)) },
    })
}
