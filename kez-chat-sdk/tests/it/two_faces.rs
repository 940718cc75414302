//! A sigchain server that shows another history than it has to whoever is sent to it.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use kez_chat_sdk::{identity::PrimaryKey, sigchain::Chain};
use kez_testbed::{Testbed, http};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    chains::path,
    front::{read_request, tell},
    people::PATIENCE,
};

/// Stands before the sigchain server. Dropping it closes its address.
pub(crate) struct TwoFaces {
    url: String,
    service: Arc<Service>,
    task: JoinHandle<()>,
}

struct Service {
    real: SocketAddr,
    /// The events of the chains that are shown differently, by path.
    shown: Mutex<HashMap<String, Vec<String>>>,
    /// How often each chain was read, by path.
    read: watch::Sender<HashMap<String, usize>>,
}

impl TwoFaces {
    pub(crate) async fn before(testbed: &Testbed) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let real = testbed.sig_url().strip_prefix("http://").unwrap().parse().unwrap();
        let service = Arc::new(Service { real, shown: Mutex::default(), read: watch::Sender::default() });
        let serving = Arc::clone(&service);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let service = Arc::clone(&serving);
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await?;
                    tell(stream, &service.answer(&request).await?).await
                });
            }
        });
        Self { url, service, task }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Shows this history of its owner from now on, and takes nothing that does not belong to it.
    pub(crate) fn show(&self, chain: &Chain) {
        let events = chain.events().iter().map(|event| event.jws().to_owned()).collect();
        self.service.shown.lock().unwrap().insert(path(chain.primary()), events);
    }

    pub(crate) fn show_the_truth(&self) {
        self.service.shown.lock().unwrap().clear();
    }

    /// Tells how often somebody's chain was read.
    pub(crate) fn reads(&self, owner: &PrimaryKey) -> usize {
        self.service.read.borrow().get(&path(owner)).copied().unwrap_or_default()
    }

    /// Waits until somebody's chain was read more often than that.
    pub(crate) async fn until_read(&self, owner: &PrimaryKey, before: usize) {
        let mut read = self.service.read.subscribe();
        let more = read.wait_for(|read| read.get(&path(owner)).is_some_and(|times| *times > before));
        tokio::time::timeout(PATIENCE, more).await.expect("nobody read it").unwrap();
    }
}

impl Drop for TwoFaces {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    async fn answer(&self, request: &[u8]) -> Option<http::Answer> {
        let line = std::str::from_utf8(request).ok()?.lines().next()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if method == "GET" {
            self.read.send_modify(|read| *read.entry(path.to_owned()).or_default() += 1);
        }
        let shown = self.shown.lock().unwrap().get(path.strip_suffix("/events").unwrap_or(path)).cloned();
        match shown {
            None => http::Connection::open(self.real).await.ok()?.ask(request).await.ok(),
            Some(_) if method == "POST" => Some(http::Answer { status: 409, body: b"{}".to_vec() }),
            Some(events) => {
                let number = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.parse().ok());
                let (after, limit) = (number("after=").unwrap_or(0), number("limit=").unwrap_or(1_000));
                let page: Vec<&String> = events.iter().skip(after).take(limit).collect();
                let body = json!({ "events": page, "seq": events.len(), "head": "" }).to_string().into_bytes();
                Some(http::Answer { status: 200, body })
            }
        }
    }
}
