//! A login of somebody unknown, whose callout is answered here: does the broker ask, sealed, and believe the answer?

use std::future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Auth, Client, ConnectError, ConnectOptions, Message, ServerAddr, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use kez_core::broker::Permissions;
use kez_core::broker::callout::{CalloutRequest, UserGrant, response_jwt, user_jwt};
use kez_core::identity::PrimaryKey;
use kez_service::process::chain_of;
use nkeys::XKey;

use super::Report;
use super::accounts::{self, Probe};
use super::ask::{account_of, misplaced};
use crate::broker::connect::CONNECT_TIMEOUT;
use crate::broker::logins::{SUBJECT, fence, sealed_by};
use crate::clock::Clock;
use crate::nats_conf::USER_ACCOUNT;
use crate::secret::ServerSecret;

/// How long the probe may stay.
const LIFE_S: u64 = 60;
const CLUSTER_TRIES: u32 = 5;
const CLUSTER_DELAY: Duration = Duration::from_millis(200);

/// What came of one attempt.
struct Attempt {
    connected: Result<Client, ConnectError>,
    request: Option<Seen>,
}

/// How the broker asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Sealed,
    Unsealed,
    /// Sealed to another key, so that nobody can tell what it asks.
    Foreign,
}

/// Lets the probe in and says what that showed; returns it if it got in where users belong. `own_account` is where
/// `logins` is.
pub(super) async fn look(
    server: &ServerAddr,
    secret: &ServerSecret,
    logins: &Client,
    own_account: &str,
    report: &mut Report,
) -> Option<Probe> {
    let token = PrimaryKey::from_nkey(&secret.check_probe()).ok()?.to_hex();
    let probing = Probing { server, secret, logins, token: &token };
    let attempt = probing.attempt(USER_ACCOUNT).await;
    let Some(seen) = attempt.request else {
        let text = match &attempt.connected {
            Ok(_) => {
                "the broker lets in whom it does not know, without asking; put the `authorization` of `nats-conf` \
                      into nats.conf"
                    .to_owned()
            }
            Err(error) => format!(
                "an unknown login did not lead to a callout; put the `authorization` of `nats-conf` into nats.conf, \
                 whose `account` has to be {own_account} ({})",
                chain_of(error)
            ),
        };
        report.missing("logins", text);
        report.skipped(&["xkey", "issuer", "users"], "the broker does not ask about logins");
        return None;
    };
    report.ok("logins", format!("the broker asks about them in account {own_account}"));
    match seen {
        Seen::Sealed => report.ok("xkey", "the broker seals what it asks to this server's key"),
        Seen::Unsealed => report.missing(
            "xkey",
            "the broker asks unsealed, and the server answers sealed requests only; put the `xkey` of `nats-conf` into \
             nats.conf",
        ),
        Seen::Foreign => {
            report.missing(
                "xkey",
                "the broker seals what it asks to another key; put the `xkey` of `nats-conf` into nats.conf",
            );
            report.skipped(&["issuer", "users"], "what the broker asks can't be read");
            return None;
        }
    }
    match attempt.connected {
        Ok(client) => {
            report.ok("issuer", "the broker believes this server's answers");
            let account = account_of(&client).await;
            if account.as_deref() != Some(USER_ACCOUNT) {
                report.missing("users", misplaced("who is let in", account.as_deref(), USER_ACCOUNT));
                return None;
            }
            report.ok("users", format!("who is let in is in account {USER_ACCOUNT}"));
            Some(Probe { client, token })
        }
        // An account that is known to be there tells apart who is not believed from what is not there.
        Err(error) => {
            if probing.attempt(own_account).await.connected.is_ok() {
                report.ok("issuer", "the broker believes this server's answers");
                let text = format!(
                    "users can't be put into account {USER_ACCOUNT}; put the `accounts` of `nats-conf` into nats.conf"
                );
                report.missing("users", text);
            } else {
                let text = format!(
                    "the broker does not believe this server's answers; its `issuer` has to be {} ({})",
                    secret.public_keys().issuer,
                    chain_of(&error)
                );
                report.missing("issuer", text);
                report.skipped(&["users"], "the broker lets nobody in");
            }
            None
        }
    }
}

struct Probing<'a> {
    server: &'a ServerAddr,
    secret: &'a ServerSecret,
    logins: &'a Client,
    token: &'a str,
}

