//! Durable rows: an encrypted file and a thread, which commits together what came in during the last commit.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

/// How many rows are committed together at most.
const TOGETHER: usize = 256;

/// A message that is kept.
pub(crate) struct Row {
    pub(crate) author: [u8; 32],
    pub(crate) id: [u8; 16],
    pub(crate) payload: Vec<u8>,
}

type Job = (Row, oneshot::Sender<()>);

pub(crate) struct Rows(Sender<Job>);

impl Rows {
    /// Opens a file as our clients do: SQLCipher with a raw key, WAL, `synchronous=FULL`.
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "key", format!("x'{}'", "5a".repeat(32))).unwrap();
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        connection.pragma_update(None, "synchronous", "FULL").unwrap();
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS messages (
                    row INTEGER PRIMARY KEY, author BLOB NOT NULL, id BLOB NOT NULL, payload BLOB NOT NULL,
                    UNIQUE (author, id)
                 ) STRICT",
            )
            .unwrap();
        let (jobs, queue) = mpsc::channel();
        thread::spawn(move || write(connection, &queue));
        Self(jobs)
    }

    /// Has a row written; the receiver hears when it is durable.
    pub(crate) fn keep(&self, row: Row) -> oneshot::Receiver<()> {
        let (done, kept) = oneshot::channel();
        self.0.send((row, done)).unwrap();
        kept
    }
}

fn write(mut connection: Connection, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let transaction = connection.transaction().unwrap();
        let mut written = Vec::new();
        for (Row { author, id, payload }, done) in std::iter::once(first).chain(queue.try_iter()).take(TOGETHER) {
            let insert = "INSERT OR IGNORE INTO messages (author, id, payload) VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(insert).unwrap().execute((author, id, payload)).unwrap();
            written.push(done);
        }
        transaction.commit().unwrap();
        for done in written {
            let _ = done.send(());
        }
    }
}
