//! The sigchain server as this home asks it: bounded in time and bytes, and left in peace while it is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kez_core::identity::PrimaryKey;
use reqwest::header::IF_NONE_MATCH;
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::Instant;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From connecting to an answer's last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// For how long the last answer, or its absence, tells whether the server is there.
const BELIEVED: Duration = Duration::from_secs(5);
/// After so many failures in a row, it is asked less and less often.
const FAILURES: u32 = 3;
const FIRST_REST: Duration = Duration::from_secs(1);
const LAST_REST: Duration = Duration::from_secs(30);

/// An HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigchainClientError {
    /// The machine's certificates can't be used.
    #[error("no certificates of this machine can be used, which an https SIG_SERVER_URL needs; install them")]
    Certificates(#[from] rustls::Error),
    /// The HTTP library refused its settings.
    #[error("the HTTP client for the sigchain server could not be made")]
    Http(#[from] reqwest::Error),
}

/// What came instead of a page.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("the sigchain server does not answer")]
    Request(#[from] reqwest::Error),
    #[error("the sigchain server answered {0}")]
    Status(StatusCode),
    #[error("the chain is longer than a hint is worth")]
    TooLong,
}

impl AnswerError {
    pub(super) fn is_servers_fault(&self) -> bool {
        !matches!(self, Self::TooLong)
    }
}

/// An answer to a request for a part of a chain.
pub(super) enum Answer {
    Page(Vec<u8>),
    /// The chain is as the caller knows it.
    NotModified,
}

/// Leave to dial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dial {
    Normal,
    /// The one attempt that finds out whether the server is back.
    Probe,
}

/// The sigchain server, and what is known of its being there.
pub(crate) struct Sigchains {
    client: Client,
    base: String,
    seen: Mutex<Seen>,
    probing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Failures in a row.
    failures: u32,
    /// It is not dialled before.
    rests_until: Option<Instant>,
    /// When something was last heard, or not heard, of it.
    last: Option<(Instant, bool)>,
}

impl Sigchains {
    /// Prepares to ask the server at a base URL without trailing `/`. Nothing is dialled yet.
    ///
    /// Proxies named in the environment are not used: it is the operator's own server.
    pub(crate) fn new(base: String) -> Result<Self, SigchainClientError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        // On a machine without certificates, plain HTTP still works.
        let tls = if base.starts_with("https:") {
            tls.with_platform_verifier()?
        } else {
            tls.with_root_certificates(RootCertStore::empty())
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls.with_no_client_auth())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("kez-chat-server/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base, seen: Mutex::default(), probing: tokio::sync::Mutex::default() })
    }

    /// Asks for the events after a place, if the chain is not the one that `tag` stands for.
    pub(super) async fn page(
        &self,
        owner: &PrimaryKey,
        after: u64,
        tag: Option<&str>,
        max_bytes: usize,
    ) -> Result<Answer, AnswerError> {
        let url = format!("{}/v1/sigchains/ed25519/{}?after={after}&limit=1000", self.base, owner.to_hex());
        let mut request = self.client.get(url);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => Ok(Answer::Page(read(response, max_bytes).await?)),
            StatusCode::NOT_MODIFIED if tag.is_some() => Ok(Answer::NotModified),
            status => Err(AnswerError::Status(status)),
        }
    }

    /// Tells whether the server is there, by what was last heard of it or by asking.
    pub(crate) async fn answers(&self) -> bool {
        if let Some(answers) = self.evidence() {
            return answers;
        }
        let _one_at_a_time = self.probing.lock().await;
        if let Some(answers) = self.evidence() {
            return answers;
        }
        let asked = self.client.get(format!("{}/v1/healthz", self.base)).timeout(HEALTH_TIMEOUT).send().await;
        let answers = asked.is_ok_and(|response| response.status() == StatusCode::OK);
        self.note(answers);
        answers
    }

    /// Asks for leave to dial: `None` while the server is left in peace.
    pub(super) fn may_dial(&self) -> Option<Dial> {
        self.seen().may_dial(Instant::now())
    }

    pub(super) fn is_resting(&self) -> bool {
        self.seen().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Takes note of whether the server did its work.
    pub(super) fn note(&self, answered: bool) {
        self.seen().note(answered, Instant::now());
    }

    /// Leaves the server in peace for a moment, since it said that it is asked too often.
    pub(super) fn rest(&self) {
        let now = Instant::now();
        *self.seen() = Seen { failures: 0, rests_until: Some(now + FIRST_REST), last: Some((now, true)) };
    }

    fn evidence(&self) -> Option<bool> {
        self.seen().last.filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, answers)| answers)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn may_dial(&mut self, now: Instant) -> Option<Dial> {
        match self.rests_until {
            None => Some(Dial::Normal),
            Some(until) if now < until => None,
            Some(_) => {
                // Whatever becomes of this attempt, the next one has to wait for it.
                self.rests_until = Some(now + REQUEST_TIMEOUT);
                Some(Dial::Probe)
            }
        }
    }

    fn note(&mut self, answered: bool, now: Instant) {
        self.last = Some((now, answered));
        if answered {
            self.failures = 0;
            self.rests_until = None;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(beyond) = self.failures.checked_sub(FAILURES) {
            let rest = FIRST_REST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
            self.rests_until = Some(now + rest.min(LAST_REST));
        }
    }
}

async fn read(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, AnswerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > max_bytes {
            return Err(AnswerError::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_dialled_less_and_less() {
        let start = Instant::now();
        let mut seen = Seen::default();
        for _ in 1..FAILURES {
            assert_eq!(seen.may_dial(start), Some(Dial::Normal));
            seen.note(false, start);
        }
        assert_eq!(seen.may_dial(start), Some(Dial::Normal));
        let mut now = start;
        for rest_s in [1, 2, 4, 8, 16, 30, 30] {
            seen.note(false, now);
            let rest = Duration::from_secs(rest_s);
            assert_eq!(seen.may_dial(now + rest - Duration::from_millis(1)), None, "{rest_s}");
            now += rest;
            assert_eq!(seen.may_dial(now), Some(Dial::Probe), "{rest_s}");
            assert_eq!(seen.may_dial(now), None, "one finds out for all");
        }
        seen.note(true, now);
        assert_eq!(seen.may_dial(now), Some(Dial::Normal));
        assert_eq!(seen.failures, 0);
    }

    #[test]
    fn a_rest_never_overflows() {
        let mut seen = Seen { failures: u32::MAX - 1, ..Seen::default() };
        let now = Instant::now();
        seen.note(false, now);
        seen.note(false, now);
        assert_eq!(seen.rests_until, Some(now + LAST_REST));
    }
}
