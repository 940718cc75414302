//! How many bytes wait on a route.
//!
//! The broker tells counts by subject and bytes only of a whole stream, so messages are looked at one by one. They are
//! asked for as JSON: a consumer would hand on the sender's headers, and a frame whose headers are no text ends the
//! connection that reads it. Nothing is left on the broker, and what was counted so far is kept when time is up.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use kez_core::broker::{Route, subject};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{JetStream, JsError, STREAM_TIMEOUT, StreamState};

/// Into how many pieces the stream is cut, which are read `AT_ONCE`.
const PIECES: u64 = 64;
const AT_ONCE: usize = 16;
const NO_MESSAGE: u64 = 10_037;

/// The bytes of a route, counted as the store does, as far as they have been counted.
#[derive(Debug)]
pub(crate) struct Measure {
    filter: String,
    bytes: u64,
    /// Stream sequences that have not been looked at, from the first up to and including the last.
    open: Vec<(u64, u64)>,
    through: u64,
    is_estimate: bool,
}

impl Measure {
    /// Begins to count what is in the stream now.
    pub(crate) fn new(route: &Route, state: &StreamState) -> Self {
        let filter = format!("kez.inbox.*.{route}");
        let mut measure = Self { filter, bytes: 0, open: Vec::new(), through: state.last_seq, is_estimate: false };
        measure.open(state.first_seq.max(1), state.last_seq);
        measure
    }

    /// Has what came since counted too.
    pub(crate) fn extend(&mut self, state: &StreamState) {
        if state.last_seq > self.through {
            self.open(self.through + 1, state.last_seq);
            self.through = state.last_seq;
            self.is_estimate = true;
        }
    }

    /// Tells whether [`bytes`](Self::bytes) may be too much: what has gone since it was counted is not taken off. Else all
    /// of them waited at the same time.
    pub(crate) fn is_estimate(&self) -> bool {
        self.is_estimate
    }

    fn open(&mut self, first: u64, last: u64) {
        let step = (last + 1).saturating_sub(first).div_ceil(PIECES).max(1);
        let mut next = first;
        while next <= last {
            let end = (next + step - 1).min(last);
            self.open.push((next, end));
            next = end + 1;
        }
    }

    /// Returns the bytes counted so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells whether everything has been looked at.
    pub(crate) fn is_complete(&self) -> bool {
        self.open.is_empty()
    }
}

impl JetStream {
    /// Goes on counting until there are `enough` bytes, everything is counted, or it is `deadline`.
    pub(crate) async fn measure(&self, measure: &mut Measure, enough: u64, deadline: Instant) -> Result<(), JsError> {
        let bytes = AtomicU64::new(measure.bytes);
        let filter = measure.filter.as_str();
        let mut pieces = stream::iter(measure.open.clone())
            .map(|piece| self.measure_piece(filter, piece, &bytes, enough, deadline))
            .buffer_unordered(AT_ONCE);
        let mut open = Vec::new();
        while let Some(piece) = pieces.next().await {
            open.extend(piece?);
        }
        drop(pieces);
        measure.open = open;
        measure.bytes = bytes.into_inner();
        Ok(())
    }

    /// Counts one piece; returns what is left of it.
    async fn measure_piece(
        &self,
        filter: &str,
        (mut next, end): (u64, u64),
        bytes: &AtomicU64,
        enough: u64,
        deadline: Instant,
    ) -> Result<Option<(u64, u64)>, JsError> {
        while next <= end {
            if bytes.load(Ordering::Relaxed) >= enough || Instant::now() >= deadline {
                return Ok(Some((next, end)));
            }
            match self.next_stored(filter, next).await? {
                Some(stored) if stored.seq <= end => {
                    bytes.fetch_add(stored.bytes(), Ordering::Relaxed);
                    next = stored.seq + 1;
                }
                _ => break,
            }
        }
        Ok(None)
    }

    /// Reads the first message at or after a sequence whose subject the filter takes.
    pub(super) async fn next_stored(&self, filter: &str, seq: u64) -> Result<Option<Stored>, JsError> {
        self.stored(&json!({ "next_by_subj": filter, "seq": seq })).await
    }

    /// Reads what is stored at these sequences; what is not there any more is left out.
    pub(crate) async fn stored_at(&self, seqs: Vec<u64>) -> Result<Vec<Stored>, JsError> {
        let found = stream::iter(seqs).map(async |seq| self.stored(&json!({ "seq": seq })).await);
        found.buffer_unordered(AT_ONCE).try_filter_map(async |stored| Ok(stored)).try_collect().await
    }

    async fn stored(&self, body: &Value) -> Result<Option<Stored>, JsError> {
        #[derive(Deserialize)]
        struct Answer {
            message: Stored,
        }
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", subject::INBOX_STREAM);
        match self.api::<Answer>(&subject, body, STREAM_TIMEOUT).await {
            Ok(answer) => Ok(Some(answer.message)),
            Err(JsError::Refused { err_code: NO_MESSAGE, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A stored message, payload and headers in base64.
#[derive(Deserialize)]
pub(crate) struct Stored {
    pub(super) seq: u64,
    pub(crate) subject: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    pub(crate) hdrs: String,
}

impl Stored {
    /// Returns what the message takes in nats-server's file store: a head of 22 bytes, the length of the headers if there
    /// are any, a checksum of 8, and its parts.
    pub(crate) fn bytes(&self) -> u64 {
        let headers = match decoded_len(&self.hdrs) {
            0 => 0,
            len => 4 + len,
        };
        (22 + self.subject.len() + headers + decoded_len(&self.data) + 8) as u64
    }
}

/// Tells how many bytes padded base64 stands for.
fn decoded_len(base64: &str) -> usize {
    let padding = base64.len() - base64.trim_end_matches('=').len();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(first_seq: u64, last_seq: u64) -> StreamState {
        StreamState { messages: 0, bytes: 0, first_seq, last_seq }
    }

    #[test]
    fn a_message_is_measured_as_the_store_does() {
        let stored = |json: Value| serde_json::from_value::<Stored>(json).unwrap().bytes();
        let subject = "s".repeat(10);
        assert_eq!(stored(json!({ "seq": 1, "subject": subject })), 40);
        assert_eq!(stored(json!({ "seq": 1, "subject": subject, "data": "dHdv" })), 43);
        assert_eq!(stored(json!({ "seq": 1, "subject": subject, "data": "aGVsbG8=" })), 45);
        assert_eq!(stored(json!({ "seq": 1, "subject": subject, "data": "aGVsbA==", "hdrs": "dHdv" })), 51);
    }

    #[test]
    fn every_sequence_is_looked_at_once() {
        let route = Route::from_bytes([7; 16]);
        for (first, last) in [(1, 1), (1, 63), (1, 64), (5, 1_000), (7, 6), (0, 0), (900, 12_345)] {
            let mut measure = Measure::new(&route, &state(first, last));
            let covered = |measure: &Measure| measure.open.iter().flat_map(|(a, b)| *a..=*b).collect::<Vec<_>>();
            assert_eq!(covered(&measure), (first.max(1)..=last).collect::<Vec<_>>());
            assert_eq!(measure.is_complete(), first.max(1) > last);
            measure.open.clear();
            measure.extend(&state(first, last));
            assert!(measure.is_complete(), "nothing has come");
            measure.extend(&state(first, last + 3));
            assert_eq!(covered(&measure), [last + 1, last + 2, last + 3]);
        }
    }
}
