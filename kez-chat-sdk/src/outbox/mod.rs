//! Sending: what is queued goes to the broker in its order, and stays until it is known to have arrived
//! (`docs/PROTOCOL.md` §8).

mod answer;
mod sender;

use std::time::Duration;

use kez_core::payload::{Content, MAX_RECEIPT_IDS, Payload};
use tokio::time::Instant;

use self::sender::{Said, Sender};
use crate::{
    connection::{Session, SessionError},
    message::new_id,
    shared::Shared,
    store::ReceiptDue,
};

/// How long a receipt waits for others to the same person.
const RECEIPT_BATCH: Duration = Duration::from_millis(100);
/// How long sending rests after a second denial in a row, before the home is asked again; the first is mended at once.
const FIRST_DENIED_REST: Duration = Duration::from_secs(2);
const LAST_DENIED_REST: Duration = Duration::from_secs(300);
/// How often at least it is looked for messages that nobody has confirmed for a day.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Sends whatever is due, for as long as the session lasts.
pub(crate) async fn run(shared: &Shared, session: &Session) -> Result<(), SessionError> {
    let mut sender = Sender::new(shared, session).await?;
    let mut changes = shared.store.changes();
    let mut receipts_at = None;
    loop {
        changes.mark_unchanged();
        shared.store.resend_overdue(shared.primary(), shared.home_now_ms()).await?;
        let overdue_at = overdue_at(shared).await?;
        // A day is long: until then, only what changes counts.
        while overdue_at > Instant::now() {
            sender.fill().await?;
            if shared.store.receipts_due(1).await?.is_none() {
                receipts_at = None;
            } else if *receipts_at.get_or_insert_with(|| Instant::now() + RECEIPT_BATCH) <= Instant::now() {
                receipts_at = None;
                queue_receipts(shared).await?;
                continue;
            }
            shared.link.count(|traffic| traffic.is_sending = receipts_at.is_some() || sender.is_busy());
            let wake_at = [receipts_at, sender.wakes_at()].into_iter().flatten().fold(overdue_at, Instant::min);
            let said = tokio::select! {
                said = sender.listen() => Some(said),
                _ = changes.changed() => None,
                () = tokio::time::sleep_until(wake_at) => None,
            };
            changes.mark_unchanged();
            if let Some(Said::Denied) = said {
                // All our messages to this home go by one route. What comes in is still taken meanwhile.
                tokio::time::sleep(rest_after(shared.link.count_denial())).await;
            }
            if let Some(said) = said {
                sender.note(said).await?;
            }
        }
    }
}

/// Tells when the next message will have waited a day for its receipt.
async fn overdue_at(shared: &Shared) -> Result<Instant, SessionError> {
    let wait = match shared.store.next_overdue_ms().await? {
        Some(at_ms) => Duration::from_millis(at_ms.saturating_sub(shared.home_now_ms()).saturating_add(1)),
        None => LONGEST_WAIT,
    };
    Ok(Instant::now() + wait.min(LONGEST_WAIT))
}

/// Tells how long sending rests after a denial that comes after `earlier` others: a broker that goes on denying is not
/// asked in a hot loop.
fn rest_after(earlier: u32) -> Duration {
    match earlier.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_DENIED_REST.saturating_mul(2_u32.saturating_pow(doublings)).min(LAST_DENIED_REST),
    }
}

/// Sends what a client that closes still owes to others.
pub(crate) async fn last_words(shared: &Shared, session: &Session) -> Result<(), SessionError> {
    queue_receipts(shared).await?;
    let mut sender = Sender::new(shared, session).await?;
    sender.fill().await?;
    while sender.is_waiting() {
        let said = sender.listen().await;
        sender.note(said).await?;
        sender.fill().await?;
    }
    let _ = session.nats.flush().await;
    Ok(())
}

/// Turns receipts that are owed into messages.
async fn queue_receipts(shared: &Shared) -> Result<(), SessionError> {
    while let Some(ReceiptDue { to, status, ids }) = shared.store.receipts_due(MAX_RECEIPT_IDS).await? {
        let contact = shared.store.contact(to).await?;
        let sent_at_ms = shared.home_now_ms();
        let payload = Payload {
            id: new_id(sent_at_ms),
            install: shared.install,
            seq: 0,
            sent_at_ms,
            from: Some(shared.handle.clone()),
            to: contact.and_then(|contact| contact.handle),
            content: Content::Receipt { status, ids: ids.clone() },
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        shared.store.queue_receipt(shared.primary(), to, ids, payload, rand::random()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_denial_is_mended_at_once_and_later_ones_ever_more_slowly() {
        let rests: Vec<u64> = (0..12).map(|earlier| rest_after(earlier).as_secs()).collect();
        assert_eq!(rests, [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(rest_after(u32::MAX), LAST_DENIED_REST);
    }
}
