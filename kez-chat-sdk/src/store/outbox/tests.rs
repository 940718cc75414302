//! Rows and what becomes of them, whatever the broker says.

use kez_core::{handle::Policy, identity::SecretKey, payload::Payload};

use super::*;
use crate::{
    event::PendingEvent,
    store::{Frame, Incoming, announce::decode},
};

const HOUR_MS: u64 = 3_600_000;

fn own() -> PrimaryKey {
    SecretKey::from_seed([1; 32]).primary()
}

fn bob() -> PrimaryKey {
    SecretKey::from_seed([2; 32]).primary()
}

fn draft(text: &str, at_once: bool) -> Draft {
    Draft {
        recipient: bob(),
        own: own(),
        own_handle: Handle::from_qualified("alice@kez.lat", Policy::Production).unwrap(),
        install: Install::from_bytes([1; 8]),
        id: MessageId(rand::random()),
        nats_msg_id: rand::random(),
        sent_at_ms: 1,
        content: Content::Text(text.into()),
        reply_to: None,
        at_once,
    }
}

/// A store with one contact.
async fn store(trouble: Option<&'static str>) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
    store
        .transact::<_, StoreError>(move |db| {
            db.execute(
                "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
                    reachable, trouble, inbox_home)
                 VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1, ?2, 'kez.lat')",
                (bob().as_bytes(), trouble),
            )?;
            Ok(())
        })
        .await
        .unwrap();
    (dir, store)
}

async fn queue(store: &Store, text: &str, at_once: bool) -> MessageId {
    let draft = draft(text, at_once);
    let id = draft.id;
    store.queue_message(draft).await.unwrap();
    id
}

/// Has the broker take whatever waits.
async fn send_all(store: &Store, now_ms: u64) -> usize {
    let rows = store.waiting(0, 100).await.unwrap();
    let count = rows.len();
    let taken = rows.into_iter().map(|row| Acknowledged { row: row.row, awaits_receipt: row.awaits_receipt });
    store.set_sent(taken.collect(), BTreeMap::new(), now_ms).await.unwrap();
    count
}

async fn state(store: &Store, id: MessageId) -> MessageState {
    store.message_state(own(), id).await.unwrap().unwrap()
}

#[tokio::test]
async fn rows_wait_in_their_order_and_nothing_goes_to_a_contact_in_trouble() {
    let (_dir, store) = store(None).await;
    let first = queue(&store, "first", true).await;
    let second = queue(&store, "second", true).await;
    let rows = store.waiting(0, 100).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.message_id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(store.waiting(rows[0].row, 100).await.unwrap().len(), 1);
    let trouble = r#"UPDATE contacts SET trouble = '{"trouble":"forked"}'"#;
    store.transact::<_, StoreError>(|db| Ok(db.execute(trouble, [])?)).await.unwrap();
    assert!(store.waiting(0, 100).await.unwrap().is_empty());
    assert!(matches!(store.queue_message(draft("third", true)).await, Err(SendError::Stopped { .. })));
    assert_eq!(store.undelivered(own()).await.unwrap().len(), 2, "it is kept and visible");
}

#[tokio::test]
async fn what_nobody_confirms_is_sent_four_times_in_as_many_days_and_then_given_up() {
    let (_dir, store) = store(None).await;
    let id = queue(&store, "are you there?", true).await;
    let mut now_ms = 1_000_000;
    assert_eq!(store.next_overdue_ms().await.unwrap(), None);
    for _ in 0..4 {
        assert_eq!(send_all(&store, now_ms).await, 1);
        assert_eq!(store.next_overdue_ms().await.unwrap(), Some(now_ms + 24 * HOUR_MS));
        store.resend_overdue(own(), now_ms + 23 * HOUR_MS).await.unwrap();
        assert!(store.waiting(0, 1).await.unwrap().is_empty(), "before a day is over");
        now_ms += 24 * HOUR_MS;
        store.resend_overdue(own(), now_ms).await.unwrap();
    }
    assert!(store.waiting(0, 1).await.unwrap().is_empty());
    assert_eq!(state(&store, id).await, MessageState::Unconfirmed);
    let events = store.events_after(crate::event::EventId::default(), 9).await.unwrap();
    let [PendingEvent { event: Event::MessageState { state: MessageState::Unconfirmed, .. }, .. }] = &events[..] else {
        panic!("{events:?}")
    };

    assert!(store.resend(own(), bob(), id).await.unwrap(), "by hand it goes again");
    assert_eq!(state(&store, id).await, MessageState::Queued);
    assert_eq!(send_all(&store, now_ms).await, 1);
    assert_eq!(state(&store, id).await, MessageState::Sent);
    let nothing = MessageId([9; 16]);
    assert!(!store.resend(own(), bob(), nothing).await.unwrap());
}

#[tokio::test]
async fn a_recipient_who_is_there_is_reason_to_send_once_more() {
    let (_dir, store) = store(None).await;
    queue(&store, "did you get this?", true).await;
    send_all(&store, 1_000_000).await;
    store.resend_to(bob(), 1_000_000 + 119_999).await.unwrap();
    assert_eq!(send_all(&store, 1_000_000).await, 0, "its receipt may still be on its way");
    store.resend_to(bob(), 1_000_000 + 120_000).await.unwrap();
    assert_eq!(send_all(&store, 1_120_000).await, 1);
    store.resend_to(bob(), 9_000_000).await.unwrap();
    assert_eq!(send_all(&store, 9_000_000).await, 0, "once is enough");
    assert!(store.resend_all().await.unwrap(), "but for a broker that lost it");
    assert_eq!(send_all(&store, 9_000_000).await, 1);
}

