//! Fuzz targets for kez-core: `cargo xtask fuzz`.

pub mod targets;
