//! Sending: what is queued goes to the broker in its order, and stays until it is known to have arrived
//! (`docs/PROTOCOL.md` §8).

use std::time::Duration;

use async_nats::{HeaderMap, Request, header::NATS_MESSAGE_ID};
use data_encoding::HEXLOWER;
use kez_core::{
    envelope::{self, Peer},
    identity::PrimaryKey,
    payload::{Content, MAX_RECEIPT_IDS, MessageId, Payload, ReceiptStatus},
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    connection::{Session, SessionError},
    denial::Denied,
    shared::Shared,
    store::OutboxRow,
};

/// How long the broker may take to acknowledge a message.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a receipt waits for others to the same person.
const RECEIPT_BATCH: Duration = Duration::from_millis(100);
/// When a message is tried again that the broker did not take.
const RETRY_MS: u64 = 30_000;
/// How long sending rests after a second denial in a row, before the home is asked again; the first is mended at once.
const FIRST_REST: Duration = Duration::from_secs(2);
const LAST_REST: Duration = Duration::from_secs(300);
/// JetStream's answer for an inbox that holds all it may of one sender.
const INBOX_FULL: u32 = 10_077;

/// Sends whatever is due, for as long as the session lasts.
pub(crate) async fn run(shared: &Shared, session: &Session) -> Result<(), SessionError> {
    let mut changes = shared.store.changes();
    let mut receipts_at = None;
    loop {
        changes.mark_unchanged();
        match send_due(shared, session).await {
            Err(error @ SessionError::RouteDenied) => {
                // All our messages to this home go by one route. What comes in is still taken meanwhile.
                tokio::time::sleep(rest_after(shared.link.count_denial())).await;
                return Err(error);
            }
            sent => sent?,
        }
        if shared.store.receipts_due(1).await?.is_some() {
            let at = *receipts_at.get_or_insert_with(|| Instant::now() + RECEIPT_BATCH);
            if at <= Instant::now() {
                receipts_at = None;
                queue_receipts(shared).await?;
                continue;
            }
        } else {
            receipts_at = None;
        }
        let next_try = shared.store.next_try_ms().await?;
        let next_try =
            next_try.map(|due| Instant::now() + Duration::from_millis(due.saturating_sub(shared.now_ms()).max(1)));
        let wake_at = [receipts_at, next_try].into_iter().flatten().min();
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    }
}

/// Tells how long sending rests after a denial that comes after `earlier` others: a broker that goes on denying is not
/// asked in a hot loop.
fn rest_after(earlier: u32) -> Duration {
    match earlier.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_REST.saturating_mul(2_u32.saturating_pow(doublings)).min(LAST_REST),
    }
}

/// Sends what a client that closes still owes to others.
pub(crate) async fn last_words(shared: &Shared, session: &Session) -> Result<(), SessionError> {
    queue_receipts(shared).await?;
    send_due(shared, session).await?;
    let _ = session.nats.flush().await;
    Ok(())
}

async fn send_due(shared: &Shared, session: &Session) -> Result<(), SessionError> {
    while let Some(row) = shared.store.next_to_send(shared.now_ms()).await? {
        send(shared, session, &row).await?;
    }
    Ok(())
}

/// Turns delivery receipts that are owed into messages.
async fn queue_receipts(shared: &Shared) -> Result<(), SessionError> {
    while let Some((to, ids)) = shared.store.receipts_due(MAX_RECEIPT_IDS).await? {
        let contact = shared.store.contact(to).await?;
        let payload = Payload {
            id: MessageId(rand::random()),
            install: shared.install,
            seq: 0,
            sent_at_ms: shared.home_now_ms(),
            from: Some(shared.handle.clone()),
            to: contact.and_then(|contact| contact.handle),
            content: Content::Receipt { status: ReceiptStatus::Delivered, ids: ids.clone() },
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        shared.store.queue_receipt(to, ids, payload, rand::random()).await?;
    }
    Ok(())
}

async fn send(shared: &Shared, session: &Session, row: &OutboxRow) -> Result<(), SessionError> {
    match publish(shared, session, row).await {
        Ok(()) => {
            shared.link.forget_denials();
            shared.link.count(|traffic| traffic.sent += 1);
            shared.store.set_sent(row, shared.primary()).await?;
        }
        // It stays due, and is the first to be sent under the route that the next session finds.
        Err(NotTaken::Denied) => return Err(SessionError::RouteDenied),
        Err(NotTaken::Other(cause)) => {
            tracing::warn!(%cause, "a message was not taken and will be tried again");
            shared.store.try_later(row.row, shared.now_ms() + RETRY_MS).await?;
        }
    }
    Ok(())
}

/// Why the broker did not take a message.
enum NotTaken {
    /// We may not publish under this route.
    Denied,
    Other(String),
}

impl From<Denied> for NotTaken {
    fn from(Denied: Denied) -> Self {
        Self::Denied
    }
}

impl From<String> for NotTaken {
    fn from(cause: String) -> Self {
        Self::Other(cause)
    }
}

/// Seals a message and hands it to the broker; `Ok` means that the broker has it on disk.
async fn publish(shared: &Shared, session: &Session, row: &OutboxRow) -> Result<(), NotTaken> {
    let wire = seal(shared, &row.recipient, &row.payload)?;
    let subject = session.inbox_subject(shared, &row.recipient);
    let subject = subject.ok_or_else(|| "the home has no server key".to_owned())?;
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, HEXLOWER.encode(&row.nats_msg_id));
    let request = Request::new().headers(headers).payload(wire.into()).timeout(Some(PUBLISH_TIMEOUT));
    let answer = session.nats.send_request(subject.clone(), request);
    let answer = session.under_way.unless_denied(&subject, answer).await?.map_err(|error| error.to_string())?;
    Ok(judge(&answer.payload, session.streams())?)
}

/// Tells whether JetStream's answer says that one of the home's streams holds the message.
fn judge(answer: &[u8], streams: &[String]) -> Result<(), String> {
    match serde_json::from_slice(answer) {
        Ok(PublishAnswer::Error { error }) if error.err_code == INBOX_FULL => {
            Err("the recipient's inbox holds all it may of our messages".into())
        }
        Ok(PublishAnswer::Error { error }) => Err(format!("{} ({})", error.description, error.err_code)),
        Ok(PublishAnswer::Stored { stream, .. }) if streams.contains(&stream) => Ok(()),
        Ok(PublishAnswer::Stored { stream, .. }) => Err(format!("an unexpected stream took it: {stream}")),
        Err(error) => Err(format!("the broker's acknowledgement makes no sense: {error}")),
    }
}

fn seal(shared: &Shared, recipient: &PrimaryKey, payload: &[u8]) -> Result<Vec<u8>, String> {
    let peer = Peer::new(&shared.key, *recipient);
    envelope::seal(&shared.key, &peer, payload, &rand::random()).map_err(|error| error.to_string())
}

/// JetStream's answer to a publish.
#[derive(Deserialize)]
#[serde(untagged)]
enum PublishAnswer {
    Error {
        error: ApiError,
    },
    Stored {
        stream: String,
        #[serde(rename = "seq")]
        _seq: u64,
    },
}

#[derive(Deserialize)]
struct ApiError {
    err_code: u32,
    description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_denial_is_mended_at_once_and_later_ones_ever_more_slowly() {
        let rests: Vec<u64> = (0..12).map(|earlier| rest_after(earlier).as_secs()).collect();
        assert_eq!(rests, [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(rest_after(u32::MAX), LAST_REST);
    }
}
