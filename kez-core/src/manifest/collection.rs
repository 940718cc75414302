//! What a person shares, from one publication to the next.

use std::{collections::BTreeMap, mem};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Access, Draft, EntryId, MAX_DETAILS_BYTES, MAX_ENTRIES, Manifest, ManifestError, Published, Recovered,
    build::{build_from, check_readers, pad},
};
use crate::identity::{PrimaryKey, SecretKey};

/// What a person shares: entries that can be published as they are, by id.
///
/// Whatever is changed takes effect with the next publication, under new keys throughout: who was taken away from an
/// entry reads it no more, but keeps what they have fetched.
///
/// ```
/// # use kez_core::{filecrypt::FileKey, payload::{FileEntry, SharePath}};
/// use kez_core::{identity::SecretKey, manifest::{Access, Collection, Details, Draft, EntryId, Manifest}};
///
/// let (alice, bob) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
/// # let file = FileEntry {
/// #     path: SharePath::parse("hello.txt")?, media_type: "text/plain".into(), blob_hash: [0; 32],
/// #     key: FileKey::from_bytes([7; 32]), plain_hash: [0; 32], plain_len: 11,
/// # };
/// let details = Details { file, shared_at_ms: 1_795_396_313_000, thumbnail: None };
/// let id = EntryId([5; 16]);
/// let mut shared = Collection::new();
/// shared.put(Draft { id, access: Access::Readers(vec![bob.primary()]), details: details.clone() })?;
///
/// // The version is one more than the chain's, and goes there together with the hash.
/// let (bytes, published) = shared.publish(&alice, 1, &mut rand::rng())?;
/// let manifest = Manifest::parse(&bytes, &published)?;
/// assert_eq!(manifest.open(&id, &bob)?, details);
///
/// // On a new device: everything is found again, with its readers.
/// let mut shared = Collection::recover(&manifest, &alice, &[bob.primary()])?.collection;
/// shared.take_away(&bob.primary());
/// let (bytes, published) = shared.publish(&alice, 2, &mut rand::rng())?;
/// assert!(Manifest::parse(&bytes, &published)?.open(&id, &bob).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Collection {
    entries: BTreeMap<EntryId, Draft>,
}

impl Collection {
    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a manifest of one's own, so that a device that has nothing else can go on from it.
    ///
    /// A reader who is not among `people` is lost: they can't be told from the random pairs that hide how many readers
    /// there are. So `people` is everybody that the owner may have shared with. The owner is always among them.
    ///
    /// # Errors
    /// [`ManifestError`] if the manifest is another's, or an entry of it is damaged.
    pub fn recover(
        manifest: &Manifest<'_>,
        owner: &SecretKey,
        people: &[PrimaryKey],
    ) -> Result<Recovered, ManifestError> {
        manifest.recover(owner, people)
    }

    /// Puts an entry in, in place of the one with the same id, which is returned.
    ///
    /// # Errors
    /// [`ManifestError`] for what could not be published: too many entries or readers, a reader twice, details that do
    /// not fit.
    pub fn put(&mut self, entry: Draft) -> Result<Option<Draft>, ManifestError> {
        if self.entries.len() == MAX_ENTRIES && !self.entries.contains_key(&entry.id) {
            return Err(ManifestError::BadField { field: "number of entries" });
        }
        check_access(&entry.access)?;
        pad(&entry.details, &mut Zeroizing::new(Vec::with_capacity(MAX_DETAILS_BYTES)))?;
        Ok(self.entries.insert(entry.id, entry))
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: &EntryId) -> Option<Draft> {
        self.entries.remove(id)
    }

    /// Changes who may read an entry, and returns who might until now; `None` if there is no such entry.
    ///
    /// # Errors
    /// [`ManifestError`] for too many readers, or one twice.
    pub fn set_access(&mut self, id: &EntryId, access: Access) -> Result<Option<Access>, ManifestError> {
        check_access(&access)?;
        Ok(self.entries.get_mut(id).map(|entry| mem::replace(&mut entry.access, access)))
    }

    /// Takes a reader away from every entry, as when a contact is removed; returns from how many. Entries stay, also
    /// those that nobody is left to read.
    pub fn take_away(&mut self, reader: &PrimaryKey) -> usize {
        let mut changed = 0;
        for entry in self.entries.values_mut() {
            if let Access::Readers(readers) = &mut entry.access {
                let before = readers.len();
                readers.retain(|other| other != reader);
                changed += before - readers.len();
            }
        }
        changed
    }

    /// Returns an entry.
    #[must_use]
    pub fn get(&self, id: &EntryId) -> Option<&Draft> {
        self.entries.get(id)
    }

    /// Lists the entries by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Draft> {
        self.entries.values()
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes the manifest of the next publication, under a fresh salt and fresh entry keys, and what the chain's
    /// `set_shared_files` has to say of it. `version` is higher than in every earlier one.
    ///
    /// # Errors
    /// [`ManifestError`] if the manifest would be above 64 MiB, or `version` above 2^53−1.
    pub fn publish(
        &self,
        owner: &SecretKey,
        version: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Published), ManifestError> {
        let bytes = build_from(owner, version, self.iter(), rng)?;
        let published = Published { owner: owner.primary(), manifest: *blake3::hash(&bytes).as_bytes(), version };
        Ok((bytes, published))
    }
}

fn check_access(access: &Access) -> Result<(), ManifestError> {
    match access {
        Access::Public => Ok(()),
        Access::Readers(readers) => check_readers(readers),
    }
}
