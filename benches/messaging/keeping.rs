//! A long history: listed, paged and searched, beside SQLite that does nothing but the query on an unencrypted copy.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use kez_chat_sdk::{
    Client, Place, Query,
    handle::Handle,
    identity::{PrimaryKey, SecretKey},
    payload::{Content, MessageId, Payload},
    sigchain::Install,
};
use kez_testbed::{Testbed, measure::percentile};
use rand::RngExt as _;
use rusqlite::Connection;
use sha2::Sha256;

use crate::{person::Person, progress};

const CONVERSATIONS: usize = 200;
const MESSAGES: usize = 100_000;
const VOCABULARY: usize = 20_000;
const PAGE: usize = 50;
const LISTS: usize = 300;
const PAGES: usize = 3_000;
const SEARCHES_OF_A_KIND: usize = 500;

pub(crate) async fn measure(testbed: &Testbed) {
    progress(&format!("keeping: {MESSAGES} messages in {CONVERSATIONS} conversations are written"));
    let person = Person::find_or_register(&testbed.folder().join("keeper"), "keeper", &testbed.home_url()).await;
    let database = person.home().join("kez.db");
    let vocabulary = vocabulary();
    let history = fill(&unlock(&database, &person.key), &person, &vocabulary);

    // Suspended, so that nothing but what is asked for is done.
    let client = Client::builder(person.home(), person.key_store()).suspended().open().await.unwrap();
    let start = Instant::now();
    client.search(&Query::new("a")).await.unwrap();
    println!("figure keeping_index_all_ms {}", start.elapsed().as_millis());
    let plain = plain_copy(&unlock(&database, &person.key), testbed.folder());

    progress("keeping: lists");
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..LISTS {
        took[0].push(timed(async || client.conversations().list().await.unwrap().len()).await);
        took[1].push(timed(async || list(&plain)).await);
    }
    show("list", took);

    progress("keeping: pages");
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..PAGES {
        let (peer, last) = history[rand::rng().random_range(0..CONVERSATIONS)];
        let before = rand::rng().random_range(1..=last + 1);
        let page = async || client.conversation(peer).history(Some(Place::new(before)), PAGE).await.unwrap().len();
        took[0].push(timed(page).await);
        took[1].push(timed(async || page_of(&plain, &peer, before)).await);
    }
    show("page", took);

    progress("keeping: searches");
    let mut all = [Vec::new(), Vec::new()];
    for (kind, draw) in KINDS {
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..SEARCHES_OF_A_KIND {
            let Asked { words, in_one } = draw(&vocabulary);
            let peer = in_one.then(|| history[rand::rng().random_range(0..CONVERSATIONS)].0);
            let query = Query::new(words.join(" ")).limit(PAGE);
            let query = peer.map_or(query.clone(), |peer| query.conversation(peer));
            took[0].push(timed(async || client.search(&query).await.unwrap().len()).await);
            took[1].push(timed(async || find(&plain, &words, peer)).await);
        }
        all[0].extend(&took[0]);
        all[1].extend(&took[1]);
        show(&format!("search_{kind}"), took);
    }
    show("search", all);
    back_up(&client, testbed.folder()).await;
    client.shutdown().await;
}

/// What somebody looks for.
struct Asked {
    words: Vec<String>,
    in_one: bool,
}

/// Makes a search up from the vocabulary.
type Draw = fn(&[String]) -> Asked;

const KINDS: &[(&str, Draw)] = &[
    ("common", |words| asked(&[among(words, 0, 50)], false)),
    ("rare", |words| asked(&[among(words, 5_000, VOCABULARY)], false)),
    ("two_words", |words| asked(&[among(words, 0, 200), among(words, 0, 2_000)], false)),
    ("first_letter", |words| asked(&[&among(words, 0, VOCABULARY)[..1]], false)),
    ("two_letters", |words| asked(&[&among(words, 0, VOCABULARY)[..2]], false)),
    ("in_one_conversation", |words| asked(&[among(words, 0, 200)], true)),
];

fn among(words: &[String], from: usize, to: usize) -> &str {
    &words[rand::rng().random_range(from..to)]
}

fn asked(words: &[&str], in_one: bool) -> Asked {
    Asked { words: words.iter().map(|word| (*word).to_owned()).collect(), in_one }
}

/// Makes up words, the most frequent first.
fn vocabulary() -> Vec<String> {
    let mut rng = rand::rng();
    let mut word = || {
        let length = rng.random_range(3..10);
        (0..length).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
    };
    (0..VOCABULARY).map(|_| word()).collect()
}

