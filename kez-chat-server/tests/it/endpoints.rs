//! The endpoints that profiles hint at, with a real sigchain server, with none, and with hostile ones.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};
use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::handle::{Handle, Home, Policy};
use kez_core::sigchain::{Chain, Install, Op, Timestamp};
use kez_service::rusqlite::{Connection, params};
use kez_testbed::Testbed;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, Person, http, json_of, until};

/// Far longer than a look-up may take, and far shorter than what hangs.
const BOUND: Duration = Duration::from_secs(3);
static PIECE: [u8; 65_536] = [b' '; 65_536];
/// For hints that are fetched again at once.
const STALE_AT_ONCE: Duration = Duration::from_millis(1);
const FRESH_FOR_LONG: Duration = Duration::from_secs(3600);

/// A home server of its own, beside whatever sigchain server a test brings.
struct OwnHome {
    server: Server,
    folder: TempDir,
    client: Client,
}

impl OwnHome {
    /// Starts without a broker, which looking people up does not need.
    async fn beside(sig_url: &str, fresh_for: Duration) -> Self {
        Self::start("nats://127.0.0.1:1", sig_url, ServerSecret::generate(&mut rand::rng()), fresh_for).await
    }

    async fn start(nats_url: &str, sig_url: &str, secret: ServerSecret, fresh_for: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = folder.path().join("registry.db");
        let mut settings = Settings::new((Ipv4Addr::LOCALHOST, 0).into(), nats_url, sig_url, registry, secret);
        settings.policy = Policy::Development;
        settings.endpoints_fresh_for = fresh_for;
        Self { server: Server::bind(settings).await.unwrap(), folder, client: http() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.local_addr())
    }

    /// Puts somebody into the registry, who is registered as far as look-ups are concerned.
    fn enter(&self, name: &str, person: &Person) {
        let registry = Connection::open(self.folder.path().join("registry.db")).unwrap();
        let sql = "INSERT INTO handles (handle, primary_key, registered_at_ms) VALUES (?1, ?2, 1)";
        let handle = format!("{name}@{}", self.server.domain());
        registry.execute(sql, params![handle, person.primary.as_bytes()]).unwrap();
    }

    /// Looks somebody up, which neither fails nor takes long, whatever the sigchain server does.
    async fn endpoints(&self, name: &str) -> Value {
        let begun = Instant::now();
        let response = self.client.get(self.url(&format!("/v1/u/{name}"))).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let mut profile = json_of(response).await;
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        profile["endpoints"].take()
    }

    async fn until_endpoints(&self, name: &str, expected: Value) {
        until(async || (self.endpoints(name).await == expected).then_some(())).await;
    }

    async fn health(&self) -> Value {
        json_of(self.client.get(self.url("/v1/healthz")).send().await.unwrap()).await
    }
}

/// A chain as its owner writes it.
struct Author<'a> {
    person: &'a Person,
    chain: Chain,
}

impl<'a> Author<'a> {
    fn new(person: &'a Person) -> Self {
        Self { person, chain: Chain::new(person.primary, Policy::Development) }
    }

    /// Signs an event and returns it.
    fn write(&mut self, op: Op) -> String {
        self.chain.sign_next(&self.person.key, op, &Timestamp::from_unix_ms(0)).unwrap().jws().to_owned()
    }

    fn write_endpoints(&mut self) -> [String; 2] {
        [self.write(nats("tls://nats.kez.lat")), self.write(iroh())]
    }

    /// A server's whole answer.
    fn page(&self) -> Value {
        let events: Vec<_> = self.chain.events().iter().map(|event| event.jws()).collect();
        json!({ "events": events, "seq": events.len(), "head": self.chain.tip().head().unwrap().to_string() })
    }
}

fn nats(url: &str) -> Op {
    Op::AddNatsEndpoint { home: Home::parse("kez.lat", Policy::Development).unwrap(), url: url.to_owned() }
}

fn iroh() -> Op {
    Op::AddIrohEndpoint { install: Install::from_bytes([0x11; 8]), relay_url: None }
}

