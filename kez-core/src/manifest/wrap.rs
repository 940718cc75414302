//! The keys of a manifest: one agreement for each pair of people, then symmetric work only.

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{EntryId, EntryKey, Frame, PUBLIC, READER_TAG_BYTES};
use crate::{
    aead,
    identity::{PrimaryKey, SharedSecret},
    kdf::hkdf,
};

impl Frame {
    /// Derives what owner and reader share for this publication.
    pub(super) fn reader_key(&self, shared: &SharedSecret, reader: &PrimaryKey) -> ReaderKey {
        let info = [b"reader".as_slice(), self.owner.as_bytes(), reader.as_bytes()];
        ReaderKey(hkdf(&self.kdf_salt(), shared.as_bytes(), &info))
    }

    pub(super) fn wrap(&self, reader: &ReaderKey, id: &EntryId, key: &EntryKey) -> Vec<u8> {
        aead::seal_once(&reader.mac(b"wrap", id), key.as_slice(), &self.place_of(id))
    }

    pub(super) fn unwrap(&self, reader: &ReaderKey, id: &EntryId, wrapped: &[u8]) -> Option<EntryKey> {
        let key = aead::open_once(&reader.mac(b"wrap", id), wrapped, &self.place_of(id))?;
        key.as_slice().try_into().ok().map(Zeroizing::new)
    }

    pub(super) fn seal_details(&self, key: &EntryKey, id: &EntryId, public: bool, padded: &[u8]) -> Vec<u8> {
        aead::seal_once(&self.details_key(key, id), padded, &self.details_place(id, public))
    }

    pub(super) fn open_details(
        &self,
        key: &EntryKey,
        id: &EntryId,
        public: bool,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        aead::open_once(&self.details_key(key, id), sealed, &self.details_place(id, public))
    }

    fn details_key(&self, key: &EntryKey, id: &EntryId) -> Zeroizing<[u8; 32]> {
        hkdf(&self.kdf_salt(), key.as_slice(), &[b"details", &id.0])
    }

    fn kdf_salt(&self) -> Vec<u8> {
        [b"kez/manifest/1".as_slice(), &self.salt].concat()
    }

    fn place_of(&self, id: &EntryId) -> Vec<u8> {
        [self.owner.as_bytes().as_slice(), &self.version.to_le_bytes(), &id.0].concat()
    }

    fn details_place(&self, id: &EntryId, public: bool) -> Vec<u8> {
        let mut place = self.place_of(id);
        place.push(if public { PUBLIC } else { 0 });
        place
    }
}

/// What owner and reader share for one publication.
pub(super) struct ReaderKey(Zeroizing<[u8; 32]>);

impl ReaderKey {
    /// Returns the tag by which the reader finds their wrap of an entry, and nobody else does.
    pub(super) fn tag(&self, id: &EntryId) -> [u8; READER_TAG_BYTES] {
        let mut tag = [0; READER_TAG_BYTES];
        tag.copy_from_slice(&self.mac(b"tag", id)[..READER_TAG_BYTES]);
        tag
    }

    fn mac(&self, purpose: &[u8], id: &EntryId) -> Zeroizing<[u8; 32]> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_slice()) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.update(purpose);
        mac.update(&id.0);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}
