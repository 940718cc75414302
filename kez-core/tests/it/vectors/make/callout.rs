//! `broker.json`: the auth callout.

use kez_core::{
    Code,
    broker::nkey::{self, Kind},
};
use serde_json::{Value, json};

use super::super::{
    bytes::plain,
    case::File,
    forge::keys::{ALICE, BOB, Odd, base64, mixed_order, primary, sha256, sign, sign_oddly},
};

/// The nats-server that asks.
const ASKING: [u8; 32] = [11; 32];
const NONCE: &str = "abcdefghijklmno";
const SIG: &str = "FDLect5d1B1V3CVad62uGr1jDtcSebKss34ILlZVRuNXOG9MZ9EtTy0tdrnizFWPfAOC9BZoKMODUanW5BUUDQ";
const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

pub(super) fn make(file: &mut File) {
    requests(file);
    bad_parts(file);
    bad_claims(file);
    logins(file);
    responses(file);
}

fn server() -> String {
    nkey::encode(Kind::Server, primary(ASKING).as_bytes())
}

fn connection() -> String {
    nkey::encode(Kind::User, &[5; 32])
}

fn claims(nonce: &Value, connect_opts: &Value) -> Value {
    json!({
        "iss": server(),
        "nats": {
            "server_id": {"id": server()}, "user_nkey": connection(), "client_info": {"nonce": nonce},
            "connect_opts": connect_opts, "type": "authorization_request",
        },
    })
}

/// Returns the claims of Alice's login.
fn alices() -> Value {
    claims(&json!(NONCE), &json!({"nkey": primary(ALICE).to_nkey(), "sig": SIG}))
}

