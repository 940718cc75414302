//! The transport of the auth callout: requests on `$SYS.REQ.USER.AUTH`, sealed to our curve key.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Request, RequestErrorKind, Subscriber};
use futures::StreamExt as _;
use kez_core::broker::callout::CalloutRequest;
use kez_core::identity::PrimaryKey;
use nkeys::XKey;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::SessionError;
use super::jetstream::JetStream;
use crate::callout::Callout;
use crate::clock::now_ms;

pub(crate) const SUBJECT: &str = "$SYS.REQ.USER.AUTH";
const XKEY_HEADER: &str = "Nats-Server-Xkey";
/// Logins judged at the same time; more wait their turn, so that a rush does not push everything aside.
const AT_ONCE: usize = 256;
/// Logins that wait or are judged; more are not answered.
const AT_MOST: usize = 4096;
/// How long a login waits for its turn. nats-server gives it up after `authorization.timeout`, 2 s: what is judged too
/// late costs as much as a good one and lets nobody in.
const TURN: Duration = Duration::from_secs(1);
const CONFIRM: Duration = Duration::from_secs(5);

/// The subscription to logins.
pub(crate) struct Logins {
    client: Client,
    requests: Subscriber,
    xkey: Arc<XKey>,
    admitted: mpsc::Sender<PrimaryKey>,
}

impl Logins {
    /// Subscribes, and returns when the broker is known to have taken the subscription.
    pub(crate) async fn listen(
        client: Client,
        group: &str,
        xkey: XKey,
        admitted: mpsc::Sender<PrimaryKey>,
    ) -> Result<Self, SessionError> {
        let requests = client.queue_subscribe(SUBJECT, group.to_owned()).await?;
        fence(&client).await?;
        Ok(Self { client, requests, xkey: Arc::new(xkey), admitted })
    }

    /// Answers until told to stop; then what has come in is still answered.
    pub(crate) async fn run(
        mut self,
        callout: &Arc<Callout>,
        js: &JetStream,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let tasks = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut stopping = false;
        loop {
            let message = tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    if self.requests.drain().await.is_err() {
                        break;
                    }
                    continue;
                }
                message = self.requests.next() => message,
            };
            let Some(message) = message else { break };
            if tasks.len() >= AT_MOST {
                callout.turn_away("Overloaded");
                continue;
            }
            let turn = tokio::time::timeout(TURN, Arc::clone(&permits).acquire_owned());
            let (client, xkey, admitted) = (self.client.clone(), Arc::clone(&self.xkey), self.admitted.clone());
            let (callout, js) = (Arc::clone(callout), js.clone());
            tasks.spawn(async move {
                // The semaphore is never closed.
                let Ok(Ok(permit)) = turn.await else {
                    callout.turn_away("Late");
                    return;
                };
                if let Some(user) = answer(&client, &xkey, &callout, &js, message).await {
                    // When it is full, the user's next acknowledgement does the same.
                    let _ = admitted.try_send(user);
                }
                drop(permit);
            });
        }
        tasks.close();
        tasks.wait().await;
        if !stopping {
            return Err(SessionError::Lost);
        }
        if let Err(error) = self.client.flush().await {
            tracing::debug!(%error, "the last answers may not have reached the broker");
        }
        Ok(())
    }
}

/// Waits until the broker has taken what was sent before.
///
/// It works off a connection in order: the answer to a request that nobody serves comes after that. (async-nats' flush
/// only empties our own buffer.)
pub(crate) async fn fence(client: &Client) -> Result<(), SessionError> {
    let request = Request::new().timeout(Some(CONFIRM));
    match client.send_request("kez.fence", request).await {
        Err(error) if error.kind() == RequestErrorKind::TimedOut => Err(SessionError::Unconfirmed(CONFIRM)),
        Err(error) if error.kind() != RequestErrorKind::NoResponders => Err(SessionError::Lost),
        _ => Ok(()),
    }
}

/// Finds the curve key of the nats-server that sealed the request; `None` if it is not sealed.
pub(crate) fn sealed_by(request: &Message) -> Option<XKey> {
    let server = request.headers.as_ref()?.get(XKEY_HEADER)?;
    XKey::from_public_key(server.as_str()).ok()
}

async fn answer(
    client: &Client,
    xkey: &XKey,
    callout: &Callout,
    js: &JetStream,
    message: Message,
) -> Option<PrimaryKey> {
    let reply = message.reply.clone()?;
    let Some(server) = sealed_by(&message) else {
        tracing::warn!("a login came unsealed and was not answered; nats.conf lacks the `xkey` of `nats-conf`");
        return None;
    };
    let request = xkey.open(&message.payload, &server).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(request) = request else {
        tracing::warn!("a login was sealed to another key and not answered; compare nats.conf with `nats-conf`");
        return None;
    };
    let request = match CalloutRequest::parse(&request) {
        Ok(request) if callout.is_probe(&request) => return None,
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(%error, "a login request was not understood and not answered");
            return None;
        }
    };
    let answer = callout.answer(&request, js, now_ms()).await;
    let sealed = match xkey.seal(answer.jwt.as_bytes(), &server) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "an answer could not be sealed");
            return None;
        }
    };
    if let Err(error) = client.publish(reply, sealed.into()).await {
        tracing::warn!(%error, "an answer to a login was not sent");
        return None;
    }
    answer.admitted
}
