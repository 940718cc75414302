//! A gate before both servers, that stops somebody at any of their requests.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use data_encoding::BASE64URL_NOPAD;
use kez_chat_server::Server;
use kez_testbed::{Testbed, http};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::front::{address_of, move_home, read_request, tell};

/// When a request is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server never hears of it.
    Before,
    /// The server has done what it asked for, and nobody hears of it.
    After,
    /// It is handed on when the gate is lifted.
    Held,
}

/// Which requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Counted {
    #[default]
    All,
    /// Those that change something at the server.
    Writes,
}

/// Stands at the home's address and before the sigchain server. Dropping it closes both.
///
/// By the home's clock an hour passes whenever it is asked, so that nothing that is signed twice is the same by chance.
pub(crate) struct Gate {
    real: Server,
    service: Arc<Service>,
    _doors: JoinSet<()>,
}

struct Service {
    state: Mutex<State>,
    reached: watch::Sender<bool>,
    lifted: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    counted: Counted,
    seen: usize,
    hours: u64,
    stop: Option<(usize, Moment)>,
    /// What was signed for each place of each chain, whether the server heard of it or not.
    signed: HashMap<(String, u64), String>,
}

impl Gate {
    pub(crate) async fn before(testbed: &mut Testbed) -> Self {
        let before_sig = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let sig_url = format!("http://{}", before_sig.local_addr().unwrap());
        let sig = testbed.sig_url().strip_prefix("http://").unwrap().parse().unwrap();
        let address = address_of(testbed);
        let real = move_home(testbed, |settings| settings.sig_url = sig_url).await;
        let before_home = TcpListener::bind(address).await.unwrap();
        let service = Arc::new(Service {
            state: Mutex::default(),
            reached: watch::Sender::new(false),
            lifted: watch::Sender::new(true),
        });
        let mut doors = JoinSet::new();
        doors.spawn(open(before_sig, sig, Arc::clone(&service)));
        doors.spawn(open(before_home, real.local_addr(), Arc::clone(&service)));
        Self { real, service, _doors: doors }
    }

    /// Counts requests from now on, and stops the one that is named: counted from 1, it gets no answer.
    pub(crate) fn stop_at(&self, request: usize, moment: Moment) {
        self.stop_at_counted(Counted::All, request, moment);
    }

    /// Counts some requests from now on, and stops the one that is named.
    pub(crate) fn stop_at_counted(&self, counted: Counted, request: usize, moment: Moment) {
        let mut state = self.service.state.lock().unwrap();
        (state.counted, state.seen, state.stop) = (counted, 0, Some((request, moment)));
        self.service.reached.send_replace(false);
        self.service.lifted.send_replace(false);
    }

    /// Lets everything through again.
    pub(crate) fn lift(&self) {
        self.service.state.lock().unwrap().stop = None;
        self.service.lifted.send_replace(true);
    }

    /// Waits until somebody stands before the closed gate.
    pub(crate) async fn reached(&self) {
        self.service.reached.subscribe().wait_for(|reached| *reached).await.unwrap();
    }

    /// Stops the home that was moved, so that the testbed can end in order.
    pub(crate) async fn shutdown(self) {
        self.real.shutdown().await;
    }
}

async fn open(listener: TcpListener, server: SocketAddr, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = Arc::clone(&service);
        connections.spawn(async move { service.pass(stream, server).await });
    }
}

impl Service {
    /// Hands one request on, or stops it.
    async fn pass(&self, mut stream: TcpStream, server: SocketAddr) -> Option<()> {
        let request = read_request(&mut stream).await?;
        let stop = {
            let mut state = self.state.lock().unwrap();
            let counts = state.counted == Counted::All || request.starts_with(b"POST ");
            state.seen += usize::from(counts);
            state.note_event(&request);
            state.stop.filter(|(number, _)| counts && *number == state.seen).map(|(_, moment)| moment)
        };
        match stop {
            Some(Moment::Before) => return self.hold(stream).await,
            Some(Moment::Held) => {
                self.reached.send_replace(true);
                self.lifted.subscribe().wait_for(|lifted| *lifted).await.ok()?;
            }
            Some(Moment::After) | None => {}
        }
        let mut answer = http::Connection::open(server).await.ok()?.ask(&request).await.ok()?;
        if request.starts_with(b"GET /v1/info ") {
            answer.body = self.state.lock().unwrap().an_hour_later(&answer.body);
        }
        match stop {
            Some(Moment::After) => self.hold(stream).await,
            _ => tell(stream, &answer).await,
        }
    }

    /// Says that somebody waits, and lets them wait until they hang up.
    async fn hold(&self, mut stream: TcpStream) -> Option<()> {
        self.reached.send_replace(true);
        stream.read(&mut [0]).await.ok().map(drop)
    }
}

impl State {
    fn an_hour_later(&mut self, info: &[u8]) -> Vec<u8> {
        let mut info: Value = serde_json::from_slice(info).unwrap();
        self.hours += 1;
        info["now_ms"] = (info["now_ms"].as_u64().unwrap() + self.hours * 3_600_000).into();
        info.to_string().into_bytes()
    }

    /// Checks that nobody signs two events for one place: shown to anybody, that is a fork for good.
    fn note_event(&mut self, request: &[u8]) {
        let text = std::str::from_utf8(request).unwrap();
        let Some(path) = text.strip_prefix("POST ").and_then(|rest| rest.split_once("/events ")) else { return };
        let jws = text.split_once("\r\n\r\n").unwrap().1;
        let (input, _) = jws.rsplit_once('.').unwrap();
        let payload = BASE64URL_NOPAD.decode(input.split_once('.').unwrap().1.as_bytes()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let place = (path.0.to_owned(), payload["seq"].as_u64().unwrap());
        let first = self.signed.entry(place).or_insert_with(|| input.to_owned());
        assert_eq!(first, input, "two events were signed for one place");
    }
}
