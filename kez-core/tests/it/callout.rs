//! The callout's JWTs, and which logins are refused (`docs/PROTOCOL.md` §5).

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use kez_core::{
    Code,
    broker::{
        AckScope, LoginError, LoginNonce, Permissions,
        callout::{CalloutRequest, IssuerKey, UserGrant, response_jwt, user_jwt},
        nkey::{self, Kind},
    },
    handle::{Home, Policy},
    identity::{SecretKey, Statement},
};
use serde_json::{Value, json};

const SERVER_SEED: [u8; 32] = [11; 32];

fn home(text: &str) -> Home {
    Home::parse(text, Policy::Production).unwrap()
}

fn alice() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn signature(domain: &str, nonce: &str) -> String {
    let nonce = LoginNonce::parse(nonce).unwrap();
    alice().sign(&Statement::NatsLogin { domain: &home(domain), nonce: &nonce }).to_base64()
}

fn claims(nonce: Value, connect_opts: Value) -> Value {
    let server = nkey::encode(Kind::Server, SigningKey::from_bytes(&SERVER_SEED).verifying_key().as_bytes());
    json!({
        "iss": server, "aud": "nats-authorization-request", "jti": "x", "iat": 1,
        "nats": {
            "server_id": {"name": "n", "host": "h", "id": server},
            "user_nkey": nkey::encode(Kind::User, &[5; 32]),
            "client_info": {"host": "127.0.0.1", "id": 7, "kind": "Client", "type": "nats", "nonce": nonce},
            "connect_opts": connect_opts, "type": "authorization_request", "version": 2,
        }
    })
}

fn jwt(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = SigningKey::from_bytes(&SERVER_SEED).sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "ed25519-nkey"})
}

fn login(nonce: Value, connect_opts: Value) -> Result<(), LoginError> {
    let request = CalloutRequest::parse(&jwt(&header(), &claims(nonce, connect_opts))).unwrap();
    request.login(&home("kez.lat")).map(|primary| assert_eq!(primary, alice().primary()))
}

#[test]
fn only_a_signature_for_this_home_and_nonce_logs_in() {
    let nkey = alice().primary().to_nkey();
    let good = signature("kez.lat", "abc");
    assert_eq!(login(json!("abc"), json!({"nkey": nkey, "sig": good})), Ok(()));

    // Missing parts, each of them.
    assert_eq!(login(json!("abc"), json!({"sig": good})), Err(LoginError::NoKey));
    assert_eq!(login(json!("abc"), json!({"nkey": nkey})), Err(LoginError::NoSignature));
    assert_eq!(login(json!("abc"), json!({"nkey": nkey, "sig": ""})), Err(LoginError::NoSignature));
    assert_eq!(login(Value::Null, json!({"nkey": nkey, "sig": good})), Err(LoginError::BadNonce));
    assert_eq!(login(json!("n".repeat(65)), json!({"nkey": nkey, "sig": good})), Err(LoginError::BadNonce));

    let refused =
        |nonce: &str, nkey: &str, sig: &str| login(json!(nonce), json!({"nkey": nkey, "sig": sig})).unwrap_err().code();
    assert_eq!(refused("abd", &nkey, &good), Code::BadSignature, "replayed for another nonce");
    assert_eq!(refused("abc", &nkey, &signature("evil.example", "abc")), Code::BadSignature, "relayed");
    let bare = SigningKey::from_bytes(alice().expose_seed()).sign(b"abc").to_bytes();
    assert_eq!(refused("abc", &nkey, &BASE64URL_NOPAD.encode(&bare)), Code::BadSignature, "a bare nonce");
    let mallory = SecretKey::from_seed([2; 32]).primary().to_nkey();
    assert_eq!(refused("abc", &mallory, &good), Code::BadSignature, "another's signature");
    assert_eq!(refused("abc", &nkey, "%%"), Code::BadBase64);
    assert_eq!(refused("abc", "UABC", &good), Code::BadKeyText);
}

