//! The chains in SQLite.

use std::path::PathBuf;
use std::time::Duration;

use kez_core::identity::PrimaryKey;
use kez_core::sigchain::{ChainError, Event, Head, Op, Tip};
use kez_service::database::{Database, DbError, OpenError, Schema};
use kez_service::rusqlite::{self, Connection, OptionalExtension as _, Row, params};

const SCHEMA: Schema =
    Schema { application_id: i32::from_be_bytes(*b"kezS"), migrations: &[include_str!("../migrations/1.sql")] };

/// About how many bytes of events one page has at most. A page is in memory until its reader has taken it, and a reader
/// may take its time.
const PAGE_BYTES: usize = 256 << 10;

/// The chains. Clones share one database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    shared_files_interval: Duration,
}

/// What became of an event that was to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is the chain's new last event.
    New,
    /// It stands in its place already, with the signature that came first.
    Already,
    /// It does not fit the chain that there is.
    Conflict {
        why: ChainError,
        /// The event in its place, or else the last one; none if the chain is empty.
        standing: Option<Standing>,
    },
    /// It is not a valid event of this chain.
    Invalid(ChainError),
    /// It would be right, but its owner has to wait.
    TooSoon { wait: Duration },
}

/// An event that stands in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) seq: u64,
    pub(crate) head: Head,
    pub(crate) jws: String,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) chains: i64,
    pub(crate) events: i64,
}

/// Where a chain ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) seq: u64,
    pub(crate) head: Option<Head>,
}

impl Store {
    pub(crate) async fn open(path: PathBuf, shared_files_interval: Duration) -> Result<Self, OpenError> {
        let database = Database::open(path, SCHEMA).await?;
        Ok(Self { database, shared_files_interval })
    }

    /// Writes a consistent copy of the database at `from`, which a server may be using, to a new file.
    pub(crate) async fn backup(from: PathBuf, to: PathBuf) -> Result<(), crate::CopyError> {
        let database = Database::open_beside(from, SCHEMA).await?;
        let copied = database.backup(to).await;
        database.close().await;
        Ok(copied?)
    }

    /// Appends an event if it is next. `now` is the time since 1970.
    pub(crate) async fn append(&self, event: Event, now: Duration) -> Result<Appended, DbError> {
        let interval = self.shared_files_interval;
        self.database.write(move |connection| append(connection, &event, now, interval)).await
    }

    /// Returns where a chain ends; at 0 if there is none.
    pub(crate) async fn end(&self, owner: PrimaryKey) -> Result<End, DbError> {
        self.database.look_up(|connection| Ok(ChainRow::load(connection, &owner)?.end())).await
    }

    /// Returns up to `limit` events after `after`, and where the chain ended when they were read. There are fewer where
    /// they are long, but never none if there are any.
    pub(crate) async fn page(&self, owner: PrimaryKey, after: u64, limit: u64) -> Result<(Vec<String>, End), DbError> {
        self.database
            .read(move |connection| {
                // One snapshot, so that the end is the end of the same chain.
                let snapshot = connection.unchecked_transaction()?;
                let chain = ChainRow::load(&snapshot, &owner)?;
                let mut statement = snapshot
                    .prepare_cached("SELECT jws FROM events WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?;
                let mut rows = statement.query(params![chain.id, after.cast_signed(), limit.cast_signed()])?;
                let (mut events, mut bytes) = (Vec::<String>::new(), 0);
                while bytes < PAGE_BYTES
                    && let Some(row) = rows.next()?
                {
                    let jws: String = row.get(0)?;
                    bytes += jws.len();
                    events.push(jws);
                }
                Ok((events, chain.end()))
            })
            .await
    }

    /// Counts what is stored.
    pub(crate) async fn counts(&self) -> Result<Counts, DbError> {
        // A chain's last place is how many events it has.
        let sql = "SELECT count(*), coalesce(sum(seq), 0) FROM chains";
        let counts = |row: &Row<'_>| Ok(Counts { chains: row.get(0)?, events: row.get(1)? });
        self.database.read(move |connection| connection.query_row(sql, [], counts)).await
    }

    /// Checks that the database answers.
    pub(crate) async fn check(&self) -> Result<(), DbError> {
        self.database.look_up(|connection| connection.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))).await
    }

    pub(crate) async fn close(self) {
        self.database.close().await;
    }
}

