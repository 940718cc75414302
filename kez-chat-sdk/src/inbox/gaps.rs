//! How long messages wait for earlier ones of the same sender: only time during which those could have come counts.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::store::{Gap, Store, StoreError};

/// The gaps in others' numbering, and for how long each was waited for while connected.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    waited: HashMap<Gap, Duration>,
    /// When the waiting was last added up.
    counted_at: Option<Instant>,
}

impl Gaps {
    /// Begins to count: we are connected now.
    pub(super) async fn resume(&mut self, store: &Store) -> Result<(), StoreError> {
        self.counted_at = None;
        self.look(store).await
    }

    /// Looks for gaps that were filled, or are new.
    pub(super) async fn look(&mut self, store: &Store) -> Result<(), StoreError> {
        self.count();
        let gaps = store.gaps().await?;
        self.waited = gaps.into_iter().map(|gap| (gap, self.waited.get(&gap).copied().unwrap_or_default())).collect();
        Ok(())
    }

    /// Waits until one has been waited for long enough; for ever if there is none.
    pub(super) async fn wait(&self, gap_wait: Duration) {
        match self.waited.values().max() {
            Some(longest) => {
                let counted_at = self.counted_at.unwrap_or_else(Instant::now);
                tokio::time::sleep_until(counted_at + gap_wait.saturating_sub(*longest)).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Gives out what has waited for long enough.
    pub(super) async fn pass(&mut self, store: &Store, gap_wait: Duration) -> Result<(), StoreError> {
        self.count();
        for (gap, waited) in &self.waited {
            if *waited >= gap_wait {
                tracing::warn!("messages that were to come before others have not arrived");
                store.pass_gap(*gap).await?;
            }
        }
        self.look(store).await
    }

    fn count(&mut self) {
        let now = Instant::now();
        let elapsed = self.counted_at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.waited.values_mut().for_each(|waited| *waited += elapsed);
    }
}