impl Probing<'_> {
    /// Logs in, to be put into `account`.
    async fn attempt(&self, account: &str) -> Attempt {
        let nobody_asked = |connected| Attempt { connected, request: None };
        // Not in the server's queue group: it gets what it would get without us, and so do we.
        let subscribed = self.logins.subscribe(SUBJECT).await;
        let (Ok(mut requests), Ok(())) = (subscribed, fence(self.logins).await) else {
            return nobody_asked(self.connect(&Arc::default()).await);
        };
        // In a cluster the subscription takes a moment to reach the other nodes.
        let tries = if self.logins.server_info().cluster.is_some() { CLUSTER_TRIES } else { 1 };
        let mut attempt = self.attempt_once(account, &mut requests).await;
        for _ in 1..tries {
            if attempt.request.is_some() || attempt.connected.is_ok() {
                break;
            }
            tokio::time::sleep(CLUSTER_DELAY).await;
            attempt = self.attempt_once(account, &mut requests).await;
        }
        attempt
    }

    async fn attempt_once(&self, account: &str, requests: &mut Subscriber) -> Attempt {
        let nonce = Arc::new(Mutex::new(Vec::new()));
        let mut connecting = std::pin::pin!(self.connect(&nonce));
        let mut seen = None;
        let connected = loop {
            tokio::select! {
                // Whatever was asked comes before the outcome.
                biased;
                Some(request) = requests.next() => seen = self.answer(&request, &nonce, account).await.or(seen),
                connected = &mut connecting => break connected,
            }
        };
        // A request that led to a refusal may still be under way.
        if seen.is_none() && fence(self.logins).await.is_ok() {
            while let Some(Some(request)) = requests.next().now_or_never() {
                seen = self.answer(&request, &nonce, account).await.or(seen);
            }
        }
        Attempt { connected, request: seen }
    }

    async fn connect(&self, nonce: &Arc<Mutex<Vec<u8>>>) -> Result<Client, ConnectError> {
        let (kept, nkey) = (Arc::clone(nonce), self.secret.check_probe());
        ConnectOptions::with_auth_callback(move |nonce| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = nonce;
            let mut auth = Auth::new();
            auth.nkey = Some(nkey.clone());
            // Nobody checks it: the callout is ours.
            auth.signature = Some(vec![0; 64]);
            future::ready(Ok(auth))
        })
        .name("kez-chat-server check")
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(1)
        .custom_inbox_prefix(format!("_INBOX_{}", self.token))
        .connect(self.server)
        .await
    }

    /// Answers the request about our own connection, and no other.
    async fn answer(&self, message: &Message, nonce: &Mutex<Vec<u8>>, account: &str) -> Option<Seen> {
        let reply = message.reply.clone()?;
        let xkey = self.secret.xkey();
        let sealed_by = sealed_by(message);
        let Some(request) = open(message, &xkey, sealed_by.as_ref()) else {
            return sealed_by.is_some().then_some(Seen::Foreign);
        };
        let nonce = nonce.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if nonce.is_empty() || request.nonce.as_ref().map(String::as_bytes) != Some(&nonce) {
            return None;
        }
        let issuer = self.secret.issuer();
        let now_s = Clock::system().now_ms() / 1000;
        let grant = UserGrant {
            account,
            user_nkey: &request.user_nkey,
            client_nkey: &self.secret.check_probe(),
            permissions: &permissions(self.token),
            issued_at_s: now_s,
            expires_at_s: now_s + LIFE_S,
        };
        let jwt = response_jwt(&issuer, &request, Ok(&user_jwt(&issuer, &grant)), now_s);
        let (answer, seen) = match sealed_by {
            Some(server) => (xkey.seal(jwt.as_bytes(), &server).ok()?, Seen::Sealed),
            None => (jwt.into_bytes(), Seen::Unsealed),
        };
        // An answer that is not sent shows as a refusal.
        let _ = self.logins.publish(reply, answer.into()).await;
        Some(seen)
    }
}

fn open(message: &Message, xkey: &XKey, sealed_by: Option<&XKey>) -> Option<CalloutRequest> {
    let bytes = match sealed_by {
        Some(server) => xkey.open(&message.payload, server).ok()?,
        None => message.payload.to_vec(),
    };
    CalloutRequest::parse(str::from_utf8(&bytes).ok()?).ok()
}

/// What the probe may do: ask where it is, try what users may not, and use what is shared under a name of its own.
fn permissions(token: &str) -> Permissions {
    let mut publish = vec!["$SYS.REQ.USER.INFO".to_owned(), accounts::FORBIDDEN.to_owned()];
    let mut subscribe = vec![format!("_INBOX_{token}.>")];
    for shared in accounts::shared(token) {
        match shared.kind {
            accounts::Kind::Service => publish.push(shared.subject),
            accounts::Kind::Stream => subscribe.push(shared.subject),
        }
    }
    Permissions { publish, subscribe }
}
