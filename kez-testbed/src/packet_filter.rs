//! The packet filter of a network namespace: nft, fetched from the distribution's packages where it is missing.

use std::path::{Path, PathBuf};

use crate::packages::{Unpacked, on_path};

const PROGRAM: &str = "nft";
/// The package, and the libraries that it needs beside those of iproute2.
const PACKAGES: [&str; 6] = ["nftables", "libnftables1", "libnftnl11", "libedit2", "libjansson4", "libgmp10"];

/// Why there is no nft to be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no nft to make NAT and firewalls with: {why}\nInstall the package nftables; it can also be fetched by apt-get into KEZ_CACHE"
)]
pub struct PacketFilterError {
    why: String,
}

/// Where the program is that changes the rules of the network namespace that it runs in.
#[derive(Debug, Clone)]
pub struct PacketFilter {
    program: PathBuf,
    libraries: PathBuf,
}

impl PacketFilter {
    /// Finds nft, fetching it into the cache if needed.
    ///
    /// Fetching is announced on standard error. Two processes that fetch at once wait for each other.
    ///
    /// # Errors
    /// When there is none and none can be fetched; the error says how to get one.
    pub async fn find() -> Result<Self, PacketFilterError> {
        if let Some(program) = on_path(PROGRAM) {
            return Ok(Self { program, libraries: PathBuf::new() });
        }
        let unpacked = Unpacked::of("nftables", &PACKAGES).await.map_err(|why| PacketFilterError { why })?;
        Ok(Self { program: unpacked.root.join("usr/sbin").join(PROGRAM), libraries: unpacked.libraries })
    }

    /// Returns the program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Returns what `LD_LIBRARY_PATH` has to be for it; empty for an installed one.
    #[must_use]
    pub fn libraries(&self) -> &Path {
        &self.libraries
    }
}
