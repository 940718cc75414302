//! A stand-in at the home's address, for what the real home can't be made to say of itself.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use kez_chat_sdk::handle::Policy;
use kez_chat_server::{Server, Settings};
use kez_service::rate::Rate;
use kez_testbed::{Testbed, http};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::people::PATIENCE;

const INFO: &str = "/v1/info";

/// Answers at the home's address in its place. Dropping it closes that address.
pub(crate) struct Front {
    real: Option<Server>,
    asked: watch::Receiver<usize>,
    service: Arc<Service>,
    task: JoinHandle<()>,
}

/// Changes an info before it is told; the first is number 1.
type Alter = dyn FnMut(usize, &mut Value) + Send;

/// Where answers come from.
#[derive(Clone)]
enum Source {
    /// The real home, which has moved to another address.
    Home(SocketAddr),
    /// What the home said of itself before it was stopped. There is nothing else then.
    Record(Arc<Value>),
}

struct Service {
    source: Source,
    alter: Mutex<Box<Alter>>,
    asked: watch::Sender<usize>,
    /// The first line of each request.
    heard: Mutex<Vec<String>>,
}

impl Front {
    /// Moves the home to another address and hands on what it says, its info altered.
    pub(crate) async fn before(testbed: &mut Testbed, alter: impl FnMut(usize, &mut Value) + Send + 'static) -> Self {
        Self::before_another(testbed, |_| (), alter).await
    }

    /// Does so with a home that has other settings.
    pub(crate) async fn before_another(
        testbed: &mut Testbed,
        change: impl FnOnce(&mut Settings),
        alter: impl FnMut(usize, &mut Value) + Send + 'static,
    ) -> Self {
        let address = address_of(testbed);
        let real = move_home(testbed, change).await;
        let source = Source::Home(real.local_addr());
        Self::start(address, source, Some(real), Box::new(alter)).await
    }

    /// Stops the home and goes on telling its info, altered. Nobody answers logins any more.
    pub(crate) async fn instead(testbed: &mut Testbed, alter: impl FnMut(usize, &mut Value) + Send + 'static) -> Self {
        let address = address_of(testbed);
        let mut home = http::Connection::open(address).await.unwrap();
        let info = serde_json::from_slice(&home.ask(&http::get(INFO)).await.unwrap().body).unwrap();
        drop(home);
        testbed.stop_chat_server().await;
        Self::start(address, Source::Record(Arc::new(info)), None, Box::new(alter)).await
    }

    async fn start(address: SocketAddr, source: Source, real: Option<Server>, alter: Box<Alter>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (sender, asked) = watch::channel(0);
        let service = Arc::new(Service { source, alter: Mutex::new(alter), asked: sender, heard: Mutex::default() });
        let serving = Arc::clone(&service);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = Arc::clone(&serving);
                tokio::spawn(async move { service.answer(stream).await });
            }
        });
        Self { real, asked, service, task }
    }

    /// Tells how often the info was asked for.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Tells how many requests were for paths that begin so.
    pub(crate) fn heard(&self, path: &str) -> usize {
        let begin = format!("GET {path}");
        self.service.heard.lock().unwrap().iter().filter(|line| line.starts_with(&begin)).count()
    }

    /// Waits until the info was asked for at least so often.
    pub(crate) async fn until_asked(&self, times: usize) {
        let mut asked = self.asked.clone();
        tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked >= times)).await.expect("nobody asked").unwrap();
    }

    /// Stops the home that was moved, so that the testbed can end in order. The address is free again afterwards.
    pub(crate) async fn shutdown(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        if let Some(real) = self.real.take() {
            real.shutdown().await;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    /// Answers one request and closes the connection.
    async fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let request = read_request(&mut stream).await?;
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        self.heard.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
        let is_info = request.starts_with(format!("GET {INFO} ").as_bytes());
        let mut answer = match &self.source {
            Source::Home(address) => http::Connection::open(*address).await.ok()?.ask(&request).await.ok()?,
            Source::Record(info) if is_info => {
                let mut info = Value::clone(info);
                info["now_ms"] = now_ms().into();
                http::Answer { status: 200, body: info.to_string().into_bytes() }
            }
            Source::Record(_) => http::Answer { status: 503, body: Vec::new() },
        };
        if is_info {
            let mut info = serde_json::from_slice(&answer.body).ok()?;
            let mut alter = self.alter.lock().unwrap();
            self.asked.send_modify(|asked| *asked += 1);
            alter(*self.asked.borrow(), &mut info);
            answer.body = info.to_string().into_bytes();
        }
        tell(stream, &answer).await
    }
}

/// Moves the home to another address, under its old name and with other settings.
pub(crate) async fn move_home(testbed: &mut Testbed, change: impl FnOnce(&mut Settings)) -> Server {
    testbed.stop_chat_server().await;
    let mut settings = Settings::new(
        (Ipv4Addr::LOCALHOST, 0).into(),
        testbed.nats_url(),
        testbed.sig_url(),
        testbed.folder().join("registry.db"),
        testbed.secret().clone(),
    );
    settings.domain = Some(testbed.domain().clone());
    settings.policy = Policy::Development;
    settings.register_rate = Rate::OFF;
    settings.lookup_rate = Rate::OFF;
    change(&mut settings);
    Server::bind(settings).await.unwrap()
}

/// Gives an answer and closes the connection.
pub(crate) async fn tell(mut stream: TcpStream, answer: &http::Answer) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.status,
        answer.body.len()
    );
    stream.write_all(&[head.as_bytes(), &answer.body].concat()).await.ok()?;
    stream.shutdown().await.ok()
}

/// Reads a request with all of its body.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let body = length.map_or(Some(0), |length| length.trim().parse::<usize>().ok())?;
            if bytes.len() >= end + 4 + body {
                return Some(bytes);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Stops the home and starts one with other settings, at its address.
pub(crate) async fn home_with(testbed: &mut Testbed, change: impl FnOnce(&mut Settings)) -> Server {
    let address = address_of(testbed);
    move_home(testbed, |settings| {
        settings.bind = address;
        change(settings);
    })
    .await
}

pub(crate) fn address_of(testbed: &Testbed) -> SocketAddr {
    let port = testbed.home_url().rsplit_once(':').unwrap().1.parse().unwrap();
    (Ipv4Addr::LOCALHOST, port).into()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}
