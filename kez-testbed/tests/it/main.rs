//! The testbed as its users meet it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

#[cfg(target_os = "linux")]
mod demo;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod restarts;
#[cfg(target_os = "linux")]
mod scene;
#[cfg(target_os = "linux")]
mod soak;
mod stack;
