//! Keys, paper backups, statements, handles, contact URIs and safety numbers.

use curve25519_dalek::MontgomeryPoint;
use kez_core::{
    broker::{
        LoginNonce,
        nkey::{self, Kind},
    },
    claim::{Claim, ClaimError, ProofPlace},
    contact_uri::ContactUri,
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, Signature, Statement},
    mnemonic::Mnemonic,
    safety::SafetyNumber,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{
    Outcome, Refusal, array, hex, key, members, optional, or_null, policy, production_home, seed, shown, text, unknown,
};

pub(in super::super) fn run(op: &str, input: &Value) -> Outcome {
    match op {
        "key.from_seed" => from_seed(input),
        "key.from_bytes" => {
            let [bytes] = members(input, ["bytes"]);
            Ok(json!({"key": PrimaryKey::from_bytes(&array(bytes))?}))
        }
        "key.from_text" => {
            let [key_text] = members(input, ["text"]);
            Ok(json!({"hex": key(key_text)?.to_hex()}))
        }
        "nkey.decode" => nkey_decode(input),
        "nkey.user" => {
            let [nkey] = members(input, ["text"]);
            Ok(json!({"key": PrimaryKey::from_nkey(text(nkey))?}))
        }
        "mnemonic.parse" => {
            let [words] = members(input, ["text"]);
            Ok(json!({"seed": hex(Mnemonic::parse(text(words))?.secret_key().expose_seed())}))
        }
        "statement.sign" => {
            let [signer, statement] = members(input, ["seed", "statement"]);
            with_statement(statement, |statement| {
                let signature = seed(signer).sign(statement);
                Ok(json!({"message": hex(statement.to_bytes()), "signature": signature.to_base64()}))
            })
        }
        "statement.verify" => {
            let [signer, statement, signature] = members(input, ["key", "statement", "signature"]);
            let signer = key(signer)?;
            with_statement(statement, |statement| {
                signer.verify(statement, &Signature::from_base64(text(signature))?)?;
                Ok(json!({}))
            })
        }
        "safety" => {
            let [a, b] = members(input, ["a", "b"]);
            Ok(json!({"number": SafetyNumber::of(&key(a)?, &key(b)?).to_string()}))
        }
        "uri.parse" => uri(input),
        _ => names(op, input),
    }
}

fn from_seed(input: &Value) -> Outcome {
    let [seed_bytes] = members(input, ["seed"]);
    let secret = seed(seed_bytes);
    let primary = secret.primary();
    // The core shows its X25519 secret to nobody. Here it is derived a second time; that it is the core's is seen by
    // its public key, and by every envelope and route.
    let mut scalar = [0; 32];
    scalar.copy_from_slice(&Sha512::digest(secret.expose_seed())[..32]);
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    assert_eq!(MontgomeryPoint::mul_base_clamped(scalar).to_bytes(), primary.to_x25519());
    Ok(json!({
        "key": primary,
        "hex": primary.to_hex(),
        "nkey": primary.to_nkey(),
        "x25519_secret": hex(scalar),
        "x25519_public": hex(primary.to_x25519()),
        "words": Mnemonic::of(&secret).expose_words().join(" "),
    }))
}

fn nkey_decode(input: &Value) -> Outcome {
    let [nkey] = members(input, ["text"]);
    let (kind, bytes) = nkey::decode(text(nkey))?;
    let kind = match kind {
        Kind::User => "user",
        Kind::Account => "account",
        Kind::Server => "server",
        Kind::Curve => "curve",
        other => panic!("the format has no name for {other:?}"),
    };
    Ok(json!({"kind": kind, "hex": hex(bytes)}))
}

