//! What a chain says, once walked.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
};

use super::{Install, Op};
use crate::{
    claim::ClaimText,
    handle::{Handle, Home},
    identity::Signature,
};

/// Where a person receives messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsEndpoint {
    /// The home whose broker it is.
    pub home: Home,
    /// The broker's URL as the person published it. Clients dial what the home lists, not this.
    pub url: String,
}

/// Where a person serves files; the endpoint id is their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrohEndpoint {
    /// The installation that serves.
    pub install: Install,
    /// The relay that it names, if any.
    pub relay_url: Option<String>,
}

/// The manifest that the chain points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFiles {
    /// BLAKE3 of the manifest, or none if nothing is shared any more.
    pub manifest: Option<[u8; 32]>,
    /// The publication's number.
    pub version: u64,
}

/// A claimed identity as the chain lists it; unproved until a reader checks it (§10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedClaim {
    /// The claim, such as `dns:chris.com`.
    pub claim: ClaimText,
    /// Where its proof lies.
    pub at: Option<String>,
    /// The proof itself.
    pub sig: Option<Signature>,
}

/// What a chain says of its owner at its last walked event.
///
/// After a `retire` everything but [`State::is_retired`] and the past handles counts as absent.
#[derive(Clone, Debug, Default)]
pub struct State {
    nats: Newest<String, NatsEndpoint>,
    iroh: Newest<Install, IrohEndpoint>,
    handle: Option<Handle>,
    past_handles: HashSet<Handle>,
    claims: BTreeMap<ClaimText, ListedClaim>,
    shared_files: Option<SharedFiles>,
    retired: bool,
}

impl State {
    /// Returns the NATS endpoint in force: the last that was added and not removed.
    #[must_use]
    pub fn nats(&self) -> Option<&NatsEndpoint> {
        self.nats.get()
    }

    /// Lists the NATS endpoints that were added and not removed, the one in force last.
    pub fn nats_endpoints(&self) -> impl Iterator<Item = &NatsEndpoint> {
        self.nats.iter()
    }

    /// Returns the Iroh endpoint in force: the last that was added and not removed.
    #[must_use]
    pub fn iroh(&self) -> Option<&IrohEndpoint> {
        self.iroh.get()
    }

    /// Lists the Iroh endpoints that were added and not removed, the one in force last.
    pub fn iroh_endpoints(&self) -> impl Iterator<Item = &IrohEndpoint> {
        self.iroh.iter()
    }

    /// Returns the handle that the owner names.
    #[must_use]
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// Lists the handles that the owner names or once named, in no order.
    pub fn past_handles(&self) -> impl ExactSizeIterator<Item = &Handle> {
        self.past_handles.iter()
    }

    /// Tells whether the owner names or once named this handle.
    #[must_use]
    pub fn has_had_handle(&self, handle: &Handle) -> bool {
        self.past_handles.contains(handle)
    }

    /// Lists the claims, sorted by their text.
    pub fn claims(&self) -> impl ExactSizeIterator<Item = &ListedClaim> {
        self.claims.values()
    }

    /// Returns the manifest pointer, if one was ever set.
    #[must_use]
    pub fn shared_files(&self) -> Option<&SharedFiles> {
        self.shared_files.as_ref()
    }

    /// Tells whether the owner has left for good.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Lists operations that make this state out of an empty one.
    pub(super) fn to_ops(&self) -> Vec<Op> {
        let mut past: Vec<&Handle> =
            self.past_handles.iter().filter(|past| self.handle.as_ref() != Some(past)).collect();
        past.sort_unstable();
        let mut ops: Vec<Op> = past.into_iter().map(|past| Op::SetHandle(Some(past.clone()))).collect();
        if self.retired {
            ops.push(Op::Retire);
            return ops;
        }
        if !self.past_handles.is_empty() {
            ops.push(Op::SetHandle(self.handle.clone()));
        }
        ops.extend(self.nats.iter().map(|NatsEndpoint { home, url }| {
            let (home, url) = (home.clone(), url.clone());
            Op::AddNatsEndpoint { home, url }
        }));
        ops.extend(self.iroh.iter().map(|IrohEndpoint { install, relay_url }| {
            let (install, relay_url) = (*install, relay_url.clone());
            Op::AddIrohEndpoint { install, relay_url }
        }));
        ops.extend(self.claims.values().map(|ListedClaim { claim, at, sig }| {
            let (claim, at, sig) = (claim.clone(), at.clone(), *sig);
            Op::AddClaim { claim, at, sig }
        }));
        let shared = self.shared_files.as_ref();
        ops.extend(shared.map(|&SharedFiles { manifest, version }| Op::SetSharedFiles { manifest, version }));
        ops
    }

    /// Applies a checked operation; unknown ones do nothing.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::AddNatsEndpoint { home, url } => {
                self.nats.add(url.clone(), NatsEndpoint { home: home.clone(), url: url.clone() });
            }
            Op::AddIrohEndpoint { install, relay_url } => {
                self.iroh.add(*install, IrohEndpoint { install: *install, relay_url: relay_url.clone() });
            }
            Op::RemoveNatsEndpoint { url } => self.nats.remove(url),
            Op::RemoveIrohEndpoint { install } => self.iroh.remove(install),
            Op::SetHandle(handle) => {
                if let Some(handle) = handle.as_ref().filter(|handle| !self.past_handles.contains(*handle)) {
                    self.past_handles.insert(handle.clone());
                }
                self.handle.clone_from(handle);
            }
            &Op::SetSharedFiles { manifest, version } => self.shared_files = Some(SharedFiles { manifest, version }),
            Op::AddClaim { claim, at, sig } => {
                let listed = ListedClaim { claim: claim.clone(), at: at.clone(), sig: *sig };
                self.claims.insert(claim.clone(), listed);
            }
            Op::RemoveClaim { claim } => {
                self.claims.remove(claim);
            }
            Op::Retire => {
                *self = Self { retired: true, past_handles: std::mem::take(&mut self.past_handles), ..Self::default() };
            }
            Op::Unknown { .. } => {}
        }
    }
}

/// What was added and not removed, in the order of the last additions. A removal takes away every addition under its
/// key, so one for each key is enough, and a long chain costs no more for each event than a short one.
#[derive(Clone, Debug)]
struct Newest<K, V> {
    added: u64,
    order: BTreeMap<u64, K>,
    by_key: HashMap<K, (u64, V)>,
}

impl<K, V> Default for Newest<K, V> {
    fn default() -> Self {
        Self { added: 0, order: BTreeMap::new(), by_key: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Newest<K, V> {
    fn add(&mut self, key: K, value: V) {
        self.remove(&key);
        self.added += 1;
        self.order.insert(self.added, key.clone());
        self.by_key.insert(key, (self.added, value));
    }

    fn remove(&mut self, key: &K) {
        if let Some((place, _)) = self.by_key.remove(key) {
            self.order.remove(&place);
        }
    }

    /// Lists what is there, the last added last.
    fn iter(&self) -> impl Iterator<Item = &V> {
        self.order.values().filter_map(|key| self.by_key.get(key).map(|(_, value)| value))
    }

    fn get(&self) -> Option<&V> {
        let (_, key) = self.order.last_key_value()?;
        self.by_key.get(key).map(|(_, value)| value)
    }
}
