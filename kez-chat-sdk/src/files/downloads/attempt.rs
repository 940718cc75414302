//! One try of a download: one connection for all of its files, and what is missing of each.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use kez_core::payload::{Addresses, FOLDER_MEDIA_TYPE, FileEntry, FolderList, MAX_FOLDER_FILES, PayloadError};
use tokio::time::{Instant, sleep};

use super::{
    DownloadState,
    awaited::Outcome,
    placing::{check, place},
};
use crate::{
    event::DownloadId,
    files::{
        FilesError, TransferError, TransferPath,
        compare::is_the_file,
        node::{FetchStep, Line, Node, Tag, Target},
        room::{self, Room},
        slot::node,
        transfer::Meter,
    },
    presence::Sight,
    shared::Shared,
    store::{DownloadRow, FilePlace},
};

/// How long a peer may take to answer who is known to be there, and one who is not: they may be invisible.
const ANSWER: Duration = Duration::from_secs(10);
const ANSWER_UNSEEN: Duration = Duration::from_secs(5);
/// How often a broken connection is made anew before the download waits.
const RECONNECTS: u32 = 3;
/// How long nothing may come from a peer who says that they are somewhere else now.
const STUCK: Duration = Duration::from_secs(2);
/// How many small files are fetched at a time, and how long a small one is. Others have the connection for themselves.
const SMALL_AT_ONCE: usize = 8;
const SMALL_BYTES: u64 = 1 << 20;
/// The longest folder list: each entry with the longest path and media type, and its hashes, key and lengths.
const MAX_LIST_BYTES: u64 = 16 + MAX_FOLDER_FILES as u64 * (1024 + 127 + 3 * 32 + 16);

/// What an attempt came to.
pub(super) struct Ended {
    pub(super) id: DownloadId,
    pub(super) outcome: Outcome,
    /// The download as it was at the beginning, if there was something to do.
    pub(super) row: Option<DownloadRow>,
    /// How the peer was seen when they were last called.
    pub(super) tried: Sight,
}

/// Works on a download until it is done, or can't go on now.
pub(super) async fn attempt(shared: Arc<Shared>, id: DownloadId) -> Ended {
    let nothing_to_do = |outcome| Ended { id, outcome, row: None, tried: Sight::default() };
    let row = match shared.store.run_download(id, shared.now_ms()).await {
        Ok(Some(DownloadRow { state: DownloadState::Done { paths }, .. })) => return nothing_to_do(Ok(paths)),
        Ok(Some(row)) => row,
        Ok(None) => return nothing_to_do(Err(FilesError::Cancelled)),
        Err(error) => return nothing_to_do(Err(error.into())),
    };
    let mut tried = shared.presences.sight(&row.from.primary);
    let mut meter = shared.downloads.meter(id);
    meter.expect(row.done_bytes, row.total_bytes);
    let tally = Tally(Mutex::new(Count { meter, done_bytes: 0, moved_at: Instant::now(), room: None }));
    let outcome = fetch(&shared, &row, &tally, &mut tried).await;
    Ended { id, outcome, row: Some(row), tried }
}

