//! Who is connected, and ending somebody's live connections, as the broker's SYS user.
//!
//! A login lasts for hours, and nothing else ends it earlier: the broker asks the callout only when somebody connects.

use std::cmp::Reverse;
use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectErrorKind, PublishError, Request, RequestError, ServerAddr, StatusCode, SubscribeError,
};
use futures::StreamExt as _;
use futures::stream::{self, TryStreamExt as _};
use kez_core::identity::PrimaryKey;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connect::connect;
use crate::secret::ServerSecret;

const FIND: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// The longest wait for the cluster's answers; how many servers there are, nobody can tell.
const ANSWERS: Duration = Duration::from_secs(2);
/// After the first answer, another one that does not come within this time does not come.
const QUIET: Duration = Duration::from_millis(300);
/// Connections that one server names at a time: an answer of some 80 KB.
const PAGE: u32 = 128;
/// How often connections are looked for and kicked, before somebody else has to try again later.
const ROUNDS: u32 = 64;
const KICKED_AT_ONCE: usize = 16;
const KICK: Duration = Duration::from_secs(2);
/// How long a refusal of the SYS user is believed.
const REFUSED: Duration = Duration::from_secs(5);

/// Why somebody may still be connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KickError {
    /// The broker knows no such user. Only nats.conf can mend it.
    #[error("the broker refuses this server's SYS user; nobody can be disconnected before their login ends")]
    NoSysUser,
    /// The broker can't be reached as the SYS user now.
    #[error("the broker can't be reached as the SYS user")]
    Connect(#[source] ConnectError),
    /// The search for connections could not be sent.
    #[error("the broker can't be asked who is connected")]
    Subscribe(#[from] SubscribeError),
    /// The search for connections could not be sent.
    #[error("the broker can't be asked who is connected")]
    Ask(#[from] PublishError),
    /// No server answered, as if this were not the system account.
    #[error("no nats-server says who is connected; is the SYS account the system account, as `nats-conf` prints it?")]
    Silent,
    /// A server does not understand the question.
    #[error("a nats-server refused to say who is connected: {0}")]
    Refused(String),
    /// The answer is not what nats-server 2.10 and newer send.
    #[error("a nats-server's answer about its connections is not understood")]
    Answer(#[from] serde_json::Error),
    /// A server did not confirm a kick.
    #[error("a nats-server did not end a connection")]
    Kick(#[from] RequestError),
    /// There are always new ones.
    #[error("somebody is still connected after {ROUNDS} attempts to end their connections")]
    StillThere,
}

/// A connection on one of the cluster's servers.
#[derive(Debug, Eq, PartialEq)]
struct Found {
    server: String,
    cid: u64,
    /// The nkey that logged in; empty if the server does not tell.
    user: String,
    /// How many bytes came over it.
    sent: u64,
}

/// Disconnects people. It connects when it is first needed, and again after that connection broke.
pub(crate) struct Kicker {
    servers: Vec<ServerAddr>,
    secret: ServerSecret,
    sys: Mutex<Sys>,
}

#[derive(Default)]
struct Sys {
    open: Option<(Client, CancellationToken)>,
    refused_at: Option<Instant>,
    warned: bool,
}

impl Kicker {
    pub(crate) fn new(servers: Vec<ServerAddr>, secret: ServerSecret) -> Self {
        Self { servers, secret, sys: Mutex::default() }
    }

    /// Ends every connection of this user on every server of the cluster, and returns how many there were. Whether they
    /// come back is the callout's to decide: shut them out before.
    pub(crate) async fn kick(&self, user: &PrimaryKey) -> Result<usize, KickError> {
        let client = self.client().await?;
        let mut kicked = 0;
        // Asked again from the start each time: with some gone, the rest stand on other pages.
        for _ in 0..ROUNDS {
            let found = find(&client, &json!({ "user": user.to_nkey(), "auth": true, "limit": PAGE })).await?;
            if found.is_empty() {
                return Ok(kicked);
            }
            kicked += found.len();
            stream::iter(found)
                .map(|found| end(&client, found))
                .buffer_unordered(KICKED_AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        Err(KickError::StillThere)
    }

    /// Returns users whose open connections have sent most, those who sent more before the others; a hundred or so on
    /// each server.
    pub(crate) async fn loudest(&self) -> Result<Vec<PrimaryKey>, KickError> {
        let client = self.client().await?;
        let mut found = find(&client, &json!({ "sort": "bytes_from", "auth": true, "limit": PAGE })).await?;
        found.sort_by_key(|connection| Reverse(connection.sent));
        Ok(found.iter().filter_map(|connection| PrimaryKey::from_nkey(&connection.user).ok()).collect())
    }

    async fn client(&self) -> Result<Client, KickError> {
        let mut sys = self.sys.lock().await;
        if let Some((client, lost)) = &sys.open
            && !lost.is_cancelled()
        {
            return Ok(client.clone());
        }
        if sys.refused_at.is_some_and(|at| at.elapsed() < REFUSED) {
            return Err(KickError::NoSysUser);
        }
        let lost = CancellationToken::new();
        let name = "kez-chat-server kicks";
        match connect(&self.servers, &self.secret, ServerSecret::sys_user, name, lost.clone()).await {
            Ok(client) => {
                *sys = Sys { open: Some((client.clone(), lost)), ..Sys::default() };
                Ok(client)
            }
            Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
                sys.refused_at = Some(Instant::now());
                if !std::mem::replace(&mut sys.warned, true) {
                    tracing::warn!(
                        "the broker refuses this server's SYS user: who leaves or is blocked is disconnected only when \
                         their login ends, within 22 hours; compare nats.conf with `nats-conf`"
                    );
                }
                Err(KickError::NoSysUser)
            }
            Err(error) => Err(KickError::Connect(error)),
        }
    }
}

/// Asks all servers for connections.
async fn find(client: &Client, query: &Value) -> Result<Vec<Found>, KickError> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(FIND, inbox, query.to_string().into()).await?;

    let mut found = Vec::new();
    let mut heard = false;
    let end = Instant::now() + ANSWERS;
    let mut until = end;
    // It ends without an answer when the time is up or the connection is gone.
    while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            break;
        }
        found.extend(read(&answer.payload)?);
        heard = true;
        until = end.min(Instant::now() + QUIET);
    }
    if heard { Ok(found) } else { Err(KickError::Silent) }
}

fn read(payload: &[u8]) -> Result<Vec<Found>, KickError> {
    #[derive(Deserialize)]
    struct Answer {
        server: Server,
        data: Option<Data>,
        error: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Server {
        id: String,
    }
    #[derive(Deserialize)]
    struct Data {
        connections: Vec<Connection>,
    }
    #[derive(Deserialize)]
    struct Connection {
        cid: u64,
        #[serde(default)]
        authorized_user: String,
        #[serde(default)]
        in_bytes: u64,
    }

    let Answer { server, data, error } = serde_json::from_slice(payload)?;
    if let Some(error) = error {
        return Err(KickError::Refused(error.to_string()));
    }
    let connections = data.map(|data| data.connections).unwrap_or_default();
    let found = |Connection { cid, authorized_user: user, in_bytes: sent }| {
        let server = server.id.clone();
        Found { server, cid, user, sent }
    };
    Ok(connections.into_iter().map(found).collect())
}

/// Ends one connection. What the server says does not matter: the next search shows whether it is gone, and it may have
/// ended by itself before.
async fn end(client: &Client, Found { server, cid, .. }: Found) -> Result<(), KickError> {
    let request = Request::new().payload(json!({ "cid": cid }).to_string().into()).timeout(Some(KICK));
    client.send_request(format!("$SYS.REQ.SERVER.{server}.KICK"), request).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_refusals_named() {
        let connections = json!([{ "cid": 5 }, { "cid": 7, "authorized_user": "UA", "in_bytes": 9 }]);
        let one = json!({ "server": { "id": "NA" }, "data": { "total": 2, "connections": connections } });
        let found = read(one.to_string().as_bytes()).unwrap();
        let connection = |cid, user: &str, sent| Found { server: "NA".into(), cid, user: user.into(), sent };
        assert_eq!(found, [connection(5, "", 0), connection(7, "UA", 9)]);
        let none = json!({ "server": { "id": "NA" }, "data": { "connections": [] } });
        assert!(read(none.to_string().as_bytes()).unwrap().is_empty());
        let refused = json!({ "server": { "id": "NA" }, "error": { "code": 400, "description": "no" } });
        assert!(matches!(read(refused.to_string().as_bytes()), Err(KickError::Refused(_))));
        assert!(matches!(read(b"{}"), Err(KickError::Answer(_))));
    }
}
