use kez_core::{
    identity::SecretKey,
    payload::{Content, MessageId},
    sigchain::{Chain, Install, Op, Timestamp},
};

use super::*;
use crate::{
    event::EventId,
    store::{Draft, Finding, Frame, Incoming, Said, WalkEnd, Word, announce::decode, chains::insert_events},
};

const HOUR_MS: u64 = 3_600_000;
const NOW_MS: u64 = 1_000 * DAY_MS;

/// The store of somebody with one contact, and both chains.
struct Stage {
    _dir: tempfile::TempDir,
    store: Store,
    ours: Author,
    theirs: Author,
    messages: u64,
}

struct Author {
    key: SecretKey,
    chain: Chain,
}

impl Author {
    fn new(seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let chain = Chain::new(key.primary(), Policy::Development);
        Self { key, chain }
    }

    fn key(&self) -> PrimaryKey {
        self.key.primary()
    }

    fn sign(&mut self) -> ChainEvent {
        self.chain.sign_next(&self.key, Op::SetHandle(None), &Timestamp::from_unix_ms(0)).unwrap().clone()
    }

    fn at(&self, seq: u64) -> SeenHead {
        SeenHead { seq, head: self.chain.at(seq).unwrap().head() }
    }
}

impl Stage {
    async fn set() -> Self {
        let (ours, theirs) = (Author::new(1), Author::new(2));
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &ours.key).await.unwrap();
        store.begin_account(Install::from_bytes([1; 8])).await.unwrap();
        let contact = "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
            inbox_home, reachable) VALUES (?1, 1, '', 0, 0, zeroblob(32), 0, 'kez.lat', 1)";
        let them = theirs.key();
        store.transact::<_, StoreError>(move |db| Ok(db.execute(contact, [them.as_bytes()])?)).await.unwrap();
        let mut stage = Self { _dir: dir, store, ours, theirs, messages: 0 };
        for _ in 0..3 {
            stage.publish().await;
            stage.walk().await;
        }
        stage
    }

    /// Publishes an event of our own.
    async fn publish(&mut self) {
        self.store.keep_own_event(&self.ours.sign()).await.unwrap();
        self.store.set_uploaded(self.ours.chain.pin().unwrap()).await.unwrap();
    }

    /// Walks to one more event of the contact's.
    async fn walk(&mut self) {
        let event = self.theirs.sign();
        let walked = move |db: &Connection| {
            insert_events(db, std::slice::from_ref(&event), true)?;
            let seen = "UPDATE contacts SET chain_seq = ?2, chain_head = ?3 WHERE owner = ?1";
            Ok(db.execute(seen, (event.primary().as_bytes(), event.seq(), event.head().as_bytes()))?)
        };
        self.store.transact::<_, StoreError>(walked).await.unwrap();
    }

    /// Sends a message, and returns its id and which heads it names.
    async fn send(&self, at_ms: u64) -> (MessageId, Heads) {
        let id = MessageId(rand::random());
        let draft = Draft {
            recipient: self.theirs.key(),
            own: self.ours.key(),
            own_handle: kez_core::handle::Handle::from_qualified("al@kez.lat", Policy::Production).unwrap(),
            install: Install::from_bytes([1; 8]),
            id,
            nats_msg_id: rand::random(),
            sent_at_ms: at_ms,
            content: Content::Text("hello".into()),
            reply_to: None,
            at_once: false,
        };
        self.store.queue_message(draft).await.unwrap();
        (id, self.last_queued().await)
    }

    /// Returns which heads the last message or receipt in the outbox names.
    async fn last_queued(&self) -> Heads {
        let payload = decode(&self.store.waiting(0, 100).await.unwrap().last().unwrap().payload).unwrap();
        Heads { own: payload.own_head, peer: payload.peer_head }
    }

    /// Both heads as they are now.
    fn both(&self) -> Heads {
        let end = |author: &Author| Some(author.at(author.chain.tip().seq()));
        Heads { own: end(&self.ours), peer: end(&self.theirs) }
    }

    /// Lets the contact send a message that names heads.
    async fn hear(&mut self, own_head: Option<SeenHead>, peer_head: Option<SeenHead>) {
        self.messages += 1;
        let payload = Payload {
            id: MessageId(rand::random()),
            install: Install::from_bytes([2; 8]),
            seq: self.messages,
            sent_at_ms: NOW_MS,
            from: None,
            to: None,
            content: Content::Text("hello".into()),
            own_head,
            peer_head,
            reply_to: None,
        };
        let (bytes, wire) = (payload.encode().unwrap(), bytes::Bytes::new());
        let message = Incoming { author: self.theirs.key(), payload, bytes, wire, misaddressed: false };
        self.store.receive(self.ours.key(), vec![Frame::Message(message.into())], NOW_MS).await.unwrap();
    }

    async fn doubted(&self) -> Vec<HeardHead> {
        self.store.doubted_heads(self.ours.key()).await.unwrap()
    }

    /// As if the chains were fetched and showed nothing else: whatever is doubted is told.
    async fn tell(&self, now_ms: u64) {
        let doubted = self.doubted().await;
        self.store.tell_of_disagreement(self.ours.key(), doubted, now_ms).await.unwrap();
    }

    /// Takes what the application was told of chains.
    async fn told(&self) -> Vec<Event> {
        let events = self.store.events_after(EventId::default(), 100).await.unwrap();
        self.store.forget_events(events.iter().map(|pending| pending.id).collect()).await.unwrap();
        let told = events.into_iter().map(|pending| pending.event);
        told.filter(|event| matches!(event, Event::Contact { .. } | Event::OwnChain { .. })).collect()
    }
}