fn nats_op(person: &Person, url: &str) -> Value {
    let inbox = format!("kez.inbox.{}", person.primary.to_hex());
    json!({ "type": "add_endpoint", "protocol": "nats", "home": "kez.lat", "url": url, "inbox": inbox })
}

fn iroh_op(person: &Person) -> Value {
    let node = person.primary.to_hex();
    json!({ "type": "add_endpoint", "protocol": "iroh", "node_id": node, "install": "1111111111111111" })
}

async fn upload(testbed: &Testbed, person: &Person, jws: String) {
    let url = format!("{}/v1/sigchains/ed25519/{}/events", testbed.sig_url(), person.primary.to_hex());
    let response = http().post(url).header("content-type", "application/jose").body(jws).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
}

#[tokio::test]
async fn a_profile_hints_at_what_the_chain_says_and_outlives_the_sigchain_server() {
    let mut testbed = Testbed::start().await.unwrap();
    let home = OwnHome::start(&testbed.nats_url(), &testbed.sig_url(), testbed.secret().clone(), STALE_AT_ONCE).await;
    let alice = Person::new();
    let register = async || {
        let request = alice.registration(home.server.domain(), "alice");
        json_of(home.client.post(home.url("/v1/register")).json(&request).send().await.unwrap()).await
    };
    assert_eq!(register().await["endpoints"], json!([]));
    assert_eq!(home.endpoints("alice").await, json!([]), "nobody has written on the chain yet");

    let mut author = Author::new(&alice);
    for event in author.write_endpoints() {
        upload(&testbed, &alice, event).await;
    }
    home.until_endpoints("alice", json!([nats_op(&alice, "tls://nats.kez.lat"), iroh_op(&alice)])).await;
    let by_key = json_of(home.client.get(home.url(&format!("/v1/p/{}", alice.primary))).send().await.unwrap()).await;
    assert_eq!(by_key["endpoints"], json!([nats_op(&alice, "tls://nats.kez.lat"), iroh_op(&alice)]));
    assert_eq!(register().await["endpoints"], by_key["endpoints"]);

    // The last of a protocol counts, and what is removed goes.
    upload(&testbed, &alice, author.write(nats("tls://new.kez.lat"))).await;
    home.until_endpoints("alice", json!([nats_op(&alice, "tls://new.kez.lat"), iroh_op(&alice)])).await;
    upload(&testbed, &alice, author.write(Op::RemoveNatsEndpoint { url: "tls://new.kez.lat".into() })).await;
    home.until_endpoints("alice", json!([nats_op(&alice, "tls://nats.kez.lat"), iroh_op(&alice)])).await;
    upload(&testbed, &alice, author.write(Op::RemoveIrohEndpoint { install: Install::from_bytes([0x11; 8]) })).await;
    let left = json!([nats_op(&alice, "tls://nats.kez.lat")]);
    home.until_endpoints("alice", left.clone()).await;
    let well = json!({ "status": "ok", "nats": "ok", "registry": "ok", "sigchain": "ok" });
    until(async || (home.health().await == well).then_some(())).await;

    testbed.stop_sig_server().await;
    until(async || {
        assert_eq!(home.endpoints("alice").await, left, "the last hint stands");
        (home.health().await["sigchain"] == "away").then_some(())
    })
    .await;
    assert_eq!(home.health().await["status"], "degraded");
    assert_eq!(home.endpoints("alice").await, left);

    testbed.start_sig_server().await.unwrap();
    upload(&testbed, &alice, author.write(Op::Retire)).await;
    home.until_endpoints("alice", json!([])).await;
    until(async || (home.health().await == well).then_some(())).await;
    home.server.shutdown().await;
    testbed.shutdown().await.unwrap();
}

type Reply = Box<dyn FnMut(Request) -> BoxFuture<'static, Response> + Send>;

/// A stand-in for a sigchain server, which answers every request as a test likes.
struct StandIn {
    address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    requests: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

/// A request for a chain.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    query: String,
    if_none_match: Option<String>,
}

