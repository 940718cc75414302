//! Findings and what becomes of them, and what an earlier version has written.

use bytes::Bytes;
use kez_core::{
    handle::Policy,
    identity::SecretKey,
    payload::{Content, MessageId, Payload},
};

use super::*;
use crate::{
    contacts::{Agreement, Notice},
    event::{Event, EventId},
    store::{Frame, Incoming, database_key, schema, unlock},
};

fn own() -> SecretKey {
    SecretKey::from_seed([0xff; 32])
}

fn person(number: u8) -> PrimaryKey {
    SecretKey::from_seed([number; 32]).primary()
}

fn handle(name: &str) -> Handle {
    Handle::from_qualified(&format!("{name}@kez.lat"), Policy::Production).unwrap()
}

/// A sound walk of somebody's chain, which names a handle.
fn finding(number: u8, word: Word, names: &str, looked_up: Option<(&str, HomeSays)>) -> Finding {
    let head = Head::from_bytes([number; 32]);
    Finding {
        owner: person(number),
        word,
        began_at: (word == Word::None).then_some(head),
        said: Said {
            seq: 3,
            head,
            handle: Some(handle(names)),
            retired: false,
            inbox_home: Some(handle(names).home().clone()),
            broker_url: None,
            install: None,
            claims: Vec::new(),
        },
        new_events: Vec::new(),
        pin: None,
        base: "https://sig.example".into(),
        walk: WalkEnd::Sound,
        looked_up: looked_up.map(|(name, says)| LookUp { handle: handle(name), says }),
        now_ms: 1,
    }
}

async fn keep(store: &Store, finding: Finding) -> ContactRow {
    match store.keep_contact(finding, handle("alice").home().clone()).await.unwrap() {
        Kept::Done(row) => *row,
        other => panic!("{other:?}"),
    }
}

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kez.db"), &own()).await.unwrap();
    (dir, store)
}

async fn notices(store: &Store) -> Vec<(PrimaryKey, Notice)> {
    let events = store.events_after(EventId::default(), 100).await.unwrap();
    let told = |event| match event {
        Event::Contact { who, notice } => Some((who.primary, notice)),
        _ => None,
    };
    events.into_iter().filter_map(|pending| told(pending.event)).collect()
}

#[tokio::test]
async fn who_has_a_handle_by_their_chain_alone_loses_it_to_whom_its_home_names() {
    let (_dir, store) = store().await;
    keep(&store, finding(1, Word::Handle, "mallory", Some(("mallory", HomeSays::Theirs)))).await;
    let row = keep(&store, finding(1, Word::None, "ceo", Some(("ceo", HomeSays::Nobody)))).await;
    assert_eq!((row.handle, row.agreed), (Some(handle("ceo")), false));
    assert_eq!(store.pinned(&handle("ceo")).await.unwrap(), None, "nobody has it by that");
    // Another chain that says the same changes nothing.
    let row = keep(&store, finding(2, Word::Key, "ceo", Some(("ceo", HomeSays::Silent)))).await;
    assert_eq!(row.handle, None);

    let row = keep(&store, finding(3, Word::Handle, "ceo", Some(("ceo", HomeSays::Theirs)))).await;
    assert_eq!((row.handle, row.agreed), (Some(handle("ceo")), true));
    assert_eq!(store.contact(person(1)).await.unwrap().unwrap().handle, None);
    let one_sided = Agreement::OneSided;
    let renamed =
        Notice::HandleChanged { from: Some(handle("mallory")), to: Some(handle("ceo")), agreement: one_sided };
    let lost = Notice::HandleChanged { from: Some(handle("ceo")), to: None, agreement: one_sided };
    assert_eq!(notices(&store).await, [(person(1), renamed), (person(1), lost)]);
}

#[tokio::test]
async fn a_home_alone_renames_nobody_and_gives_no_name_to_find_them_by() {
    let (_dir, store) = store().await;
    keep(&store, finding(1, Word::Handle, "bob", Some(("bob", HomeSays::Theirs)))).await;
    let mut lie = finding(1, Word::None, "bob", Some(("mallory", HomeSays::Theirs)));
    lie.base = "https://elsewhere.example".into();
    let row = keep(&store, lie).await;
    assert_eq!((row.handle, row.agreed), (Some(handle("bob")), true));
    assert_eq!(store.pinned(&handle("mallory")).await.unwrap(), Some(person(1)), "what was seen first is remembered");
    assert!(store.contact_by_handle(&handle("mallory")).await.unwrap().is_none());
    let mut moved = finding(1, Word::None, "bob", Some(("bob", HomeSays::Nobody)));
    moved.base = "https://elsewhere.example".into();
    assert_eq!(keep(&store, moved).await.sigchain_base, "https://sig.example");
}

