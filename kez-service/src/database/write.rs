//! Writing, on a thread of its own, which commits at once what many ask for at the same time.
//!
//! A durable commit waits for the disk, and takes no longer for a hundred changes than for one. So whatever has come in
//! during one commit makes up the next. Each caller's part has a savepoint of its own: one that fails harms itself.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::{io, iter, thread};

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};
use tokio::sync::oneshot;

use super::DbError;

/// The most calls that are committed together, so that the first of them does not wait for ever more.
const AT_ONCE: usize = 256;

/// The connection that writes. Clones share it; when the last one is gone, what was asked for before is still done.
#[derive(Clone, Debug)]
pub(super) struct Writer(Sender<Message>);

enum Message {
    Write(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (sender, messages) = mpsc::channel();
        thread::Builder::new().name("database".to_owned()).spawn(move || work(connection, &messages))?;
        Ok(Self(sender))
    }

    /// Has `call` run, and returns what it did once that is on the disk.
    pub(super) async fn write<T, F>(&self, call: F) -> Result<T, DbError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let call = Call { call: Some(call), outcome: None, caller };
        self.0.send(Message::Write(Box::new(call))).map_err(|_| DbError::Closed)?;
        match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(DbError::Closed),
        }
    }

    /// Does what was asked for before, and closes the connection.
    pub(super) async fn close(self) {
        let (done, closed) = oneshot::channel();
        // Either fails only when the connection is closed already.
        if self.0.send(Message::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }
}

fn work(mut connection: Connection, messages: &Receiver<Message>) {
    let mut closing = None;
    while closing.is_none()
        && let Ok(first) = messages.recv()
    {
        let mut jobs = Vec::new();
        for message in iter::once(first).chain(messages.try_iter().take(AT_ONCE - 1)) {
            match message {
                Message::Write(job) => jobs.push(job),
                Message::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
        }
        let failed = commit(&mut connection, &mut jobs).err();
        for job in jobs {
            job.tell(failed.as_ref());
        }
    }
    super::close(connection);
    // Dropping it tells; and so does dropping the messages that came later.
    drop(closing);
}

/// Runs all jobs in one transaction. After an error nothing is written of any of them.
fn commit(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    if !jobs.iter().any(|job| job.is_wanted()) {
        return Ok(());
    }
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        if job.is_wanted() {
            job.run(&mut transaction);
        }
        // A full disk, among others, makes SQLite roll back everything. The next savepoint would be a transaction.
        if transaction.is_autocommit() {
            let why = "the transaction was rolled back for another write in it".to_owned();
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK), Some(why)));
        }
    }
    transaction.commit()
}

/// One caller's part of a commit.
trait Job: Send {
    /// Tells whether somebody waits for it. Once it runs it is part of the commit, whoever leaves.
    fn is_wanted(&self) -> bool;

    /// Runs it in a savepoint, which stays if all goes well.
    fn run(&mut self, transaction: &mut Transaction<'_>);

    /// Tells the caller how it ended, after the commit; `failed` if there was none.
    fn tell(self: Box<Self>, failed: Option<&rusqlite::Error>);
}

struct Call<T, F> {
    /// Until it runs.
    call: Option<F>,
    /// Once it ran.
    outcome: Option<thread::Result<rusqlite::Result<T>>>,
    caller: oneshot::Sender<thread::Result<Result<T, DbError>>>,
}

impl<T, F> Job for Call<T, F>
where
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn is_wanted(&self) -> bool {
        !self.caller.is_closed()
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) {
        let Some(call) = self.call.take() else { return };
        // A savepoint that is dropped, also by a panic, is rolled back.
        self.outcome = Some(catch_unwind(AssertUnwindSafe(|| {
            let savepoint = transaction.savepoint()?;
            let value = call(&savepoint)?;
            savepoint.commit()?;
            Ok(value)
        })));
    }

    fn tell(self: Box<Self>, failed: Option<&rusqlite::Error>) {
        let answer = match (self.outcome, failed) {
            (Some(Err(panic)), _) => Err(panic),
            (Some(Ok(Err(error))), _) => Ok(Err(error.into())),
            (Some(Ok(Ok(value))), None) => Ok(Ok(value)),
            (_, Some(failed)) => Ok(Err(again(failed).into())),
            // It did not run, since nobody waited for it.
            (None, None) => return,
        };
        // Who does not wait any more is not told.
        let _ = self.caller.send(answer);
    }
}

/// Makes an error once more, for another caller.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    let code = error.sqlite_error().copied().unwrap_or(ffi::Error::new(ffi::SQLITE_ERROR));
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}

#[cfg(test)]
mod tests;