/// Writes a text of words, each as often as its place among them has it in most languages.
fn text(vocabulary: &[String]) -> String {
    let mut rng = rand::rng();
    let count = rng.random_range(3..20);
    let words = (0..count).map(|_| {
        let place = (VOCABULARY as f64).powf(rng.random::<f64>()) as usize - 1;
        vocabulary[place].as_str()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Fills an account's database, as years of chatting would. Returns with whom, and the last place of each conversation.
fn fill(db: &Connection, person: &Person, vocabulary: &[String]) -> Vec<(PrimaryKey, u64)> {
    let own = person.key.primary();
    let people = (1..=CONVERSATIONS).map(|number| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        SecretKey::from_seed(seed).primary()
    });
    let mut history: Vec<(PrimaryKey, u64)> = people.map(|peer| (peer, 0)).collect();
    db.execute_batch("BEGIN").unwrap();
    for (peer, _) in &history {
        db.execute(
            "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired, reachable)
             VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1)",
            [peer.as_bytes()],
        )
        .unwrap();
    }
    let mut insert = db
        .prepare(
            "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state, receipt_at_ms, place)
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?5, 20, ?5, ?6)",
        )
        .unwrap();
    for number in 0..MESSAGES {
        // With some people one speaks more.
        let whom = (rand::random::<f64>().powi(2) * CONVERSATIONS as f64) as usize;
        let (peer, last) = &mut history[whom];
        *last += 1;
        let author = if rand::random() { own } else { *peer };
        let (id, at_ms) = (rand::random::<[u8; 16]>(), number as u64 * 1_000);
        let payload = payload(&person.handle, id, number as u64 + 1, at_ms, text(vocabulary));
        insert.execute((author.as_bytes(), id, peer.as_bytes(), &*payload, at_ms, *last)).unwrap();
    }
    for (peer, last) in &history {
        db.execute(
            "INSERT INTO conversations (peer, last_place, last_at_ms, read_place) VALUES (?1, ?2, ?3, ?2)",
            (peer.as_bytes(), last, rand::random::<u32>()),
        )
        .unwrap();
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    history
}

fn payload(handle: &Handle, id: [u8; 16], seq: u64, sent_at_ms: u64, text: String) -> Vec<u8> {
    let payload = Payload {
        id: MessageId(id),
        install: Install::from_bytes([1; 8]),
        seq,
        sent_at_ms,
        from: Some(handle.clone()),
        to: Some(handle.clone()),
        content: Content::Text(text),
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    payload.encode().unwrap().to_vec()
}

fn unlock(database: &Path, key: &SecretKey) -> Connection {
    let mut raw = [0; 32];
    Hkdf::<Sha256>::new(Some(b"kez/store/1"), key.expose_seed()).expand(&[], &mut raw).unwrap();
    let connection = Connection::open(database).unwrap();
    connection.pragma_update(None, "key", format!("x'{}'", HEXLOWER.encode(&raw))).unwrap();
    connection
}

/// Copies the database without its encryption.
fn plain_copy(db: &Connection, folder: &Path) -> Connection {
    let path = folder.join("plain.db");
    db.execute("ATTACH ?1 AS plain KEY ''", [path.to_str().unwrap()]).unwrap();
    db.query_row("SELECT sqlcipher_export('plain')", [], |_| Ok(())).unwrap();
    let plain = Connection::open(path).unwrap();
    plain.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    plain
}

fn list(plain: &Connection) -> usize {
    let mut statement = plain
        .prepare_cached(
            "SELECT last_at_ms, unread, draft, (SELECT payload FROM messages
                WHERE messages.peer = conversations.peer AND place IS NOT NULL ORDER BY place DESC LIMIT 1)
             FROM conversations ORDER BY last_at_ms DESC",
        )
        .unwrap();
    statement.query_map([], |row| row.get::<_, Option<Vec<u8>>>(3)).unwrap().map(Result::unwrap).count()
}

fn page_of(plain: &Connection, peer: &PrimaryKey, before: u64) -> usize {
    let mut statement = plain
        .prepare_cached("SELECT payload FROM messages WHERE peer = ?1 AND place < ?2 ORDER BY place DESC LIMIT ?3")
        .unwrap();
    let rows = statement.query_map((peer.as_bytes(), before, PAGE), |row| row.get::<_, Vec<u8>>(0)).unwrap();
    rows.map(Result::unwrap).count()
}

fn find(plain: &Connection, words: &[String], peer: Option<PrimaryKey>) -> usize {
    let mut statement = plain
        .prepare_cached(
            "SELECT payload FROM message_texts JOIN messages ON messages.row = message_texts.rowid
             WHERE message_texts MATCH ?1 ORDER BY message_texts.rowid DESC LIMIT ?2",
        )
        .unwrap();
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let one = peer.map_or(String::new(), |peer| format!(" \"\u{e000}{}\"", peer.to_hex()));
    let expression = format!("{}*{one}", quoted.join(" "));
    let rows = statement.query_map((expression, PAGE), |row| row.get::<_, Vec<u8>>(0)).unwrap();
    rows.map(Result::unwrap).count()
}

async fn timed(work: impl AsyncFnOnce() -> usize) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work().await);
    start.elapsed()
}

fn show(what: &str, [mut ours, mut plain]: [Vec<Duration>; 2]) {
    for percent in [50, 99] {
        let [ours, plain] = [&mut ours, &mut plain].map(|took| percentile(took, percent).unwrap().as_secs_f64());
        println!("figure keeping_{what}_p{percent}_ms {:.2} (sqlite {:.2})", ours * 1e3, plain * 1e3);
        println!("ratio keeping_{what}_p{percent}_vs_sqlite {:.2}", ours / plain);
    }
}

/// Makes a backup while somebody writes.
async fn back_up(client: &Client, folder: &Path) {
    progress("keeping: a backup");
    let notes = client.conversation(client.primary());
    let backup = async {
        let start = Instant::now();
        let backup = client.backup_to(folder.join("keeper.kez")).await.unwrap();
        (start.elapsed(), backup.bytes)
    };
    tokio::pin!(backup);
    let mut waits = Vec::new();
    let (took, bytes) = loop {
        let start = Instant::now();
        notes.send_text("while a backup is made").await.unwrap();
        waits.push(start.elapsed());
        tokio::select! {
            biased;
            made = &mut backup => break made,
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    };
    println!("figure keeping_backup_ms {} of {:.0} MB", took.as_millis(), bytes as f64 / 1e6);
    let slowest = waits.iter().max().unwrap().as_secs_f64() * 1e3;
    println!("figure keeping_write_during_backup_ms {slowest:.1} the slowest of {}", waits.len());
}
