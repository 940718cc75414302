//! The transport of the auth callout: requests on `$SYS.REQ.USER.AUTH`, sealed to our curve key.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Request, RequestErrorKind, Subscriber};
use futures::StreamExt as _;
use futures::stream;
use kez_core::broker::callout::CalloutRequest;
use kez_core::identity::PrimaryKey;
use nkeys::XKey;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::SessionError;
use super::jetstream::JetStream;
use crate::callout::Callout;

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
    admitted: [mpsc::Sender<PrimaryKey>; 2],
}

impl Logins {
    /// Subscribes, and returns when the broker is known to have taken the subscription.
    pub(crate) async fn listen(
        client: Client,
        group: &str,
        xkey: XKey,
        admitted: [mpsc::Sender<PrimaryKey>; 2],
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
        let work = Work {
            client: self.client.clone(),
            xkey: Arc::clone(&self.xkey),
            admitted: self.admitted.clone(),
            callout: Arc::clone(callout),
            js: js.clone(),
            tasks: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        };
        let stopping = loop {
            let message = tokio::select! {
                () = stop.cancelled() => break true,
                message = self.requests.next() => message,
            };
            match message {
                Some(message) => work.begin(message),
                None => break false,
            }
        };
        let client = self.client.clone();
        if stopping {
            self.leave(&work).await;
        }
        work.tasks.close();
        work.tasks.wait().await;
        if !stopping {
            return Err(SessionError::Lost);
        }
        if let Err(error) = client.flush().await {
            tracing::debug!(%error, "the last answers may not have reached the broker");
        }
        Ok(())
    }

    /// Leaves the group, and begins what comes until the broker knows of that.
    ///
    /// async-nats drops what comes for a subscription from about the moment on at which it asks for its end, and the
    /// broker goes on sending us our share until it has read that. So everybody's share is watched meanwhile: what is
    /// another server's is answered twice, and the broker takes the first answer.
    async fn leave(mut self, work: &Work) {
        let everybodys = self.client.subscribe(SUBJECT).await;
        // Each fails only with the connection, and then what has come in is all there is.
        let _ = fence(&self.client).await;
        let _ = self.requests.drain().await;
        let _ = fence(&self.client).await;
        let mut everybodys = everybodys.into_iter().collect::<Vec<_>>();
        for subscriber in &mut everybodys {
            let _ = subscriber.drain().await;
        }
        let mut begun = HashSet::new();
        let mut rest = self.requests.chain(stream::iter(everybodys).flatten());
        while let Some(message) = rest.next().await {
            if begun.insert(message.reply.as_deref().map(str::to_owned)) {
                work.begin(message);
            }
        }
    }
}

/// What judging logins takes.
struct Work {
    client: Client,
    xkey: Arc<XKey>,
    admitted: [mpsc::Sender<PrimaryKey>; 2],
    callout: Arc<Callout>,
    js: JetStream,
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
}

impl Work {
    /// Begins to judge a login, as soon as it is its turn.
    fn begin(&self, message: Message) {
        if self.tasks.len() >= AT_MOST {
            self.callout.turn_away("Overloaded");
            return;
        }
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.permits).acquire_owned());
        let (client, xkey, admitted) = (self.client.clone(), Arc::clone(&self.xkey), self.admitted.clone());
        let (callout, js) = (Arc::clone(&self.callout), self.js.clone());
        self.tasks.spawn(async move {
            // The semaphore is never closed.
            let Ok(Ok(permit)) = turn.await else {
                callout.turn_away("Late");
                return;
            };
            if let Some(user) = answer(&client, &xkey, &callout, &js, message).await {
                for told in admitted {
                    // When it is full, the user's next acknowledgement or login does the same.
                    let _ = told.try_send(user);
                }
            }
            drop(permit);
        });
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
    let answer = callout.answer(&request, js).await;
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