#[test]
fn only_a_nats_server_asks() {
    let sound = claims(json!("abc"), json!({}));
    let fault = |jwt: &str| CalloutRequest::parse(jwt).unwrap_err().code();
    let good = jwt(&header(), &sound);
    assert!(CalloutRequest::parse(&good).is_ok());
    for bad in ["", "a.b", "a.b.c", &good[..good.len() - 1], &format!("{good}."), &good.replacen('.', "..", 1)] {
        assert_eq!(fault(bad), Code::BadJwt, "{bad}");
    }
    assert_eq!(fault(&jwt(&json!({"typ": "JWT", "alg": "none"}), &sound)), Code::BadJwt);
    assert_eq!(fault(&jwt(&json!(["JWT", "ed25519-nkey"]), &sound)), Code::BadJwt);
    let user = nkey::encode(Kind::User, SigningKey::from_bytes(&SERVER_SEED).verifying_key().as_bytes());
    let other = nkey::encode(Kind::Server, SigningKey::from_bytes(&[12; 32]).verifying_key().as_bytes());
    for (pointer, value) in [
        ("/iss", json!(user)),
        ("/iss", json!(other)),
        ("/iss", Value::Null),
        ("/nats/type", json!("authorization_response")),
        ("/nats/user_nkey", json!("U")),
        ("/nats/server_id", Value::Null),
        ("/nats/client_info/nonce", json!(7)),
        // The members' values alone, as an array.
        ("/nats/client_info", json!(["abc", null])),
        ("/nats/connect_opts", json!([null, null, null])),
        ("/nats/server_id", json!(["id"])),
    ] {
        let mut changed = sound.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_eq!(fault(&jwt(&header(), &changed)), Code::BadJwt, "{pointer}");
    }
}

#[test]
fn the_answer_says_what_nats_reads() {
    let issuer = IssuerKey::from_seed([13; 32]);
    let request = CalloutRequest::parse(&jwt(&header(), &claims(json!("abc"), json!({})))).unwrap();
    let permissions = Permissions::for_user(&alice().primary(), &[], &AckScope::of_account("JS", None));
    let grant = UserGrant {
        account: "KEZ",
        user_nkey: &request.user_nkey,
        client_nkey: &alice().primary().to_nkey(),
        permissions: &permissions,
        issued_at_s: 100,
        expires_at_s: 200,
    };
    let user = user_jwt(&issuer, &grant);
    let read = |jwt: &str| -> Value {
        let claims = BASE64URL_NOPAD.decode(jwt.split('.').nth(1).unwrap().as_bytes()).unwrap();
        serde_json::from_slice(&claims).unwrap()
    };
    let inner = read(&user);
    assert_eq!(inner["iss"], json!(issuer.public()));
    assert_eq!(inner["aud"], json!("KEZ"));
    assert_eq!(inner["name"], json!(alice().primary().to_nkey()));
    assert_eq!((&inner["iat"], &inner["exp"]), (&json!(100), &json!(200)));
    assert_eq!(inner["nats"]["pub"]["allow"], json!(permissions.publish));
    assert_eq!(inner["nats"]["sub"]["allow"], json!(permissions.subscribe));
    assert_eq!(inner["nats"]["type"], json!("user"));

    let outer = read(&response_jwt(&issuer, &request, Ok(&user), 100));
    assert_eq!((&outer["sub"], &outer["aud"]), (&json!(request.user_nkey), &json!(request.server_id)));
    assert_eq!(outer["nats"], json!({"jwt": user, "type": "authorization_response", "version": 2}));
    let refusal = read(&response_jwt(&issuer, &request, Err("not registered"), 100));
    assert_eq!(refusal["nats"]["error"], json!("not registered"));
    assert!(refusal["nats"].get("jwt").is_none());
}

#[test]
fn users_get_their_own_subjects_and_nothing_else() {
    let me = alice().primary().to_hex();
    let Permissions { publish, subscribe } =
        Permissions::for_user(&alice().primary(), &[], &AckScope::of_account("JS", None));
    assert_eq!(publish, [format!("$JS.ACK.KEZ_INBOX.{me}.>"), format!("$JS.ACK._.9Nj4u4iY.KEZ_INBOX.{me}.>")]);
    assert_eq!(subscribe, [format!("kez.deliver.{me}"), format!("kez.pdeliver.{me}"), format!("_INBOX_{me}.>")]);
}
