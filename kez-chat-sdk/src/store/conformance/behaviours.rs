//! The behaviours, one function each.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use kez_core::{
    handle::{Home, Policy},
    payload::{Content, ReceiptStatus},
};

use super::{
    super::{Acknowledged, Frame, OutboxRow, ReceiptDue, StoreError, Stored, announce::decode},
    site::{Site, contact, draft, frame, handle, home, own, payload, person, text},
};
use crate::{
    event::{Event, MessageState, PendingEvent},
    message::Place,
    requests::{Request, Resolution},
};

type Behaviour = for<'a> fn(&'a mut Site) -> BoxFuture<'a, ()>;

macro_rules! list {
    ($($behaviour:ident),* $(,)?) => {
        pub(super) const ALL: &[(&str, Behaviour)] = &[$((stringify!($behaviour), |site| Box::pin($behaviour(site)))),*];
    };
}

list![
    what_returned_is_on_disk,
    a_transaction_is_whole_or_nothing,
    messages_wait_in_their_order,
    a_frame_that_comes_again_is_the_same_message,
    states_rise_only,
    events_come_until_they_are_handled,
    numbers_never_repeat,
    the_quarantine_keeps_the_newest,
    a_change_wakes_who_watches,
    a_receipt_takes_the_place_of_what_was_due,
    messages_are_given_out_by_their_numbers,
    a_stranger_waits_until_they_are_added,
    what_was_declined_does_not_come_again_and_what_is_new_does,
    what_is_known_of_a_stranger_is_kept_until_they_say_otherwise,
    who_is_blocked_reaches_nobody_and_gets_nothing,
    what_a_blocked_stranger_left_is_gone,
    a_lost_broker_has_all_sent_again,
    who_is_forgotten_gets_nothing_more,
];

async fn what_returned_is_on_disk(site: &mut Site) {
    let message = draft(2, "kept");
    let id = message.id;
    site.store().await.queue_message(message).await.unwrap();
    let state = async |site: &Site| {
        let (_dir, store) = site.after_a_kill().await;
        store.message_state(own(), id).await.unwrap()
    };
    assert_eq!(state(site).await, Some(MessageState::Queued));
    send_all(site, 2).await;
    assert_eq!(state(site).await, Some(MessageState::Sent));
    site.store().await.receive(own(), vec![text(2, 1)], 1).await.unwrap();
    let events = site.events().await;
    let (_dir, killed) = site.after_a_kill().await;
    assert_eq!(killed.receipts_due(9).await.unwrap().is_some(), !events.is_empty());
}

async fn a_transaction_is_whole_or_nothing(site: &mut Site) {
    let pin = |name: &'static str, fails: bool| {
        move |db: &rusqlite::Connection| -> Result<(), StoreError> {
            for part in ["first", "second"] {
                db.execute("INSERT INTO pins (handle, owner) VALUES (?1 || ?2, x'00')", (name, part))?;
            }
            if fails { Err(StoreError::damaged("on purpose")) } else { Ok(()) }
        }
    };
    let store = site.store().await;
    // Asked for at the same time, they share a commit.
    let (good, bad, broken, last) = tokio::join!(
        store.transact(pin("good", false)),
        store.transact(pin("bad", true)),
        store.transact::<(), StoreError>(|db| Ok(
            db.execute_batch("INSERT INTO pins (handle, owner) VALUES ('broken', x'00'); NONSENSE")?
        )),
        store.transact(pin("last", false)),
    );
    assert!(good.is_ok() && bad.is_err() && broken.is_err() && last.is_ok());
    let names = "SELECT group_concat(handle) FROM (SELECT handle FROM pins WHERE owner = x'00' ORDER BY handle)";
    let kept: String = site.store().await.read(move |db| Ok(db.query_row(names, [], |row| row.get(0))?)).await.unwrap();
    assert_eq!(kept, "goodfirst,goodsecond,lastfirst,lastsecond");
}

