//! Somebody with a key, who registers and logs in.

use std::{future, net::SocketAddr, sync::Arc};

use async_nats::{Auth, Client, ConnectError, ConnectOptions, Event};
use kez_core::{
    broker::{Day, LoginNonce, Route, subject},
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, SecretKey, Statement},
};
use kez_testbed::{http, processes::Processes};
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::home::{RETRY, insist, read};

pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) primary: PrimaryKey,
    key: SecretKey,
}

impl Person {
    pub(crate) fn new(name: impl Into<String>) -> Arc<Self> {
        let key = SecretKey::generate(&mut rand::rng());
        Arc::new(Self { name: name.into(), primary: key.primary(), key })
    }

    /// Registers, however often that takes. A try that was cut off may have been one that succeeded.
    pub(crate) async fn register(&self, home: SocketAddr) {
        let handle = Handle::from_qualified(&self.handle(), Policy::Development).unwrap();
        let signature = self.key.sign(&Statement::Register { handle: &handle, primary: &self.primary });
        let body = json!({
            "handle": handle.to_string(),
            "primary": self.primary.to_string(),
            "registration_sig": signature.to_base64(),
        });
        let request = http::post("/v1/register", "application/json", body.to_string().as_bytes());
        let answer = insist(home, &request).await;
        assert!(matches!(answer.status, 200 | 201), "{}: {}", self.name, String::from_utf8_lossy(&answer.body));
    }

    /// Checks that the handle leads to the key.
    pub(crate) async fn assert_registered(&self, home: SocketAddr) {
        let profile = read(home, &format!("/v1/u/{}", self.name)).await;
        assert_eq!(profile["primary"], self.primary.to_string(), "{}", self.name);
    }

    pub(crate) fn handle(&self) -> String {
        format!("{}@{}", self.name, Processes::HOME)
    }

    /// Signs the event that follows a chain, on which only the person's own handle is set again and again.
    pub(crate) fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Tries to log in; from then on the connection comes back by itself, and says so in `connected`.
    pub(crate) async fn try_login(
        self: &Arc<Self>,
        nats_url: &str,
        connected: watch::Sender<u64>,
    ) -> Result<Client, ConnectError> {
        let person = Arc::clone(self);
        ConnectOptions::with_auth_callback(move |nonce| future::ready(Ok(person.sign_login(&nonce))))
            .name("kez-chat")
            .custom_inbox_prefix(subject::reply_prefix(&self.primary))
            .reconnect_delay_callback(|attempts| RETRY * u32::try_from(attempts).unwrap_or(u32::MAX).clamp(1, 10))
            .event_callback(move |event| {
                if matches!(event, Event::Connected) {
                    connected.send_modify(|times| *times += 1);
                }
                future::ready(())
            })
            .connect(nats_url)
            .await
    }

    /// Logs in, however often that takes; returns how often it did not work, too.
    pub(crate) async fn login(self: &Arc<Self>, nats_url: &str, connected: watch::Sender<u64>) -> (Client, u32) {
        for failures in 0.. {
            match self.try_login(nats_url, connected.clone()).await {
                Ok(client) => return (client, failures),
                Err(_) => sleep(RETRY).await,
            }
        }
        unreachable!("u32::MAX logins failed")
    }

    /// Derives the route on which this person writes today.
    pub(crate) fn route(&self, server: &PrimaryKey, now_ms: u64) -> Route {
        Route::derive(&self.key.agree(server), Day::from_unix_ms(now_ms), &self.primary, server)
    }

    fn sign_login(&self, nonce: &[u8]) -> Auth {
        let domain = Home::parse(Processes::HOME, Policy::Development).unwrap();
        let nonce = LoginNonce::parse(std::str::from_utf8(nonce).unwrap()).unwrap();
        let mut auth = Auth::new();
        auth.nkey = Some(self.primary.to_nkey());
        auth.signature =
            Some(self.key.sign(&Statement::NatsLogin { domain: &domain, nonce: &nonce }).to_bytes().to_vec());
        auth
    }
}
