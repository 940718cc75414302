//! More peers than there is room for, and as many as there has to be.

use std::env;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kez_service::axum::Router;
use kez_service::axum::routing::get;
use kez_service::layers::Limits;
use kez_service::process::raise_open_files;
use kez_service::serve::{ConnectionLimits, GRACE, Listener, Running};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ANY;
use crate::hostile::{PATIENCE, behave, connect, rest_of, routes, say};

/// Has a test's other half, in a process of its own, know what to do.
const ROLE: &str = "KEZ_SERVICE_TEST_ROLE";

async fn start(router: Router, connections: usize) -> Running {
    let limits = ConnectionLimits { connections, patience: Duration::from_millis(100), ..ConnectionLimits::default() };
    Listener::bind(ANY).await.unwrap().serve_with(crate::layered(router, Limits::default()), limits)
}

/// Asks and is answered, and stays.
async fn stay(address: SocketAddr) -> TcpStream {
    let mut stream = say(address, b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"fine") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    stream
}

/// A route whose handlers answer one by one, and how many are at work.
fn held() -> (Router, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (release, at_work) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (released, working) = (Arc::clone(&release), Arc::clone(&at_work));
    let handler = async move || {
        working.fetch_add(1, Ordering::SeqCst);
        released.acquire().await.unwrap().forget();
        working.fetch_sub(1, Ordering::SeqCst);
        "done"
    };
    (routes().route("/held", get(handler)), release, at_work)
}

const HELD: &[u8] = b"GET /held HTTP/1.1\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn who_keeps_the_server_waiting_makes_room_and_who_waits_for_it_does_not() {
    let (router, release, at_work) = held();
    let server = start(router, 8).await;
    let address = server.local_addr();
    let mut patient = say(address, HELD).await;
    while at_work.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for waiting in [
        "",
        "GET /plain HT",
        "POST /read HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
        "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut peers = Vec::new();
        for _ in 0..7 {
            peers.push(say(address, waiting.as_bytes()).await);
        }
        behave(address).await;
        // It was the first of them that had to go.
        rest_of(&mut peers[0]).await;
        for _ in 0..20 {
            behave(address).await;
        }
    }
    release.add_permits(1);
    assert!(rest_of(&mut patient).await.ends_with("done"));
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn while_all_are_served_others_wait_their_turn() {
    let (router, release, at_work) = held();
    let server = start(router, 2).await;
    let address = server.local_addr();
    let mut peers = JoinSet::new();
    for _ in 0..8 {
        peers.spawn(async move { rest_of(&mut say(address, HELD).await).await });
    }
    for _ in 0..8 {
        while at_work.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(at_work.load(Ordering::SeqCst) <= 2);
        release.add_permits(1);
        assert!(peers.join_next().await.unwrap().unwrap().ends_with("done"));
    }
    server.shutdown(GRACE).await;
}

const CROWD: usize = 10_000;

/// The peers are a process of their own, so that neither half needs more than half the descriptors.
#[tokio::test]
async fn ten_thousand_idle_connections_hold_nobody_up() {
    let files = raise_open_files();
    // The server takes connections for three quarters of them.
    let least = CROWD * 3 / 2;
    assert!(
        files >= least,
        "this test opens {CROWD} connections: raise the hard limit of open files (`ulimit -Hn`, `LimitNOFILE=`, `docker run --ulimit nofile=`) from {files} to {least} or more"
    );
    if let Ok(address) = env::var(ROLE) {
        return be_ten_thousand(address.parse().unwrap()).await;
    }
    let server = start(routes(), ConnectionLimits::default().connections).await;
    let address = server.local_addr();
    let mut peers = Half::start("crowd::ten_thousand_idle_connections_hold_nobody_up", &address.to_string());
    tokio::select! {
        _ = peers.hears("all are there") => {}
        () = async { loop { behave(address).await } } => {}
    }
    for _ in 0..20 {
        behave(address).await;
    }
    peers.say("who is left?").await;
    assert_eq!(peers.hears("left").await, CROWD.to_string());
    server.shutdown(GRACE).await;
    peers.end().await;
}

async fn be_ten_thousand(address: SocketAddr) {
    let mut peers = Vec::new();
    while peers.len() < CROWD {
        let mut coming: JoinSet<_> = (0..100).map(|_| stay(address)).collect();
        while let Some(peer) = coming.join_next().await {
            peers.push(peer.unwrap());
        }
    }
    tell("all are there");
    told().await.unwrap();
    let is_left = |peer: &&TcpStream| {
        peer.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    tell(&format!("left {}", peers.iter().filter(is_left).count()));
    assert_eq!(told().await, None);
}

/// The server is a process of its own, since its limit is a process's.
#[cfg(unix)]
#[tokio::test]
async fn being_out_of_file_descriptors_is_survived() {
    if env::var(ROLE).is_ok() {
        return serve_with_few_files().await;
    }
    let mut server = Half::start("crowd::being_out_of_file_descriptors_is_survived", "server");
    let address = server.hears("at").await.parse().unwrap();
    let mut peers = Vec::new();
    for _ in 0..10 {
        peers.push(stay(address).await);
    }
    server.say("open files until there are none left").await;
    server.hears("there are none left").await;
    for _ in 0..10 {
        behave(address).await;
        peers.push(connect(address).await);
    }
    server.end().await;
}

#[cfg(unix)]
async fn serve_with_few_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
    let server = start(routes(), 1000).await;
    tell(&format!("at {}", server.local_addr()));
    told().await.unwrap();
    let mut files = Vec::new();
    let full = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    tell("there are none left");
    assert_eq!(told().await, None);
    server.shutdown(GRACE).await;
}

/// Says something to the other half. The test harness would keep what `println` prints.
fn tell(what: &str) {
    std::io::stdout().write_all(format!("\n{what}\n").as_bytes()).unwrap();
}

/// Waits for what the other half says; nothing, when it has ended.
async fn told() -> Option<String> {
    tokio::task::spawn_blocking(|| std::io::stdin().lines().next().transpose().unwrap()).await.unwrap()
}

/// This test again, in another process and another role.
struct Half {
    process: Child,
    said: ChildStdin,
    heard: Lines<BufReader<ChildStdout>>,
}

impl Half {
    fn start(test: &str, role: &str) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", test])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = process.stdin.take().unwrap();
        let heard = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, said, heard }
    }

    async fn say(&mut self, what: &str) {
        self.said.write_all(format!("{what}\n").as_bytes()).await.unwrap();
    }

    /// Waits for a line that begins with `what`, and returns the rest of it.
    async fn hears(&mut self, what: &str) -> String {
        let hear = async {
            loop {
                let line = self.heard.next_line().await.unwrap().expect("the other half has ended");
                if let Some(rest) = line.strip_prefix(what) {
                    return rest.trim().to_owned();
                }
            }
        };
        timeout(6 * PATIENCE, hear).await.expect("the other half is silent")
    }

    async fn end(self) {
        let Self { mut process, said, heard } = self;
        drop(said);
        // Its last words have somewhere to go.
        let mut heard = heard.into_inner();
        let mut last = String::new();
        timeout(PATIENCE, heard.read_to_string(&mut last)).await.expect("the other half goes on").unwrap();
        assert!(process.wait().await.unwrap().success(), "{last}");
    }
}
