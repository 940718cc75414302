//! Makes the cases, family by family. What a case is to give is written here by hand.

mod broker;
mod callout;
mod claims;
mod contents;
mod envelope;
mod files;
mod handles;
mod identity;
mod manifest;
mod manifest_faults;
mod ops;
mod payload;
mod resumes;
mod sigchain;
mod walks;

pub(super) use broker::make as broker;
pub(super) use envelope::make as envelope;
pub(super) use files::make as files;
pub(super) use identity::make as identity;
pub(super) use manifest::make as manifest;
pub(super) use sigchain::make as sigchain;