fn made_up(seq: u64, byte: u8) -> SeenHead {
    SeenHead { seq, head: Head::from_bytes([byte; 32]) }
}

#[tokio::test]
async fn heads_are_told_when_they_change_and_once_a_day_and_not_in_between() {
    let mut stage = Stage::set().await;
    let nothing = Heads::default();
    assert_eq!(stage.send(NOW_MS).await.1, stage.both(), "at first");
    assert_eq!(stage.send(NOW_MS).await.1, nothing);
    assert_eq!(stage.send(NOW_MS + 23 * HOUR_MS).await.1, nothing);
    assert_eq!(stage.send(NOW_MS + 24 * HOUR_MS).await.1, stage.both(), "a day later");
    assert_eq!(stage.send(NOW_MS + 25 * HOUR_MS).await.1, nothing);
    // What was signed and is not published yet is nobody else's business.
    let event = stage.ours.sign();
    stage.store.keep_own_event(&event).await.unwrap();
    assert_eq!(stage.send(NOW_MS + 25 * HOUR_MS).await.1, nothing);
    stage.store.set_uploaded(stage.ours.chain.pin().unwrap()).await.unwrap();
    assert_eq!(stage.send(NOW_MS + 25 * HOUR_MS).await.1, stage.both(), "ours has changed");
    assert_eq!(stage.send(NOW_MS + 26 * HOUR_MS).await.1, nothing);
    stage.walk().await;
    assert_eq!(stage.send(NOW_MS + 26 * HOUR_MS).await.1, stage.both(), "theirs has changed");
    // A clock that was days ahead for a moment does not keep it from being told again.
    assert_eq!(stage.send(NOW_MS).await.1, stage.both());
    assert_eq!(stage.send(NOW_MS).await.1, nothing);
}

