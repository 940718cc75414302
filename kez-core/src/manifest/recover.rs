//! Finding again what one published oneself.

use std::collections::BTreeSet;

use super::{
    Access, Collection, Draft, EntryId, Manifest, ManifestError,
    read::{Padded, SealedAccess, find},
};
use crate::identity::{PrimaryKey, SecretKey};

/// What an owner finds again in a manifest of their own.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The entries that open, each with those of the named people who read it.
    pub collection: Collection,
    /// The entries that were for none of the named people, or for nobody. They are not in the collection.
    pub unreadable: Vec<EntryId>,
}

impl Manifest<'_> {
    /// Opens a manifest as its owner, who agrees with each of `people` as they would themselves.
    pub(super) fn recover(&self, owner: &SecretKey, people: &[PrimaryKey]) -> Result<Recovered, ManifestError> {
        if owner.primary() != self.frame.owner {
            return Err(ManifestError::BadField { field: "owner" });
        }
        let people: BTreeSet<PrimaryKey> = people.iter().copied().chain([owner.primary()]).collect();
        let keys: Vec<_> = people.iter().map(|who| (*who, self.frame.reader_key(&owner.agree(who), who))).collect();
        let mut padded = Padded::new();
        let mut recovered = Recovered { collection: Collection::new(), unreadable: Vec::new() };
        for (id, entry) in &self.entries {
            let (key, access) = match &entry.access {
                SealedAccess::Public(key) => (Some(key.clone()), Access::Public),
                SealedAccess::Readers(pairs) => {
                    let (mut key, mut readers) = (None, Vec::new());
                    for (who, reader) in &keys {
                        if let Some(wrapped) = find(pairs, &reader.tag(id)) {
                            readers.push(*who);
                            key = Some(self.frame.unwrap(reader, id, wrapped).ok_or(ManifestError::Damaged)?);
                        }
                    }
                    (key, Access::Readers(readers))
                }
            };
            match key {
                Some(key) => {
                    let details = self.details(&key, id, entry, &mut padded)?;
                    recovered.collection.put(Draft { id: *id, access, details })?;
                }
                None => recovered.unreadable.push(*id),
            }
        }
        Ok(recovered)
    }
}