async fn messages_wait_in_their_order(site: &mut Site) {
    for (to, text) in [(2, "a"), (3, "b"), (2, "c"), (2, "d")] {
        site.store().await.queue_message(draft(to, text)).await.unwrap();
    }
    assert_eq!(texts(&site.waiting(2).await), ["a", "c", "d"]);
    let first = site.waiting(2).await.swap_remove(0);
    set_sent(site, vec![first]).await;
    assert_eq!(texts(&site.waiting(2).await), ["c", "d"]);
    let rows = site.waiting(2).await;
    let handed_over = site.store().await.hand_over(own(), rows).await.unwrap();
    assert_eq!(texts(&handed_over), ["c", "d"]);
    assert_eq!(texts(&site.waiting(2).await), ["c", "d"], "until the broker has them");
    assert_eq!(texts(&site.waiting(3).await), ["b"]);
}

async fn a_frame_that_comes_again_is_the_same_message(site: &mut Site) {
    let due = async |site: &mut Site| {
        let due = site.store().await.receipts_due(9).await.unwrap();
        let Some(ReceiptDue { to, ids, .. }) = due.filter(|due| due.to == person(2)) else { return 0 };
        let receipt = Content::Receipt { status: ReceiptStatus::Delivered, ids: ids.clone() };
        let receipt = payload(1, rand::random(), 0, receipt);
        site.store().await.queue_receipt(own(), to, ids.clone(), receipt, rand::random()).await.unwrap();
        ids.len()
    };
    forget_what_is_due(site).await;
    let stored = site.store().await.receive(own(), vec![text(2, 1), text(2, 1)], 1_000).await.unwrap();
    assert_eq!(stored, [Stored::Kept, Stored::Kept]);
    assert_eq!(due(site).await, 1);
    for (now_ms, owed) in [(2_000, 0), (60_999, 0), (61_000, 1), (61_001, 0)] {
        site.store().await.receive(own(), vec![text(2, 1)], now_ms).await.unwrap();
        assert_eq!(due(site).await, owed, "at {now_ms}");
    }
    assert_eq!(site.events().await.len(), 1);
}

