//! The keys of a manifest: one agreement for each pair of people, then symmetric work only.

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{EntryId, EntryKey, PUBLIC, READER_TAG_BYTES, WRAPPED_BYTES};
use crate::{
    aead,
    identity::{PrimaryKey, SharedSecret},
    kdf::Salted,
};

/// What ties everything in a manifest to its place: owner, version and salt.
pub(super) struct Frame {
    pub(super) owner: PrimaryKey,
    pub(super) version: u64,
    salted: Salted,
}

impl Frame {
    pub(super) fn new(owner: PrimaryKey, version: u64, salt: &[u8; 32]) -> Self {
        let salted = Salted::new(&[b"kez/manifest/1".as_slice(), salt].concat());
        Self { owner, version, salted }
    }

    /// Derives what owner and reader share for this publication.
    pub(super) fn reader_key(&self, shared: &SharedSecret, reader: &PrimaryKey) -> ReaderKey {
        let info = [b"reader".as_slice(), self.owner.as_bytes(), reader.as_bytes()];
        let key: Zeroizing<[u8; 32]> = self.salted.hkdf(shared.as_bytes(), &info);
        match Hmac::new_from_slice(key.as_slice()) {
            Ok(mac) => ReaderKey(mac),
            Err(_) => unreachable!("HMAC takes a key of any length"),
        }
    }

    pub(super) fn wrap(&self, reader: &ReaderKey, id: &EntryId, key: &EntryKey, wrapped: &mut [u8]) {
        aead::seal_once_into(&reader.mac(b"wrap", id), key.as_slice(), &self.place_of(id), wrapped);
    }

    pub(super) fn unwrap(&self, reader: &ReaderKey, id: &EntryId, wrapped: &[u8; WRAPPED_BYTES]) -> Option<EntryKey> {
        let mut key = EntryKey::default();
        aead::open_once_into(&reader.mac(b"wrap", id), wrapped, &self.place_of(id), key.as_mut_slice())?;
        Some(key)
    }

    /// Seals details into a place that is a tag longer.
    pub(super) fn seal_details(&self, key: &EntryKey, id: &EntryId, public: bool, padded: &[u8], sealed: &mut [u8]) {
        aead::seal_once_into(&self.details_key(key, id), padded, &self.details_place(id, public), sealed);
    }

    /// Opens details into a place that is a tag shorter.
    pub(super) fn open_details(
        &self,
        key: &EntryKey,
        id: &EntryId,
        public: bool,
        sealed: &[u8],
        padded: &mut [u8],
    ) -> Option<()> {
        aead::open_once_into(&self.details_key(key, id), sealed, &self.details_place(id, public), padded)
    }

    fn details_key(&self, key: &EntryKey, id: &EntryId) -> Zeroizing<[u8; 32]> {
        self.salted.hkdf(key.as_slice(), &[b"details", &id.0])
    }

    fn place_of(&self, id: &EntryId) -> [u8; 56] {
        let mut place = [0; 56];
        place[..32].copy_from_slice(self.owner.as_bytes());
        place[32..40].copy_from_slice(&self.version.to_le_bytes());
        place[40..].copy_from_slice(&id.0);
        place
    }

    fn details_place(&self, id: &EntryId, public: bool) -> [u8; 57] {
        let mut place = [0; 57];
        place[..56].copy_from_slice(&self.place_of(id));
        place[56] = if public { PUBLIC } else { 0 };
        place
    }
}

/// What owner and reader share for one publication: HMAC that has taken in their key.
pub(super) struct ReaderKey(Hmac<Sha256>);

impl ReaderKey {
    /// Returns the tag by which the reader finds their wrap of an entry, and nobody else does.
    pub(super) fn tag(&self, id: &EntryId) -> [u8; READER_TAG_BYTES] {
        let mut tag = [0; READER_TAG_BYTES];
        tag.copy_from_slice(&self.mac(b"tag", id)[..READER_TAG_BYTES]);
        tag
    }

    fn mac(&self, purpose: &[u8], id: &EntryId) -> Zeroizing<[u8; 32]> {
        let mut mac = self.0.clone();
        mac.update(purpose);
        mac.update(&id.0);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}
