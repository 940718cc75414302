//! Finding messages by their words (`docs/PROTOCOL.md` §12 says what is kept for it).

mod query;
mod snippet;
mod words;

use kez_core::identity::PrimaryKey;
use serde::Serialize;
use thiserror::Error;

use crate::{
    message::{Message, MessageContent},
    shared::Shared,
    store::StoreError,
};

pub use self::snippet::Snippet;
pub(crate) use self::words::words;

/// How many hits are returned at most.
const MAX_HITS: usize = 1_000;
const USUAL_HITS: usize = 50;

/// What to look for.
///
/// Words are compared without case and accents. All of them have to be in the message, in any order; what stands between
/// two spaces has to be there as it is (`kez.lat`, 海边). The last word may be the beginning of one. Nothing that is typed
/// means anything else.
///
/// ```
/// use kez_chat_sdk::Query;
///
/// let query = Query::new("harb").limit(20);
/// assert!(!format!("{query:?}").contains("harb"), "nothing to be read in a log");
/// ```
#[derive(Clone)]
pub struct Query {
    text: String,
    conversation: Option<PrimaryKey>,
    before: Option<i64>,
    limit: usize,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Query({} bytes, redacted, in {:?}, {} at most)", self.text.len(), self.conversation, self.limit)
    }
}

impl Query {
    /// Looks for words in all conversations.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), conversation: None, before: None, limit: USUAL_HITS }
    }

    /// Looks in the conversation with `peer` only.
    #[must_use]
    pub fn conversation(mut self, peer: PrimaryKey) -> Self {
        self.conversation = Some(peer);
        self
    }

    /// Goes on after the last hit of an earlier search.
    #[must_use]
    pub fn before(mut self, hit: &Hit) -> Self {
        self.before = Some(hit.row);
        self
    }

    /// Sets how many hits are returned at most: 50 if nothing is said, and never more than 1,000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.min(MAX_HITS);
        self
    }
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// With whom the conversation is.
    pub with: PrimaryKey,
    /// The message.
    pub message: Message,
    /// The part of it that shows why it was found: of its text, or of the names of its files.
    pub snippet: Snippet,
    #[serde(skip)]
    row: i64,
}

/// Says why nothing was looked for.
///
/// ```
/// use kez_chat_sdk::SearchError;
///
/// assert_eq!(SearchError::NoWords.code(), "NoWords");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// There is no letter and no digit in what was typed.
    #[error("there is no word in that; type at least a letter, a digit or an emoji")]
    NoWords,
    /// There are too many words.
    #[error("that is more than {most} words; look for fewer")]
    TooManyWords {
        /// How many there may be.
        most: usize,
    },
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SearchError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoWords => "NoWords",
            Self::TooManyWords { .. } => "TooManyWords",
            Self::Store(error) => error.code(),
        }
    }
}

/// Finds messages, the last that came or was written first.
pub(crate) async fn search(shared: &Shared, query: &Query) -> Result<Vec<Hit>, SearchError> {
    let terms = query::terms(&query.text)?;
    // What came since the last time; a piece at a time, so that messages get through between.
    while shared.store.index_texts().await? {}
    let (expression, before) = (query::expression(&terms), query.before.unwrap_or(i64::MAX));
    let found = shared.store.find(shared.primary(), expression, query.conversation, before, query.limit).await?;
    let hit = |(row, with, message): (i64, PrimaryKey, Message)| {
        let snippet = Snippet::of(&said(&message.content), &terms);
        Hit { with, message, snippet, row }
    };
    Ok(found.into_iter().map(hit).collect())
}

/// Returns the words that a message is found by.
fn said(content: &MessageContent) -> String {
    match content {
        MessageContent::Text { text, .. } => text.clone(),
        MessageContent::Files { files, .. } => {
            files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;
    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The index has a language of its own, which nobody who types speaks.
        #[test]
        fn whatever_is_typed_is_looked_for_or_refused_by_name(
            typed in prop::collection::vec(
                prop_oneof![any::<String>(), "[\"'*:^(){}+\\-]{1,4}", "AND|OR|NOT|NEAR\\(a b, 2\\)|words:|\u{e000}"], 0..6),
            in_one in any::<bool>(),
        ) {
            let typed = typed.join(" ");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let key = SecretKey::from_seed([1; 32]);
                let store = Store::open(&dir.path().join("kez.db"), &key).await.unwrap();
                match query::terms(&typed) {
                    Ok(terms) => {
                        let peer = in_one.then(|| key.primary());
                        let found = store.find(key.primary(), query::expression(&terms), peer, i64::MAX, 9).await;
                        assert!(found.unwrap().is_empty());
                    }
                    Err(error) => assert!(["NoWords", "TooManyWords"].contains(&error.code())),
                }
            });
        }
    }
}
