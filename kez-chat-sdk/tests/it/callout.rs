//! Logins that are answered by the test, which grants what the real home would not.

use async_nats::ConnectOptions;
use data_encoding::HEXLOWER;
use futures::StreamExt;
use hkdf::Hkdf;
use kez_chat_sdk::{
    broker::{
        AckScope, Day, Permissions, Route,
        callout::{CalloutRequest, IssuerKey, UserGrant, response_jwt, user_jwt},
    },
    handle::Home,
    identity::{PrimaryKey, SecretKey},
};
use kez_testbed::Testbed;
use nkeys::{KeyPair, KeyPairType, XKey};
use sha2::Sha256;
use tokio::task::JoinHandle;

use crate::front::now_ms;

/// Answers the broker's questions about logins, in place of a home that was stopped.
pub(crate) struct Callout(JoinHandle<()>);

impl Callout {
    /// Lets everybody in who holds the key that they present, with what `grant` says.
    pub(crate) async fn answer(testbed: &Testbed, grant: impl Fn(&PrimaryKey) -> Permissions + Send + 'static) -> Self {
        assert!(testbed.chat_server().is_none(), "the home would answer too");
        let issuer = IssuerKey::from_seed(seed(testbed, "nats/callout-issuer"));
        let xkey = XKey::new_from_raw(seed(testbed, "nats/callout-xkey"));
        let user = KeyPair::new_from_raw(KeyPairType::User, seed(testbed, "nats/callout-user")).unwrap();
        let nats = ConnectOptions::with_nkey(user.seed().unwrap()).connect(testbed.nats_url()).await.unwrap();
        let mut questions = nats.subscribe("$SYS.REQ.USER.AUTH").await.unwrap();
        nats.flush().await.unwrap();
        let domain = testbed.domain().clone();
        Self(tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let server = question.headers.as_ref().and_then(|headers| headers.get("Nats-Server-Xkey")).unwrap();
                let server = XKey::from_public_key(server.as_str()).unwrap();
                let request = String::from_utf8(xkey.open(&question.payload, &server).unwrap()).unwrap();
                let answer = decide(&issuer, &domain, &CalloutRequest::parse(&request).unwrap(), &grant);
                let sealed = xkey.seal(answer.as_bytes(), &server).unwrap();
                nats.publish(question.reply.unwrap(), sealed.into()).await.unwrap();
            }
        }))
    }
}

impl Drop for Callout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn decide(
    issuer: &IssuerKey,
    domain: &Home,
    request: &CalloutRequest,
    grant: &impl Fn(&PrimaryKey) -> Permissions,
) -> String {
    let now_s = now_ms() / 1000;
    let Ok(user) = request.login(domain) else {
        return response_jwt(issuer, request, Err("BadSignature"), now_s);
    };
    let grant = UserGrant {
        account: "KEZ",
        user_nkey: &request.user_nkey,
        client_nkey: &user.to_nkey(),
        permissions: &grant(&user),
        issued_at_s: now_s,
        expires_at_s: now_s + 3600,
    };
    response_jwt(issuer, request, Ok(&user_jwt(issuer, &grant)), now_s)
}

/// Returns what the home grants to somebody whose login lives through these days.
pub(crate) fn through(days: &[Day], server: &SecretKey, user: &PrimaryKey) -> Permissions {
    let server_key = server.primary();
    let route = |day: &Day| Route::derive(&server.agree(user), *day, user, &server_key);
    let routes: Vec<_> = days.iter().map(route).collect();
    Permissions::for_user(user, &routes, &AckScope::of_account("JS", None))
}

/// Derives one of the server's keys. The labels are fixed, since a secret file has to lead to the same keys for ever.
fn seed(testbed: &Testbed, label: &str) -> [u8; 32] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    testbed.secret().create_file(&file).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let digits = text.trim_end().rsplit_once(':').unwrap().1;
    let secret = HEXLOWER.decode(digits.as_bytes()).unwrap();
    let mut seed = [0; 32];
    Hkdf::<Sha256>::new(Some(b"kez/server-secret/1"), &secret).expand(label.as_bytes(), &mut seed).unwrap();
    seed
}
