//! A store's file with a past, and the people in it.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use kez_core::{
    filecrypt::FileKey,
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, SecretKey},
    payload::{Addresses, Content, FileEntry, FileShare, MessageId, Payload, ReceiptStatus, SharePath},
    sigchain::{Head, Install},
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::super::{
    Draft, Finding, Frame, HomeSays, Incoming, LookUp, OutboxRow, Said, Store, WalkEnd, Word, announce::decode,
    database_key, schema, unlock,
};
use crate::{
    event::{Event, EventId, MessageState, PendingEvent},
    message::Place,
};

/// Where a file comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    New,
    /// An application of that version has written it.
    Version(u32),
}

/// A file, and the store that has it open.
pub(super) struct Site {
    dir: TempDir,
    is_reopened: bool,
    store: Option<Store>,
    /// The last event of its past.
    past: EventId,
}

/// Somebody: 1 is whose store it is, 2 and 3 are contacts, 4 is a contact of the past, others are strangers.
pub(super) fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

pub(super) fn person(number: u8) -> PrimaryKey {
    key(number).primary()
}

pub(super) fn own() -> PrimaryKey {
    person(1)
}

pub(super) fn handle(number: u8) -> Handle {
    Handle::from_qualified(&format!("person-{number}@kez.lat"), Policy::Production).unwrap()
}

pub(super) fn home() -> Home {
    handle(1).home().clone()
}

/// What a first look at somebody shows.
pub(super) fn contact(number: u8) -> Finding {
    let said = Said {
        seq: 3,
        head: Head::from_bytes([number; 32]),
        handle: Some(handle(number)),
        retired: false,
        inbox_home: Some(home()),
        broker_url: None,
        install: None,
        claims: Vec::new(),
    };
    Finding {
        owner: person(number),
        word: Word::Handle,
        began_at: None,
        said,
        new_events: Vec::new(),
        pin: None,
        base: "https://sig.example".into(),
        walk: WalkEnd::Sound,
        looked_up: Some(LookUp { handle: handle(number), says: HomeSays::Theirs }),
        now_ms: 1,
    }
}

pub(super) fn draft(to: u8, text: &str) -> Draft {
    Draft {
        recipient: person(to),
        own: own(),
        own_handle: handle(1),
        install: Install::from_bytes([1; 8]),
        id: MessageId(rand::random()),
        nats_msg_id: rand::random(),
        sent_at_ms: 1,
        content: Content::Text(text.into()),
        reply_to: None,
        at_once: true,
    }
}

/// Somebody's payload to us; its number counts for their only installation.
pub(super) fn payload(from: u8, id: [u8; 16], seq: u64, content: Content) -> Payload {
    Payload {
        id: MessageId(id),
        install: Install::from_bytes([from; 8]),
        seq,
        sent_at_ms: 1,
        from: Some(handle(from)),
        to: Some(handle(1)),
        content,
        own_head: None,
        peer_head: None,
        reply_to: None,
    }
}

pub(super) fn frame(from: u8, payload: Payload) -> Frame {
    let bytes = payload.encode().unwrap();
    let author = person(from);
    Frame::Message(Incoming { author, payload, bytes, wire: Bytes::new(), misaddressed: false }.into())
}

/// The text of that number from somebody.
pub(super) fn text(from: u8, seq: u64) -> Frame {
    let mut id = [from; 16];
    id[..8].copy_from_slice(&seq.to_le_bytes());
    frame(from, payload(from, id, seq, Content::Text(seq.to_string())))
}

pub(super) fn offer() -> Content {
    let entry = FileEntry {
        path: SharePath::parse("report.pdf").unwrap(),
        media_type: String::new(),
        blob_hash: [1; 32],
        key: FileKey::from_bytes([2; 32]),
        plain_hash: [3; 32],
        plain_len: 4,
    };
    Content::FileShare(FileShare { entries: vec![entry], addresses: Addresses::default() })
}

impl Site {
    pub(super) async fn new(origin: Origin, is_reopened: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Self { dir, is_reopened, store: None, past: EventId::default() };
        if let Origin::Version(version) = origin {
            write_past(unlock(Connection::open(site.path()).unwrap(), &database_key(&key(1))).unwrap(), version);
        }
        site.store().await.begin_account(Install::from_bytes([1; 8])).await.unwrap();
        for number in [2, 3] {
            site.store().await.keep_contact(contact(number), home()).await.unwrap();
        }
        let past = site.store().await.events_after(EventId::default(), 9).await.unwrap();
        site.past = past.last().map(|pending| pending.id).unwrap_or_default();
        site
    }