#[tokio::test]
async fn receipts_name_heads_too_and_what_is_taken_back_tells_nothing() {
    let mut stage = Stage::set().await;
    let (id, heads) = stage.send(NOW_MS).await;
    assert_eq!(heads, stage.both());
    assert!(stage.store.cancel(stage.ours.key(), stage.theirs.key(), id).await.unwrap().is_some());
    assert_eq!(stage.send(NOW_MS).await.1, stage.both(), "the first was never sent");
    stage.walk().await;
    let receipt = Payload {
        id: MessageId(rand::random()),
        install: Install::from_bytes([1; 8]),
        seq: 0,
        sent_at_ms: NOW_MS,
        from: None,
        to: None,
        content: Content::Receipt { status: kez_core::payload::ReceiptStatus::Delivered, ids: vec![id] },
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    let (own, them) = (stage.ours.key(), stage.theirs.key());
    stage.store.queue_receipt(own, them, vec![id], receipt, rand::random()).await.unwrap();
    assert_eq!(stage.last_queued().await, stage.both());
    assert_eq!(stage.send(NOW_MS).await.1, Heads::default(), "the receipt has told them");
}

#[tokio::test]
async fn heads_that_agree_are_forgotten_and_others_are_told_once() {
    let mut stage = Stage::set().await;
    for seq in 1..=3 {
        stage.hear(Some(stage.theirs.at(seq)), Some(stage.ours.at(seq))).await;
        assert!(stage.doubted().await.is_empty(), "place {seq}");
    }
    let (theirs, ours) = (made_up(2, 7), made_up(9, 8));
    stage.hear(Some(theirs), Some(ours)).await;
    assert_eq!(stage.doubted().await.len(), 2);
    stage.tell(NOW_MS).await;
    let who = crate::event::Peer { primary: stage.theirs.key(), handle: None };
    let known = Some(stage.theirs.at(2).head);
    let expected = [
        Event::Contact { who: who.clone(), notice: Notice::HeadDisagreement { seq: 2, said: theirs.head, known } },
        Event::OwnChain {
            notice: OwnChainNotice::HeadDisagreement { said_by: who.into(), seq: 9, said: ours.head, known: None },
        },
    ];
    assert_eq!(stage.told().await, expected);
    // However often they say so.
    for _ in 0..3 {
        stage.hear(Some(theirs), Some(ours)).await;
        assert!(stage.doubted().await.is_empty());
    }
}

#[tokio::test]
async fn who_makes_heads_up_is_told_of_a_few_times_a_day() {
    let mut stage = Stage::set().await;
    for byte in 0..20 {
        stage.hear(Some(made_up(100, byte)), Some(made_up(100, byte))).await;
        stage.tell(NOW_MS).await;
    }
    assert_eq!(stage.told().await.len(), MAX_TOLD_A_DAY as usize);
    assert!(stage.doubted().await.is_empty());
    stage.hear(Some(made_up(100, 21)), None).await;
    stage.tell(NOW_MS + DAY_MS).await;
    assert_eq!(stage.told().await.len(), 1, "another day");
    stage.store.forget_contact(stage.theirs.key()).await.unwrap();
    let left = "SELECT (SELECT count(*) FROM heard_heads) + (SELECT count(*) FROM told_heads)";
    let left: u32 = stage.store.read(|db| Ok(db.query_row(left, [], |row| row.get(0))?)).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn of_what_waits_the_last_place_counts_and_a_walk_settles_it() {
    let mut stage = Stage::set().await;
    let mut ahead = Author::new(2);
    for _ in 0..5 {
        ahead.sign();
    }
    stage.hear(Some(ahead.at(5)), None).await;
    stage.hear(Some(ahead.at(4)), None).await;
    let doubted = stage.doubted().await;
    assert_eq!(doubted, [HeardHead { said_by: stage.theirs.key(), of_ours: false, seen: ahead.at(5) }]);
    stage.walk().await;
    assert_eq!(stage.doubted().await.len(), 1);
    stage.walk().await;
    assert!(stage.doubted().await.is_empty(), "it was there");
    // What a walk has settled meanwhile is not told.
    stage.store.tell_of_disagreement(stage.ours.key(), doubted, NOW_MS).await.unwrap();
    assert!(stage.told().await.is_empty());
}

#[tokio::test]
async fn a_stranger_is_heard_when_they_are_added() {
    let mut stage = Stage::set().await;
    let them = stage.theirs.key();
    stage.store.forget_contact(them).await.unwrap();
    stage.hear(None, Some(made_up(7, 7))).await;
    assert!(stage.doubted().await.is_empty());
    let finding = Finding {
        owner: them,
        word: Word::Handle,
        began_at: None,
        said: Said::of(&stage.theirs.chain).unwrap(),
        new_events: Vec::new(),
        pin: None,
        base: String::new(),
        walk: WalkEnd::Sound,
        looked_up: None,
        now_ms: NOW_MS,
    };
    let home = kez_core::handle::Home::parse("kez.lat", Policy::Production).unwrap();
    stage.store.keep_contact(finding, home).await.unwrap();
    assert_eq!(stage.doubted().await.len(), 1);
}
