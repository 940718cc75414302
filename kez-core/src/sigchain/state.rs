//! What a chain says, once walked.

use super::{Install, Op};
use crate::{
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
    pub claim: String,
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
    nats: Vec<NatsEndpoint>,
    iroh: Vec<IrohEndpoint>,
    handle: Option<Handle>,
    past_handles: Vec<Handle>,
    claims: Vec<ListedClaim>,
    shared_files: Option<SharedFiles>,
    retired: bool,
}

impl State {
    /// Returns the NATS endpoint in force: the last that was added and not removed.
    #[must_use]
    pub fn nats(&self) -> Option<&NatsEndpoint> {
        self.nats.last()
    }

    /// Returns the Iroh endpoint in force: the last that was added and not removed.
    #[must_use]
    pub fn iroh(&self) -> Option<&IrohEndpoint> {
        self.iroh.last()
    }

    /// Returns the handle that the owner names.
    #[must_use]
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// Tells whether the owner names or once named this handle.
    #[must_use]
    pub fn has_had_handle(&self, handle: &Handle) -> bool {
        self.past_handles.contains(handle)
    }

    /// Lists the claims in the order they were made.
    #[must_use]
    pub fn claims(&self) -> &[ListedClaim] {
        &self.claims
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

    /// Applies a checked operation; unknown ones do nothing.
    pub(super) fn apply(&mut self, op: &Op) {
        match op.clone() {
            Op::AddNatsEndpoint { home, url } => self.nats.push(NatsEndpoint { home, url }),
            Op::AddIrohEndpoint { install, relay_url } => self.iroh.push(IrohEndpoint { install, relay_url }),
            Op::RemoveNatsEndpoint { url } => self.nats.retain(|endpoint| endpoint.url != url),
            Op::RemoveIrohEndpoint { install } => self.iroh.retain(|endpoint| endpoint.install != install),
            Op::SetHandle(handle) => {
                self.past_handles.extend(
                    handle.iter().filter(|handle| !self.past_handles.contains(handle)).cloned().collect::<Vec<_>>(),
                );
                self.handle = handle;
            }
            Op::SetSharedFiles { manifest, version } => self.shared_files = Some(SharedFiles { manifest, version }),
            Op::AddClaim { claim, at, sig } => {
                self.claims.retain(|listed| listed.claim != claim);
                self.claims.push(ListedClaim { claim, at, sig });
            }
            Op::RemoveClaim { claim } => self.claims.retain(|listed| listed.claim != claim),
            Op::Retire => {
                *self = Self { retired: true, past_handles: std::mem::take(&mut self.past_handles), ..Self::default() };
            }
            Op::Unknown { .. } => {}
        }
    }
}
