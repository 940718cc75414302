//! Inbox keeping: what has been acknowledged is purged, which is also what frees a sender's quota.

use async_nats::{Client, SubscribeError, Subscriber};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::hints::Hints;
use super::jetstream::{CONSUMER_NOT_FOUND, JetStream, JsError};
use super::meters::Meters;

/// Inboxes that are purged at the same time: few, since nats-server works off requests one by one, and one purge takes
/// it 1.3 µs for each consumer that there is. A login's own request waits behind these.
const AT_ONCE: usize = 8;

/// Where the broker itself says that a consumer's message was acknowledged.
const ACKNOWLEDGED: &str = "$JS.EVENT.METRIC.CONSUMER.ACK";

/// Watches acknowledgements and purges behind them.
///
/// What users publish is not watched: a frame whose headers are no text ends the connection that reads it. The broker's
/// own word is a hint all the same. What goes is decided by the consumer's `ack_floor`, so a message that is not
/// acknowledged never does.
pub(crate) struct Keeper {
    js: JetStream,
    acks: Subscriber,
    meters: Meters,
}

impl Keeper {
    /// Subscribes; chat-servers side by side share the work.
    pub(crate) async fn watch(
        js: JetStream,
        client: &Client,
        group: &str,
        meters: Meters,
    ) -> Result<Self, SubscribeError> {
        let subject = format!("{ACKNOWLEDGED}.{}.*", subject::INBOX_STREAM);
        let acks = client.queue_subscribe(subject, group.to_owned()).await?;
        Ok(Self { js, acks, meters })
    }

    /// Purges until the connection is gone. `logins` names users who have just connected: what they acknowledged
    /// while no server was watching is purged then.
    pub(crate) async fn run(mut self, mut logins: mpsc::Receiver<PrimaryKey>) {
        let mut hints = Hints::default();
        let mut running = FuturesUnordered::new();
        loop {
            // An instant in the past fires at once; with nothing due, or no hands free, this arm never does.
            let due = hints.next_due(Instant::now()).filter(|_| running.len() < AT_ONCE);
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ack = self.acks.next() => match ack {
                    Some(ack) => {
                        // Users' names hold no dots.
                        if let Some((_, consumer)) = ack.subject.rsplit_once('.') {
                            hints.note(consumer, Instant::now());
                        }
                    }
                    None => return,
                },
                Some(user) = logins.recv() => hints.note(&user.to_hex(), Instant::now()),
                () = wake => {
                    if let Some(consumer) = hints.take(Instant::now()) {
                        let (js, meters) = (self.js.clone(), self.meters.clone());
                        running.push(async move { (purge(&js, &consumer, &meters).await, consumer) }.boxed());
                    }
                }
                Some((purged, consumer)) = running.next() => if let Err(error) = purged {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "an inbox could not be purged; it is tried again");
                    // Its owner may have nothing more to acknowledge, so nobody else would bring it up.
                    hints.note(&consumer, Instant::now());
                },
            }
            self.meters.hints.set(hints.len());
        }
    }
}

async fn purge(js: &JetStream, consumer: &str, meters: &Meters) -> Result<(), JsError> {
    // Checking a key costs curve arithmetic, so it is done here, once for many acknowledgements.
    let Ok(user) = PrimaryKey::from_hex(consumer) else { return Ok(()) };
    let floor = match js.ack_floor(&user).await {
        Err(JsError::Refused { err_code: CONSUMER_NOT_FOUND, .. }) | Ok(0) => return Ok(()),
        floor => floor?,
    };
    let purged = js.purge_through(&user, floor).await?;
    if purged > 0 {
        meters.purges.inc();
        meters.purged.inc_by(purged);
        tracing::debug!(purged, "purged acknowledged messages from an inbox");
    }
    Ok(())
}
