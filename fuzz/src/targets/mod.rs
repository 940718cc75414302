//! What each fuzz target does with its input, and the seeds that it starts from.
//!
//! These bodies depend on kez-core and on what its tests have, so that those replay the corpus through them too. A body that
//! returns found nothing; one that panics found a fault. Each says more than "does not panic": what was decoded
//! encodes to the same bytes, what was shown reads back, what was changed is refused.

pub mod callout_jwt;
pub mod claim_proof;
pub mod contact_uri;
pub mod envelope_mutated;
pub mod envelope_open;
pub mod event_jws;
pub mod file_open;
pub mod folder_list;
pub mod frame;
pub mod handle;
pub mod input;
mod jose;
pub mod manifest;
pub mod mnemonic;
pub mod nkey_text;
pub mod notation;
pub mod payload;
pub mod sigchain_walk;

use input::Seed;

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        /// Every target.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),+];
    };
}

/// A fuzz target.
pub struct Target {
    /// Its name: that of its binary and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Takes an input; panics on a fault.
    pub run: fn(&[u8]),
    /// Makes its first inputs, each with a name.
    pub seeds: fn() -> Vec<Seed>,
}

targets! {
    callout_jwt,
    claim_proof,
    contact_uri,
    envelope_mutated,
    envelope_open,
    event_jws,
    file_open,
    folder_list,
    frame,
    handle,
    manifest,
    mnemonic,
    nkey_text,
    payload,
    sigchain_walk,
}