    /// Returns the store for the next call.
    pub(super) async fn store(&mut self) -> &Store {
        if self.is_reopened
            && let Some(store) = self.store.take()
        {
            store.close().await;
        }
        if self.store.is_none() {
            self.store = Some(Store::open(&self.path(), &key(1)).await.unwrap());
        }
        self.store.as_ref().unwrap()
    }

    /// Opens a copy of what is on disk now, as after the process was killed.
    pub(super) async fn after_a_kill(&self) -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["kez.db", "kez.db-wal"] {
            // A store that was closed leaves no log.
            if self.dir.path().join(name).exists() {
                fs::copy(self.dir.path().join(name), dir.path().join(name)).unwrap();
            }
        }
        let store = Store::open(&dir.path().join("kez.db"), &key(1)).await.unwrap();
        (dir, store)
    }

    /// Returns the events that are not of its past and were not handled yet.
    pub(super) async fn events(&mut self) -> Vec<PendingEvent> {
        let past = self.past;
        self.store().await.events_after(past, 2_000).await.unwrap()
    }

    /// Lists what waits for the broker, to somebody who is not of its past.
    pub(super) async fn waiting(&mut self, to: u8) -> Vec<OutboxRow> {
        let mut rows = self.store().await.waiting(0, 100).await.unwrap();
        rows.retain(|row| row.recipient == *person(to).as_bytes());
        rows
    }

    pub(super) async fn state(&mut self, id: MessageId) -> MessageState {
        self.store().await.message_state(own(), id).await.unwrap().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kez.db")
    }
}

const ID_IN_STATE: [[u8; 16]; 5] = [[0xa0; 16], [0xa1; 16], [0xa2; 16], [0xa3; 16], [0xa4; 16]];
const THEIR_ID: [u8; 16] = [0xb0; 16];
const OFFER_ID: [u8; 16] = [0xb1; 16];

/// Fills a file as the first version has, and takes it as far as a later one.
fn write_past(mut connection: Connection, version: u32) {
    schema::migrate(&mut connection, 1).unwrap();
    let (own, them) = (*own().as_bytes(), *person(4).as_bytes());
    connection
        .execute(
            "INSERT INTO account (id, install, born_at_ms, backed_up, handle, sigchain_base, published, epoch)
             VALUES (1, zeroblob(8), 0, 1, ?1, 'https://sig.example', 1, 'first')",
            [handle(1).to_string()],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO contacts (owner, handle, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
                inbox_home, reachable)
             VALUES (?1, ?2, 1, 'https://sig.example', 1, 3, zeroblob(32), 0, 'kez.lat', 1)",
            (them, handle(4).to_string()),
        )
        .unwrap();
    connection.execute("INSERT INTO pins VALUES (?1, ?2)", (handle(4).to_string(), them)).unwrap();
    connection.execute("INSERT INTO sequences VALUES (?1, 5)", [them]).unwrap();
    let mut insert = connection
        .prepare(
            "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state, receipt_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, 1, ?6, ?7)",
        )
        .unwrap();
    for (state, id) in ID_IN_STATE.into_iter().enumerate() {
        let seq = u64::try_from(state).unwrap() + 1;
        let sent = payload(1, id, seq, Content::Text(format!("in state {state}"))).encode().unwrap();
        insert.execute((own, id, them, 1, &**sent, state, None::<u64>)).unwrap();
        if state < 2 {
            connection
                .execute(
                    "INSERT INTO outbox (recipient, message_id, nats_msg_id, payload, awaits_receipt, sent)
                     VALUES (?1, ?2, ?2, ?3, 1, ?4)",
                    (them, id, &**sent, state),
                )
                .unwrap();
        }
    }
    let theirs = payload(4, THEIR_ID, 1, Content::Text("from before".into())).encode().unwrap();
    insert.execute((them, THEIR_ID, them, 1, &**theirs, 0, 1)).unwrap();
    let offered = payload(4, OFFER_ID, 2, offer()).encode().unwrap();
    insert.execute((them, OFFER_ID, them, 2, &**offered, 0, 1)).unwrap();
    drop(insert);
    connection.execute("INSERT INTO offers (author, message_id) VALUES (?1, ?2)", (them, OFFER_ID)).unwrap();
    connection.execute("INSERT INTO receipts_due VALUES (?1, ?2)", (them, THEIR_ID)).unwrap();
    let event = serde_json::json!({
        "kind": "message", "from": { "primary": person(4), "handle": handle(4).to_string() },
        "id": MessageId(THEIR_ID), "sent_at_ms": 1, "text": "from before",
    });
    connection.execute("INSERT INTO events (body) VALUES (?1)", [event.to_string()]).unwrap();
    connection.execute("INSERT INTO quarantine VALUES (1, 'UnknownSuite', 1, x'0109')", []).unwrap();
    connection.execute("INSERT INTO own_files VALUES (?1, ?1, ?1, 4)", [[7; 32]]).unwrap();
    connection.execute("INSERT INTO file_readers VALUES (?1, ?2)", ([7; 32], them)).unwrap();
    schema::migrate(&mut connection, version).unwrap();
    assert_eq!(schema::version(&connection).unwrap(), version);
}

