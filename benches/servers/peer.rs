//! What ours are held against: axum handlers that do what can't be left out, and nothing else.
//!
//! No layers, no limits, no problem bodies, no log. Reads happen on the async threads, which no server should do that has
//! a slow disk; writes are one connection's, in WAL with `synchronous=FULL`, as ours are.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path as UrlPath, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use clap::{Args, ValueEnum};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signature, VerifyingKey};
use kez_testbed::{guard::Guarded, processes::Processes};
use rusqlite::{Connection, OpenFlags, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Answers a look-up with always the same.
    Constant,
    /// Reads the row from the registry's own file.
    Lookup,
    /// Verifies one signature and inserts a row.
    Register,
    /// And makes the consumer on the broker before that.
    RegisterWithInbox,
    /// Verifies one signature and inserts a row.
    Append,
}

#[derive(Args)]
pub(crate) struct Options {
    kind: Kind,
    /// The database: for a look-up the registry's, else a new one.
    database: PathBuf,
    /// Where chains are said to be.
    sig_url: String,
    nats_url: String,
    /// The seed of the broker's user.
    #[arg(long, env = "KEZ_BENCH_NATS_SEED", hide_env_values = true)]
    nats_seed: String,
}

/// One of the peers, as a process.
pub(crate) struct PeerProcess {
    pub(crate) address: SocketAddr,
    _process: Guarded,
}

impl PeerProcess {
    pub(crate) async fn start(kind: Kind, stack: &Processes) -> Self {
        let kind_name = kind.to_possible_value().unwrap().get_name().to_owned();
        let database = match kind {
            Kind::Lookup => stack.chat.database(),
            _ => stack.folder().join(format!("{kind_name}.db")),
        };
        let sig_url = format!("http://{}", stack.sig.address());
        let seed = stack.secret().chat_server_seed().unwrap();
        let mut process = Guarded::spawn(std::env::current_exe().unwrap(), |command| {
            command.args(["peer", &kind_name]).arg(database).args([&sig_url, &stack.nats_url()]);
            command.env("KEZ_BENCH_NATS_SEED", seed.as_str()).stdout(Stdio::piped());
        })
        .unwrap();
        let mut line = String::new();
        BufReader::new(process.take_stdout().unwrap()).read_line(&mut line).await.unwrap();
        Self { address: line.trim().parse().unwrap(), _process: process }
    }
}

/// Serves for ever, and says first where.
pub(crate) async fn serve(options: Options) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = match options.kind {
        Kind::Constant => Router::new().route("/v1/u/{handle}", get(constant)),
        Kind::Lookup => {
            let registry = Arc::new(Registry::open(&options));
            Router::new().route("/v1/u/{handle}", get(look_up)).with_state(registry)
        }
        Kind::Register | Kind::RegisterWithInbox => {
            let home = Arc::new(Home {
                connection: durable(&options.database, "CREATE TABLE handles (
                    handle TEXT PRIMARY KEY NOT NULL, primary_key BLOB NOT NULL UNIQUE, registered_at_ms INTEGER NOT NULL
                ) STRICT, WITHOUT ROWID"),
                nats: match options.kind {
                    Kind::RegisterWithInbox => {
                        let user = async_nats::ConnectOptions::with_nkey(options.nats_seed);
                        Some(user.connect(options.nats_url).await.unwrap())
                    }
                    _ => None,
                },
                sig_url: options.sig_url,
            });
            Router::new().route("/v1/register", post(register)).with_state(home)
        }
        Kind::Append => {
            let events = durable(&options.database, "CREATE TABLE events (
                owner BLOB NOT NULL, seq INTEGER NOT NULL, head BLOB NOT NULL, jws TEXT NOT NULL, PRIMARY KEY (owner, seq)
            ) STRICT");
            Router::new().route("/v1/sigchains/ed25519/{hex}/events", post(append)).with_state(Arc::new(events))
        }
    };
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).unwrap()), router)
        .await
        .unwrap();
}

/// What a home says about a person, member by member as ours does.
#[derive(Serialize)]
struct Profile {
    handle: String,
    primary: String,
    sigchain_url: String,
    endpoints: [Value; 0],
}

impl Profile {
    fn new(handle: String, key: &[u8; 32], sig_url: &str) -> Self {
        let hex = HEXLOWER.encode(key);
        let (primary, sigchain_url) = (format!("ed25519:{hex}"), format!("{sig_url}/v1/sigchains/ed25519/{hex}"));
        Self { handle, primary, sigchain_url, endpoints: [] }
    }
}