/// Builds the statement that a case describes, and goes on with it.
fn with_statement(value: &Value, go_on: impl FnOnce(&Statement<'_>) -> Outcome) -> Outcome {
    let kind = text(&value["kind"]);
    match kind {
        "register" | "retire" => {
            let [_, handle, primary] = members(value, ["kind", "handle", "key"]);
            let handle = Handle::from_qualified(text(handle), Policy::Production)?;
            let primary = key(primary)?;
            go_on(&match kind {
                "register" => Statement::Register { handle: &handle, primary: &primary },
                _ => Statement::Retire { handle: &handle, primary: &primary },
            })
        }
        "nats" => {
            let [_, domain, nonce] = members(value, ["kind", "domain", "nonce"]);
            let (domain, nonce) = (production_home(domain)?, LoginNonce::parse(text(nonce))?);
            go_on(&Statement::NatsLogin { domain: &domain, nonce: &nonce })
        }
        "claim" => {
            let [_, claim, primary] = members(value, ["kind", "claim", "key"]);
            let (claim, primary) = (text(claim).parse()?, key(primary)?);
            go_on(&Statement::Claim { claim: &claim, primary: &primary })
        }
        other => panic!("there is no statement {other:?}"),
    }
}

fn uri(input: &Value) -> Outcome {
    let [uri, rules] = members(input, ["text", "policy"]);
    let contact = ContactUri::parse(text(uri), policy(rules))?;
    Ok(json!({
        "key": contact.primary,
        "handle": or_null(contact.handle.as_ref(), shown),
        "sigchain": contact.sigchain_base,
    }))
}

fn names(op: &str, input: &Value) -> Outcome {
    match op {
        "handle.parse" => {
            let [handle, home, rules] = members(input, ["text", "home", "policy"]);
            let own = optional(home, |home| Home::parse(text(home), policy(rules))).transpose()?;
            let handle = Handle::parse(text(handle), own.as_ref(), policy(rules))?;
            let shown_as = or_null(own.as_ref(), |own| handle.display_for(own).into());
            Ok::<_, Refusal>(json!({"handle": shown(&handle), "shown": shown_as}))
        }
        "handle.qualified" => {
            let [handle, rules] = members(input, ["text", "policy"]);
            Ok(json!({"handle": shown(&Handle::from_qualified(text(handle), policy(rules))?)}))
        }
        "handle.free" => {
            let [handle] = members(input, ["handle"]);
            Handle::from_qualified(text(handle), Policy::Production)?.check_free()?;
            Ok(json!({}))
        }
        "home.parse" => {
            let [home, rules] = members(input, ["text", "policy"]);
            Ok(json!({"home": Home::parse(text(home), policy(rules))?.to_string()}))
        }
        _ => claims(op, input),
    }
}

fn claims(op: &str, input: &Value) -> Outcome {
    match op {
        "claim.parse" => {
            let [claim, at] = members(input, ["claim", "at"]);
            let claim = read_claim(claim, at)?;
            let (scheme, place) = match claim.place() {
                ProofPlace::Txt { name } => ("dns", Some(name.clone())),
                ProofPlace::File { url } => ("https", Some(url.clone())),
                ProofPlace::Gist { user, id } => ("github", Some(format!("{user}/{id}"))),
                ProofPlace::Op { .. } => ("nostr", None),
                ProofPlace::Unknown => ("unknown", None),
                other => panic!("the format has no scheme for {other:?}"),
            };
            Ok(json!({"scheme": scheme, "where": place}))
        }
        "claim.prove" => {
            let [signer, claim] = members(input, ["seed", "claim"]);
            Ok(json!({"line": Claim::prove(&text(claim).parse()?, &seed(signer))?}))
        }
        "claim.verify" => {
            let [holder, claim, at, line] = members(input, ["key", "claim", "at", "line"]);
            let holder = key(holder)?;
            read_claim(claim, at)?.verify_line(&holder, text(line))?;
            Ok(json!({}))
        }
        "claim.nostr" => {
            let [holder, claim, sig] = members(input, ["key", "claim", "sig"]);
            let holder = key(holder)?;
            let sig = Signature::from_bytes(array(sig));
            read_claim(claim, &Value::Null)?.verify_nostr(&holder, &sig)?;
            Ok(json!({}))
        }
        _ => unknown(op),
    }
}

fn read_claim(claim: &Value, at: &Value) -> Result<Claim, ClaimError> {
    Claim::parse(&text(claim).parse()?, optional(at, text))
}
