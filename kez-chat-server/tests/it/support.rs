//! People, and the two ways in which they speak to the home: HTTP and the broker.

use std::future;
use std::time::Duration;

use async_nats::{Auth, Client, ConnectError, ConnectOptions, Event, Message, Subscriber};
use futures::StreamExt as _;
use kez_core::broker::{Day, LoginNonce, Route, subject};
use kez_core::handle::{Handle, Home, Policy};
use kez_core::identity::{PrimaryKey, SecretKey, Statement};
use kez_testbed::Testbed;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Far longer than anything here takes; reached only by what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn http() -> reqwest::Client {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

pub(crate) async fn get(testbed: &Testbed, path: &str) -> Response {
    http().get(format!("{}{path}", testbed.home_url())).send().await.unwrap()
}

pub(crate) async fn json_of(response: Response) -> Value {
    response.json().await.unwrap()
}

/// Checks a refusal's shape and returns its code.
pub(crate) async fn code_of(response: Response) -> String {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let body = json_of(response).await;
    assert_eq!(body["status"], status, "{body}");
    body["code"].as_str().unwrap().to_owned()
}

/// Somebody with a key.
pub(crate) struct Person {
    pub(crate) key: SecretKey,
    pub(crate) primary: PrimaryKey,
}

impl Person {
    pub(crate) fn new() -> Self {
        let key = SecretKey::generate(&mut rand::rng());
        Self { primary: key.primary(), key }
    }

    /// Makes somebody who is registered.
    pub(crate) async fn registered(testbed: &Testbed, name: &str) -> Self {
        let person = Self::new();
        let response = register(testbed, &person.registration(testbed.domain(), name)).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        person
    }

    pub(crate) fn retirement(&self, home: &Home, name: &str) -> Value {
        let handle = Handle::parse(name, Some(home), Policy::Development).unwrap();
        let signature = self.key.sign(&Statement::Retire { handle: &handle, primary: &self.primary });
        json!({
            "handle": handle.to_string(),
            "primary": self.primary.to_string(),
            "retire_sig": signature.to_base64(),
        })
    }

    pub(crate) fn registration(&self, home: &Home, name: &str) -> Value {
        let handle = Handle::parse(name, Some(home), Policy::Development).unwrap();
        let signature = self.key.sign(&Statement::Register { handle: &handle, primary: &self.primary });
        json!({
            "handle": handle.to_string(),
            "primary": self.primary.to_string(),
            "registration_sig": signature.to_base64(),
        })
    }

    /// Signs a login as `docs/PROTOCOL.md` §5 says.
    pub(crate) fn login(&self, domain: &Home, nonce: &[u8]) -> Auth {
        let nonce = LoginNonce::parse(std::str::from_utf8(nonce).unwrap()).unwrap();
        self.auth(self.key.sign(&Statement::NatsLogin { domain, nonce: &nonce }).to_bytes().to_vec())
    }

    pub(crate) fn auth(&self, signature: Vec<u8>) -> Auth {
        let mut auth = Auth::new();
        auth.nkey = Some(self.primary.to_nkey());
        auth.signature = Some(signature);
        auth
    }

    /// Logs in as a client does.
    pub(crate) async fn connect(&self, testbed: &Testbed) -> Connected {
        let person = Self { key: self.key.clone(), primary: self.primary };
        let domain = testbed.domain().clone();
        let (sender, denials) = mpsc::unbounded_channel();
        let (cut, cuts) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_auth_callback(move |nonce| future::ready(Ok(person.login(&domain, &nonce))))
            .name("kez-chat")
            .custom_inbox_prefix(subject::reply_prefix(&self.primary))
            .event_callback(move |event| {
                match event {
                    Event::ServerError(error) => drop(sender.send(error.to_string())),
                    Event::Disconnected => drop(cut.send(())),
                    _ => {}
                }
                future::ready(())
            });
        let client = options.connect(testbed.nats_url()).await.unwrap();
        Connected { client, primary: self.primary, denials, cuts }
    }

    /// Derives today's route to this home.
    pub(crate) async fn route(&self, testbed: &Testbed) -> Route {
        let info = json_of(get(testbed, "/v1/info").await).await;
        let server: PrimaryKey = info["server_keys"][0].as_str().unwrap().parse().unwrap();
        let day = Day::from_unix_ms(info["now_ms"].as_u64().unwrap());
        Route::derive(&self.key.agree(&server), day, &self.primary, &server)
    }
}

pub(crate) async fn register(testbed: &Testbed, registration: &Value) -> Response {
    http().post(format!("{}/v1/register", testbed.home_url())).json(registration).send().await.unwrap()
}

pub(crate) async fn retire(testbed: &Testbed, retirement: &Value) -> Response {
    http().post(format!("{}/v1/retire", testbed.home_url())).json(retirement).send().await.unwrap()
}

/// A login that answers every nonce with `answer`.
pub(crate) async fn try_login(
    testbed: &Testbed,
    answer: impl Fn(Vec<u8>) -> Auth + Send + Sync + 'static,
) -> Result<Client, ConnectError> {
    ConnectOptions::with_auth_callback(move |nonce| future::ready(Ok(answer(nonce)))).connect(testbed.nats_url()).await
}

/// Somebody on the broker, and what the broker denied them.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) primary: PrimaryKey,
    denials: mpsc::UnboundedReceiver<String>,
    cuts: mpsc::UnboundedReceiver<()>,
}

impl Connected {
    /// Listens where the broker delivers this person's inbox.
    pub(crate) async fn inbox(&self) -> Subscriber {
        self.client.subscribe(subject::deliver(&self.primary)).await.unwrap()
    }

    /// Waits for the next denial, which names what was denied.
    pub(crate) async fn denial(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.denials.recv()).await.expect("nothing was denied").unwrap()
    }

    /// Waits until the broker ends the connection.
    pub(crate) async fn cut_off(&mut self) {
        tokio::time::timeout(PATIENCE, self.cuts.recv()).await.expect("the connection was not ended").unwrap();
    }

    /// Publishes to somebody's inbox and returns the broker's answer.
    pub(crate) async fn send(&self, to: &PrimaryKey, route: &Route, text: &str) -> Value {
        let subject = subject::inbox_publish(to, route);
        let request = self.client.request(subject, text.to_owned().into());
        let answer = tokio::time::timeout(PATIENCE, request).await.expect("no answer").unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }
}

/// Waits for a subscriber's next message.
pub(crate) async fn next(subscriber: &mut Subscriber) -> Message {
    tokio::time::timeout(PATIENCE, subscriber.next()).await.expect("nothing was delivered").unwrap()
}

/// Asks again until it is so. For what happens behind the scenes, without an event to wait for.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, ask).await
}

/// Asks again until it is so, and fails after `patience`.
pub(crate) async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(patience, asking).await.expect("it never came to be so")
}
