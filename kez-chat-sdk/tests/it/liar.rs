//! Servers that lie: a stand-in before the home, and one before the sigchain server. Each hands on what the true server
//! says until it is told what to say instead.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use data_encoding::BASE64URL_NOPAD;
use kez_chat_sdk::{
    identity::{PrimaryKey, SecretKey},
    sigchain::Chain,
};
use kez_chat_server::Server;
use kez_testbed::{Testbed, http};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    chains::path,
    front::{address_of, move_home, read_request, tell},
    people::PATIENCE,
};

/// Both servers, in a liar's hands.
pub(crate) struct Liars {
    pub(crate) home: Liar,
    pub(crate) sig: Liar,
    real: Server,
}

impl Liars {
    /// Moves the home to another address, and has it name another sigchain server.
    pub(crate) async fn before(testbed: &mut Testbed) -> Self {
        let real_sig = testbed.sig_url().strip_prefix("http://").unwrap().parse().unwrap();
        let sig = Liar::start((Ipv4Addr::LOCALHOST, 0).into(), real_sig).await;
        let (address, sig_url) = (address_of(testbed), sig.url());
        let real = move_home(testbed, |settings| settings.sig_url = sig_url).await;
        let home = Liar::start(address, real.local_addr()).await;
        Self { home, sig, real }
    }

    /// Has the home give `key` for the handle of that name.
    pub(crate) fn give_key(&self, name: &str, testbed: &Testbed, key: &PrimaryKey) {
        let sigchain_url = format!("{}{}", self.sig.url(), path(key));
        let handle = format!("{name}@{}", testbed.domain());
        let profile = json!({ "handle": handle, "primary": key, "sigchain_url": sigchain_url, "endpoints": [] });
        self.home.say(format!("GET /v1/u/{name} "), move |_| (200, profile.clone()));
    }

    /// Has the sigchain server show these events as somebody's whole chain.
    pub(crate) fn show(&self, owner: &PrimaryKey, events: Vec<String>) {
        self.sig.say(format!("GET {}?", path(owner)), move |request| {
            let after = request.split("after=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
            let page: Vec<&String> = events.iter().skip(after).collect();
            (200, json!({ "events": page, "seq": events.len(), "head": "" }))
        });
    }

    pub(crate) async fn shutdown(self) {
        self.home.stop().await;
        self.sig.stop().await;
        self.real.shutdown().await;
    }
}

/// What is said to who asks.
type Lie = Box<dyn Fn(&str) -> (u16, Value) + Send>;

/// One server's stand-in. Dropping it closes its address.
pub(crate) struct Liar {
    address: SocketAddr,
    /// To which requests, by how they begin, it says what.
    lie: Arc<Mutex<Option<(String, Lie)>>>,
    /// The requests, and the status of their answers.
    seen: watch::Receiver<Vec<(String, u16)>>,
    task: JoinHandle<()>,
}

impl Liar {
    async fn start(at: SocketAddr, real: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let lie: Arc<Mutex<Option<(String, Lie)>>> = Arc::default();
        let (see, seen) = watch::channel(Vec::new());
        let (lies, see) = (Arc::clone(&lie), Arc::new(see));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (lies, see) = (Arc::clone(&lies), Arc::clone(&see));
                tokio::spawn(async move { answer(stream, real, &lies, &see).await });
            }
        });
        Self { address, lie, seen, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says something else to requests that begin so, and to no others.
    pub(crate) fn say(&self, begin: String, what: impl Fn(&str) -> (u16, Value) + Send + 'static) {
        *self.lie.lock().unwrap() = Some((begin, Box::new(what)));
    }

    pub(crate) fn tell_the_truth(&self) {
        *self.lie.lock().unwrap() = None;
    }

    /// Returns the requests that begin so, and the status of their answers.
    pub(crate) fn seen(&self, begin: &str) -> Vec<(String, u16)> {
        self.seen.borrow().iter().filter(|(request, _)| request.starts_with(begin)).cloned().collect()
    }

    /// Waits until so many requests began so.
    pub(crate) async fn until_seen(&self, begin: &str, times: usize) {
        let mut seen = self.seen.clone();
        let enough =
            |seen: &Vec<(String, u16)>| seen.iter().filter(|(said, _)| said.starts_with(begin)).count() >= times;
        tokio::time::timeout(PATIENCE, seen.wait_for(enough)).await.expect("nobody asked").unwrap();
    }

    async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    real: SocketAddr,
    lies: &Mutex<Option<(String, Lie)>>,
    see: &watch::Sender<Vec<(String, u16)>>,
) -> Option<()> {
    let request = read_request(&mut stream).await?;
    let text = String::from_utf8_lossy(&request).into_owned();
    let lie = {
        let lies = lies.lock().unwrap();
        lies.as_ref().filter(|(begin, _)| text.starts_with(begin)).map(|(_, what)| what(&text))
    };
    let answer = match lie {
        Some((status, body)) => http::Answer { status, body: body.to_string().into_bytes() },
        None => http::Connection::open(real).await.ok()?.ask(&request).await.ok()?,
    };
    see.send_modify(|seen| seen.push((text, answer.status)));
    tell(stream, &answer).await
}

/// The events of a chain, as a server shows them.
pub(crate) fn events_of(chain: &Chain) -> Vec<String> {
    chain.events().iter().map(|event| event.jws().to_owned()).collect()
}

/// Signs an event that no version of the core would: an operation of a later one.
pub(crate) fn event_of_a_later_version(key: &SecretKey, chain: &Chain) -> String {
    let payload = format!(
        r#"{{"op":{{"type":"teleport"}},"prev":"{}","primary":"{}","seq":{},"ts":"2026-11-23T00:00:00Z","v":1}}"#,
        chain.tip().head().unwrap(),
        key.primary(),
        chain.tip().seq() + 1,
    );
    let header = r#"{"alg":"Ed25519","typ":"kez-event+jws"}"#;
    let [header, payload] = [header, &payload].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
    let input = format!("{header}.{payload}");
    let pair = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, *key.expose_seed()).unwrap();
    format!("{input}.{}", BASE64URL_NOPAD.encode(&pair.sign(input.as_bytes()).unwrap()))
}