#[tokio::test]
async fn a_finding_that_was_overtaken_is_not_kept() {
    let (_dir, store) = store().await;
    let first = finding(1, Word::Handle, "bob", Some(("bob", HomeSays::Theirs)));
    keep(&store, first.clone()).await;
    let home = handle("alice").home().clone();
    let late = store.keep_contact(first, home.clone()).await.unwrap();
    assert!(matches!(late, Kept::Overtaken), "{late:?}");
    store.forget_contact(person(1)).await.unwrap();
    let late = store.keep_contact(finding(1, Word::None, "bob", None), home.clone()).await.unwrap();
    assert!(matches!(late, Kept::Overtaken), "{late:?}");
    let mut nobody = finding(1, Word::None, "bob", None);
    nobody.began_at = None;
    let late = store.keep_contact(nobody, home).await.unwrap();
    assert!(matches!(late, Kept::Nothing), "a look makes nobody a contact: {late:?}");
}

#[tokio::test]
async fn another_handle_in_a_message_is_told_once_and_gives_reason_for_a_look() {
    let (_dir, store) = store().await;
    keep(&store, finding(1, Word::Handle, "bob", Some(("bob", HomeSays::Theirs)))).await;
    keep(&store, finding(1, Word::None, "bobby", Some(("bobby", HomeSays::Theirs)))).await;
    let before = notices(&store).await.len();
    let names = [Some("bobby"), Some("bob"), Some("robert"), Some("robert"), None, None, Some("bobby")];
    for (seq, name) in (1..).zip(names) {
        let payload = Payload {
            id: MessageId(rand::random()),
            install: Install::from_bytes([1; 8]),
            seq,
            sent_at_ms: 1,
            from: name.map(handle),
            to: None,
            content: Content::Text("hello".into()),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let (author, bytes) = (person(1), payload.encode().unwrap());
        let incoming = Incoming { author, payload, bytes, wire: Bytes::new(), misaddressed: false };
        store.receive(own().primary(), vec![Frame::Message(incoming.into())], 2).await.unwrap();
    }
    let differs = (person(1), Notice::HandleDiffers { says: handle("robert") });
    assert_eq!(notices(&store).await[before..], [differs], "both others are known to be his, and none says nothing");
    assert_eq!(store.next_look(2).await.unwrap().unwrap().wait_ms, 60_000 - 1);
    let row = store.contact(person(1)).await.unwrap().unwrap();
    assert_eq!((row.handle, row.agreed), (Some(handle("bobby")), true), "a message alone changes nothing");
}

#[tokio::test]
async fn troubles_of_an_earlier_version_get_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kez.db");
    let mut connection = unlock(Connection::open(&path).unwrap(), &database_key(&own())).unwrap();
    schema::migrate(&mut connection, 4).unwrap();
    let found = person(9);
    let cases = [
        (1, None, None, true, None),
        (2, Some(format!("bob@kez.lat now belongs to another key ({found}) than before (x); …")), None, true, {
            Some(Trouble::KeyChanged { found })
        }),
        (3, Some("the sigchain of bob is not sound: …".to_owned()), Some("one\nother"), true, Some(Trouble::Forked)),
        (
            4,
            Some("…: the server shows a chain that ends at event 2, but event 3 was seen before; …".to_owned()),
            None,
            false,
            Some(Trouble::RolledBack),
        ),
        (5, Some("anything".to_owned()), Some("a refused event"), false, {
            Some(Trouble::ChainUnsound { code: String::new() })
        }),
    ];
    for (number, text, evidence, lasts, _) in &cases {
        let insert = "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
            reachable, trouble, evidence, trouble_lasts) VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1, ?2, ?3, ?4)";
        connection.execute(insert, (person(*number).as_bytes(), text, evidence, lasts)).unwrap();
    }
    drop(connection);
    let store = Store::open(&path, &own()).await.unwrap();
    for (number, _, evidence, lasts, expected) in cases {
        let row = store.contact(person(number)).await.unwrap().unwrap();
        assert_eq!(row.trouble(), expected, "{number}");
        assert_eq!(store.evidence(person(number)).await.unwrap().as_deref(), evidence.filter(|_| lasts));
    }
}
