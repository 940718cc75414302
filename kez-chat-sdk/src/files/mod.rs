//! Files: shared by reference, sealed, and fetched only when somebody asks (`docs/PROTOCOL.md` §9).

mod browse;
mod error;
mod fetching;
mod manifest;
mod node;
mod published;
mod relays;
mod sharing;
pub(crate) mod slot;
mod thumbnail;
mod transfer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::{
    identity::PrimaryKey,
    manifest::{Access, EntryId},
};

pub use self::{
    browse::{ListedEntry, Listing},
    error::FilesError,
    fetching::Offer,
    node::NodeError as TransferError,
    published::PublishedEntry,
    relays::Relays,
    sharing::Share,
    thumbnail::Thumbnail,
    transfer::{Transfer, TransferPath, TransferProgress},
};
pub(crate) use self::{
    manifest::keep_said, node::UploadLimit, published::refresh_audiences, slot::serve_in_background,
};
use crate::{contacts::Contacts, event::ShareId, shared::Shared};

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

    /// Publishes a file: whoever it is for finds it when they [look](Self::browse) at what we publish, and nobody is told.
    /// It is served while a client of this account is open.
    ///
    /// Our sigchain says so within seconds, or ten minutes after it last said something of that kind. Publishing for
    /// [anybody](Access::Public) has our endpoint answer anybody.
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
    /// use kez_chat_sdk::manifest::Access;
    ///
    /// std::fs::write("report.txt", "all is well")?;
    /// alice.files().publish("report.txt".as_ref(), Access::Readers(vec![bob.primary()])).await?;
    /// alice.files().until_published().await?;
    ///
    /// # // Where her endpoint is comes with her presence.
    /// # while bob.files().browse(alice.primary()).await.is_err() {}
    /// let listing = bob.files().browse(alice.primary()).await?;
    /// let entry = &listing.entries[0];
    /// assert_eq!(entry.file.path, "report.txt");
    /// let paths = bob.files().fetch_entry(alice.primary(), entry.id, "bob".as_ref()).await?;
    /// assert_eq!(std::fs::read_to_string(&paths[0])?, "all is well");
    /// # alice.shutdown().await;
    /// # bob.shutdown().await;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FilesError`]; nothing is published then.
    pub fn publish(&self, path: &Path, access: Access) -> Transfer<PublishedEntry> {
        let (shared, path) = (Arc::clone(self.shared), path.to_owned());
        Transfer::begin(|meter| async move { published::publish(&shared, &path, access, meter).await })
    }

    /// Publishes what was [shared](Self::share), without sealing it again.
    ///
    /// # Errors
    /// [`FilesError`]; nothing is published then.
    pub async fn publish_shared(&self, share: &Share, access: Access) -> Result<Vec<PublishedEntry>, FilesError> {
        published::publish_shared(self.shared, share, access).await
    }

    /// Takes back what was published. It is not served from now on, unless it was shared as well; who has fetched it
    /// keeps it.
    ///
    /// # Errors
    /// [`FilesError::NoSuchEntry`] or [`FilesError::Store`].
    pub async fn unpublish(&self, id: EntryId) -> Result<(), FilesError> {
        published::unpublish(self.shared, id).await
    }

    /// Changes whom something published is for. It is served to them, and to nobody else, from now on.
    ///
    /// # Errors
    /// [`FilesError::NoSuchEntry`] or [`FilesError::Store`].
    pub async fn set_access(&self, id: EntryId, access: Access) -> Result<(), FilesError> {
        published::set_access(self.shared, id, access).await
    }

    /// Lists what we publish, oldest first.
    ///
    /// # Errors
    /// [`FilesError::Store`].
    pub async fn published(&self) -> Result<Vec<PublishedEntry>, FilesError> {
        Ok(self.shared.store.published().await?.into_iter().map(PublishedEntry::from).collect())
    }

    /// Waits until our sigchain says what we publish now, and returns the number by which it does; 0 if it never said
    /// anything. It may be dropped: it is said all the same.
    ///
    /// # Errors
    /// [`FilesError::Store`], also when the client was shut down meanwhile.
    pub async fn until_published(&self) -> Result<u64, FilesError> {
        manifest::until_said(self.shared).await
    }

    /// Looks at what a contact publishes for us and for anybody. What was looked at before, and has not changed, is shown
    /// while they are away too. No file is fetched.
    ///
    /// # Errors
    /// [`FilesError`]; `Waiting` while they are away, the codes of a manifest for one that is not what their sigchain says.
    pub async fn browse(&self, peer: PrimaryKey) -> Result<Listing, FilesError> {
        let glance = Contacts::new(self.shared).glance_at(peer).await?;
        browse::browse(self.shared, glance).await
    }

    /// Looks at what whoever has a handle publishes for us and for anybody. They need not be a contact; nothing is kept of
    /// who is none but what they publish.
    ///
    /// # Errors
    /// As [`browse`](Self::browse).
    pub async fn browse_handle(&self, handle: &str) -> Result<Listing, FilesError> {
        let glance = Contacts::new(self.shared).glance_at_handle(handle).await?;
        browse::browse(self.shared, glance).await
    }

    /// Fetches a file that was [listed](Self::browse) into a folder, as [`fetch`](Self::fetch) does.
    ///
    /// # Errors
    /// [`FilesError`]; `NoSuchEntry` if it was not listed when last looked.
    pub fn fetch_entry(&self, peer: PrimaryKey, id: EntryId, to_dir: &Path) -> Transfer<Vec<PathBuf>> {
        let (shared, to_dir) = (Arc::clone(self.shared), to_dir.to_owned());
        Transfer::begin(|meter| async move { browse::fetch_entry(&shared, peer, id, &to_dir, meter).await })
    }

    /// Returns the small picture of a file that was [listed](Self::browse), to be called when it is to be shown: it is
    /// fetched the first time. Nothing, if there is none.
    ///
    /// # Errors
    /// [`FilesError`]; `BadThumbnail` for one that is no picture, or too large.
    pub async fn thumbnail(&self, peer: PrimaryKey, id: EntryId) -> Result<Option<Thumbnail>, FilesError> {
        browse::thumbnail(self.shared, peer, id).await
    }

    /// Sets how many bytes a second go out to everybody who fetches from us, together; nothing lifts the limit. It holds at
    /// once, also for what is under way, until the client ends. At least 16 KiB.
    pub fn limit_uploads(&self, bytes_per_s: Option<u64>) {
        self.shared.config.uploads.set(bytes_per_s);
    }
}