fn append(connection: &Connection, event: &Event, now: Duration, interval: Duration) -> rusqlite::Result<Appended> {
    let chain = ChainRow::load(connection, event.primary())?;
    // Before anything else: an event that was taken once is right, whatever has happened since.
    if let Some(standing) = chain.standing(connection, event.seq())? {
        return Ok(if standing.head == event.head() {
            Appended::Already
        } else {
            Appended::Conflict { why: ChainError::Fork { seq: event.seq() }, standing: Some(standing) }
        });
    }
    let next = match chain.tip.check_next(event) {
        Ok(next) => next,
        Err(why @ (ChainError::Gap { .. } | ChainError::WrongPrev { .. })) => {
            let standing = chain.standing(connection, chain.tip.seq())?;
            return Ok(Appended::Conflict { why, standing });
        }
        Err(why) => return Ok(Appended::Invalid(why)),
    };
    let mut shared_at = chain.shared_at;
    if matches!(event.op(), Ok(Op::SetSharedFiles { .. })) {
        // A clock that went back behind the last one makes nobody wait.
        let passed = shared_at.and_then(|before| now.checked_sub(before));
        let wait = passed.map(|passed| interval.saturating_sub(passed)).filter(|wait| !wait.is_zero());
        if let Some(wait) = wait {
            return Ok(Appended::TooSoon { wait });
        }
        shared_at = Some(now);
    }
    insert(connection, event, &next, shared_at)?;
    Ok(Appended::New)
}

