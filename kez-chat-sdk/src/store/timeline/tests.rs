use bytes::Bytes;
use kez_core::{
    handle::{Handle, Policy},
    identity::{PrimaryKey, SecretKey},
    payload::{Content, MessageId, MessageRef as WireRef, Payload, ReceiptStatus},
    sigchain::Install,
};
use proptest::prelude::*;

use crate::{
    conversations::ConversationSummary,
    event::{Event, EventId, MessageState},
    message::{Message, MessageContent, MessageRef, Place},
    store::{Draft, Frame, Incoming, Store, StoreError},
};

pub(in crate::store) fn person(number: u8) -> PrimaryKey {
    SecretKey::from_seed([number; 32]).primary()
}

/// Whose store it is; 2 and 3 are contacts.
pub(in crate::store) fn own() -> PrimaryKey {
    person(1)
}

pub(in crate::store) async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
    for number in [2, 3] {
        let contact = "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
            inbox_home, reachable) VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 'kez.lat', 1)";
        let owner = person(number);
        store.transact::<_, StoreError>(move |db| Ok(db.execute(contact, [owner.as_bytes()])?)).await.unwrap();
    }
    (dir, store)
}

pub(in crate::store) fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

pub(in crate::store) fn edit(id: [u8; 16], text: &str) -> Content {
    Content::Edit { id: MessageId(id), text: text.to_owned() }
}

pub(in crate::store) fn delete(id: [u8; 16]) -> Content {
    Content::Delete { id: MessageId(id) }
}

fn reaction(author: PrimaryKey, id: [u8; 16], emoji: &str) -> Content {
    Content::Reaction { target: WireRef { author: *author.as_bytes(), id: MessageId(id) }, emoji: emoji.to_owned() }
}

