//! People who sign events.

use std::{collections::BTreeSet, net::SocketAddr, sync::Mutex};

use anyhow::{Context as _, Result};
use kez_core::{
    handle::{Handle, Policy},
    identity::{PrimaryKey, SecretKey},
    sigchain::{Chain, Op, Progress, Timestamp},
};
use kez_testbed::{http, processes::Processes};
use rand::{RngExt as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::{
    line::Line,
    work::{Tally, Work, lock},
};

/// How long a chain grows before its writer begins another; a page holds more.
const EVENTS_A_CHAIN: usize = 200;
/// Of the chains that were checked before, how many are looked at again after each kill.
const LOOKED_AT_AGAIN: usize = 2;

/// A chain as far as it was acknowledged.
#[derive(Clone)]
pub(super) struct Acknowledged {
    primary: PrimaryKey,
    events: Vec<String>,
}

/// All chains, in the order in which they were begun.
pub(super) struct Chains<'a> {
    chains: Mutex<Vec<Acknowledged>>,
    /// Those that have grown since they were checked.
    grown: Mutex<BTreeSet<usize>>,
    tally: &'a Tally,
}

/// A page of a chain, as the server shows it.
#[derive(Deserialize)]
struct Page {
    events: Vec<String>,
    seq: u64,
    head: String,
}

impl<'a> Chains<'a> {
    pub(super) fn new(tally: &'a Tally) -> Self {
        let (chains, grown) = Default::default();
        Self { chains, grown, tally }
    }

    /// Walks a chain as a reader would.
    fn walk(&self, primary: PrimaryKey, page: &Page) {
        let mut chain = Chain::new(primary, Policy::Development);
        match chain.walk().take(&page.events, page.seq) {
            Ok(Progress::Done) => {}
            Ok(Progress::More | Progress::Stalled) => self.breaks(&primary, "the server tells of more than it shows"),
            Err(error) => self.breaks(&primary, &error.to_string()),
        }
        let head = chain.tip().head().map(|head| head.to_string()).unwrap_or_default();
        if head != page.head {
            self.breaks(&primary, &format!("its head is {head}, and the server says {}", page.head));
        }
    }

    /// Appends an event, and its place has to be the one that it was signed for.
    async fn append(
        &self,
        line: &mut Line,
        place: usize,
        primary: &PrimaryKey,
        seq: u64,
        head: &str,
        jws: &str,
    ) -> Result<()> {
        let path = format!("/v1/sigchains/ed25519/{}/events", primary.to_hex());
        let request = http::post(&path, "application/jose", jws.as_bytes());
        let stands = async |line: &mut Line| self.stands(line, place, jws).await;
        let what = format!("event {seq} of {primary}");
        let Some(answer) = self.tally.insist(&what, line, &request, stands).await? else { return Ok(()) };
        let said: serde_json::Value = serde_json::from_slice(&answer.body).context("an answer is no JSON")?;
        if said != json!({ "seq": seq, "head": head }) {
            self.breaks(primary, &format!("{what} was acknowledged as {said}"));
        }
        self.tally.appended();
        if let Some(chain) = lock(&self.chains).get_mut(place) {
            chain.events.push(jws.to_owned());
        }
        lock(&self.grown).insert(place);
        Ok(())
    }

    /// Tells whether an event stands right behind those that were acknowledged; nothing else may.
    async fn stands(&self, line: &mut Line, place: usize, jws: &str) -> Result<bool> {
        let acknowledged = lock(&self.chains).get(place).cloned().context("there is no such chain")?;
        let page = self.page(line, &acknowledged.primary).await?;
        match page.events.strip_prefix(acknowledged.events.as_slice()) {
            Some([]) => Ok(false),
            Some([one]) if one == jws => Ok(true),
            Some(_) => {
                self.breaks(&acknowledged.primary, "something stands there that nobody sent");
                Ok(false)
            }
            None => {
                self.breaks(&acknowledged.primary, "not every acknowledged event is in its place");
                Ok(false)
            }
        }
    }

    /// Reads a chain that has to begin with what was acknowledged.
    async fn acknowledged(&self, line: &mut Line, acknowledged: &Acknowledged) -> Result<Page> {
        let page = self.page(line, &acknowledged.primary).await?;
        if !page.events.starts_with(&acknowledged.events) {
            self.breaks(&acknowledged.primary, "not every acknowledged event is in its place");
        }
        Ok(page)
    }

    async fn page(&self, line: &mut Line, primary: &PrimaryKey) -> Result<Page> {
        let path = format!("/v1/sigchains/ed25519/{}?limit=1000", primary.to_hex());
        let answer = line.ask_until_answered(&http::get(&path)).await?;
        let page: Page = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{} is no page: {}", answer.status, String::from_utf8_lossy(&answer.body)))?;
        if page.seq != page.events.len() as u64 {
            self.breaks(primary, &format!("{} events are there of {}", page.events.len(), page.seq));
        }
        Ok(page)
    }

    fn breaks(&self, primary: &PrimaryKey, what: &str) {
        self.tally.breaks(format!("chain of {primary}: {what}"));
    }
}

impl Work for Chains<'_> {
    const WRITERS: usize = 16;
    type Promised = Vec<Acknowledged>;

    async fn write(&self, mut line: Line, mut rng: StdRng, end: watch::Receiver<bool>) -> Result<()> {
        loop {
            let key = SecretKey::generate(&mut rng);
            let place = {
                let mut chains = lock(&self.chains);
                chains.push(Acknowledged { primary: key.primary(), events: Vec::new() });
                chains.len() - 1
            };
            let mut chain = Chain::new(key.primary(), Policy::Development);
            for count in 0..EVENTS_A_CHAIN {
                if *end.borrow() || !self.tally.broken().is_empty() {
                    return Ok(());
                }
                let handle = format!("person{count}@{}", Processes::HOME);
                let op = Op::SetHandle(Some(Handle::from_qualified(&handle, Policy::Development)?));
                let event = chain.sign_next(&key, op, &Timestamp::from_unix_ms(count as u64))?;
                let (seq, head, jws) = (event.seq(), event.head().to_string(), event.jws());
                self.append(&mut line, place, &key.primary(), seq, &head, jws).await?;
            }
        }
    }

    fn promised(&self) -> Vec<Acknowledged> {
        let chains = lock(&self.chains);
        let mut places = std::mem::take(&mut *lock(&self.grown));
        places.extend((0..LOOKED_AT_AGAIN).map(|_| rand::rng().random_range(0..chains.len().max(1))));
        places.iter().filter_map(|place| chains.get(*place).cloned()).collect()
    }

    async fn check(&self, line: &mut Line, promised: Vec<Acknowledged>) -> Result<()> {
        for acknowledged in &promised {
            self.acknowledged(line, acknowledged).await?;
        }
        Ok(())
    }

    fn everything(&self) -> Vec<Acknowledged> {
        lock(&self.chains).clone()
    }

    async fn check_copy(&self, server: SocketAddr, everything: Vec<Acknowledged>) -> Result<()> {
        let mut line = Line::to(server);
        for acknowledged in &everything {
            let page = self.acknowledged(&mut line, acknowledged).await?;
            self.walk(acknowledged.primary, &page);
        }
        Ok(())
    }
}