async fn fetch(shared: &Arc<Shared>, row: &DownloadRow, tally: &Tally, tried: &mut Sight) -> Outcome {
    let node = node(shared).await?;
    let peer = row.from.primary;
    let mut reconnects = 0;
    loop {
        *tried = shared.presences.sight(&peer);
        // Where their endpoint is now comes before where it was when they told of the files.
        let addresses = Addresses::new(tried.addresses.iter().chain(row.share.addresses.iter()));
        let line = node.line(peer, addresses, if tried.is_there { ANSWER } else { ANSWER_UNSEEN });
        let call = Call { shared, row, node: &node, line: &line, tally };
        tally.begin();
        let outcome = tokio::select! {
            outcome = call.fetch() => outcome,
            () = moved(shared, row, tried, tally) => {
                tracing::debug!(id = row.id.0, "a peer is somewhere else now");
                node.give_up(&line).await;
                continue;
            }
        };
        node.hang_up(&line).await;
        match outcome {
            Err(FilesError::Transfer(TransferError::Interrupted { source, .. })) if reconnects < RECONNECTS => {
                tracing::debug!(id = row.id.0, error = %source, "a connection broke");
                reconnects += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Waits until a peer says that they are somewhere else than where they were called, and nothing comes from there.
async fn moved(shared: &Shared, row: &DownloadRow, tried: &Sight, tally: &Tally) {
    let mut heard = shared.presences.heard();
    loop {
        let now = shared.presences.sight(&row.from.primary);
        let is_elsewhere = now.is_there && now.addresses != tried.addresses && now.addresses.iter().next().is_some();
        let stuck_in = STUCK.saturating_sub(tally.still_for());
        if is_elsewhere && stuck_in.is_zero() {
            return;
        }
        tokio::select! {
            () = heard.changed() => {}
            () = sleep(stuck_in), if is_elsewhere => {}
        }
    }
}

/// One connection's worth of a download.
struct Call<'a> {
    shared: &'a Shared,
    row: &'a DownloadRow,
    node: &'a Node,
    line: &'a Line,
    tally: &'a Tally,
}

/// A file that is to come.
struct Job<'a> {
    place: FilePlace,
    entry: &'a FileEntry,
    /// The folder list that it is in.
    folder: Option<&'a Target>,
}

impl Call<'_> {
    async fn fetch(&self) -> Outcome {
        let entries = &self.row.share.entries;
        let files = self.shared.store.download_files(self.row.id).await?;
        let mut folders = Vec::new();
        for (number, entry) in (0..).zip(entries) {
            if entry.media_type == FOLDER_MEDIA_TYPE {
                folders.push((number, self.target(entry, None), self.list(number, entry).await?));
            }
        }
        let mut jobs = Vec::new();
        for (number, entry) in (0..).zip(entries).filter(|(_, entry)| entry.media_type != FOLDER_MEDIA_TYPE) {
            jobs.push(Job { place: (number, 0), entry, folder: None });
        }
        for (number, folder, list) in &folders {
            let listed = (1..).zip(list.entries());
            jobs.extend(listed.map(|(file, entry)| Job { place: (*number, file), entry, folder: Some(folder) }));
        }
        self.tally.expect(&jobs, &files);
        self.refuse_early(&jobs, &files).await?;
        let is_to_come = |job: &&Job<'_>| !files.get(&job.place).is_some_and(|(_, is_delivered)| *is_delivered);
        let to_come = jobs.iter().filter(is_to_come).map(|job| job.entry);
        self.tally.keep(room::make_for(self.shared, self.node, to_come).await?);
        let mut placed = self.fetch_all(jobs, &files).await?;
        for (number, folder, _) in &folders {
            // A folder that holds nothing is one as well.
            folder.make()?;
            placed.insert(*number, folder.path(0));
        }
        Ok((0..).zip(entries).filter_map(|(number, _)| placed.remove(&number)).collect())
    }

    /// Fetches the list of a folder's files. It holds their keys, so it does not lie on the disk opened.
    async fn list(&self, number: u32, entry: &FileEntry) -> Result<FolderList, FilesError> {
        let unsound = |source| FilesError::BadFolderList { path: entry.path.to_string(), source };
        if entry.plain_len > MAX_LIST_BYTES {
            return Err(unsound(PayloadError::BadField { field: "entries" }));
        }
        self.tally.name(entry);
        // It is kept until the download is over: a later attempt needs it too.
        let tag = Tag { download: self.row.id.0, file: (number, 0) };
        let bytes = self.node.fetch_bytes(self.line, entry, tag, |_| self.tally.touch()).await?;
        FolderList::decode(&bytes).map_err(unsound)
    }

    /// Refuses what has no place before any of it has come.
    async fn refuse_early(
        &self,
        jobs: &[Job<'_>],
        files: &HashMap<FilePlace, (PathBuf, bool)>,
    ) -> Result<(), FilesError> {
        for job in jobs.iter().filter(|job| !files.contains_key(&job.place)) {
            check(&self.target(job.entry, job.folder), self.row.renames)?;
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Fetches the files, small ones side by side, and returns where those are that are entries of their own.
    async fn fetch_all(
        &self,
        jobs: Vec<Job<'_>>,
        files: &HashMap<FilePlace, (PathBuf, bool)>,
    ) -> Result<HashMap<u32, PathBuf>, FilesError> {
        let mut placed = HashMap::new();
        let mut jobs = jobs.into_iter().peekable();
        let mut under_way = FuturesUnordered::new();
        let mut at_once = SMALL_AT_ONCE;
        loop {
            while let Some(next) = jobs.peek() {
                let is_small = next.entry.plain_len <= SMALL_BYTES;
                if under_way.is_empty() {
                    at_once = if is_small { SMALL_AT_ONCE } else { 1 };
                }
                if under_way.len() >= at_once || (!is_small && !under_way.is_empty()) {
                    break;
                }
                if let Some(job) = jobs.next() {
                    under_way.push(self.fetch_file(job, files));
                }
            }
            let Some(done) = under_way.next().await else { return Ok(placed) };
            let ((number, file), path) = done?;
            if file == 0 {
                placed.insert(number, path);
            }
        }
    }

    async fn fetch_file(
        &self,
        job: Job<'_>,
        files: &HashMap<FilePlace, (PathBuf, bool)>,
    ) -> Result<(FilePlace, PathBuf), FilesError> {
        let (id, store, entry) = (self.row.id, &self.shared.store, job.entry);
        match files.get(&job.place) {
            Some((path, true)) => return Ok((job.place, path.clone())),
            // An earlier process was killed about when it gave the file its name.
            Some((path, false)) if is_the_file(path, entry.plain_hash, entry.plain_len).await => {
                store.place_download_file(id, job.place, path, true).await?;
                self.tally.add(entry.plain_len);
                return Ok((job.place, path.clone()));
            }
            _ => {}
        }
        self.tally.name(entry);
        let target = self.target(entry, job.folder);
        let tag = Tag { download: id.0, file: job.place };
        let mut counted = 0;
        let report = |step| match step {
            FetchStep::Over(path) => self.tally.reach(path),
            FetchStep::Came(done_bytes) => {
                self.tally.add(done_bytes.saturating_sub(counted));
                counted = counted.max(done_bytes);
            }
        };
        let part = self.node.fetch_part(self.line, entry, &target, tag, report).await?;
        let path = place(store, id, job.place, &target, self.row.renames, part).await?;
        self.node.let_go(tag).await?;
        Ok((job.place, path))
    }

    fn target(&self, entry: &FileEntry, folder: Option<&Target>) -> Target {
        match folder {
            Some(folder) => folder.below(&entry.path),
            None => Target::new(&self.row.to_dir, &entry.path, self.row.mark.clone()),
        }
    }
}

/// Counts what has come.
struct Tally(Mutex<Count>);

struct Count {
    meter: Meter,
    done_bytes: u64,
    moved_at: Instant,
    /// What may still be written of it.
    room: Option<Room>,
}

impl Tally {
    fn begin(&self) {
        self.count().moved_at = Instant::now();
    }

    /// Says how the peer is reached.
    fn reach(&self, over: TransferPath) {
        self.count().meter.reach(over);
    }

    /// Says what there is to come, and what of it is here.
    fn expect(&self, jobs: &[Job<'_>], files: &HashMap<FilePlace, (PathBuf, bool)>) {
        let sum = |sum: u64, job: &Job<'_>| sum.saturating_add(job.entry.plain_len);
        let is_here = |job: &&Job<'_>| files.get(&job.place).is_some_and(|(_, is_delivered)| *is_delivered);
        let here = jobs.iter().filter(is_here).fold(0, sum);
        let mut count = self.count();
        count.done_bytes = here;
        count.meter.expect(here, jobs.iter().fold(0, sum));
    }

    /// Keeps the room for what is to come until that is here.
    fn keep(&self, room: Room) {
        self.count().room = Some(room);
    }

    fn name(&self, entry: &FileEntry) {
        self.count().meter.name(entry.path.as_str());
    }

    fn add(&self, bytes: u64) {
        let mut count = self.count();
        count.done_bytes = count.done_bytes.saturating_add(bytes);
        count.moved_at = Instant::now();
        let done_bytes = count.done_bytes;
        let left_bytes = count.meter.total_bytes().saturating_sub(done_bytes);
        if let Some(room) = &mut count.room {
            room.shrink(left_bytes);
        }
        count.meter.set(done_bytes);
    }

    /// Notes that something has come that is not counted.
    fn touch(&self) {
        self.begin();
    }

    fn still_for(&self) -> Duration {
        self.count().moved_at.elapsed()
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // Nothing that holds it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