impl StandIn {
    async fn start<F>(reply: impl FnMut(Request) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(Mutex::new(boxed(reply)));
        let (asked, answer) = (Arc::clone(&requests), Arc::clone(&reply));
        let router = Router::new().fallback(async move |request: Request| {
            let tag = request.headers().get(header::IF_NONE_MATCH);
            asked.lock().unwrap().push(Asked {
                query: request.uri().query().unwrap_or_default().to_owned(),
                if_none_match: tag.map(|tag| tag.to_str().unwrap().to_owned()),
            });
            let answer = (answer.lock().unwrap())(request);
            answer.await
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, reply, requests, task }
    }

    /// Answers with this page from now on.
    async fn serving(page: Value) -> Self {
        Self::start(move |_| std::future::ready(Json(page.clone()).into_response())).await
    }

    fn answer_with(&self, page: Value) {
        *self.reply.lock().unwrap() = boxed(move |_| std::future::ready(Json(page.clone()).into_response()));
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<Asked> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn boxed<F>(mut reply: impl FnMut(Request) -> F + Send + 'static) -> Reply
where
    F: Future<Output = Response> + Send + 'static,
{
    Box::new(move |request| Box::pin(reply(request)))
}

#[tokio::test]
async fn a_chain_that_does_not_hold_gives_no_hint() {
    let (alice, mallory) = (Person::new(), Person::new());
    let mut author = Author::new(&alice);
    author.write_endpoints();
    let sound = author.page();
    let mut others = Author::new(&mallory);
    others.write_endpoints();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut page = sound.clone();
        change(&mut page);
        page
    };
    let forged = with(&|page| {
        // The second event under the first one's signature.
        let text = |n: usize| page["events"][n].as_str().unwrap().to_owned();
        let (input, signature) = (text(1), text(0));
        let (input, signature) = (input.rsplit_once('.').unwrap().0, signature.rsplit_once('.').unwrap().1);
        page["events"][1] = json!(format!("{input}.{signature}"));
    });
    let unsound = [
        ("somebody else's chain", others.page()),
        ("a forged signature", forged),
        ("a gap", with(&|page| drop(page["events"].as_array_mut().unwrap().remove(0)))),
        ("an event twice", with(&|page| page["events"][1] = page["events"][0].clone())),
        ("no events of some", with(&|page| page["events"] = json!([]))),
        ("a number for an event", with(&|page| page["events"][1] = json!(1))),
        ("another shape", json!([])),
        ("an end that never comes", with(&|page| page["seq"] = json!(9))),
    ];
    for (what, page) in unsound {
        let stand_in = StandIn::serving(page).await;
        let home = OwnHome::beside(&stand_in.url(), STALE_AT_ONCE).await;
        home.enter("alice", &alice);
        for _ in 0..3 {
            assert_eq!(home.endpoints("alice").await, json!([]), "{what}");
        }
        assert!(!stand_in.requests().is_empty(), "{what}");
    }

    // Without the fault there is a hint; with it, there is none any more.
    let hint = json!([nats_op(&alice, "tls://nats.kez.lat"), iroh_op(&alice)]);
    let stand_in = StandIn::serving(sound.clone()).await;
    let home = OwnHome::beside(&stand_in.url(), STALE_AT_ONCE).await;
    home.enter("alice", &alice);
    home.until_endpoints("alice", hint).await;
    stand_in.answer_with(others.page());
    home.until_endpoints("alice", json!([])).await;
}

#[tokio::test]
async fn a_hostile_sigchain_server_costs_nothing_but_the_hint() {
    let alice = Person::new();
    let mut author = Author::new(&alice);
    author.write_endpoints();
    let sound = author.page();

    let (sent, given_up) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let endless = {
        let (sent, given_up) = (Arc::clone(&sent), given_up.clone());
        move || {
            // Dropped with the body, which is when the reader hangs up.
            let (sent, until_dropped) = (Arc::clone(&sent), given_up.clone().drop_guard());
            let pieces = futures::stream::repeat_with(move || {
                let _ = &until_dropped;
                sent.fetch_add(PIECE.len(), Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from_static(&PIECE))
            });
            Body::from_stream(pieces).into_response()
        }
    };
    let dripping = || {
        let drops = futures::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
        });
        Body::from_stream(drops).into_response()
    };
    let elsewhere = StandIn::serving(sound.clone()).await;
    let target = elsewhere.url();
    let cases: Vec<(&str, StandIn)> = vec![
        ("an endless body", StandIn::start(move |_| std::future::ready(endless())).await),
        ("a body that drips", StandIn::start(move |_| std::future::ready(dripping())).await),
        ("no answer", StandIn::start(|_| std::future::pending()).await),
        ("a redirect", {
            StandIn::start(move |request: Request| {
                let path = request.uri().path_and_query().unwrap().to_string();
                std::future::ready(Redirect::temporary(&format!("{target}{path}")).into_response())
            })
            .await
        }),
        ("a fault", StandIn::start(|_| std::future::ready(StatusCode::INTERNAL_SERVER_ERROR.into_response())).await),
        ("not asked for", StandIn::start(|_| std::future::ready(StatusCode::NOT_MODIFIED.into_response())).await),
        ("no JSON", StandIn::start(|_| std::future::ready("events".into_response())).await),
    ];
    for (what, stand_in) in cases {
        let home = OwnHome::beside(&stand_in.url(), STALE_AT_ONCE).await;
        home.enter("alice", &alice);
        for _ in 0..3 {
            assert_eq!(home.endpoints("alice").await, json!([]), "{what}");
        }
        assert!(!stand_in.requests().is_empty(), "{what}");
    }
    assert!(elsewhere.requests().is_empty(), "redirects are not followed");
    tokio::time::timeout(PATIENCE, given_up.cancelled()).await.unwrap();
    // 4 MiB of it were read; the rest stood in buffers.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 64 << 20, "{sent}");
}

#[tokio::test]
async fn without_a_sigchain_server_look_ups_are_quick_and_it_is_left_in_peace() {
    let home = OwnHome::beside("http://127.0.0.1:1", STALE_AT_ONCE).await;
    home.enter("alice", &Person::new());
    assert_eq!(home.endpoints("alice").await, json!([]));
    let health = json!({ "status": "degraded", "nats": "away", "registry": "ok", "sigchain": "away" });
    assert_eq!(home.health().await, health);

    let stand_in = StandIn::start(|_| std::future::ready(StatusCode::BAD_GATEWAY.into_response())).await;
    let home = OwnHome::beside(&stand_in.url(), STALE_AT_ONCE).await;
    for n in 0..60 {
        let name = format!("n{n}");
        home.enter(&name, &Person::new());
        assert_eq!(home.endpoints(&name).await, json!([]));
    }
    // Three failures, and then one attempt in 1 s, 2 s, 4 s, …
    let asked = stand_in.requests().len();
    assert!((3..10).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_sigchain_server_that_is_asked_too_often_is_there_and_left_in_peace() {
    let reply = |_| std::future::ready(StatusCode::TOO_MANY_REQUESTS.into_response());
    let stand_in = StandIn::start(reply).await;
    let home = OwnHome::beside(&stand_in.url(), STALE_AT_ONCE).await;
    for n in 0..30 {
        let name = format!("n{n}");
        home.enter(&name, &Person::new());
        assert_eq!(home.endpoints(&name).await, json!([]));
    }
    assert_eq!(home.health().await["sigchain"], "ok");
    // One, and another one for each second that this took.
    let asked = stand_in.requests().len();
    assert!((1..10).contains(&asked), "{asked}");
}

#[tokio::test]
async fn many_look_ups_of_one_person_are_one_fetch() {
    let alice = Person::new();
    let mut author = Author::new(&alice);
    author.write_endpoints();
    let page = author.page();
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let stand_in = StandIn::start(move |_| {
        let (gate, page) = (Arc::clone(&gate), page.clone());
        async move {
            gate.notified().await;
            Json(page).into_response()
        }
    })
    .await;
    let home = OwnHome::beside(&stand_in.url(), FRESH_FOR_LONG).await;
    home.enter("alice", &alice);
    // All of them come back without the hint, since nobody lets the answer go.
    let hints = join_all((0..50).map(|_| home.endpoints("alice"))).await;
    assert!(hints.iter().all(|hint| *hint == json!([])));
    assert_eq!(stand_in.requests().len(), 1);

    go.notify_one();
    let hint = json!([nats_op(&alice, "tls://nats.kez.lat"), iroh_op(&alice)]);
    home.until_endpoints("alice", hint.clone()).await;
    let hints = join_all((0..50).map(|_| home.endpoints("alice"))).await;
    assert!(hints.iter().all(|known| *known == hint));
    assert_eq!(stand_in.requests().len(), 1, "it is fresh");
}

#[tokio::test]
async fn a_flood_of_look_ups_is_not_slowed_by_the_sigchain_server() {
    let go = CancellationToken::new();
    let gate = go.clone();
    let stand_in = StandIn::start(move |_| {
        let gate = gate.clone();
        async move {
            gate.cancelled().await;
            Json(json!({ "events": [], "seq": 0, "head": "" })).into_response()
        }
    })
    .await;
    let home = OwnHome::beside(&stand_in.url(), FRESH_FOR_LONG).await;
    let names: Vec<_> = (0..60).map(|n| format!("n{n}")).collect();
    for name in &names {
        home.enter(name, &Person::new());
    }
    // So many chains are asked for at once, and waited for.
    let (first, others) = names.split_at(4);
    join_all(first.iter().map(|name| home.endpoints(name))).await;
    // Nobody else waits, who would wait for them all.
    let begun = Instant::now();
    for name in others {
        assert_eq!(home.endpoints(name).await, json!([]));
    }
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert_eq!(stand_in.requests().len(), first.len());

    // They are asked for later, though nobody looks them up again.
    go.cancel();
    until(async || (stand_in.requests().len() == names.len()).then_some(())).await;
}

#[tokio::test]
async fn what_is_known_is_not_fetched_again() {
    for events in [2, 70] {
        let alice = Person::new();
        let mut author = Author::new(&alice);
        author.write_endpoints();
        for n in 2..events {
            let name = format!("n{n}");
            let handle =
                Handle::parse(&name, Some(&Home::parse("kez.lat", Policy::Development).unwrap()), Policy::Development);
            author.write(Op::SetHandle(Some(handle.unwrap())));
        }
        let page = Arc::new(Mutex::new(author.page()));
        let shown = Arc::clone(&page);
        let stand_in = StandIn::start(move |request: Request| {
            let page = shown.lock().unwrap().clone();
            std::future::ready(as_a_server(&request, &page))
        })
        .await;
        let home = OwnHome::beside(&stand_in.url(), STALE_AT_ONCE).await;
        home.enter("alice", &alice);
        let hint = json!([nats_op(&alice, "tls://nats.kez.lat"), iroh_op(&alice)]);
        home.until_endpoints("alice", hint.clone()).await;
        let first = Asked { query: "after=0&limit=1000".into(), if_none_match: None };
        assert_eq!(stand_in.requests()[0], first);

        // A chain that is as it was is not sent again.
        until(async || {
            assert_eq!(home.endpoints("alice").await, hint);
            (stand_in.requests().len() > 1).then_some(())
        })
        .await;
        let head = page.lock().unwrap()["head"].as_str().unwrap().to_owned();
        let after = if events == 2 { 0 } else { events - 1 };
        let again = Asked { query: format!("after={after}&limit=1000"), if_none_match: Some(format!("\"{head}\"")) };
        assert_eq!(stand_in.requests()[1], again);

        // A longer one is read on.
        author.write(Op::RemoveIrohEndpoint { install: Install::from_bytes([0x11; 8]) });
        *page.lock().unwrap() = author.page();
        home.until_endpoints("alice", json!([nats_op(&alice, "tls://nats.kez.lat")])).await;
    }
}

/// Answers as a sigchain server does.
fn as_a_server(request: &Request, page: &Value) -> Response {
    let tag = format!("\"{}\"", page["head"].as_str().unwrap());
    if request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known.to_str().unwrap() == tag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let query = request.uri().query().unwrap();
    let after: usize = query.strip_prefix("after=").unwrap().split('&').next().unwrap().parse().unwrap();
    let mut page = page.clone();
    page["events"].as_array_mut().unwrap().drain(..after);
    Json(page).into_response()
}