/// Looks for everything that the first version has written.
pub(super) async fn inheritance_is_whole(site: &mut Site) {
    let account = site.store().await.account().await.unwrap().unwrap();
    assert_eq!((account.handle, account.backed_up, account.published), (Some(handle(1)), true, true));
    let them = site.store().await.contact_by_handle(&handle(4)).await.unwrap().unwrap();
    assert_eq!(them.owner, person(4));
    let pinned = site.store().await.pinned(&handle(4)).await.unwrap();
    assert_eq!(pinned, Some(person(4)));

    use MessageState::{Delivered, Queued, Read, Sent, Withdrawn};
    for (id, state) in ID_IN_STATE.into_iter().zip([Queued, Sent, Delivered, Read, Withdrawn]) {
        assert_eq!(site.state(MessageId(id)).await, state);
    }
    let ids = |rows: Vec<OutboxRow>| rows.iter().map(|row| row.message_id.0).collect::<Vec<_>>();
    assert_eq!(ids(site.waiting(4).await), ID_IN_STATE[..1]);
    assert!(site.store().await.note_epoch("second").await.unwrap(), "a broker that was lost has it sent again");
    assert_eq!(ids(site.waiting(4).await), ID_IN_STATE[..2]);

    let events = site.store().await.events_after(EventId::default(), 9).await.unwrap();
    let [PendingEvent { event: Event::Message { from, text, .. }, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((from.primary, text.as_str()), (person(4), "from before"));
    let due = site.store().await.receipts_due(9).await.unwrap().unwrap();
    assert_eq!((due.to, due.status, due.ids), (person(4), ReceiptStatus::Delivered, vec![MessageId(THEIR_ID)]));
    let shown = site.store().await.history(own(), person(4), Place::END, 9).await.unwrap();
    let names: Vec<_> = shown.iter().map(|message| (message.place.number(), message.name.id.0)).collect();
    let said = ID_IN_STATE.into_iter().chain([THEIR_ID, OFFER_ID]);
    assert_eq!(names, (1..).zip(said).collect::<Vec<_>>());
    let conversations = site.store().await.conversations(own()).await.unwrap();
    let [conversation] = &conversations[..] else { panic!("{conversations:?}") };
    assert_eq!((conversation.with.primary, conversation.unread, conversation.read_place.number()), (person(4), 0, 7));
    let again = payload(4, THEIR_ID, 1, Content::Text("from before".into()));
    site.store().await.receive(own(), vec![frame(4, again)], 2).await.unwrap();
    assert!(site.events().await.is_empty(), "what is known is no news");
    let put_aside = site.store().await.quarantined(0, "this version").await.unwrap();
    assert_eq!(put_aside.iter().map(|frame| frame.wire.as_slice()).collect::<Vec<_>>(), [[1, 9]]);

    site.store().await.queue_message(draft(4, "onward")).await.unwrap();
    let rows = site.waiting(4).await;
    let last = decode(&rows.last().unwrap().payload).unwrap();
    assert_eq!(last.seq, 6, "the numbers go on");
    #[cfg(feature = "files")]
    {
        let offers = site.store().await.offers().await.unwrap();
        assert_eq!(offers.len(), 1);
        assert_eq!(Content::FileShare(offers[0].share.clone()), offer());
        assert_eq!(site.store().await.file_readers().await.unwrap(), [(person(4), [7; 32])]);
        let shares = site.store().await.own_shares().await.unwrap();
        let [share] = &shares[..] else { panic!("{} shares", shares.len()) };
        assert_eq!((share.readers[0].primary, share.file_count, share.total_bytes), (person(4), 1, 4));
    }
}
