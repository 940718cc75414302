//! Getting in as somebody else, or as nobody. To be let in is evidence.

use async_nats::Auth;
use data_encoding::BASE64URL_NOPAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kez_core::handle::{Home, Policy};
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Case;
use crate::attacker::arena::Arena;
use crate::attacker::canary::Scene;
use crate::attacker::raw::{Raw, members};
use crate::login::{claims_of, request_jwt};
use crate::support::{Person, http};

macro_rules! login {
    ($name:literal, |$arena:ident, $nonce:ident| $members:expr) => {{
        fn attack<'a>($arena: &'a mut Arena, _: &'a Scene) -> BoxFuture<'a, Vec<String>> {
            async move {
                let mut raw = Raw::dial(&$arena.address).await;
                let $nonce = nonce_of(&raw);
                let members: Value = $members;
                match raw.connect(members).await {
                    Ok(()) => vec!["was let in".to_owned()],
                    Err(_) => Vec::new(),
                }
            }
            .boxed()
        }
        Case::special(concat!("log in ", $name), attack)
    }};
}

/// Where no user has a key there is no nonce, and any will do.
fn nonce_of(raw: &Raw) -> Vec<u8> {
    Some(raw.nonce()).filter(|nonce| !nonce.is_empty()).unwrap_or(b"none".to_vec())
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        login!("as Alice with a signature of one's own", |arena, nonce| {
            let signature = arena.mallory.person.login(&arena.home, &nonce).signature.unwrap();
            members(&arena.alice.person.auth(signature))
        }),
        login!("as Alice with a signature that she gave for an earlier connection", |arena, _nonce| {
            let earlier = nonce_of(&Raw::dial(&arena.address).await);
            members(&arena.alice.person.login(&arena.home, &earlier))
        }),
        login!("as Alice with a signature that she gave to another home", |arena, nonce| {
            let other = Home::parse("evil.example", Policy::Production).unwrap();
            members(&arena.alice.person.login(&other, &nonce))
        }),
        login!("as Alice with a signature over the bare nonce", |arena, nonce| {
            members(&arena.alice.person.auth(bare(&arena.alice.person, &nonce)))
        }),
        login!("as Alice with a signature over the right words and an empty nonce", |arena, _nonce| {
            members(&arena.alice.person.auth(bound(&arena.alice.person, &format!("{}\0", arena.home))))
        }),
        login!("as Alice with a signature that names no home", |arena, nonce| {
            let nonce = String::from_utf8(nonce).unwrap();
            members(&arena.alice.person.auth(bound(&arena.alice.person, &format!("\0{nonce}"))))
        }),
        login!("as Alice without a signature", |arena, _nonce| json!({ "nkey": arena.alice.person.primary.to_nkey() })),
        login!("as Alice with an empty signature", |arena, _nonce| members(&arena.alice.person.auth(Vec::new()))),
        login!("as Alice with zeros for a signature", |arena, _nonce| members(&arena.alice.person.auth(vec![0; 64]))),
        login!("as Alice with a signature that is no base64", |arena, _nonce| {
            json!({ "nkey": arena.alice.person.primary.to_nkey(), "sig": "!" })
        }),
        login!("as Alice with a signature of another alphabet", |arena, nonce| {
            let signature = arena.alice.person.login(&arena.home, &nonce).signature.unwrap();
            let padded = format!("{}==", BASE64URL_NOPAD.encode(&signature));
            json!({ "nkey": arena.alice.person.primary.to_nkey(), "sig": padded })
        }),
        login!("as Alice in lower case", |arena, nonce| {
            let mut login = members(&arena.alice.person.login(&arena.home, &nonce));
            login["nkey"] = json!(arena.alice.person.primary.to_nkey().to_lowercase());
            login
        }),
        login!("with a key that nobody has registered", |arena, nonce| {
            members(&Person::new().login(&arena.home, &nonce))
        }),
        login!("with a key that is blocked", |arena, nonce| members(&arena.blocked.login(&arena.home, &nonce))),
        login!("with a key that has retired", |arena, nonce| members(&arena.retired.login(&arena.home, &nonce))),
        login!("with nothing", |_arena, _nonce| json!({})),
        login!(
            "with empty texts",
            |_arena, _nonce| json!({ "nkey": "", "sig": "", "jwt": "", "user": "", "pass": "" })
        ),
        login!("with a name and a password", |_arena, _nonce| json!({ "user": "alice", "pass": "alice" })),
        login!("with Alice's key as name", |arena, _nonce| {
            json!({ "user": arena.alice.person.primary.to_nkey(), "pass": "" })
        }),
        login!("with a token", |_arena, _nonce| json!({ "auth_token": "secret" })),
        login!("as no_auth_user", |_arena, _nonce| json!({ "user": "no_auth_user" })),
        login!("with the name of an account", |_arena, _nonce| json!({ "user": "JS", "pass": "JS", "account": "JS" })),
        login!("as the chat-server, with a signature of one's own", |arena, nonce| {
            with_key(&arena.operators_key(|keys| keys.chat_server), arena.mallory.person.auth(Vec::new()), &nonce)
        }),
        login!("as who answers logins, with a signature of one's own", |arena, nonce| {
            with_key(&arena.operators_key(|keys| keys.callout_user), arena.mallory.person.auth(Vec::new()), &nonce)
        }),
        login!("as the system account's user, without a signature", |arena, _nonce| {
            json!({ "nkey": arena.operators_key(|keys| keys.sys_user) })
        }),
        login!("as the issuer of logins", |arena, nonce| {
            with_key(&arena.operators_key(|keys| keys.issuer), arena.mallory.person.auth(Vec::new()), &nonce)
        }),
        login!("with a user JWT that one has made oneself", |_arena, nonce| {
            let (issuer, user) = (KeyPair::new_account(), KeyPair::new_user());
            json!({ "jwt": self_made(&issuer, &user), "sig": BASE64URL_NOPAD.encode(&user.sign(&nonce).unwrap()) })
        }),
        login!("with a user JWT that one has made oneself, as Alice", |arena, _nonce| {
            let jwt = self_made(&KeyPair::new_account(), &KeyPair::new_user());
            json!({ "jwt": jwt, "nkey": arena.alice.person.primary.to_nkey() })
        }),
        login!("with the JWT of an earlier login", |arena, _nonce| json!({ "jwt": granted(arena).await })),
        login!("with the JWT of an earlier login and its key", |arena, nonce| {
            let person = &arena.alice.person;
            let signature = BASE64URL_NOPAD.encode(&bare(person, &nonce));
            json!({ "jwt": granted(arena).await, "nkey": person.primary.to_nkey(), "sig": signature })
        }),
        login!("with the JWT of an earlier login as token and password", |arena, _nonce| {
            let jwt = granted(arena).await;
            json!({ "auth_token": jwt, "user": "alice", "pass": jwt })
        }),
    ]
}