/// Its sender sends the message again at once, and would otherwise not learn for a day that it arrived.
#[tokio::test]
async fn a_receipt_that_the_broker_lost_is_made_good_when_its_message_comes_again() {
    let (_dir, store) = store(None).await;
    let draft = draft("can you hear me?", true);
    let payload = Payload {
        id: draft.id,
        install: draft.install,
        seq: 1,
        sent_at_ms: 1,
        from: None,
        to: None,
        content: draft.content,
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    let arrives = async |now_ms: u64| {
        let (bytes, wire) = (payload.encode().unwrap(), bytes::Bytes::new());
        let message = Incoming { author: bob(), payload: payload.clone(), bytes, wire, misaddressed: false };
        store.receive(own(), vec![Frame::Message(message.into())], now_ms).await.unwrap();
        let due = store.receipts_due(9).await.unwrap();
        if let Some(due) = &due {
            let receipt = Payload { id: MessageId(rand::random()), ..payload.clone() };
            store.queue_receipt(own(), due.to, due.ids.clone(), receipt, rand::random()).await.unwrap();
        }
        due.is_some()
    };
    assert!(arrives(1_000_000).await);
    assert!(!arrives(1_059_999).await, "a receipt is on its way");
    store.resend_all().await.unwrap();
    assert!(arrives(1_059_999).await, "the broker has lost it");
    assert!(!arrives(1_060_001).await);
    assert!(arrives(1_119_999).await);
}

#[tokio::test]
async fn only_what_the_broker_has_not_got_can_be_taken_back() {
    let (_dir, store) = store(None).await;
    let online = queue(&store, "on its way", true).await;
    let offline = queue(&store, "written in a tunnel", false).await;
    let late = queue(&store, "handed over meanwhile", false).await;
    assert!(store.cancel(own(), bob(), online).await.unwrap().is_none());
    assert!(store.cancel(own(), bob(), offline).await.unwrap().is_some());
    assert!(store.cancel(own(), bob(), offline).await.unwrap().is_none());
    assert_eq!(state(&store, offline).await, MessageState::Withdrawn);
    let mut rows = store.waiting(0, 9).await.unwrap();
    assert_eq!(rows.len(), 2);
    let (last, row) = (rows[1].row, rows.remove(1));
    let gone = OutboxRow { row: 999, ..rows.remove(0) };
    let kept = store.hand_over(own(), vec![gone, row]).await.unwrap();
    assert_eq!(kept.iter().map(|row| row.row).collect::<Vec<_>>(), [last], "a row that is gone does not go");
    assert!(store.cancel(own(), bob(), late).await.unwrap().is_none());

    // The broker's own word that it has not got it makes it ours again.
    store.set_inbox_full(last, own()).await.unwrap();
    assert_eq!(state(&store, late).await, MessageState::InboxFull);
    assert!(store.cancel(own(), bob(), late).await.unwrap().is_some());
    assert_eq!(state(&store, late).await, MessageState::Withdrawn);
}

/// The numbers of what would be sent, with the texts.
async fn numbers(store: &Store) -> Vec<(u64, Option<String>)> {
    let rows = store.waiting(0, 100).await.unwrap();
    let rows = store.hand_over(own(), rows).await.unwrap();
    let say = |content| match content {
        Content::Text(text) => Some(text),
        _ => None,
    };
    rows.iter()
        .map(|row| {
            let payload = decode(&row.payload).unwrap();
            (payload.seq, say(payload.content))
        })
        .collect()
}

#[tokio::test]
async fn numbers_follow_the_rows_and_none_is_missing_whatever_is_taken_back() {
    let (_dir, store) = store(None).await;
    queue(&store, "a", false).await;
    let cancelled = queue(&store, "b", false).await;
    queue(&store, "c", true).await;
    assert!(store.cancel(own(), bob(), cancelled).await.unwrap().is_some());
    let sent = |number, text: &str| (number, Some(text.to_owned()));
    assert_eq!(numbers(&store).await, [sent(1, "a"), sent(2, "c")], "what comes later waits for its turn");
    let full = queue(&store, "d", true).await;
    queue(&store, "e", true).await;
    let row = store.waiting(0, 9).await.unwrap()[2].row;
    store.set_inbox_full(row, own()).await.unwrap();
    assert!(store.cancel(own(), bob(), full).await.unwrap().is_some());
    let expected = [sent(1, "a"), sent(2, "c"), (3, None), sent(4, "e")];
    assert_eq!(numbers(&store).await, expected, "its number is filled with nothing");
}

#[tokio::test]
async fn what_was_queued_under_its_name_stays_so_and_is_not_queued_again() {
    let (_dir, store) = store(None).await;
    let named = |id, text| Draft { id: MessageId([id; 16]), ..draft(text, true) };
    store.queue_once(named(1, "first"), None).await.unwrap();
    assert!(matches!(store.queue_once(named(2, "new"), Some(SendError::YouRetired)).await, Err(SendError::YouRetired)));
    store.transact::<_, StoreError>(|db| Ok(db.execute("UPDATE contacts SET retired = 1", [])?)).await.unwrap();
    store.queue_once(named(1, "first"), Some(SendError::YouRetired)).await.unwrap();
    assert!(matches!(store.queue_once(named(2, "new"), None).await, Err(SendError::Retired { .. })));
    // Of another kind, or to somebody else.
    let edit = Content::Edit { id: MessageId([1; 16]), text: "another".into() };
    let taken = [Draft { content: edit, ..named(1, "") }, Draft { recipient: own(), ..named(1, "first") }];
    for draft in taken {
        assert!(
            matches!(store.queue_once(draft, None).await, Err(SendError::NameTaken(MessageId(id))) if id == [1; 16])
        );
    }
    assert_eq!(store.undelivered(own()).await.unwrap().len(), 1);
}