fn insert(connection: &Connection, event: &Event, next: &Tip, shared_at: Option<Duration>) -> rusqlite::Result<()> {
    let seq = event.seq().cast_signed();
    let head = event.head();
    let chain: i64 = connection
        .prepare_cached(
            "INSERT INTO chains (owner, seq, head, retired, shared_version, shared_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (owner) DO UPDATE SET seq = ?2, head = ?3, retired = ?4, shared_version = ?5, shared_at_ms = ?6
             RETURNING id",
        )?
        .query_row(
            params![
                event.primary().as_bytes(),
                seq,
                head.as_bytes(),
                next.retired(),
                next.shared_version().map(u64::cast_signed),
                shared_at.map(|at| at.as_millis() as i64),
            ],
            |row| row.get(0),
        )?;
    connection
        .prepare_cached("INSERT INTO events (chain, seq, head, jws) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![chain, seq, head.as_bytes(), event.jws()])?;
    Ok(())
}

/// One row of `chains`; without an id where there is none.
struct ChainRow {
    id: Option<i64>,
    tip: Tip,
    shared_at: Option<Duration>,
}

impl ChainRow {
    fn load(connection: &Connection, owner: &PrimaryKey) -> rusqlite::Result<Self> {
        let row = connection
            .prepare_cached("SELECT id, seq, head, retired, shared_version, shared_at_ms FROM chains WHERE owner = ?1")?
            .query_row([owner.as_bytes()], |row| {
                let version: Option<i64> = row.get("shared_version")?;
                let shared_at_ms: Option<i64> = row.get("shared_at_ms")?;
                let head = Some(head_of(row)?);
                Ok(Self {
                    id: row.get("id")?,
                    tip: Tip::from_parts(seq_of(row)?, head, row.get("retired")?, version.map(i64::cast_unsigned)),
                    shared_at: shared_at_ms.map(|ms| Duration::from_millis(ms.cast_unsigned())),
                })
            })
            .optional()?;
        Ok(row.unwrap_or(Self { id: None, tip: Tip::empty(), shared_at: None }))
    }

    fn end(&self) -> End {
        End { seq: self.tip.seq(), head: self.tip.head() }
    }

    fn standing(&self, connection: &Connection, seq: u64) -> rusqlite::Result<Option<Standing>> {
        connection
            .prepare_cached("SELECT seq, head, jws FROM events WHERE chain = ?1 AND seq = ?2")?
            .query_row(params![self.id, seq.cast_signed()], |row| {
                Ok(Standing { seq: seq_of(row)?, head: head_of(row)?, jws: row.get("jws")? })
            })
            .optional()
    }
}

fn seq_of(row: &Row<'_>) -> rusqlite::Result<u64> {
    row.get::<_, u32>("seq").map(u64::from)
}

fn head_of(row: &Row<'_>) -> rusqlite::Result<Head> {
    row.get("head").map(Head::from_bytes)
}

#[cfg(test)]
mod tests {
    use kez_core::handle::Policy;
    use kez_core::identity::SecretKey;
    use kez_core::sigchain::{Chain, Timestamp};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);
    const START: Duration = Duration::from_secs(1_800_000_000);

    struct Author {
        key: SecretKey,
        chain: Chain,
    }

    impl Author {
        fn new(seed: u8) -> Self {
            let key = SecretKey::from_seed([seed; 32]);
            let chain = Chain::new(key.primary(), Policy::Production);
            Self { key, chain }
        }

        fn next(&mut self, op: Op) -> Event {
            self.chain.sign_next(&self.key, op, &Timestamp::from_unix_ms(0)).unwrap().clone()
        }
    }

    fn share(version: u64) -> Op {
        Op::SetSharedFiles { manifest: None, version }
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("sigchains.db"), INTERVAL).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn shared_files_wait_their_time_and_other_events_do_not() {
        let (_folder, store) = store().await;
        let mut author = Author::new(1);
        let first = author.next(share(1));
        assert_eq!(store.append(first.clone(), START).await.unwrap(), Appended::New);
        let name = author.next(Op::SetHandle(None));
        assert_eq!(store.append(name, START).await.unwrap(), Appended::New);

        let second = author.next(share(2));
        let early = START + INTERVAL - Duration::from_millis(1);
        let too_soon = Appended::TooSoon { wait: Duration::from_millis(1) };
        assert_eq!(store.append(second.clone(), early).await.unwrap(), too_soon);
        // The event that was taken stays taken; only new ones wait.
        assert_eq!(store.append(first, early).await.unwrap(), Appended::Already);
        assert_eq!(store.append(second, START + INTERVAL).await.unwrap(), Appended::New);

        // Another chain has a clock of its own.
        let other = Author::new(2).next(share(1));
        assert_eq!(store.append(other, START + INTERVAL).await.unwrap(), Appended::New);
    }

    #[tokio::test]
    async fn what_is_stored_is_counted() {
        let (_folder, store) = store().await;
        assert_eq!(store.counts().await.unwrap(), Counts { chains: 0, events: 0 });
        for (seed, events) in [(1, 1), (2, 3)] {
            let mut author = Author::new(seed);
            for _ in 0..events {
                store.append(author.next(Op::SetHandle(None)), START).await.unwrap();
            }
        }
        assert_eq!(store.counts().await.unwrap(), Counts { chains: 2, events: 4 });
    }

    #[tokio::test]
    async fn a_clock_that_went_back_makes_nobody_wait() {
        let (_folder, store) = store().await;
        let mut author = Author::new(1);
        store.append(author.next(share(1)), START).await.unwrap();
        let second = author.next(share(2));
        assert_eq!(store.append(second, START - INTERVAL).await.unwrap(), Appended::New);
    }

    #[tokio::test]
    async fn what_an_append_needs_of_the_chain_survives_reopening() {
        let (folder, store) = store().await;
        let mut author = Author::new(1);
        for op in [Op::SetHandle(None), share(5), Op::Retire] {
            assert_eq!(store.append(author.next(op), START).await.unwrap(), Appended::New);
        }
        store.close().await;

        let store = Store::open(folder.path().join("sigchains.db"), INTERVAL).await.unwrap();
        let row = store.database.read(move |c| ChainRow::load(c, &author.key.primary())).await.unwrap();
        assert_eq!(row.tip, *author.chain.tip());
        assert_eq!(row.shared_at, Some(START));
    }
}