async fn states_rise_only(site: &mut Site) {
    use MessageState::{Delivered, Queued, Read, Sent};
    let message = draft(2, "hello");
    let id = message.id;
    site.store().await.queue_message(message).await.unwrap();
    let waiting = site.waiting(2).await.swap_remove(0).row;
    let mut seen = vec![site.state(id).await];
    let acknowledged = || vec![Acknowledged { row: waiting, awaits_receipt: true }];
    let receipt =
        |from: u8, status| frame(from, payload(from, rand::random(), 0, Content::Receipt { status, ids: vec![id] }));
    site.store().await.set_sent(acknowledged(), BTreeMap::new(), 1).await.unwrap();
    seen.push(site.state(id).await);
    for from in [3, 2, 2] {
        site.store().await.receive(own(), vec![receipt(from, ReceiptStatus::Delivered)], 1).await.unwrap();
        seen.push(site.state(id).await);
    }
    for status in [ReceiptStatus::Read, ReceiptStatus::Delivered] {
        site.store().await.receive(own(), vec![receipt(2, status)], 1).await.unwrap();
        seen.push(site.state(id).await);
    }
    // What the broker says late changes nothing.
    site.store().await.set_sent(acknowledged(), BTreeMap::new(), 1).await.unwrap();
    site.store().await.set_inbox_full(waiting, own()).await.unwrap();
    seen.push(site.state(id).await);
    assert_eq!(seen, [Queued, Sent, Sent, Delivered, Delivered, Read, Read, Read], "another's receipt does not count");
    let told: Vec<_> = site
        .events()
        .await
        .into_iter()
        .map(|pending| match pending.event {
            Event::MessageState { id: named, state, .. } if named == id => state,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [Delivered, Read], "each once");
    assert!(site.waiting(2).await.is_empty());
}

async fn events_come_until_they_are_handled(site: &mut Site) {
    let frames = (1..=3).map(|seq| text(2, seq)).collect();
    site.store().await.receive(own(), frames, 1).await.unwrap();
    for _ in 0..2 {
        assert_eq!(said(&site.events().await), ["1", "2", "3"]);
    }
    let events = site.events().await;
    site.store().await.forget_events(vec![events[1].id]).await.unwrap();
    assert_eq!(said(&site.events().await), ["1", "3"]);
    site.store().await.forget_events(events.iter().map(|pending| pending.id).collect()).await.unwrap();
    assert!(site.events().await.is_empty());
    site.store().await.receive(own(), vec![text(2, 4)], 1).await.unwrap();
    assert!(site.events().await[0].id > events[2].id, "a name is never given twice");
}

async fn numbers_never_repeat(site: &mut Site) {
    let mut given = Vec::new();
    for round in 0..3 {
        if round == 2 {
            site.store().await.forget_contact(person(2)).await.unwrap();
            site.store().await.keep_contact(contact(2), home()).await.unwrap();
        }
        let mut later = draft(2, "later");
        later.at_once = false;
        for message in [draft(2, "at once"), later] {
            site.store().await.queue_message(message).await.unwrap();
        }
        let rows = site.waiting(2).await;
        let rows = site.store().await.hand_over(own(), rows).await.unwrap();
        given.extend(rows.iter().map(|row| decode(&row.payload).unwrap().seq));
        set_sent(site, rows).await;
    }
    assert_eq!(given, [1, 2, 3, 4, 5, 6]);
}

async fn the_quarantine_keeps_the_newest(site: &mut Site) {
    let put_aside = |number: u64, length: usize| {
        let mut wire = vec![0; length];
        wire[..8].copy_from_slice(&number.to_le_bytes());
        Frame::Unread { wire: wire.into(), reason: "UnknownSuite".into() }
    };
    let small = (0..1_100).map(|number| put_aside(number, 8)).collect();
    site.store().await.receive(own(), small, 1).await.unwrap();
    assert_eq!(kept_aside(site).await, (100..1_100).collect::<Vec<_>>());
    // 16 MiB are 256 frames of the largest size.
    for begin in (2_000..2_300).step_by(50) {
        let large = (begin..begin + 50).map(|number| put_aside(number, 65_536)).collect();
        site.store().await.receive(own(), large, 1).await.unwrap();
    }
    assert_eq!(kept_aside(site).await, (2_044..2_300).collect::<Vec<_>>());
    site.store().await.set_quarantine_tried("this version").await.unwrap();
    assert!(site.store().await.quarantined(0, "this version").await.unwrap().is_empty());
    assert!(!site.store().await.quarantined(0, "the next").await.unwrap().is_empty());
}

async fn a_change_wakes_who_watches(site: &mut Site) {
    let store = site.store().await;
    let mut changes = store.changes();
    changes.mark_unchanged();
    store.account().await.unwrap();
    assert!(!changes.has_changed().unwrap(), "looking is no change");
    // Whoever asked may have gone meanwhile.
    let asked = store.clone();
    drop(futures::poll!(Box::pin(async move { asked.queue_message(draft(2, "hello")).await })));
    changes.changed().await.unwrap();
    let waiting = store.waiting(0, 100).await.unwrap();
    assert!(waiting.iter().any(|row| texts(std::slice::from_ref(row)) == ["hello"]), "the change is there to be seen");
}

async fn a_receipt_takes_the_place_of_what_was_due(site: &mut Site) {
    forget_what_is_due(site).await;
    site.store().await.receive(own(), vec![text(2, 1), text(2, 2)], 1).await.unwrap();
    let ReceiptDue { to, ids, .. } = site.store().await.receipts_due(9).await.unwrap().unwrap();
    assert_eq!((to, ids.len()), (person(2), 2));
    assert_eq!(site.store().await.receipts_due(1).await.unwrap().unwrap().ids.len(), 1, "no more than fit");
    let content = Content::Receipt { status: ReceiptStatus::Delivered, ids: ids.clone() };
    let receipt = payload(1, rand::random(), 0, content);
    site.store().await.queue_receipt(own(), to, ids, receipt, rand::random()).await.unwrap();
    assert_eq!(site.store().await.receipts_due(9).await.unwrap(), None);
    let rows = site.waiting(2).await;
    assert!(rows.len() == 1 && !rows[0].awaits_receipt);
    set_sent(site, rows).await;
    assert!(site.waiting(2).await.is_empty());
    site.store().await.resend_all().await.unwrap();
    assert!(site.waiting(2).await.is_empty(), "it is done with");
}

async fn messages_are_given_out_by_their_numbers(site: &mut Site) {
    for (seq, expected) in
        [(3, &[][..]), (1, &["1"]), (4, &["1"]), (2, &["1", "2", "3", "4"]), (2, &["1", "2", "3", "4"])]
    {
        site.store().await.receive(own(), vec![text(2, seq)], 1).await.unwrap();
        assert_eq!(said(&site.events().await), expected, "after {seq}");
    }
    site.store().await.receive(own(), vec![text(2, 9)], 1).await.unwrap();
    let gaps = site.store().await.gaps().await.unwrap();
    assert_eq!(gaps.iter().map(|gap| (gap.author, gap.next)).collect::<Vec<_>>(), [(*person(2).as_bytes(), 5)]);
    site.store().await.pass_gap(gaps[0]).await.unwrap();
    assert_eq!(said(&site.events().await)[4..], ["9"]);
    assert!(site.store().await.gaps().await.unwrap().is_empty());
}

async fn a_stranger_waits_until_they_are_added(site: &mut Site) {
    site.store().await.receive(own(), vec![text(9, 2), text(9, 1)], 1).await.unwrap();
    let events = site.events().await;
    let [PendingEvent { event: Event::Request { from, .. }, id }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((from.primary, &from.handle), (person(9), &None), "a handle is only their word");
    site.store().await.forget_events(vec![*id]).await.unwrap();
    forget_what_is_due(site).await;
    site.store().await.keep_contact(contact(9), home()).await.unwrap();
    assert_eq!(said(&site.events().await), ["1", "2"]);
    let due = site.store().await.receipts_due(9).await.unwrap().unwrap();
    assert_eq!((due.to, due.ids.len()), (person(9), 2), "now they hear of it");
}

async fn what_was_declined_does_not_come_again_and_what_is_new_does(site: &mut Site) {
    let declined = || vec![written_at(9, 1, 10), written_at(9, 2, 20)];
    site.store().await.receive(own(), declined(), 30).await.unwrap();
    assert!(site.store().await.decline(person(9), 30).await.unwrap());
    assert!(!site.store().await.decline(person(9), 30).await.unwrap(), "nothing waits any more");
    let asked = site.events().await.len();
    let again = site.store().await.receive(own(), declined(), 40).await.unwrap();
    assert_eq!(again, [Stored::Dropped, Stored::Dropped]);
    assert_eq!(site.events().await.len(), asked);
    assert_eq!(request_from(site, 9).await, None);

    site.store().await.receive(own(), vec![written_at(9, 4, 50), written_at(9, 3, 40)], 50).await.unwrap();
    let events = site.events().await;
    assert_eq!(events.len(), asked + 1, "they ask again, once");
    assert!(matches!(&events[asked].event, Event::Request { from, .. } if from.primary == person(9)));
    site.store().await.forget_events(events.iter().map(|pending| pending.id).collect()).await.unwrap();
    let messages = site.store().await.request_messages(person(9)).await.unwrap();
    assert_eq!(messages.iter().map(|message| message.sent_at_ms).collect::<Vec<_>>(), [40, 50], "by their numbers");
    site.store().await.keep_contact(contact(9), home()).await.unwrap();
    assert_eq!(said(&site.events().await), ["3", "4"], "what was declined is not waited for");
    assert_eq!(request_from(site, 9).await, None);
    site.store().await.receive(own(), declined(), 60).await.unwrap();
    assert_eq!(said(&site.events().await), ["3", "4"]);
}

async fn what_is_known_of_a_stranger_is_kept_until_they_say_otherwise(site: &mut Site) {
    let claiming = |seq, claimed: u8| {
        let mut incoming = payload(9, [u8::try_from(seq).unwrap(); 16], seq, Content::Text("hello".into()));
        incoming.from = Some(handle(claimed));
        frame(9, incoming)
    };
    site.store().await.receive(own(), vec![claiming(1, 9)], 1_000).await.unwrap();
    let hour = 3_600_000;
    let due = async |site: &mut Site, now_ms| site.store().await.stranger_to_resolve(home(), now_ms).await.unwrap();
    let asked_for = due(site, hour).await.unwrap();
    assert_eq!((asked_for.from, &asked_for.claimed_handle), (person(9), &Some(handle(9))));
    assert_eq!(asked_for.resolution, Resolution::Unresolved);
    let elsewhere = Home::parse("elsewhere.example", Policy::Production).unwrap();
    assert_eq!(site.store().await.stranger_to_resolve(elsewhere, hour).await.unwrap(), None);

    let agreed = Resolution::Agreed { handle: handle(9) };
    site.store().await.set_resolution(&asked_for, &agreed, hour).await.unwrap();
    assert_eq!(due(site, 9 * hour).await, None, "it is known");
    site.store().await.receive(own(), vec![claiming(2, 9)], 1_000).await.unwrap();
    let known = request_from(site, 9).await.unwrap();
    assert_eq!((known.resolution, known.messages), (agreed.clone(), 2));
    // Whoever goes by another handle now is looked up anew, and not before an hour is over.
    site.store().await.receive(own(), vec![claiming(3, 8)], 1_000).await.unwrap();
    let other = request_from(site, 9).await.unwrap();
    assert_eq!((other.claimed_handle, other.resolution), (Some(handle(8)), Resolution::Unresolved));
    assert_eq!(due(site, 2 * hour - 1).await, None);
    assert!(due(site, 2 * hour).await.is_some());
    // An answer about the handle that they claimed before is none about this one.
    site.store().await.set_resolution(&asked_for, &agreed, 2 * hour).await.unwrap();
    assert_eq!(request_from(site, 9).await.unwrap().resolution, Resolution::Unresolved);
}

async fn who_is_blocked_reaches_nobody_and_gets_nothing(site: &mut Site) {
    forget_what_is_due(site).await;
    let (sent, mut kept) = (draft(2, "sent"), draft(2, "kept"));
    kept.at_once = false;
    let ids = [sent.id, kept.id];
    site.store().await.queue_message(sent).await.unwrap();
    site.store().await.queue_message(kept).await.unwrap();
    site.store().await.receive(own(), vec![written_at(2, 1, 10), written_at(2, 3, 12)], 20).await.unwrap();
    site.store().await.block(person(2), 20).await.unwrap();
    assert_eq!(said(&site.events().await), ["1", "3"], "what came before stays");
    assert!(site.waiting(2).await.is_empty());
    assert_eq!(
        [site.state(ids[0]).await, site.state(ids[1]).await],
        [MessageState::Unconfirmed, MessageState::Withdrawn]
    );
    assert_eq!(site.store().await.receipts_due(9).await.unwrap(), None);
    let refused = site.store().await.queue_message(draft(2, "more")).await.unwrap_err();
    assert_eq!(refused.code(), "Blocked");
    assert!(site.store().await.contact(person(2)).await.unwrap().unwrap().blocked);
    let listed = site.store().await.blocked().await.unwrap();
    assert_eq!(
        listed.iter().map(|blocked| (blocked.who.primary, blocked.since_ms)).collect::<Vec<_>>(),
        [(person(2), 20)]
    );

    let learning = site.store().await.presence_recipients().await.unwrap();
    assert!(!learning.contains(&person(2)) && learning.contains(&person(3)));
    assert_eq!(site.store().await.presence_counts(person(2)).await.unwrap(), None);

    let receipt = Content::Receipt { status: ReceiptStatus::Delivered, ids: vec![ids[0]] };
    let dropped =
        || vec![written_at(2, 1, 10), written_at(2, 4, 30), frame(2, payload(2, [7; 16], 0, receipt.clone()))];
    let stored = site.store().await.receive(own(), dropped(), 40).await.unwrap();
    assert_eq!(stored, [Stored::Dropped; 3]);
    // A receipt that was being written when they were blocked does not go either.
    let confirmed = payload(1, rand::random(), 0, receipt.clone());
    let written = site.store().await.queue_receipt(own(), person(2), vec![], confirmed, rand::random()).await;
    assert!(written.is_ok() && site.waiting(2).await.is_empty());
    site.store().await.mark_read(person(2), Place::END, true).await.unwrap();
    assert_eq!(site.store().await.receipts_due(9).await.unwrap(), None, "nor do they learn that it was read");
    assert_eq!(said(&site.events().await), ["1", "3"]);
    assert_eq!(site.state(ids[0]).await, MessageState::Unconfirmed);

    site.store().await.unblock(person(2)).await.unwrap();
    assert!(!site.store().await.contact(person(2)).await.unwrap().unwrap().blocked);
    assert!(site.store().await.presence_counts(person(2)).await.unwrap().is_some());
    let again = site.store().await.receive(own(), vec![written_at(2, 4, 30), written_at(2, 5, 50)], 60).await.unwrap();
    assert_eq!(again, [Stored::Dropped, Stored::Kept], "what was dropped is gone");
    assert_eq!(said(&site.events().await), ["1", "3", "5"], "and not waited for");
    let due = site.store().await.receipts_due(9).await.unwrap().unwrap();
    assert_eq!((due.to, due.ids.len()), (person(2), 1));
    site.store().await.queue_message(draft(2, "hello again")).await.unwrap();
    assert_eq!(texts(&site.waiting(2).await), ["hello again"]);
    // What arrived before is known, and its receipt is still sent again.
    site.store().await.receive(own(), vec![written_at(2, 1, 10)], 90_000).await.unwrap();
    assert_eq!(site.store().await.receipts_due(9).await.unwrap().unwrap().ids.len(), 2);
}

async fn what_a_blocked_stranger_left_is_gone(site: &mut Site) {
    site.store().await.receive(own(), vec![written_at(9, 1, 10)], 10).await.unwrap();
    site.store().await.block(person(9), 20).await.unwrap();
    assert_eq!(request_from(site, 9).await, None);
    let asked = site.events().await.len();
    let stored = site.store().await.receive(own(), vec![written_at(9, 2, 20)], 20).await.unwrap();
    assert_eq!(stored, [Stored::Dropped]);
    site.store().await.unblock(person(9)).await.unwrap();
    assert!(site.store().await.blocked().await.unwrap().is_empty());
    let late = vec![written_at(9, 1, 10), written_at(9, 2, 20)];
    assert_eq!(site.store().await.receive(own(), late, 30).await.unwrap(), [Stored::Dropped; 2]);
    assert_eq!(site.events().await.len(), asked);
    site.store().await.receive(own(), vec![written_at(9, 3, 30)], 30).await.unwrap();
    assert_eq!(request_from(site, 9).await.unwrap().messages, 1);
    assert_eq!(site.events().await.len(), asked + 1);
}

/// The text of that number from somebody, who says that they wrote it then.
fn written_at(from: u8, seq: u64, sent_at_ms: u64) -> Frame {
    let Frame::Message(mut message) = text(from, seq) else { unreachable!() };
    message.payload.sent_at_ms = sent_at_ms;
    message.bytes = message.payload.encode().unwrap();
    Frame::Message(message)
}

async fn request_from(site: &mut Site, from: u8) -> Option<Request> {
    site.store().await.request(person(from)).await.unwrap()
}

async fn a_lost_broker_has_all_sent_again(site: &mut Site) {
    site.store().await.note_epoch("before").await.unwrap();
    site.store().await.queue_message(draft(2, "a")).await.unwrap();
    site.store().await.queue_message(draft(2, "b")).await.unwrap();
    send_all(site, 2).await;
    assert!(!site.store().await.note_epoch("before").await.unwrap());
    assert!(site.waiting(2).await.is_empty());
    assert!(site.store().await.note_epoch("after").await.unwrap());
    assert_eq!(texts(&site.waiting(2).await), ["a", "b"]);
    assert!(site.waiting(2).await.iter().all(|row| row.handed_over), "nothing of it can be taken back");
}

async fn who_is_forgotten_gets_nothing_more(site: &mut Site) {
    let (sent, mut kept) = (draft(2, "sent"), draft(2, "kept"));
    kept.at_once = false;
    let ids = [sent.id, kept.id];
    site.store().await.queue_message(sent).await.unwrap();
    site.store().await.queue_message(kept).await.unwrap();
    site.store().await.receive(own(), vec![text(2, 1)], 1).await.unwrap();
    site.store().await.forget_contact(person(2)).await.unwrap();
    assert!(site.waiting(2).await.is_empty());
    assert!(site.store().await.contact(person(2)).await.unwrap().is_none());
    assert_eq!(site.store().await.pinned(&handle(2)).await.unwrap(), None);
    assert_eq!(
        [site.state(ids[0]).await, site.state(ids[1]).await],
        [MessageState::Unconfirmed, MessageState::Withdrawn]
    );
    let refused = site.store().await.queue_message(draft(2, "more")).await.unwrap_err();
    assert_eq!(refused.code(), "NotAContact");
    let due = site.store().await.receipts_due(9).await.unwrap();
    assert!(due.is_none_or(|due| due.to != person(2)));
    assert_eq!(said(&site.events().await), ["1"], "what was said stays");
}

/// Has the broker take whatever waits for somebody.
async fn send_all(site: &mut Site, to: u8) {
    let rows = site.waiting(to).await;
    let rows = site.store().await.hand_over(own(), rows).await.unwrap();
    set_sent(site, rows).await;
}

async fn set_sent(site: &mut Site, rows: Vec<OutboxRow>) {
    let taken = rows.into_iter().map(|row| Acknowledged { row: row.row, awaits_receipt: row.awaits_receipt });
    site.store().await.set_sent(taken.collect(), BTreeMap::new(), 1).await.unwrap();
}

/// Lets what the past owes be no part of what is looked at.
async fn forget_what_is_due(site: &mut Site) {
    let forget = "DELETE FROM receipts_due";
    site.store().await.transact::<_, StoreError>(move |db| Ok(db.execute(forget, [])?)).await.unwrap();
}

async fn kept_aside(site: &mut Site) -> Vec<u64> {
    let (mut after, mut kept) = (0, Vec::new());
    loop {
        let some = site.store().await.quarantined(after, "another version").await.unwrap();
        let Some(last) = some.last() else { return kept };
        after = last.row;
        kept.extend(some.iter().map(|frame| u64::from_le_bytes(frame.wire[..8].try_into().unwrap())));
    }
}

fn texts(rows: &[OutboxRow]) -> Vec<String> {
    let text = |row: &OutboxRow| match decode(&row.payload).unwrap().content {
        Content::Text(text) => text,
        other => format!("{other:?}"),
    };
    rows.iter().map(text).collect()
}

fn said(events: &[PendingEvent]) -> Vec<&str> {
    events.iter().map(text_of).collect()
}

fn text_of(pending: &PendingEvent) -> &str {
    match &pending.event {
        Event::Message { text, .. } => text,
        other => panic!("{other:?}"),
    }
}