async fn constant() -> impl IntoResponse {
    let body = r#"{"handle":"person12345@kez.example","primary":"ed25519:0000000000000000000000000000000000000000000000000000000000000000","sigchain_url":"http://127.0.0.1:12345/v1/sigchains/ed25519/0000000000000000000000000000000000000000000000000000000000000000","endpoints":[]}"#;
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// As many connections as ours reads on.
struct Registry {
    readers: [Mutex<Connection>; 4],
    turn: AtomicUsize,
    sig_url: String,
}

impl Registry {
    fn open(options: &Options) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = || Mutex::new(Connection::open_with_flags(&options.database, flags).unwrap());
        Self { readers: std::array::from_fn(|_| reader()), turn: AtomicUsize::new(0), sig_url: options.sig_url.clone() }
    }
}

async fn look_up(State(registry): State<Arc<Registry>>, UrlPath(name): UrlPath<String>) -> Json<Profile> {
    let handle = format!("{name}@{}", Processes::HOME);
    let turn = registry.turn.fetch_add(1, Ordering::Relaxed) % registry.readers.len();
    let connection = registry.readers[turn].lock().unwrap();
    let sql = "SELECT primary_key FROM handles WHERE handle = ?1";
    let key = connection.prepare_cached(sql).unwrap().query_row([&handle], |row| row.get(0)).unwrap();
    Json(Profile::new(handle, &key, &registry.sig_url))
}

#[derive(Clone)]
struct Durable(Arc<Mutex<Connection>>);

fn durable(database: &Path, schema: &str) -> Durable {
    let connection = Connection::open(database).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch(schema).unwrap();
    Durable(Arc::new(Mutex::new(connection)))
}

impl Durable {
    async fn write(&self, write: impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static) {
        let connection = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || write(&connection.lock().unwrap())).await.unwrap().unwrap();
    }
}

struct Home {
    connection: Durable,
    nats: Option<async_nats::Client>,
    sig_url: String,
}

#[derive(Deserialize)]
struct Registration {
    handle: String,
    primary: String,
    registration_sig: String,
}

async fn register(
    State(home): State<Arc<Home>>,
    Json(registration): Json<Registration>,
) -> (StatusCode, Json<Profile>) {
    let Registration { handle, primary, registration_sig } = registration;
    let hex = primary.strip_prefix("ed25519:").unwrap().to_owned();
    let key = verify(&hex, format!("kez/register/1\0{handle}\0{primary}\0").as_bytes(), &registration_sig);
    if let Some(nats) = &home.nats {
        make_inbox(nats, &hex).await;
    }
    let name = handle.clone();
    let insert = "INSERT INTO handles VALUES (?1, ?2, 0)";
    home.connection.write(move |db| db.prepare_cached(insert)?.execute(params![name, key])).await;
    (StatusCode::CREATED, Json(Profile::new(handle, &key, &home.sig_url)))
}

/// The consumer that ours makes.
async fn make_inbox(nats: &async_nats::Client, hex: &str) {
    let config = json!({
        "durable_name": hex,
        "name": hex,
        "filter_subject": format!("kez.inbox.{hex}.*"),
        "deliver_subject": format!("kez.deliver.{hex}"),
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "ack_wait": 30_000_000_000_u64,
        "max_ack_pending": 256,
        "sample_freq": "100",
        "num_replicas": 1,
    });
    let body = json!({ "stream_name": "KEZ_INBOX", "config": config, "action": "" });
    let subject = format!("$JS.API.CONSUMER.CREATE.KEZ_INBOX.{hex}");
    let answer = nats.request(subject, body.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer["error"].is_null(), "{answer}");
}

#[derive(Serialize)]
struct Place {
    seq: u64,
    head: String,
}

#[derive(Deserialize)]
struct Payload {
    seq: u64,
}

async fn append(
    State(events): State<Arc<Durable>>,
    UrlPath(hex): UrlPath<String>,
    jws: String,
) -> (StatusCode, Json<Place>) {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let key = verify(&hex, input.as_bytes(), signature);
    let (_, payload) = input.split_once('.').unwrap();
    let Payload { seq } = serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap();
    let head: [u8; 32] = Sha256::digest(input).into();
    let insert = "INSERT INTO events VALUES (?1, ?2, ?3, ?4)";
    events.write(move |db| db.prepare_cached(insert)?.execute(params![key, seq, head, jws])).await;
    (StatusCode::CREATED, Json(Place { seq, head: HEXLOWER.encode(&head) }))
}

/// Checks a signature by the key of that name, and returns the key.
fn verify(hex: &str, message: &[u8], signature: &str) -> [u8; 32] {
    let key: [u8; 32] = HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap();
    let signature: [u8; 64] = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap().try_into().unwrap();
    VerifyingKey::from_bytes(&key).unwrap().verify_strict(message, &Signature::from_bytes(&signature)).unwrap();
    key
}
