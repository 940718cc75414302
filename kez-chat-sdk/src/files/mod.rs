//! Files: shared by reference, sealed, and fetched only when somebody asks (`docs/PROTOCOL.md` §9).

mod browse;
mod compare;
mod diagnosis;
pub(crate) mod downloads;
mod error;
mod fetching;
mod manifest;
mod node;
mod published;
mod relays;
mod room;
mod sharing;
pub(crate) mod slot;
mod source;
mod thumbnail;
mod transfer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::{
    identity::PrimaryKey,
    manifest::{Access, EntryId},
    payload::MessageId,
};

pub use self::{
    browse::{ListedEntry, Listing},
    downloads::{Download, DownloadState, FetchOptions, IfExists},
    error::FilesError,
    fetching::Offer,
    node::NodeError as TransferError,
    published::{PublishedEntry, PublishedFiles},
    relays::Relays,
    room::FileUsage,
    sharing::{BadFile, HeldFor, OwnShare, OwnShareId, Repaired, Share},
    source::{LeftOut, LeftOutKind},
    thumbnail::Thumbnail,
    transfer::{Transfer, TransferPath, TransferProgress},
};
pub(crate) use self::{
    diagnosis::look_at_endpoints, manifest::keep_said, node::UploadLimit, published::refresh_audiences,
    slot::serve_in_background,
};
use crate::{
    contacts::Contacts,
    event::{DownloadId, ShareId},
    shared::Shared,
};

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
/// let paths = bob.files().fetch(share_id, "bob").await?;
/// assert_eq!(std::fs::read_to_string(&paths[0])?, "all is well");
///
/// // What is held ready can be looked at, looked after, and ended.
/// let held = alice.files().shares().await?;
/// assert_eq!((held[0].readers[0].primary, held[0].total_bytes), (bob.primary(), 11));
/// assert!(alice.files().verify().await?.is_empty(), "nothing is damaged");
/// alice.files().unshare(held[0].id, None).await?;
/// alice.files().clean_up().await?;
/// assert_eq!(alice.files().usage().await?.shared_bytes, 0);
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

    /// Seals a file, or a folder and the files in it, into the local store and announces it to `readers`. It is served, to
    /// them only, while a client of this account is open.
    ///
    /// A file that was shared before and has not changed since is not sealed again: its blob gets more readers. In a folder
    /// links are not followed; the result names what was left out. The path itself may be a link. Dropping the transfer
    /// cancels; then nothing stays behind, unless it was done in that moment.
    ///
    /// # Errors
    /// [`FilesError`]; nobody is told of files that could not be sealed, one and all.
    pub fn share(&self, path: &Path, readers: &[PrimaryKey]) -> Transfer<Share> {
        self.begin_share(path, readers, None)
    }

    /// [Shares](Self::share) under a [name](crate::new_message_id) of the caller's, and does so once: repeated with the same
    /// readers it returns the share that there is, whatever is at the path now. So a call whose answer was lost can be
    /// repeated. What was left out of a folder is said the first time only.
    ///
    /// # Errors
    /// As [`share`](Self::share); `NameTaken` if it was shared with others under that name, or has ended since.
    pub fn share_as(&self, name: MessageId, path: &Path, readers: &[PrimaryKey]) -> Transfer<Share> {
        self.begin_share(path, readers, Some(name))
    }

    fn begin_share(&self, path: &Path, readers: &[PrimaryKey], name: Option<MessageId>) -> Transfer<Share> {
        let (shared, path) = (Arc::clone(self.shared), path.to_owned());
        let readers = readers.iter().copied().collect();
        Transfer::begin(|meter| async move { sharing::share(&shared, &path, readers, name, meter).await })
    }

    /// Lists what we hold ready for others, oldest first.
    ///
    /// # Errors
    /// [`FilesError::Store`].
    pub async fn shares(&self) -> Result<Vec<OwnShare>, FilesError> {
        sharing::list(self.shared).await
    }

    /// Ends a share for one reader, or for all of them with `None`: they may fetch nothing of it any more, and what they are
    /// fetching breaks off. What they have fetched they have. An announcement that was not sent yet is taken back.
    ///
    /// Deleting the message that announced a share ends it for its reader, too.
    ///
    /// # Errors
    /// [`FilesError::NoSuchShare`] if there is none with them.
    pub async fn unshare(&self, share: OwnShareId, reader: Option<PrimaryKey>) -> Result<(), FilesError> {
        sharing::unshare(self.shared, share, reader).await
    }

    /// Returns how much is held ready for others and kept of what is being fetched.
    ///
    /// # Errors
    /// [`FilesError::Store`], or [`FilesError::Transfer`] if the store of sealed files can't be read.
    pub async fn usage(&self) -> Result<FileUsage, FilesError> {
        room::usage(self.shared, &*slot::node(self.shared).await?).await
    }

    /// Removes from the disk what is neither held ready for others nor being fetched. It happens by itself every few minutes.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    pub async fn clean_up(&self) -> Result<(), FilesError> {
        Ok(slot::node(self.shared).await?.collect().await?)
    }

    /// Reads everything that we hold ready from the disk, and returns what is not as it was.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    pub fn verify(&self) -> Transfer<Vec<BadFile>> {
        let shared = Arc::clone(self.shared);
        Transfer::begin(|meter| async move { sharing::verify(&shared, meter).await })
    }

    /// Verifies everything that we hold ready, and seals again what is not as it was, from its file. Where that has changed
    /// or is not there any more, the share is lost: who asks for it is told that it is gone.
    ///
    /// # Errors
    /// As [`usage`](Self::usage). What was repaired before stays so.
    pub fn repair(&self) -> Transfer<Repaired> {
        let shared = Arc::clone(self.shared);
        Transfer::begin(|meter| async move { sharing::repair(&shared, meter).await })
    }

    /// Lists what others hold ready for us, oldest first.
    ///
    /// # Errors
    /// [`FilesError::Store`].
    pub async fn offers(&self) -> Result<Vec<Offer>, FilesError> {
        Ok(self.shared.store.offers().await?.into_iter().map(Offer::from).collect())
    }

    /// Fetches offered files from their sender into a folder, verifies and opens them, and returns where they are: one path
    /// for each file of the offer, that of the folder where it is a folder. What broke off goes on where it was; nothing is
    /// overwritten.
    ///
    /// It is kept: when the process ends before it is done, the next one goes on by itself. If the sender is away, it says so
    /// at once, and the download waits for them. Whatever goes on without anybody who awaits it ends with
    /// [`Event::Downloaded`](crate::Event::Downloaded) or [`Event::DownloadFailed`](crate::Event::DownloadFailed).
    ///
    /// Fetching the same files into the same folder again joins the download that there is. Dropping the transfer before
    /// its outcome forgets it, unless another one is for the same. While the client is
    /// [suspended](crate::Client::suspend) nothing comes.
    ///
    /// # Errors
    /// [`FilesError`]; `Waiting` while the sender is away.
    pub fn fetch(&self, share_id: ShareId, to: impl Into<FetchOptions>) -> Transfer<Vec<PathBuf>> {
        fetching::fetch(self.shared, share_id, to.into())
    }

    /// Lists downloads that are not over, and the last ones that are, oldest first.
    ///
    /// # Errors
    /// [`FilesError::Store`].
    pub async fn downloads(&self) -> Result<Vec<Download>, FilesError> {
        downloads::list(self.shared).await
    }

    /// Goes on with a download that waits or has failed, now; or awaits one that is being worked on.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); [`FilesError::NoSuchDownload`].
    pub fn retry_download(&self, id: DownloadId) -> Transfer<Vec<PathBuf>> {
        downloads::retry(self.shared, id)
    }

    /// Forgets a download, whether it is over or not. Files that are complete stay.
    ///
    /// # Errors
    /// [`FilesError::NoSuchDownload`] or [`FilesError::Store`].
    pub async fn cancel_download(&self, id: DownloadId) -> Result<(), FilesError> {
        downloads::cancel(self.shared, id).await
    }

    /// Publishes a file, or a folder and the files in it, each of which is an entry of its own: whoever they are for finds
    /// them when they [look](Self::browse) at what we publish, and nobody is told. They are served while a client of this
    /// account is open.
    ///
    /// As in [sharing](Self::share), what is sealed already and has not changed is not sealed again, links in a folder are
    /// not followed, and dropping the transfer cancels.
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
    /// let paths = bob.files().fetch_entry(alice.primary(), entry.id, "bob").await?;
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
    pub fn publish(&self, path: &Path, access: Access) -> Transfer<PublishedFiles> {
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
    pub fn fetch_entry(&self, peer: PrimaryKey, id: EntryId, to: impl Into<FetchOptions>) -> Transfer<Vec<PathBuf>> {
        browse::fetch_entry(self.shared, peer, id, to.into())
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
