//! Files: shared by reference, sealed, and fetched only when somebody asks (`docs/PROTOCOL.md` §9).

mod error;
mod fetching;
mod node;
mod relays;
mod sharing;
pub(crate) mod slot;
mod transfer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::identity::PrimaryKey;

pub use self::{
    error::FilesError,
    fetching::Offer,
    node::NodeError as TransferError,
    relays::Relays,
    sharing::Share,
    transfer::{Transfer, TransferPath, TransferProgress},
};
pub(crate) use self::{node::UploadLimit, slot::serve_in_background};
use crate::{event::ShareId, shared::Shared};

/// A handle on an account's files.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let alice = stage.client("alice").await;
/// # let bob = stage.client("bob").await;
/// # alice.contacts().add("@bob").await?;
/// # bob.contacts().add("@alice").await?;
/// use kez_chat_sdk::Event;
///
/// std::fs::write("report.txt", "all is well")?;
/// alice.files().share("report.txt".as_ref(), &[bob.primary()]).await?;
///
/// // Nothing is downloaded until Bob asks for it.
/// let share_id = loop {
///     let pending = bob.next_event().await?;
///     if let Event::FileShared { share_id, .. } = pending.event {
///         break share_id;
///     }
/// };
/// let paths = bob.files().fetch(share_id, "bob".as_ref()).await?;
/// assert_eq!(std::fs::read_to_string(&paths[0])?, "all is well");
/// # alice.shutdown().await;
/// # bob.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    shared: &'a Arc<Shared>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Seals a file into the local store and announces it to `readers`. It is served, to them only, while a client of
    /// this account is open.
    ///
    /// # Errors
    /// [`FilesError`]; nobody is told of a file that could not be sealed.
    pub fn share(&self, path: &Path, readers: &[PrimaryKey]) -> Transfer<Share> {
        let (shared, path) = (Arc::clone(self.shared), path.to_owned());
        let readers = readers.iter().copied().collect();
        Transfer::begin(|meter| async move { sharing::share(&shared, &path, readers, meter).await })
    }

    /// Lists what others hold ready for us, oldest first.
    ///
    /// # Errors
    /// [`FilesError::Store`].
    pub async fn offers(&self) -> Result<Vec<Offer>, FilesError> {
        Ok(self.shared.store.offers().await?.into_iter().map(Offer::from).collect())
    }

    /// Fetches offered files from their sender into a folder, verifies and opens them, and returns where they are. A
    /// transfer that broke off goes on where it was; nothing is overwritten.
    ///
    /// # Errors
    /// [`FilesError`]; `Waiting` while the sender is away.
    pub fn fetch(&self, share_id: ShareId, to_dir: &Path) -> Transfer<Vec<PathBuf>> {
        let (shared, to_dir) = (Arc::clone(self.shared), to_dir.to_owned());
        Transfer::begin(|meter| async move { fetching::fetch(&shared, share_id, &to_dir, meter).await })
    }

    /// Sets how many bytes a second go out to everybody who fetches from us, together; nothing lifts the limit. It holds at
    /// once, also for what is under way, until the client ends. At least 16 KiB.
    pub fn limit_uploads(&self, bytes_per_s: Option<u64>) {
        self.shared.config.uploads.set(bytes_per_s);
    }
}