fn jwt_of(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
    let signed = format!("{}.{}", base64(header), base64(claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", base64(signature))
}

fn jwt(claims: &Value) -> String {
    jwt_of(HEADER, &claims.to_string(), |message| sign(ASKING, message))
}

fn requests(file: &mut File) {
    let read = |nkey: Option<&str>, sig: Option<&str>, nonce: Option<&str>| json!({"server_id": server(), "user_nkey": connection(), "nkey": nkey, "sig": sig, "nonce": nonce});
    let nkey = primary(ALICE).to_nkey();
    let whole = read(Some(&nkey), Some(SIG), Some(NONCE));
    let input = |jwt: &str| json!({"jwt": jwt});
    file.gives("a request", "callout.request", input(&jwt(&alices())), whole.clone());
    let mut more = alices();
    more["aud"] = json!("nats-authorization-request");
    more["nats"]["version"] = json!(2);
    more["nats"]["connect_opts"]["protocol"] = json!(1);
    file.gives("a request with NATS's own members", "callout.request", input(&jwt(&more)), whole.clone());
    for (name, header) in [
        ("a small jwt", r#"{"typ":"jwt","alg":"ed25519-nkey"}"#),
        ("a header in another order", r#"{ "alg": "ed25519-nkey", "typ": "Jwt", "kid": 1 }"#),
    ] {
        let jwt = jwt_of(header, &alices().to_string(), |message| sign(ASKING, message));
        file.gives(name, "callout.request", input(&jwt), whole.clone());
    }
    let nothing = read(None, None, None);
    let empty = claims(&json!(""), &json!({"nkey": "", "sig": ""}));
    file.gives("empty texts count as absent", "callout.request", input(&jwt(&empty)), nothing.clone());
    let mut absent = claims(&json!(null), &json!({"nkey": null}));
    file.gives("null counts as absent", "callout.request", input(&jwt(&absent)), nothing.clone());
    absent["nats"]["client_info"] = json!({});
    file.gives("no nonce, nkey and sig", "callout.request", input(&jwt(&absent)), nothing);
    // Whether they are any good is asked by the decision.
    let odd = claims(&json!("n".repeat(65)), &json!({"nkey": "U", "sig": "%"}));
    let out = read(Some("U"), Some("%"), Some(&"n".repeat(65)));
    file.gives("a request of a hopeless client", "callout.request", input(&jwt(&odd)), out);
}

fn bad_parts(file: &mut File) {
    let good = jwt(&alices());
    let body = alices().to_string();
    let with_header = |header: &str| jwt_of(header, &body, |message| sign(ASKING, message));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut cases = vec![
        ("an empty request", String::new()),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.")),
        ("a header that is no base64", format!("%{good}")),
        ("a padded header", good.replacen('.', "=.", 1)),
        ("a header that is no JSON", with_header("{")),
        ("a header that is no object", with_header("[]")),
        ("a header's members in an array", with_header(r#"["JWT","ed25519-nkey"]"#)),
        ("another algorithm", with_header(r#"{"typ":"JWT","alg":"none"}"#)),
        ("an algorithm in capitals", with_header(r#"{"typ":"JWT","alg":"ED25519-NKEY"}"#)),
        ("the older algorithm's name", with_header(r#"{"typ":"JWT","alg":"ed25519"}"#)),
        ("another typ", with_header(r#"{"typ":"JWS","alg":"ed25519-nkey"}"#)),
        ("no typ", with_header(r#"{"alg":"ed25519-nkey"}"#)),
        ("no alg", with_header(r#"{"typ":"JWT"}"#)),
        ("claims that are no JSON", jwt_of(HEADER, "{", |message| sign(ASKING, message))),
        ("claims that are no object", jwt_of(HEADER, "[]", |message| sign(ASKING, message))),
        ("a padded signature", format!("{good}==")),
        ("a request cut short", good[..good.len() - 1].to_owned()),
        ("a signature of 63 bytes", format!("{signed}.{}", &signature[..84])),
        ("an unsigned request", format!("{signed}.")),
        ("signed by another server", jwt_of(HEADER, &body, |message| sign(BOB, message))),
        ("signed without its header", jwt_of(HEADER, &body, |_| sign(ASKING, base64(&body).as_bytes()))),
    ];
    for (odd, name) in Odd::ALL {
        cases.push((name, jwt_of(HEADER, &body, |message| sign_oddly(ASKING, message, odd))));
    }
    for (name, jwt) in cases {
        file.refused(&format!("request: {name}"), "callout.request", json!({"jwt": jwt}), Code::BadJwt);
    }
}

fn bad_claims(file: &mut File) {
    let user = nkey::encode(Kind::User, primary(ASKING).as_bytes());
    let unsound = nkey::encode(Kind::Server, &mixed_order(ASKING));
    let account = nkey::encode(Kind::Account, &[5; 32]);
    for (name, pointer, value) in [
        ("iss is missing", "/iss", json!(null)),
        ("iss is a user", "/iss", json!(user)),
        ("iss is another server", "/iss", json!(nkey::encode(Kind::Server, primary(BOB).as_bytes()))),
        ("iss is not sound", "/iss", json!(unsound)),
        ("iss is no key", "/iss", json!("N")),
        ("nats is missing", "/nats", json!(null)),
        ("another type", "/nats/type", json!("authorization_response")),
        ("no type", "/nats/type", json!(null)),
        ("no server id", "/nats/server_id", json!(null)),
        ("a server id without id", "/nats/server_id", json!({"name": "n"})),
        ("a server's id that is no text", "/nats/server_id/id", json!(1)),
        ("no user nkey", "/nats/user_nkey", json!(null)),
        ("a user nkey that is none", "/nats/user_nkey", json!("U")),
        ("an account as the user", "/nats/user_nkey", json!(account)),
        ("no client info", "/nats/client_info", json!(null)),
        ("client info that is no object", "/nats/client_info", json!("x")),
        ("client info in an array", "/nats/client_info", json!([NONCE, null])),
        ("connect opts in an array", "/nats/connect_opts", json!([null, null, null])),
        ("a server id in an array", "/nats/server_id", json!([server()])),
        ("a nonce that is no text", "/nats/client_info/nonce", json!(7)),
        ("no connect opts", "/nats/connect_opts", json!(null)),
        ("an nkey that is no text", "/nats/connect_opts/nkey", json!(7)),
        ("a sig that is no text", "/nats/connect_opts/sig", json!([])),
    ] {
        let mut changed = alices();
        *changed.pointer_mut(pointer).unwrap() = value;
        file.refused(&format!("request: {name}"), "callout.request", json!({"jwt": jwt(&changed)}), Code::BadJwt);
    }
}

fn logins(file: &mut File) {
    let input = |nonce: Value, opts: Value, domain: &str| json!({"jwt": jwt(&claims(&nonce, &opts)), "domain": domain});
    let (nkey, nonce) = (primary(ALICE).to_nkey(), json!(NONCE));
    let login = |nkey: &str, sig: &str| json!({"nkey": nkey, "sig": sig});
    let out = json!({"key": primary(ALICE)});
    file.gives("Alice logs in", "callout.login", input(nonce.clone(), login(&nkey, SIG), "kez.lat"), out);

    let signed = |domain: &str, nonce: &str, sign: &dyn Fn(&[u8]) -> [u8; 64]| {
        let bound = sha256([domain, "\0", nonce].concat());
        base64(sign(&[b"kez/nats/1\0".as_slice(), &bound].concat()))
    };
    let mixed = nkey::encode(Kind::User, &mixed_order(ALICE));
    let account = nkey::encode(Kind::Account, primary(ALICE).as_bytes());
    let long = "n".repeat(65);
    let by_alice = |message: &[u8]| sign(ALICE, message);
    for (name, nonce, opts, domain, code) in [
        ("no nkey", nonce.clone(), json!({"sig": SIG}), "kez.lat", Code::BadKeyText),
        ("no nkey and no nonce", json!(null), json!({"sig": SIG}), "kez.lat", Code::BadKeyText),
        ("an nkey that is none", nonce.clone(), login("U", SIG), "kez.lat", Code::BadKeyText),
        ("an account's nkey", nonce.clone(), login(&account, SIG), "kez.lat", Code::BadKeyText),
        ("an nkey of mixed order", nonce.clone(), login(&mixed, SIG), "kez.lat", Code::BadKey),
        ("an nkey of mixed order and no nonce", json!(null), login(&mixed, SIG), "kez.lat", Code::BadKey),
        ("no nonce", json!(null), login(&nkey, SIG), "kez.lat", Code::BadNonce),
        ("no nonce and no sig", json!(""), login(&nkey, ""), "kez.lat", Code::BadNonce),
        (
            "a nonce of 65 bytes",
            json!(long),
            login(&nkey, &signed("kez.lat", &long, &by_alice)),
            "kez.lat",
            Code::BadNonce,
        ),
        ("no sig", nonce.clone(), json!({"nkey": nkey}), "kez.lat", Code::BadSignature),
        ("an empty sig", nonce.clone(), login(&nkey, ""), "kez.lat", Code::BadSignature),
        ("a sig that is no base64", nonce.clone(), login(&nkey, "%"), "kez.lat", Code::BadBase64),
        ("a padded sig", nonce.clone(), login(&nkey, &format!("{SIG}==")), "kez.lat", Code::BadBase64),
        ("a sig of 63 bytes", nonce.clone(), login(&nkey, &SIG[..84]), "kez.lat", Code::BadSignature),
        ("a login for another nonce", json!("abcdefghijklmnp"), login(&nkey, SIG), "kez.lat", Code::BadSignature),
        ("a login at another home", nonce.clone(), login(&nkey, SIG), "kez.example", Code::BadSignature),
        (
            "a login at a port",
            nonce.clone(),
            login(&nkey, &signed("localhost", NONCE, &by_alice)),
            "localhost:80",
            Code::BadSignature,
        ),
        (
            "a bare nonce, signed",
            nonce.clone(),
            login(&nkey, &base64(sign(ALICE, NONCE.as_bytes()))),
            "kez.lat",
            Code::BadSignature,
        ),
        ("another's login", nonce.clone(), login(&primary(BOB).to_nkey(), SIG), "kez.lat", Code::BadSignature),
        (
            "the login of another",
            nonce.clone(),
            login(&nkey, &signed("kez.lat", NONCE, &|message| sign(BOB, message))),
            "kez.lat",
            Code::BadSignature,
        ),
        (
            "a login with R of small order",
            nonce.clone(),
            login(&nkey, &signed("kez.lat", NONCE, &|message| sign_oddly(ALICE, message, Odd::SmallR))),
            "kez.lat",
            Code::BadSignature,
        ),
        (
            "a login with S + L",
            nonce.clone(),
            login(&nkey, &signed("kez.lat", NONCE, &|message| sign_oddly(ALICE, message, Odd::HighS))),
            "kez.lat",
            Code::BadSignature,
        ),
    ] {
        file.refused(&format!("login: {name}"), "callout.login", input(nonce, opts, domain), code);
    }
    let unsigned = json!({"jwt": jwt_of(HEADER, &alices().to_string(), |_| [0; 64]), "domain": "kez.lat"});
    file.refused("login: an unsigned request", "callout.login", unsigned, Code::BadJwt);
}

fn responses(file: &mut File) {
    let input = |outcome: &str, value: Value| {
        let mut input = json!({"issuer": plain([13; 32]), "jwt": jwt(&alices()), "now_s": 1_795_396_313});
        input[outcome] = value;
        input
    };
    let grant = |publish: &[&str], subscribe: &[&str]| {
        json!({
            "account": "KEZ", "client_nkey": primary(ALICE).to_nkey(), "expires_at_s": 1_795_446_713,
            "publish": publish, "subscribe": subscribe,
        })
    };
    let rights = grant(&["kez.inbox.*.0a", "kez.presence.*.0a"], &["kez.deliver.a"]);
    file.ok("a login is granted", "callout.response", input("grant", rights));
    file.ok("a login is granted without rights", "callout.response", input("grant", grant(&[], &[])));
    file.ok("a login is refused", "callout.response", input("error", json!("not registered")));
    let mut unsigned = input("error", json!("not registered"));
    unsigned["jwt"] = json!("a.b.c");
    file.refused("no request is answered", "callout.response", unsigned, Code::BadJwt);
}
