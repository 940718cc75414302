//! What is computed once for each person that we speak with.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use kez_core::{
    envelope::Peer,
    identity::{KeyError, SecretKey},
};
use lru::LruCache;

use crate::keys::checked;

/// How many people are kept at a time; of others the secret is agreed anew.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The long-term secrets that we share with others, which are most of an envelope's cost.
pub(crate) struct Peers(Mutex<LruCache<[u8; 32], Peer>>);

impl Peers {
    /// Works with somebody, after checking their key the first time.
    pub(crate) fn with<T>(
        &self,
        own: &SecretKey,
        key: &[u8; 32],
        work: impl FnOnce(&Peer) -> T,
    ) -> Result<T, KeyError> {
        let peer = match self.known(key) {
            Some(peer) => peer,
            None => {
                let peer = Peer::new(own, checked(key)?);
                self.keep(&peer);
                peer
            }
        };
        Ok(work(&peer))
    }

    pub(crate) fn known(&self, key: &[u8; 32]) -> Option<Peer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn keep(&self, peer: &Peer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(*peer.key().as_bytes(), peer.clone());
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}
