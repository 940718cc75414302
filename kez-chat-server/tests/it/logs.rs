//! What the log of a server at work must not hold, whatever is asked of it.

use std::process::Stdio;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use kez_testbed::Testbed;
use reqwest::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::support::{Person, get, http, next, register, try_login, until};

const TEXT: &str = "the words of a message that nobody else may read";

#[cfg(unix)]
#[tokio::test]
async fn secrets_signatures_tokens_and_messages_stay_out_of_the_log() {
    let mut testbed = Testbed::start().await.unwrap();
    testbed.stop_chat_server().await;
    let secret_file = testbed.folder().join("secret");
    testbed.secret().create_file(&secret_file).unwrap();
    let bind = testbed.home_url().replace("http://localhost", "127.0.0.1");
    let mut server = Command::new(env!("CARGO_BIN_EXE_kez-chat-server"))
        .arg("serve")
        .env_clear()
        .envs([("NATS_URL", testbed.nats_url()), ("SIG_SERVER_URL", testbed.sig_url()), ("BIND", bind)])
        .env("AUTH_CALLOUT_NKEY_PATH", &secret_file)
        .env("DB_PATH", testbed.folder().join("logged.db"))
        .envs([("INTERNAL_BIND", "off"), ("KEZ_DEV", "true"), ("KEZ_LOG", "trace"), ("KEZ_LOG_FORMAT", "json")])
        .envs([("REGISTER_RATE", "off"), ("LOOKUP_RATE", "off")])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Read all along, or the server would wait for room in the pipe.
    let mut stderr = server.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = String::new();
        stderr.read_to_string(&mut log).await.unwrap();
        log
    });
    let url = format!("{}/v1/healthz", testbed.home_url());
    until(async || http().get(&url).send().await.ok().filter(|response| response.status() == StatusCode::OK)).await;

    // People who register, are refused, look each other up, log in, are not let in, and write.
    let alice = Person::registered(&testbed, "alice").await;
    let bob = Person::registered(&testbed, "bob").await;
    let mut request = alice.registration(testbed.domain(), "alice");
    let signature = request["registration_sig"].as_str().unwrap().to_owned();
    register(&testbed, &request).await;
    request["registration_sig"] = bob.registration(testbed.domain(), "bob")["registration_sig"].clone();
    assert_eq!(register(&testbed, &request).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    get(&testbed, "/v1/u/alice").await;
    get(&testbed, &format!("/v1/p/{}", bob.primary)).await;
    let stranger = Person::new();
    let domain = testbed.domain().clone();
    let login = {
        let (key, primary) = (stranger.key.clone(), stranger.primary);
        move |nonce: Vec<u8>| Person { key: key.clone(), primary }.login(&domain, &nonce)
    };
    assert!(try_login(&testbed, login).await.is_err());
    let (sender, recipient) = (alice.connect(&testbed).await, bob.connect(&testbed).await);
    let mut inbox = recipient.inbox().await;
    let route = alice.route(&testbed).await;
    sender.send(&bob.primary, &route, TEXT).await;
    assert_eq!(next(&mut inbox).await.payload, TEXT);

    let id = server.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.unwrap().success());
    assert!(server.wait().await.unwrap().success());
    let log = log.await.unwrap();
    assert!(log.contains("/v1/register") && log.contains("a login was refused"), "the log has what it is for");

    let file = std::fs::read_to_string(&secret_file).unwrap();
    let digits = file.trim().rsplit(':').next().unwrap();
    let mut never = vec![TEXT.to_owned(), signature, digits.to_owned(), BASE64.encode(TEXT.as_bytes())];
    for key in [&alice.key, &bob.key, &stranger.key].map(|key| *key.expose_seed()) {
        never.extend([HEXLOWER.encode(&key), BASE64URL_NOPAD.encode(&key)]);
    }
    never.push(testbed.secret().chat_server_seed().unwrap().to_string());
    // How every JWT begins that the broker sends or gets: `{"typ":"JWT"` and `{"alg":`.
    never.extend(["eyJ0eXAiOiJKV1Qi", "eyJhbGci"].map(str::to_owned));
    for word in never {
        assert!(!log.contains(&word), "the log holds {word:?}");
    }
    testbed.shutdown().await.unwrap();
}
