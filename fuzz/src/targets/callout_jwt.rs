//! Text as an auth callout's request (`docs/PROTOCOL.md` §5).
//!
//! An input that begins with `!` is the JWT itself. Any other is a header and claims, a line each, which a server key
//! signs; `$SERVER`, `$USER` and `$SIG` stand for that server, for Alice, and for her signature over the home `kez.lat`
//! and the nonce `abc`.

use std::sync::LazyLock;

use kez_core::{
    broker::{
        LoginNonce,
        callout::{CalloutRequest, IssuerKey, response_jwt},
        nkey::{self, Kind},
    },
    handle::{Home, Policy},
    identity::{PrimaryKey, SecretKey, Statement},
};
use serde_json::Value;

use super::{
    input::{Seed, alice, fill_in},
    jose,
};

const SERVER_SEED: [u8; 32] = [11; 32];

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let jwt = match text.strip_prefix('!') {
        Some(jwt) => jwt.to_owned(),
        None => {
            let (header, claims) = text.split_once('\n').unwrap_or((HEADER, text));
            sign(header, claims)
        }
    };
    let Ok(request) = CalloutRequest::parse(&jwt) else { return };

    // Its own words, by another reader.
    let [header, claims, signature] = jose::parts(&jwt);
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], "ed25519-nkey");
    assert!(header["typ"].as_str().unwrap().eq_ignore_ascii_case("jwt"));
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let (server, nats) = (&claims["iss"], &claims["nats"]);
    assert_eq!(server.as_str(), Some(&*request.server_key));
    let (kind, key) = nkey::decode(&request.server_key).unwrap();
    assert_eq!(kind, Kind::Server);
    let (signed, _) = jwt.rsplit_once('.').unwrap();
    assert!(jose::verifies(&key, signed.as_bytes(), &signature));
    assert_eq!(nats["type"], "authorization_request");
    assert!(nats["client_info"].is_object() && nats["connect_opts"].is_object());
    assert_eq!(nats["server_id"]["id"].as_str(), Some(&*request.server_id));
    assert_eq!(nats["user_nkey"].as_str(), Some(&*request.user_nkey));
    assert!(request.user_nkey.starts_with('U'));
    for (member, read) in [("nkey", &request.client_nkey), ("sig", &request.client_sig), ("name", &request.client_name)]
    {
        assert_eq!(nats["connect_opts"][member].as_str().filter(|text| !text.is_empty()), read.as_deref());
    }

    // Whoever gets in holds the key, and meant this home and this connection.
    let home = Home::parse("kez.lat", Policy::Production).unwrap();
    if let Ok(primary) = request.login(&home) {
        assert_eq!(PrimaryKey::from_nkey(request.client_nkey.as_deref().unwrap()), Ok(primary));
        let nonce = LoginNonce::parse(request.nonce.as_deref().unwrap()).unwrap();
        let message = Statement::NatsLogin { domain: &home, nonce: &nonce }.to_bytes();
        let signature = request.client_sig.as_deref().unwrap();
        let signature = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        assert!(jose::verifies(primary.as_bytes(), &message, &signature));
        let other = Home::parse("evil.example", Policy::Production).unwrap();
        assert!(request.login(&other).is_err());
    }

    // The answer is for this server and this connection, whatever stands in their names.
    let issuer = IssuerKey::from_seed([13; 32]);
    let answer = response_jwt(&issuer, &request, Err("no"), 1);
    let [_, claims, signature] = jose::parts(&answer);
    let (_, key) = nkey::decode(&issuer.public()).unwrap();
    assert!(jose::verifies(&key, answer.rsplit_once('.').unwrap().0.as_bytes(), &signature));
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"].as_str(), Some(&*request.server_id));
    assert_eq!(claims["sub"].as_str(), Some(&*request.user_nkey));
}

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

fn sign(header: &str, claims: &str) -> String {
    static TEXTS: LazyLock<[String; 3]> = LazyLock::new(|| {
        let home = Home::parse("kez.lat", Policy::Production).unwrap();
        let nonce = LoginNonce::parse("abc").unwrap();
        let signature = alice().sign(&Statement::NatsLogin { domain: &home, nonce: &nonce }).to_base64();
        let server = nkey::encode(Kind::Server, SecretKey::from_seed(SERVER_SEED).primary().as_bytes());
        [server, alice().primary().to_nkey(), signature]
    });
    let [server, user, signature] = &*TEXTS;
    let names = [("$SERVER", &**server), ("$USER", user), ("$SIG", signature)];
    jose::sign(&SERVER_SEED, header.as_bytes(), fill_in(claims, &names).as_bytes())
}

pub fn seeds() -> Vec<Seed> {
    let claims = |info: &str, opts: &str| {
        format!(
            r#"{{"iss":"$SERVER","nats":{{"server_id":{{"name":"n","id":"$SERVER"}},"user_nkey":"$USER","client_info":{info},"connect_opts":{opts},"type":"authorization_request","version":2}}}}"#
        )
    };
    let info = r#"{"host":"127.0.0.1","nonce":"abc"}"#;
    let opts = r#"{"nkey":"$USER","sig":"$SIG","name":"kez-chat"}"#;
    let sound = claims(info, opts);
    let seed = |text: String| text.into_bytes();
    vec![
        ("login", seed(format!("{HEADER}\n{sound}"))),
        ("other-nonce", seed(format!("{HEADER}\n{}", claims(r#"{"nonce":"abd"}"#, opts)))),
        ("nothing-presented", seed(format!("{HEADER}\n{}", claims("{}", "{}")))),
        ("nulls", seed(format!("{HEADER}\n{}", claims(r#"{"nonce":null,"host":null}"#, r#"{"nkey":null}"#)))),
        ("arrays", seed(format!("{HEADER}\n{}", claims(r#"["abc",null]"#, r#"["$USER","$SIG",null]"#)))),
        ("header-array", seed(format!("[\"JWT\",\"ed25519-nkey\"]\n{sound}"))),
        ("lower-case-type", seed(format!("{{\"alg\":\"ed25519-nkey\",\"typ\":\"jwt\"}}\n{sound}"))),
        ("algorithm", seed(format!("{{\"alg\":\"none\",\"typ\":\"JWT\"}}\n{sound}"))),
        ("twice", seed(format!("{HEADER}\n{}", sound.replacen('{', "{\"iss\":\"$SERVER\",", 1)))),
        ("raw", seed(format!("!{}", sign(HEADER, &sound)))),
    ]
}