impl Arena {
    /// Returns a key that the broker trusts, or any where it trusts none.
    fn operators_key(&self, of: impl FnOnce(kez_chat_server::secret::PublicKeys) -> String) -> String {
        let any = || KeyPair::new_user().public_key();
        self.testbed().map_or_else(any, |testbed| of(testbed.secret().public_keys()))
    }
}

/// Signs the nonce itself, as NATS clients do.
fn bare(person: &Person, nonce: &[u8]) -> Vec<u8> {
    KeyPair::new_from_raw(KeyPairType::User, *person.key.expose_seed()).unwrap().sign(nonce).unwrap()
}

/// Signs what a login's statement would be with these words in place of home and nonce (PROTOCOL.md §5).
fn bound(person: &Person, words: &str) -> Vec<u8> {
    bare(person, &[b"kez/nats/1\0".as_slice(), &Sha256::digest(words)].concat())
}

fn with_key(nkey: &str, mut auth: Auth, nonce: &[u8]) -> Value {
    auth.nkey = Some(nkey.to_owned());
    auth.signature = Some(KeyPair::new_user().sign(nonce).unwrap());
    members(&auth)
}

fn self_made(issuer: &KeyPair, user: &KeyPair) -> String {
    let encode = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let claims = json!({
        "iss": issuer.public_key(), "sub": user.public_key(), "name": "mallory", "iat": 1, "jti": "x",
        "nats": { "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2,
            "bearer_token": true },
    });
    let signed = format!("{}.{}", encode(json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(claims));
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()).unwrap()))
}

/// A user JWT that the home has signed for a login of Alice's; how Mallory came by it does not matter.
async fn granted(arena: &Arena) -> String {
    let Some(testbed) = arena.testbed() else { return "a.b.c".to_owned() };
    let url = format!("http://{}/internal/nats/auth", testbed.chat_server().unwrap().internal_addr().unwrap());
    let request = request_jwt(&arena.alice.person, testbed.domain(), "an-earlier-nonce");
    let answer = http().post(url).body(request).send().await.unwrap().text().await.unwrap();
    claims_of(&answer)["nats"]["jwt"].as_str().unwrap().to_owned()
}