/// A message of somebody's, from an installation of its own, so that it waits for no other.
pub(in crate::store) fn incoming(from: u8, id: [u8; 16], sent_at_ms: u64, content: Content) -> Frame {
    let payload = Payload {
        id: MessageId(id),
        install: Install::from_bytes(rand::random()),
        seq: 1,
        sent_at_ms,
        from: None,
        to: None,
        content,
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    let bytes = payload.encode().unwrap();
    Frame::Message(Incoming { author: person(from), payload, bytes, wire: Bytes::new(), misaddressed: false }.into())
}

pub(in crate::store) fn draft(to: u8, content: Content) -> Draft {
    Draft {
        recipient: person(to),
        own: own(),
        own_handle: Handle::from_qualified("alice@kez.lat", Policy::Production).unwrap(),
        install: Install::from_bytes([1; 8]),
        id: MessageId(rand::random()),
        nats_msg_id: rand::random(),
        sent_at_ms: 5,
        content,
        reply_to: None,
        at_once: true,
    }
}

pub(in crate::store) async fn take(store: &Store, frames: Vec<Frame>) {
    store.receive(own(), frames, 10).await.unwrap();
}

async fn page(store: &Store, peer: u8) -> Vec<Message> {
    store.history(own(), person(peer), Place::END, 100).await.unwrap()
}

/// What a conversation shows, a line for each message.
pub(in crate::store) async fn lines(store: &Store, peer: u8) -> Vec<String> {
    let line = |message: &Message| {
        let said = match &message.content {
            MessageContent::Text { text, edited: false } => text.clone(),
            MessageContent::Text { text, edited: true } => format!("{text}*"),
            MessageContent::Deleted => "-".to_owned(),
            other => panic!("{other:?}"),
        };
        let reactions: Vec<&str> = message.reactions.iter().map(|reaction| reaction.emoji.as_str()).collect();
        [vec![said.as_str()], reactions].concat().join(" ")
    };
    page(store, peer).await.iter().map(line).collect()
}

async fn events(store: &Store) -> Vec<Event> {
    let events = store.events_after(EventId::default(), 1_000).await.unwrap();
    events.into_iter().map(|pending| pending.event).collect()
}

async fn summary(store: &Store, peer: u8) -> ConversationSummary {
    store.conversation(own(), person(peer)).await.unwrap()
}

#[tokio::test]
async fn changes_act_on_their_authors_messages_of_this_conversation_only() {
    let (_dir, store) = store().await;
    take(&store, vec![incoming(2, [1; 16], 1, text("hello")), incoming(3, [2; 16], 1, text("from another"))]).await;
    let ours = draft(2, text("ours"));
    let own_id = ours.id.0;
    store.queue_message(ours).await.unwrap();
    let before = events(&store).await.len();
    let bad = [
        incoming(3, [10; 16], 2, edit([1; 16], "mine now")),
        incoming(3, [11; 16], 2, delete([1; 16])),
        incoming(2, [12; 16], 2, edit(own_id, "you said so")),
        incoming(2, [13; 16], 2, delete(own_id)),
        incoming(3, [14; 16], 2, reaction(person(2), [1; 16], "x")),
        incoming(3, [15; 16], 2, reaction(own(), own_id, "x")),
        incoming(2, [16; 16], 2, reaction(person(3), [2; 16], "x")),
        incoming(2, [17; 16], 2, edit([99; 16], "of nothing")),
    ];
    take(&store, bad.into()).await;
    assert_eq!(lines(&store, 2).await, ["hello", "ours"]);
    assert_eq!(lines(&store, 3).await, ["from another"]);
    assert_eq!(events(&store).await.len(), before, "nothing to be told");

    let good = vec![
        incoming(2, [20; 16], 2, edit([1; 16], "hello there")),
        incoming(2, [21; 16], 3, reaction(own(), own_id, "+1")),
        incoming(2, [22; 16], 4, reaction(person(2), [1; 16], "me")),
    ];
    take(&store, good).await;
    assert_eq!(
        lines(&store, 2).await,
        ["hello there*", "ours +1"]
            .map(str::to_owned)
            .map(|line| { if line.starts_with("hello") { format!("{line} me") } else { line } })
    );
    let told = &events(&store).await[before..];
    assert!(matches!(&told[0], Event::Edited { id, text, .. } if id.0 == [1; 16] && text == "hello there"));
    assert!(matches!(&told[1], Event::Reaction { to, emoji: Some(emoji), .. }
        if *to == MessageRef { author: own(), id: MessageId(own_id) } && emoji == "+1"));
}

#[tokio::test]
async fn what_is_deleted_is_gone_from_the_file_and_does_not_come_again() {
    let (_dir, store) = store().await;
    take(&store, vec![incoming(2, [1; 16], 1, text("secret")), incoming(2, [3; 16], 2, edit([1; 16], "secreter"))])
        .await;
    take(&store, vec![incoming(2, [4; 16], 3, delete([1; 16]))]).await;
    assert_eq!(lines(&store, 2).await, ["-"]);
    assert_eq!(summary(&store, 2).await.unread, 0, "there is nothing to be read");
    for again in [text("secret"), text("another")] {
        take(&store, vec![incoming(2, [1; 16], 1, again)]).await;
    }
    take(
        &store,
        vec![
            incoming(2, [5; 16], 9, edit([1; 16], "back")),
            incoming(2, [6; 16], 9, reaction(person(2), [1; 16], "x")),
        ],
    )
    .await;
    assert_eq!(lines(&store, 2).await, ["-"], "a deletion ends it");
    let left: u64 = store
        .read(|db| {
            Ok(db.query_row("SELECT count(*) FROM messages WHERE instr(payload, 'secret') > 0", [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(left, 0);
    let told = events(&store).await;
    assert_eq!(told.iter().filter(|event| matches!(event, Event::Deleted { .. })).count(), 1);
    assert_eq!(told.len(), 3, "{told:?}");
}

#[tokio::test]
async fn ones_own_changes_come_after_each_other_whatever_the_clock_says() {
    let (_dir, store) = store().await;
    let ours = draft(2, text("one"));
    let id = ours.id.0;
    store.queue_message(ours).await.unwrap();
    for (sent_at_ms, wording) in [(90, "two"), (20, "three"), (1, "four")] {
        store.queue_message(Draft { sent_at_ms, ..draft(2, edit(id, wording)) }).await.unwrap();
        assert_eq!(lines(&store, 2).await, [format!("{wording}*")]);
    }
    store.queue_message(draft(2, reaction(own(), id, "a"))).await.unwrap();
    store.queue_message(draft(2, reaction(own(), id, "b"))).await.unwrap();
    assert_eq!(lines(&store, 2).await, ["four* b"]);
    store.queue_message(draft(2, reaction(own(), id, ""))).await.unwrap();
    assert_eq!(lines(&store, 2).await, ["four*"]);
}

/// Nobody can make a message slow to read, or keep what they have reworded.
#[tokio::test]
async fn of_many_changes_only_the_last_is_kept() {
    let (_dir, store) = store().await;
    take(&store, vec![incoming(2, [1; 16], 1, text("hello"))]).await;
    for number in 2..=20_u8 {
        let said = [edit([1; 16], &format!("wording {number}")), reaction(person(2), [1; 16], "x")];
        for (kind, content) in (0..).zip(said) {
            let mut id = [number; 16];
            id[0] = kind;
            take(&store, vec![incoming(2, id, number.into(), content)]).await;
        }
    }
    assert_eq!(lines(&store, 2).await, ["wording 20* x"]);
    let kept = "SELECT count(*), sum(length(payload) > 0 AND about_id IS NOT NULL) FROM messages";
    let kept: (u64, u64) =
        store.read(move |db| Ok(db.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?)))?)).await.unwrap();
    assert_eq!(kept, (39, 2), "the names of all stay taken");
    let ours = draft(2, text("one"));
    let id = ours.id;
    store.queue_message(ours).await.unwrap();
    let change = Draft { at_once: false, ..draft(2, edit(id.0, "two")) };
    let change_id = change.id;
    store.queue_message(change).await.unwrap();
    assert!(store.cancel(own(), person(2), change_id).await.unwrap().is_none(), "another change makes it good");
}

#[tokio::test]
async fn only_what_is_there_can_be_changed_answered_or_taken_back() {
    let (_dir, store) = store().await;
    take(&store, vec![incoming(2, [1; 16], 1, text("theirs")), incoming(3, [2; 16], 1, text("elsewhere"))]).await;
    let ours = draft(2, text("ours"));
    let own_id = ours.id.0;
    store.queue_message(ours).await.unwrap();
    let reply = |author, id| Draft { reply_to: Some(MessageRef { author, id: MessageId(id) }), ..draft(2, text("re")) };
    for refused in [
        draft(2, edit([1; 16], "x")),
        draft(2, edit([9; 16], "x")),
        draft(3, edit(own_id, "x")),
        draft(2, reaction(person(3), [2; 16], "x")),
        reply(person(3), [2; 16]),
        reply(own(), [1; 16]),
    ] {
        assert_eq!(store.queue_message(refused).await.unwrap_err().code(), "NoSuchMessage");
    }
    let taken_back = store.delete_own(draft(2, delete([1; 16])), MessageId([1; 16])).await;
    assert_eq!(taken_back.unwrap_err().code(), "NoSuchMessage", "it is theirs");
    store.queue_message(reply(person(2), [1; 16])).await.unwrap();
    let answer = page(&store, 2).await.pop().unwrap();
    assert_eq!(answer.reply_to, Some(MessageRef { author: person(2), id: MessageId([1; 16]) }));

    store.delete_own(draft(2, delete(own_id)), MessageId(own_id)).await.unwrap();
    assert_eq!(lines(&store, 2).await, ["theirs", "-", "re"]);
    assert_eq!(store.queue_message(draft(2, edit(own_id, "x"))).await.unwrap_err().code(), "NoSuchMessage");
}

#[tokio::test]
async fn what_was_not_sent_is_cancelled_when_it_is_taken_back() {
    let (_dir, store) = store().await;
    let ours = Draft { at_once: false, ..draft(2, text("never mind")) };
    let id = ours.id;
    store.queue_message(ours).await.unwrap();
    store.delete_own(draft(2, delete(id.0)), id).await.unwrap();
    assert!(store.waiting(0, 9).await.unwrap().is_empty(), "they hear nothing of it");
    assert_eq!(store.message_state(own(), id).await.unwrap(), Some(MessageState::Withdrawn));
    assert_eq!(lines(&store, 2).await, ["-"]);
}

#[tokio::test]
async fn a_note_to_oneself_is_kept_and_sent_nowhere() {
    let (_dir, store) = store().await;
    let note = draft(1, text("milk"));
    let id = note.id;
    store.queue_message(note).await.unwrap();
    store.queue_message(draft(1, edit(id.0, "milk, bread"))).await.unwrap();
    assert!(store.waiting(0, 9).await.unwrap().is_empty());
    assert_eq!(lines(&store, 1).await, ["milk, bread*"]);
    assert_eq!((page(&store, 1).await[0].state, summary(&store, 1).await.unread), (Some(MessageState::Read), 0));
    store.delete_own(draft(1, delete(id.0)), id).await.unwrap();
    assert_eq!(lines(&store, 1).await, ["-"]);
}

#[tokio::test]
async fn what_was_read_is_told_to_who_wrote_it_unless_they_are_not_to_know() {
    let (_dir, store) = store().await;
    let forget = "DELETE FROM receipts_due";
    for (index, tells) in [true, false].into_iter().enumerate() {
        let first = u8::try_from(index).unwrap() * 10;
        let frames = (1..=3).map(|number| incoming(2, [first + number; 16], 1, text("hello")));
        take(&store, frames.collect()).await;
        store.transact::<_, StoreError>(move |db| Ok(db.execute(forget, [])?)).await.unwrap();
        assert_eq!(summary(&store, 2).await.unread, 3);
        let second = page(&store, 2).await[index * 3 + 1].place;
        store.mark_read(person(2), second, tells).await.unwrap();
        let read = summary(&store, 2).await;
        assert_eq!((read.unread, read.read_place), (1, second));
        let due = store.receipts_due(9).await.unwrap();
        assert_eq!(due.map(|due| (due.status, due.ids.len())), tells.then_some((ReceiptStatus::Read, 2)));
        store.mark_read(person(2), Place::new(1), tells).await.unwrap();
        assert_eq!(summary(&store, 2).await.read_place, second, "what was read stays read");
        store.mark_read(person(2), Place::END, tells).await.unwrap();
        assert_eq!(summary(&store, 2).await.unread, 0);
    }
}

#[tokio::test]
async fn the_list_tells_of_each_conversation_and_a_new_message_brings_one_back() {
    let (_dir, store) = store().await;
    take(&store, vec![incoming(2, [1; 16], 1, text("two"))]).await;
    store.receive(own(), vec![incoming(3, [2; 16], 1, text("three"))], 20).await.unwrap();
    let order = async || -> Vec<PrimaryKey> {
        let list = store.conversations(own()).await.unwrap();
        list.iter().map(|conversation| conversation.with.primary).collect()
    };
    assert_eq!(order().await, [person(3), person(2)]);
    store.set_archived(person(2), true).await.unwrap();
    store.set_archived(person(3), true).await.unwrap();
    store.set_muted(person(3), u64::MAX).await.unwrap();
    store.set_draft(person(2), Some("I was about".into())).await.unwrap();
    store
        .receive(own(), vec![incoming(2, [3; 16], 1, text("new")), incoming(3, [4; 16], 1, text("new"))], 30)
        .await
        .unwrap();
    let (two, three) = (summary(&store, 2).await, summary(&store, 3).await);
    assert!(!two.is_archived && three.is_archived, "what is muted stays away");
    assert_eq!((two.muted_until_ms, three.muted_until_ms), (None, Some(u64::MAX)));
    assert_eq!((two.draft.as_deref(), two.unread), (Some("I was about"), 2));
    assert_eq!(two.last.unwrap().content, MessageContent::Text { text: "new".into(), edited: false });
    store.set_draft(person(2), None).await.unwrap();
    assert_eq!(summary(&store, 2).await.draft, None);
}

#[tokio::test]
async fn pages_lead_back_to_the_beginning() {
    let (_dir, store) = store().await;
    for number in 0..25_u8 {
        take(&store, vec![incoming(2, [number; 16], 1, text(&number.to_string()))]).await;
    }
    let (mut before, mut read) = (Place::END, Vec::new());
    loop {
        let page = store.history(own(), person(2), before, 10).await.unwrap();
        let Some(first) = page.first() else { break };
        before = first.place;
        read.splice(0..0, page.iter().map(|message| message.name.id.0[0]));
    }
    assert_eq!(read, (0..25).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Edits, reactions and a deletion may come before what they are about, and in any order.
    #[test]
    fn whatever_comes_first_the_same_is_shown(
        order in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle(),
        is_deleted in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_dir, store) = store().await;
            let message = |number| match number {
                0 => incoming(2, [1; 16], 1, text("first")),
                1 => incoming(2, [2; 16], 2, edit([1; 16], "second")),
                2 => incoming(2, [3; 16], 3, edit([1; 16], "third")),
                3 => incoming(2, [4; 16], 3, edit([1; 16], "last by its name")),
                4 => incoming(2, [5; 16], 4, reaction(person(2), [1; 16], "a")),
                5 => incoming(2, [6; 16], 5, reaction(person(2), [1; 16], "b")),
                _ if is_deleted => incoming(2, [7; 16], 1, delete([1; 16])),
                _ => incoming(2, [7; 16], 6, text("something else")),
            };
            for number in order {
                take(&store, vec![message(number)]).await;
            }
            let mut shown = lines(&store, 2).await;
            shown.retain(|line| line != "something else" && line != "-");
            let expected: &[&str] = if is_deleted { &[] } else { &["last by its name* b"] };
            prop_assert_eq!(shown, expected);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_comes_while_something_is_wrong_with_its_sender_is_marked_and_stays_so() {
    for wrong in ["trouble = '{\"trouble\":\"forked\"}'", "found_key = zeroblob(32)", "retired = 1"] {
        let (_dir, store) = store().await;
        let set = async |what: String| {
            let set = format!("UPDATE contacts SET {what} WHERE owner = ?1");
            let change = store.transact::<_, StoreError>(move |db| Ok(db.execute(&set, [person(2).as_bytes()])?));
            assert_eq!(change.await.unwrap(), 1);
        };
        take(&store, vec![incoming(2, [1; 16], 1, text("before"))]).await;
        set(wrong.to_owned()).await;
        take(&store, vec![incoming(2, [2; 16], 2, text("meanwhile")), incoming(2, [3; 16], 3, edit([1; 16], "x"))])
            .await;
        take(&store, vec![incoming(3, [4; 16], 4, text("of somebody else"))]).await;
        set("trouble = NULL, found_key = NULL, retired = 0".to_owned()).await;
        take(&store, vec![incoming(2, [5; 16], 5, text("after"))]).await;

        let marks: Vec<bool> = page(&store, 2).await.iter().map(|message| message.in_doubt).collect();
        assert_eq!(marks, [false, true, false], "{wrong}");
        let told: Vec<bool> = events(&store)
            .await
            .iter()
            .map(|event| match event {
                Event::Message { in_doubt, .. } | Event::Edited { in_doubt, .. } => *in_doubt,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [false, true, true, false, false], "{wrong}");
    }
}
