//! One chain, fetched and walked for what it says of its owner's endpoints.

use kez_core::handle::Policy;
use kez_core::identity::KeyError;
use kez_core::sigchain::{Chain, ChainError, Pin, Progress};
use reqwest::StatusCode;
use serde::Deserialize;

use super::op::EndpointOp;
use super::sigchains::{Answer, AnswerError, Sigchains};
use crate::registry::StoredKey;

/// The most bytes that one fetch reads. Some 7,000 events; a hint is not worth more.
const MAX_BYTES: usize = 4 << 20;
/// The most pages. A page of a kez-sig-server ends at 1,000 events or 256 KiB, so it is the bytes that end a true chain.
const MAX_PAGES: usize = 32;
/// The events of a chain that is read again from its start each time it changed; a longer one is read on.
const SHORT_CHAIN: u64 = 64;
/// The most bytes of a pin that is kept.
const MAX_PIN_BYTES: usize = 4096;

/// Why a chain gave no hint.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the registry holds a key that is none; restore a backup")]
    Key(#[from] KeyError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("the sigchain server took too long over a chain")]
    Slow,
    #[error("the sigchain server's page is not understood")]
    Page(#[from] serde_json::Error),
    #[error("the sigchain server's pages do not lead to the chain's end")]
    Stalled,
    #[error("the chain is not sound")]
    Unsound(#[from] ChainError),
    #[error("the chain has more than {MAX_PAGES} pages")]
    ManyPages,
    #[error("the process is stopping")]
    Stopping,
}

impl FetchError {
    /// Tells whether the server did not do its work. Otherwise the chain is as its owner made it.
    pub(super) fn is_servers_fault(&self) -> bool {
        match self {
            Self::Answer(error) => error.is_servers_fault(),
            Self::Slow | Self::Page(_) | Self::Stalled => true,
            Self::Key(_) | Self::Unsound(_) | Self::ManyPages | Self::Stopping => false,
        }
    }

    /// Tells whether the server is there, and wants to be asked less.
    pub(super) fn asks_for_rest(&self) -> bool {
        matches!(self, Self::Answer(AnswerError::Status(StatusCode::TOO_MANY_REQUESTS)))
    }
}

/// What a chain says.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) endpoints: Vec<EndpointOp>,
    pub(super) validators: Validators,
}

/// What spares the next fetch some of its work.
#[derive(Clone, Debug, Default)]
pub(super) struct Validators {
    /// The `ETag` of the chain as it was walked.
    tag: Option<String>,
    /// Where a long walk ended.
    pin: Option<Box<Pin>>,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<String>,
    seq: u64,
}

/// Fetches a chain to its end and verifies all of it; `None` if it has not changed.
pub(super) async fn fetch(
    sigchains: &Sigchains,
    owner: StoredKey,
    policy: Policy,
    Validators { mut tag, pin }: Validators,
) -> Result<Option<Known>, FetchError> {
    let owner = owner.to_primary()?;
    let mut chain = match pin {
        Some(pin) => Chain::resume(*pin),
        None => Chain::new(owner, policy),
    };
    let mut after = chain.walk().after();
    let mut left = MAX_BYTES;
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let Answer::Page(bytes) = sigchains.page(&owner, after, tag.take().as_deref(), left).await? else {
            return Ok(None);
        };
        left -= bytes.len();
        let page: Page = serde_json::from_slice(&bytes)?;
        after = after.saturating_add(page.events.len() as u64);
        let is_last = page.events.is_empty() || after >= page.seq;
        pages.push(page);
        if is_last {
            break;
        }
        if pages.len() == MAX_PAGES {
            return Err(FetchError::ManyPages);
        }
    }
    // Verifying a long chain takes a good part of a second.
    let walked = tokio::task::spawn_blocking(move || walk(chain, &pages)).await;
    walked.map_err(|_| FetchError::Stopping)?.map(Some)
}

fn walk(mut chain: Chain, pages: &[Page]) -> Result<Known, FetchError> {
    let mut walk = chain.walk();
    let mut progress = Progress::Stalled;
    for page in pages {
        progress = walk.take(&page.events, page.seq).map_err(|stopped| stopped.error)?;
    }
    if progress != Progress::Done {
        return Err(FetchError::Stalled);
    }
    let tip = chain.tip();
    let tag = format!("\"{}\"", tip.head().map(|head| head.to_string()).unwrap_or_default());
    let pin = if tip.seq() > SHORT_CHAIN { chain.pin() } else { None };
    let pin = pin.filter(|pin| pin.to_bytes().len() <= MAX_PIN_BYTES).map(Box::new);
    Ok(Known {
        endpoints: EndpointOp::in_force(chain.primary(), chain.state()),
        validators: Validators { tag: Some(tag), pin },
    })
}
