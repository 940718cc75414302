//! The sigchain server's HTTP interface, and walking a chain over it (`docs/PROTOCOL.md` §4).

use std::time::Duration;

use kez_core::{
    identity::PrimaryKey,
    sigchain::{Chain, ChainError, Event, ForkProof, Head, Progress, Stopped},
};
use serde::Deserialize;
use thiserror::Error;

use super::{Http, NetError, guard::bad_answer};

/// For how long a walk goes on; how much it reads is the core's to limit.
const MAX_WALK_TIME: Duration = Duration::from_secs(300);
/// How many events are asked for at a time: at their longest, what a slow line carries before the request times out.
const PAGE_EVENTS: u64 = 100;

/// Speaks to one sigchain server.
#[derive(Clone, Debug)]
pub(crate) struct SigchainClient {
    http: Http,
    base: String,
}

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    /// The server has the event, now or already.
    Stored,
    /// Another event stands at its place, or its predecessor is missing there.
    Conflict,
}

/// Why a walk ended before the chain's end.
#[derive(Debug, Error)]
pub(crate) enum WalkError {
    /// The server could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The chain is not sound from here on.
    #[error("{source}")]
    Chain {
        /// What is wrong.
        source: ChainError,
        /// For a fork, its proof.
        fork: Option<Box<ForkProof>>,
    },
}

impl From<Stopped> for WalkError {
    fn from(Stopped { error, fork, .. }: Stopped) -> Self {
        Self::Chain { source: error, fork }
    }
}

#[derive(Deserialize)]
struct Page {
    events: Vec<String>,
    seq: u64,
}

impl SigchainClient {
    pub(crate) fn new(http: Http, base: &str) -> Self {
        Self { http, base: base.to_owned() }
    }

    /// Returns the full URL of a person's chain.
    pub(crate) fn chain_url(base: &str, owner: &PrimaryKey) -> String {
        format!("{base}/v1/sigchains/ed25519/{}", owner.to_hex())
    }

    /// Finds the base in the full URL of `owner`'s chain, as a home's profile gives it.
    pub(crate) fn base_of(chain_url: &str, owner: &PrimaryKey) -> Result<String, NetError> {
        let base = chain_url.strip_suffix(&Self::chain_url("", owner)).filter(|base| !base.is_empty());
        base.map(str::to_owned).ok_or_else(|| bad_answer(chain_url, "its sigchain URL is not that of the key"))
    }

    /// Walks on from where `chain` ends, asking for its last event again, so that a forked or shortened history is
    /// noticed. Returns the new sound events, which `chain` holds now, also when the walk ended before the chain's end.
    ///
    /// A server whose chain ends at `known_end` need not show anything: nothing has changed.
    pub(crate) async fn walk(&self, chain: &mut Chain, known_end: Option<Head>) -> (Vec<Event>, Result<(), WalkError>) {
        let known = chain.events().len();
        let outcome = match tokio::time::timeout(MAX_WALK_TIME, self.walk_pages(chain, known_end)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(bad_answer(&self.base, "its chain does not end").into()),
        };
        (chain.events().get(known..).unwrap_or_default().to_vec(), outcome)
    }

    async fn walk_pages(&self, chain: &mut Chain, mut known_end: Option<Head>) -> Result<(), WalkError> {
        let chain_url = Self::chain_url(&self.base, chain.primary());
        let mut walk = chain.walk();
        loop {
            let url = format!("{chain_url}?after={}&limit={PAGE_EVENTS}", walk.after());
            let page: Page = match known_end.take() {
                None => self.http.get(&url).await?,
                Some(head) => match self.http.get_unless(&url, &format!("\"{head}\"")).await? {
                    Some(page) => page,
                    None => return Ok(()),
                },
            };
            let progress = match walk.take(&page.events, page.seq) {
                // No fault of the chain's: it is as if the server had given up, and the next walk goes on.
                Err(Stopped { error: error @ ChainError::WalkTooLong, .. }) => {
                    return Err(bad_answer(&url, error.to_string()).into());
                }
                progress => progress?,
            };
            match progress {
                Progress::More => {}
                Progress::Done => return Ok(()),
                Progress::Stalled => return Err(bad_answer(&url, "a page that leads no further").into()),
            }
        }
    }

    /// Returns what the server shows in one place of a chain, unchecked.
    pub(crate) async fn event_at(&self, owner: &PrimaryKey, seq: u64) -> Result<Option<String>, NetError> {
        let Some(after) = seq.checked_sub(1) else { return Ok(None) };
        let page: Page =
            self.http.get(&format!("{}?after={after}&limit=1", Self::chain_url(&self.base, owner))).await?;
        Ok(page.events.into_iter().next())
    }

    /// Uploads one event of one's own. It must be stored locally before.
    pub(crate) async fn append(&self, owner: &PrimaryKey, jws: &str) -> Result<AppendOutcome, NetError> {
        let url = format!("{}/events", Self::chain_url(&self.base, owner));
        match self.http.post_jws(&url, jws).await {
            Ok(_) => Ok(AppendOutcome::Stored),
            Err(NetError::Refused { status: 409, .. }) => Ok(AppendOutcome::Conflict),
            Err(error) => Err(error),
        }
    }
}
